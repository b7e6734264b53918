# Adap FCOS after COCO SM with the CPU-size model; no published row
from ..common.models.adap_fcos_r18 import model
from ..common.recipes.adap_fcos import train_as_fcos
from ..common.recipes.tiny_person_r18 import dataloader, lr_multiplier, optimizer, tiles, train

train_as_fcos(optimizer, lr_multiplier, tiles, train)
train.init_checkpoint = "output/adap_fcos_r18_fpn_1x_coco_sm/model_final.pth"
train.output_dir = "output/adap_fcos_r18_fpn_1x_tinyperson_sm"

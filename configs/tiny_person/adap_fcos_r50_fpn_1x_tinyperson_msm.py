# Adap FCOS after COCO MSM, trained as exp6.1; no published row
from ..common.models.adap_fcos_r50 import model
from ..common.recipes.adap_fcos import train_as_fcos
from ..common.recipes.tiny_person import dataloader, lr_multiplier, optimizer, tiles, train

train_as_fcos(optimizer, lr_multiplier, tiles, train)
train.init_checkpoint = "output/adap_fcos_r50_fpn_1x_coco_msm/model_final.pth"
dataloader.train.total_batch_size = 4
optimizer.lr = 0.01
train.reference_batch = 4
train.output_dir = "output/adap_fcos_r50_fpn_1x_tinyperson_msm"

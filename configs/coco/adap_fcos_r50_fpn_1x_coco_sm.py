# COCO SM for Adap FCOS, 2 GPUs x 4, lr 0.01; no published row
from ..common.models.adap_fcos_r50 import model
from ..common.recipes.adap_fcos import MSRA_R50, train_as_fcos
from ..common.recipes.coco import dataloader, lr_multiplier, optimizer, tiles, train

train_as_fcos(optimizer, lr_multiplier, tiles, train)
model.num_classes = 80
train.init_checkpoint = MSRA_R50
train.output_dir = "output/adap_fcos_r50_fpn_1x_coco_sm"

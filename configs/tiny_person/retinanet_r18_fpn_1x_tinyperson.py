# The CPU-size model at strides 8 to 32, for comparison; no published row
from ..common.models.adap_retinanet_r18 import model
from ..common.recipes.tiny_person_r18 import dataloader, lr_multiplier, optimizer, tiles, train

model.levels.strides = [8, 16, 32]
model.levels.anchor_scale = 4.0
train.output_dir = "output/retinanet_r18_fpn_1x_tinyperson"

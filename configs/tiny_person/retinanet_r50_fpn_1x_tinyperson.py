# RetinaNet at strides 8 to 128, trained as exp2.1, for comparison; no published row
from ..common.models.adap_retinanet_r50 import model
from ..common.recipes.tiny_person import dataloader, lr_multiplier, optimizer, tiles, train

dataloader.train.total_batch_size = 1
optimizer.lr = 0.005
train.reference_batch = 1
model.levels.strides = [8, 16, 32, 64, 128]
model.levels.anchor_scale = 4.0
train.output_dir = "output/retinanet_r50_fpn_1x_tinyperson"

# exp2.1 of 002_ccff0c530f0a0993.txt: AP50_tiny 45.85
# Adap RetinaNet, 1 GPU x 1, lr 0.005
from ..common.models.adap_retinanet_r50 import model
from ..common.recipes.tiny_person import dataloader, lr_multiplier, optimizer, tiles, train

dataloader.train.total_batch_size = 1
optimizer.lr = 0.005
train.reference_batch = 1
train.output_dir = "output/adap_retinanet_r50_fpn_1x_tinyperson"

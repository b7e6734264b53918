# exp1.1 of 002_ccff0c530f0a0993.txt: AP50_tiny 49.81
# Faster-FPN, 4 GPUs x 1, lr 0.02
from ..common.models.faster_rcnn_r50 import model
from ..common.recipes.tiny_person import dataloader, lr_multiplier, optimizer, tiles, train

dataloader.train.total_batch_size = 4
optimizer.lr = 0.02
train.reference_batch = 4
train.output_dir = "output/faster_rcnn_r50_fpn_1x_tinyperson_4x1"

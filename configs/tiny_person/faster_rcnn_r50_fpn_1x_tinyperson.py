# exp1.2 of 000_5f562d84f0a3a740.txt: AP50_tiny 49.81
# Faster-FPN, 2 GPUs x 1, lr 0.01
from ..common.models.faster_rcnn_r50 import model
from ..common.recipes.tiny_person import dataloader, lr_multiplier, optimizer, tiles, train

dataloader.train.total_batch_size = 2
optimizer.lr = 0.01
train.reference_batch = 2
train.output_dir = "output/faster_rcnn_r50_fpn_1x_tinyperson"

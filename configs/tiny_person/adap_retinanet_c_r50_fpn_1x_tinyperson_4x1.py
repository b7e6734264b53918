# exp2.2 of 002_ccff0c530f0a0993.txt: AP50_tiny 46.52
# Adap RetinaNet-c, 4 GPUs x 1, lr 0.02
from ..common.models.adap_retinanet_r50 import model
from ..common.recipes.tiny_person import dataloader, lr_multiplier, optimizer, tiles, train

dataloader.train.total_batch_size = 4
optimizer.lr = 0.02
train.reference_batch = 4
train.clip_global_norm = 1.0
train.output_dir = "output/adap_retinanet_c_r50_fpn_1x_tinyperson_4x1"

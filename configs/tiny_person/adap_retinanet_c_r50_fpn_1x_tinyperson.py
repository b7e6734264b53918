# exp2.3 of 000_5f562d84f0a3a740.txt: AP50_tiny 45.22
# Adap RetinaNet-c, 2 GPUs x 1, lr 0.01
from ..common.models.adap_retinanet_r50 import model
from ..common.recipes.tiny_person import dataloader, lr_multiplier, optimizer, tiles, train

dataloader.train.total_batch_size = 2
optimizer.lr = 0.01
train.reference_batch = 2
train.clip_global_norm = 1.0
train.output_dir = "output/adap_retinanet_c_r50_fpn_1x_tinyperson"

# exp6.1 of 002_ccff0c530f0a0993.txt: AP50_tiny 47.61
# Adap FCOS, 2 GPUs x 2, lr 0.01
from ..common.models.adap_fcos_r50 import model
from ..common.recipes.adap_fcos import MSRA_R50, train_as_fcos
from ..common.recipes.tiny_person import dataloader, lr_multiplier, optimizer, tiles, train

train_as_fcos(optimizer, lr_multiplier, tiles, train)
train.init_checkpoint = MSRA_R50
dataloader.train.total_batch_size = 4
optimizer.lr = 0.01
train.reference_batch = 4
train.output_dir = "output/adap_fcos_r50_fpn_1x_tinyperson"

# Smoke test: 20 iterations on tiles of the toy target
from ..common.models.faster_rcnn_r18 import model
from ..common.recipes.toy import dataloader, lr_multiplier, optimizer, tiles, train

train.max_iter = 20
lr_multiplier.warmup_iters = 5
train.output_dir = "output/faster_rcnn_r18_fpn_20it_toy"

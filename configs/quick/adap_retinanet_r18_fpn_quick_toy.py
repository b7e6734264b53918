# Quickstart: training on tiles of the toy target
from ..common.recipes.toy import dataloader, lr_multiplier, model, optimizer, tiles, train

train.max_iter = 200
train.output_dir = "output/adap_retinanet_r18_fpn_quick_toy"

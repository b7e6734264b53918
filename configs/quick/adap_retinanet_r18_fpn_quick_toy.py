# Quickstart: training on tiles of the toy target
from ..common.models.adap_retinanet_r18 import model
from ..common.recipes.toy import dataloader, lr_multiplier, optimizer, tiles, train

train.max_iter = 200
train.output_dir = "output/adap_retinanet_r18_fpn_quick_toy"

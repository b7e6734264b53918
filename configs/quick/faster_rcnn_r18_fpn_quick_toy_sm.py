# Quickstart: pretraining on the toy source with Scale Match
from ..common.models.faster_rcnn_r18 import model
from ..common.recipes.toy import dataloader, lr_multiplier, optimizer, tiles, train

train.max_iter = 500
dataloader.train.mapper.scale_policy.policy = "sm"
train.output_dir = "output/faster_rcnn_r18_fpn_quick_toy_sm"

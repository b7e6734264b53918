# Quickstart: pretraining on the toy source with Scale Match
from ..common.models.adap_fcos_r18 import model
from ..common.recipes.adap_fcos import train_as_fcos
from ..common.recipes.toy import dataloader, lr_multiplier, optimizer, tiles, train

train_as_fcos(optimizer, lr_multiplier, tiles, train)
train.max_iter = 500
dataloader.train.mapper.scale_policy.policy = "sm"
train.output_dir = "output/adap_fcos_r18_fpn_quick_toy_sm"

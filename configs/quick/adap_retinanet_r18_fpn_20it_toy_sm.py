# Smoke test: 20 iterations on the toy source with Scale Match
from ..common.models.adap_retinanet_r18 import model
from ..common.recipes.toy import dataloader, lr_multiplier, optimizer, tiles, train

train.max_iter = 20
lr_multiplier.warmup_iters = 5
dataloader.train.mapper.scale_policy.policy = "sm"
train.output_dir = "output/adap_retinanet_r18_fpn_20it_toy_sm"

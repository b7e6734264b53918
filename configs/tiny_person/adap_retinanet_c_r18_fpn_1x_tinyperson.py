# exp2.3 with the CPU-size model; no published row
from ..common.models.adap_retinanet_r18 import model
from ..common.recipes.tiny_person_r18 import dataloader, lr_multiplier, optimizer, tiles, train

train.clip_global_norm = 1.0
train.output_dir = "output/adap_retinanet_c_r18_fpn_1x_tinyperson"

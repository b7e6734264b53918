# exp2.1 with the CPU-size model; no published row
from ..common.models.adap_retinanet_r18 import model
from ..common.recipes.tiny_person_r18 import dataloader, lr_multiplier, optimizer, tiles, train

train.output_dir = "output/adap_retinanet_r18_fpn_1x_tinyperson"

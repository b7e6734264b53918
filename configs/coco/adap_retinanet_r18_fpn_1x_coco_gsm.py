# Gaussian Scale Match with the CPU-size model; no published row
from ..common.models.adap_retinanet_r18 import model
from ..common.recipes.coco_r18 import dataloader, lr_multiplier, optimizer, tiles, train

model.num_classes = 80
dataloader.train.mapper.scale_policy.policy = "gsm"
dataloader.train.mapper.scale_policy.source = "coco/annotations/instances_train2017.json"
train.output_dir = "output/adap_retinanet_r18_fpn_1x_coco_gsm"

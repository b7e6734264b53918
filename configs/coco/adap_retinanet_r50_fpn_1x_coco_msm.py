# Pretraining of exp5.2 of 000_5f562d84f0a3a740.txt: COCO200 val 12.9
# COCO MSM, 2 GPUs x 4, lr 0.01
from ..common.models.adap_retinanet_r50 import model
from ..common.recipes.coco import dataloader, lr_multiplier, optimizer, tiles, train

model.num_classes = 80
dataloader.train.mapper.scale_policy.policy = "msm"
dataloader.train.mapper.scale_policy.source = "coco/annotations/instances_train2017.json"
train.output_dir = "output/adap_retinanet_r50_fpn_1x_coco_msm"

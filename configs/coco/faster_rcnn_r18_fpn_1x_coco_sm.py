# The pretraining of exp4.1 with the CPU-size model; no published row
from ..common.models.faster_rcnn_r18 import model
from ..common.recipes.coco_r18 import dataloader, lr_multiplier, optimizer, tiles, train

model.num_classes = 80
train.output_dir = "output/faster_rcnn_r18_fpn_1x_coco_sm"

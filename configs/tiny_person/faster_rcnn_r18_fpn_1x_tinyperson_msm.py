# exp4.2 with the CPU-size model; no published row
from ..common.models.faster_rcnn_r18 import model
from ..common.recipes.tiny_person_r18 import dataloader, lr_multiplier, optimizer, tiles, train

train.init_checkpoint = "output/faster_rcnn_r18_fpn_1x_coco_msm/model_final.pth"
train.output_dir = "output/faster_rcnn_r18_fpn_1x_tinyperson_msm"

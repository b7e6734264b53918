# Pretraining of exp4.0 of 000_5f562d84f0a3a740.txt: COCO200 val 18.9
# COCO SM, 2 GPUs x 8, lr 0.01
from ..common.models.faster_rcnn_r50 import model
from ..common.recipes.coco import dataloader, lr_multiplier, optimizer, tiles, train

model.num_classes = 80
dataloader.train.total_batch_size = 16
train.reference_batch = 16
train.output_dir = "output/faster_rcnn_r50_fpn_1x_coco_sm_2x8"

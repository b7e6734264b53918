# exp5.1 of 000_5f562d84f0a3a740.txt: AP50_tiny 51.78
# Adap RetinaNet-c after COCO SM, 1 GPU x 1, lr 0.005
from ..common.models.adap_retinanet_r50 import model
from ..common.recipes.tiny_person import dataloader, lr_multiplier, optimizer, tiles, train

train.init_checkpoint = "output/adap_retinanet_r50_fpn_1x_coco_sm/model_final.pth"
dataloader.train.total_batch_size = 1
optimizer.lr = 0.005
train.reference_batch = 1
train.clip_global_norm = 1.0
train.output_dir = "output/adap_retinanet_c_r50_fpn_1x_tinyperson_sm"

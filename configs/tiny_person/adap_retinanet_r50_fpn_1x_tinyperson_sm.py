# Adap RetinaNet after COCO SM, trained as exp2.1; no published row
from ..common.models.adap_retinanet_r50 import model
from ..common.recipes.tiny_person import dataloader, lr_multiplier, optimizer, tiles, train

train.init_checkpoint = "output/adap_retinanet_r50_fpn_1x_coco_sm/model_final.pth"
dataloader.train.total_batch_size = 1
optimizer.lr = 0.005
train.reference_batch = 1
train.output_dir = "output/adap_retinanet_r50_fpn_1x_tinyperson_sm"

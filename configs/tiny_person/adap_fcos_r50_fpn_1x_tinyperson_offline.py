# Test time compare of 002_ccff0c530f0a0993.txt: AP50_tiny 46.86
# exp6.1 tested on tile files for offline merging (docs/model_zoo.md)
from ..common.models.adap_fcos_r50 import model
from ..common.recipes.adap_fcos import MSRA_R50, train_as_fcos
from ..common.recipes.tiny_person import dataloader, lr_multiplier, optimizer, tiles, train

train_as_fcos(optimizer, lr_multiplier, tiles, train)
train.init_checkpoint = MSRA_R50
dataloader.train.total_batch_size = 4
optimizer.lr = 0.01
train.reference_batch = 4
model.test_topk_candidates = 1000
model.max_detections_per_image = 500
dataloader.test.annotations = "tiny_set/annotations/corner/task/tiny_set_test_sw640_sh512_all.json"
tiles.enabled = False
train.output_dir = "output/adap_fcos_r50_fpn_1x_tinyperson_offline"

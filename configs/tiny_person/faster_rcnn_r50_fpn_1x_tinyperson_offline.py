# exp1.2 tested on tile files for offline merging (docs/model_zoo.md); no published row
from ..common.models.faster_rcnn_r50 import model
from ..common.recipes.tiny_person import dataloader, lr_multiplier, optimizer, tiles, train

dataloader.train.total_batch_size = 2
optimizer.lr = 0.01
train.reference_batch = 2
dataloader.test.annotations = "tiny_set/annotations/corner/task/tiny_set_test_sw640_sh512_all.json"
tiles.enabled = False
train.output_dir = "output/faster_rcnn_r50_fpn_1x_tinyperson_offline"

"""Pretraining on COCO whose objects Scale Match makes as small as those of TinyPerson.

The leaf brings the detector, with `model.num_classes = 80`.
"""

from detectron2.config import LazyCall as L
from detectron2.data.transforms import ResizeShortestEdge

from ..data import dataloader
from ..optim import sgd as optimizer
from ..schedule import lr_multiplier
from ..tiles import tiles
from ..train import train

# train2017 and val2017 in one file and one folder (docs/data.md); validation is for monitoring.
dataloader.train.annotations = "coco/annotations/instances_merge2017.json"
dataloader.train.images = "coco/merge2017"
dataloader.test.annotations = "coco/annotations/instances_val2017.json"
dataloader.test.images = "coco/val2017"
dataloader.test.mapper.augmentations = [L(ResizeShortestEdge)(short_edge_length=200, max_size=333)]
tiles.enabled = False

dataloader.train.mapper.scale_policy.policy = "sm"
dataloader.train.mapper.scale_policy.target = (
    "tiny_set/mini_annotations/tiny_set_train_all_erase.json"
)

# 2 GPUs x 4 images
dataloader.train.total_batch_size = 8
optimizer.lr = 0.01
train.reference_batch = 8
train.init_checkpoint = "detectron2://ImageNetPretrained/torchvision/R-50.pkl"

"""Training on 640x512 tiles of the erased TinyPerson images, testing on tiles of whole images.

The leaf brings the detector.
"""

from ..data import dataloader
from ..optim import sgd as optimizer
from ..schedule import lr_multiplier
from ..tiles import tiles
from ..train import train

dataloader.train.annotations = "tiny_set/mini_annotations/tiny_set_train_sw640_sh512_all_erase.json"
dataloader.train.images = "tiny_set/erase_with_uncertain_dataset/train"
# a plain random order, as in the published runs
dataloader.train.tiles.together = 1
dataloader.test.annotations = "tiny_set/mini_annotations/tiny_set_test_all.json"
dataloader.test.images = "tiny_set/test"
train.init_checkpoint = "detectron2://ImageNetPretrained/torchvision/R-50.pkl"

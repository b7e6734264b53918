"""Short trainings of the small model on drawn figures; the files come from the command line."""

from ..models.adap_retinanet_r18 import model
from ..optim import adamw as optimizer
from ..schedule import lr_multiplier
from .tiny_person_r18 import dataloader, tiles, train

dataloader.train.annotations = ""
dataloader.train.images = ""
dataloader.train.num_workers = 0
dataloader.test.annotations = ""
dataloader.test.images = ""
dataloader.test.num_workers = 0
optimizer.lr = 0.001
lr_multiplier.warmup_iters = 50

"""As `coco`, for a small model, from random weights, on a CPU."""

from ..optim import adamw as optimizer
from .coco import dataloader, lr_multiplier, tiles, train

dataloader.train.total_batch_size = 4
# The linear rule is SGD's.
train.reference_batch = 0
train.init_checkpoint = ""
train.device = "cpu"

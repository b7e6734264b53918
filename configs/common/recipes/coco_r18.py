"""As `coco`, with the small model, from random weights, on a CPU."""

from ..models.adap_retinanet_r18 import model
from ..optim import adamw as optimizer
from .coco import dataloader, lr_multiplier, tiles, train

model.num_classes = 80
dataloader.train.total_batch_size = 4
train.init_checkpoint = ""
train.device = "cpu"

"""As `tiny_person`, with the small model, from random weights, on a CPU."""

from ..models.adap_retinanet_r18 import model
from ..optim import adamw as optimizer
from .tiny_person import dataloader, lr_multiplier, tiles, train

dataloader.train.total_batch_size = 4
train.init_checkpoint = ""
train.device = "cpu"

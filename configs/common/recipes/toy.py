"""Short trainings of a small model on drawn figures; the files come from the command line."""

from .tiny_person_r18 import dataloader, lr_multiplier, optimizer, tiles, train

dataloader.train.annotations = ""
dataloader.train.images = ""
dataloader.train.num_workers = 0
dataloader.test.annotations = ""
dataloader.test.images = ""
dataloader.test.num_workers = 0
optimizer.lr = 0.001
lr_multiplier.warmup_iters = 50

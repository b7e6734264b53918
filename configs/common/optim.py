"""Optimizers; `optimizer.lr` is for the total batch of the config that uses it."""

import torch
from detectron2.config import LazyCall as L
from detectron2.solver.build import get_default_optimizer_params

# The engine puts the model into `params.model`.
sgd = L(torch.optim.SGD)(
    params=L(get_default_optimizer_params)(weight_decay_norm="${..weight_decay}"),
    lr=0.01,
    momentum=0.9,
    weight_decay=1e-4,
)

adamw = L(torch.optim.AdamW)(
    params=L(get_default_optimizer_params)(
        base_lr="${..lr}", weight_decay_norm="${..weight_decay}"
    ),
    lr=5e-4,
    weight_decay=1e-4,
)

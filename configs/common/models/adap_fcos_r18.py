"""Adap FCOS for the CPU: ResNet-18 with trained norms, three levels, a small head."""

from .adap_fcos_r50 import model

model.levels.strides = [4, 8, 16]
model.backbone.bottom_up.depth = 18
model.backbone.bottom_up.norm = "BN"
model.backbone.bottom_up.freeze_at = 0
model.backbone.out_channels = 64
model.num_head_convs = 2
model.head_norm = "GN"

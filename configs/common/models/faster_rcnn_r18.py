"""Faster R-CNN FPN for the CPU: ResNet-18 with trained norms, three levels, a narrow head."""

from .faster_rcnn_r50 import model

model.levels.strides = [4, 8, 16]
model.backbone.bottom_up.depth = 18
model.backbone.bottom_up.norm = "BN"
model.backbone.bottom_up.freeze_at = 0
model.backbone.out_channels = 64
model.roi.fc_dim = 256

"""Tiled inference around any Detectron2 model."""

"""The input side for Detectron2: data sets, augmentation, mapper, loader."""

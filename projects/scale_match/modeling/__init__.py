"""Detectors for tiny objects on Detectron2."""

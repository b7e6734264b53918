"""Verify by use that the installed detectron2 offers what this project needs.

Runs in a process of its own, so that an import of another version cannot be left over. Prints one
line and exits with 0, or lets the first failure's traceback show.
"""

import numpy as np
import torch


def check_layers() -> None:
    """The operators that every detector calls."""
    from detectron2.layers import batched_nms

    boxes = torch.tensor([[0.0, 0.0, 8.0, 8.0], [0.0, 0.0, 8.0, 7.0], [0.0, 0.0, 8.0, 8.0]])
    kept = batched_nms(boxes, torch.tensor([0.9, 0.8, 0.7]), torch.tensor([0, 0, 1]), 0.5)
    if kept.tolist() != [0, 2]:
        raise RuntimeError(f"batched_nms kept {kept.tolist()}, expected [0, 2]")


def check_visualizer() -> None:
    """Drawing, which needs OpenCV and matplotlib."""
    from detectron2.utils.visualizer import Visualizer

    drawn = Visualizer(np.zeros((32, 48, 3), np.uint8)).draw_box((4.0, 4.0, 20.0, 20.0)).get_image()
    if drawn.shape != (32, 48, 3) or not drawn.any():
        raise RuntimeError("Visualizer drew nothing")


def check_configs() -> None:
    """Both config systems, the model zoo's files and the start of a training."""
    from detectron2 import model_zoo
    from detectron2.config import LazyConfig
    from detectron2.utils.collect_env import collect_env_info

    lazy = model_zoo.get_config("common/models/retinanet.py")
    LazyConfig.apply_overrides(lazy, ["model.num_classes=1"])
    model_zoo.get_config_file("COCO-Detection/retinanet_R_50_FPN_1x.yaml")
    collect_env_info()


def check_imports() -> None:
    """The base classes of this project's adaptors."""
    from detectron2.checkpoint import DetectionCheckpointer  # noqa: F401
    from detectron2.data import DatasetMapper  # noqa: F401
    from detectron2.engine import DefaultTrainer  # noqa: F401
    from detectron2.evaluation import DatasetEvaluator  # noqa: F401
    from detectron2.modeling.meta_arch.retinanet import RetinaNet  # noqa: F401


def main() -> None:
    """Run every check."""
    check_imports()
    check_layers()
    check_configs()
    check_visualizer()
    print("detectron2 works: layers, configs, model zoo, data, engine, evaluation, visualizer")


if __name__ == "__main__":
    main()

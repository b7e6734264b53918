"""A detector with weights that were never trained, for the tests of the sweep."""

import torch
from detectron2.config import CfgNode, instantiate

from engine.tiny import RUNNERS, make_data
from scale_match.engine.registration import register_all
from scale_match.engine.trainer import ScaleMatchTrainer
from small_detectors import spread_out

# Names of settings in both kinds of configs.
KEYS = {
    "yacs": {
        "candidates": "MODEL.RETINANET.TOPK_CANDIDATES_TEST",
        "score": "MODEL.RETINANET.SCORE_THRESH_TEST",
        "nms": "MODEL.RETINANET.NMS_THRESH_TEST",
        "limit": "TEST.DETECTIONS_PER_IMAGE",
        "merge": "SCALE_MATCH.TILES.MERGE",
        "tile_nms": "SCALE_MATCH.TILES.NMS_THRESH",
        "tile_limit": "SCALE_MATCH.TILES.MAX_DETECTIONS",
        "tile_batch": "SCALE_MATCH.TILES.BATCH_SIZE",
    },
    "lazy": {
        "candidates": "model.test_topk_candidates",
        "score": "model.test_score_thresh",
        "nms": "model.test_nms_thresh",
        "limit": "model.max_detections_per_image",
        "merge": "tiles.merge",
        "tile_nms": "tiles.nms_threshold",
        "tile_limit": "tiles.max_detections",
        "tile_batch": "tiles.batch_size",
    },
}


def two_classes(folder, **options):
    """Annotations and images of two categories, each image of several tiles."""
    return make_data(folder, num_images=3, categories=2, boxes_per_image=8, **options)


def config(name, data, output, **changes):
    """A config of a front end for two classes."""
    renamed = {KEYS[name].get(key, key): value for key, value in changes.items()}
    return RUNNERS[name].config(data, output, **{"classes": 2, **renamed})


def weights_file(name, data, folder):
    """Weights with which many boxes have many different scores."""
    register_all()
    cfg = config(name, data, folder)
    torch.manual_seed(0)
    is_yacs = isinstance(cfg, CfgNode)
    model = ScaleMatchTrainer.build_model(cfg) if is_yacs else instantiate(cfg.model)
    spread_out(model, std=0.1)
    path = folder / "weights.pth"
    torch.save({"model": model.state_dict()}, path)
    return path

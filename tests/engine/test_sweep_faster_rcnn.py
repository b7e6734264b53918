"""A sweep of a two-stage detector: its first stage is what it is, all else is tried."""

import json

import pytest
import torch
from detectron2.config import instantiate

from engine.tiny import CONFIGS, lazy_overrides, make_data
from scale_match.core.errors import InputError
from scale_match.engine.front_ends import LAZY
from scale_match.engine.sweep import run_sweep
from scale_match.engine.sweep_settings import SweepSettings
from small_detectors import spread_out_stages

torch.set_num_threads(1)

SETTINGS = SweepSettings(
    crop=("yes",),
    candidates=(120,),
    max_detections=(60,),
    max_dets=(40,),
    nms_thresholds=(0.3, 0.5),
)


@pytest.fixture(scope="module")
def make_config(tmp_path_factory):
    """Configs of a Faster R-CNN with weights with which many boxes have many scores."""
    folder = tmp_path_factory.mktemp("faster_rcnn")
    data = make_data(folder / "data", num_images=2, categories=2, boxes_per_image=8)
    settings = {
        "model.num_classes": 2,
        "model.backbone.out_channels": 8,
        "model.roi.fc_dim": 32,
        "model.rpn.pre_nms_topk": "[200,120]",
        # One tile at a time, lest last digits differ.
        "tiles.batch_size": 1,
        "train.init_checkpoint": folder / "weights.pth",
    }

    def config(output, **changes):
        overrides = lazy_overrides(data, output, **settings, **changes)
        return LAZY.load(CONFIGS / "faster_rcnn_r18_fpn_20it_toy.py", overrides)

    torch.manual_seed(0)
    model = instantiate(config(folder).model)
    spread_out_stages(model, std=0.5)
    torch.save({"model": model.state_dict()}, folder / "weights.pth")
    return config


def test_a_row_equals_an_evaluation_and_says_the_same_of_itself(make_config, tmp_path):
    run_sweep(make_config(tmp_path), SETTINGS, tmp_path / "sweep", scores=True)

    cfg = make_config(
        tmp_path, tiles__merge="joint", tiles__nms_threshold=0.3, tiles__max_detections=60
    )
    LAZY.evaluate(cfg)

    name = "crop-yes_cand-120_img-60_class-aware-0.3_score-0.05"
    ours = json.loads((tmp_path / "sweep" / "detections" / f"{name}.json").read_text())
    theirs = json.loads((tmp_path / "inference" / "coco_instances_results.json").read_text())
    assert len(ours) > 20
    assert ours == theirs
    protocols = [
        json.loads((folder / "protocol.json").read_text())
        for folder in (tmp_path / "sweep" / "rows" / f"{name}_dets-40", tmp_path / "inference")
    ]
    assert protocols[0] == protocols[1]
    assert protocols[0]["candidates_per_level"] == 120


def test_other_candidates_per_level_are_refused(make_config, tmp_path):
    message = (
        "the first stage of ScaleMatchFasterRCNN takes 120 candidates per level .*, which one pass "
        "cannot vary: use --candidates 120, not 1000 2000 5000"
    )
    with pytest.raises(InputError, match=message):
        run_sweep(make_config(tmp_path), SweepSettings(), tmp_path / "sweep")

"""A training that draws in the model, too: anchors and proposals; and one that diverges there."""

import shutil

import pytest
import torch

from engine.tiny import CONFIGS, lazy_overrides, make_data, same_weights, weights_of, yacs_opts
from scale_match.engine.front_ends import LAZY, YACS
from scale_match.engine.non_finite import NonFiniteLossError

torch.set_num_threads(1)

# Few enough samples that there is a choice, in images with few proposals.
NAMES = {
    "yacs": {
        "SCALE_MATCH.IGNORE_REGIONS": "mask",
        "MODEL.ROI_BOX_HEAD.FC_DIM": 16,
        "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE": 32,
        "SOLVER.CHECKPOINT_PERIOD": 2,
        "SOLVER.MAX_ITER": 4,
    },
    "lazy": {
        "dataloader.train.mapper.ignore_regions": "mask",
        "model.roi.fc_dim": 16,
        "model.roi.batch_size_per_image": 32,
        "train.checkpointer.period": 2,
        "train.max_iter": 4,
    },
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("data"), num_images=4)


def train(name, data, output, *, resume=False, **changes):
    front_end, options = {"yacs": (YACS, yacs_opts), "lazy": (LAZY, lazy_overrides)}[name]
    suffix = {"yacs": "yaml", "lazy": "py"}[name]
    file = CONFIGS / f"faster_rcnn_r18_fpn_20it_toy.{suffix}"
    cfg = front_end.load(file, options(data, output, **NAMES[name], **changes))
    return front_end.train(cfg, resume=resume)


@pytest.mark.parametrize("name", ["yacs", "lazy"])
def test_a_resumed_run_equals_one_that_was_not_interrupted(name, data, tmp_path):
    whole = train(name, data, tmp_path / "whole")
    part = tmp_path / "part"
    part.mkdir()
    shutil.copy(tmp_path / "whole" / "model_0000001.pth", part)
    (part / "last_checkpoint").write_text("model_0000001.pth")

    resumed = train(name, data, part, resume=True)

    assert resumed == whole
    assert "AP50_tiny" in whole["bbox"]
    assert same_weights(weights_of(tmp_path / "whole"), weights_of(part))


def test_a_diverged_training_names_its_images(data, tmp_path):
    """detectron2's proposal network would stop it from inside, without a word on the batch."""
    with pytest.raises(NonFiniteLossError, match=r"on images? \d"):
        train("lazy", data, tmp_path, optimizer__lr=1e30)

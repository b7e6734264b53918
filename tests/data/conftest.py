import numpy as np
import pytest
from detectron2.config import get_cfg

from mapper_samples import HEIGHT, WIDTH
from scale_match.config import add_scale_match_config
from scale_match.core.histogram import SizeHistogram
from scale_match.core.scale_policy import SampledScaleMatch
from scale_match.data.datasets import load_dicts
from scale_match.storage.annotations import read_annotations
from toy import make_toy_dataset


@pytest.fixture
def toy(tmp_path):
    path, image_dir = make_toy_dataset(tmp_path, categories=2, width=WIDTH, height=HEIGHT)
    return load_dicts(read_annotations(path), image_dir)


@pytest.fixture
def sampled():
    return SampledScaleMatch(SizeHistogram.from_sizes(np.arange(4.0, 16.0, 0.01)))


@pytest.fixture
def make_cfg(tmp_path):
    path, image_dir = make_toy_dataset(tmp_path)

    def make(*overrides):
        cfg = get_cfg()
        add_scale_match_config(cfg)
        cfg.SCALE_MATCH.TARGET = str(path)
        cfg.SCALE_MATCH.DATA.TRAIN_ANNOTATIONS = str(path)
        cfg.SCALE_MATCH.DATA.TRAIN_IMAGES = str(image_dir)
        cfg.merge_from_list(list(overrides))
        return cfg

    return make

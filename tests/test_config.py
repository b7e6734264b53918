"""The yacs keys: present, documented, with the defaults of the method."""

import inspect
import re

import pytest
from detectron2.config import get_cfg

from scale_match import config
from scale_match.config import add_scale_match_config
from scale_match.inference.tiled_model import TiledModel
from scale_match.modeling.levels import PyramidLevels
from scale_match.modeling.pyramid_config import levels_from_config


@pytest.fixture
def cfg():
    cfg = get_cfg()
    add_scale_match_config(cfg)
    return cfg


def test_everything_stands_below_one_node(cfg):
    stock = get_cfg()

    assert set(cfg) - set(stock) == {"SCALE_MATCH"}
    del cfg["SCALE_MATCH"]
    assert cfg == stock


def test_every_key_has_its_comment():
    lines = inspect.getsource(config).splitlines()
    keys = [
        i
        for i, line in enumerate(lines)
        if re.match(r"    (node|cfg\.SCALE_MATCH)[.A-Z_a-z]* = (?!CfgNode)", line)
    ]

    assert len(keys) >= 30
    assert [lines[i] for i in keys if not lines[i - 1].strip().startswith("#")] == []


def test_default_pyramid_is_that_of_the_dataclass(cfg):
    assert levels_from_config(cfg) == PyramidLevels()


def test_default_tiles_are_those_of_the_wrapper(cfg):
    arguments = TiledModel.from_config(cfg, None)

    defaults = inspect.signature(TiledModel.__init__).parameters
    for name, value in arguments.items():
        if name != "model":
            default = defaults[name].default
            assert value == (list(default) if isinstance(default, tuple) else default), name


def test_default_policy_is_that_of_the_publication(cfg):
    node = cfg.SCALE_MATCH

    assert node.POLICY == "none"
    assert (node.BINS, node.LOG, node.EXCEPT_RATE) == (100, False, -1.0)
    assert (node.SCALE_RANGE, node.DEFAULT_SCALE) == ([0.1, 1.0], 0.25)
    assert (node.MAX_TRIES, node.OUT_OF_RANGE) == (5, "clip")


def test_a_dumped_config_loads_again(cfg, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(cfg.dump())
    again = get_cfg()
    add_scale_match_config(again)

    again.merge_from_file(str(path))

    assert again.SCALE_MATCH == cfg.SCALE_MATCH


def test_an_unknown_key_is_refused(cfg):
    with pytest.raises(KeyError, match=r"MODEL\.STRIDE"):
        cfg.merge_from_other_cfg(cfg.load_cfg("SCALE_MATCH:\n  MODEL:\n    STRIDE: [4]\n"))

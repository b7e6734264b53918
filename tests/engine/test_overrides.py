import copy
import pickle

import pytest
from detectron2.config import CfgNode
from omegaconf import OmegaConf

from engine.tiny import LAZY_FILE, YACS_FILE
from scale_match.engine.lazy_config import lazy_config
from scale_match.engine.overrides import is_named, overrides_of, record_overrides
from scale_match.engine.session import yacs_config


def test_a_config_without_a_command_line_has_no_overrides():
    assert overrides_of(yacs_config(YACS_FILE)) == overrides_of(lazy_config(LAZY_FILE)) == {}


def test_both_front_ends_record_keys_with_their_values_in_the_file():
    cfg = yacs_config(YACS_FILE, ["SOLVER.MAX_ITER", "5", "SOLVER.MAX_ITER", "6", "SEED", "1"])
    assert overrides_of(cfg) == {"SOLVER.MAX_ITER": 20, "SEED": -1}
    lazy = lazy_config(LAZY_FILE, ["train.max_iter=5", "train.max_iter=6", "optimizer.lr=0.1"])
    assert overrides_of(lazy) == {"train.max_iter": 20, "optimizer.lr": 0.001}


def test_a_value_that_is_the_same_is_named_as_well():
    assert "SOLVER.MAX_ITER" in overrides_of(yacs_config(YACS_FILE, ["SOLVER.MAX_ITER", "20"]))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_the_record_goes_with_a_copy_of_a_yacs_config(copied):
    cfg = yacs_config(YACS_FILE, ["SOLVER.MAX_ITER", "5"])
    cfg.freeze()
    assert overrides_of(copied(cfg)) == overrides_of(cfg.clone()) == {"SOLVER.MAX_ITER": 20}


def test_the_record_is_no_setting():
    cfg = yacs_config(YACS_FILE, ["SOLVER.MAX_ITER", "5"])
    plain = yacs_config(YACS_FILE)
    plain.SOLVER.MAX_ITER = 5
    assert cfg == plain
    assert cfg.dump() == plain.dump()
    lazy = lazy_config(LAZY_FILE, ["train.max_iter=5"])
    assert "overrides" not in OmegaConf.to_yaml(lazy.train)
    assert set(lazy) == set(lazy_config(LAZY_FILE))


def test_a_changed_record_of_a_copy_leaves_the_first_alone():
    cfg = CfgNode({"A": 1})
    record_overrides(cfg, {"A": 1})
    other = cfg.clone()
    record_overrides(other, {"B": 2})
    assert overrides_of(cfg) == {"A": 1}
    assert overrides_of(other) == {"A": 1, "B": 2}


def test_a_key_is_named_by_its_group_too():
    assert is_named("train.amp.dtype", {"train.amp": {}})
    assert is_named("train.amp", {"train.amp": {}})
    assert not is_named("train.ampere", {"train.amp": {}})
    assert not is_named("train", {"train.amp": {}})

import pytest
from omegaconf import OmegaConf

from engine.tiny import LAZY_FILE
from scale_match.core.errors import InputError
from scale_match.engine.lazy_config import lazy_config


def test_overrides_reach_what_refers_to_them():
    cfg = lazy_config(LAZY_FILE, ["train.max_iter=50", "model.levels.strides=[8,16]"])
    assert cfg.lr_multiplier.max_iter == 50
    assert cfg.model.backbone.levels.strides == [8, 16]


def test_two_configs_of_one_file_are_independent():
    lazy_config(LAZY_FILE, ["train.max_iter=50"])
    assert lazy_config(LAZY_FILE).train.max_iter == 20


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("optimizer.lr=1", 1),
        ("train.seed=3", 3),
        ("train.amp.enabled=True", True),
        ("train.max_iter=null", None),
        ("dataloader.train.mapper.scale_policy.except_rate=0.1", 0.1),
        ("dataloader.train.mapper.augmentations=[]", []),
        ("tiles.overlap.1=50", 50),
        ("train.output_dir=some/folder", "some/folder"),
    ],
)
def test_a_value_of_the_same_kind_is_taken(override, value):
    key = override.partition("=")[0]
    assert OmegaConf.select(lazy_config(LAZY_FILE, [override]), key) == value


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.max_itr=5", r"unknown config key train\.max_itr \(did you mean train\.max_iter\?"),
        ("training.max_iter=5", r"unknown config key training\.max_iter"),
        ("train.max_iter.x=5", r"unknown config key train\.max_iter\.x"),
        ("tiles.overlap.2=5", r"unknown config key tiles\.overlap\.2"),
        ("+train.extra=5", r"unknown config key \+train\.extra"),
        ("train.max_iter", r"look like path\.key=value, received 'train\.max_iter'"),
        ("train.seed=many", r"train\.seed is a number, received 'many'"),
        ("train.amp.enabled=1", r"train\.amp\.enabled is true or false, received '1'"),
        ("tiles.tile=640", r"tiles\.tile is a list, received '640'"),
        ("train.ddp=5", r"train\.ddp is a group of keys, received '5'"),
        ("train.seed=[1", r"override 'train\.seed=\[1' cannot be applied"),
    ],
)
def test_an_override_with_a_mistake_is_refused(override, message):
    with pytest.raises(InputError, match=message):
        lazy_config(LAZY_FILE, [override])


def test_a_config_file_that_is_not_there_is_said(tmp_path):
    with pytest.raises(InputError, match=r"config file .*none\.py does not exist"):
        lazy_config(tmp_path / "none.py")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model = dict(", "cannot be used as a config: SyntaxError"),
        ("from nowhere import model", "cannot be used as a config: ModuleNotFoundError"),
        ("from .nowhere import model", "cannot be used as a config: ImportError"),
        ("model = undefined", "cannot be used as a config: NameError: name 'undefined'"),
        (
            "model = dict()\ntrain = dict()",
            "is no config of a training: it has no dataloader and no optimizer and no lr_multi",
        ),
    ],
)
def test_a_config_file_with_a_mistake_is_refused_with_its_name(tmp_path, text, message):
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(InputError, match=rf"mine\.py {message}"):
        lazy_config(path)


def test_a_file_of_another_kind_is_refused(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text("")
    with pytest.raises(InputError, match=r"mine\.txt cannot be used as a config"):
        lazy_config(path)

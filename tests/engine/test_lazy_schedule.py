import pytest
from omegaconf import OmegaConf

from engine.tiny import LAZY_FILE
from scale_match.core.errors import InputError
from scale_match.engine.lazy_config import lazy_config
from scale_match.engine.lazy_schedule import settle_schedule


def settled(*overrides, images=96, file=LAZY_FILE, **changes):
    """A quick config, some of its values changed as if the file had them, and settled."""
    cfg = lazy_config(file, overrides)
    for key, value in changes.items():
        OmegaConf.update(cfg, key.replace("__", "."), value)
    batch = cfg.dataloader.train.total_batch_size
    settle_schedule(cfg, images_per_epoch=images, iterations_per_epoch=-(-images // batch))
    return cfg


def schedule_of(cfg):
    factor = cfg.lr_multiplier
    return cfg.optimizer.lr, cfg.train.max_iter, list(factor.steps), factor.warmup_iters


# A file for batches of 2 images, used with 4; SGD, as the rule asks for.
IN_ITERATIONS = {
    "optimizer___target_": "torch.optim.SGD",
    "optimizer__lr": 0.01,
    "train__epochs": 0,
    "train__max_iter": 600,
    "lr_multiplier__steps": [400, 500],
    "lr_multiplier__warmup_iters": 50,
    "train__checkpointer__period": 30,
    "train__eval_period": 100,
    "train__validation_loss_period": 40,
    "train__reference_batch": 2,
}


def test_rate_and_iterations_are_rescaled_for_the_batch_that_is_used():
    cfg = settled(**IN_ITERATIONS)
    assert schedule_of(cfg) == (0.02, 300, [200, 250], 25)
    assert (cfg.train.checkpointer.period, cfg.train.eval_period) == (15, 50)
    assert cfg.train.validation_loss_period == 20
    assert cfg.train.reference_batch == 4


def test_a_config_that_is_settled_is_not_rescaled_again():
    once = settled(**IN_ITERATIONS)
    before = schedule_of(once)
    settle_schedule(once, images_per_epoch=96, iterations_per_epoch=24)
    assert schedule_of(once) == before


def test_keys_of_the_command_line_are_not_rescaled_and_steps_follow_them():
    changes = {**IN_ITERATIONS}
    del changes["train__max_iter"], changes["optimizer__lr"]
    # The file's own 20 iterations become 10 on the command line.
    cfg = settled("train.max_iter=10", "optimizer.lr=0.03", **changes)
    assert schedule_of(cfg) == (0.03, 10, [], 25)
    changes["lr_multiplier__steps"] = [12, 16]
    assert schedule_of(settled("train.max_iter=10", "optimizer.lr=0.03", **changes))[2] == [6, 8]


def test_epochs_on_the_command_line_win_over_iterations_of_the_file():
    # The file has max_iter 20, epochs 12 and steps after 8 and 11; 96 images in batches of 4.
    cfg = settled("train.epochs=6")
    assert (cfg.train.max_iter, list(cfg.lr_multiplier.steps)) == (144, [96, 132])
    assert list(cfg.train.step_epochs) == [4, 5.5]


def test_another_batch_reaches_the_length_of_an_epoch():
    cfg = settled("train.epochs=12", "dataloader.train.total_batch_size=8")
    assert (cfg.train.max_iter, list(cfg.lr_multiplier.steps)) == (144, [96, 132])


def test_iterations_on_the_command_line_win_over_epochs():
    cfg = settled("train.max_iter=60")
    assert (cfg.train.max_iter, list(cfg.lr_multiplier.steps)) == (60, [40, 55])


def test_the_factor_of_the_config_has_what_was_settled():
    cfg = settled("train.epochs=6")
    assert cfg.lr_multiplier.max_iter == 144


def test_the_linear_rule_is_refused_for_adamw():
    with pytest.raises(InputError, match=r"train\.reference_batch is 2 and .* is for SGD only"):
        settled(train__reference_batch=2)


def test_a_group_on_the_command_line_names_its_keys():
    changes = {k: v for k, v in IN_ITERATIONS.items() if not k.startswith("train__checkpointer")}
    cfg = settled("train.checkpointer={period: 40, max_to_keep: 3}", **changes)
    assert cfg.train.checkpointer.period == 40


def test_a_factor_without_steps_is_left_alone():
    own = {"_target_": "fvcore.common.param_scheduler.ConstantParamScheduler", "value": 1.0}
    cfg = lazy_config(LAZY_FILE)
    cfg.lr_multiplier = own
    settle_schedule(cfg, images_per_epoch=96, iterations_per_epoch=24)
    assert cfg.lr_multiplier == own
    assert cfg.train.max_iter == 20

import pytest

from scale_match.core.errors import InputError
from scale_match.engine.schedule import EpochSize, plan_schedule, warmup_multistep

# 794 tiles in batches of 2 = 397 iterations per epoch.
EPOCH = EpochSize(num_images=794, batch_size=2, iterations=397)


def plan(**changes):
    settings = {
        "epochs": 12,
        "step_epochs": (8, 11),
        "max_iter": None,
        "steps": None,
        "warmup_iters": 500,
    }
    return plan_schedule(EPOCH, **{**settings, **changes})


def test_epochs_become_iterations():
    schedule = plan()
    assert (schedule.max_iter, schedule.steps) == (12 * 397, (8 * 397, 11 * 397))


def test_half_an_epoch_is_a_length():
    assert plan(epochs=0.5).max_iter == round(397 / 2)


def test_a_tiny_part_of_an_epoch_is_still_one_iteration():
    assert plan(epochs=0.001).max_iter == 1


def test_steps_at_or_after_the_end_do_nothing():
    assert plan(epochs=8).steps == ()
    assert plan(epochs=10).steps == (8 * 397,)


def test_iterations_asked_for_win_over_epochs_and_the_steps_keep_their_proportion():
    schedule = plan(max_iter=1200)
    assert (schedule.max_iter, schedule.steps) == (1200, (800, 1100))
    assert "1200 iterations asked for, which wins over 12 epochs" in schedule.describe(EPOCH)


def test_steps_asked_for_stay_where_they_are():
    assert plan(max_iter=1200, steps=(600, 900)).steps == (600, 900)


def test_without_epochs_iterations_and_steps_count_as_they_are():
    schedule = plan(epochs=0, max_iter=100, steps=(60, 80, 100, 200))
    assert (schedule.max_iter, schedule.steps) == (100, (60, 80))


def test_the_description_shows_the_arithmetic():
    assert plan().describe(EPOCH) == (
        "Schedule: 794 images in batches of 2 are 397 iterations per epoch; 4764 iterations are "
        "12.00 epochs (12 epochs asked for); learning rate steps after iteration 3176, 4367; "
        "warm-up over 500 iterations."
    )


def test_the_description_says_that_a_short_training_is_all_warm_up():
    text = plan(max_iter=20, step_epochs=()).describe(EPOCH)
    assert "after iteration none" in text
    assert "warm-up over 20 iterations" in text


@pytest.mark.parametrize("changes", [{"epochs": -1}, {"max_iter": 0}, {"max_iter": -5}])
def test_a_length_that_is_not_positive_is_refused(changes):
    with pytest.raises(InputError, match="length of a training must be positive"):
        plan(**changes)


def test_no_length_at_all_is_refused():
    with pytest.raises(InputError, match="neither in epochs nor in iterations"):
        plan(epochs=0)


def test_the_factor_warms_up_linearly_and_then_steps():
    factor = warmup_multistep(max_iter=1000, steps=[600, 800], warmup_iters=100)
    assert factor(0.0) == pytest.approx(0.001)
    # Half-way through the warm-up, between 0.001 and 1.
    assert factor(50 / 1000) == pytest.approx((0.001 + 1) / 2)
    assert factor(100 / 1000) == pytest.approx(1)
    assert factor(599 / 1000) == pytest.approx(1)
    assert factor(600 / 1000) == pytest.approx(0.1)
    assert factor(800 / 1000) == pytest.approx(0.01)


def test_the_factor_equals_that_of_the_yacs_front_end():
    import torch
    from detectron2.config import get_cfg
    from detectron2.solver import build_lr_scheduler

    cfg = get_cfg()
    cfg.SOLVER.MAX_ITER, cfg.SOLVER.STEPS, cfg.SOLVER.WARMUP_ITERS = 50, (30, 40), 10
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = build_lr_scheduler(cfg, optimizer)
    ours = warmup_multistep(max_iter=50, steps=[30, 40], warmup_iters=10)
    for iteration in range(50):
        assert optimizer.param_groups[0]["lr"] == pytest.approx(ours(iteration / 50))
        optimizer.step()
        scheduler.step()


def test_a_warm_up_longer_than_the_training_ends_with_it():
    factor = warmup_multistep(max_iter=10, steps=[], warmup_iters=500)
    assert factor(0.5) == pytest.approx((0.001 + 1) / 2)

import pytest

from scale_match.core.errors import InputError
from scale_match.engine.schedule import (
    EpochSize,
    Length,
    follow_overrides,
    plan_schedule,
    warmup_multistep,
)

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


def followed(before, **changes):
    settings = {"epochs": 12, "step_epochs": (8, 11), "max_iter": None, "steps": None}
    return follow_overrides(Length(**{**settings, **changes}), before)


def test_a_length_that_nobody_overrides_stays_as_it_is():
    length, settled = followed({}, max_iter=100, steps=(60, 80))
    assert length == Length(12, (8, 11), 100, (60, 80))
    assert settled == frozenset()


def test_steps_in_epochs_keep_their_place_in_other_epochs():
    assert followed({"epochs": 12}, epochs=3)[0].step_epochs == (2, 2.75)


def test_steps_that_are_named_with_the_epochs_stay():
    length, _ = followed({"epochs": 12, "step_epochs": (8, 11)}, epochs=3, step_epochs=(1, 2))
    assert length.step_epochs == (1, 2)


def test_epochs_that_are_named_win_over_iterations_of_the_file():
    length, settled = followed({"epochs": 12}, epochs=3, max_iter=20, steps=(15,))
    assert (length.max_iter, length.steps) == (None, None)
    assert settled == frozenset()


def test_iterations_that_are_named_win_over_epochs_that_are_named():
    length, settled = followed({"epochs": 12, "max_iter": 20}, epochs=3, max_iter=50)
    assert length.max_iter == 50
    assert settled == {"max_iter"}


def test_steps_in_iterations_keep_their_place_in_other_iterations():
    length, settled = followed({"max_iter": 40000}, epochs=0, max_iter=1000, steps=(30000, 36000))
    assert length.steps == (750, 900)
    assert settled == {"max_iter", "steps"}  # they follow from the command line


def test_steps_that_are_named_with_the_iterations_stay():
    before = {"max_iter": 40000, "steps": (30000,)}
    length, settled = followed(before, epochs=0, max_iter=1000, steps=(10,))
    assert length.steps == (10,)
    assert settled == {"max_iter", "steps"}


def test_epochs_switched_off_leave_iterations_alone():
    length, _ = followed({"epochs": 12}, epochs=0, max_iter=20, steps=(15,))
    assert (length.max_iter, length.steps) == (20, (15,))


def test_iterations_without_a_number_in_the_file_leave_steps_alone():
    assert followed({"max_iter": None}, max_iter=20, steps=(15,))[0].steps == (15,)


def test_a_warm_up_without_end_is_said_and_a_shorter_one_is_not():
    assert plan(max_iter=501).warm_up_problem("KEY") is None
    assert plan(max_iter=500).warm_up_problem("KEY") == (
        "The warm-up of 500 iterations (KEY) is no shorter than the training of 500: the learning "
        "rate reaches its value in the last iteration only; set KEY to 50 or so"
    )


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

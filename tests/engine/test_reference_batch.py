import pytest

from scale_match.core.errors import InputError
from scale_match.engine.reference_batch import BatchScaling


def scaling(reference, batch, *, named=(), is_sgd=True):
    return BatchScaling(reference, batch, key="REFERENCE", named=named, is_sgd=is_sgd)


@pytest.mark.parametrize(
    ("batch", "rate"), [(16, 0.02), (8, 0.01), (4, 0.005), (1, 0.00125), (64, 0.08)]
)
def test_the_rate_is_proportional_to_the_batch(batch, rate):
    # 8 GPUs x 2 images: 0.02; 4 x 2: 0.01; 2 x 2: 0.005.
    assert scaling(16, batch).rate("LR", 0.02) == pytest.approx(rate)


def test_as_many_images_are_seen_in_inversely_as_many_iterations():
    rule = scaling(2, 8)
    assert rule.count("MAX_ITER", 20000) == 5000
    assert rule.counts("STEPS", (12000, 16000)) == (3000, 4000)
    assert scaling(8, 2).count("WARMUP", 500) == 2000


def test_never_stays_never_and_a_period_is_one_iteration_at_least():
    assert scaling(2, 8).count("PERIOD", 0) == 0
    assert scaling(1, 64).count("PERIOD", 5) == 1
    assert scaling(1, 64).counts("STEPS", ()) == ()


def test_the_arithmetic_is_shown():
    rule = scaling(2, 8)
    rule.rate("LR", 0.01)
    rule.count("WARMUP", 500)
    rule.counts("STEPS", (12000, 16000))
    assert rule.describe() == (
        "Learning rate: 0.01 for batches of 2 images (REFERENCE) x 8 / 2 = 0.04. "
        "Iterations x 2 / 8: WARMUP 500 -> 125, STEPS (12000, 16000) -> (3000, 4000)."
    )


def test_what_the_command_line_names_is_taken_as_it_is_and_said():
    rule = scaling(2, 8, named={"LR", "MAX_ITER"})
    assert rule.rate("LR", 0.01) == 0.01
    assert rule.count("MAX_ITER", 100) == 100
    assert rule.count("WARMUP", 400) == 100
    assert rule.describe() == (
        "Learning rate: 0.01 for batches of 8 images, taken as it is because the command line "
        "names LR (REFERENCE is 2). Iterations x 2 / 8: WARMUP 400 -> 100. As the command line "
        "has them: MAX_ITER."
    )


@pytest.mark.parametrize(("reference", "source"), [(0, "LR"), (1, "REFERENCE")])
def test_without_another_batch_nothing_changes(reference, source):
    rule = scaling(reference, 1)
    assert not rule.applies
    assert (rule.rate("LR", 0.005), rule.count("MAX_ITER", 70)) == (0.005, 70)
    assert rule.describe() == f"Learning rate: 0.005 for batches of 1 image ({source})."


def test_the_rate_of_another_optimizer_is_not_rescaled_by_the_rule():
    with pytest.raises(InputError, match="linear rule is for SGD only: set REFERENCE to 0, or nam"):
        scaling(2, 8, is_sgd=False).rate("LR", 0.001)
    # The same batch, or a rate of one's own, asks for no rule.
    assert scaling(8, 8, is_sgd=False).rate("LR", 0.001) == 0.001
    assert scaling(2, 8, is_sgd=False, named={"LR"}).rate("LR", 0.001) == 0.001


def test_a_negative_reference_is_refused():
    with pytest.raises(InputError, match=r"REFERENCE must be a number of images, .* received -2"):
        scaling(-2, 8)

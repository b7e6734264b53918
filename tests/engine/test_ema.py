import pytest
import torch
from detectron2.engine import TrainerBase
from torch import nn

from scale_match.core.errors import InputError
from scale_match.engine.checkpoint import AtomicCheckpointer
from scale_match.engine.ema import WeightAverage, load_to_evaluate


class Loop(TrainerBase):
    """Each iteration puts its number into the weight; may fail at one."""

    def __init__(self, model, fail_at=None):
        super().__init__()
        self.model = model
        self.fail_at = fail_at

    def run_step(self):
        if self.iter == self.fail_at:
            raise ValueError("stop here")
        with torch.no_grad():
            self.model[0].weight.fill_(self.iter + 1.0)
            self.model[1].num_batches_tracked += 1


def make_model():
    model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1))
    nn.init.zeros_(model[0].weight)
    return model


def averaged(average):
    return float(average.state_dict()["average"]["0.weight"])


def run(model, average, start, end, fail_at=None):
    loop = Loop(model, fail_at)
    loop.register_hooks([average])
    loop.train(start, end)


def test_the_decay_is_warmed_up():
    average = WeightAverage(make_model(), 0.999)
    run(average._model, average, 0, 3)
    # Decays 1/10, 2/11, 3/12 on the weights 0, then 1, 2, 3.
    first = 0.9
    second = first * 2 / 11 + 2 * 9 / 11
    assert averaged(average) == pytest.approx(second * 3 / 12 + 3 * 9 / 12)


def test_the_decay_grows_no_greater_than_asked_for():
    average = WeightAverage(make_model(), 0.1)
    run(average._model, average, 0, 3)
    assert averaged(average) == pytest.approx(0.9 * 0.01 + 2 * 0.9 * 0.1 + 3 * 0.9)


def test_a_model_that_does_not_change_is_its_own_average():
    model = nn.Conv2d(3, 5, 3)
    average = WeightAverage(model, 0.99)
    average.before_train()
    for _ in range(5):
        average.update()
    for name, value in model.state_dict().items():
        assert torch.equal(average.state_dict()["average"][name], value)


def test_buffers_are_averaged_and_whole_numbers_copied():
    model = make_model()
    average = WeightAverage(model, 0.9)
    average.before_train()
    model[1].running_mean.fill_(1.0)
    model[1].num_batches_tracked.fill_(7)
    average.update()
    state = average.state_dict()["average"]
    assert float(state["1.running_mean"]) == pytest.approx(0.9)
    assert int(state["1.num_batches_tracked"]) == 7


def test_the_average_of_half_weights_is_kept_in_float32():
    model = nn.Linear(1, 1).half()
    average = WeightAverage(model, 0.9)
    average.before_train()
    average.update()
    assert average.state_dict()["average"]["weight"].dtype == torch.float32
    with average.applied():
        assert model.weight.dtype == torch.float16


def test_weights_come_back_even_after_an_error():
    model = make_model()
    average = WeightAverage(model, 0.5)
    run(model, average, 0, 2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    seen = []

    def evaluate():
        with average.applied():
            seen.append(float(model[0].weight))
            raise ValueError("evaluation failed")

    with pytest.raises(ValueError, match="evaluation failed"):
        evaluate()
    assert seen == [pytest.approx(averaged(average))]
    assert seen[0] != 2.0
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


def test_the_average_lies_in_the_checkpoint_and_goes_on(tmp_path):
    whole = WeightAverage(make_model(), 0.9)
    run(whole._model, whole, 0, 5)
    first = WeightAverage(make_model(), 0.9)
    run(first._model, first, 0, 3)
    torch.save(first.state_dict(), tmp_path / "state.pth")
    second = WeightAverage(make_model(), 0.9)
    second.load_state_dict(torch.load(tmp_path / "state.pth"))
    run(second._model, second, 3, 5)
    assert averaged(second) == averaged(whole)


def test_a_run_that_is_resumed_without_an_average_starts_from_its_weights():
    model = make_model()
    nn.init.constant_(model[0].weight, 3.0)
    average = WeightAverage(model, 0.9)
    run(model, average, 3, 4)
    assert averaged(average) == pytest.approx(0.1 * 3 + 0.9 * 4)


def test_the_last_average_is_written_as_weights(tmp_path):
    model = make_model()
    average = WeightAverage(model, 0.5, AtomicCheckpointer(model, tmp_path))
    run(model, average, 0, 2)
    content = torch.load(tmp_path / "model_final_ema.pth")
    assert float(content["model"]["0.weight"]) == pytest.approx(averaged(average))
    assert float(model[0].weight) == 2.0
    assert not (tmp_path / "last_checkpoint").exists()


def test_a_training_that_breaks_off_writes_no_last_average(tmp_path):
    model = make_model()
    average = WeightAverage(model, 0.5, AtomicCheckpointer(model, tmp_path))
    with pytest.raises(ValueError, match="stop here"):
        run(model, average, 0, 3, fail_at=1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("ema_decay", "expected"), [(0.9, "average"), (0.0, "last")])
def test_the_config_says_which_weights_of_a_checkpoint_are_evaluated(tmp_path, ema_decay, expected):
    model = make_model()
    loop = Loop(model)
    average = WeightAverage(model, 0.9)
    loop.register_hooks([average])
    loop.train(0, 2)
    AtomicCheckpointer(model, tmp_path, trainer=loop).save("model_final")
    fresh = make_model()
    checkpointer = AtomicCheckpointer(fresh, tmp_path)
    load_to_evaluate(checkpointer, "", resume=True, key="weights", ema_decay=ema_decay)
    values = {"average": averaged(average), "last": 2.0}
    assert float(fresh[0].weight) == pytest.approx(values[expected])


def test_weights_without_an_average_are_evaluated_as_they_are(tmp_path):
    model = make_model()
    AtomicCheckpointer(model, tmp_path).save_weights("plain")
    fresh = make_model()
    nn.init.ones_(fresh[0].weight)
    path = str(tmp_path / "plain.pth")
    load_to_evaluate(AtomicCheckpointer(fresh), path, resume=False, key="w", ema_decay=0.9)
    assert float(fresh[0].weight) == 0.0


@pytest.mark.parametrize("decay", [1.0, -0.1, 2.0])
def test_a_decay_out_of_range_is_refused(decay):
    with pytest.raises(InputError, match=rf"EMA_DECAY, train\.ema_decay.*received {decay}"):
        WeightAverage(make_model(), decay)

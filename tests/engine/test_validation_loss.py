import random

import numpy as np
import pytest
import torch
from detectron2.engine import TrainerBase
from detectron2.utils.events import get_event_storage
from torch import nn

from scale_match.core.errors import InputError
from scale_match.engine.ema import WeightAverage
from scale_match.engine.validation_loss import ValidationLoss, undisturbed


class Model(nn.Module):
    """Has everything that a loss in training mode could leave traces in."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(2)
        self.dropout = nn.Dropout(0.5)
        self.weight = nn.Parameter(torch.tensor([1.0, 2.0]))
        self.loss_normalizer = 100
        self.drawn = []

    def forward(self, batch):
        assert self.training
        values = torch.stack([one["image"] for one in batch])  # (B, 2)
        values = self.dropout(self.norm(values)) * self.weight
        self.loss_normalizer = 0.9 * self.loss_normalizer + len(batch)
        self.seen_only_in_training = 3
        self.drawn.append((random.random(), np.random.random(), float(torch.rand(()))))  # noqa: NPY002
        get_event_storage().put_scalar("inside_the_model", 1.0)
        return {"loss_a": values.sum(), "loss_b": (values**2).sum()}


def loader(count=3):
    return [[{"image": torch.tensor([1.0, 1.0 + i]), "image_id": i}] for i in range(count)]


class Loop(TrainerBase):
    def run_step(self):
        pass


def run(model, end, *, period=1, build_loader=loader, average=None, seed=7, **options):
    hook = ValidationLoss(model, period, build_loader, seed=lambda: seed, **options)
    hook.average = average
    loop = Loop()
    loop.register_hooks([hook])
    loop.train(0, end)
    return {name: value for name, (value, _) in loop.storage.latest().items()}


def expected(model, count=3):
    """Means by hand; a fresh BatchNorm in evaluation mode divides by sqrt(1 + eps)."""
    values = [torch.tensor([1.0, 1.0 + i]) / (1 + 1e-5) ** 0.5 * model.weight for i in range(count)]
    first = sum(float(value.sum()) for value in values) / count
    second = sum(float((value**2).sum()) for value in values) / count
    return {
        "validation/loss_a": pytest.approx(first),
        "validation/loss_b": pytest.approx(second),
        "validation/total_loss": pytest.approx(first + second),
    }


def test_the_mean_of_each_loss_over_images_goes_to_the_storage():
    model = Model().train()
    assert run(model, 1) == expected(model)


def test_it_is_computed_every_period():
    hook = ValidationLoss(Model().train(), 3, loader, seed=lambda: 0)
    loop, done = Loop(), []
    run_of_hook = hook._run
    hook._run = lambda iteration: (done.append(iteration), run_of_hook(iteration))
    loop.register_hooks([hook])
    loop.train(0, 7)
    assert done == [2, 5]


def test_nothing_of_it_remains():
    model = Model().train()
    model.norm.eval()  # as a frozen part
    torch.manual_seed(1)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    run(model, 2)
    assert model.training
    assert model.dropout.training
    assert not model.norm.training
    assert model.loss_normalizer == 100
    assert not hasattr(model, "seen_only_in_training")
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
    assert random.getstate() == states[0]
    assert np.array_equal(np.random.get_state()[1], states[1][1])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), states[2])
    assert model.weight.grad is None


def test_everything_comes_back_after_an_error():
    model = Model().train()
    model.register_buffer("count", torch.zeros(()))
    torch.manual_seed(1)
    state = torch.get_rng_state()

    def fail():
        with undisturbed(model):
            torch.manual_seed(5)
            model.count += 1
            model.loss_normalizer = 5
            model.eval()
            raise ValueError("in the middle")

    with pytest.raises(ValueError, match="in the middle"):
        fail()
    assert model.training
    assert model.loss_normalizer == 100
    assert float(model.count) == 0
    assert torch.equal(torch.get_rng_state(), state)


def test_random_choices_depend_on_seed_image_and_iteration():
    def drawn(end, seed=7, count=3):
        model = Model().train()
        run(model, end, build_loader=lambda: loader(count), seed=seed)
        return model.drawn

    twice = drawn(2)
    assert len(set(twice)) == 6
    assert drawn(2) == twice
    assert drawn(1, count=1) == twice[:1]
    assert not set(drawn(1, seed=8)) & set(twice)


def test_averaged_weights_are_used_where_there_are_any():
    model = Model().train()
    average = WeightAverage(model, 0.5)
    average.before_train()
    average.update()
    shown = Model()
    with torch.no_grad():
        model.weight.fill_(50.0)
    found = run(model, 1, average=average)
    assert found == expected(shown)
    assert model.weight.tolist() == [50.0, 50.0]


def test_mixed_precision_is_that_of_the_training():
    class Product(Model):
        def forward(self, batch):
            self.kinds = [*getattr(self, "kinds", []), (self.weight[None] @ self.weight).dtype]
            return {"loss": self.weight.sum()}

    model = Product().train()
    run(model, 1, precision=torch.bfloat16)
    assert set(model.kinds) == {torch.bfloat16}


def test_a_model_may_return_one_loss():
    class One(Model):
        def forward(self, batch):
            return self.weight.sum()

    assert run(One().train(), 1) == {"validation/loss": 3.0, "validation/total_loss": 3.0}


def test_a_loss_that_is_not_finite_is_a_warning(caplog):
    class Bad(Model):
        def forward(self, batch):
            return {"loss_a": self.weight.sum() * float("nan"), "loss_b": self.weight.sum()}

    caplog.set_level("WARNING", logger="scale_match")
    assert run(Bad().train(), 1) == {}
    assert "The validation loss is not finite: loss_a, total_loss" in caplog.text


def test_the_test_set_is_read_before_the_first_step():
    def broken():
        raise InputError("the test set is broken")

    with pytest.raises(InputError, match="the test set is broken"):
        run(Model().train(), 0, build_loader=broken)


@pytest.mark.parametrize("period", [0, -3])
def test_a_period_that_is_none_is_refused(period):
    with pytest.raises(InputError, match=rf"VALIDATION_LOSS_PERIOD.*negative, received {period}"):
        ValidationLoss(Model(), period, loader, seed=lambda: 0)

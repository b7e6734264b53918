import random
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage
from torch import nn

from scale_match.core.errors import InputError
from scale_match.engine.non_finite import NonFiniteLossError
from scale_match.engine.step import TrainStep


class Line(nn.Module):
    """Losses that are easy to compute by hand: sum and square of weight times input."""

    def __init__(self, start=1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([start, start]))

    def forward(self, batch):
        values = torch.stack([one["image"] for one in batch])  # (B, 2)
        product = values * self.weight
        return {"loss_sum": product.sum(), "loss_square": (product**2).sum()}


def sample(image_id, value):
    return {
        "image": torch.tensor([value, value]),
        "image_id": image_id,
        "file_name": f"{image_id}.jpg",
        "height": 4,
        "width": 4,
    }


class Loader:
    """Batch k holds image k with value 1 + k; records where it was opened."""

    def __init__(self, values=None):
        self.values = values
        self.opened = []

    def __call__(self, iteration, seed):
        self.opened.append((iteration, seed))
        while True:
            value = 1.0 + iteration if self.values is None else self.values[iteration]
            yield [sample(iteration, value)]
            iteration += 1


def make_step(tmp_path, model=None, loader=None, lr=0.1, **options):
    model = model or Line()
    return TrainStep(
        model,
        torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9),
        build_loader=loader or Loader(),
        seed=3,
        output_dir=tmp_path,
        **options,
    )


def run(step, first, last):
    with EventStorage(first) as storage:
        for step.iter in range(first, last):
            storage.iter = step.iter
            step.run_step()
            storage.step()
    return storage


def test_a_step_follows_the_gradient(tmp_path):
    step = make_step(tmp_path)
    run(step, 0, 1)
    # x = 1, w = 1: d/dw (w x + w^2 x^2) = 1 + 2 = 3; 1 - 0.1 * 3 = 0.7.
    assert step.model.weight.tolist() == pytest.approx([0.7, 0.7])


def test_gradients_are_clipped_by_the_norm_of_all_of_them(tmp_path):
    step = make_step(tmp_path, clip_global_norm=1.0)
    storage = run(step, 0, 1)
    # The gradient (3, 3) has norm 3 sqrt 2; clipped to 1 it is (1, 1) / sqrt 2.
    expected = 1 - 0.1 / np.sqrt(2)
    assert step.model.weight.tolist() == pytest.approx([expected, expected])
    assert storage.latest()["grad_norm"][0] == pytest.approx(3 * np.sqrt(2))


def test_a_gradient_under_the_limit_stays(tmp_path):
    free, clipped = make_step(tmp_path), make_step(tmp_path, clip_global_norm=100.0)
    run(free, 0, 3)
    run(clipped, 0, 3)
    assert torch.equal(free.model.weight, clipped.model.weight)


def test_every_loss_and_their_sum_are_logged(tmp_path):
    storage = run(make_step(tmp_path), 0, 1)
    logged = {name: value for name, (value, _) in storage.latest().items()}
    assert logged["loss_sum"] == 2.0
    assert logged["loss_square"] == 2.0
    assert logged["total_loss"] == 4.0


def test_a_model_may_return_one_loss(tmp_path):
    class One(Line):
        def forward(self, batch):
            return super().forward(batch)["loss_sum"]

    storage = run(make_step(tmp_path, model=One()), 0, 1)
    assert storage.latest()["total_loss"][0] == 2.0


def test_the_loader_is_opened_once_at_the_iteration_that_the_run_starts_at(tmp_path):
    loader = Loader()
    step = make_step(tmp_path, loader=loader)
    assert loader.opened == []
    run(step, 5, 8)
    assert loader.opened == [(5, 3)]


def test_a_resumed_run_has_the_weights_of_an_uninterrupted_one(tmp_path):
    whole = make_step(tmp_path, lr=0.001)
    run(whole, 0, 6)
    first = make_step(tmp_path, lr=0.001)
    run(first, 0, 3)
    second = make_step(tmp_path, lr=0.001)
    second.model.load_state_dict(first.model.state_dict())
    second.load_state_dict(first.state_dict())
    run(second, 3, 6)
    assert torch.equal(whole.model.weight, second.model.weight)


def test_the_seed_of_a_checkpoint_wins(tmp_path):
    first, loader = make_step(tmp_path), Loader()
    first.seed = 99
    second = make_step(tmp_path, loader=loader)
    second.load_state_dict(first.state_dict())
    run(second, 2, 3)
    assert loader.opened == [(2, 99)]


def test_the_state_of_another_optimizer_is_refused(tmp_path):
    step = make_step(tmp_path)
    state = step.state_dict()
    state["optimizer"]["param_groups"] = []
    with pytest.raises(InputError, match=r"optimizer cannot go on.*leave --resume out"):
        step.load_state_dict(state)
    with pytest.raises(InputError, match="optimizer cannot go on"):
        step.load_state_dict({"iteration": 3})


def test_the_state_of_a_run_with_adamw_is_no_state_for_sgd(tmp_path):
    # As many groups and parameters: torch takes it up, and fails in the next step.
    step = make_step(tmp_path)
    state = step.state_dict()
    state["optimizer"] = torch.optim.AdamW(step.model.parameters()).state_dict()
    with pytest.raises(InputError, match=r"has no dampening, momentum.* SGD needs.*--resume out"):
        step.load_state_dict(state)


class Noise(Line):
    """Draws from every library in its forward."""

    def forward(self, batch):
        self.drawn = (random.random(), np.random.random(), float(torch.rand(())))  # noqa: NPY002
        return super().forward(batch)


def test_random_numbers_of_a_step_depend_on_seed_and_iteration_only(tmp_path):
    whole, resumed = make_step(tmp_path, Noise()), make_step(tmp_path, Noise())
    run(whole, 0, 4)
    last = whole.model.drawn
    run(whole, 4, 5)
    assert last != whole.model.drawn
    run(resumed, 3, 4)
    assert resumed.model.drawn == last
    other = make_step(tmp_path, Noise())
    other.seed = 4
    run(other, 3, 4)
    assert other.model.drawn != last


def test_a_loss_that_is_not_finite_stops_before_the_weights_see_it(tmp_path):
    step = make_step(tmp_path, loader=Loader([1.0, float("nan")]))
    run(step, 0, 1)
    before = step.model.weight.clone()
    with pytest.raises(NonFiniteLossError) as caught:
        run(step, 1, 2)
    assert torch.equal(step.model.weight, before)
    message = str(caught.value)
    assert "loss_sum = nan, loss_square = nan at iteration 1" in message
    assert "not finite on image 1 (1.jpg)" in message
    assert str(tmp_path / "non_finite_batch_iter0000001.pth") in message
    # Both detectron2's type and the one that tools turn into exit code 2.
    assert isinstance(caught.value, FloatingPointError)
    assert isinstance(caught.value, InputError)


def batch_loader(*values):
    """One batch with these values as images 0, 1, ..."""

    def build(iteration, seed):
        yield [sample(index, value) for index, value in enumerate(values)]

    return build


def test_only_the_images_that_fail_alone_are_named(tmp_path):
    step = make_step(tmp_path, loader=batch_loader(1.0, float("inf"), 2.0))
    with pytest.raises(NonFiniteLossError, match=r"not finite on image 1 \(1\.jpg\)\. The batch"):
        run(step, 0, 1)


def test_the_whole_batch_is_named_where_no_image_fails_alone(tmp_path):
    class Together(Line):
        def forward(self, batch):
            losses = super().forward(batch)
            return {"loss": losses["loss_sum"] * (1.0 if len(batch) == 1 else float("nan"))}

    step = make_step(tmp_path, Together(), batch_loader(1.0, 2.0))
    with pytest.raises(
        NonFiniteLossError, match=r"batch of image 0 \(0\.jpg\), image 1 \(1\.jpg\)"
    ):
        run(step, 0, 1)


def test_weights_that_were_damaged_before_are_said(tmp_path):
    step = make_step(tmp_path, Line(start=float("nan")), batch_loader(1.0))
    with pytest.raises(NonFiniteLossError, match=r"weights were no longer finite.*\(weight and 0"):
        run(step, 0, 1)


def test_a_gradient_that_is_not_finite_stops_too(tmp_path):
    class Steep(Line):
        def forward(self, batch):
            # 0 at 0, with an infinite slope.
            return {"loss": torch.sqrt((self.weight - 1.0).abs().sum())}

    step = make_step(tmp_path, Steep(), batch_loader(1.0))
    with pytest.raises(NonFiniteLossError, match="grad_norm = nan at iteration 0"):
        run(step, 0, 1)
    assert step.model.weight.tolist() == [1.0, 1.0]


def test_the_dump_holds_the_batch_in_plain_types(tmp_path):
    bad = sample(7, float("nan"))
    bad["instances"] = Instances((4, 4))
    bad["instances"].gt_boxes = Boxes(torch.tensor([[0.0, 0, 2, 2]]))
    bad["instances"].gt_classes = torch.tensor([0])
    bad["corner"] = (0, 0, 4, 4)
    step = make_step(tmp_path, loader=lambda iteration, seed: iter([[bad]]))
    with pytest.raises(NonFiniteLossError):
        run(step, 0, 1)
    # The default of torch.load refuses anything but tensors and plain types.
    dump = torch.load(tmp_path / "non_finite_batch_iter0000000.pth")
    assert dump["iteration"] == 0
    assert isinstance(dump["values"], Mapping)
    (image,) = dump["images"]
    assert image["image_id"] == 7
    assert image["gt_boxes"].tolist() == [[0, 0, 2, 2]]
    assert image["gt_classes"].tolist() == [0]
    assert image["corner"] == "(0, 0, 4, 4)"
    assert torch.isnan(image["image"]).all()


def test_a_dead_worker_of_the_loader_is_said(tmp_path):
    def dies(iteration, seed):
        raise RuntimeError("DataLoader worker (pid(s) 12) exited unexpectedly")
        yield

    with pytest.raises(InputError, match=r"worker \(pid\(s\) 12\) exited.*NUM_WORKERS"):
        run(make_step(tmp_path, loader=dies), 0, 1)


def test_other_errors_of_the_loader_pass(tmp_path):
    def fails(iteration, seed):
        raise RuntimeError("something else")
        yield

    with pytest.raises(RuntimeError, match="something else"):
        run(make_step(tmp_path, loader=fails), 0, 1)


def test_mixed_precision_runs_the_forward_pass_in_bfloat16(tmp_path):
    class Matrix(Line):
        def forward(self, batch):
            self.kind = (self.weight[None] @ self.weight[:, None]).dtype
            return super().forward(batch)

    step = make_step(tmp_path, Matrix(), precision=torch.bfloat16)
    run(step, 0, 1)
    assert step.model.kind == torch.bfloat16
    assert step.model.weight.dtype == torch.float32


def test_a_negative_limit_of_the_norm_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"CLIP_GLOBAL_NORM.*must not be negative, received -1"):
        make_step(tmp_path, clip_global_norm=-1.0)


def test_a_running_average_that_is_no_part_of_the_models_state_is_saved(tmp_path):
    first, second = make_step(tmp_path), make_step(tmp_path)
    first.model.loss_normalizer = 12.5
    second.load_state_dict(first.state_dict())
    assert second.model.loss_normalizer == 12.5

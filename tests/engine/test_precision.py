import pytest
import torch
from detectron2.utils.events import EventStorage
from torch import nn

from scale_match.core.errors import InputError
from scale_match.engine.non_finite import NonFiniteLossError
from scale_match.engine.precision import MAX_SKIPPED_IN_A_ROW, GradientScale, autocast_type
from scale_match.engine.step import TrainStep


class Line(nn.Module):
    """A float16 product of a weight and an input, and its square as the loss."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([[0.25], [0.125]]))

    def forward(self, batch):
        self.product = batch[0]["image"][None] @ self.weight
        return {"loss": (self.product.float() ** 2).sum()}


def make_step(tmp_path, values, **options):
    """A step whose iteration k sees the input (values[k], 1)."""

    def build_loader(iteration, seed):
        for value in values[iteration:]:
            yield [{"image": torch.tensor([value, 1.0]), "image_id": 5, "file_name": "5.jpg"}]

    model = Line()
    return TrainStep(
        model,
        torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9),
        build_loader=build_loader,
        seed=0,
        output_dir=tmp_path,
        precision=torch.float16,
        **options,
    )


def run(step, first, last):
    with EventStorage(first) as storage:
        for step.iter in range(first, last):
            storage.iter = step.iter
            step.run_step()
    return {name: value for name, (value, _) in storage.latest().items()}


def test_the_types_by_name():
    assert autocast_type("cpu") == torch.bfloat16
    assert autocast_type("cpu", "bf16") == torch.bfloat16
    assert autocast_type("cpu", "fp16") == torch.float16
    assert autocast_type("cuda", "fp16") == torch.float16
    assert autocast_type("cpu", "fp16", enabled=False) is None


def test_an_unknown_type_is_refused():
    with pytest.raises(InputError, match=r"train\.amp\.dtype.*bf16 or fp16, received 'half'"):
        autocast_type("cpu", "half")


def test_bf16_on_a_gpu_without_it_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    with pytest.raises(InputError, match=r"needs a GPU that has bfloat16.*AMP_DTYPE.*to fp16"):
        autocast_type("cuda", "bf16")


def test_the_forward_pass_runs_in_fp16_and_the_loss_is_scaled(tmp_path):
    step = make_step(tmp_path, [0.5] * 3)
    logged = run(step, 0, 1)
    assert step.model.product.dtype == torch.float16
    assert step.model.weight.dtype == torch.float32
    # (0.5 / 4 + 1 / 8) ** 2 with the slope 0.5 * (0.5, 1); what is logged has no scale in it.
    assert logged["total_loss"] == 0.0625
    assert logged["grad_norm"] == pytest.approx(0.5 * 1.25**0.5)
    assert step.model.weight.flatten().tolist() == pytest.approx([0.2475, 0.12])
    assert logged["loss_scale"] == 65536
    assert logged["skipped_steps"] == 0


def test_gradients_are_clipped_without_the_scale(tmp_path):
    step = make_step(tmp_path, [0.5], clip_global_norm=0.1)
    run(step, 0, 1)
    moved = torch.tensor([[0.25], [0.125]]) - step.model.weight.detach()
    assert float(moved.norm()) == pytest.approx(0.001, rel=1e-3)


def test_a_gradient_that_overflows_costs_a_step_and_half_of_the_scale(tmp_path):
    # The gradient of the first product is 2 * 2.5, which the scale of 65536 takes out of fp16.
    step = make_step(tmp_path, [9.5, 0.5, 0.5])
    before = step.model.weight.clone()
    logged = run(step, 0, 1)
    assert torch.equal(step.model.weight, before)
    assert logged["skipped_steps"] == 1
    assert logged["loss_scale"] == 32768
    assert "grad_norm" not in logged
    logged = run(step, 1, 2)
    assert not torch.equal(step.model.weight, before)
    assert logged["skipped_steps"] == 1
    assert logged["grad_norm"] == pytest.approx(0.5 * 1.25**0.5)


def test_many_steps_left_out_in_a_row_are_an_error(tmp_path):
    class Steep(Line):
        def forward(self, batch):
            # 0 at 0, with an infinite slope, whatever the scale.
            return {"loss": torch.sqrt((self.weight - self.weight.detach()).abs().sum())}

    step = make_step(tmp_path, [0.5] * 30)
    step.model.forward = Steep.forward.__get__(step.model)
    run(step, 0, MAX_SKIPPED_IN_A_ROW - 1)
    assert step.model.weight.flatten().tolist() == [0.25, 0.125]
    with pytest.raises(NonFiniteLossError, match=r"in 20 steps in a row .*0\.0625.*bf16"):
        run(step, MAX_SKIPPED_IN_A_ROW - 1, MAX_SKIPPED_IN_A_ROW)


def test_a_sound_step_ends_the_row(tmp_path):
    step = make_step(tmp_path, [9.5, 0.5, 0.5])
    run(step, 0, 1)
    assert step._scale.skipped_in_a_row == 1
    run(step, 1, 2)
    assert step._scale.skipped_in_a_row == 0


def test_a_loss_that_overflows_is_still_an_error_and_says_so(tmp_path):
    step = make_step(tmp_path, [1e5])
    with pytest.raises(NonFiniteLossError, match=r"loss = inf.*on image 5 \(5\.jpg\).*bf16 does n"):
        run(step, 0, 1)


def test_the_scale_is_part_of_the_state(tmp_path):
    values = [9.5, 0.5, 0.25, 0.6]
    whole = make_step(tmp_path, values)
    run(whole, 0, 4)
    first, second = make_step(tmp_path, values), make_step(tmp_path, values)
    run(first, 0, 2)
    torch.save(first.state_dict(), tmp_path / "state.pth")
    second.load_state_dict(torch.load(tmp_path / "state.pth"))
    second.model.load_state_dict(first.model.state_dict())
    logged = run(second, 2, 4)
    assert torch.equal(whole.model.weight, second.model.weight)
    assert logged["loss_scale"] == 32768
    assert logged["skipped_steps"] == 1


@pytest.mark.parametrize("precision", [None, torch.bfloat16])
def test_without_fp16_nothing_is_scaled(precision):
    scale = GradientScale(torch.device("cpu"), precision)
    assert not scale.is_used
    assert scale.value == 1.0
    assert scale.state_dict() == {}
    scale.load_state_dict({})


def test_the_state_of_a_run_without_fp16_leaves_the_first_scale():
    scale = GradientScale(torch.device("cpu"), torch.float16)
    scale.load_state_dict({})
    assert scale.value == 65536

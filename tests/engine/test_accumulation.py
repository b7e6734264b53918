import pytest
import torch
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage
from torch import nn

from scale_match.core.errors import InputError
from scale_match.engine.accumulation import PartWeights, check_accumulation, parts_of
from scale_match.engine.step import TrainStep
from scale_match.modeling.backbone import build_fpn, build_resnet
from scale_match.modeling.levels import PyramidLevels
from scale_match.modeling.retinanet import ScaleMatchRetinaNet
from small_detectors import small_fcos


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class MeanSquare(nn.Module):
    """A loss that is a mean over images."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0, -2.0]))

    def forward(self, batch):
        values = torch.stack([one["image"] for one in batch])  # (B, 2)
        return {"loss": ((values * self.weight - 1) ** 2).mean()}


class PerObject(MeanSquare):
    """A loss that is divided by a count that differs from image to image."""

    def forward(self, batch):
        squares = [((one["image"] * self.weight - 1) ** 2).sum() for one in batch]
        self.loss_denominator = torch.tensor(float(sum(one["objects"] for one in batch)))
        return {"loss": sum(squares) / self.loss_denominator}


class AtLeastOne(PerObject):
    """As the loss of FCOS: what it is divided by is 1 where there is no object."""

    def forward(self, batch):
        squares = [((one["image"] * self.weight - 1) ** 2).sum() for one in batch]
        self.loss_count = torch.tensor(float(sum(one["few"] for one in batch)))
        self.loss_denominator = self.loss_count.clamp(min=1)
        return {"loss": sum(squares) / self.loss_denominator}


def images(count=8):
    generator = torch.Generator().manual_seed(0)
    return [
        {
            "image": torch.randn(2, generator=generator),
            "image_id": i,
            "objects": 1 + i * i,
            "few": 2 * (i == 5),
        }
        for i in range(count)
    ]


def small_retinanet():
    torch.manual_seed(0)
    levels = PyramidLevels(strides=(4, 8))
    bottom_up = build_resnet(levels=levels, depth=18, norm="GN", freeze_at=0)
    model = ScaleMatchRetinaNet(
        levels=levels,
        backbone=build_fpn(bottom_up=bottom_up, levels=levels, out_channels=8),
        num_classes=1,
        num_head_convs=1,
        pixel_mean=[120.0, 120.0, 120.0],
        pixel_std=[57.0, 57.0, 57.0],
    )
    return model.double()


def scenes():
    """Four images with 1, 3, 0 and 7 objects."""
    generator = torch.Generator().manual_seed(0)
    batch = []
    for i, count in enumerate((1, 3, 0, 7)):
        instances = Instances((64, 64))
        corners = torch.rand(count, 2, generator=generator) * 40
        instances.gt_boxes = Boxes(torch.cat([corners, corners + 4 + i], dim=1))
        instances.gt_classes = torch.zeros(count, dtype=torch.int64)
        image = torch.randint(0, 256, (3, 64, 64), generator=generator, dtype=torch.uint8)
        batch.append({"image": image, "instances": instances, "image_id": i})
    return batch


def trained(tmp_path, model, batch, parts, **options):
    """The losses of three steps on a batch; the model is changed."""

    def build_loader(iteration, seed):
        while True:
            yield batch

    step = TrainStep(
        model,
        torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9),
        build_loader=build_loader,
        seed=0,
        output_dir=tmp_path,
        accumulate=parts,
        **options,
    )
    losses = []
    with EventStorage(0) as storage:
        for step.iter in range(3):
            storage.iter = step.iter
            step.run_step()
            losses.append(storage.latest()["total_loss"][0])
            losses.append(storage.latest()["grad_norm"][0])
    return losses


@pytest.mark.parametrize("kind", [MeanSquare, PerObject, AtLeastOne])
@pytest.mark.parametrize("parts", [2, 4, 8])
@pytest.mark.parametrize("clip", [0.0, 0.5])
def test_parts_make_the_step_of_the_whole_batch(tmp_path, kind, parts, clip):
    whole, in_parts = kind(), kind()
    expected = trained(tmp_path, whole, images(), 1, clip_global_norm=clip)
    found = trained(tmp_path, in_parts, images(), parts, clip_global_norm=clip)
    assert found == pytest.approx(expected, rel=1e-5)
    torch.testing.assert_close(in_parts.weight, whole.weight)


@pytest.mark.parametrize("parts", [2, 4, 8])
def test_parts_without_any_object_are_divided_by_what_the_batch_is(tmp_path, parts):
    whole, in_parts = AtLeastOne(), AtLeastOne()
    empty = [{**one, "few": 0} for one in images()]
    expected = trained(tmp_path, whole, empty, 1)
    assert trained(tmp_path, in_parts, empty, parts) == pytest.approx(expected, rel=1e-5)
    torch.testing.assert_close(in_parts.weight, whole.weight)


@pytest.mark.parametrize("parts", [2, 4])
def test_an_fcos_counts_its_parts_by_their_positive_locations(parts):
    model = small_fcos(num_classes=1).double()
    model.training = True  # its norms stay as they are
    one, _, empty, seven = scenes()
    batch = [empty, one, empty, seven]
    expected = model(batch)
    weights = PartWeights(parts)
    for part in parts_of(batch, parts):
        weights.add(model, part, model(part))
    found = weights.finish(model)
    for name in ("loss_cls", "loss_box_reg", "loss_ctrness"):
        # The box loss is divided by something else, which the parts follow nearly.
        near = 0.2 if name == "loss_box_reg" else 1e-6
        assert found[name].item() == pytest.approx(expected[name].item(), rel=near)
    assert expected["loss_box_reg"] > 0


@pytest.mark.parametrize("parts", [2, 4])
def test_a_retinanet_counts_its_parts_by_their_positive_anchors(tmp_path, parts):
    whole, in_parts = small_retinanet(), small_retinanet()
    expected = trained(tmp_path, whole, scenes(), 1)
    assert trained(tmp_path, in_parts, scenes(), parts) == pytest.approx(expected, rel=1e-6)
    state = in_parts.state_dict()
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(state[name], value, rtol=1e-5, atol=1e-6)


def test_one_part_is_the_plain_step_to_the_last_bit(tmp_path):
    model = MeanSquare()
    trained(tmp_path, model, images(), 1)
    plain = MeanSquare()
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.05, momentum=0.9)
    for _ in range(3):
        optimizer.zero_grad()
        plain(images())["loss"].backward()
        optimizer.step()
    assert torch.equal(model.weight, plain.weight)


def test_parts_are_equal_and_in_order():
    batch = list("abcdef")
    assert list(parts_of(batch, 1)) == [batch]
    assert list(parts_of(batch, 3)) == [["a", "b"], ["c", "d"], ["e", "f"]]


def test_weights_by_hand():
    model = MeanSquare()
    weights = PartWeights(2)
    model.loss_denominator = 10.0
    model.weight.grad = torch.tensor([3.0, 6.0])
    assert weights.add(model, [1, 2], {"loss": torch.tensor(5.0)}) == 0.5
    model.loss_denominator = 30.0
    assert weights.add(model, [1, 2], {"loss": torch.tensor(1.0)}) == 1.5
    # (10 * 5 + 30 * 1) / 40, and the gradients by 0.5 + 1.5.
    assert weights.finish(model)["loss"].item() == pytest.approx(2.0)
    assert model.weight.grad.tolist() == [1.5, 3.0]


@pytest.mark.parametrize(
    ("parts", "total", "processes"), [(1, 1, 1), (2, 8, 4), (8, 8, 1), (3, 12, 2)]
)
def test_parts_that_divide_the_share_of_a_process_pass(parts, total, processes):
    check_accumulation(parts, total_batch=total, num_processes=processes)


@pytest.mark.parametrize(
    ("parts", "total", "processes", "share"),
    [(2, 2, 2, 1), (3, 8, 1, 8), (0, 8, 1, 8), (-1, 8, 1, 8)],
)
def test_other_parts_are_refused_with_the_keys(parts, total, processes, share):
    message = (
        rf"ACCUMULATE, train\.accumulate\) must divide the {share} images of each process .*"
        rf"IMS_PER_BATCH, dataloader\.train\.total_batch_size {total} / {processes} processes\), "
        rf"received {parts}"
    )
    with pytest.raises(InputError, match=message):
        check_accumulation(parts, total_batch=total, num_processes=processes)

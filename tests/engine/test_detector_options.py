"""Validation loss and accumulation with each detector, one step after another."""

import pytest
import torch
from detectron2.structures import Boxes, Instances
from torch import nn

from scale_match.engine.step import TrainStep
from scale_match.engine.validation_loss import ValidationLoss
from small_detectors import small_faster_rcnn, small_fcos, small_retinanet

DETECTORS = {
    "retinanet": small_retinanet,
    "faster_rcnn": small_faster_rcnn,
    "fcos": small_fcos,
}
each_detector = pytest.mark.parametrize("build", DETECTORS.values(), ids=DETECTORS)


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def scenes(counts=(1, 3, 2, 7)):
    """An image for each number of objects."""
    generator = torch.Generator().manual_seed(0)
    batch = []
    for i, count in enumerate(counts):
        instances = Instances((64, 64))
        corners = torch.rand(count, 2, generator=generator) * 40
        instances.gt_boxes = Boxes(torch.cat([corners, corners + 6 + i], dim=1))
        instances.gt_classes = torch.arange(count) % 2
        image = torch.randint(0, 256, (3, 64, 64), generator=generator, dtype=torch.uint8)
        batch.append({"image": image, "instances": instances, "image_id": i})
    return batch


def train(tmp_path, model, *, steps=2, parts=1, validation=None):
    """The scalars of the last step; the model is changed."""

    def build_loader(iteration, seed):
        while True:
            yield scenes()

    step = TrainStep(
        model,
        torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9),
        build_loader=build_loader,
        seed=0,
        output_dir=tmp_path,
        accumulate=parts,
    )
    if validation:
        loader = [[one] for one in scenes((2, 0, 5))]
        step.register_hooks([ValidationLoss.of_step(step, 1, lambda: loader)])
    step.train(0, steps)
    return {name: value for name, (value, _) in step.storage.latest().items()}


@each_detector
def test_the_training_does_not_notice_a_validation_loss(build, tmp_path):
    plain, watched, again = build(), build(), build()
    train(tmp_path, plain)
    first = train(tmp_path, watched, validation=True)
    second = train(tmp_path, again, validation=True)
    for name, value in plain.state_dict().items():
        assert torch.equal(watched.state_dict()[name], value)
    found = {name: value for name, value in first.items() if name.startswith("validation/")}
    # Random choices, as those of RoIs, are the same each time.
    assert found == {name: second[name] for name in found}
    assert found["validation/total_loss"] > 0
    assert len(found) >= 3


def without_batch_statistics(model):
    """The model whose BatchNorm layers stay in evaluation mode."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
            module.train = lambda mode=True, module=module: module
    return model


@pytest.mark.parametrize(
    ("build", "tolerances"),
    [
        (small_retinanet, {"loss_cls": 1e-5, "loss_box_reg": 1e-5}),
        # The box loss of FCOS is divided by something else than the other two.
        (small_fcos, {"loss_cls": 1e-5, "loss_ctrness": 1e-5, "loss_box_reg": 0.05}),
    ],
)
def test_parts_of_a_batch_have_its_losses(build, tolerances, tmp_path):
    whole = train(tmp_path, without_batch_statistics(build()), steps=1)
    in_parts = train(tmp_path, without_batch_statistics(build()), steps=1, parts=4)
    for name, tolerance in tolerances.items():
        assert in_parts[name] == pytest.approx(whole[name], rel=tolerance)


def test_an_rpn_counts_its_parts_by_images(tmp_path):
    # All anchors but a fixed number of each image are drawn; so many here that all are taken.
    def losses(parts):
        model = without_batch_statistics(small_faster_rcnn())
        model.proposal_generator.batch_size_per_image = 10**6
        return train(tmp_path, model, steps=1, parts=parts)

    whole, in_parts = losses(1), losses(4)
    for name in ("loss_rpn_cls", "loss_rpn_loc"):
        assert in_parts[name] == pytest.approx(whole[name], rel=1e-4)

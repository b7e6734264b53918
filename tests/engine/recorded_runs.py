"""Trainings that tell what they trained on; here, because started processes import it by name."""

import hashlib
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

import torch
from detectron2.utils import comm

from engine.tiny import RUNNERS
from scale_match.engine.checkpoint import AtomicCheckpointer
from scale_match.engine.launch import launch
from scale_match.modeling.retinanet import ScaleMatchRetinaNet


@dataclass
class Recorded:
    """What the steps of a training saw, over all processes.

    Attributes:
        samples: Per step, in the order of the whole batch: image id, and a digest of the pixels
            and boxes that the model got.
        losses: Per step the mean over the processes of each loss.
    """

    samples: list[list[tuple[int, str]]] = field(default_factory=list)
    losses: list[dict[str, float]] = field(default_factory=list)

    @property
    def ids(self):
        return [[image for image, _ in step] for step in self.samples]

    def add(self, samples, losses):
        both = comm.all_gather((samples, losses))
        self.samples.append([sample for part, _ in both for sample in part])
        self.losses.append({name: sum(x[name] for _, x in both) / len(both) for name in losses})


# Two levels need the first half of the backbone only: disks are slower than this training.
LEVELS = {"yacs": {"SCALE_MATCH.MODEL.STRIDES": [4, 8]}, "lazy": {"model.levels.strides": [4, 8]}}


def train(front_end: str, data, output: Path, *, resume=False, save=True, **changes) -> Recorded:
    """A training without evaluation, on one thread; it may leave no checkpoint either."""
    runner, recorded = RUNNERS[front_end], Recorded()
    forward = ScaleMatchRetinaNet.forward

    def record(self, batch):
        losses = forward(self, batch)
        samples = [(sample["image_id"], _digest(sample)) for sample in batch]
        recorded.add(samples, {name: float(loss.detach()) for name, loss in losses.items()})
        return losses

    none = '""' if front_end == "yacs" else ""
    changes = {**LEVELS[front_end], "test": none, "test_images": none, **changes}
    torch.set_num_threads(1)
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(ScaleMatchRetinaNet, "forward", record))
        if not save:
            stack.enter_context(mock.patch.object(AtomicCheckpointer, "save"))
        runner.train(data, output, resume=resume, **changes)
    return recorded


def train_all(jobs) -> list[Recorded]:
    """Several trainings one after the other: (front end, data, output, changes)."""
    return [train(name, data, output, **changes) for name, data, output, changes in jobs]


def in_two_processes(jobs) -> list[Recorded]:
    """The same in two processes, started once for all of them."""
    return launch(train_all, num_gpus=2, device="cpu", args=(jobs,))


def _digest(sample):
    boxes = sample["instances"].gt_boxes.tensor
    content = sample["image"].numpy().tobytes() + boxes.numpy().tobytes()
    return hashlib.sha256(content).hexdigest()[:16]

"""The process that `benchmark.py train-step` measures; its arguments are those of `main`."""

import json
import resource
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from detectron2.modeling import RetinaNet, build_model
from detectron2.modeling.matcher import Matcher
from detectron2.modeling.proposal_generator import RPN
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage
from torch import Tensor, nn

from scale_match.engine.registration import register_all
from scale_match.engine.session import yacs_config

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
FILES = {
    "retinanet": "Base-AdapRetinaNet.yaml",
    "faster_rcnn": "Base-FasterRCNN.yaml",
    "fcos": "Base-AdapFCOS.yaml",
}


class Clock:
    """Seconds of a step by its parts; those of the processor on a CPU."""

    def __init__(self, device: str) -> None:
        self._on_gpu = device != "cpu"
        self.targets = 0.0

    def now(self) -> float:
        """Seconds; on a GPU once its work is done."""
        if not self._on_gpu:
            return time.process_time()
        torch.cuda.synchronize()
        return time.perf_counter()

    def timing_targets(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """The call, its time added to that of the targets."""

        def timed(*arguments: object) -> Any:  # noqa: ANN401 - what the call returns
            start = self.now()
            result = call(*arguments)
            self.targets += self.now() - start
            return result

        return timed


def build(model: str, depth: int, device: str) -> nn.Module:
    """The detector of the published rows from random weights, nothing frozen."""
    opts = ["MODEL.DEVICE", device, "MODEL.WEIGHTS", "", "MODEL.BACKBONE.FREEZE_AT", "0"]
    opts += ["MODEL.RESNETS.DEPTH", str(depth)]
    if depth < 50:
        opts += ["MODEL.RESNETS.RES2_OUT_CHANNELS", "64", "MODEL.RESNETS.STRIDE_IN_1X1", "False"]
    register_all()
    network: nn.Module = build_model(yacs_config(CONFIGS / FILES[model], opts))
    return network.train()


def watch_targets(network: Any, model: str, kind: str, clock: Clock) -> None:  # noqa: ANN401
    """Times what gives labels; puts detectron2's way in its place where asked."""
    owner = network.proposal_generator if model == "faster_rcnn" else network
    name = {
        "retinanet": "label_anchors",
        "faster_rcnn": "label_and_sample_anchors",
        "fcos": "label_locations",
    }[model]
    call = getattr(owner, name)
    if kind == "detectron2":
        limits = (0.4, 0.5) if model == "retinanet" else (0.3, 0.7)
        owner.anchor_matcher = Matcher(list(limits), [0, -1, 1], allow_low_quality_matches=True)
        stock = getattr(RetinaNet if model == "retinanet" else RPN, name)
        call = stock.__get__(owner)
    # Past nn.Module's own __setattr__, which is for parameters and modules.
    object.__setattr__(owner, name, clock.timing_targets(call))


def batch_of(number: int, batch: int, size: tuple[int, int]) -> list[dict[str, Any]]:
    """Images of noise with boxes of 2 to 20 px."""
    width, height = size
    random = torch.Generator().manual_seed(0)
    images = []
    for _ in range(batch):
        sides = 2 + 18 * torch.rand(number, 2, generator=random)
        corners = torch.rand(number, 2, generator=random) * (torch.tensor(size) - sides)
        instances = Instances((height, width))
        instances.gt_boxes = Boxes(torch.cat([corners, corners + sides], dim=1))
        instances.gt_classes = torch.zeros(number, dtype=torch.int64)
        pixels = torch.randint(0, 256, (3, height, width), generator=random, dtype=torch.uint8)
        images.append({"image": pixels, "instances": instances})
    return images


def step(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    batch: list[dict[str, Any]],
    clock: Clock,
) -> dict[str, float]:
    """One training step; seconds by part."""
    clock.targets = 0.0
    times = [clock.now()]
    losses: dict[str, Tensor] = network(batch)
    times.append(clock.now())
    optimizer.zero_grad()
    torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
    times.append(clock.now())
    optimizer.step()
    times.append(clock.now())
    forward, backward, update = (end - start for start, end in pairwise(times))
    return {
        "forward": forward - clock.targets,
        "targets": clock.targets,
        "backward": backward,
        "optimizer": update,
    }


def peak(device: str) -> int:
    """Most memory so far, in bytes."""
    if device != "cpu":
        return int(torch.cuda.max_memory_allocated())
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def main(arguments: list[str]) -> None:
    """Measure: model, kind, boxes, batch, width, height, repeats, depth, device, output file."""
    model, kind, *numbers, device, output = arguments
    boxes, batch, width, height, repeats, depth = map(int, numbers)
    clock = Clock(device)
    torch.manual_seed(0)
    network = build(model, depth, device)
    watch_targets(network, model, kind, clock)
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-5, momentum=0.9)
    images = batch_of(boxes, batch, (width, height))
    before = peak(device) if device == "cpu" else 0
    with EventStorage(0):
        step(network, optimizer, batch_of(1, batch, (width, height)), clock)  # warm up
        steps = [step(network, optimizer, images, clock) for _ in range(repeats)]
    figures = {
        "seconds": min(steps, key=lambda parts: sum(parts.values())),
        "peak_bytes": peak(device) - before,
        "device": torch.cuda.get_device_name() if device != "cpu" else "cpu",
        "threads": torch.get_num_threads(),
    }
    Path(output).write_text(json.dumps(figures), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])

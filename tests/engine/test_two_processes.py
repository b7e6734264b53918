"""Two processes with half of the batch each train the weights that one process trains."""

import json

import pytest
import torch

from engine.recorded_runs import in_two_processes, train
from engine.tiny import RUNNERS, make_data, weights_of

# GN has no statistics of the batch. Plain SGD: an adaptive step makes a difference in the last
# digits of a gradient near zero as large as any other.
SETTINGS = {
    "yacs": {
        "SCALE_MATCH.SOLVER.OPTIMIZER": "sgd",
        "SOLVER.MOMENTUM": 0.9,
        "SCALE_MATCH.SOLVER.CLIP_GLOBAL_NORM": 1.0,
    },
    "lazy": {
        "optimizer._target_": "torch.optim.SGD",
        "train.clip_global_norm": 1.0,
    },
}
STEPS = 4


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Both front ends, each with one and with two processes: (recorded, folder)."""
    folder = tmp_path_factory.mktemp("runs")
    path, images = make_data(folder / "data", num_images=8)
    content = json.loads(path.read_text())
    # Images with many boxes and images with one: the processes count very different positives.
    seen = set()
    kept = []
    for box in content["annotations"]:
        if box["image_id"] % 3 == 0 or box["image_id"] not in seen:
            kept.append(box)
        seen.add(box["image_id"])
    path.write_text(json.dumps({**content, "annotations": kept}))
    data = path, images

    def job(front_end, where):
        runner = RUNNERS[front_end]
        common = {"norm": "GN", "batch": 4, "max_iter": STEPS, "lr": 0.01, **runner.no_decay}
        changes = {**common, **SETTINGS[front_end]}
        return front_end, data, folder / f"{front_end}-{where}", changes

    found = {}
    recorded = in_two_processes([job(name, "two") for name in RUNNERS])
    for name, two in zip(RUNNERS, recorded, strict=True):
        front_end, files, output, changes = job(name, "one")
        one = train(front_end, files, output, **changes)
        found[name] = (one, output), (two, folder / f"{name}-two")
    return found


@pytest.mark.parametrize("front_end", RUNNERS)
def test_the_whole_batch_is_the_same(runs, front_end):
    (one, _), (two, _) = runs[front_end]
    assert [len(step) for step in two.samples] == [4] * STEPS
    assert two.samples == one.samples


@pytest.mark.parametrize("front_end", RUNNERS)
def test_losses_and_weights_are_those_of_one_process(runs, front_end):
    (one, one_folder), (two, two_folder) = runs[front_end]
    for ours, expected in zip(two.losses, one.losses, strict=True):
        assert ours == pytest.approx(expected, rel=1e-4)
    weights, expected = weights_of(two_folder), weights_of(one_folder)
    assert weights.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.allclose(weights[name], value, rtol=1e-4, atol=1e-6), name

"""Adap FCOS in a real training of both front ends, with an evaluation on tiles at its end."""

from dataclasses import replace

import pytest
import torch

from engine.tiny import CONFIGS, RUNNERS, make_data, same_weights, weights_of

NAME = "adap_fcos_r18_fpn_20it_toy"
FCOS = {
    kind: replace(runner, file=CONFIGS / f"{NAME}{suffix}")
    for (kind, runner), suffix in zip(RUNNERS.items(), (".yaml", ".py"), strict=True)
}


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_both_front_ends_train_the_same_and_evaluate_on_tiles(tmp_path):
    data = make_data(tmp_path)

    results = [
        runner.train(data, tmp_path / kind, max_iter=3)["bbox"] for kind, runner in FCOS.items()
    ]

    assert results[0] == results[1]
    assert 0 <= results[0]["AP50_tiny"] <= 100
    assert same_weights(weights_of(tmp_path / "yacs"), weights_of(tmp_path / "lazy"))

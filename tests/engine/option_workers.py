"""A training with all options that involve other processes; each process imports it by name."""

from pathlib import Path

import torch

from engine.tiny import RUNNERS


def train(name: str, data: tuple[Path, Path], folder: Path) -> dict:
    torch.set_num_threads(1)
    return RUNNERS[name].train(
        data,
        folder,
        norm="GN",
        batch=4,
        accumulate=2,
        ema=0.9,
        validation=1,
        patience=1,
        eval_period=2,
        max_iter=8,
    )

"""A loss or a gradient that is not finite: which images, and a dump of the batch."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from detectron2.structures import Instances
from detectron2.utils import comm
from torch import nn

from scale_match.core.errors import InputError
from scale_match.storage.files import replacing

__all__ = ["NonFiniteLossError", "report_non_finite"]


class NonFiniteLossError(InputError, FloatingPointError):
    """A loss or the norm of the gradients is infinite or not a number."""


def report_non_finite(
    model: nn.Module,
    batch: Sequence[Mapping[str, Any]],
    values: Mapping[str, torch.Tensor],
    *,
    iteration: int,
    output_dir: Path,
    advice: str = "",
) -> NonFiniteLossError:
    """Dumps the batch and makes the error that names its images.

    Args:
        model: As it was when the loss was computed; it is run once more on each image alone.
        batch: What it was given.
        values: The losses, or the norm of the gradients, by name.
        iteration: Of the training.
        output_dir: Gets ``non_finite_batch_iter<iteration>[_rank<r>].pth``: a dict of plain types
            and tensors with "iteration", "values" and "images".
        advice: More of it, for the end of the sentence.

    Returns:
        The error to raise.
    """
    rank = comm.get_rank()
    suffix = f"_rank{rank}" if comm.get_world_size() > 1 else ""
    path = output_dir / f"non_finite_batch_iter{iteration:07d}{suffix}.pth"
    numbers = {name: float(value.detach()) for name, value in values.items()}
    with replacing(path) as temporary:
        torch.save(
            {"iteration": iteration, "values": numbers, "images": [_plain(one) for one in batch]},
            temporary,
        )
    bad = ", ".join(
        f"{name} = {number}"
        for name, number in numbers.items()
        if not torch.isfinite(torch.tensor(number))
    )
    return NonFiniteLossError(
        f"{bad} at iteration {iteration}: {_whom_to_blame(model, batch)}. The batch is in {path}. "
        "Look at these images and their boxes, or lower the learning rate, lengthen the warm-up, "
        f"or clip gradients by their global norm{advice}"
    )


def _whom_to_blame(model: nn.Module, batch: Sequence[Mapping[str, Any]]) -> str:
    """Names the weights if they are damaged already, else the images that fail alone, else all."""
    damaged = [
        name
        for name, parameter in model.named_parameters()
        if not torch.isfinite(parameter.detach()).all()
    ]
    if damaged:
        return (
            f"the weights were no longer finite before this step ({damaged[0]} and "
            f"{len(damaged) - 1} others), batch of {_named(batch)}"
        )
    alone = [one for one in batch if not _is_finite_alone(model, one)]
    if alone:
        return f"not finite on {_named(alone)}"
    return f"batch of {_named(batch)}"


@torch.no_grad()
def _is_finite_alone(model: nn.Module, image: Mapping[str, Any]) -> bool:
    # Not the DistributedDataParallel around it, whose forward would wait for other processes.
    losses = getattr(model, "module", model)([image])
    values = [losses] if isinstance(losses, torch.Tensor) else list(losses.values())
    return all(bool(torch.isfinite(value).all()) for value in values)


def _named(images: Sequence[Mapping[str, Any]]) -> str:
    """The ids and file names of images."""
    return ", ".join(
        f"image {one.get('image_id', '?')} ({one.get('file_name', 'no file')})" for one in images
    )


def _plain(image: Mapping[str, Any]) -> dict[str, Any]:
    """One image of a batch as tensors and plain types, which torch.load reads without trust."""
    plain: dict[str, Any] = {}
    for key, value in image.items():
        if isinstance(value, Instances):
            for name, field in value.get_fields().items():
                plain[name] = getattr(field, "tensor", field)
        elif isinstance(value, torch.Tensor | str | int | float | bool | type(None)):
            plain[key] = value
        else:
            plain[key] = str(value)
    return plain

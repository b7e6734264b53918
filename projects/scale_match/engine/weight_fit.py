"""Which weights of a file a model takes, and when the whole file is refused."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor, nn

from scale_match.core.errors import InputError
from scale_match.engine.model_facts import misfits, model_facts, setting_notes
from scale_match.engine.weight_conversion import ConvertedWeights
from scale_match.engine.weight_names import BACKBONE
from scale_match.engine.weights import WeightsReport, check_weights, compare_weights

__all__ = ["FittedWeights", "Purpose", "fit_weights"]

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Purpose:
    """What weights are loaded for.

    Attributes:
        all_needed: Nothing may start anew: the model is evaluated, or a training goes on.
        reset_head: Parts of pyramid and head that do not fit may start anew.
        resumes: The file is the last checkpoint of a training's own folder.
    """

    all_needed: bool
    reset_head: bool = False
    resumes: bool = False

    @property
    def advice(self) -> str:
        """What to do about a head that does not fit."""
        if self.resumes:
            return "choose another output folder, or leave --resume out"
        if self.all_needed:
            return "take the config that it was trained with, or other weights"
        return "change the config, or let the head start anew with --reset-head"


@dataclass(frozen=True, slots=True)
class FittedWeights:
    """What a model takes.

    Attributes:
        state: Value by the model's names; the shapes fit.
        report: What became of all the others, too.
    """

    state: dict[str, Tensor]
    report: WeightsReport


def fit_weights(
    weights: ConvertedWeights, model: nn.Module, *, source: str, purpose: Purpose
) -> FittedWeights:
    """Chooses the weights of a file that a model takes.

    Where the file's head was trained for other strides, anchors or size ranges, no part of it is of
    use, whatever the shapes: it is refused, or starts anew as a whole. The same holds for the head
    of another kind of detector. Where only shapes differ, the layers with these start anew.

    Args:
        weights: Of the file.
        model: Without wrappers.
        source: The file, for messages.
        purpose: Decides about refusals.

    Raises:
        InputError: The file does not fit.
    """
    own = model.state_dict()
    facts = model_facts(model)
    report = compare_weights(
        source,
        {name: tuple(value.shape) for name, value in weights.state.items()},
        {name: tuple(value.shape) for name, value in own.items()},
    )
    found = misfits(weights.facts, facts, all_needed=purpose.all_needed)
    if found and (purpose.all_needed or not purpose.reset_head):
        raise InputError(f"{source} was trained for {'; for '.join(found)}: {purpose.advice}")
    reset = [name for name in report.kept if found and not name.startswith(BACKBONE)]
    report = replace(
        report,
        kept=tuple(name for name in report.kept if name not in set(reset)),
        reset=tuple(reset),
        unused=(*report.unused, *weights.unknown),
        naming=weights.naming,
        notes=(*_notes(weights, found), *setting_notes(weights.facts, facts)),
    )
    _logger.info("%s", report.describe())
    check_weights(
        report,
        all_needed=purpose.all_needed,
        reset_head=purpose.reset_head,
        advice=f": {purpose.advice}" if purpose.resumes else "",
    )
    return FittedWeights({name: weights.state[name] for name in report.kept}, report)


def _notes(weights: ConvertedWeights, found: Sequence[str]) -> list[str]:
    by_reason: dict[str, list[str]] = {}
    for name, reason in weights.left_out:
        by_reason.setdefault(reason, []).append(name)
    return [
        *(f"{', '.join(names)} left out: {reason}" for reason, names in by_reason.items()),
        *(f"its head was trained for {phrase}" for phrase in found),
        *weights.notes,
        *_silence(weights),
    ]


def _silence(weights: ConvertedWeights) -> list[str]:
    """What of its anchors a file leaves open."""
    needs_anchors = weights.facts.get("family") in ("RetinaNet", "Faster R-CNN")
    if not needs_anchors or {"anchor_scale", "smallest_anchors"} & set(weights.facts):
        return []
    return ["it does not say what anchors it was trained with; they were not compared"]

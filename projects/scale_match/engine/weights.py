"""What became of the parameters of a weight file, and when the file is refused.

Weights pass from one training to another by name and shape. Another number of classes changes the
shape of the classification layers only; these then start anew. Any other difference of shape means
that the file belongs to another model; where it is one of the pyramid or the head, these layers can
be told to start anew, too.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scale_match.core.errors import InputError
from scale_match.engine.weight_names import BACKBONE

__all__ = [
    "Shape",
    "ShapeMismatch",
    "WeightsReport",
    "check_weights",
    "compare_weights",
    "is_class_layer",
]

Shape = tuple[int, ...]

# Layers with one output (or four) per class: RetinaNet and FCOS, Faster R-CNN.
_CLASS_LAYER = re.compile(r"(^|\.)(cls_score|cls_logits|box_predictor\.bbox_pred)\.(weight|bias)$")
# Buffers whose absence means nothing: a counter that nothing reads, and what the config gives.
_UNIMPORTANT = re.compile(r"(\.num_batches_tracked|^pixel_mean|^pixel_std)$")
_BOTTOM_UP = "backbone.bottom_up."
_SHOWN = 5
_OF_HEAD = "of a head that does not fit, start anew"
_RESET_ADVICE = "--reset-head lets them start anew, in a training"


@dataclass(frozen=True, slots=True)
class ShapeMismatch:
    """A parameter whose shape in the file is not that of the model."""

    name: str
    in_file: Shape
    in_model: Shape

    @property
    def is_class_layer(self) -> bool:
        """Whether another number of classes explains it: only the first dimension differs."""
        return is_class_layer(self.name) and self.in_file[1:] == self.in_model[1:]

    def __str__(self) -> str:
        return f"{self.name}: {self.in_file} in the file, {self.in_model} in the model"


@dataclass(frozen=True, slots=True)
class WeightsReport:
    """What became of the parameters and buffers when a file was loaded into a model.

    Attributes:
        source: The file.
        kept: Names in the model that took the file's values.
        dropped: Names in both whose shapes differ; the model's initial values stay.
        missing: Names in the model that the file does not have.
        unused: Names in the file that the model does not have.
        reset: Names that would fit and start anew all the same, since the file's head was trained
            for something else.
        naming: The project whose names the file uses; "" where that was not asked.
        notes: Sentences on what else the file says, for the user to judge.
    """

    source: str
    kept: tuple[str, ...]
    dropped: tuple[ShapeMismatch, ...]
    missing: tuple[str, ...]
    unused: tuple[str, ...]
    reset: tuple[str, ...] = ()
    naming: str = ""
    notes: tuple[str, ...] = ()

    def describe(self) -> str:
        """A table of counts with the names that were not kept, and the notes."""
        rows = [
            ("kept", len(self.kept), ""),
            ("dropped, start anew", len(self.dropped), ", ".join(map(str, self.dropped))),
            (_OF_HEAD, len(self.reset), ", ".join(_layers(self.reset))),
            ("not in the file, start anew", len(self.missing), _some(self.missing)),
            ("in the file, not used", len(self.unused), _some(self.unused)),
        ]
        lines = [
            f"  {count:5d}  {what}{names and ': ' + names}"
            for what, count, names in rows
            if count or what != _OF_HEAD
        ]
        naming = f" (names of {self.naming})" if self.naming else ""
        notes = [f"  note: {note}" for note in self.notes]
        return "\n".join([f"Weights of {self.source}{naming}:", *lines, *notes])


def is_class_layer(name: str) -> bool:
    """Whether the number of classes decides about the shape of a parameter (detectron2's names)."""
    return bool(_CLASS_LAYER.search(name))


def check_weights(
    report: WeightsReport, *, all_needed: bool, reset_head: bool = False, advice: str = ""
) -> None:
    """Refuses the weights of another model.

    Args:
        report: What became of the parameters.
        all_needed: Nothing may start anew: the model is evaluated, or a training goes on.
        reset_head: Unfitting layers of the pyramid and the head may start anew.
        advice: What to do; the end of every sentence but the one about ``reset_head``.

    Raises:
        InputError: No backbone parameter matched; or a shape differs that neither the number of
            classes nor ``reset_head`` explains; or something would start anew although
            ``all_needed``.
    """
    others = [one for one in report.dropped if not one.is_class_layer]
    of_backbone = [one for one in others if one.name.startswith(_BOTTOM_UP)]
    refused = of_backbone if reset_head else others
    if refused:
        if not (advice or of_backbone or all_needed):
            advice = f" ({_RESET_ADVICE})"
        raise InputError(
            f"{report.source} holds the weights of another model: "
            f"{_some([str(one) for one in refused])}{advice}"
        )
    names = (*report.missing, *(one.name for one in report.dropped), *report.reset)
    has_backbone = any(name.startswith(BACKBONE) for name in (*report.kept, *names))
    prefix = BACKBONE if has_backbone else ""
    if not any(name.startswith(prefix) for name in report.kept):
        raise InputError(
            f"{report.source} holds the weights of another model: none of its parameters has the "
            f"name of a {prefix and 'backbone '}parameter of this one "
            f"(in the file: {_some(report.unused) or 'nothing'}; here: {_some(names)}){advice}"
        )
    if all_needed and names:
        shown = [*(str(one) for one in report.dropped), *(f"no {n}" for n in report.missing)]
        raise InputError(
            f"{report.source} does not fit this model, and nothing may start anew here: "
            f"{_some(shown)}{advice}"
        )


def compare_weights(
    source: str, in_file: Mapping[str, Shape], in_model: Mapping[str, Shape]
) -> WeightsReport:
    """Compares names and shapes.

    Args:
        source: The file, for messages.
        in_file: Shape by name, in the model's naming where a name was matched.
        in_model: Shape by name.
    """
    common = [name for name in in_model if name in in_file]
    kept = [name for name in common if in_file[name] == in_model[name]]
    dropped = [
        ShapeMismatch(name, in_file[name], in_model[name])
        for name in common
        if in_file[name] != in_model[name]
    ]
    return WeightsReport(
        source=source,
        kept=tuple(kept),
        dropped=tuple(dropped),
        missing=_only_in(in_model, in_file),
        unused=_only_in(in_file, in_model),
    )


def _only_in(names: Mapping[str, Shape], others: Mapping[str, Shape]) -> tuple[str, ...]:
    """Names without a counterpart that matter."""
    return tuple(name for name in names if name not in others and not _UNIMPORTANT.search(name))


def _layers(names: Sequence[str]) -> list[str]:
    """The layers that parameters belong to, each once."""
    return list(dict.fromkeys(name.rpartition(".")[0] for name in names))


def _some(names: Sequence[str]) -> str:
    """The first few of a list of names, and how many more there are."""
    shown = ", ".join(names[:_SHOWN])
    rest = len(names) - _SHOWN
    return f"{shown} and {rest} more" if rest > 0 else shown

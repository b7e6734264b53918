"""Arithmetic of a training schedule: epochs to iterations, and when the learning rate steps.

One iteration is one step of the optimizer on ``batch_size`` images over all processes. An epoch is
what the loader calls one (``scale_match.data.epochs``): every image once, the last batch of a group
padded.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from detectron2.solver.lr_scheduler import WarmupParamScheduler
from fvcore.common.param_scheduler import MultiStepParamScheduler, ParamScheduler

from scale_match.core.errors import InputError

__all__ = [
    "EpochSize",
    "Length",
    "Schedule",
    "follow_overrides",
    "plan_schedule",
    "warmup_multistep",
]


@dataclass(frozen=True, slots=True)
class EpochSize:
    """How long one epoch is.

    Attributes:
        num_images: Training images (or tiles).
        batch_size: Images per iteration, all processes together.
        iterations: Iterations per epoch.
    """

    num_images: int
    batch_size: int
    iterations: int


@dataclass(frozen=True, slots=True)
class Length:
    """What a config asks for.

    Attributes:
        epochs: Passes over the training set; 0 where only iterations count.
        step_epochs: Epochs after which the learning rate steps.
        max_iter: Iterations; None where nobody asked for them.
        steps: Iterations after which the learning rate steps; None where nobody asked for them.
    """

    epochs: float
    step_epochs: Sequence[float]
    max_iter: int | None
    steps: Sequence[int] | None


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule in iterations.

    Attributes:
        max_iter: Iterations of the whole training.
        steps: Iterations after which the learning rate is multiplied by gamma.
        warmup_iters: Iterations of the warm-up.
        reason: Which setting decided, for the user.
    """

    max_iter: int
    steps: tuple[int, ...]
    warmup_iters: int
    reason: str

    def warm_up_problem(self, key: str) -> str | None:
        """A sentence on a warm-up that the training does not get out of.

        Args:
            key: Name of the warm-up's iterations.
        """
        if self.warmup_iters < self.max_iter:
            return None
        return (
            f"The warm-up of {self.warmup_iters} iterations ({key}) is no shorter than the "
            f"training of {self.max_iter}: the learning rate reaches its value in the last "
            f"iteration only; set {key} to {self.max_iter // 10} or so"
        )

    def describe(self, epoch: EpochSize) -> str:
        """The arithmetic in words, printed before the training.

        Args:
            epoch: How long an epoch is.
        """
        epochs = self.max_iter / epoch.iterations
        steps = ", ".join(str(step) for step in self.steps) or "none"
        return (
            f"Schedule: {epoch.num_images} images in batches of {epoch.batch_size} are "
            f"{epoch.iterations} iterations per epoch; {self.max_iter} iterations are "
            f"{epochs:.2f} epochs ({self.reason}); learning rate steps after iteration {steps}; "
            f"warm-up over {min(self.warmup_iters, self.max_iter)} iterations."
        )


def follow_overrides(length: Length, before: Mapping[str, Any]) -> tuple[Length, frozenset[str]]:
    """Lets what the command line names reach what the config file says about the same.

    - epochs that are named win over iterations of the file;
    - the learning rate's steps of the file keep their place relative to the whole, be it in epochs
      or in iterations.

    >>> length = Length(epochs=6, step_epochs=(8, 11), max_iter=None, steps=None)
    >>> follow_overrides(length, {"epochs": 12})[0].step_epochs
    (4.0, 5.5)
    >>> length = Length(epochs=0, step_epochs=(), max_iter=100, steps=(3000, 4000))
    >>> follow_overrides(length, {"max_iter": 5000})[0].steps
    (60, 80)

    Args:
        length: With the command line.
        before: Fields of ``length`` that the command line names -> their values in the file.

    Returns:
        The length, and the fields in iterations that follow from the command line.
    """
    settled = {name for name in ("max_iter", "steps") if name in before}
    if "epochs" in before and length.epochs > 0:
        if "max_iter" not in before:
            steps = length.steps if "steps" in before else None
            length = replace(length, max_iter=None, steps=steps)
        if "step_epochs" not in before and before["epochs"] > 0:
            share = length.epochs / before["epochs"]
            length = replace(length, step_epochs=tuple(e * share for e in length.step_epochs))
    old, new = before.get("max_iter"), length.max_iter
    if old and new and length.steps and "steps" not in before:
        share = new / old
        length = replace(length, steps=tuple(round(step * share) for step in length.steps))
        settled.add("steps")
    return length, frozenset(settled)


def plan_schedule(
    epoch: EpochSize,
    *,
    epochs: float,
    step_epochs: Sequence[float],
    max_iter: int | None,
    steps: Sequence[int] | None,
    warmup_iters: int,
) -> Schedule:
    """Settles the iterations of a training whose length is given in epochs, iterations, or both.

    Iterations that someone asked for win over epochs, so that a number on the command line is
    obeyed; the steps then keep their place relative to the whole.

    >>> epoch = EpochSize(num_images=100, batch_size=4, iterations=25)
    >>> plan = plan_schedule(
    ...     epoch, epochs=12, step_epochs=(8, 11), max_iter=None, steps=None, warmup_iters=500
    ... )
    >>> plan.max_iter, plan.steps
    (300, (200, 275))
    >>> plan = plan_schedule(
    ...     epoch, epochs=12, step_epochs=(8, 11), max_iter=60, steps=None, warmup_iters=500
    ... )
    >>> plan.max_iter, plan.steps
    (60, (40, 55))

    Args:
        epoch: How long an epoch is.
        epochs: Passes over the training set; 0 where only iterations count.
        step_epochs: Epochs after which the learning rate steps; those at or after ``epochs`` do
            nothing.
        max_iter: Iterations asked for; None where nobody did.
        steps: Iterations of the learning-rate steps asked for; None where nobody did.
        warmup_iters: Iterations of the warm-up.

    Raises:
        InputError: Neither epochs nor iterations are given, or one is negative.
    """
    if epochs < 0 or (max_iter is not None and max_iter <= 0):
        raise InputError(
            "the length of a training must be positive, "
            f"received {epochs} epochs and {max_iter} iterations"
        )
    if epochs == 0 and max_iter is None:
        raise InputError("the length of a training is given neither in epochs nor in iterations")
    total, reason = _total(epoch, epochs, max_iter)
    if steps is None and epochs > 0:
        steps = [round(total * step / epochs) for step in step_epochs]
    return Schedule(
        max_iter=total,
        steps=tuple(step for step in steps or () if step < total),
        warmup_iters=warmup_iters,
        reason=reason,
    )


def _total(epoch: EpochSize, epochs: float, max_iter: int | None) -> tuple[int, str]:
    """Iterations of the whole training, and which setting decided."""
    if max_iter is None:
        return max(round(epochs * epoch.iterations), 1), f"{epochs:g} epochs asked for"
    if epochs > 0:
        return max_iter, f"{max_iter} iterations asked for, which wins over {epochs:g} epochs"
    return max_iter, f"{max_iter} iterations asked for"


def warmup_multistep(
    *,
    max_iter: int,
    steps: Sequence[int],
    gamma: float = 0.1,
    warmup_iters: int = 500,
    warmup_factor: float = 0.001,
) -> ParamScheduler:
    """Factor on the learning rate over a training, as detectron2's ``WarmupMultiStepLR``.

    For the ``lr_multiplier`` of a Lazy config, whose numbers the engine settles before it is
    called, so that an override of ``train.max_iter`` or ``train.epochs`` reaches it.

    Args:
        max_iter: Iterations of the whole training.
        steps: Iterations after which the factor is multiplied by ``gamma``.
        gamma: Factor at each step.
        warmup_iters: Iterations over which the factor rises linearly from ``warmup_factor``.
        warmup_factor: First factor.
    """
    reached = sorted(step for step in steps if step < max_iter)
    multistep = MultiStepParamScheduler(
        values=[gamma**index for index in range(len(reached) + 1)],
        milestones=reached,
        num_updates=max_iter,
    )
    return WarmupParamScheduler(
        multistep,
        warmup_factor=warmup_factor,
        warmup_length=min(warmup_iters / max_iter, 1.0),
        warmup_method="linear",
    )

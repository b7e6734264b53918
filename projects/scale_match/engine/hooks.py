"""What happens between the steps of a training, the same for both front ends."""

import logging
import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import torch
from detectron2.engine import HookBase, default_writers, hooks
from detectron2.evaluation.testing import flatten_results_dict
from detectron2.utils import comm
from fvcore.common.param_scheduler import ParamScheduler

from scale_match.engine.checkpoint import AtomicCheckpointer
from scale_match.engine.dropped_boxes import DroppedBoxes
from scale_match.engine.early_stopping import EarlyStopping, check_early_stopping
from scale_match.engine.ema import WeightAverage
from scale_match.engine.evaluation_setup import Metrics
from scale_match.engine.validation_loss import ValidationLoss
from scale_match.engine.wandb_writer import WandbHook, WandbWriter, check_wandb
from scale_match.storage.files import read_json, write_json

__all__ = ["BestCheckpoint", "EvaluationHook", "LoopSettings", "training_hooks"]

_logger = logging.getLogger(__name__)

LRSchedule: TypeAlias = torch.optim.lr_scheduler.LRScheduler | ParamScheduler

BEST_NAME = "model_best"


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """How often what happens, in iterations.

    Attributes:
        output_dir: Folder of logs and checkpoints.
        max_iter: Iterations of the whole training.
        checkpoint_period: Between checkpoints; the last one is always written.
        checkpoints_kept: Older ones are removed; None keeps all.
        eval_period: Between evaluations; 0 = only after the last iteration.
        log_period: Between lines of the log.
        best_metric: Flat name of the metric whose best value keeps its weights, as
            "bbox/AP50_tiny".
        early_stopping_patience: See :class:`~scale_match.engine.early_stopping.EarlyStopping`; 0 =
            train to the end.
        ema_decay: See :class:`~scale_match.engine.ema.WeightAverage`; 0 = no average.
        wandb_project: Project of Weights & Biases to write to; "" = none.
    """

    output_dir: Path
    max_iter: int
    checkpoint_period: int
    checkpoints_kept: int | None = None
    eval_period: int = 0
    log_period: int = 20
    best_metric: str = "bbox/AP50_tiny"
    early_stopping_patience: int = 0
    ema_decay: float = 0.0
    wandb_project: str = ""


class EvaluationHook(HookBase):
    """Evaluates every ``period`` iterations and after the last one, in all processes.

    Args:
        period: 0 = only after the last iteration.
        evaluate: Returns nested metrics, all of them numbers.

    Attributes:
        results: Nested metrics of the last evaluation; empty before it, and in processes other
            than the first.
    """

    def __init__(self, period: int, evaluate: Callable[[], Metrics]) -> None:
        self._period = period
        self._evaluate = evaluate
        self.results: Metrics = {}

    def after_step(self) -> None:
        """Evaluates when the period is over; the last iteration waits for after_train."""
        done = self.trainer.iter + 1
        if self._period > 0 and done % self._period == 0 and done != self.trainer.max_iter:
            self.run()

    def after_train(self) -> None:
        """Evaluates, unless the training broke off or was stopped early."""
        if self.trainer.iter >= self.trainer.max_iter:
            self.run()

    def run(self) -> None:
        """Evaluates now."""
        self.results = self._evaluate()
        if self.results:
            flat = {
                name: float(value) for name, value in flatten_results_dict(self.results).items()
            }
            self.trainer.storage.put_scalars(**flat, smoothing_hint=False)
        # Evaluation may take different time in each process; the next step starts together.
        comm.synchronize()


class BestCheckpoint(HookBase):
    """Keeps the weights with the greatest value of a metric as ``model_best.pth``.

    Comes after the :class:`EvaluationHook`. A value of -1 (nothing to measure) or one that is not
    finite is no value. ``model_best.json`` says which iteration it was; a resumed run reads it. In
    contrast to detectron2's own hook, ``--resume`` never takes the best for the latest.

    Args:
        metric: Flat name, as "bbox/AP50_tiny".
        checkpointer: Writes the weights.
        average: Its weights are kept in place of the model's, where they were evaluated.
    """

    def __init__(
        self,
        metric: str,
        checkpointer: AtomicCheckpointer,
        average: WeightAverage | None = None,
    ) -> None:
        self._metric = metric
        self._average = average
        self._checkpointer = checkpointer
        self._record = Path(checkpointer.save_dir) / f"{BEST_NAME}.json"
        self._best = -math.inf
        self._seen = -1

    def before_train(self) -> None:
        """Takes up the best value of the run that goes on; a new run forgets that of an old."""
        if self.trainer.start_iter == 0:
            self._record.unlink(missing_ok=True)
        elif self._record.is_file():
            record = read_json(self._record)
            if record.get("metric") == self._metric:
                self._best = float(record["value"])

    def after_step(self) -> None:
        """Looks whether the evaluation of this step is the best."""
        self._look()

    def after_train(self) -> None:
        """Looks at the last evaluation."""
        self._look()

    def _look(self) -> None:
        value, iteration = self.trainer.storage.latest().get(self._metric, (-1.0, -1))
        if iteration <= self._seen:
            return
        self._seen = iteration
        if not math.isfinite(value) or value < 0 or value <= self._best:
            return
        self._best = value
        record = {"metric": self._metric, "value": value, "iteration": iteration}
        with self._average.applied() if self._average else nullcontext():
            self._checkpointer.save_weights(BEST_NAME, **record)
        write_json(self._record, record)
        _logger.info("Best %s so far: %.4f at iteration %d", self._metric, value, iteration)


def training_hooks(
    settings: LoopSettings,
    *,
    optimizer: torch.optim.Optimizer,
    schedule: LRSchedule,
    checkpointer: AtomicCheckpointer,
    evaluate: Callable[[], Metrics] | None,
    validation: ValidationLoss | None = None,
) -> list[HookBase]:
    """The hooks of a training in their order.

    The moving average comes before the checkpoint, which holds it; the checkpoint before the
    evaluation, so that one that fails can be repeated; the writer last, so that it sees the
    metrics. What looks at the test set sees the averaged weights, where there are any.

    Args:
        settings: How often what happens.
        optimizer: Its learning rate follows the schedule.
        schedule: detectron2's LRMultiplier, or a factor over the training from 0 to 1.
        checkpointer: Writes checkpoints in the main process.
        evaluate: None where there is nothing to evaluate on.
        validation: Computes losses on the test set; None = off.

    Raises:
        InputError: A setting cannot be used.
    """
    check_early_stopping(
        settings.early_stopping_patience,
        eval_period=settings.eval_period,
        has_test_set=evaluate is not None,
    )
    chosen: list[HookBase] = [
        hooks.IterationTimer(),
        hooks.LRScheduler(optimizer=optimizer, scheduler=schedule),
    ]
    average = None
    if settings.ema_decay != 0:
        average = WeightAverage(checkpointer.model, settings.ema_decay, checkpointer)
        chosen.append(average)
    if comm.is_main_process():
        chosen.append(
            hooks.PeriodicCheckpointer(
                checkpointer,
                settings.checkpoint_period,
                max_to_keep=settings.checkpoints_kept,
            )
        )
    if validation is not None:
        validation.average = average
        chosen.append(validation)
    if evaluate is not None:
        chosen += _evaluation_hooks(settings, evaluate, checkpointer, average)
    chosen.append(DroppedBoxes(settings.log_period))
    return chosen + _writing_hooks(settings)


def _evaluation_hooks(
    settings: LoopSettings,
    evaluate: Callable[[], Metrics],
    checkpointer: AtomicCheckpointer,
    average: WeightAverage | None,
) -> list[HookBase]:
    """Evaluation, best weights, and the end of a training that gets no better."""

    def with_average() -> Metrics:
        with average.applied() if average else nullcontext():
            return evaluate()

    evaluation = EvaluationHook(settings.eval_period, with_average)
    chosen: list[HookBase] = [evaluation]
    if comm.is_main_process():
        chosen.append(BestCheckpoint(settings.best_metric, checkpointer, average))
    if settings.eval_period > 0:
        chosen.append(_early_stopping(settings, list(chosen), checkpointer, average))
    return chosen


def _early_stopping(
    settings: LoopSettings,
    evaluation: list[HookBase],
    checkpointer: AtomicCheckpointer,
    average: WeightAverage | None,
) -> EarlyStopping:
    def leave() -> None:
        last = evaluation[0].trainer.iter
        if comm.is_main_process():
            checkpointer.save("model_final", iteration=last)
        if average is not None:
            average.save()

    def evaluate_now() -> None:
        for hook in evaluation:
            hook.run() if isinstance(hook, EvaluationHook) else hook.after_step()

    return EarlyStopping(
        settings.best_metric,
        settings.early_stopping_patience,
        period=settings.eval_period,
        output_dir=settings.output_dir,
        at_stop=leave,
        evaluate=evaluate_now,
    )


def _writing_hooks(settings: LoopSettings) -> list[HookBase]:
    """Log, metrics.json, TensorBoard and Weights & Biases, in the main process."""
    if settings.wandb_project:
        check_wandb()  # in all processes, so that none waits for one that has failed
    if not comm.is_main_process():
        return []
    settings.output_dir.mkdir(parents=True, exist_ok=True)
    writers = default_writers(str(settings.output_dir), settings.max_iter)
    chosen: list[HookBase] = [hooks.PeriodicWriter(writers, period=settings.log_period)]
    if settings.wandb_project:
        writer = WandbWriter(settings.wandb_project, settings.output_dir)
        chosen.insert(0, WandbHook(writer, period=settings.log_period))
    return chosen

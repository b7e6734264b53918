"""The end of a training whose evaluations no longer get better."""

import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from detectron2.engine import HookBase
from detectron2.utils import comm

from scale_match.core.errors import InputError
from scale_match.storage.files import read_json, write_json

__all__ = ["EarlyStopping", "check_early_stopping", "stopping_early", "waited"]

_logger = logging.getLogger(__name__)

RECORD_NAME = "evaluations.json"


class _Stop(BaseException):
    """Leaves the loop of a training; no Exception, which the loop would log as a failure."""


@contextmanager
def stopping_early() -> Iterator[None]:
    """Around the loop of a training, which :class:`EarlyStopping` may leave."""
    try:
        yield
    except _Stop as stop:
        _logger.info("%s", stop)


def check_early_stopping(patience: int, *, eval_period: int, has_test_set: bool) -> None:
    """Refuses to watch evaluations that there are not.

    Args:
        patience: Evaluations without a better value; 0 = training does not stop early.
        eval_period: Iterations between evaluations; 0 = at the end only.
        has_test_set: Whether there is something to evaluate on.

    Raises:
        InputError: The patience is negative, or there is nothing that it could watch.
    """
    called = "early stopping (SCALE_MATCH.SOLVER.EARLY_STOPPING_PATIENCE, train.early_stopping_"
    if patience < 0:
        raise InputError(f"{called}patience) must not be negative, received {patience}")
    if patience == 0:
        return
    if not has_test_set:
        raise InputError(f"{called}patience {patience}) needs a test set to evaluate on")
    if eval_period <= 0:
        raise InputError(
            f"{called}patience {patience}) needs evaluations during the training: set "
            "TEST.EVAL_PERIOD (train.eval_period) to a number of iterations"
        )


def waited(values: list[float]) -> int:
    """Evaluations since the best one; the first of equal values is the best.

    >>> waited([0.1, 0.3, 0.2, 0.3])
    2
    >>> waited([])
    0

    Args:
        values: In order of time. One that is negative or not finite measures nothing, and is
            never the best.
    """
    best, since = -math.inf, 0
    for value in values:
        is_better = math.isfinite(value) and value >= 0 and value > best
        best, since = (value, 0) if is_better else (best, since + 1)
    return since


class EarlyStopping(HookBase):
    """Ends the training after ``patience`` evaluations without a better value of a metric.

    Comes after the hooks that evaluate and keep the best weights, in all processes, which stop at
    the same iteration. All values lie in ``evaluations.json``, from which a resumed run takes those
    before its first iteration; an evaluation that a kill prevented is made up for. Resumed once
    more, a stopped run only evaluates.

    Args:
        metric: Flat name, as "bbox/AP50_tiny".
        patience: Evaluations to wait for a better value; 0 = the training goes on to its end.
        period: Iterations between evaluations.
        output_dir: Folder of the record.
        at_stop: Called in all processes where the training ends, to write what a training leaves.
        evaluate: Called in all processes where a stopped run is resumed, and where an evaluation is
            missing because the run was killed during it.
    """

    def __init__(
        self,
        metric: str,
        patience: int,
        *,
        period: int,
        output_dir: Path,
        at_stop: Callable[[], None],
        evaluate: Callable[[], None],
    ) -> None:
        self._metric = metric
        self._patience = patience
        self._period = period
        self._record = output_dir / RECORD_NAME
        self._at_stop = at_stop
        self._evaluate = evaluate
        self._values: dict[int, float] = {}

    def before_train(self) -> None:
        """Takes up the values of the run that goes on; a new run forgets those of an old one."""
        first = self.trainer.start_iter
        if comm.is_main_process():
            self._values = self._recorded(first)
            self._write()
        if first >= self.trainer.max_iter:
            return
        if first > 0 and first % self._period == 0 and self._decided(first - 1 not in self._values):
            # The run was killed between the checkpoint and the end of its evaluation.
            self.trainer.storage.iter = first - 1
            self._evaluate()
            self._take_up(first - 1)
        if self._is_over():
            self._evaluate()
            raise _Stop(self._reason())

    def after_step(self) -> None:
        """Looks at the evaluation of this step, if there was one."""
        done = self.trainer.iter + 1
        if done % self._period != 0 or done == self.trainer.max_iter:
            return
        self._take_up(self.trainer.iter)
        if self._is_over():
            self._at_stop()
            raise _Stop(self._reason())

    def _take_up(self, iteration: int) -> None:
        """Records the value of an evaluation in the first process, which has it."""
        if comm.is_main_process():
            value, when = self.trainer.storage.latest().get(self._metric, (-1.0, -1))
            is_value = when == iteration and math.isfinite(value)
            self._values[iteration] = value if is_value else -1.0
            self._write()

    def _is_over(self) -> bool:
        if self._patience == 0:
            return False
        return self._decided(waited(list(self._values.values())) >= self._patience)

    def _decided(self, found: bool) -> bool:
        """What the first process has found, in all of them."""
        return bool(comm.all_gather(found)[0])

    def _reason(self) -> str:
        if not self._values:
            return "Training stopped early, as the first process says in its log"
        return (
            f"Training stopped early after iteration {max(self._values)}: {self._metric} has not "
            f"got better in {waited(list(self._values.values()))} evaluations (best "
            f"{max(self._values.values()):.4f}); --resume with a greater "
            "SCALE_MATCH.SOLVER.EARLY_STOPPING_PATIENCE (train.early_stopping_patience) goes on"
        )

    def _recorded(self, first: int) -> dict[int, float]:
        if first == 0 or not self._record.is_file():
            return {}
        record = read_json(self._record)
        if record.get("metric") != self._metric:
            return {}
        pairs = zip(record["iterations"], record["values"], strict=True)
        return {int(iteration): float(value) for iteration, value in pairs if iteration < first}

    def _write(self) -> None:
        write_json(
            self._record,
            {
                "metric": self._metric,
                "iterations": list(self._values),
                "values": list(self._values.values()),
            },
        )

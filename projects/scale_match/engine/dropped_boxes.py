"""How many boxes a training leaves out because they became too small."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from detectron2.engine import HookBase
from detectron2.utils import comm

__all__ = ["DroppedBoxes", "count_dropped"]

_logger = logging.getLogger(__name__)

SCALAR = "data/dropped_boxes"


def count_dropped(batch: Sequence[Mapping[str, Any]]) -> int:
    """Boxes that the mapper left out of a batch, being too small after scaling.

    A mapper of another kind, which does not count them, has left out none.
    """
    return sum(int(sample.get("dropped_boxes", 0)) for sample in batch)


class DroppedBoxes(HookBase):
    """Writes the boxes left out since the training began or went on, over all processes.

    The loading processes count (``data.dataset_mapper``), the step adds up in its attribute
    ``num_dropped_boxes``. The sum is the scalar ``data/dropped_boxes``, and stands in the log at
    the end.

    Args:
        period: Iterations between two sums over the processes.
    """

    def __init__(self, period: int) -> None:
        self._period = period

    def after_step(self) -> None:
        """Adds up, in all processes at the same iterations."""
        if (self.trainer.iter + 1) % self._period == 0:
            self.trainer.storage.put_scalar(SCALAR, self._total(), smoothing_hint=False)

    def after_train(self) -> None:
        """Says it once more, unless the training broke off."""
        if self.trainer.iter < self.trainer.max_iter:
            return
        total = self._total()
        self.trainer.storage.put_scalar(SCALAR, total, smoothing_hint=False)
        if total:
            _logger.info(
                "%d boxes were left out of training because they were too small after scaling "
                "(width or height under 1 px, or one pixel by Scale Match's rule)",
                total,
            )

    def _total(self) -> int:
        # The yacs trainer has the step inside.
        step: Any = getattr(self.trainer, "_trainer", self.trainer)
        return sum(comm.all_gather(step.num_dropped_boxes))

"""Loggers of a run: one log file per output folder, and no traceback for bad input."""

import logging
from pathlib import Path

from detectron2.utils import comm
from detectron2.utils.logger import setup_logger

from scale_match.core.errors import InputError

__all__ = ["start_logs"]

# default_setup of detectron2 sets up the first two.
_ROOTS = ("detectron2", "fvcore", "scale_match")
_LOOP = "detectron2.engine.train_loop"


def start_logs(output_dir: Path) -> None:
    """Sends the messages of this package to the console and to ``output_dir``/log.txt.

    Handlers of an earlier run in the same process are removed, so that two runs do not write into
    each other's files. Comes before detectron2's ``default_setup``.

    Args:
        output_dir: Folder of the run; made where it is missing.
    """
    for root in _ROOTS:
        logger = logging.getLogger(root)
        for handler in list(logger.handlers):
            logger.removeHandler(handler)
    setup_logger.cache_clear()
    setup_logger(str(output_dir), distributed_rank=comm.get_rank(), name="scale_match")
    loop = logging.getLogger(_LOOP)
    if not any(isinstance(known, _NoTraceback) for known in loop.filters):
        loop.addFilter(_NoTraceback())


class _NoTraceback(logging.Filter):
    """Drops the traceback that the training loop logs for bad input: the tool says the sentence."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], InputError))

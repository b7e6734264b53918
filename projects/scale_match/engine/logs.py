"""Loggers of a run: one log file per output folder, a console that can be read."""

import logging
import sys
import warnings
from pathlib import Path

from detectron2.utils import comm
from detectron2.utils.logger import setup_logger

from scale_match.core.errors import InputError
from scale_match.engine.loading import is_dead_worker
from scale_match.engine.process_group import is_lost_process

__all__ = ["start_logs"]

_LOOP = "detectron2.engine.train_loop"
# What detectron2's default_setup logs at length; the log file has it.
_LONG = ("Environment info:", "Running with full config:", "Contents of args.config_file")
# What torch says about lines of detectron2 that work.
_KNOWN_WARNINGS = ("torch.meshgrid: in an upcoming release", "TypedStorage is deprecated")


def start_logs(output_dir: Path) -> None:
    """Sends messages to the console (of the first process) and to ``output_dir``/log.txt.

    Handlers of an earlier run in the same process are removed, so that two runs do not write into
    each other's files. Comes before detectron2's ``default_setup``, which finds its loggers here.

    Args:
        output_dir: Folder of the run; made where it is missing.
    """
    for root in ("detectron2", "fvcore", "scale_match"):
        logger = logging.getLogger(root)
        for handler in list(logger.handlers):
            logger.removeHandler(handler)
    # Remembers its calls and does nothing at an equal one; so these equal those of default_setup.
    setup_logger.cache_clear()
    folder, rank = str(output_dir), comm.get_rank()
    setup_logger(folder, distributed_rank=rank, name="fvcore")
    setup_logger(folder, distributed_rank=rank, name="scale_match")
    for handler in setup_logger(folder, distributed_rank=rank).handlers:
        if isinstance(handler, logging.StreamHandler) and handler.stream is sys.stdout:
            handler.addFilter(_is_short)
    for text in _KNOWN_WARNINGS:
        warnings.filterwarnings("ignore", message=text, category=UserWarning)
    loop = logging.getLogger(_LOOP)
    if _is_no_bad_input not in loop.filters:
        loop.addFilter(_is_no_bad_input)


def _is_short(record: logging.LogRecord) -> bool:
    """Leaves the console without the whole environment and config."""
    return not str(record.msg).startswith(_LONG)


def _is_no_bad_input(record: logging.LogRecord) -> bool:
    """Drops the traceback that the training loop logs for bad input: the tool says the sentence.

    A lost process and a dead worker of the loader are no fault of the program either.
    """
    error = record.exc_info[1] if record.exc_info else None
    return error is None or not (
        isinstance(error, InputError) or is_lost_process(error) or is_dead_worker(error)
    )

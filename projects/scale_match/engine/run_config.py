"""The config in a run's folder, ``config.yaml``: written once the run is known to start.

detectron2's ``default_setup`` writes it before there is a model. A run that is refused after that,
as a resume with the config of another model, would leave the folder's checkpoints beside a config
that does not fit them.
"""

import logging
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from detectron2.config import CfgNode, LazyConfig
from detectron2.engine import default_setup
from detectron2.utils import comm
from omegaconf import DictConfig

from scale_match.storage.files import write_bytes, write_text

__all__ = ["CONFIG_FILE", "save_config", "set_up_run"]

_logger = logging.getLogger(__name__)

CONFIG_FILE = "config.yaml"


def set_up_run(cfg: CfgNode | DictConfig, output_dir: Path, *, training: bool) -> None:
    """detectron2's ``default_setup`` (logs, random seed, cuDNN), but without the config's file.

    Args:
        cfg: Settled; the front end's own kind.
        output_dir: The folder that it names.
        training: Whether the run trains.

    Raises:
        InputError: The file cannot be read or put back.
    """
    logger = logging.getLogger("detectron2")
    logger.addFilter(_is_true)
    try:
        with _left_as_it_is(output_dir / CONFIG_FILE):
            default_setup(cfg, Namespace(eval_only=not training))
    finally:
        logger.removeFilter(_is_true)


def save_config(cfg: CfgNode | DictConfig, output_dir: Path) -> None:
    """Writes ``config.yaml`` in the first process; comes after the run's weights are loaded.

    Args:
        cfg: As it was set up.
        output_dir: The folder that it names.

    Raises:
        InputError: The file cannot be written.
    """
    if not comm.is_main_process():
        return
    path = output_dir / CONFIG_FILE
    if isinstance(cfg, CfgNode):
        write_text(path, cfg.dump())
    else:
        LazyConfig.save(cfg, str(path))
    _logger.info("Config saved to %s", path)


def _is_true(record: logging.LogRecord) -> bool:
    """Leaves out what default_setup says of the file that is not kept."""
    return not record.getMessage().startswith("Full config saved to")


@contextmanager
def _left_as_it_is(path: Path) -> Iterator[None]:
    """Undoes what the block writes into a file; only the first process writes, and puts back."""
    writes = comm.is_main_process()
    before = path.read_bytes() if writes and path.is_file() else None
    try:
        yield
    finally:
        if before is not None:
            write_bytes(path, before)
        elif writes:
            path.unlink(missing_ok=True)

"""Where a training starts: at a checkpoint of its own, at pretrained weights, or at random."""

import logging
from pathlib import Path

from scale_match.engine.checkpoint import AtomicCheckpointer
from scale_match.engine.model_checks import check_frozen_layers

__all__ = ["load_starting_point"]

_logger = logging.getLogger(__name__)


def load_starting_point(
    checkpointer: AtomicCheckpointer,
    weights: str,
    *,
    resume: bool,
    is_lazy: bool,
    reset_head: bool = False,
) -> bool:
    """Loads what a training starts from.

    Args:
        checkpointer: Of the model and of everything else that has a state.
        weights: Weights of a new training; "" for random values.
        resume: Go on from the last checkpoint of the folder, where there is one.
        is_lazy: Which front end's keys a message names.
        reset_head: Parts of the head that do not fit start anew; nothing of a training that goes
            on does.

    Returns:
        Whether the training goes on; its state then names the last iteration done.

    Raises:
        InputError: The file does not fit, or frozen layers would hold random values.
    """
    has_checkpoint = checkpointer.has_checkpoint()
    if resume and has_checkpoint:
        checkpointer.load(checkpointer.get_checkpoint_file())
        return True
    check_frozen_layers(checkpointer.model, weights=weights, is_lazy=is_lazy)
    checkpointer.load(weights, checkpointables=[], reset_head=reset_head)
    if has_checkpoint and checkpointer.save_to_disk:
        # Else a later --resume of this run, killed before its first checkpoint, would take up
        # the old one.
        _logger.warning(
            "%s holds checkpoints of an earlier run; this one starts anew (--resume would have "
            "gone on) and replaces them",
            checkpointer.save_dir,
        )
        Path(checkpointer.save_dir, "last_checkpoint").unlink(missing_ok=True)
    return False

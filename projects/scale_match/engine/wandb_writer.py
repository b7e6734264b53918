"""The numbers of a training in Weights & Biases, where that package is installed."""

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

from detectron2.engine import hooks
from detectron2.utils.events import EventWriter, get_event_storage

from scale_match.core.errors import InputError
from scale_match.storage.files import read_bytes, write_text

__all__ = ["WandbHook", "WandbWriter", "check_wandb"]

# In the output folder: which run of the service a resumed training writes to.
ID_NAME = "wandb_run_id.txt"


def check_wandb() -> ModuleType:
    """The package, which is imported here only.

    Raises:
        InputError: It is not installed.
    """
    try:
        return importlib.import_module("wandb")
    except ImportError as error:
        raise InputError(
            "SCALE_MATCH.SOLVER.WANDB_PROJECT (train.wandb_project) needs the package wandb, "
            f"which is not installed ({error}): install it, or leave the key empty"
        ) from error


class WandbWriter(EventWriter):
    """Writes all scalars of the storage, smoothed as in ``metrics.json``.

    Args:
        project: Its name in the service.
        output_dir: Keeps the id of the run and what the package stores locally; its name is the
            name of the run.
        window: Iterations of the median of scalars that are to be smoothed.
    """

    def __init__(self, project: str, output_dir: Path, window: int = 20) -> None:
        self._project = project
        self._output_dir = output_dir
        self._window = window
        self._run: Any = None
        self._last = -1

    def start(self, *, resume: bool) -> None:
        """Opens a run of the service.

        Args:
            resume: Go on with the run whose id lies in the output folder, if there is one.

        Raises:
            InputError: The service refuses, as without a login.
        """
        wandb = check_wandb()
        record = self._output_dir / ID_NAME
        known = read_bytes(record).decode().strip() if resume and record.is_file() else None
        try:
            self._run = wandb.init(
                project=self._project,
                name=self._output_dir.resolve().name,
                dir=str(self._output_dir),
                id=known,
                resume="allow",
            )
        except wandb.Error as error:
            raise InputError(
                f"cannot write to the project {self._project!r} of Weights & Biases "
                f"(SCALE_MATCH.SOLVER.WANDB_PROJECT, train.wandb_project): {error}"
            ) from error
        # A run that goes on from a checkpoint repeats iterations, which the service's own counter
        # of steps would refuse.
        self._run.define_metric("iteration")
        self._run.define_metric("*", step_metric="iteration")
        write_text(record, self._run.id)

    def write(self) -> None:
        """Writes what is new since the last call."""
        if self._run is None:
            return
        new: dict[int, dict[str, float]] = {}
        scalars = get_event_storage().latest_with_smoothing_hint(self._window)
        for name, (value, iteration) in scalars.items():
            if iteration > self._last:
                new.setdefault(iteration, {})[name] = value
        for iteration in sorted(new):
            self._run.log({**new[iteration], "iteration": iteration})
            self._last = iteration

    def close(self) -> None:
        """Ends the run."""
        if self._run is not None:
            self._run.finish()
            self._run = None


class WandbHook(hooks.PeriodicWriter):
    """Opens the run before the training, writes every ``period`` iterations, and closes it."""

    def __init__(self, writer: WandbWriter, period: int) -> None:
        super().__init__([writer], period=period)
        self._writer = writer

    def before_train(self) -> None:
        """Opens the run, that of the output folder where the training goes on."""
        self._writer.start(resume=self.trainer.start_iter > 0)

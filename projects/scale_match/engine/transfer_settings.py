"""What a transfer is asked for: data, configs, policy, and how long it trains."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scale_match.core.errors import InputError

__all__ = ["PARTS", "POLICIES", "CocoFiles", "TransferSettings", "find_config"]

# Samplers of parts of images, which train in place of a policy; their keys below AUGMENT.
PARTS = {"exact_tile": "EXACT_TILE", "mosaic": "MOSAIC"}
POLICIES = ("sm", "msm", "gsm", *PARTS, "none")


@dataclass(frozen=True, slots=True)
class CocoFiles:
    """A data set as two paths.

    Attributes:
        annotations: COCO-format file.
        images: The folder that its file names are relative to.
    """

    annotations: Path
    images: Path


@dataclass(frozen=True, slots=True)
class TransferSettings:
    """A transfer from a source of large objects to a target of tiny ones.

    Attributes:
        source: Whole images to pretrain on.
        target: Whole images; their tiles are fine-tuned on, their object sizes are Scale Match's
            target.
        output: Folder of everything that is written.
        config: yacs file of the fine-tuning: detector, solver, tiles of the evaluation.
        test: Images to evaluate on; None trains only.
        pretrain_config: yacs file of the pretraining, of the same detector; None takes ``config``.
        policy: How the pretraining gets the target's sizes: "sm", "msm", "gsm", "exact_tile" or
            "mosaic" (as large as ``tile`` where the config names no size), or "none"; None takes
            what the pretraining's config does, or "sm" where it does nothing.
        scratch: Also train without the source, for as many fine-tuning steps from the same seed.
        seed: Of data order, draws and initial weights.
        device: "cpu", "cuda", ...; None takes that of the configs.
        num_gpus: Processes of a training; on the CPU too.
        tile: Width and height in pixels of the tiles to fine-tune on.
        pretrain_steps: Iterations of the pretraining; None takes its config's schedule.
        finetune_steps: The same of the fine-tuning.
        reset_head: Let parts of the head start anew that do not fit in a training's weights.
        preflight: Look at each training before its first step.
        opts: Further ``KEY VALUE`` words for both configs, as on the command line.

    Raises:
        InputError: A value is out of range.
    """

    source: CocoFiles
    target: CocoFiles
    output: Path
    config: Path
    test: CocoFiles | None = None
    pretrain_config: Path | None = None
    policy: str | None = None
    scratch: bool = False
    seed: int = 0
    device: str | None = None
    num_gpus: int = 1
    tile: tuple[int, int] = (640, 512)
    pretrain_steps: int | None = None
    finetune_steps: int | None = None
    reset_head: bool = False
    preflight: bool = True
    opts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.policy is not None and self.policy not in POLICIES:
            raise InputError(f"--policy must be one of {', '.join(POLICIES)}, not {self.policy!r}")
        if self.seed < 0:
            raise InputError(f"--seed must not be negative, but is {self.seed}")
        for name in ("num_gpus", "pretrain_steps", "finetune_steps"):
            value = getattr(self, name)
            if value is not None and value < 1:
                option = "--" + name.replace("_", "-")
                raise InputError(f"{option} must be at least 1, but is {value}")


def find_config(name: str, folders: Sequence[Path] = ()) -> Path:
    """The file of a config that is named on the command line.

    Args:
        name: A path, or a name below one of the folders; ``.yaml`` may be left out.
        folders: Where configs are kept.

    Raises:
        InputError: There is none, or it is a Lazy config.
    """
    if name.endswith(".py"):
        raise InputError(
            f"the config {name} is a Lazy one, but a transfer reads yacs configs: name its twin "
            f"{name.removesuffix('.py')}.yaml"
        )
    for folder in (Path(), *folders):
        for path in (folder / name, folder / f"{name}.yaml"):
            if path.is_file():
                return path
    below = " or ".join(str(folder) for folder in folders)
    raise InputError(f"there is no config {name}" + (f", here or below {below}" if below else ""))

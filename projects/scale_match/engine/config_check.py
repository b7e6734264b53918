"""Whether a config works: built, trained for one step and evaluated, on a few drawn images.

The model, the optimizer, the batch and the solver are the config's own, and weights come through
the normal path. Replaced are the files, the device, the length, the size of the test tiles (so that
small images have several) and the score threshold (an untrained model finds nothing above it).
"""

import gc
import hashlib
import io
import json
import math
import resource
import shutil
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import detectron2
import torch
from detectron2.config import CfgNode, instantiate
from detectron2.modeling import build_model
from omegaconf import DictConfig, OmegaConf
from torch import nn

from scale_match.core.errors import InputError
from scale_match.engine.checkpoint import AtomicCheckpointer
from scale_match.engine.config_check_data import (
    CHECK_OVERLAP,
    CHECK_TILE,
    CheckData,
    write_backbone_file,
    write_check_data,
)
from scale_match.engine.front_ends import FrontEnd, front_end_of
from scale_match.engine.registration import register_all
from scale_match.evaluation.tiny_evaluator import DETECTIONS_FILE
from scale_match.storage.files import read_json

__all__ = ["ConfigChecker", "ConfigResult", "code_hash", "config_files", "differing_twins"]

_ZOO = "detectron2://ImageNetPretrained/"
_BACKBONE_STYLES = {"torchvision/": "torchvision", "MSRA/": "caffe"}
_SUFFIXES = {"yacs": (".yaml",), "lazy": (".py",), "both": (".yaml", ".py")}
_YACS_NODES = {
    "ScaleMatchRetinaNet": "MODEL.RETINANET",
    "ScaleMatchFasterRCNN": "MODEL.ROI_HEADS",
    "ScaleMatchFCOS": "SCALE_MATCH.FCOS",
}
# Of twins; a sum of the same numbers in another order.
_SAME_LOSS = 1e-5
_YACS_SETTINGS = {
    "MODEL.DEVICE": "cpu",
    "SEED": 0,
    "SOLVER.MAX_ITER": 1,
    "DATALOADER.NUM_WORKERS": 0,
    "SCALE_MATCH.TILES.SIZE": list(CHECK_TILE),
    "SCALE_MATCH.TILES.OVERLAP": list(CHECK_OVERLAP),
}
_LAZY_SETTINGS = {
    "train.device": "cpu",
    "train.seed": 0,
    "train.max_iter": 1,
    "dataloader.train.num_workers": 0,
    "dataloader.test.num_workers": 0,
    "model.test_score_thresh": 0.0,
    "tiles.tile": f"[{CHECK_TILE[0]},{CHECK_TILE[1]}]",
    "tiles.overlap": f"[{CHECK_OVERLAP[0]},{CHECK_OVERLAP[1]}]",
}


@dataclass(frozen=True, slots=True)
class ConfigResult:
    """What became of a config.

    Attributes:
        config: Its file, relative to the folder of the configs.
        error: Why it failed; "" where it did not.
        detector: Its class; "" where it was not built.
        loss: Of the one step; None where it failed.
        detections: Number of detections on the test images.
        seconds: Wall-clock time of all of it.
        peak_memory: Largest memory of this process so far, in bytes.
        fingerprint: Hash of config and code.
        details: The traceback of a failure.
    """

    config: str
    error: str
    detector: str
    loss: float | None
    detections: int
    seconds: float
    peak_memory: int
    fingerprint: str
    details: str = ""


def config_files(folder: Path, *, only: str = "", front_end: str = "both") -> list[Path]:
    """The leaf configs below a folder, twins side by side.

    Args:
        folder: Holds folders of configs, and ``common``, whose files are parts of configs.
        only: Part of their names, with folder and ending.
        front_end: "yacs", "lazy" or "both".

    Raises:
        InputError: There is none.
    """
    found = [
        path
        for path in folder.glob("*/*.*")
        if path.suffix in _SUFFIXES[front_end]
        and path.parent.name != "common"
        and not path.name.startswith("Base-")
        and only in path.relative_to(folder).as_posix()
    ]
    if not found:
        raise InputError(f"no config below {folder} has {only!r} in its name")
    return sorted(found, key=lambda path: (path.parent.name, path.stem, path.suffix == ".py"))


def code_hash() -> str:
    """Hash of this package's sources and of detectron2's version."""
    digest = hashlib.sha256(str(detectron2.__version__).encode())
    package = Path(__file__).resolve().parents[1]
    for path in sorted(package.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def differing_twins(results: Sequence[ConfigResult]) -> list[str]:
    """Sentences on twins whose losses differ, though seed, weights and data are the same.

    Args:
        results: Of any configs; those that failed do not count.
    """
    losses: dict[str, list[float]] = {}
    for result in results:
        if result.loss is not None:
            losses.setdefault(result.config.rpartition(".")[0], []).append(result.loss)
    return [
        f"the twins of {name} have the losses {' and '.join(map(str, found))}"
        for name, found in losses.items()
        if not all(math.isclose(loss, found[0], rel_tol=_SAME_LOSS) for loss in found)
    ]


class ConfigChecker:
    """Checks configs one after the other; data and weights are made once.

    Args:
        configs: The folder of the configs, where those of a pretraining are looked up.
        scratch: Folder for everything that is written; what a config leaves is removed.
        code: See :func:`code_hash`.
    """

    def __init__(self, configs: Path, scratch: Path, *, code: str = "") -> None:
        self._configs = configs
        self._scratch = scratch
        self._code = code
        self._data: dict[int, CheckData] = {}

    def fingerprint(self, path: Path) -> str:
        """Hash of what a config says, and of the code.

        Raises:
            InputError: The config cannot be read.
        """
        front_end = front_end_of(path)
        cfg = front_end.load(path, [])
        text = cfg.dump() if isinstance(cfg, CfgNode) else OmegaConf.to_yaml(cfg)
        return hashlib.sha256(f"{self._code}\n{text}".encode()).hexdigest()

    def check(self, path: Path) -> ConfigResult:
        """Builds, trains and evaluates; whatever goes wrong is a result."""
        start = perf_counter()
        error = details = fingerprint = detector = ""
        loss, detections = None, 0
        said = io.StringIO()
        try:
            with redirect_stdout(said), redirect_stderr(said):
                fingerprint = self.fingerprint(path)
                detector, loss, detections = self._run(path)
        except Exception as failure:  # noqa: BLE001 - of any kind
            error = f"{type(failure).__name__}: {' '.join(str(failure).split())}"
            details = traceback.format_exc()
        shutil.rmtree(self._scratch / "run", ignore_errors=True)
        gc.collect()
        unit = 1 if sys.platform == "darwin" else 1024
        return ConfigResult(
            config=path.relative_to(self._configs).as_posix(),
            error=error,
            detector=detector,
            loss=loss,
            detections=detections,
            seconds=round(perf_counter() - start, 1),
            peak_memory=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit,
            fingerprint=fingerprint,
            details=details,
        )

    def _run(self, path: Path) -> tuple[str, float, int]:
        """The detector's class, the loss of the step, and how many detections there were."""
        front_end = front_end_of(path)
        plain = front_end.load(path, [])
        output = self._scratch / "run"
        weights = self._weights(plain, path)
        if isinstance(plain, CfgNode):
            overrides = _yacs_overrides(plain, self._data_of, output, weights)
        else:
            overrides = _lazy_overrides(plain, self._data_of, output, weights)
        metrics = front_end.train(front_end.load(path, overrides))
        logged = [json.loads(line) for line in (output / "metrics.json").read_text().splitlines()]
        (loss,) = {line["total_loss"] for line in logged if "total_loss" in line}
        if not math.isfinite(loss):
            raise ValueError(f"the loss is {loss}")
        if "AP50_tiny" not in metrics.get("bbox", {}):
            raise ValueError(f"the evaluation gave no AP50_tiny, only {sorted(metrics)}")
        detections = len(read_json(output / "inference" / DETECTIONS_FILE))
        if detections == 0:
            raise ValueError("nothing was detected, though every score counts")
        return _detector(plain), loss, detections

    def _data_of(self, classes: int) -> CheckData:
        if classes not in self._data:
            folder = self._scratch / f"data{classes}"
            self._data[classes] = write_check_data(folder, categories=classes)
        return self._data[classes]

    def _weights(self, cfg: Any, path: Path) -> str:  # noqa: ANN401 - of either front end
        """A file in place of the weights that a config starts from, of the same form."""
        named = str(cfg.MODEL.WEIGHTS if isinstance(cfg, CfgNode) else cfg.train.init_checkpoint)
        if named.startswith(_ZOO):
            style = named.removeprefix(_ZOO)
            return str(self._backbone_file(style[: style.index("/") + 1]))
        if not named:
            return ""
        return str(self._pretrained(Path(named).parent.name, path.suffix))

    def _backbone_file(self, folder: str) -> Path:
        style = _BACKBONE_STYLES[folder]
        path = self._scratch / f"{style}.pkl"
        if not path.is_file():
            write_backbone_file(path, style)  # type: ignore[arg-type]
        return path

    def _pretrained(self, name: str, suffix: str) -> Path:
        """What the pretraining of this name would leave, had it not trained."""
        (path,) = self._configs.glob(f"*/{name}{suffix}")
        front_end: FrontEnd = front_end_of(path)
        cfg = front_end.with_settings(front_end.load(path, []), None, "cpu")
        with torch.random.fork_rng():
            torch.manual_seed(0)  # for both twins
            model = _build(cfg)
        folder = self._scratch / "run"
        checkpointer = AtomicCheckpointer(model, folder)
        checkpointer.load(self._weights(cfg, path), checkpointables=[])
        folder.mkdir(parents=True, exist_ok=True)
        checkpointer.save_weights("pretrained")
        return folder / "pretrained.pth"


def _build(cfg: CfgNode | DictConfig) -> nn.Module:
    register_all()
    model: nn.Module = build_model(cfg) if isinstance(cfg, CfgNode) else instantiate(cfg.model)
    return model


def _yacs_overrides(
    cfg: CfgNode, data_of: Callable[[int], CheckData], output: Path, weights: str
) -> list[str]:
    """What the command line of a user would say."""
    ours = cfg.SCALE_MATCH
    own = _YACS_NODES[cfg.MODEL.META_ARCHITECTURE]
    data = data_of(_yacs_value(cfg, f"{own}.NUM_CLASSES"))
    files = _files(data, policy=ours.POLICY, tiled=ours.TILES.ENABLED)
    values: dict[str, object] = {
        **_YACS_SETTINGS,
        **{f"SCALE_MATCH.DATA.{name.upper()}": path for name, path in files.items()},
        "OUTPUT_DIR": output,
        "MODEL.WEIGHTS": weights,
        f"{own}.SCORE_THRESH_TEST": 0.0,
    }
    if ours.POLICY != "none":
        values["SCALE_MATCH.TARGET"] = data.whole
    if ours.SOURCE:
        values["SCALE_MATCH.SOURCE"] = data.whole
    return [str(word) for pair in values.items() for word in pair]


def _lazy_overrides(
    cfg: DictConfig, data_of: Callable[[int], CheckData], output: Path, weights: str
) -> list[str]:
    """The same for a Lazy config."""
    policy, node = cfg.dataloader.train.mapper.scale_policy, "dataloader.train.mapper.scale_policy"
    data = data_of(cfg.model.num_classes)
    files = _files(data, policy=policy.policy, tiled=cfg.tiles.enabled)
    values: dict[str, object] = {
        **_LAZY_SETTINGS,
        **{f"dataloader.{name.replace('_', '.')}": path for name, path in files.items()},
        "train.output_dir": output,
        "train.init_checkpoint": weights,
    }
    if policy.policy != "none":
        values[f"{node}.target"] = data.whole
    if not OmegaConf.is_interpolation(policy, "source"):
        values[f"{node}.source"] = data.whole
    return [f"{key}={value}" for key, value in values.items()]


def _files(data: CheckData, *, policy: str, tiled: bool) -> Mapping[str, Path]:
    """Whole images for a policy and for tiles of the model's own; else the file of tiles."""
    whole = policy != "none"
    return {
        "train_annotations": data.whole if whole else data.tiles,
        "train_images": data.images,
        "test_annotations": data.test_whole if whole or tiled else data.test_tiles,
        "test_images": data.images,
    }


def _yacs_value(cfg: CfgNode, key: str) -> Any:  # noqa: ANN401 - configs hold anything
    value: Any = cfg
    for part in key.split("."):
        value = value[part]
    return value


def _detector(cfg: Any) -> str:  # noqa: ANN401 - of either front end
    if isinstance(cfg, CfgNode):
        return str(cfg.MODEL.META_ARCHITECTURE)
    target = cfg.model._target_
    return (target if isinstance(target, str) else target.__name__).rpartition(".")[2]

"""What came out of a transfer: ``results.json``, and a table for the terminal."""

import platform
import resource
import sys
from collections.abc import Mapping
from typing import Any

import detectron2
import numpy
import PIL
import torch
import torchvision
from detectron2.config import CfgNode

import scale_match
from scale_match.core.average_precision import SIZE_RANGES
from scale_match.core.metric_tables import compare_runs
from scale_match.engine.transfer_configs import TransferConfigs, pretraining_policy
from scale_match.engine.transfer_settings import CocoFiles, TransferSettings
from scale_match.engine.transfer_stages import StageOutcome
from scale_match.scoring.files import SCORES_FILE
from scale_match.storage.files import write_json

__all__ = ["RESULTS_FILE", "peak_memory", "policy_name", "results_table", "write_results"]

RESULTS_FILE = "results.json"

_SHOWN = ("AP50_tiny", "AP25_tiny", "AP75_tiny")
_POLICY_NAMES = {
    "sm": "Scale Match",
    "msm": "monotone Scale Match",
    "gsm": "Gaussian Scale Match",
    "exact_tile": "exact-scale tiles",
    "mosaic": "mosaics",
    "none": "without Scale Match",
}
_DETECTOR_NAMES = {
    "ScaleMatchRetinaNet": "RetinaNet",
    "ScaleMatchFasterRCNN": "Faster R-CNN",
    "ScaleMatchFCOS": "FCOS",
}
_TRAININGS = ("pretrain", "finetune", "scratch")

Outcomes = Mapping[str, StageOutcome]


def policy_name(policy: str) -> str:
    """A policy in words."""
    return _POLICY_NAMES[policy]


def detector_name(cfg: CfgNode) -> str:
    """A detector in words: its kind, backbone and strides."""
    strides = ", ".join(str(stride) for stride in cfg.SCALE_MATCH.MODEL.STRIDES)
    kind = _DETECTOR_NAMES.get(cfg.MODEL.META_ARCHITECTURE, cfg.MODEL.META_ARCHITECTURE)
    return f"{kind}, ResNet-{cfg.MODEL.RESNETS.DEPTH}, strides {strides}"


def peak_memory() -> dict[str, int]:
    """Largest memory of this process or one of its children so far, and of the GPU, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss
    most = max(
        resource.getrusage(who).ru_maxrss
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    gpu = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
    return {"process": most * unit, "gpu": int(gpu)}


def write_results(
    settings: TransferSettings, configs: TransferConfigs, outcomes: Outcomes
) -> dict[str, Any]:
    """Collect what the stages gave and write it to ``output/results.json``.

    Returns:
        The content.

    Raises:
        InputError: The file cannot be written.
    """
    seconds = {name: outcome.seconds for name, outcome in outcomes.items()}
    results = {
        "pretrained": _metrics(outcomes, "evaluation"),
        "scratch": _metrics(outcomes, "scratch_evaluation"),
        # With the protocol of each score as tools/compare.py reads it.
        "scores_files": _scores_files(settings, outcomes),
        "protocol": _protocol(settings, configs, outcomes),
        "seconds": {**seconds, "total": round(sum(seconds.values()), 3)},
        "stages": {
            name: {
                "skipped": outcome.skipped,
                "resumed": outcome.resumed,
                "settings_hash": outcome.settings_hash,
            }
            for name, outcome in outcomes.items()
        },
        "settings": _plain_settings(settings),
        "versions": _versions(),
        "peak_memory_bytes": peak_memory(),
    }
    write_json(settings.output / RESULTS_FILE, results, indent=1)
    return results


def results_table(results: Mapping[str, Any]) -> str:
    """The metrics side by side with the protocol, and whether the pretraining helped.

    Args:
        results: Of :func:`write_results`.
    """
    protocol = results["protocol"]
    pretrained, scratch = results["pretrained"], results["scratch"]
    if not pretrained:
        return "No test images were named, so nothing was evaluated."
    runs = {f"pretrained ({policy_name(protocol['policy'])})": pretrained}
    if scratch:
        runs["not pretrained"] = scratch
    lines = [compare_runs(runs, _SHOWN).plain(), *_protocol_lines(protocol)]
    if scratch:
        lines.append(_verdict(pretrained["AP50_tiny"], scratch["AP50_tiny"]))
    return "\n".join(lines)


def _metrics(outcomes: Outcomes, name: str) -> dict[str, float]:
    return dict(outcomes[name].result["metrics"]) if name in outcomes else {}


def _scores_files(settings: TransferSettings, outcomes: Outcomes) -> dict[str, str]:
    """Run -> its scores file, where it was evaluated."""
    stages = {"pretrained": "evaluation", "scratch": "scratch_evaluation"}
    paths = {
        run: settings.output / stage / "inference" / SCORES_FILE for run, stage in stages.items()
    }
    return {
        run: str(path) for run, path in paths.items() if stages[run] in outcomes and path.is_file()
    }


def _protocol(
    settings: TransferSettings, configs: TransferConfigs, outcomes: Outcomes
) -> dict[str, Any]:
    """All that one has to know to compare the numbers with others."""
    cfg = configs.finetune
    tiles = cfg.SCALE_MATCH.TILES
    test = settings.test
    trained = {
        name: outcomes[name].result
        for name in ("pretrain", "finetune", "scratch")
        if name in outcomes
    }
    return {
        "detector": detector_name(cfg),
        "policy": pretraining_policy(configs.pretrain),
        "test_annotations": None if test is None else str(test.annotations),
        "test_tile": list(tiles.SIZE) if tiles.ENABLED else None,
        "test_overlap": list(tiles.OVERLAP) if tiles.ENABLED else None,
        "merge": tiles.MERGE if tiles.ENABLED else None,
        "nms_iou": tiles.NMS_THRESH,
        "max_detections_per_image": tiles.MAX_DETECTIONS,
        "max_dets": max(cfg.SCALE_MATCH.EVAL.MAX_DETS),
        "tiny_sizes_px": list(SIZE_RANGES["tiny"]),
        "train_tile": list(settings.tile),
        "steps": {name: result["steps"] for name, result in trained.items()},
        "images_per_step": {name: result["images_per_step"] for name, result in trained.items()},
        "seed": settings.seed,
        "device": cfg.MODEL.DEVICE,
        "processes": settings.num_gpus,
    }


def _protocol_lines(protocol: Mapping[str, Any]) -> list[str]:
    steps, batch = protocol["steps"], protocol["images_per_step"]
    low, high = protocol["tiny_sizes_px"]
    width, height = protocol["train_tile"]
    lines = [
        f"detector: {protocol['detector']}",
        f"test images: {protocol['test_annotations']}",
        f"AP at IoU 0.25, 0.50, 0.75; tiny: sqrt(area) {low:g} to {high:g} px; "
        f"at most {protocol['max_dets']} detections per image count",
    ]
    if protocol["test_tile"]:
        (w, h), (x, y) = protocol["test_tile"], protocol["test_overlap"]
        lines.append(
            f"detection on {w}x{h} tiles with overlap {x}, {y}, merged by NMS at IoU "
            f"{protocol['nms_iou']:g}"
        )
    lines.append(
        f"pretraining: {steps['pretrain']} steps of {batch['pretrain']} images; fine-tuning: "
        f"{steps['finetune']} steps of {batch['finetune']} tiles of {width}x{height}"
    )
    if "scratch" in steps:
        lines.append(f"not pretrained: the same {steps['scratch']} steps on the same tiles")
    return lines


def _verdict(pretrained: float, scratch: float) -> str:
    values = f"AP50_tiny {100 * pretrained:.2f} against {100 * scratch:.2f}"
    if pretrained > scratch:
        return f"The pretrained model is better here: {values}."
    return f"The pretrained model is NOT better here: {values}."


def _plain_settings(settings: TransferSettings) -> dict[str, Any]:
    def paths(files: CocoFiles | None) -> dict[str, str] | None:
        if files is None:
            return None
        return {"annotations": str(files.annotations), "images": str(files.images)}

    return {
        "source": paths(settings.source),
        "target": paths(settings.target),
        "test": paths(settings.test),
        "config": str(settings.config),
        "pretrain_config": str(settings.pretrain_config or settings.config),
        "options": list(settings.opts),
    }


def _versions() -> dict[str, str]:
    packages = (scale_match, torch, torchvision, detectron2, numpy, PIL)
    return {"python": platform.python_version()} | {
        package.__name__: str(package.__version__) for package in packages
    }

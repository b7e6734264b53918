"""The advice of the data doctor as a config, with the reason beside each setting."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from scale_match.core.anchor_advice import AnchorAdvice
from scale_match.core.data_diagnosis import Advice, Diagnosis

__all__ = ["ConfigFiles", "advised_config"]

# Bases below configs/ of each backbone, and the settings that its leaves have.
_BASES = {
    "r50": ["Base-AdapRetinaNet.yaml"],
    "r18": ["Base-AdapRetinaNet.yaml", "Base-R18.yaml"],
}
# Leaf settings of Adap RetinaNet-c for two tiles a step. Base-R18 has its own, and no reference
# batch: its optimizer is AdamW, and the linear rule is SGD's.
_R50_SOLVER = """SOLVER:
  IMS_PER_BATCH: 2
  BASE_LR: 0.01
"""
_R50_OWN_SOLVER = """  SOLVER:
    CLIP_GLOBAL_NORM: 1.0
    # another SOLVER.IMS_PER_BATCH gets another learning rate in proportion
    REFERENCE_BATCH: 2
"""


@dataclass(frozen=True, slots=True)
class ConfigFiles:
    """The files that a config names.

    Attributes:
        configs: The folder of the base configs.
        train_annotations: File to train on.
        train_images: Its image folder.
        test_annotations: File to test on; None for no test.
        test_images: Its image folder.
    """

    configs: Path
    train_annotations: Path
    train_images: Path
    test_annotations: Path | None = None
    test_images: Path | None = None


def advised_config(diagnosis: Diagnosis, advice: Advice, files: ConfigFiles, output: Path) -> str:
    """The text of a config: a .yaml for ``train_net.py``, a .py for ``lazyconfig_train_net.py``.

    File names are absolute, so that it runs from any folder; the bases of a .yaml are named
    relative to ``output`` where both lie in one checkout.

    Args:
        diagnosis: Of the file to train on.
        advice: Its advice.
        files: What the config names.
        output: Where the text will be written.
    """
    if output.suffix == ".py":
        return _lazy_text(diagnosis, advice, files, output)
    backbone = advice.memory.backbone
    num_classes = len(diagnosis.summary.categories)
    anchors, tiles = advice.anchors, advice.tiles
    parts = [
        _title(diagnosis),
        f"_BASE_: {_flow(_base_paths(files.configs, _BASES[backbone], output))}\n",
        f"MODEL:\n  RETINANET:\n    NUM_CLASSES: {num_classes}\n",
        _R50_SOLVER if backbone == "r50" else "",
        "SCALE_MATCH:\n",
        _data_part(files),
        _model_part(anchors),
    ]
    if not diagnosis.summary.num_tiles:
        parts.append(f"  TILES:\n    # {tiles.reason}\n    ENABLED: {tiles.enabled}\n")
        if tiles.enabled:
            sides = f"    SIZE: {_flow(tiles.tile)}\n    OVERLAP: {_flow(tiles.overlap)}\n"
            parts.append(f"{sides}  TRAIN_TILES:\n    ENABLED: True\n{sides}")
    if advice.scale_match is not None:
        parts.append(
            "  # a pretraining towards these sizes: POLICY, TARGET and SCALE_RANGE "
            f"{_flow(advice.scale_match.scale_range)}\n"
        )
    parts += [
        _R50_OWN_SOLVER if backbone == "r50" else "",
        f"OUTPUT_DIR: {_quoted(f'output/{output.stem}')}\n",
    ]
    return "".join(parts)


def _title(diagnosis: Diagnosis) -> str:
    return (
        f"# Advised by tools/analyze.py for {Path(diagnosis.annotations).name}: "
        f"{diagnosis.summary.num_objects} objects in {diagnosis.summary.num_images} images\n"
    )


def _lazy_text(diagnosis: Diagnosis, advice: Advice, files: ConfigFiles, output: Path) -> str:
    """The same as :func:`advised_config` writes as .yaml, on the parts of the Lazy configs."""
    small = advice.memory.backbone == "r18"
    anchors, tiles = advice.anchors, advice.tiles
    common = files.configs.resolve() / "common"
    recipe = f"recipes/tiny_person{'_r18' if small else ''}.py"
    named = {
        "train.annotations": files.train_annotations,
        "train.images": files.train_images,
        "test.annotations": files.test_annotations,
        "test.images": files.test_images,
    }
    lines = [
        "from detectron2.config import LazyConfig\n",
        f"_common = {str(common)!r}",
        "model = LazyConfig.load(",
        f'    f"{{_common}}/models/adap_retinanet_{advice.memory.backbone}.py", "model"',
        ")",
        "dataloader, lr_multiplier, optimizer, tiles, train = LazyConfig.load(",
        f'    f"{{_common}}/{recipe}",',
        '    ("dataloader", "lr_multiplier", "optimizer", "tiles", "train"),',
        ")\n",
        f"model.num_classes = {len(diagnosis.summary.categories)}",
        f"# anchors reach {100 * (anchors.recall['all'] or 0.0):.1f} % of the objects at IoU 0.5",
        f"model.levels.strides = {list(anchors.strides)}",
        f"model.levels.anchor_scale = {float(anchors.anchor_scale)}",
        f"model.levels.scales_per_octave = {anchors.scales_per_octave}",
        f"model.levels.aspect_ratios = {list(anchors.aspect_ratios)}",
        *(
            f"dataloader.{key} = {str(path.resolve()) if path else ''!r}"
            for key, path in named.items()
        ),
    ]
    # The recipe has the order of the published runs.
    lines.append("dataloader.train.tiles.together = 4")
    if not diagnosis.summary.num_tiles:
        lines += [f"# {tiles.reason}", f"tiles.enabled = {tiles.enabled}"]
        if tiles.enabled:
            for node in ("tiles", "dataloader.train.tiles"):
                lines.append(f"{node}.tile = {list(tiles.tile)}")
                lines.append(f"{node}.overlap = {list(tiles.overlap)}")
            lines.append("dataloader.train.tiles.enabled = True")
    if not small:
        lines += [
            "dataloader.train.total_batch_size = 2",
            "optimizer.lr = 0.01",
            "# another total_batch_size gets another learning rate in proportion",
            "train.reference_batch = 2",
            "train.clip_global_norm = 1.0",
        ]
    lines.append(f"train.output_dir = {f'output/{output.stem}'!r}")
    return _title(diagnosis) + "\n".join(lines) + "\n"


def _base_paths(configs: Path, names: Sequence[str], output: Path) -> list[str]:
    folder = output.resolve().parent
    inside = folder.is_relative_to(configs.resolve().parent)
    paths = [configs.resolve() / name for name in names]
    return [os.path.relpath(path, folder) if inside else str(path) for path in paths]


def _data_part(files: ConfigFiles) -> str:
    named = {
        "TRAIN_ANNOTATIONS": files.train_annotations,
        "TRAIN_IMAGES": files.train_images,
        "TEST_ANNOTATIONS": files.test_annotations,
        "TEST_IMAGES": files.test_images,
    }
    lines = [
        f"    {key}: {_quoted(str(path.resolve()) if path else '')}\n"
        for key, path in named.items()
    ]
    return "".join(["  DATA:\n", *lines])


def _model_part(anchors: AnchorAdvice) -> str:
    recall = anchors.recall["all"] or 0.0
    return (
        f"  MODEL:\n    # anchors reach {100 * recall:.1f} % of the objects at IoU 0.5\n"
        f"    STRIDES: {_flow(anchors.strides)}\n"
        f"    ANCHOR_SCALE: {float(anchors.anchor_scale)}\n"
        f"    SCALES_PER_OCTAVE: {anchors.scales_per_octave}\n"
        f"    ASPECT_RATIOS: {_flow(anchors.aspect_ratios)}\n"
    )


def _flow(values: Sequence[object]) -> str:
    """A list on one line."""
    return yaml.safe_dump(list(values), default_flow_style=True, width=10_000).strip()


def _quoted(text: str) -> str:
    return yaml.safe_dump(text, default_style='"', width=10_000).strip()

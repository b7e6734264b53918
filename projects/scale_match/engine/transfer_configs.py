"""The configs of a transfer's trainings: one detector, with data, weights and schedule of each."""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode

from scale_match.core.errors import InputError
from scale_match.engine.overrides import record_overrides
from scale_match.engine.session import yacs_config
from scale_match.engine.transfer_settings import PARTS, CocoFiles, TransferSettings
from scale_match.storage.annotations import read_annotations
from scale_match.storage.files import file_sha256

__all__ = [
    "TransferConfigs",
    "build_configs",
    "config_fingerprint",
    "data_fingerprint",
    "pretraining_policy",
]

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TransferConfigs:
    """Configs of :func:`~scale_match.engine.session.yacs_config`, without paths of stages.

    Attributes:
        pretrain: Source, policy; ``SCALE_MATCH.TARGET`` is to be set.
        finetune: ``MODEL.WEIGHTS`` and the training data are to be set; the test data are named,
            if there are any.
    """

    pretrain: CfgNode
    finetune: CfgNode


def build_configs(settings: TransferSettings) -> TransferConfigs:
    """Read both configs and put in what the transfer decides.

    Raises:
        InputError: A config or an annotation file is broken, or the weights of one config do not
            fit the other.
    """
    pretrain = _config(settings, settings.pretrain_config or settings.config)
    finetune = _config(settings, settings.config)
    _leave_out_training_tiles([pretrain, finetune], settings.tile)
    if not settings.reset_head:
        _check_same_detector(pretrain, finetune)
    policy = settings.policy or pretraining_policy(pretrain)
    if settings.policy is None and policy == "none":
        policy = "sm"
    _set_policy(pretrain, policy, settings.tile)
    # Monotone Scale Match ranks the sizes of what it trains on.
    pretrain.SCALE_MATCH.SOURCE = ""
    _set_training_data(pretrain, settings.source)
    _set_policy(finetune, "none", settings.tile)
    _set_classes(finetune, settings.target)
    _set_steps(pretrain, settings.pretrain_steps)
    _set_steps(finetune, settings.finetune_steps)
    return TransferConfigs(pretrain, finetune)


def config_fingerprint(cfg: CfgNode) -> str:
    """Hash of a config without its output folder and without paths, which data hashes replace."""
    cfg = cfg.clone()
    cfg.defrost()
    cfg.OUTPUT_DIR = ""
    cfg.MODEL.WEIGHTS = ""
    cfg.SCALE_MATCH.TARGET = cfg.SCALE_MATCH.SOURCE = ""
    for key in cfg.SCALE_MATCH.DATA:
        if key.endswith(("_ANNOTATIONS", "_IMAGES")):
            cfg.SCALE_MATCH.DATA[key] = ""
    return hashlib.sha256(cfg.dump().encode()).hexdigest()


def data_fingerprint(files: CocoFiles) -> dict[str, Any]:
    """What identifies a data set: the annotation file's hash, and names and sizes of the images.

    Raises:
        InputError: The annotation file is broken.
    """
    annotations = read_annotations(files.annotations)
    digest = hashlib.sha256()
    for name in sorted({image.file_name for image in annotations.images}):
        path = files.images / name
        size = path.stat().st_size if path.is_file() else -1
        digest.update(f"{name}\0{size}\n".encode())
    return {
        "annotations_sha256": file_sha256(files.annotations),
        "images": len(annotations.images),
        "image_files_sha256": digest.hexdigest(),
    }


def _config(settings: TransferSettings, path: Path) -> CfgNode:
    cfg = yacs_config(path, settings.opts)
    cfg.SEED = settings.seed
    if settings.device is not None:
        cfg.MODEL.DEVICE = settings.device
    # The evaluation is a stage of its own.
    cfg.TEST.EVAL_PERIOD = 0
    cfg.DATASETS.TRAIN = cfg.DATASETS.TEST = ()
    data = cfg.SCALE_MATCH.DATA
    data.TRAIN_ANNOTATIONS = data.TRAIN_IMAGES = data.TEST_ANNOTATIONS = data.TEST_IMAGES = ""
    return cfg


def _leave_out_training_tiles(cfgs: Sequence[CfgNode], tile: tuple[int, int]) -> None:
    """Switches the tiles off that loading would cut, as in a config of ``analyze.py``.

    Scale Match takes whole images of the source, and the target is cut by a stage of its own, whose
    tiles cannot be cut again.
    """
    nodes = [cfg.SCALE_MATCH.TRAIN_TILES for cfg in cfgs if cfg.SCALE_MATCH.TRAIN_TILES.ENABLED]
    for node in nodes:
        node.ENABLED = False
    others = {tuple(node.SIZE) for node in nodes} - {tile}
    if nodes:
        _logger.info(
            "SCALE_MATCH.TRAIN_TILES.ENABLED does not count here: the pretraining is on whole "
            "images, the fine-tuning on tiles of %dx%d (--tile%s)",
            *tile,
            "".join(f"; SCALE_MATCH.TRAIN_TILES.SIZE is {list(size)}" for size in sorted(others)),
        )


def _check_same_detector(pretrain: CfgNode, finetune: CfgNode) -> None:
    """Says before the pretraining what loading its weights would refuse after it."""
    nodes = pretrain, finetune
    pairs = {
        "MODEL.META_ARCHITECTURE": [node.MODEL.META_ARCHITECTURE for node in nodes],
        "SCALE_MATCH.MODEL.STRIDES": [list(node.SCALE_MATCH.MODEL.STRIDES) for node in nodes],
    }
    for key, (theirs, ours) in pairs.items():
        if theirs != ours:
            raise InputError(
                f"the weights of the pretraining cannot pass on: {key} is {theirs} in "
                f"--pretrain-config and {ours} in --config; name configs of one detector, or let "
                "the head start anew with --reset-head"
            )


def pretraining_policy(cfg: CfgNode) -> str:
    """How a config gets objects of the target's sizes, as ``--policy`` calls it."""
    for policy, key in PARTS.items():
        if cfg.SCALE_MATCH.AUGMENT[key]:
            return policy
    return str(cfg.SCALE_MATCH.POLICY)


def _set_policy(cfg: CfgNode, policy: str, tile: tuple[int, int]) -> None:
    """Puts one way to get the target's sizes in the place of that of the config."""
    node = cfg.SCALE_MATCH
    for part, key in PARTS.items():
        size = list(node.AUGMENT[key]) or [tile[1], tile[0]]  # height and width
        node.AUGMENT[key] = size if part == policy else []
    node.POLICY = "none" if policy in PARTS else policy


def _set_training_data(cfg: CfgNode, files: CocoFiles) -> None:
    cfg.SCALE_MATCH.DATA.TRAIN_ANNOTATIONS = str(files.annotations)
    cfg.SCALE_MATCH.DATA.TRAIN_IMAGES = str(files.images)
    _set_classes(cfg, files)


def _set_classes(cfg: CfgNode, files: CocoFiles) -> None:
    """As many classes as the data set has categories."""
    count = len(read_annotations(files.annotations).categories)
    if count == 0:
        raise InputError(f"{files.annotations} has no categories to train on")
    cfg.MODEL.RETINANET.NUM_CLASSES = count
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = count
    cfg.SCALE_MATCH.FCOS.NUM_CLASSES = count


def _set_steps(cfg: CfgNode, steps: int | None) -> None:
    """The length of a training in iterations; the learning rate's steps keep their relative place.

    The epochs are switched off, so that no number of iterations is taken for detectron2's default.
    """
    if steps is None:
        return
    epochs = cfg.SCALE_MATCH.SOLVER.EPOCHS
    if epochs > 0:
        at = [step / epochs for step in cfg.SCALE_MATCH.SOLVER.STEP_EPOCHS if step < epochs]
    else:
        at = [step / cfg.SOLVER.MAX_ITER for step in cfg.SOLVER.STEPS]
    named = {"SOLVER.MAX_ITER": cfg.SOLVER.MAX_ITER, "SOLVER.STEPS": cfg.SOLVER.STEPS}
    record_overrides(cfg, named)
    cfg.SCALE_MATCH.SOLVER.EPOCHS = 0
    cfg.SOLVER.STEPS = tuple(max(round(share * steps), 1) for share in at)
    cfg.SOLVER.MAX_ITER = steps

"""The smallest training there is: a narrow model on a few drawn images, for both front ends."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from scale_match.engine.front_ends import LAZY, YACS, FrontEnd
from toy import make_toy_dataset

CONFIGS = Path(__file__).resolve().parents[2] / "configs" / "quick"
YACS_FILE = CONFIGS / "adap_retinanet_r18_fpn_20it_toy.yaml"
LAZY_FILE = CONFIGS / "adap_retinanet_r18_fpn_20it_toy.py"


def make_data(folder: Path, **options: int) -> tuple[Path, Path]:
    """Annotation file and image folder; options of `make_toy_dataset`."""
    settings = {"num_images": 6, "width": 96, "height": 64, **options}
    return make_toy_dataset(folder, **settings)


def yacs_opts(data: tuple[Path, Path], output: Path, **changes: object) -> list[str]:
    """Overrides of the quick yacs config; changes replace or add keys, "__" standing for "."."""
    annotations, images = data
    values = {
        "OUTPUT_DIR": output,
        "SEED": 7,
        "SOLVER.MAX_ITER": 6,
        "SOLVER.IMS_PER_BATCH": 2,
        "SOLVER.WARMUP_ITERS": 2,
        "MODEL.FPN.OUT_CHANNELS": 32,
        "SCALE_MATCH.MODEL.STRIDES": [8, 16],
        "SCALE_MATCH.TILES.SIZE": [64, 64],
        "SCALE_MATCH.TILES.OVERLAP": [16, 16],
        "SCALE_MATCH.DATA.TRAIN_ANNOTATIONS": annotations,
        "SCALE_MATCH.DATA.TRAIN_IMAGES": images,
        "SCALE_MATCH.DATA.TEST_ANNOTATIONS": annotations,
        "SCALE_MATCH.DATA.TEST_IMAGES": images,
    }
    return [str(word) for pair in _changed(values, changes).items() for word in pair]


def lazy_overrides(data: tuple[Path, Path], output: Path, **changes: object) -> list[str]:
    """The same for the quick Lazy config."""
    annotations, images = data
    values = {
        "train.output_dir": output,
        "train.seed": 7,
        "train.max_iter": 6,
        "dataloader.train.total_batch_size": 2,
        "lr_multiplier.warmup_iters": 2,
        "model.backbone.out_channels": 32,
        "model.levels.strides": [8, 16],
        "tiles.tile": [64, 64],
        "tiles.overlap": [16, 16],
        "dataloader.train.annotations": annotations,
        "dataloader.train.images": images,
        "dataloader.test.annotations": annotations,
        "dataloader.test.images": images,
    }
    return [f"{key}={value}" for key, value in _changed(values, changes).items()]


def _changed(values: Mapping[str, object], changes: Mapping[str, object]) -> dict[str, object]:
    return {**values, **{key.replace("__", "."): value for key, value in changes.items()}}


@dataclass(frozen=True)
class Runner:
    """One front end, with names for the settings that the tests change."""

    front_end: FrontEnd
    file: Path
    tool: str
    keys: dict[str, str]
    no_decay: dict[str, float]

    def overrides(self, data, output, **changes):
        changes = {self.keys.get(name, name): value for name, value in changes.items()}
        make = yacs_opts if self.front_end is YACS else lazy_overrides
        return make(data, output, **changes)

    def config(self, data, output, **changes):
        return self.front_end.load(self.file, self.overrides(data, output, **changes))

    def train(self, data, output, *, resume=False, **changes):
        return self.front_end.train(self.config(data, output, **changes), resume=resume)

    def evaluate(self, data, output, *, resume=False, **changes):
        return self.front_end.evaluate(self.config(data, output, **changes), resume=resume)


RUNNERS = {
    "yacs": Runner(
        YACS,
        YACS_FILE,
        "train_net.py",
        {
            "policy": "SCALE_MATCH.POLICY",
            "target": "SCALE_MATCH.TARGET",
            "period": "SOLVER.CHECKPOINT_PERIOD",
            "eval_period": "TEST.EVAL_PERIOD",
            "weights": "MODEL.WEIGHTS",
            "classes": "MODEL.RETINANET.NUM_CLASSES",
            "norm": "MODEL.RESNETS.NORM",
            "freeze_at": "MODEL.BACKBONE.FREEZE_AT",
            "width": "MODEL.FPN.OUT_CHANNELS",
            "seed": "SEED",
            "lr": "SOLVER.BASE_LR",
            "max_iter": "SOLVER.MAX_ITER",
            "amp": "SOLVER.AMP.ENABLED",
            "amp_type": "SCALE_MATCH.SOLVER.AMP_DTYPE",
            "accumulate": "SCALE_MATCH.SOLVER.ACCUMULATE",
            "ema": "SCALE_MATCH.SOLVER.EMA_DECAY",
            "validation": "SCALE_MATCH.SOLVER.VALIDATION_LOSS_PERIOD",
            "patience": "SCALE_MATCH.SOLVER.EARLY_STOPPING_PATIENCE",
            "wandb": "SCALE_MATCH.SOLVER.WANDB_PROJECT",
            "workers": "DATALOADER.NUM_WORKERS",
            "device": "MODEL.DEVICE",
            "tiles": "SCALE_MATCH.TILES.ENABLED",
            "batch": "SOLVER.IMS_PER_BATCH",
            "test": "SCALE_MATCH.DATA.TEST_ANNOTATIONS",
            "test_images": "SCALE_MATCH.DATA.TEST_IMAGES",
        },
        {
            "SOLVER.WEIGHT_DECAY": 0.0,
            "SOLVER.WEIGHT_DECAY_BIAS": 0.0,
            "SOLVER.WEIGHT_DECAY_NORM": 0.0,
        },
    ),
    "lazy": Runner(
        LAZY,
        LAZY_FILE,
        "lazyconfig_train_net.py",
        {
            "policy": "dataloader.train.mapper.scale_policy.policy",
            "target": "dataloader.train.mapper.scale_policy.target",
            "period": "train.checkpointer.period",
            "eval_period": "train.eval_period",
            "weights": "train.init_checkpoint",
            "classes": "model.num_classes",
            "norm": "model.backbone.bottom_up.norm",
            "freeze_at": "model.backbone.bottom_up.freeze_at",
            "width": "model.backbone.out_channels",
            "seed": "train.seed",
            "lr": "optimizer.lr",
            "max_iter": "train.max_iter",
            "amp": "train.amp.enabled",
            "amp_type": "train.amp.dtype",
            "accumulate": "train.accumulate",
            "ema": "train.ema_decay",
            "validation": "train.validation_loss_period",
            "patience": "train.early_stopping_patience",
            "wandb": "train.wandb_project",
            "workers": "dataloader.train.num_workers",
            "device": "train.device",
            "tiles": "tiles.enabled",
            "batch": "dataloader.train.total_batch_size",
            "test": "dataloader.test.annotations",
            "test_images": "dataloader.test.images",
        },
        {"optimizer.weight_decay": 0.0},
    ),
}


def weights_of(folder, name="model_final"):
    """Parameters and buffers of a checkpoint."""
    return torch.load(folder / f"{name}.pth")["model"]


def same_weights(first, second):
    """Whether two of them are equal to the last bit."""
    return first.keys() == second.keys() and all(
        torch.equal(first[name], second[name]) for name in first
    )

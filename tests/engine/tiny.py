"""The smallest training there is: a narrow model on a few drawn images, for both front ends."""

from collections.abc import Mapping
from pathlib import Path

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
        "MODEL.FPN.OUT_CHANNELS": 16,
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
        "model.backbone.out_channels": 16,
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

"""How Adap FCOS is trained and merged, on top of a recipe of data."""

from omegaconf import DictConfig

# What the R-50 leaves start from without a pretraining of their own: caffe's BGR pixels.
MSRA_R50 = "detectron2://ImageNetPretrained/MSRA/R-50.pkl"


def train_as_fcos(
    optimizer: DictConfig, lr_multiplier: DictConfig, tiles: DictConfig, train: DictConfig
) -> None:
    """Puts in what the authors' FCOS has of its own; the leaf's values come after it."""
    # Biases learn twice as fast and do not decay.
    optimizer.params.base_lr = "${..lr}"
    optimizer.params.bias_lr_factor = 2.0
    optimizer.params.weight_decay_bias = 0.0
    lr_multiplier.warmup_factor = 1 / 3
    train.clip_global_norm = 35.0
    tiles.nms_threshold = 0.6

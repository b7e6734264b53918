"""What is wrong with a model before a training or an evaluation of it has begun."""

import logging
from collections.abc import Sequence

from detectron2.data import MetadataCatalog
from detectron2.layers import FrozenBatchNorm2d
from torch import nn

from scale_match.core.errors import InputError

__all__ = ["check_classes", "check_frozen_layers", "check_regions", "classes_of", "log_model"]

_logger = logging.getLogger(__name__)


def log_model(model: nn.Module) -> None:
    """Logs kind and size of a model; its layers follow from the config, which is saved."""
    sizes = [(value.numel(), value.requires_grad) for value in model.parameters()]
    total, trained = sum(n for n, _ in sizes), sum(n for n, trains in sizes if trains)
    _logger.info(
        "Model %s: %.2f million parameters, %.2f million of them trained",
        type(model).__name__,
        total / 1e6,
        trained / 1e6,
    )


def check_frozen_layers(model: nn.Module, *, weights: str, is_lazy: bool) -> None:
    """Refuses to train a model whose frozen layers hold random values for ever.

    Args:
        model: As built, before weights are loaded.
        weights: The weight file or checkpoint that will be loaded; "" for none.
        is_lazy: Which front end's keys to name.

    Raises:
        InputError: There is a FrozenBN layer or a frozen parameter, and nothing to load.
    """
    if weights:
        return
    frozen = [name for name, part in model.named_modules() if isinstance(part, FrozenBatchNorm2d)]
    frozen += [name for name, value in model.named_parameters() if not value.requires_grad]
    if not frozen:
        return
    if is_lazy:
        advice = (
            "name pretrained weights in train.init_checkpoint, or train from random values with "
            'norm="BN" (or "GN") and freeze_at=0 in model.backbone.bottom_up'
        )
    else:
        advice = (
            "name pretrained weights in MODEL.WEIGHTS, or train from random values with "
            "MODEL.RESNETS.NORM BN (or GN) and MODEL.BACKBONE.FREEZE_AT 0"
        )
    raise InputError(
        f"{frozen[0]} and {len(frozen) - 1} more layers and parameters are frozen, and there are "
        f"no weights to load: {advice}"
    )


def check_regions(model: nn.Module, mapper: object) -> None:
    """Refuses masked ignore regions for a model that would take them for a class.

    Args:
        model: A model of a Lazy config; the yacs mapper asks the config itself.
        mapper: The mapper of the training loader.

    Raises:
        InputError: The mapper marks regions with class -1, which the model does not know.
    """
    masks = getattr(mapper, "ignore_regions", None) == "mask"
    if masks and not hasattr(model, "ignore_overlap"):
        raise InputError(
            "dataloader.train.mapper.ignore_regions 'mask' needs a ScaleMatchRetinaNet, "
            "ScaleMatchFasterRCNN or ScaleMatchFCOS, not "
            f"{type(model).__name__}"
        )


def classes_of(model: nn.Module) -> int | None:
    """The number of a detector's classes; None if it does not say."""
    holder = getattr(model, "roi_heads", model)
    return getattr(holder, "num_classes", None)


def check_classes(model: nn.Module, dataset_names: Sequence[str]) -> None:
    """Refuses data sets with another number of categories than the model has classes.

    Args:
        model: A detectron2 model; one that does not say its number of classes is not checked.
        dataset_names: Registered names; one without a list of categories is not checked.

    Raises:
        InputError: Names data set, both numbers, and the keys to change.
    """
    num_classes = classes_of(model)
    if num_classes is None:
        return
    for name in dataset_names:
        metadata = MetadataCatalog.get(name)
        classes = metadata.get("thing_classes")
        if classes is not None and len(classes) != num_classes:
            raise InputError(
                f"the model has {num_classes} classes, but {metadata.get('json_file', name)} has "
                f"{len(classes)} categories ({', '.join(list(classes)[:3])}, ...): set "
                "MODEL.RETINANET.NUM_CLASSES, MODEL.ROI_HEADS.NUM_CLASSES or "
                "SCALE_MATCH.FCOS.NUM_CLASSES (model.num_classes in a Lazy config)"
            )

"""What Detectron2 looks up by name, registered by one call in every process."""

from importlib import import_module

__all__ = ["register_all"]

# Modules whose import registers something: backbones, meta-architectures.
_REGISTERING_MODULES = (
    "scale_match.modeling.backbone",
    "scale_match.modeling.faster_rcnn",
    "scale_match.modeling.fcos",
    "scale_match.modeling.retinanet",
)


def register_all() -> None:
    """Registers the models of this project with Detectron2; a second call does nothing.

    ``launch`` starts its processes afresh, so each of them has to call this.
    """
    for name in _REGISTERING_MODULES:
        import_module(name)

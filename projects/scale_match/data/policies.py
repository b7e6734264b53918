"""The Scale Match policy that a config names; ``storage.policies`` builds it."""

from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog

from scale_match.core.errors import InputError
from scale_match.core.scale_policy import ScalePolicy
from scale_match.storage.policies import build_scale_policy

# The Lazy configs, saved ones too, know `build_scale_policy` by its name in this module.
__all__ = ["build_scale_policy", "policy_from_config", "training_annotations"]


def policy_from_config(cfg: CfgNode) -> ScalePolicy | None:
    """The policy of a yacs config; None for ``SCALE_MATCH.POLICY`` "none".

    Raises:
        InputError: A key or a file breaks its rule.
    """
    node = cfg.SCALE_MATCH
    ranks_sizes = node.POLICY in ("msm", "gsm")
    return build_scale_policy(
        node.POLICY,
        target=node.TARGET,
        source=(node.SOURCE or training_annotations(cfg)) if ranks_sizes else (),
        bins=node.BINS,
        log=node.LOG,
        except_rate=node.EXCEPT_RATE,
        mu_sigma=node.MU_SIGMA,
        normal_sample=node.NORMAL_SAMPLE,
        min_size=node.MIN_SIZE,
        size_per=node.SIZE_PER,
        scale_range=node.SCALE_RANGE,
        default_scale=node.DEFAULT_SCALE,
        max_tries=node.MAX_TRIES,
        out_of_range=node.OUT_OF_RANGE,
    )


def training_annotations(cfg: CfgNode) -> list[str]:
    """The annotation files of the training set of a yacs config.

    Raises:
        InputError: A data set names no file.
    """
    if cfg.SCALE_MATCH.DATA.TRAIN_ANNOTATIONS:
        return [cfg.SCALE_MATCH.DATA.TRAIN_ANNOTATIONS]
    files = []
    for name in cfg.DATASETS.TRAIN:
        json_file = MetadataCatalog.get(name).get("json_file")
        if json_file is None:
            raise InputError(
                f"the data set {name!r} names no annotation file: set SCALE_MATCH.SOURCE"
            )
        files.append(json_file)
    return files

"""Loaders and evaluator of data sets that are named by their files.

A relative path that is not there is looked up below $DETECTRON2_DATASETS (default: datasets).
"""

from detectron2.config import LazyCall as L
from detectron2.data.transforms import RandomFlip

from scale_match.data.dataset_mapper import ScaleMatchDatasetMapper
from scale_match.data.lazy import build_lazy_test_loader, build_lazy_train_loader, register_files
from scale_match.data.mosaics import build_mosaic_settings
from scale_match.data.policies import build_scale_policy
from scale_match.data.scale_augmentations import build_scale_augmentations
from scale_match.data.size_target import SizeTarget
from scale_match.evaluation.tiny_evaluator import TinyObjectEvaluator

# What exact-scale tiling and mosaics take from the settings of Scale Match.
_sizes = L(SizeTarget)(
    policy="${dataloader.train.mapper.scale_policy.policy}",
    target="${dataloader.train.mapper.scale_policy.target}",
    source="${dataloader.train.mapper.scale_policy.source}",
    bins="${dataloader.train.mapper.scale_policy.bins}",
    log="${dataloader.train.mapper.scale_policy.log}",
    except_rate="${dataloader.train.mapper.scale_policy.except_rate}",
    mu_sigma="${dataloader.train.mapper.scale_policy.mu_sigma}",
    scale_range="${dataloader.train.mapper.scale_policy.scale_range}",
    default_scale="${dataloader.train.mapper.scale_policy.default_scale}",
    out_of_range="${dataloader.train.mapper.scale_policy.out_of_range}",
)

dataloader = {
    "train": L(build_lazy_train_loader)(
        annotations="",
        images="",
        mapper=L(ScaleMatchDatasetMapper)(
            is_train=True,
            # Images keep their size, unless the policy resizes them.
            augmentations=[
                L(build_scale_augmentations)(
                    # height / width of the boxes to draw from; [] = off
                    reaspect=[],
                    # multi-scale training: pairs of a short and a long side; [] = off
                    sizes=[],
                    pad_to=[1000, 1600],
                    # height and width of a crop around an object; [] = off
                    crop_size=[],
                    crop_scales=[0.5, 2.0],
                    # exact-scale tiling, without a policy: greatest height and width; [] = off
                    exact_tile=[],
                    exact_sizes=_sizes,
                ),
                L(RandomFlip)(horizontal=True),
            ],
            image_format="${model.input_format}",
            scale_policy=L(build_scale_policy)(
                # "none", "sm" (Scale Match), "msm" (monotone) or "gsm" (Gaussian)
                policy="none",
                target="",
                # "msm" and "gsm" only: whose sizes are ranked
                source="${dataloader.train.annotations}",
                bins=100,
                log=False,
                except_rate=None,
                # pixels; "gsm": of ln(size)
                mu_sigma=[],
                # the next three: "gsm" only
                normal_sample="",
                min_size=-1.0,
                size_per="image",
                scale_range=[0.1, 1.0],
                default_scale=0.25,
                max_tries=5,
                out_of_range="clip",
            ),
            seed="${train.seed}",
            # of flagged boxes: "background", "erase" or "mask"
            ignore_regions="background",
        ),
        total_batch_size=1,
        seed="${train.seed}",
        num_workers=4,
        filter_empty=True,
        tiles={
            # True cuts whole images into tiles; the last two are for tile files, too
            "enabled": False,
            "tile": [640, 512],
            "overlap": [50, 50],
            "keep": 0.7,
            # share of tiles without a box in an epoch; None goes by filter_empty
            "empty_share": None,
            # tiles of an image that successive batches take, decoding it once
            "together": 4,
        },
        # mosaics, without a policy: height and width of a canvas; [] = off
        mosaic=L(build_mosaic_settings)(canvas=[], sizes=_sizes),
    ),
    "test": L(build_lazy_test_loader)(
        annotations="",
        images="",
        mapper=L(ScaleMatchDatasetMapper)(
            is_train=False, augmentations=[], image_format="${model.input_format}"
        ),
        num_workers=4,
    ),
    "evaluator": L(TinyObjectEvaluator)(
        dataset_name=L(register_files)(
            annotations="${dataloader.test.annotations}", images="${dataloader.test.images}"
        ),
        output_dir="${train.output_dir}/inference",
        max_dets=[200, 1000],
    ),
}

"""Loaders and evaluator of data sets that are named by their files.

A relative path that is not there is looked up below $DETECTRON2_DATASETS (default: datasets).
"""

from detectron2.config import LazyCall as L
from detectron2.data.transforms import RandomFlip

from scale_match.data.dataset_mapper import ScaleMatchDatasetMapper
from scale_match.data.lazy import build_lazy_test_loader, build_lazy_train_loader, register_files
from scale_match.data.policies import build_scale_policy
from scale_match.evaluation.tiny_evaluator import TinyObjectEvaluator

dataloader = {
    "train": L(build_lazy_train_loader)(
        annotations="",
        images="",
        mapper=L(ScaleMatchDatasetMapper)(
            is_train=True,
            # Images keep their size, unless the policy resizes them.
            augmentations=[L(RandomFlip)(horizontal=True)],
            image_format="${model.input_format}",
            scale_policy=L(build_scale_policy)(
                # "none", "sm" (Scale Match) or "msm" (monotone)
                policy="none",
                target="",
                # "msm" only: whose sizes are ranked
                source="${dataloader.train.annotations}",
                bins=100,
                log=False,
                except_rate=None,
                scale_range=[0.1, 1.0],
                default_scale=0.25,
                max_tries=5,
                out_of_range="clip",
            ),
            seed="${train.seed}",
        ),
        total_batch_size=1,
        seed="${train.seed}",
        num_workers=4,
        filter_empty=True,
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

"""What a config says, in one vocabulary for both front ends, so that twins can be compared."""

from pathlib import Path

from detectron2.config import LazyConfig, get_cfg, instantiate
from detectron2.modeling import build_model
from omegaconf import OmegaConf

from scale_match.config import add_scale_match_config
from scale_match.data.lazy import training_tiles
from scale_match.data.training_tiles import TrainingTiles
from scale_match.engine.registration import register_all
from scale_match.inference.tiled_model import TiledModel

# Attributes that all detectors have, and those of one.
_THRESHOLDS = (
    "levels",
    "num_classes",
    "ignore_overlap",
    "test_score_thresh",
    "test_topk_candidates",
    "test_nms_thresh",
    "max_detections_per_image",
    "input_format",
)
_OWN_THRESHOLDS = {
    "ScaleMatchRetinaNet": (
        "focal_loss_alpha",
        "focal_loss_gamma",
        "smooth_l1_beta",
        "box_reg_loss_type",
        "head_in_features",
    ),
    "ScaleMatchFCOS": (
        "size_ranges",
        "center_sampling_radius",
        "min_distance",
        "focal_loss_alpha",
        "focal_loss_gamma",
    ),
    "ScaleMatchFasterRCNN": (),
}
_facts_of_models: dict[str, dict] = {}


def load_yacs(path, *opts):
    cfg = get_cfg()
    add_scale_match_config(cfg)
    cfg.merge_from_file(str(path))
    cfg.merge_from_list(list(opts))
    return cfg


def load_lazy(path, *overrides):
    return LazyConfig.apply_overrides(LazyConfig.load(str(path)), list(overrides))


def yacs_facts(path: Path) -> dict:
    """The facts of a yacs config; equal to `lazy_facts` of its twin."""
    cfg = load_yacs(path)
    solver, ours = cfg.SOLVER, cfg.SCALE_MATCH
    by_epochs = solver.MAX_ITER == get_cfg().SOLVER.MAX_ITER
    assert solver.STEPS == get_cfg().SOLVER.STEPS, "the steps would not follow another MAX_ITER"
    tiles = {k: v for k, v in TiledModel.from_config(cfg, None).items() if k != "model"}
    return {
        "model": _yacs_model(cfg),
        "optimizer": {
            "kind": ours.SOLVER.OPTIMIZER,
            "lr": solver.BASE_LR,
            "momentum": solver.MOMENTUM if ours.SOLVER.OPTIMIZER == "sgd" else None,
            "weight_decay": solver.WEIGHT_DECAY,
            "weight_decay_norm": solver.WEIGHT_DECAY_NORM,
            "weight_decay_bias": solver.WEIGHT_DECAY_BIAS,
            "bias_lr_factor": solver.BIAS_LR_FACTOR,
        },
        "schedule": {
            "max_iter": None if by_epochs else solver.MAX_ITER,
            "epochs": ours.SOLVER.EPOCHS,
            "step_epochs": ours.SOLVER.STEP_EPOCHS,
            "gamma": solver.GAMMA,
            "warmup": (solver.WARMUP_METHOD, solver.WARMUP_ITERS, solver.WARMUP_FACTOR),
            "batch": solver.IMS_PER_BATCH,
            "reference_batch": ours.SOLVER.REFERENCE_BATCH,
            "clip": ours.SOLVER.CLIP_GLOBAL_NORM,
        },
        "run": {
            "weights": cfg.MODEL.WEIGHTS,
            "device": cfg.MODEL.DEVICE,
            "output": cfg.OUTPUT_DIR,
            "seed": cfg.SEED,
            "checkpoint_period": solver.CHECKPOINT_PERIOD,
            "eval_period": cfg.TEST.EVAL_PERIOD,
            "amp": (solver.AMP.ENABLED, ours.SOLVER.AMP_DTYPE),
            "accumulate": ours.SOLVER.ACCUMULATE,
            "ema": ours.SOLVER.EMA_DECAY,
            "validation_period": ours.SOLVER.VALIDATION_LOSS_PERIOD,
            "patience": ours.SOLVER.EARLY_STOPPING_PATIENCE,
            "wandb": ours.SOLVER.WANDB_PROJECT,
        },
        "data": {
            "train": (ours.DATA.TRAIN_ANNOTATIONS, ours.DATA.TRAIN_IMAGES),
            "test": (ours.DATA.TEST_ANNOTATIONS, ours.DATA.TEST_IMAGES),
            "workers": cfg.DATALOADER.NUM_WORKERS,
            "filter_empty": cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS,
            "flip": cfg.INPUT.RANDOM_FLIP,
            "test_resize": (cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST)
            if ours.DATA.RESIZE
            else None,
            # without a policy RESIZE would resize training images too, which no Lazy twin does
            "train_resize": ours.DATA.RESIZE and ours.POLICY == "none",
            "format": cfg.INPUT.FORMAT,
            "ignore_regions": ours.IGNORE_REGIONS,
            "tiles": TrainingTiles.from_config(cfg),
        },
        "policy": {
            "policy": ours.POLICY,
            "target": ours.TARGET,
            "source": ours.SOURCE or ours.DATA.TRAIN_ANNOTATIONS,
            "bins": ours.BINS,
            "log": ours.LOG,
            "except_rate": None if ours.EXCEPT_RATE < 0 else ours.EXCEPT_RATE,
            "mu_sigma": ours.MU_SIGMA,
            "normal_sample": ours.NORMAL_SAMPLE,
            "min_size": ours.MIN_SIZE,
            "size_per": ours.SIZE_PER,
            "scale_range": ours.SCALE_RANGE,
            "default_scale": ours.DEFAULT_SCALE,
            "max_tries": ours.MAX_TRIES,
            "out_of_range": ours.OUT_OF_RANGE,
        },
        "augmentations": {
            "reaspect": ours.AUGMENT.REASPECT,
            "sizes": ours.AUGMENT.SIZES,
            "pad_to": ours.AUGMENT.PAD_TO,
            "crop_size": ours.AUGMENT.CROP_SIZE,
            "crop_scales": ours.AUGMENT.CROP_SCALES,
            "exact_tile": ours.AUGMENT.EXACT_TILE,
            "mosaic": ours.AUGMENT.MOSAIC,
        },
        "tiles": {"enabled": ours.TILES.ENABLED, **tiles},
        "max_dets": ours.EVAL.MAX_DETS,
    }


def lazy_facts(path: Path) -> dict:
    """The facts of a Lazy config; equal to `yacs_facts` of its twin."""
    cfg = load_lazy(path)
    train, loader, optimizer = cfg.train, cfg.dataloader, cfg.optimizer
    scales, flip = loader.train.mapper.augmentations
    resize = [(r.short_edge_length, r.max_size) for r in loader.test.mapper.augmentations]
    policy = OmegaConf.to_container(loader.train.mapper.scale_policy, resolve=True)
    return {
        "model": _lazy_model(cfg.model),
        "optimizer": {
            "kind": _target(optimizer).lower(),
            "lr": optimizer.lr,
            "momentum": optimizer.get("momentum"),
            "weight_decay": optimizer.weight_decay,
            "weight_decay_norm": optimizer.params.weight_decay_norm,
            # biases have the optimizer's decay unless their own is named
            "weight_decay_bias": optimizer.params.get("weight_decay_bias", optimizer.weight_decay),
            "bias_lr_factor": optimizer.params.get("bias_lr_factor", 1.0),
        },
        "schedule": {
            "max_iter": cfg.lr_multiplier.max_iter,
            "epochs": train.epochs,
            "step_epochs": list(train.step_epochs),
            "gamma": cfg.lr_multiplier.gamma,
            "warmup": ("linear", cfg.lr_multiplier.warmup_iters, cfg.lr_multiplier.warmup_factor),
            "batch": loader.train.total_batch_size,
            "reference_batch": train.reference_batch,
            "clip": train.clip_global_norm,
        },
        "run": {
            "weights": train.init_checkpoint,
            "device": train.device,
            "output": train.output_dir,
            "seed": train.seed,
            "checkpoint_period": train.checkpointer.period,
            "eval_period": train.eval_period,
            "amp": (train.amp.enabled, train.amp.dtype),
            "accumulate": train.accumulate,
            "ema": train.ema_decay,
            "validation_period": train.validation_loss_period,
            "patience": train.early_stopping_patience,
            "wandb": train.wandb_project,
        },
        "data": {
            "train": (loader.train.annotations, loader.train.images),
            "test": (loader.test.annotations, loader.test.images),
            "workers": loader.train.num_workers,
            "filter_empty": loader.train.filter_empty,
            "flip": "horizontal" if flip.horizontal else "none",
            "test_resize": resize[0] if resize else None,
            "train_resize": False,
            "format": loader.train.mapper.image_format,
            "ignore_regions": loader.train.mapper.ignore_regions,
            "tiles": training_tiles(OmegaConf.to_container(loader.train.tiles)),
        },
        "policy": {key: value for key, value in policy.items() if key != "_target_"},
        "augmentations": {
            **{
                name: OmegaConf.to_container(scales[name])
                for name in (
                    "reaspect",
                    "sizes",
                    "pad_to",
                    "crop_size",
                    "crop_scales",
                    "exact_tile",
                )
            },
            "mosaic": list(loader.train.mosaic.canvas),
        },
        "tiles": OmegaConf.to_container(cfg.tiles),
        "max_dets": list(loader.evaluator.max_dets),
    }


def model_facts(model) -> dict:
    """Everything of a model that a config settles."""
    kind = type(model).__name__
    return {
        "kind": kind,
        "shapes": {name: tuple(value.shape) for name, value in model.state_dict().items()},
        "trained": {name for name, value in model.named_parameters() if value.requires_grad},
        "norms": sorted(
            {type(part).__name__ for part in model.modules() if "Norm" in type(part).__name__}
        ),
        "strided": {
            name: part.stride for name, part in model.named_modules() if hasattr(part, "stride")
        },
        "pixels": (model.pixel_mean.flatten().tolist(), model.pixel_std.flatten().tolist()),
        **{name: getattr(model, name) for name in (*_THRESHOLDS, *_OWN_THRESHOLDS[kind])},
        **_OWN_FACTS[kind](model),
    }


def _anchor_facts(holder) -> dict:
    """Anchors and how they are matched, of a RetinaNet or an RPN."""
    matcher = holder.anchor_matcher
    return {
        "anchors": [cell.tolist() for cell in holder.anchor_generator.cell_anchors],
        "anchor_strides": list(holder.anchor_generator.strides),
        "anchor_offset": holder.anchor_generator.offset,
        "matcher": (matcher.thresholds, matcher.labels, matcher.allow_low_quality_matches),
        "delta_weights": tuple(holder.box2box_transform.weights),
    }


def _retinanet_facts(model) -> dict:
    return {
        **_anchor_facts(model),
        "prior": model.head.cls_score.bias.tolist(),
        "normalizer": model._divides_by_positives,
    }


def _fcos_facts(model) -> dict:
    return {"prior": model.head.cls_score.bias.tolist()}


def _faster_rcnn_facts(model) -> dict:
    rpn, roi = model.proposal_generator, model.roi_heads
    pooler = roi.box_pooler
    return {
        **_anchor_facts(rpn),
        "rpn": rpn.settings,
        "least_matched_iou": rpn.anchor_matcher.min_low_quality_iou,
        "rpn_features": rpn.in_features,
        "rpn_samples": (rpn.batch_size_per_image, rpn.positive_fraction),
        "proposals": (rpn.pre_nms_topk, rpn.post_nms_topk, rpn.nms_thresh),
        "roi": roi.settings,
        "roi_features": roi.box_in_features,
        "roi_samples": (roi.batch_size_per_image, roi.positive_fraction, roi.proposal_append_gt),
        "roi_matcher": (roi.proposal_matcher.thresholds, roi.proposal_matcher.labels),
        "pooler": (
            pooler.output_size,
            pooler.canonical_box_size,
            [(level.spatial_scale, level.sampling_ratio) for level in pooler.level_poolers],
        ),
        "roi_delta_weights": tuple(roi.box_predictor.box2box_transform.weights),
    }


_OWN_FACTS = {
    "ScaleMatchRetinaNet": _retinanet_facts,
    "ScaleMatchFCOS": _fcos_facts,
    "ScaleMatchFasterRCNN": _faster_rcnn_facts,
}


def _yacs_model(cfg) -> dict:
    def build():
        register_all()
        cfg.MODEL.DEVICE = "cpu"
        return build_model(cfg)

    cfg = cfg.clone()
    ours = cfg.SCALE_MATCH
    parts = cfg.MODEL, ours.MODEL, ours.FCOS, cfg.INPUT.FORMAT, cfg.TEST.DETECTIONS_PER_IMAGE
    return _facts_once("\n".join(map(str, parts)), build)


def _lazy_model(node) -> dict:
    return _facts_once(OmegaConf.to_yaml(node, resolve=True), lambda: instantiate(node))


def _facts_once(key: str, build) -> dict:
    """Facts of a model; many configs have the same one, and an R-50 takes a second to build."""
    if key not in _facts_of_models:
        _facts_of_models[key] = model_facts(build())
    return _facts_of_models[key]


def _target(node) -> str:
    name = node._target_ if isinstance(node._target_, str) else node._target_.__name__
    return name.rpartition(".")[2]

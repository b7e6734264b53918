"""Every yacs key of the project with its default, below ``cfg.SCALE_MATCH``.

The Lazy configs (``configs/common``) state the same facts as arguments of the same constructors.
"""

from detectron2.config import CfgNode

__all__ = ["add_scale_match_config"]


def add_scale_match_config(cfg: CfgNode) -> None:
    """Adds the keys of this project to detectron2's default config, in place.

    A file name in a key that is relative and does not exist in the current folder is looked up
    below detectron2's data root (``scale_match.storage.locations.resolve_data_path``).

    Args:
        cfg: What ``detectron2.config.get_cfg`` returns.
    """
    cfg.SCALE_MATCH = CfgNode()
    _add_policy_keys(cfg.SCALE_MATCH)
    _add_augmentation_keys(cfg.SCALE_MATCH)
    _add_data_keys(cfg.SCALE_MATCH)
    _add_training_tile_keys(cfg.SCALE_MATCH)
    _add_model_keys(cfg.SCALE_MATCH)
    _add_fcos_keys(cfg.SCALE_MATCH)
    _add_tile_keys(cfg.SCALE_MATCH)
    _add_solver_keys(cfg.SCALE_MATCH)
    cfg.SCALE_MATCH.EVAL = CfgNode()
    # Detections per image that average precision looks at; the last one gives AP50_tiny.
    cfg.SCALE_MATCH.EVAL.MAX_DETS = [200, 1000]


def _add_policy_keys(node: CfgNode) -> None:
    """Keys that choose the scale of a training image; they replace the resize."""
    # "none", "sm" (Scale Match: a drawn size), "msm" (monotone: the size of equal rank) or "gsm"
    # (Gaussian: the size of equal rank in a log-normal distribution).
    node.POLICY = "none"
    # Whose object sizes to imitate: a COCO file or a saved histogram; not read by "gsm" with
    # MU_SIGMA.
    node.TARGET = ""
    # "msm" and "gsm" only: whose object sizes are ranked; "" = the training annotations.
    node.SOURCE = ""
    # Bins of the size histogram, the two tail bins included.
    node.BINS = 100
    # Equal bins of the logarithm of the size instead of the size.
    node.LOG = False
    # Share of the boxes in the two tail bins together; negative = 2 / BINS. Not for "gsm".
    node.EXCEPT_RATE = -1.0
    # "sm" and "msm": mean and deviation, in pixels, that the target's sizes are moved to; [] = as
    # they are. "gsm": mean and deviation of ln(size in pixels); [] = those of the target's sizes.
    node.MU_SIGMA = []
    # "gsm" only: file of standard normal numbers to take quantiles from; "" = exact quantiles.
    node.NORMAL_SAMPLE = ""
    # "gsm" only: sizes up to this, in pixels, are not aimed at; negative = 1 with a NORMAL_SAMPLE,
    # as the authors have it, and 0 (none left out) without.
    node.MIN_SIZE = -1.0
    # "gsm" only: rank the mean object size of each "image" of the source, or that of every "box".
    node.SIZE_PER = "image"
    # Least and greatest factor by which an image is resized.
    node.SCALE_RANGE = [0.1, 1.0]
    # Factor of an image without a box, or none of whose boxes would stay; with OUT_OF_RANGE
    # "default" also in place of a factor out of range.
    node.DEFAULT_SCALE = 0.25
    # Draws of "sm" until one is in SCALE_RANGE; the last one then goes by OUT_OF_RANGE.
    node.MAX_TRIES = 5
    # A drawn factor out of SCALE_RANGE: "clip" it or take DEFAULT_SCALE ("default").
    node.OUT_OF_RANGE = "clip"


def _add_augmentation_keys(node: CfgNode) -> None:
    """Keys of other scale augmentations in training; they come after the policy's resize."""
    node.AUGMENT = CfgNode()
    # Stretch an image until the mean height / width of its boxes is one drawn of these; [] = off.
    node.AUGMENT.REASPECT = []
    # Multi-scale training: pairs of a short and a long side, in pixels, to draw from, for instance
    # [[600, 1000], [800, 1333], [1000, 1600]]; [] = off.
    node.AUGMENT.SIZES = []
    # Short and long side that all of these are padded to.
    node.AUGMENT.PAD_TO = [1000, 1600]
    # Height and width, in pixels, of a crop around an object of the randomly resized image; [] =
    # off.
    node.AUGMENT.CROP_SIZE = []
    # Least and greatest factor of that resize.
    node.AUGMENT.CROP_SCALES = [0.5, 2.0]
    # Exact-scale tiling towards TARGET, in place of a POLICY: greatest height and width of a tile,
    # in pixels, for instance [512, 640]; [] = off. Obeys the keys of Scale Match from BINS to
    # OUT_OF_RANGE, except those of "gsm" and MAX_TRIES.
    node.AUGMENT.EXACT_TILE = []
    # Mosaics (SM+) towards TARGET, in place of a POLICY: height and width, in pixels, of a canvas
    # of parts of several images; [] = off. Obeys the same keys.
    node.AUGMENT.MOSAIC = []


def _add_data_keys(node: CfgNode) -> None:
    """Keys that name a data set by its files, without Python."""
    node.DATA = CfgNode()
    # COCO file to train on, whole images or tiles; when set it replaces DATASETS.TRAIN.
    node.DATA.TRAIN_ANNOTATIONS = ""
    # The folder of its images.
    node.DATA.TRAIN_IMAGES = ""
    # COCO file to evaluate on; when set it replaces DATASETS.TEST.
    node.DATA.TEST_ANNOTATIONS = ""
    # The folder of its images.
    node.DATA.TEST_IMAGES = ""
    # False = images keep their size in training and testing, as on TinyPerson.
    # True = the resize of INPUT.MIN_SIZE_*; in training a POLICY takes its place.
    node.DATA.RESIZE = False


def _add_training_tile_keys(node: CfgNode) -> None:
    """Keys of training on tiles, and of what training leaves out."""
    node.TRAIN_TILES = CfgNode()
    # True = cut whole images into tiles while loading. Tile ("corner") files need False.
    node.TRAIN_TILES.ENABLED = False
    # Width and height of a tile in pixels.
    node.TRAIN_TILES.SIZE = [640, 512]
    # Overlap of neighbours in x and y in pixels; 50 made the published annotations.
    node.TRAIN_TILES.OVERLAP = [50, 50]
    # A box belongs to a tile if sqrt(area inside / area) is at least this.
    node.TRAIN_TILES.KEEP = 0.7
    # Share of tiles (or images) without a box to train on in each epoch, drawn anew each time;
    # negative = none or all, by DATALOADER.FILTER_EMPTY_ANNOTATIONS. For tile files, too.
    node.TRAIN_TILES.EMPTY_SHARE = -1.0
    # Tiles of an image that successive batches take, one each, so that it is decoded once for
    # them; 1 = plain random order. For tile files, too.
    node.TRAIN_TILES.TOGETHER = 4
    # What becomes of regions flagged ignore, uncertain or iscrowd: "background" (nothing is done),
    # "erase" (filled with their mean colour) or "mask" (no loss of background anchors inside).
    node.IGNORE_REGIONS = "background"


def _add_model_keys(node: CfgNode) -> None:
    """Keys of the pyramid; stock keys that say the same are derived from them."""
    node.MODEL = CfgNode()
    # Strides of the levels that detect, from the finest on; each twice the one before.
    node.MODEL.STRIDES = [4, 8, 16, 32, 64]
    # Side of the smallest square anchor of a level in units of its stride.
    node.MODEL.ANCHOR_SCALE = 2.0
    # Anchor sizes per level, 2 ** (1 / n) apart.
    node.MODEL.SCALES_PER_OCTAVE = 3
    # Height over width of the anchors, at equal area.
    node.MODEL.ASPECT_RATIOS = [0.5, 1.0, 2.0]
    # Where levels coarser than stride 32 come from: "convolution" of res5, "convolution_of_p5", or
    # "max_pool" of p5.
    node.MODEL.EXTRA_LEVELS = "convolution"
    # Least IoU of a box' best anchors that makes them positive for the RPN (low-quality matches).
    node.MODEL.RPN_MIN_POSITIVE_IOU = 0.3
    # IGNORE_REGIONS "mask": an anchor, proposal or location of background has no loss if more than
    # this share of it lies in a region; in [0, 1).
    node.MODEL.IGNORE_OVERLAP = 0.5
    # "num_positives" as mmdetection, or "moving_average" as detectron2.
    node.MODEL.LOSS_NORMALIZER = "num_positives"


def _add_fcos_keys(node: CfgNode) -> None:
    """Keys of FCOS, for which detectron2 has none."""
    node.FCOS = CfgNode()
    # Classes without background.
    node.FCOS.NUM_CLASSES = 80
    # Convolutions of each of the head's two branches before its output.
    node.FCOS.NUM_CONVS = 4
    # Norm of these convolutions; "" for none.
    node.FCOS.NORM = ""
    # Class score of every location before training.
    node.FCOS.PRIOR_PROB = 0.01
    # Per level the least and the greatest distance in pixels from a location to a side of its box;
    # [] = up to four strides: [[-1, 16], [16, 32], [32, 64], [64, 128], [128, inf]] for 4 to 64.
    node.FCOS.SIZE_RANGES = []
    # Locations less than this many strides from an object's centre, in x and y, can be its own.
    node.FCOS.CENTER_SAMPLING_RADIUS = 1.5
    # Least distance to a side in strides that can be predicted, negative outside of the box; 0 as
    # in mmdetection, whose boxes contain their location: too large for a 2 px object beside it.
    node.FCOS.MIN_DISTANCE = -1.5
    # Weight of positive locations in the focal loss.
    node.FCOS.FOCAL_LOSS_ALPHA = 0.25
    # Its exponent.
    node.FCOS.FOCAL_LOSS_GAMMA = 2.0
    # Only candidates of a greater class score; detections are ranked by it times the centerness.
    node.FCOS.SCORE_THRESH_TEST = 0.05
    # Candidates per level before suppression.
    node.FCOS.TOPK_CANDIDATES_TEST = 2000
    # Detections of a class that overlap a better one by more IoU than this are dropped.
    node.FCOS.NMS_THRESH_TEST = 0.6


def _add_tile_keys(node: CfgNode) -> None:
    """Keys of inference on tiles (``scale_match.inference.tiled_model``)."""
    node.TILES = CfgNode()
    # False = the model sees whole images.
    node.TILES.ENABLED = True
    # Width and height of a tile in pixels.
    node.TILES.SIZE = [640, 512]
    # Least overlap of neighbours in x and y in pixels.
    node.TILES.OVERLAP = [100, 100]
    # "joint" (one suppression over all candidates of an image), "per_tile" (one per tile, then one
    # over what is left), or "auto" (joint where the model's own suppression can be switched off).
    node.TILES.MERGE = "auto"
    # Detections of a class that overlap a better one by more IoU than this are dropped.
    node.TILES.NMS_THRESH = 0.5
    # Detections kept per image.
    node.TILES.MAX_DETECTIONS = 1000
    # "per_tile" only: detections kept per tile; 0 = TEST.DETECTIONS_PER_IMAGE.
    node.TILES.MAX_DETECTIONS_PER_TILE = 0
    # Tiles in one call of the model.
    node.TILES.BATCH_SIZE = 4


def _add_solver_keys(node: CfgNode) -> None:
    """Keys of the schedule that detectron2's SOLVER cannot say."""
    node.SOLVER = CfgNode()
    # Passes over the training set; 0 = SOLVER.MAX_ITER counts. A changed MAX_ITER wins.
    node.SOLVER.EPOCHS = 0
    # Epochs after which the learning rate is multiplied by SOLVER.GAMMA, when EPOCHS counts.
    node.SOLVER.STEP_EPOCHS = [8, 11]
    # Greatest L2 norm of all gradients together; 0 = no clipping. SOLVER.CLIP_GRADIENTS clips
    # each parameter by itself, which is something else.
    node.SOLVER.CLIP_GLOBAL_NORM = 0.0
    # Images of the batch that BASE_LR and everything in iterations (MAX_ITER, STEPS, WARMUP_ITERS,
    # periods) are for; they are rescaled for IMS_PER_BATCH, except for keys that the command line
    # names. 0 = they are used as they are.
    node.SOLVER.REFERENCE_BATCH = 0
    # Parts that each process runs its images of a step in, one after another: less memory, the
    # same step. They must divide these images.
    node.SOLVER.ACCUMULATE = 1
    # With SOLVER.AMP.ENABLED: "bf16", or "fp16" with a scaled loss.
    node.SOLVER.AMP_DTYPE = "bf16"
    # Decay of the moving average of the weights, as 0.9998, which evaluations use; 0 = off.
    node.SOLVER.EMA_DECAY = 0.0
    # Iterations between computations of the losses on the test set; 0 = off.
    node.SOLVER.VALIDATION_LOSS_PERIOD = 0
    # Evaluations (TEST.EVAL_PERIOD) without a better AP50_tiny after which training ends; 0 = off.
    node.SOLVER.EARLY_STOPPING_PATIENCE = 0
    # "sgd" (SOLVER.MOMENTUM, WEIGHT_DECAY) or "adamw" (SOLVER.WEIGHT_DECAY).
    node.SOLVER.OPTIMIZER = "sgd"
    # Project of Weights & Biases to write to, where the package wandb is installed; "" = none.
    node.SOLVER.WANDB_PROJECT = ""

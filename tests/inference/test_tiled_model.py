"""Detection on tiles equals its definition, whatever the batch, and leaves the model as it was."""

import pytest
import torch
from detectron2.config import get_cfg
from detectron2.layers import batched_nms
from detectron2.modeling.postprocessing import detector_postprocess
from detectron2.structures import Boxes, Instances
from torch import nn

from oracles import tiled_inference
from scale_match.config import add_scale_match_config
from scale_match.core.errors import InputError
from scale_match.inference.tiled_model import TiledModel
from scale_match.modeling.backbone import build_fpn, build_resnet
from scale_match.modeling.levels import PyramidLevels
from scale_match.modeling.retinanet import ScaleMatchRetinaNet

torch.set_num_threads(1)

TILE, OVERLAP = (40, 32), (12, 8)


def spot_candidates(image):
    """Boxes, scores and classes of the spots of an image (C, H, W).

    A value v > 0 at (x, y) of channel c is a box of class c around it with score v / 255 and a
    size that follows from v; it may stick out of the image.
    """
    labels, ys, xs = image.nonzero(as_tuple=True)
    values = image[labels, ys, xs].float()
    half_w, half_h = 2 + values % 7, 2 + values % 5
    boxes = torch.stack([xs - half_w, ys - half_h, xs + half_w, ys + half_h], dim=1)
    return boxes, values / 255, labels


class SpotDetector(nn.Module):
    """Finds spots, and ends as detectron2's RetinaNet does: suppression, limit, clipping."""

    def __init__(self, nms=0.5, limit=100):
        super().__init__()
        self.test_nms_thresh = nms
        self.max_detections_per_image = limit
        self.calls = []
        self.eval()

    def forward(self, inputs):
        self.calls.append(([tuple(each["image"].shape) for each in inputs], self.settings()))
        return [{"instances": self.detect(each)} for each in inputs]

    def settings(self):
        return self.test_nms_thresh, self.max_detections_per_image

    def detect(self, each):
        boxes, scores, labels = spot_candidates(each["image"])
        order = scores.argsort(descending=True, stable=True)
        boxes, scores, labels = boxes[order], scores[order], labels[order]
        keep = batched_nms(boxes, scores, labels, self.test_nms_thresh).sort().values
        keep = keep[: self.max_detections_per_image]
        height, width = each["image"].shape[-2:]
        found = Instances((height, width))
        found.pred_boxes, found.scores = Boxes(boxes[keep]), scores[keep]
        found.pred_classes = labels[keep]
        return detector_postprocess(found, each.get("height", height), each.get("width", width))


class PlainDetector(nn.Module):
    """A detector without the attributes that `joint` sets aside."""

    def __init__(self):
        super().__init__()
        self.inner = SpotDetector()
        self.eval()

    def forward(self, inputs):
        return self.inner(inputs)


def spots(width, height, number=60, seed=0, channels=2):
    """An image with spots of distinct values, so that their scores have one order."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.zeros(channels, height, width, dtype=torch.uint8)
    cells = torch.randperm(image.numel(), generator=generator)[:number]
    image.view(-1)[cells] = (torch.randperm(255, generator=generator)[:number] + 1).to(torch.uint8)
    return image


def tiled(model=None, **arguments):
    return TiledModel(model or SpotDetector(), **{"tile": TILE, "overlap": OVERLAP, **arguments})


def rows(instances):
    """Detections as sorted tuples."""
    columns = (
        instances.pred_boxes.tensor.tolist(),
        instances.scores.tolist(),
        instances.pred_classes.tolist(),
    )
    return sorted((*box, score, label) for box, score, label in zip(*columns, strict=True))


def expected_rows(image, **arguments):
    def candidates(tile):
        x1, y1, x2, y2 = tile
        boxes, scores, labels = spot_candidates(image[:, y1:y2, x1:x2])
        return [
            (*b, s, c)
            for b, s, c in zip(boxes.tolist(), scores.tolist(), labels.tolist(), strict=True)
        ]

    height, width = image.shape[-2:]
    settings = {"tile": TILE, "overlap": OVERLAP, "threshold": 0.5, "limit": 1000, **arguments}
    return sorted(tiled_inference.detect(candidates, (width, height), **settings))


SIZES = [(40, 32), (41, 32), (40, 33), (20, 90), (100, 10), (97, 75), (133, 64), (5, 5)]
each_size = pytest.mark.parametrize("size", SIZES, ids=str)


@each_size
@pytest.mark.parametrize("threshold", [0.3123, 0.5])
def test_joint_equals_the_definition(size, threshold):
    image = spots(*size, number=min(60, size[0]))

    (output,) = tiled(merge="joint", nms_threshold=threshold)([{"image": image}])

    assert rows(output["instances"]) == expected_rows(image, threshold=threshold)


@each_size
@pytest.mark.parametrize("limit", [3, 100])
def test_per_tile_equals_the_definition(size, limit):
    image = spots(*size, number=min(60, size[0]))

    (output,) = tiled(SpotDetector(nms=0.4123, limit=limit), merge="per_tile")([{"image": image}])

    assert rows(output["instances"]) == expected_rows(image, per_tile=(0.4123, limit))


def test_at_most_max_detections_remain_the_best_ones():
    image = spots(133, 75, number=200)

    (output,) = tiled(max_detections=10)([{"image": image}])

    scores = output["instances"].scores
    assert rows(output["instances"]) == expected_rows(image, limit=10)
    assert torch.equal(scores, scores.sort(descending=True).values)


@pytest.mark.parametrize("merge", ["joint", "per_tile"])
@pytest.mark.parametrize("size", [(40, 32), (17, 32), (40, 11), (3, 3)], ids=str)
def test_an_image_of_one_tile_gives_what_the_model_gives(merge, size):
    inputs = {"image": spots(*size, number=9), "height": 50, "width": 70}
    model = SpotDetector()
    (expected,) = model([inputs])

    (output,) = tiled(model, merge=merge, max_detections=100)([inputs])

    assert rows(output["instances"]) == rows(expected["instances"])
    assert output["instances"].image_size == (50, 70)


@pytest.mark.parametrize("merge", ["joint", "per_tile"])
def test_batch_size_and_company_change_nothing(merge):
    images = [spots(*size, number=5, seed=i) for i, size in enumerate(SIZES)]
    alone = [rows(tiled(merge=merge)([{"image": each}])[0]["instances"]) for each in images]

    for batch_size in (1, 3, 100):
        outputs = tiled(merge=merge, batch_size=batch_size)([{"image": each} for each in images])
        assert [rows(output["instances"]) for output in outputs] == alone
    backwards = tiled(merge=merge)([{"image": each} for each in reversed(images)])
    assert [rows(output["instances"]) for output in reversed(backwards)] == alone


def test_batches_hold_inputs_of_one_size_and_no_more_than_asked_for():
    model = SpotDetector()

    tiled(model, batch_size=3)([{"image": spots(*size, number=5)} for size in SIZES])

    assert all(len(set(shapes)) == 1 and len(shapes) <= 3 for shapes, _ in model.calls)
    assert max(len(shapes) for shapes, _ in model.calls) == 3


def test_output_has_the_size_that_is_asked_for():
    image = spots(97, 75)

    (plain,) = tiled()([{"image": image}])
    (doubled,) = tiled()([{"image": image, "height": 150, "width": 291}])

    assert doubled["instances"].image_size == (150, 291)
    torch.testing.assert_close(
        doubled["instances"].pred_boxes.tensor,
        plain["instances"].pred_boxes.tensor * torch.tensor([3.0, 2.0, 3.0, 2.0]),
    )


def test_boxes_stay_inside_the_image():
    (output,) = tiled()([{"image": spots(97, 75, number=250)}])

    boxes = output["instances"].pred_boxes.tensor
    assert (boxes >= 0).all()
    assert (boxes <= torch.tensor([97.0, 75.0, 97.0, 75.0])).all()


@pytest.mark.parametrize("size", [(40, 32), (97, 75)], ids=str)
@pytest.mark.parametrize("merge", ["joint", "per_tile"])
def test_nothing_found_is_an_empty_result_with_all_fields(size, merge):
    image = torch.zeros(2, size[1], size[0], dtype=torch.uint8)

    (output,) = tiled(merge=merge)([{"image": image}])

    instances = output["instances"]
    assert len(instances) == 0
    assert instances.image_size == (size[1], size[0])
    assert set(instances.get_fields()) == {"pred_boxes", "scores", "pred_classes"}
    assert instances.pred_boxes.tensor.shape == (0, 4)


def test_no_image_gives_no_result():
    assert tiled()([]) == []


def test_joint_sets_threshold_and_limit_aside_and_puts_them_back():
    model = SpotDetector(nms=0.4, limit=7)

    tiled(model, merge="joint", nms_threshold=0.3, max_detections=55)(
        [{"image": spots(97, 75)}, {"image": spots(40, 32)}]
    )

    settings = {shapes[0][1:]: setting for shapes, setting in model.calls}
    assert settings[(32, 40)] == (1.0, 2**31 - 1)  # tiles come last
    assert model.calls[0] == ([(2, 32, 40)], (0.3, 55))  # the image of one tile
    assert model.settings() == (0.4, 7)


@pytest.mark.parametrize("merge", ["joint", "per_tile"])
def test_the_model_is_as_before_after_an_exception(merge):
    model = SpotDetector(nms=0.4, limit=7)
    wrapper = tiled(model, merge=merge, max_detections_per_tile=3 if merge == "per_tile" else None)
    model.detect = lambda each: 1 / 0

    with pytest.raises(ZeroDivisionError):
        wrapper([{"image": spots(97, 75)}])

    assert model.settings() == (0.4, 7)


def test_per_tile_limit_can_be_set():
    model, image = SpotDetector(nms=0.4123, limit=100), spots(97, 75, number=200)

    (output,) = tiled(model, merge="per_tile", max_detections_per_tile=2)([{"image": image}])

    assert rows(output["instances"]) == expected_rows(image, per_tile=(0.4123, 2))
    assert {setting for _, setting in model.calls} == {(0.4123, 2)}
    assert model.settings() == (0.4123, 100)


def test_auto_takes_joint_where_the_model_allows_it():
    assert tiled(SpotDetector()).merge == "joint"
    assert tiled(PlainDetector()).merge == "per_tile"


def test_a_model_without_settings_runs_per_tile():
    image = spots(97, 75)

    (output,) = tiled(PlainDetector())([{"image": image}])

    assert rows(output["instances"]) == expected_rows(image, per_tile=(0.5, 100))


def test_a_model_inside_distributed_data_parallel_is_seen_through(tmp_path):
    model = SpotDetector(nms=0.4)
    model.weight = nn.Parameter(torch.zeros(1))
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1
    )
    try:
        wrapper = tiled(nn.parallel.DistributedDataParallel(model).eval())
        (output,) = wrapper([{"image": spots(97, 75)}])
    finally:
        torch.distributed.destroy_process_group()

    assert wrapper.merge == "joint"
    assert rows(output["instances"]) == expected_rows(spots(97, 75))
    assert model.test_nms_thresh == 0.4


def test_it_takes_over_the_mode_of_the_model():
    assert not tiled(SpotDetector()).training
    assert tiled(SpotDetector().train()).training


def test_training_mode_is_refused():
    model = SpotDetector()
    wrapper = tiled(model).train()
    with pytest.raises(RuntimeError, match=r"TiledModel is for inference: call eval\(\) first"):
        wrapper([{"image": spots(97, 75)}])
    wrapper.eval()
    model.train()
    with pytest.raises(RuntimeError, match="for inference"):
        wrapper([{"image": spots(97, 75)}])


def test_results_need_no_gradient():
    (output,) = tiled(tiny_retinanet())([{"image": torch.rand(3, 75, 97) * 255}])

    assert not output["instances"].scores.requires_grad


def test_masks_are_refused():
    class Masks(SpotDetector):
        def detect(self, each):
            found = super().detect(each)
            found.pred_masks = torch.zeros(len(found), 1)
            return found

    with pytest.raises(InputError, match=r"by boxes only, but the model also .* \['pred_masks'\]"):
        tiled(Masks())([{"image": spots(97, 75)}])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"merge": "both"}, r"`merge` must be one of auto, joint, per_tile, received 'both'"),
        ({"overlap": (40, 8)}, r"`overlap` must be from 0 to less than `tile`, received \(40, 8\)"),
        ({"overlap": (-1, 8)}, r"`overlap` must be from 0 to less than `tile`, received \(-1, 8\)"),
        ({"nms_threshold": 1.5}, r"`nms_threshold` must be in \[0, 1\], received 1.5"),
        ({"batch_size": 0}, "`batch_size` must be at least 1, received 0"),
        ({"max_detections": 0}, "`max_detections` must be at least 1, received 0"),
        ({"max_detections_per_tile": -1}, "`max_detections_per_tile` must be at least 1, rec"),
    ],
)
def test_a_setting_out_of_range_is_refused(wrong, message):
    with pytest.raises(InputError, match=message):
        tiled(**wrong)


def test_joint_is_refused_for_a_model_without_settings():
    message = "PlainDetector has no test_nms_thresh and no max_detections_per_image to set aside"
    with pytest.raises(InputError, match=message):
        tiled(PlainDetector(), merge="joint")


def test_a_limit_per_tile_is_refused_for_a_model_without_one():
    message = "`max_detections_per_tile` is 5, but PlainDetector has no max_detections_per_image"
    with pytest.raises(InputError, match=message):
        tiled(PlainDetector(), max_detections_per_tile=5)


def test_yacs_keys_reach_the_wrapper():
    cfg = get_cfg()
    add_scale_match_config(cfg)
    tiles = cfg.SCALE_MATCH.TILES
    tiles.SIZE, tiles.OVERLAP, tiles.MERGE = [40, 32], [12, 8], "per_tile"
    tiles.NMS_THRESH, tiles.MAX_DETECTIONS, tiles.BATCH_SIZE = 0.3, 11, 2
    tiles.MAX_DETECTIONS_PER_TILE = 5

    wrapper = TiledModel(cfg, SpotDetector())

    assert (wrapper.tile, wrapper.overlap, wrapper.merge) == ((40, 32), (12, 8), "per_tile")
    assert (wrapper.nms_threshold, wrapper.max_detections, wrapper.batch_size) == (0.3, 11, 2)
    assert wrapper.max_detections_per_tile == 5
    tiles.MAX_DETECTIONS_PER_TILE = 0
    assert TiledModel(cfg, SpotDetector()).max_detections_per_tile is None


def tiny_retinanet():
    torch.manual_seed(0)
    levels = PyramidLevels(strides=(4, 8))
    backbone = build_fpn(
        bottom_up=build_resnet(levels=levels, depth=18, norm="BN", freeze_at=0),
        levels=levels,
        out_channels=8,
    )
    model = ScaleMatchRetinaNet(
        levels=levels,
        backbone=backbone,
        num_classes=2,
        num_head_convs=1,
        pixel_mean=[120.0, 120.0, 120.0],
        pixel_std=[57.0, 57.0, 57.0],
        test_score_thresh=0.1,
    )
    nn.init.normal_(model.head.cls_score.weight, std=1.0)
    nn.init.constant_(model.head.cls_score.bias, -3.5)
    nn.init.normal_(model.head.bbox_pred.weight, std=0.1)
    return model.eval()


@pytest.mark.parametrize("merge", ["joint", "per_tile"])
def test_retinanet_on_one_tile_is_retinanet(merge):
    model, image = tiny_retinanet(), torch.rand(3, 50, 60) * 255
    with torch.no_grad():
        (expected,) = model([{"image": image}])

    (output,) = TiledModel(model, tile=(64, 64), overlap=(16, 16), merge=merge)([{"image": image}])

    assert len(expected["instances"]) > 10
    assert rows(output["instances"]) == rows(expected["instances"])


def test_retinanet_on_tiles_is_one_suppression_over_its_candidates():
    model = tiny_retinanet()
    image = torch.rand(3, 75, 97, generator=torch.Generator().manual_seed(1)) * 255

    (output,) = tiled(model, batch_size=5)([{"image": image}])

    model.test_nms_thresh, model.max_detections_per_image = 1.0, 10**6
    merged = []
    for x1, y1, x2, y2 in tiled_inference.tiles_of(97, 75, TILE, OVERLAP):
        with torch.no_grad():
            (found,) = model([{"image": image[:, y1:y2, x1:x2]}])
        for a, b, c, d, score, label in rows(found["instances"]):
            merged.append((a + x1, b + y1, c + x1, d + y1, score, label))
    expected = tiled_inference.suppress(merged, 0.5, 1000)
    assert len(merged) > len(expected) > 10
    torch.testing.assert_close(
        torch.tensor(rows(output["instances"])), torch.tensor(sorted(expected)), atol=1e-3, rtol=0
    )

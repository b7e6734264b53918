import numpy as np
import pytest
from detectron2.structures import BoxMode
from PIL import Image

from scale_match.core.errors import InputError
from scale_match.core.exact_tiling import SourceImage
from scale_match.core.windows import boxes_in_window
from scale_match.data.canvas import Canvas, CanvasPart
from scale_match.data.dataset_mapper import ScaleMatchDatasetMapper

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
# Kept; cut, so not trained on; uncertain; crowd.
BOXES = [
    ([10, 10, 12, 8], {}),
    ([28, 5, 20, 10], {}),
    ([11, 20, 6, 6], {"uncertain": True}),
    ([0, 0, 14, 9], {"iscrowd": 1}),
]


@pytest.fixture
def entry(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(PIXELS).save(path)
    annotations = [
        {"bbox": box, "bbox_mode": BoxMode.XYWH_ABS, "category_id": number, "iscrowd": 0, **flags}
        for number, (box, flags) in enumerate(BOXES)
    ]
    return {
        "file_name": str(path),
        "image_id": 7,
        "width": 50,
        "height": 40,
        "annotations": annotations,
    }


def part_of(entry, corner, zoom, place):
    counted = [box["bbox"] for box in entry["annotations"] if not box["iscrowd"]]
    image = SourceImage.of_boxes(7, 40, 50, np.array(counted, float))
    return CanvasPart(entry, boxes_in_window(image.boxes, corner, zoom), place)


def test_a_part_lies_in_its_place_and_the_rest_has_the_mean_colour(entry):
    part = part_of(entry, (5, 5, 35, 30), 1.0, (20, 3))
    picture = Canvas((60, 70), [part]).pixels("RGB", erase=False)
    assert picture.shape == (60, 70, 3)
    assert (picture[3:28, 20:50] == PIXELS[5:30, 5:35]).all()
    colour = np.rint(PIXELS[5:30, 5:35].mean(axis=(0, 1)))
    picture[3:28, 20:50] = colour
    assert (picture == colour).all()


def test_boxes_move_with_their_part(entry):
    part = part_of(entry, (5, 5, 35, 30), 2.0, (20, 3))
    boxes = {box["category_id"]: box for box in Canvas((90, 90), [part]).annotations()}
    assert boxes[0]["bbox"] == pytest.approx([30, 13, 54, 29])
    assert boxes[1]["bbox"] == pytest.approx([66, 3, 80, 23])  # 7 of its 20 pixels
    assert boxes[3]["bbox"] == pytest.approx([20, 3, 38, 11])
    assert [number for number, box in boxes.items() if "cut" in box] == [1]
    assert boxes[2]["uncertain"]
    assert boxes[3]["iscrowd"]


def test_boxes_outside_of_a_part_are_not_on_the_canvas(entry):
    part = part_of(entry, (8, 9, 24, 19), 1.0, (0, 0))
    boxes = Canvas((20, 20), [part]).annotations()
    assert [box["category_id"] for box in boxes] == [0]


@pytest.mark.parametrize(
    ("regions", "classes"), [("background", [0]), ("erase", [0]), ("mask", [0, -1, -1, -1])]
)
def test_the_mapper_treats_a_canvas_as_an_image(entry, regions, classes):
    part = part_of(entry, (5, 5, 35, 30), 1.0, (0, 0))
    mapper = ScaleMatchDatasetMapper(
        True, augmentations=[], image_format="RGB", ignore_regions=regions
    )
    given = {"file_name": "a", "image_id": 0, "width": 40, "height": 30, "epoch": 0}
    sample = mapper({**given, "canvas": Canvas((30, 40), [part])})
    assert sample["instances"].gt_classes.tolist() == classes
    assert "canvas" not in sample
    picture = sample["image"].numpy().transpose(1, 2, 0)
    crowd, uncertain = picture[:4, :9].copy(), picture[15:21, 6:12].copy()
    assert (crowd == crowd[0, 0]).all() == (regions == "erase")
    assert (uncertain == uncertain[0, 0]).all() == (regions == "erase")
    if regions == "erase":  # the mean of the whole region, not of what the part shows of it
        assert crowd[0, 0].tolist() == np.rint(PIXELS[:9, :14].mean(axis=(0, 1))).tolist()


def test_other_formats_have_their_channels_and_an_empty_canvas_is_grey(entry):
    part = part_of(entry, (5, 5, 35, 30), 1.0, (0, 0))
    first = Canvas((60, 70), [part]).pixels("RGB", erase=False)
    assert (Canvas((60, 70), [part]).pixels("BGR", erase=False) == first[:, :, ::-1]).all()
    assert Canvas((60, 70), [part]).pixels("L", erase=False).shape == (60, 70, 1)
    assert (Canvas((6, 7), []).pixels("RGB", erase=False) == 128).all()
    assert Canvas((6, 7), []).pixels("L", erase=False).shape == (6, 7, 1)
    assert Canvas((6, 7), []).annotations() == []


def test_an_image_of_another_size_is_refused(entry):
    part = part_of({**entry, "width": 60}, (5, 5, 35, 30), 1.0, (0, 0))
    with pytest.raises(InputError, match=r"\(image id 7\) is 50 x 40 pixels, .* say 60 x 40"):
        Canvas((60, 70), [part]).pixels("RGB", erase=False)

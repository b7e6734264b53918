import copy
import json
from pathlib import Path

import numpy as np
import pytest

from scale_match.core.errors import InputError
from scale_match.core.tiles import tile_grid
from scale_match.storage.annotations import read_annotations, read_raw_coco
from scale_match.storage.files import write_json
from scale_match.storage.image_files import Picture
from scale_match.storage.tiling import Crop, tile_annotations, tile_image_files

IMAGE = {"id": 5, "file_name": "a.jpg", "width": 100, "height": 60, "location": "beach"}


def coco(*boxes, image=IMAGE):
    annotations = [
        {"id": 90 + index, "image_id": 5, "category_id": 2, "bbox": box, "logo": index}
        for index, box in enumerate(boxes)
    ]
    return {
        "images": [image], "annotations": annotations, "categories": [{"id": 2, "name": "a"}]
    }  # fmt: skip


def test_the_result_is_the_authors_corner_file(shared):
    raw = read_raw_coco(shared("oracle/merge/gt.json"))
    expected = json.loads(shared("oracle/merge/corner_gt.json").read_text())
    assert tile_annotations(raw, tile=(640, 512), overlap=(50, 50), keep=0.7) == expected


def test_the_defaults_are_those_of_the_published_annotations(shared):
    raw = read_raw_coco(shared("oracle/merge/gt.json"))
    expected = json.loads(shared("oracle/merge/corner_gt.json").read_text())
    assert tile_annotations(raw) == expected


def test_a_box_lands_in_every_tile_that_holds_enough_of_it():
    # Tiles [0, 60) and [40, 100) of the width: the box is whole in both.
    tiled = tile_annotations(coco([45.0, 10.0, 10.0, 10.0]), tile=(60, 60), overlap=(20, 0))
    assert [tile["corner"] for tile in tiled["images"]] == [[0, 0, 60, 60], [40, 0, 100, 60]]
    assert [box["bbox"] for box in tiled["annotations"]] == [[45, 10, 10, 10], [5, 10, 10, 10]]
    assert [box["image_id"] for box in tiled["annotations"]] == [0, 1]
    assert [box["id"] for box in tiled["annotations"]] == [0, 1]
    assert tiled["old_images"] == [IMAGE]


def test_a_box_is_cut_at_the_tile_border_and_kept_by_the_root_of_its_area():
    # Of a 10 x 10 box 5 x 10 pixels lie inside: sqrt(50) / sqrt(100) = 0.707; then 4.8: 0.693.
    kept = tile_annotations(coco([55.0, 0.0, 10.0, 10.0]), tile=(60, 60), overlap=(20, 0))
    first = kept["annotations"][0]
    assert (first["image_id"], first["bbox"], first["area"]) == (0, [55, 0, 5, 10], 50)
    assert first["size"] == 50**0.5
    lost = tile_annotations(coco([55.2, 0.0, 10.0, 10.0]), tile=(60, 60), overlap=(20, 0))
    assert [box["image_id"] for box in lost["annotations"]] == [1]


def test_all_fields_survive_but_those_in_coordinates_of_the_image():
    raw = coco([45.0, 10.0, 10.0, 10.0])
    raw["annotations"][0] |= {"segmentation": [[0, 0, 1, 1]], "ignore": True, "uncertain": True}
    raw["info"] = {"year": 2020}
    tiled = tile_annotations(raw, tile=(60, 60), overlap=(20, 0))
    assert tiled["info"] == {"year": 2020}
    assert all(tile["location"] == "beach" for tile in tiled["images"])
    for box in tiled["annotations"]:
        assert (box["logo"], box["ignore"], box["uncertain"]) == (0, True, True)
        assert "segmentation" not in box


def test_an_image_smaller_than_a_tile_is_one_tile():
    tiled = tile_annotations(coco([1.0, 2.0, 3.0, 4.0]))
    (tile,) = tiled["images"]
    assert (tile["width"], tile["height"], tile["corner"]) == (100, 60, [0, 0, 100, 60])
    assert tiled["annotations"][0]["bbox"] == [1, 2, 3, 4]


def test_tiles_without_a_box_stay_and_boxes_without_area_go():
    tiled = tile_annotations(coco([1.0, 2.0, 0.0, 4.0]), tile=(50, 60), overlap=(0, 0))
    assert len(tiled["images"]) == 2
    assert tiled["annotations"] == []


def test_tiles_are_those_of_the_one_grid():
    tiled = tile_annotations(coco(), tile=(30, 25), overlap=(7, 3))
    corners = tile_grid(100, 60, tile=(30, 25), overlap=(7, 3)).tolist()
    assert [tile["corner"] for tile in tiled["images"]] == corners


def test_the_input_is_not_changed():
    raw = coco([45.0, 10.0, 10.0, 10.0])
    before = copy.deepcopy(raw)
    tile_annotations(raw, tile=(60, 60), overlap=(20, 0))
    assert raw == before


def test_every_image_passes_through_the_progress_wrapper():
    seen = []
    tile_annotations(coco(), progress=lambda images: (seen.append(i["id"]) or i for i in images))
    assert seen == [5]


def test_tiles_of_tiles_are_refused():
    tiled = tile_annotations(coco())
    with pytest.raises(InputError, match="are of tiles already"):
        tile_annotations(tiled)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"overlap": (60, 0), "tile": (60, 60)}, "overlap must be"), ({"keep": 0.0}, "keep must be")],
)
def test_impossible_arguments_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        tile_annotations(coco(), **arguments)


def tiled_beach(*boxes):
    image = {**IMAGE, "file_name": "beach/a.jpg"}
    return tile_annotations(coco(*boxes, image=image), tile=(60, 60), overlap=(20, 0))


def test_tiles_written_as_images_have_files_of_their_own(tmp_path):
    tiled = tiled_beach([45.0, 10.0, 10.0, 10.0])
    content, jobs = tile_image_files(tiled, Path("in"), Path("out"))
    names = ["beach/a_0_0_60_60.jpg", "beach/a_40_0_100_60.jpg"]
    assert [tile["file_name"] for tile in content["images"]] == names
    assert content["images"][1]["tile_of"] == {
        "file_name": "beach/a.jpg", "corner": [40, 0, 100, 60]
    }  # fmt: skip
    assert all("corner" not in tile for tile in content["images"])
    assert "old_images" not in content
    assert content["annotations"] == tiled["annotations"]
    (job,) = jobs
    assert (job.source, job.size) == (Path("in/beach/a.jpg"), (100, 60))
    assert job.outputs == (
        (Path("out") / names[0], Crop((0, 0, 60, 60))),
        (Path("out") / names[1], Crop((40, 0, 100, 60))),
    )
    write_json(tmp_path / "tiles.json", content)
    assert len(read_annotations(tmp_path / "tiles.json").images) == 2


def test_a_tile_is_cut_out_of_the_pixels():
    pixels = np.arange(10 * 12 * 3, dtype=np.uint16).astype(np.uint8).reshape(10, 12, 3)
    cut = Crop((2, 3, 9, 8)).apply(Picture(pixels, b"profile"))
    np.testing.assert_array_equal(cut.pixels, pixels[3:8, 2:9])
    assert cut.icc_profile == b"profile"


def test_tiles_of_which_two_would_be_one_file_are_refused():
    tiled = tiled_beach()
    doubled = {**tiled, "old_images": tiled["old_images"] * 2}
    with pytest.raises(InputError, match=r"have one file_name 'beach/a.jpg'"):
        tile_image_files(doubled, Path("in"), Path("out"))
    doubled = {**tiled, "images": tiled["images"] * 2}
    with pytest.raises(InputError, match=r"have one file_name 'beach/a_0_0_60_60.jpg'"):
        tile_image_files(doubled, Path("in"), Path("out"))

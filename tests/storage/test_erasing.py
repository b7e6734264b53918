import copy
import json
from pathlib import Path

import numpy as np
import pytest

from scale_match.core.erasing import erase_regions
from scale_match.core.errors import InputError
from scale_match.storage.erasing import Erase, erase_jobs, erased_annotations
from scale_match.storage.image_files import Picture


def box(number, bbox=(10, 10, 5, 5), image=1, **flags):
    return {"id": number, "image_id": image, "category_id": 1, "bbox": list(bbox), **flags}


RAW = {
    "images": [
        {"id": 1, "file_name": "s/a.jpg", "width": 40, "height": 30},
        {"id": 2, "file_name": "s/b.jpg", "width": 40, "height": 30},
    ],
    "annotations": [
        box(1),
        box(2, (1, 2, 3, 4), ignore=True),
        box(3, (9, 8, 7, 6), uncertain=1),
        box(4, (20, 20, 5, 5), iscrowd=1),
        box(5, (12, 12, 0, 5), ignore=True),
        box(6, image=2, ignore=False, uncertain=False),
        box(7, (50, 50, 3, 3), image=2, ignore=True),  # outside of the image
        box(8, logo=True),
    ],
    "categories": [{"id": 1, "name": "a"}],
    "type": "instance",
}


def jobs(**options):
    return erase_jobs(RAW, Path("in"), Path("out"), **options)


def test_what_is_erased_is_gone_from_the_annotations_as_in_the_authors_set():
    before = copy.deepcopy(RAW)
    erased = erased_annotations(RAW)
    assert [entry["id"] for entry in erased["annotations"]] == [1, 4, 6, 8]
    assert erased["images"] == RAW["images"]
    assert erased["type"] == "instance"
    assert before == RAW


def test_the_flags_say_what_is_a_region():
    ids = [entry["id"] for entry in erased_annotations(RAW, ["iscrowd", "logo"])["annotations"]]
    assert ids == [1, 2, 3, 5, 6, 7]
    ((_, edit),) = jobs(flags=["uncertain"])[0].outputs
    assert edit.regions == ((9, 8, 7, 6),)


def test_regions_are_filled_and_what_is_trained_on_stays():
    ((path, edit),) = jobs()[0].outputs
    assert path == Path("out/s/a.jpg")
    assert edit.regions == ((1, 2, 3, 4), (9, 8, 7, 6), (12, 12, 0, 5))
    assert edit.objects == ((10, 10, 5, 5), (10, 10, 5, 5))  # neither the crowd nor the regions
    assert jobs()[0].source == Path("in/s/a.jpg")
    assert jobs()[0].size == (40, 30)


def test_objects_may_be_covered():
    ((_, edit),) = jobs(cover_objects=True)[0].outputs
    assert edit.objects == ()


def test_an_image_without_a_region_inside_it_is_copied():
    assert jobs()[1].outputs == ((Path("out/s/b.jpg"), None),)


def test_erasing_a_picture_is_erasing_its_pixels():
    pixels = np.random.default_rng(0).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    after = Erase(((1.0, 1.0, 4.0, 4.0),)).apply(Picture(pixels, b"profile"))
    np.testing.assert_array_equal(after.pixels, erase_regions(pixels, [[1, 1, 4, 4]]))
    assert after.icc_profile == b"profile"


def test_the_treatment_says_which_boxes_it_has():
    assert repr(Erase(((1.0, 2.0, 3.0, 4.5),))) != repr(Erase(((1.0, 2.0, 3.0, 4.0),)))


@pytest.mark.parametrize("flags", [[], ["ignored"]])
def test_unknown_flags_are_refused(flags):
    with pytest.raises(InputError, match=r"flags must be some of ignore, uncertain, iscrowd, logo"):
        erased_annotations(RAW, flags)
    with pytest.raises(InputError, match=r"flags must be some of"):
        jobs(flags=flags)


def test_tiles_doubled_files_and_names_that_lead_out_are_refused():
    def spoiled(**fields):
        raw = json.loads(json.dumps(RAW))
        raw["images"][1] |= fields
        return raw

    for fields, message in (
        ({"corner": [0, 0, 40, 30]}, "erase the whole images, then cut"),
        ({"file_name": "s/a.jpg"}, "image ids 1 and 2 have one file_name"),
        ({"file_name": "../a.jpg"}, "inside the image folder"),
    ):
        with pytest.raises(InputError, match=message):
            erase_jobs(spoiled(**fields), Path("in"), Path("out"))

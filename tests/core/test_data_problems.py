import numpy as np
import pytest

from data_samples import categories_of, images_of, table_of
from scale_match.core.data_problems import PROBLEM_KINDS, find_problems, problem, rows_of_images
from scale_match.core.records import ImageRecord

IMAGES = images_of((100, 80), (50, 60))
CATEGORIES = categories_of("person")
SOUND = (1, 1, 1, 10, 10, 20, 30)


def find(*rows, images=IMAGES, categories=CATEGORIES, broken=(), **columns):
    problems, usable = find_problems(images, categories, table_of(rows, **columns), broken)
    return {one.kind: one for one in problems}, usable.tolist()


def test_sound_data_have_no_problem():
    assert find(SOUND, (2, 2, 1, 0, 0, 50, 60)) == ({}, [True, True])


def test_no_images_and_no_boxes_are_told_and_not_tripped_over():
    problems, usable = find(images=(), categories=())
    assert list(problems) == ["no_image"]
    assert usable == []
    assert find()[0] == {}


@pytest.mark.parametrize(
    ("row", "kind", "usable"),
    [
        ((2, 9, 1, 1, 1, 5, 5), "unknown_image", False),
        ((2, 1, 7, 1, 1, 5, 5), "unknown_category", False),
        ((2, 1, 1, 1, 1, -5, 5), "illegal_number", False),
        ((2, 1, 1, 1, 1, -5, -5), "illegal_number", False),
        ((2, 1, 1, np.nan, 1, 5, 5), "illegal_number", False),
        ((2, 1, 1, 1, 1, np.inf, 5), "illegal_number", False),
        ((2, 1, 1, 1, 1, 0, 5), "zero_size", False),
        ((2, 1, 1, 100, 1, 5, 5), "box_outside", False),
        ((2, 1, 1, 1, -9, 5, 5), "box_outside", False),
        ((2, 1, 1, 1, -5, 5, 5), "box_outside", False),
        ((2, 1, 1, 90, 1, 20, 5), "box_over_edge", True),
        ((2, 1, 1, -1, 1, 20, 5), "box_over_edge", True),
        ((2, 1, 1, 10, 10, 20, 30), "duplicate_box", True),
        ((1, 1, 1, 1, 1, 5, 5), "duplicate_annotation_id", True),
    ],
)
def test_each_problem_of_a_box_is_named_with_its_id(row, kind, usable):
    problems, found_usable = find(SOUND, row)
    assert list(problems) == [kind]
    assert problems[kind].examples == (str(row[0]),)
    assert problems[kind].count == 1
    assert found_usable == [True, usable]


def test_coordinates_rounded_to_two_decimals_do_not_stick_out():
    assert find((1, 1, 1, 79.99, 10, 20.02, 30))[0] == {}
    assert list(find((1, 1, 1, 79.99, 10, 20.05, 30))[0]) == ["box_over_edge"]


def test_an_illegal_area_or_size_is_an_illegal_number():
    assert list(find(SOUND, areas=[-1.0])[0]) == ["illegal_number"]
    assert list(find(SOUND, sizes=[np.nan])[0]) == ["illegal_number"]


def test_equal_boxes_of_other_categories_images_or_flags_are_no_duplicates():
    rows = [SOUND, (2, 2, 1, 10, 10, 20, 30), (3, 1, 2, 10, 10, 20, 30), (4, 1, 1, 10, 10, 20, 30)]
    problems, _ = find(
        *rows, categories=categories_of("a", "b"), ignore=[False, False, False, True]
    )
    assert problems == {}


def test_of_three_equal_boxes_the_later_two_are_blamed():
    rows = [(k, 1, 1, 5, 5, 6, 7) for k in (30, 10, 20)]
    assert find(*rows)[0]["duplicate_box"].examples == ("10", "20")


def test_boxes_of_an_image_with_a_broken_entry_are_not_blamed_for_it():
    problems, usable = find(SOUND, (2, 9, 1, 1, 1, 5, 5), broken=[9])
    assert problems == {}
    assert usable == [True, False]


def test_repeated_ids_of_images_and_categories_are_named():
    images = (*IMAGES, ImageRecord(2, "other.jpg", 9, 9))
    categories = (*CATEGORIES, *CATEGORIES)
    problems, _ = find(SOUND, images=images, categories=categories)
    assert problems["duplicate_image_id"].examples == ("2",)
    assert problems["duplicate_category_id"].examples == ("1",)


def test_a_file_named_twice_is_a_problem_of_images_but_not_of_tiles():
    twice = (*IMAGES, ImageRecord(3, "1.jpg", 100, 80))
    assert find(SOUND, images=twice)[0]["duplicate_file"].examples == ("3",)
    tiles = tuple(ImageRecord(k, "1.jpg", 10, 10, (0, 0, 10, 10)) for k in (1, 2))
    assert find((1, 1, 1, 1, 1, 5, 5), images=tiles)[0] == {}


@pytest.mark.parametrize("corner", [(0, 0, 11, 10), (-1, 0, 9, 10), (0, -5, 10, 5)])
def test_a_corner_that_does_not_span_its_tile_is_named(corner):
    tiles = (ImageRecord(4, "a.jpg", 10, 10, corner),)
    assert find(images=tiles)[0]["bad_corner"].examples == ("4",)


def test_the_first_of_images_with_one_id_counts():
    images = (ImageRecord(5, "a", 9, 9), ImageRecord(3, "b", 9, 9), ImageRecord(5, "c", 9, 9))
    known, rows = rows_of_images(images, np.array([5, 3, 4]))
    assert known.tolist() == [True, True, False]
    assert rows.tolist() == [0, 1, 0]


def test_only_the_first_culprits_are_listed_and_all_are_counted():
    (one,) = problem("zero_size", range(100))
    assert (one.count, one.examples) == (100, ("0", "1", "2", "3", "4"))
    assert problem("zero_size", []) == []


def test_what_the_strict_reader_refuses_blocks_and_what_training_tolerates_does_not():
    tolerated = {kind for kind, meaning in PROBLEM_KINDS.items() if not meaning.blocks}
    assert tolerated == {
        "zero_size",
        "box_outside",
        "box_over_edge",
        "duplicate_box",
        "duplicate_file",
    }

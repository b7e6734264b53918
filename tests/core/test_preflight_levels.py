import numpy as np

from object_samples import objects, squares
from scale_match.core.preflight import Finding
from scale_match.core.preflight_levels import (
    AnchorShapes,
    Thresholds,
    check_anchors,
    check_ranges,
)

RETINANET, RPN = Thresholds(0.5, 0.0), Thresholds(0.7, 0.3)


def square_anchors(*sizes, stride=4):
    return AnchorShapes([stride], [np.array([[s, s] for s in sizes], np.float64)])


def anchors(sizes, shapes, thresholds=RETINANET):
    return check_anchors(squares(*sizes), shapes, thresholds, key="KEY")


def test_objects_as_large_as_anchors_are_no_problem():
    assert anchors([8, 16, 30], square_anchors(8, 16, 32)) == Finding("anchors")


def test_anchors_that_are_too_large_are_named_with_a_better_size():
    found = anchors([8, 8, 8, 32], square_anchors(32, 64))
    assert found.problem == (
        "75 % of 4 training boxes (those of median 8 px) have no anchor with an IoU of 0.5: "
        "KEY makes anchors of 32 to 64 px; anchors 0.25 times as large would leave 25 %"
    )


def test_anchors_that_are_too_small_are_named_as_well():
    assert "anchors 4 times as large would leave 0 %" in anchors([64], square_anchors(16)).problem


def test_half_of_the_boxes_may_lack_a_good_anchor():
    assert not anchors([8, 32], square_anchors(32)).problem
    assert anchors([8, 8, 32], square_anchors(32)).problem


def test_an_rpn_is_judged_by_its_low_quality_matches():
    # An IoU of (6 / 8)^2 = 0.56 is under 0.7, as most are, but matches.
    assert not anchors([6] * 4, square_anchors(8), RPN).problem
    # (4 / 8)^2 = 0.25 is under 0.3: no anchor is positive, for one box of three.
    found = anchors([4, 8, 8], square_anchors(8), RPN)
    assert "33 % of 3 training boxes" in found.problem
    assert "and 33 % no positive anchor at all" in found.problem


def test_without_a_better_size_none_is_advised():
    found = check_anchors(objects([[0, 0, 4, 400]]), square_anchors(40), RETINANET, key="KEY")
    assert found.problem.endswith("KEY makes anchors of 40 to 40 px")


def test_without_a_box_there_is_nothing_to_say_of_levels():
    nothing = objects([])
    assert check_anchors(nothing, square_anchors(8), RPN, key="KEY").skipped == "there is no box"
    found = check_ranges(nothing, [(-1, 16)], [4], keys=("KEY", "STRIDES"))
    assert found.skipped == "there is no box"


def ranges(sizes, limits, strides):
    return check_ranges(squares(*sizes), limits, strides, keys=("RANGES", "STRIDES"))


def test_ranges_without_an_upper_end_hold_every_object():
    limits = [(-1, 16), (16, 32), (32, np.inf)]
    assert ranges([5, 32, 64, 400], limits, [4, 8, 16]) == Finding("ranges")


def test_objects_out_of_all_ranges_are_named_with_their_sizes():
    found = ranges([10, 80, 200], [(-1, 16), (16, 32)], [4, 8])
    assert found.problem == (
        "67 % of 3 training boxes, with longer sides of 80 to 200 px, lie in no range of RANGES "
        "((-1, 16), (16, 32)), which half of the longer side must"
    )


def test_half_of_the_longer_side_must_reach_a_range():
    assert "with longer sides of 15 to 15 px" in ranges([15, 16, 64], [(8, 32)], [4]).problem
    tall = check_ranges(objects([[0, 0, 2, 16]]), [(8, 32)], [4], keys=("RANGES", "STRIDES"))
    assert not tall.problem


def test_objects_smaller_than_a_cell_of_their_level_are_named():
    found = ranges([5, 6, 40], [(-1, 64), (64, np.inf)], [8, 16])
    assert found.problem == (
        "67 % of 3 training boxes (median 6 px) are smaller than a cell of the level that looks "
        "for them: the finest stride of STRIDES is 8 px"
    )

import numpy as np
import pytest

from evaluation_samples import one_image
from scale_match.core.records import Annotations, AnnotationTable


def table_of(**more):
    flags = np.zeros(2, np.bool_)
    ids = np.arange(2)
    boxes, areas = np.ones((2, 4)), np.array([9.0, 16.0])
    return AnnotationTable(ids, ids, ids, boxes, areas, flags, flags, flags, **more)


def test_by_default_all_is_visible_and_the_size_is_the_root_of_the_area():
    table = table_of()
    assert table.visibilities.tolist() == [1.0, 1.0]
    assert table.sizes.tolist() == [3.0, 4.0]


@pytest.mark.parametrize("name", ["visibilities", "sizes"])
def test_given_columns_are_kept(name):
    column = np.array([0.5, 0.25])
    assert getattr(table_of(**{name: column}), name) is column


def test_annotations_carry_no_notes_by_default():
    annotations, _ = one_image([], [])
    assert annotations.notes == ()
    noted = Annotations("gt.json", (), (), annotations.table, notes=("a sentence",))
    assert noted.notes == ("a sentence",)

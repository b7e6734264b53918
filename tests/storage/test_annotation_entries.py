import numpy as np
import pytest

from scale_match.core.errors import InputError
from scale_match.storage.annotation_entries import (
    AnnotationEntry,
    CategoryEntry,
    ImageEntry,
    annotation_table,
    broken_rule,
    called,
    check_form,
    entry_ids,
    json_type,
)

IMAGE = {"id": 1, "file_name": "a.jpg", "width": 3, "height": 4}


@pytest.mark.parametrize(
    ("entry", "struct", "rule"),
    [
        (IMAGE, ImageEntry, None),
        ({**IMAGE, "width": 0}, ImageEntry, "has width 0, which must be a positive whole number"),
        (
            {**IMAGE, "corner": [1]},
            ImageEntry,
            r"has corner \[1\], which must be four whole numbers",
        ),
        ({"id": 1}, CategoryEntry, "has no key 'name'"),
        ([], CategoryEntry, "must be an object, not a JSON list"),
    ],
)
def test_the_first_broken_rule_of_an_entry_is_named(entry, struct, rule):
    found = broken_rule(entry, struct)
    if rule is None:
        assert found is None
    else:
        with pytest.raises(ValueError, match=rule):
            raise ValueError(found)


def test_an_entry_is_called_by_its_id_or_its_place():
    assert called({"id": "x"}, "image", 4) == "image id 'x'"
    assert called({}, "image", 4) == "image number 5"


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ({}, "object"),
        ([], "list"),
        ("", "text"),
        (True, "boolean"),
        (None, "null"),
        (1.5, "number"),
    ],
)
def test_values_are_called_as_json_calls_them(value, name):
    assert json_type(value) == name


def test_absent_fields_have_their_defaults_in_the_table():
    entries = [AnnotationEntry(7, 1, 2, (1.0, 2.0, 3.0, 12.0)), AnnotationEntry(8, 1, 2, (0,) * 4)]
    table = annotation_table(entries)
    assert entry_ids(entries).tolist() == table.ids.tolist() == [7, 8]
    assert table.areas.tolist() == [36.0, 0.0]
    assert table.sizes.tolist() == [6.0, 0.0]
    assert table.visibilities.tolist() == [1.0, 1.0]
    assert not np.any([table.iscrowd, table.ignore, table.uncertain])
    assert len(annotation_table([])) == 0


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ("x", "f is not a COCO annotation file: an object .* not a JSON text"),
        ({"images": []}, "f is not a COCO annotation file: it has no key 'annotations'"),
        (
            {"images": [], "annotations": [], "categories": {}},
            "f: 'categories' must be a list, not a JSON object",
        ),
    ],
)
def test_another_form_is_refused(raw, message):
    with pytest.raises(InputError, match=message):
        check_form(raw, "f")

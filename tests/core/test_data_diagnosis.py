import json
from dataclasses import replace

import numpy as np

from data_samples import categories_of, images_of, table_of
from scale_match.core.data_diagnosis import Diagnosis, problems_in_order, verdict
from scale_match.core.data_problems import Problem
from scale_match.core.data_summary import find_objects, summarise_data
from scale_match.core.records import Annotations


def diagnosis_of(*, problems=(), images=None):
    """Of a file without an object, and so without advice."""
    annotations = Annotations("f", images_of((20, 10)), categories_of("a"), table_of([]))
    summary = summarise_data(annotations, find_objects(annotations, np.zeros(0, np.bool_)))
    return Diagnosis("f.json", images, 0, False, summary, tuple(problems), None)


def test_problems_that_stop_a_training_come_first():
    kinds = ["box_over_edge", "wrong_size", "zero_size", "broken_entry"]
    ordered = problems_in_order([Problem(kind, 1, ()) for kind in kinds])
    assert [one.kind for one in ordered] == [
        "broken_entry",
        "wrong_size",
        "zero_size",
        "box_over_edge",
    ]


def test_without_an_object_the_verdict_is_short():
    assert verdict(diagnosis_of()) == [
        "NOT USABLE: there is no object to train on.",
        "1 images with 0 objects.",
    ]


def test_json_names_each_problem_with_its_meaning():
    plain = diagnosis_of(problems=[Problem("zero_size", 7, ("3", "4"))]).as_json()
    assert json.loads(json.dumps(plain, allow_nan=False)) == json.loads(json.dumps(plain))
    assert plain["problems"] == [
        {
            "kind": "zero_size",
            "title": "boxes of zero width or height",
            "count": 7,
            "examples": ["3", "4"],
            "blocks": False,
            "cure": "training leaves them out",
        }
    ]
    assert plain["advice"] is None
    assert plain["verdict"][0].startswith("NOT USABLE")


def test_a_diagnosis_is_a_value():
    assert replace(diagnosis_of(), images="d").images == "d"

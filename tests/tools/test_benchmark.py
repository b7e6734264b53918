import importlib.util
import json

import numpy as np
import pytest
from benchmarks import evaluate, processes
from benchmarks.generated_input import write_generated_input

from scale_match.core.errors import InputError
from scale_match.storage.annotations import read_annotations
from scale_match.storage.results import read_detections

SMALL = ["--images", "6", "--objects", "60", "--detections", "30", "--part", "2", "--repeats", "1"]


@pytest.fixture(scope="module")
def main(repository):
    """The body of the tool."""
    spec = importlib.util.spec_from_file_location(
        "benchmark", repository / "tools" / "benchmark.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


def generated(folder, **numbers):
    folder.mkdir()
    numbers = {"num_images": 5, "num_objects": 200, "detections_per_image": 40} | numbers
    return write_generated_input(folder, **numbers)


# ---- The tool ----


def test_evaluate_measures_two_sizes_and_agrees_with_the_plain_loops(main, tmp_path, capsys):
    output = tmp_path / "figures.json"
    main(["evaluate", *SMALL, "--multiple", "3", "--output", str(output)])
    figures = json.loads(output.read_text())
    assert [size["images"] for size in figures["sizes"]] == [6, 18]
    assert [size["detections"] for size in figures["sizes"]] == [180, 540]
    assert all(0 < size["cpu_seconds"] < 60 for size in figures["sizes"])
    assert all(0.01 < size["peak_gb"] < 4 for size in figures["sizes"])
    reference = figures["reference"]
    assert reference["images"] == 3
    assert reference["largest_difference"] < 1e-12
    assert reference["cpu_ratio"] > 0
    printed = capsys.readouterr().out
    assert "plain reference on 3 images" in printed
    assert "3 times the images" in printed
    assert "target" not in printed  # which holds at the full size only


def test_without_the_reference_only_the_sizes_are_measured(main, tmp_path):
    output = tmp_path / "figures.json"
    main(["evaluate", *SMALL, "--no-reference", "--multiple", "1", "--output", str(output)])
    assert json.loads(output.read_text()).keys() == {"sizes"}


def test_an_absent_reference_is_named_with_the_way_out(main, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluate, "_ORACLES", tmp_path)
    message = r"plain reference .*average_precision_reference.py is not there: .*--no-reference$"
    with pytest.raises(InputError, match=message):
        main(["evaluate", *SMALL])


def test_values_that_differ_from_the_reference_are_an_error(main, monkeypatch, tmp_path):
    monkeypatch.setattr(evaluate, "largest_difference", lambda ours, theirs: 0.5)
    message = r"the plain reference differ by 0.5 on the generated input of 3 images with seed 0"
    with pytest.raises(InputError, match=message):
        main(["evaluate", *SMALL, "--output", str(tmp_path / "figures.json")])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", ["--images", "--multiple", "--repeats"])
def test_numbers_have_to_be_positive(main, option, capsys):
    with pytest.raises(SystemExit) as error:
        main(["evaluate", option, "0"])
    assert error.value.code == 2
    assert "0 is not a positive number" in capsys.readouterr().err


def test_differences_are_found_at_any_depth():
    ours = {"AP": {"a": 1.0, "b": 2.0}, "MR": {"a": 0.25}, "more": 5}
    assert evaluate.largest_difference(ours, {"AP": {"a": 1.0, "b": 2.0}}) == 0.0
    assert evaluate.largest_difference(ours, {"AP": {"b": 2.5}, "MR": {"a": 0.0}}) == 0.5
    assert evaluate.largest_difference(ours, {"AR": {"a": 1.0}}) == float("inf")
    assert evaluate.largest_difference(ours, {}) == 0.0


# ---- The generated input ----


def test_the_input_has_what_was_asked_for(tmp_path):
    gt, dt = generated(tmp_path / "a")
    annotations = read_annotations(gt)
    detections = read_detections(dt, annotations)
    assert (len(annotations.images), len(annotations.table)) == (5, 200)
    assert np.bincount(detections.image_ids).tolist() == [0, 40, 40, 40, 40, 40]
    assert annotations.table.ignore.any()
    assert annotations.table.uncertain.any()
    assert annotations.notes == ()
    assert 5 < np.median(np.sqrt(annotations.table.areas)) < 30


def test_the_input_depends_on_the_seed_only(tmp_path):
    first, again, other = (
        [path.read_bytes() for path in generated(tmp_path / name, seed=seed)]
        for name, seed in (("first", 1), ("again", 1), ("other", 2))
    )
    assert first == again
    assert first[0] != other[0]
    assert first[1] != other[1]


def test_images_without_objects_have_detections_all_the_same(tmp_path):
    gt, dt = generated(tmp_path / "a", num_objects=1)
    assert len(read_detections(dt, read_annotations(gt))) == 200


# ---- Measuring ----


def test_the_memory_of_the_caller_does_not_count():
    large = np.ones(40_000_000)  # 0.32 GB
    assert processes.measure_process(["-c", "pass"]).peak_gb < 0.1
    assert large.nbytes > 0.3e9


def test_a_process_is_measured_with_its_memory_and_time():
    # 300 MB, touched.
    code = "data = bytearray(300_000_000); data[::4096] = data[1::4096]"
    measured = processes.measure_process(["-c", code])
    assert 0.3 < measured.peak_gb < 1.5
    assert 0 < measured.cpu_seconds < 30


def test_a_process_that_fails_is_an_error_with_its_last_words():
    message = r"-c failed with exit code 3: the reason$"
    code = "import sys; sys.stderr.write('first\\nthe reason\\n'); sys.exit(3)"
    with pytest.raises(InputError, match=message):
        processes.measure_process(["-c", code])


def test_the_plain_reference_needs_the_standard_library_only(repository):
    folder = str(repository / "tools" / "benchmarks")
    code = f"import sys; sys.path.insert(0, {folder!r}); import plain_reference; "
    check = "assert not {'numpy', 'msgspec', 'scale_match'} & set(sys.modules)"
    processes.measure_process(["-c", code + check])

import importlib.util
import json
import re
import subprocess
import sys

import pytest

from scale_match.cli import run_tool
from scale_match.scoring.files import read_saved_scores
from scoring_files import crowded_files, found, whole_image_file, write
from scoring_fixtures import FIXTURES, assert_values


@pytest.fixture(scope="module")
def main(repository):
    """The body of the tool."""
    spec = importlib.util.spec_from_file_location("evaluate", repository / "tools" / "evaluate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


@pytest.fixture
def files(tmp_path):
    """Arguments that name ground truth, detections and output."""
    gt, dt = crowded_files(tmp_path)
    return ["--gt", str(gt), "--dt", str(dt), "--output", str(tmp_path / "new" / "scores.json")]


@pytest.fixture
def output(tmp_path):
    return tmp_path / "new" / "scores.json"


def refused(main, capsys, output, arguments):
    """The sentence with which the tool ends; nothing is written."""
    assert run_tool(main, [str(word) for word in arguments]) == 2
    assert not output.parent.exists() or not any(output.parent.iterdir())
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    return printed.err


# ---- Values ----


@pytest.mark.parametrize("fixture", FIXTURES)
def test_the_tool_gives_the_authors_numbers(main, shared, tmp_path, fixture):
    folder, output = shared(f"oracle/eval/{fixture}"), tmp_path / "scores.json"
    names = [str(folder / "gt.json"), "--dt", str(folder / "dt.json")]
    main(["--gt", *names, "--output", str(output), "--per-category"])
    fixed = folder / "expected_fixed.json"
    expected = fixed if fixed.exists() else folder / "expected.json"
    assert_values(json.loads(output.read_text()), json.loads(expected.read_text()))


def test_reference_bugs_are_repeated_on_request(main, shared, tmp_path):
    folder, output = shared("oracle/eval/quirks/gtid0"), tmp_path / "scores.json"
    names = [str(folder / "gt.json"), "--dt", str(folder / "dt.json")]
    main(["--gt", *names, "--output", str(output), "--reference-bugs"])
    expected = json.loads((folder / "expected.json").read_text())
    assert_values(json.loads(output.read_text()), expected)


def test_the_command_line_gives_them_too_and_is_told_apart_by_nothing(shared, repository, tmp_path):
    folder = shared("oracle/eval/small")
    command = [
        *(sys.executable, str(repository / "tools" / "evaluate.py")),
        *("--gt", "gt.json", "--dt", "dt.json", "--output", str(tmp_path / "scores.json")),
    ]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    content = json.loads((tmp_path / "scores.json").read_text())
    assert_values(content, json.loads((folder / "expected.json").read_text()))
    assert content["inputs"]["gt"]["path"] == str(folder / "gt.json")
    assert f"{100 * content['AP']['tiny_50']:.2f}" in run.stdout
    assert run.stderr == ""


def test_nothing_that_is_slow_to_load_is_loaded(repository):
    code = (
        "import sys, importlib.util as u; s = u.spec_from_file_location('e', sys.argv[1]);"
        "m = u.module_from_spec(s); s.loader.exec_module(m);"
        "print([n for n in ('torch', 'matplotlib', 'detectron2', 'scipy') if n in sys.modules])"
    )
    tool = str(repository / "tools" / "evaluate.py")
    run = subprocess.run([sys.executable, "-c", code, tool], capture_output=True, check=True)
    assert run.stdout == b"[]\n"


def test_limits_and_ious_are_those_asked_for(main, files, output):
    main([*files, "--max-dets", "7", "30", "--iou", "0.3", "0.615", "--no-miss-rate"])
    content = json.loads(output.read_text())
    assert {"AP", "AR", "AP_maxDets30", "AR_maxDets30"} <= content.keys()
    assert "AP_maxDets7" not in content
    assert "MR" not in content
    assert {key.rsplit("_")[-1] for key in content["AP"]} == {"30", "62"}
    assert content["protocol"]["entries"]["max_dets"] == [7, 30]


def test_values_of_categories_only_on_request(main, files, output):
    main(files)
    assert "AP_per_category" not in json.loads(output.read_text())
    main([*files, "--per-category"])
    assert list(json.loads(output.read_text())["AP_per_category"]) == ["2", "4", "7"]


def test_coco_numbers_on_request(main, files, output, capsys):
    main([*files, "--standard", "coco"])
    content = json.loads(output.read_text())
    assert len(content["COCO"]) == 12
    assert "AP" in content
    assert "COCO's AP and AR by pycocotools" in capsys.readouterr().out


def test_own_size_ranges_with_their_own_defaults(main, files, output, tmp_path):
    standard = tmp_path / "mine.yaml"
    standard.write_text("size_ranges: {micro: [1, 6]}\nmax_dets: [20]\niou_thresholds: [0.4]\n")
    main([*files, "--standard", str(standard)])
    content = json.loads(output.read_text())
    assert set(content["AP"]) == {"micro_40"}
    assert content["protocol"]["entries"]["standard"] == "mine"
    assert content["protocol"]["entries"]["max_dets"] == [20]
    main([*files, "--standard", str(standard), "--iou", "0.5", "--max-dets", "9"])
    content = json.loads(output.read_text())
    assert set(content["AP"]) == {"micro_50"}
    assert content["options"]["max_dets"] == [9]


def test_packed_files_give_the_same_scores(main, files, output, tmp_path):
    main(files)
    plain = json.loads(output.read_text())
    for place in (1, 3):
        path = tmp_path / f"{place}.json.gz"
        files[place] = write(path, json.loads((tmp_path / files[place]).read_text()))
    main([str(word) for word in files])
    packed = json.loads(output.read_text())
    for content in (plain, packed):
        content["inputs"] = [content["inputs"][key]["sha256"] for key in ("gt", "dt")]
        content["warnings"] = len(content["warnings"])
    assert packed == plain


# ---- Tiles, protocol ----


def test_tiles_are_merged_first(main, shared, tmp_path, capsys):
    folder, output = shared("oracle/merge"), tmp_path / "scores.json"
    gt, merged = str(folder / "gt.json"), str(folder / "expected_merged.json")
    tiles = ["--dt", str(folder / "dt_tiles.json"), "--tiles", str(folder / "corner_gt.json")]
    main(["--gt", gt, "--dt", merged, "--output", str(output)])
    expected = json.loads(output.read_text())
    main(["--gt", gt, *tiles, "--output", str(output)])
    content = json.loads(output.read_text())
    assert content["AP"] == pytest.approx(expected["AP"], abs=1e-9)
    assert content["MR"] == pytest.approx(expected["MR"], abs=1e-9)
    assert "407 detections merged (class-agnostic) from 698 on tiles" in capsys.readouterr().out
    entries = content["protocol"]["entries"]
    assert (entries["tile_size"], entries["tile_overlap"]) == ([640, 512], [50, 50])
    assert (entries["merge"], entries["merge_threshold"]) == ("class-agnostic", 0.5)
    main(["--gt", gt, *tiles, "--output", str(output), "--merge", "per-class"])
    per_class = json.loads(output.read_text())
    assert per_class["protocol"]["entries"]["merge"] == "per-class"
    assert per_class["set"]["dets"] > content["set"]["dets"]


def test_what_only_the_model_knows_comes_from_a_file(main, files, output, tmp_path, capsys):
    main(files)
    assert "not given: tile_size, tile_overlap" in capsys.readouterr().out
    protocol = write(tmp_path / "protocol.json", {"score_threshold": 0.05, "flipped": True})
    main([*files, "--protocol", str(protocol)])
    entries = json.loads(output.read_text())["protocol"]["entries"]
    assert (entries["score_threshold"], entries["flipped"]) == (0.05, True)
    assert entries["merge"] is None
    said = capsys.readouterr().out
    assert "score_threshold" not in said.split("not given: ")[1]


# ---- What is printed ----


def test_tables_warnings_and_the_written_file_are_said(main, files, output, capsys):
    main(files)
    printed = capsys.readouterr()
    assert "values x100" in printed.out
    assert "4 images, 40 ground truths, 120 detections" in printed.out
    assert printed.out.rstrip().endswith(f"s, written: {output}")
    assert printed.err.count("warning: ") == 1
    assert "40 of the 160 detections are dropped" in printed.err


def test_a_missing_iscrowd_is_said_once(main, files, tmp_path, capsys):
    truth = json.loads((tmp_path / "gt.json").read_text())
    for entry in truth["annotations"]:
        del entry["iscrowd"]
    write(tmp_path / "gt.json", truth)
    main(files)
    assert capsys.readouterr().err.count("have no iscrowd") == 1


def test_help_shows_examples_and_every_flag(main, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    for flag in ("tiles", "merge", "protocol", "standard", "max-dets", "iou", "no-miss-rate"):
        assert f"--{flag}" in shown
    for flag in ("per-category", "reference-bugs", "bootstrap", "seed", "errors"):
        assert f"--{flag}" in shown
    assert "--tiles corner_gt.json" in shown


# ---- Empty input is legal ----


@pytest.mark.parametrize(("boxes", "detections"), [(1, 0), (0, 1), (0, 0)])
def test_empty_results_and_ground_truth_are_scored(main, tmp_path, output, boxes, detections):
    truth = whole_image_file()
    truth["annotations"] = truth["annotations"][:boxes]
    gt = write(tmp_path / "gt.json", truth)
    dt = write(tmp_path / "dt.json", [found(1, [0, 0, 10, 10])][:detections])
    main(["--gt", str(gt), "--dt", str(dt), "--output", str(output)])
    assert json.loads(output.read_text())["AP"]["tiny_50"] == (0.0 if boxes else -1.0)


# ---- Input that cannot be used ----


def broken_box(entries):
    entries[3]["bbox"][0] = float("nan")


def text_for_a_number(entries):
    entries[3]["score"] = "0.5"


def unknown_image(entries):
    entries[3]["image_id"] = 1234


def undeclared(entries):
    for entry in entries:
        entry["category_id"] = 77


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (broken_box, "dt.json: entry 3 (counted from 0) has [nan, "),
        (text_for_a_number, "dt.json: entry 3 (counted from 0) is {"),
        (unknown_image, "entry 3 (counted from 0) has 1234, but needs an image_id that "),
        (undeclared, "dt.json: none of the 160 detections has a declared category"),
    ],
)
def test_detections_that_cannot_be_scored_are_named(
    main, capsys, files, output, tmp_path, spoil, said
):
    entries = json.loads((tmp_path / "dt.json").read_text())
    spoil(entries)
    write(tmp_path / "dt.json", entries)
    assert said in refused(main, capsys, output, files)


def test_two_ground_truths_with_one_id_are_refused(main, capsys, files, output, tmp_path):
    truth = json.loads((tmp_path / "gt.json").read_text())
    truth["annotations"][5]["id"] = truth["annotations"][6]["id"]
    write(tmp_path / "gt.json", truth)
    said = refused(main, capsys, output, files)
    assert "gt.json: annotation id 6 occurs more than once" in said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--max-dets", "0"], "max_dets needs positive numbers, each once; received [0]"),
        (["--iou", "1.5"], "iou_thresholds needs numbers in (0, 1]; received [1.5]"),
        (["--iou", "nan"], "iou_thresholds needs numbers in (0, 1]; received [nan]"),
        (["--merge", "per-class"], "--merge per-class needs --tiles"),
        (["--seed", "3"], "--seed 3 needs --bootstrap"),
        (["--standard", "tinny"], "a standard must be tiny or coco or the path of a .yaml file"),
        (["--protocol", "absent.json"], "cannot read absent.json: No such file"),
        (["--tiles", "absent.json"], "cannot read absent.json: No such file"),
        (["--gt", "absent.json"], "cannot read absent.json: No such file"),
    ],
)
def test_options_that_cannot_be_used_are_refused(main, capsys, files, output, options, said):
    assert said in refused(main, capsys, output, [*files, *options])


def test_a_protocol_that_contradicts_the_files_is_refused(main, capsys, files, output, tmp_path):
    protocol = write(tmp_path / "protocol.json", {"iou_thresholds": [0.5]})
    said = refused(main, capsys, output, [*files, "--protocol", protocol])
    assert "the protocol says iou_thresholds = [0.5], but here it is [0.25, 0.5, 0.75]" in said


@pytest.mark.parametrize("place", [1, 3])
def test_the_output_must_not_be_an_input(main, capsys, files, output, place):
    before = open(files[place], "rb").read()  # noqa: PTH123, SIM115
    said = refused(main, capsys, output, [*files[:4], "--output", files[place]])
    assert f"--output {files[place]} is the file of --{'gt' if place == 1 else 'dt'}" in said
    assert open(files[place], "rb").read() == before  # noqa: PTH123, SIM115


def test_the_output_must_not_be_a_folder(main, capsys, files, output, tmp_path):
    said = refused(main, capsys, output, [*files[:4], "--output", tmp_path])
    assert f"--output {tmp_path} is a folder" in said


def test_an_old_output_survives_a_failed_run(main, files, output, tmp_path):
    main(files)
    before = output.read_bytes()
    write(tmp_path / "dt.json", [found(1, [0, 0])])
    assert run_tool(main, files) == 2
    assert output.read_bytes() == before
    assert [path.name for path in output.parent.iterdir()] == ["scores.json"]


# ---- Uncertainty and errors ----


def test_a_bootstrap_is_added_on_request(main, files, output, capsys):
    main([*files, "--bootstrap", "20", "--seed", "3"])
    first = json.loads(output.read_text())["bootstrap"]
    printed = capsys.readouterr().out
    caption = r"AP at maxDets (\d+): 95 % intervals from 20 resamples of images"
    assert re.findall(caption, printed) == ["1000", "200"]
    main([*files, "--bootstrap", "20", "--seed", "3"])
    assert json.loads(output.read_text())["bootstrap"] == first
    main([*files, "--bootstrap", "20"])
    assert json.loads(output.read_text())["bootstrap"] != first
    assert read_saved_scores(output).reload().to_dict()["AP"]


def test_errors_and_the_ladder_are_added_on_request(main, files, output, capsys):
    main([*files, "--errors"])
    assert "oracle ladder: AP50_tiny" in capsys.readouterr().out
    content = json.loads(output.read_text())
    assert content["errors"]
    assert content["ladder"]

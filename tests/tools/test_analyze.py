"""tools/analyze.py from files to files."""

import importlib.util
import json
import subprocess
import sys

import pytest

from data_samples import box, image, write_data, write_image
from scale_match.core.errors import InputError
from toy import make_toy_dataset


@pytest.fixture(scope="module")
def main(request):
    path = request.config.rootpath / "tools" / "analyze.py"
    spec = importlib.util.spec_from_file_location("analyze_tool", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


@pytest.fixture
def data(tmp_path):
    return make_toy_dataset(tmp_path / "data")


def words(*parts):
    return [str(part) for part in parts]


def test_a_sound_data_set_is_reported_plotted_and_written(main, data, tmp_path, capsys):
    annotations, images = data
    out, plots, config = tmp_path / "out.json", tmp_path / "plots", tmp_path / "mine.yaml"
    arguments = ["--annotations", annotations, "--images", images, "--verify", "--json", out]
    main(words(*arguments, "--plot", plots, "--write-config", config, "--strict"))
    text = capsys.readouterr().out
    assert "USABLE: nothing wrong was found." in text
    assert "4 image files looked at" in text
    drawn = f"{plots / 'overview.png'}, {plots / 'examples.png'}"
    assert text.endswith(f"\nwrote {config}, {drawn}, {out}\n")
    found = json.loads(out.read_text())
    assert list(found) == [
        "annotations",
        "images",
        "num_files",
        "verified",
        "summary",
        "problems",
        "advice",
        "verdict",
    ]
    assert found["problems"] == []
    assert found["summary"]["num_objects"] == 20
    assert sorted(path.name for path in plots.iterdir()) == ["examples.png", "overview.png"]
    assert config.is_file()


def broken_data(folder):
    """Every kind of problem of files and entries at once."""
    images = folder / "images"
    for name, size in {"a.jpg": (100, 80), "b.jpg": (80, 100), "cut.jpg": (100, 80)}.items():
        write_image(images / name, *size)
    (images / "text.jpg").write_text("no image")
    cut = images / "cut.jpg"
    cut.write_bytes(cut.read_bytes()[:-400])
    names = ["a.jpg", "b.jpg", "cut.jpg", "text.jpg", "gone.jpg", "a.jpg"]
    entries = [image(k, name) for k, name in enumerate(names, start=1)]
    entries += [image(1, "a.jpg"), image(8, "a.jpg", 0)]
    entries += [image(9, "a.jpg", 10, 10, corner=[0, 0, 11, 10])]
    boxes = [
        box(1, 1, [10, 10, 20, 20]),
        box(1, 1, [50, 10, 20, 20]),
        box(2, 1, [10, 10, 20, 20]),
        box(3, 1, [90, 10, 20, 20]),
        box(4, 1, [300, 10, 20, 20]),
        box(5, 1, [10, 10, 0, 20]),
        box(6, 1, [10, 10, -5, 20]),
        box(7, 99, [10, 10, 5, 20]),
        box(8, 1, [10, 10, 5, 20], category=7),
        box(9, 1, [1, 2, 3]),
    ]
    categories = [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]
    return write_data(folder, entries, boxes, categories), images


def test_every_kind_of_problem_is_found_at_once(main, tmp_path, capsys):
    annotations, images = broken_data(tmp_path)
    out = tmp_path / "out.json"
    main(words("--annotations", annotations, "--images", images, "--verify", "--json", out))
    found = {one["kind"]: one["count"] for one in json.loads(out.read_text())["problems"]}
    assert found == {
        "broken_entry": 2,
        "duplicate_image_id": 1,
        "duplicate_category_id": 1,
        "duplicate_annotation_id": 1,
        "unknown_image": 1,
        "unknown_category": 1,
        "illegal_number": 1,
        "bad_corner": 1,
        "zero_size": 1,
        "box_outside": 1,
        "box_over_edge": 1,
        "duplicate_box": 1,
        "duplicate_file": 2,
        "missing_file": 1,
        "unreadable_file": 2,
        "wrong_size": 1,
    }
    assert "NOT USABLE AS IT IS: 11 kinds of problem" in capsys.readouterr().out


def test_strict_refuses_problems_and_writes_nothing(main, tmp_path, capsys):
    annotations, images = broken_data(tmp_path)
    out, plots = tmp_path / "out.json", tmp_path / "plots"
    arguments = ["--annotations", annotations, "--images", images, "--json", out, "--plot", plots]
    with pytest.raises(InputError, match=r"entries that break a rule: 2, first .*; 15 more kinds"):
        main(words(*arguments, "--strict"))
    assert "PROBLEMS" in capsys.readouterr().out
    assert not out.exists()
    assert not plots.exists()


def test_a_config_that_is_refused_leaves_no_other_output(main, tmp_path):
    annotations, images = broken_data(tmp_path)
    out = tmp_path / "out.json"
    arguments = ["--annotations", annotations, "--images", images, "--json", out]
    with pytest.raises(InputError, match="cannot be trained on as it is"):
        main(words(*arguments, "--write-config", tmp_path / "mine.yaml"))
    assert not out.exists()


def test_data_without_objects_have_no_plot(main, tmp_path, capsys):
    annotations = write_data(tmp_path, [image(1, "a.jpg")], [])
    main(words("--annotations", annotations, "--plot", tmp_path / "plots"))
    assert capsys.readouterr().out.endswith("no plot: there is no object to draw\n")
    assert not (tmp_path / "plots").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--write-config", "a.yaml"], "--write-config needs --images"),
        (["--verify"], "--verify needs --images"),
        (["--test-images", "d"], "--test-annotations and --test-images go together"),
        (["--json", "GT"], r"--json .*annotations\.json must not be the file given as"),
        (["--images", "none"], "--images none is not a folder"),
    ],
)
def test_options_that_do_not_fit_are_refused(main, data, options, message):
    options = [str(data[0]) if option == "GT" else option for option in options]
    with pytest.raises(InputError, match=message):
        main(words("--annotations", data[0], *options))


def test_help_shows_what_to_do(main, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    for word in ("--annotations", "--images", "--write-config", "train_net.py", "--strict"):
        assert word in text


def test_a_missing_file_is_one_sentence_and_exit_code_2(repository, tmp_path):
    tool = repository / "tools" / "analyze.py"
    command = words(sys.executable, tool, "--annotations", tmp_path / "none.json")
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert result.stderr == (
        f"error: cannot read {tmp_path / 'none.json'}: No such file or directory\n"
    )


def test_the_tool_needs_neither_torch_nor_detectron2(repository):
    code = (
        "import sys; sys.argv = ['analyze.py']; import scale_match.engine.data_doctor; "
        "print([name for name in ('torch', 'detectron2') if name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout == "[]\n"


@pytest.mark.parametrize(
    "name",
    [
        "data/bccd/annotations/train.json",
        "data/bccd_tiny/annotations/train.json",
        "data/visdrone50/annotations.json",
    ],
)
def test_the_photographs_are_sound(main, shared, name, capsys):
    main(words("--annotations", shared(name), "--strict"))
    assert "USABLE: nothing wrong was found." in capsys.readouterr().out


def test_the_drawn_data_have_three_boxes_without_area(main, shared, tmp_path):
    out = tmp_path / "out.json"
    source = shared("oracle/scale_match/tinyperson_like.json")
    main(words("--annotations", source, "--json", out))
    (one,) = json.loads(out.read_text())["problems"]
    assert (one["kind"], one["count"]) == ("zero_size", 3)

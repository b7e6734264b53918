import errno
import json
import os
from pathlib import Path

import prepare_data
import pytest

from scale_match.cli import run_tool
from scale_match.core.errors import InputError
from scale_match.storage.annotations import read_annotations
from toy import make_toy_dataset


@pytest.fixture
def toy(tmp_path):
    path, _ = make_toy_dataset(tmp_path, num_images=10, categories=2)
    return path


@pytest.fixture
def run(toy, tmp_path):
    """Splits the toy data into the two files of a new folder."""

    def split(*more, train="train.json", test="test.json"):
        files = [tmp_path / "out" / name for name in (train, test)]
        prepare_data.main(
            ["split", "--annotations", str(toy), "--train", str(files[0]), "--test", str(files[1]),
             *more]
        )  # fmt: skip
        return files

    return split


def files_of(folder):
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def test_split_writes_both_files_and_says_what_is_in_them(run, toy, tmp_path, capsys):
    train, test = run()
    sides = [read_annotations(path) for path in (train, test)]
    assert [len(side.images) for side in sides] == [8, 2]
    assert {image.image_id for side in sides for image in side.images} == set(range(1, 11))
    assert [len(side.table) for side in sides] == [40, 10]
    assert json.loads(test.read_text())["categories"] == json.loads(toy.read_text())["categories"]
    assert files_of(tmp_path / "out") == {"train.json", "test.json"}
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0] == f"wrote {train}: 8 images (80.0 %) in 8 groups, 40 boxes"
    assert lines[3] == f"wrote {test}: 2 images (20.0 %) in 2 groups, 10 boxes"
    # Box k of an image has category 1 + k % 2, of five boxes each.
    assert [line.split(": ")[1] for line in lines[1:3]] == ["24 boxes", "16 boxes"]
    assert [line.split(": ")[1] for line in lines[4:]] == ["6 boxes", "4 boxes"]
    assert err == ""


def test_one_category_needs_no_lines(run, toy, capsys):
    make_toy_dataset(toy.parent, num_images=3)
    run()
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_equal_runs_write_equal_bytes_and_replace_what_is_there(run, tmp_path):
    before = [path.read_bytes() for path in run("--seed", "4", "--share", "0.5")]
    other = [path.read_bytes() for path in run("--seed", "5", "--share", "0.5")]
    assert before != other
    left = tmp_path / "out" / ".tmp-0123abcd-train.json"  # of a run that was killed
    left.write_text("half")
    assert [path.read_bytes() for path in run("--seed", "4", "--share", "0.5")] == before
    assert files_of(tmp_path / "out") == {"train.json", "test.json"}


def test_groups_stay_together(run, toy, capsys):
    raw = json.loads(toy.read_text())
    for image in raw["images"]:
        image["file_name"] = f"video{image['id'] % 5}_{image['id']}.jpg"
    toy.write_text(json.dumps(raw))
    _, test = run("--group-by", r"(video\d)_")
    first, second = (image.file_name for image in read_annotations(test).images)
    assert first[:7] == second[:7]
    assert "2 images (20.0 %) in 1 groups" in capsys.readouterr().out


def test_a_category_without_a_box_on_a_side_is_warned_of(run, toy, capsys):
    raw = json.loads(toy.read_text())
    first, second = (category["name"] for category in raw["categories"])
    raw["annotations"] = [
        box for box in raw["annotations"] if box["category_id"] == 1 or box["image_id"] == 3
    ]
    toy.write_text(json.dumps(raw))
    files = run("--share", "0.1")
    without = next(
        path
        for path in files
        if 3 not in {image.image_id for image in read_annotations(path).images}
    )
    err = capsys.readouterr().err
    assert "warning: 1 times a category has no box in a file:" in err
    assert f"  {second} has none in {without}\n" in err
    assert f"  {first} " not in err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--share", "1"], r"annotations.json: share must be above 0 and below 1, got 1.0$"),
        (["--seed", "-1"], r"annotations.json: seed must be at least 0, got -1$"),
        (["--group-by", "folder"], r"annotations.json: a split needs two groups of images"),
        (["--group-by", "["], r"annotations.json: group_by must be 'folder' or a regular expr"),
        (["--group-by", "video"], r"annotations.json: image id 1 has the file_name"),
    ],
)
def test_bad_options_write_nothing(run, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        run(*options)
    assert files_of(tmp_path / "out") == set()


def test_broken_annotations_write_nothing(run, toy, tmp_path):
    raw = json.loads(toy.read_text())
    raw["annotations"][0]["image_id"] = 77
    toy.write_text(json.dumps(raw))
    with pytest.raises(InputError, match=r"annotations.json: annotation id 1 has image_id 77"):
        run()
    assert files_of(tmp_path / "out") == set()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"train": "../annotations.json"}, r"^--train .* must not be the file given as --annot"),
        ({"test": "../annotations.json"}, r"^--test .* must not be the file given as --annot"),
        ({"test": "../out/train.json"}, r"^--test .* must not be the file given as --train$"),
        ({"train": "../images"}, r"^--train .*images must be a file to write, it is a folder$"),
        ({"test": "../images"}, r"^--test .*images must be a file to write, it is a folder$"),
    ],
)
def test_no_file_is_written_over_another(run, toy, tmp_path, names, message):
    before = toy.read_bytes()
    with pytest.raises(InputError, match=message):
        run(**names)
    assert toy.read_bytes() == before
    assert files_of(tmp_path / "out") == set()


@pytest.mark.parametrize("names", [{"train": "../file/x.json"}, {"test": "../file/x.json"}])
def test_both_files_are_written_or_none(run, tmp_path, names):
    (tmp_path / "file").write_text("not a folder")
    (tmp_path / "out").mkdir()
    old = {name: tmp_path / "out" / name for name in ("train.json", "test.json")}
    for path in old.values():
        path.write_text("old")
    with pytest.raises(InputError, match=r"^cannot write .*x.json: "):
        run(**names)
    assert [path.read_text() for path in old.values()] == ["old", "old"]
    assert files_of(tmp_path / "out") == set(old)


@pytest.mark.parametrize("name", ["train.json", "test.json"])
def test_a_full_disk_leaves_nothing_and_the_file_is_named(run, tmp_path, monkeypatch, name):
    write = Path.write_bytes

    def write_unless_full(path, data):
        if path.name.endswith(name):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", write_unless_full)
    with pytest.raises(InputError) as raised:
        run()
    written = tmp_path / "out" / name
    assert str(raised.value) == f"cannot write {written}: No space left on device"
    assert files_of(tmp_path / "out") == set()


def test_help_names_the_subcommand_and_has_an_example(capsys):
    for arguments, text in (
        (["--help"], "    split "),
        (["split", "--help"], "example:\n  python tools/prepare_data.py split --annotations"),
    ):
        with pytest.raises(SystemExit) as exit_:
            prepare_data.main(arguments)
        assert exit_.value.code == 0
        assert text in capsys.readouterr().out


def test_bad_input_ends_with_code_2(toy, tmp_path, capsys):
    arguments = ["split", "--annotations", str(toy), "--share", "2"]
    files = ["--train", str(tmp_path / "a.json"), "--test", str(tmp_path / "b.json")]
    assert run_tool(prepare_data.main, [*arguments, *files]) == 2
    assert capsys.readouterr().err == f"error: {toy}: share must be above 0 and below 1, got 2.0\n"

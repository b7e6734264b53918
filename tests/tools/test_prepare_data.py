import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scale_match.cli import run_tool
from scale_match.core.errors import InputError
from scale_match.storage.annotations import read_annotations
from toy import make_toy_dataset


@pytest.fixture(scope="module")
def main(repository):
    """The body of the tool."""
    spec = importlib.util.spec_from_file_location(
        "prepare_data", repository / "tools" / "prepare_data.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


@pytest.fixture
def toy(tmp_path):
    path, _ = make_toy_dataset(tmp_path)
    return path


def files_of(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_tile_writes_the_authors_corner_file(main, shared, tmp_path):
    output = tmp_path / "new" / "corner.json"
    main(["tile", "--annotations", str(shared("oracle/merge/gt.json")), "--output", str(output)])
    expected = json.loads(shared("oracle/merge/corner_gt.json").read_text())
    assert json.loads(output.read_text()) == expected
    assert files_of(output.parent) == {"corner.json"}


def test_tile_takes_size_overlap_and_keep(main, toy, tmp_path, capsys):
    output = tmp_path / "tiles.json"
    main(
        ["tile", "--annotations", str(toy), "--output", str(output),
         "--tile", "64", "48", "--overlap", "0", "0", "--keep", "1.0"]
    )  # fmt: skip
    tiles = read_annotations(output)
    assert len(tiles.images) == 4 * 4
    assert {(image.width, image.height) for image in tiles.images} == {(64, 48)}
    whole = {tuple(box[2:]) for box in read_annotations(toy).table.boxes.tolist()}
    assert {tuple(box[2:]) for box in tiles.table.boxes.tolist()} <= whole  # nothing is cut
    summary = f"16 tiles of 4 images, {len(tiles.table)} boxes from 20"
    assert summary in capsys.readouterr().out


def test_an_older_output_is_replaced(main, toy, tmp_path):
    output = tmp_path / "tiles.json"
    output.write_text("old")
    main(["tile", "--annotations", str(toy), "--output", str(output)])
    assert len(read_annotations(output).images) == 4


def broken_annotation(toy):
    value = json.loads(toy.read_text())
    value["annotations"][3]["bbox"] = [1, 2, -3, 4]
    toy.write_text(json.dumps(value))


@pytest.mark.parametrize(
    ("spoil", "options", "message"),
    [
        (broken_annotation, [], r"annotations.json: annotation id 4 has bbox \[1.0, 2.0, -3.0"),
        (Path.unlink, [], r"cannot read .*annotations.json: No such file"),
        (lambda toy: toy.write_text("[1,"), [], r"annotations.json is not valid JSON"),
        (None, ["--overlap", "640", "0"], r"annotations.json: overlap must be"),
        (None, ["--keep", "0"], r"annotations.json: keep must be"),
        (None, ["--tile", "0", "512"], r"annotations.json: tile must be"),
    ],
)
def test_bad_input_writes_nothing(main, toy, tmp_path, spoil, options, message):
    if spoil is not None:
        spoil(toy)
    output = tmp_path / "tiles.json"
    with pytest.raises(InputError, match=message):
        main(["tile", "--annotations", str(toy), "--output", str(output), *options])
    assert not {name for name in files_of(tmp_path) if "tiles" in name}


def test_the_input_is_not_overwritten(main, toy):
    before = toy.read_bytes()
    with pytest.raises(InputError, match="must not be the file given as --annotations"):
        main(["tile", "--annotations", str(toy), "--output", str(toy.parent / "." / toy.name)])
    assert toy.read_bytes() == before


def test_tiles_are_not_tiled_again(main, toy, tmp_path):
    tiles = tmp_path / "tiles.json"
    main(["tile", "--annotations", str(toy), "--output", str(tiles)])
    again = ["tile", "--annotations", str(tiles), "--output", str(tmp_path / "again.json")]
    with pytest.raises(InputError, match=r"tiles.json: the annotations are of tiles already"):
        main(again)
    assert run_tool(main, again) == 2


@pytest.mark.parametrize("arguments", [[], ["tile"], ["tile", "--annotations", "x"], ["other"]])
def test_a_wrong_command_line_ends_with_code_2_and_usage(main, arguments, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    assert "usage: prepare_data.py" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--help"], ["tile", "--help"]])
def test_help_says_what_it_does(main, arguments, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 0
    assert "tiles" in capsys.readouterr().out


def test_it_runs_as_a_script(repository, toy, tmp_path):
    tool = repository / "tools" / "prepare_data.py"
    command = [sys.executable, tool, "tile", "--annotations", "none.json", "--output", "out.json"]
    done = subprocess.run(
        command, cwd=tmp_path, env=dict(os.environ), capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == "error: cannot read none.json: No such file or directory\n"
    command[4] = str(toy)
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stdout.startswith("wrote out.json: 4 tiles of 4 images")

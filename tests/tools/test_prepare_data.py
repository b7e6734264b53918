import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scale_match.cli import run_tool
from scale_match.core.errors import InputError
from scale_match.storage.annotations import read_annotations
from tiny_set_files import make_tiny_set
from toy import make_toy_dataset

SUBCOMMANDS = [
    "erase",
    "tile",
    "tasks",
    "dense",
    "shrink",
    "merge",
    "split",
    "convert",
    "tinyperson",
]


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


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_help_has_an_example_of_each_subcommand(main, name, capsys):
    with pytest.raises(SystemExit) as exit_:
        main([name, "--help"])
    assert exit_.value.code == 0
    assert f"example:\n  python tools/prepare_data.py {name} --" in capsys.readouterr().out


def test_help_lists_the_subcommands(main, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["--help"])
    assert exit_.value.code == 0
    out = capsys.readouterr().out
    assert all(f"    {name}" in out for name in SUBCOMMANDS)


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


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image).astype(int)


def with_regions(toy):
    """The toy annotations with an ignore region at [10, 20, 30, 25] of image 1; no box overlaps."""
    raw = json.loads(toy.read_text())
    raw["annotations"] = [box for box in raw["annotations"] if box["image_id"] != 1]
    region = {"id": 99, "image_id": 1, "category_id": 1, "bbox": [10, 20, 30, 25], "ignore": True}
    raw["annotations"].append(region)
    toy.write_text(json.dumps(raw))
    return raw


def image_arguments(name, toy, tmp_path, *more):
    return [
        name, "--annotations", str(toy), "--output", str(tmp_path / "out.json"),
        "--images", str(tmp_path / "images"), "--write-images", str(tmp_path / "out"), *more,
    ]  # fmt: skip


def test_erase_fills_regions_and_drops_their_boxes(main, toy, tmp_path, capsys):
    raw = with_regions(toy)
    main(image_arguments("erase", toy, tmp_path))
    after, before = pixels(tmp_path / "out/0001.jpg"), pixels(tmp_path / "images/0001.jpg")
    mean = before[20:45, 10:40].mean(axis=(0, 1))
    assert np.abs(after[24:40, 16:32] - mean).max() <= 3
    assert np.abs(after[50:, 50:] - before[50:, 50:]).mean() < 2
    np.testing.assert_array_equal(
        pixels(tmp_path / "out/0002.jpg"), pixels(tmp_path / "images/0002.jpg")
    )
    content = json.loads((tmp_path / "out.json").read_text())
    assert content["annotations"] == raw["annotations"][:-1]
    assert "4 images, 15 boxes, 1 erased;" in capsys.readouterr().out


def test_tile_writes_images_that_are_cut_out(main, toy, tmp_path, capsys):
    main(image_arguments("tile", toy, tmp_path, "--tile", "64", "48", "--overlap", "0", "0"))
    content = json.loads((tmp_path / "out.json").read_text())
    assert len(content["images"]) == 16
    for tile in content["images"]:
        cut = pixels(tmp_path / "out" / tile["file_name"])
        assert cut.shape == (tile["height"], tile["width"], 3) == (48, 64, 3)
        x1, y1, x2, y2 = tile["tile_of"]["corner"]
        whole = pixels(tmp_path / "images" / tile["tile_of"]["file_name"])
        assert np.abs(cut - whole[y1:y2, x1:x2]).mean() < 3
    assert "16 images written, 0 kept" in capsys.readouterr().out


def test_shrink_reduces_images_and_boxes(main, toy, tmp_path):
    main(image_arguments("shrink", toy, tmp_path, "--factor", "4"))
    before, after = (read_annotations(path) for path in (toy, tmp_path / "out.json"))
    assert {(image.width, image.height) for image in after.images} == {(32, 24)}
    np.testing.assert_array_equal(after.table.boxes, before.table.boxes / 4)
    for image in after.images:
        small = pixels(tmp_path / "out" / image.file_name)
        large = pixels(tmp_path / "images" / image.file_name)
        assert small.shape == (24, 32, 3)
        assert np.abs(small - large.reshape(24, 4, 32, 4, 3).mean(axis=(1, 3))).mean() < 4


def test_shrink_does_without_images(main, toy, tmp_path):
    output = tmp_path / "small.json"
    main(["shrink", "--annotations", str(toy), "--output", str(output), "--factor", "2"])
    assert read_annotations(output).images[0].width == 64


# What erase, tile and shrink have in common.
each_with_images = pytest.mark.parametrize(
    ("name", "more"),
    [
        ("erase", []),
        ("tile", ["--tile", "64", "48", "--overlap", "0", "0"]),
        ("shrink", ["--factor=2"]),
    ],
)


@each_with_images
def test_a_second_run_keeps_the_images(main, toy, tmp_path, name, more, capsys):
    with_regions(toy)
    main(image_arguments(name, toy, tmp_path, *more))
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    capsys.readouterr()
    main(image_arguments(name, toy, tmp_path, *more))
    assert f"0 images written, {len(before)} kept" in capsys.readouterr().out
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    assert before == after


@each_with_images
def test_an_image_cut_short_is_left_out_or_an_error(main, toy, tmp_path, name, more, capsys):
    path = tmp_path / "images/0003.jpg"
    path.write_bytes(path.read_bytes()[:-500])
    (tmp_path / "images/0004.jpg").unlink()
    with pytest.raises(InputError, match=r"0003.jpg: image file is truncated"):
        main(image_arguments(name, toy, tmp_path, *more, "--strict"))
    assert not (tmp_path / "out.json").exists()
    main(image_arguments(name, toy, tmp_path, *more))
    captured = capsys.readouterr()
    assert "warning: 2 images cannot be used and are left out:" in captured.err
    assert "0004.jpg: No such file" in captured.err
    content = json.loads((tmp_path / "out.json").read_text())
    used = {image["file_name"][:4] for image in content["images"]}
    assert used == {"0001", "0002"}
    read_annotations(tmp_path / "out.json")


@each_with_images
def test_folders_must_be_two_and_there(main, toy, tmp_path, name, more):
    arguments = image_arguments(name, toy, tmp_path, *more)
    arguments[8] = str(tmp_path / "images" / ".." / "images")
    with pytest.raises(InputError, match=r"--write-images .* must not be the folder given as"):
        main(arguments)
    arguments[6] = str(tmp_path / "none")
    with pytest.raises(InputError, match=r"there is no image folder .*none"):
        main(arguments)
    assert not (tmp_path / "out.json").exists()


@each_with_images
def test_a_size_that_the_annotations_do_not_say_is_named(main, toy, tmp_path, name, more, capsys):
    Image.fromarray(np.zeros((90, 120, 3), np.uint8)).save(tmp_path / "images/0002.jpg")
    main(image_arguments(name, toy, tmp_path, *more))
    assert "has 120x90 pixels, its annotation says 128x96" in capsys.readouterr().err


@each_with_images
def test_the_output_is_not_the_input(main, toy, tmp_path, name, more):
    arguments = image_arguments(name, toy, tmp_path, *more)
    arguments[4] = str(toy)
    with pytest.raises(InputError, match=r"must not be the file given as --annotations"):
        main(arguments)


@pytest.mark.parametrize("option", ["--images", "--write-images"])
@pytest.mark.parametrize(("name", "more"), [("tile", []), ("shrink", ["--factor", "2"])])
def test_both_image_folders_are_needed_or_none(main, toy, tmp_path, name, more, option):
    arguments = [name, "--annotations", str(toy), "--output", str(tmp_path / "o.json"), *more]
    with pytest.raises(InputError, match=r"--images and --write-images are needed together"):
        main([*arguments, option, str(tmp_path)])


def test_tasks_writes_a_file_of_one_category(main, tmp_path, capsys):
    toy, _ = make_toy_dataset(tmp_path, categories=2)
    output = tmp_path / "task.json"
    arguments = ["tasks", "--annotations", str(toy), "--output", str(output), "--task"]
    main([*arguments, "class2"])
    assert "20 boxes, 12 of them ignored" in capsys.readouterr().out
    assert [entry.name for entry in read_annotations(output).categories] == ["class2"]
    main([*arguments, "all", "--name", "figure"])
    assert [entry.name for entry in read_annotations(output).categories] == ["figure"]
    output.unlink()
    message = r"annotations.json: .*sea_person \(for the task sea\); there are: class1, class2$"
    with pytest.raises(InputError, match=message):
        main([*arguments, "sea"])
    assert not output.exists()


def test_dense_drops_images(main, toy, tmp_path, capsys):
    raw = with_regions(toy)
    output = tmp_path / "sparse.json"
    arguments = ["dense", "--annotations", str(toy), "--output", str(output), "--max-boxes"]
    main([*arguments, "4"])
    assert "1 images, 1 boxes; 3 dense images with 15 boxes dropped" in capsys.readouterr().out
    assert json.loads(output.read_text())["annotations"] == raw["annotations"][-1:]
    with pytest.raises(InputError, match=r"annotations.json: all 4 images have more than 0 boxes"):
        main([*arguments, "0"])


def test_merge_joins_files_and_links_images(main, tmp_path, capsys):
    files, folders = zip(
        *(make_toy_dataset(tmp_path / name, seed=seed) for seed, name in enumerate("ab")),
        strict=True,
    )
    files, folders = [str(path) for path in files], [str(path) for path in folders]
    output = tmp_path / "both.json"
    arguments = ["merge", "--annotations", *files, "--output", str(output)]
    with pytest.raises(InputError, match=r"image id 1 has the file_name '0001.jpg', as one in"):
        main(arguments)
    links = ["--prefix", "a", "b", "--images", *folders, "--link-images", str(tmp_path / "all")]
    (tmp_path / "b/images/0004.jpg").unlink()
    main([*arguments, *links])
    captured = capsys.readouterr()
    assert "8 images, 40 boxes; new ids: 4 images, 20 annotations" in captured.out
    assert "1 images do not exist, and have no link" in captured.err
    for image in read_annotations(output).images[:7]:
        assert pixels(tmp_path / "all" / image.file_name).shape == (96, 128, 3)
    with pytest.raises(InputError, match=r"image id 1 occurs in an earlier file, too"):
        main([*arguments, "--prefix", "a", "b", "--strict"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a[:2] + a[3:], r"at least two files are needed to merge, got 1"),
        (lambda a: [*a[:2], a[2], a[2], *a[4:]], r"--annotations names one file twice: .*json$"),
        (
            lambda a: [*a, "--link-images", "links", "--images", "/none", "/none"],
            r"there is no image folder /none$",
        ),
        (lambda a: [*a, "--images", "x", "y"], r"--images and --link-images are needed together"),
        (lambda a: [*a, "--images", "x", "--link-images", "y"], r"1 --images for 2 --annotations"),
        (lambda a: [*a[:5], a[2]], r"--output .* must not be the file given as --annotations"),
    ],
)
def test_merge_refuses_what_does_not_fit(main, tmp_path, change, message):
    files = [str(make_toy_dataset(tmp_path / name)[0]) for name in "ab"]
    arguments = ["merge", "--annotations", *files, "--output", str(tmp_path / "out.json")]
    with pytest.raises(InputError, match=message):
        main(change(arguments))


def test_convert_reads_yolo_voc_and_visdrone(main, tmp_path, capsys):
    for name in ("images", "yolo", "voc", "visdrone"):
        (tmp_path / name).mkdir()
    Image.fromarray(np.zeros((100, 200), np.uint8)).save(tmp_path / "images/1.jpg")
    (tmp_path / "yolo/1.txt").write_text("0 0.5 0.5 0.1 0.2")
    (tmp_path / "names.txt").write_text("person")
    (tmp_path / "voc/1.xml").write_text(
        "<annotation><object><name>person</name><bndbox><xmin>91</xmin><ymin>41</ymin>"
        "<xmax>110</xmax><ymax>60</ymax></bndbox></object></annotation>"
    )
    (tmp_path / "visdrone/1.txt").write_text("90,40,20,20,1,1,0,0")
    output = tmp_path / "out.json"
    for source in ("yolo", "voc", "visdrone"):
        names = ["--names", str(tmp_path / "names.txt")] if source == "yolo" else []
        main(
            ["convert", "--from", source, "--images", str(tmp_path / "images"), "--labels",
             str(tmp_path / source), "--output", str(output), *names]
        )  # fmt: skip
        np.testing.assert_allclose(read_annotations(output).table.boxes, [[90, 40, 20, 20]])
    assert "1 images, 1 boxes, 10 categories" in capsys.readouterr().out


def test_convert_names_what_it_leaves_out(main, tmp_path, capsys):
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    for number in "12":
        Image.fromarray(np.zeros((100, 200), np.uint8)).save(tmp_path / f"images/{number}.jpg")
        (tmp_path / f"labels/{number}.txt").write_text(f"0 0.5 {number} 0.1 0.2")
    (tmp_path / "names.txt").write_text("person")
    arguments = [
        "convert", "--from", "yolo", "--images", str(tmp_path / "images"), "--labels",
        str(tmp_path / "labels"), "--names", str(tmp_path / "names.txt"), "--output",
        str(tmp_path / "out.json"),
    ]  # fmt: skip
    with pytest.raises(InputError, match=r"2.txt, line 1: coordinates are parts of the image"):
        main([*arguments, "--strict"])
    assert not (tmp_path / "out.json").exists()
    main(arguments)
    assert "warning: 1 images or labels cannot be used" in capsys.readouterr().err


def test_convert_makes_plain_coco_of_tinyperson(main, tmp_path):
    root = make_tiny_set(tmp_path)
    source, output = root / "annotations/tiny_set_train.json", tmp_path / "plain.json"
    main(["convert", "--from", "tinyperson", "--annotations", str(source), "--output", str(output)])
    boxes = json.loads(output.read_text())["annotations"]
    assert [box["iscrowd"] for box in boxes[:4]] == [0, 0, 1, 1]
    assert "ignore" not in boxes[2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["yolo", "--images", "i", "--labels", "l"], r"--from yolo needs --names"),
        (["visdrone", "--images", "i"], r"--from visdrone needs --labels"),
        (
            ["tinyperson", "--annotations", "a", "--labels", "l"],
            r"tinyperson does not use --labels",
        ),
        (["visdrone", "--images", "i", "--labels", "l", "--zero-based"], r"not use --zero-based"),
        (["tinyperson", "--annotations", "o.json"], r"must not be the file given as --annotations"),
    ],
)
def test_convert_says_which_options_a_format_has(main, options, message):
    with pytest.raises(InputError, match=message):
        main(["convert", "--output", "o.json", "--from", *options])


def test_tinyperson_makes_everything_in_one_command(main, tmp_path, capsys):
    root = make_tiny_set(tmp_path, dense=1)
    main(["tinyperson", "--root", str(tmp_path)])
    out = capsys.readouterr().out
    assert "2 made" in out
    assert out.endswith(f"ready: export DETECTRON2_DATASETS={tmp_path.resolve()}\n")
    made = files_of(root / "mini_annotations")
    assert made == {
        "tiny_set_train_sw640_sh512_all_erase.json",
        "tiny_set_train_all_erase.json",
        "tiny_set_test_all.json",
    }
    (root / "test/labeled_images/test_1.jpg").unlink()
    main(["tinyperson", "--root", str(root)])
    assert "warning: 1 images cannot be used" in capsys.readouterr().err
    assert run_tool(main, ["tinyperson", "--root", str(root), "--strict"]) == 2


def test_a_killed_run_leaves_whole_images_and_the_next_one_goes_on(repository, tmp_path):
    toy, _ = make_toy_dataset(tmp_path, num_images=15, width=320, height=240)
    arguments = image_arguments("tile", toy, tmp_path, "--tile", "32", "32", "--overlap", "0", "0")
    command = [sys.executable, repository / "tools" / "prepare_data.py", *arguments]
    run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    folder, deadline = tmp_path / "out", time.monotonic() + 60
    while not (folder.is_dir() and len(files_of(folder)) > 100):
        assert time.monotonic() < deadline
        assert run.poll() is None
        time.sleep(0.01)
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert not (tmp_path / "out.json").exists()
    whole = [name for name in files_of(folder) if not name.startswith(".tmp-")]
    assert {pixels(folder / name).shape for name in whole} <= {(32, 32, 3)}
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f"{15 * 80 - len(whole)} images written, {len(whole)} kept" in done.stdout
    assert len(files_of(folder)) == 15 * 80

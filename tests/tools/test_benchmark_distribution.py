"""`benchmark.py distribution`: the figures of all rules, and the targets on the oracle's files."""

import json

import pytest

from conftest import shared_path
from engine.tool_runs import main_of
from scale_match.core.errors import InputError

RULES = ["sm", "msm", "mosaics (SM+)", "exact-scale tiling"]


@pytest.fixture(scope="module")
def main():
    return main_of("benchmark.py")


def a_file(path, boxes):
    """One image for each list of boxes, and one without."""
    annotations = [
        {"id": 10 * image + place, "image_id": image, "category_id": 1, "bbox": box, "iscrowd": 0}
        for image, entries in enumerate(boxes)
        for place, box in enumerate(entries)
    ]
    images = [
        {"id": image, "width": 200, "height": 100, "file_name": f"{image}.jpg"}
        for image in range(len(boxes) + 1)
    ]
    categories = [{"id": 1, "name": "person"}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    path.write_text(json.dumps(content))
    return str(path)


@pytest.mark.slow
def test_sizes_follow_the_target_and_boxes_are_seen(main, tmp_path):
    folder = shared_path("oracle/scale_match")
    output = tmp_path / "figures.json"
    source, target = (str(folder / f"{name}_like.json") for name in ("coco", "tinyperson"))
    arguments = ["--source", source, "--target", target, "--epochs", "4", "--output", str(output)]
    main(["distribution", *arguments])
    figures = json.loads(output.read_text())
    assert list(figures) == RULES
    assert figures["msm"]["ks"] == pytest.approx(0.061, abs=0.005)  # the original: 0.0608
    assert figures["mosaics (SM+)"]["ks"] <= 0.03
    assert figures["mosaics (SM+)"]["seen"] >= 0.9
    assert figures["exact-scale tiling"]["ks"] <= 0.035  # of fewer tiles than 20 epochs have
    assert figures["exact-scale tiling"]["seen"] >= 0.7


def test_every_rule_has_its_row(main, tmp_path, capsys):
    source = a_file(tmp_path / "a.json", [[[10, 10, 40, 40], [100, 20, 60, 60]], [[5, 5, 90, 80]]])
    target = a_file(tmp_path / "b.json", [[[0, 0, 8, 8], [0, 0, 12, 12], [0, 0, 20, 20]]])
    main(["distribution", "--source", source, "--target", target, "--epochs", "3", "--seed", "5"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "3 boxes in 3 images, 3 epochs"
    assert [line[:24].strip() for line in lines[2:6]] == RULES
    assert lines[6] == "targets of the last two: KS 0.03, seen 90%"
    first = capsys.readouterr()
    main(["distribution", "--source", source, "--target", target, "--epochs", "3", "--seed", "5"])
    assert capsys.readouterr().out.splitlines() == lines
    assert first.out == ""


def test_a_source_without_boxes_is_named(main, tmp_path):
    source = a_file(tmp_path / "a.json", [[]])
    target = a_file(tmp_path / "b.json", [[[0, 0, 8, 8]]])
    with pytest.raises(InputError, match=r"a\.json or .*b\.json: source sizes must hold at least"):
        main(["distribution", "--source", source, "--target", target])


def test_epochs_are_counted_from_one(main, capsys):
    with pytest.raises(SystemExit):
        main(["distribution", "--source", "a", "--target", "b", "--epochs", "0"])
    assert "0 is not a positive number" in capsys.readouterr().err

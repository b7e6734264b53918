import importlib.util

import pytest

from scale_match.cli import run_tool


@pytest.fixture(scope="module")
def main(repository):
    """The body of the tool."""
    path = repository / "tools" / "make_toy_data.py"
    spec = importlib.util.spec_from_file_location("make_toy_data", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


def test_the_tool_draws_as_many_images_as_asked_for(main, tmp_path, capsys):
    counts = ["--source-images", "2", "--target-train", "1", "--target-test", "1"]
    assert run_tool(main, ["--output", str(tmp_path), "--seed", "3", *counts]) == 0
    images = list(tmp_path.rglob("*.jpg"))
    assert len(images) == 4
    said = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in said] == ["source", "target_train", "target_test"]
    assert said[0].endswith("2 images, " + str(tmp_path / "source/annotations/train.json"))


def test_bad_counts_end_with_code_2_and_nothing_written(main, tmp_path, capsys):
    assert run_tool(main, ["--output", str(tmp_path), "--target-test", "40"]) == 2
    assert "target_test must be at most 20, but is 40" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())

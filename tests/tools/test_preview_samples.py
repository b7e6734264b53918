import numpy as np
import pytest
import torch
from PIL import Image

from engine.tiny import RUNNERS, make_data
from engine.tool_runs import main_of
from scale_match.core.errors import InputError
from scale_match.engine.sample_preview import preview_samples

REGIONS = {
    "yacs": {"SCALE_MATCH.IGNORE_REGIONS": "mask"},
    "lazy": {"dataloader.train.mapper.ignore_regions": "mask"},
}
MOSAIC = {
    "yacs": {"SCALE_MATCH.AUGMENT.MOSAIC": [64, 80]},
    "lazy": {"dataloader.train.mosaic.canvas": "[64,80]"},
}


@pytest.fixture(scope="module")
def main():
    return main_of("preview_samples.py")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("data"))


def run(main, name, data, tmp_path, *arguments):
    runner, output = RUNNERS[name], tmp_path / "samples.png"
    overrides = runner.overrides(data, tmp_path / "run")
    main(["--config-file", str(runner.file), "--output", str(output), *arguments, *overrides])
    return output


@pytest.mark.parametrize("name", list(RUNNERS))
def test_a_sheet_of_either_front_end(main, name, data, tmp_path, capsys):
    output = run(main, name, data, tmp_path, "--num", "4", "--cell", "96", "--columns", "4")
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "4 samples from iteration 0 on, seed 7"
    assert said[1].endswith(" boxes to train on, 0 regions without background loss")
    assert said[2].startswith("sizes: 5 % under ")
    assert said[3] == f"wrote {output}"
    assert Image.open(output).width > 4 * 96
    assert not (tmp_path / "run").exists()  # nothing of a training is written


@pytest.mark.parametrize("name", list(RUNNERS))
@pytest.mark.parametrize("changes", [{}, MOSAIC], ids=["images", "mosaics"])
def test_the_views_are_the_samples_of_the_training(name, data, tmp_path, changes):
    runner = RUNNERS[name]
    settings = {"target": data[0], **changes.get(name, {})}
    cfg = runner.config(data, tmp_path, **settings)
    views = preview_samples(cfg, 3, iteration=1).views
    later = preview_samples(cfg, 5).views[2:]
    assert [view.pixels.tolist() for view in views] == [view.pixels.tolist() for view in later]
    assert [view.boxes.tolist() for view in views] == [view.boxes.tolist() for view in later]
    if changes:
        assert {view.pixels.shape for view in views} == {(64, 80, 3)}


def test_both_front_ends_show_the_same(data, tmp_path):
    found = []
    for name, runner in RUNNERS.items():
        cfg = runner.config(data, tmp_path, **{"target": data[0], **MOSAIC[name]})
        found.append([view.pixels.tolist() for view in preview_samples(cfg, 3).views])
    assert found[0] == found[1]


@pytest.mark.parametrize("name", list(RUNNERS))
def test_regions_are_told_from_objects(name, data, tmp_path):
    annotations = data[0].read_text().replace('"iscrowd": 0', '"iscrowd": 1', 3)
    flagged = tmp_path / "flagged.json"
    flagged.write_text(annotations)
    cfg = RUNNERS[name].config((flagged, data[1]), tmp_path, **REGIONS[name])
    views = preview_samples(cfg, 6).views
    assert sum(len(view.regions) for view in views) == annotations.count('"iscrowd": 1') == 3
    colours = [np.unique(view.pixels.reshape(-1, 3), axis=0) for view in views]
    assert all(len(each) > 1 for each in colours)


def test_config_and_random_state_stay_as_they_are(data, tmp_path):
    cfg = RUNNERS["yacs"].config(data, tmp_path)
    workers = cfg.DATALOADER.NUM_WORKERS
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    preview_samples(cfg, 1)
    assert (torch.random.get_rng_state() == before).all()
    assert workers == cfg.DATALOADER.NUM_WORKERS


def test_numbers_and_files_that_cannot_be_are_refused(main, data, tmp_path):
    with pytest.raises(InputError, match="the number of samples must be at least 1, got 0"):
        run(main, "yacs", data, tmp_path, "--num", "0")
    with pytest.raises(InputError, match="the iteration must not be negative, got -1"):
        run(main, "lazy", data, tmp_path, "--iteration", "-1")
    with pytest.raises(InputError, match="there is nothing to train on"):
        run(main, "yacs", ("", ""), tmp_path)
    with pytest.raises(InputError, match="a data set needs an annotation file and an image folder"):
        run(main, "lazy", ("", ""), tmp_path)

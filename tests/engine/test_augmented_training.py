"""Real training runs with each scale augmentation: workers and a resume change nothing."""

import shutil

import pytest
import torch

from engine.tiny import RUNNERS, make_data, same_weights, weights_of

SETTINGS = {
    "stretch": {"reaspect": "[0.5,1.0,2.0]"},
    "multi-scale": {"sizes": "[[48,80],[64,96]]", "pad_to": "[64,96]"},
    "crop": {"crop_size": "[64,64]"},
    "exact tiles": {"exact_tile": "[64,64]"},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def named(front_end, settings):
    if front_end == "yacs":
        return {f"SCALE_MATCH.AUGMENT.{name.upper()}": value for name, value in settings.items()}
    return {f"dataloader.train.mapper.augmentations.0.{n}": v for n, v in settings.items()}


@pytest.mark.slow
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_front_ends_workers_and_a_resume_change_nothing(data, tmp_path, settings):
    options = {"target": data[0], "period": 2}
    yacs = RUNNERS["yacs"]
    yacs.train(data, tmp_path / "whole", workers=0, **options, **named("yacs", settings))
    whole = weights_of(tmp_path / "whole")
    RUNNERS["lazy"].train(data, tmp_path / "lazy", workers=2, **options, **named("lazy", settings))
    assert same_weights(weights_of(tmp_path / "lazy"), whole)
    part = tmp_path / "part"
    part.mkdir()
    shutil.copy(tmp_path / "whole" / "model_0000003.pth", part)
    (part / "last_checkpoint").write_text("model_0000003.pth")
    yacs.train(data, part, resume=True, workers=2, **options, **named("yacs", settings))
    assert same_weights(weights_of(part), whole)

"""Real trainings with each policy and augmentation: nothing but seed and epoch decides a sample."""

import multiprocessing

import pytest

from engine.recorded_runs import in_two_processes, train
from engine.tiny import make_data

STEPS, STOP = 5, 2  # 6 images in batches of 2: the first epoch ends after 3

# Per front end the node that the names belong to.
NODES = {
    "policy": {"yacs": "SCALE_MATCH.", "lazy": "dataloader.train.mapper.scale_policy."},
    "augment": {
        "yacs": "SCALE_MATCH.AUGMENT.",
        "lazy": "dataloader.train.mapper.augmentations.0.",
    },
    "mosaic": {"yacs": "SCALE_MATCH.AUGMENT.", "lazy": "dataloader.train.mosaic."},
    "tiles": {"yacs": "SCALE_MATCH.TRAIN_TILES.", "lazy": "dataloader.train.tiles."},
}
SETTINGS = {
    "as they are": ("policy", {}),
    "sm": ("policy", {"policy": "sm"}),
    "msm": ("policy", {"policy": "msm"}),
    "gsm": ("policy", {"policy": "gsm"}),
    "stretch": ("augment", {"reaspect": "[0.5,1.0,2.0]"}),
    "multi-scale": ("augment", {"sizes": "[[48,80],[64,96]]", "pad_to": "[64,96]"}),
    "crop": ("augment", {"crop_size": "[64,64]"}),
    "exact tiles": ("augment", {"exact_tile": "[64,64]"}),
    "mosaics": ("mosaic", {"canvas": "[96,128]"}),
    "tiles of whole images": (
        "tiles",
        {
            "enabled": True,
            "tile": "[64,48]",
            "overlap": "[16,16]",
            "empty_share": 0.1,
            "together": 3,
        },
    ),
}


def changes(name, front_end, data, **more):
    """The settings of one front end."""
    node, settings = SETTINGS[name]
    words = {**settings, **({"target": data[0]} if node != "tiles" and settings else {})}
    if node in ("augment", "mosaic"):
        more["target"] = words.pop("target")
    if front_end == "yacs":
        names = {"tile": "size", "canvas": "mosaic"}
        words = {names.get(key, key).upper(): v for key, v in words.items()}
    return {**{NODES[node][front_end] + key: value for key, value in words.items()}, **more}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """The samples of one process that loads them itself, by setting."""
    folder = tmp_path_factory.mktemp("whole")
    more = {"max_iter": STEPS, "save": False}
    return {
        name: train("yacs", data, folder, **changes(name, "yacs", data, **more)).samples
        for name in SETTINGS
    }


@pytest.fixture(scope="module")
def two(data, tmp_path_factory):
    """The same of two processes, by setting."""
    folder = tmp_path_factory.mktemp("two")
    more = {"max_iter": STEPS, "save": False}
    jobs = [("lazy", data, folder, changes(name, "lazy", data, **more)) for name in SETTINGS]
    return dict(zip(SETTINGS, in_two_processes(jobs), strict=True))


def test_each_setting_gives_other_samples(whole):
    assert len({str(samples) for samples in whole.values()}) == len(SETTINGS)
    for samples in whole.values():
        assert [len(step) for step in samples] == [2] * STEPS


@pytest.mark.parametrize("name", SETTINGS)
def test_two_processes_and_the_other_front_end_see_the_same_samples(whole, two, name):
    assert two[name].samples == whole[name]


@pytest.mark.parametrize("name", SETTINGS)
def test_workers_and_a_resume_see_the_same_samples(whole, data, tmp_path, name):
    front_end = "yacs" if list(SETTINGS).index(name) % 2 else "lazy"
    settings = changes(name, front_end, data)
    goes_on = {"resume": True, "save": False}

    first = train(front_end, data, tmp_path, max_iter=STOP, workers=2, **settings)
    rest = train(front_end, data, tmp_path, max_iter=STEPS, workers=8, **settings, **goes_on)

    # Those that load end with the training, not when the garbage collector comes.
    assert not multiprocessing.active_children()
    assert len(first.samples) == STOP
    assert first.samples + rest.samples == whole[name]

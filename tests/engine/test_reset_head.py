"""The option --reset-head on its way from the tools to the weights."""

from types import SimpleNamespace

import pytest

from engine.tiny import RUNNERS, make_data, weights_of
from engine.weight_samples import unequal
from scale_match.core.errors import InputError
from scale_match.engine import transfer
from scale_match.engine.checkpoint import AtomicCheckpointer
from scale_match.engine.command_line import run_training_tool
from scale_match.engine.transfer_settings import CocoFiles, TransferSettings
from scale_match.engine.weight_extraction import model_of_config


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("data"), num_images=2)


@pytest.fixture(scope="module")
def other_anchors(data, tmp_path_factory):
    """Weights of the tests' model as it would be with larger anchors."""
    folder = tmp_path_factory.mktemp("weights")
    runner = RUNNERS["yacs"]
    words = runner.overrides(data, folder, SCALE_MATCH__MODEL__ANCHOR_SCALE=4.0)
    AtomicCheckpointer(model_of_config(runner.file, words), folder).save("model_final")
    return folder / "model_final.pth"


@pytest.mark.parametrize("front_end", RUNNERS)
def test_a_training_starts_from_other_anchors_with_the_option_only(
    front_end, data, other_anchors, tmp_path
):
    runner = RUNNERS[front_end]
    words = runner.overrides(data, tmp_path, weights=other_anchors, max_iter=1, lr=0.0)
    command = ["--config-file", str(runner.file)]
    texts = {"prog": runner.tool, "text": "help\n"}
    with pytest.raises(InputError, match=r"was trained for an anchor scale of 4, .*--reset-head$"):
        run_training_tool([*command, *words], runner.front_end, **texts)
    run_training_tool([*command, "--reset-head", *words], runner.front_end, **texts)
    before, after = weights_of(other_anchors.parent), weights_of(tmp_path)
    changed = unequal({name: v for name, v in before.items() if name.endswith("weight")}, after)
    assert changed
    assert all(name.startswith("head.") for name in changed)


def test_a_resume_from_the_folder_of_another_model_is_one_sentence(data, other_anchors):
    runner = RUNNERS["yacs"]
    cfg = runner.config(data, other_anchors.parent, max_iter=1)
    with pytest.raises(InputError, match=r"anchor scale of 4, .*, or leave --resume out$") as error:
        runner.front_end.train(cfg, resume=True)
    assert "\n" not in str(error.value)


def test_an_evaluation_takes_no_such_option():
    runner = RUNNERS["yacs"]
    command = ["--config-file", str(runner.file), "--eval-only", "--reset-head"]
    with pytest.raises(
        InputError, match=r"--reset-head lets parts of the head start anew, so it is"
    ):
        run_training_tool(command, runner.front_end, prog="train_net.py", text="help\n")


@pytest.mark.parametrize("reset_head", [False, True])
def test_a_transfer_hands_the_option_to_its_trainings_and_does_them_anew(
    monkeypatch, tmp_path, reset_head
):
    seen = {}

    def launch(main, *, args, **_):
        seen["arguments"] = args
        return {}

    def run(name, title, stage_settings, outputs, work):
        seen["settings"] = stage_settings
        work(False)

    monkeypatch.setattr(transfer, "launch", launch)
    files = CocoFiles(tmp_path / "a.json", tmp_path)
    settings = TransferSettings(
        source=files, target=files, output=tmp_path, config=tmp_path, reset_head=reset_head
    )
    job = SimpleNamespace(_settings=settings, _run=run, _folder=lambda name: tmp_path / name)
    cfg = SimpleNamespace(MODEL=SimpleNamespace(DEVICE="cpu"))
    transfer._Job._train(job, "pretrain", "Pretraining", {"source": 1}, cfg)
    assert seen["arguments"][2] is reset_head
    assert seen["settings"] == ({"source": 1, "reset_head": True} if reset_head else {"source": 1})

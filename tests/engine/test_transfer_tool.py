import importlib.util
from pathlib import Path

import pytest

from scale_match.cli import run_tool
from scale_match.engine.transfer_settings import CocoFiles

NEEDED = [
    "--source-annotations", "s.json", "--source-images", "s", "--target-annotations", "t.json",
    "--target-images", "t", "--output", "out",
]  # fmt: skip
QUICK = "quick/adap_retinanet_r18_fpn_20it_toy"


@pytest.fixture
def tool(repository, monkeypatch):
    """The tool with a stand-in for the transfer, which keeps the settings."""
    path = repository / "tools" / "transfer.py"
    spec = importlib.util.spec_from_file_location("transfer_tool", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.seen = []
    monkeypatch.setattr(module, "run_transfer", lambda s: module.seen.append(s) or {})
    monkeypatch.setattr(module, "results_table", lambda _: "the table")
    return module


def test_the_arguments_of_the_issue_become_settings(tool, repository, capsys):
    arguments = [
        *NEEDED, "--test-annotations", "e.json", "--test-images", "e", "--config", QUICK,
        "--policy", "msm", "--num-gpus", "2", "--seed", "5", "--device", "cpu", "--scratch",
        "SOLVER.BASE_LR", "0.1",
    ]  # fmt: skip
    assert run_tool(tool.main, arguments) == 0
    (settings,) = tool.seen
    assert settings.source == CocoFiles(Path("s.json"), Path("s"))
    assert settings.target == CocoFiles(Path("t.json"), Path("t"))
    assert settings.test == CocoFiles(Path("e.json"), Path("e"))
    assert settings.config == repository / f"configs/{QUICK}.yaml"
    assert settings.pretrain_config is None
    assert (settings.policy, settings.num_gpus, settings.seed) == ("msm", 2, 5)
    assert (settings.scratch, settings.device, settings.tile) == (True, "cpu", (640, 512))
    assert settings.opts == ("SOLVER.BASE_LR", "0.1")
    assert capsys.readouterr().out == "the table\nall of it: out/results.json\n"


def test_what_is_left_out_is_left_to_the_configs(tool):
    assert run_tool(tool.main, [*NEEDED, "--config", QUICK, "--pretrain-config", QUICK]) == 0
    (settings,) = tool.seen
    assert settings.test is settings.policy is settings.device is None
    assert settings.pretrain_steps is settings.finetune_steps is None
    assert settings.pretrain_config == settings.config
    assert not settings.scratch


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--config", QUICK, "--test-images", "e"], "--test-annotations and --test-images go"),
        (["--config", "quick/none"], "there is no config quick/none"),
        (["--config", QUICK, "--num-gpus", "0"], "--num-gpus must be at least 1"),
    ],
)
def test_bad_arguments_end_with_code_2_and_one_sentence(tool, capsys, extra, message):
    assert run_tool(tool.main, [*NEEDED, *extra]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {message}")
    assert said.count("\n") == 1
    assert not tool.seen

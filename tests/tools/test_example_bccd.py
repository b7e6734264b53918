"""tools/example_bccd.sh: which transfer it starts; nothing is trained."""

import shutil
import subprocess

import pytest


@pytest.fixture
def script(tmp_path, repository):
    """The script in a checkout whose Python only says what it is asked to do."""
    tools = tmp_path / "tools"
    tools.mkdir()
    shutil.copy(repository / "tools/example_bccd.sh", tools)
    python = tmp_path / "python"
    python.write_text('#!/usr/bin/env bash\necho "$@"\n')
    python.chmod(0o755)
    (tools / "setup_env.sh").write_text(f'echo "{python}"\n')
    for name in ("bccd", "bccd_tiny"):
        (tmp_path / "data" / name).mkdir(parents=True)
    return tools / "example_bccd.sh"


def run(script, *arguments):
    data = script.parent.parent / "data"
    return subprocess.run(
        ["bash", script, "--data", data, "--output", "out", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("detector", ["adap_retinanet", "faster_rcnn", "adap_fcos"])
def test_each_detector_has_its_configs(script, repository, detector):
    said = run(script, "--detector", detector).stdout
    config = f"quick/{detector}_r18_fpn_quick_toy"
    assert f"--config {config} --pretrain-config {config}_sm --tile 320 256" in said
    assert "--pretrain-steps 1500 --finetune-steps 450" in said

    words = run(script, "--detector", detector, "--device", "cuda").stdout.split()
    for option in ("--config", "--pretrain-config"):
        name = words[words.index(option) + 1]
        assert detector in name
        assert (repository / "configs" / f"{name}.yaml").is_file()


def test_the_default_is_the_model_of_the_readme(script):
    assert "--config quick/adap_retinanet_r18_fpn_quick_toy " in run(script).stdout
    assert "--scratch --device cpu --seed 0" in run(script).stdout


def test_another_detector_is_refused(script):
    finished = run(script, "--detector", "yolo")
    assert finished.returncode == 2
    assert finished.stderr == (
        "error: --detector must be adap_retinanet, faster_rcnn or adap_fcos, not yolo\n"
    )

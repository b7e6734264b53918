"""What the tests of both training tools do with a tool: run it, kill it, read what it leaves."""

import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import torch

from engine.tiny import Runner, same_weights, weights_of

REPOSITORY = Path(__file__).resolve().parents[2]
PATIENCE = 300  # seconds; a busy machine is slow


def main_of(tool):
    """The body of a tool."""
    spec = importlib.util.spec_from_file_location(tool[:-3], REPOSITORY / "tools" / tool)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


def command(runner: Runner, overrides, *options):
    script = REPOSITORY / "tools" / runner.tool
    return [sys.executable, str(script), "--config-file", str(runner.file), *options, *overrides]


def environment():
    # One thread, as in this process: sums of more threads differ in the last digits.
    return {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


def run(runner: Runner, overrides, *options):
    return subprocess.run(
        command(runner, overrides, *options),
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def check_killed_run_resumes_exactly(runner: Runner, data, folder: Path) -> None:
    """Kills a run after its first checkpoint, resumes it, and compares with one that lived."""
    options = {"max_iter": 12, "period": 2}
    overrides = runner.overrides(data, folder / "killed", **options)
    with subprocess.Popen(
        command(runner, overrides),
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        end = time.monotonic() + PATIENCE
        while not (folder / "killed" / "last_checkpoint").exists() and time.monotonic() < end:
            time.sleep(0.005)
        process.kill()
    left = {path.name for path in (folder / "killed").iterdir()}
    assert "model_0000001.pth" in left
    assert "model_final.pth" not in left
    resumed = run(runner, overrides, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert "Starting training from iteration 0" not in resumed.stdout

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    metrics = runner.train(data, folder / "whole", **options)
    torch.set_num_threads(threads)
    assert same_weights(weights_of(folder / "whole"), weights_of(folder / "killed"))
    assert last_evaluation(folder / "killed") == metrics["bbox"]


def check_two_processes(main, runner: Runner, data, folder: Path) -> None:
    """Trains in two CPU processes; what is left has the form that one process leaves."""
    overrides = runner.overrides(data, folder / "two", max_iter=2)
    main(["--config-file", str(runner.file), "--num-gpus", "2", *overrides])
    one = runner.train(data, folder / "one", max_iter=2)
    assert last_evaluation(folder / "two").keys() == one["bbox"].keys()
    assert logged_names(folder / "two") == logged_names(folder / "one")
    assert weights_of(folder / "two").keys() == weights_of(folder / "one").keys()
    assert (folder / "two" / "log.txt.rank1").is_file()


def last_evaluation(folder: Path) -> dict[str, float]:
    return json.loads((folder / "inference" / "metrics.json").read_text())


def logged_names(folder: Path) -> list[set[str]]:
    """The names in each line of the log of metrics; times come only after a few iterations."""
    lines = (folder / "metrics.json").read_text().splitlines()
    return [set(json.loads(line)) - {"time", "eta_seconds"} for line in lines]

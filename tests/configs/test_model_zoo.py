"""docs/model_zoo.md: every config of a row is in it, and its commands can be run."""

import re
import shlex

import pytest

from config_facts import load_lazy
from conftest import REPOSITORY
from scale_match.engine.session import yacs_config

CONFIGS = REPOSITORY / "configs"
TEXT = (REPOSITORY / "docs/model_zoo.md").read_text()
# `train NAME GPUS KEY VALUE ...` and `test_ NAME KEY VALUE ...`, in tables and in code blocks
COMMANDS = sorted(
    {
        command.strip()
        for quoted in re.findall(r"`((?:train|test_) [^`]*)`|^((?:train|test_) .*)$", TEXT, re.M)
        for text in quoted
        if "NAME" not in text
        for command in text.split("&&")
        if command
    }
)
TABLE_ROWS = [line for line in TEXT.splitlines() if re.match(r"\| \d\d\d.* exp", line)]


def words_of(command):
    """Program, config, GPUs (0 for a test) and overrides."""
    program, name, *rest = shlex.split(command)
    gpus = int(rest.pop(0)) if program == "train" else 0
    return program, name, gpus, rest


def test_there_are_commands():
    assert len(TABLE_ROWS) == 11
    assert len(COMMANDS) >= 25


@pytest.mark.parametrize("command", COMMANDS)
def test_command_names_a_config_and_keys_that_exist(command):
    _, name, gpus, overrides = words_of(command)
    cfg = yacs_config(CONFIGS / f"{name}.yaml", [word.replace("$W", "w.pth") for word in overrides])

    assert (CONFIGS / f"{name}.py").is_file()
    if gpus:
        assert cfg.SOLVER.IMS_PER_BATCH % gpus == 0
        load_lazy(CONFIGS / f"{name}.py")


@pytest.mark.parametrize("command", COMMANDS)
def test_pretraining_comes_before_what_needs_it(command):
    program, name, _, _ = words_of(command)
    weights = yacs_config(CONFIGS / f"{name}.yaml").MODEL.WEIGHTS
    if program == "train" and weights.startswith("output/"):
        before = f"train coco/{weights.split('/')[1]} 2 && {command}"
        assert f"`{before}`" in TEXT


def test_every_r50_config_is_there():
    names = {
        f"{path.parent.name}/{path.stem}"
        for path in CONFIGS.glob("*/*_r50_*.yaml")
        if path.parent.name != "common"
    }
    assert {name for name in names if f"{name} " not in TEXT and f"{name}`" not in TEXT} == set()


@pytest.mark.parametrize("row", TABLE_ROWS)
def test_row_says_what_its_config_says(row):
    """Number, GPUs x images and learning rate of the table against the config's own."""
    cells = [cell.strip() for cell in row.strip("|").split(" | ")]
    experiment, batch, published, command = cells[0].split()[-1], cells[3], cells[4], cells[6]
    _, name, gpus, _ = words_of(command.strip("`").split("&&")[-1])
    path = CONFIGS / f"{name}.yaml"
    solver = yacs_config(path).SOLVER

    first = path.read_text().splitlines()[0]
    assert first.startswith(f"# {experiment} of {cells[0][:3]}_")
    assert first.endswith(published.split()[0])
    assert batch == f"{gpus} x {solver.IMS_PER_BATCH // gpus}, {solver.BASE_LR:g}"
    assert cells[5] == "not run: needs the data"

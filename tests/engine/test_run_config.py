"""When a run's config is written, and by whom; tests/engine/test_training.py has whole runs."""

import logging

import pytest
from detectron2.config import CfgNode
from detectron2.utils import comm
from omegaconf import OmegaConf

from scale_match.engine.logs import start_logs
from scale_match.engine.run_config import save_config, set_up_run


def yacs(folder, seed):
    return CfgNode({"OUTPUT_DIR": str(folder), "SEED": seed, "CUDNN_BENCHMARK": False})


def lazy(folder, seed):
    return OmegaConf.create({"train": {"output_dir": str(folder), "seed": seed}})


@pytest.fixture(params=[yacs, lazy])
def make(request):
    return request.param


def test_a_set_up_leaves_the_folders_config_and_a_save_replaces_it(make, tmp_path):
    set_up_run(make(tmp_path, 31415), tmp_path, training=True)
    assert not (tmp_path / "config.yaml").exists()
    save_config(make(tmp_path, 31415), tmp_path)
    first = (tmp_path / "config.yaml").read_bytes()
    set_up_run(make(tmp_path, 27182), tmp_path, training=False)
    assert (tmp_path / "config.yaml").read_bytes() == first
    save_config(make(tmp_path, 27182), tmp_path)
    assert (tmp_path / "config.yaml").read_bytes() == first.replace(b"31415", b"27182")


def test_the_log_says_that_it_is_saved_only_when_it_is(make, tmp_path):
    start_logs(tmp_path)
    set_up_run(make(tmp_path, 1), tmp_path, training=True)
    said = (tmp_path / "log.txt").read_text()
    assert "Environment info" in said
    assert "saved to" not in said
    save_config(make(tmp_path, 1), tmp_path)
    assert (tmp_path / "log.txt").read_text().count("onfig saved to") == 1
    assert not logging.getLogger("detectron2").filters


def test_only_the_first_process_writes_and_puts_back(make, tmp_path, monkeypatch):
    monkeypatch.setattr(comm, "is_main_process", lambda: False)
    set_up_run(make(tmp_path, 1), tmp_path, training=True)
    save_config(make(tmp_path, 1), tmp_path)
    assert not (tmp_path / "config.yaml").exists()
    # The first process may have written by now.
    (tmp_path / "config.yaml").write_text("theirs")
    set_up_run(make(tmp_path, 1), tmp_path, training=True)
    save_config(make(tmp_path, 1), tmp_path)
    assert (tmp_path / "config.yaml").read_text() == "theirs"

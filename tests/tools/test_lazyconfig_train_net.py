import shutil

import pytest

from engine.tiny import RUNNERS, make_data
from engine.tool_runs import check_killed_run_resumes_exactly, check_two_processes, main_of, run
from scale_match.core.errors import InputError

RUNNER = RUNNERS["lazy"]


@pytest.fixture(scope="module")
def main():
    return main_of(RUNNER.tool)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("data"))


def test_help_shows_how_to_train_resume_and_evaluate(main, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    for word in ("dataloader.train.annotations", "--resume", "--eval-only", "--num-gpus 2"):
        assert word in text


def test_a_run_that_was_killed_resumes_to_the_same_weights(data, tmp_path):
    check_killed_run_resumes_exactly(RUNNER, data, tmp_path)


def test_two_cpu_processes_train_and_leave_what_one_leaves(main, data, tmp_path):
    check_two_processes(main, RUNNER, data, tmp_path)


def test_evaluation_alone_writes_the_metrics_of_the_training(main, data, tmp_path):
    RUNNER.train(data, tmp_path, max_iter=1)
    before = (tmp_path / "inference" / "metrics.json").read_bytes()
    shutil.rmtree(tmp_path / "inference")
    overrides = RUNNER.overrides(data, tmp_path, max_iter=1)
    main(["--config-file", str(RUNNER.file), "--eval-only", "--resume", *overrides])
    assert (tmp_path / "inference" / "metrics.json").read_bytes() == before


def test_bad_input_is_one_sentence_and_exit_code_2(data, tmp_path):
    overrides = RUNNER.overrides((tmp_path / "none.json", data[1]), tmp_path / "run")
    result = run(RUNNER, overrides)
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].startswith("error: ")
    assert "none.json" in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stdout + result.stderr


def test_no_config_at_all_is_refused(main):
    with pytest.raises(InputError, match="no config is named: use --config-file"):
        main([])


def test_an_option_after_the_overrides_is_refused(main):
    with pytest.raises(InputError, match="--resume comes after the config overrides"):
        main(["--config-file", str(RUNNER.file), "train.seed=1", "--resume"])


def test_a_gpu_that_is_not_there_is_refused_at_once(main, data, tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    overrides = RUNNER.overrides(data, tmp_path / "run", device="cuda")
    with pytest.raises(InputError, match=r"set train\.device=cpu to run on the CPU"):
        main(["--config-file", str(RUNNER.file), "--num-gpus", "2", *overrides])
    assert not (tmp_path / "run").exists()

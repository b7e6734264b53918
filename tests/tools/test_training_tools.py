"""tools/train_net.py and tools/lazyconfig_train_net.py: the same behaviour, other words."""

import shutil

import pytest

from engine.tiny import RUNNERS, make_data
from engine.tool_runs import check_killed_run_resumes_exactly, check_two_processes, main_of, run
from scale_match.core.errors import InputError

TRAIN_ANNOTATIONS = {
    "yacs": "SCALE_MATCH.DATA.TRAIN_ANNOTATIONS",
    "lazy": "dataloader.train.annotations",
}
SEED_OVERRIDE = {"yacs": ["SEED", "1"], "lazy": ["train.seed=1"]}
DEVICE_ADVICE = {"yacs": r"set MODEL\.DEVICE cpu", "lazy": r"set train\.device=cpu"}


@pytest.fixture(scope="module", params=["yacs", "lazy"])
def front_end(request):
    return request.param


@pytest.fixture(scope="module")
def runner(front_end):
    return RUNNERS[front_end]


@pytest.fixture(scope="module")
def main(runner):
    return main_of(runner.tool)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("data"))


def test_help_shows_how_to_train_resume_and_evaluate(main, front_end, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    options = ("--resume", "--eval-only", "--num-gpus 2")
    for word in (TRAIN_ANNOTATIONS[front_end], *options):
        assert word in text


def test_a_run_that_was_killed_resumes_to_the_same_weights(runner, data, tmp_path):
    check_killed_run_resumes_exactly(runner, data, tmp_path)


def test_two_cpu_processes_train_and_leave_what_one_leaves(main, runner, data, tmp_path):
    check_two_processes(main, runner, data, tmp_path)


def test_evaluation_alone_writes_the_metrics_of_the_training(main, runner, data, tmp_path):
    runner.train(data, tmp_path, max_iter=1)
    before = (tmp_path / "inference" / "metrics.json").read_bytes()
    shutil.rmtree(tmp_path / "inference")
    overrides = runner.overrides(data, tmp_path, max_iter=1)
    main(["--config-file", str(runner.file), "--eval-only", "--resume", *overrides])
    assert (tmp_path / "inference" / "metrics.json").read_bytes() == before


def test_bad_input_is_one_sentence_and_exit_code_2(runner, data, tmp_path):
    overrides = runner.overrides((tmp_path / "none.json", data[1]), tmp_path / "run")
    result = run(runner, overrides)
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].startswith("error: ")
    assert "none.json" in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stdout + result.stderr


def test_no_config_at_all_is_refused(main):
    with pytest.raises(InputError, match="no config is named: use --config-file"):
        main([])


def test_an_option_after_the_overrides_is_refused(main, runner, front_end):
    with pytest.raises(InputError, match="--resume comes after the config overrides"):
        main(["--config-file", str(runner.file), *SEED_OVERRIDE[front_end], "--resume"])


def test_a_gpu_that_is_not_there_is_refused_at_once(
    main, runner, front_end, data, tmp_path, monkeypatch
):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    overrides = runner.overrides(data, tmp_path / "run", device="cuda")
    with pytest.raises(InputError, match=DEVICE_ADVICE[front_end] + " to run on the CPU"):
        main(["--config-file", str(runner.file), "--num-gpus", "2", *overrides])
    assert not (tmp_path / "run").exists()

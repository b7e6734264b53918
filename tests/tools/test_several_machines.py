"""tools/torchrun_train.sh and tools/slurm_train.sbatch: which commands they give; no processes."""

import os
import shutil
import subprocess

import pytest

SCRIPTS = ["torchrun_train.sh", "slurm_train.sbatch"]
SLURM = {
    "SLURM_JOB_ID": "41",
    "SLURM_JOB_NUM_NODES": "2",
    "SLURM_JOB_NODELIST": "n[1-2]",
    "SLURM_GPUS_ON_NODE": "4",
}


@pytest.fixture
def checkout(tmp_path, repository):
    """A checkout whose Python, srun and scontrol only say what they are asked to do."""
    root = tmp_path / "a checkout"
    (root / "tools").mkdir(parents=True)
    (root / "bin").mkdir()
    for name in SCRIPTS:
        shutil.copy(repository / "tools" / name, root / "tools")
    python = root / "python"
    (root / "tools" / "setup_env.sh").write_text(f'echo "{python}"\n')
    programs = {
        python: 'echo "ran$(printf " %q" "$@")"; exit "${CODE:-0}"',
        # A task per node, one after the other.
        root / "bin" / "srun": 'while [ "$1" != bash ]; do shift; done\n'
        "for SLURM_NODEID in 0 1; do export SLURM_NODEID; "
        '"$@" || code=$?; done; exit "${code:-0}"',
        root / "bin" / "scontrol": 'if [ "$1" = show ]; then echo n1; echo n2; else echo "$@"; fi',
    }
    for path, body in programs.items():
        path.write_text(f"#!/usr/bin/env bash\n{body}\n")
        path.chmod(0o755)
    return root


def run(root, script, *arguments, **variables):
    path = f"{root / 'bin'}:{os.environ['PATH']}"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
    return subprocess.run(
        ["bash", str(root / "tools" / script), *arguments],
        env={**kept, "PATH": path, "SLURM_SUBMIT_DIR": str(root), **variables},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("script", SCRIPTS)
def test_each_script_is_executable_and_has_help(repository, script):
    path = repository / "tools" / script
    assert os.access(path, os.X_OK)
    finished = run(repository, script, "--help")
    assert finished.returncode == 0
    assert finished.stdout.startswith("usage: ")
    assert finished.stderr == ""


def test_without_options_for_torchrun_it_takes_all_gpus(checkout):
    finished = run(checkout, SCRIPTS[0], "--config-file", "a.yaml", "--resume", "SEED", "1")
    tool = str(checkout / "tools" / "train_net.py").replace(" ", "\\ ")
    assert finished.stdout == (
        "ran -m torch.distributed.run --standalone --nproc-per-node gpu "
        f"{tool} --config-file a.yaml --resume SEED 1\n"
    )
    assert finished.returncode == 0


def test_options_before_the_dashes_go_to_torchrun_and_a_py_config_to_the_lazy_tool(checkout):
    words = ["--nnodes", "2", "--", "--config-file=a b.py", "train.seed=1"]
    finished = run(checkout, SCRIPTS[0], *words)
    tool = str(checkout / "tools" / "lazyconfig_train_net.py").replace(" ", "\\ ")
    assert finished.stdout == (
        f"ran -m torch.distributed.run --nnodes 2 {tool} --config-file=a\\ b.py train.seed=1\n"
    )


def test_help_after_the_dashes_is_that_of_torchrun(checkout):
    finished = run(checkout, SCRIPTS[0], "--", "--help")
    assert finished.stdout == "ran -m torch.distributed.run --help\n"


def test_a_failed_run_keeps_its_exit_code_and_says_what_to_do(checkout):
    finished = run(checkout, SCRIPTS[0], "--config-file", "a.yaml", CODE="3")
    assert finished.returncode == 3
    assert finished.stderr.startswith("error: a process of the run failed (exit code 3)")
    assert "--resume" in finished.stderr


@pytest.mark.parametrize(
    ("script", "arguments", "variables", "message"),
    [
        (SCRIPTS[0], ["--nnodes", "2"], {}, "no config is named: use --config-file"),
        (SCRIPTS[0], ["--config-file", "a.json"], {}, r"ends in .yaml or .py, received a.json"),
        (SCRIPTS[1], [], SLURM, "no config is named"),
        (SCRIPTS[1], ["--config-file", "a.yaml"], {}, "this is no SLURM job"),
        (
            SCRIPTS[1],
            ["--config-file", "a.yaml"],
            {**SLURM, "SLURM_SUBMIT_DIR": "/nowhere"},
            "/nowhere is not the root of the checkout",
        ),
        (
            SCRIPTS[1],
            ["--config-file", "a.yaml"],
            {**SLURM, "SLURM_GPUS_ON_NODE": "0"},
            "the job has no GPU: ask with --gpus-per-node",
        ),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(checkout, script, arguments, variables, message):
    finished = run(checkout, script, *arguments, **variables)
    assert finished.returncode == 2
    assert finished.stdout == ""
    assert message in finished.stderr.splitlines()[-1]


def test_a_job_starts_torchrun_on_each_node_with_its_rank_and_resumes(checkout):
    finished = run(checkout, SCRIPTS[1], "--config-file", "a.yaml", "OUTPUT_DIR", "a b", **SLURM)
    tool = str(checkout / "tools" / "train_net.py").replace(" ", "\\ ")
    assert finished.stdout.splitlines() == [
        f"ran -m torch.distributed.run --nnodes 2 --node-rank {rank} --nproc-per-node 4 "
        f"--master-addr n1 --master-port 20041 {tool} --resume --config-file a.yaml "
        "OUTPUT_DIR a\\ b"
        for rank in (0, 1)
    ]
    assert finished.returncode == 0
    assert "job 41, start 1: 2 nodes x 4 processes, meeting at n1:20041" in finished.stderr


def test_a_job_whose_training_fails_fails(checkout):
    finished = run(checkout, SCRIPTS[1], "--config-file", "a.yaml", **SLURM, CODE="5")
    assert finished.returncode == 5


def test_a_job_without_gpus_and_with_its_own_port(checkout):
    own = {**SLURM, "SLURM_GPUS_ON_NODE": "", "PROCESSES_PER_NODE": "3", "MASTER_PORT": "29500"}
    finished = run(checkout, SCRIPTS[1], "--config-file", "a.yaml", **own)
    assert "--nproc-per-node 3 --master-addr n1 --master-port 29500" in finished.stdout


def test_a_job_near_its_time_limit_puts_itself_into_the_queue(checkout):
    # The training sends what SLURM sends to the script.
    (checkout / "python").write_text(
        "#!/usr/bin/env bash\n"
        "pid=$PPID\n"
        'while ! tr "\\0" " " </proc/$pid/cmdline | grep -q "slurm_train.sbatch --"; do\n'
        '  pid=$(cut -d" " -f4 /proc/$pid/stat); done\n'
        'kill -USR1 "$pid"; sleep 0.3; echo trained\n'
    )
    finished = run(checkout, SCRIPTS[1], "--config-file", "a.yaml", **SLURM)
    assert "requeue 41" in finished.stdout
    assert finished.stdout.count("trained") == 2  # the training is not disturbed
    assert finished.returncode == 0

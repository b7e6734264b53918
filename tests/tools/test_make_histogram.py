import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest

from engine.tool_runs import main_of
from oracles.scale_match_files import read_json
from scale_match.cli import run_tool
from scale_match.core.errors import InputError
from scale_match.storage.histograms import read_target_histogram
from toy import make_toy_dataset


@pytest.fixture(scope="module")
def main():
    return main_of("make_histogram.py")


@pytest.fixture
def toy(tmp_path):
    path, _ = make_toy_dataset(tmp_path / "data")
    return path


def test_every_histogram_of_the_oracle_is_written(main, shared, tmp_path):
    for row in read_json(shared("oracle/scale_match/expected.json"))["histograms"]:
        source = shared(f"oracle/scale_match/{row['set']}.json")
        output = tmp_path / "h.json"
        options = ["--bins", str(row["bins"]), *(["--log"] if row["log"] else [])]
        if "explicit_except_rate" in row:
            options += ["--except-rate", str(row["except_rate"])]
        if "mu_sigma" in row:
            options += ["--mu-sigma", *map(str, row["mu_sigma"])]
        main(["--annotations", str(source), "--output", str(output), *options])
        fields = json.loads(output.read_text())
        assert fields["counts"] == row["counts"]
        np.testing.assert_allclose(fields["edges"], row["edges"], rtol=1e-12)
        assert fields["num_boxes"] == sum(row["counts"])
        assert fields["source"] == source.name
        assert fields["source_sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()
    assert [path.name for path in tmp_path.iterdir()] == ["h.json"]


def test_the_defaults_are_those_of_a_target(main, toy, tmp_path, capsys):
    output = tmp_path / "new" / "h.json"
    main(["--annotations", str(toy), "--output", str(output)])
    expected = read_target_histogram(toy)
    assert read_target_histogram(output).edges.tolist() == expected.edges.tolist()
    assert f"wrote {output}: 20 of 20 boxes in 100 bins" in capsys.readouterr().out


def test_negative_values_mean_the_default_as_in_a_config(main, toy, tmp_path):
    output = tmp_path / "h.json"
    main(
        ["--annotations", str(toy), "--output", str(output), "--bins", "4",
         "--except-rate", "-1", "--mu-sigma", "-1", "-1"]
    )  # fmt: skip
    fields = json.loads(output.read_text())
    assert (fields["except_rate"], fields["mu_sigma"]) == (0.5, None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--bins", "2"], r"annotations.json: bins must be at least 3"),
        (["--bins", "0"], r"bins must be at least 1, got 0"),
        (["--except-rate", "1"], r"annotations.json: except_rate must be in \[0, 1\), got 1.0"),
        (["--except-rate", "nan"], r"annotations.json: except_rate must be in \[0, 1\), got nan"),
        (["--mu-sigma", "5", "0"], r"mu_sigma must be a mean and a deviation in pixels"),
        (["--annotations", "/none.json"], r"cannot read /none.json: No such file"),
    ],
)
def test_bad_input_writes_nothing(main, toy, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        main(["--annotations", str(toy), "--output", str(tmp_path / "h.json"), *options])
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_the_input_is_not_overwritten(main, toy):
    before = toy.read_bytes()
    with pytest.raises(InputError, match="must not be the file given as --annotations"):
        main(["--annotations", str(toy), "--output", str(toy)])
    assert toy.read_bytes() == before


def test_help_shows_an_example(main, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    assert "tools/make_histogram.py --annotations tiny/train.json" in capsys.readouterr().out


def test_it_runs_as_a_script_and_ends_with_code_2(main, repository, tmp_path, toy):
    command = [sys.executable, repository / "tools" / "make_histogram.py", "--output", "h.json"]
    done = subprocess.run(
        [*command, "--annotations", str(toy)], cwd=tmp_path, capture_output=True, check=False
    )
    assert (done.returncode, (tmp_path / "h.json").is_file()) == (0, True)
    assert run_tool(main, ["--annotations", "none.json", "--output", "x.json"]) == 2

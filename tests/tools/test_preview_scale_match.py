import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from engine.tool_runs import main_of
from oracles.scale_match_files import read_json
from scale_match.cli import run_tool
from toy import make_toy_dataset


@pytest.fixture(scope="module")
def main():
    return main_of("preview_scale_match.py")


@pytest.fixture
def run(main, tmp_path):
    """Runs the tool and returns the rows and the summary."""

    def run_tool_on(source, target, *options):
        output = tmp_path / "out" / "preview.json"
        arguments = ["--source", str(source), "--json", str(output), *map(str, options)]
        main([*arguments, *(["--target", str(target)] if target else [])])
        rows = json.loads(output.read_text())
        return rows, json.loads(output.with_name("preview.summary.json").read_text())

    return run_tool_on


def limits(entry):
    return [
        *("--scale-range", *entry["scale_range"], "--default-scale", entry["default_scale"]),
        *("--out-of-range", "clip" if entry["out_scale_deal"] == "clip" else "default"),
        *("--bins", entry["bins"], *(["--log"] if entry.get("log") else [])),
        *(["--mu-sigma", *entry["mu_sigma"]] if entry.get("mu_sigma") else []),
    ]


def check_rows(rows, expected):
    by_id = {row["image_id"]: row for row in rows}
    for wanted in expected:
        row = by_id[wanted["image_id"]]
        wanted = wanted | wanted.get("if_clamped", {})
        assert row["size"] == wanted["size"]
        if wanted.get("no_boxes"):
            assert (row["num_boxes"], row["src_size"]) == (0, None)
            continue
        assert row["num_boxes"] == wanted["n_boxes"]
        assert row["src_size"] == pytest.approx(wanted["src_size"], rel=2e-5)
        assert row["fallback"] == wanted.get("fallback", False)
        if "n_left" in wanted:
            assert row["num_left"] == wanted["n_left"]


def test_all_msm_rows_of_the_oracle(run, shared):
    for entry in read_json(shared("oracle/scale_match/expected.json"))["msm"]:
        source, target = (
            shared(f"oracle/scale_match/{entry[name]}.json") for name in ("source", "target")
        )
        rows, _ = run(source, target, "--policy", "msm", *limits(entry))
        assert [row["image_id"] for row in rows] == [
            image["id"] for image in read_json(source)["images"]
        ]
        check_rows(rows, entry["v1"])


def test_all_gsm_rows_of_the_oracle(run, shared, tmp_path):
    oracle = read_json(shared("oracle/scale_match/expected.json"))
    source = shared("oracle/scale_match/coco_like.json")
    sample = tmp_path / "sample.json"
    sample.write_text(json.dumps(oracle["gsm_standard_normal_sample"]))
    for entry in oracle["gsm"]:
        options = [
            *("--policy", "gsm", "--normal-sample", sample, *limits(entry)),
            *("--size-per", "image" if entry["use_size_in_image"] else "box"),
            # The authors' is in logarithms; their default 0 is 1 pixel, and so is ours.
            *(["--min-size", 2.718281828459045 ** entry["min_size"]] if entry["min_size"] else []),
        ]
        rows, summary = run(source, None, *options)
        check_rows(rows, entry["v1"])
        assert summary["ks"]["result_target"] < 0.2 < summary["ks"]["source_target"]


def test_exact_quantiles_come_close_to_the_sample(run, shared):
    oracle = read_json(shared("oracle/scale_match/expected.json"))
    source = shared("oracle/scale_match/coco_like.json")
    entry = oracle["gsm"][0]
    rows, _ = run(source, None, "--policy", "gsm", *limits(entry))
    by_id = {row["image_id"]: row for row in rows}
    for wanted in entry["v1"]:
        if wanted.get("scale_raw") and 0.12 < wanted["scale_raw"] < 1 and wanted["src_size"] > 6:
            scale = by_id[wanted["image_id"]]["scale"]
            assert scale == pytest.approx(wanted["scale_raw"], rel=0.04)


def test_sampled_rows_depend_on_seed_and_epoch_and_print_the_distances(run, shared, capsys):
    source = shared("oracle/scale_match/coco_like.json")
    target = shared("oracle/scale_match/tinyperson_like.json")
    first, summary = run(source, target, "--policy", "sm", "--seed", 3, "--epoch", 2)
    printed = capsys.readouterr().out
    assert f"result to target {summary['ks']['result_target']:.4f}" in printed
    assert "600 images: 9 without boxes" in printed
    assert summary["ks"]["result_target"] < 0.16
    assert run(source, target, "--policy", "sm", "--seed", 3, "--epoch", 2)[0] == first
    assert run(source, target, "--policy", "sm", "--seed", 3, "--epoch", 1)[0] != first


def test_images_and_plot_make_a_picture(run, tmp_path, capsys):
    source, images = make_toy_dataset(tmp_path / "large", width=320, height=240)
    target, _ = make_toy_dataset(tmp_path / "small", width=80, height=60)
    (images / "0002.jpg").unlink()
    plot = tmp_path / "plot.png"
    run(source, target, "--policy", "msm", "--images", images, "--plot", plot)
    assert Image.open(plot).width > 1000
    printed = capsys.readouterr()
    assert "1 images could not be shown" in printed.out
    assert f"wrote {tmp_path}/out/preview.json" in printed.out
    assert "0002.jpg (image id 2) is not in the folder" in printed.err


@pytest.mark.parametrize(
    "options",
    [["--policy", "none"], ["--size-per", "tile"], ["--out-of-range", "crop"], ["--bins", "x"]],
)
def test_a_wrong_command_line_ends_with_code_2_and_usage(main, options, capsys):
    arguments = ["--source", "s", "--target", "t", "--policy", "sm", "--json", "o"]
    with pytest.raises(SystemExit) as stopped:
        main([*arguments, *options])
    assert stopped.value.code == 2
    assert "usage: preview_scale_match.py" in capsys.readouterr().err


def test_bad_input_ends_with_code_2_and_one_sentence(main, tmp_path, capsys):
    arguments = ["--source", "none.json", "--target", "t.json", "--policy", "sm"]
    assert run_tool(main, [*arguments, "--json", str(tmp_path / "o.json")]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: cannot read t.json: it is neither in {Path.cwd()} nor in ")
    assert said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_help_names_the_fields(main, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in ("src_size", "num_left", "--normal-sample FILE"))


def test_it_runs_without_torch(repository, tmp_path):
    source, _ = make_toy_dataset(tmp_path / "data")
    code = (
        "import sys, runpy; sys.modules['torch'] = sys.modules['detectron2'] = None; "
        "sys.argv[0] = 'preview_scale_match.py'; "
        f"runpy.run_path({str(repository / 'tools' / 'preview_scale_match.py')!r}, "
        "run_name='__main__')"
    )
    command = [sys.executable, "-c", code, "--source", str(source), "--target", str(source)]
    done = subprocess.run(
        [*command, "--policy", "sm", "--json", "o.json", "--plot", "o.png"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, (tmp_path / "o.summary.json").is_file()) == (0, True), done.stderr

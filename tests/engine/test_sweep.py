"""Rows of a sweep equal runs with their settings, and the model runs once."""

import csv
import json

import numpy as np
import pytest
import torch
from detectron2.modeling import RetinaNet

from engine.sweep_samples import config, two_classes, weights_file
from engine.tiny import RUNNERS
from scale_match.core.errors import InputError
from scale_match.engine.checkpoint import AtomicCheckpointer
from scale_match.engine.sweep import run_sweep
from scale_match.engine.sweep_settings import SweepSettings
from scale_match.scoring.files import read_saved_scores
from scale_match.scoring.inputs import load_inputs
from scale_match.scoring.scores import ScoringOptions, score

torch.set_num_threads(1)

SETTINGS = SweepSettings(
    candidates=(10, 200),
    max_detections=(5, 60),
    max_dets=(20, 40),
    nms_thresholds=(0.5, 0.3),
    metrics=("AP25_all", "AR25_tiny"),
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return two_classes(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module", params=list(RUNNERS))
def swept(request, data, tmp_path_factory):
    """Front end, weights, and the folder of a sweep that wrote its scores."""
    folder = tmp_path_factory.mktemp(request.param)
    weights = weights_file(request.param, data, folder)
    # One tile at a time, as in a run over tiles as images, lest last digits differ.
    cfg = config(request.param, data, folder, weights=weights, tile_batch=1)
    result = run_sweep(cfg, SETTINGS, folder / "sweep", scores=True)
    return request.param, weights, folder / "sweep", result


def evaluated(name, data, folder, weights, **changes):
    """Detections that an evaluation writes, and the folder."""
    cfg = config(name, data, folder, weights=weights, **changes)
    RUNNERS[name].front_end.evaluate(cfg)
    return folder / "inference"


def columns(path):
    entries = json.loads(path.read_text())
    return [(e["image_id"], e["category_id"], *e["bbox"], e["score"]) for e in entries]


def row_of(result, **wanted):
    for row in result.rows:
        values = row.to_dict()
        if all(values[key] == value for key, value in wanted.items()):
            return row
    raise AssertionError(wanted)


def rows_equal_to_the_run(run, folder, stem, result, *, ground_truth, tiles=None, **settings):
    """Compare detections, scores files and metrics with those of a run; the rows' protocols."""
    found = columns(run / "coco_instances_results.json")
    assert len(found) > 10
    assert columns(folder / "detections" / f"{stem}.json") == found
    said = json.loads((run / "protocol.json").read_text())
    protocols = []
    for max_dets in SETTINGS.max_dets:
        expected = score(
            load_inputs(ground_truth, run / "coco_instances_results.json", tiles=tiles),
            ScoringOptions(max_dets=(max_dets,)),
            said,
        ).to_dict()
        saved = read_saved_scores(folder / "rows" / f"{stem}_dets-{max_dets}" / "scores.json")
        for key in ("AP", "AR", "MR", "AP_counts", "protocol", "options", "set"):
            assert saved.content[key] == expected[key]
        row = row_of(result, max_dets=max_dets, **settings)
        assert row.metrics["AP25_all"] == expected["AP"]["all_25"]
        protocols.append((row.protocol, expected["protocol"]))
    return protocols


@pytest.mark.parametrize(("candidates", "limit", "threshold"), [(10, 60, 0.5), (200, 5, 0.3)])
def test_a_row_with_run_time_crop_equals_an_evaluation(
    swept, data, tmp_path, candidates, limit, threshold
):
    name, weights, folder, result = swept
    run = evaluated(
        *(name, data, tmp_path, weights),
        candidates=candidates,
        merge="joint",
        tile_nms=threshold,
        tile_limit=limit,
        tile_batch=1,
    )
    stem = f"crop-yes_cand-{candidates}_img-{limit}_class-aware-{threshold}_score-0.05"

    protocols = rows_equal_to_the_run(
        *(run, folder, stem, result),
        ground_truth=data[0],
        run_time_crop="yes",
        candidates_per_level=candidates,
        max_detections=limit,
        nms_threshold=threshold,
    )

    assert len(protocols) == len(SETTINGS.max_dets)
    assert all(row == expected for row, expected in protocols)


@pytest.mark.parametrize(("candidates", "limit", "threshold"), [(10, 60, 0.5), (200, 5, 0.3)])
def test_a_row_without_run_time_crop_equals_an_evaluation_on_tiles_merged_afterwards(
    swept, data, tmp_path, candidates, limit, threshold
):
    name, weights, folder, result = swept
    run = evaluated(
        *(name, (folder / "tiles.json", data[1]), tmp_path, weights),
        candidates=candidates,
        nms=threshold,
        limit=limit,
        tiles=False,
    )
    stem = f"crop-no_cand-{candidates}_crop-{limit}_class-aware-{threshold}_score-0.05"

    protocols = rows_equal_to_the_run(
        *(run, folder, stem, result),
        tiles=folder / "tiles.json",
        ground_truth=data[0],
        run_time_crop="no",
        candidates_per_level=candidates,
        max_detections=limit,
        nms_threshold=threshold,
    )

    assert len(protocols) == len(SETTINGS.max_dets)


def test_the_files_say_what_the_result_says(swept):
    _, _, folder, result = swept
    content = json.loads((folder / "sweep.json").read_text())
    assert len(result.rows) == 2 * 2 * 2 * 2 * 2
    assert content["rows"] == [row.to_dict() for row in result.rows]
    assert content["candidates"]["path"] == str(folder / "candidates.npz")
    assert content["candidates"]["per_level"] == 200
    with (folder / "sweep.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [float(line["AP25_all"]) for line in lines] == [
        row.metrics["AP25_all"] for row in result.rows
    ]
    assert any(float(line["AP25_all"]) > 0 for line in lines)
    assert {line["run_time_crop"] for line in lines} == {"yes", "no"}
    assert len(list((folder / "rows").iterdir())) == len(result.rows)


def test_rows_stand_in_the_order_of_the_table(swept):
    *_, result = swept
    assert [row.settings.label for row in result.rows] == [
        row.label for row in SweepSettings(**_with_score(SETTINGS, 0.05)).rows()
    ]
    assert len(result.table.rows) == len(result.rows)
    assert result.table.header[-2:] == ("AP25_all", "AR25_tiny")


def _with_score(settings, threshold):
    names = ("crop", "candidates", "max_detections", "max_dets", "nms", "nms_thresholds", "metrics")
    return {name: getattr(settings, name) for name in names} | {"score_thresholds": (threshold,)}


def test_scores_can_be_computed_again_from_the_files(swept):
    _, _, folder, _ = swept
    for path in sorted((folder / "rows").glob("*cand-10_*0.5*dets-20/scores.json")):
        saved = read_saved_scores(path)
        assert saved.reload().to_dict()["AP"] == saved.content["AP"]
        assert saved.label == path.parent.name


def sweep_again(name, data, folder, weights, settings=SETTINGS, **changes):
    cfg = config(name, data, folder / "any", weights=weights, **changes)
    return run_sweep(cfg, settings, folder)


@pytest.fixture
def model_calls(monkeypatch):
    """Images that a detector has looked at."""
    calls = []
    original = RetinaNet.preprocess_image

    def counted(model, inputs):
        calls.extend(inputs)
        return original(model, inputs)

    monkeypatch.setattr(RetinaNet, "preprocess_image", counted)
    return calls


def test_the_model_runs_once_and_not_at_all_in_a_second_call(data, tmp_path, model_calls):
    weights = weights_file("yacs", data, tmp_path)
    folder = tmp_path / "sweep"
    first = sweep_again("yacs", data, folder, weights)
    assert len(model_calls) == 3 * 2  # two tiles an image, whatever the number of rows
    model_calls.clear()

    second = sweep_again("yacs", data, folder, weights)
    fewer = SweepSettings(crop=("yes",), candidates=(50,), score_thresholds=(0.06,))
    third = sweep_again("yacs", data, folder, weights, fewer)

    assert model_calls == []
    assert f"those of an earlier call in {folder / 'candidates.npz'}; the model does not" in (
        second.note
    )
    assert second.rows == first.rows
    assert len(third.rows) == 3 * 2


def test_candidates_that_do_not_suffice_are_recorded_again(data, tmp_path, model_calls):
    weights = weights_file("yacs", data, tmp_path)
    folder = tmp_path / "sweep"
    few = SweepSettings(crop=("yes",), candidates=(50,), max_detections=(60,))
    sweep_again("yacs", data, folder, weights, few)
    for more, note in (
        (SweepSettings(crop=("yes",), candidates=(60,)), r"the best 50 above 0.05"),
        (SweepSettings(crop=("yes",), candidates=(9,), score_thresholds=(0.04,)), "60 above 0.05"),
    ):
        model_calls.clear()
        result = sweep_again("yacs", data, folder, weights, more)
        assert len(model_calls) == 6
        assert note in result.note
    model_calls.clear()
    # The file has grown in both directions.
    both = SweepSettings(crop=("yes",), candidates=(60,), score_thresholds=(0.04,))
    sweep_again("yacs", data, folder, weights, both)
    assert model_calls == []


def test_other_weights_images_or_tiles_need_other_candidates(data, tmp_path, model_calls):
    weights = weights_file("yacs", data, tmp_path)
    folder = tmp_path / "sweep"
    few = SweepSettings(crop=("yes",), candidates=(50,), max_detections=(60,))
    sweep_again("yacs", data, folder, weights, few)
    recorded = (folder / "candidates.npz").read_bytes()
    content = torch.load(weights)
    content["model"]["head.cls_score.bias"] += 0.5
    torch.save(content, tmp_path / "other.pth")
    others = two_classes(tmp_path / "others", seed=1)
    for changed in (
        {"weights": tmp_path / "other.pth"},
        {"data": others},
        {"SCALE_MATCH.TILES.OVERLAP": [20, 20]},
        {"SCALE_MATCH.DATA.RESIZE": True, "INPUT.MIN_SIZE_TEST": 80},
    ):
        (folder / "candidates.npz").write_bytes(recorded)
        model_calls.clear()
        arguments = {"weights": weights, "data": data, **changed}
        result = sweep_again("yacs", folder=folder, settings=few, **arguments)
        assert len(model_calls) >= 6
        assert "those there are of other weights, settings or images" in result.note


def test_settings_that_a_sweep_sets_itself_do_not_matter(data, tmp_path, model_calls):
    weights = weights_file("yacs", data, tmp_path)
    folder = tmp_path / "sweep"
    few = SweepSettings(crop=("yes",), candidates=(50,), score_thresholds=(0.05,))
    first = sweep_again("yacs", data, folder, weights, few)
    model_calls.clear()
    second = sweep_again(
        *("yacs", data, folder, weights, few),
        candidates=7,
        score=0.3,
        nms=0.2,
        limit=3,
        merge="per_tile",
        tile_nms=0.1,
        tile_limit=2,
    )
    assert model_calls == []
    assert second.rows == first.rows


def test_both_front_ends_give_the_same_fingerprint_for_the_same_config_twice(data, tmp_path):
    for name in RUNNERS:
        weights = weights_file(name, data, tmp_path)
        few = SweepSettings(crop=("yes",), candidates=(50,))
        prints = []
        for part in ("one", "two"):
            sweep_again(name, data, tmp_path / name / part, weights, few)
            content = json.loads((tmp_path / name / part / "sweep.json").read_text())
            prints.append(content["candidates"]["fingerprint"])
        assert prints[0] == prints[1]


def test_types_of_suppression_have_rows_and_protocols_of_their_own(data, tmp_path):
    weights = weights_file("yacs", data, tmp_path)
    settings = SweepSettings(
        candidates=(200,),
        max_detections=(60,),
        max_dets=(40,),
        nms=("class-aware", "class-agnostic"),
    )
    result = sweep_again("yacs", data, tmp_path / "sweep", weights, settings)
    assert "NMS" in result.table.header
    aware, agnostic = result.rows[:2]
    assert aware.num_detections >= agnostic.num_detections > 0
    assert "nms_type" not in aware.protocol["entries"]
    assert agnostic.protocol["entries"]["nms_type"] == "class-agnostic"
    assert len({row.protocol["hash"] for row in result.rows}) == 4


def test_miss_rates_are_computed_where_they_are_asked_for(data, tmp_path):
    weights = weights_file("yacs", data, tmp_path)
    settings = SweepSettings(
        crop=("yes",), candidates=(50,), max_detections=(60,), metrics=("MR50_All", "AP25_all")
    )
    result = sweep_again("yacs", data, tmp_path / "sweep", weights, settings)
    assert all(0 < row.metrics["MR50_All"] <= 1 for row in result.rows)
    plain = sweep_again("yacs", data, tmp_path / "sweep", weights, SETTINGS)
    assert not any(name.startswith("MR") for name in plain.rows[0].metrics)


def test_ids_and_order_of_images_do_not_matter(data, tmp_path):
    content = json.loads(data[0].read_text())
    content["images"].reverse()
    for entry in content["images"]:
        entry["id"] = 50 - entry["id"]
    for entry in content["annotations"]:
        entry["image_id"] = 50 - entry["image_id"]
    (tmp_path / "other.json").write_text(json.dumps(content))
    weights = weights_file("yacs", data, tmp_path)
    first = sweep_again("yacs", data, tmp_path / "one", weights)
    second = sweep_again("yacs", (tmp_path / "other.json", data[1]), tmp_path / "two", weights)
    for ours, theirs in zip(first.rows, second.rows, strict=True):
        assert ours.num_detections == theirs.num_detections
        np.testing.assert_allclose(
            list(ours.metrics.values()), list(theirs.metrics.values()), rtol=1e-12
        )


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("yacs", {"tiles": False}, "the config has them off: set SCALE_MATCH.TILES.ENABLED True"),
        ("lazy", {"tiles": False}, r"tiles.enabled=True in a Lazy config"),
        ("yacs", {"test": "", "test_images": ""}, r"needs exactly one test set, received \[\]"),
        ("lazy", {"test": ""}, "a sweep needs a test set: set dataloader.test.annotations"),
        ("yacs", {"weights": ""}, "there are no weights to evaluate: name them in MODEL.WEIGHTS"),
        ("lazy", {"weights": ""}, "name them in train.init_checkpoint"),
        ("yacs", {"test": "none.json"}, "none.json"),
        ("yacs", {"classes": 1}, "the model has 1 classes, but .* has 2 categories"),
        ("yacs", {"device": "nowhere"}, "'nowhere' is no device"),
    ],
)
def test_bad_input_is_refused_and_nothing_written(data, tmp_path, name, changes, message):
    weights = weights_file(name, data, tmp_path)
    with pytest.raises(InputError, match=message):
        sweep_again(name, data, tmp_path / "sweep", **{"weights": weights, **changes})
    assert not (tmp_path / "sweep").exists()


def test_a_tile_file_is_refused(data, swept, tmp_path):
    name, weights, folder, _ = swept
    with pytest.raises(InputError, match=r"tiles.json is a tile file; a sweep needs the whole im"):
        sweep_again(name, (folder / "tiles.json", data[1]), tmp_path / "sweep", weights)
    assert not (tmp_path / "sweep").exists()


def test_resized_images_have_no_rows_without_run_time_crop(data, tmp_path):
    weights = weights_file("yacs", data, tmp_path)
    resized = {"SCALE_MATCH.DATA.RESIZE": True, "INPUT.MIN_SIZE_TEST": 80}
    with pytest.raises(InputError, match=r"resizes images for the test .*: use --crop yes, or"):
        sweep_again("yacs", data, tmp_path / "sweep", weights, **resized)
    assert not (tmp_path / "sweep").exists()
    few = SweepSettings(crop=("yes",), candidates=(50,))
    result = sweep_again("yacs", data, tmp_path / "sweep", weights, few, **resized)
    assert result.rows[0].num_detections > 0
    entries = result.rows[0].protocol["entries"]
    assert entries["test_scale"] == {"min_size": [80, 80], "max_size": 1333}


def test_images_that_share_a_file_have_no_rows_without_run_time_crop(data, tmp_path):
    content = json.loads(data[0].read_text())
    content["images"][1]["file_name"] = content["images"][0]["file_name"]
    (tmp_path / "shared.json").write_text(json.dumps(content))
    shared, weights = (tmp_path / "shared.json", data[1]), weights_file("yacs", data, tmp_path)
    with pytest.raises(InputError, match=r"2 images have the file name '0001.jpg', by which"):
        sweep_again("yacs", shared, tmp_path / "sweep", weights)
    assert not (tmp_path / "sweep").exists()
    few = SweepSettings(crop=("yes",), candidates=(50,))
    assert sweep_again("yacs", shared, tmp_path / "sweep", weights, few).rows


def test_a_detector_without_candidates_is_refused(data, tmp_path, monkeypatch):
    weights = weights_file("yacs", data, tmp_path)
    monkeypatch.setattr("scale_match.inference.candidate_sources.RetinaNet", int)
    message = "ScaleMatchRetinaNet does not give its candidates before suppression"
    with pytest.raises(InputError, match=message):
        sweep_again("yacs", data, tmp_path / "sweep", weights)
    assert not (tmp_path / "sweep").exists()


def test_a_detector_without_a_threshold_of_its_own_needs_one(data, tmp_path, monkeypatch):
    weights = weights_file("yacs", data, tmp_path)
    original = AtomicCheckpointer.load_to_evaluate

    def without(checkpointer, *arguments, **options):
        rest = original(checkpointer, *arguments, **options)
        del checkpointer.model.test_score_thresh
        return rest

    monkeypatch.setattr(AtomicCheckpointer, "load_to_evaluate", without)
    with pytest.raises(InputError, match="has no test_score_thresh: name --score-threshold"):
        sweep_again("yacs", data, tmp_path / "sweep", weights)
    given = SweepSettings(crop=("yes",), candidates=(50,), score_thresholds=(0.1,))
    assert sweep_again("yacs", data, tmp_path / "sweep", weights, given).rows


def test_a_damaged_file_of_candidates_is_named(data, tmp_path):
    weights = weights_file("yacs", data, tmp_path)
    folder = tmp_path / "sweep"
    folder.mkdir()
    (folder / "candidates.npz").write_bytes(b"broken")
    with pytest.raises(InputError, match=r"candidates.npz cannot be read as a file of candidates"):
        sweep_again("yacs", data, folder, weights)


def test_a_missing_image_is_named_before_the_model_runs(data, tmp_path, model_calls):
    others = two_classes(tmp_path / "others")
    (others[1] / "0002.jpg").unlink()
    weights = weights_file("yacs", data, tmp_path)
    with pytest.raises(InputError, match=r"0002.jpg .* does not exist"):
        sweep_again("yacs", others, tmp_path / "sweep", weights)
    assert model_calls == []
    assert not (tmp_path / "sweep").exists()

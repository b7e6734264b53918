import json

import pytest

from engine.tiny import RUNNERS, make_data
from engine.tool_runs import main_of
from scale_match.cli import run_tool
from scale_match.core.errors import InputError

# Untrained models find nothing with a higher limit.
ALL_SCORES = {
    "yacs": ["MODEL.RETINANET.SCORE_THRESH_TEST", "0.0", "TEST.DETECTIONS_PER_IMAGE", "10"],
    "lazy": ["model.test_score_thresh=0.0", "model.max_detections_per_image=10"],
}


@pytest.fixture(scope="module")
def main():
    return main_of("predict.py")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("data"), num_images=2)


@pytest.fixture(scope="module", params=list(RUNNERS))
def trained(request, data, tmp_path_factory):
    """Name of the front end and the folder of a short training."""
    folder = tmp_path_factory.mktemp(request.param)
    RUNNERS[request.param].train(data, folder, max_iter=1)
    return request.param, folder


def predict(main, trained, data, output, *options):
    name, folder = trained
    main(
        [
            *("--config-file", str(folder / "config.yaml")),
            *("--weights", str(folder / "model_final.pth")),
            *("--input", str(data[1]), "--output", str(output)),
            *("--score-threshold", "0", "--device", "cpu"),
            *options,
            *("--opts", *ALL_SCORES[name]),
        ]
    )


def test_a_trained_model_of_either_front_end_predicts(main, trained, data, tmp_path, capsys):
    predict(main, trained, data, tmp_path)
    detections = json.loads((tmp_path / "detections.json").read_text())
    assert {one["image_id"] for one in detections} == {1, 2}
    assert {one["category_id"] for one in detections} == {1}
    assert {path.name for path in (tmp_path / "drawn").iterdir()} == {"0001.png", "0002.png"}
    said = f"{len(detections)} detections in 2 images, 0 images left out: {tmp_path}"
    assert said in capsys.readouterr().out


def test_predictions_are_what_the_evaluation_of_the_model_sees(main, trained, data, tmp_path):
    name, folder = trained
    options = ALL_SCORES[name]
    runner = RUNNERS[name]
    overrides = runner.overrides(data, tmp_path, weights=folder / "model_final.pth")
    runner.front_end.evaluate(runner.front_end.load(runner.file, [*overrides, *options]))
    evaluated = json.loads((tmp_path / "inference" / "coco_instances_results.json").read_text())
    predict(main, trained, data, tmp_path / "found")
    assert json.loads((tmp_path / "found" / "detections.json").read_text()) == evaluated
    protocols = (tmp_path / folder / "protocol.json" for folder in ("inference", "found"))
    evaluated, predicted = (json.loads(path.read_text()) for path in protocols)
    assert evaluated == predicted


@pytest.fixture
def ground_truth(data, tmp_path):
    """A function that writes the data's annotation file with other ids, and further changes."""

    def write(**changes):
        content = json.loads(data[0].read_text())
        for entry in content["images"]:
            entry["id"] = 100 - entry["id"]
        for entry in content["annotations"]:
            entry |= {"image_id": 100 - entry["image_id"], "category_id": 7}
        content["categories"][0]["id"] = 7
        path = tmp_path / "other_ids.json"
        path.write_text(json.dumps(content | changes))
        return path

    return write


def test_predictions_with_the_ids_of_a_file_score_as_the_evaluation(
    main, trained, data, ground_truth, tmp_path, capsys
):
    name, folder = trained
    runner, path = RUNNERS[name], ground_truth()
    overrides = runner.overrides(
        (path, data[1]), tmp_path, weights=folder / "model_final.pth", test=path
    )
    runner.front_end.evaluate(runner.front_end.load(runner.file, [*overrides, *ALL_SCORES[name]]))
    predict(main, trained, data, tmp_path / "found", "--annotations", str(path))
    detections = json.loads((tmp_path / "found" / "detections.json").read_text())
    assert {(one["image_id"], one["category_id"]) for one in detections} == {(99, 7), (98, 7)}
    main_of("evaluate.py")(
        [
            *("--gt", str(path), "--dt", str(tmp_path / "found" / "detections.json")),
            *("--protocol", str(tmp_path / "found" / "protocol.json")),
            *("--output", str(tmp_path / "scores.json")),
        ]
    )
    scores = [
        json.loads(one.read_text())
        for one in (tmp_path / "scores.json", tmp_path / "inference" / "scores.json")
    ]
    assert scores[0]["AP_maxDets1000"]["all_25"] > 0.0
    for key in ("AP_maxDets1000", "AR", "AP_counts"):
        assert scores[0][key] == scores[1][key]
    assert "note:" not in capsys.readouterr().out


def test_images_and_classes_that_a_file_does_not_have_are_refused(
    main, trained, data, ground_truth, tmp_path
):
    output = tmp_path / "found"
    content = json.loads(ground_truth().read_text())
    one = ground_truth(images=content["images"][:1], annotations=[])
    with pytest.raises(InputError, match=r"image .*0002\.jpg is not in .*other_ids\.json"):
        predict(main, trained, data, output, "--annotations", str(one))
    two = ground_truth(categories=[*content["categories"], {"id": 3, "name": "more"}])
    with pytest.raises(InputError, match=r"model has 1 classes, but .*other_ids.json has 2 categ"):
        predict(main, trained, data, output, "--annotations", str(two))
    assert not output.exists()


def test_images_of_the_file_that_were_not_given_are_mentioned(
    main, trained, data, ground_truth, tmp_path, capsys
):
    more = {"id": 3, "file_name": "more.jpg", "width": 8, "height": 8}
    path = ground_truth(images=[*json.loads(ground_truth().read_text())["images"], more])
    predict(main, trained, data, tmp_path / "found", "--annotations", str(path))
    assert f"note: detections of 2 of the 3 images of {path};" in capsys.readouterr().out


def test_weights_are_needed(main, trained, data, tmp_path):
    _, folder = trained
    with pytest.raises(InputError, match="there are no weights to evaluate"):
        main(
            [
                *("--config-file", str(folder / "config.yaml")),
                *("--input", str(data[1]), "--output", str(tmp_path)),
            ]
        )


def test_a_config_of_another_kind_is_refused(main, data, tmp_path, capsys):
    arguments = ["--input", str(data[1]), "--output", str(tmp_path / "out")]
    assert run_tool(main, ["--config-file", "mine.json", *arguments]) == 2
    assert "ends in .yaml (yacs) or .py (Lazy), received mine.json" in capsys.readouterr().err
    assert run_tool(main, ["--config-file", "none.yaml", *arguments]) == 2
    assert "none.yaml" in capsys.readouterr().err


def test_a_gpu_that_is_not_there_is_refused_by_the_option_that_asked(
    main, data, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    arguments = ["--input", str(data[1]), "--output", str(tmp_path / "out"), "--device", "cuda"]
    assert run_tool(main, ["--config-file", "any.yaml", *arguments]) == 2
    assert "--device cpu" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_help_shows_examples(main, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    assert "--weights output/mine/model_final.pth" in capsys.readouterr().out

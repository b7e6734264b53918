import json

import pytest

from evaluation_samples import as_annotations, as_detections, crowded
from scale_match.core.errors import InputError
from scale_match.scoring import scores as scores_module
from scale_match.scoring.files import read_saved_scores, write_scores
from scale_match.scoring.inputs import load_inputs, table_inputs
from scale_match.scoring.scores import ScoringOptions, score
from scale_match.scoring.standards import COCO, TINY, Standard
from scoring_files import crowded_files, write

MINE = Standard("mine", {"micro": (1.0, 6.0)}, {"micro": (2.0, 6.0)})


@pytest.fixture
def saved(tmp_path):
    """The path of a scores file, and the scores."""
    scores = score(load_inputs(*crowded_files(tmp_path)), None, {"score_threshold": 0.05})
    write_scores(tmp_path / "scores.json", scores)
    return tmp_path / "scores.json", scores


def test_what_is_written_is_read(saved):
    path, scores = saved
    read = read_saved_scores(path)
    assert read.content == scores.to_dict()
    assert read.path == path


def test_further_blocks_stand_beside_the_values(saved):
    path, scores = saved
    write_scores(path, scores, {"bootstrap": {"seed": 1}})
    assert read_saved_scores(path).content == scores.to_dict() | {"bootstrap": {"seed": 1}}


@pytest.mark.parametrize(
    "options",
    [
        ScoringOptions(),
        ScoringOptions(standard=COCO, per_category=True),
        ScoringOptions(MINE, (7, 3), (0.3,), miss_rate=False, reference_bugs=True),
    ],
)
def test_scores_are_evaluated_again_from_their_file(tmp_path, options):
    inputs = load_inputs(*crowded_files(tmp_path))
    scores = score(inputs, options, {"score_threshold": 0.05, "mine": [1]})
    write_scores(tmp_path / "scores.json", scores)
    again = read_saved_scores(tmp_path / "scores.json").reload()
    assert again.to_dict() == scores.to_dict()
    assert (again.ap.record.outcomes == scores.ap.record.outcomes).all()


@pytest.mark.parametrize("standard", [TINY, COCO, MINE])
def test_ap_alone_is_evaluated_again_under_the_same_protocol(tmp_path, monkeypatch, standard):
    options = ScoringOptions(standard, (7, 30), per_category=True, reference_bugs=True)
    scores = score(load_inputs(*crowded_files(tmp_path)), options, {"score_threshold": 0.05})
    write_scores(tmp_path / "scores.json", scores)
    monkeypatch.setattr(scores_module, "evaluate_miss_rate", None)  # neither is called
    monkeypatch.setattr(scores_module, "coco_metrics", None)
    again = read_saved_scores(tmp_path / "scores.json").reload(ap_only=True)
    assert (again.mr, again.coco) == (None, None)
    assert again.protocol.to_dict() == scores.protocol.to_dict()
    whole, found = scores.to_dict(), again.to_dict()
    same = whole.keys() - {"options", "warnings", "COCO"}
    same -= {key for key in same if key.startswith("MR")}
    assert {key: found[key] for key in same} == {key: whole[key] for key in same}
    assert found.keys() == same | {"options", "warnings"}


def test_scores_on_tiles_are_evaluated_again(shared, tmp_path):
    folder = shared("oracle/merge")
    files = (folder / "gt.json", folder / "dt_tiles.json")
    inputs = load_inputs(*files, tiles=folder / "corner_gt.json", merge="per-class")
    write_scores(tmp_path / "scores.json", score(inputs))
    again = read_saved_scores(tmp_path / "scores.json").reload()
    assert again.to_dict() == score(inputs).to_dict()
    assert again.inputs.merge == "per-class"


@pytest.mark.parametrize(
    ("path", "label"),
    [
        ("a/ours.json", "ours"),
        ("run/scores.json", "run"),
        ("run/inference/scores.json", "run"),
        ("run/scores.json.gz", "scores.json"),
    ],
)
def test_a_label_tells_scores_files_apart(saved, tmp_path, path, label):
    content = json.loads(saved[0].read_text())
    assert read_saved_scores(write(tmp_path / path, content)).label == label


@pytest.mark.parametrize("name", ["gt.json", "dt.json"])
def test_a_file_that_is_gone_is_named(saved, tmp_path, name):
    path, _ = saved
    (tmp_path / name).unlink()
    message = rf"scores.json was computed from {tmp_path / name}, which is not there"
    with pytest.raises(InputError, match=message):
        read_saved_scores(path).reload()


@pytest.mark.parametrize("name", ["gt.json", "dt.json"])
def test_a_file_that_has_changed_is_named(saved, tmp_path, name):
    path, scores = saved
    with (tmp_path / name).open("a") as file:
        file.write(" ")
    before = getattr(scores.inputs, f"{name[:2]}_sha256")
    message = rf"{name} has changed since .*scores.json .* content is [0-9a-f]+, but was {before}"
    with pytest.raises(InputError, match=message):
        read_saved_scores(path).reload()


def test_scores_of_tables_in_memory_cannot_be_evaluated_again(tmp_path):
    ground_truth, results = crowded(0)
    scores = score(table_inputs(as_annotations(ground_truth), as_detections(results)))
    write_scores(tmp_path / "scores.json", scores)
    saved = read_saved_scores(tmp_path / "scores.json")
    with pytest.raises(InputError, match="cannot be evaluated again: its gt did not come from a f"):
        saved.reload()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "is not a scores file: it holds no JSON object"),
        ({"AP": {}, "AR": {}}, "is not a scores file: it has no object 'protocol'"),
        ({"AP50_tiny": 0.5}, "is not a scores file: it has no object 'AP'"),
    ],
)
def test_another_file_is_no_scores_file(tmp_path, content, message):
    with pytest.raises(InputError, match=message):
        read_saved_scores(write(tmp_path / "scores.json", content))


def test_a_protocol_without_entries_is_no_protocol(saved):
    path, _ = saved
    content = json.loads(path.read_text()) | {"protocol": {"hash": "1"}}
    with pytest.raises(InputError, match=r"it has no object 'protocol\.entries'"):
        read_saved_scores(write(path, content))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("options", {"standard": "tiny"}, "options: .*missing required field"),
        ("inputs", {"gt": 3}, "inputs: Expected"),
    ],
)
def test_a_broken_scores_file_is_named(saved, key, value, message):
    path, _ = saved
    content = json.loads(path.read_text())
    content[key] = value
    with pytest.raises(InputError, match=rf"scores.json is not a scores file: {message}"):
        read_saved_scores(write(path, content)).reload()

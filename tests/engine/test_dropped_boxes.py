import json

import pytest

from engine.tiny import RUNNERS, make_data
from scale_match.engine.dropped_boxes import count_dropped


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Six images; each has one more box that is less than a pixel wide."""
    annotations, images = make_data(tmp_path_factory.mktemp("data"))
    content = json.loads(annotations.read_text())
    boxes = content["annotations"]
    for image in content["images"]:
        box = [5.0, 5.0, 0.6, 20.0]
        new = {"id": len(boxes) + 1, "image_id": image["id"], "bbox": box, "area": 12.0}
        boxes.append({**boxes[0], **new})
    annotations.write_text(json.dumps(content))
    return annotations, images


def test_samples_without_a_count_have_dropped_nothing():
    assert count_dropped([{"dropped_boxes": 3}, {"image_id": 1}, {"dropped_boxes": 1}]) == 4
    assert count_dropped([]) == 0


@pytest.mark.parametrize(("name", "workers"), [("yacs", 1), ("lazy", 0)])
def test_boxes_under_a_pixel_are_counted_in_the_loading_processes_and_logged(
    data, tmp_path, name, workers
):
    RUNNERS[name].train(data, tmp_path, max_iter=3, workers=workers, test='""', test_images='""')
    lines = (tmp_path / "metrics.json").read_text().splitlines()
    # Three batches of two images with one such box each.
    assert json.loads(lines[-1])["data/dropped_boxes"] == 6
    assert (
        "6 boxes were left out of training because they were too small"
        in (tmp_path / "log.txt").read_text()
    )

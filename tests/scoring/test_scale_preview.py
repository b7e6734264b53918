"""The preview decides as training does."""

import json

import numpy as np
import pytest

from oracles.scale_match_files import kolmogorov_smirnov, read_json
from scale_match.core.counted_sizes import counted_sizes
from scale_match.core.errors import InputError
from scale_match.data.dataset_mapper import ScaleMatchDatasetMapper
from scale_match.data.datasets import load_dicts
from scale_match.scoring.scale_preview import preview_images
from scale_match.storage.annotations import read_annotations
from scale_match.storage.policies import build_scale_policy
from toy import make_toy_dataset


@pytest.fixture
def files(shared):
    return [
        str(shared(f"oracle/scale_match/{name}.json")) for name in ("coco_like", "tinyperson_like")
    ]


@pytest.mark.parametrize("policy_name", ["sm", "msm", "gsm"])
@pytest.mark.parametrize(("seed", "epoch"), [(0, 0), (5, 3)])
def test_every_scale_and_size_is_that_of_the_mapper(tmp_path, policy_name, seed, epoch):
    large, folder = make_toy_dataset(tmp_path / "large", width=320, height=240, num_images=6)
    small, _ = make_toy_dataset(tmp_path / "small", width=160, height=120, num_images=6, seed=1)
    content = json.loads(large.read_text())
    content["annotations"] = [
        # Fractions, flags, and an image without boxes
        {**box, "bbox": [value + 0.3 for value in box["bbox"]], "iscrowd": int(box["id"] % 7 == 0)}
        for box in content["annotations"]
        if box["image_id"] != 3
    ]
    large.write_text(json.dumps(content))
    annotations = read_annotations(large)
    policy = build_scale_policy(policy_name, target=str(small), source=str(large), bins=5)
    mapper = ScaleMatchDatasetMapper(
        True, augmentations=[], image_format="RGB", scale_policy=policy, seed=seed
    )
    previewed = preview_images(annotations, policy, seed=seed, epoch=epoch)
    assert [image.record.image_id for image in previewed] == [1, 2, 3, 4, 5, 6]
    for image, entry in zip(previewed, load_dicts(annotations, folder), strict=True):
        sample = mapper({**entry, "epoch": epoch})
        assert image.decision.scale == pytest.approx(sample["scale"], rel=1e-12)
        assert image.decision.size == sample["image"].shape[1:]
        boxes = sample["instances"].gt_boxes.tensor.numpy()
        np.testing.assert_allclose(image.scaled_boxes, boxes, rtol=1e-5, atol=1e-5)


def test_rows_of_msm_agree_with_the_oracle(shared, files):
    entry = read_json(shared("oracle/scale_match/expected.json"))["msm"][0]
    assert entry["name"] == "published"
    policy = build_scale_policy("msm", target=files[1], source=files[0])
    previewed = preview_images(read_annotations(files[0]), policy)
    rows = [image.row() for image in previewed]
    assert len(rows) == 600
    assert [len(image.scaled_sizes) for image in previewed] == [row["num_left"] for row in rows]
    by_id = {row["image_id"]: row for row in rows}
    for expected in entry["v1"]:
        row = by_id[expected["image_id"]]
        if expected.get("no_boxes"):
            assert (row["num_boxes"], row["src_size"], row["num_left"]) == (0, None, 0)
            assert (row["scale"], row["fallback"]) == (0.25, False)
        elif "error" not in expected:
            assert row["num_boxes"] == expected["n_boxes"]
            assert row["src_size"] == pytest.approx(expected["src_size"], rel=2e-5)
            assert row["num_left"] == expected["n_left"]
            assert row["fallback"] == expected.get("fallback", False)
        if "size" in expected:
            assert row["size"] == expected["size"]


def test_scaled_sizes_of_msm_reach_the_known_distance(files):
    policy = build_scale_policy("msm", target=files[1], source=files[0])
    previewed = preview_images(read_annotations(files[0]), policy)
    sizes = np.concatenate([image.scaled_sizes for image in previewed])
    target = counted_sizes(read_annotations(files[1]).table)
    assert kolmogorov_smirnov(sizes, target) == pytest.approx(0.0608, abs=0.005)


def test_seed_and_epoch_change_the_draws_and_nothing_else_does(files):
    policy = build_scale_policy("sm", target=files[1])
    annotations = read_annotations(files[0])

    def scales(**options):
        return [image.decision.scale for image in preview_images(annotations, policy, **options)]

    first = scales()
    assert scales(seed=0, epoch=0) == first
    assert scales(seed=1) != first != scales(epoch=1)


def test_progress_sees_every_image(files):
    policy = build_scale_policy("sm", target=files[1])
    seen = []

    def progress(images):
        for image in images:
            seen.append(image.image_id)
            yield image

    preview_images(read_annotations(files[0]), policy, progress=progress)
    assert len(seen) == 600


@pytest.mark.parametrize("name", ["seed", "epoch"])
def test_negative_numbers_are_refused(files, name):
    policy = build_scale_policy("sm", target=files[1])
    with pytest.raises(InputError, match=f"{name} must not be negative, got -1"):
        preview_images(read_annotations(files[0]), policy, **{name: -1})

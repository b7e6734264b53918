import json

import numpy as np
import pytest

from scale_match.core.errors import InputError
from scale_match.core.histogram import SizeHistogram
from scale_match.core.scale_policy import MonotoneScaleMatch, SampledScaleMatch
from scale_match.data.policies import build_scale_policy
from scale_match.storage.annotations import read_annotations
from scale_match.storage.histograms import save_histogram


@pytest.fixture
def target(shared):
    return str(shared("oracle/scale_match/tinyperson_like.json"))


@pytest.fixture
def source(shared):
    return str(shared("oracle/scale_match/coco_like.json"))


def test_none_builds_nothing_and_reads_nothing():
    assert build_scale_policy("none", target="/does/not/exist.json") is None


def test_settings_reach_the_sampled_policy(target):
    policy = build_scale_policy(
        "sm", target=target, bins=10, log=True, except_rate=0.1, scale_range=[0.2, 2.0],
        default_scale=0.5, max_tries=3, out_of_range="default",
    )  # fmt: skip
    assert isinstance(policy, SampledScaleMatch)
    assert len(policy.target.counts) == 10
    assert policy.target.counts[0] == int(policy.target.num_boxes * 0.1 / 2)
    assert policy.num_uniforms == 6
    limits = policy.limits
    assert (limits.scale_range, limits.default_scale, limits.out_of_range) == (
        (0.2, 2.0), 0.5, "default",
    )  # fmt: skip


@pytest.mark.parametrize("except_rate", [None, -1.0])
def test_no_except_rate_is_two_bins_worth(target, except_rate):
    policy = build_scale_policy("sm", target=target, bins=50, except_rate=except_rate)
    assert policy.target.counts[0] == policy.target.num_boxes // 50


def test_msm_from_files_gives_the_oracles_edges_and_scales(shared, target, source):
    oracle = json.loads(shared("oracle/scale_match/expected.json").read_text())["msm"]
    published = next(row for row in oracle if row["name"] == "published")
    policy = build_scale_policy("msm", target=target, source=source)
    assert isinstance(policy, MonotoneScaleMatch)
    np.testing.assert_allclose(policy.source_edges, published["src_sizes"], rtol=1e-12)
    np.testing.assert_allclose(policy.target_edges, published["dst_sizes"], rtol=1e-12)
    annotations = read_annotations(source)
    counted = ~(annotations.table.iscrowd | annotations.table.ignore)
    images = {image.image_id: image for image in annotations.images}
    for row in [row for row in published["v1"] if "error" not in row][:50]:
        boxes = annotations.table.boxes[counted & (annotations.table.image_ids == row["image_id"])]
        image = images[row["image_id"]]
        decision = policy.decide(boxes, image.width, image.height, [])
        assert list(decision.size) == row["size"]


def test_several_source_files_are_ranked_together(target, source):
    small, large = (build_scale_policy("msm", target=target, source=x) for x in (target, source))
    both = build_scale_policy("msm", target=target, source=[target, source])
    assert both.source_edges[0] == min(small.source_edges[0], large.source_edges[0])
    assert both.source_edges[-1] == max(small.source_edges[-1], large.source_edges[-1])
    assert small.source_edges[50] < both.source_edges[50] < large.source_edges[50]


def test_a_saved_histogram_is_a_target(tmp_path):
    path = tmp_path / "h.json"
    histogram = SizeHistogram.from_sizes(np.arange(1.0, 300.0))
    save_histogram(path, histogram, log=False, except_rate=None, source="a.json", source_sha256="")
    policy = build_scale_policy("sm", target=str(path))
    assert policy.target.edges.tolist() == histogram.edges.tolist()


def test_files_are_looked_up_below_the_data_root(tmp_path, monkeypatch, target):
    (tmp_path / "sets").mkdir()
    (tmp_path / "sets" / "t.json").symlink_to(target)
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    assert build_scale_policy("sm", target="sets/t.json").target.num_boxes > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"policy": "gsm", "target": "t"}, r"POLICY must be 'none', 'sm' or 'msm', not 'gsm'"),
        ({"policy": "sm", "target": ""}, r"POLICY 'sm' needs SCALE_MATCH.TARGET"),
        ({"policy": "msm", "target": "t"}, r"POLICY 'msm' needs SCALE_MATCH.SOURCE"),
        ({"policy": "msm", "target": "t", "source": ""}, r"'msm' needs SCALE_MATCH.SOURCE"),
        ({"policy": "sm", "target": "/none.json"}, r"cannot read /none.json: No such file"),
        ({"policy": "sm", "target": "t", "scale_range": [1.0, 0.1]}, r"scale_range must be"),
        ({"policy": "sm", "target": "t", "scale_range": [1.0]}, r"scale_range must be"),
        ({"policy": "sm", "target": "t", "max_tries": 0}, r"max_tries must be"),
        ({"policy": "sm", "target": "t", "out_of_range": "x"}, r"out_of_range must be"),
    ],
)
def test_impossible_settings_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        build_scale_policy(**arguments)

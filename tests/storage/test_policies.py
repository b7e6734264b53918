import json

import numpy as np
import pytest

from scale_match.core.counted_sizes import standardised_sizes
from scale_match.core.errors import InputError
from scale_match.core.gaussian_scale_match import GaussianScaleMatch
from scale_match.core.gaussian_target import GaussianTarget
from scale_match.core.histogram import SizeHistogram
from scale_match.core.scale_policy import MonotoneScaleMatch, SampledScaleMatch
from scale_match.storage.annotations import read_annotations
from scale_match.storage.histograms import (
    read_counted_sizes,
    read_target_histogram,
    save_histogram,
)
from scale_match.storage.policies import build_gaussian_target, build_scale_policy, given_mu_sigma


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


@pytest.mark.parametrize(
    ("policy", "settings", "unused"),
    [
        ("sm", {"size_per": "box", "max_tries": 3}, "size_per 'box' (for gsm)"),
        ("msm", {"max_tries": 3, "log": True}, "max_tries 3 (for sm)"),
        (
            "gsm",
            {"log": True, "max_tries": 3, "size_per": "box"},
            "log True (for sm and msm), max_tries 3 (for sm)",
        ),
        ("sm", {"normal_sample": "n.txt", "min_size": 2.0},
         "normal_sample 'n.txt' (for gsm), min_size 2.0 (for gsm)"),
        ("sm", {"size_per": "image", "log": True, "min_size": -5.0}, None),
    ],
)  # fmt: skip
def test_settings_that_a_policy_does_not_use_are_named(
    target, source, caplog, policy, settings, unused
):
    build_scale_policy(policy, target=target, source=source, **settings)
    messages = [record.getMessage() for record in caplog.records]
    warnings = [message for message in messages if "does not use" in message]
    expected = [] if unused is None else [f"Scale Match policy {policy!r} does not use {unused}"]
    assert warnings == expected


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
        (
            {"policy": "smm", "target": "t"},
            r"POLICY must be one of 'none', 'sm', 'msm', 'gsm', not 'smm'",
        ),
        ({"policy": "gsm", "target": "t"}, r"POLICY 'gsm' needs SCALE_MATCH.SOURCE"),
        ({"policy": "gsm", "target": "", "source": "s"}, r"'gsm' needs SCALE_MATCH.MU_SIGMA, mean"),
        (
            {"policy": "gsm", "target": "", "source": "s", "size_per": "tile"},
            r"size_per must be 'image' or 'box', got 'tile'",
        ),
        (
            {"policy": "gsm", "target": "", "source": "s", "except_rate": 0.1},
            r"except_rate is not for gsm, .* got 0.1",
        ),
        ({"policy": "gsm", "target": "", "source": "s", "mu_sigma": [2]}, r"must be two numbers"),
        (
            {"policy": "gsm", "target": "", "source": "s", "mu_sigma": [2, -1]},
            r"positive deviation",
        ),
        ({"policy": "sm", "target": "t", "mu_sigma": ["a", "b"]}, r"mu_sigma must be two numbers"),
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


class TestGaussian:
    def test_from_files_it_gives_the_oracles_edges_and_scales(
        self, shared, source, tmp_path, target
    ):
        oracle = json.loads(shared("oracle/scale_match/expected.json").read_text())
        sample = tmp_path / "sample.json"
        sample.write_text(json.dumps(oracle["gsm_standard_normal_sample"]))
        images = {image.image_id: image for image in read_annotations(source).images}
        table = read_annotations(source).table
        counted = ~(table.iscrowd | table.ignore)
        for entry in oracle["gsm"]:
            policy = build_scale_policy(
                "gsm", target="", source=source, mu_sigma=entry["mu_sigma"], bins=entry["bins"],
                normal_sample=str(sample), min_size=np.exp(entry["min_size"]),
                size_per="image" if entry["use_size_in_image"] else "box",
                scale_range=entry["scale_range"], default_scale=entry["default_scale"],
                out_of_range="clip" if entry["out_scale_deal"] == "clip" else "default",
            )  # fmt: skip
            assert isinstance(policy, GaussianScaleMatch)
            np.testing.assert_allclose(policy.target_edges, entry["dst_sizes"], rtol=1e-12)
            for row in [row for row in entry["v1"] if "error" not in row][:40]:
                boxes = table.boxes[counted & (table.image_ids == row["image_id"])]
                image = images[row["image_id"]]
                assert list(policy.decide(boxes, image.width, image.height).size) == row["size"]

    def test_a_sample_file_leaves_out_a_pixel_and_less_unless_told(self, tmp_path):
        sample = tmp_path / "sample.txt"
        sample.write_text("-9 -1 0 1")

        def smallest(**options):
            edges = build_gaussian_target("", (1.0, 0.5), str(sample), bins=2, **options).edges
            return edges[0]

        assert smallest() == pytest.approx(np.exp(0.5))
        assert smallest(min_size=0.0) == pytest.approx(np.exp(-3.5))
        assert smallest(min_size=2.0) == pytest.approx(np.exp(1.0))

    def test_without_a_sample_the_quantiles_are_exact_and_nothing_is_left_out(self):
        edges = build_gaussian_target("/none.json", (2.6, 0.8)).edges
        np.testing.assert_array_equal(edges, GaussianTarget.analytic(2.6, 0.8).edges)
        left_out = build_gaussian_target("", (2.6, 0.8), min_size=5.0).edges
        assert left_out[0] > 5.0

    def test_mean_and_deviation_are_those_of_the_target_unless_given(self, target, tmp_path):
        logs = np.log(read_counted_sizes(target))
        expected = GaussianTarget.analytic(logs.mean(), logs.std()).edges
        np.testing.assert_allclose(build_gaussian_target(target, ()).edges, expected)
        np.testing.assert_allclose(build_gaussian_target(target, (-1, -1)).edges, expected)
        # From a saved histogram they are nearly the same.
        path = tmp_path / "h.json"
        save_histogram(
            path, read_target_histogram(target), log=False, except_rate=None, source=target,
            source_sha256="",
        )  # fmt: skip
        edges = build_gaussian_target(str(path), ()).edges
        np.testing.assert_allclose(edges, expected, rtol=0.06)

    def test_sizes_are_ranked_per_image_or_per_box(self, source):
        per_image, per_box = (
            build_scale_policy("gsm", target="", source=source, mu_sigma=(2.6, 0.8), size_per=per)
            for per in ("image", "box")
        )
        assert per_box.source_edges[0] < per_image.source_edges[0]

    def test_a_target_of_one_size_is_refused_by_name(self, tmp_path):
        box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 4, 4]}
        path = tmp_path / "one.json"
        path.write_text(
            json.dumps(
                {
                    "images": [{"id": 1, "file_name": "a", "width": 9, "height": 9}],
                    "annotations": [box, box | {"id": 2}],
                    "categories": [{"id": 1, "name": "a"}],
                }
            )
        )
        with pytest.raises(
            InputError, match=r"one.json: gsm cannot take mu and sigma from a target"
        ):
            build_gaussian_target(str(path), ())

    def test_a_sample_that_is_too_small_is_named(self, tmp_path):
        sample = tmp_path / "sample.txt"
        sample.write_text("-9 -8")
        with pytest.raises(InputError, match=r"sample.txt: the normal sample must hold at least 2"):
            build_gaussian_target("", (1.0, 0.5), str(sample))


@pytest.mark.parametrize("policy", ["sm", "msm"])
def test_mean_and_deviation_move_the_target(policy, target, source):
    moved = build_scale_policy(policy, target=target, source=source, mu_sigma=(25.0, 12.0))
    plain = build_scale_policy(policy, target=target, source=source, mu_sigma=(-1, -1))
    edges = [p.target.edges if policy == "sm" else p.target_edges for p in (moved, plain)]
    sizes = read_counted_sizes(target)
    np.testing.assert_array_equal(
        edges[0], SizeHistogram.from_sizes(standardised_sizes(sizes, (25.0, 12.0))).edges
    )
    np.testing.assert_array_equal(edges[1], SizeHistogram.from_sizes(sizes).edges)


def test_mean_and_deviation_of_a_config():
    assert given_mu_sigma([2, 1]) == (2.0, 1.0)
    assert given_mu_sigma([-0.5, 0.3]) == (-0.5, 0.3)
    assert given_mu_sigma([]) is given_mu_sigma([-1, -1]) is given_mu_sigma([0, 0]) is None
    with pytest.raises(InputError, match=r"mu_sigma must be two numbers or empty, got \[1\]"):
        given_mu_sigma([1])

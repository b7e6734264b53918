"""The policy that a yacs config names."""

import json

import numpy as np
import pytest
from detectron2.config import get_cfg, instantiate
from detectron2.data import DatasetCatalog, MetadataCatalog

from config_facts import load_lazy
from scale_match.config import add_scale_match_config
from scale_match.core.errors import InputError
from scale_match.core.gaussian_scale_match import GaussianScaleMatch
from scale_match.core.scale_policy import MonotoneScaleMatch, SampledScaleMatch
from scale_match.data import policies
from scale_match.data.policies import policy_from_config
from scale_match.storage.policies import build_scale_policy
from toy import make_toy_dataset


@pytest.fixture
def files(tmp_path):
    small, _ = make_toy_dataset(tmp_path / "small", width=64, height=48, num_images=3)
    large, _ = make_toy_dataset(tmp_path / "large", width=640, height=480, num_images=5)
    return str(small), str(large)


def config(*pairs):
    cfg = get_cfg()
    add_scale_match_config(cfg)
    cfg.merge_from_list([f"SCALE_MATCH.{x}" if k % 2 == 0 else x for k, x in enumerate(pairs)])
    return cfg


def test_none_is_the_default():
    assert policy_from_config(config()) is None


def test_every_key_of_sampled_scale_match_is_used(files):
    policy = policy_from_config(
        config(
            "POLICY", "sm", "TARGET", files[0], "BINS", 5, "LOG", True, "EXCEPT_RATE", 0.5,
            "MU_SIGMA", [9.0, 3.0], "SCALE_RANGE", [0.2, 2.0], "DEFAULT_SCALE", 0.5,
            "MAX_TRIES", 3, "OUT_OF_RANGE", "default",
        )
    )  # fmt: skip
    expected = build_scale_policy(
        "sm", target=files[0], bins=5, log=True, except_rate=0.5, mu_sigma=(9.0, 3.0),
        scale_range=(0.2, 2.0), default_scale=0.5, max_tries=3, out_of_range="default",
    )  # fmt: skip
    assert isinstance(policy, SampledScaleMatch)
    assert policy.limits == expected.limits
    assert policy.target.edges.tolist() == expected.target.edges.tolist()


def test_every_key_of_gaussian_scale_match_is_used(files, tmp_path):
    sample = tmp_path / "sample.json"
    sample.write_text(json.dumps(np.linspace(-3, 3, 50).tolist()))
    policy = policy_from_config(
        config(
            "POLICY", "gsm", "SOURCE", files[1], "BINS", 5, "MU_SIGMA", [2.0, 0.5],
            "NORMAL_SAMPLE", str(sample), "MIN_SIZE", 4.0, "SIZE_PER", "box",
        )
    )  # fmt: skip
    expected = build_scale_policy(
        "gsm", target="", source=files[1], bins=5, mu_sigma=(2.0, 0.5), normal_sample=str(sample),
        min_size=4.0, size_per="box",
    )  # fmt: skip
    assert isinstance(policy, GaussianScaleMatch)
    assert policy.source_edges.tolist() == expected.source_edges.tolist()
    assert policy.target_edges.tolist() == expected.target_edges.tolist()
    for changed in (("MIN_SIZE", -1.0), ("SIZE_PER", "image"), ("NORMAL_SAMPLE", "")):
        keys = {"MIN_SIZE": 4.0, "SIZE_PER": "box", "NORMAL_SAMPLE": str(sample)}
        pairs = [part for pair in (keys | dict([changed])).items() for part in pair]
        other = policy_from_config(
            config("POLICY", "gsm", "SOURCE", files[1], "MU_SIGMA", [2.0, 0.5], "BINS", 5, *pairs)
        )
        edges = other.source_edges.tolist(), other.target_edges.tolist()
        assert edges != (expected.source_edges.tolist(), expected.target_edges.tolist())


@pytest.mark.parametrize(
    ("name", "kind"), [("msm", MonotoneScaleMatch), ("gsm", GaussianScaleMatch)]
)
def test_the_source_is_the_training_set_unless_named(files, name, kind):
    policy = policy_from_config(
        config("POLICY", name, "TARGET", files[0], "DATA.TRAIN_ANNOTATIONS", files[1])
    )
    assert type(policy) is kind
    named = policy_from_config(
        config(
            "POLICY", name, "TARGET", files[0], "DATA.TRAIN_ANNOTATIONS", "/none.json",
            "SOURCE", files[1],
        )
    )  # fmt: skip
    assert named.source_edges.tolist() == policy.source_edges.tolist()


def test_a_registered_training_set_is_a_source_if_it_names_its_file(files):
    cfg = config("POLICY", "msm", "TARGET", files[0])
    cfg.DATASETS.TRAIN = ("policy_test_set",)
    DatasetCatalog.register("policy_test_set", lambda: [])
    try:
        with pytest.raises(InputError, match="'policy_test_set' names no annotation file: set"):
            policy_from_config(cfg)
        MetadataCatalog.get("policy_test_set").json_file = files[1]
        assert policy_from_config(cfg).num_uniforms == 0
    finally:
        DatasetCatalog.remove("policy_test_set")
        MetadataCatalog.remove("policy_test_set")


def test_lazy_configs_find_the_builder_here():
    assert policies.build_scale_policy is build_scale_policy


@pytest.mark.parametrize("name", ["sm", "msm", "gsm"])
def test_both_front_ends_build_the_same_policy(files, name, repository):
    stem = repository / "configs" / "coco" / f"adap_retinanet_r18_fpn_1x_coco_{name}"
    moments = [2.0, 0.5] if name == "gsm" else [12.0, 4.0]
    cfg = config("TARGET", files[0], "SOURCE", files[1], "BINS", 5, "MU_SIGMA", moments)
    cfg.SCALE_MATCH.POLICY = name
    key = "dataloader.train.mapper.scale_policy"
    lazy = load_lazy(
        stem.with_suffix(".py"), f"{key}.target={files[0]}", f"{key}.source={files[1]}",
        f"{key}.bins=5", f"{key}.mu_sigma={moments}",
    )  # fmt: skip
    first, second = policy_from_config(cfg), instantiate(lazy.dataloader.train.mapper.scale_policy)
    assert type(first) is type(second)
    assert first.limits == second.limits
    for decided in zip(*[decisions(policy) for policy in (first, second)], strict=True):
        assert decided[0] == decided[1]


def decisions(policy):
    uniforms = np.random.default_rng(0).random(policy.num_uniforms)
    sizes = range(3, 200, 7)
    return [policy.decide([[0, 0, s, s]], 640, 480, uniforms).scale for s in sizes]

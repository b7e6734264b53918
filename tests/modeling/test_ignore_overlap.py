"""One key says when background lies in a region to ignore, for all detectors and front ends."""

import pytest
from detectron2.config import get_cfg, instantiate
from detectron2.modeling import build_model

from config_facts import load_lazy
from scale_match.config import add_scale_match_config
from scale_match.core.errors import InputError
from scale_match.engine.registration import register_all
from scale_match.modeling.ignored_regions import checked_overlap

BASES = {
    "ScaleMatchRetinaNet": ("Base-AdapRetinaNet", "adap_retinanet_r18"),
    "ScaleMatchFasterRCNN": ("Base-FasterRCNN", "faster_rcnn_r18"),
    "ScaleMatchFCOS": ("Base-AdapFCOS", "adap_fcos_r18"),
}


@pytest.mark.parametrize("name", BASES)
def test_both_front_ends_read_it(repository, name):
    base, lazy_name = BASES[name]
    register_all()
    cfg = get_cfg()
    add_scale_match_config(cfg)
    for file in (base, "Base-R18"):
        cfg.merge_from_file(str(repository / f"configs/{file}.yaml"))
    assert cfg.SCALE_MATCH.MODEL.IGNORE_OVERLAP == 0.5
    cfg.merge_from_list(["MODEL.DEVICE", "cpu", "SCALE_MATCH.MODEL.IGNORE_OVERLAP", "0.25"])
    model = build_model(cfg)
    assert type(model).__name__ == name
    assert model.ignore_overlap == 0.25
    lazy = load_lazy(repository / f"configs/common/models/{lazy_name}.py")
    assert lazy.model.ignore_overlap == 0.5
    lazy.model.ignore_overlap = 0.25
    assert instantiate(lazy.model).ignore_overlap == 0.25
    lazy.model.ignore_overlap = 1.0
    with pytest.raises(InputError, match=r"IGNORE_OVERLAP\) must be at least 0 and less than 1"):
        instantiate(lazy.model)


@pytest.mark.parametrize("share", [-0.1, 1.0, 50])
def test_a_share_out_of_range_is_refused(share):
    assert checked_overlap(0.0) == 0.0
    with pytest.raises(InputError, match=f"less than 1, got {share}"):
        checked_overlap(share)

"""Low-quality matches need an overlap."""

import pytest
import torch
from detectron2.modeling.matcher import Matcher

from scale_match.modeling.matcher import OverlapMatcher

ARGUMENTS = {"thresholds": [0.4, 0.5], "labels": [0, -1, 1], "allow_low_quality_matches": True}


def match(quality):
    return OverlapMatcher(**ARGUMENTS)(torch.tensor(quality))


def test_the_best_anchor_of_a_box_is_positive_at_any_overlap():
    matches, labels = match([[0.1, 0.2, 0.0], [0.0, 0.0, 0.6]])

    assert labels.tolist() == [0, 1, 1]
    assert matches.tolist() == [0, 0, 1]


def test_a_box_that_meets_no_anchor_makes_none_positive():
    _, labels = match([[0.0, 0.0, 0.0], [0.0, 0.45, 0.3]])

    assert labels.tolist() == [0, 1, 0]


def test_no_anchor_is_positive_when_no_box_meets_one():
    _, labels = match([[0.0, 0.0, 0.0]])

    assert labels.tolist() == [0, 0, 0]


def test_detectron2_makes_every_anchor_positive_there():
    """The behaviour that this class is for; if this fails, the class has become needless."""
    _, labels = Matcher(**ARGUMENTS)(torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.45, 0.3]]))

    assert labels.tolist() == [1, 1, 1]


@pytest.mark.parametrize("seed", range(5))
def test_equals_detectron2_where_every_box_meets_an_anchor(seed):
    quality = torch.rand(7, 50, generator=torch.Generator().manual_seed(seed))
    quality[:, ::3] = quality[:, ::3].round(decimals=1)  # ties

    ours, theirs = OverlapMatcher(**ARGUMENTS)(quality), Matcher(**ARGUMENTS)(quality)

    assert torch.equal(ours[0], theirs[0])
    assert torch.equal(ours[1], theirs[1])


def test_without_boxes_every_anchor_is_background():
    _, labels = OverlapMatcher(**ARGUMENTS)(torch.zeros(0, 4))

    assert labels.tolist() == [0, 0, 0, 0]

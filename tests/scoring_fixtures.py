"""The authors' numbers, and how ours are compared with them."""

import pytest

CASES = (
    *("nodets", "nogts", "neither", "onlyignored", "emptyrange", "perfect", "first_fp", "crowd"),
    *("mr_ignore", "areafield", "twocat", "maxdets"),
)
FIXTURES = [
    *("small", "edge", "visdrone50"),
    *(f"edge/{case}" for case in CASES),
    *("quirks/gtid0", "quirks/iod_rounding", "quirks/mr_fields"),
]
VALUE_KEYS = (
    *("AP", "AR", "AP_counts", "AP_maxDets1000", "AR_maxDets1000", "AP_counts_maxDets1000"),
    *("MR", "MR_points", "MR_counts"),
)
_ABOUT = {"note", "set", "params"}  # keys that are no values


def flattened(value, path=()):
    """Nested objects and lists as one dictionary of numbers."""
    if isinstance(value, dict):
        parts = value.items()
    elif isinstance(value, list):
        parts = enumerate(value)
    else:
        return {path: value}
    return {k: v for key, part in parts for k, v in flattened(part, (*path, key)).items()}


def assert_values(ours, expected):
    """All values of an expected file are among ours, within 1e-9."""
    names = expected.keys() - _ABOUT
    assert set(VALUE_KEYS) <= names
    ours = flattened({name: ours[name] for name in names})
    theirs = flattened({name: expected[name] for name in names})
    assert ours.keys() == theirs.keys()
    assert ours == pytest.approx(theirs, abs=1e-9, rel=0)

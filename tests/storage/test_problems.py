import pytest

from scale_match.core.errors import InputError
from scale_match.storage.problems import Problems


def test_problems_are_counted_and_the_first_ten_named():
    problems = Problems(strict=False)
    assert problems.summary("images") == []
    for number in range(12):
        problems.add(f"image {number}")
    lines = problems.summary("images left out")
    assert lines[0] == "12 images left out:"
    assert lines[1:] == [f"  image {number}" for number in range(10)] + ["  and 2 more"]


def test_strict_makes_the_first_one_an_error():
    with pytest.raises(InputError, match=r"^a.jpg is cut short$"):
        Problems(strict=True).add("a.jpg is cut short")

import pytest

from scale_match.core.errors import InputError
from scale_match.core.protocol import MODEL_ENTRIES, Difference, Protocol, plain_value

ENTRIES = {"max_dets": [200, 1000], "iou": 0.5, "images": {"count": 3}, "merge": None}


def test_the_hash_is_that_of_the_canonical_text():
    # printf '{"a":[1,2.5],"b":null}' | sha256sum
    expected = "f66b2c50ccae61e3f2445d2439f42efc245581b18ed184ce5d3c22fb58eed9c4"
    assert Protocol({"b": None, "a": (1.0, 2.5)}).hash == expected


def test_the_hash_does_not_depend_on_order_or_on_the_form_of_equal_values():
    same = {"merge": None, "images": {"count": 3.0}, "iou": 0.5, "max_dets": (200.0, 1000)}
    assert Protocol(ENTRIES).hash == Protocol(same).hash
    assert Protocol(ENTRIES).differences(Protocol(same)) == (Difference("merge", None, None),)


@pytest.mark.parametrize(
    "change",
    [
        {"iou": 0.25},
        {"merge": "none"},
        {"max_dets": [1000, 200]},
        {"images": {"count": 4}},
        {"x": 1},
    ],
)
def test_any_other_value_is_another_hash_and_a_difference(change):
    (name, value), *_ = change.items()
    ours, theirs = Protocol(ENTRIES), Protocol(ENTRIES | change)
    assert ours.hash != theirs.hash
    assert Difference(name, ENTRIES.get(name), value) in ours.differences(theirs)


def test_values_that_were_not_given_cannot_be_compared():
    ours, theirs = Protocol({"a": None, "b": 1, "c": 2}), Protocol({"a": None, "b": None, "c": 2})
    first, second = ours.differences(theirs)
    assert (first, second) == (Difference("a", None, None), Difference("b", 1, None))
    assert first.is_unknown
    assert second.is_unknown
    assert not Difference("b", 1, 2).is_unknown
    assert ours.differences(Protocol({"a": 1, "b": 1})) == (
        Difference("a", None, 1),
        Difference("c", 2, None),
    )


def test_entries_keep_their_order_and_cannot_be_changed():
    given = {"b": [1], "a": 2}
    protocol = Protocol(given)
    given["b"].append(5)
    assert protocol.to_dict() == {"hash": protocol.hash, "entries": {"b": [1], "a": 2}}
    assert list(protocol.entries) == ["b", "a"]
    with pytest.raises(TypeError):
        protocol.entries["c"] = 1


def test_without_entries_there_is_a_hash_too():
    assert Protocol({}).differences(Protocol({})) == ()
    # The SHA-256 of "{}".
    assert Protocol({}).hash.startswith("44136fa355b3678a")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1: 2}, object(), [1, {2}]])
def test_what_json_cannot_say_is_refused(value):
    with pytest.raises(InputError, match="entry tile_size must be a JSON value with finite"):
        Protocol({"tile_size": value})


def test_plain_values_keep_truth_values_and_texts():
    assert plain_value("x", [True, None, "text", 2.0, 2.5]) == [True, None, "text", 2, 2.5]
    assert isinstance(plain_value("x", True), bool)


def test_every_entry_of_a_model_has_a_meaning():
    assert all(MODEL_ENTRIES.values())
    assert {"tile_size", "tile_overlap", "merge", "test_scale"} <= MODEL_ENTRIES.keys()

from pathlib import Path

import pytest

from scale_match.core.errors import InputError
from scale_match.scoring.agreement import Conflict, check_agreement, conflict_table, find_conflicts
from scale_match.scoring.files import SavedScores


def saved(name, **entries):
    return SavedScores(Path(name), {"protocol": {"hash": "", "entries": entries}})


def test_equal_known_entries_agree():
    first = saved("a.json", tile_size=[640, 512], test_scale=1)
    second = saved("b.json", test_scale=1.0, tile_size=[640, 512])
    assert find_conflicts([first, second]) == ()
    check_agreement([first, second], ())


def test_entries_that_differ_come_before_unknown_ones():
    files = [
        saved("a.json", merge=None, test_scale=1, score=0.1),
        saved("b.json", merge=None, test_scale=1, score=0.2),
        saved("c.json", merge=None, test_scale=1, score=0.1),
    ]
    assert find_conflicts(files) == (
        Conflict("score", (0.1, 0.2, 0.1)),
        Conflict("merge", (None, None, None)),
    )


def test_an_entry_that_one_file_lacks_is_unknown_there():
    conflict = Conflict("mine", (1, None))
    assert find_conflicts([saved("a.json", mine=1), saved("b.json")]) == (conflict,)
    assert conflict.is_unknown


def test_a_null_in_one_file_is_a_conflict_wherever_it_stands():
    for files in ([saved("a", x=None), saved("b", x=1)], [saved("b", x=1), saved("a", x=None)]):
        assert [each.entry for each in find_conflicts(files)] == ["x"]


def test_none_as_a_word_is_a_value():
    assert find_conflicts([saved("a", tiles="none"), saved("b", tiles="none")]) == ()


def test_a_refusal_names_entries_and_the_value_of_each_file():
    files = [saved("a.json", score=0.05, merge=None), saved("b.json", score=0.1, merge=None)]
    with pytest.raises(InputError) as caught:
        check_agreement(files, find_conflicts(files))
    assert str(caught.value).splitlines() == [
        "these scores cannot be ranked, because their protocols differ or are not known "
        "(--allow-different-protocols ranks them all the same)",
        "protocol entries that differ or are not known",
        "entry  a.json  b.json",
        "score    0.05     0.1",
        "merge    null    null",
        "null : not given, so not comparable",
    ]


def test_a_long_value_is_cut_in_the_table():
    ranges = {f"range{k}": [k, k + 1] for k in range(9)}
    table = conflict_table([Conflict("size_ranges", (ranges, {}))], ["a", "b"])
    assert table.rows[0][1].startswith('{"range0": [0, 1], "range1"')
    assert table.rows[0][1].endswith("...")
    assert len(table.rows[0][1]) == 48
    assert table.rows[0][2] == "{}"
    assert table.notes == ()


def test_long_names_of_files_stand_below_the_table():
    names = ["b", "folder/of/the/first/run/scores.json"]
    assert conflict_table([Conflict("score", (1, None))], names).plain().splitlines()[1:] == [
        "entry  1     2",
        "score  1  null",
        "1 : b",
        "2 : folder/of/the/first/run/scores.json",
        "null : not given, so not comparable",
    ]


def test_an_entry_that_is_no_number_is_refused():
    with pytest.raises(InputError, match="score must be a JSON value with finite numbers"):
        find_conflicts([saved("a", score=float("nan")), saved("b", score=1)])

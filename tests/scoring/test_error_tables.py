from scale_match.core.error_types import ERROR_TYPES
from scale_match.scoring.error_tables import error_tables, explanation_text, ladder_table


def a_range(actual, *, counts=(1, 2, 3, 4, 5, 6)):
    value = dict.fromkeys(("AP_if_fixed", "delta", "share"), -1.0 if actual < 0 else 0.125)
    types = zip(ERROR_TYPES, counts, strict=True)
    return {
        "AP": actual,
        "gap": 1 - actual if actual >= 0 else actual,
        "npos": 20,
        "found": 10,
        "explained": 4,
        "missed": 6,
        "fp": 15,
        "ignored": 7,
        "types": {kind: {"count": count} | value for kind, count in types},
    }


def a_band(name, count):
    types = dict.fromkeys(ERROR_TYPES[:-1], count)
    return {"band": name, "npos": 3, "found": 2, "explained": 1, "missed": 0, "types": types}


ERRORS = {
    "max_dets": 1000,
    "foreground_iou": 0.5,
    "background_iou": 0.1,
    "size_ranges": {"tiny": a_range(0.25), "small": a_range(-1.0, counts=(0,) * 6)},
    "left_out": [{"row": "seams", "reason": "needs tiles"}],
}
LADDER = {
    "size_range": "tiny",
    "max_dets": 1000,
    "AP": 0.25,
    "rungs": [{"rung": "limit", "alone": 0.3, "cumulative": 0.35}],
    "notes": ["limit: a note"],
    "left_out": [{"row": "merging", "reason": "needs tiles"}],
}


def test_the_tables_of_errors():
    gains, parts, numbers = error_tables(ERRORS)
    assert gains.caption == (
        "what AP50 gains if one type of error is fixed at maxDets 1000, values x100"
    )
    assert gains.header == ("", "AP50", "gap", *ERROR_TYPES)
    assert gains.rows == (("tiny", "25.00", "75.00", *["12.50"] * 6), ("small", *["-"] * 8))
    assert parts.rows == gains.rows
    assert numbers.rows[0] == ("tiny", "20", "10", "4", "6", "1", "2", "3", "4", "5")
    assert numbers.notes == ("left out: seams: needs tiles",)


def test_seams_have_a_table_where_they_are_known():
    bands = [a_band("0-8", 1), a_band("no seam", 0)]
    seams = {"source": "tiles", "size_ranges": {"all": [], "tiny": bands}}
    table = error_tables(ERRORS | {"seams": seams})[-1]
    assert table.caption.startswith("tiny objects")
    assert table.rows == (
        ("0-8", "3", "2", "1", "0", *["1"] * 5), ("no seam", "3", "2", "1", "0", *["0"] * 5),
    )  # fmt: skip


def test_without_tiny_seams_are_those_of_the_first_size_range():
    seams = {"source": "tiles", "size_ranges": {"dots": [a_band("0-8", 1)]}}
    assert error_tables(ERRORS | {"seams": seams})[-1].caption.startswith("dots objects")


def test_the_table_of_the_ladder():
    assert ladder_table(LADDER).plain().splitlines() == [
        "oracle ladder: AP50_tiny at maxDets 1000, values x100",
        "               alone  with those above",
        "as it is       25.00             25.00",
        "perfect limit  30.00             35.00",
        "limit: a note",
        "left out: merging: needs tiles",
    ]


def test_a_ladder_without_anything_to_measure_has_dashes():
    rungs = [{"rung": "limit", "alone": -1.0, "cumulative": -1.0}]
    rows = ladder_table(LADDER | {"AP": -1.0, "rungs": rungs}).rows
    assert rows == (("as it is", "-", "-"), ("perfect limit", "-", "-"))


def test_the_text_has_every_table():
    text = explanation_text(ERRORS, LADDER)
    tables = [*error_tables(ERRORS), ladder_table(LADDER)]
    assert text == "\n\n".join(table.plain() for table in tables)

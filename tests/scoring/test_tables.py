import pytest

from scale_match.scoring.inputs import load_inputs
from scale_match.scoring.scores import ScoringOptions, score
from scale_match.scoring.standards import COCO
from scale_match.scoring.tables import interval_tables, score_tables
from scoring_files import found, whole_image_file, write


@pytest.fixture
def inputs(tmp_path):
    """A person found, with a false detection between: AP 1/2 where it is tiny."""
    truth = whole_image_file()
    gt = write(tmp_path / "gt.json", truth)
    entries = [found(1, [0, 50, 10, 10], 0.9), found(1, [50, 20, 10, 12], 0.5)]
    return load_inputs(gt, write(tmp_path / "dt.json", entries))


def texts(inputs, **options):
    return [table.plain() for table in score_tables(score(inputs, ScoringOptions(**options)))]


def test_tables_of_every_limit_of_the_miss_rate_and_of_counts_are_shown(inputs):
    captions = [text.splitlines()[0] for text in texts(inputs)]
    assert captions == [
        "AP and AR at maxDets 1000 by size range, values x100",
        "AP and AR at maxDets 200 by size range, values x100",
        "miss rate (MR, lower is better) by size range, values x100",
        "counts of AP50 at maxDets 1000 by size range",
        "counts of MR50 by size range",
    ]


def test_values_are_percentages_and_counts_whole_numbers(inputs):
    first, *_, counts = texts(inputs, miss_rate=False, max_dets=(10,))
    assert first == (
        "AP and AR at maxDets 10 by size range, values x100\n"
        "         all    tiny  tiny1   tiny2  tiny3  small  reasonable\n"
        "AP25   50.00   50.00      -   50.00      -      -           -\n"
        "AP50   50.00   50.00      -   50.00      -      -           -\n"
        "AP75   50.00   50.00      -   50.00      -      -           -\n"
        "AR25  100.00  100.00      -  100.00      -      -           -\n"
        "AR50  100.00  100.00      -  100.00      -      -           -\n"
        "AR75  100.00  100.00      -  100.00      -      -           -\n"
        "- : nothing to measure"
    )
    assert counts == (
        "counts of AP50 at maxDets 10 by size range\n"
        "                 all  tiny  tiny1  tiny2  tiny3  small  reasonable\n"
        "objects            1     1      0      1      0      0           0\n"
        "true positives     1     1      0      1      0      0           0\n"
        "false positives    1     1      0      1      0      0           0\n"
        "ignored            0     0      2      0      2      2           2"
    )


def test_the_largest_limit_comes_first_and_has_the_counts(inputs):
    # The best detection of the image is false, the second is the hit.
    result = score(inputs, ScoringOptions(max_dets=(1, 3, 2), per_category=True))
    shown = {table.caption: table for table in score_tables(result)}
    assert [name.split(" by size")[0] for name in shown][:3] == [
        f"AP and AR at maxDets {limit}" for limit in (3, 2, 1)
    ]
    assert shown["AP and AR at maxDets 1 by size range, values x100"].rows[1][1] == "0.00"
    assert shown["AP and AR at maxDets 3 by size range, values x100"].rows[1][1] == "50.00"
    categories = shown["AP50 at maxDets 3 of each category by size range, values x100"]
    assert categories.rows[0][:2] == ("1 person", "50.00")
    counts = shown["counts of AP50 at maxDets 3 by size range"].rows
    assert [row[:2] for row in counts[:2]] == [("objects", "1"), ("true positives", "1")]


def test_categories_and_coco_numbers_are_shown_if_wanted(inputs):
    shown = texts(inputs, per_category=True, standard=COCO)
    (categories,) = (text for text in shown if "each category" in text)
    assert categories.startswith("AP50 at maxDets 1000 of each category by size range, values x100")
    assert "1 person  50.00" in categories
    assert "2 buoy        -" in categories
    (coco,) = (text for text in shown if text.startswith("COCO's AP and AR by pycocotools"))
    assert "AR100" in coco


def test_counts_are_those_of_the_first_iou_where_50_was_not_evaluated(inputs):
    shown = texts(inputs, iou_thresholds=(0.3, 0.6))
    assert [text.splitlines()[0] for text in shown[-2:]] == [
        "counts of AP30 at maxDets 1000 by size range",
        "counts of MR30 by size range",
    ]


def test_without_any_box_every_value_is_a_dash(tmp_path):
    truth = write(tmp_path / "gt.json", whole_image_file(annotations=[]))
    first, *_ = texts(load_inputs(truth, write(tmp_path / "dt.json", [])))
    assert "50.00" not in first
    assert first.endswith("- : nothing to measure")


def test_intervals_are_shown_for_every_limit():
    found = {"low": 0.123, "high": 0.4567, "standard_error": 0.1, "resamples_used": 9}
    values = {"all_25": found, "tiny_25": None, "all_50": found, "tiny_50": found}
    block = {"resamples": 9, "seed": 0, "level": 0.95, "AP": values, "AR": values}
    larger = values | {"tiny_50": found | {"high": 0.5}}
    first, second = interval_tables(block | {"AP_maxDets5": larger}, (2, 5))
    assert first.plain() == (
        "AP at maxDets 5: 95 % intervals from 9 resamples of images, values x100\n"
        "             all        tiny\n"
        "AP25  12.3..45.7           -\n"
        "AP50  12.3..45.7  12.3..50.0"
    )
    assert second.caption.startswith("AP at maxDets 2: 95 % intervals")
    assert second.rows[1] == ("AP50", "12.3..45.7", "12.3..45.7")
    (alone,) = interval_tables(block, (200,))
    assert alone.caption.startswith("AP at maxDets 200: 95 % intervals")

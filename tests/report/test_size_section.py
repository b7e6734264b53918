import re

from scale_match.report.size_section import sizes_section
from scale_match.scoring.run_figures import gather_run, parse_metric


def test_every_run_has_a_histogram_of_all_its_objects(runs):
    content = sizes_section(runs).content
    for run in runs:
        assert f"{len(run.object_sizes):,} objects: " in content
    assert content.count("<figure>") == 3
    assert all(f"column-{kind}" in content for kind in ("found", "late", "missed"))


def test_the_numbers_are_there_too_and_sum_to_the_objects(runs):
    content = sizes_section(runs[:1]).content
    rows = re.findall("<tr><th scope=.row.[^>]*>(.*?)</tr>", content)
    cells = [
        [float(value or 0) for value in re.findall('data-value="([^"]*)"', row)] for row in rows
    ]
    assert sum(row[0] for row in cells) == len(runs[0].object_sizes)
    for objects, found, late, missed, _share in cells:
        assert objects == found + late + missed > 0


def test_the_limit_of_detections_is_said_and_what_lies_beyond_it(runs):
    content = sizes_section(runs[:1]).content
    assert "found late if only one of a lower score does, else missed." in content
    assert "Detections are the best 1000 of their image and category." in content
    assert "beyond" not in content
    limited = gather_run(runs[0].saved, parse_metric("AP50_tiny_maxDets200"))
    content = sizes_section([limited]).content
    assert "lower score or beyond the limit does, up to the best 1000, else missed." in content
    assert "Detections are the best 200 of their image and category." in content
    assert "found late: lower score, or beyond the limit" in content


def test_columns_of_several_runs_are_named_after_them(runs):
    content = sizes_section(runs[:2]).content
    assert "missed (first)" in content
    assert "missed (second)" in content

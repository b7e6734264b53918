import re

from scale_match.report.value_sections import ap_section, curve_section, recall_section


def tables(content):
    """Caption -> rows of texts."""
    found = {}
    for whole in re.findall("<table.*?</table>", content):
        caption = re.search("<caption><span>(.*?)</span>", whole).group(1)
        body = whole.split("<tbody>")[1]
        found[caption] = [
            [re.sub("<[^>]*>", "", cell) for cell in re.findall("<t[hd][^>]*>(.*?)</t[hd]>", row)]
            for row in re.findall("<tr>(.*?)</tr>", body)
        ]
    return found


def test_every_ap_stands_in_a_table_by_size_and_iou(runs):
    found = tables(ap_section(runs[1:2]).content)
    assert [name.split(";")[0] for name in found] == [
        f"AP x100, best {limit} detections per image and category" for limit in (1000, 200)
    ]
    for caption, block in (
        ("AP x100, best 200 detections per image and category", "AP"),
        ("AP x100, best 1000 detections per image and category", "AP_maxDets1000"),
    ):
        values = runs[1].values(block)
        rows = next(rows for name, rows in found.items() if name.startswith(caption))
        assert [row[0] for row in rows] == ["0.25", "0.5", "0.75"]
        assert rows[1][2] == f"{100 * values['tiny_50']:.2f}"


def test_intervals_stand_beside_their_values_and_are_explained(runs):
    content = ap_section(runs[:1]).content
    low, high = runs[0].interval()
    assert f"{100 * low:.1f} to {100 * high:.1f}</span>" in content
    assert "20 resamples" in content
    assert content.count('class="whisker"') == len(runs[0].intervals["AP_maxDets1000"])
    assert "The charts are of the best 1000 detections per image" in content
    assert "Without intervals" in ap_section(runs[1:2]).content


def test_charts_are_one_for_each_iou(runs):
    content = ap_section(runs).content
    assert re.findall(r"<figcaption>(IoU [\d.]+)", content) == ["IoU 0.25", "IoU 0.5", "IoU 0.75"]
    assert content.count('class="legend"') == 1
    assert 'class="legend"' not in ap_section(runs[:1]).content


def test_runs_stand_side_by_side(runs):
    found = tables(ap_section(runs).content)
    rows = next(rows for name, rows in found.items() if name.startswith("AP x100, best 1000"))
    assert [row[:2] for row in rows[:3]] == [
        ["first", "0.25"], ["second", "0.25"], ["third &lt;&amp;&gt;", "0.25"]
    ]  # fmt: skip


def test_several_categories_have_their_own_values(runs):
    found = tables(ap_section(runs[2:]).content)
    rows = next(rows for name, rows in found.items() if "each category" in name)
    values = runs[2].result.category_average_precision(1000)
    assert rows == [
        ["class1", f"{100 * values[1]['tiny_50']:.2f}"],
        ["class2", f"{100 * values[2]['tiny_50']:.2f}"],
    ]
    assert "each category" not in ap_section(runs[:1]).content


def test_recall_and_miss_rate_have_their_tables(runs):
    found = tables(recall_section(runs[:1]).content)
    rows = next(rows for name, rows in found.items() if name.startswith("MR x100, lower is better"))
    assert rows[1][0] == "0.5"
    assert rows[1][-1] == f"{100 * runs[0].values('MR')['All_50']:.2f}"
    assert [name[:22].strip() for name in found] == [
        "AR x100, best 1000 det", "AR x100, best 200 dete", "MR x100, lower is bett"
    ]  # fmt: skip


def test_one_run_has_a_curve_for_each_iou_and_several_one_each(runs):
    alone = curve_section(runs[:1]).content
    several = curve_section(runs).content
    labels = runs[0].result.size_ranges
    assert all(f"<figcaption>{label}<" in alone for label in labels)
    measured = sum(run.value() >= 0 for run in runs)
    tiny = re.search('id="curve-tiny-text".*?</svg>', several).group(0)
    assert tiny.count("<polyline") == measured
    assert "IoU 0.25" in alone
    assert "IoU 0.5, a line for each run" in several
    assert f"the AP, is {100 * runs[0].values('AP_maxDets1000')['tiny_25']:.1f}, " in alone
    assert "among the best 1000 detections per image and category; a line for each IoU" in alone


def test_bounds_of_the_sizes_are_given(runs):
    content = curve_section(runs[:1]).content
    assert "1 to 20 px" in content
    assert "from 32 px" in content

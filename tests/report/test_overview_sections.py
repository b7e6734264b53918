import re
from dataclasses import replace

from report_samples import make_run
from scale_match.core.protocol import MODEL_ENTRIES
from scale_match.report.overview_sections import protocol_section, summary_section
from scale_match.scoring.files import read_saved_scores
from scale_match.scoring.run_figures import difference_to, gather_run, parse_metric


def text_in(content):
    return re.sub(r"\s+", " ", re.sub("<[^>]*>", " ", content))


def test_the_summary_has_value_interval_and_limit_of_every_run(runs):
    content = summary_section(runs[:2], []).content
    text = text_in(content)
    for run in runs[:2]:
        assert f"{100 * run.value():.2f} AP50_tiny, best 1000 detections per image" in text
        assert run.value() == run.saved.content["AP_maxDets1000"]["tiny_50"]
        other = run.saved.content["AP"]["tiny_50"]
        assert f"detections per image and category {100 * other:.2f} with the best 200" in (
            re.sub("9[05]% interval [0-9.]+ to [0-9.]+ ", "", text)
        )
    low, high = runs[0].interval()
    assert f"95% interval {100 * low:.2f} to {100 * high:.2f}" in text
    assert text.count("95% interval") == 1
    assert f"{100 * runs[0].values('MR')['tiny_50']:.2f}" in text
    assert f"{runs[0].operating_point.score:.3f}" in text


def test_another_limit_is_in_the_names_of_the_summary(runs):
    limited = gather_run(runs[1].saved, parse_metric("AP50_tiny_maxDets200"))
    text = text_in(summary_section([limited], []).content)
    value, largest = (limited.values(b)["tiny_50"] for b in ("AP", "AP_maxDets1000"))
    assert f"{100 * value:.2f} AP50_tiny_maxDets200, best 200 detections per image" in text
    assert f"{100 * largest:.2f} with the best 1000" in text
    assert "AR50_tiny_maxDets200" in text


def test_notices_come_first(runs):
    content = summary_section(runs[:1], ["mind <this>"]).content
    assert content.startswith('<div class="notice" role="note"><p>mind &lt;this&gt;</p></div>')
    assert "notice" not in summary_section(runs[:1], []).content


def test_nothing_to_measure_is_said(runs):
    empty = dict(runs[0].saved.content["AP"], tiny_50=-1.0)
    content = dict(runs[0].content, AP=empty, AP_maxDets1000=empty)
    text = text_in(summary_section([replace(runs[0], content=content, intervals={})], []).content)
    assert "nothing to measure AP50_tiny" in text
    assert "-100" not in text


def test_the_protocol_lists_hash_and_entries_and_marks_what_is_not_given(runs):
    run = runs[0]
    content = protocol_section([run]).content
    assert run.protocol.hash in content
    for name, value in run.protocol.entries.items():
        assert f'<th scope="row">{name}</th>' in content
        row = re.search(f'<th scope="row">{name}</th>(.*?)</tr>', content).group(1)
        assert ("not given" in row) == (value is None)
    assert "nms_threshold" in text_in(content).split("not given:")[1].split(".")[0]
    assert "differs" not in content


def test_files_are_named_with_their_hashes(runs):
    content = protocol_section([runs[0]]).content
    inputs = runs[0].saved.content["inputs"]
    for key in ("gt", "dt"):
        assert inputs[key]["path"] in content
        assert inputs[key]["sha256"] in content
    assert str(runs[0].saved.path) in content


def test_differences_between_runs_are_marked_in_words_too(runs):
    content = protocol_section(runs[:2]).content

    def verdict(name):
        row = re.search(f'<th scope="row">{name}</th>(.*?)</tr>', content).group(1)
        return re.findall("<td[^>]*>(.*?)</td>", row)[-1], "marked" in row

    assert verdict("max_dets") == ("equal", False)
    assert verdict("score_threshold") == ("differs", True)
    assert verdict("nms_threshold") == ("not comparable", True)


def test_an_entry_that_only_one_run_has_is_not_comparable(runs):
    content = protocol_section([runs[0], runs[2]]).content
    assert "third &lt;&amp;&gt;" in content
    row = re.search('<th scope="row">tile_size</th>(.*?)</tr>', content).group(1)
    assert "64, 48" in row
    assert "not given" in row
    assert "not comparable" in row


def test_runs_under_one_known_protocol_show_their_difference(runs, tmp_path):
    known = dict.fromkeys(MODEL_ENTRIES, 1)
    same = [
        gather_run(
            read_saved_scores(make_run(tmp_path, name=name, seed=seed, protocol=known)[0]),
            runs[0].metric,
            place=seed,
            resamples=resamples,
        )
        for seed, (name, resamples) in enumerate((("one", 9), ("two", 9), ("three", None)))
    ]
    text = text_in(summary_section(same, []).content)
    assert "minus one" in text
    for other in same[1:]:
        assert f"{100 * (other.value() - same[0].value()):+.2f}" in text
    low, high = difference_to(same[0], same[1])[1]
    assert f"{100 * low:+.2f} to {100 * high:+.2f}" in text
    assert "not comparable" not in text
    assert "not comparable" in text_in(summary_section(runs[:2], []).content)
    assert "minus" not in text_in(summary_section(runs[:1], []).content)

import re
from html import escape
from html.parser import HTMLParser

import pytest

from report_samples import detections_of, make_run
from scale_match.core.errors import InputError
from scale_match.report.build import build_report
from scale_match.scoring.files import write_scores
from scale_match.scoring.inputs import load_inputs
from scale_match.scoring.scores import ScoringOptions, score
from scale_match.scoring.standards import Standard
from scale_match.storage.results import write_detections

_VOID = {"meta", "br", "link", "img", "col", "hr"}


class Outline(HTMLParser):
    """Checks that elements are closed in order, and collects ids, references and headings."""

    def __init__(self, page):
        super().__init__()
        self.open, self.ids, self.references, self.headings = [], [], [], []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag not in _VOID:
            self.open.append(tag)
        if "id" in given:
            self.ids.append(given["id"])
        self.references += given.get("aria-labelledby", "").split()
        if given.get("href", "").startswith("#"):
            self.references.append(given["href"][1:])
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag == "svg":
            assert given.get("aria-hidden") == "true" or given.get("role") == "img"

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def check_page(page):
    outline = Outline(page)
    assert len(set(outline.ids)) == len(outline.ids)
    assert set(outline.references) <= set(outline.ids)
    assert outline.headings[0] == 1
    steps = zip(outline.headings, outline.headings[1:], strict=False)
    assert all(after <= before + 1 for before, after in steps)
    assert outline.headings.count(1) == 1
    for table in re.findall("<table.*?</table>", page, re.DOTALL):
        assert "<caption>" in table
    assert not re.search(r'="(nan|inf|-inf)|>nan<|None<', page)
    for address in re.findall(r'(?:src|href)="([^"]*)"', page):
        assert address.startswith(("#", "data:image/jpeg;base64,"))


@pytest.mark.parametrize(
    "names", [["first"], ["third"], ["first", "second"], ["first", "second", "third"]]
)
def test_pages_are_well_formed_and_load_nothing(samples, names):
    page, pictures = build_report(
        [samples[name] for name in names], images=samples["images"], worst=2, resamples=5
    )
    check_page(page)
    assert pictures.drawn
    assert "<&>" not in page


def test_the_same_input_gives_the_same_page(samples):
    first, second = (build_report([samples["first"]], resamples=5, seed=2)[0] for _ in range(2))
    assert first == second


def test_sections_stand_in_their_order(samples):
    page, _ = build_report([samples["first"]])
    assert re.findall("<section id=\"(.*?)\"", page) == [
        "summary", "protocol", "ap", "recall", "curves", "errors", "ladder", "sizes", "images"
    ]  # fmt: skip


def test_different_protocols_are_said_at_the_top(samples):
    page, _ = build_report([samples["first"], samples["second"]])
    top = re.search('<div class="notice".*?</div>', page).group(0)
    assert "The runs have different protocols: do not rank them." in top
    assert "They differ in score_threshold." in top
    assert re.search("not given everywhere: .*nms_threshold", top)
    assert "different protocols" not in build_report([samples["first"]])[0]


def test_warnings_of_the_evaluation_are_repeated(tmp_path):
    make_run(tmp_path)
    truth = tmp_path / "annotations.json"
    truth.write_text(truth.read_text().replace('"iscrowd": 0, ', ""))
    again = tmp_path / "again.json"
    scores = score(load_inputs(truth, tmp_path / "run_detections.json"))
    write_scores(again, scores)
    (warning,) = scores.inputs.warnings
    assert f"again: {escape(warning, quote=False)}" in build_report([again])[0]


@pytest.mark.parametrize("case", ["no detections", "no ground truth", "neither"])
def test_empty_input_is_a_page_all_the_same(tmp_path, case):
    make_run(tmp_path)
    truth, dets = tmp_path / "annotations.json", tmp_path / "run_detections.json"
    if case != "no ground truth":
        write_detections(dets, detections_of([]))
    if case != "no detections":
        text = truth.read_text()
        text = re.sub(
            r'"annotations": \[.*?\], "categories"', '"annotations": [], "categories"', text
        )
        truth.write_text(text)
    path = tmp_path / "empty.json"
    write_scores(path, score(load_inputs(truth, dets)))
    page, _ = build_report([path], images=tmp_path / "images", resamples=5)
    check_page(page)
    assert "nothing to measure" in page


def test_other_size_ranges_and_thresholds_are_shown(tmp_path):
    standard = Standard(
        "mine", {"everything_there_is": (0, 1e5), "none": (90, 91)}, {"All": (-1, 1e10)}
    )
    options = ScoringOptions(
        standard=standard, max_dets=(10,), iou_thresholds=(0.4,), miss_rate=False
    )
    path, images = make_run(tmp_path, options=options)
    page, _ = build_report([path], images=images)
    check_page(page)
    assert "AP40_everything_there_is" in page
    assert "The scores files hold no miss rate." in page


def test_equal_labels_get_numbers(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    paths = [make_run(tmp_path / folder, name="same")[0] for folder in ("a", "b")]
    assert "same (1), same (2) - made with" in build_report(paths)[0]


def test_the_default_metric_is_one_that_all_files_have(samples, tmp_path):
    options = ScoringOptions(iou_thresholds=(0.25, 0.4))
    path, _ = make_run(tmp_path, options=options)
    page, _ = build_report([samples["first"], path])
    check_page(page)
    assert "AP25_all, best 1000" in page


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"worst": -1}, "--worst needs a number that is not negative; received -1"),
        ({"metric": "tiny"}, "--metric needs the name of an AP"),
        ({"metric": "AP33_tiny"}, r"first\.json: tiny_33 was not evaluated"),
        ({"resamples": 0}, "at least one resample; received 0"),
    ],
)
def test_wrong_settings_are_errors(samples, settings, message):
    with pytest.raises(InputError, match=message):
        build_report([samples["first"]], **settings)


def test_a_folder_that_is_none_is_an_error(samples, tmp_path):
    with pytest.raises(InputError, match=r"--images .*nowhere is no folder"):
        build_report([samples["first"]], images=tmp_path / "nowhere")


@pytest.mark.parametrize("count", [0, 7])
def test_too_few_or_many_runs_are_an_error(samples, count):
    with pytest.raises(InputError, match=f"1 to 6 scores files side by side; received {count}"):
        build_report([samples["first"]] * count)


def test_a_file_that_is_no_scores_file_is_an_error(tmp_path):
    path = tmp_path / "x.json"
    path.write_text("{}")
    with pytest.raises(InputError, match=r"x\.json is not a scores file"):
        build_report([path])


def test_progress_sees_the_stages(samples):
    stages = []

    def watch(stage, items):
        stages.append(stage)
        return items

    build_report([samples["first"]], images=samples["images"], resamples=2, progress=watch, worst=1)
    assert list(dict.fromkeys(stages)) == ["evaluate", "resample", "draw"]

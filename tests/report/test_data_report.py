from data_samples import box, image, write_data
from scale_match.engine.data_doctor import DoctorSettings, diagnose
from scale_match.report.data_report import data_report

IMAGES = [image(1, "a.jpg", 1920, 1080), image(2, "b.jpg", 1920, 1080)]


def report_of(folder, boxes, categories=None, images=None, **settings):
    path = write_data(folder, images or IMAGES, boxes, categories)
    return data_report(diagnose(DoctorSettings(path, **settings)).diagnosis)


def test_the_verdict_comes_first_and_the_advice_last(tmp_path):
    lines = report_of(tmp_path, [box(k, 1, [9 * k, 9, 12, 24]) for k in range(30)]).splitlines()
    assert lines[0] == str(tmp_path / "gt.json")
    assert lines[1] == (
        "  USABLE: nothing wrong was found. Image files were not looked at (--images)."
    )
    assert lines[2] == (
        "  2 images with 30 objects of 1 category, 15 per image; median size 17 px, 100 % tiny "
        "(below 20 px)."
    )
    assert lines[3].startswith("  Train on tiles of 640x512 px with strides 4 to ")
    heads = [line.split()[0] for line in lines if line and not line.startswith(" ")]
    order = ["PROBLEMS", "OBJECTS", "SIZES", "ANCHORS", "ADVICE"]
    assert [head for head in heads if head in order] == order


def test_no_line_of_problems_and_advice_is_too_wide_for_a_terminal(tmp_path):
    boxes = [box(k, 1, [9 * k, 9, 12, 24]) for k in range(30)]
    boxes += [box(100 + k, 1, [2000, 9, 5, 5]) for k in range(30)]
    lines = report_of(tmp_path, boxes).splitlines()
    start = lines.index("ADVICE")
    assert max(len(line) for line in lines[start:]) <= 100
    assert max(len(line) for line in lines[lines.index("PROBLEMS") : start]) <= 100


def test_a_problem_has_its_count_its_cure_and_the_first_ids(tmp_path):
    boxes = [box(k, 1, [9 * k, 9, 12, 0]) for k in range(7)] + [box(9, 1, [5, 5, 9, 9])]
    text = report_of(tmp_path, boxes)
    assert (
        "  boxes of zero width or height: 7 (tolerated). Training leaves them out.\n"
        "    annotation ids 0, 1, 2, 3, 4, and 2 more\n"
    ) in text
    assert "USABLE, with 1 kind of flaw to look at." in text


def test_broken_entries_are_shown_on_a_line_each(tmp_path):
    boxes = [box(1, 1, [5, 5, 9, 9]), *(box(k, 1, [5, 5]) for k in range(2, 9))]
    lines = report_of(tmp_path, boxes).splitlines()
    first = lines.index(
        "  entries that break a rule: 7 (stops training). Repair or delete these entries."
    )
    assert lines[first + 1].startswith("    annotation id 2 has bbox [5, 5], which must be four")
    assert lines[first + 6] == "    and 2 more"
    assert "  NOT USABLE AS IT IS: one kind of problem would stop a training." in lines


def test_looked_at_images_are_counted(tmp_path):
    text = report_of(tmp_path, [box(1, 1, [5, 5, 9, 9])], images=[image(1, "x")] * 1)
    assert "image files were not looked at: name their folder by --images" in text
    text = report_of(tmp_path, [box(1, 1, [5, 5, 9, 9])], images=[image(1, "x")])
    looked = diagnose(DoctorSettings(tmp_path / "gt.json", tmp_path, verify=True)).diagnosis
    assert f"1 image files looked at in {tmp_path} (decoded)" in data_report(looked)


def test_categories_come_by_frequency_and_unused_ones_are_told(tmp_path):
    names = [{"id": 1, "name": "rare"}, {"id": 2, "name": "usual"}, {"id": 3, "name": "never"}]
    boxes = [box(k, 1, [9 * k, 9, 12, 24], category=1 + (k > 2)) for k in range(9)]
    text = report_of(tmp_path, boxes, names)
    assert text.index("usual ") < text.index("rare ") < text.index("never ")
    assert "1 categories have no object" in text


def test_boxes_that_are_no_objects_are_counted_by_their_flag(tmp_path):
    boxes = [box(k, 1, [9 * k, 9, 12, 24]) for k in range(5)]
    assert "5 boxes in the file, none flagged\n" in report_of(tmp_path, boxes)
    boxes[0]["ignore"] = boxes[1]["uncertain"] = boxes[2]["uncertain"] = True
    text = report_of(tmp_path, boxes)
    assert "5 boxes in the file, of which are no objects: 1 ignore, 2 uncertain\n" in text


def test_few_objects_per_image_keep_a_decimal(tmp_path):
    text = report_of(tmp_path, [box(1, 1, [9, 9, 12, 24])])
    assert "2 images with 1 objects of 1 category, 0.5 per image;" in text


def test_data_without_objects_are_reported_without_advice(tmp_path):
    text = report_of(tmp_path, [])
    assert "NOT USABLE: there is no object to train on." in text
    assert "ADVICE" not in text


def test_a_rule_that_enlarging_would_help_is_in_the_verdict(tmp_path):
    boxes = [box(k, 1, [10 * k + 0.37 * k, 9 + 0.61 * k, 5, 5]) for k in range(40)]
    lines = report_of(tmp_path, boxes).splitlines()
    assert lines[4].startswith("  On images of twice the size anchors would reach ")
    assert "100 % of the objects are under 5.4 px" in lines[4]

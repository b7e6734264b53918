import pytest

from data_samples import write_image
from scale_match.core.records import ImageRecord
from scale_match.storage.image_survey import survey_images


def kinds(survey):
    return {one.kind: one.examples for one in survey.problems}


def record(name, width=100, height=80, corner=None, image_id=1):
    return ImageRecord(image_id, name, width, height, corner)


def test_sound_files_have_no_problem_and_each_is_looked_at_once(tmp_path):
    write_image(tmp_path / "sub" / "a.jpg")
    shown = []

    def progress(names):
        shown.extend(names)
        return shown

    images = [record("sub/a.jpg"), record("sub/a.jpg", image_id=2)]
    survey = survey_images(images, tmp_path, progress=progress)
    assert shown == ["sub/a.jpg"]
    assert (survey.num_files, survey.problems) == (1, ())


def test_missing_unreadable_and_wrong_files_are_named(tmp_path):
    write_image(tmp_path / "turned.png", 80, 100)
    (tmp_path / "text.jpg").write_text("no image")
    (tmp_path / "folder.jpg").mkdir()
    names = ["gone.jpg", "folder.jpg", "text.jpg", "turned.png"]
    survey = survey_images([record(name) for name in names], tmp_path)
    assert kinds(survey) == {
        "missing_file": ("gone.jpg", "folder.jpg"),
        "unreadable_file": (
            f"cannot read {tmp_path / 'text.jpg'}: not an image of a known format",
        ),
        "wrong_size": ("turned.png (image id 1) is 80x100, but is stated as 100x80",),
    }


@pytest.mark.parametrize("verify", [False, True])
def test_every_jpeg_that_is_cut_short_is_found_and_named(tmp_path, verify):
    names = [f"{i}.jpg" for i in range(8)]
    for i, name in enumerate(names):
        write_image(tmp_path / name)
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: -400 - i])
    survey = survey_images([record(name) for name in names], tmp_path, verify=verify)
    examples = kinds(survey)["unreadable_file"]
    assert len(examples) == survey.problems[0].count == 8
    assert all(f"{n} is cut" in e or "truncated" in e for n, e in zip(names, examples, strict=True))


def test_a_jpeg_with_something_behind_its_end_is_sound(tmp_path):
    write_image(tmp_path / "a.jpg")
    with (tmp_path / "a.jpg").open("ab") as file:
        file.write(b"trailer")
    assert kinds(survey_images([record("a.jpg")], tmp_path)) == {}


def test_other_files_cut_short_are_found_by_decoding(tmp_path):
    path = tmp_path / "a.bmp"
    write_image(path)
    path.write_bytes(path.read_bytes()[:-400])
    assert kinds(survey_images([record("a.bmp")], tmp_path)) == {}
    assert "unreadable_file" in kinds(survey_images([record("a.bmp")], tmp_path, verify=True))


def test_a_tile_must_lie_inside_its_file(tmp_path):
    write_image(tmp_path / "a.jpg", 100, 80)
    inside = record("a.jpg", 50, 40, (50, 40, 100, 80))
    beyond = record("a.jpg", 50, 40, (51, 40, 101, 80), image_id=7)
    assert kinds(survey_images([inside], tmp_path)) == {}
    assert kinds(survey_images([inside, beyond], tmp_path)) == {
        "wrong_size": ("a.jpg (image id 7) is 100x80, but has a tile [51, 40, 101, 80]",)
    }


def test_no_images_are_no_problem(tmp_path):
    assert survey_images([], tmp_path).num_files == 0

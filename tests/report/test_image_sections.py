import re
import shutil

import numpy as np
import pytest

from scale_match.report.image_sections import Pictures, gather_pictures, images_section


def test_the_worst_images_are_drawn_worst_first(runs, samples):
    pictures = gather_pictures(runs[:1], samples["images"], 2)
    errors = runs[0].images.errors
    worst = np.argsort(-errors, kind="stable")[:2]
    names = [re.search("<h3>(.*?)</h3>", each).group(1) for each in pictures.drawn]
    assert names == [f"{runs[0].images.image_ids[place]:04d}.jpg" for place in worst]
    assert pictures.left_out == []
    drawn = pictures.drawn[0]
    assert drawn.count("data:image/jpeg;base64,") == 2  # whole, and close-up
    place = worst[0]
    assert f"{runs[0].images.missed[place]} missed" in drawn
    shapes = re.findall(r'class="box (\w+)"', drawn.split('class="close"')[0])
    assert set(shapes) <= {"found", "missed", "false", "ignored"}
    assert "missed" in shapes or "false" in shapes


def test_runs_of_the_same_images_share_each_photo(runs, samples):
    pictures = gather_pictures(runs[:2], samples["images"], 1)
    (drawn,) = pictures.drawn
    assert drawn.count("data:image/jpeg") == 2
    assert drawn.count("<svg") == 4
    sources = re.findall('<image id="([^"]*)"', drawn)
    assert re.findall('<use href="#([^"]*)"', drawn) == sources
    identities = re.findall(' id="([^"]*)"', drawn)
    assert len(set(identities)) == len(identities)


def test_missing_images_are_named_and_the_others_drawn(runs, samples, tmp_path):
    shutil.copytree(samples["images"], tmp_path / "some")
    worst = int(runs[0].images.image_ids[np.argmax(runs[0].images.errors)])
    (tmp_path / "some" / f"{worst:04d}.jpg").unlink()
    pictures = gather_pictures(runs[:1], tmp_path / "some", 2)
    assert pictures.left_out == [f"{worst:04d}.jpg is not in the folder."]
    assert len(pictures.drawn) == 1
    content = images_section(runs[:1], pictures, tmp_path / "some").content
    assert f"<li>{worst:04d}.jpg is not in the folder.</li>" in content


def test_without_a_folder_it_is_said_that_there_are_no_pictures(runs):
    content = images_section(runs[:1], Pictures(), None).content
    assert "No pictures: the report was made without --images." in content
    assert "<svg" not in content


def test_no_picture_was_asked_for(runs, samples):
    assert gather_pictures(runs[:1], samples["images"], 0).drawn == []


def test_every_image_has_a_row_most_errors_first(runs):
    content = images_section(runs[:1], Pictures(), None).content
    rows = re.findall("<tr><th scope=.row.[^>]*>(.*?)</tr>", content)
    assert len(rows) == 4
    numbers = [list(map(float, re.findall('data-value="([^"]*)"', row)))[:5] for row in rows]
    errors = [missed + false for _, _, missed, false, _ in numbers]
    assert errors == sorted(errors, reverse=True)
    assert sum(row[0] for row in numbers) == runs[0].images.objects.sum()


def test_runs_of_other_images_have_a_table_of_their_own(runs):
    content = images_section(runs, Pictures(), None).content
    assert content.count("<table") == 2
    assert "missed (first)" in content
    assert "missed (third" not in content


def test_a_long_list_is_cut_and_says_so(runs, monkeypatch):
    monkeypatch.setattr("scale_match.report.image_sections._MOST_ROWS", 3)
    content = images_section(runs[:1], Pictures(), None).content
    assert content.count('<th scope="row"') == 3
    assert "The 3 images with most errors of 4" in content


@pytest.mark.parametrize("count", [1, 3])
def test_progress_sees_every_image(runs, samples, count):
    seen = []

    def watch(records):
        for record in records:
            seen.append(record.file_name)
            yield record

    gather_pictures(runs[:1], samples["images"], count, progress=watch)
    assert len(seen) == count

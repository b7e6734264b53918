import os
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scale_match.core.errors import InputError
from scale_match.storage import image_jobs
from scale_match.storage.erasing import Erase
from scale_match.storage.image_files import Picture
from scale_match.storage.image_jobs import (
    ImageJob,
    image_path,
    remove_leftovers,
    run_image_jobs,
)
from scale_match.storage.problems import Problems
from scale_match.storage.tiling import Crop

SIZE = (16, 12)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    for number in range(4):
        pixels = np.random.default_rng(number).integers(0, 256, (12, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "in" / f"{number}.png")
    return tmp_path


CUT = Crop((2, 3, 10, 9))


def jobs_of(folder, edit=CUT, keep_others=False, suffix="png"):
    return [
        ImageJob(
            f"{number}.png",
            folder / "in" / f"{number}.png",
            SIZE,
            ((folder / "out" / f"{number}.{suffix}", edit),),
            keep_others,
        )
        for number in range(4)
    ]


def run(jobs, *, strict=False, **options):
    problems = Problems(strict=strict)
    summary = run_image_jobs(jobs, problems, **options)
    return summary, problems.messages


def pixels_of(path):
    with Image.open(path) as image:
        return np.asarray(image)


def state(folder):
    return {path.name: path.stat().st_mtime_ns for path in (folder / "out").iterdir()}


@pytest.mark.parametrize("workers", [1, 2])
def test_every_image_is_written_by_one_process_or_several(folder, workers):
    summary, _ = run(jobs_of(folder), workers=workers)
    assert (summary.written, summary.kept, summary.left_out) == (4, 0, frozenset())
    for number in range(4):
        source = pixels_of(folder / "in" / f"{number}.png")
        np.testing.assert_array_equal(
            pixels_of(folder / "out" / f"{number}.png"), source[3:9, 2:10]
        )


def test_a_second_run_keeps_what_is_whole_and_of_the_same_source(folder):
    run(jobs_of(folder))
    before = state(folder)
    cut = folder / "out" / "0.png"
    cut.write_bytes(cut.read_bytes()[:-20])
    (folder / "out" / "1.png").unlink()
    Image.fromarray(np.zeros((12, 16, 3), dtype=np.uint8)).save(folder / "in" / "2.png")
    summary, _ = run(jobs_of(folder))
    assert (summary.written, summary.kept) == (3, 1)
    assert state(folder)["3.png"] == before["3.png"]
    assert not pixels_of(folder / "out" / "2.png").any()
    np.testing.assert_array_equal(pixels_of(cut), pixels_of(folder / "in" / "0.png")[3:9, 2:10])


def test_another_treatment_is_written_anew(folder):
    run(jobs_of(folder))
    summary, _ = run(jobs_of(folder, Crop((2, 3, 10, 8))))
    assert (summary.written, summary.kept) == (4, 0)
    summary, _ = run(jobs_of(folder, None))
    assert (summary.written, summary.kept) == (4, 0)


def test_without_a_treatment_the_image_is_copied_without_coding_it_again(folder):
    Image.fromarray(pixels_of(folder / "in" / "0.png")).save(folder / "in" / "0.jpg", quality=30)
    source, output = folder / "in" / "0.jpg", folder / "out" / "0.jpg"
    job = ImageJob("0.jpg", source, SIZE, ((output, None),))
    assert run([job])[0].written == 1
    np.testing.assert_array_equal(pixels_of(output), pixels_of(source))
    assert output.stat().st_size < source.stat().st_size + 200
    assert run([job])[0].kept == 1


def test_formats_that_hold_no_mark_are_written_anew(folder):
    run(jobs_of(folder, suffix="bmp"))
    summary, _ = run(jobs_of(folder, suffix="bmp"))
    assert (summary.written, summary.kept) == (4, 0)


def test_one_image_is_decoded_once_for_all_its_outputs(folder, monkeypatch):
    decoded = []
    decode = image_jobs.decode
    monkeypatch.setattr(image_jobs, "decode", lambda *args: decoded.append(1) or decode(*args))
    outputs = tuple((folder / "out" / f"{x}.png", Crop((x, 0, x + 4, 4))) for x in range(0, 12, 4))
    job = ImageJob("0.png", folder / "in" / "0.png", SIZE, outputs)
    assert run([job])[0].written == 3
    assert len(decoded) == 1
    (folder / "out" / "4.png").unlink()
    assert (run([job])[0].written, run([job])[0].kept) == (1, 3)
    assert len(decoded) == 2  # the last run decoded nothing


def test_images_of_others_are_kept_if_they_are_usable(folder):
    (folder / "out").mkdir()
    Image.fromarray(np.full((12, 16, 3), 7, dtype=np.uint8)).save(folder / "out" / "0.png")
    Image.fromarray(np.full((9, 9, 3), 7, dtype=np.uint8)).save(folder / "out" / "1.png")
    (folder / "out" / "2.png").write_bytes((folder / "out" / "0.png").read_bytes()[:40])
    (folder / "in" / "0.png").unlink()  # not needed then
    jobs = jobs_of(folder, Erase(((0.0, 0.0, 4.0, 4.0),)), keep_others=True)
    summary, _ = run(jobs)
    assert (summary.written, summary.kept) == (3, 1)
    assert (pixels_of(folder / "out" / "0.png") == 7).all()
    assert pixels_of(folder / "out" / "1.png").shape == (12, 16, 3)


def test_own_images_of_another_treatment_are_none_of_others(folder):
    run(jobs_of(folder, Erase(((0.0, 0.0, 4.0, 4.0),))))
    jobs = jobs_of(folder, Erase(((0.0, 0.0, 5.0, 4.0),)), keep_others=True)
    assert run(jobs)[0].written == 4
    assert run(jobs)[0].kept == 4


def test_without_keep_others_they_are_replaced(folder):
    (folder / "out").mkdir()
    Image.fromarray(np.full((12, 16, 3), 7, dtype=np.uint8)).save(folder / "out" / "0.png")
    assert run(jobs_of(folder))[0].written == 4


@pytest.mark.parametrize("workers", [1, 2])
def test_unusable_images_are_named_and_counted(folder, workers):
    (folder / "in" / "1.png").unlink()
    damaged = folder / "in" / "2.png"
    damaged.write_bytes(damaged.read_bytes()[:-100])
    summary, messages = run(jobs_of(folder), workers=workers)
    assert summary.left_out == {"1.png", "2.png"}
    assert summary.written == 2
    assert "1.png: No such file" in messages[0]
    assert "cannot read" in messages[1]
    with pytest.raises(InputError, match=r"1.png: No such file"):
        run(jobs_of(folder), strict=True, workers=workers)


def test_if_no_image_is_usable_that_is_an_error(folder):
    (folder / "in").rename(folder / "elsewhere")
    with pytest.raises(InputError, match=r"^none of 4 images can be used; the first: cannot read"):
        run(jobs_of(folder))


def test_no_job_is_no_work(folder):
    assert run([])[0].written == 0


def test_an_output_that_cannot_be_written_stops_the_run(folder):
    (folder / "out" / "0.png" / "x").mkdir(parents=True)
    with pytest.raises(InputError, match=r"cannot write .*0.png: Is a directory"):
        run(jobs_of(folder))


def test_outputs_must_be_different_files_and_not_the_source(folder):
    job = jobs_of(folder)[0]
    with pytest.raises(InputError, match=r"two images would be written to .*0.png: 0.png is one"):
        run([job, job])
    own = ImageJob("0.png", job.source, SIZE, ((job.source, None),))
    with pytest.raises(InputError, match=r"would be written over the image that it is made from"):
        run([own])


def test_the_number_of_workers_is_checked(folder):
    with pytest.raises(InputError, match=r"workers must be at least 1, got 0"):
        run(jobs_of(folder), workers=0)


def test_progress_sees_every_image_and_the_total(folder):
    seen = []

    def progress(names, total):
        assert total == 4
        for name in names:
            seen.append(name)
            yield name

    run(jobs_of(folder), progress=progress)
    assert seen == ["0.png", "1.png", "2.png", "3.png"]


@dataclass(frozen=True)
class Death:
    """A treatment that ends its process."""

    def apply(self, picture: Picture) -> Picture:
        os._exit(1)


def test_a_process_that_dies_is_reported(folder, monkeypatch):
    # A death itself is tried by hand: a process in a test run cannot import this class.
    class Pool:
        def __init__(self, *args, **options): ...
        def shutdown(self, **options): ...
        def map(self, *args, **options):
            raise BrokenProcessPool
            yield

    monkeypatch.setattr(image_jobs, "ProcessPoolExecutor", Pool)
    with pytest.raises(InputError, match=r"a process that writes images died, .* --workers than 2"):
        run(jobs_of(folder, Death()), workers=2)


def test_what_a_killed_run_left_half_written_is_removed(folder):
    (folder / "out").mkdir()
    left = folder / "out" / ".tmp-0123abcd-1.png"
    foreign = [folder / "out" / name for name in (".tmp-0123abcd-x.png", ".tmp-1.png", "notes")]
    for path in [left, *foreign]:
        path.touch()
    run(jobs_of(folder))
    assert not left.exists()
    assert all(path.exists() for path in foreign)
    remove_leftovers([folder / "no such folder" / "a.png"])


@pytest.mark.parametrize("name", ["/etc/a.jpg", "../a.jpg", "a/../../b.jpg"])
def test_names_that_lead_out_of_the_folder_are_refused(name):
    with pytest.raises(InputError, match=r"must be a path inside the image folder"):
        image_path(Path("images"), name)


def test_a_name_may_have_folders():
    assert image_path(Path("images"), "a/b.jpg") == Path("images/a/b.jpg")

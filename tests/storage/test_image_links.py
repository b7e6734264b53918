import pytest

from scale_match.core.errors import InputError
from scale_match.storage.image_links import link_images
from scale_match.storage.problems import Problems


@pytest.fixture
def root(tmp_path):
    (tmp_path / "root/train").mkdir(parents=True)
    return tmp_path / "root"


@pytest.fixture
def targets(root):
    (root / "train/1.jpg").write_text("one")
    return {"n/1.jpg": root / "train/1.jpg"}


def test_links_are_relative_and_stay_on_a_second_run(targets, root):
    for _ in range(2):
        link_images(targets, root / "all", Problems(strict=True))
    assert (root / "all/n/1.jpg").is_symlink()
    root.rename(root.with_name("moved"))
    assert (root.with_name("moved") / "all/n/1.jpg").read_text() == "one"


def test_missing_images_are_named(targets, root):
    targets["2.jpg"] = root / "train/2.jpg"
    problems = Problems(strict=False)
    link_images(targets, root / "all", problems)
    assert problems.messages == [f"{root}/train/2.jpg does not exist"]
    assert (root / "all/n/1.jpg").exists()


def test_something_else_in_the_way_and_names_that_lead_out_are_refused(targets, root):
    (root / "all/n").mkdir(parents=True)
    (root / "all/n/1.jpg").write_text("mine")
    with pytest.raises(InputError, match=r"cannot make the link .*1.jpg: File exists"):
        link_images(targets, root / "all", Problems(strict=True))
    assert (root / "all/n/1.jpg").read_text() == "mine"
    with pytest.raises(InputError, match=r"inside the image folder"):
        link_images({"../x.jpg": targets["n/1.jpg"]}, root / "all", Problems(strict=True))

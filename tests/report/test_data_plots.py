import numpy as np
import pytest
from PIL import Image

from data_samples import box, image, write_data
from scale_match.core.errors import InputError
from scale_match.engine.data_doctor import DoctorSettings, diagnose
from scale_match.report.data_plots import plot_data_set


@pytest.mark.parametrize("count", [1, 2, 60])
def test_a_picture_is_drawn_of_few_and_of_many_objects(count, tmp_path):
    boxes = [box(k, 1, [20 * k, 9, 4 + k, 24]) for k in range(count)]
    path = write_data(tmp_path, [image(1, "a.jpg", 1920, 1080)], boxes)
    found = diagnose(DoctorSettings(path))
    diagnosis, objects = found.diagnosis, found.objects
    output = tmp_path / "plots" / "overview.png"
    plot_data_set(objects, diagnosis.summary, diagnosis.advice, "some data", output)
    pixels = np.asarray(Image.open(output).convert("RGB"))
    assert pixels.shape[1] > 1000
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 50


def test_a_picture_that_cannot_be_written_is_refused(tmp_path):
    path = write_data(tmp_path, [image(1, "a.jpg")], [box(1, 1, [5, 5, 9, 9])])
    found = diagnose(DoctorSettings(path))
    diagnosis, objects = found.diagnosis, found.objects
    with pytest.raises(InputError, match="cannot write"):
        plot_data_set(objects, diagnosis.summary, diagnosis.advice, "", path / "overview.png")

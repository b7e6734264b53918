import numpy as np

from oracles.scale_match_files import annotation_table
from scale_match.core.records import Annotations, ImageRecord
from scale_match.storage.source_images import source_images


def test_images_come_in_file_order_with_their_countable_boxes():
    boxes = [
        {"image_id": 9, "bbox": [0, 0, 4, 9]},
        {"image_id": 2, "bbox": [1, 1, 5, 5], "iscrowd": 1},
        {"image_id": 2, "bbox": [10, 10, 6, 6]},
        {"image_id": 9, "bbox": [95, 20, 10, 5]},
        {"image_id": 2, "bbox": [1, 1, 5, 5], "ignore": True},
    ]
    images = tuple(ImageRecord(number, f"{number}.jpg", 100, 50) for number in (9, 5, 2))
    found = source_images(Annotations("a", images, (), annotation_table(boxes)))
    assert [image.image_id for image in found] == [9, 5, 2]
    assert [(image.height, image.width) for image in found] == [(50, 100)] * 3
    assert found[0].boxes.tolist() == [[0, 0, 4, 9], [95, 20, 100, 25]]
    assert found[1].boxes.shape == (0, 4)
    assert found[2].sizes.tolist() == [6]
    assert np.concatenate([image.counted for image in found]).all()

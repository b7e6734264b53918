"""TinyPerson's own fields to those that every COCO program knows.

``ignore`` and ``uncertain`` boxes become ``iscrowd`` ones: COCO's evaluation neither counts them
nor what is detected inside them, and COCO's training code leaves them out.
"""

from scale_match.storage.coco_entries import Entry, refuse_tiles

__all__ = ["convert_tinyperson"]

_OWN_FIELDS = ("ignore", "uncertain", "logo", "in_dense_image", "size")


def convert_tinyperson(raw: Entry) -> Entry:
    """The content with COCO's fields only.

    Args:
        raw: The file's content, as ``read_raw_coco`` gives it; checked by ``read_annotations``.

    Returns:
        The same images and boxes; each box has ``area`` and ``iscrowd``, none has a field of
        TinyPerson, and the file's ``type`` is gone.

    Raises:
        InputError: The file is one of tiles, which plain COCO files cannot say.
    """
    refuse_tiles(raw, "write the tiles as image files first (tile --write-images)")
    content = {key: value for key, value in raw.items() if key != "type"}
    content["annotations"] = [_converted(box) for box in raw["annotations"]]
    return content


def _converted(box: Entry) -> Entry:
    fields = {key: value for key, value in box.items() if key not in _OWN_FIELDS}
    region = any(box.get(flag) for flag in ("ignore", "uncertain", "iscrowd"))
    area = box.get("area")
    fields["area"] = box["bbox"][2] * box["bbox"][3] if area is None else area
    fields["iscrowd"] = int(region)
    return fields

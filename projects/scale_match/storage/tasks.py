"""Tasks on one category of several: TinyPerson's ``sea``, ``earth`` and ``all``.

As in the authors' files: a task on one category keeps the list of categories to that one, and the
boxes of every other category become ignore regions of it; ``all`` makes every box one of the single
category ``person``.
"""

from scale_match.core.errors import InputError
from scale_match.storage.coco_entries import Entry

__all__ = ["ALL", "task_annotations"]

ALL = "all"
# Short names of the tasks of TinyPerson -> its categories.
_CATEGORY_OF_TASK = {"sea": "sea_person", "earth": "earth_person"}


def task_annotations(raw: Entry, task: str, *, name: str = "person") -> Entry:
    """The annotations of a task.

    Args:
        raw: The file's content, as ``read_raw_coco`` gives it; checked by ``read_annotations``.
        task: ``all``; ``sea`` or ``earth``, which stand for the categories ``sea_person`` and
            ``earth_person``; or the name of any category of the file.
        name: What the only category of ``all`` is called.

    Returns:
        The content of the new file. Ids of images and boxes, and flags that are set, stay.

    Raises:
        InputError: The file has no such category; the message lists those there are.
    """
    if task == ALL:
        category: Entry = {"id": 1, "name": name, "supercategory": "none"}
        boxes = [{**box, "category_id": 1} for box in raw["annotations"]]
    else:
        category = _category(raw, task)
        kept = category["id"]
        boxes = [
            box if box["category_id"] == kept else {**box, "category_id": kept, "ignore": True}
            for box in raw["annotations"]
        ]
    return {**raw, "annotations": boxes, "categories": [category]}


def _category(raw: Entry, task: str) -> Entry:
    wanted = _CATEGORY_OF_TASK.get(task, task)
    names = [category["name"] for category in raw["categories"]]
    found = [entry for entry in raw["categories"] if entry["name"] in (task, wanted)]
    if len(found) != 1:
        known = "it occurs more than once" if found else f"there are: {', '.join(names) or 'none'}"
        called = wanted if wanted == task else f"{wanted} (for the task {task})"
        raise InputError(f"no single category is called {called}; {known}")
    return dict(found[0])

"""The protocol of a score: what is known from its inputs, and what somebody has to say."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from scale_match.core.errors import InputError
from scale_match.core.protocol import MODEL_ENTRIES, NONE, Protocol, plain_value
from scale_match.core.records import Annotations
from scale_match.scoring.inputs import MERGE_THRESHOLD, ScoringInputs
from scale_match.scoring.tile_grids import gives_tiles, read_tile_grid

__all__ = ["scoring_protocol"]

# A detector that has seen crops as if they were images calls its limits by other names.
_OF_TILING = ("tile_size", "tile_overlap", "merge", "merge_threshold", "max_per_tile")


def scoring_protocol(
    inputs: ScoringInputs,
    settings: Mapping[str, Any],
    given: Mapping[str, Any] | None = None,
) -> Protocol:
    """All that a score depends on.

    Args:
        inputs: What is scored.
        settings: Entries of the evaluation's own settings.
        given: What the model, or a file, says. It may name entries that are known anyway, if it
            says the same, and further ones of its own.

    Returns:
        The known entries, those of ``MODEL_ENTRIES``, and further ones; None where nobody gave it.

    Raises:
        InputError: ``given`` contradicts what is known.
    """
    said = {name: plain_value(name, value) for name, value in (given or {}).items()}
    known = {
        "ground_truth": inputs.gt_sha256,
        "images": _images_entry(inputs.annotations),
        "categories": sorted(each.category_id for each in inputs.annotations.categories),
        **settings,
    }
    if inputs.tiles is not None:
        said = _said_of_tiles(said)
        known |= _tile_entries(inputs, inputs.tiles, said)
    for name, value in known.items():
        if said.get(name) is not None and value is not None:
            _check_equal(name, said[name], plain_value(name, value))
    entries = dict.fromkeys((*known, *MODEL_ENTRIES)) | said
    entries |= {name: value for name, value in known.items() if value is not None}
    return Protocol(entries)


def _images_entry(annotations: Annotations) -> dict[str, Any]:
    ids = sorted(image.image_id for image in annotations.images)
    return {"count": len(ids), "sha256": hashlib.sha256(json.dumps(ids).encode()).hexdigest()}


def _said_of_tiles(said: dict[str, Any]) -> dict[str, Any]:
    """What is said, in the words of a test on tiles.

    A detector that has seen every tile as an image of its own says that there were no tiles, and
    its limit per image is one per tile.
    """
    if said.get("tile_size") != NONE:
        return said
    others = {name: value for name, value in said.items() if name not in _OF_TILING}
    limit = {"max_per_tile": said.get("max_per_image"), "max_per_image": NONE}
    return others | {name: value for name, value in limit.items() if value is not None}


def _tile_entries(
    inputs: ScoringInputs, tiles: Annotations, said: Mapping[str, Any]
) -> dict[str, Any]:
    """The tile grid as the tiles show it, and the merging."""
    merging = {"merge": inputs.merge, "merge_threshold": MERGE_THRESHOLD}
    size, overlap = said.get("tile_size"), said.get("tile_overlap")
    if size is None or overlap is None:
        grid = read_tile_grid(tiles)
        return {"tile_size": grid.size, "tile_overlap": grid.overlap} | merging
    if not gives_tiles(tiles, size, overlap):
        raise InputError(
            f"the protocol says tile_size = {size!r} and tile_overlap = {overlap!r}, but "
            f"{tiles.source} has other tiles"
        )
    return merging  # several grids may give these tiles; what is said is one of them


def _check_equal(name: str, said: Any, known: Any) -> None:  # noqa: ANN401 - JSON is any value
    if said != known:
        raise InputError(f"the protocol says {name} = {said!r}, but here it is {known!r}")

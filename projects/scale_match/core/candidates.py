"""Raw candidates of a detector, kept so that every test-time setting can be tried afterwards.

A candidate is a box that the detector proposed on a tile before any suppression. Boxes are XYXY in
pixels of the tile as the detector saw it, continuous coordinates, and not clipped where the
detector suppresses before it clips.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scale_match.core.records import IntArray

__all__ = ["CandidateTable", "Float32Array", "Int32Array"]

Float32Array = npt.NDArray[np.float32]
Int32Array = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class CandidateTable:
    """M candidates on T tiles of I images, as columns.

    Candidates are grouped by tile, in a tile by level, in a level best first.

    Attributes:
        image_ids: In the order in which the images were seen, (I,).
        seen_sizes: Width and height of an image as the detector saw it, (I, 2).
        sizes: Width and height of the image that detections are wanted for, (I, 2).
        tile_images: Index into ``image_ids`` of each tile's image, ascending, (T,).
        tiles: XYXY in pixels of the image as seen, in the order of the grid, (T, 4).
        starts: First candidate of each tile, and M at the end, (T + 1,).
        boxes: XYXY in pixels of the tile, see above, (M, 4).
        scores: By which they are ranked and suppressed, (M,).
        filter_scores: What a score threshold is compared with; the same, except for a detector
            whose scores have another factor, as FCOS has, (M,).
        classes: Class indices from 0, (M,).
        levels: Which of the detector's feature levels, (M,).
        ranks: Place in its tile and level by score, from 0; a detector that takes n candidates
            per level takes those with a rank below n, (M,).
        limit: Candidates per level that were recorded at most.
        score_threshold: Candidates of greater ``filter_scores`` were recorded.
    """

    image_ids: IntArray
    seen_sizes: IntArray
    sizes: IntArray
    tile_images: IntArray
    tiles: IntArray
    starts: IntArray
    boxes: Float32Array
    scores: Float32Array
    filter_scores: Float32Array
    classes: Int32Array
    levels: Int32Array
    ranks: Int32Array
    limit: int
    score_threshold: float

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def image_starts(self) -> IntArray:
        """First tile of each image, and T at the end, (I + 1,)."""
        found: IntArray = np.searchsorted(self.tile_images, np.arange(len(self.image_ids) + 1))
        return found

    @property
    def tile_of_candidates(self) -> IntArray:
        """Index of the tile of each candidate, (M,)."""
        return np.repeat(np.arange(len(self.tiles)), np.diff(self.starts))

    def covers(self, limit: int, score_threshold: float) -> bool:
        """Whether candidates for these settings are all here.

        Args:
            limit: Candidates per level.
            score_threshold: Least score, exclusive.
        """
        return self.limit >= limit and self.score_threshold <= score_threshold

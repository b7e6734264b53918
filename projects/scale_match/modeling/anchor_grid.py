"""Which anchors of a pyramid a box meets, without looking at the others.

The anchors of a level are the same few boxes repeated at every cell of a grid. So the cells whose
anchors a box overlaps follow from its corners by a division, and a tiny box meets a few hundred
anchors of a quarter of a million.

M ground-truth boxes, R anchors over all levels, A anchors in a cell, P pairs that overlap.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from detectron2.structures import Boxes
from torch import Tensor

__all__ = ["AnchorGrid", "MetPairs"]

# Pairs that are listed at a time: some 100 MB. One box alone may have more.
_CHUNK_PAIRS = 1 << 20

# In cells. The float32 corners of anchors are off by less than this up to 100,000 px.
_SLACK = 1e-2


@dataclass(frozen=True, slots=True, eq=False)
class MetPairs:
    """Ground-truth boxes with the anchors that they overlap.

    Attributes:
        boxes: Index of the ground-truth box, ascending, (P,).
        anchors: Index over the anchors of all levels, (P,).
        iou: Larger than 0, (P,); the very float32 numbers of detectron2's ``pairwise_iou``.
    """

    boxes: Tensor
    anchors: Tensor
    iou: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class _Level:
    """The anchors of one level: ``cell`` shifted by multiples of ``step`` px.

    Attributes:
        cell: Anchors of the first cell, XYXY_ABS doubles, (A, 4).
        step: Distance of two cells, (x, y) in pixels.
        shape: Cells in y and in x.
        first: Index of the level's first anchor.
    """

    cell: Tensor
    step: tuple[float, float]
    shape: tuple[int, int]
    first: int

    def cells_met(self, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """The block of cells in which an anchor may overlap a box.

        Args:
            boxes: XYXY_ABS doubles, (M, 4).

        Returns:
            First cell (x, y), and number of cells in x and in y, both (M, A, 2) int64.
        """
        step = boxes.new_tensor(self.step)
        last = torch.tensor(self.shape[::-1], device=boxes.device) - 1
        # An anchor [c1, c2], k cells away, meets [b1, b2] where c2 + k * step > b1 and
        # c1 + k * step < b2.
        low = ((boxes[:, None, :2] - self.cell[:, 2:]) / step - _SLACK).ceil()
        high = ((boxes[:, None, 2:] - self.cell[:, :2]) / step + _SLACK).floor()
        start = low.clamp(min=0).minimum(last + 1).long()
        stop = high.clamp(min=-1).minimum(last).long()
        return start, (stop - start + 1).clamp(min=0)


class AnchorGrid:
    """The anchors of all levels of an image, as detectron2's ``DefaultAnchorGenerator`` lists them.

    Args:
        anchors: Per level, XYXY_ABS, (H_i * W_i * A_i, 4): rows outer, then columns, then the
            anchors of a cell.
        cell_anchors: Anchors in a cell of each level, A_i.

    Raises:
        ValueError: A level is not such a grid.
    """

    def __init__(self, anchors: Sequence[Boxes], cell_anchors: Sequence[int]) -> None:
        self.anchors = Boxes.cat(list(anchors)).tensor
        self._areas = Boxes(self.anchors).area()
        self._levels: list[_Level] = []
        first = 0
        for level, per_cell in zip(anchors, cell_anchors, strict=True):
            if len(level):
                self._levels.append(_level(level.tensor, per_cell, first))
            first += len(level)

    def __len__(self) -> int:
        return len(self.anchors)

    def met_by(self, boxes: Tensor) -> Iterator[MetPairs]:
        """All pairs of a box and an anchor that overlap.

        Args:
            boxes: XYXY_ABS float32, (M, 4).

        Yields:
            The pairs of successive boxes, so many boxes at a time that memory stays bounded.
        """
        doubles = boxes.double()
        blocks = [level.cells_met(doubles) for level in self._levels]
        if not blocks or not len(boxes):
            return
        num_pairs = torch.stack([cells.prod(dim=2).sum(dim=1) for _, cells in blocks]).sum(dim=0)
        for start, stop in _chunks(num_pairs.tolist()):
            yield self._pairs(boxes, blocks, slice(start, stop))

    def _pairs(
        self, boxes: Tensor, blocks: Sequence[tuple[Tensor, Tensor]], part: slice
    ) -> MetPairs:
        """The pairs of some successive boxes."""
        listed = [
            _list_cells(level, start[part], cells[part])
            for level, (start, cells) in zip(self._levels, blocks, strict=True)
        ]
        owners = torch.cat([owner for owner, _ in listed]) + part.start
        anchors = torch.cat([anchor for _, anchor in listed])
        mine, theirs = boxes.index_select(0, owners), self.anchors.index_select(0, anchors)
        sides = torch.min(mine[:, 2:], theirs[:, 2:]) - torch.max(mine[:, :2], theirs[:, :2])
        intersection = sides.clamp_(min=0).prod(dim=1)
        union = Boxes(mine).area() + self._areas.index_select(0, anchors) - intersection
        met = (intersection > 0).nonzero()[:, 0]
        iou = intersection / union
        return MetPairs(*(column.index_select(0, met) for column in (owners, anchors, iou)))


def _level(anchors: Tensor, per_cell: int, first: int) -> _Level:
    """Reads a level's grid off its list of anchors."""
    cells = anchors.reshape(-1, per_cell, 4).double()  # (H * W, A, 4)
    corner_x, corner_y = cells[:, 0, 0], cells[:, 0, 1]
    width = int((corner_y == corner_y[0]).sum())
    height = len(cells) // width
    step_x = float(corner_x[1] - corner_x[0]) if width > 1 else 1.0
    step_y = float(corner_y[width] - corner_y[0]) if height > 1 else 1.0
    expected = float(corner_x[0]) + (width - 1) * step_x, float(corner_y[0]) + (height - 1) * step_y
    found = float(corner_x[-1]), float(corner_y[-1])
    off = max(abs(a - b) for a, b in zip(found, expected, strict=True))
    if height * width != len(cells) or off > _SLACK * min(step_x, step_y):
        raise ValueError(f"{len(anchors)} anchors with {per_cell} a cell are not a regular grid")
    return _Level(cells[0], (step_x, step_y), (height, width), first)


def _chunks(num_pairs: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Ranges of successive boxes with at most ``_CHUNK_PAIRS`` pairs, or of one box."""
    start, total = 0, 0
    for index, number in enumerate(num_pairs):
        if total and total + number > _CHUNK_PAIRS:
            yield start, index
            start, total = index, 0
        total += number
    yield start, len(num_pairs)


def _list_cells(level: _Level, start: Tensor, cells: Tensor) -> tuple[Tensor, Tensor]:
    """Every cell of every block, as (index of the box, index of the anchor), each (P',)."""
    per_cell = len(level.cell)
    numbers = cells.prod(dim=2).flatten()  # (M * A,)
    block = torch.repeat_interleave(numbers)  # (P',) index into M * A
    # Row and column of the block's first cell, its width, and where its list begins.
    begins = numbers.cumsum(0) - numbers
    rows, columns, widths = (
        start[..., 1].flatten(),
        start[..., 0].flatten(),
        cells[..., 0].flatten(),
    )
    about = torch.stack([begins, rows, columns, widths], dim=1).index_select(0, block)
    within = torch.arange(len(block), device=block.device) - about[:, 0]
    down = within // about[:, 3]
    row, column = about[:, 1] + down, about[:, 2] + within - down * about[:, 3]
    owner = block // per_cell
    cell = row * level.shape[1] + column
    return owner, level.first + cell * per_cell + block - owner * per_cell

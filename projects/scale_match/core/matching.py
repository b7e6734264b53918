"""Greedy matching in score order, for a whole data set at once.

The evaluation protocol lets detections choose one after the other: each takes the best ground
truth that no earlier detection took. Read as a market, every ground truth prefers earlier
detections, and then there is exactly one stable matching, which is the outcome of that loop.
Deferred acceptance (Gale and Shapley 1962) finds it in rounds: every detection without a partner
asks the next on its list, and a ground truth keeps the earliest that ever asked. A round is a
few array operations over all images, and few rounds are needed.
"""

import numpy as np

from scale_match.core.records import BoolArray, IntArray

__all__ = ["match_in_order"]


def match_in_order(
    detections: IntArray, targets: IntArray, exclusive: BoolArray, *, num_targets: int
) -> IntArray:
    """Let detections choose one after the other, each the first on its list that is still free.

    Args:
        detections: Detection of each pair, ascending, (P,). Lower numbers choose earlier; the
            pairs of one detection stand in its order of preference.
        targets: Ground truth of each pair, (P,).
        exclusive: False where the detection may have the target even if it is taken, (P,). In
            either case the target is taken from then on.
        num_targets: Number of ground-truth boxes.

    Returns:
        Position of the chosen pair of each detection that got one, ascending, at most (P,).
    """
    begins = np.flatnonzero(np.diff(detections, prepend=-1))  # (D,), D detections with a list
    stops = np.append(begins[1:], len(detections))
    choice = begins.copy()  # pair that the detection asks for, or holds
    asker = detections[begins]
    taken_by = np.full(num_targets, np.iinfo(np.int64).max)  # earliest detection that ever asked
    holder = np.full(num_targets, -1)  # index into asker of an exclusive holder
    active = np.arange(len(begins))
    while len(active):
        pairs = choice[active]
        asked = targets[pairs]
        np.minimum.at(taken_by, asked, asker[active])
        incumbents = holder[asked]
        refused = exclusive[pairs] & (taken_by[asked] < asker[active])
        evicted = (incumbents >= 0) & (taken_by[asked] < asker[incumbents])
        holder[asked[evicted]] = -1
        kept = exclusive[pairs] & ~refused
        holder[asked[kept]] = active[kept]
        active = np.concatenate([active[refused], np.unique(incumbents[evicted])])
        choice[active] += 1
        active = active[choice[active] < stops[active]]
    return choice[choice < stops]

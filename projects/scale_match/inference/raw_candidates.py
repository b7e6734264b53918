"""What a detector offers so that its test-time settings can be tried without running it again."""

from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable

from torch import Tensor

__all__ = ["CandidateSource", "Inputs", "RawCandidates"]

Inputs: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class RawCandidates:
    """The candidates of one input, level by level, in a level best first; M in all.

    Attributes:
        boxes: XYXY in pixels of the input, as the detector suppresses them: clipped to the input
            only where it clips before, (M, 4).
        scores: By which they are ranked and suppressed, (M,).
        filter_scores: What a score threshold is compared with, mostly the same, (M,).
        classes: Class indices from 0, (M,).
        levels: Index of the feature level, (M,).
        ranks: Place in the level, from 0, (M,).
    """

    boxes: Tensor
    scores: Tensor
    filter_scores: Tensor
    classes: Tensor
    levels: Tensor
    ranks: Tensor


@runtime_checkable
class CandidateSource(Protocol):
    """What a detector offers to take part in a sweep over test-time settings.

    A detector with this method is used as it is; for detectron2's own see `candidate_source`. Its
    contract: with a limit n and a threshold t the detector suppresses, per class and in the order
    given, exactly the candidates with ``ranks < n`` and ``filter_scores > t``.
    """

    def raw_candidates(
        self, batched_inputs: list[Inputs], *, limit: int, score_threshold: float
    ) -> list[RawCandidates]:
        """Proposes on each input, without suppressing anything.

        Args:
            batched_inputs: As for the detector.
            limit: Candidates per level at most, the best ones.
            score_threshold: Only candidates of greater ``filter_scores``.

        Returns:
            One for each input.
        """

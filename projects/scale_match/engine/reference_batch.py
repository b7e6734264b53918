"""The linear rule: a learning rate and iterations that are for one batch, used with another.

The rate is proportional to the images of a batch (Goyal et al., "Accurate, Large Minibatch SGD",
section 2.1; the published rows have 0.02 for 8 GPUs x 2 images, 0.01 for 4 x 2, 0.005 for 2 x 2),
and as many images are seen in inversely as many iterations.
"""

from collections.abc import Collection, Sequence

from scale_match.core.errors import InputError

__all__ = ["BatchScaling"]


class BatchScaling:
    """Rescales settings from the batch that they are for to the batch that is used.

    A setting that the command line names is taken as it is. What was done is kept in words.

    Args:
        reference: Images of the batch that the settings are for; 0 rescales nothing.
        batch: Images of the batch that is used, over all processes.
        key: Name of the first, for messages.
        named: Dotted keys that the command line names.
        is_sgd: Whether the optimizer is SGD, which the rule holds for.

    Raises:
        InputError: ``reference`` is negative.
    """

    def __init__(
        self, reference: int, batch: int, *, key: str, named: Collection[str], is_sgd: bool
    ) -> None:
        if reference < 0:
            raise InputError(
                f"{key} must be a number of images, or 0 to rescale nothing, received {reference}"
            )
        self._reference = reference
        self._batch = batch
        self._key = key
        self._named = named
        self._is_sgd = is_sgd
        self._rate_line = ""
        self._moved: list[str] = []
        self._kept: list[str] = []

    @property
    def applies(self) -> bool:
        """Whether anything is rescaled."""
        return self._reference not in (0, self._batch)

    def rate(self, key: str, value: float) -> float:
        """A learning rate for the batch that is used.

        Args:
            key: Its name.
            value: For batches of ``reference`` images.

        Raises:
            InputError: The rule would change the rate of another optimizer than SGD.
        """
        images = "1 image" if self._batch == 1 else f"{self._batch} images"
        if not self.applies:
            source = self._key if self._reference else key
            self._rate_line = f"Learning rate: {value:g} for batches of {images} ({source})."
            return value
        if key in self._named:
            self._rate_line = (
                f"Learning rate: {value:g} for batches of {images}, taken as it is because the "
                f"command line names {key} ({self._key} is {self._reference})."
            )
            return value
        if not self._is_sgd:
            raise InputError(
                f"{self._key} is {self._reference} and a batch has {images}, but the linear rule "
                f"is for SGD only: set {self._key} to 0, or name {key} on the command line"
            )
        scaled = value * self._batch / self._reference
        self._rate_line = (
            f"Learning rate: {value:g} for batches of {self._reference} "
            f"image{'s' * (self._reference > 1)} ({self._key}) x {self._batch} / "
            f"{self._reference} = {scaled:g}."
        )
        return scaled

    def count(self, key: str, value: int) -> int:
        """Iterations, or a period in iterations, for the batch that is used.

        Args:
            key: Its name.
            value: For batches of ``reference`` images; 0 (never) stays 0.
        """
        return self.counts(key, [value])[0]

    def counts(self, key: str, values: Sequence[int]) -> tuple[int, ...]:
        """The same for several numbers of one key."""
        if not self.applies or not any(values):
            return tuple(values)
        if key in self._named:
            self._kept.append(key)
            return tuple(values)
        scaled = tuple(
            max(round(value * self._reference / self._batch), 1) if value else 0 for value in values
        )
        self._moved.append(f"{key} {_listed(values)} -> {_listed(scaled)}")
        return scaled

    def describe(self) -> str:
        """The arithmetic in words, printed before the training."""
        parts = [self._rate_line] if self._rate_line else []
        if self._moved:
            factor = f"x {self._reference} / {self._batch}"
            parts.append(f"Iterations {factor}: {', '.join(self._moved)}.")
        if self._kept:
            parts.append(f"As the command line has them: {', '.join(self._kept)}.")
        return " ".join(parts)


def _listed(values: Sequence[int]) -> str:
    return ", ".join(map(str, values)) if len(values) == 1 else f"({', '.join(map(str, values))})"

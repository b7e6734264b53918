"""Input that a tool leaves out: counted and named, or an error where the user wants one."""

from scale_match.core.errors import InputError

__all__ = ["Problems"]

_SHOWN = 10


class Problems:
    """Collects what is wrong with single files of many.

    Args:
        strict: Raise at the first one.

    >>> problems = Problems(strict=False)
    >>> problems.add("a.jpg is cut short")
    >>> problems.summary("images left out")
    ['1 images left out:', '  a.jpg is cut short']
    """

    def __init__(self, *, strict: bool) -> None:
        self.strict = strict
        self.messages: list[str] = []

    def add(self, message: str) -> None:
        """Note one.

        Raises:
            InputError: ``strict`` is set; the message is this one.
        """
        if self.strict:
            raise InputError(message)
        self.messages.append(message)

    def summary(self, what: str) -> list[str]:
        """Lines for the user: how many, and the first ten; nothing if there are none."""
        if not self.messages:
            return []
        lines = [f"{len(self.messages)} {what}:"]
        lines += [f"  {message}" for message in self.messages[:_SHOWN]]
        if len(self.messages) > _SHOWN:
            lines.append(f"  and {len(self.messages) - _SHOWN} more")
        return lines

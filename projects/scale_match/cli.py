"""What every command-line tool shares: one clear sentence and exit code 2 for bad input."""

import os
import sys
from collections.abc import Callable, Sequence

from scale_match.core.errors import InputError

__all__ = ["run_tool"]


def run_tool(main: Callable[[Sequence[str]], None], argv: Sequence[str] | None = None) -> int:
    """Run the body of a tool and translate bad input into an exit code.

    Args:
        main: The tool; takes the arguments after the program's name.
        argv: Arguments; ``sys.argv[1:]`` by default.

    Returns:
        0 after success, 2 after an :class:`InputError`, whose message goes to standard error; 0
        too if nobody reads the output to its end, as ``head`` does not.
    """
    try:
        main(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes once more when it ends, and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except InputError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0

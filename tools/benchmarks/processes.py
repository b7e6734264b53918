"""What a fresh process needs: CPU seconds and memory, its own start included."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass

from scale_match.core.errors import InputError

__all__ = ["Measurement", "measure_process"]

# Unit of ru_maxrss in bytes.
_MEMORY_UNIT = 1 if sys.platform == "darwin" else 1024


@dataclass(frozen=True, slots=True)
class Measurement:
    """What a process needed.

    Attributes:
        cpu_seconds: User and system time of all its threads.
        peak_gb: Largest resident memory in 10^9 bytes.
    """

    cpu_seconds: float
    peak_gb: float


def measure_process(arguments: Sequence[str]) -> Measurement:
    """Run this Python with some arguments and see what it needs.

    The system counts the memory of the process that starts another one as the other's, so the
    caller should be small.

    Args:
        arguments: Of the interpreter: a script's path and its arguments.

    Returns:
        CPU time and memory.

    Raises:
        InputError: The process failed; the message has the end of what it wrote.
    """
    with tempfile.TemporaryFile() as output:
        # Nothing else may wait for it, or its usage would be lost.
        process = subprocess.Popen([sys.executable, *arguments], stdout=output, stderr=output)
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            process.wait()
            raise
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            said = output.read().decode(errors="replace").strip().splitlines()[-1:]
            raise InputError(
                f"{arguments[0]} failed with exit code {process.returncode}: {' '.join(said)}"
            )
    return Measurement(
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        peak_gb=usage.ru_maxrss * _MEMORY_UNIT / 1e9,
    )

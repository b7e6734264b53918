"""What a fresh process needs: CPU seconds and memory, its own start included."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scale_match.core.errors import InputError

__all__ = ["Measurement", "check_is_there", "measure_process"]

# Unit of ru_maxrss in bytes.
_MEMORY_UNIT = 1 if sys.platform == "darwin" else 1024

# A process that starts another one counts as part of it until the other's own program begins. So a
# small one lies between the measured process and the caller, which may be large.
_STARTER = """
import json, os, subprocess, sys
process = subprocess.Popen([sys.executable, *sys.argv[2:]])
_, status, usage = os.wait4(process.pid, 0)
process.returncode = code = os.waitstatus_to_exitcode(status)
with open(sys.argv[1], "w") as file:
    json.dump([usage.ru_utime + usage.ru_stime, usage.ru_maxrss], file)
sys.exit(code if code >= 0 else 128 - code)
"""


@dataclass(frozen=True, slots=True)
class Measurement:
    """What a process needed.

    Attributes:
        cpu_seconds: User and system time of all its threads.
        peak_gb: Largest resident memory in 10^9 bytes.
    """

    cpu_seconds: float
    peak_gb: float


def check_is_there(device: str) -> None:
    """Refuses a device that this machine does not have.

    Raises:
        InputError: The sentence says what to set instead.
    """
    if device != "cpu":
        # Here, because it brings torch, which most subcommands do without.
        from scale_match.engine.launch import check_device

        check_device(device, key="--device cpu")


def measure_process(arguments: Sequence[str]) -> Measurement:
    """Run this Python with some arguments and see what it needs.

    Args:
        arguments: Of the interpreter: a script's path and its arguments.

    Returns:
        CPU time and memory.

    Raises:
        InputError: The process failed; the message has the end of what it wrote.
    """
    with tempfile.TemporaryDirectory() as folder:
        figures = Path(folder) / "figures.json"
        done = subprocess.run(
            [sys.executable, "-c", _STARTER, str(figures), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        if done.returncode:
            said = done.stdout.decode(errors="replace").strip().splitlines()[-1:]
            raise InputError(
                f"{arguments[0]} failed with exit code {done.returncode}: {' '.join(said)}"
            )
        cpu_seconds, peak = json.loads(figures.read_text(encoding="utf-8"))
    return Measurement(cpu_seconds=cpu_seconds, peak_gb=peak * _MEMORY_UNIT / 1e9)

"""Build every config, train it for one step and evaluate it, on a few drawn images, on the CPU.

Nothing is downloaded: weights of the zoo and of a pretraining are replaced by files of the same
form with random values. Twins must have the same loss. A config that passed is not checked again
while neither it nor the code has changed, if --output names the file of the last call.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from scale_match.cli import run_tool
from scale_match.core.errors import InputError
from scale_match.engine.config_check import (
    ConfigChecker,
    ConfigResult,
    code_hash,
    config_files,
    differing_twins,
)
from scale_match.storage.files import read_json, write_json

CONFIGS = Path(__file__).resolve().parent.parent / "configs"
_BYTES_PER_GB = 1e9


class _FailedError(Exception):
    """Some config does not work; the table says which."""


def main(argv: Sequence[str]) -> None:
    """Parse the arguments, check what is asked for, and print the table."""
    args = _parser().parse_args(argv)
    paths = config_files(args.configs, only=args.only, front_end=args.front_end)
    before = _read(args.output)
    results: list[ConfigResult] = []
    with tempfile.TemporaryDirectory() as scratch:
        checker = ConfigChecker(args.configs, Path(scratch), code=code_hash())
        for number, path in enumerate(paths, start=1):
            name = path.relative_to(args.configs).as_posix()
            known = before.get(name)
            skipped = known is not None and _still_holds(known, checker, path)
            result = known if known is not None and skipped else checker.check(path)
            results.append(result)
            before[name] = result
            if args.output is not None:
                write_json(args.output, [asdict(one) for one in before.values()], indent=1)
            print(
                f"[{number}/{len(paths)}] {_line(result)}{' (before)' if skipped else ''}",
                flush=True,
            )
    failed = [result for result in results if result.error]
    for result in failed:
        print(f"\n{result.config}\n{result.details}", file=sys.stderr)
    different = differing_twins(results)
    for sentence in different:
        print(sentence, file=sys.stderr)
    seconds = sum(result.seconds for result in results)
    print(
        f"{len(results)} configs, {len(failed)} failed, {len(different)} differ from their twins, "
        f"{seconds:.0f} s"
    )
    if failed or different:
        raise _FailedError


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="check_configs.py", description=__doc__)
    parser.add_argument(
        "--only", default="", metavar="TEXT", help="only configs with this in their name"
    )
    parser.add_argument("--front-end", choices=("yacs", "lazy", "both"), default="both")
    parser.add_argument(
        "--output", type=Path, metavar="JSON", help="results; also those of an earlier call"
    )
    parser.add_argument("--configs", type=Path, default=CONFIGS, metavar="DIR")
    return parser


def _read(path: Path | None) -> dict[str, ConfigResult]:
    """The results of an earlier call."""
    if path is None or not path.is_file():
        return {}
    try:
        results = [ConfigResult(**entry) for entry in read_json(path)]
    except TypeError as error:
        raise InputError(f"{path} holds no results of check_configs.py: {error}") from error
    return {result.config: result for result in results}


def _still_holds(known: ConfigResult, checker: ConfigChecker, path: Path) -> bool:
    try:
        return not known.error and known.fingerprint == checker.fingerprint(path)
    except InputError:
        return False


def _line(result: ConfigResult) -> str:
    outcome = f"FAILED {result.error}" if result.error else f"loss {result.loss:8.3f}"
    memory = result.peak_memory / _BYTES_PER_GB
    return f"{result.config:68} {result.seconds:5.1f} s  {memory:4.1f} GB  {outcome}"


def run(argv: Sequence[str] | None = None) -> int:
    """The exit code: 0, 1 where a config does not work, 2 for bad input."""
    try:
        return run_tool(main, argv)
    except _FailedError:
        return 1


if __name__ == "__main__":
    sys.exit(run())

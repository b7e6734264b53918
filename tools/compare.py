"""Compare scores files: best first, with differences and how sure these are."""

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from tqdm import tqdm

from scale_match.cli import run_tool
from scale_match.core.errors import InputError
from scale_match.report.comparison_tables import (
    comparison_csv,
    comparison_markdown,
    comparison_tables,
)
from scale_match.scoring.comparison import Comparison, compare_scores
from scale_match.scoring.files import SavedScores, read_saved_scores
from scale_match.storage.files import write_json, write_text

EXAMPLES = """
examples:
  python tools/compare.py output/a/scores.json output/b/scores.json
  python tools/compare.py a.json b.json c.json --metric AP50_tiny AP50_tiny1 MR50_tiny \\
    --output compare.md
  python tools/compare.py a.json b.json --bootstrap 0 --allow-different-protocols

The scores files are those of tools/evaluate.py and of the trainers. A metric is named
AP50_tiny (at the largest limit of detections), AR25_small_maxDets200, MR50_tiny or COCO_AP50.
For the intervals the ground truth and the detections that the files name are read again; where
they are gone, the values stay and the reason for the missing interval is printed.

Exit code 2: something in the input is wrong, or the protocols of the scores differ or are not
known (an entry that is null), so that they cannot be ranked; then nothing is written.
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="compare.py",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "scores", type=Path, nargs="+", metavar="SCORES", help="scores files, two at least"
    )
    parser.add_argument(
        "--metric",
        nargs="+",
        metavar="NAME",
        help="what to compare; the first decides the order (default AP50_tiny, or the first AP of "
        "all files)",
    )
    parser.add_argument(
        "--bootstrap",
        type=int,
        default=1000,
        metavar="N",
        help="resamples of the images for the intervals; 0 for no intervals (default 1000)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the resamples (default 0)")
    parser.add_argument(
        "--allow-different-protocols",
        action="store_true",
        help="rank scores whose protocols differ or are not known, and say which entries do",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="file to write as well: .json and .csv hold fractions, .md the printed tables",
    )
    return parser


def main(argv: Sequence[str]) -> None:
    """Parse the arguments, compare, print the tables, and write them if wanted."""
    args = _parser().parse_args(argv)
    write = _writer(args.output, args.scores)
    comparison = compare_scores(
        [read_saved_scores(path) for path in args.scores],
        args.metric,
        resamples=args.bootstrap,
        seed=args.seed,
        allow_different_protocols=args.allow_different_protocols,
        progress=_progress,
    )
    write(comparison)
    print("\n\n".join(table.plain() for table in comparison_tables(comparison)))


def _writer(output: Path | None, inputs: Sequence[Path]) -> Callable[[Comparison], None]:
    """What writes the output file in the form that its suffix says."""
    if output is None:
        return lambda comparison: None
    writers: dict[str, Callable[[Comparison], None]] = {
        ".json": lambda comparison: write_json(output, comparison.to_dict(), indent=1),
        ".md": lambda comparison: write_text(output, comparison_markdown(comparison)),
        ".csv": lambda comparison: write_text(output, comparison_csv(comparison)),
    }
    if output.suffix not in writers:
        raise InputError(f"--output must end in {', '.join(writers)}; received {output}")
    if output.resolve() in [path.resolve() for path in inputs]:
        raise InputError(f"--output {output} must not be one of the scores files")
    return writers[output.suffix]


def _progress(saved: Sequence[SavedScores]) -> Iterable[SavedScores]:
    return tqdm(saved, desc="compare", unit="file", leave=False)


if __name__ == "__main__":
    sys.exit(run_tool(main))

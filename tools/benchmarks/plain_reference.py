"""AP, AR and miss rate by the plain loops of tests/oracles, in a process of its own.

Arguments: folder with the two reference modules, ground truth, detections, file to write. Needs
the standard library only.
"""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

REFERENCES = ("average_precision_reference.py", "miss_rate_reference.py")
MAX_DETS = (200, 1000)


def main(folder: str, gt: str, dt: str, output: str) -> None:
    """Evaluate and write the values under the keys of a scores file."""
    average_precision, miss_rate = (_load(Path(folder) / name) for name in REFERENCES)
    ground_truth = json.loads(Path(gt).read_text())
    detections = json.loads(Path(dt).read_text())
    scores: dict[str, dict[str, float]] = {}
    for limit in MAX_DETS:
        suffix = f"_maxDets{limit}" if scores else ""
        result = average_precision.evaluate(ground_truth, detections, max_dets=limit)
        scores["AP" + suffix] = result["AP"]
        scores["AR" + suffix] = result["AR"]
        scores["AP_counts" + suffix] = result["counts"]
    result = miss_rate.evaluate(ground_truth, detections)
    scores["MR"], scores["MR_counts"] = result["MR"], result["counts"]
    Path(output).write_text(json.dumps(scores))


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main(*sys.argv[1:])

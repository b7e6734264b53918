"""The main job on drawn data: what tools/quickstart.sh runs once everything is set up."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from scale_match.cli import run_tool
from scale_match.engine.launch import check_device
from scale_match.engine.transfer import run_transfer
from scale_match.engine.transfer_pictures import SIZES_PLOT
from scale_match.engine.transfer_report import RESULTS_FILE, results_table
from scale_match.engine.transfer_settings import CocoFiles, TransferSettings
from scale_match.toy.dataset import ToySet, ToySettings, write_toy_data

CONFIGS = Path(__file__).resolve().parent.parent / "configs" / "quick"


def main(argv: Sequence[str]) -> None:
    """Draw the data, run the transfer, print the table and where things are."""
    parser = argparse.ArgumentParser(prog="quickstart.py", description=__doc__)
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    parser.add_argument("--output", type=Path, default=Path("output/quickstart"), metavar="DIR")
    parser.add_argument("--seed", type=int, default=0, help="of data and training")
    args = parser.parse_args(argv)
    check_device(args.device, key="--device cpu")
    print("drawing a source of large figures and a target of tiny ones ...", flush=True)
    sets = write_toy_data(args.output / "data", ToySettings(seed=args.seed))
    settings = TransferSettings(
        source=_files(sets["source"]),
        target=_files(sets["target_train"]),
        output=args.output,
        config=CONFIGS / "adap_retinanet_r18_fpn_quick_toy.yaml",
        test=_files(sets["target_test"]),
        pretrain_config=CONFIGS / "adap_retinanet_r18_fpn_quick_toy_sm.yaml",
        scratch=True,
        seed=args.seed,
        device=args.device,
        tile=(320, 256),
    )
    results = run_transfer(settings)
    print(f"\n{results_table(results)}\n")
    print(f"all numbers:  {args.output / RESULTS_FILE}")
    print(f"object sizes: {args.output / 'pictures' / SIZES_PLOT}")
    print(f"detections:   {args.output / 'pictures'}/detections_*.jpg")
    print(f"weights:      {args.output / 'finetune'}/model_final.pth")


def _files(toy_set: ToySet) -> CocoFiles:
    return CocoFiles(toy_set.annotations, toy_set.images)


if __name__ == "__main__":
    sys.exit(run_tool(main))

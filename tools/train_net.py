"""Train or evaluate a detector by a yacs config (.yaml)."""

import sys
from collections.abc import Sequence

from scale_match.cli import run_tool
from scale_match.engine.command_line import run_training_tool
from scale_match.engine.front_ends import YACS

HELP = """Train or evaluate a detector by a yacs config (.yaml).

examples:
  train on the CPU, on data sets named by their files:
    python tools/train_net.py \\
      --config-file configs/quick/adap_retinanet_r18_fpn_quick_toy.yaml \\
      SCALE_MATCH.DATA.TRAIN_ANNOTATIONS train.json SCALE_MATCH.DATA.TRAIN_IMAGES images/train \\
      SCALE_MATCH.DATA.TEST_ANNOTATIONS test.json SCALE_MATCH.DATA.TEST_IMAGES images/test \\
      OUTPUT_DIR output/mine
  go on where a run stopped:      ... --resume ...
  evaluate its last checkpoint:   ... --resume --eval-only ...
  evaluate other weights:         ... --eval-only ... MODEL.WEIGHTS model_final.pth
  two GPUs, or two processes on the CPU where MODEL.DEVICE is cpu:
    ... --num-gpus 2 ...
  two machines, the same command on each with its rank:
    ... --num-gpus 4 --num-machines 2 --machine-rank 0 --dist-url tcp://10.0.0.1:29500 ...

Exit code 2 and one sentence: something in the input is wrong.
"""


def main(argv: Sequence[str]) -> None:
    """Run the tool."""
    run_training_tool(argv, YACS, prog="train_net.py", text=HELP)


if __name__ == "__main__":
    sys.exit(run_tool(main))

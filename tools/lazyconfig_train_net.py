"""Train or evaluate a detector by a Lazy config (.py)."""

import sys
from collections.abc import Sequence

from scale_match.cli import run_tool
from scale_match.engine.command_line import run_training_tool
from scale_match.engine.front_ends import LAZY

HELP = """Train or evaluate a detector by a Lazy config (.py).

examples:
  train on the CPU, on data sets named by their files:
    python tools/lazyconfig_train_net.py \\
      --config-file configs/quick/adap_retinanet_r18_fpn_quick_toy.py \\
      dataloader.train.annotations=train.json dataloader.train.images=images/train \\
      dataloader.test.annotations=test.json dataloader.test.images=images/test \\
      train.output_dir=output/mine
  go on where a run stopped:      ... --resume ...
  evaluate its last checkpoint:   ... --resume --eval-only ...
  evaluate other weights:         ... --eval-only ... train.init_checkpoint=model_final.pth
  two GPUs, or two processes on the CPU where train.device is cpu:
    ... --num-gpus 2 ...
  two machines, the same command on each with its rank:
    ... --num-gpus 4 --num-machines 2 --machine-rank 0 --dist-url tcp://10.0.0.1:29500 ...

Exit code 2 and one sentence: something in the input is wrong.
"""


def main(argv: Sequence[str]) -> None:
    """Run the tool."""
    run_training_tool(argv, LAZY, prog="lazyconfig_train_net.py", text=HELP)


if __name__ == "__main__":
    sys.exit(run_tool(main))

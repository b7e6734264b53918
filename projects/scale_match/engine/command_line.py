"""The command line that both training tools share: detectron2's arguments, and the processes."""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from detectron2.engine import default_argument_parser

from scale_match.core.errors import InputError
from scale_match.engine.evaluation_setup import Metrics
from scale_match.engine.front_ends import LAZY, YACS, FrontEnd
from scale_match.engine.launch import check_device, launch

__all__ = ["run_training_tool"]


def run_training_tool(argv: Sequence[str], front_end: FrontEnd, *, prog: str, text: str) -> None:
    """Trains or evaluates as a command line says.

    Args:
        argv: Arguments after the program's name.
        front_end: How configs are read.
        prog: The program's name.
        text: What ``--help`` says besides the arguments: a first line, then examples.

    Raises:
        InputError: Anything that the user can put right.
    """
    parser = default_argument_parser()
    parser.prog = prog
    parser.description, _, parser.epilog = text.strip().partition("\n")
    # A free port: two trainings on one machine do not meet.
    parser.set_defaults(dist_url="auto")
    args = parser.parse_args(argv)
    misplaced = [word for word in args.opts if word.startswith("--")]
    if misplaced:
        raise InputError(
            f"{misplaced[0]} comes after the config overrides: options come before them"
        )
    if not args.config_file:
        raise InputError("no config is named: use --config-file")
    path = Path(args.config_file)
    device = front_end.device_of(front_end.load(path, args.opts))
    check_device(device, key=front_end.cpu_setting, num_gpus=args.num_gpus)
    launch(
        _run,
        num_gpus=args.num_gpus,
        num_machines=args.num_machines,
        machine_rank=args.machine_rank,
        dist_url=args.dist_url,
        device=device,
        args=(front_end is LAZY, args),
    )


def _run(is_lazy: bool, args: Namespace) -> Metrics:
    """What each process does; it starts afresh and reads the config again."""
    front_end = LAZY if is_lazy else YACS
    cfg = front_end.load(Path(args.config_file), args.opts)
    run = front_end.evaluate if args.eval_only else front_end.train
    return run(cfg, resume=args.resume)

"""The command line that both training tools share: detectron2's arguments, and the processes."""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from detectron2.engine import default_argument_parser

from scale_match.core.errors import InputError
from scale_match.engine.evaluation_setup import Metrics
from scale_match.engine.front_ends import LAZY, YACS, FrontEnd
from scale_match.engine.launch import check_device, launch
from scale_match.engine.torchrun import local_processes

__all__ = ["NO_PREFLIGHT_HELP", "RESET_HEAD_HELP", "run_training_tool"]

NO_PREFLIGHT_HELP = (
    "do not look at data, model and settings before the first step (docs/schedule_and_preflight.md)"
)
RESET_HEAD_HELP = (
    "take what fits of the starting weights' pyramid and head, list the rest and let it start anew "
    "(otherwise weights of other anchors, strides or another detector are refused)"
)


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
    parser.add_argument("--reset-head", action="store_true", help=RESET_HEAD_HELP)
    parser.add_argument("--no-preflight", action="store_true", help=NO_PREFLIGHT_HELP)
    args = parser.parse_args(argv)
    misplaced = [word for word in args.opts if word.startswith("--")]
    if misplaced:
        raise InputError(
            f"{misplaced[0]} comes after the config overrides: options come before them"
        )
    if args.reset_head and args.eval_only:
        raise InputError(
            "--reset-head lets parts of the head start anew, so it is for a training: leave it or "
            "--eval-only out"
        )
    if not args.config_file:
        raise InputError("no config is named: use --config-file")
    path = Path(args.config_file)
    device = front_end.device_of(front_end.load(path, args.opts))
    processes = local_processes(
        args.num_gpus,
        num_machines=args.num_machines,
        machine_rank=args.machine_rank,
        dist_url=args.dist_url,
    )
    check_device(device, key=front_end.cpu_setting, num_gpus=processes)
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
    if args.eval_only:
        return front_end.evaluate(cfg, resume=args.resume)
    return front_end.train(
        cfg, resume=args.resume, reset_head=args.reset_head, preflight=not args.no_preflight
    )

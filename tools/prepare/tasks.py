"""Subcommand ``tasks``: one category of several, or all as one."""

import argparse

from prepare.options import (
    Subcommands,
    add_annotation_options,
    add_parser,
    check_output,
    finish,
    naming,
    read_checked,
)
from scale_match.storage.tasks import task_annotations


def add_to(subcommands: Subcommands) -> None:
    """Add the subcommand."""
    parser = add_parser(
        subcommands,
        "tasks",
        summary="one category, the others ignored (sea, earth), or all as one (all)",
        description="Make the annotations of a task on a single category. sea keeps sea_person,\n"
        "earth keeps earth_person, any other name keeps the category of that name; the\n"
        "boxes of the other categories become ignore regions. all makes every box a person.",
        example="--task all --annotations tiny_set_train.json \\\n"
        "    --output tiny_set_train_all.json",
    )
    add_annotation_options(parser)
    parser.add_argument(
        "--task", required=True, metavar="TASK", help="sea, earth, all, or a category of the file"
    )
    parser.add_argument(
        "--name", default="person", help="name of the one category of all (default: person)"
    )
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> None:
    check_output(arguments.output, "--annotations", arguments.annotations)
    raw = read_checked(arguments.annotations)
    with naming(arguments.annotations):
        content = task_annotations(raw, arguments.task, name=arguments.name)
    ignored = sum(bool(box.get("ignore")) for box in content["annotations"])
    finish(arguments.output, content, f", {ignored} of them ignored")

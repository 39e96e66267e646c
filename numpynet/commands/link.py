"""``numpynet link``: experiments on what dropout and lottery tickets have to do with each other."""

from __future__ import annotations

import argparse
from pathlib import Path

from numpynet.commands.arguments import add_places, fill_in, folder, positive, refuse_idle, seed

RUN = ("quick", "seed", "replicates", "data", "workers", "scheduler")  # options of those who run an experiment
IDLE = {"list": (*RUN, "out", "docs"), "laws": (*RUN, "out", "docs"), "statement": RUN}


def add_parser(commands) -> None:
    """Add the command to the parser.

    Parameters
    ----------
    commands : what ``add_subparsers`` returned
    """
    parser = commands.add_parser(
        "link",
        help="experiments on the link between dropout and lottery tickets",
        description="Run an experiment in which dropout and lottery tickets meet, several seeds in one stack, and write a "
        "table, a figure, a report and the numbers (results.json). Differences are paired and come with 95 % intervals. "
        "Finished trainings are kept in OUT/parts: an interrupted run goes on where it was and ends with the same numbers, "
        "and experiments share what they have in common.",
        epilog="Start with: numpynet link list",
    )
    parser.add_argument(
        "name",
        help="of an experiment; list to see them, all to run them one after the other; laws for a table of the one law over "
        "masks; statement for what all experiments have found",
    )
    parser.add_argument("--quick", action="store_true", help="seconds: few steps, few replicates, wide intervals")
    parser.add_argument("--seed", type=seed, help="first of the seeds (default: 0)")
    parser.add_argument("--replicates", type=positive, help="how many seeds (default: 8; 3 with --quick)")
    parser.add_argument("--data", choices=("digits", "mnist1d", "mnist"), help="default: mnist1d")
    parser.add_argument(
        "--out",
        type=folder,
        help="each experiment writes a folder in it (default: runs/link)",
    )
    parser.add_argument(
        "--docs", type=folder, help="with statement: write the page and the numbers of the site into this folder, too"
    )
    add_places(parser)
    parser.set_defaults(run=_run_link, workers=None)


def _run_link(options: argparse.Namespace) -> int:
    from numpynet.link.link_command import run_link

    refuse_idle(options, f"numpynet link {options.name}", IDLE.get(options.name, ()))
    return run_link(fill_in(options, seed=0, out=Path("runs/link"), workers=1))

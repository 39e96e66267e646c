"""``numpynet dropout``: experiments on dropout."""

from __future__ import annotations

import argparse
from pathlib import Path

from numpynet.commands.arguments import add_places, fill_in, folder, positive, refuse_idle, seed


def add_parser(commands) -> None:
    """Add the command to the parser.

    Parameters
    ----------
    commands : what ``add_subparsers`` returned
    """
    parser = commands.add_parser(
        "dropout",
        help="experiments on dropout: which keep_prob, what it costs, what it does to the units",
        description="Run an experiment on dropout, several seeds in one stack, and write a table, a figure and a report. "
        "Differences are paired and come with 95 % intervals.",
        epilog="Start with: numpynet dropout list",
    )
    parser.add_argument(
        "name", nargs="?", default="list", help="of an experiment; list (the default) shows them, all runs all of them"
    )
    parser.add_argument("--quick", action="store_true", help="a few seconds: few steps, few replicates, wide intervals")
    parser.add_argument("--seed", type=seed, help="first of the seeds (default: 0)")
    parser.add_argument("--replicates", type=positive, help="how many seeds (default: 5; 3 with --quick)")
    parser.add_argument("--data", choices=("digits", "mnist1d", "mnist"), help="default: that of the experiment")
    parser.add_argument(
        "--out",
        type=folder,
        help="each experiment writes a folder in it (default: runs/dropout)",
    )
    add_places(parser)
    parser.set_defaults(run=_run_dropout, workers=None)


def _run_dropout(options: argparse.Namespace) -> int:
    from numpynet.experiments.dropout_command import run_dropout

    if options.name == "list":
        idle = ("quick", "seed", "replicates", "data", "out", "workers", "scheduler")
        refuse_idle(options, "numpynet dropout list", idle)
    return run_dropout(fill_in(options, seed=0, out=Path("runs/dropout"), workers=1))

"""``numpynet demo``: the main job, from checked gradients to a lottery ticket."""

from __future__ import annotations

import argparse
from pathlib import Path

from numpynet.commands.arguments import folder, seed


def add_parser(commands) -> None:
    """Add the command to the parser.

    Parameters
    ----------
    commands : what ``add_subparsers`` returned
    """
    parser = commands.add_parser(
        "demo",
        help="check all gradients, try dropout, find a lottery ticket; under a minute, no download",
        description="Check every gradient against the complex step, train with and without dropout on real digits, "
        "find a first lottery ticket, and write figures and one self-contained report.",
    )
    parser.add_argument(
        "--out", type=folder, default=Path("runs/demo"), help="folder for the report (default: %(default)s)"
    )
    parser.add_argument("--seed", type=seed, default=0, help="first of the seeds (default: %(default)s)")
    parser.set_defaults(run=_run_demo)


def _run_demo(options: argparse.Namespace) -> int:
    from numpynet.demo import run_demo

    return 0 if run_demo(options.out, seed=options.seed) else 1

"""``numpynet document``: the source article's two code examples, put right."""

from __future__ import annotations

import argparse
from pathlib import Path

from numpynet.commands.arguments import fill_in, folder, positive, refuse_idle, seed


def add_parser(commands) -> None:
    """Add the command to the parser.

    Parameters
    ----------
    commands : what ``add_subparsers`` returned
    """
    parser = commands.add_parser(
        "document",
        help="the source article's two code examples, put right, each mistake beside it; a few seconds",
        description="Run the two code examples of the article that numpynet began with as they were meant, reproduce what "
        "they do as printed, and say in words what is wrong. Writes a page for each.",
        epilog="Example: numpynet document ticket",
    )
    parser.add_argument(
        "example", nargs="?", choices=("dropout", "ticket"), help="its example 4.1 or 4.2 (default: both)"
    )
    parser.add_argument("--seed", type=seed, default=0, help="the first (default: %(default)s)")
    parser.add_argument("--replicates", type=positive, help="how many seeds for the ticket (default: 5)")
    parser.add_argument("--out", type=folder, default=Path("runs/document"), help="default: %(default)s")
    parser.set_defaults(run=_run_document)


def _run_document(options: argparse.Namespace) -> int:
    from numpynet.experiments.document_command import REPLICATES, run_document

    if options.example == "dropout":  # one seed shows all there is to see
        refuse_idle(options, "numpynet document dropout", ["replicates"])
    return run_document(fill_in(options, replicates=REPLICATES))

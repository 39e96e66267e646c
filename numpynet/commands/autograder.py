"""``numpynet autograder``: the grader for one submission at a time, as Gradescope, PrairieLearn and CI run it."""

from __future__ import annotations

import argparse
from pathlib import Path

from numpynet.commands.grade import DETAILS, FORMATS


def add_parser(commands) -> None:
    """Add the command to the parser.

    Parameters
    ----------
    commands : what ``add_subparsers`` returned
    """
    parser = commands.add_parser(
        "autograder",
        help="make a Gradescope autograder, or grade one submission where such a system has put it",
        description="zip: write the zip that Gradescope wants, with this package in it. run: grade one submission and write the "
        "file that the system reads; the mark depends on the submission and the salt alone.",
        epilog="Example: numpynet autograder zip warmup -o autograder.zip",
    )
    actions = parser.add_subparsers(required=True, metavar="ACTION")

    pack = actions.add_parser("zip", help="write the zip for Gradescope")
    pack.add_argument("assignment", metavar="NAME", help="its name, or a .py file that defines ASSIGNMENT")
    pack.add_argument("-o", "--out", type=Path, required=True, metavar="ZIP")
    pack.add_argument(
        "--detail", choices=DETAILS, default="ratio", help="how much students are told (default: %(default)s)"
    )
    pack.add_argument(
        "--seed-salt", metavar="TEXT", help="what seeds are made of, with a student's name (default: drawn)"
    )
    pack.add_argument("--variant", default="", metavar="WORDS", help="convention: drop,dropped-mask,transposed,gain=2")
    pack.set_defaults(run=_run_zip)

    run = actions.add_parser("run", help="grade one submission")
    run.add_argument("--settings", type=Path, required=True, metavar="JSON", help="settings.json of the zip")
    run.add_argument("--submission", type=Path, required=True, metavar="DIR")
    run.add_argument("--metadata", type=Path, metavar="JSON", help="submission_metadata.json, for who it is")
    run.add_argument("--results", type=Path, required=True, metavar="FILE")
    run.add_argument("--format", choices=[f for f in FORMATS if f != "otter-csv"], default="gradescope")
    run.set_defaults(run=_run_one)


def _run_zip(options: argparse.Namespace) -> int:
    from numpynet.classroom.autograder import write_zip

    return write_zip(options.assignment, options.out, options.detail, options.seed_salt, options.variant)


def _run_one(options: argparse.Namespace) -> int:
    from numpynet.classroom.autograder import run_one

    return run_one(options.settings, options.submission, options.metadata, options.results, options.format)

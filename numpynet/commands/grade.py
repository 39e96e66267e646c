"""``numpynet grade``: a folder of submissions, graded without running a line of theirs beside the reference."""

from __future__ import annotations

import argparse
from pathlib import Path

from numpynet.commands.arguments import folder, positive, positive_float

DETAILS = ("off", "where", "ratio", "cause")
FORMATS = ("gradescope", "prairielearn", "github", "junit", "otter-csv")
DOORS = ("namespaces", "other-user", "hidden-folders", "limits", "landlock", "seccomp", "no-files")


def add_parser(commands) -> None:
    """Add the command to the parser.

    Parameters
    ----------
    commands : what ``add_subparsers`` returned
    """
    parser = commands.add_parser(
        "grade",
        help="grade a folder of submissions: a table, a page for each student, a summary of the class",
        description="Grade every submission of a folder: a .py file, a notebook, or a folder with the file in it. Students' "
        "code runs in a process of its own with as few rights as this machine can take away; inputs and expected values stay "
        "in the grader. Every submission gets a row. An interrupted run goes on where it was. What is protected and what is "
        "not: docs/classroom_security.md.",
        epilog="Example: numpynet grade submissions -o grades --assignment warmup -j 2",
    )
    parser.add_argument("submissions", type=Path, metavar="SUBMISSIONS", help="the folder of what was handed in")
    parser.add_argument(
        "-o", "--out", type=folder, required=True, metavar="GRADES", help="where results go; kept between runs"
    )
    parser.add_argument(
        "--assignment", metavar="NAME", help="its name, or a .py file that defines ASSIGNMENT; kept in GRADES"
    )
    parser.add_argument(
        "-j", "--jobs", "--workers", type=positive, default=1, metavar="N", help="how many at a time (default: 1)"
    )
    parser.add_argument(
        "--detail", choices=DETAILS, default="ratio", help="how much students are told (default: %(default)s)"
    )
    parser.add_argument(
        "--seed-salt", metavar="TEXT", help="what seeds are made of, with a student's name (default: drawn once)"
    )
    parser.add_argument(
        "--variant", metavar="WORDS", help="convention of the course: drop,dropped-mask,transposed,gain=2"
    )
    parser.add_argument(
        "--limit", type=positive_float, metavar="SECONDS", help="for one call of a student's function (3)"
    )
    parser.add_argument("--only", metavar="NAME", help="grade this submission again, and no other")
    parser.add_argument(
        "--require",
        action="append",
        choices=DOORS,
        default=[],
        metavar="DOOR",
        help=f"refuse to grade without: {', '.join(DOORS)}",
    )
    parser.add_argument(
        "--format", action="append", choices=FORMATS, default=[], help="write this as well; may be repeated"
    )
    parser.set_defaults(run=_run_grade)


def _run_grade(options: argparse.Namespace) -> int:
    from numpynet.classroom.grade_command import run_grade

    return run_grade(options)

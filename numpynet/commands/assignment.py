"""``numpynet assignment``: get an assignment, check one's work, build one of a solution file."""

from __future__ import annotations

import argparse
from pathlib import Path

from numpynet.commands.arguments import positive, seed


def add_parser(commands) -> None:
    """Add the command to the parser.

    Parameters
    ----------
    commands : what ``add_subparsers`` returned
    """
    parser = commands.add_parser(
        "assignment",
        help="assignments: list them, get one, check your work on it, or build one of a solution file",
        description="For students: list, new, check. For teachers: build. Everything works without a network.",
        epilog="Example: numpynet assignment new dropout my-dropout",
    )
    actions = parser.add_subparsers(required=True, metavar="ACTION")

    listing = actions.add_parser("list", help="the assignments that come with this package")
    listing.set_defaults(run=_run_list)

    new = actions.add_parser("new", help="put an assignment into a folder of yours")
    new.add_argument("name", metavar="NAME", help="its name, or the .py file of a marked solution")
    new.add_argument("folder", type=Path, metavar="DIR", help="made if it is not there; nothing in it is overwritten")
    new.set_defaults(run=_run_new)

    check = actions.add_parser(
        "check",
        help="check your file: a line for each task",
        description="PASS, FAIL with what was found, ERROR, WAIT (not written yet) or SKIP (needs an earlier task). The file is "
        "run as Python would run it: check only what you would run. Exits with 1 if something is not passed.",
        epilog="Example: numpynet assignment check dropout.py --task 2.1 --hint",
    )
    check.add_argument(
        "file", nargs="?", type=Path, metavar="FILE", help=".py or .ipynb, or its folder (default: this one)"
    )
    check.add_argument("--task", metavar="N", help="one task, such as 2.1, and every check of it; or a function's name")
    check.add_argument(
        "--hint", nargs="?", type=positive, const=1, metavar="K", help="show the first K hints of the task (default: 1)"
    )
    check.add_argument("--seed", type=seed, default=0, help="of the numbers that are drawn (default: %(default)s)")
    check.add_argument("--assignment", metavar="NAME", help="where the name of the file does not say it")
    check.set_defaults(run=_run_check)

    build = actions.add_parser(
        "build",
        help="make a release of a marked solution file",
        description="Check the solution file and write what students get: skeleton, notebook, page, public checks, manifest. "
        "Nothing is written unless the solution passes, the skeleton waits, every wrong solution loses points, and no line of "
        "the solution is left. How such a file is written: docs/write_an_assignment.md.",
        epilog="Example: numpynet assignment build solution.py -o release",
    )
    build.add_argument("solution", metavar="SOLUTION", help="a .py file with marks, or the name of an assignment")
    build.add_argument("-o", "--out", type=Path, required=True, metavar="RELEASE", help="the folder of the release")
    build.set_defaults(run=_run_build)


def _run_list(options: argparse.Namespace) -> int:
    from numpynet.classroom.assignment_command import run_list

    return run_list()


def _run_new(options: argparse.Namespace) -> int:
    from numpynet.classroom.assignment_command import run_new

    return run_new(options.name, options.folder)


def _run_check(options: argparse.Namespace) -> int:
    from numpynet.classroom.assignment_command import run_check

    return run_check(
        options.file, task=options.task, hints=options.hint, seed=options.seed, assignment=options.assignment
    )


def _run_build(options: argparse.Namespace) -> int:
    from numpynet.classroom.assignment_command import run_build

    return run_build(options.solution, options.out)

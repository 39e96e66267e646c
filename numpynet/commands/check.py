"""``numpynet check``: what is wrong with the layers in a file of yours."""

from __future__ import annotations

import argparse

from numpynet.commands.arguments import png, seed, shape

DETAILS = ("off", "where", "ratio", "cause")


def add_parser(commands) -> None:
    """Add the command to the parser.

    Parameters
    ----------
    commands : what ``add_subparsers`` returned
    """
    parser = commands.add_parser(
        "check",
        help="check the layers, masks and tickets in a file of yours, and say what is wrong with them",
        description="Import a file and check what it defines: layers by the gradient check, from the loss backwards, "
        "functions of masks and tickets by their laws. Prints a block for each: passed, failed with the most likely cause, "
        "or waiting for what is not written yet (NotImplementedError). Exits with 1 if something is wrong, with 2 if there "
        "is nothing to check. Which functions are known, and how they are called: numpynet.conformance.contract. The file "
        "is run as Python would run it, without protection: check only what you would run.",
        epilog="Example: numpynet check layers.py --task linear_backward --detail ratio",
    )
    parser.add_argument("file", metavar="FILE.py", help="or the dotted name of a module")
    parser.add_argument(
        "--task", help="one layer, such as linear, or one function, such as prune (default: all there are)"
    )
    parser.add_argument("--detail", choices=DETAILS, default="cause", help="how much to say (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    parser.add_argument("--seed", type=seed, default=0, help="of the numbers that are drawn (default: %(default)s)")
    parser.add_argument("--shape", type=shape, metavar="N,D_IN,D_OUT,K", help="sizes (default: drawn from the seed)")
    parser.add_argument("--figure", type=png, metavar="PNG", help="draw where the first wrong gradient is wrong")
    parser.set_defaults(run=_run_check)


def _run_check(options: argparse.Namespace) -> int:
    from numpynet.check_run import run_check

    return run_check(
        options.file,
        task=options.task,
        detail=options.detail,
        as_json=options.json,
        seed=options.seed,
        shape=options.shape,
        figure=options.figure,
    )

"""The door: ``numpynet demo``, ``train``, ``verify``, ``check``, ``grade`` and all other commands, a file each.

Nothing heavy is imported here, so that ``--help`` answers at once; each command imports what it needs when it runs.
Exit codes: 0 all is well, 1 a check failed or a run ended badly (it diverged, no path was left, the disk is full, a server
did not answer), 2 the command or its input is wrong.
"""

from __future__ import annotations

import argparse
import errno
import io
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from numpynet import __version__, progress, threads
from numpynet.commands import (
    assignment,
    autograder,
    check,
    data,
    demo,
    document,
    dropout,
    grade,
    link,
    lottery,
    train,
    verify,
)

DISK_TROUBLE = (errno.ENOSPC, errno.EDQUOT, errno.EIO)  # another command line would not help


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code.

    Parameters
    ----------
    arguments : words of the command line, without the program; None takes those of the process

    Returns
    -------
    0 if all went well, 1 if a run ended badly, 2 for wrong input.

    Raises
    ------
    SystemExit
        The words are no command line (code 2), or ask for help or the version (code 0).

    Examples
    --------
    >>> main(["data", "list"])                                                      # doctest: +ELLIPSIS
    digits ...
    0
    """
    options = build_parser().parse_args(arguments)
    too_late = "numpy" in sys.modules
    chosen = threads.set_default()  # NumPy reads it when it is imported
    if options.verbose:
        late = "; NumPy was imported before, so it does not know of the defaults" if too_late and chosen else ""
        print(f"numpynet: {threads.description(chosen)}{late}", file=sys.stderr)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that cannot write "±" shows "?", and the run goes on
    try:
        code = options.run(options)
        if sys.stdout is not None:  # this process was started with it closed
            sys.stdout.flush()
        return code
    except BrokenPipeError:  # whoever read our output has gone, as in "| head"
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that the flush at exit finds no broken pipe
        return 1
    except KeyboardInterrupt:
        progress.wipe()
        print("\nnumpynet: interrupted", file=sys.stderr)
        return 1
    except MemoryError as error:
        return _fail(options, MemoryError(f"there is not enough memory: {error}; smaller sizes or batches may fit"), 1)
    except (ArithmeticError, RuntimeError) as error:  # a training that diverged, a net without a path, dead workers
        return _fail(options, error, 1)
    except (ConnectionError, TimeoutError) as error:  # a download that failed, a scheduler that does not answer
        return _fail(options, error, 1)
    except (ValueError, TypeError, OSError) as error:
        return _fail(options, error, 1 if getattr(error, "errno", None) in DISK_TROUBLE else 2)


class _Parser(argparse.ArgumentParser):
    """A parser that reports an error on one line; argparse would print the usage, two dozen lines of it, first."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}; see {self.prog} --help\n")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands.

    Examples
    --------
    >>> build_parser().parse_args(["train", "--sizes", "64-30-10"]).sizes
    (64, 30, 10)
    """
    parser = _Parser(
        prog="numpynet",
        description="Dropout and lottery tickets in pure NumPy, every gradient and every mask checkable.",
        epilog="Start with: numpynet demo",
    )
    parser.add_argument("--version", action="version", version=f"numpynet {__version__}")
    parser.add_argument("--traceback", action="store_true", help="show the whole traceback of an error")
    parser.add_argument("--verbose", action="store_true", help="say how many threads are used, and why, on stderr")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in (demo, train, verify, check, assignment, grade, autograder, dropout, lottery, link, document, data):
        command.add_parser(commands)
    return parser


def _fail(options: argparse.Namespace, error: Exception, code: int) -> int:
    if options.traceback:
        raise error
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        text = f"{error.filename}: {error.strerror}"  # without the "[Errno 17]" that str(error) begins with
    else:
        text = str(error)
    progress.wipe()  # of whoever could not finish
    print(f"numpynet: error: {' '.join(text.split()) or type(error).__name__}", file=sys.stderr)
    return code

"""Gets hold of an implementation: imports a file by its path, or a module by its name, and says in one line what failed.

A file is run as ``python FILE.py`` would run it, except that no compiled copy is written or read, that it is not
``__main__``, and that what it prints goes to the error stream.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import shlex
import sys
import traceback
import types
from collections.abc import Iterator
from pathlib import Path

from numpynet.conformance.contract import Subject, subject_of

VARIABLE = "NUMPYNET_UNDER_TEST"
REFERENCE = "numpynet.conformance.reference"


class CannotImport(ValueError):
    """The implementation under test cannot be imported; the message says why, and where in it."""


def load_subject(name: str | os.PathLike | None = None) -> Subject:
    """Import an implementation.

    Parameters
    ----------
    name : path of a .py file, or dotted name of a module; None takes the environment variable NUMPYNET_UNDER_TEST, and
        where that is not set, this package's own functions

    Returns
    -------
    Subject, trusted

    Raises
    ------
    CannotImport
        There is no such file or module, or it cannot be imported; the message names the line of the file.
    TypeError, ValueError
        See ``subject_of``.

    Examples
    --------
    >>> len(load_subject("numpynet.conformance.reference").functions)
    24
    """
    name = os.fspath(name if name is not None else os.environ.get(VARIABLE) or REFERENCE)
    is_file = name.endswith(".py") or "/" in name or os.sep in name or os.path.isfile(name)
    module = load_file(Path(name)) if is_file else _load_module(name)
    try:
        return subject_of(module, shlex.quote(name))  # as it must stand in a command
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}: {error}") from None


def load_file(path: Path) -> types.ModuleType:
    """Run a file and return the module that it becomes.

    Files beside it can be imported while it runs.

    Parameters
    ----------
    path : of a .py file

    Returns
    -------
    A module that is not kept in ``sys.modules``.

    Raises
    ------
    CannotImport
        It is no .py file, cannot be read, or raises; the message names the line.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "mine.py")
    ...     _ = path.write_text("a = 1 + 1")
    ...     load_file(path).a
    2
    """
    if path.is_dir():
        raise CannotImport(f"{path} is a folder; the name of a .py file is needed")
    if path.suffix == ".ipynb":
        raise CannotImport(f"{path} is a notebook; save its functions in a .py file first")
    try:
        source = path.read_bytes()
    except FileNotFoundError:
        raise CannotImport(f"{path}: there is no such file") from None
    except OSError as error:
        raise CannotImport(f"{path} cannot be read: {error.strerror}") from None
    name = f"numpynet_subject_{path.stem}"
    module = types.ModuleType(name)
    module.__file__ = str(path)
    before = sys.modules.get(name)
    sys.modules[name] = module  # dataclasses and pickles look their module up
    try:
        with _importable(path.resolve().parent), contextlib.redirect_stdout(sys.stderr):
            exec(compile(source, str(path), "exec", dont_inherit=True), module.__dict__)
    except (Exception, SystemExit) as error:
        raise CannotImport(f"{path} cannot be imported: {_in_one_line(error, str(path))}") from error
    finally:
        if before is None:
            sys.modules.pop(name, None)
        else:
            sys.modules[name] = before
    return module


def _load_module(name: str) -> types.ModuleType:
    try:
        with _importable(Path.cwd()), contextlib.redirect_stdout(sys.stderr):
            return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        hint = " (a file is given by a path that ends in .py)" if isinstance(error, ModuleNotFoundError) else ""
        raise CannotImport(f"{name} cannot be imported: {type(error).__name__}: {error}{hint}") from error


def _in_one_line(error: BaseException, path: str) -> str:
    """Say what went wrong, and in which line of the file."""
    line = None
    if isinstance(error, SyntaxError):
        line, text = error.lineno, error.msg
    else:
        text = " ".join(str(error).split())
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
        line = lines[-1] if lines else None
    where = f" in line {line}" if line else ""
    if isinstance(error, SystemExit):
        return f"it ends the program{where} (sys.exit or exit at the top level?)"
    return f"{type(error).__name__}{where}{': ' if text else ''}{text}"


@contextlib.contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Let modules of a folder be imported for a while."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(str(folder))

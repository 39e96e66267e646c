"""A folder of hand-ins, read without following a link, opening a pipe, or believing a name.

One entry of the folder is one submission: a .py file, a notebook, or a folder with the file in it (and others beside
it). Whatever it is, it gets a row; what cannot be graded says why.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

MAX_SOURCE = 1 << 20
MAX_NOTEBOOK = 1 << 24  # with its figures; the code in it is held to MAX_SOURCE
MAX_BESIDE = 20  # files beside the one that is graded
SCRAPS = {".DS_Store", "Thumbs.db", "desktop.ini", "__MACOSX", "__pycache__", ".git", ".ipynb_checkpoints", ".gitkeep"}


class Submission(NamedTuple):
    """What was handed in under one name."""

    name: str  # as it is shown; printable, and no other submission has it
    path: Path
    source: bytes = b""
    beside: Mapping[str, bytes] = MappingProxyType({})  # module name -> source, for files that were handed in together
    problem: str = ""  # why there is nothing to grade

    @property
    def slug(self) -> str:
        """A file name for its records: letters of its name, and a hash, since names may be anything, and chosen."""
        letters = re.sub(r"[^A-Za-z0-9_-]+", "_", self.name)[:40].strip("_-") or "submission"
        return f"{letters}-{hashlib.sha256(self.name.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"

    def digest(self) -> str:
        """SHA-256 of everything that was handed in."""
        sha256 = hashlib.sha256(len(self.source).to_bytes(8, "big") + self.source + self.problem.encode())
        for name, source in sorted(self.beside.items()):
            sha256.update(f"{name} {len(source)} ".encode() + source)
        return sha256.hexdigest()


def submissions_in(folder: Path, file: str) -> list[Submission]:
    """Return the submissions in a folder, sorted by name.

    Parameters
    ----------
    folder : of the submissions
    file : what was to be handed in: "layers.py"

    Returns
    -------
    One ``Submission`` for each file or folder, also for those that cannot be read.

    Raises
    ------
    NotADirectoryError, OSError
        The folder is none, or cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "ann.py").write_text("a = 1")
    ...     Path(folder, "bob").mkdir()
    ...     [(s.name, s.source, s.problem) for s in submissions_in(Path(folder), "layers.py")]
    [('ann', b'a = 1', ''), ('bob', b'', 'there is no layers.py in the folder')]
    """
    entries = sorted(os.scandir(os.fsencode(folder)), key=lambda entry: entry.name)
    entries = [entry for entry in entries if os.fsdecode(entry.name) not in SCRAPS]
    names = _names([entry.name for entry in entries])
    return [read_submission(name, Path(os.fsdecode(entry.path)), file) for name, entry in zip(names, entries)]


def _names(raw: list[bytes]) -> list[str]:
    """Return a printable name for each file name; .py is left off where that leaves names different."""
    full = ["".join(c if c.isprintable() else "?" for c in name.decode("utf-8", "replace"))[:120] for name in raw]
    stems = [re.sub(r"\.(py|ipynb)$", "", name) or name for name in full]
    names: list[str] = []
    taken: set[str] = set()
    for name, stem in zip(full, stems):
        chosen = stem if stems.count(stem) == 1 else name
        k = 2
        while chosen in taken:
            chosen, k = f"{name} ({k})", k + 1
        taken.add(chosen)
        names.append(chosen)
    return names


def read_submission(name: str, path: Path, file: str) -> Submission:
    """Read what was handed in at one place; what cannot be read has a problem.

    Parameters
    ----------
    name : of the submission
    path : of a file, or of a folder with the file in it
    file : what was to be handed in: "layers.py"

    Returns
    -------
    Submission; "problem" is empty where it could be read

    Examples
    --------
    >>> read_submission("ann", Path("no such file.py"), "layers.py").problem
    'it cannot be read (No such file or directory)'
    """
    try:
        kind = os.lstat(path).st_mode
        if stat.S_ISLNK(kind):
            return Submission(name, path, problem="it is a symbolic link; the file itself is needed")
        if stat.S_ISDIR(kind):
            return _read_folder(name, path, file)
        if not path.name.endswith((".py", ".ipynb")):
            return Submission(name, path, problem=f"it is neither {file} nor a folder with {file} in it")
        return Submission(name, path, _source(path.name, _bytes(path)))
    except Unreadable as error:
        return Submission(name, path, problem=str(error))
    except OSError as error:
        return Submission(name, path, problem=f"it cannot be read ({error.strerror or type(error).__name__})")


class Unreadable(Exception):
    """What was handed in is not what can be graded."""


def _read_folder(name: str, path: Path, file: str) -> Submission:
    for _ in range(3):  # archives are often unpacked into a folder in the folder
        entries = [entry for entry in os.scandir(path) if entry.name not in SCRAPS]
        if len(entries) != 1 or not entries[0].is_dir(follow_symlinks=False):
            break
        path = Path(entries[0].path)
    there = {entry.name: entry for entry in entries}
    sources = sorted(other for other in there if other.endswith(".py"))
    notebook = file.removesuffix(".py") + ".ipynb"
    chosen = file if file in there else notebook if notebook in there else sources[0] if len(sources) == 1 else None
    if chosen is None:
        several = f"; there are {', '.join(ascii(s)[1:-1] for s in sources[:5])}" if sources else ""
        raise Unreadable(f"there is no {file} in the folder{several}")
    if there[chosen].is_symlink():
        raise Unreadable(f"{chosen} is a symbolic link; the file itself is needed")
    beside = {}
    for other in sources[: MAX_BESIDE + 1]:
        if other != chosen and other[:-3].isidentifier() and not there[other].is_symlink():
            beside[other[:-3]] = _bytes(path / other)
    return Submission(name, path, _source(chosen, _bytes(path / chosen)), beside)


def _bytes(path: Path) -> bytes:
    """Read a file, if it is one: no link, no pipe that would keep us waiting, not too long."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
    handle = os.open(path, flags)
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise Unreadable(f"{ascii(path.name)[1:-1]} is no ordinary file")
        most = MAX_NOTEBOOK if path.name.endswith(".ipynb") else MAX_SOURCE
        if found.st_size > most:
            raise Unreadable(f"{ascii(path.name)[1:-1]} has {found.st_size} bytes, more than {most}")
        with open(handle, "rb", closefd=False) as file:
            return file.read(most + 1)
    finally:
        os.close(handle)  # also that of a folder, which cannot become a file object


def _source(name: str, data: bytes) -> bytes:
    """Return the Python source of a file: of a notebook, its code cells."""
    if not data.strip():
        raise Unreadable("the file is empty")
    if not name.endswith(".ipynb"):
        return data
    code = "\n\n".join(_cells(data)).encode("utf-8", "replace")
    if len(code) > MAX_SOURCE:
        raise Unreadable(f"the code of the notebook has {len(code)} bytes, more than {MAX_SOURCE}")
    return code


def _cells(data: bytes) -> Iterator[str]:
    """Yield the code of a notebook, without checks of the course; lines that are for IPython alone become comments."""
    try:
        cells = json.loads(data)["cells"]
        for cell in cells:
            if cell["cell_type"] == "code" and not _of_the_course(cell):
                source = cell["source"]
                lines = (source if isinstance(source, str) else "".join(source)).splitlines()
                yield "\n".join(re.sub(r"^(\s*)[%!?]", r"\1pass  # %", line) for line in lines)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Unreadable(f"it is no notebook that can be read ({type(error).__name__})") from None


def _of_the_course(cell: dict) -> bool:
    """Say whether a cell holds checks that were handed out: they import what a submission may not."""
    metadata = cell.get("metadata", {}).get("nbgrader", {})
    return metadata.get("grade") is True and metadata.get("solution") is False

"""What the child process runs: it closes the doors behind itself, imports a student's file, and answers calls to it.

It is started outside the package, without its folder and without site-packages on the path. The file under test comes
over the wire, so there is nothing of it on the disk. Everything here is at the mercy of the student's code once that
runs, and the grader believes nothing but arrays, numbers and text from it, none of which decides anything by itself.
What goes over the wire:

    grader: setup                 child: closed (doors), facts (of the source), imported (functions that are there)
    grader: call f(arguments)     child: returned (value, changed arrays) or raised (type, message, line)
                                  child: ask (a function of the grader that was an argument) -> answer
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import io
import os
import random
import sys
import traceback
import types
from collections.abc import Callable, Sequence
from typing import Any

WATCHED_CALLS, WATCHED_BYTES = 6, 1 << 22


def main() -> None:
    """Run the child."""
    # What was standard input and output carries messages from here on. What students print goes where errors go.
    requests, answers = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(2, 1)
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path.insert(0, sys.argv[1])
    import numpy as np

    sys.path.remove(sys.argv[1])
    wire, doors, seccomp, source, idle = (_load(here, name) for name in ("wire", "doors", "seccomp", "source", "idle"))
    line = Line(requests, answers, wire)
    doors.die_with_parent()
    setup = line.receive()
    numpy_folder = os.path.dirname(np.__file__)
    leave_open = setup["leave_open"]
    closed, inner = doors.separate(setup["hidden"], doors.needed_folders(numpy_folder), setup["slot"], leave_open)
    if inner:
        os.close(requests), os.close(answers)
        _follow(inner)
    readable, listable = doors.readable_paths(numpy_folder)
    closed += doors.close(readable, listable, setup["limits"], leave_open)
    # Where nothing else keeps the files of this machine from being read, none is opened any more.
    files = "landlock" in closed or "hidden-folders" in closed
    if not files:
        _preload()
    if "seccomp" not in leave_open and seccomp.install(files=files):
        closed += ["seccomp"] if files else ["seccomp", "no-files"]
    line.send({"closed": closed})
    line.send(_facts(source, setup["source"]))
    random.seed(setup["seed"])
    np.random.seed(setup["seed"] % (1 << 32))  # noqa: NPY002, a file may draw from it, and gets the same mark twice
    np.seterr(all="ignore")
    sys.path[:] = [path for path in sys.path if "site-packages" not in path and "dist-packages" not in path]
    sys.meta_path.insert(0, Beside(setup["beside"], setup["refused"], idle))
    module, answer = _import(setup["file"], setup["source"])
    if answer["status"] == "imported":
        answer["functions"] = [name for name in setup["functions"] if module.__dict__.get(name) is not None]
    line.send(answer)
    if answer["status"] == "imported":
        Server(line, module, setup["file"], wire, np).serve()
    os._exit(0)  # without what the file may have left for the end


# What a file of layers may import, for machines on which it must be there before the doors are closed.
PRELOADED = """__future__ abc argparse array base64 bisect builtins cmath codecs collections collections.abc contextlib copy
dataclasses datetime decimal enum errno fractions functools gc glob hashlib heapq importlib.util inspect io itertools json
linecache logging math numbers operator os os.path pathlib pickle platform pprint queue random re reprlib shutil signal
statistics string struct sys tempfile textwrap threading time timeit token tokenize traceback types typing unittest uuid
warnings weakref encodings.ascii encodings.latin_1 encodings.cp1252 encodings.iso8859_15 encodings.utf_8_sig encodings.utf_16
encodings.idna numpy.fft numpy.linalg numpy.ma numpy.polynomial numpy.random numpy.testing numpy.typing
numpy.lib.stride_tricks"""


def _preload() -> None:
    for name in PRELOADED.split():
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


def _load(folder: str, name: str) -> Any:
    """Import a file beside this one; the package that it belongs to is not there."""
    spec = importlib.util.spec_from_file_location(f"_grader_{name}", os.path.join(folder, f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _follow(inner: int) -> None:
    """Wait for the inner process and end as it ends."""
    _, status = os.waitpid(inner, 0)
    if os.WIFSIGNALED(status):
        os.kill(os.getpid(), os.WTERMSIG(status))
    os._exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 1)


class Line:
    """The wire, from the child's end."""

    def __init__(self, requests: int, answers: int, wire: Any) -> None:
        self.requests, self.answers, self.wire = requests, answers, wire
        self.number = 0
        self.refer: Callable[[Any], Any] = lambda value: None
        self.resolve: Callable[[Any], Any] = lambda reference: None

    def send(self, message: Any) -> None:
        """Send a message.

        Parameters
        ----------
        message : see ``pack`` in wire.py
        """
        data = memoryview(b"".join(self.wire.pack(self.number, message, self.refer)))
        while data:
            data = data[os.write(self.answers, data) :]

    def receive(self) -> Any:
        """Wait for a message; end where there will be none."""
        self.number, header_length, body_length = self.wire.prefix_of(self._read(self.wire.PREFIX.size))
        plan = self.wire.plan_of(self.number, self._read(header_length), body_length)
        return self.wire.unpack(plan, self._read(plan.length), self.resolve)

    def _read(self, length: int) -> bytes:
        data = bytearray()
        while len(data) < length:
            piece = os.read(self.requests, min(length - len(data), 1 << 20))
            if not piece:
                os._exit(0)
            data += piece
        return bytes(data)


class Beside(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the files that were handed in with the one under test, and refuses packages that would do the task."""

    def __init__(self, files: dict[str, bytes], refused: Sequence[str], idle: Any) -> None:
        self.files, self.refused, self.idle = files, refused, idle

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        """See importlib.

        Parameters
        ----------
        fullname, path, target : see importlib

        Returns
        -------
        A ModuleSpec, or None where the module is none of those beside the file.

        Raises
        ------
        ImportError
            It belongs to a package that the grader refuses.
        """
        if fullname.split(".")[0] in self.refused:
            raise ImportError(f"{fullname.split('.')[0]} is not there: the layers are to be written with NumPy alone")
        if fullname in self.files:
            return importlib.machinery.ModuleSpec(fullname, self, origin=f"{fullname}.py")
        if fullname.split(".")[0] in self.idle.IDLE:
            return importlib.machinery.ModuleSpec(fullname, self, is_package=True)
        return None

    def create_module(self, spec: Any) -> types.ModuleType | None:
        """See importlib.

        Parameters
        ----------
        spec : that ``find_spec`` returned

        Returns
        -------
        A module that does nothing, or None where the usual one will do.
        """
        return None if spec.name in self.files else self.idle.IdleModule(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        """See importlib.

        Parameters
        ----------
        module : to fill
        """
        name = module.__name__
        if isinstance(module, self.idle.IdleModule):
            return
        exec(compile(self.files[name], f"{name}.py", "exec", dont_inherit=True), module.__dict__)


def _facts(source: Any, text: bytes) -> dict[str, Any]:
    """Return what can be said of the file before it runs; nothing, where it cannot be parsed."""
    import numpy as np

    try:
        imported, reaches, fingerprint = source.facts(text)
    except (Exception, RecursionError, MemoryError):
        imported, reaches, fingerprint = [], [], []
    return {"imported": imported, "reaches": reaches, "fingerprint": np.array(fingerprint, dtype=np.int64)}


def _import(file: str, text: bytes) -> tuple[types.ModuleType, dict[str, Any]]:
    """Run the file and say how that ended."""
    module = types.ModuleType(file.removesuffix(".py"))
    module.__file__ = file
    sys.modules[module.__name__] = module
    try:
        code = compile(text, file, "exec", dont_inherit=True)
    except SyntaxError as error:
        message = f"{type(error).__name__}: {error.msg}"
        return module, {"status": "unreadable", "message": message[:300], "line": error.lineno or 0}
    except BaseException as error:
        return module, {"status": "unreadable", "message": f"{type(error).__name__}: {error}"[:300], "line": 0}
    try:
        exec(code, module.__dict__)
    except BaseException as error:
        return module, {"status": "unimportable", **_told(error, file)}
    return module, {"status": "imported"}


def _told(error: BaseException, file: str) -> dict[str, Any]:
    """Return an exception as text, with the last line of the student's file that it came through."""
    line, inside = 0, False
    try:
        frames = [(f.f_code.co_filename, n) for f, n in traceback.walk_tb(error.__traceback__)]
        lines = [n for name, n in frames if name == file]
        line, inside = (lines[-1] if lines else 0), bool(frames) and frames[-1][0] == file
        text = str(error)[:2000]
    except BaseException:
        text = ""
    return {"type": type(error).__name__[:60], "message": text, "line": int(line), "inside": inside}


def _plain(result: Any, reference: type) -> Any:
    """Return a named tuple, an ordered dict and their like as what they are underneath; not a reference."""
    for kind in (tuple, list, dict):
        if isinstance(result, kind) and type(result) not in (kind, reference):
            return kind(result)
    return result


class Server:
    """Answers calls, keeps what cannot travel, and reports arrays that changed though nobody asked for it."""

    def __init__(self, line: Line, module: types.ModuleType, file: str, wire: Any, np: Any) -> None:
        self.line, self.module, self.file, self.wire, self.np = line, module, file, wire, np
        self.kept: dict[int, Any] = {}
        self.n_kept = 0
        self.watched: list[tuple[tuple, Any, bytes]] = []  # (key, array, what it was)
        line.refer, line.resolve = self.refer, self.resolve

    def refer(self, value: Any) -> Any:
        """Keep a value and return what stands for it.

        Parameters
        ----------
        value : anything

        Returns
        -------
        Reference; of a reference, itself
        """
        if type(value) is self.wire.Reference:
            return value
        self.n_kept += 1
        self.kept[self.n_kept] = value
        name = type(value).__name__
        if type(value) is self.np.ndarray:
            name = f"array_of_{value.dtype.name}"
        return self.wire.Reference("value", self.n_kept, name[:60])

    def resolve(self, reference: Any) -> Any:
        """Return what a reference stands for.

        Parameters
        ----------
        reference : a ``Reference`` or ``Seeded``

        Returns
        -------
        The value, a generator, a function that asks the grader, or the reference itself, which is the grader's.
        """
        if type(reference) is self.wire.Seeded:
            return self.np.random.default_rng(reference.seed)
        if reference.kind == "value":
            return self.kept[reference.number]
        if reference.kind == "function":
            return lambda *args, **kwargs: self.ask(reference, args, kwargs)
        return reference  # of the grader: handed on and back

    def ask(self, reference: Any, args: tuple, kwargs: dict) -> Any:
        """Have a function of the grader called.

        Parameters
        ----------
        reference : of the function
        args, kwargs : its arguments

        Returns
        -------
        What it returned.

        Raises
        ------
        ValueError
            It raised.
        """
        self.line.send({"ask": reference, "args": args, "kwargs": kwargs})
        answer = self.line.receive()
        if "raised" in answer:
            raise ValueError(answer["raised"])
        return answer["returned"]

    def serve(self) -> None:
        """Answer until the grader has gone."""
        while True:
            request = self.line.receive()
            for number in request["drop"]:
                self.kept.pop(number, None)
            if "read" in request:
                self.line.send(self.read(request["read"], request["part"]))
            else:
                self.call(request)

    def call(self, request: dict[str, Any]) -> None:
        """Call a function of the file and send what came of it.

        Parameters
        ----------
        request : with "call", "args", "kwargs" and "opaque"
        """
        given = self.wire.arrays_of([request["args"], request["kwargs"]])
        before = [array.tobytes() for array in given]
        try:
            result = self.module.__dict__[request["call"]](*request["args"], **request["kwargs"])
            result = _plain(result, self.wire.Reference)
        except BaseException as error:
            answer, cache = {"raised": _told(error, self.file)}, None
        else:
            answer, cache = {"returned": result}, None
            if request["opaque"] == "whole" and result is not None:
                answer, cache = {"returned": self.refer(result)}, result
            elif request["opaque"] == "second" and type(result) in (tuple, list) and len(result) == 2:
                answer, cache = {"returned": (result[0], self.refer(result[1]))}, result[1]
        number = self.line.number
        returned = self.wire.arrays_of(answer.get("returned"))
        same = [(i, j) for i, r in enumerate(returned) for j, a in enumerate(given) if self.np.may_share_memory(r, a)]
        changed = [(number, "argument", k, a) for k, a in enumerate(given) if a.tobytes() != before[k]]
        for key, array, was in self.watched:
            if array.tobytes() != was:
                changed.append((*key, array if key[1] == "result" else None))
        try:
            self.line.send({**answer, "same": same[:50], "changed": changed})
        except self.wire.WireError as error:
            told = {"type": "ValueError", "message": str(error), "line": 0, "inside": False}
            self.line.send({"raised": told, "same": [], "changed": []})
        self.watched = [entry for entry in self.watched if entry[0][0] > number - WATCHED_CALLS]
        for kind, arrays in (("result", returned), ("cache", self.arrays_in(cache, [*given, *returned], 3))):
            for k, array in enumerate(arrays):
                if array.nbytes <= WATCHED_BYTES:
                    self.watched.append(((number, kind, k), array, array.tobytes()))

    def arrays_in(self, value: Any, others: list[Any], depth: int) -> list[Any]:
        """Return the arrays that a cache holds; those that are watched otherwise are not among them.

        Parameters
        ----------
        value : what a function returned as its cache
        others : arrays that are watched otherwise
        depth : levels of tuples, lists and dicts to look into

        Returns
        -------
        Arrays.
        """
        if type(value) is self.np.ndarray:
            return [] if any(value is other for other in others) or value.dtype.hasobject else [value]
        parts: Sequence[Any] = ()
        if depth > 0 and type(value) in (tuple, list):
            parts = value[:50]
        elif depth > 0 and type(value) is dict:
            parts = list(value.values())[:50]
        elif depth > 0 and hasattr(value, "_asdict"):
            parts = tuple(value)[:50]
        return [array for part in parts for array in self.arrays_in(part, others, depth - 1)]

    def read(self, value: Any, part: str) -> dict[str, Any]:
        """Return a part of a value that is kept, an attribute or a key: a dict of arrays, as of a ticket.

        Parameters
        ----------
        value : that is kept
        part : "theta" or "weight_mask"

        Returns
        -------
        The answer: "returned", or "raised" if there is no such part.
        """
        try:
            found = value[part] if isinstance(value, dict) else getattr(value, part)
            return {"returned": {str(name): self.np.asarray(found[name]) for name in found}}
        except BaseException as error:
            return {"raised": _told(error, self.file)}


if __name__ == "__main__":
    if isinstance(sys.stdout, io.TextIOWrapper):
        with contextlib.suppress(ValueError):
            sys.stdout.reconfigure(errors="replace")
    main()

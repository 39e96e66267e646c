"""The marks in a solution file, and the texts that are made of it: skeleton, solution, checks, page, hints, mutants.

A solution file is Python in cells (``# %%`` and ``# %% [markdown]``). Marks are comments, so that the file runs as it is:

========================================= ============================================================================
mark                                      what becomes of it in the release
========================================= ============================================================================
``# TASK 2.1 points=3 needs=1.1: Title``  opens a task; the functions below belong to it
``# HINT text``                           taken out; shown one after the other, on request
``# BEGIN SOLUTION`` ... ``END``          replaced by a stub; ``# BEGIN SOLUTION NO PROMPT`` leaves nothing
``line  # SOLUTION``                      replaced by a stub; ``# SOLUTION NO PROMPT`` leaves nothing
``# MUTANT name: old -> new``             in a solution: a wrong version of the next line, for the self-check
``# BEGIN PROMPT`` ... ``END``            commented lines that stand in the release only, without their comment sign
``# BEGIN TESTS`` ... ``END``             the public checks: a file of their own
``# BEGIN HIDDEN TESTS`` ... ``END``      taken out; used by the grader alone
========================================= ============================================================================

One ``#`` or several begin a mark, so files written for nbgrader (``### BEGIN SOLUTION``) and otter can be read.
"""

from __future__ import annotations

import ast
import copy
import difflib
import io
import re
import tokenize
from types import MappingProxyType
from typing import NamedTuple

_BLOCK = re.compile(r"#+\s*(BEGIN|END) (SOLUTION|PROMPT|TESTS|HIDDEN TESTS)( NO PROMPT)?$")
_LINE = re.compile(r"#+\s*SOLUTION( NO PROMPT)?$")
_TASK = re.compile(r"#+\s*TASK (?P<id>\S+)(?P<options>( \w+=\S+)*): (?P<title>.+)$")
_HINT = re.compile(r"#+\s*HINT (.+)$")
_MUTANT = re.compile(r"#+\s*MUTANT (?P<name>[\w-]+): (?P<old>.+?) -> ?(?P<new>.*)$")
_MEANT = {"TASK": _TASK, "HINT": _HINT, "MUTANT": _MUTANT}  # what begins like one of these must be one
_WORDS = (
    "SOLUTION",
    "TASK",
    "HINT",
    "MUTANT",
    "BEGIN",
    "END",
)  # a comment that begins with nearly such a word is a slip
_CELL = re.compile(r"# %%(?P<markdown> \[markdown\])?")


class Mark(NamedTuple):
    """A block between two marks; ``first`` and ``last`` are the lines of the marks themselves, counted from 0."""

    kind: str  # SOLUTION, PROMPT, TESTS or HIDDEN TESTS
    quiet: bool  # NO PROMPT
    first: int
    last: int
    indent: str


class TaskMark(NamedTuple):
    """A task as it is announced in the file."""

    id: str
    title: str
    points: float
    needs: tuple[str, ...]
    functions: tuple[str, ...]
    hints: tuple[str, ...]


class TextMutant(NamedTuple):
    """A solution with one line changed."""

    name: str
    task: str
    old: str
    new: str
    source: str  # of the whole solution, with the mistake


class Marked:
    """A solution file, read. Nothing of it is run.

    Parameters
    ----------
    source : text of the file
    file : its name, for errors

    Raises
    ------
    ValueError
        A mark is wrong: the message names file and line.

    Examples
    --------
    >>> marked = Marked('''# TASK 1 points=2: Twice
    ... # HINT Add it to itself.
    ... def twice(x):
    ...     # BEGIN SOLUTION
    ...     return x + x
    ...     # END SOLUTION
    ... ''')
    >>> print(marked.skeleton().rstrip())
    # Task 1: Twice (2 points)
    def twice(x):
        # YOUR CODE HERE
        raise NotImplementedError("Task 1: twice")
    >>> marked.tasks[0].hints
    ('Add it to itself.',)
    """

    def __init__(self, source: str, file: str = "solution.py") -> None:
        # Nothing here can be changed: what has been read is handed out again, see authoring.read_marked.
        self.file, self.lines = file, tuple(source.replace("\r\n", "\n").split("\n"))
        try:
            ast.parse(source)
            tokens = list(tokenize.generate_tokens(io.StringIO("\n".join(self.lines)).readline))
        except (SyntaxError, tokenize.TokenError) as error:
            raise ValueError(f"{file} cannot be read as Python: {error}") from None
        self.comments = MappingProxyType(
            {t.start[0] - 1: (t.string, t.start[1]) for t in tokens if t.type == tokenize.COMMENT}
        )
        alone = {k: text.rstrip() for k, (text, n) in self.comments.items() if not self.lines[k][:n].strip()}
        self.alone = MappingProxyType(alone)
        self.statements = MappingProxyType(_statements(tokens))
        self.blocks = tuple(self._blocks())
        inside = {k: block for block in self.blocks for k in range(block.first, block.last + 1)}
        self.inside = MappingProxyType(inside)
        self.prose = frozenset(self._prose())
        for k in self.comments:
            word = re.match(r"#+\s*(TASK|HINT|MUTANT)\b", self._alone(k))
            if word and k not in self.prose and not _MEANT[word[1]].match(self._alone(k)):
                raise self._wrong(k, f"this is no {word[1]} mark as it should be: {self._alone(k)}")
        for k, (comment, _) in self.comments.items():
            word = re.match(r"#+\s*([A-Z]{4,})\b", comment)
            meant = difflib.get_close_matches(word[1], _WORDS, n=1, cutoff=0.75) if word and k not in self.prose else []
            if meant and word[1] != meant[0]:
                raise self._wrong(k, f"{word[1]} is no mark; is {meant[0]} meant?")
        self.tasks = tuple(self._tasks())

    # ---- reading -----------------------------------------------------------------------------------------------------

    def _wrong(self, line: int, what: str) -> ValueError:
        return ValueError(f"{self.file}:{line + 1}: {what}")

    def _alone(self, k: int) -> str:
        """Return the comment that fills a line; "" where there is none, or code before it."""
        return self.alone.get(k, "")

    def _blocks(self) -> list[Mark]:
        blocks: list[Mark] = []
        begun: tuple[int, str, bool] | None = None
        for k in sorted(self.comments):
            found = _BLOCK.match(self._alone(k))
            if not found:
                continue
            word, kind, quiet = found[1], found[2], bool(found[3])
            indent = self.lines[k][: self.comments[k][1]]
            if word == "BEGIN" and begun:
                raise self._wrong(k, f"BEGIN {kind} stands inside BEGIN {begun[1]} of line {begun[0] + 1}")
            if word == "BEGIN":
                if kind == "SOLUTION" and not quiet and not indent:
                    raise self._wrong(k, "a solution outside of a function needs NO PROMPT: a stub there would raise")
                if kind != "SOLUTION" and quiet:
                    raise self._wrong(k, f"NO PROMPT belongs to solutions, not to {kind}")
                begun = (k, kind, quiet)
                continue
            if not begun or begun[1] != kind:
                raise self._wrong(k, f"END {kind} without BEGIN {kind}")
            first, before = begun[0], self.lines[begun[0]][: self.comments[begun[0]][1]]
            if before != indent:
                raise self._wrong(k, f"END {kind} is indented otherwise than BEGIN {kind} in line {first + 1}")
            starts = [j for j in range(first + 1, k) if j in self.statements]
            if out := [j for j in starts if not self.lines[j].startswith(indent)]:
                raise self._wrong(out[0], f"the block of line {first + 1} leaves the function that it began in")
            blocks.append(Mark(kind, begun[2], first, k, indent))
            begun = None
        if begun:
            raise self._wrong(begun[0], f"BEGIN {begun[1]} without END {begun[1]}")
        return blocks

    def _prose(self) -> set[int]:
        """Return the lines of markdown cells; a cell ends with code, and with a mark as well as with the next cell."""
        prose, inside = set(), False
        for k in range(len(self.lines)):
            comment = self._alone(k)
            if cell := _CELL.match(comment):
                inside = bool(cell["markdown"])
            elif k in self.inside or _TASK.match(comment) or re.match(r"[^#\s]|\s+\S", self.lines[k]):
                inside = False
            if inside:
                prose.add(k)
        return prose

    def _tasks(self) -> list[TaskMark]:
        tasks: list[dict] = []
        named = False
        for k, line in enumerate(self.lines):
            comment = self._alone(k)
            if k in self.prose or (k in self.inside and self.inside[k].kind != "TESTS"):
                continue
            if found := _TASK.match(comment):
                options = dict(option.split("=", 1) for option in found["options"].split())
                if unknown := options.keys() - {"points", "needs", "functions"}:
                    raise self._wrong(k, f"a task has points=, needs= and functions=, not {sorted(unknown)[0]}=")
                try:
                    points = float(options.get("points", ""))
                except ValueError:
                    raise self._wrong(k, f"task {found['id']} needs points=, a number") from None
                if any(task["id"] == found["id"] for task in tasks):
                    raise self._wrong(k, f"task {found['id']} is announced a second time")
                needs, functions = (tuple(filter(None, options.get(o, "").split(","))) for o in ("needs", "functions"))
                task = dict(id=found["id"], title=found["title"].strip(), points=points, needs=needs)
                tasks.append({**task, "functions": list(functions), "hints": []})
                named = bool(functions)  # then the functions below are not those of the task
            elif hint := _HINT.match(comment):
                if not tasks:
                    raise self._wrong(k, "a hint before the first task")
                tasks[-1]["hints"].append(hint[1])
            elif tasks and not named and k not in self.inside and (name := re.match(r"def (\w+)", line)):
                tasks[-1]["functions"].append(name[1])
        return [TaskMark(**{n: tuple(v) if isinstance(v, list) else v for n, v in task.items()}) for task in tasks]

    def _task_at(self, line: int) -> TaskMark | None:
        for k in range(line, -1, -1):
            if k not in self.prose and (mark := _TASK.match(self._alone(k))):
                return next(task for task in self.tasks if task.id == mark["id"])
        return None

    def _function_at(self, line: int, indent: str) -> str:
        for k in range(line, -1, -1):
            found = re.match(r"(\s*)(?:async )?def (\w+)", self.lines[k])
            if found and len(found[1]) < len(indent) and k in self.statements:
                return found[2]
        raise self._wrong(line, "a solution that leaves a stub must stand in a function")

    # ---- what is made of it ------------------------------------------------------------------------------------------

    def solution(self) -> str:
        """Return the solution as a student would hand it in: no marks, no checks."""
        return self._text(keep_solution=True)

    def skeleton(self, *, prose: bool = False) -> str:
        """Return what students get: stubs where the solution was.

        Parameters
        ----------
        prose : whether cells and their text stay, for a notebook

        Returns
        -------
        Text of a file.
        """
        return self._text(keep_solution=False, prose=prose)

    def _text(self, *, keep_solution: bool, prose: bool = False) -> str:
        out: list[str] = []
        k = 0
        while k < len(self.lines):
            block, comment = self.inside.get(k), self._alone(k)
            if block is not None:
                out += self._block_text(block, keep_solution)
                k = block.last + 1
                continue
            if k in self.statements and (end := self.statements[k]) in self.comments:
                found = _LINE.match(self.comments[end][0])
                if found:
                    out += self._line_text(k, end, bool(found[1]), keep_solution)
                    k = end + 1
                    continue
            if prose and (k in self.prose or _CELL.match(comment)):
                out.append(self.lines[k])
            elif k in self.prose or _CELL.match(comment) or _HINT.match(comment):
                pass
            elif found := _TASK.match(comment):
                task = self._task_at(k)
                needs = f"; needs {', '.join(task.needs)}" if task.needs else ""
                out.append(f"# Task {task.id}: {task.title} ({task.points:g} points{needs})")
            else:
                out.append(self.lines[k])
            k += 1
        text = re.sub(r"\n{4,}", "\n\n\n", "\n".join(out)).strip() + "\n"
        return text if prose else re.sub(r"\A\n+", "", text)

    def _block_text(self, block: Mark, keep_solution: bool) -> list[str]:
        inner = range(block.first + 1, block.last)
        if block.kind == "SOLUTION" and keep_solution:
            return [self.lines[k] for k in inner if not _MUTANT.match(self._alone(k))]
        if block.kind == "SOLUTION" and not block.quiet:
            return self._stub(block.first, block.indent)
        if block.kind == "PROMPT" and not keep_solution:
            return [re.sub(r"^(\s*)# ?", r"\1", self.lines[k]) for k in inner]
        return []

    def _line_text(self, first: int, last: int, quiet: bool, keep_solution: bool) -> list[str]:
        if keep_solution:
            lines = self.lines[first : last + 1]
            return [*lines[:-1], lines[-1][: self.comments[last][1]].rstrip()]
        if quiet:
            return []
        indent = re.match(r"\s*", self.lines[first])[0]
        name = re.match(r"\s*([\w, ]+?) = ", self.lines[first])
        return [*([f"{indent}# {name[1]} = ..."] if name else []), *self._stub(first, indent)]

    def _stub(self, line: int, indent: str) -> list[str]:
        name, task = self._function_at(line, indent), self._task_at(line)
        label = f"Task {task.id}: {name}" if task else name
        return [f"{indent}# YOUR CODE HERE", f'{indent}raise NotImplementedError("{label}")']

    def checks(self) -> str:
        """Return the public checks as a file of their own, with the table of tasks that they need."""
        table = [
            f"# TASK {task.id} points={task.points:g}"
            + (f" needs={','.join(task.needs)}" if task.needs else "")
            + f" functions={','.join(task.functions)}: {task.title}"
            for task in self.tasks
        ]
        parts = ["\n".join(self.lines[b.first + 1 : b.last]).strip("\n") for b in self.blocks if b.kind == "TESTS"]
        head = [f'"""The public checks of {self.file}. Passing them is not yet the mark: see the page."""']
        table = [f"# FILE {self.file}", *table]
        imports = [
            "\n".join(self.lines[first : last + 1])
            for first, last in self.statements.items()
            if first not in self.inside and re.match(r"(import|from) ", self.lines[first])
        ]
        return "\n\n".join([*head, "\n".join(imports), *parts[:1], "\n".join(table), *parts[1:]]) + "\n"

    def page(self) -> str:
        """Return the text of the markdown cells."""
        lines = ["" if _CELL.match(self.lines[k]) else re.sub(r"^# ?", "", self.lines[k]) for k in sorted(self.prose)]
        return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() + "\n"

    def removed(self) -> list[str]:
        """Return the lines that must be nowhere in a release: of 8 or more characters, blanks not counted."""
        lines: list[str] = []
        for block in self.blocks:
            if block.kind in ("SOLUTION", "HIDDEN TESTS"):
                lines += self.lines[block.first + 1 : block.last]
        for first, last in self.statements.items():
            if last in self.comments and _LINE.match(self.comments[last][0]):
                lines += [*self.lines[first:last], self.lines[last][: self.comments[last][1]]]
        return [" ".join(line.split()) for line in lines if len("".join(line.split())) >= 8]

    def mutants(self) -> list[TextMutant]:
        """Return the wrong solutions that MUTANT comments describe.

        Raises
        ------
        ValueError
            A mutant stands outside the solution of a task, the line after it does not hold what it replaces, or what
            comes out is no Python.
        """
        made = []
        for k in sorted(self.comments):
            found = _MUTANT.match(self._alone(k))
            if not found:
                continue
            task = self._task_at(k)
            inside = self.inside.get(k)
            if task is None or inside is None or inside.kind != "SOLUTION":
                raise self._wrong(k, "a mutant belongs into the solution of a task")
            line = next(j for j in range(k + 1, inside.last + 1) if not self._alone(j) and self.lines[j].strip())
            if found["old"] not in self.lines[line]:
                raise self._wrong(k, f"the line after mutant {found['name']} does not contain {found['old']!r}")
            # One line of a solution is another: no mark moves, so the file need not be read anew.
            changed = copy.copy(self)
            with_bug = self.lines[line].replace(found["old"], found["new"], 1)
            changed.lines = (*self.lines[:line], with_bug, *self.lines[line + 1 :])
            source = changed.solution()
            try:
                ast.parse(source)
            except SyntaxError as error:
                raise self._wrong(k, f"mutant {found['name']} cannot be read as Python: {error.msg}") from None
            made.append(TextMutant(found["name"], task.id, found["old"], found["new"], source))
        return made


def _statements(tokens: list[tokenize.TokenInfo]) -> dict[int, int]:
    """Return first line -> last line of every logical line."""
    spans: dict[int, int] = {}
    first = None
    for token in tokens:
        if token.type in (tokenize.COMMENT, tokenize.NL, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER):
            continue
        if token.type == tokenize.NEWLINE:
            if first is not None:
                spans[first] = token.start[0] - 1
            first = None
        elif first is None:
            first = token.start[0] - 1
    return spans

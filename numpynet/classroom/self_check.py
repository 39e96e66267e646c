"""The self-check of a build: what must be true of an assignment before anybody gets it.

The solution earns everything; the skeleton nothing, without a crash; every wrong solution that is known loses points in
its own task; no line of the solution is in the release; making the skeleton again changes nothing.
"""

from __future__ import annotations

import ast
import functools
import json
import tempfile
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from numpynet.classroom.authoring import CHECKS_FILE
from numpynet.classroom.markers import Marked
from numpynet.classroom.practice import TaskResult, check_all, check_task, passes
from numpynet.classroom.release import release_files
from numpynet.classroom.task import Assignment, Task, load_assignment
from numpynet.conformance.contract import MASK_FUNCTIONS, TICKET_FUNCTIONS, Subject
from numpynet.conformance.mutants import MASK_MUTANTS, TICKET_MUTANTS
from numpynet.gradcheck import MUTANTS, ZOO
from numpynet.gradcheck.pairs import NEEDS

SECONDS = 3.0 / 4  # a public check should be done in a quarter of the time that grading allows


class Wrong(NamedTuple):
    """An implementation that is known to be wrong, and the tasks of which one should notice."""

    name: str
    tasks: tuple[str, ...]
    subject: Subject


def subject_from(source: str, assignment: Assignment) -> Subject:
    """Run a source and return the functions of the assignment in it.

    Parameters
    ----------
    source : of a Python file; it is run here, so it must be the teacher's
    assignment : whose functions are looked for

    Returns
    -------
    Subject, not trusted

    Examples
    --------
    >>> list(subject_from("def sample_mask(rng, shape, keep_prob): ...", load_assignment("dropout")).functions)
    ['sample_mask']
    """
    module = types.ModuleType(assignment.name)
    exec(compile(source, assignment.file, "exec", dont_inherit=True), module.__dict__)
    functions = {name: module.__dict__[name] for name in assignment.functions if name in module.__dict__}
    return Subject(assignment.file, functions, trusted=False)


def wrong_ones(marked: Marked, assignment: Assignment) -> Iterator[Wrong]:
    """Yield the wrong solutions that concern an assignment: its own mutants, the bug zoo, mutants of masks and tickets.

    Parameters
    ----------
    marked : the solution file, read
    assignment : that was made of it

    Yields
    ------
    Implementations that a check of their tasks should find wrong.

    Examples
    --------
    >>> from numpynet.classroom.authoring import read_marked
    >>> dropout = load_assignment("dropout")
    >>> [w.name for w in wrong_ones(read_marked(dropout.solution), dropout)][:2]
    ['drop-for-keep', 'no-scale']
    """
    for mutant in marked.mutants():
        yield Wrong(mutant.name, (mutant.task,), subject_from(mutant.source, assignment))
    solution = subject_from(marked.solution(), assignment)
    task_of = {function: task.id for task in assignment.tasks for function in task.functions}
    for bug in (*ZOO, *MUTANTS):
        functions = NEEDS.get(bug.pair, ("network_loss",))
        if bug.plant is None or not set(functions) <= task_of.keys():
            continue
        planted = bug.plant()
        # Forward and backward together: a cache of the one is no cache for the other.
        wrong = {name: getattr(planted, name) for name in functions}
        if all(f is not None for f in wrong.values()):
            yield Wrong(
                f"bug {bug.id} ({bug.name})", tuple({task_of[name] for name in functions}), solution.having(**wrong)
            )
    # What is wrong with a ticket may show only on its way: any task about tickets may notice.
    of_tickets = tuple(dict.fromkeys(task_of[name] for name in TICKET_FUNCTIONS if name in task_of))
    for mutant in (*MASK_MUTANTS, *TICKET_MUTANTS):
        if mutant.task not in task_of:
            continue
        planted = mutant.plant()
        if mutant.task in MASK_FUNCTIONS:
            yield Wrong(mutant.id, (task_of[mutant.task],), solution.having(**{mutant.task: mutant.make()}))
            continue
        for optimizer in ("momentum", "adam") if "begin_ticket" in task_of else ():
            tickets = {name: planted.functions[name] for name in TICKET_FUNCTIONS if name in task_of}
            tickets["begin_ticket"] = functools.partial(tickets["begin_ticket"], optimizer=optimizer)
            yield Wrong(f"{mutant.id} ({optimizer})", of_tickets, solution.having(**tickets))


def problems(marked: Marked, assignment: Assignment, tell: Callable[[str], None] = lambda line: None) -> list[str]:
    """Return what is wrong with an assignment; an empty list means that it can be given out.

    Parameters
    ----------
    marked, assignment : the solution file
    tell : called with a line for each thing that holds

    Returns
    -------
    A line for each problem.

    Examples
    --------
    >>> from numpynet.classroom.authoring import read_marked
    >>> dropout = load_assignment("dropout")
    >>> problems(read_marked(dropout.solution), dropout)
    []
    """
    found: list[str] = []
    files = release_files(marked, assignment)
    started = time.perf_counter()
    results = list(check_all(assignment, subject_from(marked.solution(), assignment), 0))
    seconds = time.perf_counter() - started
    for result in results:
        found += [f"the solution does not pass task {result.task.id}: {result.finding}"] * (result.status != "pass")
    tell(f"solution: {_points(results):g} of {assignment.points:g} points in {seconds:.2f} s")
    found += _of_skeleton(marked, assignment, tell)
    found += _of_release(marked, assignment, files, tell)
    if not found:
        found += _of_mutants(marked, assignment, tell)
    return found


def _points(results: list[TaskResult]) -> float:
    return sum(check.points for result in results for check in result.checks)


def _of_skeleton(marked: Marked, assignment: Assignment, tell: Callable[[str], None]) -> list[str]:
    text = marked.skeleton()
    try:
        again = Marked(text, assignment.file).skeleton()
        subject = subject_from(text, assignment)
    except Exception as error:  # it is the teacher's code; whatever it raises is the answer
        return [f"the skeleton cannot be run: {type(error).__name__}: {error}"]
    found = [] if again == text else ["making a skeleton of the skeleton changes it: a mark was left"]
    # What needs an earlier task is tried all the same: a solution that was left in must not hide behind that.
    results = [check_task(task, subject, 0) for task in assignment.tasks]
    found += [f"{name} has no stub in the skeleton: is a mark missing?" for name in _without_stub(text, assignment)]
    for result in results:
        if result.status not in ("wait", "skip") or any(c.status not in ("wait", "skip") for c in result.checks):
            found.append(f"task {result.task.id} of the skeleton is {result.status}, and should wait: {result.finding}")
    waits = "" if found else ", every task waits"
    tell(f"skeleton: {_points(results):g} points{waits}")
    return found


def _without_stub(skeleton: str, assignment: Assignment) -> list[str]:
    """Return the functions of the tasks that raise no NotImplementedError."""
    return [
        node.name
        for node in ast.parse(skeleton).body
        if isinstance(node, ast.FunctionDef) and node.name in assignment.functions
        if not any(
            isinstance(part, ast.Raise) and "NotImplementedError" in ast.unparse(part) for part in ast.walk(node)
        )
    ]


def _of_release(
    marked: Marked, assignment: Assignment, files: dict[str, str], tell: Callable[[str], None]
) -> list[str]:
    found = []
    removed = marked.removed()
    for name, text in files.items():
        texts = [text]
        if name.endswith(".ipynb"):
            texts = ["".join(cell["source"]) for cell in json.loads(text)["cells"]]
        squeezed = [" ".join(t.split()) for t in texts]
        for line in removed:
            if any(line in t for t in squeezed):
                found.append(f"a line of the solution is in {name}: {line}")
    tell(f"release: {len(files)} files, none of the {len(removed)} lines of the solution in them")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, CHECKS_FILE)
        path.write_text(files[CHECKS_FILE], encoding="utf-8")
        try:
            public = load_assignment(str(path))
        except ValueError as error:
            return [*found, f"the public checks cannot be used: {error}"]
    if public.functions != assignment.functions:
        found.append("the public checks are of other functions than the assignment")
    slowest = (0.0, "")
    subject = subject_from(marked.solution(), assignment)
    for task in public.tasks:
        for check in task.checks:
            started = time.perf_counter()
            report = check.run(subject, 0)
            slowest = max(slowest, (time.perf_counter() - started, f"{task.id} {check.name}"))
            found += [f"the solution does not pass the public check {check.name} of {task.id}"] * (not report.passed)
    public_points = sum(task.points for task in public.tasks)
    slow = ", which is slow" if slowest[0] > SECONDS else ""
    tell(f"public checks: {public_points:g} points; the slowest, {slowest[1]}, takes {slowest[0]:.2f} s{slow}")
    return found


def _of_mutants(marked: Marked, assignment: Assignment, tell: Callable[[str], None]) -> list[str]:
    tasks: dict[str, Task] = {task.id: task for task in assignment.tasks}
    survivors: dict[str, str] = {}
    n = 0
    for wrong in wrong_ones(marked, assignment):
        n += 1
        if all(passes(tasks[id], wrong.subject, 0) for id in wrong.tasks):
            survivors[wrong.name] = " and ".join(sorted(wrong.tasks))
    killed_under = _optimizers(survivors, marked, assignment)
    left = {name: task for name, task in survivors.items() if name not in killed_under}
    tell(f"wrong solutions: {n}, of which {n - len(left)} lose points in their own task")
    return [f"a wrong solution, {name}, passes task {task}" for name, task in left.items()]


def _optimizers(survivors: dict[str, str], marked: Marked, assignment: Assignment) -> set[str]:
    """Return those that survive with one optimizer only: a mistake with Adam's count of steps is none with momentum."""
    both = {name.rpartition(" (")[0] for name in survivors}
    whole = {b for b in both if {f"{b} (momentum)", f"{b} (adam)"} <= survivors.keys()}
    pairs = {name for name in survivors if name.endswith(("(momentum)", "(adam)"))}
    return {name for name in pairs if name.rpartition(" (")[0] not in whole}

"""The work behind ``numpynet check``: a file of anybody's, checked, with one block of text for each layer.

Layers go through the gradient check, from the loss backwards; functions of masks and tickets through the laws of the
conformance suite. What the file prints goes to the error stream, so that the output is the report and nothing else.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
import sys
from collections import Counter
from collections.abc import Sequence

from numpynet.conformance.contract import CONTRACT, LAYER_FUNCTIONS, Subject
from numpynet.conformance.laws import Law, text_of
from numpynet.conformance.layer_laws import STAGE_LAWS, VALUE_LAWS
from numpynet.conformance.mask_laws import MASK_LAWS
from numpynet.conformance.subject import load_subject
from numpynet.conformance.suite import sizes_of
from numpynet.conformance.ticket_laws import TICKET_LAWS
from numpynet.gradcheck import STRANGERS, Report, Sizes, check_layers, check_pair
from numpynet.gradcheck.pairs import NEEDS, WIRED
from numpynet.storage import write_bytes

N_SEEDS = 3  # draws for each law of masks and tickets


def run_check(
    file: str | os.PathLike,
    *,
    task: str | None = None,
    detail: str = "cause",
    as_json: bool = False,
    seed: int = 0,
    shape: Sequence[int] | None = None,
    figure: str | os.PathLike | None = None,
) -> int:
    """Check a file and print what was found.

    Parameters
    ----------
    file : path of a .py file, or dotted name of a module
    task : the name of one layer ("linear") or function ("linear_backward", "prune"); None checks all there are
    detail : "off", "where", "ratio" or "cause"
    as_json : print JSON instead of text
    seed, shape : of the draws; (N, d_in, d_out, K)
    figure : where to draw the first wrong gradient, a PNG

    Returns
    -------
    The exit code: 1 if something is wrong, else 0, also where functions are not written yet.

    Raises
    ------
    ValueError
        The file cannot be imported or holds nothing to check, or there is no such task.

    Examples
    --------
    >>> run_check("numpynet.conformance.reference", task="prune")
    PASS  prune: 6 laws hold
    <BLANKLINE>
    1 passed
    0
    """
    sizes = None if shape is None else Sizes(*shape)
    subject = load_subject(file)
    with contextlib.redirect_stdout(sys.stderr):
        reports = check_subject(subject, task=task, seed=seed, sizes=sizes)
    wrong = [report for report in reports if report.status in ("fail", "error")]
    if as_json:
        status = "fail" if wrong else "pass" if any(report.passed for report in reports) else "wait"
        document = {"version": 1, "file": os.fspath(file), "status": status}
        print(json.dumps(document | {"reports": [r.to_dict(detail) for r in reports]}, indent=2, allow_nan=False))
    else:
        for report in reports:
            print(text_of(report, detail))
        print(f"\n{_counted(reports)}")
    if figure is not None:
        _draw(wrong, figure)
    return 1 if wrong else 0


def check_subject(
    subject: Subject, *, task: str | None = None, seed: int = 0, sizes: Sizes | None = None
) -> list[Report]:
    """Check what an implementation defines: layers from the loss backwards, then masks and tickets.

    Parameters
    ----------
    subject : of ``subject_of`` or ``load_subject``
    task : the name of a layer or of a function, None for all
    seed, sizes : of the draws

    Returns
    -------
    A ``Report`` for each layer and each function that was checked.

    Raises
    ------
    ValueError
        There is no such task, or not in this implementation.

    Examples
    --------
    >>> [report.message for report in check_subject(Subject("mine.py", {"prune_count": lambda rate, alive: 1}))]
    ['count: 0.2 of 235200: 47040 should go, but it says 1']
    """
    pair, function = _what(subject, task)
    reports: list[Report] = []
    if pair is not None or task is None:
        reports += _layers(subject, pair, seed, sizes)
    for stranger in subject.pairs:
        if task in (None, stranger.name):
            report = check_pair(stranger, seed=seed, sizes=sizes, stages=STRANGERS, file=subject.file)
            reports.append(report)
    for name in CONTRACT:
        if name in subject.functions and name not in LAYER_FUNCTIONS and function in (None, name) and pair is None:
            laws = [law for law in (*MASK_LAWS, *TICKET_LAWS) if name in (law.tasks if task else _first(law, subject))]
            if laws:
                reports.append(_lawful(subject, name, laws, seed, sizes))
    return reports


def _first(law: Law, subject: Subject) -> list[str]:
    """Return the first function that a law is about and that is there: it is reported under this name alone."""
    return [task for task in law.tasks if task in subject.functions][:1]


def _what(subject: Subject, task: str | None) -> tuple[str | None, str | None]:
    """Return (pair, function) that a task means, one of them None; both are None for all tasks and for PAIRS."""
    if task is None:
        return None, None
    by_function = {f: pair for pair, functions in reversed(NEEDS.items()) for f in functions}
    by_function["network_loss"] = "network"
    there = [
        pair
        for pair, (forward, backward) in NEEDS.items()
        if backward in subject.functions or (forward in subject.functions and by_function[forward] == pair)
    ]
    can_be_wired = all(function in subject.functions for function in WIRED)
    there += ["network"] if "network_loss" in subject.functions or can_be_wired else []
    if task in subject.functions:
        return (by_function[task], None) if task in by_function else (None, task)
    if task in there:
        return task, None
    if task in [pair.name for pair in subject.pairs]:
        return None, task
    known = [*there, *(pair.name for pair in subject.pairs), *(f for f in subject.functions if f not in by_function)]
    if task in CONTRACT or task in NEEDS or task == "network":
        raise ValueError(f"{subject.file} defines nothing for the task {task}; it has {', '.join(known)}")
    raise ValueError(f"there is no task {task!r}; {subject.file} has {', '.join(known)}")


def _layers(subject: Subject, pair: str | None, seed: int, sizes: Sizes | None) -> list[Report]:
    """Check the layers, or one of them; where the backward pass is not written yet, the forward pass alone."""
    if not any(name in LAYER_FUNCTIONS for name in subject.functions):
        return []
    if set(subject.functions) & {"mask_gradients", "linear_forward"} == {"mask_gradients"}:
        message = "linear_forward is not there, whose cache it needs"
        lonely = Report("skip", "mask_gradients", "mask_gradients", message=message, file=subject.file, seed=seed)
        rest = subject._replace(functions={n: f for n, f in subject.functions.items() if n != "mask_gradients"})
        return [lonely] + ([] if pair == "mask_gradients" else _layers(rest, pair, seed, sizes))
    reports = check_layers(subject.layers, seed=seed, sizes=sizes, only=pair, file=subject.file)
    for k, report in enumerate(reports):
        if report.layer not in NEEDS or report.status in ("fail", "error"):
            continue
        forward, _ = NEEDS[report.layer]
        laws = [] if report.passed else [law for law in STAGE_LAWS if law.tasks == law.needs == (forward,)]
        laws += [law for law in VALUE_LAWS if law.tasks[0] == forward]
        drawn = Sizes(*report.shape) if report.shape else sizes or sizes_of(seed)
        found = [law.report(subject, seed, drawn) for law in laws]
        wrong = [r for r in found if r.status in ("fail", "error")]
        if wrong:
            reports[k] = wrong[0]
        elif not report.passed and any(r.passed for r in found):
            report.message += f" ({forward} is right)"
    return reports


def _lawful(subject: Subject, name: str, laws: Sequence[Law], seed: int, sizes: Sizes | None) -> Report:
    """Put the laws about one function to an implementation; the first that is broken is the answer."""
    draws = [(seed, sizes)] if sizes else [(s, sizes_of(s)) for s in range(seed, seed + N_SEEDS)]
    reports = [[law.report(subject, *draw) for draw in draws] for law in laws]
    for status in ("fail", "error", "wait"):
        for report in itertools.chain(*reports):
            if report.status == status:
                return report
    n_held = sum(all(report.passed for report in of_one_law) for of_one_law in reports)
    parts = [f"{n_held} {'law holds' if n_held == 1 else 'laws hold'}"] if n_held else []
    missing = dict.fromkeys(report.message for report in itertools.chain(*reports) if report.status == "skip")
    if missing:
        parts.append(f"{'not tried: ' if n_held else ''}{', '.join(missing)}")
    status = "pass" if n_held else "skip"
    return Report(status, name, name, kind="law", message="; ".join(parts), file=subject.file, seed=seed)


def _counted(reports: Sequence[Report]) -> str:
    """Return how many there are of each kind, in words."""
    words = {"pass": "passed", "fail": "failed", "error": "raised an error", "wait": "waiting", "skip": "skipped"}
    counts = Counter(report.status for report in reports)
    return ", ".join(f"{counts[status]} {word}" for status, word in words.items() if counts[status])


def _draw(wrong: Sequence[Report], path: str | os.PathLike) -> None:
    """Draw the first report that is about the entries of an array."""
    for report in wrong:
        if report.analytic_array is not None:
            buffer = io.BytesIO()
            report.figure().savefig(buffer, format="png", dpi=150)
            write_bytes(path, buffer.getvalue())
            return
    print(f"numpynet: no figure was drawn, because {'no gradient' if wrong else 'nothing'} is wrong", file=sys.stderr)

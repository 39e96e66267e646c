"""What a student may read of a result: where it is wrong, how much, and why; no input, no right value, no right code.

A report of the gradient check says more: seeds, single numbers, a command that repeats it. Those stay in the teacher's
record. Messages of exceptions come from the student's process and could carry the inputs out; only those that look like
what Python and NumPy say are passed on.
"""

from __future__ import annotations

import builtins
import re
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from numpynet.classroom.task import CheckResult
from numpynet.gradcheck.report import DETAILS, Report
from numpynet.report import page, paragraph, section, table

# Messages of Python and NumPy that help, and hold names, shapes and small numbers only.
_PART = r"(?:<\w{1,20}>|[^\W\d]\w{0,39})"
_NAME, _SHAPE = rf"'?{_PART}(?:\.{_PART}){{0,4}}'?(\(\))?", r"\([\d,? ]*\)"
_KNOWN = [
    rf"operands could not be broadcast together with shapes ({_SHAPE} ?)+",
    r"operands could not be broadcast together with remapped shapes[\d \[\](),>a-z-]{0,80}",
    rf"non-broadcastable output operand with shape {_SHAPE} doesn't match the broadcast shape {_SHAPE}",
    r"matmul: Input operand \d has a mismatch in its core dimension \d, with gufunc signature \(n\?,k\),\(k,m\?\)->\(n\?,m\?\) \(size \d{1,4} is different from \d{1,4}\)",
    rf"shapes {_SHAPE} and {_SHAPE} not aligned: \d+ \(dim \d\) != \d+ \(dim \d\)",
    rf"cannot reshape array of size \d{{1,6}} into shape {_SHAPE}",
    r"index -?\d{1,4} is out of bounds for axis \d with size \d{1,4}",
    r"axis -?\d is out of bounds for array of dimension \d",
    rf"name {_NAME} is not defined",
    rf"{_NAME} object is not (callable|iterable|subscriptable)",
    rf"{_NAME} object has no attribute {_NAME}",
    rf"module {_NAME} has no attribute {_NAME}",
    rf"{_NAME} (missing|takes) [\w ]{{0,30}}arguments?[\w :,'()]{{0,60}}",
    rf"{_NAME} missing \d+ required keyword-only arguments?: {_NAME}",
    rf"{_NAME} got an unexpected keyword argument {_NAME}",
    rf"unsupported operand type\(s\) for [^\w\s]{{1,4}}: {_NAME} and {_NAME}",
    r"(too many|not enough) values to unpack \(expected \d+(, got \d+)?\)",
    rf"cannot unpack non-iterable {_NAME} object",
    r"(float |integer )?division (or modulo )?by zero",
    r"maximum recursion depth exceeded[a-z ]{0,60}",
    rf"No module named {_NAME}",
    r"[a-z]{1,20} is not there: the layers are to be written with NumPy alone",
    r"can't start new thread",
    r"(Unable to allocate [\w. (),-]{0,80}|)",
]
# Words that a message may have though they are not in the student's file: of the patterns, of Python and of NumPy.
_COMMON = {*re.findall(r"[^\W\d]\w*", " ".join(_KNOWN)), *dir(builtins), *dir(np)} | {
    "numpy", "NoneType", "function", "method", "module", "builtin_function_or_method", "generator",
}  # fmt: skip
_ARRAY_OF = re.compile(r"array_of_[a-z]{1,10}\d{0,3}")
KNOWN_MESSAGE = re.compile("|".join(f"(?:{pattern})" for pattern in _KNOWN))
KNOWN_EXCEPTIONS = {
    name for name, kind in vars(builtins).items() if isinstance(kind, type) and issubclass(kind, BaseException)
}
KNOWN_EXCEPTIONS |= {"AxisError", "LinAlgError", "UFuncTypeError", "_UFuncNoLoopError", "_ArrayMemoryError", "error"}
_RAISED = re.compile(
    r"(?P<what>[\w ]{1,60}?) raised (?P<type>\w{1,60}): (?P<message>.*?)(?P<line> \(line \d+ of [\w.]+\))?", re.DOTALL
)
_NUMBER = re.compile(r"-?\d+\.\d+(e[-+]?\d+)?|\b\d+(?= should go)")  # inputs, and what is right
_LONG = re.compile(
    r"(?<![\d.])\d{5,}(?![\d.])"
)  # no size of a layer: a shape of these could be an input, digit by digit

WORDS = {
    "pass": "passed",
    "fail": "wrong",
    "error": "raised an error",
    "wait": "not written yet",
    "skip": "not tried",
    "timeout": "took too long",
    "crash": "crashed",
}


def words_in(*sources: bytes) -> frozenset[str]:
    """Return the words of some files, which may be repeated to their author.

    Parameters
    ----------
    *sources : contents of files

    Returns
    -------
    Runs of letters, digits and _.

    Examples
    --------
    >>> sorted(words_in(b"y_1 = x.T"))
    ['T', 'x', 'y_1']
    """
    return frozenset(word for source in sources for word in re.findall(r"\w+", source.decode("utf-8", "replace")))


def is_said(word: str, words: Collection[str]) -> bool:
    """Whether a word comes from the student's file, from Python or from NumPy, so that it carries nothing.

    Parameters
    ----------
    word : of a message
    words : of the student's file

    Returns
    -------
    True if it may be repeated.

    Examples
    --------
    >>> is_said("ndarray", ()), is_said("x0_433933", {"x0"})
    (True, False)
    """
    return word in words or word in _COMMON or bool(_ARRAY_OF.fullmatch(word))


def student_text(result: CheckResult, detail: str, words: Collection[str] | None = None) -> str:
    """Return what a student reads of one check.

    Parameters
    ----------
    result : of a check
    detail : "off", "where", "ratio" or "cause"
    words : of the student's file; a message with others is left out, unless this is None

    Returns
    -------
    Text; empty where there is nothing to say.

    Examples
    --------
    >>> report = Report("fail", "relu", "relu", kind="gradient", array="dz", n_wrong=3, n_entries=9, index=(1, 2), seed=7)
    >>> student_text(CheckResult("gradients", "fail", 0, 3, report), "where")
    'dz is wrong in 3 of 9 entries; the worst is [1, 2]'
    """
    level = DETAILS.index(detail)
    if result.status == "pass" or level == 0:
        return ""
    if result.status == "wait":
        return "not written yet"
    if result.report is None:
        return result.message
    return _told(result.report, level, words)


def _told(report: Report, level: int, words: Collection[str] | None) -> str:
    if report.status == "error" or report.kind.startswith("raised"):
        text = _error(report.message, words)
    elif report.kind == "law":
        name, _, message = report.message.partition(": ")
        text = name if level == 1 or not message else f"{name}: {_NUMBER.sub('#', message)[:300]}"
    else:
        text = report.headline()[:300]
    text = _LONG.sub("#", text)
    if report.kind in ("gradient", "forward") and report.index:
        text += f"; the worst is [{', '.join(map(str, report.index))}]"
    if level >= 2:
        if report.support:
            text += f"; {report.support}"
        if report.n_spurious:
            text += f"; {report.n_spurious} are not 0, and should be"
        if report.n_missing:
            text += f"; {report.n_missing} are 0, and should not be"
        one_factor = report.ratio is not None and abs(report.ratio - 1) > 1e-4
        if one_factor and not report.n_spurious and not report.n_missing:
            text += f"; yours is {report.ratio:.4f} times the right one"
            if level >= 3 and report.factor:
                text += f", and that is {report.factor.replace('q', 'keep_prob')}"
    if level >= 3 and report.causes:
        text += f". Most likely: {report.causes[0].text}"
    return text


def _error(message: str, words: Collection[str] | None) -> str:
    """Return an error with its type and line, and with its message where that is one of Python's or NumPy's."""
    found = _RAISED.fullmatch(message)
    if not found:
        return "it raised an error"
    line = found["line"] or ""
    kind = found["type"] if found["type"] in KNOWN_EXCEPTIONS else "an exception of your own"  # a name may say anything
    return f"{found['what']} raised {kind}{safe_message(found['message'], words)}{line}"


def safe_message(message: str, words: Collection[str] | None = None) -> str:
    """Return ": message" where the message is one of those that carry nothing, else nothing.

    Parameters
    ----------
    message : of an exception in the student's code
    words : of the student's file; a message with others is left out, unless this is None

    Returns
    -------
    Text, to be put behind the name of the exception.

    Examples
    --------
    >>> safe_message("name 'np' is not defined"), safe_message("[0.3 0.1]")
    (": name 'np' is not defined", '')
    """
    message = message.partition("; it is called as ")[0]
    if not message or not KNOWN_MESSAGE.fullmatch(message):
        return ""
    parts = re.findall(r"\w+", message)
    numbers = [part for part in parts if part.isdigit()]
    carries = len(numbers) > 12 or max(map(len, numbers), default=0) > 6
    if words is not None:
        carries = carries or not all(part.isdigit() or is_said(part, words) for part in parts)
    return "" if carries else f": {message}"


def feedback_page(record: Mapping[str, Any], detail: str, notes: list[str]) -> str:
    """Return the page of one submission.

    Parameters
    ----------
    record : of the submission
    detail : how much to say
    notes : the convention of the course, in words

    Returns
    -------
    A whole HTML document.

    Examples
    --------
    >>> record = {"title": "Warm-up", "submission": "ann", "status": "ungradable", "message": "the file is empty",
    ...           "score": 0, "max_score": 20, "tasks": []}
    >>> "The file is empty" in feedback_page(record, "cause", [])
    True
    """
    sections = []
    if notes:
        sections.append(section("The convention of this course", *(paragraph(note) for note in notes)))
    for task in record["tasks"]:
        rows = [
            (
                check["name"],
                WORDS[check["status"]],
                f"{check['points']:g} of {check['max_points']:g}" if check["max_points"] else "none to earn",
                check["feedback"][detail],
            )
            for check in task["checks"]
        ]
        heading = f"Task {task['id']}: {task['title']}, {task['points']:g} of {task['max_points']:g} points"
        sections.append(section(heading, table(("check", "result", "points", "what was found"), rows)))
    intro = f"{record['submission']}: {record['score']:g} of {record['max_score']:g} points."
    if record["message"]:
        intro += f" {record['message'][0].upper()}{record['message'][1:]}."
    return page(record["title"], intro, sections)

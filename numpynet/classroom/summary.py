"""The class on one page: how the marks lie, which tasks and which bugs, and what a teacher should look at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from numpynet.figures import COLOURS, new_figure, png_bytes
from numpynet.report import figure, page, paragraph, section, table

ALIKE = 0.8  # from here on two files are worth a look


def summary_page(title: str, records: Sequence[Mapping[str, Any]]) -> str:
    """Return the page of a class.

    Parameters
    ----------
    title : of the assignment
    records : of all submissions, with "similarity" and "similar_to"

    Returns
    -------
    A whole HTML document.

    Examples
    --------
    >>> "There are no submissions." in summary_page("Warm-up", [])
    True
    """
    if not records:
        return page(title, "There are no submissions.", [])
    scores = np.array([record["score"] for record in records])
    best = records[0]["max_score"]
    intro = (
        f"{len(records)} submissions, {best:g} points to earn; mean {scores.mean():.2f}, median {np.median(scores):g}, "
        f"from {scores.min():g} to {scores.max():g}."
    )
    sections = [
        section("Marks", figure(marks_figure(scores, best), "How many submissions earned how many points.")),
        section("Status", table(("status", "submissions"), Counter(r["status"] for r in records).most_common())),
    ]
    outline = records[0]["outline"]
    rows, shares = [], {}
    for task_id, points in outline:
        entries = [task for record in records for task in record["tasks"] if task["id"] == task_id]
        earned = sum(task["points"] for task in entries) / (points * len(records)) if points else 0.0
        states = Counter(task["status"] for task in entries)
        shares[task_id] = earned
        title_of = entries[0]["title"] if entries else ""
        rows.append(
            (task_id, title_of, f"{earned:.0%}", *(states[s] for s in ("pass", "fail", "error", "wait", "timeout")))
        )
    header = ("task", "title", "points earned", "passed", "wrong", "error", "not written", "too long")
    text = "The share of its points that the class earned, task by task."
    sections.append(section("Tasks", figure(tasks_figure(shares), text), table(header, rows)))
    causes = Counter(cause for record in records for cause in causes_of(record))
    if causes:
        bugs = causes.most_common(12)
        text = "How many submissions have it; only bugs that the diagnosis could name."
        rows = [(chr(ord("A") + k), count, what) for k, (what, count) in enumerate(bugs)]
        sections.append(
            section("Bugs", figure(bugs_figure(rows), text), table(("bug", "submissions", "most likely"), rows))
        )
    sections.append(section("To look at", *_look_at(records)))
    return page(title, intro, sections)


def causes_of(record: Mapping[str, Any]) -> list[str]:
    """Return the bugs that were named in a submission, each once.

    Parameters
    ----------
    record : of a submission

    Returns
    -------
    Texts, in the order of the checks.

    Examples
    --------
    >>> causes_of({"tasks": [{"checks": [{"cause_text": "no transpose"}, {"cause_text": ""}, {"cause_text": "no transpose"}]}]})
    ['no transpose']
    """
    texts = [check["cause_text"] for task in record["tasks"] for check in task["checks"] if check["cause_text"]]
    return list(dict.fromkeys(texts))


def marks_figure(scores: np.ndarray, best: float) -> bytes:
    """Return a histogram of marks as a PNG.

    Parameters
    ----------
    scores : (n,) points of each submission
    best : points to earn

    Returns
    -------
    The bytes of a PNG file.

    Examples
    --------
    >>> marks_figure(np.array([1.0, 2.0]), 4)[1:4]
    b'PNG'
    """
    picture, (ax,) = new_figure()
    ax.hist(scores, bins=np.linspace(0, max(best, 1), 11), color=COLOURS[0], edgecolor="white")
    ax.set(xlabel="points", ylabel="submissions")
    return png_bytes(picture)


def tasks_figure(shares: Mapping[str, float]) -> bytes:
    """Return a bar for each task as a PNG.

    Parameters
    ----------
    shares : id of a task -> share of its points that the class earned, 0 to 1

    Returns
    -------
    The bytes of a PNG file.

    Examples
    --------
    >>> tasks_figure({"1": 0.5})[1:4]
    b'PNG'
    """
    picture, (ax,) = new_figure()
    ax.bar(list(shares), [100 * share for share in shares.values()], color=COLOURS[2])
    ax.set(xlabel="task", ylabel="points earned (%)", ylim=(0, 100))
    return png_bytes(picture)


def bugs_figure(rows: Sequence[tuple[str, int, str]]) -> bytes:
    """Return a bar for each bug as a PNG; the letters are explained in the table beside it.

    Parameters
    ----------
    rows : letter, submissions, text of each bug

    Returns
    -------
    The bytes of a PNG file.

    Examples
    --------
    >>> bugs_figure([("A", 3, "everything is counted twice")])[1:4]
    b'PNG'
    """
    picture, (ax,) = new_figure()
    ax.bar([letter for letter, _, _ in rows], [count for _, count, _ in rows], color=COLOURS[1])
    ax.set(xlabel="bug", ylabel="submissions")
    return png_bytes(picture)


def _look_at(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what is worth a teacher's look: no verdicts."""
    rows = []
    for record in records:
        reasons = list(record["flags"])
        if record["shipped"] >= ALIKE:
            reasons.append(f"{record['shipped']:.0%} of it is like what numpynet ships")
        if record["similarity"] >= ALIKE:
            reasons.append(f"{record['similarity']:.0%} alike: {record['similar_to']}")
        if record["status"] == "grader_error":
            reasons.append(record["message"])
        if reasons:
            rows.append((record["submission"], "; ".join(reasons)))
    hint = "Short right solutions are alike by nature; what a file reaches for may be harmless."
    return [paragraph(hint, quiet=True), table(("submission", "why"), rows) if rows else paragraph("Nothing.")]

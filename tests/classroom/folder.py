"""The folder of submissions: what each file says is expected of it, and the code that it stands beside."""

import re
from pathlib import Path
from typing import NamedTuple

from numpynet.classroom.task import Assignment, load_assignment

FOLDER = Path(__file__).with_name("submissions")
WARMUP = load_assignment("warmup")
HONEST = WARMUP.solution.read_text(encoding="utf-8")
ZEROS = """
def linear_forward(x, W, b, **constants):
    return 0 * (x @ W), (x, W, b)


def linear_backward(dy, cache):
    return tuple(0 * a for a in cache)


def dropout_forward(h, **constants):
    return 0 * h, h


def dropout_backward(dy, cache):
    return 0 * dy
"""


class Case(NamedTuple):
    name: str
    assignment: Assignment
    status: str
    score: float
    cause: str
    source: bytes


def read_case(path: Path) -> Case:
    """One file: comments at its head say what is expected, and what is put before or after it."""
    text = path.read_text(encoding="utf-8")
    head = {}
    for line in text.splitlines():
        name, colon, value = line.removeprefix("# ").partition(": ")
        if not line.startswith("# ") or not colon or name not in ("expect", "base", "cause", "assignment"):
            break
        head[name] = value
    assignment = load_assignment(head.get("assignment", "warmup"))
    honest = re.sub("# BEGIN TESTS.*?# END TESTS", "", assignment.solution.read_text(encoding="utf-8"), flags=re.DOTALL)
    base = {"honest": ("", honest), "honest first": (honest, ""), "zeros": ("", ZEROS)}.get(head.get("base"), ("", ""))
    status, score = head["expect"].split()
    body = text if "coding:" not in text else text.split("\n", 2)[2]
    source = "\n".join(part for part in (base[0], body, base[1]) if part)
    encoding = "latin-1" if "latin-1" in text else "utf-8"
    return Case(path.stem, assignment, status, float(score), head.get("cause", ""), source.encode(encoding))


CASES = [read_case(path) for path in sorted(FOLDER.glob("*.txt"))]

"""A grading process: takes one submission after the other from its standard input, answers with records.

It is started by ``batch``, which outlives it: if a submission manages to bring this process down, that submission gets a
row which says so, and the next one gets a fresh process. Lines of JSON go in and out; the first line in is the setup.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from numpynet.classroom.grading import Rules, grade
from numpynet.classroom.sandbox.doors import bound_memory, die_with_parent, hide_memory
from numpynet.classroom.sandbox.host import Limits
from numpynet.classroom.submissions import submissions_in
from numpynet.classroom.task import load_assignment
from numpynet.classroom.variants import Variant


def main() -> None:
    """Grade what is asked for, until there is nothing more.

    Examples
    --------
    >>> rules_of({"salt": "s", "variant": [False, False, False, 1.0], "limits": [3.0, 60, 40.0, 1, 1, 1]}).salt
    's'
    """
    die_with_parent()
    hide_memory()
    bound_memory()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever else is printed here is no answer
    setup = json.loads(sys.stdin.readline())
    assignment = load_assignment(setup["assignment"])
    rules = rules_of(setup["rules"])
    submissions = {s.name: s for s in submissions_in(Path(setup["folder"]), assignment.file)}

    def tell(kind: str, what: Any) -> None:
        answers.write(json.dumps({kind: what}) + "\n")
        answers.flush()

    tell("ready", True)
    for line in sys.stdin:
        name = json.loads(line)["grade"]
        try:
            record = grade(
                submissions[name], assignment, rules, slot=setup["slot"], progress=lambda record: tell("so_far", record)
            )
        except Exception as error:
            tell("failed", f"{type(error).__name__}: {error}"[:500])
            continue
        tell("record", record)


def rules_of(data: dict[str, Any]) -> Rules:
    """Return the rules that JSON holds.

    Parameters
    ----------
    data : the fields of ``Rules``; tuples have become lists

    Returns
    -------
    Rules

    Examples
    --------
    >>> rules_of({"salt": "s", "variant": [True, False, False, 2.0], "limits": [3.0, 60, 40.0, 1, 1, 1]}).variant.gain
    2.0
    """
    return Rules(
        data["salt"],
        Variant(*data["variant"]),
        Limits(*data["limits"]),
        tuple(data.get("hidden", ())),
        tuple(data.get("required", ())),
    )

"""The pages of the assignments: the text of each solution file, with its tasks as a table; nothing of the solution."""

from __future__ import annotations

from numpynet_site.scan import Mention

FOLDER = "numpynet/classroom/assignments/"


def without_answers(mentions: list[Mention]) -> list[Mention]:
    """Return the mentions that do not lead to solution files: the site shows what it links to.

    >>> without_answers([Mention("D1", FOLDER + "dropout.py", 9, "function", "f")])
    []
    """
    return [mention for mention in mentions if not mention.path.startswith(FOLDER)]


def pages() -> dict[str, str]:
    """Return file name -> text of the page of every assignment, and of the page that lists them."""
    from numpynet.classroom.authoring import read_marked
    from numpynet.classroom.release import is_marked, release_files
    from numpynet.classroom.task import assignment_names, load_assignment

    made, rows = {}, []
    for name in ORDER + [n for n in assignment_names() if n not in ORDER]:
        assignment = load_assignment(name)
        if is_marked(assignment):
            made[f"{name}.md"] = release_files(read_marked(assignment.solution), assignment)["README.md"]
            n_tasks = len(assignment.tasks)
            rows.append(f"| [{assignment.title}]({name}.md) | `{name}` | {n_tasks} | {assignment.points:g} |")
    toc = "\n".join(name.removesuffix(".md") for name in made)
    listed = "\n".join(["| assignment | name | tasks | points |", "| --- | --- | --- | --- |", *rows])
    return {**made, "index.md": f"{INTRODUCTION.format(table=listed)}\n```{{toctree}}\n:hidden:\n\n{toc}\n```\n"}


ORDER = ["backprop", "dropout", "lottery", "detective"]

INTRODUCTION = """# Assignments

{table}

Take one home, write the functions, check them as often as you like; no network is needed.

```console
$ numpynet assignment new dropout my-dropout
$ cd my-dropout
$ numpynet assignment check                          # all tasks, a line for each
$ numpynet assignment check --task 2.1 --hint        # the first hint of a task; --hint 2 shows two
$ pytest -m task2_1                                  # the same checks with pytest
```

A line says PASS, FAIL with what was found and the likely cause, WAIT (not written yet), or SKIP (an earlier task has to be
right first). The folder holds the same work as a notebook, in which each task is followed by a cell that checks it.

Teachers: [how to write one of your own](../write_an_assignment.md), [how to grade a class](../howto/grading.md), and
[what the grader protects, and what not](../classroom_security.md).
"""

"""The work behind ``numpynet grade``."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter

from numpynet.classroom.batch import closed_doors, prepare, run_batch
from numpynet.classroom.exports import write_exports
from numpynet.classroom.sandbox.doors import hide_memory
from numpynet.report import text_table


def run_grade(options: argparse.Namespace) -> int:
    """Grade a class, say what came of it, and return the exit code: 1 if the grader failed on a submission.

    Parameters
    ----------
    options : of the command line

    Returns
    -------
    The exit code.
    """
    started = time.monotonic()
    hide_memory()
    job = prepare(
        options.submissions,
        options.out,
        assignment=options.assignment,
        salt=options.seed_salt,
        variant=options.variant,
        seconds=options.limit,
        required=options.require,
        detail=options.detail,
        jobs=options.jobs,
    )
    closed = closed_doors(job.rules)
    print(f"protection: {', '.join(closed) or 'none'}", flush=True)
    if not {"hidden-folders", "landlock", "no-files"} & set(closed):
        text = "submissions can read what you can read on this machine; use a throw-away container for strangers' code"
        print(f"numpynet: warning: {text}", file=sys.stderr)
    records = run_batch(job, only=options.only)
    write_exports(job.grades, options.format, records, job.detail)
    rows = [
        (
            r["submission"][:40],
            r["status"],
            f"{r['score']:g}/{r['max_score']:g}",
            "; ".join(filter(None, [r["message"], *r["flags"]])),
        )
        for r in records
    ]
    print(text_table(("submission", "status", "points", "remarks"), rows) if rows else "there are no submissions")
    states = ", ".join(f"{count} {status}" for status, count in Counter(r["status"] for r in records).most_common())
    print(
        f"\n{len(records)} submissions: {states or 'none'}; {time.monotonic() - started:.1f} s; see {job.grades}/summary.html"
    )
    return 1 if any(r["status"] == "grader_error" for r in records) else 0

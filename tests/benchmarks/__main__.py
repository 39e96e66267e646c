"""Measure everything, print it, and write one JSON file and, if asked, one page: ``python -m tests.benchmarks``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from numpynet.report import text_table
from tests.benchmarks import (
    bench_batches,
    bench_choices,
    bench_late,
    bench_masks,
    bench_process,
    bench_profile,
    bench_replicates,
    bench_step,
)
from tests.benchmarks.results import HEADER, SECTIONS, Result, environment, line, write

PARTS: dict[str, Callable[[int], list[Result]]] = {
    "step": bench_step.measure,
    "late": bench_late.measure,
    "batches": bench_batches.measure,
    "replicates": bench_replicates.measure,
    "masks": bench_masks.measure,
    "process": bench_process.measure,
    "profile": bench_profile.measure,
    "choices": bench_choices.measure,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; return 1 if an aim was missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description="numpynet beside its peers.")
    parser.add_argument("--rounds", type=int, default=30, help="how often each is timed (default: %(default)s)")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="which parts (default: all)")
    parser.add_argument("--json", type=Path, default=Path("runs/benchmarks.json"), help="default: %(default)s")
    parser.add_argument("--page", type=Path, help="write a page in Markdown as well")
    options = parser.parse_args(arguments)
    if options.rounds < 3:
        parser.error(f"--rounds is {options.rounds}, but at least 3 are needed")
    if options.page is not None and set(options.only) != set(PARTS):
        parser.error("--page is the page of all parts: leave out --only, or look at the JSON file")
    about, results = environment(), []
    print(f"{about['processor']}, {about['cores']} cores, load {about['load when it began']}, one thread for all")
    for name in options.only:
        print(f"\n{name} ...", file=sys.stderr, flush=True)
        new = PARTS[name](options.rounds)
        for section, title in SECTIONS.items():
            rows = [line(result) for result in new if result.section == section]
            if rows:
                print(f"\n({section}) {title}\n{text_table(HEADER, rows)}", flush=True)
        results += new
        write(results, about, options.json, options.page)  # after each part: the whole takes minutes
    print(f"\nWritten: {options.json}{f' and {options.page}' if options.page else ''}")
    return 1 if any(result.verdict == "missed" for result in results) else 0


if __name__ == "__main__":
    raise SystemExit(main())

"""What a benchmark finds, and where it goes: lines on the terminal, one JSON file, one page."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from numpynet import threads
from numpynet.storage import write_bytes, write_text
from tests.benchmarks.timing import Times

SECTIONS = {
    "a": "A training step of 784-300-100-10, batch 60, Adam",
    "b": "A training step of the document's 784-500-10 with dropout, batch 64, SGD",
    "p": "A training step of the small nets, Adam",
    "r": "Late in a training: 784-300-100-10 on MNIST, batch 60, Adam, after 3000 steps",
    "c": "Forward and backward pass of 784-300-100-10 at several batch sizes",
    "d": "R replicates in one stack against R runs; two processes against one",
    "e": "Masks, pruning, enumeration",
    "f": "Import and start",
    "g": "Peak memory",
    "h": "Growth: the exponent k of time ~ n^k",
    "i": "Two threads in the matrix products",
    "j": "Where the time of a step goes: 784-300-100-10, batch 60, Adam",
    "k": "Where the time of a step goes: the same at 3.6 % density",
    "l": "Where the time of a step goes: 784-500-10 with dropout, batch 64, SGD",
    "m": "Where the time of a step goes: MNIST-1D 40-100-100-10, batch 100, Adam, one run",
    "n": "Where the time of a step goes: the same, 16 stacked",
    "q": "Freed memory, in fresh processes that train a stack of 16 digits nets 64-64-32-10",
    "o": "Single choices: what is done / the other way",
}


class Result(NamedTuple):
    """One number; a ratio is the first time over the second, so below 1 the first is faster."""

    section: str
    what: str
    value: float | None  # None if it could not be measured
    unit: str = "ratio"
    low: float | None = None  # the middle half of the paired ratios
    high: float | None = None
    minima: float | None = None  # ratio of the shortest times
    limit: float | None = None
    at_least: bool = False  # the limit is a lower one
    note: str = ""

    @property
    def verdict(self) -> str:
        """Whether the limit is met: by the median, or by the minima alone, which a busy machine disturbs least."""
        if self.limit is None or self.value is None:
            return ""
        met = [
            v >= self.limit if self.at_least else v <= self.limit for v in (self.value, self.minima) if v is not None
        ]
        return "met" if met[0] else "met by the minima" if any(met) else "missed"


def ratio(
    section: str,
    times: Times,
    name: str,
    reference: str,
    *,
    what: str | None = None,
    scale: float = 1.0,
    limit: float | None = None,
    note: str = "",
) -> Result:
    """Return the ratio of two contestants; absent if one of them did not take part."""
    what = what or f"{name} / {reference}"
    missing = [n for n in (name, reference) if n not in times.seconds]
    if missing:
        return Result(section, what, None, limit=limit, note=f"absent: {', '.join(missing)}")
    low, high = times.spread(name, reference)
    return Result(
        section,
        what,
        times.ratio(name, reference) / scale,
        low=low / scale,
        high=high / scale,
        minima=times.ratio_of_minima(name, reference) / scale,
        limit=limit,
        note=note,
    )


def environment() -> dict[str, object]:
    """Return the kind of machine, versions and thread counts; nothing that names the machine."""
    packages = {}
    for name in ("numpy", "torch", "scikit-learn"):
        try:
            packages[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            packages[name] = "absent"
    blas = np.show_config(mode="dicts").get("Build Dependencies", {}).get("blas", {})
    return {
        "date": datetime.date.today().isoformat(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        **packages,
        "BLAS": f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip(),
        "threads": {name: os.environ.get(name, "unset") for name in threads.VARIABLES},
        "load when it began": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        found = re.search(r"model name\s*:\s*(.+)", cpuinfo.read_text())
        flags = [flag for flag in ("avx512f", "avx2") if flag in cpuinfo.read_text()]
        if found:
            return f"{found[1].strip()} ({', '.join(flags[:1])})"
    return platform.processor() or platform.machine()


def line(result: Result) -> tuple[str, ...]:
    """Return a result as a row of a table."""
    if result.value is None:
        return result.what, "-", "", "", _limit(result), result.note
    digits = 0 if result.unit == "us" else 2
    spread = "" if result.low is None else f"{result.low:.{digits}f} to {result.high:.{digits}f}"
    minima = "" if result.minima is None else f"{result.minima:.3f}"
    if result.unit in ("ratio", "exponent"):
        value = f"{result.value:.3f}"
    else:
        value = f"{result.value:.0f} {result.unit}" if result.value >= 100 else f"{result.value:.3g} {result.unit}"
    notes = "; ".join(text for text in (result.verdict, result.note) if text)
    return result.what, value, spread, minima, _limit(result), notes


def _limit(result: Result) -> str:
    return "" if result.limit is None else f"{'at least' if result.at_least else 'at most'} {result.limit:g}"


HEADER = ("what", "median", "middle half", "of minima", "aim", "")


def write(results: Sequence[Result], about: dict[str, object], json_path: Path, page_path: Path | None) -> None:
    """Write the JSON file, and the page if one is wanted."""
    json_path.parent.mkdir(parents=True, exist_ok=True)
    whole = {"environment": about, "results": [{**r._asdict(), "verdict": r.verdict} for r in results]}
    write_bytes(json_path, (json.dumps(whole, indent=1) + "\n").encode())
    if page_path is not None:
        write_text(page_path, page(results, about))


def page(results: Sequence[Result], about: dict[str, object]) -> str:
    """Return the page, in Markdown."""
    settings = about["threads"]
    lines = [
        "# Benchmarks",
        "",
        "numpynet beside other libraries and beside the bare matrix products, in one process and in turns. Written by",
        "`python -m tests.benchmarks --page docs/benchmarks.md`, after `pip install -e '.[bench]'`.",
        "",
        "Times are processor times, so that what else runs on a machine counts less. A number is the median of paired",
        "ratios, first over second: below 1 the first is faster. Beside it stand the middle half of the ratios and the ratio",
        "of the shortest times. What each aim means and what bounds a missed one is on the page about [speed](performance.md).",
        "",
        f"{about['processor']}, {about['cores']} cores, {about['system']}; load {about['load when it began']} when it began "
        f"(over {about['cores']} means that others used the cores as well). Python {about['python']}, NumPy {about['numpy']} "
        f"with {about['BLAS']}, torch {about['torch']}, scikit-learn {about['scikit-learn']}. "
        f"Threads: {', '.join(sorted(set(settings.values())))} in {', '.join(settings)}. {about['date']}.",
        "",
    ]
    for section, title in SECTIONS.items():
        rows = [line(r) for r in results if r.section == section]
        if rows:
            lines += [f"## {title}", "", _row(HEADER), _row(["---"] * len(HEADER)), *map(_row, rows), ""]
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

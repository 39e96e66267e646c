"""(f) what an import and the start of the command line cost, and (g) peak memory: fresh processes, in turns."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping

import numpy as np

from numpynet import threads
from tests import page_faults
from tests.benchmarks.results import Result, ratio
from tests.benchmarks.timing import Times

STARTS = {
    "import numpy": "import numpy",
    "import numpynet": "import numpynet",
    "import numpynet.training": "import numpynet.training",
    "import torch": "import torch",
    "numpynet --help": "import sys; from numpynet.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass",
}
TRAIN = """
import numpy as np
from tests.benchmarks.contestants import LENET, LENET_BATCH, {function}
run = {function}(LENET, LENET_BATCH{more})
if run is None: raise ModuleNotFoundError("No module named 'torch'")
for _ in range(5): run()
"""
MEMORY = {
    "import numpy": "import numpy",
    "numpynet, 784-300-100-10, Adam": TRAIN.format(function="ours", more=""),
    "numpynet, masks 20 %": TRAIN.format(function="ours", more=", density=0.2"),
    "numpynet, 16 replicates": TRAIN.format(function="ours", more=", seed=range(16)"),
    "PyTorch, 784-300-100-10, Adam": TRAIN.format(function="in_torch", more=""),
}
THREADS = """
import time
from tests.benchmarks.contestants import ours, random_split
run = ours({sizes}, {batch}, split=random_split({sizes}, 1000), steps=5)
run()
times = []
for _ in range(3):
    start = time.perf_counter()
    run()
    times.append(time.perf_counter() - start)
print(sorted(times)[1])
"""
# The time and the memory of a child that has ended are in the counts of its parent, so each has a parent of its own.
ASK = """
import os, resource, subprocess, sys
done = subprocess.run([sys.executable, "-c", sys.argv[1]], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
error = done.stderr.splitlines()[-1:] if done.returncode else []
print(usage.ru_utime + usage.ru_stime, usage.ru_maxrss, *error)
"""


def ask(code: str) -> tuple[float, float] | None:
    """Return processor seconds and peak memory in MB of a fresh Python that runs this; None if its peer is absent."""
    said = subprocess.run([sys.executable, "-c", ASK, code], capture_output=True, text=True, check=True).stdout
    seconds, memory, error = (*said.split(maxsplit=2), "")[:3]
    if "No module named 'torch'" in error:
        return None
    if error:
        raise RuntimeError(f"a fresh Python failed with {error.strip()}:\n{code}")
    return float(seconds), float(memory) / (1e6 if sys.platform == "darwin" else 1e3)


def starts(codes: Mapping[str, str], rounds: int) -> Times:
    """Time fresh processes in turns."""
    names = [name for name, code in codes.items() if ask(code) is not None]
    seconds = {name: np.empty(rounds) for name in names}
    for index in range(rounds):
        for name in names[index % len(names) :] + names[: index % len(names)]:
            seconds[name][index] = ask(codes[name])[0]
    return Times(seconds)


def freed_memory(rounds: int) -> list[Result]:
    """Return what it saves to keep freed memory in the process: page faults and processor time of a step."""
    found: dict[str, list[page_faults.Step]] = {"kept": [], "given back": []}
    for _ in range(rounds):
        for how, seen in found.items():
            seen.append(page_faults.of_a_step(how, steps=200))
    kept, given_back = (np.array(found[how]) for how in ("kept", "given back"))
    ratios = np.sort(kept[:, 1] / given_back[:, 1])
    return [
        *(
            Result("q", f"page faults of a step, freed memory {how}", float(np.median(seen[:, 0])), "faults")
            for how, seen in (("kept", kept), ("given back", given_back))
        ),
        Result("q", "time of a step, kept / given back", float(np.median(ratios)), low=ratios[0], high=ratios[-1],
               note=f"{rounds} times, lowest and highest"),
    ]  # fmt: skip


def two_threads(rounds: int) -> list[Result]:
    """Return the time of training with two threads over that with one, by the clock, each in a process of its own."""
    results = []
    for sizes, batch in (((64, 64, 32, 10), 64), ((784, 300, 100, 10), 60), ((784, 1000, 1000, 10), 200)):
        code = THREADS.format(sizes=sizes, batch=batch)
        ratios = []
        for _ in range(rounds):
            seconds = []
            for n in ("1", "2"):
                environment = {**os.environ, **dict.fromkeys(threads.VARIABLES, n)}
                done = subprocess.run(
                    [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
                )
                seconds.append(float(done.stdout))
            ratios.append(seconds[1] / seconds[0])
        ratios.sort()
        name = f"{'-'.join(map(str, sizes))}, batch {batch}: 2 threads / 1 thread, by the clock"
        note = f"{rounds} times, lowest and highest"
        results.append(Result("i", name, float(np.median(ratios)), low=ratios[0], high=ratios[-1], note=note))
    return results


def measure(rounds: int) -> list[Result]:
    """Return the results of (f) and (g)."""
    times = starts(STARTS, rounds)
    results = [
        ratio("f", times, "import numpynet", "import numpy", limit=1.15, note="it imports nothing"),
        ratio("f", times, "import numpynet.training", "import numpy", note="numpy is in it"),
        ratio("f", times, "numpynet --help", "import numpy"),
        ratio("f", times, "import torch", "import numpy"),
        Result("f", "numpynet --help, processor time", times.median("numpynet --help"), "s"),
    ]
    for name, code in MEMORY.items():
        found = ask(code)
        results.append(Result("g", name, None if found is None else found[1], "MB", note="" if found else "absent"))
    return [*results, *freed_memory(5), *two_threads(5)]

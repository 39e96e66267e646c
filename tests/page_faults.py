"""How often a training asks the system for memory, counted in a process of its own: in this one, much has been freed already."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import NamedTuple

TRAIN = """
import resource, sys, time
from numpynet import training
from numpynet.data import load_digits
from numpynet.network import MLP
from numpynet.plan import TrainingPlan

steps = int(sys.argv[2])
if sys.argv[1] == "given back":
    training.keep_freed_memory = lambda: None
split = load_digits().train
plan = TrainingPlan(steps=3 * steps, batch_size=64, evaluate_every=steps, schedule=0.01)
records = training.train(training.begin(MLP((64, 64, 32, 10), keep_prob=0.8), plan, split, seed=range(16)), split)
next(records), next(records)
before, start = resource.getrusage(resource.RUSAGE_SELF).ru_minflt, time.process_time()
next(records)
seconds = time.process_time() - start
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / steps, seconds / steps)
"""


class Step(NamedTuple):
    """What a step of a training of a stack of 16 nets takes."""

    faults: float
    seconds: float  # of the processor


def of_a_step(freed_memory: str, *, steps: int) -> Step:
    """Return page faults and processor time of a step, the mean of so many; freed memory is "kept" or "given back"."""
    if freed_memory not in ("kept", "given back"):
        raise ValueError(f"freed_memory is {freed_memory!r}, but 'kept' or 'given back' is needed")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    done = subprocess.run(
        [sys.executable, "-c", TRAIN, freed_memory, str(steps)],
        capture_output=True, text=True, check=True, env=environment,
    )  # fmt: skip
    return Step(*map(float, done.stdout.split()))

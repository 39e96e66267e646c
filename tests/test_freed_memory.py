"""A training takes no memory from the system that the step before has given back."""

import os
import platform
import subprocess
import sys

import numpy as np
import pytest

from numpynet.freed_memory import keep_freed_memory

STEPS = 50
FAULTS = f"""
import resource, sys
from unittest import mock
from numpynet import training
from numpynet.data import load_digits
from numpynet.network import MLP
from numpynet.plan import TrainingPlan

if sys.argv[1] == "without":
    training.keep_freed_memory = lambda: None
split = load_digits().train
plan = TrainingPlan(steps=3 * {STEPS}, batch_size=64, evaluate_every={STEPS}, schedule=0.01)
records = training.train(training.begin(MLP((64, 64, 32, 10), keep_prob=0.8), plan, split, seed=range(16)), split)
next(records), next(records)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
next(records)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(how):
    """Of some steps of a stack of 16 nets, in a process of its own: in this one, much has been freed already."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    done = subprocess.run(
        [sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=True, env=environment
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library than that of Linux")
def test_a_step_asks_the_system_for_no_memory():
    assert page_faults("with") < STEPS
    assert page_faults("without") > 10 * STEPS  # what it is for: where this fails, the C library no longer needs it


def test_where_memory_is_short_it_is_left_out(monkeypatch):
    def refuse(*arguments):
        raise MemoryError("no 16 MB")

    monkeypatch.setattr(np, "empty", refuse)
    keep_freed_memory()

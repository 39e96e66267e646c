"""A training takes no memory from the system that the step before has given back."""

import platform

import numpy as np
import pytest

from numpynet.freed_memory import keep_freed_memory
from tests import page_faults


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library than that of Linux")
def test_a_step_asks_the_system_for_no_memory():
    assert page_faults.of_a_step("kept", steps=50).faults < 1
    # What it is for; where this fails, the C library no longer needs it.
    assert page_faults.of_a_step("given back", steps=50).faults > 10


def test_where_memory_is_short_it_is_left_out(monkeypatch):
    def refuse(*arguments):
        raise MemoryError("no 16 MB")

    monkeypatch.setattr(np, "empty", refuse)
    keep_freed_memory()

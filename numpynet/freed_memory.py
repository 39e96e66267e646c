"""Memory that a training step frees stays in the process, for the next step.

Every step makes arrays of the same sizes as the step before, and frees them. The C library of Linux (glibc) gives an array
of 128 KB or more back to the system, and takes the next one page by page: hundreds of page faults a step, which can cost a
stack of small nets half of its time. But its limit is not fixed: it rises to the size of the largest array that has been
freed, up to 32 MB (mallopt(3), "dynamic mmap threshold"). So one large array, made and freed without ever being touched,
is all it takes. Whoever has set a ``MALLOC_`` variable has chosen a limit, and keeps it. Other C libraries do not mind.
"""

from __future__ import annotations

import contextlib

import numpy as np

LARGEST = 2**24  # bytes of an array that is kept for the next one of its size; twice as much may lie free in all


def keep_freed_memory() -> None:
    """Let what is freed from here on stay in the process, arrays of up to 16 MB.

    Examples
    --------
    >>> keep_freed_memory()
    """
    with contextlib.suppress(MemoryError):  # it saves time, and that is all it does
        np.empty(LARGEST, np.uint8)  # nothing is written to it

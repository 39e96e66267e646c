"""How the benchmarks measure: in turns, in one process, in a changing order; medians of paired ratios, and minima.

The time is that of the processor for this process, not that of the clock on the wall: on a shared machine others take
turns on the cores. With one thread the two are the same where nobody else is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

Functions = Mapping[str, Callable[[], object]]


class Times(NamedTuple):
    """Seconds of a call of each contestant, measured side by side."""

    seconds: dict[str, np.ndarray]  # name -> (rounds,)

    def median(self, name: str) -> float:
        """Return the median time of a call."""
        return float(np.median(self.seconds[name]))

    def minimum(self, name: str) -> float:
        """Return the shortest time of a call: on a busy machine, the nearest to the true one."""
        return float(self.seconds[name].min())

    def ratio(self, name: str, reference: str) -> float:
        """Return the median of the paired ratios."""
        return float(np.median(self.seconds[name] / self.seconds[reference]))

    def ratio_of_minima(self, name: str, reference: str) -> float:
        """Return the ratio of the shortest times."""
        return self.minimum(name) / self.minimum(reference)

    def spread(self, name: str, reference: str) -> tuple[float, float]:
        """Return the middle half of the paired ratios."""
        low, high = np.quantile(self.seconds[name] / self.seconds[reference], (0.25, 0.75))
        return float(low), float(high)


def in_turns(functions: Functions, *, rounds: int, calls: int = 1) -> Times:
    """Time every function once in each round, the order turning from round to round; the first call does not count."""
    for function in functions.values():
        function()
    names = list(functions)
    seconds = {name: np.empty(rounds) for name in names}
    for index in range(rounds):
        first = index % len(names)
        for name in names[first:] + names[:first]:
            function = functions[name]
            start = time.process_time()
            for _ in range(calls):
                function()
            seconds[name][index] = (time.process_time() - start) / calls
    return Times(seconds)

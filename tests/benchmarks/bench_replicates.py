"""(d) R replicates as one stack against R runs one after the other, and two processes against one."""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np

from numpynet.data import load_digits
from numpynet.network import MLP
from numpynet.optimizers import Adam
from numpynet.parallel import run_tasks
from numpynet.plan import TrainingPlan
from numpynet.training import begin, train
from tests.benchmarks.contestants import DIGITS, DIGITS_BATCH, SMALL, ours
from tests.benchmarks.results import Result, ratio
from tests.benchmarks.timing import in_turns

LIMITS = dict(zip(SMALL, (0.55, 0.45)))  # for 16 replicates


class Group(NamedTuple):
    """A group of replicates, as a task."""

    seeds: tuple[int, ...]
    steps: int


def train_group(group: Group) -> bytes:
    """Train a group on the digits, and return its bits."""
    data = load_digits()
    plan = TrainingPlan(
        steps=group.steps, batch_size=DIGITS_BATCH, optimizer=Adam(), schedule=0.003, evaluate_every=group.steps
    )
    state = begin(MLP(DIGITS, keep_prob=0.8), plan, data.train, seed=group.seeds)
    for _ in train(state, data.train):
        pass
    return state.theta.vector.tobytes()


def stacks(rounds: int) -> list[Result]:
    """Return the time of R stacked replicates over R times that of one run."""
    results = []
    for name, (sizes, batch, load) in SMALL.items():
        split = load().train
        times = in_turns(
            {
                "1 run": ours(sizes, batch, split=split, seed=0),
                **{f"{R} stacked": ours(sizes, batch, split=split, seed=range(R)) for R in (1, 4, 16)},
            },
            rounds=rounds,
        )
        for R in (1, 4, 16):
            aim = LIMITS[name] if R == 16 else None
            what = f"{name}: {R} stacked / {R} run{'s' if R > 1 else ''}"
            results.append(ratio("d", times, f"{R} stacked", "1 run", what=what, scale=R, limit=aim))
    return results


def multiply(group: Group) -> bytes:
    """Make as many bare matrix products as the group has steps and replicates: what no training can do without."""
    rng = np.random.default_rng(group.seeds[0])
    a, b = (rng.random((64, 64), dtype=np.float32) for _ in range(2))
    out = np.empty_like(a)
    for _ in range(10 * len(group.seeds) * group.steps):
        np.matmul(a, b, out=out)
    return out.tobytes()


def processes(steps: int, repeats: int = 3) -> list[Result]:
    """Return how many times faster two processes are than one, starting them included, by the clock.

    Beside it stands the gain for bare matrix products that fit the innermost cache. That is all that the machine has to
    give: two of its "cores" may be one core that two programs share, or other programs may use the second.
    """
    groups = [Group(tuple(range(8 * g, 8 * g + 8)), steps) for g in range(4)]
    gains: dict[str, list[float]] = {"training": [], "products": []}
    for _ in range(repeats):
        for name, task in (("training", train_group), ("products", multiply)):
            wall, bits = [], []
            for workers in (1, 2):
                start = time.perf_counter()
                bits.append(run_tasks(task, groups, workers=workers))
                wall.append(time.perf_counter() - start)
            if bits[0] != bits[1]:
                raise AssertionError(f"two workers gave other bits than one for {name}")
            gains[name].append(wall[0] / wall[1])
    note = f"equal bits; {repeats} times, lowest and highest"
    what = "gain of two processes, by the clock"
    return [
        Result("d", f"4 groups of 8 replicates: {what}", *_median_and_range(gains["training"]), limit=1.6, at_least=True,
               note=note),
        Result("d", f"bare products: {what}", *_median_and_range(gains["products"]), note="the most this machine gives"),
    ]  # fmt: skip


def _median_and_range(values: list[float]) -> tuple[float, str, float, float]:
    ordered = sorted(values)
    return ordered[len(ordered) // 2], "ratio", ordered[0], ordered[-1]


def measure(rounds: int, steps: int = 5000) -> list[Result]:
    """Return the ratios of (d)."""
    return [*stacks(rounds), *processes(steps)]

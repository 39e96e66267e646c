"""Where the time of a training step goes: its parts, timed inside a training, beside what NumPy cannot do without.

That is the matrix products, and the operations on whole vectors that the optimizer consists of; both are also timed alone,
with nothing between them, which is the least that a step in NumPy could take.
"""

from __future__ import annotations

import contextlib
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple
from unittest import mock

import numpy as np

from numpynet import training
from numpynet.data import load_mnist1d
from numpynet.data.dataset import Split
from numpynet.equations.losses import softmax_cross_entropy
from numpynet.network import MLP
from numpynet.optimizers import SGD, Adam, Optimizer
from numpynet.survivors import Survivors
from tests.benchmarks.contestants import (
    DOCUMENT,
    DOCUMENT_BATCH,
    DOCUMENT_KEEP_PROB,
    LENET,
    LENET_BATCH,
    MNIST1D,
    MNIST1D_BATCH,
    ours,
    products,
)
from tests.benchmarks.results import Result
from tests.benchmarks.timing import in_turns

STEPS_OF_A_PROFILE = 100


class Case(NamedTuple):
    """A training that is taken apart."""

    section: str
    sizes: tuple[int, ...]
    batch: int
    optimizer: Optimizer
    density: float | None = None
    keep_prob: float = 1.0
    replicates: int | None = None
    split: Split | None = None

    def training(self, **more: Any) -> Callable[[], object]:
        """Return a function that trains on, see ``ours``; ``more`` are settings that are not the case's."""
        return ours(
            self.sizes,
            self.batch,
            optimizer=self.optimizer,
            density=self.density,
            keep_prob=self.keep_prob,
            split=self.split,
            seed=0 if self.replicates is None else range(self.replicates),
            **more,
        )


class Parts:
    """Collects how long the parts of every step took, by wrapping the functions that a step calls.

    To look at the clock costs a microsecond or so, which the whole step pays for each of its parts.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = defaultdict(list)

    def timed(self, part: str, function: Callable) -> Callable:
        """Return the function, with its times added to this part."""

        def wrapped(*arguments: Any, **named: Any) -> Any:
            start = time.process_time()
            result = function(*arguments, **named)
            self.seconds[part].append(time.process_time() - start)
            return result

        return wrapped

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """Time what the training loop calls, for as long as the block lasts."""
        with contextlib.ExitStack() as stack:
            for owner, name, part in (
                (training, "_step", "whole step"),
                (training, "draw_step", "drawing the batch and unit masks"),
                (MLP, "forward", "forward"),
                (MLP, "backward", "backward"),
                (training, "update", "optimizer"),
                (Survivors, "update", "optimizer"),
            ):
                stack.enter_context(mock.patch.object(owner, name, self.timed(part, getattr(owner, name))))
            yield


def alone(case: Case) -> dict[str, Callable[[], object]]:
    """Return functions that do nothing but the products of the two passes, and the operations of the optimizer."""
    forward, backward = products(case.sizes, case.batch, replicates=case.replicates)
    layout, rng = MLP(case.sizes).layout, np.random.default_rng(0)
    weights = layout.n_weights if case.density is None else int(layout.n_weights * case.density)
    n = (layout.size - layout.n_weights + weights) * (case.replicates or 1)
    theta, g = (rng.random(n, dtype=np.float32) for _ in range(2))
    state = case.optimizer.init(theta)
    return {
        "forward": forward,
        "backward": backward,
        "optimizer": lambda: case.optimizer.step(theta, g, state, 1e-9),
    }


def parts_of(case: Case, rounds: int) -> list[Result]:
    """Return the parts of a step: microseconds, share of the step, and what the same takes alone."""
    parts = Parts()
    loss = softmax_cross_entropy._replace(
        forward=parts.timed("loss", softmax_cross_entropy.forward),
        backward=parts.timed("its gradient", softmax_cross_entropy.backward),
    )
    run = case.training(steps=STEPS_OF_A_PROFILE, loss=loss)
    run()
    parts.seconds.clear()
    with parts.inside():
        for _ in range(max(1, rounds // 10)):
            run()
    least = in_turns(alone(case), rounds=rounds, calls=10)
    microseconds = {part: 1e6 * np.array(seconds) for part, seconds in parts.seconds.items()}  # each once in a step
    whole = microseconds.pop("whole step")
    microseconds["all else, gathering the batch included"] = whole - sum(microseconds.values())
    results, bound = [], 1e6 * sum(least.median(part) for part in least.seconds)
    for part, times in microseconds.items():
        note = f"{100 * np.median(times) / np.median(whole):.0f} % of the step"
        if part in least.seconds:
            what = "its operations" if part == "optimizer" else "its products"
            note += f"; {what} alone {1e6 * least.median(part):.0f} us"
        results.append(_microseconds(case.section, part, times, note))
    note = f"products and optimizer alone are {100 * bound / np.median(whole):.0f} % of it"
    return [*results, _microseconds(case.section, "whole step", whole, note)]


def _microseconds(section: str, part: str, times: np.ndarray, note: str) -> Result:
    low, median, high = (float(quantile) for quantile in np.quantile(times, (0.25, 0.5, 0.75)))
    return Result(section, part, median, "us", low, high, note=note)


def cases() -> Sequence[Case]:
    """Return the trainings that are taken apart."""
    mnist1d = load_mnist1d().train
    return (
        Case("j", LENET, LENET_BATCH, Adam()),
        Case("k", LENET, LENET_BATCH, Adam(), density=0.036),
        Case("l", DOCUMENT, DOCUMENT_BATCH, SGD(), keep_prob=DOCUMENT_KEEP_PROB),
        Case("m", MNIST1D, MNIST1D_BATCH, Adam(), split=mnist1d),
        Case("n", MNIST1D, MNIST1D_BATCH, Adam(), split=mnist1d, replicates=16),
    )


def measure(rounds: int) -> list[Result]:
    """Return the parts of a step of several nets."""
    return [result for case in cases() for result in parts_of(case, rounds)]

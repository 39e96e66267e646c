"""A step late in a training: what an optimizer remembers of inputs that are hardly ever seen has become very small by then.

It needs real data: of the pixels of MNIST many are 0 in all but a few images.
"""

from __future__ import annotations

from collections.abc import Callable
from unittest import mock

import numpy as np

from numpynet import optimizers
from numpynet.data import load_mnist
from numpynet.network import MLP
from numpynet.optimizers import Adam
from numpynet.plan import TrainingPlan
from numpynet.training import TrainingState, begin, train
from tests.benchmarks.contestants import LENET, LENET_BATCH, LR, STEPS, in_torch
from tests.benchmarks.results import Result, ratio
from tests.benchmarks.timing import in_turns

STEPS_BEFORE = 3000
NEVER = 10**9


def subnormal_share(state: TrainingState) -> float:
    """Return which share of the numbers that the optimizer remembers lie below the normal ones, but are not 0."""
    slots = np.stack(list(state.optimizer.slots.values()))
    return float(((slots != 0) & (np.abs(slots) < np.finfo(slots.dtype).tiny)).mean())


def flushing(run: Callable[[], object] | None) -> Callable[[], object] | None:
    """Return PyTorch's training as it is for whoever knows the switch: the processor takes subnormal numbers for 0.

    The switch is one of the thread, so it is turned back after each call: NumPy must not profit from it.
    """
    if run is None:
        return None
    import torch

    def with_switch() -> None:
        torch.set_flush_denormal(True)
        try:
            run()
        finally:
            torch.set_flush_denormal(False)

    return with_switch


def measure(rounds: int) -> list[Result]:
    """Return a late step beside PyTorch, and beside one whose optimizer keeps what has become subnormal."""
    try:
        split = load_mnist().train
    except FileNotFoundError:
        return [Result("r", "numpynet / PyTorch fused", None, note="absent: MNIST, see numpynet data fetch mnist")]
    plan = TrainingPlan(steps=NEVER, batch_size=LENET_BATCH, optimizer=Adam(), schedule=LR, evaluate_every=STEPS)
    states = {name: begin(MLP(LENET), plan, split) for name in ("numpynet", "subnormal numbers kept")}
    runs = {name: train(state, split) for name, state in states.items()}

    def keep() -> None:
        with mock.patch.object(optimizers, "FORGET_EVERY", NEVER):
            next(runs["subnormal numbers kept"])

    contestants: dict[str, Callable[[], object] | None] = {
        "numpynet": lambda: next(runs["numpynet"]),
        "subnormal numbers kept": keep,
        "PyTorch": in_torch(LENET, LENET_BATCH, split=split),
        "PyTorch fused": in_torch(LENET, LENET_BATCH, split=split, fused=True),
        "PyTorch fused, flushing": flushing(in_torch(LENET, LENET_BATCH, split=split, fused=True)),
    }
    present = {name: function for name, function in contestants.items() if function is not None}
    for function in present.values():
        for _ in range(STEPS_BEFORE // STEPS):
            function()
    times = in_turns(present, rounds=rounds)
    shares = {name: f"{100 * subnormal_share(state):.2g} % of its memory subnormal" for name, state in states.items()}
    return [
        Result("r", "numpynet, time of a step", 1e3 * times.median("numpynet") / STEPS, "ms", note=shares["numpynet"]),
        ratio("r", times, "numpynet", "PyTorch fused"),
        ratio("r", times, "numpynet", "PyTorch fused, flushing", note="torch.set_flush_denormal(True), off by default"),
        ratio("r", times, "numpynet", "PyTorch"),
        ratio("r", times, "numpynet", "subnormal numbers kept", note=f"there {shares['subnormal numbers kept']}"),
    ]

"""(c) forward and backward pass at several batch sizes; (h) how the time of a step grows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from numpynet.data import load_digits
from numpynet.equations.losses import softmax_cross_entropy
from numpynet.lottery.imp import iterative_pruning
from numpynet.lottery.prune_rules import prune_rule
from numpynet.network import MLP
from numpynet.parameters import Parameters
from numpynet.plan import TrainingPlan
from tests.benchmarks.contestants import LENET, ours, random_split
from tests.benchmarks.results import Result, ratio
from tests.benchmarks.timing import in_turns

BATCHES = (1, 32, 128, 1024, 10000)


def forward_and_backward(batch: int) -> Callable[[], object]:
    """Return both passes with the loss between them, of numpynet."""
    net, split = MLP(LENET), random_split(LENET, batch)
    theta, gradients = net.init(np.random.default_rng(0)), Parameters.zeros(net.layout)

    def run() -> None:
        logits, caches = net.forward(theta, split.x, trusted=True)
        _, cache = softmax_cross_entropy.forward(logits, split.y)
        net.backward(softmax_cross_entropy.backward(1.0, cache), caches, out=gradients)

    return run


def in_torch(batch: int) -> Callable[[], object] | None:
    """Return both passes of PyTorch, None where it is absent."""
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(1)
    split = random_split(LENET, batch)
    x, y = torch.from_numpy(split.x), torch.from_numpy(split.y)
    modules = [m for a, b in zip(LENET, LENET[1:]) for m in (torch.nn.Linear(a, b), torch.nn.ReLU())]
    net, loss_of = torch.nn.Sequential(*modules[:-1]), torch.nn.CrossEntropyLoss()

    def run() -> None:
        net.zero_grad()
        loss_of(net(x), y).backward()

    return run


def exponent(sizes: Sequence[int], seconds: Sequence[float]) -> float:
    """Return the slope of log time against log size."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def growth(rounds: int) -> list[Result]:
    """Return the exponents with which the time of a step grows, and that of a pruning experiment."""
    series = {
        "batch": {n: ours((784, 300, 100, 10), n, steps=2) for n in (64, 256, 1024, 4096)},
        "width": {n: ours((n, n, n, 10), 64, steps=2, split=random_split((n, 10), 640)) for n in (128, 256, 512, 1024)},
        "depth": {
            n: ours((256, *[256] * n, 10), 64, steps=2, split=random_split((256, 10), 640)) for n in (2, 4, 8, 16)
        },
        "replicates": {
            n: ours((64, 64, 32, 10), 64, steps=2, split=random_split((64, 10), 640), seed=range(n))
            for n in (4, 8, 16, 32)
        },
    }
    data = load_digits()
    plan = TrainingPlan(steps=20, batch_size=64, schedule=0.01, evaluate_every=20)

    def rounds_of_pruning(n: int) -> Callable[[], object]:
        net = MLP((64, 30, 10))
        return lambda: list(iterative_pruning(net, plan, data.train, seeds=[0], rounds=n, prune=prune_rule(0.2)))

    series["pruning rounds"] = {n: rounds_of_pruning(n) for n in (2, 4, 8)}
    results = []
    for what, functions in series.items():
        times = in_turns({str(n): f for n, f in functions.items()}, rounds=rounds)
        k = exponent(list(functions), [times.minimum(str(n)) for n in functions])
        results.append(Result("h", f"{what}, {min(functions)} to {max(functions)}", k, "exponent", note="of minima"))
    return results


def measure(rounds: int) -> list[Result]:
    """Return the ratios of (c) and the exponents of (h)."""
    results = []
    for batch in BATCHES:
        contestants = {"numpynet": forward_and_backward(batch), "PyTorch": in_torch(batch)}
        calls = max(1, 500 // batch)
        times = in_turns(
            {n: f for n, f in contestants.items() if f is not None},
            rounds=max(5, rounds // 2) if batch < 10000 else 5,
            calls=calls,
        )
        microseconds = f"{1e6 * times.minimum('numpynet') / batch:.3g} us an example"
        results.append(
            ratio("c", times, "numpynet", "PyTorch", what=f"batch {batch}: numpynet / PyTorch", note=microseconds)
        )
    return results + growth(max(5, rounds // 5))

"""(e) drawing masks, pruning by exact counts, enumerating subnetworks."""

from __future__ import annotations

import time

import numpy as np

from numpynet.equations.masks import prune_count, prune_lowest, sample_mask
from numpynet.network import MLP
from numpynet.subnetworks import every_subnetwork
from tests.benchmarks.results import Result, ratio
from tests.benchmarks.timing import in_turns

SHAPE, KEEP_PROB, RATE = (128, 1024), 0.8, 0.2


def masks(rounds: int) -> list[Result]:
    """Return what a unit mask costs, beside other ways to draw it."""
    ours, theirs = (np.random.default_rng(0) for _ in range(2))
    contestants = {
        "sample_mask": lambda: sample_mask(ours, SHAPE, KEEP_PROB),
        "rng.binomial": lambda: theirs.binomial(1, KEEP_PROB, SHAPE).astype(np.float32),
    }
    try:
        import torch
    except ImportError:
        pass
    else:
        torch.set_num_threads(1)
        contestants["torch bernoulli_"] = lambda: torch.empty(SHAPE).bernoulli_(KEEP_PROB)
    times = in_turns(contestants, rounds=rounds, calls=3)
    size = "x".join(map(str, SHAPE))
    return [
        ratio("e", times, "sample_mask", other, what=f"mask {size}: sample_mask / {other}", limit=limit)
        for other, limit in (("rng.binomial", 0.5), ("torch bernoulli_", None))
    ]


def pruning(n: int, rounds: int) -> Result:
    """Return the time of exact pruning over that of a stable sort of the scores."""
    scores = np.abs(np.random.default_rng(0).standard_normal(n, dtype=np.float32))
    mask, k = np.ones_like(scores), prune_count(RATE, n)
    times = in_turns(
        {
            "prune_lowest": lambda: prune_lowest(scores, mask, k),
            "stable argsort": lambda: np.argsort(scores, kind="stable")[:k],
        },
        rounds=rounds,
    )
    return ratio(
        "e",
        times,
        "prune_lowest",
        "stable argsort",
        what=f"exact pruning of {n:.0e} weights / stable argsort",
        note=f"{times.minimum('prune_lowest'):.2g} s",
    )


def enumeration() -> Result:
    """Return the seconds that all 2^16 subnetworks of a small net take."""
    net, rng = MLP((20, 16, 10), keep_prob=KEEP_PROB), np.random.default_rng(0)
    theta, x = net.init(rng, dtype=np.float64), rng.standard_normal((32, 20))
    start = time.process_time()
    _, probability = every_subnetwork(net, theta, x)
    seconds = time.process_time() - start
    if abs(probability.sum() - 1) > 1e-9:
        raise AssertionError("the probabilities of all masks do not sum to 1")
    return Result("e", "2^16 subnetworks of 20-16-10 on 32 examples", seconds, "s", limit=10)


def measure(rounds: int) -> list[Result]:
    """Return the results of (e)."""
    return [*masks(rounds), pruning(10**6, max(3, rounds // 5)), pruning(10**7, 3), enumeration()]

"""(a), (b): a training step beside the bare matrix products, PyTorch and scikit-learn, on the same batches."""

from __future__ import annotations

from numpynet.optimizers import SGD
from tests.benchmarks.contestants import (
    DOCUMENT,
    DOCUMENT_BATCH,
    DOCUMENT_KEEP_PROB,
    LENET,
    LENET_BATCH,
    SMALL,
    STEPS,
    in_sklearn,
    in_torch,
    ours,
    products_of_steps,
)
from tests.benchmarks.results import Result, ratio
from tests.benchmarks.timing import in_turns

DENSITIES = (1.0, 0.2, 0.036)


def small(rounds: int) -> list[Result]:
    """Return how long a step of the small nets takes beside PyTorch, masks or not."""
    results = []
    for name, (sizes, batch, _) in SMALL.items():
        net = (sizes, batch)
        contestants = {
            "numpynet": ours(*net),
            "numpynet, masks 20 %": ours(*net, density=0.2),
            "PyTorch": in_torch(*net),
            "PyTorch fused": in_torch(*net, fused=True),
            "PyTorch prune 20 %": in_torch(*net, density=0.2),
        }
        times = in_turns({name: f for name, f in contestants.items() if f is not None}, rounds=rounds)
        results.append(Result("p", f"{name}: time of a step", 1e6 * times.median("numpynet") / STEPS, "us"))
        for mine, other in (
            ("numpynet", "PyTorch"),
            ("numpynet", "PyTorch fused"),
            ("numpynet, masks 20 %", "PyTorch prune 20 %"),
        ):
            results.append(ratio("p", times, mine, other, what=f"{name}: {mine} / {other}"))
    return results


def measure(rounds: int) -> list[Result]:
    """Return the ratios of (a) and (b), and those of the small nets."""
    net = (LENET, LENET_BATCH)
    contestants = {
        "matrix products": products_of_steps(*net),
        "numpynet": ours(*net),
        **{f"numpynet, masks {100 * d:g} %": ours(*net, density=d) for d in DENSITIES},
        "numpynet, 3.6 % compacted": ours(*net, density=0.036, compacted=True),
        "PyTorch": in_torch(*net),
        "PyTorch fused": in_torch(*net, fused=True),
        **{f"PyTorch prune {100 * d:g} %": in_torch(*net, density=d) for d in DENSITIES},
        "scikit-learn": in_sklearn(*net),
    }
    a = in_turns({name: f for name, f in contestants.items() if f is not None}, rounds=rounds)
    net = (DOCUMENT, DOCUMENT_BATCH)
    contestants = {
        "matrix products": products_of_steps(*net),
        "numpynet, no dropout": ours(*net, optimizer=SGD()),
        "numpynet, dropout": ours(*net, optimizer=SGD(), keep_prob=DOCUMENT_KEEP_PROB),
        "PyTorch, dropout": in_torch(*net, optimizer="sgd", keep_prob=DOCUMENT_KEEP_PROB),
        "PyTorch fused, dropout": in_torch(*net, optimizer="sgd", keep_prob=DOCUMENT_KEEP_PROB, fused=True),
    }
    b = in_turns({name: f for name, f in contestants.items() if f is not None}, rounds=rounds)
    return [
        Result("a", "numpynet, time of a step", 1e3 * a.median("numpynet") / STEPS, "ms"),
        Result("a", "matrix products alone, time of a step", 1e3 * a.median("matrix products") / STEPS, "ms"),
        *(
            ratio("a", a, f"numpynet, masks {100 * d:g} %", f"PyTorch prune {100 * d:g} %", limit=0.45)
            for d in DENSITIES
        ),
        ratio("a", a, "numpynet", "PyTorch fused", limit=0.80, note="no masks on either side"),
        ratio("a", a, "numpynet", "PyTorch"),
        ratio("a", a, "numpynet", "scikit-learn"),
        ratio("a", a, "numpynet", "matrix products", limit=1.7),
        *(ratio("a", a, f"numpynet, masks {100 * d:g} %", "matrix products", limit=1.7) for d in DENSITIES),
        ratio("a", a, "numpynet, masks 3.6 %", "numpynet", note="survivors alone are updated"),
        ratio("a", a, "numpynet, 3.6 % compacted", "numpynet", limit=0.75, note="weights in half of the units"),
        Result("b", "numpynet with dropout, time of a step", 1e3 * b.median("numpynet, dropout") / STEPS, "ms"),
        ratio("b", b, "numpynet, dropout", "PyTorch, dropout", limit=0.6),
        ratio("b", b, "numpynet, dropout", "PyTorch fused, dropout"),
        ratio("b", b, "numpynet, dropout", "numpynet, no dropout", limit=1.1),
        ratio("b", b, "numpynet, dropout", "matrix products"),
        *small(rounds),
    ]

"""What dropout costs: run ``python tests/benchmarks/bench_dropout.py``; pytest does not collect it.

Three figures are held against their limits, in turns on the same machine, medians of paired ratios:

* all 2^16 subnetworks of a small net: under 10 s and 2 GB;
* a mask for a (128, 1024) float32 layer: at most half the time of ``rng.binomial``;
* a training step of 784-500-10, batch 64, with hidden dropout: at most 1.1 times the step without.

Below the third stands where the additional time goes. Exits with 1 if a limit is missed.
"""

from __future__ import annotations

import os

# Before NumPy is imported: small matrices are multiplied faster by one thread than by several.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

import argparse
import platform
import resource
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np

from numpynet.equations.linear import linear_backward, linear_forward
from numpynet.equations.masks import sample_mask
from numpynet.experiments.training_cost import time_steps
from numpynet.network import MLP
from numpynet.report import text_table
from numpynet.subnetworks import every_subnetwork

KEEP_PROB = 0.8
SIZES, BATCH = (784, 500, 10), 64


def in_turns(first: Callable[[], object], second: Callable[[], object], *, pairs: int, calls: int) -> np.ndarray:
    """Return the seconds of a call of each, (pairs, 2), measured in turns and in changing order."""
    first(), second()
    seconds = np.empty((pairs, 2))
    for pair in range(pairs):
        for which in (0, 1) if pair % 2 else (1, 0):
            function = (first, second)[which]
            start = time.process_time()
            for _ in range(calls):
                function()
            seconds[pair, which] = (time.process_time() - start) / calls
    return seconds


def ratio(seconds: np.ndarray) -> float:
    """Return the median of the paired ratios, second over first."""
    return float(np.median(seconds[:, 1] / seconds[:, 0]))


def enumeration() -> tuple[float, float]:
    """Run 2^16 subnetworks on 32 examples; return seconds and the largest memory of this process in GB."""
    net = MLP((20, 16, 10), keep_prob=KEEP_PROB)
    rng = np.random.default_rng(0)
    theta, x = net.init(rng, dtype=np.float64), rng.standard_normal((32, 20))
    start = time.process_time()
    logits, probability = every_subnetwork(net, theta, x)
    seconds = time.process_time() - start
    assert logits.shape == (2**16, 32, 10) and abs(probability.sum() - 1) < 1e-9
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def mask_times(pairs: int) -> np.ndarray:
    """Time a mask against the same mask from binomial draws."""
    ours, theirs = np.random.default_rng(0), np.random.default_rng(0)
    return in_turns(
        lambda: theirs.binomial(1, KEEP_PROB, (128, 1024)).astype(np.float32),
        lambda: sample_mask(ours, (128, 1024), KEEP_PROB),
        pairs=pairs,
        calls=5,
    )


def parts(pairs: int) -> list[tuple[str, float]]:
    """Return where the additional time of a step goes, in seconds."""
    rng = np.random.default_rng(0)
    net = MLP(SIZES, keep_prob=KEEP_PROB)
    theta = net.init(rng)
    x = rng.random((BATCH, SIZES[1]), dtype=np.float32)
    dy = rng.random((BATCH, SIZES[2]), dtype=np.float32)
    W, b = theta["W2"], theta["b2"]
    mask = sample_mask(rng, x.shape, KEEP_PROB)
    _, plain = linear_forward(x, W, b)
    _, masked = linear_forward(x, W, b, unit_mask=mask, keep_prob=KEEP_PROB)

    def draw() -> object:
        return net.sample_unit_masks(rng, (BATCH,))

    drawing = float(np.median(in_turns(lambda: None, draw, pairs=pairs, calls=50)[:, 1]))
    forward = in_turns(
        lambda: linear_forward(x, W, b),
        lambda: linear_forward(x, W, b, unit_mask=mask, keep_prob=KEEP_PROB),
        pairs=pairs,
        calls=50,
    )
    backward = in_turns(lambda: linear_backward(dy, plain), lambda: linear_backward(dy, masked), pairs=pairs, calls=50)
    return [
        ("drawing the mask", drawing),
        ("forward, x * D / q", float(np.median(forward[:, 1] - forward[:, 0]))),
        ("backward, dx * D / q", float(np.median(backward[:, 1] - backward[:, 0]))),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and return 1 if a limit is missed."""
    parser = argparse.ArgumentParser(description="What dropout costs.")
    parser.add_argument("--pairs", type=int, default=60, help="measurements of each pair (default: %(default)s)")
    pairs = parser.parse_args(arguments).pairs
    threads = ", ".join(f"{v} {os.environ.get(v)}" for v in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"))
    print(f"NumPy {np.__version__}, {platform.machine()}, {os.cpu_count()} cores; {threads}\n")

    seconds, gigabytes = enumeration()
    masks = mask_times(pairs)
    steps = [time_steps(KEEP_PROB, sizes=SIZES, pairs=pairs, seed=repeat) for repeat in range(3)]
    paired = np.concatenate([t.dropout / t.plain for t in steps])
    plain, dropout = (np.concatenate([getattr(t, name) for t in steps]) for name in ("plain", "dropout"))
    results = [
        ("2^16 subnetworks, seconds", f"{seconds:.2f}", "10", seconds < 10),
        ("2^16 subnetworks, GB of the process", f"{gigabytes:.2f}", "2", gigabytes < 2),
        ("mask (128, 1024), time / rng.binomial", f"{ratio(masks):.3f}", "0.5", ratio(masks) <= 0.5),
        ("step with dropout / without", f"{np.median(paired):.3f}", "1.1", np.median(paired) <= 1.1),
    ]
    print(text_table(("what", "measured", "limit", ""), [(*row[:3], "ok" if row[3] else "MISSED") for row in results]))
    low, high = np.quantile(paired, (0.25, 0.75))
    print(f"\nmask: {1e6 * np.median(masks[:, 1]):.0f} us against {1e6 * np.median(masks[:, 0]):.0f} us")
    print(f"step: {1e3 * np.median(plain):.3f} ms without, {1e3 * np.median(dropout):.3f} ms with dropout;")
    print(f"      the middle half of the ratios is {low:.3f} to {high:.3f}, {len(paired)} pairs")
    for name, part in parts(pairs):
        print(f"      {name}: {1e6 * part:.0f} us, {100 * part / np.median(plain):.1f} % of a step")
    return 0 if all(row[3] for row in results) else 1


if __name__ == "__main__":
    raise SystemExit(main())

"""What a gradient check costs: the masked 784-300-100-10 net, a small net entry by entry, and PyTorch's beside it.

    python -m tests.benchmarks.bench_gradcheck

Targets: all gradients of the large net in under a second, 256 parameters by the full complex step in under 0.1 s. It
prints medians, and ends with 1 if a target is missed.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from numpynet.equations import l2_penalty_forward, softmax_cross_entropy_backward, softmax_cross_entropy_forward
from numpynet.gradcheck import check_network, complex_step
from numpynet.network import MLP
from numpynet.parameters import Parameters

LARGE, SMALL, KEEP_PROB, WEIGHT_DECAY, DENSITY = (784, 300, 100, 10), (7, 11, 11, 3), 0.8, 0.01, 0.6


def median_seconds(function: Callable[[], object], repeats: int = 7) -> float:
    """Return the median time of a call; the first call, which warms up, does not count."""
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def large_net() -> bool:
    """All 266,610 gradients, masks included, by the adjoint test: one random direction for each of the six arrays."""
    net = MLP(LARGE, keep_prob=KEEP_PROB)
    return check_network(net, n_examples=20).passed


class SmallNet:
    """A masked net with dropout, weight decay and softmax cross-entropy: 7-11-11-3, 256 parameters."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.net = MLP(SMALL, keep_prob=KEEP_PROB)
        self.theta = Parameters(0.5 * rng.standard_normal(self.net.layout.size), self.net.layout)
        self.mask = Parameters((rng.random(self.net.layout.size) < DENSITY).astype(float), self.net.layout)
        self.x, self.labels = rng.standard_normal((5, SMALL[0])), rng.integers(SMALL[-1], size=5)
        self.unit_masks = self.net.sample_unit_masks(rng, (5,), dtype=np.float64)

    def loss(self, vector: np.ndarray) -> tuple[np.ndarray, Parameters]:
        """Return the loss and its gradient."""
        theta = Parameters(vector, self.net.layout)
        logits, caches = self.net.forward(
            theta, self.x, weight_mask=self.mask, unit_masks=self.unit_masks, trusted=True
        )
        loss, cache = softmax_cross_entropy_forward(logits, self.labels)
        for name in self.net.layout.weight_names:
            loss = loss + l2_penalty_forward(theta[name], WEIGHT_DECAY, weight_mask=self.mask[name])[0]
        return loss, (cache, caches, theta)

    def gradient(self) -> np.ndarray:
        """Return the gradient by the backward pass."""
        _, (cache, caches, theta) = self.loss(self.theta.vector)
        gradients = self.net.backward(softmax_cross_entropy_backward(1.0, cache), caches)
        for name in self.net.layout.weight_names:
            gradients[name] += WEIGHT_DECAY * self.mask[name] * theta[name]
        return gradients.vector

    def worst_error(self) -> float:
        """Return the largest difference between the backward pass and the complex step, over all parameters."""
        numeric = complex_step(lambda vector: self.loss(vector)[0], self.theta.vector)
        return float(np.abs(numeric - self.gradient()).max())

    def in_torch(self) -> Callable[[], bool] | None:
        """Return ``torch.autograd.gradcheck`` of the same net, None without PyTorch."""
        try:
            import torch
        except ImportError:
            return None
        torch.set_num_threads(1)
        names, net = list(self.net.layout.shapes), self.net
        parameters = [torch.tensor(self.theta[name], requires_grad=True) for name in names]
        masks = {name: torch.tensor(self.mask[name]) for name in net.layout.weight_names}
        units = [None if D is None else torch.tensor(D) for D in self.unit_masks]
        x, labels = torch.tensor(self.x), torch.tensor(self.labels)

        def loss(*arrays: torch.Tensor) -> torch.Tensor:
            given = dict(zip(names, arrays))
            h, penalty = x, 0.0
            for layer in range(1, net.n_layers + 1):
                W = given[f"W{layer}"] * masks[f"W{layer}"]
                penalty = penalty + WEIGHT_DECAY / 2 * (W * W).sum()
                h = h if units[layer - 1] is None else h * units[layer - 1] / KEEP_PROB
                h = h @ W + given[f"b{layer}"]
                h = torch.relu(h) if layer < net.n_layers else h
            return torch.nn.functional.cross_entropy(h, labels) + penalty

        own = float(loss(*parameters).detach())
        if abs(own - float(self.loss(self.theta.vector)[0])) > 1e-12:
            raise AssertionError("this is not the same net: the losses differ")
        return lambda: torch.autograd.gradcheck(loss, parameters)


def main() -> int:
    small = SmallNet()
    error = small.worst_error()
    ours = median_seconds(small.worst_error)
    whole = median_seconds(lambda: check_network(small.net))
    large = median_seconds(large_net)
    torch_check = small.in_torch()
    n = small.net.layout.size
    rows = [
        (f"adjoint test, {'-'.join(map(str, LARGE))}, 266610 parameters", large, "target 1000"),
        (f"complex step of {n} parameters, worst error {error:.0e}", ours, "target 100"),
        ("check_network of the same net, with all its stages", whole, ""),
    ]
    if torch_check is not None:
        rows.append(("torch.autograd.gradcheck of the same net", median_seconds(torch_check), "rtol 1e-3, atol 1e-5"))
    print(f"NumPy {np.__version__}, Python {sys.version.split()[0]}, medians of 7 calls, one thread")
    for what, seconds, note in rows:
        print(f"{what:56}{1000 * seconds:8.1f} ms   {note}".rstrip())
    if torch_check is None:
        print("torch.autograd.gradcheck was not measured: PyTorch is not installed")
    return 0 if large < 1.0 and ours < 0.1 and error < 1e-12 else 1


if __name__ == "__main__":
    sys.exit(main())

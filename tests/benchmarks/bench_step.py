"""(a), (b): a training step beside the bare matrix products, PyTorch and scikit-learn, on the same batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from numpynet.data.dataset import Split
from numpynet.equations.activations import Activation, relu
from numpynet.equations.losses import Loss, softmax_cross_entropy
from numpynet.network import MLP
from numpynet.optimizers import SGD, Adam, Optimizer
from numpynet.parameters import Parameters
from numpynet.plan import TrainingPlan
from numpynet.pruning.compact_training import train_compacted
from numpynet.training import begin, train
from tests.benchmarks.results import Result, ratio
from tests.benchmarks.timing import in_turns

LENET, LENET_BATCH = (784, 300, 100, 10), 60
SMALL = {  # name -> sizes, batch
    "MNIST-1D 40-100-100-10, batch 100": ((40, 100, 100, 10), 100),
    "digits 64-64-32-10, batch 64": ((64, 64, 32, 10), 64),
}
DOCUMENT, DOCUMENT_BATCH, DOCUMENT_KEEP_PROB = (784, 500, 10), 64, 0.5
DENSITIES = (1.0, 0.2, 0.036)
N_TRAIN = 6000


def random_split(sizes: Sequence[int], n: int = N_TRAIN, seed: int = 0) -> Split:
    """Random inputs in [0, 1) and labels: the time of a step does not depend on what they mean."""
    rng = np.random.default_rng(seed)
    return Split(rng.random((n, sizes[0]), dtype=np.float32), rng.integers(0, sizes[-1], n))


def random_mask(net: MLP, density: float, seed: int = 0) -> Parameters:
    """A mask that keeps each weight with this probability, biases all."""
    rng = np.random.default_rng(seed)
    mask = Parameters.ones(net.layout)
    for name in net.layout.weight_names:
        mask[name][...] = rng.random(mask[name].shape) < density
    return mask


def narrow_mask(net: MLP, density: float, share: float = 0.5) -> Parameters:
    """A mask of the same density whose weights lie in this share of inputs and hidden units, as pruning tends to leave them."""
    mask, rng = Parameters.ones(net.layout), np.random.default_rng(0)
    for layer, name in enumerate(net.layout.weight_names, start=1):
        d_in, d_out = mask[name].shape
        rows, columns = int(share * d_in), int(share * d_out) if layer < net.n_layers else d_out
        mask[name][...] = 0
        mask[name][:rows, :columns] = rng.random((rows, columns)) < density * d_in * d_out / (rows * columns)
    return mask


def ours(
    sizes: Sequence[int],
    batch: int,
    *,
    optimizer: Optimizer = Adam(),  # noqa: B008  frozen
    density: float | None = None,
    keep_prob: float = 1.0,
    steps: int = 10,
    split: Split | None = None,
    seed: int | Sequence[int] = 0,
    compacted: bool = False,
    loss: Loss = softmax_cross_entropy,
    activation: Activation = relu,
) -> Callable[[], object]:
    """Return a function that trains on for so many steps, loop and batches and all."""
    split = random_split(sizes) if split is None else split
    net = MLP(tuple(sizes), activation=activation, keep_prob=keep_prob)
    plan = TrainingPlan(
        steps=10**9, batch_size=batch, optimizer=optimizer, schedule=0.001, evaluate_every=steps, loss=loss
    )
    mask = None if density is None else (narrow_mask if compacted else random_mask)(net, density)
    run = (train_compacted if compacted else train)(begin(net, plan, split, weight_mask=mask, seed=seed), split)
    next(run)  # the record before the first step
    return lambda: next(run)


def products(sizes: Sequence[int], batch: int, *, steps: int = 10) -> Callable[[], object]:
    """Return a function that makes the matrix products of so many steps, and nothing else."""
    rng = np.random.default_rng(0)
    h = [rng.random((batch, d), dtype=np.float32) for d in sizes]
    W = [rng.random((a, b), dtype=np.float32) for a, b in zip(sizes, sizes[1:])]
    dW = [np.empty_like(w) for w in W]
    out, dh = [np.empty_like(a) for a in h], [np.empty_like(a) for a in h]

    def run() -> None:
        for _ in range(steps):
            for layer, w in enumerate(W):
                np.matmul(h[layer], w, out=out[layer + 1])
            for layer in range(len(W) - 1, -1, -1):
                np.matmul(h[layer].T, h[layer + 1], out=dW[layer])
                if layer:
                    np.matmul(h[layer + 1], W[layer].T, out=dh[layer])

    return run


def gathering(sizes: Sequence[int], batch: int, *, steps: int = 10) -> Callable[[], object]:
    """Return a function that picks out the inputs of so many random batches."""
    x, rng = random_split(sizes).x, np.random.default_rng(0)
    batches = [rng.permutation(len(x))[:batch] for _ in range(steps)]
    return lambda: [np.take(x, rows, axis=0) for rows in batches]


def in_torch(
    sizes: Sequence[int],
    batch: int,
    *,
    optimizer: str = "adam",
    density: float | None = None,
    keep_prob: float = 1.0,
    fused: bool | None = None,
    steps: int = 10,
) -> Callable[[], object] | None:
    """Return PyTorch's training of the same net on the same kind of batches, None where PyTorch is absent."""
    try:
        import torch
        from torch.nn.utils import prune
    except ImportError:
        return None
    torch.set_num_threads(1)
    split = random_split(sizes)
    x, y = torch.from_numpy(split.x), torch.from_numpy(split.y)
    layers: list[torch.nn.Module] = []
    for a, b in zip(sizes, sizes[1:]):
        layers += [torch.nn.Linear(a, b), torch.nn.ReLU(), torch.nn.Dropout(1 - keep_prob)]
        if keep_prob == 1:
            layers.pop()
    net = torch.nn.Sequential(*layers[: -1 if keep_prob == 1 else -2])
    if density is not None:
        mask = random_mask(MLP(tuple(sizes)), density)
        linear = [layer for layer in net if isinstance(layer, torch.nn.Linear)]
        for index, layer in enumerate(linear, start=1):
            prune.custom_from_mask(layer, "weight", torch.from_numpy(mask[f"W{index}"].T.copy()))
    if optimizer == "adam":
        step = torch.optim.Adam(net.parameters(), lr=0.001, fused=fused)
    else:
        step = torch.optim.SGD(net.parameters(), lr=0.001, fused=fused)
    loss_of = torch.nn.CrossEntropyLoss()
    order, position = torch.randperm(len(x)), 0
    net.train()

    def run() -> None:
        nonlocal order, position
        for _ in range(steps):
            if position + batch > len(x):
                order, position = torch.randperm(len(x)), 0
            rows = order[position : position + batch]
            position += batch
            step.zero_grad()
            loss_of(net(x[rows]), y[rows]).backward()
            step.step()

    return run


def in_sklearn(sizes: Sequence[int], batch: int, *, steps: int = 10) -> Callable[[], object] | None:
    """Return scikit-learn's ``partial_fit`` on a block of so many batches, None where it is absent."""
    try:
        from sklearn.neural_network import MLPClassifier
    except ImportError:
        return None
    split = random_split(sizes, n=batch * steps)
    net = MLPClassifier(tuple(sizes[1:-1]), solver="adam", batch_size=batch, learning_rate_init=0.001, alpha=0.0)
    classes = np.arange(sizes[-1])
    return lambda: net.partial_fit(split.x, split.y, classes=classes)


def small(rounds: int) -> list[Result]:
    """Return how long a step of the small nets takes beside PyTorch, masks or not."""
    results = []
    for name, net in SMALL.items():
        contestants = {
            "numpynet": ours(*net),
            "numpynet, masks 20 %": ours(*net, density=0.2),
            "PyTorch": in_torch(*net),
            "PyTorch fused": in_torch(*net, fused=True),
            "PyTorch prune 20 %": in_torch(*net, density=0.2),
        }
        times = in_turns({name: f for name, f in contestants.items() if f is not None}, rounds=rounds)
        results.append(Result("p", f"{name}: time of a step", 1e5 * times.median("numpynet"), "us"))
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
        "matrix products": products(*net),
        "numpynet": ours(*net),
        **{f"numpynet, masks {100 * d:g} %": ours(*net, density=d) for d in DENSITIES},
        "numpynet, 3.6 % compacted": ours(*net, density=0.036, compacted=True),
        "PyTorch": in_torch(*net),
        "PyTorch fused": in_torch(*net, fused=True),
        **{f"PyTorch prune {100 * d:g} %": in_torch(*net, density=d) for d in DENSITIES},
        "scikit-learn": in_sklearn(*net),
        "gathering its batches": gathering(*net),
    }
    a = in_turns({name: f for name, f in contestants.items() if f is not None}, rounds=rounds)
    net = (DOCUMENT, DOCUMENT_BATCH)
    contestants = {
        "matrix products": products(*net),
        "numpynet, no dropout": ours(*net, optimizer=SGD()),
        "numpynet, dropout": ours(*net, optimizer=SGD(), keep_prob=DOCUMENT_KEEP_PROB),
        "PyTorch, dropout": in_torch(*net, optimizer="sgd", keep_prob=DOCUMENT_KEEP_PROB),
        "PyTorch fused, dropout": in_torch(*net, optimizer="sgd", keep_prob=DOCUMENT_KEEP_PROB, fused=True),
    }
    b = in_turns({name: f for name, f in contestants.items() if f is not None}, rounds=rounds)
    return [
        Result("a", "numpynet, time of a step", 100 * a.median("numpynet"), "ms"),
        Result("a", "matrix products alone, time of a step", 100 * a.median("matrix products"), "ms"),
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
        ratio("a", a, "gathering its batches", "numpynet", note="so prefetching can win no more"),
        Result("b", "numpynet with dropout, time of a step", 100 * b.median("numpynet, dropout"), "ms"),
        ratio("b", b, "numpynet, dropout", "PyTorch, dropout", limit=0.6),
        ratio("b", b, "numpynet, dropout", "PyTorch fused, dropout"),
        ratio("b", b, "numpynet, dropout", "numpynet, no dropout", limit=1.1),
        ratio("b", b, "numpynet, dropout", "matrix products"),
        *small(rounds),
    ]

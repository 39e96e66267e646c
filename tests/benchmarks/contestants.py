"""The nets that are timed, and who takes part: numpynet, its bare matrix products, PyTorch, scikit-learn."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from numpynet.data import load_digits, load_mnist1d
from numpynet.data.dataset import Split
from numpynet.equations.activations import Activation, relu
from numpynet.equations.losses import Loss, softmax_cross_entropy
from numpynet.network import MLP
from numpynet.optimizers import Adam, Optimizer
from numpynet.parameters import Parameters
from numpynet.plan import TrainingPlan
from numpynet.pruning.compact_training import train_compacted
from numpynet.training import begin, train

LENET, LENET_BATCH = (784, 300, 100, 10), 60
MNIST1D, MNIST1D_BATCH = (40, 100, 100, 10), 100
DIGITS, DIGITS_BATCH = (64, 64, 32, 10), 64
DOCUMENT, DOCUMENT_BATCH, DOCUMENT_KEEP_PROB = (784, 500, 10), 64, 0.5
SMALL = {  # name -> sizes, batch, the examples
    f"{name} {'-'.join(map(str, sizes))}, batch {batch}": (sizes, batch, load)
    for name, sizes, batch, load in (
        ("MNIST-1D", MNIST1D, MNIST1D_BATCH, load_mnist1d),
        ("digits", DIGITS, DIGITS_BATCH, load_digits),
    )
}
N_TRAIN = 6000
LR = 0.001
STEPS = 50  # of one call, between two looks at the state


def random_split(sizes: Sequence[int], n: int = N_TRAIN, seed: int = 0) -> Split:
    """Random inputs and labels. The mean input is 0: all positive, they would kill most units, and a step on zeros is another one."""
    rng = np.random.default_rng(seed)
    return Split(rng.random((n, sizes[0]), dtype=np.float32) - np.float32(0.5), rng.integers(0, sizes[-1], n))


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
    steps: int = STEPS,
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
        steps=10**9, batch_size=batch, optimizer=optimizer, schedule=LR, evaluate_every=steps, loss=loss
    )
    mask = None if density is None else (narrow_mask if compacted else random_mask)(net, density)
    run = (train_compacted if compacted else train)(begin(net, plan, split, weight_mask=mask, seed=seed), split)
    next(run)  # the record before the first step
    return lambda: next(run)


def products(
    sizes: Sequence[int], batch: int, *, replicates: int | None = None
) -> tuple[Callable[[], None], Callable[[], None]]:
    """Return two functions that make the matrix products of one forward and of one backward pass, and nothing else."""
    rng, lead = np.random.default_rng(0), () if replicates is None else (replicates,)
    h = [rng.random((*lead, batch, d), dtype=np.float32) for d in sizes]
    W = [rng.random((*lead, a, b), dtype=np.float32) for a, b in zip(sizes, sizes[1:])]
    out, dh, dW = ([np.empty_like(a) for a in arrays] for arrays in (h, h, W))

    def forward() -> None:
        for layer, w in enumerate(W):
            np.matmul(h[layer], w, out=out[layer + 1])

    def backward() -> None:
        for layer in range(len(W) - 1, -1, -1):
            np.matmul(h[layer].mT, h[layer + 1], out=dW[layer])
            if layer:
                np.matmul(h[layer + 1], W[layer].mT, out=dh[layer])

    return forward, backward


def products_of_steps(sizes: Sequence[int], batch: int, *, steps: int = STEPS) -> Callable[[], None]:
    """Return a function that makes the matrix products of so many steps."""
    forward, backward = products(sizes, batch)

    def run() -> None:
        for _ in range(steps):
            forward()
            backward()

    return run


def in_torch(
    sizes: Sequence[int],
    batch: int,
    *,
    optimizer: str = "adam",
    density: float | None = None,
    keep_prob: float = 1.0,
    fused: bool | None = None,
    steps: int = STEPS,
    split: Split | None = None,
) -> Callable[[], object] | None:
    """Return PyTorch's training of the same net on the same kind of batches, None where PyTorch is absent."""
    try:
        import torch
        from torch.nn.utils import prune
    except ImportError:
        return None
    torch.set_num_threads(1)
    split = random_split(sizes) if split is None else split
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
        step = torch.optim.Adam(net.parameters(), lr=LR, fused=fused)
    else:
        step = torch.optim.SGD(net.parameters(), lr=LR, fused=fused)
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


def in_sklearn(sizes: Sequence[int], batch: int, *, steps: int = STEPS) -> Callable[[], object] | None:
    """Return scikit-learn's ``partial_fit`` on a block of so many batches, None where it is absent."""
    try:
        from sklearn.neural_network import MLPClassifier
    except ImportError:
        return None
    split = random_split(sizes, n=batch * steps)
    net = MLPClassifier(tuple(sizes[1:-1]), solver="adam", batch_size=batch, learning_rate_init=LR, alpha=0.0)
    classes = np.arange(sizes[-1])
    return lambda: net.partial_fit(split.x, split.y, classes=classes)

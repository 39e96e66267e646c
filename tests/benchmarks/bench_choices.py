"""What single choices of the training loop give: the loop as it is, beside one that does a thing the other way."""

from __future__ import annotations

from collections.abc import Callable
from unittest import mock

import numpy as np

from numpynet import optimizers
from numpynet.equations.activations import relu
from numpynet.equations.masks import sample_mask
from numpynet.network import MLP
from numpynet.optimizers import Adam
from tests.benchmarks.bench_profile import cases
from tests.benchmarks.contestants import (
    DOCUMENT,
    DOCUMENT_BATCH,
    DOCUMENT_KEEP_PROB,
    LENET,
    LENET_BATCH,
    MNIST1D,
    MNIST1D_BATCH,
    STEPS,
    ours,
    random_split,
)
from tests.benchmarks.results import Result, ratio
from tests.benchmarks.timing import in_turns


def activations(rounds: int) -> list[Result]:
    """Return what is gained by activations that write over the arrays that they come from."""
    results = []
    for case in (case for case in cases() if case.density is None):
        new = relu._replace(takes_out=False)
        times = in_turns({"written over": case.training(), "new": case.training(activation=new)}, rounds=rounds)
        name = "-".join(map(str, case.sizes)) + (f", {case.replicates} stacked" if case.replicates else "")
        what = f"{name}: activations written over / in new arrays"
        results.append(ratio("o", times, "written over", "new", what=what, note="a training step"))
    return results


def mask_drawing(rounds: int) -> Result:
    """Return a new unit mask for every batch over one drawn into arrays that are kept."""
    shape, rng = (DOCUMENT_BATCH, DOCUMENT[1]), np.random.default_rng(0)
    uniform, below, mask = np.empty(shape, np.float32), np.empty(shape, bool), np.empty(shape, np.float32)

    def into_buffers() -> None:
        rng.random(out=uniform, dtype=np.float32)
        np.less(uniform, np.float32(DOCUMENT_KEEP_PROB), out=below)
        np.copyto(mask, below)

    times = in_turns(
        {"new": lambda: sample_mask(rng, shape, DOCUMENT_KEEP_PROB), "into buffers": into_buffers},
        rounds=rounds,
        calls=20,
    )
    what = f"mask {DOCUMENT_BATCH}x{DOCUMENT[1]}: drawn into new arrays / into the same ones"
    return ratio("o", times, "new", "into buffers", what=what, note="the mask alone")


def gathering(sizes: tuple[int, ...], batch: int, rounds: int) -> Result:
    """Return batches gathered one by one over so many gathered ahead, and what gathering takes of a step."""
    x = random_split(sizes).x
    order = np.random.default_rng(0).permutation(len(x))[: batch * STEPS]
    batches, ahead = order.reshape(STEPS, batch), np.empty((batch * STEPS, sizes[0]), np.float32)

    def one_by_one() -> None:
        for rows in batches:
            np.take(x, rows, axis=0)

    contestants: dict[str, Callable[[], object]] = {
        "one by one": one_by_one,
        "ahead": lambda: np.take(x, order, axis=0, out=ahead, mode="clip"),
        "training": ours(sizes, batch),
    }
    times = in_turns(contestants, rounds=rounds)
    share = f"gathering is {100 * times.ratio('one by one', 'training'):.1f} % of a step"
    what = f"{'-'.join(map(str, sizes))}: batches gathered one by one / {STEPS} ahead"
    return ratio("o", times, "one by one", "ahead", what=what, note=share)


def pieces(rounds: int) -> list[Result]:
    """Return a step of Adam on one piece as long as it is done over one on smaller pieces."""
    n, results = MLP(LENET).layout.size, []
    theta, g = (np.random.default_rng(seed).random(n, dtype=np.float32) for seed in range(2))
    states = [Adam().init(theta) for _ in range(2)]
    for length in (2**15, 2**13):

        def in_small_pieces(length: int = length) -> None:
            with mock.patch.object(optimizers, "BLOCK", length):
                Adam().step(theta, g, states[1], 1e-9)

        times = in_turns(
            {"as it is": lambda: Adam().step(theta, g, states[0], 1e-9), "small": in_small_pieces},
            rounds=rounds,
            calls=20,
        )
        what = f"Adam, {n} numbers: at once / in pieces of {length}"
        results.append(ratio("o", times, "as it is", "small", what=what, note="the optimizer alone"))
    return results


def measure(rounds: int) -> list[Result]:
    """Return what each choice gives."""
    return [
        *activations(rounds),
        mask_drawing(rounds),
        gathering(LENET, LENET_BATCH, rounds),
        gathering(MNIST1D, MNIST1D_BATCH, rounds),
        *pieces(rounds),
    ]

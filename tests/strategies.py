"""What the tests draw: sizes, keep probabilities, densities and a seed; the arrays come from ``default_rng(seed)``.

Sizes differ pairwise, so that a forgotten transpose or a wrong factor N cannot hide; keep_prob is never 0.5, where keep
and drop are one number; every mask holds a 0 and a 1; weights under a mask are not 0; biases are not 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations, product

import numpy as np
from hypothesis import strategies as st

KEEP_PROBS = (0.3, 0.6, 0.7, 0.8, 0.9)
DENSITIES = (0.2, 0.5, 0.8)
# One choice among all that differ pairwise. Drawn one by one and filtered, a third of the examples were thrown away:
# Hypothesis likes to draw a number that it has drawn before.
LAYER_SIZES = [sizes for sizes in product(range(3, 8), range(2, 7), range(2, 7)) if len(set(sizes)) == 3]

seeds = st.integers(0, 2**32 - 1)
keep_probs = st.sampled_from(KEEP_PROBS)
densities = st.sampled_from(DENSITIES)


@dataclass(frozen=True)
class Draw:
    """The sizes of one layer, and the seed of everything in it."""

    N: int
    d_in: int
    d_out: int
    keep_prob: float
    density: float
    seed: int

    def rng(self, stream: int = 0) -> np.random.Generator:
        """A generator for each purpose: two purposes that shared one would draw the same numbers."""
        return np.random.default_rng([self.seed, stream])


CLEAN = Draw(N=5, d_in=7, d_out=3, keep_prob=0.7, density=0.5, seed=20431)  # no two factors coincide
SQUARE = Draw(N=5, d_in=4, d_out=4, keep_prob=0.8, density=0.5, seed=7)  # a forgotten transpose is silent here


@st.composite
def draws(draw: st.DrawFn) -> Draw:
    N, d_in, d_out = draw(st.sampled_from(LAYER_SIZES))
    return Draw(N, d_in, d_out, draw(keep_probs), draw(densities), draw(seeds))


def network_sizes(depth: int = 4) -> st.SearchStrategy[tuple[int, ...]]:
    """Sizes of a small network, no two alike."""
    return st.sampled_from(list(permutations(range(2, 8), depth)))


def binary(rng: np.random.Generator, shape: tuple[int, ...], density: float, dtype: type = np.float64) -> np.ndarray:
    """A mask (..., rows, columns) with a 0 and a 1 in every matrix of the stack, and two rows that differ."""
    mask = (rng.random(shape) < density).astype(dtype)
    mask[..., 0, 0] = 0
    if shape[-2] > 1:
        mask[..., -1, 0] = 1
    else:
        mask[..., 0, -1] = 1
    return mask


def labels_of(rng: np.random.Generator, shape: tuple[int, ...], n_classes: int) -> np.ndarray:
    """Labels of at least two classes, the first and the last among them."""
    labels = rng.integers(n_classes, size=shape)
    labels[..., 0], labels[..., -1] = 0, n_classes - 1
    return labels


def all_masks(n: int) -> np.ndarray:
    """All 2^n masks of n units, one a row."""
    return ((np.arange(2**n)[:, None] >> np.arange(n)) & 1).astype(np.float64)


def mask_probabilities(masks: np.ndarray, keep_prob: float | np.ndarray) -> np.ndarray:
    """The probability of each row: the product over units of q where kept and 1 - q where dropped."""
    return np.where(masks == 1, keep_prob, 1 - keep_prob).prod(axis=-1)

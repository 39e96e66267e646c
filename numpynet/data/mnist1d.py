"""MNIST-1D: ten kinds of short signals that are as hard to tell apart, for a small network, as digits for a large one.

Each class is a curve of twelve points. An example is that curve squeezed, scaled, shifted round, buried in noise and
tilted, so that a network must find the shape and not the place. The whole set is generated in a moment, which makes it
the data set of experiments that train hundreds of networks.

The recipe and the template values are those of greydanus/mnist1d (Apache License 2.0): S. Greydanus and D. Kobak, "Scaling
down deep learning with MNIST-1D", ICML 2024. See ``mnist1d.NOTICE.txt`` beside this file. With the default arguments the
data equal the published ones to rounding error; tests compare SHA-256 sums.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from numpynet.data.dataset import Dataset, Split, check_count, check_real_dtype

TEMPLATES = (
    (5, 6, 6.5, 6.75, 7, 7, 7, 7, 6.75, 6.5, 6, 5),
    (5, 3, 3, 3.4, 3.8, 4.2, 4.6, 5, 5.4, 5.8, 5, 5),
    (5, 6, 6.5, 6.5, 6, 5.25, 4.75, 4, 3.5, 3.5, 4, 5),
    (5, 6, 6.5, 6.5, 6, 5, 5, 6, 6.5, 6.5, 6, 5),
    (5, 4.4, 3.8, 3.2, 2.6, 2.6, 5, 5, 5, 5, 5, 5),
    (5, 3, 3, 3, 3, 5, 6, 6.5, 6.5, 6, 4.5, 5),
    (5, 4, 3.5, 3.25, 3, 3, 3, 3, 3.25, 3.5, 4, 5),
    (5, 7, 7, 6.6, 6.2, 5.8, 5.4, 5, 4.6, 4.2, 5, 5),
    (5, 4, 3.5, 3.5, 4, 5, 5, 4, 3.5, 3.5, 4, 5),
    (5, 4, 3.5, 3.5, 4, 5, 5, 5, 5, 4.7, 4.3, 5),
)
SOURCE = "MNIST-1D, S. Greydanus and D. Kobak, ICML 2024, github.com/greydanus/mnist1d, Apache-2.0"

N_CLASSES = 10
SHORTEST_PADDING, PADDINGS = 36, 25  # 36, 37, ... 60 zeros
WORKING_LENGTH = 72  # 12 + 60
FINAL_LENGTH = 40
OFFSET = 1e-8  # lifts the template off zero: exactly zero means "padding" below
SCALE = 0.4
MAX_SHIFT = 48
CORRELATED_NOISE, SMOOTHING, SMOOTHING_REACH = 0.25, 2.0, 8
NOISE = 0.02
SHEAR = 0.75


class Draws(NamedTuple):
    """Every random number of the data set, one row for each example, before the final shuffle."""

    padding: np.ndarray  # (N,) how many zeros follow the template
    factor: np.ndarray  # (N,) around 1
    shift: np.ndarray  # (N,) places to the right, round the end
    correlated: np.ndarray  # (N, 72) standard normal, to be smoothed
    independent: np.ndarray  # (N, 72) standard normal
    shear: np.ndarray  # (N,) slope
    order: np.ndarray  # (N,) the shuffle


def load_mnist1d(*, dtype: np.typing.DTypeLike = np.float32, seed: int = 42, n_samples: int = 5000) -> Dataset:
    """Generate MNIST-1D; the default arguments give the published data set.

    Parameters
    ----------
    dtype : dtype
        Of x; real floating. The recipe runs in float64 and is rounded to it at the end.
    seed : int
        Of NumPy's legacy generator ``RandomState``, whose stream is frozen, 0 ... 2**32 - 1.
    n_samples : int
        Examples of both parts together, a positive multiple of 10. Four fifths are for training.

    Returns
    -------
    Dataset
        x (N, 40), standardised over all numbers of both parts as its authors do; y (N,), 10 classes; no image.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    References
    ----------
    S. Greydanus and D. Kobak, "Scaling down deep learning with MNIST-1D", ICML 2024; greydanus/mnist1d, Apache-2.0.

    Examples
    --------
    >>> signals = load_mnist1d()
    >>> signals.train.x.shape, signals.test.x.shape, signals.train.y[:10].tolist()
    ((4000, 40), (1000, 40), [2, 6, 4, 5, 6, 6, 6, 0, 3, 1])
    """
    dtype = check_real_dtype(dtype)
    seed = check_count(seed, "seed", 0, 2**32 - 1)
    n_samples = check_count(n_samples, "n_samples", N_CLASSES)
    if n_samples % N_CLASSES:
        raise ValueError(
            f"n_samples is {n_samples}, but it must be a multiple of {N_CLASSES}: classes are equally large"
        )

    y = np.repeat(np.arange(N_CLASSES), n_samples // N_CLASSES)  # class 0 first
    draws = draw(np.random.RandomState(seed), n_samples)
    x = make_signals(y, draws)  # (N, 40)
    x, y = x[draws.order], y[draws.order]
    x = ((x - x.mean()) / x.std()).astype(dtype)
    n_train = n_samples * 4 // 5
    train, test = Split(x[:n_train], y[:n_train]), Split(x[n_train:], y[n_train:])
    return Dataset("mnist1d", train, test, N_CLASSES, None, SOURCE)


def draw(legacy: np.random.RandomState, n: int) -> Draws:
    """Draw the random numbers of n examples in the order that defines the data set: example by example.

    Parameters
    ----------
    legacy : NumPy's legacy generator, whose stream is frozen; it moves on
    n : number of examples

    Returns
    -------
    draws, n rows each

    Examples
    --------
    >>> import numpy as np
    >>> draws = draw(np.random.RandomState(42), 10)
    >>> int(draws.padding[0]), round(float(draws.factor[0]), 6), int(draws.shift[0])
    (45, 1.180286, 42)
    """
    padding, shift = np.empty((2, n), dtype=np.int64)
    factor, shear = np.empty((2, n))
    correlated, independent = np.empty((2, n, WORKING_LENGTH))
    for i in range(n):
        padding[i] = SHORTEST_PADDING + int(PADDINGS * legacy.rand())
        factor[i] = 1 + SCALE * (legacy.rand() - 0.5)
        shift[i] = legacy.randint(MAX_SHIFT)
        correlated[i] = legacy.randn(WORKING_LENGTH)
        independent[i] = legacy.randn(WORKING_LENGTH)
        shear[i] = SHEAR * (legacy.rand() - 0.5)
    return Draws(padding, factor, shift, correlated, independent, shear, legacy.permutation(n))


def make_signals(y: np.ndarray, draws: Draws) -> np.ndarray:
    """Turn classes and random numbers into signals, all examples at once.

    Parameters
    ----------
    y : ndarray of int, (N,)
        The classes.
    draws : Draws
        As `draw` gives them.

    Returns
    -------
    ndarray of float64, (N, 40)
        Not yet shuffled and not yet standardised.

    Examples
    --------
    >>> import numpy as np
    >>> make_signals(np.arange(3), draw(np.random.RandomState(1), 3)).shape
    (3, 40)
    """
    squeezed = pad_and_squeeze(prepare_templates())  # (10, 25, 72)
    v = squeezed[y, draws.padding - SHORTEST_PADDING]  # (N, 72)
    v = v * draws.factor[:, None]
    v = rotate_right(v, draws.shift)
    v = np.where(v == 0, smooth(CORRELATED_NOISE * draws.correlated), v)  # noise in place of the padding
    v = v + NOISE * draws.independent
    v = v - draws.shear[:, None] * np.linspace(-0.5, 0.5, WORKING_LENGTH)
    return np.stack([resample(row, FINAL_LENGTH) for row in v])


def prepare_templates() -> np.ndarray:
    """The ten curves (10, 12): standardised one by one, moved to start and end at 0, divided by 6.

    Examples
    --------
    >>> bool(prepare_templates()[:, 0].any())
    False
    """
    v = np.array(TEMPLATES)
    v = v - v.mean(axis=1, keepdims=True)
    v = v / v.std(axis=1, keepdims=True)  # the population standard deviation, ddof = 0
    v = v - v[:, :1]
    return v / 6


def pad_and_squeeze(templates: np.ndarray) -> np.ndarray:
    """Each template behind each possible padding, resampled to 72 points: long padding squeezes the curve.

    There are only 10 x 25 such curves, so they are made once and looked up.

    Parameters
    ----------
    templates : (10, 12), of ``prepare_templates``

    Returns
    -------
    (10, 25, 72): template, padding of 36 ... 60 zeros, point

    Examples
    --------
    >>> pad_and_squeeze(prepare_templates()).shape
    (10, 25, 72)
    """
    lifted = templates + OFFSET
    paddings = range(SHORTEST_PADDING, SHORTEST_PADDING + PADDINGS)
    return np.array([[resample(np.pad(v, (0, zeros)), WORKING_LENGTH) for zeros in paddings] for v in lifted])


def resample(v: np.ndarray, n: int) -> np.ndarray:
    """Linear interpolation of v (m,) at n equally spaced places, both ends included.

    Parameters
    ----------
    v : (m,) values at equally spaced places
    n : how many are wanted

    Returns
    -------
    (n,)

    Examples
    --------
    >>> import numpy as np
    >>> resample(np.array([0.0, 2.0]), 3)
    array([0., 1., 2.])
    """
    return np.interp(np.linspace(0, 1, n), np.linspace(0, 1, len(v)), v)


def rotate_right(v: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Row i moved to the right by shift[i] places; what falls off the end comes in at the front.

    Parameters
    ----------
    v : (N, L) signals
    shift : (N,) integers, places to the right

    Returns
    -------
    (N, L), a copy

    Examples
    --------
    >>> import numpy as np
    >>> rotate_right(np.array([[1, 2, 3, 4], [5, 6, 7, 8]]), np.array([1, 0]))
    array([[4, 1, 2, 3], [5, 6, 7, 8]])
    """
    places = np.arange(v.shape[1]) - shift[:, None]  # (N, 72), negative places count from the end
    return np.take_along_axis(v, places % v.shape[1], axis=1)


def smooth(noise: np.ndarray) -> np.ndarray:
    """Gaussian smoothing of each row, sigma = 2, reach 8; at the border the row goes on as its mirror image.

    Parameters
    ----------
    noise : (N, L)

    Returns
    -------
    (N, L)

    Examples
    --------
    >>> import numpy as np
    >>> bool(smooth(np.ones((1, 72))).std() < 1e-15)
    True
    """
    j = np.arange(-SMOOTHING_REACH, SMOOTHING_REACH + 1)
    weights = np.exp(-(j**2) / (2 * SMOOTHING**2))
    weights = weights / weights.sum()
    mirrored = np.pad(
        noise, ((0, 0), (SMOOTHING_REACH, SMOOTHING_REACH)), mode="symmetric"
    )  # d c b a | a b c d | d c b a
    windows = np.lib.stride_tricks.sliding_window_view(mirrored, len(weights), axis=1)  # (N, 72, 17)
    return windows @ weights

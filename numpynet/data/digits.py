"""The small real data set that comes with the package: 1797 handwritten digits of 8 x 8 pixels.

They load in a moment and need no download, so they are the data of the first lessons and of most tests. Thirteen people
wrote them; a scan of 32 x 32 dots was cut into blocks of 4 x 4, and a pixel counts the ink dots of its block, 0 to 16.
"""

from __future__ import annotations

from importlib import resources

import numpy as np

from numpynet.data.dataset import Dataset, Split, check_count, check_real_dtype

SOURCE = "Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak, UCI Machine Learning Repository, 1998, CC BY 4.0"


def load_digits(*, dtype: np.typing.DTypeLike = np.float32, n_test: int = 360, seed: int = 0) -> Dataset:
    """Load the handwritten digits, scaled to [0, 1].

    The rows are shuffled by ``np.random.default_rng(seed).permutation(1797)``; the first n_test of that order are the
    test part. The seed is fixed by default, so that everybody talks about the same split.

    Parameters
    ----------
    dtype : dtype
        Of x; real floating.
    n_test : int
        Examples in the test part, 1 ... 1796; by default 360, a fifth.
    seed : int
        Of the shuffle.

    Returns
    -------
    Dataset
        x (N, 64), y (N,), 10 classes, image_shape (8, 8).

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    References
    ----------
    E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998; CC BY
    4.0. See ``digits.LICENSE.txt`` beside this file.

    Examples
    --------
    >>> digits = load_digits()
    >>> digits.train.x.shape, digits.test.x.shape, float(digits.train.x.max())
    ((1437, 64), (360, 64), 1.0)
    """
    dtype = check_real_dtype(dtype)
    with (
        resources.files("numpynet.data").joinpath("digits.npz").open("rb") as file,
        np.load(file, allow_pickle=False) as npz,
    ):
        x = npz["x"].astype(dtype) / dtype.type(16)  # (1797, 64), exact: sixteenths
        y = npz["y"].astype(np.int64)  # (1797,)
    n_test = check_count(n_test, "n_test", 1, len(x) - 1)
    order = np.random.default_rng(check_count(seed, "seed", 0)).permutation(len(x))
    test, train = order[:n_test], order[n_test:]
    return Dataset("digits", Split(x[train], y[train]), Split(x[test], y[test]), 10, (8, 8), SOURCE)

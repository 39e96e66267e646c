"""Data to learn from: digits (in the package), MNIST-1D (generated), MNIST (downloaded or your own files), and toys.

Every loader returns a `Dataset`: a training and a test `Split` with x (N, d) of floating numbers and y (N,) of classes.
"""

from numpynet.data.dataset import Dataset, Split, check_split, split_validation
from numpynet.data.digits import load_digits
from numpynet.data.fetch import FetchError, fetch_mnist
from numpynet.data.mnist import data_folder, load_mnist
from numpynet.data.mnist1d import load_mnist1d
from numpynet.data.toys import make_spirals, make_xor

__all__ = [
    "Dataset",
    "FetchError",
    "Split",
    "check_split",
    "data_folder",
    "fetch_mnist",
    "load_digits",
    "load_mnist",
    "load_mnist1d",
    "make_spirals",
    "make_xor",
    "split_validation",
]

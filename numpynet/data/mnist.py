"""MNIST: 70 000 handwritten digits of 28 x 28 pixels, read from the four well-known files.

The files are not part of the package. `fetch_mnist` (or ``numpynet data fetch mnist``) downloads them once; files that you
have already are found in the folder that you name. Either way they are checked to the last bit before they are used.
"""

from __future__ import annotations

import gzip
import hashlib
import math
import os
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from numpynet.data.dataset import Dataset, Split, check_real_dtype

MNIST_SHA256 = {  # of the unpacked files
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
SOURCE = (
    "MNIST, Y. LeCun, C. Cortes and C. J. C. Burges, 1998, made from NIST's databases; distributed under CC BY-SA 3.0"
)


def load_mnist(
    folder: str | os.PathLike | None = None,
    *,
    dtype: np.typing.DTypeLike = np.float32,
    sha256: Mapping[str, str] | None = MNIST_SHA256,
) -> Dataset:
    """Load MNIST, scaled to [0, 1].

    Parameters
    ----------
    folder : path-like, optional
        Where the files are, packed (.gz) or not, there or in its sub-folder ``mnist``; see `data_folder` for the
        default.
    dtype : dtype
        Of x; real floating. In float32 the images take 220 MB.
    sha256 : mapping, optional
        The SHA-256 of each unpacked file. None accepts other files of the same names and form, such as Fashion-MNIST.

    Returns
    -------
    Dataset
        train with 60 000 and test with 10 000 examples, x (N, 784), y (N,), 10 classes, image_shape (28, 28).

    Raises
    ------
    FileNotFoundError
        If a file is missing; it says where it was looked for and how to get it.
    ValueError
        If a file is damaged, of another format, or not the one of MNIST; it names the file and the reason.

    Examples
    --------
    >>> load_mnist("an/empty/folder")
    Traceback (most recent call last):
    ...
    FileNotFoundError: MNIST is not in an/empty/folder: train-images-idx3-ubyte, ... missing ...
    """
    dtype = check_real_dtype(dtype)
    where = data_folder(folder)
    paths = {name: find_mnist_file(where, name) for name in MNIST_SHA256}
    if missing := [name for name, path in paths.items() if path is None]:
        raise FileNotFoundError(
            f"MNIST is not in {where}: {', '.join(missing)} missing (with or without .gz, there or in its sub-folder "
            f"mnist). Download it with 'numpynet data fetch mnist', or name the folder: load_mnist(folder) or NUMPYNET_DATA"
        )
    train, test = (
        _read_part(paths[f"{part}-images-idx3-ubyte"], paths[f"{part}-labels-idx1-ubyte"], dtype, sha256)
        for part in ("train", "t10k")
    )
    return Dataset("mnist", train, test, 10, (28, 28), SOURCE)


def data_folder(folder: str | os.PathLike | None = None) -> Path:
    """Say where downloaded data live: the folder given, else $NUMPYNET_DATA, else the user's cache.

    The cache is ``$XDG_CACHE_HOME/numpynet`` or ``~/.cache/numpynet``. The folder need not exist.

    Parameters
    ----------
    folder : that was asked for, or None

    Returns
    -------
    Path

    Examples
    --------
    >>> data_folder("my data").name
    'my data'
    """
    if folder is not None:
        return Path(folder)
    if chosen := os.environ.get("NUMPYNET_DATA"):
        return Path(chosen)
    cache = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(cache):  # unset; and by the XDG rules a relative one is ignored
        cache = os.path.expanduser("~/.cache")
    return Path(cache, "numpynet")


def find_mnist_file(folder: Path, name: str) -> Path | None:
    """Find one of the four files in the folder or its sub-folder mnist, packed or not; None if it is not there.

    The spelling ``train-images.idx3-ubyte`` with a dot, which some archives use, is found as well.

    Parameters
    ----------
    folder : to look in
    name : of the file, without .gz

    Returns
    -------
    Path, or None

    Examples
    --------
    >>> find_mnist_file(Path("an/empty/folder"), "t10k-labels-idx1-ubyte") is None
    True
    """
    spellings = (name, name.replace("-idx", ".idx"))
    candidates = (
        place / f"{spelling}{end}"
        for place in (folder, folder / "mnist")
        for end in (".gz", "")
        for spelling in spellings
    )
    return next((path for path in candidates if path.is_file()), None)


def unpack(content: bytes, name: object) -> bytes:
    """Unpack gzip data, or return data that are not packed as they are; name is for the error.

    Parameters
    ----------
    content : of a file
    name : for the error

    Returns
    -------
    The unpacked bytes.

    Raises
    ------
    ValueError
        If packed data are damaged.

    Examples
    --------
    >>> unpack(gzip.compress(b"abc"), "file.gz"), unpack(b"abc", "file")
    (b'abc', b'abc')
    """
    if not content.startswith(b"\x1f\x8b"):  # what gzip begins with; an IDX file begins with zeros
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{name} is damaged, it cannot be unpacked: {error}") from error


def parse_idx(content: bytes, ndim: int, name: object) -> np.ndarray:
    """Read an IDX file of bytes: two zeros, 8 for "bytes", the number of axes, each length in 4 bytes, then the data.

    Parameters
    ----------
    content : bytes
        The unpacked file.
    ndim : int
        Axes it must have: 3 for images, 1 for labels.
    name : path or str
        For errors.

    Returns
    -------
    ndarray of uint8
        Read-only: a view of content.

    Raises
    ------
    ValueError
        If magic number or length are wrong, even by one byte; it names the file and the reason.

    Examples
    --------
    >>> parse_idx(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 2, 1]), 1, "labels").tolist()
    [7, 2, 1]
    """
    magic = bytes([0, 0, 8, ndim])
    if content[:4] != magic:
        raise ValueError(
            f"{name} is not an IDX file of bytes with {ndim} axes: it begins with {content[:4].hex(' ') or 'nothing'}, "
            f"expected {magic.hex(' ')}"
        )
    start = 4 + 4 * ndim
    if len(content) < start:
        raise ValueError(f"{name} is cut short: {len(content)} bytes, its header alone has {start}")
    shape = tuple(int(n) for n in np.frombuffer(content, ">u4", count=ndim, offset=4))
    expected = start + math.prod(shape)
    if len(content) != expected:
        state = "is cut short" if len(content) < expected else "has bytes after its end"
        raise ValueError(f"{name} {state}: {len(content)} bytes, its header announces {expected} for shape {shape}")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _read_part(images_path: Path, labels_path: Path, dtype: np.dtype, sha256: Mapping[str, str] | None) -> Split:
    images = parse_idx(_read_verified(images_path, sha256), 3, images_path)  # (N, rows, columns)
    labels = parse_idx(_read_verified(labels_path, sha256), 1, labels_path)  # (N,)
    if images.shape[1:] != (28, 28) or len(images) == 0:
        raise ValueError(f"{images_path} holds images of shape {images.shape}, but (N, 28, 28) with N > 0 is needed")
    if len(labels) != len(images):
        raise ValueError(f"{labels_path} holds {len(labels)} labels for the {len(images)} images of {images_path.name}")
    if labels.max() > 9:
        raise ValueError(f"{labels_path} holds the label {labels.max()}, but labels are 0 ... 9")
    return Split(images.reshape(len(images), 784) / dtype.type(255), labels.astype(np.int64))


def _read_verified(path: Path, sha256: Mapping[str, str] | None) -> bytes:
    content = unpack(path.read_bytes(), path)
    if sha256 is not None and not is_genuine(content, path.name, sha256):
        raise ValueError(
            f"{path} is not the file of MNIST (its SHA-256 differs): it is damaged or of another data set; "
            "remove it and run 'numpynet data fetch mnist', or pass sha256=None to read it all the same"
        )
    return content


def is_genuine(content: bytes, file_name: str, sha256: Mapping[str, str]) -> bool:
    """Say whether unpacked content has the SHA-256 that is known for a file of this name (.gz and the dot do not count).

    Parameters
    ----------
    content : unpacked
    file_name : under which it is known
    sha256 : file name -> known digest

    Returns
    -------
    True or False.

    Examples
    --------
    >>> is_genuine(b"", "empty.gz", {"empty": hashlib.sha256(b"").hexdigest()})
    True
    """
    name = file_name.removesuffix(".gz").replace(".idx", "-idx")
    return hashlib.sha256(content).hexdigest() == sha256[name]

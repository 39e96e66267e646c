"""Finished parts of long experiments, kept in a folder: interrupted and started again, nothing is computed twice.

A part is a dict of arrays and the settings that it was computed from. Its file is named after the digest of these settings,
and the digest is checked again when it is read. So a part is used only where every setting is the same, numpynet's and
NumPy's versions included; other settings make another file beside it, and nothing is mixed or overwritten. A damaged file
is an error, never a reason to go on with what is left.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from numpynet.report import versions
from numpynet.storage import StorageError, load_arrays, save_arrays

KIND = "part of an experiment"


def settings_digest(settings: Mapping[str, object]) -> str:
    """Return the SHA-256 of settings and of the versions that a result may depend on, in hexadecimal.

    Parameters
    ----------
    settings : text, numbers, lists and dicts of these; the order of names does not count

    Returns
    -------
    64 hexadecimal digits.

    Examples
    --------
    >>> settings_digest({"seed": 1, "steps": 3}) == settings_digest({"steps": 3, "seed": 1})
    True
    >>> settings_digest({"seed": 1}) == settings_digest({"seed": 2})
    False
    """
    text = json.dumps(_described(settings), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def kept(
    folder: Path | None,
    name: str,
    settings: Mapping[str, object],
    compute: Callable[[], Mapping[str, np.ndarray]],
) -> dict[str, np.ndarray]:
    """Return the arrays of a part: from the folder if they are there, else computed, and kept there.

    Parameters
    ----------
    folder : where parts are kept, made if need be; None keeps nothing
    name : a word or two for the file
    settings : everything that the arrays depend on, as text, numbers, lists and dicts of these
    compute : makes the arrays, if it must

    Returns
    -------
    name -> array

    Raises
    ------
    StorageError
        The file is damaged, or was given another part's name. Delete it to compute the part anew.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     first = kept(Path(folder), "sum", {"n": 3}, lambda: {"s": np.arange(3).sum(keepdims=True)})
    ...     again = kept(Path(folder), "sum", {"n": 3}, lambda: 1 / 0)                        # not called
    >>> first["s"], again["s"]
    (array([3]), array([3]))
    """
    if folder is None:
        return dict(compute())
    digest = settings_digest(settings)
    path = folder / f"{name}-{digest[:12]}.npz"
    if path.exists():
        arrays, metadata = load_arrays(path, kind=KIND)
        if metadata.get("digest") != digest:
            raise StorageError(f"cannot use {path}: it was computed from other settings; delete it to do it anew")
        return arrays
    arrays = {key: np.asarray(array) for key, array in compute().items()}
    folder.mkdir(parents=True, exist_ok=True)
    save_arrays(path, arrays, kind=KIND, metadata={"digest": digest, "settings": _described(settings)})
    return arrays


def _described(settings: Mapping[str, object]) -> dict[str, object]:
    return {**settings, "versions": versions()}

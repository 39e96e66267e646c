"""Files that are written whole or not at all, and that are checked before a single number of them is believed.

An interrupted run, a full disk or a flipped bit must never turn into a wrong result. So a file is first written under
another name, and takes its own name only when all of it is on the disk. Arrays are kept in a ``.npz`` file without
pickles (``np.load`` opens it), together with one JSON document that says what they are:

    run.npz  =  __numpynet__  the document: kind, format version, metadata, SHA-256 of each array
                W1, b1, ...   the arrays
                comment       SHA-256 of everything above, the seal of the file
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import math
import os
import secrets
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

FORMAT_VERSION = 1

_DOCUMENT = "__numpynet__"  # the reserved name of the JSON document among the arrays
_SEAL_LENGTH = 64  # a SHA-256 in hexadecimal: the last bytes of the file, as the comment of the zip archive
_DAMAGED = "it is damaged: it was cut short, or changed after it was written"


class StorageError(ValueError):
    """A file that cannot be trusted; the message names the file and the reason in one sentence."""


def write_bytes(path: str | os.PathLike, data: bytes) -> None:
    """Write a file so that, whatever happens, either the whole new file or the whole old one is there.

    The data go to a temporary name in the same folder and are forced to the disk before the file takes its final name.

    Parameters
    ----------
    path : path-like
        The file; its folder must exist. A symbolic link is followed.
    data : bytes
        The whole content.

    Raises
    ------
    OSError
        If the file cannot be written (disk full, no permission, ...). It names the file; no part of it is left.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_bytes(pathlib.Path(folder, "seeds.bin"), b"1 2 3")
    ...     pathlib.Path(folder, "seeds.bin").read_bytes()
    b'1 2 3'
    """
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise TypeError(f"data must be bytes, got {type(data).__name__}; use write_text for text")
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise FileNotFoundError(f"cannot write {path}: the folder {target.parent} does not exist; create it first")
    temporary = target.parent / f".numpynet-{secrets.token_hex(8)}.tmp"
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException as error:  # also an interrupt from the keyboard leaves nothing behind
        with contextlib.suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):
            reason = f"{error.strerror or error}; nothing was written, an older file is as it was"
            raise OSError(error.errno, reason, str(path)) from error
        raise
    _sync_folder(target.parent)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write a text file in UTF-8, whole or not at all (see `write_bytes`); line ends are kept as they are.

    Parameters
    ----------
    path : of the file, which is replaced
    text : what it will hold

    Returns
    -------
    x

    Raises
    ------
    TypeError
        text is no str.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_text(pathlib.Path(folder, "note.txt"), "density 0.8")
    ...     pathlib.Path(folder, "note.txt").read_text(encoding="utf-8")
    'density 0.8'
    """
    if not isinstance(text, str):
        raise TypeError(f"text must be a str, got {type(text).__name__}; use write_bytes for bytes")
    write_bytes(path, text.encode("utf-8"))


def digest(array: np.ndarray) -> str:
    """Compute the SHA-256 of an array: of its dtype, its shape and its numbers, not of how they lie in memory.

    Parameters
    ----------
    array : ndarray
        Any shape; booleans, integers, floating or complex numbers, or fixed-width strings.

    Returns
    -------
    str
        64 hexadecimal characters, the same on every machine.

    Raises
    ------
    TypeError
        If it is no such array (objects, structured types, long doubles, masked arrays).

    Examples
    --------
    >>> import numpy as np
    >>> W = np.arange(6.0).reshape(2, 3)
    >>> digest(W) == digest(np.asfortranarray(W)), digest(W) == digest(W.reshape(3, 2))
    (True, False)
    """
    _check_array("array", array)
    little = np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")
    sha256 = hashlib.sha256(f"{little.dtype.str} {little.shape} ".encode())
    sha256.update(little.tobytes())
    return sha256.hexdigest()


def save_arrays(
    path: str | os.PathLike,
    arrays: Mapping[str, np.ndarray],
    *,
    kind: str,
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Write named arrays and what is known about them to one ``.npz`` file, whole or not at all.

    The same content in the same order gives the same bytes, today and tomorrow.

    Parameters
    ----------
    path : path-like
        The file; its folder must exist. Nothing is appended to the name.
    arrays : mapping from str to ndarray
        What `digest` accepts. The dtype is kept, the memory layout is not: arrays come back in C order.
    kind : str
        What the file is, for example ``"checkpoint"``; `load_arrays` asks for it again.
    metadata : mapping, optional
        Anything that JSON can say: dict with str keys, list, str, int of any size (so the state of a bit generator),
        finite float, bool, None. A tuple comes back as a list.

    Raises
    ------
    TypeError, ValueError
        If an array, a name or the metadata cannot be stored faithfully; no file is touched then.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "start.npz")
    ...     save_arrays(path, {"W1": np.ones((2, 3))}, kind="start", metadata={"seed": 7})
    ...     arrays, metadata = load_arrays(path, kind="start")
    >>> arrays["W1"].shape, metadata
    ((2, 3), {'seed': 7})
    """
    if not isinstance(kind, str) or not kind:
        raise TypeError(f"kind must be a non-empty str that says what the file is, got {kind!r}")
    if not isinstance(arrays, Mapping):
        raise TypeError(f"arrays must be a mapping from names to arrays, got {type(arrays).__name__}")
    metadata = {} if metadata is None else metadata
    if not isinstance(metadata, Mapping):
        raise TypeError(f"metadata must be a mapping, got {type(metadata).__name__}")
    for name, array in arrays.items():
        _check_name(name)
        _check_array(f"arrays[{name!r}]", array)
    document = {
        "version": FORMAT_VERSION,
        "kind": kind,
        "metadata": _plain(metadata, "metadata"),
        "sha256": {name: digest(array) for name, array in arrays.items()},
    }
    json_bytes = np.frombuffer(json.dumps(document, allow_nan=False).encode("ascii"), dtype=np.uint8)
    write_bytes(path, _sealed_archive({_DOCUMENT: json_bytes, **arrays}))


def load_arrays(path: str | os.PathLike, *, kind: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read what `save_arrays` wrote; everything is verified before anything is returned.

    Parameters
    ----------
    path : path-like
        The file.
    kind : str
        What the file must be.

    Returns
    -------
    arrays : dict from str to ndarray
        In the order in which they were saved.
    metadata : dict

    Raises
    ------
    StorageError
        A ValueError: the file is missing, damaged, not ours, of another kind or from a newer numpynet.

    Examples
    --------
    >>> load_arrays("no such file.npz", kind="start")
    Traceback (most recent call last):
    ...
    numpynet.storage.StorageError: cannot load no such file.npz: it does not exist
    """

    def refuse(reason: str) -> StorageError:
        return StorageError(f"cannot load {path}: {reason}")

    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        raise refuse("it does not exist") from None
    except OSError as error:
        raise refuse(f"it cannot be read ({error.strerror or error})") from error
    if not content:
        raise refuse("it is empty")
    if not content.startswith(b"PK"):
        raise refuse("it is not an .npz file (it does not begin like one)")
    if _DOCUMENT.encode() not in content:
        raise refuse("it is not a file of numpynet (its document is missing, or it was cut short)")
    # The seal comes first: nothing of a damaged file is ever parsed.
    if content[-_SEAL_LENGTH:] != _seal(content[:-_SEAL_LENGTH]):
        raise refuse(_DAMAGED)
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as npz:
            document = json.loads(npz[_DOCUMENT].tobytes())
            version, found_kind = document["version"], document["kind"]
            if version != FORMAT_VERSION:
                raise refuse(f"it has format version {version!r}, this numpynet reads {FORMAT_VERSION}; update it")
            if found_kind != kind:
                raise refuse(f"it holds {found_kind!r}, and {kind!r} is needed here; is it the right file?")
            arrays = {name: npz[name] for name in npz.files if name != _DOCUMENT}
        metadata, digests = dict(document["metadata"]), dict(document["sha256"])
    except StorageError:
        raise
    except (ValueError, KeyError, TypeError, EOFError, OSError, RecursionError, zipfile.BadZipFile) as error:
        raise refuse(f"its content is not what numpynet writes ({error})") from error
    if missing := sorted(digests.keys() - arrays.keys()):
        raise refuse(f"arrays are missing from it: {', '.join(missing)}")
    if extra := sorted(arrays.keys() - digests.keys()):
        raise refuse(f"it holds arrays that its document does not list: {', '.join(extra)}")
    for name, array in arrays.items():
        if digest(array) != digests[name]:
            raise refuse(f"array {name} is not the one that was saved (its SHA-256 differs)")
    return arrays, metadata


def _sealed_archive(members: Mapping[str, np.ndarray]) -> bytes:
    """An uncompressed .npz archive as bytes; its comment, which zip puts last, is the SHA-256 of all before it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in members.items():
            info = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))  # no clock: same content, same bytes
            info.create_system = 3  # and no operating system
            with archive.open(info, "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(array, order="C"), version=(1, 0), allow_pickle=False)
        archive.comment = b"0" * _SEAL_LENGTH
    body = buffer.getvalue()[:-_SEAL_LENGTH]
    return body + _seal(body)


def _seal(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest().encode("ascii")


def _check_name(name: object) -> None:
    # np.load strips ".npy" from names, and zip archives cut at a zero byte and turn backslashes: keep clear of these.
    if not isinstance(name, str):
        raise TypeError(f"the names in arrays must be str, got {name!r}")
    if name == _DOCUMENT:
        raise ValueError(f"an array must not be called {name!r}: this name is reserved for the document of the file")
    if not name or not name.isprintable() or "\\" in name or name.endswith(".npy"):
        raise ValueError(f"the array name {name!r} cannot be stored: use printable text, no backslash, no '.npy' end")


def _check_array(label: str, array: object) -> None:
    if not isinstance(array, np.ndarray) or isinstance(array, np.ma.MaskedArray):
        raise TypeError(f"{label} must be a plain NumPy array, got {type(array).__name__}; convert it with np.asarray")
    dtype = array.dtype
    if dtype.kind not in "biufcSU" or dtype.char in "gG":  # g, G: long doubles, whose width depends on the machine
        raise TypeError(
            f"{label} has dtype {dtype}, which cannot be stored without pickles so that every machine reads the same; "
            "use booleans, integers, float up to 64 bits, complex up to 128 bits or fixed-width strings"
        )


def _plain(value: Any, where: str) -> Any:
    """The value as dicts, lists, str, numbers and None; whatever JSON would change or refuse raises and says where."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{where} is {value}, which JSON cannot hold; store None, or put it into an array")
        return value
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"{where} has the key {key!r} ({type(key).__name__}); JSON keys are str, convert it")
        return {key: _plain(item, f"{where}[{key!r}]") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, f"{where}[{index}]") for index, item in enumerate(value)]
    raise TypeError(
        f"{where} is of type {type(value).__name__}, which JSON cannot hold; "
        "give int(...), float(...) or .tolist() of it, or put it into arrays"
    )


def _sync_folder(folder: Path) -> None:
    """Force the new name to the disk as well, where the system can; the file itself is already whole either way."""
    if os.name == "nt":  # Windows does not open folders
        return
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

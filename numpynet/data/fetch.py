"""Download MNIST once, and be sure of it.

Networks break, stall and lie, so a file is collected under the name ``....part``, taken up where it broke off, unpacked, and
compared with its known SHA-256. Only then does it get its own name: what bears the name is whole.
"""

from __future__ import annotations

import http.client
import io
import os
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from numpynet import storage
from numpynet.data.mnist import MNIST_SHA256, data_folder, find_mnist_file, is_genuine, unpack

MNIST_MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
CHUNK = 1 << 16  # bytes between two calls of progress

Progress = Callable[[str, int, "int | None"], None]


class FetchError(ConnectionError):
    """A download that failed for good; one sentence with the file and the cause at each mirror."""


class _TryAgain(Exception):
    """A failure that the next attempt may not meet."""


class _GiveUp(Exception):
    """A failure that this mirror will repeat."""


def fetch_mnist(
    folder: str | os.PathLike | None = None,
    *,
    base_url: str | Sequence[str] = MNIST_MIRRORS,
    sha256: Mapping[str, str] = MNIST_SHA256,
    progress: Progress | None = None,
    timeout: float = 20.0,
    attempts: int = 4,
    pause: float = 1.0,
) -> Path:
    """Download the four files of MNIST (12 MB); files that are there and whole are not touched.

    Run it again after a failure: it goes on where it stopped.

    Parameters
    ----------
    folder : path-like, optional
        Where to put the files; it is made if needed. By default the sub-folder ``mnist`` of `data_folder`.
    base_url : str or sequence of str
        One mirror, or several that are tried in this order.
    sha256 : mapping
        Names of the unpacked files and their SHA-256.
    progress : callable, optional
        Called as ``progress(file name, bytes so far, bytes in all or None)``.
    timeout : float
        Seconds without a byte after which a connection counts as stalled.
    attempts : int
        Per file and mirror.
    pause : float
        Seconds before the second attempt; doubled before each further one.

    Returns
    -------
    Path
        The folder to give to `load_mnist`: the one named, or `data_folder`.

    Raises
    ------
    FetchError
        A ConnectionError: a file could not be had. What arrived of it is kept for the next call, unless it was damaged.
    ValueError
        If a file that is already there is not the one of MNIST; it is left alone.
    OSError
        If the disk refuses.

    Examples
    --------
    >>> fetch_mnist("data", base_url="ftp://example.org/mnist/")
    Traceback (most recent call last):
    ...
    ValueError: base_url is 'ftp://example.org/mnist/', but it must begin with http:// or https://
    """
    mirrors = (base_url,) if isinstance(base_url, str) else tuple(base_url)
    for mirror in mirrors:
        _check_address(mirror)
    if not mirrors or attempts < 1:
        raise ValueError(f"nothing to try: base_url is {base_url!r} and attempts is {attempts}")
    search_folder = data_folder(folder)
    target_folder = search_folder / "mnist" if folder is None else search_folder
    for name in sha256:
        found = find_mnist_file(search_folder, name)
        if found is not None:
            _check_present(found, sha256)
            continue
        target_folder.mkdir(parents=True, exist_ok=True)
        _fetch_file(mirrors, target_folder / f"{name}.gz", sha256, progress, timeout, attempts, pause)
    return search_folder


def _check_address(url: str) -> None:
    """Refuse what no server can ever answer to."""
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"base_url is {url!r}, but it must begin with http:// or https://")
    try:
        parts = urllib.parse.urlsplit(url)
        named = bool(parts.hostname) and parts.port != 0  # a port that is none raises
    except ValueError:
        named = False
    if not named or not url.isprintable() or " " in url:
        raise ValueError(f"base_url is {url!r}, which is no address; one looks like https://example.org/mnist/")


def _check_present(path: Path, sha256: Mapping[str, str]) -> None:
    if not is_genuine(unpack(path.read_bytes(), path), path.name, sha256):
        raise ValueError(
            f"{path} is there, but it is not the file of MNIST (its SHA-256 differs): it is damaged or of another data "
            "set; move it away, or choose another folder"
        )


def _fetch_file(
    mirrors: Sequence[str],
    target: Path,
    sha256: Mapping[str, str],
    progress: Progress | None,
    timeout: float,
    attempts: int,
    pause: float,
) -> None:
    part = target.with_name(f"{target.name}.part")
    causes = []
    for mirror in mirrors:
        url = f"{mirror.rstrip('/')}/{target.name}"
        for attempt in range(attempts):
            if attempt:
                time.sleep(pause * 2 ** (attempt - 1))
            try:
                _download(url, part, target.name, progress, timeout)
                content = _read_genuine(part, target.name, sha256)
            except _TryAgain as error:
                cause = f"{url} {error}"
            except _GiveUp as error:
                cause = f"{url} {error}"
                break
            else:
                storage.write_bytes(target, content)
                part.unlink()
                return
        causes.append(cause)
    raise FetchError(f"cannot fetch {target.name}: {'; '.join(causes)}")


def _download(url: str, part: Path, name: str, progress: Progress | None, timeout: float) -> None:
    """Bring the part file to its full length, starting from what is there of it."""
    start = part.stat().st_size if part.exists() else 0
    with _ask(url, start, part, timeout) as response:
        start, total = _what_comes(response, start, part)
        # Unbuffered: a full disk shows where it happens, and an interrupt loses nothing.
        with open(part, "ab" if start else "wb", buffering=0) as file:
            done = start
            while chunk := _read_chunk(response, done, total):
                _write_chunk(file, chunk, part)
                done += len(chunk)
                if progress is not None:
                    progress(name, done, total)
    if total is not None and done != total:
        raise _TryAgain(f"broke off after {done} of {total} bytes")


def _ask(url: str, start: int, part: Path, timeout: float) -> http.client.HTTPResponse:
    headers = {"User-Agent": "numpynet"}
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=timeout)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:  # there is nothing after our part: it is too long, or a part of something else
            part.unlink()
            raise _TryAgain(f"has no byte {start} to go on from") from error
        failure = _TryAgain if error.code >= 500 or error.code in (408, 429) else _GiveUp
        raise failure(f"answered {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:
        raise _TryAgain(f"did not answer ({getattr(error, 'reason', None) or error!r})") from error


def _what_comes(response: http.client.HTTPResponse, start: int, part: Path) -> tuple[int, int | None]:
    """The byte at which the answer begins and the length of the whole file, if the server says it."""
    length = response.length  # of this answer, from Content-Length
    if response.status != 206:  # the whole file, whether or not we asked for the rest alone
        return 0, length
    content_range = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
    if content_range is None or int(content_range[1]) != start:
        part.unlink(missing_ok=True)
        raise _TryAgain(f"sent another range than the one from byte {start}")
    if content_range[2] != "*":
        return start, int(content_range[2])
    return start, None if length is None else start + length


def _read_chunk(response: http.client.HTTPResponse, done: int, total: int | None) -> bytes:
    try:
        return response.read1(CHUNK)  # read1 hands over what has come, so a break loses nothing
    except (OSError, http.client.HTTPException) as error:
        state = "stalled" if isinstance(error, TimeoutError) else "broke off"
        raise _TryAgain(f"{state} after {done} of {'?' if total is None else total} bytes ({error!r})") from error


def _write_chunk(file: io.FileIO, chunk: bytes, part: Path) -> None:
    try:
        while chunk:
            chunk = chunk[file.write(chunk) :]
    except OSError as error:  # not the server's fault, and no other attempt would help
        raise OSError(error.errno, f"cannot store the download: {error.strerror}", str(part)) from error


def _read_genuine(part: Path, name: str, sha256: Mapping[str, str]) -> bytes:
    content = part.read_bytes()
    try:
        reason = None if is_genuine(unpack(content, name), name, sha256) else "its SHA-256 is not the known one"
    except ValueError as error:
        reason = str(error)
    if reason is not None:
        part.unlink()  # nothing can be built on it
        raise _TryAgain(f"sent a damaged file, which was removed ({reason})")
    return content

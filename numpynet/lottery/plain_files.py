"""JSON and CSV as the files of a run hold them: the same bytes for the same numbers, and every number to the last bit."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from numpynet.storage import StorageError

MAX_DEPTH = 50  # of lists and objects in one another; the deepest file of a run has five


def csv_text(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return a table as CSV; None becomes an empty field.

    Parameters
    ----------
    header : names of the columns
    rows : numbers, names or None, in their order

    Returns
    -------
    text

    Examples
    --------
    >>> csv_text(("step", "loss"), [(0, 0.1), (50, None)])
    'step,loss\\n0,0.1\\n50,\\n'
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def json_text(value: Any) -> str:
    """Return a value as JSON that people can read, too.

    Parameters
    ----------
    value : what JSON can hold

    Returns
    -------
    text

    Examples
    --------
    >>> json_text({"step": 50})
    '{\\n "step": 50\\n}\\n'
    """
    return json.dumps(value, indent=1, allow_nan=False) + "\n"


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file.

    Parameters
    ----------
    path : of the file

    Returns
    -------
    name -> value

    Raises
    ------
    StorageError
        There is no such file, or it holds something else.

    Examples
    --------
    >>> read_json(Path("no such file"))
    Traceback (most recent call last):
    ...
    numpynet.storage.StorageError: cannot read no such file: [Errno 2] No such file or directory: 'no such file'
    """
    try:
        value = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StorageError(f"cannot read {path}: {error}") from error
    if not isinstance(value, dict):
        raise StorageError(f"cannot read {path}: it holds no JSON object")
    return value


def parse_json(text: str) -> Any:
    """Return what a JSON text holds, unless it is so deep that whoever walks through it would come to no end.

    Parameters
    ----------
    text : in JSON

    Returns
    -------
    dicts, lists, text, numbers, bools and None

    Raises
    ------
    ValueError
        It is no JSON, or its lists and objects lie too deep in one another.

    Examples
    --------
    >>> parse_json('{"steps": [1, 2]}')
    {'steps': [1, 2]}
    >>> parse_json("[" * 1000 + "]" * 1000)
    Traceback (most recent call last):
    ...
    ValueError: lists and objects lie more than 50 deep in one another: it is damaged, or no file of numpynet
    """
    too_deep = ValueError(
        f"lists and objects lie more than {MAX_DEPTH} deep in one another: it is damaged, or no file of numpynet"
    )
    try:
        value = json.loads(text)
    except RecursionError:
        raise too_deep from None
    inside = [value]
    for _ in range(MAX_DEPTH + 1):
        nested = [item for item in inside if isinstance(item, (list, dict))]
        inside = [item for outer in nested for item in (outer.values() if isinstance(outer, dict) else outer)]
    if inside:
        raise too_deep
    return value


def json_objects(lines: bytes) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects of a log, one a line; half a line, of a process that was killed, is passed over.

    Parameters
    ----------
    lines : of the log, in UTF-8

    Yields
    ------
    name -> value

    Examples
    --------
    >>> list(json_objects(b'{"event": "begun"}\\n{"event": "star'))
    [{'event': 'begun'}]
    """
    for line in lines.splitlines():
        try:
            value = parse_json(line.decode("utf-8"))
        except ValueError:
            continue
        if isinstance(value, dict):
            yield value

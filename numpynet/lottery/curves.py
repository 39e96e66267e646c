"""The curve of a training as a table that any program reads, and that gives back every bit of the history."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from numpynet.lottery.plain_files import csv_text
from numpynet.storage import StorageError
from numpynet.training import Record

CURVE = ("step", "epoch", "lr", "batch_loss")
WATCHED = tuple(f"{split}_{what}" for split in ("validation", "test") for what in ("loss", "accuracy"))


def curve_text(history: Sequence[Record], replicate: int) -> str:
    """Return the history of one replicate of a stack as CSV, every number to the last bit.

    Parameters
    ----------
    history : of a stack
    replicate : which of it

    Returns
    -------
    text, a line for each record

    Examples
    --------
    >>> curve_text([Record(0, 0.0, None, None, *2 * [{"validation": [0.5], "test": [0.25]}])], 0).splitlines()[1]
    '0,0.0,,,0.5,0.5,0.25,0.25'
    """
    rows = []
    for record in history:
        batch_loss = None if record.batch_loss is None else record.batch_loss[replicate]
        numbers = [of[split][replicate] for split in ("validation", "test") for of in (record.loss, record.accuracy)]
        rows.append([record.step, record.epoch, record.lr, batch_loss, *numbers])
    return csv_text((*CURVE, *WATCHED), rows)


def read_curve(path: Path) -> list[Record]:
    """Return the history of one trial; every number is the one that was written, to the last bit.

    Parameters
    ----------
    path : of ``curve.csv``

    Returns
    -------
    a record for each line, with numbers in the place of lists

    Raises
    ------
    StorageError
        The file is missing or damaged.

    Examples
    --------
    >>> read_curve(Path("no such file"))
    Traceback (most recent call last):
    ...
    numpynet.storage.StorageError: cannot load no such file: it does not exist
    """
    try:
        rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="ascii"))))
        history = []
        for row in rows:
            number = {name: float(text) if text else None for name, text in row.items()}
            loss, accuracy = (
                {split: number[f"{split}_{what}"] for split in ("validation", "test")} for what in ("loss", "accuracy")
            )
            history.append(
                Record(int(row["step"]), number["epoch"], number["lr"], number["batch_loss"], loss, accuracy)
            )
    except FileNotFoundError:
        raise StorageError(f"cannot load {path}: it does not exist") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StorageError(f"cannot load {path}: it is no curve of numpynet ({error})") from error
    if not history:
        raise StorageError(f"cannot load {path}: it is empty")
    return history


def stacked_history(histories: Sequence[Sequence[Record]]) -> list[Record]:
    """Put the histories of several trials side by side, as a stack of replicates records them.

    Parameters
    ----------
    histories : one for each of R trials, equally long

    Returns
    -------
    a history, with lists of R numbers

    Examples
    --------
    >>> one = [Record(0, 0.0, None, None, {"test": 2.0}, {"test": 0.1})]
    >>> stacked_history([one, one])[0].loss
    {'test': [2.0, 2.0]}
    """
    stacked = []
    for records in zip(*histories, strict=True):
        first = records[0]
        batch_loss = None if first.batch_loss is None else [r.batch_loss for r in records]
        loss, accuracy = (
            {name: [getattr(r, of)[name] for r in records] for name in getattr(first, of)}
            for of in ("loss", "accuracy")
        )
        stacked.append(first._replace(batch_loss=batch_loss, loss=loss, accuracy=accuracy))
    return stacked

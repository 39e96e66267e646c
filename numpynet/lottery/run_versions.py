"""With which versions a run was trained: its log says it of every training, whoever reports the run later.

A run that goes on, or whose workers are on other machines, may have been trained with several. Where the log does not
say it, because it is gone or was written by an older numpynet, the versions that the run was begun with are taken.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from numpynet.lottery.imp import Arm
from numpynet.lottery.plain_files import json_objects, read_json
from numpynet.storage import StorageError

UNKNOWN = "not known"


def other_versions(folder: Path, environment: Mapping[str, str]) -> list[str]:
    """Return what a run was begun with that is of another version now.

    Parameters
    ----------
    folder : of the run
    environment : name -> version, as it is now

    Returns
    -------
    a line for each difference

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as name:
    ...     _ = (Path(name) / "environment.json").write_text('{"NumPy": "2.1.0"}')
    ...     other_versions(Path(name), {"NumPy": "2.4.6"})
    ['NumPy 2.1.0, now 2.4.6']
    """
    try:
        begun = read_json(folder / "environment.json")
    except StorageError as error:
        return [f"versions that are not known ({error})"]
    return [f"{name} {begun[name]}, now {now}" for name, now in environment.items() if begun.get(name, now) != now]


def trained_with(folder: Path, rows: Sequence[Mapping[str, Any]]) -> dict[str, Counter[str]]:
    """Return which versions trained what is done, and how many trainings each of them.

    A training that was interrupted and went on with another version counts for both.

    Parameters
    ----------
    folder : of the run
    rows : of ``run_results.finished``

    Returns
    -------
    name, such as "NumPy" -> version -> number of trainings; the version is ``UNKNOWN`` where no file says it

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from numpynet.lottery.run_folder import log
    >>> rows = [{"trial": trial, "level": 0, "arm": "ticket", "draw": 0} for trial in (0, 1, 2)]
    >>> with TemporaryDirectory() as name:
    ...     log(Path(name), "started", trials=[0, 1], level=0, arm="ticket", versions={"NumPy": "2.1.0"})
    ...     log(Path(name), "started", trials=[2], level=0, arm="ticket", versions={"NumPy": "2.4.6"})
    ...     trained_with(Path(name), rows)
    {'NumPy': Counter({'2.1.0': 2, '2.4.6': 1})}
    """
    of_training = _of_trainings(folder)
    begun = _begun_with(folder)
    known = [
        [versions for versions in of_training.get(_key(row), []) if versions] or [begun] for row in rows
    ]  # for each training, those who took part
    names = dict.fromkeys(name for took_part in known for versions in took_part for name in versions)
    return {
        name: Counter(
            version
            for took_part in known
            for version in dict.fromkeys(versions.get(name, UNKNOWN) for versions in took_part)
        )
        for name in names or ("versions",)
    }


def versions_text(counts: Mapping[str, int]) -> str:
    """Return the version, or all of them with the number of their trainings.

    Parameters
    ----------
    counts : version -> number of trainings, of ``trained_with``

    Returns
    -------
    text

    Examples
    --------
    >>> versions_text({"2.1.0": 3}), versions_text({"2.1.0": 3, "2.4.6": 1})
    ('2.1.0', '2.1.0 (3 trainings), 2.4.6 (1 training)')
    """
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{version} ({n} training{'s' if n > 1 else ''})" for version, n in counts.items())


def _key(row: Mapping[str, Any]) -> tuple[int, int, str]:
    return row["trial"], row["level"], str(Arm(row["arm"], row["draw"]))


def _of_trainings(folder: Path) -> dict[tuple[int, int, str], list[dict[str, str]]]:
    """Return (trial, level, arm) -> the versions of everyone who took part in the training that is kept."""
    found: dict[tuple[int, int, str], list[dict[str, str]]] = {}
    of_command: dict[str, str] = {}
    path = folder / "log.jsonl"
    for event in json_objects(path.read_bytes()) if path.exists() else ():
        what = event.get("event")
        versions = _checked(event.get("versions"))
        if what == "begun":
            of_command = versions
        elif what in ("started", "resumed", "trained"):
            trials, level, arm = (event.get(name) for name in ("trials", "level", "arm"))
            if not isinstance(trials, list) or not all(isinstance(n, int) for n in (*trials, level)):
                continue  # no line of ours
            for trial in trials:
                took_part = found.setdefault((trial, level, str(arm)), [])
                if what == "started":  # from the first step on, so whatever was trained before has no part in it
                    took_part[:] = [versions]
                elif what == "resumed":
                    took_part.append(versions or of_command)
                elif not took_part:  # a log of before "started"
                    took_part.append(of_command)
    return found


def _begun_with(folder: Path) -> dict[str, str]:
    try:
        return _checked(read_json(folder / "environment.json"))
    except StorageError:
        return {}


def _checked(versions: Any) -> dict[str, str]:
    return {name: v for name, v in versions.items() if isinstance(v, str)} if isinstance(versions, dict) else {}

"""The folder of a run: readable names, files that are whole or not there, and nothing that cannot be checked.

    config.json                         every option, and the SHA-256 of them all: the identity of the run
    data.json                           the data set, digests of its arrays and of the validation split
    environment.json                    versions that the run was begun with
    log.jsonl                           what happened when, and which versions trained what; the only file with times in it
    trial_00/start.npz                  theta_0 (and, with late rewinding, theta_k and the optimizer's memory at k)
    trial_00/level_03/mask.npz          the mask, a bit for each weight
    trial_00/level_03/final.npz         the weights after the last step, which the next mask is cut from
    trial_00/level_03/curve.csv         step, learning rate, losses and accuracies
    trial_00/level_03/summary.json      the numbers of the tables; written last, it says that the level is done
    trial_00/controls/reinit_0/level_03/    the same files for a control
    checkpoints/                        trainings that are not done yet
    results.csv                         all summaries in one table

Every file except the log, the environment and the checkpoints has the same bytes however often the run was interrupted.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from numpynet.lottery.experiment import Examples, Experiment, differences, from_json, identity
from numpynet.lottery.plain_files import json_text, read_json
from numpynet.storage import StorageError, digest, write_text


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder, so that a second process is refused; a process that is killed holds nothing any more.

    Parameters
    ----------
    folder : of the run; it exists

    Yields
    ------
    nothing, while the folder is held

    Raises
    ------
    StorageError
        Another process holds it.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as name:
    ...     with locked(Path(name)):
    ...         sorted(p.name for p in Path(name).iterdir())
    ['lock']
    """
    with open(folder / "lock", "a+", encoding="ascii") as file:
        file.seek(0)
        owner = file.read().strip()
        try:
            _lock(file)
        except OSError:
            raise StorageError(
                f"another process{f' ({owner})' if owner else ''} is working in {folder} [lock]: wait for it, end it, or "
                "take another folder with --out"
            ) from None
        file.seek(0)
        file.truncate()
        file.write(f"process {os.getpid()}\n")
        file.flush()
        yield


def _lock(file) -> None:
    if os.name == "nt":
        import msvcrt

        file.seek(1 << 20)  # a byte that nobody reads: a locked one could not be read either
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def claim(folder: Path, experiment: Experiment, examples: Examples, environment: Mapping[str, str]) -> bool:
    """Make the folder that of this experiment, or check that it is; return whether there was a run in it already.

    Parameters
    ----------
    folder : of the run
    experiment, examples : what is to be run, and on what
    environment : name -> version; that of the beginning is kept

    Returns
    -------
    True if there was a run, which is this one

    Raises
    ------
    StorageError
        The folder holds another experiment, or one that nobody knows any more, or its data were others; the message says what differs.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from numpynet.lottery.experiment import load_examples
    >>> experiment = Experiment(data="digits", sizes=(64, 10), validation=200)
    >>> with TemporaryDirectory() as name:
    ...     [claim(Path(name), experiment, load_examples(experiment), {}) for _ in range(2)]
    [False, True]
    """
    data = data_record(examples)
    known = (folder / "config.json").exists()
    if known:
        stored = read_experiment(folder)
        if different := differences(stored, experiment):
            raise StorageError(
                f"{folder} holds another experiment: {'; '.join(different)}. Repeat its command to go on with it, or "
                "take another folder with --out"
            )
    elif any(folder.glob("trial_*/start.npz")):
        raise StorageError(
            f"{folder} holds the trainings of a run, but config.json, which says of which one, is gone: put it back, or take "
            "another folder with --out"
        )
    if (folder / "data.json").exists():
        stored_data = read_json(folder / "data.json")
        if stored_data != data:
            different = [key for key in data if stored_data.get(key) != data[key]]
            raise StorageError(f"the data of {folder} were others: {', '.join(different)} differ")
    else:
        write_text(folder / "data.json", json_text(data))
    if not known:
        write_text(folder / "environment.json", json_text(environment))
        write_text(
            folder / "config.json",
            json_text({"digest": identity(experiment.as_json()), "experiment": experiment.as_json()}),
        )
    return known


def data_record(examples: Examples) -> dict[str, Any]:
    """What identifies the examples: names, sizes and digests.

    Parameters
    ----------
    examples : of an experiment

    Returns
    -------
    name -> text or number, as ``data.json`` holds it

    Examples
    --------
    >>> from numpynet.lottery.experiment import load_examples
    >>> data_record(load_examples(Experiment(data="digits", sizes=(64, 10), validation=200)))["train_n"]
    1237
    """
    record: dict[str, Any] = {"name": examples.data.name, "source": examples.data.source}
    for part, split in (("train", examples.train), ("validation", examples.validation), ("test", examples.test)):
        record |= {f"{part}_n": len(split.x), f"{part}_x": digest(split.x), f"{part}_y": digest(split.y)}
    return record


def read_experiment(folder: Path) -> Experiment:
    """Return the configuration of the run in a folder.

    Parameters
    ----------
    folder : of the run

    Returns
    -------
    the experiment

    Raises
    ------
    StorageError
        There is no run, or its configuration cannot be read or was changed by hand.

    Examples
    --------
    >>> read_experiment(Path("no such folder"))
    Traceback (most recent call last):
    ...
    numpynet.storage.StorageError: no such folder holds no lottery run: there is no config.json in it
    """
    path = Path(folder) / "config.json"
    if not path.exists():
        raise StorageError(f"{folder} holds no lottery run: there is no config.json in it")
    stored = read_json(path)
    try:
        experiment = from_json(stored["experiment"])
        sound = stored["digest"] == identity(stored["experiment"])
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise StorageError(f"{path} is no configuration that this numpynet can read: {error}") from error
    if not sound:
        raise StorageError(f"{path} was changed after the run had begun: its digest is not that of its options")
    return experiment


def log(folder: Path, event: str, **facts: Any) -> None:
    """Add a line to the log: a JSON object with the time, the event, and what else there is to say.

    Parameters
    ----------
    folder : of the run
    event : a word
    **facts : what else there is to say, as JSON can hold it

    Raises
    ------
    OSError
        The line cannot be written.
    ValueError
        A fact is NaN or infinite.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as name:
    ...     log(Path(name), "begun", trials=[0, 1])
    ...     json.loads((Path(name) / "log.jsonl").read_text())["trials"]
    [0, 1]
    """
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")
    line = json.dumps({"time": now, "event": event, **facts}, allow_nan=False) + "\n"
    path = folder / "log.jsonl"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        size = os.fstat(descriptor).st_size
        if size:  # a process that was killed may have left half a line
            os.lseek(descriptor, -1, os.SEEK_END)
            if os.read(descriptor, 1) != b"\n":
                line = "\n" + line
        os.write(descriptor, line.encode("ascii"))
    except OSError as error:
        raise OSError(
            error.errno, f"{error.strerror or error}; nothing that was saved before is lost", str(path)
        ) from None
    finally:
        os.close(descriptor)

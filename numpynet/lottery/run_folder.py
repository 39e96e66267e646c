"""The folder of a run: readable names, files that are whole or not there, and nothing that cannot be checked.

    config.json                         every option, and the SHA-256 of them all: the identity of the run
    data.json                           the data set, digests of its arrays and of the validation split
    environment.json                    versions, for the reader
    log.jsonl                           what happened when; the only file with times in it
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
import csv
import datetime
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from numpynet.lottery.experiment import Examples, Experiment, differences, from_json, identity
from numpynet.lottery.imp import TICKET, Arm, Trained
from numpynet.lottery.rewinding import RewindPoint
from numpynet.parameters import Layout, Parameters
from numpynet.storage import StorageError, digest, load_arrays, save_arrays, write_text
from numpynet.training import Record

CURVE = ("step", "epoch", "lr", "batch_loss")
WATCHED = tuple(f"{split}_{what}" for split in ("validation", "test") for what in ("loss", "accuracy"))


# ---- the run as a whole ----------------------------------------------------------------------------------------------


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
    environment : name -> version, for the reader alone

    Returns
    -------
    True if there was a run, which is this one

    Raises
    ------
    StorageError
        The folder holds another experiment, or its data were others; the message says what differs.

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
    if (folder / "data.json").exists():
        stored_data = _read_json(folder / "data.json")
        if stored_data != data:
            different = [key for key in data if stored_data.get(key) != data[key]]
            raise StorageError(f"the data of {folder} were others: {', '.join(different)} differ")
    else:
        write_text(folder / "data.json", _json(data))
    write_text(folder / "environment.json", _json(environment))
    if not known:
        write_text(
            folder / "config.json",
            _json({"digest": identity(experiment.as_json()), "experiment": experiment.as_json()}),
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
    stored = _read_json(path)
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


# ---- one training of one trial ---------------------------------------------------------------------------------------


def place(folder: Path, trial: int, level: int, arm: Arm) -> Path:
    """Return where the files of a training are.

    Parameters
    ----------
    folder : of the run
    trial : number of the replicate
    level : number of rounds before it
    arm : the ticket, or a control and which of its draws

    Returns
    -------
    a folder; it need not exist

    Examples
    --------
    >>> place(Path("run"), 0, 3, Arm("reinit", 1)).as_posix()
    'run/trial_00/controls/reinit_1/level_03'
    """
    trial_folder = folder / f"trial_{trial:02}"
    return (trial_folder if arm == TICKET else trial_folder / "controls" / str(arm)) / f"level_{level:02}"


def save_start(
    folder: Path, trial: int, seed: int, theta_0: Parameters, point: RewindPoint | None, replicate: int
) -> None:
    """Save the initial weights of a trial, and the point to rewind to if there is one.

    Parameters
    ----------
    folder : of the run; the folder of the trial is made if need be
    trial, seed : number of the trial, and its seed
    theta_0 : initial parameters of a stack
    point : where to rewind to, of the same stack, or None
    replicate : which of the stack the trial is

    Raises
    ------
    OSError
        The file cannot be written.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> theta_0 = Parameters.ones(Layout.of_sizes((2, 3)), replicates=(1,))
    >>> with TemporaryDirectory() as name:
    ...     save_start(Path(name), 0, 7, theta_0, None, 0)
    ...     load_start(Path(name), 0, theta_0.layout)[0].vector.shape
    (9,)
    """
    arrays = {"theta_0": theta_0.vector[replicate]}
    metadata: dict[str, Any] = {"seed": seed}
    if point is not None:
        arrays["theta_k"] = point.theta.vector[replicate]
        arrays |= {f"optimizer.{name}": slot[replicate] for name, slot in point.slots.items()}
        metadata |= {"step": point.step, "optimizer_step": point.optimizer_step}
    path = folder / f"trial_{trial:02}"
    path.mkdir(parents=True, exist_ok=True)
    save_arrays(path / "start.npz", arrays, kind="lottery start", metadata=metadata)


def load_start(folder: Path, trial: int, layout: Layout) -> tuple[Parameters, RewindPoint | None]:
    """Return the initial weights of a trial, and the point to rewind to if there is one.

    Parameters
    ----------
    folder, trial : see ``place``
    layout : of the network

    Returns
    -------
    theta_0, and the point or None; of one network

    Raises
    ------
    StorageError
        The file is missing, damaged, or of another network.

    Examples
    --------
    >>> load_start(Path("no such folder"), 0, Layout.of_sizes((2, 3)))
    Traceback (most recent call last):
    ...
    numpynet.storage.StorageError: cannot load no such folder/trial_00/start.npz: it does not exist
    """
    path = folder / f"trial_{trial:02}" / "start.npz"
    arrays, metadata = load_arrays(path, kind="lottery start")
    theta_0 = _parameters(arrays["theta_0"], layout, path)
    if "theta_k" not in arrays:
        return theta_0, None
    slots = {name.removeprefix("optimizer."): a for name, a in arrays.items() if name.startswith("optimizer.")}
    theta_k = _parameters(arrays["theta_k"], layout, path)
    return theta_0, RewindPoint(metadata["step"], theta_k, slots, metadata["optimizer_step"])


def save_training(path: Path, summary: Mapping[str, Any], trained: Trained, replicate: int) -> None:
    """Save a training of one trial; the summary last, because it says that the rest is there.

    Parameters
    ----------
    path : of ``place``; made if need be
    summary : of ``outcomes.summaries``, for this replicate
    trained, replicate : the stack, and which of it

    Raises
    ------
    OSError
        A file cannot be written; the summary is not there then.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> ones, numbers = Parameters.ones(Layout.of_sizes((1, 2)), replicates=(1,)), {"validation": [0.5], "test": [0.5]}
    >>> trained = Trained(ones, ones, [Record(0, 0.0, None, None, numbers, numbers)])
    >>> summary = {f"{name}_digest": digest(ones.vector[0]) for name in ("theta", "mask")}
    >>> with TemporaryDirectory() as name:
    ...     save_training(Path(name), summary, trained, 0)
    ...     theta, weight_mask, history = load_training(Path(name), ones.layout)
    >>> theta.vector, history[0].loss
    (array([1., 1., 1., 1.], dtype=float32), {'validation': 0.5, 'test': 0.5})
    """
    path.mkdir(parents=True, exist_ok=True)
    save_mask(path / "mask.npz", trained.weight_mask.replicate(replicate))
    step = {"step": trained.history[-1].step}
    save_arrays(path / "final.npz", {"theta": trained.theta.vector[replicate]}, kind="lottery weights", metadata=step)
    write_text(path / "curve.csv", _curve(trained.history, replicate))
    write_text(path / "summary.json", _json(summary))


def read_summary(path: Path) -> dict[str, Any] | None:
    """Return the summary of a training, or None if it is not done.

    Parameters
    ----------
    path : of ``place``

    Returns
    -------
    one dict of ``outcomes.summaries``, or None

    Examples
    --------
    >>> read_summary(Path("no such folder")) is None
    True
    """
    file = path / "summary.json"
    return _read_json(file) if file.exists() else None


def load_training(path: Path, layout: Layout) -> tuple[Parameters, Parameters, list[Record]]:
    """Return theta after the last step, the mask and the history of one trial, checked against its summary.

    Parameters
    ----------
    path : of ``place``
    layout : of the network

    Returns
    -------
    theta, weight_mask : of one network
    history : its records

    Raises
    ------
    StorageError
        A file is missing or damaged, or is not the one that the summary speaks of.

    Examples
    --------
    >>> load_training(Path("no such folder"), Layout.of_sizes((2, 3)))
    Traceback (most recent call last):
    ...
    numpynet.storage.StorageError: no such folder holds no finished training: there is no summary.json in it
    """
    summary = read_summary(path)
    if summary is None:
        raise StorageError(f"{path} holds no finished training: there is no summary.json in it")
    arrays, _ = load_arrays(path / "final.npz", kind="lottery weights")
    theta, mask = _parameters(arrays["theta"], layout, path / "final.npz"), load_mask(path / "mask.npz", layout)
    mask = mask.astype(theta.dtype)
    for name, parameters in (("theta", theta), ("mask", mask)):
        if digest(parameters.vector) != summary.get(f"{name}_digest"):
            raise StorageError(f"{path}: the {name} is not the one that summary.json speaks of (its SHA-256 differs)")
    return theta, mask, read_curve(path / "curve.csv")


def save_mask(path: Path, weight_mask: Parameters) -> None:
    """Save a mask of one network with one bit for each weight; biases are never pruned and take no room.

    Parameters
    ----------
    path : of the file
    weight_mask : binary, without replicates

    Raises
    ------
    OSError
        The file cannot be written.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> mask = Parameters(np.array([1.0, 0.0, 1.0, 1.0]), Layout.of_sizes((1, 2)))
    >>> with TemporaryDirectory() as name:
    ...     save_mask(Path(name) / "mask.npz", mask)
    ...     load_mask(Path(name) / "mask.npz", mask.layout)["W1"]
    array([[1., 0.]], dtype=float32)
    """
    names = weight_mask.layout.weight_names
    arrays = {name: np.packbits(weight_mask[name].astype(bool), axis=None) for name in names}
    metadata = {
        "shapes": {name: list(weight_mask.layout.shapes[name]) for name in names},
        "alive": {name: int(np.count_nonzero(weight_mask[name])) for name in names},
    }
    save_arrays(path, arrays, kind="lottery mask", metadata=metadata)


def load_mask(path: Path, layout: Layout) -> Parameters:
    """Return a mask that ``save_mask`` wrote, in float32.

    Parameters
    ----------
    path : of the file
    layout : of the network

    Returns
    -------
    mask, 1 at biases

    Raises
    ------
    StorageError
        It is damaged, or of another network.

    Examples
    --------
    >>> load_mask(Path("no such file"), Layout.of_sizes((1, 2)))
    Traceback (most recent call last):
    ...
    numpynet.storage.StorageError: cannot load no such file: it does not exist
    """
    arrays, metadata = load_arrays(path, kind="lottery mask")
    shapes = {name: list(layout.shapes[name]) for name in layout.weight_names}
    if metadata["shapes"] != shapes:
        raise StorageError(f"{path} is the mask of another network: {metadata['shapes']}, but this one has {shapes}")
    mask = Parameters.ones(layout)
    for name, packed in arrays.items():
        shape = layout.shapes[name]
        mask[name] = np.unpackbits(packed, count=shape[0] * shape[1]).reshape(shape).astype(np.float32)
        if int(np.count_nonzero(mask[name])) != metadata["alive"][name]:
            raise StorageError(f"{path}: {name} has not the number of weights that the file says")
    return mask


def _parameters(vector: np.ndarray, layout: Layout, path: Path) -> Parameters:
    if vector.shape != (layout.size,):
        raise StorageError(
            f"{path} is of another network: it has {vector.size} parameters, and {layout.size} are needed"
        )
    return Parameters(vector, layout)


# ---- curves and tables -----------------------------------------------------------------------------------------------


def _curve(history: Sequence[Record], replicate: int) -> str:
    rows = []
    for record in history:
        batch_loss = None if record.batch_loss is None else record.batch_loss[replicate]
        numbers = [of[split][replicate] for split in ("validation", "test") for of in (record.loss, record.accuracy)]
        rows.append([record.step, record.epoch, record.lr, batch_loss, *numbers])
    return _csv((*CURVE, *WATCHED), rows)


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


def finished(folder: Path, experiment: Experiment) -> list[dict[str, Any]]:
    """Return the summaries of all trainings that are done, in the order of trial, level and arm.

    Parameters
    ----------
    folder : of the run
    experiment : that it holds

    Returns
    -------
    a dict for each training, see ``outcomes.summaries``, with "trial" and "seed" in front

    Raises
    ------
    StorageError
        A summary is there and cannot be read.

    Examples
    --------
    >>> finished(Path("no such folder"), Experiment(replicates=1))
    []
    """
    rows = []
    for trial, seed in enumerate(experiment.seeds):
        for level in range(experiment.rounds + 1):
            for arm in arms_of(experiment, level):
                summary = read_summary(place(folder, trial, level, arm))
                if summary is not None:
                    rows.append({"trial": trial, "seed": seed, **summary})
    return rows


def arms_of(experiment: Experiment, level: int) -> list[Arm]:
    """Return what is trained at a level.

    Parameters
    ----------
    experiment : with its controls and draws
    level : 0 is the dense net, which has no controls

    Returns
    -------
    the arms, the ticket first

    Examples
    --------
    >>> [str(arm) for arm in arms_of(Experiment(controls=("reinit",), draws=2), 1)]
    ['ticket', 'reinit_0', 'reinit_1']
    """
    controls = experiment.draws_of() if level else {}
    return [TICKET, *(Arm(name, draw) for name, n in controls.items() for draw in range(n))]


def write_results(folder: Path, experiment: Experiment) -> Path:
    """Write ``results.csv``, one row for each trial, level and arm, and return its path.

    Parameters
    ----------
    folder : of the run; the file is replaced
    experiment : that it holds

    Returns
    -------
    the path

    Raises
    ------
    StorageError, OSError
        A summary cannot be read, or the table not written.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as name:
    ...     write_results(Path(name), Experiment(replicates=1)).read_text().split(",")[:3]
    ['trial', 'seed', 'level']
    """
    layers = experiment.net().layout.weight_names
    columns = (
        "trial", "seed", "level", "arm", "draw", "density", "stop_step", "censored", "ranked_at_step",
        *(f"{split}_{what}_{when}" for when in ("stop", "end") for what in ("loss", "accuracy") for split in ("validation", "test")),
        "train_loss_end", "train_accuracy_end", "mask_digest", "theta_digest",
    )  # fmt: skip
    units = [f"live_units_{layer}" for layer in range(1, len(experiment.sizes) - 1)]
    header = [*columns, *(f"alive_{name}" for name in layers), *(f"density_{name}" for name in layers), *units]
    rows = [
        [
            *(row[name] for name in columns),
            *(row["alive"][name] for name in layers),
            *(row["layer_density"][name] for name in layers),
            *row["live_units"],
        ]
        for row in finished(folder, experiment)
    ]
    path = folder / "results.csv"
    write_text(path, _csv(header, rows))
    return path


def _csv(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, allow_nan=False) + "\n"


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StorageError(f"cannot read {path}: {error}") from error
    if not isinstance(value, dict):
        raise StorageError(f"cannot read {path}: it holds no JSON object")
    return value

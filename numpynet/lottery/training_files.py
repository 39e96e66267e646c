"""The files of one training of one trial: start, mask, weights, curve and summary.

Where they lie in the folder of a run, and what else lies there, is said in ``run_folder``. A mask has a bit for each
weight; a curve is a table that any program reads; the summary is written last and says that the rest is there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from numpynet.lottery.curves import curve_text, read_curve
from numpynet.lottery.experiment import identity
from numpynet.lottery.imp import TICKET, Arm, Trained
from numpynet.lottery.plain_files import json_text, read_json
from numpynet.lottery.rewinding import RewindPoint
from numpynet.parameters import Layout, Parameters
from numpynet.storage import StorageError, digest, load_arrays, save_arrays, write_text
from numpynet.training import Record


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
    curve = curve_text(trained.history, replicate)
    write_text(path / "curve.csv", curve)
    sealed = {**summary, "curve_digest": _sha256(curve)}
    write_text(path / "summary.json", json_text({**sealed, "digest": identity(sealed)}))


def read_summary(path: Path) -> dict[str, Any] | None:
    """Return the summary of a training, or None if it is not done.

    Parameters
    ----------
    path : of ``place``

    Returns
    -------
    one dict of ``outcomes.summaries``, or None

    Raises
    ------
    StorageError
        It cannot be read, or was changed after it was written.

    Examples
    --------
    >>> read_summary(Path("no such folder")) is None
    True
    """
    file = path / "summary.json"
    if not file.exists():
        return None
    summary = read_json(file)
    if "digest" in summary and summary["digest"] != identity({k: v for k, v in summary.items() if k != "digest"}):
        raise StorageError(f"{file} was changed after it was written: its digest is not that of its numbers")
    return summary


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
    return theta, mask, load_history(path)


def load_history(path: Path) -> list[Record]:
    """Return the history of one trial, checked against its summary.

    Parameters
    ----------
    path : of ``place``

    Returns
    -------
    history : see ``read_curve``

    Raises
    ------
    StorageError
        The curve is missing or damaged, or is not the one that the summary speaks of.

    Examples
    --------
    >>> load_history(Path("no such folder"))
    Traceback (most recent call last):
    ...
    numpynet.storage.StorageError: cannot load no such folder/curve.csv: it does not exist
    """
    file, summary = path / "curve.csv", read_summary(path) or {}
    history = read_curve(file)
    if "curve_digest" in summary and summary["curve_digest"] != _sha256(file.read_text(encoding="ascii")):
        raise StorageError(f"{file} is not the one that summary.json speaks of (its SHA-256 differs)")
    return history


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


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _parameters(vector: np.ndarray, layout: Layout, path: Path) -> Parameters:
    if vector.shape != (layout.size,):
        raise StorageError(
            f"{path} is of another network: it has {vector.size} parameters, and {layout.size} are needed"
        )
    return Parameters(vector, layout)

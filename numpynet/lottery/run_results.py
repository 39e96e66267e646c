"""All trainings of a run in one table: what is done, in the order of trial, level and arm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpynet.lottery.experiment import Experiment
from numpynet.lottery.imp import TICKET, Arm
from numpynet.lottery.plain_files import csv_text
from numpynet.lottery.training_files import place, read_summary
from numpynet.storage import write_text


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
    write_text(path, csv_text(header, rows))
    return path

"""``numpynet lottery ticket``: a ticket taken out of a run as a file of its own, or such a file looked at."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import numpy as np

from numpynet.lottery import run_folder, training_files
from numpynet.lottery.imp import TICKET
from numpynet.lottery.rewinding import Init, Late
from numpynet.lottery.ticket import Ticket, load_ticket, save_ticket, verify_ticket
from numpynet.pruning import alive_counts, describe_compaction, weight_density
from numpynet.report import text_table
from numpynet.storage import StorageError

EXAMPLES = 1000  # inputs on which a ticket is timed with and without its dead units


def take_ticket(options: Namespace) -> int:
    """Save the ticket that the options name and say what it is, or check a file; 1 if a check fails.

    Parameters
    ----------
    options : what ``numpynet lottery ticket`` parsed

    Returns
    -------
    The exit code.

    Raises
    ------
    StorageError, ValueError
        There is no such run, trial or level; the file is damaged, or no ticket; the file to write is there already.
    """
    if options.check:
        return _say(load_ticket(options.folder))
    if options.out.exists() and not options.overwrite:
        raise ValueError(f"{options.out} is there already: --overwrite replaces it, --out takes another name")
    ticket = ticket_of(options.folder, trial=options.trial, level=options.level, density=options.density)
    if not options.out.absolute().parent.is_dir():
        raise ValueError(f"--out: there is no folder {options.out.absolute().parent}")
    save_ticket(options.out, ticket)
    code = _say(load_ticket(options.out))
    print(f"\nticket: {options.out}")
    return code


def ticket_of(folder: Path, *, trial: int = 0, level: int | None = None, density: float | None = None) -> Ticket:
    """Return the ticket of one trial at one level.

    Parameters
    ----------
    folder : of the run, finished or not
    trial : which replicate
    level, density : which mask; the level whose density is nearest, or the last one that is done

    Returns
    -------
    Ticket

    Raises
    ------
    StorageError, ValueError
        There is no such run, trial or level, or it goes back to no weights of its own.

    Examples
    --------
    >>> ticket_of(Path("no such folder"))
    Traceback (most recent call last):
    ...
    numpynet.storage.StorageError: no such folder holds no lottery run: there is no config.json in it
    """
    experiment = run_folder.read_experiment(folder)
    if not isinstance(experiment.rewinding, (Init, Late)):
        raise ValueError(f"{folder} was rewound by {experiment.rewind}: what is left there is trained, and no ticket")
    if trial >= experiment.replicates:
        raise ValueError(f"there is no trial {trial}: {folder} has 0 ... {experiment.replicates - 1}")
    places = [training_files.place(folder, trial, k, TICKET) for k in range(experiment.rounds + 1)]
    done = [k for k, path in enumerate(places) if (path / "summary.json").exists()]
    if not done:
        raise StorageError(f"trial {trial} of {folder} has no finished level yet")
    if density is not None:
        planned = experiment.densities()
        level = min(done, key=lambda k: abs(planned[k] - density))
    level = done[-1] if level is None else level
    if level not in done:
        raise ValueError(f"there is no level {level}: trial {trial} of {folder} has finished 0 ... {done[-1]}")
    layout = experiment.net().layout
    _, mask, _ = training_files.load_training(places[level], layout)
    theta_0, point = training_files.load_start(folder, trial, layout)
    origin = {
        "seed": experiment.seeds[trial],
        "initializer": experiment.initializer,
        "data": experiment.data,
        "trial": trial,
        "level": level,
        "alive": alive_counts(mask),
        "density": weight_density(mask),
        "experiment": experiment.as_json(),
    }
    start, step = (theta_0, 0) if point is None else (point.theta, point.step)
    return Ticket(experiment.net(), start, mask, origin, step)


def _say(ticket: Ticket) -> int:
    print(ticket)
    findings = verify_ticket(ticket)
    print(text_table(("checked", "", "found"), [(f.what, "ok" if f.passed else "WRONG", f.detail) for f in findings]))
    x = np.random.default_rng(0).standard_normal((EXAMPLES, ticket.net.sizes[0])).astype(ticket.theta_0.dtype)
    smaller = describe_compaction(ticket.net, ticket.theta_0, ticket.weight_mask, x)
    print(f"without its dead units, on random inputs: {smaller}")
    return 0 if all(finding.passed for finding in findings) else 1

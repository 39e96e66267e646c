"""``numpynet train``: a training in a folder, that can be killed at any moment and resumed.

The folder holds ``checkpoint.npz`` (everything that the next step depends on, replaced whole after every record),
``history.csv``, ``settings.json`` and, at the end, ``weights.npz``.
"""

from __future__ import annotations

import csv
import io
import json
from argparse import Namespace
from pathlib import Path

import numpy as np

from numpynet import report, train_choices
from numpynet.checkpoints import load_checkpoint, save_checkpoint
from numpynet.data import load_digits, load_mnist, load_mnist1d, split_validation
from numpynet.data.dataset import Dataset, Split
from numpynet.network import MLP
from numpynet.plan import TrainingPlan
from numpynet.progress import Progress
from numpynet.seeding import streams
from numpynet.statistics import t_interval
from numpynet.storage import save_arrays, write_text
from numpynet.training import Record, TrainingState, begin, early_stop, evaluate, train

SAMPLE = 2000  # training examples on which the loss is compared with that of step 0; all of a large set would take long


def run_train(options: Namespace) -> int:
    """Train as the command line says, print a line for each record, and return the exit code.

    Parameters
    ----------
    options : what ``numpynet train`` parsed

    Returns
    -------
    The exit code, 0; what goes wrong raises.

    Raises
    ------
    TypeError, ValueError, OSError
        Options, data or folder do not fit; nothing has been written then.
    TrainingDiverged
        The loss is no longer finite; checkpoint and history hold what was recorded before.
    """
    train_choices.check_options(options)
    data, train_split, monitors = _load(options)
    sizes = options.sizes or (train_split.x.shape[1], 100, data.n_classes)
    if sizes[0] != train_split.x.shape[1] or sizes[-1] != data.n_classes:
        raise ValueError(
            f"--sizes {'-'.join(map(str, sizes))} does not fit {data.name}: "
            f"it has {train_split.x.shape[1]} inputs and {data.n_classes} classes"
        )
    plan = train_choices.plan_of(options, len(train_split.x))
    net = train_choices.network_of(options, sizes)
    seed = options.seed[0] if len(options.seed) == 1 else tuple(options.seed)
    checkpoint = options.out / "checkpoint.npz"

    if options.resume:
        if not checkpoint.exists():
            raise ValueError(
                f"--resume: {options.out} holds no checkpoint.npz; without --resume a new run begins there"
            )
        state = load_checkpoint(checkpoint, net, plan, train_split, seed=seed)
        print(f"resumed at step {state.step} of {plan.total_steps(len(train_split.x))}")
    else:
        if checkpoint.exists() and not options.overwrite:
            raise ValueError(
                f"{options.out} already holds a run: --resume goes on with it, --overwrite begins anew, --out takes another folder"
            )
        state = begin(net, plan, train_split, seed=seed)
    options.out.mkdir(parents=True, exist_ok=True)
    if options.resume or options.overwrite:  # what is not yet true of this run must not lie beside it
        for name in ("weights.npz",) if options.resume else ("weights.npz", "history.csv", "checkpoint.npz"):
            (options.out / name).unlink(missing_ok=True)
    write_text(options.out / "settings.json", json.dumps(_settings(options, data, net, plan), indent=2) + "\n")

    _say_noise(net, plan)
    total = plan.total_steps(len(train_split.x))
    progress = Progress("training", total)
    try:
        for record in train(state, train_split, monitors=monitors, on_step=progress.show):
            save_checkpoint(checkpoint, state, train_split)
            progress.close()
            print(_line(record, total), flush=True)
            progress.show(record.step)
    finally:  # a run that diverges, or is interrupted, keeps what it recorded
        progress.close()
        _write_history(options.out / "history.csv", state, list(monitors))
    save_arrays(options.out / "weights.npz", dict(state.theta.items()), kind="weights", metadata=_network_settings(net))
    _say_results(state, list(monitors))
    _say_if_worse(state, train_split)
    print(f"run folder: {options.out}")
    return 0


def _load(options: Namespace) -> tuple[Dataset, Split, dict[str, Split]]:
    """Return the data set, its training part and the splits to watch."""
    dtype = np.dtype(options.dtype)
    if options.data == "mnist":
        data = load_mnist(options.data_folder, dtype=dtype)
    else:
        data = load_digits(dtype=dtype) if options.data == "digits" else load_mnist1d(dtype=dtype)
    train_split, monitors = data.train, {}
    if options.validation:
        # The first seed decides for all replicates, so that they are compared on one split.
        train_split, monitors["validation"] = split_validation(
            data.train, options.validation, streams(options.seed[0]).split
        )
    monitors["test"] = data.test
    return data, train_split, monitors


def _settings(options: Namespace, data: Dataset, net: MLP, plan: TrainingPlan) -> dict[str, object]:
    """What was set, as text and numbers that are the same whenever it is run."""
    return {
        "data": data.name,
        "source": data.source,
        "validation": options.validation,
        **_network_settings(net),
        "keep_schedule": repr(plan.keep_schedule),
        "initializer": options.initializer,
        "optimizer": repr(plan.optimizer),
        "schedule": repr(plan.schedule),
        "decay": repr(plan.decay),
        "loss": plan.loss.name,
        "epochs": plan.epochs,
        "steps": plan.steps,
        "batch_size": plan.batch_size,
        "evaluate_every": plan.evaluate_every,
        "dtype": plan.dtype,
        "seed": options.seed,
        "versions": report.versions(),
    }


def _network_settings(net: MLP) -> dict[str, object]:
    """What one has to know to use the weights: kinds of dropout also differ in evaluation."""
    return {
        "sizes": list(net.sizes),
        "activation": net.activation.name,
        "keep_probs": list(net.keep_probs),
        "rules": [rule.name for rule in net.layer_rules],
    }


def _say_noise(net: MLP, plan: TrainingPlan) -> None:
    """Say what is random while the net is trained, and where."""
    if plan.keep_schedule is not None:
        noise = f"hidden units, keep_prob {plan.keep_schedule}"
    elif net.has_dropout:
        noisy = [(n, rule.name) for n, rule in enumerate(net.layer_rules, start=1) if rule.sample is not None]
        noise = "; ".join(f"layer {n} {name}" for n, name in noisy)
    else:
        return
    print(f"dropout: {noise}" + (f"; loss {plan.loss.name}" if plan.loss.passes > 1 else ""))


def _line(record: Record, total: int) -> str:
    """One line for the terminal: means over replicates, with their 95 % interval where there are several."""
    parts = [f"step {record.step:>{len(str(total))}}  epoch {record.epoch:7.2f}"]
    if record.batch_loss is not None:
        parts.append(f"batch loss {float(np.mean(record.batch_loss)):.4f}")
    for name, accuracy in record.accuracy.items():
        parts.append(f"{name} loss {float(np.mean(record.loss[name])):.4f} accuracy {_percent(accuracy)}")
    return "  ".join(parts)


def _percent(accuracy: float | list[float]) -> str:
    return t_interval(np.atleast_1d(accuracy)).text() + " %"


def _write_history(path: Path, state: TrainingState, names: list[str]) -> None:
    """Write a line for each record and replicate."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = [f"{name}_{what}" for name in names for what in ("loss", "accuracy")]
    writer.writerow(["seed", "step", "epoch", "lr", "batch_loss", *columns])
    for replicate, seed in enumerate(_seeds(state)):
        for record in state.history:
            numbers = [record.batch_loss, *(of[name] for name in names for of in (record.loss, record.accuracy))]
            own = [value[replicate] if isinstance(value, list) else value for value in numbers]
            writer.writerow([seed, record.step, record.epoch, record.lr, *own])
    write_text(path, text.getvalue())


def _say_results(state: TrainingState, names: list[str]) -> None:
    last = state.history[-1]
    for name in names:
        print(f"final {name} accuracy: {_percent(last.accuracy[name])}{_each(last.accuracy[name])}")
    if "validation" in names:
        for replicate, seed in enumerate(_seeds(state)):
            stop = early_stop(state.history, "validation", replicate=replicate)
            test = stop.accuracy["test"]
            test = test[replicate] if isinstance(test, list) else test
            print(f"seed {seed}: smallest validation loss at step {stop.step}, test accuracy there {100 * test:.2f} %")


def _say_if_worse(state: TrainingState, train_split: Split) -> None:
    """Say so where a training has ended with a larger training loss than it began with, finite as it may be."""
    sample = Split(train_split.x[:SAMPLE], train_split.y[:SAMPLE])
    start = begin(state.net, state.plan, train_split, seed=state.seed).theta  # a resumed run no longer has it
    with np.errstate(over="ignore", invalid="ignore"):
        before, after = (
            np.atleast_1d(evaluate(state.net, theta, sample, loss=state.plan.loss)[0]) for theta in (start, state.theta)
        )
    worse = np.flatnonzero(~(after <= before))
    if not len(worse):
        return
    text = [", ".join(f"{loss:.4g}" for loss in of[worse]) for of in (before, after)]
    some = f" of seed {', '.join(str(_seeds(state)[r]) for r in worse)}" if len(before) > 1 else ""
    where = f" (on {len(sample.x)} examples)" if len(sample.x) < len(train_split.x) else ""
    print(
        f"note: the training loss{some} rose from {text[0]} at step 0 to {text[1]}{where}: the learning rate is probably too large"
    )


def _seeds(state: TrainingState) -> tuple[int, ...]:
    return state.seed if isinstance(state.seed, tuple) else (state.seed,)


def _each(accuracy: float | list[float]) -> str:
    if not isinstance(accuracy, list):
        return ""
    return " (" + ", ".join(f"{100 * a:.2f}" for a in accuracy) + "; mean ± half-width of the 95 % t-interval)"

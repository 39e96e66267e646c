"""``numpynet train``: a training in a folder, that can be killed at any moment and resumed.

The folder holds ``checkpoint.npz`` (everything that the next step depends on, replaced whole after every record),
``history.csv``, ``settings.json`` and, at the end, ``weights.npz``.
"""

from __future__ import annotations

import csv
import io
import json
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import numpy as np

from numpynet import initializers, optimizers, report, schedules
from numpynet.checkpoints import load_checkpoint, save_checkpoint
from numpynet.data import load_digits, load_mnist, load_mnist1d, split_validation
from numpynet.data.dataset import Dataset, Split
from numpynet.equations import activations
from numpynet.network import MLP
from numpynet.optimizers import Decay
from numpynet.plan import TrainingPlan
from numpynet.progress import Progress
from numpynet.seeding import streams
from numpynet.statistics import t_interval
from numpynet.storage import save_arrays, write_text
from numpynet.training import Record, TrainingState, begin, early_stop, train


def run_train(options: Namespace) -> int:
    """Train as the command line says, print a line for each record, and return the exit code.

    Raises
    ------
    TypeError, ValueError, OSError
        Options, data or folder do not fit; nothing has been written then.
    TrainingDiverged
        The loss is no longer finite; checkpoint and history hold what was recorded before.
    """
    _check_options(options)
    data, train_split, monitors = _load(options)
    sizes = options.sizes or (train_split.x.shape[1], 100, data.n_classes)
    if sizes[0] != train_split.x.shape[1] or sizes[-1] != data.n_classes:
        raise ValueError(
            f"--sizes {'-'.join(map(str, sizes))} does not fit {data.name}: "
            f"it has {train_split.x.shape[1]} inputs and {data.n_classes} classes"
        )
    if len(sizes) == 2 and isinstance(options.keep_prob, float) and options.keep_prob < 1:
        raise ValueError(f"--keep-prob {options.keep_prob:g} is for the hidden layers, but this network has none")
    net = MLP(sizes, activation=getattr(activations, options.activation), keep_prob=options.keep_prob)
    plan = _plan(options, len(train_split.x))
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
    save_arrays(
        options.out / "weights.npz", dict(state.theta.items()), kind="weights", metadata={"sizes": list(net.sizes)}
    )
    _say_results(state, list(monitors))
    print(f"run folder: {options.out}")
    return 0


def _check_options(options: Namespace) -> None:
    """Raise if an option would be without effect, or if the same run would be counted twice."""
    for name, value, fits, needed in (
        ("--momentum", options.momentum, ("momentum", "nesterov"), options.optimizer),
        ("--decay-every", options.decay_every, ("step",), options.schedule),
        ("--decay-factor", options.decay_factor, ("step", "exponential"), options.schedule),
    ):
        if value is not None and needed not in fits:
            raise ValueError(f"{name} is for {' and '.join(fits)}; it would have no effect on {needed}")
    if options.schedule == "step" and options.decay_every is None:
        raise ValueError("--schedule step needs --decay-every STEPS")
    if options.data_folder is not None and options.data != "mnist":
        raise ValueError(f"--data-folder is for mnist; {options.data} needs no files")
    if len(set(options.seed)) < len(options.seed):
        raise ValueError(
            f"--seed {' '.join(map(str, options.seed))} names a seed twice: replicates must be independent"
        )


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


def _plan(options: Namespace, n_train: int) -> TrainingPlan:
    """Turn names into records; the command line is the only place where a string chooses."""
    adaptive = options.optimizer in ("rmsprop", "adam", "adamw")
    lr = options.lr if options.lr is not None else (1e-3 if adaptive else 0.1)
    momentum = 0.9 if options.momentum is None else options.momentum
    optimizer = {
        "sgd": optimizers.SGD(),
        "momentum": optimizers.Momentum(momentum),
        "nesterov": optimizers.Nesterov(momentum),
        "rmsprop": optimizers.RMSProp(),
        "adam": optimizers.Adam(),
        "adamw": optimizers.Adam(),
    }[options.optimizer]
    decoupled = options.optimizer == "adamw"
    decay = Decay(
        coupled=0.0 if decoupled else options.weight_decay,
        decoupled=options.weight_decay if decoupled else 0.0,
        max_norm=options.max_norm,
    )
    epochs = 10 if options.epochs is None and options.steps is None else options.epochs
    plan = TrainingPlan(
        epochs=epochs,
        steps=options.steps,
        batch_size=options.batch_size,
        optimizer=optimizer,
        schedule=schedules.Constant(lr),
        decay=decay,
        evaluate_every=options.evaluate_every,
        initializer=getattr(initializers, options.initializer),
        dtype=options.dtype,
    )
    total = plan.total_steps(n_train)
    if not 0 <= options.warmup < total:
        raise ValueError(f"--warmup is {options.warmup}, but 0 <= warm-up < {total}, the steps of the run, is needed")
    factor = 0.1 if options.decay_factor is None else options.decay_factor
    schedule: schedules.Schedule = plan.schedule
    if options.schedule == "cosine":
        schedule = schedules.Cosine(lr, steps=total - options.warmup)
    elif options.schedule == "step":
        schedule = schedules.Step(lr, factor, options.decay_every)
    elif options.schedule == "exponential":
        schedule = schedules.Exponential(lr, factor ** (1 / total))  # falls to the factor over the whole run
    if options.warmup:
        schedule = schedules.Warmup(options.warmup, schedule)
    return replace(plan, schedule=schedule)


def _settings(options: Namespace, data: Dataset, net: MLP, plan: TrainingPlan) -> dict[str, object]:
    """What was set, as text and numbers that are the same whenever it is run."""
    return {
        "data": data.name,
        "source": data.source,
        "validation": options.validation,
        "sizes": list(net.sizes),
        "activation": net.activation.name,
        "keep_probs": list(net.keep_probs),
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


def _seeds(state: TrainingState) -> tuple[int, ...]:
    return state.seed if isinstance(state.seed, tuple) else (state.seed,)


def _each(accuracy: float | list[float]) -> str:
    if not isinstance(accuracy, list):
        return ""
    return " (" + ", ".join(f"{100 * a:.2f}" for a in accuracy) + "; mean ± half-width of the 95 % t-interval)"

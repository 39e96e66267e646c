"""Checkpoints: a training on disk, such that a resumed run ends with the bits of an uninterrupted one.

A checkpoint holds all that the next step depends on: parameters, mask, optimizer state, the order of the examples and
the place in it, and the state of every random generator; besides the history and, for the reader, the settings. It is
written whole or not at all, holds no pickled objects, and is refused if it is damaged or belongs to another training.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

from numpynet.data.dataset import Split
from numpynet.network import MLP
from numpynet.parameters import Parameters
from numpynet.plan import TrainingPlan
from numpynet.storage import StorageError, digest, load_arrays, save_arrays
from numpynet.training import Record, TrainingState, begin

_KIND = "training checkpoint"


def save_checkpoint(path: str | os.PathLike, state: TrainingState, train_split: Split) -> None:
    """Write the state of a training, as it is between two records.

    Parameters
    ----------
    path : file to write, ``.npz`` by custom; an older one is replaced at once
    state : the training
    train_split : the examples it trains on; their digest is stored, so that a resumed run cannot take others

    Raises
    ------
    TypeError
        The schedule or the initializer is a function without a name of its own, such as a lambda: another program could
        not tell whether it has the same one.
    OSError
        The file cannot be written.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from numpynet.data import load_digits
    >>> data, net, plan = load_digits(), MLP((64, 30, 10)), TrainingPlan(epochs=2, schedule=0.1)
    >>> state = begin(net, plan, data.train, seed=3)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "checkpoint.npz"
    ...     save_checkpoint(path, state, data.train)
    ...     load_checkpoint(path, net, plan, data.train, seed=3).step
    0
    """
    state.data_digest = state.data_digest or _data_digest(train_split)
    arrays = {"theta": state.theta.vector, "order": state.order, "batch_loss_sum": state.batch_loss_sum}
    arrays |= {f"optimizer.{name}": slot for name, slot in state.optimizer.slots.items()}
    if state.weight_mask is not None:
        arrays["weight_mask"] = state.weight_mask.vector
    if state.frozen is not None:
        arrays["frozen"] = state.frozen.vector
    metadata = {
        "settings": run_settings(state),
        "length": {"epochs": state.plan.epochs, "steps": state.plan.steps},
        "step": state.step,
        "optimizer_step": state.optimizer.step,
        "position": state.position,
        "batch_loss_count": state.batch_loss_count,
        "batch_rngs": [rng.bit_generator.state for rng in state.batch_rngs],
        "dropout_rngs": [rng.bit_generator.state for rng in state.dropout_rngs],
        "history": [record._asdict() for record in state.history],
    }
    save_arrays(path, arrays, kind=_KIND, metadata=metadata)


def load_checkpoint(
    path: str | os.PathLike, net: MLP, plan: TrainingPlan, train_split: Split, *, seed: int | Sequence[int] = 0
) -> TrainingState:
    """Read a training back; ``train`` goes on with it.

    Network, plan, data and seed must be those of the checkpoint. Only the length (epochs or steps) may differ: a
    finished training can be continued with a longer plan.

    Parameters
    ----------
    path : of the file
    net, plan : as when it was saved, but for the length of the plan
    train_split : the examples it trains on
    seed : as when it began

    Returns
    -------
    TrainingState

    Raises
    ------
    StorageError
        The file is missing, damaged, of another kind, or belongs to another training; the message says what differs.
    TypeError, ValueError
        Network, plan, data and seed do not fit each other, see ``begin``.
    """
    arrays, metadata = load_arrays(path, kind=_KIND)
    state = begin(net, plan, train_split, seed=seed)
    state.data_digest = _data_digest(train_split)
    wanted = run_settings(state)
    try:
        stored = metadata["settings"]
        different = [
            f"{key}: {stored.get(key)!r} there, {wanted.get(key)!r} here"
            for key in {**stored, **wanted}
            if stored.get(key) != wanted.get(key)
        ]
        if different:
            raise StorageError(f"cannot resume from {path}: it belongs to another training: {'; '.join(different)}")
        kept = sorted(name.removeprefix("optimizer.") for name in arrays if name.startswith("optimizer."))
        if kept != sorted(state.optimizer.slots):
            raise StorageError(
                f"cannot resume from {path}: its optimizer remembers {kept}, but here it needs "
                f"{sorted(state.optimizer.slots)}; another version of numpynet has probably written it, so begin anew"
            )
        total = plan.total_steps(len(train_split.x))
        if metadata["step"] > total:
            raise StorageError(
                f"cannot resume from {path}: it has made {metadata['step']} steps, but this plan ends after {total}"
            )
        state.theta = Parameters(arrays["theta"], net.layout)
        if "weight_mask" in arrays:
            state.weight_mask = Parameters(arrays["weight_mask"], net.layout)
        if "frozen" in arrays:
            state.frozen = Parameters(arrays["frozen"], net.layout)
        state.order = arrays["order"]
        state.batch_loss_sum = arrays["batch_loss_sum"]
        for name, slot in state.optimizer.slots.items():
            slot[...] = arrays[f"optimizer.{name}"]
        state.step, state.position = metadata["step"], metadata["position"]
        state.optimizer.step = metadata["optimizer_step"]
        state.batch_loss_count = metadata["batch_loss_count"]
        for rngs, saved in ((state.batch_rngs, "batch_rngs"), (state.dropout_rngs, "dropout_rngs")):
            for rng, rng_state in zip(rngs, metadata[saved], strict=True):
                rng.bit_generator.state = rng_state
        state.history = [Record(**record) for record in metadata["history"]]
    except StorageError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise StorageError(f"cannot resume from {path}: it is not a checkpoint of this training ({error})") from error
    return state


def run_settings(state: TrainingState) -> dict[str, str]:
    """Return everything that decides about a run except its length, as text that can be compared and read.

    It is the same in every process, unlike ``repr(plan)``, which shows where functions lie in memory.

    Parameters
    ----------
    state : of a training

    Returns
    -------
    settings : name -> text

    Raises
    ------
    TypeError
        The plan holds a function without a name.

    Examples
    --------
    >>> from numpynet.data import load_digits
    >>> state = begin(MLP((64, 10)), TrainingPlan(epochs=1, schedule=0.1), load_digits().train)
    >>> run_settings(state)["schedule"]
    'Constant(lr=0.1)'
    """
    net, plan = state.net, state.plan
    return {
        "sizes": str(net.sizes),
        "activation": net.activation.name,
        "keep_prob": str(net.keep_probs),
        "rules": str([rule.name for rule in net.layer_rules]),
        "keep_schedule": _name_of("keep_schedule", plan.keep_schedule),
        "batch_size": str(plan.batch_size),
        "optimizer": repr(plan.optimizer),
        "schedule": _name_of("schedule", plan.schedule),
        "decay": repr(plan.decay),
        "clip_norm": str(plan.clip_norm),
        "loss": plan.loss.name,
        "evaluate_every": str(plan.evaluate_every),
        "initializer": _name_of("initializer", plan.initializer),
        "dtype": plan.dtype,
        "seed": str(state.seed),
        "data": state.data_digest,
    }


def _data_digest(split: Split) -> str:
    return f"x {digest(split.x)[:16]}, y {digest(split.y)[:16]}"


def _name_of(what: str, value: Any) -> str:
    """Return a text by which another program can tell whether it has the same function or record."""
    if dataclasses.is_dataclass(value):
        fields = (f"{field.name}={_name_of(what, getattr(value, field.name))}" for field in dataclasses.fields(value))
        return f"{type(value).__qualname__}({', '.join(fields)})"
    if not callable(value):
        return repr(value)
    name = getattr(value, "__qualname__", "<lambda>")
    if name.endswith("<lambda>"):
        raise TypeError(
            f"the {what} of this plan has or is {value!r}, which has no name, so a checkpoint cannot say which one it is: "
            "write it as a function with a name, or as a frozen dataclass with __call__"
        )
    return name

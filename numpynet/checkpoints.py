"""Checkpoints: a training on disk, such that a resumed run ends with the bits of an uninterrupted one.

A checkpoint holds all that the next step depends on: parameters, mask, optimizer state, the order of the examples and
the place in it, and the state of every random generator; besides the history and, for the reader, the settings. It is
written whole or not at all, holds no pickled objects, and is refused if it is damaged or belongs to another training.
"""

from __future__ import annotations

import os
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
    arrays = {"theta": state.theta.vector, "order": state.order, "batch_loss_sum": state.batch_loss_sum}
    arrays |= {f"optimizer.{name}": slot for name, slot in state.optimizer.slots.items()}
    if state.weight_mask is not None:
        arrays["weight_mask"] = state.weight_mask.vector
    metadata = {
        "settings": _settings(state.net, state.plan, train_split, state.seed),
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
    path: str | os.PathLike, net: MLP, plan: TrainingPlan, train_split: Split, *, seed: int | tuple[int, ...] = 0
) -> TrainingState:
    """Read a training back; ``train`` goes on with it.

    Network, plan, data and seed must be those of the checkpoint. Only the length (epochs or steps) may differ: a
    finished training can be continued with a longer plan.

    Raises
    ------
    StorageError
        The file is missing, damaged, of another kind, or belongs to another training; the message says what differs.
    """
    arrays, metadata = load_arrays(path, kind=_KIND)
    try:
        stored = metadata["settings"]
        wanted = _settings(net, plan, train_split, seed)
        different = [
            f"{key}: {stored.get(key)!r} there, {wanted.get(key)!r} here"
            for key in {**stored, **wanted}
            if stored.get(key) != wanted.get(key)
        ]
        if different:
            raise StorageError(f"{os.fspath(path)}: the checkpoint belongs to another training: {'; '.join(different)}")
        mask = Parameters(arrays["weight_mask"], net.layout) if "weight_mask" in arrays else None
        theta = Parameters(arrays["theta"], net.layout)
        state = begin(net, plan, train_split, seed=seed, theta_0=theta, weight_mask=mask)
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
        raise StorageError(f"{os.fspath(path)}: not a checkpoint of this training ({error})") from error
    return state


def _settings(net: MLP, plan: TrainingPlan, train_split: Split, seed: Any) -> dict[str, str]:
    """Everything that decides about the run except its length, as text that can be compared and read."""
    schedule = plan.schedule
    return {
        "sizes": str(net.sizes),
        "activation": net.activation.name,
        "keep_prob": str(net.keep_probs),
        "batch_size": str(plan.batch_size),
        "optimizer": repr(plan.optimizer),
        "schedule": repr(schedule) if hasattr(schedule, "__dataclass_fields__") else schedule.__qualname__,
        "decay": repr(plan.decay),
        "loss": plan.loss.name,
        "evaluate_every": str(plan.evaluate_every),
        "initializer": plan.initializer.__qualname__,
        "dtype": plan.dtype,
        "seed": str(seed),
        "data": f"x {digest(train_split.x)[:16]}, y {digest(train_split.y)[:16]}",
    }

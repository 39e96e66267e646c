"""How to train: everything but the network, the data and the seed, as one record that can be printed and compared."""

from __future__ import annotations

import math
import numbers
from dataclasses import dataclass

import numpy as np

from numpynet.equations.keep_schedules import KeepSchedule
from numpynet.equations.losses import Loss, softmax_cross_entropy
from numpynet.fields import keep_count, keep_float
from numpynet.initializers import Initializer, glorot_normal
from numpynet.optimizers import SGD, Decay, Optimizer
from numpynet.schedules import Constant, Schedule


@dataclass(frozen=True)
class TrainingPlan:
    """How to train; everything but the network, the data and the seed.

    Parameters
    ----------
    epochs, steps : how long; exactly one of the two is given
    batch_size : examples in a batch. Batches are drawn without replacement; the last of an epoch may be smaller.
    optimizer : see ``numpynet.optimizers``
    schedule : learning rate as a function of completed steps, see ``numpynet.schedules``; a number means constant
    decay : weight decay and max-norm
    clip_norm : the largest norm of the (masked) gradient, or None
    loss : see ``numpynet.equations.losses``
    evaluate_every : steps between records; None for one after every epoch
    initializer : of the weights, see ``numpynet.initializers``
    dtype : of everything, float32 or float64
    keep_schedule : keep probability of the hidden layers as a function of completed steps, see
        ``numpynet.equations.keep_schedules``; None for the constant one of the network

    Examples
    --------
    >>> TrainingPlan(epochs=10, schedule=0.01).schedule
    Constant(lr=0.01)
    """

    epochs: int | None = None
    steps: int | None = None
    batch_size: int = 64
    optimizer: Optimizer = SGD()  # noqa: RUF009  frozen, without state
    schedule: Schedule | float = 0.01
    decay: Decay = Decay()  # noqa: RUF009  frozen
    loss: Loss = softmax_cross_entropy
    evaluate_every: int | None = None
    initializer: Initializer = glorot_normal
    dtype: str = "float32"
    keep_schedule: KeepSchedule | None = None
    clip_norm: float | None = None

    def __post_init__(self) -> None:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError(f"give either epochs or steps, got epochs={self.epochs!r} and steps={self.steps!r}")
        for name in ("epochs", "steps", "batch_size", "evaluate_every"):
            if getattr(self, name) is not None or name == "batch_size":
                keep_count(self, name)
        if isinstance(self.schedule, numbers.Real):
            object.__setattr__(self, "schedule", Constant(self.schedule))
        for name, fits, example in (
            ("optimizer", hasattr(self.optimizer, "step") and not isinstance(self.optimizer, type), "Adam()"),
            ("schedule", callable(self.schedule) and not isinstance(self.schedule, type), "0.01 or Cosine(0.1, steps)"),
            ("decay", isinstance(self.decay, Decay), "Decay(coupled=1e-4)"),
            ("loss", isinstance(self.loss, Loss), "softmax_cross_entropy"),
            ("initializer", callable(self.initializer), "glorot_normal"),
            (
                "keep_schedule",
                self.keep_schedule is None
                or (callable(self.keep_schedule) and not isinstance(self.keep_schedule, type)),
                "Curriculum(0.8, gamma=0.01) or None",
            ),
        ):
            if not fits:
                raise TypeError(f"{name} must be something like {example}, got {getattr(self, name)!r}")
        if self.clip_norm is not None and not 0 < keep_float(self, "clip_norm") < math.inf:
            raise ValueError(f"clip_norm is {self.clip_norm!r}, but a finite number > 0 or None is needed")
        object.__setattr__(self, "dtype", np.dtype(self.dtype).name)
        if self.dtype not in ("float32", "float64"):
            raise ValueError(f"dtype is {self.dtype}, but float32 (for speed) or float64 (for checks) is needed")

    def steps_per_epoch(self, n_examples: int) -> int:
        """Return how many batches make an epoch.

        Parameters
        ----------
        n_examples : N of the training split

        Returns
        -------
        An integer.

        """
        return math.ceil(n_examples / self.batch_size)

    def total_steps(self, n_examples: int) -> int:
        """Return how many steps the whole training has.

        Parameters
        ----------
        n_examples : N of the training split

        Returns
        -------
        An integer.

        """
        return self.steps if self.steps is not None else self.epochs * self.steps_per_epoch(n_examples)

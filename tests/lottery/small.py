"""A small training for the tests of tickets: everything is on that could be forgotten, and it takes milliseconds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from numpynet.data.dataset import Split
from numpynet.equations.activations import tanh
from numpynet.network import MLP
from numpynet.optimizers import SGD, Adam, Momentum, Nesterov, RMSProp
from numpynet.parameters import Parameters
from numpynet.plan import TrainingPlan
from numpynet.schedules import Cosine
from numpynet.training import TrainingState, begin, train
from tests.strategies import binary, labels_of

SIZES = (5, 8, 6, 3)
NET = MLP(SIZES, activation=tanh, keep_prob=0.8)
STEPS = 11  # of batches of 7 from 23 examples: 4 to an epoch, the last smaller
PLAN = TrainingPlan(
    steps=STEPS, batch_size=7, optimizer=Adam(), schedule=Cosine(0.05, STEPS), evaluate_every=4, dtype="float64"
)
OPTIMIZERS = [SGD(), Momentum(0.9), Nesterov(0.9), RMSProp(), Adam()]


def split_of(seed: int, n: int = 23) -> Split:
    rng = np.random.default_rng([seed, 5])
    return Split(rng.normal(size=(n, SIZES[0])), labels_of(rng, (n,), SIZES[-1]))


def mask_of(seed: int, density: float = 0.6, replicates: tuple[int, ...] = ()) -> Parameters:
    rng = np.random.default_rng([seed, 6])
    mask = Parameters.ones(NET.layout, replicates=replicates, dtype=np.float64)
    for name in NET.layout.weight_names:
        mask[name] = binary(rng, mask[name].shape, density)
    return mask


def theta_of(seed: int, replicates: tuple[int, ...] = ()) -> Parameters:
    """Initial parameters with biases that are not 0, so that a forgotten bias shows."""
    rng = np.random.default_rng([seed, 7])
    return Parameters(0.5 * rng.normal(size=(*replicates, NET.layout.size)), NET.layout)


def plan_with(**changes: Any) -> TrainingPlan:
    return replace(PLAN, **changes)


def run(state: TrainingState, split: Split, **options: Any) -> TrainingState:
    """Train to the end, or as far as ``until``."""
    for _ in train(state, split, monitors={"validation": split_of(1, 10)}, **options):
        pass
    return state


def trained(seed: int, split: Split, *, net: MLP = NET, plan: TrainingPlan = PLAN, **options: Any) -> TrainingState:
    return run(begin(net, plan, split, seed=seed, **options), split)


def same(one: Parameters, other: Parameters) -> bool:
    """Whether all numbers are equal, to the bit: 0.0 and -0.0 are not."""
    return one.vector.tobytes() == other.vector.tobytes() and one.vector.shape == other.vector.shape

"""Where survivors start again: late rewinding, learning-rate rewinding, fine-tuning, each beside a training by hand."""

from __future__ import annotations

import numpy as np

from numpynet.audit.check import Check, apart, identical
from numpynet.audit.draws import random_batch, random_weight_mask
from numpynet.data.dataset import Split
from numpynet.equations.activations import tanh
from numpynet.lottery.rewinding import FineTune, Late, LearningRate, rewind_point, rewound
from numpynet.network import MLP
from numpynet.optimizers import SGD, Momentum
from numpynet.parameters import Parameters
from numpynet.plan import TrainingPlan
from numpynet.schedules import Constant, Cosine
from numpynet.training import begin, train

_NET = MLP((6, 8, 5, 3), tanh, keep_prob=0.8)
_STEPS, _K = 9, 4


def audit_rewinding(seed: int = 0) -> list[Check]:
    """Check the kinds of rewinding: L14, L15, L16.

    Parameters
    ----------
    seed : of the numbers that are drawn

    Returns
    -------
    One ``Check`` for each comparison.

    Examples
    --------
    >>> all(check.passed for check in audit_rewinding(seed=1))
    True
    """
    rng = np.random.default_rng(seed)
    split = Split(*random_batch(rng, _NET, 40))  # 40 is no multiple of 12: the last batch of an epoch is smaller
    run_seed = int(rng.integers(2**31))
    mask = random_weight_mask(rng, _NET.layout)
    return [*_late(split, run_seed, mask), *_trained_weights(split, run_seed, mask)]


def _plan(optimizer, schedule) -> TrainingPlan:
    return TrainingPlan(steps=_STEPS, batch_size=12, optimizer=optimizer, schedule=schedule, dtype="float64")


def _trained(state, split, until=None):
    for _ in train(state, split, until=until):
        pass
    return state


def _late(split: Split, seed: int, mask: Parameters) -> list[Check]:
    """With m = 1 the run goes on as if nothing had happened, dropout, order and schedule included."""
    checks = []
    for optimizer, memory in ((SGD(), "fresh"), (Momentum(0.9), "saved")):
        plan = _plan(optimizer, Cosine(0.3, _STEPS))
        dense = _trained(begin(_NET, plan, split, seed=seed), split, until=_K)
        point = rewind_point(dense)
        _trained(dense, split)
        late = Late(_K, memory)
        again = rewound(late, _NET, plan, split, seed=seed, weight_mask=None, point=point)
        start = rewound(late, _NET, plan, split, seed=seed, weight_mask=mask, point=point)
        name = type(optimizer).__name__
        checks += [
            identical("L14", f"{name}: m = 1 rewound to step k, trained", "the dense run",
                      _trained(again, split).theta.vector, dense.theta.vector),
            identical("L14", f"{name}: survivors at the start", "theta_k",
                      start.theta.vector, mask.vector * point.theta.vector),
        ]  # fmt: skip
        if memory == "saved":
            checks.append(
                identical(
                    "L14",
                    f"{name}: its memory at the start",
                    "that of step k, masked",
                    start.optimizer.slots["v"],
                    mask.vector * point.slots["v"],
                )
            )
    return checks


def _trained_weights(split: Split, seed: int, mask: Parameters) -> list[Check]:
    """Both keep the trained weights; they are one at a constant learning rate, and two under a schedule."""
    ends, checks = {}, []
    for schedule in (Constant(0.3), Cosine(0.3, _STEPS)):
        plan = _plan(SGD(), schedule)
        theta_T = _trained(begin(_NET, plan, split, seed=seed), split).theta
        kinds = {"L15": LearningRate(_K), "L16": FineTune(_STEPS - _K)}
        for equation, kind in kinds.items():
            state = rewound(kind, _NET, plan, split, seed=seed, weight_mask=mask, theta_T=theta_T)
            start = state.theta.copy()
            ends[type(schedule), equation] = _trained(state, split).theta.vector
            if isinstance(schedule, Cosine):
                what = "learning-rate rewinding" if equation == "L15" else "fine-tuning"
                rates = [schedule(t) if equation == "L15" else schedule(_STEPS - 1) for t in range(_K, _STEPS)]
                by_hand = begin(_NET, _plan(SGD(), lambda t, r=rates: r[t - _K]), split, seed=seed,
                                theta_0=theta_T, weight_mask=mask, step=_K)  # fmt: skip
                checks += [
                    identical(equation, f"start of {what}", "m theta_T", start.vector, mask.vector * theta_T.vector),
                    identical(equation, f"end of {what}", "the learning rates by hand",
                              ends[type(schedule), equation], _trained(by_hand, split).theta.vector),
                ]  # fmt: skip
    return [
        *checks,
        identical("L15", "learning-rate rewinding, constant rate", "fine-tuning as long",
                  ends[Constant, "L15"], ends[Constant, "L16"]),
        apart("L16", "fine-tuning under a schedule", "learning-rate rewinding, must differ",
              ends[Cosine, "L16"], ends[Cosine, "L15"]),
    ]  # fmt: skip

"""Dropout as a penalty: ridge regression for a linear model, an adaptive L2 penalty for a logistic one.

For a linear model dropout on the inputs is ridge regression, with a strength of its own for every input (Equation (D7)).
For a logistic model its expected loss is the loss plus a penalty that knows no labels, and is to second order an L2
penalty whose strengths depend on the predictions (Equation (D9)): inputs that are rarely on, or on only where the model
is sure, are penalised less. Both are held against enumeration of all masks and against nets trained with dropout.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from numpynet.data.dataset import Split
from numpynet.equations.logistic import logistic_loss
from numpynet.equations.losses import Loss, squared_error
from numpynet.experiments.penalty_theory import (
    N_EXAMPLES,
    N_INPUTS,
    adaptive_strengths,
    enumerated_loss,
    exact_penalty,
    linear_data,
    logistic_data,
    logistic_minimum,
    penalised_loss,
    quadratic_penalty,
    ridge_of_dropout,
)
from numpynet.experiments.publish import Report, Table
from numpynet.experiments.setup import Steps, seeds_setting, train_stack
from numpynet.figures import COLOURS, new_figure
from numpynet.network import MLP
from numpynet.optimizers import SGD
from numpynet.plan import TrainingPlan
from numpynet.schedules import Cosine
from numpynet.statistics import t_interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KEEP_PROBS = (0.9, 0.8, 0.6, 0.4, 0.2)
DATA_SEED = 11
STEPS, LR_LINEAR, LR_LOGISTIC = 4000, 0.05, 0.3
LOGISTIC_KEEP_PROB = 0.6
SCALES = (0.03, 0.1, 0.3, 1.0, 2.0, 4.0)  # of the coefficients, for the ratio of the two penalties
QUICK = {"keep_probs": (0.8, 0.4), "steps": 800}


# ---- measured --------------------------------------------------------------------------------------------------------


def trained(
    split: Split, keep_prob: float, loss: Loss, lr: float, seeds: Sequence[int], steps: Steps, n_steps: int
) -> np.ndarray:
    """Train a linear layer with dropout on its inputs, and return weights and bias of the replicates, (R, d + 1).

    Parameters
    ----------
    split : N examples of d inputs
    keep_prob : q of the inputs
    loss : of the one output
    lr : first learning rate; it falls to 0 as half a cosine
    seeds : (R,)
    steps : to count on
    n_steps : of gradient descent on all examples, masks drawn anew in each

    Returns
    -------
    (R, d + 1) in float64

    Examples
    --------
    >>> split = linear_data(np.random.default_rng(0))
    >>> trained(split, 0.8, squared_error, 0.05, [0, 1], Steps("training", 10), 10).shape
    (2, 7)
    """
    net = MLP((split.x.shape[1], 1), keep_prob=(keep_prob,))
    plan = TrainingPlan(
        steps=n_steps,
        batch_size=len(split.x),
        optimizer=SGD(),
        schedule=Cosine(lr, n_steps),
        loss=loss,
        dtype="float64",
        evaluate_every=max(1, n_steps // 10),
    )
    return train_stack(net, plan, split, seeds, steps).theta.vector.copy()


class LinearPath(NamedTuple):
    """The linear model at each keep probability."""

    keep_probs: list[float]  # (Q,)
    ridge: np.ndarray  # (Q, d) closed form
    trained: np.ndarray  # (Q, R, d) with dropout
    worst_error: float  # of the closed form of the expected loss against enumeration, relative, at the trained weights


class LogisticFit(NamedTuple):
    """The logistic model at one keep probability."""

    plain: np.ndarray  # (d,) minimum without dropout
    exact: np.ndarray  # (d,) minimum of the expected loss, all masks
    trained: np.ndarray  # (R, d) with dropout
    frequency: np.ndarray  # (d,) share of examples where the input is on
    strengths: np.ndarray  # (d,) of the adaptive penalty, at the minimum
    exact_penalties: np.ndarray  # (S,) at SCALES times the minimum
    quadratic_penalties: np.ndarray  # (S,)


def linear_path(keep_probs: Sequence[float], seeds: Sequence[int], steps: Steps, n_steps: int = STEPS) -> LinearPath:
    """Train linear models with input dropout and hold them against ridge regression.   Equation (D7)

    Parameters
    ----------
    keep_probs : (Q,) of the inputs
    seeds : (R,)
    steps : to count on
    n_steps : of each training

    Returns
    -------
    LinearPath

    Examples
    --------
    >>> path = linear_path((0.8, 0.4), [0, 1], Steps("linear", 40), 20)
    >>> path.ridge.shape, path.trained.shape, path.worst_error < 1e-12
    ((2, 6), (2, 2, 6), True)
    """
    data = linear_data(np.random.default_rng(DATA_SEED))
    ridge, fits, worst = [], [], 0.0
    for keep_prob in keep_probs:
        ridge.append(ridge_of_dropout(data.x, data.y, keep_prob)[:, 0])
        fit = trained(data, keep_prob, squared_error, LR_LINEAR * keep_prob, seeds, steps, n_steps)[:, :-1]
        fits.append(fit)
        for w in fit:
            exact = enumerated_loss(data.x, data.y, w[:, None], keep_prob)
            worst = max(worst, abs(penalised_loss(data.x, data.y, w[:, None], keep_prob) / exact - 1))
    return LinearPath(list(keep_probs), np.array(ridge), np.array(fits), worst)


def logistic_fit(keep_prob: float, seeds: Sequence[int], steps: Steps, n_steps: int = STEPS) -> LogisticFit:
    """Train logistic models with input dropout and hold them against the exact minimum.   Equation (D9)

    Parameters
    ----------
    keep_prob : q of the inputs
    seeds : (R,)
    steps : to count on
    n_steps : of the training

    Returns
    -------
    LogisticFit

    Examples
    --------
    >>> fit = logistic_fit(0.6, [0, 1], Steps("logistic", 20), 20)
    >>> fit.trained.shape, bool((fit.exact_penalties > 0).all())
    ((2, 6), True)
    """
    data = logistic_data(np.random.default_rng(DATA_SEED))
    exact = logistic_minimum(data.x, data.y, keep_prob)[:-1]
    plain = logistic_minimum(data.x, data.y, 1.0)[:-1]
    return LogisticFit(
        plain=plain[:, 0],
        exact=exact[:, 0],
        trained=trained(data, keep_prob, logistic_loss, LR_LOGISTIC * keep_prob, seeds, steps, n_steps)[:, :-1],
        frequency=(data.x != 0).mean(axis=0),
        strengths=adaptive_strengths(data.x, exact, keep_prob),
        exact_penalties=np.array([exact_penalty(data.x, s * exact, keep_prob) for s in SCALES]),
        quadratic_penalties=np.array([quadratic_penalty(data.x, s * exact, keep_prob) for s in SCALES]),
    )


# ---- the report ------------------------------------------------------------------------------------------------------


def report(seeds: Sequence[int], *, keep_probs: Sequence[float] = KEEP_PROBS, steps: int = STEPS) -> Report:
    """Run both, and say how far the trained weights are from theory.

    Parameters
    ----------
    seeds : one replicate for each
    keep_probs : of the linear model
    steps : of each training

    Returns
    -------
    Report, ready for ``publish``

    Examples
    --------
    >>> [len(table.rows) for table in report([0, 1], keep_probs=(0.8, 0.4), steps=20).tables]
    [2, 6, 6]
    """
    progress = Steps("penalties", (len(keep_probs) + 1) * steps)
    path = linear_path(keep_probs, seeds, progress, steps)
    fit = logistic_fit(LOGISTIC_KEEP_PROB, seeds, progress, steps)
    progress.close()
    q = f"{LOGISTIC_KEEP_PROB:g}"
    return Report(
        title="Dropout as a penalty",
        question="Is dropout on the inputs ridge regression for a linear model, and an adaptive L2 penalty for a logistic "
        "one?",
        tables=[
            Table("Linear: trained with dropout against ridge regression", *_linear_table(path)),
            Table(f"Logistic, keep_prob {q}: coefficients", *_logistic_table(fit)),
            Table(
                f"Logistic, keep_prob {q}: exact penalty and its second order, at multiples of the minimum",
                *_scale_table(fit),
            ),
        ],
        remark=_remark(path, fit),
        pictures={
            "penalties.png": (
                _picture(path, fit),
                "Left: coefficients of the linear model against keep_prob; lines: ridge regression, dots: trained with "
                "dropout. Middle: coefficients of the logistic model. Right: the quadratic penalty over the exact one.",
            )
        },
        reading="Trained to ridge: distance of the coefficients trained with dropout from those of ridge regression, in percent "
        "of the latter's norm; least squares to ridge is the same without dropout, for comparison.\n"
        "Strength c_i: the adaptive penalty is half the sum of c_i times the square of coefficient i; exact: the minimum of the expected "
        "loss over all masks.",
        settings={
            "data": f"made: {N_EXAMPLES} examples of {N_INPUTS} inputs, targets linear (noise 0.5) or 0 and 1",
            "training": f"SGD, cosine from {LR_LINEAR} q (linear) or {LR_LOGISTIC} q (logistic), whole batch, {steps} steps",
            **seeds_setting(seeds),
        },
    )


def _distance(fits: np.ndarray, theory: np.ndarray) -> np.ndarray:
    """Return ||w - w*|| / ||w*|| for each replicate."""
    return np.linalg.norm(fits - theory, axis=-1) / np.linalg.norm(theory)


def _linear_table(path: LinearPath) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    plain = np.linalg.norm(_least_squares())
    rows = []
    for keep_prob, ridge, fits in zip(path.keep_probs, path.ridge, path.trained):
        rows.append(
            (
                f"{keep_prob:g}",
                f"{np.linalg.norm(ridge) / plain:.4f}",
                t_interval(np.linalg.norm(fits, axis=1) / plain).text(scale=1, digits=4),
                t_interval(_distance(fits, ridge)).text(digits=2),
                f"{100 * float(_distance(_least_squares(), ridge)):.1f}",
            )
        )
    header = (
        "keep_prob",
        "ridge norm / least squares",
        "trained norm",
        "trained to ridge %",
        "least squares to ridge %",
    )
    return header, rows


def _least_squares() -> np.ndarray:
    data = linear_data(np.random.default_rng(DATA_SEED))
    return ridge_of_dropout(data.x, data.y, 1.0)[:, 0]


def _logistic_table(fit: LogisticFit) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    rows = [
        (
            str(i + 1),
            f"{100 * fit.frequency[i]:.0f}",
            f"{fit.strengths[i]:.2f}",
            f"{fit.plain[i]:+.3f}",
            f"{fit.exact[i]:+.3f}",
            t_interval(fit.trained[:, i]).text(scale=1, digits=3, sign=True),
            f"{fit.exact[i] / fit.plain[i]:.2f}",
        )
        for i in range(len(fit.exact))
    ]
    header = (
        "input",
        "on in %",
        "strength c_i",
        "no dropout",
        "dropout, exact",
        "dropout, trained",
        "exact / no dropout",
    )
    return header, rows


def _scale_table(fit: LogisticFit) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    rows = [
        (f"{scale:g}", f"{exact:.5g}", f"{quadratic:.5g}", f"{quadratic / exact:.4f}")
        for scale, exact, quadratic in zip(SCALES, fit.exact_penalties, fit.quadratic_penalties)
    ]
    return ("scale", "exact penalty", "quadratic penalty", "quadratic / exact"), rows


def _remark(path: LinearPath, fit: LogisticFit) -> str:
    far = [t_interval(_distance(fits, ridge)).mean for fits, ridge in zip(path.trained, path.ridge)]
    ratio = fit.quadratic_penalties / fit.exact_penalties
    common, rare = fit.strengths[fit.frequency > 0.9].mean(), fit.strengths[fit.frequency < 0.3].mean()
    apart = _distance(fit.trained, fit.exact)
    return (
        f"Linear: the closed form of the expected loss and the enumeration of all masks differ by {path.worst_error:.0e} "
        f"(relative); nets trained with dropout end {100 * min(far):.1f} to {100 * max(far):.1f} % away from ridge regression.\n"
        f"Logistic: trained nets end {t_interval(apart).text(digits=1)} % away from the exact minimum; the quadratic penalty "
        f"is {ratio[0]:.3f} of the exact one for small coefficients, {ratio[SCALES.index(1.0)]:.3f} at the minimum.\n"
        f"Inputs that are on in a tenth of the examples have the mean strength {rare:.2f}, those that are always on "
        f"{common:.2f}: {'the rare ones are' if rare < common else 'the rare ones are not'} penalised less."
    )


def _picture(path: LinearPath, fit: LogisticFit) -> Figure:
    figure, axes = new_figure(3, width=4.4)
    data = linear_data(np.random.default_rng(DATA_SEED))
    q = np.linspace(min(path.keep_probs), 1, 60)
    lines = np.array([ridge_of_dropout(data.x, data.y, float(value))[:, 0] for value in q])  # (60, d)
    for i in range(N_INPUTS):
        axes[0].plot(q, lines[:, i], color=COLOURS[i], label="ridge regression" if i == 0 else None)
        x = np.repeat(path.keep_probs, path.trained.shape[1])
        label = "trained with dropout" if i == 0 else None
        axes[0].scatter(x, path.trained[:, :, i].ravel(), color=COLOURS[i], s=12, alpha=0.6, linewidths=0, label=label)
    axes[0].set(xlabel="keep_prob of the inputs", ylabel="coefficient", title="linear: six coefficients")
    axes[0].legend(frameon=False, fontsize=9)
    places = np.arange(N_INPUTS)
    axes[1].bar(places - 0.22, fit.plain, 0.4, color="0.75", label="no dropout")
    axes[1].bar(places + 0.22, fit.exact, 0.4, color=COLOURS[0], label="dropout, exact")
    spread = np.tile(places + 0.22, len(fit.trained))
    axes[1].scatter(
        spread, fit.trained.ravel(), color=COLOURS[1], s=10, zorder=3, linewidths=0, label="dropout, trained"
    )
    axes[1].axhline(0, color="0.4", linewidth=1)
    axes[1].set_xticks(places, [f"{100 * f:.0f} %" for f in fit.frequency])
    axes[1].set(
        xlabel="input, on in so many examples",
        ylabel="coefficient",
        title=f"logistic, keep_prob {LOGISTIC_KEEP_PROB:g}",
    )
    axes[1].legend(frameon=False, fontsize=9)
    axes[2].plot(SCALES, fit.quadratic_penalties / fit.exact_penalties, color=COLOURS[0], marker="o", markersize=4)
    axes[2].axhline(1, color="0.4", linewidth=1)
    axes[2].set_xscale("log")
    axes[2].set_xticks(SCALES, [f"{s:g}" for s in SCALES])
    axes[2].minorticks_off()
    axes[2].set(
        xlabel="coefficients, as multiples of the minimum",
        ylabel="quadratic / exact penalty",
        title="adaptive L2 to second order",
    )
    return figure

"""Does the net know where it has no data? MC-dropout on a 1-D regression, inside and outside the training range.

A net with dropout is trained on noisy points of a curve. In evaluation T masks are drawn, each shared by all inputs, so
that each gives one function; their spread, and the noise variance 1 / tau of Equation (D16), make the predictive standard
deviation. Inside the range it can be held against the errors. Outside nothing was learned: the spread there says what
the net's form makes of ignorance, which is why two activations are compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from numpynet.data.dataset import Split
from numpynet.equations.activations import Activation, relu, tanh
from numpynet.equations.ensemble import model_precision, moments
from numpynet.equations.losses import squared_error
from numpynet.experiments.publish import Report, Table
from numpynet.experiments.setup import Steps, direction, paired, seeds_setting, train_stack
from numpynet.figures import COLOURS, new_figure
from numpynet.network import MLP
from numpynet.optimizers import Adam, Decay
from numpynet.plan import TrainingPlan
from numpynet.schedules import Cosine
from numpynet.seeding import streams
from numpynet.statistics import t_interval
from numpynet.subnetworks import monte_carlo

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ACTIVATIONS = (relu, tanh)
KEEP_PROB, HIDDEN, LR, STEPS = 0.9, (100, 100), 0.005, 5000
N_TRAIN, NOISE, DATA_SEED = 80, 0.1, 7
COUPLED_DECAY = 1e-5
N_MASKS = 200
EDGE, FAR = 1.0, 3.0  # trained on [-1, 1]; asked on [-3, 3]
REGIONS = ("inside", "left", "right")
QUICK = {"steps": 600, "n_masks": 50}


def curve(x: np.ndarray) -> np.ndarray:
    """The true curve, sin(3 x) + x^2: steep at the left end of the training range, less so at the right.

    Parameters
    ----------
    x : of any shape

    Returns
    -------
    In the shape of x.

    Examples
    --------
    >>> curve(np.array([0.0, 1.0])).round(2)
    array([0.  , 1.14])
    """
    return np.sin(3 * x) + x**2


def noisy_points(rng: np.random.Generator, n: int = N_TRAIN) -> Split:
    """Draw n points of the curve, x uniform on [-1, 1], with Gaussian noise; targets are floating, for a squared error.

    Parameters
    ----------
    rng : to draw from
    n : how many

    Returns
    -------
    Split of (n, 1) inputs and (n, 1) targets in float32

    Examples
    --------
    >>> points = noisy_points(np.random.default_rng(0), 5)
    >>> points.x.shape, points.y.shape, points.y.dtype
    ((5, 1), (5, 1), dtype('float32'))
    """
    x = rng.uniform(-EDGE, EDGE, (n, 1))
    return Split(x.astype(np.float32), (curve(x) + NOISE * rng.standard_normal((n, 1))).astype(np.float32))


class Uncertainty(NamedTuple):
    """The predictions of the replicates with one activation on a grid."""

    activation: str
    x: np.ndarray  # (G,) the grid
    mean: np.ndarray  # (R, G) over masks
    std: np.ndarray  # (R, G) over masks
    noise_std: float  # tau^(-1/2)
    tries: np.ndarray  # (10, G) single functions of the first replicate

    def over(self, values: np.ndarray, where: str) -> np.ndarray:
        """Return the mean of values (R, G) over the grid inside the training range, left or right of it, (R,).

        Parameters
        ----------
        values : (R, G), on the grid
        where : "inside", "left" or "right"

        Returns
        -------
        (R,)
        """
        region = np.select([self.x < -EDGE, self.x > EDGE], ["left", "right"], "inside")
        return values[:, region == where].mean(axis=1)

    def covered(self, where: str) -> np.ndarray:
        """Return the share of the grid where the curve lies within two predictive standard deviations, (R,).

        Parameters
        ----------
        where : "inside", "left" or "right"

        Returns
        -------
        (R,) from 0 to 1
        """
        band = 2 * np.sqrt(self.std**2 + self.noise_std**2)
        return self.over(np.abs(self.mean - curve(self.x)) <= band, where)

    def slope(self, where: str) -> np.ndarray:
        """Return the mean absolute slope of the mean function, (R,).

        Parameters
        ----------
        where : "inside", "left" or "right"

        Returns
        -------
        (R,)
        """
        return self.over(np.abs(np.gradient(self.mean, self.x, axis=1)), where)


def regress(
    activation: Activation, seeds: Sequence[int], steps: Steps, *, n_steps: int = STEPS, n_masks: int = N_MASKS
) -> Uncertainty:
    """Train on the points, and draw functions.   Equation (D16)

    The length scale of the prior is chosen such that 1 / tau is the true noise variance, which is known because the points
    are made; with real data it is chosen on validation examples.

    Parameters
    ----------
    activation : of the hidden layers
    seeds : one for each replicate; the points are the same for all
    steps : to count on
    n_steps : of the training
    n_masks : T

    Returns
    -------
    Uncertainty

    Examples
    --------
    >>> found = regress(relu, [0, 1], Steps("uncertainty", 20), n_steps=20, n_masks=12)
    >>> found.mean.shape == found.std.shape == (2, len(found.x)), round(found.noise_std, 4)
    (True, 0.1)
    """
    points = noisy_points(np.random.default_rng(DATA_SEED))
    net = MLP((1, *HIDDEN, 1), activation, keep_prob=KEEP_PROB)
    plan = TrainingPlan(
        steps=n_steps,
        batch_size=len(points.x),
        optimizer=Adam(),
        schedule=Cosine(LR, n_steps),
        decay=Decay(coupled=COUPLED_DECAY),
        loss=squared_error,
        evaluate_every=max(1, n_steps // 20),
    )
    theta = train_stack(net, plan, points, seeds, steps).theta
    grid = np.linspace(-FAR, FAR, 241, dtype=np.float32)
    functions = np.stack(
        [
            monte_carlo(
                net, theta.replicate(r), grid[:, None], streams(seed).dropout.spawn(1)[0], n_masks, shared=True
            )[..., 0]
            for r, seed in enumerate(seeds)
        ],
        axis=1,
    )  # (T, R, G)
    mean, variance = moments(functions.astype(np.float64))
    tau = model_precision(KEEP_PROB, length_scale(), len(points.x), COUPLED_DECAY / 2)
    return Uncertainty(
        activation.name,
        grid.astype(np.float64),
        mean,
        np.sqrt(variance),
        tau**-0.5,
        functions[:10, 0].astype(np.float64),
    )


def length_scale() -> float:
    """Return the length scale l for which tau = q l^2 / (2 N lambda) is 1 / (noise variance).   Equation (D16)

    Examples
    --------
    >>> round(model_precision(KEEP_PROB, length_scale(), N_TRAIN, COUPLED_DECAY / 2), 6)                  # 1 / 0.1^2
    100.0
    """
    return float(np.sqrt(2 * N_TRAIN * (COUPLED_DECAY / 2) / KEEP_PROB) / NOISE)


def report(seeds: Sequence[int], *, steps: int = STEPS, n_masks: int = N_MASKS) -> Report:
    """Run ``regress`` for each activation, and compare spread and error inside and outside.

    Parameters
    ----------
    seeds : one replicate for each
    steps : of each training
    n_masks : T, functions that are drawn for each replicate

    Returns
    -------
    Report, ready for ``publish``

    Examples
    --------
    >>> outcome = report([0, 1], steps=20, n_masks=10)
    >>> [row[:2] for row in outcome.tables[0].rows]
    [('relu', 'inside'), ('relu', 'left'), ('relu', 'right'), ('tanh', 'inside'), ('tanh', 'left'), ('tanh', 'right')]
    """
    progress = Steps("uncertainty", len(ACTIVATIONS) * steps)
    found = [regress(activation, seeds, progress, n_steps=steps, n_masks=n_masks) for activation in ACTIVATIONS]
    progress.close()
    return Report(
        title="Does the net know where it has no data?",
        question="Is the spread of dropout's functions larger outside the training range than inside, and does it cover "
        "the errors?",
        tables=[
            Table(
                f"Inside is |x| <= {EDGE:g}, where the training points are; outside reaches to |x| = {FAR:g}",
                *_table(found),
            )
        ],
        remark=_remark(found),
        pictures={
            "uncertainty.png": (
                _picture(found),
                "First replicate: training points, the true curve (dashed), the mean of the functions with two predictive "
                "standard deviations, and ten functions. The shaded range holds the training points.",
            )
        },
        reading=f"Std over masks: how far the functions of {n_masks} masks differ, a mask being kept for all x. Abs slope: of "
        "their mean, in y per x. Curve covered: share of places x where the true curve lies within two predictive standard "
        "deviations (masks and noise) of the mean. Left and right are the two sides outside, minus inside is paired.",
        settings={
            "data": f"{N_TRAIN} points of sin(3 x) + x^2, x uniform on [-{EDGE:g}, {EDGE:g}], noise {NOISE}",
            "net": f"{'-'.join(map(str, (1, *HIDDEN, 1)))}, keep_prob {KEEP_PROB}",
            "training": f"squared error, Adam {LR} with cosine, whole batch, {steps} steps, coupled decay {COUPLED_DECAY}",
            "masks": n_masks,
            "length scale": f"{length_scale():.3f}, so that 1 / tau is the noise variance",
            **seeds_setting(seeds),
        },
    )


def _table(found: Sequence[Uncertainty]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    rows = []
    for u in found:
        error = np.abs(u.mean - curve(u.x))
        for where in REGIONS:
            growth = paired(u.over(u.std, where), u.over(u.std, "inside")).text(scale=1, digits=3, sign=True)
            rows.append(
                (
                    u.activation,
                    where,
                    t_interval(u.over(u.std, where)).text(scale=1, digits=3),
                    "" if where == "inside" else growth,
                    t_interval(u.slope(where)).text(scale=1),
                    t_interval(u.over(error, where)).text(scale=1, digits=3),
                    t_interval(u.covered(where)).text(digits=1),
                )
            )
    header = (
        "activation",
        "where",
        "std over masks",
        "minus inside",
        "abs slope",
        "abs error of the mean",
        "curve covered %",
    )
    return header, rows


def _remark(found: Sequence[Uncertainty]) -> str:
    lines = []
    words = {
        "above": "larger",
        "below": "smaller",
        "not told apart": "not told apart from that inside",
    }  # of the spread
    for u in found:
        inside = u.over(u.std, "inside")
        told = [f"{words[direction(paired(u.over(u.std, side), inside))]} on the {side}" for side in REGIONS[1:]]
        covered = t_interval((u.covered("left") + u.covered("right")) / 2)
        lines.append(
            f"{u.activation}: outside the range the spread is {' and '.join(told)}; two predictive standard deviations cover the "
            f"curve at {t_interval(u.covered('inside')).text(digits=0)} % of the places inside and {covered.text(digits=0)} % outside."
        )
    lines.append("The error outside is that against a curve that nobody told the net about: no method could know it.")
    return "\n".join(lines)


def _picture(found: Sequence[Uncertainty]) -> Figure:
    figure, axes = new_figure(len(found))
    points = noisy_points(np.random.default_rng(DATA_SEED))
    for ax, u in zip(axes, found):
        mean, half = u.mean[0], 2 * np.sqrt(u.std[0] ** 2 + u.noise_std**2)
        ax.axvspan(-EDGE, EDGE, color="0.94", zorder=0)
        ax.fill_between(
            u.x, mean - half, mean + half, color=COLOURS[0], alpha=0.2, linewidth=0, label="± 2 predictive std"
        )
        ax.plot(u.x, u.tries.T, color=COLOURS[0], alpha=0.25, linewidth=0.7)
        ax.plot(u.x, mean, color=COLOURS[0], label="mean of the functions")
        ax.plot(u.x, curve(u.x), color="black", linestyle="--", linewidth=1.2, label="true curve")
        ax.scatter(points.x, points.y, color=COLOURS[1], s=9, zorder=3, linewidths=0, label="training points")
        ax.set(xlabel="x", ylabel="y", title=u.activation, xlim=(-FAR, FAR), ylim=(-3, 10))
    axes[-1].legend(frameon=False, fontsize=8, loc="upper center")
    return figure

"""Why does dropout lengthen training? The time of a step, the number of steps, and the noise of the gradient.

The source article blames the deletion of neurons in each iteration. Three measurements tell what is right:

* the time of one step with and without masks, in turns on the same machine;
* the number of steps to one validation loss;
* the variance of the gradient with and without masks at the same weights. By the law of total variance it is
  Var_n[E_m g] + E_n[Var_m g]: what the choice of the example adds, and what the choice of the mask adds. For a small net
  both are exact, over all examples and all 2^n masks.

Whether the noise is the cause is then tried: batches are made larger by the ratio of the variances, so that a step with
dropout is no noisier than one without. What is left of the additional steps has another cause, for instance that the
expected gradient is not that of the net which is deployed (Equation (D5)).
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from numpynet.data.dataset import Split, split_validation
from numpynet.experiments.gradient_noise import GradientNoise, exact_noise, sampled_ratio
from numpynet.experiments.publish import Report, Table
from numpynet.experiments.setup import Setup, Steps
from numpynet.figures import COLOURS, band, new_figure
from numpynet.network import MLP
from numpynet.plan import TrainingPlan
from numpynet.seeding import streams
from numpynet.statistics import Interval, t_interval
from numpynet.training import Record, begin, train

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KEEP_PROBS = (1.0, 0.8, 0.5)
N_VALIDATION = 500
SMALL_HIDDEN = 8  # units of the net whose 2^8 masks are enumerated
N_NOISE = 100  # examples whose gradients are compared
TIMED_SIZES, TIMED_BATCH, TIMED_BLOCK = (784, 500, 10), 64, 10  # the article's net; steps per block
QUICK = {"keep_probs": (1.0, 0.8), "n_noise": 30, "pairs": 10}


# ---- the time of a step ----------------------------------------------------------------------------------------------


class StepTimes(NamedTuple):
    """Seconds of processor time of one step, measured in turns; the only numbers here that differ from run to run."""

    plain: np.ndarray  # (P,) without dropout
    dropout: np.ndarray  # (P,) with it, each beside its neighbour in plain

    @property
    def ratio(self) -> float:
        """The median of the paired ratios."""
        return float(np.median(self.dropout / self.plain))


def time_steps(
    keep_prob: float = 0.5, *, sizes: Sequence[int] = TIMED_SIZES, pairs: int = 60, seed: int = 0
) -> StepTimes:
    """Time training steps with and without hidden dropout, block by block in turns.

    Parameters
    ----------
    keep_prob : of the hidden layers, in one of the two
    sizes : units of the inputs, of each hidden layer and of the output
    pairs : blocks of each kind that are timed; two more of each go before them
    seed : of examples and trainings

    Returns
    -------
    StepTimes, (pairs,) each: processor seconds of one step, the mean of a block

    Examples
    --------
    >>> times = time_steps(0.8, sizes=(5, 4, 3), pairs=2)
    >>> times.plain.shape, bool((times.dropout > 0).all())
    ((2,), True)
    """
    rng = np.random.default_rng(seed)
    x = rng.random((20 * TIMED_BATCH, sizes[0]), dtype=np.float32)
    split = Split(x, rng.integers(0, sizes[-1], len(x)))
    plan = TrainingPlan(steps=TIMED_BLOCK * (pairs + 2), batch_size=TIMED_BATCH, evaluate_every=TIMED_BLOCK)
    runs = [train(begin(MLP(tuple(sizes), keep_prob=q), plan, split, seed=seed), split) for q in (1.0, keep_prob)]
    for run in runs:
        next(run), next(run)  # the record before the first step, and a block to warm up
    seconds = np.empty((pairs, 2))
    for pair in range(pairs):
        for which in (0, 1) if pair % 2 else (1, 0):
            start = time.process_time()
            next(runs[which])
            seconds[pair, which] = (time.process_time() - start) / TIMED_BLOCK
    return StepTimes(*seconds.T)


# ---- the number of steps ---------------------------------------------------------------------------------------------


class Speed(NamedTuple):
    """The trainings of one keep probability, watched on the validation examples."""

    keep_prob: float
    batch_size: int
    steps: list[int]  # (S,) of the records
    loss: np.ndarray  # (S, R) validation loss


def validation_losses(
    setup: Setup, seeds: Sequence[int], keep_probs: Sequence[float], *, batch_sizes: Sequence[int] | None = None
) -> list[Speed]:
    """Train at each keep probability and watch the loss on examples set apart.

    Parameters
    ----------
    setup, seeds : data and training
    keep_probs : of the hidden layers
    batch_sizes : one for each keep probability, at most all training examples; None for that of the set-up

    Returns
    -------
    One ``Speed`` for each keep probability.

    Examples
    --------
    >>> from numpynet.data import load_digits
    >>> speeds = validation_losses(Setup(load_digits(), hidden=(8,), steps=4), [0, 1], (1.0, 0.8))
    >>> speeds[1].steps, speeds[1].loss.shape
    ([0, 1, 2, 3, 4], (5, 2))
    """
    training, validation = split_validation(
        setup.data.train, min(N_VALIDATION, len(setup.data.train.x) // 4), streams(seeds[0]).split
    )
    progress, speeds = Steps("steps to a loss", len(keep_probs) * setup.steps), []
    for keep_prob, batch_size in zip(keep_probs, batch_sizes or [setup.batch_size] * len(keep_probs)):
        plan = setup._replace(batch_size=batch_size).plan(every=max(1, setup.steps // 80), n_train=len(training.x))
        state = begin(setup.net(keep_prob), plan, training, seed=list(seeds))
        records: list[Record] = list(
            progress.follow(train(state, training, monitors={"validation": validation}), f"keep_prob {keep_prob:g}")
        )
        loss = np.array([record.loss["validation"] for record in records])
        speeds.append(Speed(keep_prob, plan.batch_size, [record.step for record in records], loss))
    progress.close()
    return speeds


def steps_to(speed: Speed, target: float) -> np.ndarray:
    """Return for each replicate the first recorded step with at most this loss, nan where there is none.

    Parameters
    ----------
    speed : the losses of R replicates
    target : in nats

    Returns
    -------
    (R,)

    Examples
    --------
    >>> steps_to(Speed(0.8, 100, [0, 10, 20], np.array([[2.0, 2.0], [1.5, 1.8], [0.9, 1.2]])), 1.0)
    array([20., nan])
    """
    reached = speed.loss <= target  # (S, R)
    first = np.array(speed.steps, np.float64)[reached.argmax(axis=0)]
    return np.where(reached.any(axis=0), first, np.nan)


def reachable_loss(speeds: Sequence[Speed]) -> float:
    """Return the smallest loss that every replicate of every condition reaches: the largest of their minima.

    Parameters
    ----------
    speeds : of all conditions

    Returns
    -------
    Nats.

    Examples
    --------
    >>> reachable_loss([Speed(0.8, 100, [0, 10], np.array([[2.0, 2.0], [1.5, 1.8]]))])
    1.8
    """
    return float(max(speed.loss.min(axis=0).max() for speed in speeds))


# ---- the noise of the gradient ---------------------------------------------------------------------------------------


class Noise(NamedTuple):
    """The noise of one keep probability in the course of a training with it."""

    keep_prob: float
    steps: list[int]  # (S,)
    exact: list[list[GradientNoise]]  # S lists of R: the small net, all masks
    sampled: np.ndarray  # (S, R) ratio, the set-up's net, a random mask for each example


def noise_while_training(
    setup: Setup, seeds: Sequence[int], keep_probs: Sequence[float], *, n_noise: int = N_NOISE
) -> list[Noise]:
    """Measure the noise of the gradient at the start, after a tenth, half and all of a training with dropout.

    Parameters
    ----------
    setup, seeds : data and training; one replicate for each seed
    keep_probs : of the hidden layers, each below 1
    n_noise : training examples, the first ones, whose gradients are measured

    Returns
    -------
    One ``Noise`` for each keep probability.

    Examples
    --------
    >>> from numpynet.data import load_digits
    >>> (noise,) = noise_while_training(Setup(load_digits(), hidden=(8,), steps=10), [0, 1], (0.8,), n_noise=9)
    >>> noise.steps, noise.sampled.shape, noise.exact[0][0].masks > 0
    ([0, 1, 5, 10], (4, 2), True)
    """
    some = Split(setup.data.train.x[:n_noise], setup.data.train.y[:n_noise])
    in_float64 = Split(some.x.astype(np.float64), some.y)
    marks = sorted({0, max(1, setup.steps // 10), setup.steps // 2, setup.steps})
    progress = Steps("gradient noise", 2 * len(keep_probs) * setup.steps)
    found = []
    for keep_prob in keep_probs:
        exact, sampled = [], []
        for small in (True, False):
            net = setup.net(keep_prob, (SMALL_HIDDEN,) if small else None)
            state = begin(net, setup.plan(every=marks[1]), setup.data.train, seed=list(seeds))
            for record in progress.follow(train(state, setup.data.train), f"keep_prob {keep_prob:g}"):
                if record.step not in marks:
                    continue
                thetas = [state.theta.replicate(r) for r in range(len(seeds))]
                if small:
                    exact.append([exact_noise(net, theta.astype(np.float64), in_float64) for theta in thetas])
                else:
                    rngs = [streams(seed).dropout.spawn(1)[0] for seed in seeds]
                    sampled.append([sampled_ratio(net, t, some, rng) for t, rng in zip(thetas, rngs)])
        found.append(Noise(keep_prob, marks, exact, np.array(sampled)))
    progress.close()
    return found


# ---- the report ------------------------------------------------------------------------------------------------------


def report(
    setup: Setup,
    seeds: Sequence[int],
    *,
    keep_probs: Sequence[float] = KEEP_PROBS,
    n_noise: int = N_NOISE,
    pairs: int = 60,
) -> Report:
    """Measure time, steps and noise; the first keep probability, 1, is the reference.

    Parameters
    ----------
    setup, seeds : data and training; one replicate for each seed
    keep_probs : of the hidden layers
    n_noise : training examples whose gradients are measured
    pairs : blocks of each kind that are timed

    Returns
    -------
    Report, ready for ``publish``

    Raises
    ------
    ValueError
        The first keep probability is not 1.

    Examples
    --------
    >>> from numpynet.data import load_digits
    >>> setup = Setup(load_digits(), hidden=(8,), steps=10)
    >>> [len(table.rows) for table in report(setup, [0, 1], keep_probs=(1.0, 0.8), n_noise=5, pairs=2).tables]
    [1, 3, 4]
    """
    if keep_probs[0] != 1:
        raise ValueError(
            f"keep_probs are {tuple(keep_probs)}, but the first must be 1, no dropout: it is the reference"
        )
    times = [(q, time_steps(q, pairs=pairs, seed=seeds[0])) for q in keep_probs[1:]]
    speeds = validation_losses(setup, seeds, keep_probs)
    noises = noise_while_training(setup, seeds, keep_probs[1:], n_noise=n_noise)
    quiet = [math.ceil(setup.batch_size * noise.sampled.mean(axis=1).max()) for noise in noises]
    speeds += validation_losses(setup, seeds, keep_probs[1:], batch_sizes=quiet)
    target = reachable_loss(speeds)
    sizes = "-".join(map(str, TIMED_SIZES))
    return Report(
        title="Why does dropout lengthen training?",
        question="Is it the time that masks take, or are more steps needed, and if so, why?",
        tables=[
            Table(f"Time of a step, {sizes}, batch {TIMED_BATCH}, float32, SGD", *_time_table(times)),
            Table(f"Steps to the validation loss {target:.4f}, which every run reaches", *_speed_table(speeds, target)),
            Table(
                f"Variance of the gradient with masks over that without, same weights; small net: "
                f"{SMALL_HIDDEN} hidden units, all {2**SMALL_HIDDEN} masks, {n_noise} examples",
                *_noise_table(noises),
            ),
        ],
        remark=_remark(times, speeds, target, noises),
        pictures={
            "training_cost.png": (
                _picture(speeds, target, noises),
                "Left: validation loss against steps; the line is the loss that every run reaches. Right: how much "
                "noisier the gradient is with masks than without, at the same weights; solid for the small net, dotted for "
                "the one that is trained.",
            )
        },
        reading="Steps: to the loss in the heading, on validation examples. Censored: the smallest loss is one of the last that "
        "were recorded, so a longer run may still go below it.\n"
        "The variance is that of one example's gradient with a mask of its own. Due to masks: the share of it that remains "
        "when the example is given. Cosine: between the mean gradient with masks and that without; where it is 1 they agree "
        "in direction. Ratio, sampled: for the net that is trained, with masks drawn at random.",
        settings={**setup.settings(seeds), "validation examples": min(N_VALIDATION, len(setup.data.train.x) // 4)},
    )


def _time_table(times) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    rows = [
        (f"{q:g}", f"{1e3 * np.median(t.plain):.3f}", f"{1e3 * np.median(t.dropout):.3f}", f"{t.ratio:.3f}", _spread(t))
        for q, t in times
    ]
    return ("keep_prob", "without, ms", "with, ms", "median of paired ratios", "middle half of the ratios"), rows


def _spread(times: StepTimes) -> str:
    low, high = np.quantile(times.dropout / times.plain, (0.25, 0.75))
    return f"{low:.3f} to {high:.3f}"


def _speed_table(speeds: Sequence[Speed], target: float) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    plain, rows = steps_to(speeds[0], target), []
    for speed in speeds:
        steps = steps_to(speed, target)
        ratio = "" if speed is speeds[0] else f"{np.exp(_log_ratio(steps, plain).mean):.2f}"
        low_high = "" if speed is speeds[0] else _ratio_interval(steps, plain)
        best = speed.loss.min(axis=0)
        at = np.array(speed.steps)[speed.loss.argmin(axis=0)]
        late = int((at >= 0.95 * speed.steps[-1]).sum())
        rows.append(
            (
                f"{speed.keep_prob:g}",
                str(speed.batch_size),
                t_interval(steps).text(scale=1, digits=0),
                ratio,
                low_high,
                t_interval(best).text(scale=1, digits=3),
                f"{'at least ' if late else ''}{t_interval(at).text(scale=1, digits=0)}{f' ({late} censored)' if late else ''}",
            )
        )
    header = ("keep_prob", "batch", "steps", "ratio to the first", "95 % interval", "smallest loss", "reached at step")
    return header, rows


def _log_ratio(steps: np.ndarray, plain: np.ndarray) -> Interval:
    return t_interval(np.log(np.maximum(steps, 1) / np.maximum(plain, 1)))  # 0 steps: the start is good enough


def _times(steps: np.ndarray, plain: np.ndarray) -> str:
    """Say how many times the steps, and whether the interval holds 1."""
    ratio = _log_ratio(steps, plain)
    told = ("clearly more" if ratio.mean > 0 else "clearly fewer") if ratio.excludes_zero else "not told apart from 1"
    return f"{np.exp(ratio.mean):.2f} times the steps ({told})"


def _ratio_interval(steps: np.ndarray, plain: np.ndarray) -> str:
    i = _log_ratio(steps, plain)
    if np.isnan(i.half_width):
        return "one run"
    return f"{np.exp(i.mean - i.half_width):.2f} to {np.exp(i.mean + i.half_width):.2f}"


def _noise_table(noises: Sequence[Noise]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    rows = []
    for noise in noises:
        for i, step in enumerate(noise.steps):
            exact = noise.exact[i]
            rows.append(
                (
                    f"{noise.keep_prob:g}",
                    str(step),
                    t_interval([g.ratio for g in exact]).text(scale=1),
                    t_interval([g.masks / (g.masks + g.examples) for g in exact]).text(digits=1),
                    t_interval([g.cosine for g in exact]).text(scale=1, digits=3),
                    t_interval(noise.sampled[i]).text(scale=1),
                )
            )
    header = (
        "keep_prob",
        "after step",
        "ratio, small net",
        "due to masks %",
        "cosine of mean gradients",
        "ratio, sampled",
    )
    return header, rows


def _remark(times, speeds: Sequence[Speed], target: float, noises: Sequence[Noise]) -> str:
    plain, lines = steps_to(speeds[0], target), []
    for (q, t), speed, quiet, noise in zip(times, speeds[1:], speeds[1 + len(times) :], noises):
        lines.append(
            f"keep_prob {q:g}: a step takes {t.ratio:.2f} times the time. To the same loss it needs "
            f"{_times(steps_to(speed, target), plain)}.\nThe variance of its gradient at the same weights is up to "
            f"{noise.sampled.mean(axis=1).max():.1f} times as large; with batches of {quiet.batch_size}, which make up for "
            f"that, it needs {_times(steps_to(quiet, target), plain)} of no dropout with batches of {speed.batch_size}."
        )
    lines.append(
        "Larger batches make the net without dropout faster, too: what is equal in that comparison is the noise of a step.\n"
        "Times differ from run to run and machine to machine; everything else is repeated exactly by the seed."
    )
    return "\n".join(lines)


def _picture(speeds: Sequence[Speed], target: float, noises: Sequence[Noise]) -> Figure:
    figure, axes = new_figure(2)
    for colour, speed in zip(COLOURS, speeds):
        name = f"keep_prob {speed.keep_prob:g}" if speed.keep_prob < 1 else "no dropout"
        band(axes[0], speed.steps, speed.loss, f"{name}, batch {speed.batch_size}", colour)
    axes[0].axhline(target, color="0.3", linestyle="--", linewidth=1)
    top = min(2.5 * min(speed.loss.min() for speed in speeds), speeds[0].loss.max())
    axes[0].set(xlabel="step", ylabel="validation loss in nats", ylim=(None, top))
    title = f"mean of {speeds[0].loss.shape[1]} runs, band: 95 %"
    place = {"loc": "upper center", "bbox_to_anchor": (0.42, 1.02)}  # clear of the curves
    axes[0].legend(title=title, fontsize=8, title_fontsize=9, frameon=False, **place)
    for colour, noise in zip(COLOURS[1:], noises):
        exact = np.array([[g.ratio for g in row] for row in noise.exact])
        band(
            axes[1],
            noise.steps,
            exact,
            f"keep_prob {noise.keep_prob:g}, small net, all masks",
            colour,
            marker="o",
            markersize=4,
        )
        band(
            axes[1],
            noise.steps,
            noise.sampled,
            f"keep_prob {noise.keep_prob:g}, sampled",
            colour,
            marker="s",
            markersize=4,
            linestyle=":",
        )
    axes[1].axhline(1, color="0.4", linewidth=1)
    axes[1].set(xlabel="step", ylabel="gradient variance, with / without masks")
    axes[1].legend(frameon=False, fontsize=9)
    return figure

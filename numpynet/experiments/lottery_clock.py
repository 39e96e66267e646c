"""How long a lottery experiment will take: a second of it is run, and the rest is arithmetic."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from numpynet.lottery.experiment import Examples, Experiment
from numpynet.parameters import Parameters
from numpynet.training import TrainingState, begin, evaluate, train

# With ``test_curve`` False the test set is looked at only where the validation loss has a new minimum, and at the end. How
# often that is cannot be known in advance. In ``lottery run lenet-mnist --scale 0.1 --replicates 3 --controls reinit`` it
# was in 2148 of the 4284 records of the first 84 trainings: 0.41 of those of the dense net, 0.68 of those at 3.6 % of the
# weights, 0.25 to 0.92 of one training. Longer trainings have more records after their minimum, so theirs may be fewer.
LOOKS_AT_TEST = 0.5


class Estimate(NamedTuple):
    """What was measured, and what follows from it. All times in seconds."""

    step: float  # of one stack, the mean over the ladder
    evaluation: float  # of one record of one stack
    fastest: float  # as ``step``, of the fastest tenth of the steps: what an idle machine would do
    stack: int  # replicates trained together
    trainings: int  # of each stack
    steps: int  # of each training
    records: int
    stacks: int

    def seconds(self, workers: int = 1) -> float:
        """Time for everything, with so many stacks at once.

        Parameters
        ----------
        workers : stacks at once

        Returns
        -------
        Seconds.
        """
        return self._seconds(workers, self.step)

    def _seconds(self, workers: int, step: float) -> float:
        return -(-self.stacks // workers) * self.trainings * (self.steps * step + self.records * self.evaluation)

    def text(self, workers: int = 1) -> str:
        """Say it in one sentence.

        Parameters
        ----------
        workers : stacks at once

        Returns
        -------
        Text.
        """
        share = self.records * self.evaluation / (self.steps * self.step + self.records * self.evaluation)
        alone = self._seconds(workers, self.fastest)
        busy = self.fastest < 0.7 * self.step
        at_once = f", {workers} at once" if workers > 1 else ""
        return (
            f"expected time: about {clock(self.seconds(workers))} ({self.stacks} x {self.trainings} trainings of {self.steps} "
            f"steps{at_once}; a step takes {1e3 * self.step:.2f} ms on the average, for {self.stack} replicate{'s' if self.stack > 1 else ''}, "
            f"the {self.records} evaluations of a training {100 * share:.0f} % of its time)"
            + (f"; this machine is busy with other work, else it would be about {clock(alone)}" if busy else "")
        )


def measure(experiment: Experiment, examples: Examples, *, seconds: float = 1.0) -> Estimate:
    """Run a few steps of the first stack, with the mask of the first level and with one of the last, and an evaluation.

    Parameters
    ----------
    experiment, examples : what is to be run, on what
    seconds : how long to run it at least

    Returns
    -------
    Estimate

    Examples
    --------
    >>> from numpynet.lottery.experiment import load_examples
    >>> experiment = Experiment(data="digits", sizes=(64, 10), validation=200, steps=100, rounds=1, replicates=3)
    >>> measured = measure(experiment, load_examples(experiment), seconds=0.01)
    >>> measured.step > 0, measured.trainings, measured.stacks, measured.records
    (True, 3, 1, 3)
    """
    seeds = [experiment.seeds[trial] for trial in experiment.groups[0]]
    net, plan = experiment.net(), experiment.plan()
    state = begin(net, plan, examples.train, seed=seeds)
    ladder, densities = experiment.ladder(), np.array(experiment.densities())
    times = []  # of a step of the dense net, and of the last level, whose steps are shorter: the mean, the fastest tenth
    for level in (0, -1):
        state.weight_mask = _some_mask(state, ladder[level])
        times.append(_times_of_a_step(state, examples, experiment.steps, seconds / 2))
    dense, last = np.array(times)
    slope = (dense - last) / (1 - densities[-1]) if densities[-1] < 1 else 0 * dense
    levels = dense - slope * (1 - densities)[:, None]  # (levels, 2) in proportion to the weights that are left
    of_level = np.full(len(levels), (experiment.trainings - 1) / max(experiment.rounds, 1))  # how many trainings
    of_level[0] = 1
    step, fastest = (levels * of_level[:, None]).sum(axis=0) / of_level.sum()
    evaluation = _time_of(state, examples.validation)
    evaluation += _time_of(state, examples.test) * (1 if experiment.test_curve else LOOKS_AT_TEST)
    records = 1 + -(-experiment.steps // experiment.evaluate_every)
    return Estimate(
        float(step),
        evaluation,
        float(fastest),
        len(seeds),
        experiment.trainings,
        experiment.steps,
        records,
        len(experiment.groups),
    )


def _some_mask(state: TrainingState, counts: Mapping[str, int]) -> Parameters:
    """A mask with so many weights in each layer (or in all of them), anywhere."""
    layout = state.net.layout
    mask = Parameters.ones(layout, replicates=state.theta.replicates, dtype=state.theta.dtype)
    rng = np.random.default_rng(0)
    for name in layout.weight_names:
        n = layout.shapes[name][0] * layout.shapes[name][1]
        alive = counts[name] if name in counts else round(counts["all"] * n / layout.n_weights)
        mask[name][...] = (rng.permutation(n) < alive).reshape(layout.shapes[name])
    return mask


def _times_of_a_step(state: TrainingState, examples: Examples, most: int, seconds: float) -> tuple[float, float]:
    """Mean and fastest tenth of the times from one step to the next, within calls of ``train``.

    What a call does before its first step, such as looking through all the data, is done once in a training, so it is no
    part of a step.
    """
    times: list[float] = []
    started = time.perf_counter()
    while state.step < most and (len(times) < 4 or time.perf_counter() - started < seconds):
        ends: list[float] = []
        for _ in train(
            state,
            examples.train,
            until=state.step + 20,
            on_step=lambda step, ends=ends: ends.append(time.perf_counter()),
        ):
            pass
        times.extend(np.diff(ends))
    if state.step >= most:  # a training that is over already begins again
        state.step = 0
    return float(np.mean(times or [0.0])), float(np.percentile(times or [0.0], 10))


def _time_of(state, split) -> float:
    times = []
    for _ in range(3):
        start = time.perf_counter()
        evaluate(state.net, state.theta, split)
        times.append(time.perf_counter() - start)
    return min(times)


def clock(seconds: float) -> str:
    """Return a time as people say it.

    Parameters
    ----------
    seconds : >= 0

    Returns
    -------
    Text, in the two largest units.

    Examples
    --------
    >>> clock(40), clock(100), clock(5000)
    ('40 s', '1 min 40 s', '1 h 23 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"

"""How long a lottery experiment will take: a second of it is run, and the rest is arithmetic."""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np

from numpynet.lottery.experiment import Examples, Experiment
from numpynet.training import begin, evaluate, train

# With ``test_curve`` False the test set is looked at only where the validation loss has a new minimum. How often that is
# cannot be known in advance; in runs of lenet-mnist it was about one record in this many.
MINIMA = 5


class Estimate(NamedTuple):
    """What was measured, and what follows from it. All times in seconds."""

    step: float  # of one stack
    evaluation: float  # of one record of one stack
    idle: float  # how much of the time the processor was with others while this was measured, 0 to 1
    stack: int  # replicates trained together
    trainings: int  # of each stack
    steps: int  # of each training
    records: int
    stacks: int

    def seconds(self, workers: int = 1) -> float:
        """Time for everything, with so many stacks at once."""
        return -(-self.stacks // workers) * self.trainings * (self.steps * self.step + self.records * self.evaluation)

    def text(self, workers: int = 1) -> str:
        """Say it in one sentence."""
        share = self.records * self.evaluation / (self.steps * self.step + self.records * self.evaluation)
        alone = self.seconds(workers) * (1 - self.idle)
        at_once = f", {workers} at once" if workers > 1 else ""
        return (
            f"expected time: about {clock(self.seconds(workers))} ({self.stacks} x {self.trainings} trainings of {self.steps} "
            f"steps{at_once}; a step takes {1e3 * self.step:.2f} ms for {self.stack} replicate{'s' if self.stack > 1 else ''}, "
            f"the {self.records} evaluations of a training {100 * share:.0f} % of its time)"
            + (
                f"; this machine is busy with other work, else it would be about {clock(alone)}"
                if self.idle > 0.2
                else ""
            )
        )


def measure(experiment: Experiment, examples: Examples, *, seconds: float = 1.0) -> Estimate:
    """Run the first steps of the first stack, and one evaluation.

    Parameters
    ----------
    experiment, examples : what is to be run, on what
    seconds : how long to run it at least

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
    state.weight_mask = type(state.theta).ones(net.layout, replicates=state.theta.replicates, dtype=plan.dtype)
    ends: list[float] = []

    def on_step(step: int) -> None:
        ends.append(time.perf_counter())

    until, began = 0, (time.perf_counter(), time.process_time())
    while state.step < experiment.steps and (len(ends) < 5 or ends[-1] - ends[0] < seconds):
        until += 5
        for _ in train(state, examples.train, until=until, on_step=on_step):
            pass
    step = float(np.mean(np.diff(ends))) if len(ends) > 1 else 0.0
    evaluation = _time_of(state, examples.validation)
    evaluation += _time_of(state, examples.test) / (1 if experiment.test_curve else MINIMA)
    passed = time.perf_counter() - began[0]
    idle = max(0.0, 1 - (time.process_time() - began[1]) / passed)
    records = 1 + -(-experiment.steps // experiment.evaluate_every)
    return Estimate(
        step, evaluation, idle, len(seeds), experiment.trainings, experiment.steps, records, len(experiment.groups)
    )


def _time_of(state, split) -> float:
    times = []
    for _ in range(3):
        start = time.perf_counter()
        evaluate(state.net, state.theta, split)
        times.append(time.perf_counter() - start)
    return min(times)


def clock(seconds: float) -> str:
    """Return a time as people say it.

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

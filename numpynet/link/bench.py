"""The bench of the link's experiments: one data set, split once, one net, one way to train it; and trainings that are kept.

A training is judged where its validation loss is smallest, which is read off afterwards: every training runs to its end. All
replicates are one stack. A finished training is kept in a folder (see ``numpynet.experiments.parts``), under the digest of
everything that it depends on: start, masks, seeds, plan and data. So experiments that need the same training share it, and
an interrupted run goes on with the trainings that it had finished.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from numpynet.checkpoints import run_settings
from numpynet.data.dataset import Dataset, Split, split_validation
from numpynet.experiments.parts import kept
from numpynet.experiments.setup import Steps, seeds_setting
from numpynet.lottery.imp import Level, Trained, Training, iterative_pruning
from numpynet.lottery.prune_rules import prune_rule
from numpynet.network import MLP
from numpynet.optimizers import Adam
from numpynet.parameters import Parameters
from numpynet.plan import TrainingPlan
from numpynet.storage import digest
from numpynet.training import TrainingState, begin, train

KEEP_PROB = 0.8  # of both hidden layers, where there is dropout
RATE, OUTPUT_RATE = 0.36, 0.19  # two rounds of 20 % (output layer 10 %) in one: 1 - 0.8^2 and 1 - 0.9^2
VALIDATION_SEED = 0
CENSORED = 0.95  # a smallest validation loss later than this share of the budget might have come later still


class Bench(NamedTuple):
    """A data set with a validation part, and how classifiers are trained on it: ReLU, Adam, a fixed number of steps."""

    data: Dataset  # its training part is what is left for training
    validation: Split
    fingerprint: str  # SHA-256 of all examples
    hidden: tuple[int, ...] = (100, 100)
    lr: float = 0.003
    batch_size: int = 100
    steps: int = 4000
    every: int = 50  # steps between two looks at the validation examples
    rounds: int = 5  # of pruning
    folder: Path | None = None  # where finished trainings are kept

    def net(self, keep_prob: float = 1.0) -> MLP:
        """Return the net, with dropout on its hidden layers.

        Parameters
        ----------
        keep_prob : of the hidden layers; the inputs always stay

        Returns
        -------
        the net, a fresh one

        Examples
        --------
        >>> from numpynet.data import load_digits
        >>> bench_of(load_digits(), hidden=(8,)).net(0.8).keep_probs
        (None, 0.8)
        """
        return MLP((self.data.train.x.shape[1], *self.hidden, self.data.n_classes), keep_prob=keep_prob)

    def plan(self) -> TrainingPlan:
        """Return how it is trained.

        Examples
        --------
        >>> from numpynet.data import load_digits
        >>> bench_of(load_digits(), steps=10).plan().evaluate_every
        10
        """
        return TrainingPlan(
            steps=self.steps,
            batch_size=self.batch_size,
            optimizer=Adam(),
            schedule=self.lr,
            evaluate_every=min(self.every, self.steps),
            dtype=self.data.train.x.dtype.name,
        )

    def settings(self, seeds: Sequence[int]) -> dict[str, object]:
        """Return what a report has to say about it.

        Parameters
        ----------
        seeds : of the replicates

        Returns
        -------
        name -> text

        Examples
        --------
        >>> from numpynet.data import load_digits
        >>> bench_of(load_digits()).settings([3, 4])["seeds"]
        '3, 4'
        """
        data = self.data
        return {
            "data": f"{data.name}: {len(data.train.x)} training, {len(self.validation.x)} validation and {len(data.test.x)} "
            f"test examples, split once. {data.source}",
            "net": "-".join(map(str, self.net().sizes)) + ", ReLU, Glorot normal, zero biases, float32",
            "training": f"Adam {self.lr}, batch {self.batch_size}, {self.steps} steps; judged at the smallest validation "
            f"loss, looked at every {min(self.every, self.steps)} steps",
            **seeds_setting(seeds),
        }


class Fit(NamedTuple):
    """A stack of trained nets."""

    theta: Parameters  # where the validation loss was smallest, replicate by replicate
    theta_T: Parameters  # after the last step, which is what pruning looks at
    test: np.ndarray  # (R,) test accuracy of theta
    final: np.ndarray  # (R,) test accuracy of theta_T
    stop: np.ndarray  # (R,) step of the smallest validation loss
    censored: np.ndarray  # (R,) whether it lies in the last twentieth of the budget


def bench_of(data: Dataset, *, folder: Path | None = None, **changes) -> Bench:
    """Set an eighth of the training examples apart for validation, always the same ones.

    Parameters
    ----------
    data : a data set with its test part
    folder : where finished trainings are kept; None keeps none
    **changes : other fields of ``Bench``, such as ``steps``

    Returns
    -------
    the bench

    Examples
    --------
    >>> from numpynet.data import load_digits
    >>> bench = bench_of(load_digits(), steps=10)
    >>> len(bench.data.train.x), len(bench.validation.x)
    (1258, 179)
    """
    n_validation = len(data.train.x) // 8
    rest, validation = split_validation(data.train, n_validation, np.random.default_rng(VALIDATION_SEED))
    arrays = (*rest, *validation, *data.test)
    fingerprint = hashlib.sha256("".join(map(digest, arrays)).encode()).hexdigest()
    return Bench(data._replace(train=rest), validation, fingerprint, folder=folder, **changes)


def fit(bench: Bench, state: TrainingState, steps: Steps, name: str) -> Fit:
    """Train to the end, or take the training from the folder if it was done before.

    Parameters
    ----------
    bench : with the examples
    state : of ``begin``, at step 0
    steps : to count on
    name : a word for the file and the progress line

    Returns
    -------
    the trained stack; accuracies in shares

    Raises
    ------
    TrainingDiverged
        The loss is no longer finite.

    Examples
    --------
    >>> from numpynet.data import load_digits
    >>> bench = bench_of(load_digits(), hidden=(8,), steps=10, every=5)
    >>> result = fit(bench, begin(bench.net(), bench.plan(), bench.data.train, seed=[0, 1]), Steps("training", 10), "dense")
    >>> result.theta.replicates, result.test.shape, result.stop
    ((2,), (2,), array([10, 10]))
    """
    compute = partial(_train, bench, state, steps, name)
    before = steps.before
    arrays = kept(bench.folder, name, training_settings(bench, state), compute)
    steps.before = before + state.plan.total_steps(len(bench.data.train.x))
    layout = state.net.layout
    theta, theta_T = (Parameters(arrays.pop(key), layout) for key in ("theta", "theta_T"))
    return Fit(theta, theta_T, **arrays)


def training_settings(bench: Bench, state: TrainingState) -> dict[str, object]:
    """Return everything that the result of a training depends on.

    Parameters
    ----------
    bench : with the examples
    state : of ``begin``, before its first step

    Returns
    -------
    name -> text, number or record, as JSON can hold it

    Examples
    --------
    >>> from numpynet.data import load_digits
    >>> bench = bench_of(load_digits(), hidden=(8,), steps=10)
    >>> one, other = (begin(bench.net(), bench.plan(), bench.data.train, seed=[0], draw=draw) for draw in (0, 1))
    >>> training_settings(bench, one) == training_settings(bench, other)                    # another order of the examples
    False
    """
    rngs = [str(rng.bit_generator.state) for rng in (*state.batch_rngs, *state.dropout_rngs)]
    return {
        "kind": "training, judged at the smallest validation loss",
        "data": bench.fingerprint,
        "run": run_settings(state),
        "steps": state.plan.total_steps(len(bench.data.train.x)),
        "start": digest(state.theta.vector),
        "weight_mask": "dense" if state.weight_mask is None else digest(state.weight_mask.vector),
        "streams": hashlib.sha256("".join(rngs).encode()).hexdigest(),
    }


def _train(bench: Bench, state: TrainingState, steps: Steps, name: str) -> dict[str, np.ndarray]:
    n = len(state.theta.vector)
    best = {"theta": state.theta.vector.copy(), "test": np.zeros(n), "stop": np.zeros(n, int)}
    smallest = np.full(n, np.inf)
    monitors = {"validation": bench.validation, "test": bench.data.test}
    records = train(state, bench.data.train, monitors=monitors, on_step=lambda step: steps.at(step, name))
    for record in records:
        loss, test = np.array(record.loss["validation"]), np.array(record.accuracy["test"])
        better = loss < smallest  # the first of equal ones counts
        smallest[better] = loss[better]
        best["theta"][better], best["test"][better], best["stop"][better] = state.theta.vector[better], test[better], record.step  # fmt: skip
    return {
        **best,
        "theta_T": state.theta.vector,
        "final": test,
        "censored": best["stop"] > CENSORED * record.step,
    }


# ---- the ladder ------------------------------------------------------------------------------------------------------


class Rung(NamedTuple):
    """One density of a ladder of tickets."""

    density: float
    weight_mask: Parameters
    fit: Fit


class KeptTrainer:
    """Trains what ``iterative_pruning`` asks for, and keeps it."""

    def __init__(self, bench: Bench, steps: Steps, name: str) -> None:
        self.bench, self.steps, self.name = bench, steps, name
        self.fits: dict[int, Fit] = {}

    def __call__(self, training: Training) -> Trained:
        """Train one level."""
        state = training.begin()
        found = self.fits[training.level] = fit(self.bench, state, self.steps, f"{self.name}-{training.level}")
        return Trained(found.theta_T, state.weight_mask, state.history)


def ladder(bench: Bench, seeds: Sequence[int], keep_prob: float, steps: Steps) -> list[Rung]:
    """Find tickets by iterative magnitude pruning, rewound to theta_0, with this keep probability in every training.

    Per round 36 % of the surviving weights go, 19 % in the output layer: two rounds of Frankle and Carbin (2019) in one.

    Parameters
    ----------
    bench : with the examples, and the number of rounds
    seeds : one for each of R replicates
    keep_prob : of the hidden layers, 1 for no dropout
    steps : to count on

    Returns
    -------
    rounds + 1 rungs, the dense net first

    Examples
    --------
    >>> from numpynet.data import load_digits
    >>> bench = bench_of(load_digits(), hidden=(8,), steps=10, rounds=1)
    >>> [round(rung.density, 3) for rung in ladder(bench, [0, 1], 0.8, Steps("ladder", 20))]
    [1.0, 0.664]
    """
    trainer = KeptTrainer(bench, steps, "plain" if keep_prob == 1 else f"dropout{keep_prob:g}")
    levels: list[Level] = list(
        iterative_pruning(
            bench.net(keep_prob),
            bench.plan(),
            bench.data.train,
            seeds=seeds,
            rounds=bench.rounds,
            prune=prune_rule(RATE, output_rate=OUTPUT_RATE),
            trainer=trainer,
        )
    )
    return [Rung(level.density, level.weight_mask, trainer.fits[level.number]) for level in levels]


def dense_fit(bench: Bench, seeds: Sequence[int], keep_prob: float, steps: Steps, *, draw: int = 0) -> Fit:
    """Train the whole net, as level 0 of a ladder does (and with it, if it has been done).

    Parameters
    ----------
    bench : with the examples
    seeds : one for each of R replicates
    keep_prob : of the hidden layers, 1 for no dropout
    steps : to count on
    draw : which order of the examples; 0 is that of the ladder

    Returns
    -------
    the trained stack

    Examples
    --------
    >>> from numpynet.data import load_digits
    >>> bench = bench_of(load_digits(), hidden=(8,), steps=10)
    >>> dense_fit(bench, [0, 1], 0.8, Steps("training", 10)).final.shape
    (2,)
    """
    net, plan = bench.net(keep_prob), bench.plan()
    ones = Parameters.ones(net.layout, replicates=(len(seeds),), dtype=plan.dtype)
    state = begin(net, plan, bench.data.train, seed=list(seeds), weight_mask=ones, draw=draw)
    name = "plain" if keep_prob == 1 else f"dropout{keep_prob:g}"
    return fit(bench, state, steps, f"{name}-0" if draw == 0 else f"{name}-order{draw}")

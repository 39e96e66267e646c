"""The configuration of a lottery experiment: one flat record of numbers and names, which can be printed, saved, compared.

Everything that decides about a result is in it; what does not (the folder, how often to save) is not. Two runs with equal
records on equal data end with the same bits.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from numpynet import initializers, optimizers
from numpynet.data import load_digits, load_mnist, load_mnist1d, split_validation
from numpynet.data.dataset import Dataset, Split
from numpynet.equations import activations
from numpynet.equations.checks import check_keep_prob
from numpynet.equations.masks import prune_count
from numpynet.lottery.arms import CONTROLS, NOT_RANDOM
from numpynet.lottery.imp import Prune
from numpynet.lottery.prune_rules import CRITERIA, SCOPES, prune_rule
from numpynet.lottery.rewinding import FineTune, Init, Late, LearningRate, Rewinding
from numpynet.network import MLP
from numpynet.plan import TrainingPlan
from numpynet.seeding import streams

OPTIMIZERS = {
    "sgd": optimizers.SGD(),
    "momentum": optimizers.Momentum(),
    "rmsprop": optimizers.RMSProp(),
    "adam": optimizers.Adam(),
}
LOADERS = {"digits": load_digits, "mnist1d": load_mnist1d, "mnist": load_mnist}
MOST = 10_000  # replicates, or draws of a control


@dataclass(frozen=True)
class Experiment:
    """One experiment. A new field needs a default that changes nothing, or old runs lose their identity.

    Parameters
    ----------
    data : "digits", "mnist1d" or "mnist"
    sizes : of the network
    keep_prob : of the hidden layers while training
    validation : examples of the training part set apart to choose the early stop; drawn from the first seed
    steps, batch_size, optimizer, lr, evaluate_every : how each network is trained
    test_curve : True evaluates the test set at every record, False only where the validation loss is smaller than ever
        before, and at the end, which is all that the tables need
    rounds : how often to prune
    rate : share of the survivors removed per round; one number, or one for each layer, {"W1": 0.2, ...}
    output_rate : that of the last layer, None for half of the rate; only for one rate and scope "layer"
    scope : "layer" or "global"
    criterion : what is kept: "magnitude" or another name of ``prune_rules.CRITERIA``
    min_keep : weights that every layer keeps at least
    rewind : "init", "late:K", "late:K:saved", "lr:T" or "finetune:S", see ``numpynet.lottery.rewinding``
    controls : names of ``arms.CONTROLS``, trained beside every ticket
    draws : how often each control is drawn
    seed : of the first replicate; the others follow, seed + 1, seed + 2, ...
    replicates : how many
    stack : how many of them are trained as one array. It is part of the record because sums may be rounded in another
        order for another shape
    compact : True leaves out units that no replicate of a stack hears while it trains, see
        ``numpynet.pruning.compact_training``; part of the record for the same reason

    Examples
    --------
    >>> Experiment(data="digits", sizes=(64, 30, 10), validation=200).seeds
    (0, 1, 2, 3, 4)
    """

    data: str = "mnist1d"
    sizes: tuple[int, ...] = (40, 100, 100, 10)
    activation: str = "relu"
    initializer: str = "glorot_normal"
    keep_prob: float = 1.0
    validation: int = 500
    steps: int = 2000
    batch_size: int = 100
    optimizer: str = "adam"
    lr: float = 3e-3
    evaluate_every: int = 50
    test_curve: bool = True
    dtype: str = "float32"
    rounds: int = 7
    rate: float | Mapping[str, float] = 0.2
    output_rate: float | None = None
    scope: str = "layer"
    criterion: str = "magnitude"
    min_keep: int = 0
    rewind: str = "init"
    controls: tuple[str, ...] = ("reinit",)
    draws: int = 1
    seed: int = 0
    replicates: int = 5
    stack: int = 8
    compact: bool = False
    version: int = field(default=1, repr=False)  # of this record

    def __post_init__(self) -> None:
        for name in ("sizes", "controls"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if isinstance(self.rate, Mapping):
            object.__setattr__(self, "rate", types.MappingProxyType(dict(self.rate)))
        for name, low in (
            ("validation", 1), ("steps", 1), ("batch_size", 1), ("evaluate_every", 1), ("rounds", 0), ("min_keep", 0),
            ("draws", 1), ("seed", 0), ("replicates", 1), ("stack", 1),
        ):  # fmt: skip
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < low:
                raise ValueError(f"{name} is {value!r}, but an integer >= {low} is needed")
            if name in ("replicates", "draws") and value > MOST:  # each has files and a row of its own
                raise ValueError(f"{name} is {value}, but at most {MOST} are possible; a few already give an interval")
        for name in ("test_curve", "compact"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} is {getattr(self, name)!r}, but True or False is needed")
        for name, known in (
            ("data", LOADERS), ("optimizer", OPTIMIZERS), ("scope", SCOPES), ("criterion", CRITERIA),
            ("activation", [a for a in vars(activations) if isinstance(getattr(activations, a), activations.Activation)]),
            ("initializer", [i for i in vars(initializers) if i.startswith(("glorot_", "he_")) and not i.endswith("std")]),
        ):  # fmt: skip
            if getattr(self, name) not in known:
                raise ValueError(f"{name} is {getattr(self, name)!r}, but one of {', '.join(known)} is needed")
        for name in self.controls:
            if name not in CONTROLS:
                raise ValueError(f"there is no control {name!r}; there are {', '.join(CONTROLS)}")
        if len(set(self.controls)) < len(self.controls):
            raise ValueError(f"controls are {', '.join(self.controls)}: one is named twice")
        if self.version != 1:
            raise ValueError(f"the record has version {self.version!r}, but this numpynet knows 1; update it")
        check_keep_prob(self.keep_prob)
        if self.keep_prob < 1 and len(self.sizes) == 2:
            raise ValueError("keep_prob is for the hidden layers, but this network has none")
        self._check_rates()
        self.plan()  # raises for a wrong learning rate or dtype
        start = self.rewinding
        first = {Late: "step", LearningRate: "step", FineTune: "steps"}.get(type(start))
        if first is not None and not 0 <= getattr(start, first) < self.steps + isinstance(start, FineTune):
            raise ValueError(f"rewind is {self.rewind!r}, which does not fit a training of {self.steps} steps")

    def _check_rates(self) -> None:
        layers = self.net().layout.weight_names
        if isinstance(self.rate, Mapping):
            if self.scope == "global" or self.output_rate is not None:
                raise ValueError("rates for the layers go with scope 'layer', and without output_rate")
            if set(self.rate) != set(layers):
                raise ValueError(f"rate names {', '.join(self.rate)}, but the layers are {', '.join(layers)}")
        elif self.scope == "global" and self.output_rate is not None:
            raise ValueError("output_rate goes with scope 'layer'; a global cut has one rate")
        for rate in self.layer_rates().values():
            prune_count(rate, 0)  # raises unless it is a number in [0, 1]
        counts = self.ladder()[-1]
        if self.scope == "layer" and 0 in counts.values():
            empty = [name for name, n in counts.items() if n == 0]
            level = next(i for i, level in enumerate(self.ladder()) if 0 in level.values())
            raise ValueError(
                f"round {level} would remove the last weight of {', '.join(empty)}, and no path would be left from the "
                "inputs to the outputs: take a smaller rate, fewer rounds, or min_keep 1"
            )

    @property
    def seeds(self) -> tuple[int, ...]:
        """One for each replicate."""
        return tuple(range(self.seed, self.seed + self.replicates))

    @property
    def groups(self) -> list[tuple[int, ...]]:
        """The trials (0, 1, ...) that are trained as one stack; the work of an experiment, in parts that can be shared out."""
        trials = range(self.replicates)
        return [tuple(trials[i : i + self.stack]) for i in range(0, self.replicates, self.stack)]

    @property
    def rewinding(self) -> Rewinding:
        """The record that ``rewind`` names."""
        return parse_rewind(self.rewind)

    @property
    def trainings(self) -> int:
        """How many networks one replicate trains: the ladder, and its controls."""
        return 1 + self.rounds * (1 + sum(self.draws_of().values()))

    def draws_of(self) -> dict[str, int]:
        """How often each control is trained; what is not random is trained once.

        Examples
        --------
        >>> Experiment(controls=("reinit", "one_shot"), draws=3).draws_of()
        {'reinit': 3, 'one_shot': 1}
        """
        return {name: 1 if name in NOT_RANDOM else self.draws for name in self.controls}

    def layer_rates(self) -> dict[str, float]:
        """The rate of every layer.

        Examples
        --------
        >>> Experiment(rate=0.2).layer_rates()
        {'W1': 0.2, 'W2': 0.2, 'W3': 0.1}
        """
        layers = self.net().layout.weight_names
        if isinstance(self.rate, Mapping):
            return dict(self.rate)
        rates = dict.fromkeys(layers, self.rate)
        if self.scope == "layer":
            rates[layers[-1]] = self.rate / 2 if self.output_rate is None else self.output_rate
        return rates

    def ladder(self) -> list[dict[str, int]]:
        """How many weights each layer has at each level; with scope "global" only their sum is settled in advance.

        Examples
        --------
        >>> Experiment(rounds=1).ladder()
        [{'W1': 4000, 'W2': 10000, 'W3': 1000}, {'W1': 3200, 'W2': 8000, 'W3': 900}]
        """
        shapes = self.net().layout.shapes
        counts = {name: math.prod(shapes[name]) for name in self.layer_rates()}
        rates = self.layer_rates()
        if self.scope == "global":
            counts, rates = {"all": sum(counts.values())}, {"all": self.rate}
        levels = [counts]
        for _ in range(self.rounds):
            counts = {
                name: max(n - prune_count(rates[name], n), min(n, self.min_keep if self.scope == "layer" else 0))
                for name, n in counts.items()
            }
            levels.append(counts)
        return levels

    def densities(self) -> list[float]:
        """The share of all weights that is left at each level.

        Examples
        --------
        >>> [round(density, 4) for density in Experiment(rounds=2).densities()]
        [1.0, 0.8067, 0.6513]
        """
        return [sum(level.values()) / self.net().layout.n_weights for level in self.ladder()]

    def net(self) -> MLP:
        """The network.

        Examples
        --------
        >>> Experiment().net().sizes
        (40, 100, 100, 10)
        """
        return MLP(self.sizes, activation=getattr(activations, self.activation), keep_prob=self.keep_prob)

    def plan(self) -> TrainingPlan:
        """How it is trained.

        Examples
        --------
        >>> Experiment(steps=50).plan().steps
        50
        """
        return TrainingPlan(
            steps=self.steps,
            batch_size=self.batch_size,
            optimizer=OPTIMIZERS[self.optimizer],
            schedule=self.lr,
            evaluate_every=self.evaluate_every,
            initializer=getattr(initializers, self.initializer),
            dtype=self.dtype,
        )

    def prune(self) -> Prune:
        """The rule that cuts the next mask.

        Examples
        --------
        >>> from numpynet.pruning import weight_density
        >>> experiment = Experiment(data="digits", sizes=(64, 10), validation=200, rate=0.5, rounds=1)
        >>> theta = experiment.net().init(np.random.default_rng(0))
        >>> weight_density(experiment.prune()(theta, theta, 0 * theta + 1))          # half the rate in the last layer
        0.75
        """
        return prune_rule(
            self.rate,
            output_rate=self.output_rate,
            scope=self.scope,
            criterion=self.criterion,
            min_keep=self.min_keep,
            require_path=True,
        )

    def as_json(self) -> dict[str, Any]:
        """The record as JSON can hold it.

        Examples
        --------
        >>> Experiment().as_json()["sizes"]
        [40, 100, 100, 10]
        """
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {
            k: list(v) if isinstance(v, tuple) else dict(v) if isinstance(v, Mapping) else v for k, v in values.items()
        }


def identity(values: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the options of a record, in a canonical form; the identity of a run.

    It is taken of what is written down, so a numpynet with more options still recognises an old run.

    Parameters
    ----------
    values : of ``Experiment.as_json``

    Returns
    -------
    64 hexadecimal digits

    Examples
    --------
    >>> identity({"lr": 0.1, "steps": 5}) == identity({"steps": 5, "lr": 0.1})
    True
    """
    values = dict(values)
    if values.get("compact") is False:  # a run of before there was the choice is the same run
        del values["compact"]
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def from_json(values: Mapping[str, Any]) -> Experiment:
    """Return the record that ``as_json`` made; fields that are missing have their default.

    Parameters
    ----------
    values : name of a field -> value

    Returns
    -------
    the experiment

    Raises
    ------
    ValueError
        A field is unknown, or its value is not allowed.

    Examples
    --------
    >>> from_json({"steps": 5}).steps
    5
    """
    unknown = sorted(set(values) - {f.name for f in dataclasses.fields(Experiment)})
    if unknown:
        raise ValueError(
            f"the configuration has unknown fields: {', '.join(unknown)}; was it made by a newer numpynet?"
        )
    try:
        return Experiment(**values)
    except TypeError as error:
        raise ValueError(f"the configuration cannot be used: {error}") from error


def differences(there: Experiment, here: Experiment) -> list[str]:
    """Say in which fields two records differ.

    Parameters
    ----------
    there, here : two experiments

    Returns
    -------
    a line for each field, none if they are equal

    Examples
    --------
    >>> differences(Experiment(lr=0.001), Experiment(lr=0.002))
    ['lr: 0.001 there, 0.002 here']
    """
    one, other = there.as_json(), here.as_json()
    return [f"{name}: {one[name]!r} there, {other[name]!r} here" for name in one if one[name] != other[name]]


def parse_rewind(text: str) -> Rewinding:
    """Return the record of ``numpynet.lottery.rewinding`` that a text such as "late:200" means.

    Parameters
    ----------
    text : "init", "late:K", "late:K:saved", "lr", "lr:T" or "finetune:S", with numbers of steps

    Returns
    -------
    the record

    Raises
    ------
    ValueError
        It means none of these.

    Examples
    --------
    >>> parse_rewind("init"), parse_rewind("late:200:saved")
    (Init(), Late(step=200, optimizer='saved'))
    """
    kind, *rest = str(text).split(":")
    try:
        if kind == "init" and not rest:
            return Init()
        if kind == "late" and len(rest) in (1, 2):
            return Late(int(rest[0]), *rest[1:])
        if kind == "lr" and len(rest) < 2:
            return LearningRate(*map(int, rest))
        if kind == "finetune" and len(rest) == 1:
            return FineTune(int(rest[0]))
    except ValueError:
        pass
    raise ValueError(f"rewind is {text!r}, but init, late:200, late:200:saved, lr:0 or finetune:500 is needed")


class Examples(NamedTuple):
    """The examples of an experiment."""

    data: Dataset
    train: Split
    validation: Split

    @property
    def test(self) -> Split:
        """The examples that nothing is chosen by."""
        return self.data.test


def load_examples(experiment: Experiment, folder: Path | None = None) -> Examples:
    """Load the data and set the validation part aside, the same for all replicates.

    Parameters
    ----------
    experiment : whose data
    folder : where the files of MNIST are; None for the usual places

    Returns
    -------
    examples, in the dtype of the experiment

    Raises
    ------
    ValueError
        The network does not fit the data, or there are not enough examples.

    Examples
    --------
    >>> examples = load_examples(Experiment(data="digits", sizes=(64, 30, 10), validation=200))
    >>> len(examples.train.x), len(examples.validation.x), len(examples.test.x)
    (1237, 200, 360)
    """
    dtype = np.dtype(experiment.dtype)
    data = load_mnist(folder, dtype=dtype) if experiment.data == "mnist" else LOADERS[experiment.data](dtype=dtype)
    inputs, classes = data.train.x.shape[1], data.n_classes
    if (experiment.sizes[0], experiment.sizes[-1]) != (inputs, classes):
        raise ValueError(
            f"sizes {'-'.join(map(str, experiment.sizes))} do not fit {data.name}: it has {inputs} inputs and {classes} classes"
        )
    train, validation = split_validation(data.train, experiment.validation, streams(experiment.seed).split)
    if experiment.batch_size > len(train.x):
        raise ValueError(
            f"batch_size is {experiment.batch_size}, but there are only {len(train.x)} examples to train on"
        )
    return Examples(data, train, validation)

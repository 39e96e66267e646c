"""Experiments that are ready to run.

quick        MNIST-1D, about a minute on two cores: ticket, dense net and re-initialised ticket
mnist1d      MNIST-1D, 16 replicates, the whole ladder with all controls
digits       the handwritten digits that come with the package
lenet-mnist  LeNet-300-100 on MNIST as Frankle and Carbin (2019) trained it; hours, unless shortened by ``scaled``
document     784-500-10, 10 epochs, SGD with rate 0.01: what the example of a widely read article meant to do
"""

from __future__ import annotations

import shlex
from dataclasses import replace

from numpynet.lottery.arms import CONTROLS
from numpynet.lottery.experiment import Experiment

PRESETS = {
    "quick": Experiment(steps=1000, replicates=16, stack=8),
    "mnist1d": Experiment(rounds=15, controls=tuple(CONTROLS), replicates=16, stack=8),
    "digits": Experiment(
        data="digits", sizes=(64, 100, 100, 10), validation=200, steps=400, batch_size=64, evaluate_every=10, rounds=12,
        controls=("reinit", "shuffled_mask", "random_ticket"), replicates=8,
    ),
    "lenet-mnist": Experiment(
        data="mnist", sizes=(784, 300, 100, 10), validation=5000, steps=50_000, batch_size=60, lr=1.2e-3,
        evaluate_every=100, test_curve=False, rounds=15, controls=("reinit", "random_ticket"), replicates=1, stack=1,
    ),
    "document": Experiment(
        data="mnist", sizes=(784, 500, 10), validation=5000, steps=8600, batch_size=64, optimizer="sgd", lr=0.01,
        evaluate_every=172, test_curve=False, rounds=3, rate=0.5, replicates=3, stack=1,
    ),
}  # fmt: skip
# Fields of the record that the command line sets, and by which option.
OPTIONS = {
    name: f"--{name.replace('_', '-')}"
    for name in (
        "data", "sizes", "validation", "steps", "batch_size", "optimizer", "lr", "evaluate_every", "rounds", "rate",
        "output_rate", "scope", "criterion", "min_keep", "rewind", "controls", "draws", "seed", "replicates", "compact",
    )
} | {"keep_prob": "--dropout"}  # fmt: skip
ABOUT = {
    "quick": "MNIST-1D, about a minute on two cores: is a ticket better than the dense net, and than fresh weights?",
    "mnist1d": "MNIST-1D, 16 replicates, 15 rounds, all controls",
    "digits": "8x8 handwritten digits, 8 replicates, 12 rounds",
    "lenet-mnist": "LeNet-300-100 on MNIST, the protocol of Frankle and Carbin (2019); shorten it with --scale",
    "document": "784-500-10 on MNIST, 10 epochs, SGD 0.01, as the example of a widely read article meant it",
}


def scaled(experiment: Experiment, scale: float) -> Experiment:
    """Return the experiment with ``scale`` times as many training steps; at least 20 evaluations are kept.

    Parameters
    ----------
    experiment : the whole one
    scale : share of its steps, in (0, 1]

    Returns
    -------
    a copy with fewer steps

    Raises
    ------
    ValueError
        The scale is not in (0, 1].

    Examples
    --------
    >>> scaled(PRESETS["lenet-mnist"], 0.1).steps, scaled(PRESETS["lenet-mnist"], 0.01).evaluate_every
    (5000, 25)
    """
    if isinstance(scale, bool) or not isinstance(scale, (int, float)) or not 0 < scale <= 1:
        raise ValueError(f"scale is {scale!r}, but a number in (0, 1] is needed: the share of the steps")
    steps = max(1, round(scale * experiment.steps))
    return replace(experiment, steps=steps, evaluate_every=max(1, min(experiment.evaluate_every, steps // 20)))


def command_of(experiment: Experiment) -> str:
    """Return a command that runs this experiment: the preset that is nearest, and the options that differ from it.

    Parameters
    ----------
    experiment : to be run

    Returns
    -------
    one line for a shell

    Raises
    ------
    ValueError
        No command does: a field differs from all presets that no option sets.

    Examples
    --------
    >>> from dataclasses import replace
    >>> command_of(replace(PRESETS["quick"], keep_prob=0.8, controls=("reinit", "uniform")))
    'numpynet lottery run quick --dropout 0.8 --controls reinit uniform'
    """
    found = []
    for name, preset in PRESETS.items():
        one, other = preset.as_json(), experiment.as_json()
        changed = {field: value for field, value in other.items() if one[field] != value}
        if changed.get("output_rate", 0) is None and "rate" in changed:
            del changed["output_rate"]  # what --rate alone means
        elif "rate" in changed and experiment.output_rate is not None:
            changed["output_rate"] = experiment.output_rate  # --rate alone would forget it
        if changed.keys() <= set(OPTIONS) and changed.get("output_rate", 0) is not None:
            found.append((len(changed), name, changed))
    if not found:
        raise ValueError("no command line makes this experiment: it has fields that no option sets")
    _, name, changed = min(found, key=lambda candidate: candidate[0])
    words = ["numpynet", "lottery", "run", name]
    for field, value in changed.items():
        words.append(OPTIONS[field])
        if isinstance(value, dict):
            words.append(",".join(f"{layer}={rate!r}" for layer, rate in value.items()))
        elif field == "sizes":
            words.append("-".join(map(str, value)))
        elif not isinstance(value, bool):  # a switch has no value
            words += map(str, value if isinstance(value, list) else [value])
    return shlex.join(words)

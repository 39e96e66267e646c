"""What the experiments share: a data set with a way to train on it, and stacks of replicates trained with a progress line.

All replicates of a condition are one stacked training. Replicate r of every condition has the same initial draw and the
same order of the data, so conditions are compared pair by pair.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from numpynet.data.dataset import Dataset, Split
from numpynet.network import MLP
from numpynet.optimizers import Adam
from numpynet.parallel import run_tasks
from numpynet.parameters import Parameters
from numpynet.plan import TrainingPlan
from numpynet.progress import Progress
from numpynet.statistics import Interval, t_interval
from numpynet.training import Record, TrainingState, begin, evaluate, train

RECORDS = 20  # of a training that nobody looks at: often enough for the progress line


class Setup(NamedTuple):
    """A data set, and how classifiers are trained on it: ReLU, Adam, a fixed number of steps."""

    data: Dataset
    hidden: tuple[int, ...] = (100, 100)
    lr: float = 0.003
    batch_size: int = 100
    steps: int = 2000

    def net(self, keep_prob: float, hidden: Sequence[int] | None = None) -> MLP:
        """Return the net with dropout on its hidden layers, of other widths if they are given.

        Parameters
        ----------
        keep_prob : of the hidden layers
        hidden : units of each hidden layer; None takes those of the set-up

        Returns
        -------
        MLP
        """
        widths = self.hidden if hidden is None else hidden
        return MLP((self.data.train.x.shape[1], *widths, self.data.n_classes), keep_prob=keep_prob)

    def plan(self, *, every: int | None = None, n_train: int | None = None) -> TrainingPlan:
        """Return the plan, with a record after every so many steps; a batch is not larger than n_train.

        Parameters
        ----------
        every : steps between records; None makes about ``RECORDS`` of them
        n_train : training examples, where they are not all of the data's

        Returns
        -------
        TrainingPlan
        """
        n_train = len(self.data.train.x) if n_train is None else n_train
        return TrainingPlan(
            steps=self.steps,
            batch_size=min(self.batch_size, n_train),
            optimizer=Adam(),
            schedule=self.lr,
            evaluate_every=every or max(1, self.steps // RECORDS),
            dtype=self.data.train.x.dtype.name,
        )

    def settings(self, seeds: Sequence[int]) -> dict[str, object]:
        """Return what a report has to say about it.

        Parameters
        ----------
        seeds : one replicate for each

        Returns
        -------
        name -> text, for the table of settings
        """
        data = self.data
        return {
            "data": f"{data.name}: {len(data.train.x)} training and {len(data.test.x)} test examples. {data.source}",
            "net": "-".join(map(str, self.net(1.0).sizes)) + ", ReLU, Glorot normal, float32",
            "training": f"Adam {self.lr}, batch {self.batch_size}, {self.steps} steps",
            **seeds_setting(seeds),
        }


class Steps:
    """The progress of several trainings of equal or different length, one after the other, counted in steps.

    Examples
    --------
    >>> steps = Steps("sweep", 300)
    >>> [record.step for record in steps.follow([Record(100, 1.0, None, None, {}, {})])], steps.before
    ([100], 100)
    """

    def __init__(self, what: str, total: int) -> None:
        self.progress, self.before = Progress(what, total), 0
        self.progress.show(0)

    def follow(self, records: Iterable[Record], note: str = "") -> Iterator[Record]:
        """Pass the records of one training on, and show how far it is.

        Parameters
        ----------
        records : of one training
        note : a word or two for the progress line

        Yields
        ------
        The same records.
        """
        step = 0
        for record in records:
            step = record.step
            self.progress.show(self.before + step, note)
            yield record
        self.before += step

    def at(self, step: int, note: str = "") -> None:
        """Show that the present training has come to this step.

        Parameters
        ----------
        step : of the present training
        note : a word or two for the progress line
        """
        self.progress.show(self.before + step, note)

    def close(self) -> None:
        """Wipe the line."""
        self.progress.close()


def train_stack(
    net: MLP,
    plan: TrainingPlan,
    split: Split,
    seeds: Sequence[int],
    steps: Steps,
    *,
    monitors: Mapping[str, Split] | None = None,
) -> TrainingState:
    """Train a replicate for each seed, all in one stack, and return where the training ended.

    Parameters
    ----------
    net : the network
    plan : how to train
    split : the training examples
    seeds : (R,)
    steps : to count on
    monitors : name -> examples that each record evaluates

    Returns
    -------
    TrainingState; its theta is a stack of R replicates

    Examples
    --------
    >>> from numpynet.data import load_digits
    >>> setup = Setup(load_digits(), hidden=(8,), steps=4)
    >>> state = train_stack(setup.net(0.8), setup.plan(), setup.data.train, [0, 1], Steps("training", 4))
    >>> state.step, state.theta["W1"].shape
    (4, (2, 64, 8))
    """
    state = begin(net, plan, split, seed=list(seeds))
    note = f"keep_prob {net.keep_prob}" if net.has_dropout else "no dropout"
    for _ in steps.follow(train(state, split, monitors=monitors), note):
        pass
    return state


class Condition(NamedTuple):
    """A measurement that can be made elsewhere: a function of a module, and its arguments but the last, ``steps``."""

    measure: Callable[..., Any]
    arguments: tuple[Any, ...]


def measure_each(
    measure: Callable[..., Any],
    conditions: Iterable[tuple[Any, ...]],
    what: str,
    n_steps: int,
    where: Mapping[str, Any] | None = None,
) -> list[Any]:
    """Return ``[measure(*condition, steps) for condition in conditions]``, made here or in several places at once.

    Parameters
    ----------
    measure : a function of a module; it counts its steps of training on its last argument
    conditions : the other arguments; no measurement depends on another
    what, n_steps : for the progress line: a word or two, and the steps of one measurement
    where : ``workers``, ``scheduler`` or ``executor`` of ``numpynet.parallel.run_tasks``, or None

    Returns
    -------
    One measurement for each condition, in their order.

    Raises
    ------
    TypeError
        ``where`` names something else.

    Examples
    --------
    >>> measure_each(lambda a, b, steps: a * b, [(2, 3), (4, 5)], "products", 1)
    [6, 20]
    """
    conditions = list(conditions)
    places = dict(where or {})
    if unknown := set(places) - {"workers", "scheduler", "executor"}:
        raise TypeError(f"where names {', '.join(sorted(unknown))}, but workers, scheduler or executor is needed")
    if places.get("workers", 1) != 1 or any(places.get(place) is not None for place in ("scheduler", "executor")):
        return run_tasks(measure_condition, [Condition(measure, c) for c in conditions], what=what, **places)
    steps = Steps(what, len(conditions) * n_steps)
    found = [measure(*condition, steps) for condition in conditions]
    steps.close()
    return found


def measure_condition(condition: Condition) -> Any:
    """Make one measurement, in a worker.

    Parameters
    ----------
    condition : a function and its arguments but the last

    Returns
    -------
    What the function returns.

    Examples
    --------
    >>> measure_condition(Condition(lambda a, b, steps: a * b, (2, 3)))
    6
    """
    return condition.measure(*condition.arguments, Steps("one of many", 1))


def accuracies(net: MLP, theta: Parameters, split: Split) -> np.ndarray:
    """Return the accuracy of each replicate in evaluation, (R,).

    Parameters
    ----------
    net : the network
    theta : a stack of R replicates
    split : the examples

    Returns
    -------
    (R,) from 0 to 1

    Examples
    --------
    >>> net = MLP((2, 3))
    >>> theta = Parameters.zeros(net.layout, replicates=(2,))
    >>> accuracies(net, theta, Split(np.zeros((4, 2), np.float32), np.array([0, 0, 0, 1])))
    array([0.75, 0.75])
    """
    return np.array(evaluate(net, theta, split)[1])


def paired(values: Sequence[float], reference: Sequence[float]) -> Interval:
    """Return the mean of the differences, replicate by replicate, with its 95 % interval.

    Parameters
    ----------
    values, reference : (R,) of the same seeds, in the same order

    Returns
    -------
    Interval

    Examples
    --------
    >>> paired([0.9, 0.8, 0.7], [0.8, 0.7, 0.6]).text(sign=True)
    '+10.00 ± 0.00'
    """
    return t_interval(np.subtract(values, reference))


class Measure(NamedTuple):
    """A number for each hidden layer and replicate, as a table shows it."""

    name: str  # the field of a record that holds it, (L - 1, R)
    heading: str
    scale: float = 1.0
    digits: int = 3
    compared: bool = True  # with the first condition, pair by pair


def layer_table(found: Sequence[Any], measures: Sequence[Measure]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return header and rows of what was measured in each hidden layer at each keep_prob, the first being the reference.

    Parameters
    ----------
    found : records with a field ``keep_prob`` and one for each measure
    measures : the columns; one that is compared is followed by its paired difference to the reference

    Returns
    -------
    header, rows : text, a row for each hidden layer and keep_prob

    Examples
    --------
    >>> class Found(NamedTuple):
    ...     keep_prob: float
    ...     off: np.ndarray
    >>> found = [Found(1.0, np.array([[0.5, 0.6]])), Found(0.8, np.array([[0.6, 0.7]]))]
    >>> header, rows = layer_table(found, [Measure("off", "off %", scale=100, digits=0)])
    >>> header
    ('hidden layer', 'keep_prob', 'off %', 'minus keep_prob 1')
    >>> rows[1]
    ('1', '0.8', '65 ± 64', '+10 ± 0')
    """
    reference, header, rows = found[0], ["hidden layer", "keep_prob"], []
    for measure in measures:
        header += [measure.heading] + [f"minus keep_prob {reference.keep_prob:g}"] * measure.compared
    for layer in range(len(getattr(reference, measures[0].name))):
        for record in found:
            row = [str(layer + 1), f"{record.keep_prob:g}"]
            for name, _, scale, digits, compared in measures:
                values, base = getattr(record, name)[layer], getattr(reference, name)[layer]
                row.append(t_interval(values).text(scale=scale, digits=digits))
                if compared:
                    against = "" if record is reference else paired(values, base)
                    row.append(against and against.text(scale=scale, digits=digits, sign=True))
            rows.append(tuple(row))
    return tuple(header), rows


def direction(difference: Interval) -> str:
    """Say where a difference lies, as far as its interval allows: above, below, or not told apart.

    Parameters
    ----------
    difference : of paired replicates

    Returns
    -------
    "above", "below" or "not told apart".

    Examples
    --------
    >>> direction(t_interval([0.1, 0.2, 0.3])), direction(t_interval([-0.1, 0.2])), direction(t_interval([0.3]))
    ('not told apart', 'not told apart', 'not told apart')
    >>> direction(t_interval([0.2, 0.21, 0.22]))
    'above'
    """
    if not difference.excludes_zero:
        return "not told apart"
    return "above" if difference.mean > 0 else "below"


def seeds_setting(seeds: Sequence[int]) -> dict[str, object]:
    """Return what a report has to say about its seeds.

    Parameters
    ----------
    seeds : one replicate for each

    Returns
    -------
    One row for the table of settings.

    Examples
    --------
    >>> seeds_setting([3, 4, 5])
    {'seeds': '3, 4, 5'}
    """
    return {"seeds": ", ".join(map(str, seeds))}

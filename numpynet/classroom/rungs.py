"""Checks for assignments, made of the laws of ``numpynet.conformance`` and the gradient check.

The ladder of a layer function: it answers (shapes, types), its values, its gradients, then what is seldom thought of:
square layers, float32, extremes, left-alone arguments. A rung is not tried when the first has failed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from numpynet.classroom.task import Check
from numpynet.conformance.contract import Subject
from numpynet.conformance.laws import Law
from numpynet.conformance.layer_laws import alone, subject_pair
from numpynet.conformance.suite import LAWS, sizes_of
from numpynet.gradcheck.checker import check_pair
from numpynet.gradcheck.draws import Sizes
from numpynet.gradcheck.pairs import NEEDS, LayerPair
from numpynet.gradcheck.report import Report

N_SEEDS = 2  # draws for each law
LARGE = Sizes(12, 784, 300, 10)  # one product; by differences it would take 235,200 forward passes


def law_named(function: str, name: str) -> Law:
    """Return the law of the conformance suite with this name about a function of the contract.

    Parameters
    ----------
    function : of the contract, the first that the law is about
    name : of the law

    Returns
    -------
    Law

    Raises
    ------
    ValueError
        There is no such law.

    Examples
    --------
    >>> law_named("prune", "exact count")
    prune: exact count
    """
    for law in LAWS:
        if law.tasks[0] == function and law.name == name:
            return law
    known = ", ".join(law.name for law in LAWS if law.tasks[0] == function)
    raise ValueError(f"there is no law {name!r} about {function}; there are {known}")


def law_check(
    function: str, laws: str | Collection[str], points: float, *, name: str = "", needs: tuple[str, ...] = ()
) -> Check:
    """Return a check of one or more laws about one function, on draws of several seeds; the first broken one is reported.

    Parameters
    ----------
    function : of the contract
    laws : the name of a law, or several names
    points : for all of them together
    name : of the check; by default the function and the laws
    needs : names of earlier checks

    Returns
    -------
    Check

    Examples
    --------
    >>> law_check("prune_count", "count", 2).run(Subject("mine.py", {"prune_count": lambda rate, alive: 1}), 0).status
    'fail'
    """
    laws = (laws,) if isinstance(laws, str) else tuple(laws)
    chosen = [law_named(function, law) for law in laws]

    def run(subject: Subject, seed: int) -> Report:
        for k in range(N_SEEDS):
            for law in chosen:
                report = law.report(subject, seed + k, sizes_of(seed + k))
                if report.status != "pass":
                    return report
        return report

    sees_changes = not {"purity", "new array"}.isdisjoint(laws)
    return Check(name or f"{function}: {', '.join(laws)}", points, run, needs, sees_changes=sees_changes)


def pair_check(
    pair: str,
    stages: Collection[int],
    points: float,
    *,
    name: str,
    sizes: Sizes | None = None,
    needs: tuple[str, ...] = (),
    seconds: float | None = None,
) -> Check:
    """Return a check of a forward and backward pair by some stages of the gradient check.

    Parameters
    ----------
    pair : "linear", "relu", "dropout", "softmax_cross_entropy", "mask_gradients" or "l2_penalty"
    stages : see ``numpynet.gradcheck.stages``
    points, name : of the check
    sizes : None draws them from the seed
    needs, seconds : of the check

    Returns
    -------
    Check

    Examples
    --------
    >>> relu = {"relu_forward": lambda z: (z * (z > 0), z), "relu_backward": lambda dh, z: dh * (z < 0)}
    >>> check = pair_check("relu", (0, 1, 4), 3, name="gradient")
    >>> check.run(Subject("mine.py", relu), 0).causes[0].text
    'the ReLU gate is open on the wrong side, z < 0'
    """
    functions = NEEDS[pair]

    def run(subject: Subject, seed: int) -> Report:
        for function in functions:
            if function not in subject.functions:
                return Report("skip", pair, pair, message=f"{function} is not defined", file=subject.file, seed=seed)
        return check_pair(
            subject_pair(subject, pair, functions),
            seed=seed,
            sizes=sizes_of(seed) if sizes is None else sizes,
            stages=stages,
            file=subject.file,
        )

    return Check(name, points, run, needs, seconds, sees_changes=2 in stages)


def layer_ladder(
    pair: str, points: Mapping[str, float], *, square: bool = False, large: bool = False
) -> tuple[Check, ...]:
    """Return the checks of a layer, from "answers" upwards.

    Parameters
    ----------
    pair : see ``pair_check``
    points : for "answers" (best none: arrays of zeros have the right shape), "values", "gradients" and "details" (float32, extremes, arguments left alone), and for
        "square" and "large" where these are asked for
    square : whether to try a square layer, where a forgotten transpose is silent
    large : whether to try a layer of 784 x 300 within five seconds, which no difference quotient can do

    Returns
    -------
    Checks, in the order in which they are tried.

    Examples
    --------
    >>> [check.name for check in layer_ladder("relu", {"answers": 1, "values": 2, "gradients": 4, "details": 1})]
    ['answers', 'values', 'gradients', 'details']
    """
    forward, backward = NEEDS[pair]
    checks = [
        law_check(forward, "values", points["values"], name="values"),
        pair_check(pair, (0,), points["answers"], name="answers"),
        pair_check(pair, (0, 4), points["gradients"], name="gradients", needs=("answers",)),
    ]
    checks[:2] = checks[1::-1]
    if square:
        checks.append(
            law_check(backward, "gradients of a square layer", points["square"], name="square", needs=("gradients",))
        )
    if large:
        checks.append(
            pair_check(pair, (0, 4), points["large"], name="large", sizes=LARGE, needs=("gradients",), seconds=5.0)
        )
    checks.append(pair_check(pair, (0, 2, 3, 7), points["details"], name="details", needs=("values", "gradients")))
    return tuple(checks)


def own_check(law: Law, points: float, *, needs: tuple[str, ...] = (), seconds: float | None = None) -> Check:
    """Return a check of a law of one's own, on draws of several seeds; it has the name of the law.

    Parameters
    ----------
    law : made with ``numpynet.conformance.laws.law``
    points, needs, seconds : of the check

    Returns
    -------
    Check

    Examples
    --------
    >>> from numpynet.conformance.laws import call, law, require
    >>> @law("doubles", "twice")
    ... def doubles(subject, seed, sizes):
    ...     require(call(subject, "twice", 3) == 6, "twice 3 is 6")
    >>> own_check(doubles, 2).run(Subject("mine.py", {"twice": lambda x: x * x}), 0).message
    'doubles: twice 3 is 6'
    """

    def run(subject: Subject, seed: int) -> Report:
        for k in range(N_SEEDS):
            report = law.report(subject, seed + k, sizes_of(seed + k))
            if report.status != "pass":
                return report
        return report

    return Check(law.name, points, run, needs, seconds)


def own_pair_check(
    make: Callable[[Callable, Callable], LayerPair],
    forward: str,
    backward: str | None,
    stages: Collection[int],
    points: float,
    *,
    name: str,
    needs: tuple[str, ...] = (),
    seconds: float | None = None,
) -> Check:
    """Return a check of a layer that is in no contract, by some stages of the gradient check.

    Parameters
    ----------
    make : returns the pair of a forward and a backward pass, with its law
    forward, backward : names of the functions; without a backward pass the values of the forward pass are checked
    stages, points, name, needs, seconds : as for ``pair_check``

    Returns
    -------
    Check

    Examples
    --------
    >>> from numpynet.gradcheck import relu_pair
    >>> check = own_pair_check(relu_pair, "gate_forward", None, (0, 1), 1, name="values")
    >>> check.run(Subject("mine.py", {"gate_forward": lambda z: (z * (z > 0), None)}), 0).status
    'pass'
    """

    def run(subject: Subject, seed: int) -> Report:
        for function in filter(None, (forward, backward)):
            if function not in subject.functions:
                return Report("skip", forward, forward, message=f"{function} is not defined", file=subject.file)
        first, second = subject.functions[forward], subject.functions.get(backward or "")
        pair = make(first, second)._replace(numeric_law=not subject.trusted)
        pair = pair if backward else alone(first, pair)
        return check_pair(pair, seed=seed, sizes=sizes_of(seed), stages=stages, file=subject.file)

    return Check(name, points, run, needs, seconds)

"""Laws of the layers: the stages of the gradient check, one at a time, and a few values to the last bit.

A forward pass is judged by itself, with a stand-in for its backward pass, so that it can be written first.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from numpynet.conformance.contract import LAYER_FUNCTIONS, Subject
from numpynet.conformance.laws import Law, call, law, require
from numpynet.gradcheck.checker import check_pair
from numpynet.gradcheck.draws import KEEP_PROBS, Sizes, draw_labels, draw_mask, draw_signed
from numpynet.gradcheck.layers import Layers, compose_network
from numpynet.gradcheck.pairs import NEEDS, LayerPair, network_loss_pair, pairs_of
from numpynet.gradcheck.report import Report

# What is asked of a forward and of a backward pass, as stages of ``numpynet.gradcheck.stages``.
FORWARD = {
    "values": (0, 1),  # those of its equation, in training and in evaluation
    "purity": (0, 2),  # two calls agree; arguments and what was returned earlier are left alone
    "float32 and extremes": (0, 7),  # float32 in, float32 out; inputs of 1e4 stay finite
}
SQUARE = "gradients of a square layer"  # where a forgotten transpose is silent
BACKWARD = {
    "gradients": (0, 4),  # against the complex step, with a random upstream gradient
    SQUARE: (0, 4),
    "linearity": (0, 3),  # in the upstream gradient
    "purity": (0, 2),  # also with another forward pass in between; arguments and cache are left alone
    "zeros, float32 and extremes": (0, 7),  # exactly 0 under a mask; float32 in, float32 out; large inputs
}


def alone(forward: Callable, pair: LayerPair) -> LayerPair:
    """Return a pair that checks a forward pass only: its gradients are zeros of the right shape.

    Parameters
    ----------
    forward : the forward pass to check
    pair : that it belongs to, with its law and its draws

    Returns
    -------
    LayerPair, for the stages that ask for no gradient

    Examples
    --------
    >>> from numpynet.gradcheck import REFERENCE, relu_pair
    >>> pair = relu_pair(REFERENCE.relu_forward, None)
    >>> check_pair(alone(REFERENCE.relu_forward, pair), stages=(0, 1)).status
    'pass'
    """

    def remembering(*arrays: np.ndarray, **constants: Any) -> Any:
        result = forward(*arrays, **constants)
        if not isinstance(result, (tuple, list)) or len(result) != 2:
            return result  # the checker has words for it
        return result[0], (result[1], arrays)

    def stand_in(dy: Any, cache: Any) -> tuple[np.ndarray, ...]:
        return tuple(np.zeros_like(a) for a in cache[1])

    return pair._replace(forward=remembering, backward=stand_in)


def subject_pair(subject: Subject, name: str, functions: Collection[str]) -> LayerPair:
    """Return one pair made of functions of an implementation; a missing one is waited for.

    Gradients of an implementation that is not trusted are compared with those of the law. A forward pass that knows when
    it is differentiated could otherwise agree with any backward pass: it drops the imaginary part, and repeats its last
    output for inputs that are close to the last ones.

    Parameters
    ----------
    subject : the implementation
    name : of the pair, as ``numpynet.gradcheck`` calls it
    functions : names in the contract of what the pair is made of

    Returns
    -------
    LayerPair

    Examples
    --------
    >>> subject_pair(Subject("mine.py", {}, trusted=False), "relu", ("relu_forward", "relu_backward")).numeric_law
    True
    """
    layers = Layers(**{f: subject.functions.get(f, _not_there) for f in functions})
    pair = next(pair for pair in pairs_of(layers) if pair.name == name)
    return pair._replace(numeric_law=not subject.trusted)


def _not_there(*_: Any) -> None:
    raise NotImplementedError


def _stage_law(pair_name: str, name: str, stages: tuple[int, ...], *, forward_only: bool) -> Law:
    forward, backward = NEEDS[pair_name]
    needs = (forward,) if forward_only else (forward, backward)

    def check(subject: Subject, seed: int, sizes: Sizes) -> Report:
        pair = subject_pair(subject, pair_name, (forward, backward))
        if forward_only:
            pair = alone(subject.functions[forward], pair)
        if name == SQUARE:
            sizes = Sizes(sizes.N, sizes.d_in, sizes.d_in, sizes.K)
        return check_pair(pair, seed=seed, sizes=sizes, stages=stages, file=subject.file)

    return Law(name, (needs[-1],), needs, check)


def _network(subject: Subject, seed: int, sizes: Sizes) -> Report:
    pair = network_loss_pair(subject.functions["network_loss"])._replace(numeric_law=not subject.trusted)
    return check_pair(pair, seed=seed, sizes=sizes, file=subject.file)


def _wired(subject: Subject, seed: int, sizes: Sizes) -> Report:
    pair = network_loss_pair(compose_network(subject.layers))._replace(numeric_law=not subject.trusted)
    return check_pair(pair, seed=seed, sizes=sizes, file=subject.file)


_WIRED = tuple(name for name in LAYER_FUNCTIONS if name not in ("mask_gradients", "network_loss"))

NETWORK_LAWS = (
    Law("network", ("network_loss",), ("network_loss",), _network),
    Law("wired to a network", _WIRED, _WIRED, _wired),
)


# ---- values to the last bit ------------------------------------------------------------------------------------------


@law("last bit", "dropout_forward")
def dropout_values(subject: Subject, seed: int, sizes: Sizes) -> None:
    """Kept values are x / q to the last bit, dropped ones exactly 0.   Equation (D1)"""
    rng = np.random.default_rng(seed)
    h, q = draw_signed(rng, (sizes.N, sizes.d_in)), float(rng.choice(KEEP_PROBS))
    unit_mask = draw_mask(rng, h.shape, q)
    y, _ = _two(call(subject, "dropout_forward", h.copy(), unit_mask=unit_mask.copy(), keep_prob=q))
    require(np.shape(y) == h.shape, f"the output has shape {np.shape(y)}, where {h.shape} is expected")
    require(not y[unit_mask == 0].any(), f"at keep_prob {q} some dropped units are not 0")
    right = h / q
    off = np.abs(y - right)[unit_mask == 1] > np.spacing(np.abs(right))[unit_mask == 1]
    require(not off.any(), f"at keep_prob {q} {int(off.sum())} kept units are not x / {q}")


@law("identity at evaluation", "dropout_forward")
def dropout_evaluation(subject: Subject, seed: int, sizes: Sizes) -> None:
    """With all units kept at keep_prob 1 it is the identity, bit for bit."""
    h = draw_signed(np.random.default_rng(seed), (sizes.N, sizes.d_in))
    y, _ = _two(call(subject, "dropout_forward", h.copy(), unit_mask=np.ones_like(h), keep_prob=1.0))
    require(np.array_equal(y, h), "a mask of ones at keep_prob 1 changes the input")


@law("logits of 1e4", "softmax_cross_entropy_forward")
def loss_at_extremes(subject: Subject, seed: int, sizes: Sizes) -> None:
    """Logits of 1e4 and -1e4 have the loss that they should: no overflow, nothing added inside the logarithm."""
    rng = np.random.default_rng(seed)
    logits = rng.choice([-1e4, 1e4], size=(sizes.N, sizes.K))
    logits[0], logits[0, 0] = -1e4, 1e4
    labels = draw_labels(rng, sizes.N, sizes.K)
    labels[0] = 1  # a loss of 2e4
    with np.errstate(all="ignore"):
        loss, _ = _two(call(subject, "softmax_cross_entropy_forward", logits.copy(), labels=labels.copy()))
    ties = (logits == logits.max(axis=-1, keepdims=True)).sum(axis=-1)
    right = (logits.max(axis=-1) - logits[np.arange(sizes.N), labels] + np.log(ties)).mean()
    require(abs(loss - right) <= 1e-9 * right, f"the loss is {loss}, where {right:.6f} is right")


@law("mean over the batch", "softmax_cross_entropy_forward")
def loss_is_a_mean(subject: Subject, seed: int, sizes: Sizes) -> None:
    """A batch joined with itself has the same loss: it is a mean."""
    rng = np.random.default_rng(seed)
    logits, labels = draw_signed(rng, (sizes.N, sizes.K)), draw_labels(rng, sizes.N, sizes.K)
    once, _ = _two(call(subject, "softmax_cross_entropy_forward", logits, labels=labels))
    joined = np.concatenate([logits, logits]), np.concatenate([labels, labels])
    twice, _ = _two(call(subject, "softmax_cross_entropy_forward", joined[0], labels=joined[1]))
    require(abs(twice - once) <= 1e-12 * abs(once), f"the loss is {once:.6f}, and {twice:.6f} for the batch twice")


def _two(result: Any) -> tuple[Any, Any]:
    pair = isinstance(result, (tuple, list)) and len(result) == 2
    require(pair, "the forward pass should return two things, (output, cache)")
    return tuple(result)


STAGE_LAWS: tuple[Law, ...] = tuple(
    _stage_law(pair, name, stages, forward_only=forward_only)
    for pair in NEEDS
    for laws, forward_only in ((FORWARD, True), (BACKWARD, False))
    if not (forward_only and pair == "mask_gradients")  # its forward pass is that of the linear layer
    for name, stages in laws.items()
    if name != SQUARE or pair in ("linear", "mask_gradients")  # the others have one shape
)
VALUE_LAWS: tuple[Law, ...] = (dropout_values, dropout_evaluation, loss_at_extremes, loss_is_a_mean)
LAYER_LAWS: tuple[Law, ...] = (*STAGE_LAWS, *VALUE_LAWS, *NETWORK_LAWS)

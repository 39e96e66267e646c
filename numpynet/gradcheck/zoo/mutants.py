"""The 14 mutants: bugs found in public repositories, each of which some kind of test misses.

A gradient check alone finds 8 of them, with an upstream gradient of ones 7. The others need the questions about purity,
dtype, state, values and extremes.
"""

from __future__ import annotations

import numpy as np

from numpynet.gradcheck.layers import REFERENCE, Layers
from numpynet.gradcheck.zoo.bug import Bug
from numpynet.gradcheck.zoo.contract import CONTRACT_BUGS
from numpynet.gradcheck.zoo.dropout import DROPOUT_BUGS
from numpynet.gradcheck.zoo.linear import LINEAR_BUGS
from numpynet.gradcheck.zoo.losses import LOSS_BUGS
from numpynet.gradcheck.zoo.network import NETWORK_BUGS

_BY_ID = {bug.id: bug for bug in (*LOSS_BUGS, *NETWORK_BUGS, *DROPOUT_BUGS, *LINEAR_BUGS, *CONTRACT_BUGS)}


def _gate_on_the_output() -> Layers:
    def relu_forward(z):
        h, _ = REFERENCE.relu_forward(z)
        return h, h

    def relu_backward(dh, h):
        return dh * (h.real >= 0)  # true everywhere: h is never negative

    return REFERENCE._replace(relu_forward=relu_forward, relu_backward=relu_backward)


def _loss_ignores_upstream() -> Layers:
    def backward(dloss, cache):
        return REFERENCE.softmax_cross_entropy_backward(1.0, cache)

    return REFERENCE._replace(softmax_cross_entropy_backward=backward)


def _mask_upcasts() -> Layers:
    def dropout_forward(h, unit_mask, keep_prob):
        scaled = unit_mask.astype(bool) / np.float64(keep_prob)  # float64, whatever h is
        return h * scaled, scaled

    def dropout_backward(dy, scaled):
        return dy * scaled

    return REFERENCE._replace(dropout_forward=dropout_forward, dropout_backward=dropout_backward)


def _cache_on_the_object() -> Layers:
    last = {}

    def linear_forward(x, W, b, **masks):
        y, last["cache"] = REFERENCE.linear_forward(x, W, b, **masks)
        return y, None

    def linear_backward(dy, cache):
        return REFERENCE.linear_backward(dy, last["cache"])

    def mask_gradients(dy, cache):
        return REFERENCE.mask_gradients(dy, last["cache"])

    return REFERENCE._replace(
        linear_forward=linear_forward, linear_backward=linear_backward, mask_gradients=mask_gradients
    )


def _buffer_reused() -> Layers:
    buffers = {}

    def relu_forward(z):
        buffer = buffers.setdefault((z.shape, z.dtype), np.empty_like(z))
        np.multiply(z, z.real > 0, out=buffer)
        return buffer, buffer.real > 0

    def relu_backward(dh, gate):
        return dh * gate

    return REFERENCE._replace(relu_forward=relu_forward, relu_backward=relu_backward)


def _unscaled_both_ways() -> Layers:
    def dropout_forward(h, unit_mask, keep_prob):
        return h * unit_mask, unit_mask

    def dropout_backward(dy, unit_mask):
        return dy * unit_mask

    return REFERENCE._replace(dropout_forward=dropout_forward, dropout_backward=dropout_backward)


def _softmax_without_shift() -> Layers:
    def forward(logits, labels):
        e = np.exp(logits)  # overflows beyond 709
        P = e / e.sum(axis=-1, keepdims=True)
        rows = np.arange(len(labels))
        return -np.log(P[rows, labels]).mean(), (P, labels)

    def backward(dloss, cache):
        P, labels = cache
        dlogits = P.copy()
        dlogits[np.arange(len(labels)), labels] -= 1
        return dlogits * (dloss / len(labels))

    return REFERENCE._replace(softmax_cross_entropy_forward=forward, softmax_cross_entropy_backward=backward)


def _same_as(id: str, mutant: str, seen_in: str = "") -> Bug:
    bug = _BY_ID[id]
    name = f"{bug.name} ({seen_in})" if seen_in else bug.name
    return bug._replace(id=mutant, name=name, cause=bug.expected)


MUTANTS = (
    _same_as("2b", "m1", "NumpyDL"),
    _same_as("15", "m2", "numpy-ml"),
    _same_as("17", "m3"),
    _BY_ID["20a"]._replace(
        id="m4", name="ReLU gate >= on the output (numpy-tutorials)", plant=_gate_on_the_output, cause="20a"
    ),
    _same_as("13", "m5", "numpy-ml"),
    _same_as("9", "m6", "numpy-tutorials"),
    _same_as("1", "m7"),
    _BY_ID["25"]._replace(
        id="m8",
        name="loss backward ignores dloss",
        pair="softmax_cross_entropy",
        plant=_loss_ignores_upstream,
        cause="25",
    ),
    _same_as("26b", "m9", "numpy-ml, brainforge"),
    Bug(
        "m10",
        "mask upcasts to float64 (tinynn)",
        "float32 goes in and float64 comes out: an array or np.float64 scalar inside is of higher precision",
        "right values, wrong dtype",
        "dropout",
        _mask_upcasts,
    ),
    Bug(
        "m11",
        "cache kept on the object",
        "backward uses what the LAST forward pass left behind (on the object or in a global), not the cache it is given",
        "a second forward between forward and backward changes the gradient",
        "linear",
        _cache_on_the_object,
    ),
    Bug(
        "m12",
        "buffer reused between calls",
        "a buffer is reused: an array that was returned earlier is overwritten by the next call",
        "a second forward changes the first output",
        "relu",
        _buffer_reused,
    ),
    Bug(
        "m13",
        "dropout unscaled in both directions",
        "1/keep_prob is missing in forward and backward alike: they agree with each other, so that only the values show it",
        "kept units are x instead of x/q; the gradient check passes",
        "dropout",
        _unscaled_both_ways,
    ),
    Bug(
        "m14",
        "softmax without shift",
        "large inputs overflow: shift by the row maximum before exp, and take the logarithm of a sum, not of a "
        "probability that may be 0",
        "NaN or infinity at logits of 1e4; right elsewhere",
        "softmax_cross_entropy",
        _softmax_without_shift,
    ),
)

"""Wrong gradients that are known, as formulas: what each bug of the zoo would return for the same inputs.

Every function here gets the inputs of one check and returns candidates: the array that the bug would give, under the
id of the bug. The diagnosis compares. Nothing is looked up in the caches of the code under test: the formulas are
worked out from the inputs alone, so that they serve anyone's backward pass.

Candidates for "y" are wrong outputs of a forward pass, for the stage that compares values.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from numpynet.equations import log_softmax, softmax


class Candidate(NamedTuple):
    """What one bug would return for one array."""

    array: str  # "dx", "dW", ..., or "y" for the output
    bug: str  # id in the zoo, or "factor" where the zoo has none
    value: np.ndarray
    text: str = ""  # what it means; by default what the zoo says


class Scene(NamedTuple):
    """The inputs of one call, by name, and the upstream gradient."""

    inputs: dict[str, Any]  # arrays and constants together
    dy: np.ndarray


Candidates = Callable[[Scene], Iterator[Candidate]]


def softmax_cross_entropy(scene: Scene) -> Iterator[Candidate]:
    """Yield the bugs 1 to 8 of the loss; the right gradient is dy (P - Y) / N.   Equation (B2)

    Parameters
    ----------
    scene : logits (N, K), labels (N,), and dy, one number

    Yields
    ------
    dlogits of each bug, (N, K)

    Examples
    --------
    >>> scene = Scene({"logits": np.zeros((1, 2)), "labels": np.array([0])}, 1.0)
    >>> {candidate.bug: candidate.value.tolist() for candidate in softmax_cross_entropy(scene)}["4"]
    [[0.5, -0.5]]
    """
    logits, labels, dy = scene.inputs["logits"], scene.inputs["labels"], scene.dy
    N, K = logits.shape
    P, Y = softmax(logits), np.eye(K)[labels]
    g = (P - Y) / N
    wrong = {
        "1": P - Y,
        "2a": g / N,
        "3": g / K,
        "4": -g,
        "5b": 2 * g,
        "6": P / N,
        "7": P * (g - (g * P).sum(axis=-1, keepdims=True)),
        "8a": g * P * (1 - P),
        "8b": (softmax(logits.T).T - Y) / N,
        "8c": (log_softmax(logits) - Y) / N,
        "8d": -Y / P / N,
    }
    for bug, dlogits in wrong.items():
        yield Candidate("dlogits", bug, dlogits * dy)
    yield Candidate("dlogits", "8c", (logits - Y) / N * dy)


def relu(scene: Scene) -> Iterator[Candidate]:
    """Yield the gates of bug 20; the right gradient is dy * (z > 0).   Equations (B4), (B11)

    Parameters
    ----------
    scene : z (N, d) and dy (N, d)

    Yields
    ------
    dz of each bug, (N, d), and the wrong output

    Examples
    --------
    >>> scene = Scene({"z": np.array([[-1.0, 2.0]])}, np.array([[3.0, 3.0]]))
    >>> {candidate.bug: candidate.value.tolist() for candidate in relu(scene)}["20c"]
    [[3.0, 0.0]]
    """
    z, dy = scene.inputs["z"], scene.dy
    yield Candidate("dz", "20a", dy)
    yield Candidate("dz", "20b", dy * (dy > 0))
    yield Candidate("dz", "20c", dy * (z < 0))
    yield Candidate("dz", "20d", dy * np.maximum(z, 0))
    yield Candidate("y", "f20", z)


def dropout(scene: Scene) -> Iterator[Candidate]:
    """Yield the scales and masks of bugs 9 to 13 and 18; the right gradient is D * dy / q.   Equation (B3)

    Parameters
    ----------
    scene : h, unit_mask and dy (N, d), keep_prob

    Yields
    ------
    dh and output of each bug, (N, d)

    Examples
    --------
    >>> inputs = {"h": np.ones((1, 2)), "unit_mask": np.array([[1.0, 0.0]]), "keep_prob": 0.8}
    >>> next(dropout(Scene(inputs, np.full((1, 2), 3.0)))).value                       # bug 9: without 1/q
    array([[3., 0.]])
    """
    h, D, q = scene.inputs["h"], scene.inputs["unit_mask"], scene.inputs["keep_prob"]
    for bug, dh in _dropout_backward(scene.dy, D, q):
        yield Candidate("dh", bug, dh)
    for bug, h_kept in _dropout_forward(h, D, q):
        yield Candidate("y", bug, h_kept)


def _dropout_backward(dy: np.ndarray, D: np.ndarray, q: float) -> Iterator[tuple[str, np.ndarray]]:
    yield "9", D * dy
    yield "10", q * D * dy
    yield "11", D * dy / q**2
    yield "13", dy / q
    yield "13", dy
    yield "18b", (1 - D) * dy / q
    yield "18b", (1 - D) * dy
    if q < 1:
        yield "12", D * dy / (1 - q)


def _dropout_forward(h: np.ndarray, D: np.ndarray, q: float) -> Iterator[tuple[str, np.ndarray]]:
    yield "f9", D * h
    yield "f10", q * D * h
    yield "f11", D * h / q**2
    yield "f13", h
    yield "f13", h / q
    yield "f18", (1 - D) * h / q
    yield "f18", (1 - D) * h
    if q < 1:
        yield "f12", D * h / (1 - q)


def linear(scene: Scene) -> Iterator[Candidate]:
    """Yield the bugs of the masked linear layer; right are Equations (B3), (B5) and (B6).

    Parameters
    ----------
    scene : x (N, d_in), W (d_in, d_out), b (d_out,), dy (N, d_out), and masks and keep_prob if there are any

    Yields
    ------
    dx, dW, db and output of each bug; shapes may be wrong, where that is the bug

    Examples
    --------
    >>> inputs = {"x": np.array([[1.0, 2.0]]), "W": np.ones((2, 1)), "b": np.zeros(1)}
    >>> inputs["weight_mask"] = np.array([[1.0], [0.0]])
    >>> wrong = {candidate.bug: candidate.value for candidate in linear(Scene(inputs, np.ones((1, 1))))}
    >>> wrong["15"].ravel()                                                             # dW without the weight mask
    array([1., 2.])
    """
    inputs, dy = scene.inputs, scene.dy
    x, W, b = inputs["x"], inputs["W"], inputs["b"]
    D, M, q = _or_ones(inputs.get("unit_mask"), x), _or_ones(inputs.get("weight_mask"), W), inputs.get("keep_prob", 1.0)
    x_kept, W_kept = D * x / q, M * W
    d_in, d_out = W.shape

    dx_kept = dy @ W_kept.T  # (N, d_in), before the mask
    if inputs.get("unit_mask") is not None:
        for bug, dx in _dropout_backward(dx_kept, D, q):
            yield Candidate("dx", bug, dx)
        for bug, h in _dropout_forward(x, D, q):
            yield Candidate("y", bug, h @ W_kept + b)
    yield Candidate("dx", "17", D * (dy @ W.T) / q)
    if d_in == d_out:
        yield Candidate("dx", "19", D * (dy @ W_kept) / q)
        yield Candidate("dx", "19", D * (dy @ W) / q)

    G = x_kept.T @ dy  # (d_in, d_out), before the mask
    yield Candidate("dW", "15", G)
    yield Candidate("dW", "18a", (1 - M) * G)
    yield Candidate("dW", "19", G.T)
    yield Candidate("dW", "19", (M * G).T)
    if d_in == d_out:
        yield Candidate("dW", "19", M * G.T)
    yield Candidate("dW", "21a", M * (x.T @ dy))
    yield Candidate("dW", "23", M * np.outer(x_kept[-1], dy[-1]))
    yield Candidate("dW", "23", M * np.outer(x_kept[0], dy[0]))

    yield Candidate("db", "22a", dy[0])
    yield Candidate("db", "22b", dy.sum(axis=0, keepdims=True))
    yield Candidate("db", "22c", dy)
    yield Candidate("db", "2b", dy.mean(axis=0))
    yield Candidate("db", "23", dy[-1])

    if inputs.get("weight_mask") is not None:
        yield Candidate("y", "16", x_kept @ W + b)
        yield Candidate("y", "f18a", x_kept @ (W - W_kept) + b)
    yield Candidate("y", "f_bias", x_kept @ W_kept)


def l2_penalty(scene: Scene) -> Iterator[Candidate]:
    """Yield the bugs of weight decay in one layer; right is lambda M * W.   Equation (B21)

    Parameters
    ----------
    scene : W (d_in, d_out), weight_decay, perhaps weight_mask, and dy, one number

    Yields
    ------
    dW and penalty of each bug

    Examples
    --------
    >>> scene = Scene({"W": np.array([[2.0]]), "weight_decay": 0.1}, 1.0)
    >>> {candidate.bug: float(candidate.value.sum()) for candidate in l2_penalty(scene)}["24b"]
    0.4
    """
    W, weight_decay, dy = scene.inputs["W"], scene.inputs["weight_decay"], scene.dy
    M = _or_ones(scene.inputs.get("weight_mask"), W)
    yield Candidate("dW", "24a", 0 * W)
    yield Candidate("dW", "24b", 2 * weight_decay * M * W * dy)
    yield Candidate("dW", "24c", weight_decay * W * dy)
    penalty = weight_decay / 2 * (M * W * M * W).sum()
    yield Candidate("y", "f24b", 2 * penalty)
    yield Candidate("y", "f24c", weight_decay / 2 * (W * W).sum())


def network(scene: Scene) -> Iterator[Candidate]:
    """Yield what goes wrong between layers (20e, 21) and with weight decay (24), for every W and b of the network.

    Parameters
    ----------
    scene : W1, b1, ... and the constants of ``layers.compose_network``, and dy, one number

    Yields
    ------
    the gradients of each bug, array by array
    """
    right = dict(_network_gradients(scene, weight_decay=scene.inputs["weight_decay"]))
    n_layers = len(scene.inputs["weight_masks"])
    weight_decay = scene.inputs["weight_decay"]
    for layer in range(1, n_layers + 1):
        W, b, M = scene.inputs[f"W{layer}"], scene.inputs[f"b{layer}"], scene.inputs["weight_masks"][layer - 1]
        if weight_decay:
            yield Candidate(f"dW{layer}", "24a", right[f"dW{layer}"] - scene.dy * weight_decay * M * W)
            yield Candidate(f"dW{layer}", "24b", right[f"dW{layer}"] + scene.dy * weight_decay * M * W)
            yield Candidate(f"dW{layer}", "24c", right[f"dW{layer}"] + scene.dy * weight_decay * (1 - M) * W)
            yield Candidate(f"db{layer}", "24d", right[f"db{layer}"] + scene.dy * weight_decay * b)
    hidden = range(n_layers - 1)
    for gates in itertools.product(hidden, repeat=n_layers - 1):
        if gates != tuple(hidden):
            for name, value in _network_gradients(scene, weight_decay=weight_decay, gates=gates):
                yield Candidate(name, "20e", value)
    for source, bug in (("h", "21a"), ("z", "21b"), ("z_kept", "21b")):
        for name, value in _network_gradients(scene, weight_decay=weight_decay, dW_from=source):
            if name.startswith("dW"):
                yield Candidate(name, bug, value)


def _network_gradients(
    scene: Scene, *, weight_decay: float, gates: tuple[int, ...] | None = None, dW_from: str = "h_kept"
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield (name, gradient) of the ReLU network, with the gate of each hidden layer taken from layer ``gates[l]``.

    ``dW_from`` is what dW is built from: "h_kept" = D * h / q is right.
    """
    inputs, q = scene.inputs, scene.inputs["keep_prob"]
    n_layers = len(inputs["weight_masks"])
    gates = tuple(range(n_layers - 1)) if gates is None else gates
    z, h, zs, sources = None, inputs["x"], [], []
    for layer in range(n_layers):
        D = inputs["unit_masks"][layer]
        scale = 1.0 if D is None else D / q
        z_before = h if z is None else z
        sources.append({"h_kept": h * scale, "h": h, "z": z_before, "z_kept": z_before * scale})
        W_kept = inputs["weight_masks"][layer] * inputs[f"W{layer + 1}"]
        z = sources[-1]["h_kept"] @ W_kept + inputs[f"b{layer + 1}"]
        zs.append(z)
        h = np.maximum(z, 0)
    dz = scene.dy * (softmax(z) - np.eye(z.shape[-1])[inputs["labels"]]) / len(z)
    for layer in reversed(range(n_layers)):
        M, W, D = inputs["weight_masks"][layer], inputs[f"W{layer + 1}"], inputs["unit_masks"][layer]
        yield f"dW{layer + 1}", M * (sources[layer][dW_from].T @ dz) + scene.dy * weight_decay * M * W
        yield f"db{layer + 1}", dz.sum(axis=0)
        if layer:
            gate = zs[gates[layer - 1]] > 0
            dz = (dz @ (M * W).T) * (1.0 if D is None else D / q) * gate


def _or_ones(mask: np.ndarray | None, like: np.ndarray) -> np.ndarray:
    return np.ones_like(like) if mask is None else mask

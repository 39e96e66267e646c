"""Layers in the styles of public NumPy projects, with the errors that such projects have had, through the adapters."""

from __future__ import annotations

import numpy as np
import pytest

from numpynet.gradcheck import (
    STRANGERS,
    LayerPair,
    check_function,
    check_pair,
    draw_normal,
    dropout_pair,
    from_cache,
    from_closure,
    from_object,
    linear_pair,
    relu_pair,
    self_drawing_dropout_pair,
    softmax_cross_entropy_pair,
)

SEEDS = range(4)

# ---- style 1: an object that remembers ------------------------------------------------------------------------------


class Dense:
    """A layer object: forward keeps its input, backward leaves the gradients on the object."""

    def __init__(self):
        self.params = {"W": None, "b": None}

    def forward(self, x):
        self.x = x
        return x @ self.params["W"] + self.params["b"]

    def backward(self, grad):
        self.grads = {"W": self.x.T @ grad, "b": self.db(grad)}
        return grad @ self.params["W"].T

    def db(self, grad):
        return grad.sum(axis=0)


class DenseWithMeanBias(Dense):
    def db(self, grad):
        return grad.mean(axis=0)


class DenseThatAccumulates(Dense):
    def backward(self, grad):
        dx = super().backward(grad)
        self.total = self.grads["W"] + getattr(self, "total", 0)
        self.total_b = self.grads["b"] + getattr(self, "total_b", 0)
        self.grads = {"W": self.total, "b": self.total_b}
        self.dx = dx + getattr(self, "dx", 0)
        return self.dx


class Relu:
    def forward(self, z):
        self.out = np.maximum(z, 0)
        return self.out

    def backward(self, grad):
        return grad * (self.out > 0)


class ReluGatedOnOutput(Relu):
    def backward(self, grad):
        return grad * (self.out >= 0)


class ReluThatEditsItsGradient(Relu):
    def backward(self, grad):
        grad[self.out <= 0] = 0
        return grad


class Dropout:
    """Draws its own mask from the global generator, as most of them do."""

    def __init__(self, keep_prob):
        self.keep = keep_prob

    def forward(self, h):
        self.mask = np.random.binomial(1, self.keep, size=h.shape)  # noqa: NPY002
        return h * self.mask / self.keep

    def backward(self, grad):
        return grad * self.mask / self.keep


class DropoutUnscaledBackward(Dropout):
    def backward(self, grad):
        return grad * self.mask


class DropoutUnmaskedBackward(Dropout):
    def backward(self, grad):
        return grad


class DropoutUnscaled(Dropout):
    def forward(self, h):
        return super().forward(h) * self.keep

    def backward(self, grad):
        return grad * self.mask


PATHS = {"W": "params.W", "b": "params.b"}
GRADS = {"W": "grads.W", "b": "grads.b"}


def dense(build, **more):
    return linear_pair(*from_object(build, parameters=PATHS, gradients=GRADS, **more), masked=False)


def status_and_cause(pair, seed, stages=STRANGERS):
    report = check_pair(pair, seed=seed, stages=stages)
    return report.status, report.cause


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("pair", "cause"),
    [
        (dense(Dense), None),
        (dense(DenseWithMeanBias), "2b"),
        (dense(DenseThatAccumulates), "5a"),
        (dense(Dense, shared=True), "m11"),
        (relu_pair(*from_object(Relu)), None),
        (relu_pair(*from_object(ReluGatedOnOutput)), "20a"),
        (relu_pair(*from_object(ReluThatEditsItsGradient)), "26b"),
        (self_drawing_dropout_pair(lambda q: from_object(lambda: Dropout(q))), None),
        (self_drawing_dropout_pair(lambda q: from_object(lambda: DropoutUnscaledBackward(q))), "9"),
        (self_drawing_dropout_pair(lambda q: from_object(lambda: DropoutUnmaskedBackward(q))), "13"),
        (self_drawing_dropout_pair(lambda q: from_object(lambda: DropoutUnscaled(q))), "m13"),
    ],
    ids=lambda x: x.name if isinstance(x, LayerPair) else str(x),
)
def test_objects_with_state(pair, cause, seed):
    assert status_and_cause(pair, seed) == ("pass" if cause is None else "fail", cause)


def test_a_layer_that_draws_its_own_mask_is_told_so():
    forward, backward = from_object(lambda: Dropout(0.7))
    pair = dropout_pair(lambda h, unit_mask, keep_prob: forward(h), backward)
    report = check_pair(pair, stages=STRANGERS)
    assert report.cause == "14b"
    assert "draws its own mask" in report.text()


def test_a_mask_can_be_handed_over_as_an_attribute():
    class Masked:
        def forward(self, h):
            return h * self.mask / self.keep

        def backward(self, grad):
            return grad * self.mask

    forward, backward = from_object(Masked, constants={"unit_mask": "mask", "keep_prob": "keep"})
    assert status_and_cause(dropout_pair(forward, backward), 0) == ("fail", "9")


def test_the_global_generator_is_left_as_it_was():
    np.random.seed(3)  # noqa: NPY002
    expected = np.random.rand(2)  # noqa: NPY002
    np.random.seed(3)  # noqa: NPY002
    check_pair(self_drawing_dropout_pair(lambda q: from_object(lambda: Dropout(q))), stages=STRANGERS)
    np.testing.assert_array_equal(np.random.rand(2), expected)  # noqa: NPY002


# ---- style 2: out, cache --------------------------------------------------------------------------------------------


def affine_forward(x, w, b):
    return x.reshape(len(x), -1).dot(w) + b, (x, w, b)


def affine_backward(dout, cache):
    x, w, _ = cache
    return dout.dot(w.T).reshape(x.shape), x.reshape(len(x), -1).T.dot(dout), dout.sum(axis=0)


def affine_backward_without_transpose(dout, cache):
    x, w, _ = cache
    return dout.dot(w), x.T.dot(dout), dout.sum(axis=0)


def dropout_forward(x, dropout_param):
    keep, mask = dropout_param["p"], dropout_param["mask"]
    return x * mask / keep, (dropout_param, mask)


def dropout_backward_swapped(dout, cache):
    param, mask = cache
    return dout * mask / (1 - param["p"])


def softmax_loss(x, y, *, mean_over=0):
    """Loss and gradient in one go, as in many courses; x is scores, y class numbers."""
    shifted = x - np.max(x, axis=1, keepdims=True)
    log_p = shifted - np.log(np.sum(np.exp(shifted), axis=1, keepdims=True))
    N = x.shape[0]
    loss = -np.sum(log_p[np.arange(N), y]) / N
    dx = np.exp(log_p)
    dx[np.arange(N), y] -= 1
    return loss, dx / (N if mean_over == 0 else x.size)


@pytest.mark.parametrize("seed", SEEDS)
def test_pairs_of_output_and_cache(seed):
    good = linear_pair(*from_cache(affine_forward, affine_backward), masked=False)
    assert status_and_cause(good, seed) == ("pass", None)
    bad = linear_pair(*from_cache(affine_forward, affine_backward_without_transpose), masked=False)
    assert status_and_cause(bad, seed) == ("fail", "19")
    swapped = dropout_pair(
        *from_cache(
            lambda h, unit_mask, keep_prob: dropout_forward(h, {"p": keep_prob, "mask": unit_mask}),
            dropout_backward_swapped,
        )
    )
    assert status_and_cause(swapped, seed) == ("fail", "12")


@pytest.mark.parametrize("seed", SEEDS)
def test_gradients_in_another_order_are_put_right_by_order(seed):
    def backward(dout, cache):
        dx, dw, db = affine_backward(dout, cache)
        return dw, db, dx

    assert status_and_cause(linear_pair(*from_cache(affine_forward, backward), masked=False), seed)[1] == "28b"
    ordered = from_cache(affine_forward, backward, order=(2, 0, 1))
    assert status_and_cause(linear_pair(*ordered, masked=False), seed) == ("pass", None)

    named = from_cache(
        affine_forward, lambda d, c: dict(zip(("x", "w", "b"), affine_backward(d, c))), order=("x", "w", "b")
    )
    assert status_and_cause(linear_pair(*named, masked=False), seed) == ("pass", None)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_loss_that_gives_its_gradient_at_once(seed):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(5, 3)), rng.integers(3, size=5)
    assert check_function(lambda x: softmax_loss(x, y), x, seed=seed).status == "pass"
    assert check_function(softmax_loss, x, seed=seed, y=y).status == "pass"

    def loss(logits, labels):
        value, gradient = softmax_loss(logits, labels, mean_over=1)
        return value, gradient

    pair = softmax_cross_entropy_pair(*from_cache(loss, lambda dloss, gradient: dloss * gradient))
    assert status_and_cause(pair, seed) == ("fail", "3")


# ---- style 3: closures ----------------------------------------------------------------------------------------------


def relu_closure(z):
    gate = z > 0

    def backprop(dh):
        return dh * gate

    return z * gate, backprop


def relu_closure_that_edits(z):
    gate = z > 0

    def backprop(dh):
        dh *= gate
        return dh

    return z * gate, backprop


def dropout_closure(h, unit_mask, keep_prob):
    def backprop(dy):
        return dy / keep_prob  # the mask is forgotten

    return h * unit_mask / keep_prob, backprop


def dropout_closure_with_a_fresh_mask(h, unit_mask, keep_prob):
    rng = np.random.default_rng()
    return h * unit_mask / keep_prob, lambda dy: dy * (rng.random(dy.shape) < keep_prob) / keep_prob


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("pair", "cause"),
    [
        (relu_pair(*from_closure(relu_closure)), None),
        (relu_pair(*from_closure(relu_closure_that_edits)), "26b"),
        (dropout_pair(*from_closure(dropout_closure)), "13"),
        (dropout_pair(*from_closure(dropout_closure_with_a_fresh_mask)), "14a"),
    ],
    ids=lambda x: x.name if isinstance(x, LayerPair) else str(x),
)
def test_closures(pair, cause, seed):
    assert status_and_cause(pair, seed) == ("pass" if cause is None else "fail", cause)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_layer_that_this_package_does_not_know(seed):
    """Layer normalisation, as a closure; its variance is written out, so the complex step passes."""

    def layer_norm(x, gain, bias, *, forget_mean=False):
        centred = x - x.mean(axis=-1, keepdims=True)
        scale = 1 / np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + 1e-5)
        normal = centred * scale

        def backprop(dy):
            dn = dy * gain
            dx = dn - normal * (dn * normal).mean(axis=-1, keepdims=True)
            if not forget_mean:
                dx = dx - dn.mean(axis=-1, keepdims=True)
            return scale * dx, (dy * normal).sum(axis=0), dy.sum(axis=0)

        return normal * gain + bias, backprop

    draw = draw_normal(x=("N", "d_in"), gain=("d_in",), bias=("d_in",))
    good = LayerPair("layer_norm", *from_closure(layer_norm), ("x", "gain", "bias"), draw)
    assert status_and_cause(good, seed) == ("pass", None)
    forgetful = from_closure(lambda *arrays: layer_norm(*arrays, forget_mean=True))
    report = check_pair(LayerPair("layer_norm", *forgetful, ("x", "gain", "bias"), draw), seed=seed)
    assert (report.status, report.array, report.causes) == ("fail", "dx", ())
    assert "no known pattern; cosine" in report.text()


def test_a_variance_that_drops_the_imaginary_part_falls_back_to_differences():
    def layer_norm(x):
        scale = 1 / np.sqrt(x.var(axis=-1, keepdims=True) + 1e-5)
        normal = (x - x.mean(axis=-1, keepdims=True)) * scale

        def backprop(dn):
            inner = (dn * normal).mean(axis=-1, keepdims=True)
            return scale * (dn - dn.mean(axis=-1, keepdims=True) - normal * inner)

        return normal, backprop

    pair = LayerPair("layer_norm", *from_closure(layer_norm), ("x",), draw_normal(x=("N", "d_in")))
    report = check_pair(pair, stages=STRANGERS)
    assert report.status == "pass"
    assert report.method == "central difference"
    assert any("imaginary part" in note for note in report.notes)

"""The audit: it passes for every seed, and every planted bug makes a check fail whose equation fits."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings

import numpynet.equations.linear as linear
import numpynet.equations.losses as losses
from numpynet import audit
from numpynet.audit import Check, audit_layers
from numpynet.equations import activations as act
from numpynet.equations import dropout, masks
from numpynet.gradcheck.numeric import complex_step
from tests.strategies import seeds
from tests.test_equation_book import BOOK, read_book

BOOK_IDS = {row.id for row in read_book(BOOK.read_text(encoding="utf-8"))}


@settings(max_examples=8)
@given(seeds)
def test_the_audit_passes_for_every_seed(seed):
    failed = [check for check in audit_layers(seed) if not check.passed]
    assert not failed


def test_the_same_seed_gives_the_same_numbers():
    assert audit_layers(5) == audit_layers(5)
    assert audit_layers(5) != audit_layers(6)


def test_every_check_cites_an_equation_of_the_book():
    checks = audit_layers(0)
    assert {check.equation for check in checks} <= BOOK_IDS
    assert len({(check.equation, check.what) for check in checks}) == len(checks)
    assert any("266610 parameters" in check.what for check in checks)


def test_a_mask_of_the_audit_has_both_values():
    rng = np.random.default_rng(0)
    for keep_prob in (0.2, 0.6, 0.9):
        for shape in ((2, 1), (3, 2)):
            assert set(np.unique(audit._masks(rng, shape, keep_prob))) == {0, 1}


@pytest.mark.parametrize(
    ("left", "right", "error"),
    [
        ([1.0, 2.0], [1.0, 2.0], 0.0),
        ([1.0, 2.5], [1.0, -2.0], 4.5 / 2.0),
        ([0.25, 0.0], [0.0, 0.0], 0.25),  # nothing to be relative to
        ([], [], 0.0),
        ([1.0, 2.0], [[1.0, 2.0]], math.inf),
        ([math.nan], [1.0], math.nan),
        ([1.0], [math.nan], math.nan),
    ],
)
def test_the_error_is_relative_to_the_largest_entry_and_nan_never_passes(left, right, error):
    check = audit._compare("B5", "dW", "a list", left, right, tolerance=0.3)
    assert check.error == pytest.approx(error, nan_ok=True)
    assert check.passed == (error <= 0.3)


def test_a_check_passes_up_to_its_tolerance():
    assert Check("B5", "dW", "x", 1e-12, 1e-12).passed
    assert not Check("B5", "dW", "x", 1.1e-12, 1e-12).passed
    assert Check("B5", "dW", "x", 0.0, 0.0).passed


# ---- planted bugs ---------------------------------------------------------------------------------------------------
# Each entry: what is wrong, the names of numpynet.audit that are replaced, and the equations of the checks that notice,
# no more and no fewer.


def backward(change):
    """linear_backward with a change to its result: (dy, cache, dx, dW, db) -> dx, dW, db."""
    return {
        "linear_backward": lambda dy, cache, **options: change(dy, cache, *linear.linear_backward(dy, cache, **options))
    }


def forward(change):
    """linear_forward with its arguments changed."""

    def changed(x, W, b, *, unit_mask=None, keep_prob=1.0, weight_mask=None):
        arguments = {"unit_mask": unit_mask, "keep_prob": keep_prob, "weight_mask": weight_mask}
        return linear.linear_forward(x, W, b, **arguments | change(**arguments))

    return {"linear_forward": changed}


def with_activation(name, **change):
    everything = {n: getattr(act, n) for n in ("relu", "leaky_relu", "tanh", "sigmoid", "identity")}
    return {"act": SimpleNamespace(**everything | {name: everything[name]._replace(**change)})}


def relu_forward_that_lets_zero_pass(z):
    return z * (z.real >= 0), act.ReluCache(z.real >= 0)


def leaky_relu_forward_with_slope_1_at_zero(z):
    slope = np.where(z.real >= 0, 1.0, 0.01)
    return z * slope, act.LeakyReluCache(slope)


def log_softmax_without_shift(logits):
    with np.errstate(over="ignore", invalid="ignore"):
        return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


def summed_cross_entropy_forward(logits, labels):
    loss, cache = losses.softmax_cross_entropy_forward(logits, labels)
    return loss * logits.shape[-2], cache


def sample_keep_for_drop(rng, shape, keep_prob, *, dtype=np.float32):
    return masks.sample_mask(rng, shape, 1 - keep_prob, dtype=dtype)


def prune_anything(scores, mask, k):
    """The right number, but in the order of the index."""
    return masks.prune_lowest(np.arange(mask.size, dtype=float).reshape(mask.shape), mask, k)


def prune_and_revive(scores, mask, k):
    """The right number, but dead entries are ranked as well, by their score."""
    everything = np.ones_like(mask)
    return masks.prune_lowest(scores, everything, int((mask == 0).sum()) + k)


BUGS = {
    "dW is not masked": (backward(lambda dy, c, dx, dW, db: (dx, c.x_kept.mT @ dy, db)), {"B5"}),
    "dW from the input before dropout": (backward(lambda dy, c, dx, dW, db: (dx, c.weight_mask * (c.x.mT @ dy), db)), {"B5"}),
    "dW is a mean": (backward(lambda dy, c, dx, dW, db: (dx, dW / len(dy), db)), {"B5"}),
    "db is a mean": (backward(lambda dy, c, dx, dW, db: (dx, dW, dy.mean(axis=-2))), {"B5"}),
    "db keeps its axis": (backward(lambda dy, c, dx, dW, db: (dx, dW, db[None])), {"B5"}),
    "dx through the dense W": (backward(lambda dy, c, dx, dW, db: (dy @ c.W.mT * c.unit_mask / c.keep_prob, dW, db)), {"B6"}),
    "dx without the unit mask": (backward(lambda dy, c, dx, dW, db: (dy @ c.W_kept.mT / c.keep_prob, dW, db)), {"B6", "B3"}),
    "dx without 1/q": (backward(lambda dy, c, dx, dW, db: (dx * c.keep_prob, dW, db)), {"B6"}),
    "forward without 1/q": (forward(lambda keep_prob, **_: {"keep_prob": 1.0}), {"B1", "D1"}),
    "forward with 1/(1-q)": (forward(lambda keep_prob, **_: {"keep_prob": 1 - keep_prob}), {"B1", "D1"}),
    "forward without the weight mask": (forward(lambda **_: {"weight_mask": None}), {"B1", "B5", "B23"}),
    "G is masked": (
        {"dense_gradient": lambda dy, c: c.weight_mask * linear.dense_gradient(dy, c)},
        {"B22"},
    ),
    "dM from M * W": (
        {"mask_gradients": lambda dy, c: (linear.dense_gradient(dy, c) * c.W_kept, linear.mask_gradients(dy, c)[1])},
        {"B23"},
    ),
    "dD without 1/q": (
        {"mask_gradients": lambda dy, c: (linear.mask_gradients(dy, c)[0], (dy @ c.W_kept.mT) * c.x)},
        {"B23"},
    ),
    "relu gated by >=": (with_activation("relu", forward=relu_forward_that_lets_zero_pass), {"B11"}),
    "relu without its gate": (with_activation("relu", backward=lambda dh, c: dh), {"B5", "B11"}),
    "leaky relu gated by >=": (with_activation("leaky_relu", forward=leaky_relu_forward_with_slope_1_at_zero), {"B12"}),
    "leaky relu with another leak": (with_activation("leaky_relu", backward=lambda dh, c: dh * np.maximum(c.slope, 0.02)), {"B12"}),
    "tanh: derivative on the wrong array": (with_activation("tanh", backward=lambda dh, c: dh * (1 - np.tanh(c.h) ** 2)), {"B5", "B13"}),
    "sigmoid: 1 - h instead of h (1 - h)": (with_activation("sigmoid", backward=lambda dh, c: dh * (1 - c.h)), {"B14"}),
    "identity: backward gives nothing": (with_activation("identity", backward=lambda dh, c: 0 * dh), {"B15"}),
    "log softmax without its shift": ({"log_softmax": log_softmax_without_shift}, {"B17"}),
    "cross-entropy is a sum": ({"softmax_cross_entropy_forward": summed_cross_entropy_forward}, {"B18", "B2", "B5"}),
    "delta without 1/N": (
        {"softmax_cross_entropy_backward": lambda dloss, c: len(c.log_p) * losses.softmax_cross_entropy_backward(dloss, c)},
        {"B2", "B5"},
    ),
    "delta without its upstream gradient": (
        {"softmax_cross_entropy_backward": lambda dloss, c: losses.softmax_cross_entropy_backward(1.0, c)},
        {"B2"},
    ),
    "squared error delta of np.mean": (
        {"squared_error_backward": lambda dloss, c: 2 * dloss * c.residual / c.residual.size},
        {"B20"},
    ),
    "L2 gradient of all weights": (
        {
            "l2_penalty_forward": lambda W, decay, *, weight_mask: (
                losses.l2_penalty_forward(W, decay, weight_mask=weight_mask)[0],
                losses.L2Cache(W, decay),
            )
        },
        {"B21"},
    ),
    "L2 penalty and gradient of all weights": (
        {"l2_penalty_forward": lambda W, decay, *, weight_mask: losses.l2_penalty_forward(W, decay)},
        {"B21"},
    ),
    "L2 gradient twice as large": (
        {"l2_penalty_backward": lambda dpenalty, c: 2 * losses.l2_penalty_backward(dpenalty, c)},
        {"B21"},
    ),
    "dropout backward without 1/q": ({"inverted_dropout_backward": lambda dy, c: dy * c.unit_mask}, {"B3"}),
    "dropout backward without the mask": ({"inverted_dropout_backward": lambda dy, c: dy / c.scale}, {"B3"}),
    "dropout backward with another mask": (
        {"inverted_dropout_backward": lambda dy, c: dy * np.roll(c.unit_mask, 1) / c.scale},
        {"B3"},
    ),
    "dropout forward without 1/q": (
        {"inverted_dropout_forward": lambda h, D, q: (h * D, dropout.DropoutCache(D, q))},
        {"B3", "D2"},
    ),
    "standard dropout scaled in training": (
        {"standard_dropout_forward": lambda h, D: dropout.inverted_dropout_forward(h, D, 0.8)},
        {"D2"},
    ),
    "standard dropout not scaled in evaluation": ({"standard_dropout_evaluate": lambda h, q: h}, {"D2"}),
    "DropConnect without its mask on dW": (
        {
            "dropconnect_backward": lambda dz, c: (
                dropout.dropconnect_backward(dz, c)[0],
                c.x.mT @ dz / c.scale,
                dz.sum(axis=-2),
            )
        },
        {"D17"},
    ),
    "DropConnect without 1/q on dx": (
        {"dropconnect_backward": lambda dz, c: (0.8 * dropout.dropconnect_backward(dz, c)[0], *dropout.dropconnect_backward(dz, c)[1:])},
        {"D17"},
    ),
    "keep and drop swapped in the sampling": ({"sample_mask": sample_keep_for_drop}, {"D6"}),
    "one weight too many is pruned": ({"prune_lowest": lambda s, m, k: masks.prune_lowest(s, m, k + 1)}, {"L2"}),
    "the largest are pruned": ({"prune_lowest": lambda s, m, k: masks.prune_lowest(-s, m, k)}, {"L2"}),
    "the first are pruned": ({"prune_lowest": prune_anything}, {"L2"}),
    "pruned weights come back": ({"prune_lowest": prune_and_revive}, {"L6"}),
    "rounding half to even": ({"prune_count": lambda rate, alive: round(rate * alive)}, {"L2"}),
    "rounding down": ({"prune_count": lambda rate, alive: int(rate * alive)}, {"L2"}),
}  # fmt: skip


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_found_and_its_equation_named(monkeypatch, name):
    replaced, expected = BUGS[name]
    for attribute, value in replaced.items():
        monkeypatch.setattr(audit, attribute, value)
    monkeypatch.setattr(audit, "_adjoint_check", lambda rng: Check("B5", "not looked at", "", 0.0, 0.0))  # slow
    found = {check.equation for check in audit_layers(11) if not check.passed}
    assert found == expected


@pytest.mark.parametrize(
    "change",
    [
        lambda dx, dW, db: (dx if dx is None else 1.1 * dx, dW, db),
        lambda dx, dW, db: (dx, np.multiply(dW, 1.1, out=dW), db),
        lambda dx, dW, db: (dx, dW, np.multiply(db, 1.1, out=db)),
    ],
    ids=["dx", "dW", "db"],
)
def test_a_bug_in_the_network_is_found_in_all_three_networks(monkeypatch, change):
    """The layer that the network uses is wrong, not the one that the audit checks alone."""
    monkeypatch.setattr(
        "numpynet.network.linear_backward",
        lambda dy, cache, **options: change(*linear.linear_backward(dy, cache, **options)),
    )
    wrong = [check for check in audit_layers(3) if not check.passed]
    assert [check.equation for check in wrong] == ["B5"] * 3
    assert all("parameters" in check.what for check in wrong)


def test_a_bug_that_breaks_the_shape_is_reported_as_one(monkeypatch):
    monkeypatch.setattr(audit, "dense_gradient", lambda dy, cache: linear.dense_gradient(dy, cache).mT)
    (wrong,) = [check for check in audit_layers(3) if not check.passed]
    assert (wrong.equation, wrong.error) == ("B22", math.inf)
    assert "shapes (4, 7) and (7, 4)" in wrong.what


def test_the_complex_step_itself_is_right():
    rng = np.random.default_rng(8)
    A, x = rng.normal(size=(4, 4)), rng.normal(size=4)
    assert complex_step(lambda z: z @ A @ z, x) == pytest.approx((A + A.T) @ x, rel=1e-13)

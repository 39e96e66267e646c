"""The audit: it covers the book, passes for every seed, and every planted bug fails the checks whose equation fits."""

import dataclasses
import functools
import importlib
import math
import time
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from numpynet_site.scan import BOOK, read_book

import numpynet.equations.linear as linear
import numpynet.equations.losses as losses
import numpynet.equations.targeted_dropout as targeted
import numpynet.equations.variational_dropout as variational
import numpynet.gradcheck.numeric as gradcheck
from numpynet import audit, initializers, optimizers, pruning, schedules, seeding, subnetworks, training
from numpynet.audit import Check, audit_everything, audit_layers, bounds, draws
from numpynet.audit.check import apart, at_most, compare, identical, within
from numpynet.equations import activations as act
from numpynet.equations import dropout, ensemble, keep_schedules, logistic, masks, r_drop, standout
from numpynet.equations.alpha_dropout import alpha_dropout_scale
from numpynet.equations.selu import selu
from numpynet.gradcheck.numeric import complex_step
from numpynet.lottery import edge_popup, instability, rewinding, supermasks
from numpynet.parameters import Parameters
from tests.strategies import seeds
from tests.test_equation_book import NOT_YET

ROWS = {row.id: row for row in read_book(BOOK.read_text(encoding="utf-8"))}


# ---- the whole ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def everything():
    """All checks of one seed, and how many seconds they took."""
    start = time.perf_counter()
    return audit_everything(3), time.perf_counter() - start


def test_every_equation_of_the_book_is_covered_that_is_implemented(everything):
    """Every def and law but those still to come; what the book does not define is not claimed."""
    covered = {check.equation for check in everything[0]}
    assert covered <= ROWS.keys()
    expected = {id for id, row in ROWS.items() if row.kind in ("def", "law")} - NOT_YET
    assert {id for id in covered if ROWS[id].kind in ("def", "law")} == expected


def test_the_checks_come_in_the_order_of_the_book_and_each_says_something_of_its_own(everything):
    checks, _ = everything
    assert [check.equation for check in checks] == sorted((check.equation for check in checks), key=list(ROWS).index)
    assert len({(check.equation, check.what) for check in checks}) == len(checks)
    assert all(check.what and check.how for check in checks)


def test_the_whole_audit_takes_seconds(everything):
    """One or two of them; ten are what is promised."""
    assert everything[1] < 10


@settings(max_examples=2)
@given(seeds)
def test_the_audit_passes_for_every_seed(seed):
    failed = [check for check in audit_everything(seed) if not check.passed]
    assert not failed


@settings(max_examples=6)
@given(seeds)
def test_the_short_audit_passes_for_every_seed(seed):
    failed = [check for check in audit_layers(seed) if not check.passed]
    assert not failed


def test_the_same_seed_gives_the_same_numbers_and_every_seed_the_same_lines(everything):
    checks, _ = everything
    assert audit_everything(3) == checks
    assert audit_layers(5) == audit_layers(5)
    assert audit_layers(5) != audit_layers(6)
    other = audit_everything(4)
    assert [check[:3] for check in other] == [check[:3] for check in checks]  # --draws takes the worst line by line
    assert other != checks


def test_the_short_audit_is_a_part_of_the_whole(everything):
    checks = audit_layers(3)
    assert set(checks) < set(everything[0])
    assert any("266610 parameters" in check.what for check in checks)


# ---- how it compares ------------------------------------------------------------------------------------------------


def test_a_mask_of_the_audit_has_both_values():
    rng = np.random.default_rng(0)
    for keep_prob in (0.2, 0.6, 0.9):
        for shape in ((2, 1), (3, 2)):
            assert set(np.unique(draws.mixed_mask(rng, shape, keep_prob))) == {0, 1}


def test_the_audit_lists_every_mask_once_with_its_probability():
    every = draws.all_masks(4)
    assert len(np.unique(every, axis=0)) == 2**4
    probability = draws.mask_probability(every, 0.3)
    np.testing.assert_allclose(probability, [0.3 ** row.sum() * 0.7 ** (4 - row.sum()) for row in every])
    np.testing.assert_allclose(draws.covariance(every, probability), 0.3 * 0.7 * np.eye(4), atol=1e-15)
    drawn = {draws.draw_keep_prob(np.random.default_rng(seed)) for seed in range(50)}
    assert len(drawn) > 2 and 0.5 not in drawn


def test_the_bounds_are_those_of_the_book():
    assert bounds.hoeffding(400, 3.0) == pytest.approx(3 * 3.2724 / 20, rel=1e-4)
    log_term = 21.4164
    linear_term = 0.8 * log_term / 1200
    assert bounds.bernstein(400, 0.8, 0.09) == pytest.approx(
        linear_term + math.sqrt(linear_term**2 + 2 * 0.09 * log_term / 400), rel=1e-5
    )
    for bound in (bounds.hoeffding, bounds.normal, bounds.chi_squared):
        assert bound(400, statements=5) > bound(400) > bound(800)
    # Not in the book: P(|Z| > z) <= 2 exp(-z^2 / 2), and the tail of chi-squared by its exact law for n = 2 (e^(-x/2)).
    assert 2 * math.exp(-(bounds.normal(1) ** 2) / 2) == pytest.approx(1e-9)
    assert math.exp(-(1 + bounds.chi_squared(2))) < 1e-9


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
    check = compare("B5", "dW", "a list", left, right, tolerance=0.3)
    assert check.error == pytest.approx(error, nan_ok=True)
    assert check.passed == (error <= 0.3)


def test_a_check_passes_up_to_its_tolerance():
    assert Check("B5", "dW", "x", 1e-12, 1e-12).passed
    assert not Check("B5", "dW", "x", 1.1e-12, 1e-12).passed
    assert Check("B5", "dW", "x", 0.0, 0.0).passed


def test_sums_that_cancel_may_be_compared_relative_to_another_size():
    assert compare("B9", "sum", "sum", [1e-3 + 1e-9], [1e-3], scale=1e3).error == pytest.approx(1e-12)


def test_identical_means_equal():
    assert identical("M1", "M", "M", [True, False], [1.0, 0.0]).passed
    assert not identical("M1", "M", "M", [1.0], [1.0 + 2**-52]).passed
    assert not identical("M1", "M", "M", [math.nan], [math.nan]).passed


@pytest.mark.parametrize(
    ("left", "right", "error"),
    [
        ([1.0, 2.0], [1.0, 3.0], 0.0),
        ([1.5, 2.0], [1.0, 4.0], 0.5 / 4.0),
        (1.5, [1.0, 4.0], 0.5 / 4.0),
        ([0.25], [0.0], 0.25),
        ([5.0, 0.0], [math.inf, 1.0], 0.0),
        ([math.nan], [1.0], math.nan),
        ([1.0], [math.nan], math.nan),
    ],
)
def test_at_most_counts_the_excess_alone(left, right, error):
    check = at_most("O5", "step", "bound", left, right, 0.2)
    assert check.error == pytest.approx(error, nan_ok=True)
    assert check.passed == (error <= 0.2)


@pytest.mark.parametrize(
    ("deviation", "bound", "passed"),
    [([0.1, -0.2], 0.3, True), ([0.1, -0.4], 0.3, False), ([0.1, -0.4], [0.05, 0.5], False), ([math.nan, 0.1], 0.3, False)],
)  # fmt: skip
def test_every_deviation_has_to_keep_its_bound(deviation, bound, passed):
    assert within("D6", "share", "q", deviation, bound).passed == passed


@pytest.mark.parametrize(
    ("left", "right", "passed"),
    [([1.0, 2.0], [1.0, 2.5], True), ([1.0, 2.0], [1.0, 2.1], False), ([1.0], [1.0, 2.0], False), ([math.nan], [1.0], False)],
)  # fmt: skip
def test_what_must_differ_has_to_differ_by_enough(left, right, passed):
    assert apart("M17", "one", "another", left, right, least=0.1).passed == passed


# ---- planted bugs in the layers -------------------------------------------------------------------------------------
# Each entry: what is wrong, the names of numpynet.audit.layers that are replaced, and the equations of the checks that
# notice, no more and no fewer.


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
    return {"act": SimpleNamespace(**everything | {name: everything[name]._replace(takes_out=False, **change)})}


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
    "relu without its gate": (with_activation("relu", backward=lambda dh, c: dh), {"B4", "B5", "B11"}),
    "leaky relu gated by >=": (with_activation("leaky_relu", forward=leaky_relu_forward_with_slope_1_at_zero), {"B12"}),
    "leaky relu with another leak": (with_activation("leaky_relu", backward=lambda dh, c: dh * np.maximum(c.slope, 0.02)), {"B4", "B12"}),
    "tanh: derivative on the wrong array": (with_activation("tanh", backward=lambda dh, c: dh * (1 - np.tanh(c.h) ** 2)), {"B4", "B5", "B13"}),
    "sigmoid: 1 - h instead of h (1 - h)": (with_activation("sigmoid", backward=lambda dh, c: dh * (1 - c.h)), {"B4", "B14"}),
    "identity: backward gives nothing": (with_activation("identity", backward=lambda dh, c: 0 * dh), {"B4", "B15"}),
    "log softmax without its shift": ({"log_softmax": log_softmax_without_shift}, {"B17"}),
    "cross-entropy is a sum": ({"softmax_cross_entropy_forward": summed_cross_entropy_forward}, {"B18", "B19", "B2", "B5"}),
    "softmax, not normalized": ({"softmax": lambda z: np.exp(z - z.real.max())}, {"B16"}),
    "softmax backward without what the other classes get": ({"softmax_backward": lambda G, p: p * G}, {"B16"}),
    "log softmax backward of a softmax": ({"log_softmax_backward": lambda G, log_p: losses.softmax_backward(G, np.exp(log_p))}, {"B17"}),
    "logistic loss of the other class": (
        {"logistic_loss_forward": lambda z, t: logistic.logistic_loss_forward(z, 1 - t)},
        {"B19"},
    ),
    "logistic delta without 1/N": (
        {"logistic_loss_backward": lambda dloss, c: len(c.logits) * logistic.logistic_loss_backward(dloss, c)},
        {"B19"},
    ),
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
        monkeypatch.setattr(audit.layers, attribute, value)
    monkeypatch.setattr(audit.layers, "_adjoint_check", lambda rng: Check("B5", "not looked at", "", 0.0, 0.0))  # slow
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
        "numpynet.layer_rules.linear_backward",
        lambda dy, cache, **options: change(*linear.linear_backward(dy, cache, **options)),
    )
    wrong = [check for check in audit_layers(3) if not check.passed]
    assert [check.equation for check in wrong] == ["B5"] * 3
    assert all("parameters" in check.what for check in wrong)


def test_a_bug_that_breaks_the_shape_is_reported_as_one(monkeypatch):
    monkeypatch.setattr(audit.layers, "dense_gradient", lambda dy, cache: linear.dense_gradient(dy, cache).mT)
    (wrong,) = [check for check in audit_layers(3) if not check.passed]
    assert (wrong.equation, wrong.error) == ("B22", math.inf)
    assert "shapes (4, 7) and (7, 4)" in wrong.what


def test_the_complex_step_itself_is_right():
    rng = np.random.default_rng(8)
    A, x = rng.normal(size=(4, 4)), rng.normal(size=4)
    assert complex_step(lambda z: z @ A @ z, x) == pytest.approx((A + A.T) @ x, rel=1e-13)


# ---- planted bugs in the other parts --------------------------------------------------------------------------------
# Each entry: the part of the audit that runs, what is wrong, what is replaced (names of that part, or dotted names of the
# library), and the equations of the checks that notice, no more and no fewer.


def changed(function, change):
    """A function whose result goes through another one."""
    return functools.wraps(function)(lambda *args, **kwargs: change(function(*args, **kwargs)))


def named_as(function, other):
    """The other function, under the name of the first; the other itself keeps its name."""
    return functools.wraps(function)(lambda *args, **kwargs: other(*args, **kwargs))


def first_changed(function, change):
    """The same where the result is a tuple of which the first entry counts, as in all forward and backward passes."""
    return changed(function, lambda result: (change(result[0]), *result[1:]))


def given(function, **defaults):
    """A function that has got these arguments, whatever was asked for."""
    return functools.wraps(function)(lambda *args, **kwargs: function(*args, **kwargs | defaults))


def in_the_place_of(function, other):
    """Another function, under the name of this one."""
    return functools.wraps(function)(lambda *args, **kwargs: other(*args, **kwargs))


def optimizer(base, update):
    """An optimizer with another step: update(self, theta, g, *slots, lr, t)."""
    step = lambda self, theta, g, *rest: update(self, theta, g, *rest[:-3], *rest[-2:])  # noqa: E731  without scratch
    return dataclasses.make_dataclass(base.__name__, [], bases=(base,), namespace={"_update": step}, frozen=True)


def adam_without_correction(self, theta, g, m, s, lr, t):
    m[...] = self.beta1 * m + (1 - self.beta1) * g
    s[...] = self.beta2 * s + (1 - self.beta2) * g**2
    theta -= lr * m / (np.sqrt(s) + self.epsilon)


def rmsprop_with_epsilon_in_the_root(self, theta, g, s, lr, t):
    s[...] = self.beta * s + (1 - self.beta) * g**2
    theta -= lr * g / np.sqrt(s + self.epsilon)


def momentum_that_forgets_itself(self, theta, g, v, lr, t):
    v[...] = self.momentum * v + (1 - self.momentum) * g
    theta -= lr * v


def nesterov_that_is_momentum(self, theta, g, v, lr, t):
    v[...] = self.momentum * v + g
    theta -= lr * v


def sgd_scaled_by_the_norm(self, theta, g, lr, t):
    theta -= lr * g * min(1, 0.5 / (np.linalg.norm(g) + 1e-30))


def sgd_scaled_by_theta(self, theta, g, lr, t):
    theta -= lr * g * np.linalg.norm(theta)


def momentum_that_is_nesterov(self, theta, g, v, lr, t):
    v[...] = self.momentum * v + g
    theta -= lr * (g + self.momentum * v)


def update_that_decays_biases(theta, gradients, rule, state, lr, *, decay=None, weight_mask=None):
    optimizers.update(theta, gradients, rule, state, lr, decay=decay, weight_mask=weight_mask)
    for layer in (1, 2):
        theta[f"b{layer}"][...] *= 1 - lr * decay.decoupled


def schedule(base, rate):
    """A schedule with another formula: rate(self, t)."""
    return dataclasses.make_dataclass(base.__name__, [], bases=(base,), namespace={"__call__": rate}, frozen=True)


def mask_that_replaces(x, W, b, *, unit_mask=None, keep_prob=1.0, weight_mask=None):
    """The weight mask is not applied where there is a unit mask."""
    return linear.linear_forward(
        x, W, b, unit_mask=unit_mask, keep_prob=keep_prob, weight_mask=None if unit_mask is not None else weight_mask
    )


def without_weight_mask(x, W, b, *, weight_mask=None, **options):
    ones = None if weight_mask is None else np.ones_like(weight_mask)
    return linear.linear_forward(x, W, b, weight_mask=ones, **options)


def rescaled_by_density(x, W, b, *, weight_mask=None, **options):
    scaled = W if weight_mask is None else W / weight_mask.mean()
    return linear.linear_forward(x, scaled, b, weight_mask=weight_mask, **options)


def shared_mask_ignored(x, W, b, *, unit_mask=None, **options):
    if unit_mask is not None and unit_mask.shape[-2] == 1:
        unit_mask = np.ones_like(unit_mask)
    return linear.linear_forward(x, W, b, unit_mask=unit_mask, **options)


def equally_probable(net, *args, **kwargs):
    masks, probability = subnetworks.list_subnetworks(net, *args, **kwargs)
    return subnetworks.Subnetworks(masks, np.full(len(probability), 1 / len(probability)))


def plain_mean_of_logarithms(values, probability=None):
    return ensemble.geometric_mean(values)


def compact_without_folding(net, theta, mask):
    small = pruning.compact(net, theta, mask)
    for layer in range(2, net.n_layers + 1):
        units = small.kept_units[layer - 1] if layer < net.n_layers else slice(None)
        small.theta[f"b{layer}"] = theta[f"b{layer}"][units]
    return small


def begun_at_step_0(*args, step=0, **kwargs):
    state = training.begin(*args, **kwargs)
    state.step = step
    return state


def not_through_the_sum(G, scores, cache):
    if not cache.rescale:
        return supermasks.supermask_backward(G, scores, cache)
    share = {name: cache.mask[name].mean() for name in G.layout.weight_names}
    plain = supermasks.supermask_backward(G, scores, cache._replace(rescale=False))
    for name, part in share.items():
        plain[name][...] /= part
    return plain


def synflow_without_what_comes_in(theta, weight_mask=None):
    scores = pruning.synflow(theta, weight_mask)
    scores["W2"] = np.abs(theta["W2"] if weight_mask is None else (theta * weight_mask)["W2"])
    return scores


def zhou_with(**criteria):
    return SimpleNamespace(**{name: getattr(pruning.zhou, name) for name in vars(pruning.zhou)} | criteria)


def threshold(scores, mask, k):
    """Whatever lies below the k-th score goes, and all ties with it."""
    alive = np.sort(scores[mask == 1])
    return mask * (scores > alive[k - 1]) if k else mask.copy()


def cut_at_the_threshold(scores, mask, *, rate):
    """The same for a whole network."""
    alive = np.concatenate([scores[name][mask[name] == 1] for name in mask.layout.weight_names])
    k, new = math.floor(rate * alive.size + 0.5), mask.copy()
    for name in mask.layout.weight_names:
        new[name] *= scores[name] > np.sort(alive)[k - 1] if k else 1
    return new


def pruned_anew(scores, mask, **options):
    """All weights are ranked again, the dead as well."""
    return pruning.prune_layerwise(scores, pruning.dense_mask(mask), **options)


def uniform_density(layout, density):
    return dict.fromkeys(layout.weight_names, density)


PARTS = {
    "derivatives": {
        "complex step twice as large": ({"complex_step": changed(gradcheck.complex_step, lambda g: 2 * g)}, {"B7"}),
        "direction with the wrong sign": ({"complex_direction": changed(gradcheck.complex_direction, np.negative)}, {"B7"}),
        "a layer without 1/q, so that one bug cannot be seen": ({"linear_forward": given(linear.linear_forward, keep_prob=1.0)}, {"B7"}),
        "gradient too large by 1 %": ({"loss_and_gradients": changed(draws.loss_and_gradients, lambda r: (r[0], 1.01 * r[1]))}, {"B8"}),
        "relu without its gate": ({"relu": act.relu._replace(backward=lambda dh, cache: dh, takes_out=False)}, {"B9", "B10"}),
        "G of full rank": ({"dense_gradient": changed(linear.dense_gradient, lambda G: G + np.eye(*G.shape))}, {"B24"}),
        "H v of a matrix that is not symmetric": (
            {"hessian_vector_product": changed(gradcheck.hessian_vector_product, lambda Hv: Hv * np.arange(Hv.size))},
            {"B25"},
        ),
        "difference to the right only": (
            {"central_difference": lambda f, x: gradcheck.one_sided_differences(f, x)[1]},
            {"B26"},
        ),
    },
    "training": {
        "Glorot with the variance of He": ({"glorot_normal": in_the_place_of(initializers.glorot_normal, initializers.he_normal)}, {"B27"}),
        "Glorot uniform too wide": ({"glorot_uniform": changed(initializers.glorot_uniform, lambda W: 1.05 * W)}, {"B27"}),
        "He with the variance of Glorot": ({"he_normal": in_the_place_of(initializers.he_normal, initializers.glorot_normal)}, {"B28"}),
        "truncated without its correction": ({"he_truncated": changed(initializers.he_truncated, lambda W: 0.88 * W)}, {"B28"}),
        "SGD scaled by the norm": ({"SGD": optimizer(optimizers.SGD, sgd_scaled_by_the_norm)}, {"O1"}),
        "momentum that forgets itself": ({"Momentum": optimizer(optimizers.Momentum, momentum_that_forgets_itself)}, {"O2"}),
        "Nesterov that is momentum": ({"Nesterov": optimizer(optimizers.Nesterov, nesterov_that_is_momentum)}, {"O3"}),
        "RMSProp with epsilon in the root": ({"RMSProp": optimizer(optimizers.RMSProp, rmsprop_with_epsilon_in_the_root)}, {"O4"}),
        "Adam without bias correction": ({"Adam": optimizer(optimizers.Adam, adam_without_correction)}, {"O5"}),
        "no coupled decay": ({"update": lambda *a, decay, **k: optimizers.update(*a, decay=dataclasses.replace(decay, coupled=0.0), **k)}, {"O6"}),
        "L2 gradient of all weights": ({"l2_penalty_forward": lambda W, decay, weight_mask: losses.l2_penalty_forward(W + 1, decay)}, {"O6"}),
        "biases that decay": ({"update": update_that_decays_biases}, {"O7"}),
        "no projection": ({"update": given(optimizers.update, weight_mask=None)}, {"O6", "O7"}),
        "max-norm of rows": ({"project_max_norm": lambda W, limit: optimizers.project_max_norm(W.T, limit).T}, {"O8"}),
        "clipping of single entries": ({"clip_global_norm": lambda g, limit: Parameters(np.clip(g.vector, -limit, limit), g.layout)}, {"O9"}),
        "steps without a floor": ({"Step": schedule(schedules.Step, lambda self, t: self.lr * self.factor ** (t / self.every))}, {"O10"}),
        "exponential one step ahead": ({"Exponential": schedule(schedules.Exponential, lambda self, t: self.lr * self.factor ** (t + 1))}, {"O11"}),
        "cosine that comes up again": (
            {"Cosine": schedule(schedules.Cosine, lambda self, t: self.lr_min + (self.lr - self.lr_min) * (1 + math.cos(math.pi * t / self.steps)) / 2)},
            {"O12"},
        ),
        "warm-up from 0": (
            {"Warmup": schedule(schedules.Warmup, lambda self, t: self.base(0) * t / self.steps if t < self.steps else self.base(t - self.steps))},
            {"O13"},
        ),
    },
    "dropout": {
        "all subnetworks equally probable": ({"list_subnetworks": equally_probable}, {"D1", "D3", "D9"}),
        "weights not scaled between the conventions": ({"standard_to_inverted": lambda net, theta: theta.copy()}, {"D2", "D4"}),
        "standard dropout with the scale": ({"without_scale": lambda net: net}, {"D2", "D4", "D7"}),
        "gradient too large by 1 %": ({"loss_and_gradients": changed(draws.loss_and_gradients, lambda r: (r[0], 1.01 * r[1]))}, {"D5"}),
        "keep_prob 1 that drops": ({"sample_mask": lambda rng, shape, q, **k: masks.sample_mask(rng, shape, 0.9 * q, **k)}, {"D6"}),
        "squared error without 1/2": ({"squared_error": losses.squared_error._replace(forward=first_changed(losses.squared_error.forward, lambda x: 2 * x))}, {"D7"}),
        "squared error whose delta is a sum": ({"squared_error": losses.squared_error._replace(backward=lambda d, c: len(c.residual[..., 0].T) * losses.squared_error.backward(d, c))}, {"D8"}),
        "softplus without its curve": ({"softplus": lambda z: np.maximum(z, 0)}, {"D9"}),
        "max-norm that lengthens": ({"project_max_norm": lambda W, limit: limit * W / np.maximum(np.linalg.norm(W, axis=0), 1e-300)}, {"D27"}),
        "cross-entropy in bits": ({"softmax_cross_entropy_forward": first_changed(losses.softmax_cross_entropy_forward, lambda x: x / math.log(2))}, {"D28", "D29"}),
        "a relu that is none": ({"relu": act.relu._replace(takes_out=False, forward=lambda z: (np.maximum(z, -0.1), act.relu.forward(z)[1]))}, {"D30"}),
        "subnetworks scaled too little": ({"every_subnetwork": first_changed(subnetworks.every_subnetwork, lambda z: 0.9 * z)}, {"D3", "D9", "D31"}),
    },
    "ensemble": {
        "plain geometric mean, normalized": ({"normalized_geometric_mean": lambda v, P: ensemble.normalized_geometric_mean(v)}, {"D10", "D11"}),
        "plain geometric mean": ({"geometric_mean": plain_mean_of_logarithms}, {"D13"}),
        "evaluation of another net": ({"evaluate_inverted": changed(subnetworks.evaluate_inverted, lambda z: 1.1 * z)}, {"D10", "D11", "D12"}),
        "log p with the wrong sign": ({"log_softmax": changed(losses.log_softmax, np.negative)}, {"D12"}),
        "squared error without 1/2": ({"squared_error": losses.squared_error._replace(forward=first_changed(losses.squared_error.forward, lambda x: 2 * x))}, {"D14"}),
        "Monte Carlo with half of the units": ({"monte_carlo": lambda net, *a, **k: subnetworks.monte_carlo(dataclasses.replace(net, keep_prob=(0.5, 0.5, None)), *a, **k)}, {"D15"}),
        "variance over T - 1": ({"moments": lambda f, P=None: (ensemble.moments(f, P)[0], ensemble.moments(f, P)[1] * len(f) / (len(f) - 1))}, {"D16"}),
        "precision without the 2": ({"model_precision": changed(ensemble.model_precision, lambda tau: 2 * tau)}, {"D16"}),
        "entropy for mutual information": ({"predict": changed(ensemble.predict, lambda a: a._replace(mutual_information=a.entropy))}, {"D16"}),
    },
    "dropout_variants": {
        "DropConnect that drops units": ({"dropconnect_forward": lambda x, W, b, C, **k: dropout.dropconnect_forward(x, W, b, C[..., :1] + 0 * C, **k)}, {"D17", "D22"}),
        "Gaussian noise of variance 1 - q": ({"sample_gaussian_noise": lambda rng, shape, q, **k: 1 + (1 - q) ** 0.5 * rng.normal(size=shape)}, {"D18"}),
        "Gaussian backward without the noise": ({"gaussian_dropout_backward": lambda dz, c: (dz @ c.W_kept.mT, *linear.linear_backward(dz, c)[1:])}, {"D18"}),
        "alpha upside down": ({"log_alpha_of": lambda q: -variational.log_alpha_of(q)}, {"D19"}),
        "variational backward without the noise": ({"variational_dropout_backward": lambda dz, c: variational.variational_dropout_backward(dz, c._replace(noise_over_std=None))}, {"D19"}),
        "gradient of alpha, not of its logarithm": ({"log_alpha_gradient": lambda dz, c: variational.log_alpha_gradient(dz, c) / c.alpha}, {"D19"}),
        "divergence without its bump": ({"variational_kl_forward": first_changed(variational.variational_kl_forward, lambda kl: kl + 0.02)}, {"D20"}),
        "divergence pushed up": ({"variational_kl_backward": changed(variational.variational_kl_backward, np.negative)}, {"D20"}),
        "prune from log alpha 2": ({"variational_mask": lambda t: (t <= 2).astype(float)}, {"D20"}),
        "alpha dropout that is not shifted": ({"numpynet.equations.alpha_dropout.alpha_dropout_scale": lambda q: (alpha_dropout_scale(q)[0], 0.0)}, {"D21"}),
        "selu without its scale": ({"selu": selu._replace(forward=first_changed(selu.forward, lambda h: h / 1.05))}, {"D21"}),
        "targeted dropout of anything": ({"targeted_weight_dropout_forward": given(targeted.targeted_weight_dropout_forward, target_share=1.0)}, {"D22"}),
        "targeted units without their mask": ({"targeted_unit_dropout_backward": lambda dz, c: linear.linear_backward(dz, c.linear)}, {"D22"}),
        "R-Drop, not halved": ({"r_drop_forward": first_changed(r_drop.r_drop_forward, lambda x: 2 * x)}, {"D23"}),
        "R-Drop: one pass held fixed": ({"r_drop_backward": changed(r_drop.r_drop_backward, lambda g: (g[0], 0 * g[1]))}, {"D23"}),
        "curriculum from below": ({"Curriculum": schedule(keep_schedules.Curriculum, lambda self, t: 1 - (1 - self.keep_prob) * math.exp(-self.gamma * t))}, {"D24"}),
        "early, one step too long": ({"Early": schedule(keep_schedules.Early, lambda self, t: self.keep_prob if t <= self.steps else 1.0)}, {"D25"}),
        "standout that keeps the weak": ({"standout_forward": lambda *a, alpha, **k: standout.standout_forward(*a, alpha=-alpha, **k)}, {"D26"}),
        "standout whose gate has no slope": ({"standout_backward": lambda dz, c: standout.standout_backward(dz, c._replace(dgate=None))}, {"D26"}),
    },
    "masks": {
        "union that adds": ({"union": np.add}, {"M1"}),
        "a shared unit mask is ignored": ({"numpynet.layer_rules.linear_forward": shared_mask_ignored}, {"M2", "M3"}),
        "a pruned layer is rescaled": ({"numpynet.layer_rules.linear_forward": rescaled_by_density}, {"M4", "M15"}),
        "gradients of pruned weights": ({"numpynet.layer_rules.linear_backward": lambda dy, c, **k: linear.linear_backward(dy, c._replace(weight_mask=None), **k)}, {"M4"}),
        "one mask replaces the other": ({"linear_forward": mask_that_replaces}, {"M5", "M21", "M22"}),
        "a weight mask of ones": ({"linear_forward": without_weight_mask}, {"M5", "M6", "M15", "M21", "M22"}),
        "DropConnect, scaled": ({"dropconnect_forward": first_changed(dropout.dropconnect_forward, lambda z: z / 0.7)}, {"M15"}),
        "dW too large": ({"linear_backward": changed(linear.linear_backward, lambda g: (g[0], 1.1 * g[1], g[2]))}, {"M7"}),
        "dD without the mask": ({"mask_gradients": changed(linear.mask_gradients, lambda g: (g[0], 1.1 * g[1]))}, {"M8"}),
        "paths counted as weights": ({"count_paths": lambda mask, keep_probs=(1, 1): float(mask.vector.sum()) * math.prod(keep_probs)}, {"M12"}),
        "a unit that is not heard is alive": ({"reachable": changed(pruning.reachable, lambda r: (r[0], [h | True for h in r[1]]))}, {"M13"}),
        "the first go": ({"prune_lowest": prune_anything}, {"M14", "M19", "M20"}),
    },
    "mask_training": {
        "momentum that is Nesterov": ({"Momentum": optimizer(optimizers.Momentum, momentum_that_is_nesterov)}, {"M9"}),
        "Adam without bias correction": ({"Adam": optimizer(optimizers.Adam, adam_without_correction)}, {"M9"}),
        "clipping by the global norm": ({"_OPTIMIZERS": (optimizer(optimizers.SGD, sgd_scaled_by_the_norm)(),)}, {"M10"}),
        "SGD scaled by theta": ({"SGD": optimizer(optimizers.SGD, sgd_scaled_by_theta)}, {"M17", "M18"}),
        "no projection": ({"update": given(optimizers.update, weight_mask=None)}, {"M10"}),
        "a state that does not forget": ({"numpynet.optimizers.OptimizerState.impose": lambda self, mask: None}, {"M16"}),
        "constants of deaf units are lost": ({"compact": compact_without_folding}, {"M11", "M17"}),
        "another scale in a smaller net": ({"numpynet.layer_rules.linear_forward": lambda x, W, b, *, keep_prob=1.0, **k: linear.linear_forward(x, W, b, keep_prob=min(1, keep_prob * W.shape[0] / 9), **k)}, {"M18"}),
    },
    "pruning": {
        "magnitude with its sign": ({"magnitude": lambda theta: theta}, {"P1"}),
        "random scores that are not": ({"random_scores": lambda rng, layout: pruning.random_scores(rng, layout) + Parameters(np.arange(layout.size) / layout.size, layout)}, {"P2"}),
        "Zhou: movement with its sign": ({"zhou": zhou_with(movement=lambda a, b: b - a)}, {"P3"}),
        "Zhou: the larger of both": ({"zhou": zhou_with(large_init_large_final=lambda a, b, alpha: np.maximum(alpha * np.abs(b), np.abs(a)))}, {"P3"}),
        "SNIP without the weight": ({"snip": lambda *a, **k: np.abs(pruning.dense_gradients(*a, **k))}, {"P4"}),
        "GraSP upside down": ({"grasp": changed(pruning.grasp, np.negative)}, {"P5"}),
        "SynFlow of a layer by its weights alone": ({"synflow": synflow_without_what_comes_in}, {"P6", "P7", "P8"}),
        "movement towards 0": ({"add_movement": lambda s, theta, g, lr: s + lr * g * theta}, {"P10"}),
        "norms of the wrong axis": ({"incoming_norms": lambda theta, order=2: {k: np.linalg.norm(theta[f"W{k}"][:, : theta[f"W{k}"].shape[0]], order, axis=1)[: theta[f"W{k}"].shape[1]] for k in (1, 2)}}, {"P11"}),
        "one unit too many": ({"prune_units": given(pruning.prune_units, rate=0.7)}, {"P12"}),
        "units that stay": ({"mask_of_units": lambda units, theta: Parameters.ones(theta.layout, dtype=float)}, {"P12"}),
        "mask gradient twice as large": ({"mask_gradients": changed(linear.mask_gradients, lambda g: (2 * g[0], g[1]))}, {"P14"}),
    },
    "sparse_training": {
        "densities on a line": ({"geometric_densities": lambda d, n: [1 - (1 - d) * k / n for k in range(1, n + 1)]}, {"P9"}),
        "SynFlow in one shot": ({"synflow_mask": given(pruning.synflow_mask, rounds=1)}, {"P9"}),
        "gradual, squared": ({"GradualDensity": schedule(pruning.GradualDensity, lambda s, t: s.final + (s.initial - s.final) * (1 - min(max((t - s.start) / s.steps, 0), 1)) ** 2)}, {"P16"}),
        "cosine not halved": ({"CosineDrop": schedule(pruning.CosineDrop, lambda s, t: s.initial * (1 + math.cos(math.pi * min(t / s.steps, 1))))}, {"P17"}),
        "polynomial of another power": ({"PolynomialDrop": given(pruning.PolynomialDrop, power=2)}, {"P17"}),
        "SET that moves more": ({"set_move": lambda rng, theta, mask, z: pruning.set_move(rng, theta, mask, 2 * z)}, {"P18"}),
        "SET that drops the large": ({"set_move": lambda rng, theta, mask, z: pruning.set_move(rng, 1 / (theta + (theta == 0)), mask, z)}, {"P18"}),
        "RigL by the masked gradient": ({"rigl_move": lambda theta, mask, G, z: pruning.rigl_move(theta, mask, G * mask, z)}, {"P19"}),
        "a mask exchanged, and nothing forgotten": ({"impose_mask": lambda state, mask, grown: None}, {"P18"}),
        "the same density everywhere": ({"erdos_renyi": uniform_density}, {"P20"}),
    },
    "tickets": {
        "ties by a threshold": ({"prune_globally": cut_at_the_threshold}, {"L2"}),
        "rounding down": ({"prune_count": lambda rate, alive: int(rate * alive)}, {"L3"}),
        "the dead are ranked": ({"prune_layerwise": pruned_anew}, {"L6", "L7"}),
        "the output layer at the full rate": ({"prune_layerwise": lambda s, m, rate: pruning.prune_layerwise(s, m, rate=rate, **({} if isinstance(rate, dict) else {"output_rate": rate}))}, {"L7"}),
        "a threshold": ({"prune_lowest": threshold}, {"L8", "L12"}),
        "a start that is not masked": ({"begin": given(training.begin, weight_mask=None)}, {"L4", "L5"}),
        "another seed where there is a mask": ({"begin": lambda *a, seed, weight_mask=None, **k: training.begin(*a, seed=seed + (weight_mask is not None), weight_mask=weight_mask, **k)}, {"L4", "L5", "L9"}),
        "all layers in one line": ({"prune_layerwise": lambda s, m, *, rate: pruning.prune_globally(s, m, rate=0.4)}, {"L7", "L10", "L11"}),
        "the first go": ({"prune_lowest": prune_anything}, {"L12", "L20"}),
        "a ticket that starts elsewhere": ({"numpynet.lottery.imp.begin": lambda net, plan, split, *, theta_0, **k: training.begin(net, plan, split, theta_0=1.01 * theta_0, **k)}, {"L4"}),
        "a control with theta_0": ({"numpynet.lottery.arms.control_rngs": lambda seeds, purpose, draw: [seeding.stream(s, "init") for s in seeds]}, {"L5"}),
        "rates that add up": ({"rate_per_round": lambda density, rounds: (1 - density) / rounds}, {"L17"}),
        "magnitude of a layer over its largest": ({"magnitude": lambda theta: pruning.magnitude(theta) ** 0}, {"L10", "L11"}),
        "targeted dropout that keeps a candidate": ({"targeted_weight_dropout_forward": given(targeted.targeted_weight_dropout_forward, drop_prob=0.9)}, {"L12"}),
        "effective means alive": ({"effective_mask": lambda mask: mask}, {"L19"}),
        "effective density of all": ({"effective_density": pruning.weight_density}, {"L19"}),
    },
    "rewinding": {
        "late rewinding to the end": ({"rewind_point": lambda state: rewinding.RewindPoint(4, state.theta, state.optimizer.slots, 4)}, {"L14"}),
        "the order begins anew": ({"numpynet.lottery.rewinding.begin": begun_at_step_0}, {"L14", "L15", "L16"}),
        "a memory that is not masked": ({"numpynet.optimizers.OptimizerState.impose": lambda self, mask: None}, {"L14"}),
        "a memory that is lost": ({"numpynet.lottery.rewinding._remember": lambda state, point: None}, {"L14"}),
        "a start that is not masked": ({"numpynet.lottery.rewinding.begin": given(training.begin, weight_mask=None)}, {"L14", "L15", "L16"}),
        "fine-tuning by the schedule": ({"FineTune": lambda steps: rewinding.LearningRate(9 - steps)}, {"L16"}),
        "the last learning rate for all": ({"LearningRate": lambda step: rewinding.FineTune(9 - step)}, {"L15", "L16"}),
    },
    "learned_masks": {
        "a mask of the unlikely": ({"sample_supermask": lambda s, u: supermasks.sample_supermask(-1 * s, u)}, {"P13"}),
        "at least 0": ({"threshold_supermask": lambda s: supermasks.threshold_supermask(s + 1)}, {"P13"}),
        "straight through without the slope": ({"supermask_backward": lambda G, s, c: G * c.theta}, {"P13"}),
        "rescaled, but not through the sum": ({"supermask_backward": not_through_the_sum}, {"P13"}),
        "probabilities of another temperature": ({"keep_probabilities": lambda s: supermasks.keep_probabilities(2 * s)}, {"P13"}),
        "edge-popup keeps the share it should drop": ({"edge_popup_mask": lambda s, d: edge_popup.edge_popup_mask(s, 1 - d)}, {"P15"}),
        "edge-popup by signed scores": ({"edge_popup_mask": lambda s, d: pruning.prune_layerwise(s, Parameters.ones(s.layout), density=d)}, {"P15"}),
        "edge-popup without the sign": ({"edge_popup_backward": lambda G, s, t: G * t}, {"P15"}),
        "only what takes part learns": ({"edge_popup_backward": lambda G, s, t: edge_popup.edge_popup_backward(G * edge_popup.edge_popup_mask(s, 0.4), s, t)}, {"P15"}),
        "a line that bends": ({"numpynet.lottery.instability.interpolate": lambda a, b, alpha: (1 - alpha**2) * a + alpha**2 * b}, {"L18"}),
        "above the better end": ({"numpynet.lottery.instability.instability": lambda e: e.max(axis=-1) - np.minimum(e[..., 0], e[..., -1])}, {"L18"}),
        "both copies see the same": ({"forks": given(instability.forks, draws=(1, 1))}, {"L18"}),
        "copies that start their data anew": ({"numpynet.lottery.rewinding.begin": begun_at_step_0}, {"L18"}),
    },
}  # fmt: skip


# What takes longest; a bug is planted without it unless it concerns it.
SLOW = {
    "_trainings": {"D4"},
    "_monte_carlo": {"D15"},
    "_magnitude_and_chance": {"P1", "P2"},
    "_rewinding": {"L4", "L5", "L9"},
}


@pytest.mark.parametrize(("part", "name"), [(part, name) for part, bugs in PARTS.items() for name in bugs])
def test_a_planted_bug_fails_the_checks_of_its_equations(monkeypatch, part, name):
    replaced, expected = PARTS[part][name]
    module = importlib.import_module(f"numpynet.audit.{part}")
    for inner, equations in SLOW.items():
        if hasattr(module, inner) and not equations & expected:
            monkeypatch.setattr(module, inner, lambda rng: [])
    for target, value in replaced.items():
        if "." in target:
            monkeypatch.setattr(target, value)
        else:
            assert hasattr(module, target)
            monkeypatch.setattr(module, target, value)
    checks = getattr(module, f"audit_{part}")(11)
    assert {check.equation for check in checks if not check.passed} == expected


def test_for_every_equation_there_is_a_bug_that_its_checks_find(everything):
    planted = [BUGS, *PARTS.values()]
    found = set().union(*(expected for bugs in planted for _, expected in bugs.values()))
    assert found == {check.equation for check in everything[0]}

"""Optimizers: each does what its equation says, and none of them brings a pruned weight back."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpynet import optimizers
from numpynet.data.dataset import Split
from numpynet.equations.losses import l2_penalty_backward, l2_penalty_forward, softmax_cross_entropy
from numpynet.network import MLP
from numpynet.optimizers import (
    SGD,
    Adam,
    Decay,
    Momentum,
    Nesterov,
    OptimizerState,
    RMSProp,
    clip_global_norm,
    project_max_norm,
    update,
)
from numpynet.parameters import Layout, Parameters
from numpynet.plan import TrainingPlan
from numpynet.seeding import streams
from numpynet.training import begin, train
from tests.checks import assert_close
from tests.strategies import seeds

ALL = [SGD(), Momentum(0.8), Nesterov(0.7), RMSProp(0.9, 1e-6), Adam(0.8, 0.95, 1e-6)]
WITH_MEMORY_OF_DIRECTION = [Momentum(0.8), Nesterov(0.7), Adam(0.8, 0.95, 1e-6)]
every_optimizer = pytest.mark.parametrize("optimizer", ALL, ids=lambda optimizer: type(optimizer).__name__)
LAYOUT = Layout.of_sizes((5, 4, 3))


def run(optimizer, theta, gradients, lr):
    """Make the steps of a list of gradients, or of a function of theta and t; return theta before and after each."""
    theta, rates = theta.copy(), lr if callable(lr) else (lambda t: lr)
    state = optimizer.init(theta)
    trajectory = [theta.copy()]
    for t, g in enumerate(gradients):
        optimizer.step(theta, g(theta) if callable(g) else g, state, rates(t))
        trajectory.append(theta.copy())
    return np.array(trajectory)


def random_parameters(seed, dtype=np.float64, replicates=()):
    rng = np.random.default_rng(seed)
    return Parameters(rng.normal(size=(*replicates, LAYOUT.size)).astype(dtype), LAYOUT)


def random_mask(seed, dtype=np.float64):
    """A binary mask that keeps about 60 % of the weights, at least one and not all, and every bias."""
    rng = np.random.default_rng(seed)
    mask = Parameters.ones(LAYOUT, dtype=dtype)
    for name in LAYOUT.weight_names:
        mask[name] = (rng.random(LAYOUT.shapes[name]) < 0.6).astype(dtype)
    mask["W1"][0, :2] = 0, 1
    return mask


# ---- the plain forms, as the papers write them ---------------------------------------------------------------------


def plain_sgd(optimizer, theta, g, memory, lr, t):
    return theta - lr * g, memory


def plain_momentum(optimizer, theta, g, memory, lr, t):
    v = optimizer.momentum * memory.get("v", 0) + g
    return theta - lr * v, {"v": v}


def plain_nesterov(optimizer, theta, g, memory, lr, t):
    v = optimizer.momentum * memory.get("v", 0) + g
    return theta - lr * (g + optimizer.momentum * v), {"v": v}


def plain_rmsprop(optimizer, theta, g, memory, lr, t):
    s = optimizer.beta * memory.get("s", 0) + (1 - optimizer.beta) * g**2
    return theta - lr * g / (np.sqrt(s) + optimizer.epsilon), {"s": s}


def plain_adam(optimizer, theta, g, memory, lr, t):
    m = optimizer.beta1 * memory.get("m", 0) + (1 - optimizer.beta1) * g
    s = optimizer.beta2 * memory.get("s", 0) + (1 - optimizer.beta2) * g**2
    m_hat, s_hat = m / (1 - optimizer.beta1**t), s / (1 - optimizer.beta2**t)
    return theta - lr * m_hat / (np.sqrt(s_hat) + optimizer.epsilon), {"m": m, "s": s}


PLAIN = {SGD: plain_sgd, Momentum: plain_momentum, Nesterov: plain_nesterov, RMSProp: plain_rmsprop, Adam: plain_adam}


def run_plain(plain, optimizer, theta, gradients, lr):
    memory, trajectory = {}, [theta]
    for t, g in enumerate(gradients, start=1):
        theta, memory = plain(optimizer, theta, g, memory, lr(t - 1), t)
        trajectory.append(theta)
    return np.array(trajectory)


def falling(t):
    return 0.1 * 0.8**t


@every_optimizer
@pytest.mark.equation("O1")
@pytest.mark.equation("O2")
@pytest.mark.equation("O3")
@pytest.mark.equation("O4")
@pytest.mark.equation("O5")
@given(seed=seeds)
def test_in_place_form_is_the_plain_one(optimizer, seed):
    rng = np.random.default_rng(seed)
    theta, gradients = rng.normal(size=7), rng.normal(size=(12, 7)) * 10 ** rng.uniform(-3, 3, 7)
    expected = run_plain(PLAIN[type(optimizer)], optimizer, theta, gradients, falling)
    assert_close(run(optimizer, theta, gradients, falling), expected, repr(optimizer))


def adam_without_correction(optimizer, theta, g, memory, lr, t):
    return plain_adam(optimizer, theta, g, memory, lr, 10**6)


def adam_with_epsilon_in_the_root(optimizer, theta, g, memory, lr, t):
    _, memory = plain_adam(optimizer, theta, g, memory, lr, t)
    m_hat, s_hat = memory["m"] / (1 - optimizer.beta1**t), memory["s"] / (1 - optimizer.beta2**t)
    return theta - lr * m_hat / np.sqrt(s_hat + optimizer.epsilon), memory


def momentum_that_forgets_itself(optimizer, theta, g, memory, lr, t):
    v = optimizer.momentum * memory.get("v", 0) + (1 - optimizer.momentum) * g
    return theta - lr * v, {"v": v}


@pytest.mark.parametrize(
    "optimizer, bug",
    [
        (Adam(), adam_without_correction),
        (Adam(epsilon=1e-3), adam_with_epsilon_in_the_root),
        (Momentum(0.8), momentum_that_forgets_itself),
        (Nesterov(0.7), plain_momentum),
        (Momentum(0.8), plain_nesterov),
    ],
)
def test_the_comparison_rejects_planted_bugs(optimizer, bug):
    rng = np.random.default_rng(3)
    theta, gradients = rng.normal(size=7), rng.normal(size=(12, 7))
    difference = run(optimizer, theta, gradients, falling) - run_plain(bug, optimizer, theta, gradients, falling)
    assert np.abs(difference).max() > 1e-5


@every_optimizer
def test_float32_stays_float32_and_follows_float64(optimizer):
    rng = np.random.default_rng(5)
    theta, gradients = rng.normal(size=7), rng.normal(size=(12, 7))
    exact = run(optimizer, theta, gradients, 0.1)
    single = theta.astype(np.float32)
    state = optimizer.init(single)
    for g in gradients.astype(np.float32):
        optimizer.step(single, g, state, 0.1)
    assert {single.dtype, *(slot.dtype for slot in state.slots.values())} == {np.dtype(np.float32)}
    assert_close(single, exact[-1], "float32", tolerance=1e-5)


@every_optimizer
def test_only_theta_and_the_state_are_written_to(optimizer):
    theta, gradients, mask = random_parameters(1), random_parameters(2), random_mask(3)
    state = optimizer.init(theta.vector)
    assert not any(slot.any() for slot in state.slots.values()), "the state must start at 0"
    kept = gradients.vector.copy(), mask.vector.copy()
    decay = Decay(coupled=0.1, decoupled=0.2, max_norm=0.5)
    update(theta, gradients, optimizer, state, 0.1, decay=decay, weight_mask=mask)
    assert np.array_equal(gradients.vector, kept[0]), "the gradient was changed"
    assert np.array_equal(mask.vector, kept[1]), "the mask was changed"
    own = [theta.vector, state.scratch, *state.slots.values()]
    assert not any(np.shares_memory(a, b) for a in own for b in (gradients.vector, mask.vector))
    assert not any(np.shares_memory(a, b) for i, a in enumerate(own) for b in own[:i])


@every_optimizer
def test_a_stack_of_replicates_is_a_stack_of_runs(optimizer):
    decay = Decay(coupled=0.1, decoupled=0.2, max_norm=0.9)
    stack, mask = random_parameters(1, replicates=(3,)), random_mask(2)
    alone = [stack.replicate(r).copy() for r in range(3)]
    state, states = optimizer.init(stack.vector), [optimizer.init(theta.vector) for theta in alone]
    for seed in range(4):
        gradients = random_parameters(seed, replicates=(3,))
        update(stack, gradients, optimizer, state, 0.1, decay=decay, weight_mask=mask)
        for r, theta in enumerate(alone):
            update(theta, gradients.replicate(r), optimizer, states[r], 0.1, decay=decay, weight_mask=mask)
    assert np.array_equal(stack.vector, [theta.vector for theta in alone])


@every_optimizer
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_has_become_subnormal_is_forgotten_and_nobody_notices(optimizer, dtype, monkeypatch):
    rng, tiny = np.random.default_rng(4), np.finfo(dtype).tiny
    start, gradients = rng.normal(size=11).astype(dtype), rng.normal(size=(5, 11)).astype(dtype)
    silence = np.zeros(11, dtype)
    n_steps = 64 * 256 if dtype == np.float64 else 64 * 32  # until the slowest memory has decayed
    ends = []
    for every in (optimizers.FORGET_EVERY, 10**9):
        monkeypatch.setattr(optimizers, "FORGET_EVERY", every)
        theta, state = start.copy(), optimizer.init(start)
        for t in range(n_steps):
            optimizer.step(theta, gradients[t] if t < 5 else silence, state, 0.1)
        ends.append((theta, state.slots))
    (theta, forgotten), (plain_theta, plain_slots) = ends
    assert np.array_equal(theta, plain_theta)
    assert all((slot == 0).all() for slot in forgotten.values())
    for slot in plain_slots.values():  # what would be there for good
        assert (slot != 0).all() and (np.abs(slot) < tiny).all()


@every_optimizer
def test_numbers_that_are_small_but_normal_are_remembered(optimizer):
    for dtype in (np.float32, np.float64):
        state = optimizer.init(np.zeros(4, dtype))
        tiny = np.finfo(dtype).tiny
        remembered = np.array([tiny, -tiny, 1, np.nan], dtype)
        for slot in state.slots.values():
            slot[...] = remembered
        state.forget_subnormal()
        assert all(np.array_equal(slot, remembered, equal_nan=True) for slot in state.slots.values())


@pytest.mark.parametrize("optimizer", [RMSProp(epsilon=1e-30), Adam(epsilon=1e-30), Adam(epsilon=1e-8)], ids=repr)
@pytest.mark.parametrize("size", [1e-19, 1e-21, 1e-23])
def test_squares_are_not_forgotten_where_epsilon_does_not_hide_them(optimizer, size, monkeypatch):
    """Small gradients all along: without the memory of their squares a step was up to ten times as long."""
    gradients = (size * np.random.default_rng(3).uniform(1, 2, (130, 7))).astype(np.float32)
    ends = []
    for every in (optimizers.FORGET_EVERY, 10**9):
        monkeypatch.setattr(optimizers, "FORGET_EVERY", every)
        theta = np.zeros(7, np.float32)
        state = optimizer.init(theta)
        for g in gradients:
            optimizer.step(theta, g, state, 0.01)
        ends.append(theta)
    assert ends[1].any()
    np.testing.assert_allclose(ends[0], ends[1], rtol=1e-6)


@every_optimizer
def test_it_is_forgotten_every_64_steps_and_no_other(optimizer):
    theta = np.zeros(3)
    state = optimizer.init(theta)
    for step in range(1, 200):
        for slot in state.slots.values():
            slot[...] = 1e-310
        optimizer.step(theta, theta, state, 0.0)
        assert all((slot == 0).all() == (step % 64 == 0) for slot in state.slots.values())


# ---- closed forms --------------------------------------------------------------------------------------------------

numbers_of_steps = st.integers(1, 30)
shares = st.sampled_from([0.0, 0.3, 0.6, 0.9])
slopes = st.sampled_from([-40.0, -0.7, 0.003, 1.3])


@pytest.mark.equation("O5")
@given(seed=seeds, beta1=shares, beta2=shares)
def test_adam_remembers_the_sums_behind_its_means(seed, beta1, beta2):
    optimizer, rng = Adam(beta1, beta2), np.random.default_rng(seed)
    gradients = rng.normal(size=(12, 7))
    theta, memory = rng.normal(size=7), {}
    state = optimizer.init(theta)
    for t, g in enumerate(gradients, start=1):
        _, memory = plain_adam(optimizer, theta, g, memory, 0.1, t)
        optimizer.step(theta, g, state, 0.1)
    assert_close((1 - beta1) * state.slots["m_sum"], memory["m"])
    assert_close((1 - beta2) * state.slots["s_sum"], memory["s"])
    n1 = sum(beta1**i for i in range(12))  # m_hat is a mean: the weights of the gradients in it add up to 1
    assert_close(state.slots["m_sum"] / n1, memory["m"] / (1 - beta1**12))


@pytest.mark.equation("O1")
@given(st.floats(0.1, 3), st.floats(0.01, 0.5), numbers_of_steps)
def test_sgd_on_a_parabola_falls_geometrically(a, lr, n):
    """a/2 (theta - c)^2 from theta_0: theta_n - c = (1 - lr a)^n (theta_0 - c)."""
    c, theta_0 = 1.7, np.array([-0.4])
    theta = run(SGD(), theta_0, [lambda theta: a * (theta - c)] * n, lr)[-1]
    assert_close(theta - c, (1 - lr * a) ** n * (theta_0 - c))


@pytest.mark.equation("O2")
@given(shares, slopes, numbers_of_steps)
def test_momentum_under_a_constant_gradient(mu, g, n):
    lr, theta_0 = 0.03, np.array([0.6])
    moved = run(Momentum(mu), theta_0, [np.array([g])] * n, lr)[-1] - theta_0
    assert_close(moved, [-lr * g / (1 - mu) * (n - mu * (1 - mu**n) / (1 - mu))])


@pytest.mark.equation("O2")
@given(shares, st.floats(0.1, 3), numbers_of_steps)
def test_momentum_on_a_parabola_is_a_power_of_a_matrix(mu, a, n):
    lr, c, theta_0 = 0.2, 1.7, np.array([-0.4])
    theta = run(Momentum(mu), theta_0, [lambda theta: a * (theta - c)] * n, lr)[-1]
    one_step = np.array([[1 - lr * a, -lr * mu], [a, mu]])  # acts on (theta - c, v)
    assert_close(theta - c, np.linalg.matrix_power(one_step, n)[:1] @ [theta_0[0] - c, 0.0])


@pytest.mark.equation("O2")
def test_the_other_form_of_momentum_agrees_only_while_the_learning_rate_is_constant():
    def other_form(theta, gradients, lr, mu=0.9):
        v = 0.0
        for t, g in enumerate(gradients):
            v = mu * v - lr(t) * g
            theta = theta + v
        return theta

    theta, gradients = np.array([0.3]), np.random.default_rng(0).normal(size=(20, 1))
    constant, stepped = (lambda t: 0.1), (lambda t: 0.1 if t < 10 else 0.01)
    assert_close(run(Momentum(0.9), theta, gradients, constant)[-1], other_form(theta, gradients, constant))
    assert abs(run(Momentum(0.9), theta, gradients, stepped)[-1] - other_form(theta, gradients, stepped)) > 0.01


@pytest.mark.equation("O3")
@given(shares, slopes, numbers_of_steps)
def test_nesterov_under_a_constant_gradient(mu, g, n):
    lr, theta_0 = 0.03, np.array([0.6])
    moved = run(Nesterov(mu), theta_0, [np.array([g])] * n, lr)[-1] - theta_0
    assert_close(moved, [-lr * g / (1 - mu) * (n - mu**2 * (1 - mu**n) / (1 - mu))])


@pytest.mark.equation("O3")
@given(shares, numbers_of_steps)
def test_nesterov_looks_ahead(mu, n):
    """phi, which takes its gradient at phi + mu u, is behind: theta = phi + mu u."""

    def slope(theta):
        return theta**3 - 0.8 * theta + 0.1

    lr, phi, u = 0.05, np.array([0.9]), np.zeros(1)
    theta = run(Nesterov(mu), phi, [slope] * n, lr)[-1]
    for _ in range(n):
        u = mu * u - lr * slope(phi + mu * u)
        phi = phi + u
    assert_close(theta, phi + mu * u)


@pytest.mark.equation("O4")
@given(shares, slopes, numbers_of_steps)
def test_rmsprop_under_a_constant_gradient(beta, g, n):
    lr, epsilon = 0.03, 1e-3
    trajectory = run(RMSProp(beta, epsilon), np.array([0.6]), [np.array([g])] * n, lr)
    expected = [-lr * g / (abs(g) * math.sqrt(1 - beta**t) + epsilon) for t in range(1, n + 1)]
    assert_close(np.diff(trajectory[:, 0]), expected)
    first = run(RMSProp(beta, 1e-300), np.array([0.0]), [np.array([g])], lr)[-1]
    assert_close(np.abs(first), [lr / math.sqrt(1 - beta)])


@pytest.mark.equation("O5")
@given(shares, shares, slopes, numbers_of_steps)
def test_adam_under_a_constant_gradient_makes_equal_steps(beta1, beta2, g, n):
    lr, epsilon = 0.03, 1e-3
    trajectory = run(Adam(beta1, beta2, epsilon), np.array([0.6]), [np.array([g])] * n, lr)
    assert_close(np.diff(trajectory[:, 0]), np.full(n, -lr * g / (abs(g) + epsilon)))


@pytest.mark.equation("O5")
@given(seeds, st.sampled_from([1e-4, 0.3, 50.0]))
def test_adam_does_not_see_the_scale_of_the_gradient(seed, scale):
    rng = np.random.default_rng(seed)
    theta, gradients = rng.normal(size=5), rng.normal(size=(15, 5))
    one = run(Adam(epsilon=1e-3), theta, gradients, 0.1)
    assert_close(run(Adam(epsilon=1e-3 * scale), theta, scale * gradients, 0.1), one)


def adam_bound(t, lr, beta1=0.9, beta2=0.999):
    kappa = beta1**2 / beta2
    ratio = (1 - beta2**t) / (1 - beta2) * (1 - kappa**t) / (1 - kappa)
    return lr * (1 - beta1) / (1 - beta1**t) * math.sqrt(ratio)


@pytest.mark.equation("O5")
@given(seeds, st.sampled_from([0.5, 0.9]), st.sampled_from([0.9, 0.999]))
def test_adam_never_steps_further_than_its_bound(seed, beta1, beta2):
    rng = np.random.default_rng(seed)
    gradients = rng.normal(size=(40, 6)) * 10 ** rng.uniform(-4, 4, (40, 6))
    steps = np.abs(np.diff(run(Adam(beta1, beta2, 1e-30), np.zeros(6), gradients, 0.1), axis=0))
    for t, step in enumerate(steps, start=1):
        assert step.max() <= adam_bound(t, 0.1, beta1, beta2) * (1 + 1e-12), f"step {t}"


@pytest.mark.equation("O5")
@pytest.mark.equation("N16")
def test_growing_gradients_attain_the_bound_of_adam_and_exceed_the_folklore():
    lr, n = 1.0, 3000
    gradients = (0.999 / 0.9) ** np.arange(-n / 2, n / 2)[:, None]  # from 1e-68 to 1e68: their squares fit into float64
    steps = np.abs(np.diff(run(Adam(epsilon=1e-300), np.zeros(1), gradients, lr)[:, 0]))
    assert_close(steps, [adam_bound(t, lr) for t in range(1, n + 1)], tolerance=1e-11)
    assert steps[-1] > 7 * lr, "the claims are: at most lr, or at most lr (1 - beta1) / sqrt(1 - beta2) = 3.16 lr"


# ---- decay ---------------------------------------------------------------------------------------------------------


@every_optimizer
@pytest.mark.equation("O6")
def test_coupled_decay_adds_the_gradient_of_the_l2_penalty(optimizer):
    decay, mask = 0.3, random_mask(8)
    theta, by_hand = random_parameters(1), random_parameters(1)
    state, state_by_hand = optimizer.init(theta.vector), optimizer.init(by_hand.vector)
    for seed in range(5):
        gradients = random_parameters(seed)
        update(theta, gradients, optimizer, state, 0.1, decay=Decay(coupled=decay), weight_mask=mask)
        total = gradients.copy()
        for name in LAYOUT.weight_names:
            _, cache = l2_penalty_forward(by_hand[name], decay, weight_mask=mask[name])
            total[name] += l2_penalty_backward(1.0, cache)
        optimizer.step(by_hand.vector, total.vector, state_by_hand, 0.1)
        by_hand *= mask
    assert_close(theta.vector, by_hand.vector)
    for name, slot in state.slots.items():  # here a pruned weight that decays would show
        assert_close(slot, state_by_hand.slots[name], name)


@pytest.mark.equation("O7")
@given(st.floats(0, 2), numbers_of_steps, st.sampled_from(ALL))
def test_decoupled_decay_alone_is_geometric_and_spares_the_biases(weight_decay, n, optimizer):
    lr, theta, start = 0.3, random_parameters(1), random_parameters(1)
    state, nothing = optimizer.init(theta.vector), Parameters.zeros(LAYOUT, dtype=np.float64)
    for _ in range(n):
        update(theta, nothing, optimizer, state, lr, decay=Decay(decoupled=weight_decay))
    for name in LAYOUT.weight_names:
        assert_close(theta[name], start[name] * (1 - lr * weight_decay) ** n, name)
    assert np.array_equal(theta["b1"], start["b1"])
    assert np.array_equal(theta["b2"], start["b2"])


def after_decay(optimizer, decay, lr=0.1):
    theta, state = random_parameters(1), optimizer.init(np.zeros(LAYOUT.size))
    for seed in range(10):
        update(theta, random_parameters(seed), optimizer, state, lr, decay=decay)
    return theta.vector


@every_optimizer
@pytest.mark.equation("O6")
@pytest.mark.equation("O7")
@pytest.mark.equation("N17")
def test_coupled_and_decoupled_decay_are_the_same_for_plain_sgd_only(optimizer):
    coupled, decoupled = after_decay(optimizer, Decay(coupled=0.2)), after_decay(optimizer, Decay(decoupled=0.2))
    if isinstance(optimizer, SGD):
        assert_close(coupled, decoupled)
    else:
        assert np.abs(coupled - decoupled).max() > 1e-3


@pytest.mark.equation("N17")
@pytest.mark.parametrize("weight_decay", [1e-6, 0.01, 3.0])
def test_without_data_coupled_adam_moves_by_lr_whatever_the_decay(weight_decay):
    lr, theta, start = 0.01, random_parameters(1), random_parameters(1)
    nothing = Parameters.zeros(LAYOUT, dtype=np.float64)
    optimizer = Adam(epsilon=1e-30)
    update(theta, nothing, optimizer, optimizer.init(theta.vector), lr, decay=Decay(coupled=weight_decay))
    assert_close(start["W1"] - theta["W1"], lr * np.sign(start["W1"]))


# ---- max-norm ------------------------------------------------------------------------------------------------------


@pytest.mark.equation("O8")
@pytest.mark.equation("D27")
@given(seeds, st.sampled_from([0.1, 1.0, 3.0]), st.sampled_from([(), (2,)]))
def test_max_norm_shortens_and_turns_nothing(seed, limit, replicates):
    rng = np.random.default_rng(seed)
    W = rng.normal(size=(*replicates, 6, 4)) * 10 ** rng.uniform(-2, 2, 4)
    W *= rng.random(W.shape) < 0.7
    W[..., 2] = 0  # a unit without any weight: no 0 / 0
    before = W.copy()
    projected = project_max_norm(W, limit)
    assert np.array_equal(W, before), "W was changed"
    assert project_max_norm(W.astype(np.float32), limit).dtype == np.float32
    norm, new_norm = np.linalg.norm(W, axis=-2), np.linalg.norm(projected, axis=-2)
    assert (new_norm <= limit * (1 + 1e-15)).all()
    assert_close(new_norm, np.minimum(norm, limit), "the norm")
    assert_close(projected * norm[..., None, :], W * new_norm[..., None, :], "the direction")
    assert np.array_equal(projected == 0, W == 0), "zeros stay, and nothing else becomes 0"
    assert_close(project_max_norm(projected, limit), projected, "twice is once")
    inside = np.broadcast_to((norm < limit)[..., None, :], W.shape)
    assert np.array_equal(projected[inside], W[inside]), "what is short enough must not change at all"


@every_optimizer
@pytest.mark.equation("O8")
def test_max_norm_holds_after_every_step(optimizer):
    theta, mask = random_parameters(1), random_mask(2)
    state = optimizer.init(theta.vector)
    for seed in range(8):
        update(theta, random_parameters(seed), optimizer, state, 0.5, decay=Decay(max_norm=0.7), weight_mask=mask)
        for name in LAYOUT.weight_names:
            assert np.linalg.norm(theta[name], axis=0).max() <= 0.7 * (1 + 1e-15)
        assert np.abs(theta["b2"]).max() > 0, "biases are not weights"
    assert not theta.vector[mask.vector == 0].any()


# ---- masks ---------------------------------------------------------------------------------------------------------


@pytest.mark.equation("M9")
@given(shares, st.floats(-5, 5), numbers_of_steps)
def test_momentum_left_behind_moves_a_pruned_weight(mu, v_0, n):
    lr, theta, optimizer = 0.1, np.zeros(1), Momentum(mu)
    state = OptimizerState(7, {"v": np.array([v_0])}, np.empty(1))
    for _ in range(n):
        optimizer.step(theta, np.zeros(1), state, lr)  # the gradient is masked, and that is all
    assert_close(theta, [-lr * mu * v_0 * (1 - mu**n) / (1 - mu)])


@pytest.mark.equation("M9")
@given(st.floats(-2, 2), st.floats(0.01, 4), st.integers(1, 50), numbers_of_steps)
def test_what_adam_remembers_moves_a_pruned_weight(m_0, s_0, t_0, n):
    lr, theta, adam = 0.1, np.zeros(1), Adam(0.9, 0.99, 1e-4)
    sums = {"m_sum": np.array([m_0]) / (1 - adam.beta1), "s_sum": np.array([s_0]) / (1 - adam.beta2)}
    state = OptimizerState(t_0, sums, np.empty(1))
    for _ in range(n):
        adam.step(theta, np.zeros(1), state, lr)
    leak = 0.0
    for t in range(1, n + 1):
        m_hat = adam.beta1**t * m_0 / (1 - adam.beta1 ** (t_0 + t))
        s_hat = adam.beta2**t * s_0 / (1 - adam.beta2 ** (t_0 + t))
        leak -= lr * m_hat / (math.sqrt(s_hat) + adam.epsilon)
    assert_close(theta, [leak])


@pytest.mark.equation("M9")
def test_a_weight_that_is_not_set_to_zero_only_decays():
    lr, weight_decay, n = 0.1, 0.3, 9
    theta, nothing = random_parameters(1), Parameters.zeros(LAYOUT, dtype=np.float64)
    state, start = SGD().init(theta.vector), random_parameters(1)
    for _ in range(n):
        update(theta, nothing, SGD(), state, lr, decay=Decay(decoupled=weight_decay))
    assert_close(theta["W1"], start["W1"] * (1 - lr * weight_decay) ** n)
    assert theta["W1"].all(), "never exactly 0"


def state_after(optimizer, n_steps):
    theta = random_parameters(4).vector
    state = optimizer.init(theta)
    for seed in range(n_steps):
        optimizer.step(theta, random_parameters(seed).vector, state, 0.1)
    return theta, state


@pytest.mark.parametrize("optimizer", WITH_MEMORY_OF_DIRECTION, ids=lambda optimizer: type(optimizer).__name__)
@pytest.mark.equation("N11")
def test_masking_the_gradient_alone_revives_every_pruned_weight(optimizer):
    mask = random_mask(6).vector
    theta, state = state_after(optimizer, 5)
    theta *= mask
    for seed in range(3):
        optimizer.step(theta, mask * random_parameters(seed).vector, state, 0.1)
    assert theta[mask == 0].all()


@every_optimizer
@pytest.mark.equation("M16")
@given(seed=seeds, n_before=st.integers(0, 6))
def test_no_leak_once_weights_gradient_and_state_are_masked(optimizer, seed, n_before):
    mask, rng = random_mask(seed), np.random.default_rng(seed)
    theta, state = state_after(optimizer, n_before)
    theta *= mask.vector
    state.impose(mask)
    for _ in range(60):
        theta *= 1 - 0.1 * 0.01  # decoupled decay is a factor, and so does no harm
        optimizer.step(theta, mask.vector * rng.normal(size=LAYOUT.size), state, 0.1)
        assert not theta[mask.vector == 0].any()
        assert not any(slot[mask.vector == 0].any() for slot in state.slots.values())
    assert theta[mask.vector == 1].all()


@every_optimizer
@pytest.mark.equation("M16")
@given(seed=seeds, n_before=st.integers(0, 6))
def test_update_lets_nothing_leak_whatever_the_state_remembers(optimizer, seed, n_before):
    mask = random_mask(seed)
    vector, state = state_after(optimizer, n_before)
    theta, decay = Parameters(vector, LAYOUT), Decay(coupled=0.1, decoupled=0.2, max_norm=0.8)
    for step in range(10):
        update(theta, random_parameters(seed + step), optimizer, state, 0.1, decay=decay, weight_mask=mask)
        assert not theta.vector[mask.vector == 0].any(), f"step {step}"


@every_optimizer
@pytest.mark.parametrize("decay", [Decay(), Decay(coupled=0.1), Decay(decoupled=0.3, max_norm=0.9)], ids=repr)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.equation("M10")
def test_masked_gradient_equals_projection_after_the_step(optimizer, decay, dtype):
    """Over 40 steps on a coupled quadratic, so that a difference in any weight would spread."""
    mask = random_mask(6, dtype)
    A = np.random.default_rng(9).normal(size=(LAYOUT.size, LAYOUT.size)).astype(dtype) / 10
    projected = random_parameters(1, dtype) * mask
    masked = projected.copy()
    states = [optimizer.init(projected.vector) for _ in range(2)]
    for _ in range(40):
        dense = [Parameters(A @ theta.vector, LAYOUT) for theta in (projected, masked)]
        assert dense[0].vector[mask.vector == 0].any(), "a gradient that is 0 anyway shows nothing"
        update(projected, dense[0], optimizer, states[0], 0.05, decay=decay, weight_mask=mask)
        update(masked, mask * dense[1], optimizer, states[1], 0.05, decay=decay, weight_mask=mask)
        assert np.array_equal(projected.vector, masked.vector)


@pytest.mark.equation("N12")
def test_clipping_by_the_global_norm_breaks_it():
    mask = random_mask(6)
    dense = random_parameters(2)

    def step(gradient):
        theta = random_parameters(1) * mask
        clipped = gradient.vector * min(1, 0.5 / np.linalg.norm(gradient.vector))
        update(theta, Parameters(clipped, LAYOUT), SGD(), SGD().init(theta.vector), 0.5, weight_mask=mask)
        return theta.vector

    assert np.abs(step(dense) - step(mask * dense)).max() > 0.01


@every_optimizer
@pytest.mark.equation("L9")
def test_a_mask_of_ones_changes_no_bit(optimizer):
    ones, results = Parameters.ones(LAYOUT, dtype=np.float64), []
    for mask in (None, ones):
        theta = random_parameters(1)
        state = optimizer.init(theta.vector)
        for seed in range(6):
            decay = Decay(coupled=0.1, decoupled=0.2, max_norm=0.9)
            update(theta, random_parameters(seed), optimizer, state, 0.1, decay=decay, weight_mask=mask)
        results.append(theta.vector)
    assert np.array_equal(*results)


# ---- numbers and bad input -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ours, numpys",
    [
        (Momentum(0.8), Momentum(np.float64(0.8))),
        (Nesterov(0.8), Nesterov(np.float64(0.8))),
        (RMSProp(0.9, 1e-6), RMSProp(np.float64(0.9), np.float64(1e-6))),
        (Adam(0.8, 0.9, 1e-6), Adam(np.float64(0.8), np.float64(0.9), np.float64(1e-6))),
    ],
)
def test_numbers_of_numpy_change_neither_the_bits_nor_the_text(ours, numpys):
    """A np.float64 would take float32 arithmetic to float64 and back, which rounds differently."""
    assert repr(ours) == repr(numpys)
    decays = Decay(0.1, 0.2, 0.9), Decay(np.float64(0.1), np.float64(0.2), np.float64(0.9))
    assert repr(decays[0]) == repr(decays[1])
    results = []
    for optimizer, decay, lr in ((ours, decays[0], 0.1), (numpys, decays[1], np.float64(0.1))):
        theta = random_parameters(1, np.float32)
        state = optimizer.init(theta.vector)
        for seed in range(5):
            update(theta, random_parameters(seed, np.float32), optimizer, state, lr, decay=decay)
        results.append(theta.vector)
    assert np.array_equal(*results)


@pytest.mark.parametrize(
    "make, error, words",
    [
        (lambda: Momentum(1.0), ValueError, "momentum is 1.0"),
        (lambda: Momentum("0.9"), TypeError, "momentum must be a number"),
        (lambda: Nesterov(-0.1), ValueError, "momentum is -0.1"),
        (lambda: RMSProp(beta=math.nan), ValueError, "beta is nan"),
        (lambda: RMSProp(epsilon=0), ValueError, "epsilon is 0.0"),
        (lambda: Adam(beta1=1.5), ValueError, "beta1 is 1.5"),
        (lambda: Adam(beta2=True), TypeError, "beta2 must be a number"),
        (lambda: Adam(epsilon=math.inf), ValueError, "epsilon is inf"),
        (lambda: Decay(coupled=-1e-4), ValueError, "coupled weight decay"),
        (lambda: Decay(decoupled=math.inf), ValueError, "decoupled weight decay"),
        (lambda: Decay(max_norm=0), ValueError, "max_norm is 0.0"),
        (lambda: Decay(max_norm=[1]), TypeError, "max_norm must be a number"),
        (lambda: project_max_norm(np.ones((2, 3)), math.nan), ValueError, "limit is nan"),
    ],
)
def test_wrong_settings_are_refused_by_name(make, error, words):
    with pytest.raises(error, match=words):
        make()


def test_a_gradient_of_another_form_is_refused():
    theta = np.zeros(3, np.float32)
    for grad in (np.zeros(4, np.float32), np.zeros((1, 3), np.float32), np.zeros(3)):
        with pytest.raises(ValueError, match="must be of the form of theta"):
            SGD().step(theta, grad, SGD().init(theta), 0.1)


def test_a_decay_that_would_turn_signs_is_refused_before_anything_moves():
    theta, start = random_parameters(1), random_parameters(1)
    with pytest.raises(ValueError, match="turn every weight's sign"):
        update(theta, random_parameters(2), SGD(), SGD().init(theta.vector), 0.5, decay=Decay(decoupled=2.0))
    assert np.array_equal(theta.vector, start.vector)


# ---- clipping the gradient -------------------------------------------------------------------------------------------


@pytest.mark.equation("O9")
@given(seed=st.integers(0, 2**32 - 1), limit=st.sampled_from([1e-3, 0.7, 30.0]))
def test_clipping_keeps_the_direction_and_bounds_the_norm(seed, limit):
    layout = Layout.of_sizes((5, 4, 3))
    gradients = Parameters(np.random.default_rng(seed).standard_normal((2, layout.size)), layout)
    gradients.vector[1] *= 1e-6  # a replicate that needs no clipping
    before = gradients.vector.copy()
    clipped = clip_global_norm(gradients, limit).vector
    assert np.array_equal(gradients.vector, before)
    for g, c in zip(before, clipped):
        norm = np.linalg.norm(g)
        np.testing.assert_allclose(c, g * min(1, limit / norm), rtol=1e-12)
        assert np.linalg.norm(c) <= limit * (1 + 1e-12)
        assert norm > limit or np.array_equal(c, g)
    assert clip_global_norm(gradients, limit, out=gradients) is gradients and np.array_equal(gradients.vector, clipped)


@pytest.mark.equation("O9", "N12")
def test_a_training_with_clipping_sees_the_masked_gradient():
    """The norm of the dense gradient counts weights that do not exist: then the survivors differ."""
    rng = np.random.default_rng(0)
    net = MLP((6, 8, 3))
    split = Split(rng.standard_normal((30, 6)), rng.integers(0, 3, 30))
    mask = Parameters.ones(net.layout, dtype=np.float64)
    for name in net.layout.weight_names:
        mask[name][:] = rng.random(mask[name].shape) < 0.4
    plan = TrainingPlan(steps=20, batch_size=10, schedule=0.5, clip_norm=0.2, dtype="float64")
    state = begin(net, plan, split, weight_mask=mask)
    theta, order_rng = state.theta.copy(), streams(0).batches
    list(train(state, split))
    by_hand, dense = theta.copy(), theta.copy()
    for parameters, masked_first in ((by_hand, True), (dense, False)):
        order_rng = streams(0).batches
        order = np.concatenate([order_rng.permutation(30) for _ in range(7)])
        for step in range(20):
            batch = order[10 * step : 10 * step + 10]
            logits, caches = net.forward(parameters, split.x[batch], weight_mask=mask if masked_first else None)
            _, cache = softmax_cross_entropy.forward(logits, split.y[batch])
            g = net.backward(softmax_cross_entropy.backward(1.0, cache), caches)
            parameters -= 0.5 * clip_global_norm(g, 0.2)
            parameters *= mask
    np.testing.assert_allclose(state.theta.vector, by_hand.vector, rtol=0, atol=1e-12)
    assert np.abs(state.theta.vector - dense.vector).max() > 1e-3
    for limit in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="clip_norm"):
            TrainingPlan(steps=1, clip_norm=limit)
        with pytest.raises(ValueError, match="limit"):
            clip_global_norm(by_hand, limit)

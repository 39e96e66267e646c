"""What makes a training fast changes no bit of it: blocks, survivors, weights that are masked already."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpynet import optimizers, survivors, training
from numpynet.data.dataset import Split
from numpynet.equations import leaky_relu, relu, tanh
from numpynet.equations.activations import Activation
from numpynet.layer_rules import (
    LayerRule,
    dropconnect,
    plain_layer,
    standout,
    targeted_weight_dropout,
    unit_dropout,
)
from numpynet.network import MLP
from numpynet.optimizers import SGD, Adam, Decay, Momentum, Nesterov, RMSProp
from numpynet.parameters import Parameters
from numpynet.plan import TrainingPlan
from numpynet.survivors import Survivors
from numpynet.training import TrainingDiverged, begin, train

SIZES = (7, 11, 5, 3)
OPTIMIZERS = (SGD(), Momentum(0.8), Nesterov(0.7), RMSProp(0.9), Adam(0.8, 0.95))
every_optimizer = pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda optimizer: type(optimizer).__name__)


def make_split(dtype, n=29):
    rng = np.random.default_rng(5)
    return Split(rng.standard_normal((n, SIZES[0])).astype(dtype), rng.integers(0, SIZES[-1], n))


def make_mask(net, density, replicates=(), seed=3, dtype=np.float32):
    mask = Parameters.ones(net.layout, replicates=replicates, dtype=dtype)
    rng = np.random.default_rng(seed)
    for name in net.layout.weight_names:
        mask[name][...] = rng.random(mask[name].shape) < density
    return mask


def run(optimizer, *, net=None, density=0.3, seed=(1, 2), dtype="float32", own=False, every=4, until=None, **settings):
    """Train a stack, and return everything that the next step would depend on."""
    net = net or MLP(SIZES, keep_prob=0.8)
    replicates = (len(seed),) if own else ()
    mask = None if density is None else make_mask(net, density, replicates, dtype=dtype)
    plan = TrainingPlan(
        steps=11, batch_size=8, optimizer=optimizer, schedule=0.05, evaluate_every=every, dtype=dtype, **settings
    )
    split = make_split(dtype)
    state = begin(net, plan, split, seed=seed, weight_mask=mask)
    losses = [record.batch_loss for record in train(state, split, until=until)]
    slots = {name: slot.copy() for name, slot in state.optimizer.slots.items()}
    return state.theta.vector, slots, state.optimizer.step, losses


def assert_same(a, b):
    assert np.array_equal(a[0], b[0])
    assert a[1].keys() == b[1].keys()
    assert all(np.array_equal(a[1][name], b[1][name]) for name in a[1])
    assert a[2:] == b[2:]


@every_optimizer
@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.equation("M10")
@pytest.mark.equation("M16")
def test_a_step_on_the_survivors_is_the_step_on_all(optimizer, own, dtype, monkeypatch):
    picked = []
    of = Survivors.of
    monkeypatch.setattr(Survivors, "of", lambda *a: picked.append(of(*a)) or picked[-1])
    monkeypatch.setattr(survivors, "WORTH_WHILE", 1.0)
    fast = run(optimizer, own=own, dtype=dtype)
    assert any(picked)
    monkeypatch.setattr(survivors, "WORTH_WHILE", -1.0)
    picked.clear()
    plain = run(optimizer, own=own, dtype=dtype)
    assert not any(picked)
    assert_same(fast, plain)


@given(density=st.floats(0.0, 0.5), every=st.integers(1, 12), until=st.integers(0, 12), seed=st.integers(0, 10**6))
def test_the_state_is_whole_wherever_the_training_stops(density, every, until, seed):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(survivors, "WORTH_WHILE", 1.0)
        fast = run(Adam(0.8, 0.95), density=density, every=every, until=until, seed=(seed,))
        patch.setattr(survivors, "WORTH_WHILE", -1.0)
        plain = run(Adam(0.8, 0.95), density=density, every=every, until=until, seed=(seed,))
    assert_same(fast, plain)
    assert fast[2] == min(until, 11)


@every_optimizer
@pytest.mark.parametrize("settings", [{}, {"clip_norm": 0.1}, {"decay": Decay(coupled=0.01, max_norm=0.8)}])
def test_a_mask_that_keeps_all_is_no_mask(optimizer, settings, monkeypatch):
    seen, of = [], training._pruning
    monkeypatch.setattr(training, "_pruning", lambda mask: seen.append(of(mask)) or seen[-1])
    nothing_pruned = run(optimizer, density=1.1, **settings)
    assert seen and not any(seen)
    assert_same(nothing_pruned, run(optimizer, density=None, **settings))
    monkeypatch.setattr(training, "_pruning", lambda mask: mask)
    assert_same(nothing_pruned, run(optimizer, density=1.1, **settings))


@every_optimizer
def test_blocks_change_no_bit(optimizer, monkeypatch):
    whole = run(optimizer, density=None)
    monkeypatch.setattr(optimizers, "BLOCK", 17)
    assert_same(run(optimizer, density=None), whole)


@every_optimizer
def test_blocks_of_arrays_in_another_order(optimizer, monkeypatch):
    """What is not contiguous has no flat view: a copy would be updated in its place, and nobody would see it."""
    rng = np.random.default_rng(0)
    theta = rng.normal(size=(3, 10))
    plain, state, plain_state = theta.copy(), optimizer.init(theta), optimizer.init(theta)
    state.slots = {name: np.asfortranarray(slot) for name, slot in state.slots.items()}
    for _ in range(3):
        grad = rng.normal(size=theta.shape)
        optimizer.step(plain, grad, plain_state, 0.1)
        with monkeypatch.context() as patch:
            patch.setattr(optimizers, "BLOCK", 7)
            optimizer.step(theta, np.asfortranarray(grad), state, 0.1)
    assert np.array_equal(theta, plain)
    assert all(np.array_equal(state.slots[name], slot) for name, slot in plain_state.slots.items())


@every_optimizer
def test_survivors_and_blocks_forget_what_the_whole_vector_forgets(optimizer, monkeypatch):
    monkeypatch.setattr(survivors, "WORTH_WHILE", 1.0)
    monkeypatch.setattr(optimizers, "FORGET_EVERY", 2)
    net, rng = MLP(SIZES), np.random.default_rng(7)
    mask = make_mask(net, 0.4)
    whole, alone, pieces = (net.init(np.random.default_rng(1)) * mask for _ in range(3))
    states = [optimizer.init(whole.vector) for _ in range(3)]
    for name in optimizer.slots:
        remembered = np.abs(10 ** rng.uniform(-42, -34, whole.vector.size)).astype(np.float32) * mask.vector
        for state in states:
            state.slots[name][...] = remembered
    picked = Survivors.of(alone, mask, optimizer, states[1])
    for step in range(5):
        gradients = Parameters(rng.normal(size=whole.vector.size).astype(np.float32) * (step % 2), net.layout) * mask
        optimizer.step(whole.vector, gradients.vector, states[0], 0.1)
        picked.update(gradients, 0.1)
        with monkeypatch.context() as patch:
            patch.setattr(optimizers, "BLOCK", 17)
            optimizer.step(pieces.vector, gradients.vector, states[2], 0.1)
    picked.return_to(states[1])
    for theta, state in ((alone, states[1]), (pieces, states[2])):
        assert np.array_equal(theta.vector, whole.vector)
        assert all(np.array_equal(state.slots[name], slot) for name, slot in states[0].slots.items())


@pytest.mark.parametrize(
    "settings", [{"clip_norm": 0.1}, {"decay": Decay(coupled=0.01)}, {"decay": Decay(decoupled=0.1, max_norm=0.8)}]
)
def test_what_looks_at_the_whole_vector_gets_the_whole_vector(settings, monkeypatch):
    monkeypatch.setattr(survivors, "WORTH_WHILE", 1.0)
    fast = run(Adam(), **settings)
    monkeypatch.setattr(survivors, "WORTH_WHILE", -1.0)
    assert_same(run(Adam(), **settings), fast)
    assert not np.array_equal(fast[0], run(Adam())[0])


RULES = {
    "unit dropout": (None, unit_dropout(0.8), unit_dropout(0.6)),
    "dropconnect": (dropconnect(0.8), None, dropconnect(0.7, shared=True)),
    "targeted": (targeted_weight_dropout(0.5, 0.6), None, targeted_weight_dropout(0.75, 0.5)),
}


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
def test_masked_weights_need_no_mask_on_the_way_forward(rules):
    net, rng = MLP(SIZES, rules=rules), np.random.default_rng(1)
    mask = make_mask(net, 0.4)
    theta = net.init(rng) * mask
    x, units = make_split(np.float32).x, net.sample_unit_masks(np.random.default_rng(2), (29,))
    logits, caches = net.forward(theta, x, weight_mask=mask, unit_masks=units)
    short, short_caches = net.forward(theta, x, weight_mask=mask, unit_masks=units, masked=True)
    assert np.array_equal(logits, short)
    dlogits = rng.standard_normal(logits.shape).astype(np.float32)
    gradients, dense = net.backward(dlogits, caches), net.backward(dlogits, short_caches)
    assert np.array_equal(gradients.vector, (dense * mask).vector)
    assert not np.array_equal(gradients.vector, dense.vector)  # in the layers that need no mask


def test_what_the_watcher_puts_into_pruned_weights_is_taken_out_again():
    net, split = MLP(SIZES), make_split(np.float32)
    mask = make_mask(net, 0.3)
    plan = TrainingPlan(steps=9, batch_size=8, optimizer=Adam(), evaluate_every=3)
    clean, soiled = (begin(net, plan, split, weight_mask=mask) for _ in range(2))
    for _ in train(clean, split):
        pass
    for _ in train(soiled, split):
        if soiled.step < 9:
            soiled.theta.vector[mask.vector == 0] = 5.0
            soiled.optimizer.slots["m_sum"][mask.vector == 0] = 5.0
    assert np.array_equal(clean.theta.vector, soiled.theta.vector)


def test_a_training_that_diverges_leaves_a_whole_state(monkeypatch):
    ends = []
    for worth_while in (1.0, -1.0):
        monkeypatch.setattr(survivors, "WORTH_WHILE", worth_while)
        net, split = MLP(SIZES), make_split(np.float32)
        plan = TrainingPlan(steps=99, batch_size=8, optimizer=Momentum(0.9), schedule=1e9, evaluate_every=99)
        state = begin(net, plan, split, weight_mask=make_mask(net, 0.3))
        with pytest.raises(TrainingDiverged):
            list(train(state, split))
        ends.append((state.theta.vector, state.optimizer.slots, state.optimizer.step, state.step))
    assert_same(*ends)
    assert ends[0][2] == ends[0][3] > 0


def arrays_in(something):
    if isinstance(something, np.ndarray):
        yield something
    elif isinstance(something, (tuple, list)):
        for part in something:
            yield from arrays_in(part)


WRITING = (relu, leaky_relu, tanh)
every_writing = pytest.mark.parametrize("activation", WRITING, ids=lambda activation: activation.name)


@every_writing
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
@given(seed=st.integers(0, 10**6))
def test_an_activation_writes_where_it_is_told_what_it_would_return(activation, dtype, seed):
    rng = np.random.default_rng(seed)
    z, dh = (rng.standard_normal((2, 3, 5)).astype(dtype) for _ in range(2))
    z[0, 1, 2] = 0
    h, cache = activation.forward(z)
    dz = activation.backward(dh, cache)
    own = z.copy()
    for source, target in ((z, np.empty_like(z)), (own, own)):
        written, its_cache = activation.forward(source, out=target)
        assert written is target
        assert np.array_equal(written, h)
        assert np.array_equal(activation.backward(dh, its_cache), dz)
    target = dh.copy()
    assert activation.backward(target, cache, out=target) is target
    assert np.array_equal(target, dz)


NOISE = {
    "none": None,
    "unit dropout": (unit_dropout(0.9), unit_dropout(0.8), unit_dropout(0.6, shared=True)),
    "mixed": (dropconnect(0.8), unit_dropout(0.7), None),
    "gated": (None, standout(0.8, 0.3), unit_dropout(0.8)),
}


@every_writing
@pytest.mark.parametrize("rules", NOISE.values(), ids=NOISE)
@pytest.mark.parametrize("dtype", [np.float32, np.complex128])
@given(seed=st.integers(0, 10**6))
def test_activations_written_over_change_no_bit(activation, rules, dtype, seed):
    rng = np.random.default_rng(seed)
    nets = [MLP(SIZES, activation=a, rules=rules) for a in (activation, activation._replace(takes_out=False))]
    theta = nets[0].init([np.random.default_rng(seed + r) for r in range(2)], dtype=np.float64)
    theta = Parameters(theta.vector.astype(dtype), theta.layout)
    x, dlogits = (rng.standard_normal((2, 6, d)).astype(dtype) for d in (SIZES[0], SIZES[-1]))
    real = np.float32 if dtype == np.float32 else np.float64
    units = nets[0].sample_unit_masks(rng, (2, 6), dtype=real) if rules else None
    given_arrays = [x, dlogits, theta.vector]
    before = [array.copy() for array in given_arrays]
    ends = []
    for net in nets:
        logits, caches = net.forward(theta, x, unit_masks=units)
        net.forward(theta, 2 * x, unit_masks=units)  # another pass must leave the caches alone
        gradients = net.backward(dlogits, caches)
        again = net.backward(dlogits, caches)  # a cache may be used twice
        assert np.array_equal(gradients.vector, again.vector)
        ends.append([logits, gradients.vector, *caches.inputs])
    assert all(np.array_equal(a, b) for a, b in zip(*ends))
    assert all(np.array_equal(a, b) for a, b in zip(given_arrays, before))


@pytest.mark.parametrize(
    "rule", [plain_layer(), unit_dropout(0.8), unit_dropout(0.8, shared=True)], ids=lambda r: r.name
)
@pytest.mark.parametrize("noisy", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_a_rule_that_says_so_keeps_neither_output_nor_gradient(rule, noisy, masked):
    assert rule.own_arrays
    rng = np.random.default_rng(0)
    x, W, b, dz = (rng.standard_normal(shape).astype(np.float32) for shape in ((6, 5), (5, 4), (4,), (6, 4)))
    noise = rule.sample(rng, (6,), 5, 4, dtype=np.float32) if noisy and rule.sample else None
    z, cache = rule.forward(x, W, b, noise, weight_mask=(W > 0).astype(np.float32) if masked else None)
    dx, _, _ = rule.backward(dz, cache)
    kept = [x, W, b, dz, *arrays_in(cache)]
    assert len(kept) > 6
    assert not any(np.shares_memory(own, other) for own in (z, dx) for other in kept)


def _keeping_forward(x, W, b, noise, *, weight_mask=None):
    z = x @ W + b
    return z, [x, W, z, z.copy()]


def _keeping_backward(dz, cache, *, need_dx=True, out=None):
    x, W, z, z_as_it_was = cache
    assert np.array_equal(z, z_as_it_was)
    np.matmul(x.mT, dz, out=out[0])
    np.sum(dz, axis=-2, out=out[1])
    dx = dz @ W.mT
    cache += [dx, dx.copy()]
    return dx, *out


@every_writing
def test_nothing_is_written_over_what_a_rule_may_have_kept(activation):
    """A rule says of itself whether its arrays may be taken; one that says nothing has kept them."""
    keeping = LayerRule("keeping", None, _keeping_forward, _keeping_backward)
    net, rng = MLP(SIZES, activation=activation, rules=(keeping,) * (len(SIZES) - 1)), np.random.default_rng(3)
    theta = net.init(rng, dtype=np.float64)
    x, dlogits = (rng.standard_normal((6, d)) for d in (SIZES[0], SIZES[-1]))
    _, caches = net.forward(theta, x)
    net.backward(dlogits, caches)
    for _, _, z, z_as_it_was, dx, dx_as_it_was in caches.linear:
        assert np.array_equal(z, z_as_it_was)
        assert np.array_equal(dx, dx_as_it_was)


@every_writing
def test_a_real_gradient_through_complex_activations_is_complex(activation):
    rng = np.random.default_rng(0)
    nets = [MLP(SIZES, activation=a) for a in (activation, activation._replace(takes_out=False))]
    theta = nets[0].init(rng, dtype=np.float64)
    x = rng.standard_normal((6, SIZES[0])) + 1e-3j
    dlogits = rng.standard_normal((6, SIZES[-1]))
    a, b = (net.backward(dlogits, net.forward(theta, x)[1]) for net in nets)
    assert np.iscomplexobj(a.vector) and np.array_equal(a.vector, b.vector)


def test_an_activation_that_knows_no_out_is_called_without():
    def forward(z):
        return np.sin(z), z

    sine = Activation("sine", forward, lambda dh, z: dh * np.cos(z), zero_at_zero=True, homogeneous=False)
    net, split = MLP(SIZES, activation=sine), make_split(np.float32)
    state = begin(net, TrainingPlan(steps=3, batch_size=8), split)
    assert [record.step for record in train(state, split)][-1] == 3


def test_an_unknown_optimizer_gets_the_whole_vector():
    class Own(SGD):
        """Not known to be elementwise."""

    net = MLP(SIZES)
    mask = make_mask(net, 0.1)
    theta = net.init(np.random.default_rng(0)) * mask
    assert Survivors.of(theta, mask, Own(), Own().init(theta.vector)) is None
    assert Survivors.of(theta, mask, SGD(), SGD().init(theta.vector)) is not None
    assert Survivors.of(theta, None, SGD(), SGD().init(theta.vector)) is None
    assert Survivors.of(theta, make_mask(net, 0.9), SGD(), SGD().init(theta.vector)) is None

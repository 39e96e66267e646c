"""What makes a training fast changes no bit of it: blocks, survivors, weights that are masked already."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpynet import optimizers, survivors, training
from numpynet.data.dataset import Split
from numpynet.layer_rules import dropconnect, targeted_weight_dropout, unit_dropout
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

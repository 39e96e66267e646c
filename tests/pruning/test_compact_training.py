"""Training without the units that nobody hears is the same training."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numpynet.data.dataset import Split
from numpynet.equations.activations import relu, sigmoid
from numpynet.network import MLP
from numpynet.optimizers import SGD, Adam, Decay, Momentum
from numpynet.parameters import Parameters
from numpynet.plan import TrainingPlan
from numpynet.pruning import compact_training
from numpynet.pruning.compact_training import smaller, train_compacted
from numpynet.training import begin, train

SIZES = (9, 13, 7, 3)


def make_split(n=31):
    rng = np.random.default_rng(5)
    return Split(rng.standard_normal((n, SIZES[0])), rng.integers(0, SIZES[-1], n))


def sparse_mask(net, seed, density=0.25):
    mask, rng = Parameters.ones(net.layout, dtype=np.float64), np.random.default_rng(seed)
    for name in net.layout.weight_names:
        mask[name][...] = rng.random(mask[name].shape) < density
    mask["W2"][3:8] = 0  # nobody hears these
    return mask


def make_plan(**settings):
    return TrainingPlan(
        **{"steps": 12, "batch_size": 8, "schedule": 0.1, "evaluate_every": 5, "dtype": "float64", **settings}
    )


def both(net, plan, mask, seed, until=None):
    """The states and records of the plain training and of the compacted one."""
    split = make_split()
    ends = []
    for way in (train, train_compacted):
        state = begin(net, plan, split, seed=seed, weight_mask=mask)
        ends.append((state, list(way(state, split, monitors={"all": split}, until=until))))
    return ends


def assert_equal_trainings(plain, compacted):
    (a, records), (b, others) = plain, compacted
    np.testing.assert_allclose(b.theta.vector, a.theta.vector, rtol=0, atol=1e-12)
    for name in a.optimizer.slots:
        np.testing.assert_allclose(b.optimizer.slots[name], a.optimizer.slots[name], rtol=0, atol=1e-12)
    assert (a.step, a.position, a.optimizer.step) == (b.step, b.position, b.optimizer.step)
    assert np.array_equal(a.order, b.order)
    assert [r.step for r in records] == [r.step for r in others]
    for r, s in zip(records, others):
        np.testing.assert_allclose(s.loss["all"], r.loss["all"], rtol=1e-12)
        assert r.accuracy == s.accuracy
    draws = [[rng.random() for rng in state.dropout_rngs + state.batch_rngs] for state in (a, b)]
    assert draws[0] == draws[1]


@pytest.mark.equation("M17")
@settings(max_examples=25)
@given(
    seed=st.integers(0, 10**6),
    optimizer=st.sampled_from([SGD(), Momentum(0.8), Adam(0.8, 0.95)]),
    keep_prob=st.sampled_from([1.0, 0.8, 0.6]),
    activation=st.sampled_from([relu, sigmoid]),
    replicates=st.booleans(),
    clip_norm=st.sampled_from([None, 0.1]),
)
def test_it_is_the_same_training(seed, optimizer, keep_prob, activation, replicates, clip_norm):
    net = MLP(SIZES, activation, keep_prob)
    plan = make_plan(optimizer=optimizer, clip_norm=clip_norm)
    ends = both(net, plan, sparse_mask(net, seed), (seed, seed + 1) if replicates else seed)
    assert smaller(begin(net, plan, make_split(), weight_mask=sparse_mask(net, seed))).net.sizes[1] <= 8
    assert_equal_trainings(*ends)


@pytest.mark.equation("M17")
def test_a_unit_that_hears_nothing_goes_on_learning():
    net = MLP(SIZES, sigmoid)  # at its bias 0 a ReLU would have slope 0
    mask = sparse_mask(net, 0)
    mask["W1"][:, 0], mask["W2"][0, 0], mask["W3"][0, 0] = 0, 1, 1
    ends = both(net, make_plan(), mask, 1)
    assert ends[1][0].theta["b1"][0] != 0
    assert_equal_trainings(*ends)


def test_no_path_at_all():
    net = MLP(SIZES)
    mask = sparse_mask(net, 0)
    mask["W3"][...] = 0
    assert_equal_trainings(*both(net, make_plan(optimizer=Adam()), mask, 1))


@pytest.mark.parametrize("until", [0, 1, 5, 7])
def test_it_stops_anywhere(until):
    net = MLP(SIZES, keep_prob=0.8)
    assert_equal_trainings(*both(net, make_plan(optimizer=Adam()), sparse_mask(net, 2), 1, until=until))


def test_whoever_watches_may_change_the_mask_and_the_parameters():
    net, split = MLP(SIZES), make_split()
    mask = sparse_mask(net, 2)
    again = sparse_mask(net, 3) * mask
    ends = []
    for way in (train, train_compacted):
        state, records = begin(net, make_plan(), split, weight_mask=mask), []
        for record in way(state, split, monitors={"all": split}):
            records.append(record)
            if record.step == 5:
                state.theta *= 0.9
                state.weight_mask = again.copy()
        ends.append((state, records))
    assert_equal_trainings(*ends)


def _dead_memory(state):
    state.optimizer.slots["m_sum"][...] = state.weight_mask.vector


@pytest.mark.parametrize(
    ("settings", "spoil"),
    [
        ({"decay": Decay(decoupled=0.1)}, None),
        ({"decay": Decay(max_norm=0.5)}, None),
        ({"optimizer": Adam()}, _dead_memory),
        ({}, lambda state: setattr(state, "weight_mask", None)),
    ],
)
def test_where_it_would_not_be_exact_it_is_not_done(settings, spoil):
    net = MLP(SIZES)
    state = begin(net, make_plan(**settings), make_split(), weight_mask=sparse_mask(net, 1))
    if spoil:
        spoil(state)
    assert smaller(state) is None
    for _ in train_compacted(state, make_split()):
        pass
    assert state.step == 12


def test_a_planted_bug_is_seen(monkeypatch):
    """Leaving out what hears nothing, as after a training, is another training."""
    net = MLP(SIZES, sigmoid)  # at its bias 0 a ReLU would have slope 0
    mask = sparse_mask(net, 0)
    mask["W1"][:, 0], mask["W2"][0, 0], mask["W3"][0, 0] = 0, 1, 1
    heard = compact_training._heard

    def hearing(net, mask):
        units = heard(net, mask)
        units[1] &= (mask["W1"] != 0).any(axis=0)
        return units

    monkeypatch.setattr(compact_training, "_heard", hearing)
    with pytest.raises(AssertionError):
        assert_equal_trainings(*both(net, make_plan(), mask, 1))

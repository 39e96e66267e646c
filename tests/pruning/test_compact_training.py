"""Training without the units that nobody hears is the same training."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numpynet.data.dataset import Split
from numpynet.equations.activations import relu, sigmoid
from numpynet.layer_rules import dropconnect
from numpynet.network import MLP
from numpynet.optimizers import SGD, Adam, Decay, Momentum, Nesterov, RMSProp
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


def stack_of_masks(net, seeds, density=0.25):
    """Another mask for each replicate. Nobody hears units 3 to 7 of the first, 4 to 8 of the next, and so on."""
    masks = Parameters.ones(net.layout, replicates=(len(seeds),), dtype=np.float64)
    for r, seed in enumerate(seeds):
        one = sparse_mask(net, seed, density)
        one["W2"] = np.roll(one["W2"], r, axis=0)
        masks.vector[r] = one.vector
    return masks


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
    optimizer=st.sampled_from([SGD(), Momentum(0.8), Nesterov(0.7), RMSProp(0.8), Adam(0.8, 0.95)]),
    keep_prob=st.sampled_from([1.0, 0.8, 0.6]),
    activation=st.sampled_from([relu, sigmoid]),
    replicates=st.sampled_from([None, 1, 3]),
    own_masks=st.booleans(),
    clip_norm=st.sampled_from([None, 0.1]),
)
def test_it_is_the_same_training(seed, optimizer, keep_prob, activation, replicates, own_masks, clip_norm):
    net = MLP(SIZES, activation, keep_prob)
    plan = make_plan(optimizer=optimizer, clip_norm=clip_norm)
    seeds = seed if replicates is None else tuple(range(seed, seed + replicates))
    stacked = replicates is not None and own_masks
    mask = stack_of_masks(net, seeds) if stacked else sparse_mask(net, seed)
    small = smaller(begin(net, plan, make_split(), seed=seeds, weight_mask=mask))
    assert small.net.sizes[1] <= SIZES[1] - 5 + (replicates - 1 if stacked else 0)  # those that no replicate hears
    assert_equal_trainings(*both(net, plan, mask, seeds))


def test_a_unit_stays_if_any_replicate_hears_it():
    net, seeds = MLP(SIZES), (4, 5)
    masks = Parameters.ones(net.layout, replicates=(2,), dtype=np.float64)
    masks["W2"][0, 2:9], masks["W2"][1, 5:12] = 0, 0  # 5 to 8 in both
    masks["W1"][:, 4, :], masks["W1"][0, 6, :] = 0, 0  # input 4 in both
    masks["W1"][0, 7, :2], masks["W1"][0, 7, 9:] = 0, 0  # the first reads input 7 for units 2 to 8 alone: not heard
    small = smaller(begin(net, make_plan(), make_split(), seed=seeds, weight_mask=masks))
    assert small.net.sizes == (8, 9, 7, 3)
    assert small.inputs.tolist() == [0, 1, 2, 3, 5, 6, 7, 8]
    masks["W1"][1, 7, :5], masks["W1"][1, 7, 12:] = 0, 0  # now the other one does not hear it, either
    small = smaller(begin(net, make_plan(), make_split(), seed=seeds, weight_mask=masks))
    assert small.inputs.tolist() == [0, 1, 2, 3, 5, 6, 8]


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


@pytest.fixture
def trained_units(monkeypatch):
    """How many units the first hidden layer has, in the net of each call of ``train``."""
    sizes, plain = [], compact_training.train

    def watched(state, *args, **options):
        sizes.append(state.net.sizes[1])
        return plain(state, *args, **options)

    monkeypatch.setattr(compact_training, "train", watched)
    return sizes


@pytest.mark.parametrize("mask_too", [False, True])
def test_whoever_watches_may_change_the_mask_and_the_parameters(mask_too):
    net, split = MLP(SIZES), make_split()
    mask = sparse_mask(net, 2)
    again = sparse_mask(net, 3) * mask
    ends = []
    for way in (train, train_compacted):
        state, records = begin(net, make_plan(optimizer=Momentum(0.8)), split, weight_mask=mask), []
        for record in way(state, split, monitors={"all": split}):
            records.append(record)
            if record.step == 5:
                state.theta *= 0.9
                state.optimizer.slots["v"] *= 0.7
                if mask_too:
                    state.weight_mask = again.copy()
        ends.append((state, records))
    assert_equal_trainings(*ends)


def _mask_in_place(state):
    state.weight_mask *= sparse_mask(state.net, 3)


def _mask_grows_in_place(state):
    state.weight_mask["W2"][3:8] = 1


def _pruned_weights_too(state):
    state.theta.vector[...] = 0.3


def _their_memory_too(state):
    state.optimizer.slots["m_sum"][...] = 0.2


def _optimizer_anew(state):
    state.optimizer = state.plan.optimizer.init(state.theta.vector)


def _next_epoch(state):
    state.position = state.order.shape[-1]


def _streams(state):
    state.batch_rngs, state.dropout_rngs = ([np.random.default_rng(seed)] for seed in (7, 8))


def _frozen(state):
    state.frozen = Parameters(np.where(state.weight_mask.vector == 0, 0.1, 0.0), state.net.layout)


def _decay(state):
    state.plan = replace(state.plan, decay=Decay(decoupled=0.1))


@pytest.mark.parametrize(
    "change",
    [
        _mask_in_place, _mask_grows_in_place, _pruned_weights_too, _their_memory_too,
        _optimizer_anew, _next_epoch, _streams, _frozen, _decay,
    ],
)  # fmt: skip
@pytest.mark.parametrize("at", [0, 5, 12])  # 12 is the last record: what is changed there stays as it is
def test_whatever_a_watcher_changes_is_taken_as_train_takes_it(change, at):
    """Of a mask changed in place, an optimizer begun anew and pruned weights that were written to, nothing was seen."""
    net, split = MLP(SIZES, keep_prob=0.8), make_split()
    ends = []
    for way in (train, train_compacted):
        state, records = begin(net, make_plan(optimizer=Adam()), split, weight_mask=sparse_mask(net, 2)), []
        for record in way(state, split, monitors={"all": split}):
            records.append(record)
            if record.step == at:
                change(state)
        ends.append((state, records))
    assert_equal_trainings(*ends)


def test_what_a_watcher_has_changed_stays_after_a_stop():
    """Closing the training wrote the weights before the change over it."""
    net, split = MLP(SIZES), make_split()
    ends = []
    for way in (train, train_compacted):
        state = begin(net, make_plan(), split, weight_mask=sparse_mask(net, 2))
        for record in way(state, split):
            if record.step == 5:
                state.theta *= 0.9
                break
        records = list(way(state, split, monitors={"all": split}))
        ends.append((state, records))
    assert_equal_trainings(*ends)


def test_it_begins_where_units_die(trained_units):
    """A training of a dense net whose mask is cut at a record."""
    net, split = MLP(SIZES), make_split()
    ends = []
    for way in (train, train_compacted):
        state = begin(net, make_plan(), split, weight_mask=Parameters.ones(net.layout, dtype=np.float64))
        records = []
        for record in way(state, split, monitors={"all": split}):
            records.append(record)
            if record.step == 5:
                state.weight_mask = sparse_mask(net, 2)
        ends.append((state, records))
    assert trained_units[0] == 13 > trained_units[1]
    assert_equal_trainings(*ends)


def test_memory_of_what_is_left_out_ends_it_and_its_loss_begins_it_again(trained_units):
    """Memory of unheard weights moves them until it has faded; all this time the whole network has to be trained."""
    net, split = MLP(SIZES), make_split()
    mask = sparse_mask(net, 2)
    ends = []
    for way in (train, train_compacted):
        state, records = begin(net, make_plan(optimizer=Momentum(0.0)), split, weight_mask=mask), []
        for record in way(state, split, monitors={"all": split}):
            records.append(record)
            if record.step == 5:
                state.optimizer.slots["v"][...] = mask.vector
        ends.append((state, records))
    heard = smaller(begin(net, make_plan(), split, weight_mask=mask)).net.sizes[1]
    assert trained_units == [heard, 13, heard]
    assert_equal_trainings(*ends)


@pytest.mark.parametrize("stop", [0, 1, 2, 3])
def test_whoever_goes_on_from_a_record_ends_with_the_same_bits(stop, trained_units):
    """Also where unheard weights were remembered at first: at records it is decided anew, from the state alone."""
    net, split, seeds = MLP(SIZES, sigmoid, keep_prob=0.8), make_split(), (3, 4)
    plan = make_plan(optimizer=Momentum(1e-60), steps=17)  # after six steps its memory of them is 0
    thetas, ways = [], []
    for interrupted in (False, True):
        state, way_of_step = begin(net, plan, split, seed=seeds, weight_mask=stack_of_masks(net, seeds)), {}
        state.optimizer.slots["v"][...] = state.weight_mask.vector
        for part in (stop, None) if interrupted else (None,):
            for number, record in enumerate(train_compacted(state, split)):
                way_of_step[record.step] = trained_units[-1]
                if number == part:
                    break
        assert state.step == 17
        thetas.append(state.theta.vector)
        ways.append(way_of_step)
    assert ways[0] == ways[1]
    assert [units < 13 for units in ways[0].values()] == [False, False, False, True, True]
    assert np.array_equal(*thetas)


@pytest.mark.parametrize("columns", [-1, 1])
@pytest.mark.parametrize("where", ["train_split", "other"])
def test_examples_that_do_not_fit_are_refused(columns, where):
    """With a column too many, the inputs that are read were cut out of it."""
    net, split = MLP(SIZES), make_split()
    wrong = Split(np.zeros((31, SIZES[0] + columns)), split.y)
    state = begin(net, make_plan(), split, weight_mask=sparse_mask(net, 2))
    splits = {"train_split": split, "other": split} | {where: wrong}
    with pytest.raises(ValueError, match=f"{where}.*{SIZES[0] + columns}"):
        list(train_compacted(state, splits["train_split"], monitors={"other": splits["other"]}))


class OwnOptimizer(SGD):
    """Not known to be elementwise."""


def _dead_memory(state):
    state.optimizer.slots["m_sum"][...] = state.weight_mask.vector


@pytest.mark.parametrize(
    ("settings", "spoil"),
    [
        ({"keep_schedule": lambda step: 0.8}, None),
        ({"optimizer": OwnOptimizer()}, None),
        ({}, lambda state: setattr(state, "net", MLP(SIZES, rules=(None, dropconnect(0.8), None)))),
        ({}, _frozen),
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


def test_a_stack_that_loses_what_its_first_replicate_does_not_hear_is_seen(monkeypatch):
    net, seeds = MLP(SIZES), (1, 2)
    heard = compact_training._heard
    monkeypatch.setattr(compact_training, "_heard", lambda net, masks: heard(net, masks.replicate(0)))
    with pytest.raises(AssertionError):
        assert_equal_trainings(*both(net, make_plan(), stack_of_masks(net, seeds), seeds))

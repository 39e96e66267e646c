"""The training loop: it does what a loop written by hand does, repeats itself bit for bit, and stops when it must."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numpynet.data import Split
from numpynet.equations.activations import identity, relu, tanh
from numpynet.equations.losses import Loss, softmax_cross_entropy, squared_error
from numpynet.initializers import he_normal
from numpynet.network import MLP
from numpynet.optimizers import SGD, Adam, Decay, Momentum, Nesterov, RMSProp
from numpynet.parameters import Parameters
from numpynet.plan import TrainingPlan
from numpynet.schedules import Constant, Cosine, Exponential
from numpynet.seeding import streams
from numpynet.storage import digest
from numpynet.training import Record, TrainingDiverged, begin, early_stop, evaluate, train
from tests.checks import assert_close
from tests.strategies import seeds

OPTIMIZERS = [SGD(), Momentum(0.8), Nesterov(0.7), RMSProp(0.9, 1e-6), Adam(0.8, 0.95, 1e-6)]
every_optimizer = pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda optimizer: type(optimizer).__name__)
NET = MLP((5, 7, 4, 3), tanh, keep_prob=(0.9, 0.7, 0.6))
DENSE_NET = MLP((5, 7, 4, 3), tanh)


def make_split(n=23, dtype=np.float64, seed=0, n_classes=3):
    rng = np.random.default_rng(seed)
    return Split(rng.normal(size=(n, 5)).astype(dtype), rng.integers(n_classes, size=n))


SPLIT, OTHER = make_split(), make_split(11, seed=1)


def make_plan(**changes):
    settings = {"epochs": 2, "batch_size": 5, "schedule": 0.05, "dtype": "float64", "optimizer": Momentum(0.8)}
    if "steps" in changes:
        settings.pop("epochs")
    return TrainingPlan(**{**settings, **changes})


def make_mask(seed, net=NET, dtype=np.float64):
    """A binary mask that keeps about 60 % of the weights, and every bias."""
    rng = np.random.default_rng(seed)
    mask = Parameters.ones(net.layout, dtype=dtype)
    for name in net.layout.weight_names:
        mask[name] = (rng.random(net.layout.shapes[name]) < 0.6).astype(dtype)
    return mask


def finish(state, split=SPLIT, **monitors):
    """Train to the end, and return the state."""
    for _ in train(state, split, monitors=monitors):
        pass
    return state


def run(plan, net=NET, split=SPLIT, **arguments):
    return finish(begin(net, plan, split, **arguments), split, other=OTHER)


def recording(loss, seen):
    """The same loss, which also notes the targets that it was given."""

    def forward(logits, y):
        seen.append(y.copy())
        return loss.forward(logits, y)

    return Loss(loss.name, forward, loss.backward)


# ---- the loop does what its equations say --------------------------------------------------------------------------


@pytest.mark.parametrize("masked", [False, True])
def test_the_loop_is_the_one_written_by_hand(masked):
    """Streams, order, masks, gradients and the plain step, spelled out."""
    seed, lr = 11, 0.05
    mask = make_mask(3) if masked else None
    state = run(make_plan(optimizer=SGD(), schedule=lr), seed=seed, weight_mask=mask)

    rngs = streams(seed)
    theta = NET.init(rngs.init, dtype=np.float64)
    theta = theta * mask if masked else theta
    for _epoch in range(2):
        order = rngs.batches.permutation(23)
        for start in (0, 5, 10, 15, 20):
            x, y = SPLIT.x[order[start : start + 5]], SPLIT.y[order[start : start + 5]]
            unit_masks = NET.sample_unit_masks(rngs.dropout, (len(x),), dtype=np.float64)
            logits, caches = NET.forward(theta, x, weight_mask=mask, unit_masks=unit_masks)
            dlogits = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
            dlogits[np.arange(len(x)), y] -= 1
            theta = theta - lr * NET.backward(dlogits / len(x), caches)
    assert_close(state.theta.vector, theta.vector)
    assert state.step == 10


def test_every_epoch_uses_every_example_once_and_ends_with_a_smaller_batch(monkeypatch):
    n, labels, inputs = 23, [], []
    split = Split(np.arange(n, dtype=np.float64)[:, None], np.arange(n))  # x says which example it is, and so does y
    forward = MLP.forward

    def spy(self, theta, x, **others):
        inputs.append(x[:, 0].copy())
        return forward(self, theta, x, **others)

    monkeypatch.setattr(MLP, "forward", spy)
    plan = make_plan(epochs=3, schedule=1e-6, loss=recording(softmax_cross_entropy, labels))
    for _ in train(begin(MLP((1, n)), plan, split, seed=4), split):
        pass
    assert [len(batch) for batch in labels] == [5, 5, 5, 5, 3] * 3
    assert all(np.array_equal(x, y) for x, y in zip(inputs, labels, strict=True)), "x and y must stay together"
    epochs = [np.concatenate(labels[start : start + 5]) for start in (0, 5, 10)]
    for epoch in epochs:
        assert np.array_equal(np.sort(epoch), np.arange(n))
    assert not any(np.array_equal(a, b) for a, b in itertools.combinations([*epochs, np.arange(n)], 2))


def batch_order(seed, net, **arguments):
    labels, split = [], Split(SPLIT.x, np.arange(23) % 3)
    plan = make_plan(loss=recording(softmax_cross_entropy, labels))
    finish(begin(net, plan, split, seed=seed, **arguments), split)
    return np.concatenate(labels)


def test_each_purpose_has_its_own_stream():
    plain = batch_order(5, DENSE_NET)
    assert np.array_equal(plain, batch_order(5, NET)), "dropout changed the order of the examples"
    start = DENSE_NET.init(np.random.default_rng(0), dtype=np.float64)
    assert np.array_equal(plain, batch_order(5, DENSE_NET, theta_0=start)), "so did given initial weights"
    assert not np.array_equal(plain, batch_order(6, DENSE_NET))
    starts = [begin(net, make_plan(), SPLIT, seed=5).theta.vector for net in (NET, DENSE_NET)]
    assert np.array_equal(*starts), "dropout changed the initial weights"


@every_optimizer
def test_the_same_seed_gives_the_same_bits(optimizer):
    plan = make_plan(optimizer=optimizer, dtype="float32")
    split = make_split(dtype=np.float32)
    one, same, other = (finish(begin(NET, plan, split, seed=seed), split) for seed in (7, 7, 8))
    assert one.theta.dtype == np.float32
    assert digest(one.theta.vector) == digest(same.theta.vector)
    assert one.history == same.history
    assert digest(one.theta.vector) != digest(other.theta.vector)


@every_optimizer
@pytest.mark.parametrize("masked", [False, True])
def test_a_stack_of_replicates_is_bit_for_bit_the_single_runs(optimizer, masked):
    own_seeds, mask = (3, 1, 4), make_mask(2) if masked else None
    plan = make_plan(optimizer=optimizer, decay=Decay(coupled=0.01, decoupled=0.02, max_norm=1.5))
    stack = run(plan, seed=own_seeds, weight_mask=mask)
    for r, seed in enumerate(own_seeds):
        single = run(plan, seed=seed, weight_mask=mask)
        assert np.array_equal(stack.theta.replicate(r).vector, single.theta.vector)
        for together, alone in zip(stack.history, single.history, strict=True):
            assert together.loss["other"][r] == alone.loss["other"]
            assert together.accuracy["other"][r] == alone.accuracy["other"]
            assert together.batch_loss is None or together.batch_loss[r] == alone.batch_loss


def test_replicates_may_share_a_start_or_have_one_each():
    start = NET.init(streams(0).init, dtype=np.float64)
    shared = begin(NET, make_plan(), SPLIT, seed=(1, 2), theta_0=start)
    assert np.array_equal(shared.theta.vector, [start.vector] * 2)
    each = NET.init([streams(0).init, streams(1).init], dtype=np.float64)
    assert np.array_equal(begin(NET, make_plan(), SPLIT, seed=[1, 2], theta_0=each).theta.vector, each.vector)
    with pytest.raises(ValueError, match=r"theta_0 has the replicates \(2,\), but the seeds ask for \(3,\)"):
        begin(NET, make_plan(), SPLIT, seed=(1, 2, 3), theta_0=each)


@every_optimizer
@given(stops=st.lists(st.integers(1, 8), max_size=4), evaluate_every=st.sampled_from([1, 2, 3, None]))
@settings(max_examples=10)
def test_stopping_and_going_on_changes_no_bit(optimizer, stops, evaluate_every):
    plan = make_plan(optimizer=optimizer, evaluate_every=evaluate_every)
    straight, broken = run(plan, seed=9), begin(NET, plan, SPLIT, seed=9)
    for stop in stops:
        for _ in itertools.islice(train(broken, SPLIT, monitors={"other": OTHER}), stop):
            pass
    finish(broken, other=OTHER)
    assert np.array_equal(broken.theta.vector, straight.theta.vector)
    assert broken.history == straight.history


# ---- records -------------------------------------------------------------------------------------------------------


def test_records_come_at_the_start_now_and_then_and_at_the_end():
    losses = []
    loss = recording(softmax_cross_entropy, [])

    def forward(logits, y):
        value, cache = loss.forward(logits, y)
        losses.append(float(value))
        return value, cache

    plan = make_plan(
        steps=8, evaluate_every=3, schedule=Exponential(0.1, 0.5), loss=Loss("noted", forward, loss.backward)
    )
    state = begin(NET, plan, SPLIT)
    records = list(train(state, SPLIT))
    assert records == state.history
    assert [r.step for r in records] == [0, 3, 6, 8]
    assert [r.epoch for r in records] == [0, 0.6, 1.2, 1.6]
    assert [r.lr for r in records] == [None, 0.1 * 0.5**2, 0.1 * 0.5**5, 0.1 * 0.5**7]
    assert records[0].batch_loss is None
    for record, part in zip(records[1:], (losses[:3], losses[3:6], losses[6:]), strict=True):
        assert math.isclose(record.batch_loss, np.mean(part), rel_tol=1e-12)
    assert all(record.loss == {} and record.accuracy == {} for record in records)
    assert list(train(state, SPLIT)) == [], "a finished training has nothing left to do"


def test_by_default_there_is_a_record_after_every_epoch():
    assert [record.epoch for record in run(make_plan(epochs=3)).history] == [0, 1, 2, 3]


def test_monitors_are_evaluated_without_dropout_and_with_the_weight_mask():
    mask = make_mask(2)
    state = finish(begin(NET, make_plan(), SPLIT, weight_mask=mask), train=SPLIT, other=OTHER)
    assert list(state.history[-1].loss) == ["train", "other"]
    for name, split in (("train", SPLIT), ("other", OTHER)):
        logits, _ = NET.forward(state.theta * mask, split.x)
        loss, _ = softmax_cross_entropy.forward(logits, split.y)
        assert math.isclose(state.history[-1].loss[name], loss, rel_tol=1e-12)
        assert state.history[-1].accuracy[name] == (logits.argmax(axis=1) == split.y).mean()


@given(st.integers(1, 40), st.integers(1, 40))
def test_evaluation_counts_every_example_once(n, batch_size):
    split = make_split(n, seed=n)
    theta = NET.init([np.random.default_rng(s) for s in (0, 1)], dtype=np.float64)
    loss, accuracy = evaluate(NET, theta, split, batch_size=batch_size)
    for r in range(2):
        logits, _ = NET.forward(theta.replicate(r), split.x)
        assert math.isclose(loss[r], softmax_cross_entropy.forward(logits, split.y)[0], rel_tol=1e-12)
        assert accuracy[r] == (logits.argmax(axis=1) == split.y).sum() / n
    single = evaluate(NET, theta.replicate(1), split, batch_size=batch_size)
    assert single == (loss[1], accuracy[1])


def test_regression_has_a_loss_and_no_accuracy():
    rng = np.random.default_rng(0)
    split = Split(SPLIT.x, SPLIT.x @ rng.normal(size=(5, 3)))
    plan = make_plan(epochs=40, loss=squared_error, optimizer=SGD(), batch_size=23)
    state = finish(begin(MLP((5, 3)), plan, split), split, train=split)
    losses = [record.loss["train"] for record in state.history]
    assert all(later < earlier for earlier, later in itertools.pairwise(losses)), "a convex loss, whole batches"
    assert state.history[-1].accuracy == {}


def record_with(step, **losses):
    return Record(step, float(step), None, None, losses, {})


def test_early_stop_is_the_first_smallest_loss():
    history = [record_with(step, validation=v, test=-v) for step, v in enumerate((2.0, 0.5, 0.7, 0.5, 0.9))]
    assert early_stop(history).step == 1
    assert early_stop(history, "test").step == 0


def test_early_stop_of_replicates_asks_which_one():
    history = [record_with(0, validation=[1.0, 0.2]), record_with(5, validation=[0.5, 0.3])]
    assert [early_stop(history, replicate=r).step for r in (0, 1)] == [5, 0]
    with pytest.raises(ValueError, match="2 replicates: say which one"):
        early_stop(history)


def test_early_stop_needs_something_to_look_at():
    with pytest.raises(ValueError, match="history is empty"):
        early_stop([])
    with pytest.raises(KeyError, match="no monitor 'validation'; recorded are test"):
        early_stop([record_with(0, test=1.0)])


# ---- theta_0 and masks ---------------------------------------------------------------------------------------------


@every_optimizer
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.equation("L4")
def test_theta_0_is_never_aliased_and_never_changes(optimizer, masked):
    theta_0, mask = NET.init(streams(2).init, dtype=np.float64), make_mask(1)
    before = digest(theta_0.vector), digest(mask.vector)
    state = begin(NET, make_plan(optimizer=optimizer), SPLIT, theta_0=theta_0, weight_mask=mask if masked else None)
    for _ in train(state, SPLIT):
        arrays = [state.theta.vector, state.optimizer.scratch, *state.optimizer.slots.values()]
        arrays += [state.weight_mask.vector] if masked else []
        assert not any(np.shares_memory(array, own) for array in arrays for own in (theta_0.vector, mask.vector))
    assert (digest(theta_0.vector), digest(mask.vector)) == before
    assert not np.array_equal(state.theta.vector, theta_0.vector)


@pytest.mark.equation("L4")
@given(seeds)
def test_a_rewound_ticket_starts_from_the_bits_of_theta_0(seed):
    theta_0 = NET.init(np.random.default_rng(seed), initializer=he_normal, dtype=np.float64)
    theta_0["b2"] = np.random.default_rng(seed).normal(size=4)
    mask = make_mask(seed)
    state = begin(NET, make_plan(optimizer=Adam()), SPLIT, seed=seed, theta_0=theta_0, weight_mask=mask)
    kept = mask.vector == 1
    assert state.theta.vector[kept].tobytes() == theta_0.vector[kept].tobytes()
    assert not state.theta.vector[~kept].any()
    assert np.array_equal(state.theta["b2"], theta_0["b2"]), "biases return to their start"
    assert (state.step, state.position, state.optimizer.step, state.history) == (0, 0, 0, [])
    assert not any(slot.any() for slot in state.optimizer.slots.values()), "the optimizer starts anew"
    fresh = begin(NET, make_plan(optimizer=Adam()), SPLIT, seed=seed)
    for ours, theirs in zip(state.batch_rngs + state.dropout_rngs, fresh.batch_rngs + fresh.dropout_rngs, strict=True):
        assert ours.bit_generator.state == theirs.bit_generator.state, "the order of the data starts anew"


@every_optimizer
@pytest.mark.equation("L9")
def test_a_mask_of_ones_is_the_dense_run_bit_for_bit(optimizer):
    plan = make_plan(optimizer=optimizer, decay=Decay(coupled=0.01, decoupled=0.02, max_norm=1.5))
    dense, masked = run(plan, seed=6), run(plan, seed=6, weight_mask=Parameters.ones(NET.layout))
    assert dense.theta.vector.tobytes() == masked.theta.vector.tobytes()
    assert dense.history == masked.history


@pytest.mark.equation("M16")
@given(
    optimizer=st.sampled_from(OPTIMIZERS),
    decay=st.builds(
        Decay,
        coupled=st.sampled_from([0.0, 0.1]),
        decoupled=st.sampled_from([0.0, 0.2]),
        max_norm=st.sampled_from([None, 0.8]),
    ),
    seed=seeds,
    switched_on_at=st.integers(0, 7),
    dtype=st.sampled_from(["float32", "float64"]),
)
def test_pruned_weights_stay_zero_also_when_the_mask_comes_in_mid_training(
    optimizer, decay, seed, switched_on_at, dtype
):
    split = make_split(dtype=np.dtype(dtype))
    plan = make_plan(steps=12, evaluate_every=1, optimizer=optimizer, decay=decay, dtype=dtype)
    state, mask = begin(NET, plan, split, seed=seed), make_mask(seed, dtype=np.dtype(dtype))
    pruned = mask.vector == 0
    for record in train(state, split):
        if record.step > switched_on_at:
            assert not state.theta.vector[pruned].any(), f"step {record.step}, the mask came at {switched_on_at}"
        if record.step == switched_on_at:
            assert state.theta.vector[pruned].any()
            state.weight_mask = mask
    for name in NET.layout.weight_names:  # a bias of 0 without a way to the output may stay 0
        assert state.theta[name][mask[name] == 1].all(), "a weight that was not pruned must not become 0"


@every_optimizer
def test_from_its_first_step_a_new_mask_is_the_net_whose_pruned_weights_are_zero(optimizer):
    """Nothing under the mask reaches the gradient, not even in the step before the first projection."""
    plan, mask, ends = make_plan(steps=8, evaluate_every=1, optimizer=optimizer), make_mask(4), []
    for zeroed_by_hand in (False, True):
        state = begin(NET, plan, SPLIT, seed=2)
        for record in train(state, SPLIT):
            if record.step == 3:
                state.weight_mask = mask
                if zeroed_by_hand:
                    state.theta *= mask
        ends.append(state.theta.vector)
    assert np.array_equal(*ends)
    dense = NET.init(streams(0).init, dtype=np.float64)
    assert evaluate(NET, dense, SPLIT, weight_mask=mask) == evaluate(NET, dense * mask, SPLIT)
    assert evaluate(NET, dense, SPLIT, weight_mask=mask) != evaluate(NET, dense, SPLIT)


# ---- trouble -------------------------------------------------------------------------------------------------------


def test_an_exploding_loss_stops_with_step_and_layer_and_keeps_the_history():
    plan = make_plan(steps=200, schedule=3.0, evaluate_every=1, dtype="float32", loss=squared_error)
    split = Split(SPLIT.x.astype(np.float32), np.eye(3, dtype=np.float32)[SPLIT.y])
    for monitors in ({}, {"other": split}):
        state = begin(MLP((5, 7, 4, 3), identity), plan, split)
        with pytest.raises(TrainingDiverged, match=r"step \d+.*layer \d.*learning rate.*before is kept"):
            finish(state, split, **monitors)
        assert 1 < state.step < 200
        assert [record.step for record in state.history] == list(range(len(state.history)))
        assert len(state.history) >= state.step, "what was recorded before is kept"
        assert np.isfinite([loss for record in state.history for loss in record.loss.values()]).all()


@pytest.mark.parametrize(
    "poison, words",
    [
        ({"W2": np.inf}, "W2, in layer 2, is no longer finite"),
        ({"b1": np.nan}, "b1, in layer 1, is no longer finite"),
        ({"W1": 3e38}, "in the input of layer 2"),
        ({"W3": 3e38, "b2": 20.0}, "the logits, the output of layer 3"),
    ],
)
def test_the_message_says_where_the_trouble_began(poison, words):
    split = make_split(dtype=np.float32)
    state = begin(MLP((5, 7, 4, 3), relu), make_plan(dtype="float32"), split)
    training = train(state, split)
    next(training)
    for name, value in poison.items():
        state.theta[name][...] = value
    with pytest.raises(TrainingDiverged, match=words):
        next(training)


def test_weights_that_explode_in_the_very_last_step_do_not_go_unnoticed():
    plan = make_plan(steps=1, schedule=1e300, optimizer=SGD(), decay=Decay(coupled=1e300))
    with pytest.raises(TrainingDiverged, match="no longer finite after step 1"):
        finish(begin(NET, plan, SPLIT))


def test_a_monitored_loss_that_overflows_stops_the_training():
    huge = Split(np.full((4, 5), 1e38, np.float32), OTHER.y[:4])
    split = make_split(dtype=np.float32)
    state = begin(MLP((5, 7, 3), relu), make_plan(dtype="float32"), split)
    state.theta["W1"][...] = 9.0
    with pytest.raises(TrainingDiverged, match=r"the loss on huge is .* after step 0.*9, in W1, layer 1.*huge\.x"):
        finish(state, split, huge=huge)


def with_entry(split, row, column, value):
    x = split.x.copy()
    x[row, column] = value
    return Split(x, split.y)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused_with_their_row(value):
    bad = with_entry(SPLIT, 17, 3, value)
    with pytest.raises(ValueError, match=r"train_split\.x is .* in row 17, column 3"):
        begin(NET, make_plan(), bad)
    state = begin(NET, make_plan(), SPLIT)
    with pytest.raises(ValueError, match=r"train_split\.x is .* in row 17, column 3"):
        next(train(state, bad))
    with pytest.raises(ValueError, match=r"validation\.x is .* in row 17, column 3"):
        next(train(state, SPLIT, monitors={"validation": bad}))
    with pytest.raises(ValueError, match=r"split\.x is .* in row 17, column 3"):
        evaluate(NET, state.theta, bad)
    assert state.step == 0
    assert state.history == []


@pytest.mark.parametrize(
    "split, error, words",
    [
        ((SPLIT.x, SPLIT.y, SPLIT.y), TypeError, "train_split must be a Split"),
        (Split(SPLIT.x.tolist(), SPLIT.y), TypeError, r"train_split\.x must be a NumPy array, got list"),
        (Split(SPLIT.x.astype(int), SPLIT.y), TypeError, r"train_split\.x has dtype int64"),
        (Split(SPLIT.x.astype(object), SPLIT.y), TypeError, r"train_split\.x has dtype object"),
        (Split(SPLIT.x.astype(np.float32), SPLIT.y), TypeError, r"train_split\.x has dtype float32.*float64"),
        (Split(SPLIT.x[:, :4], SPLIT.y), ValueError, r"shape \(23, 4\), but \(N, 5\) is needed"),
        (Split(SPLIT.x[0], SPLIT.y), ValueError, r"train_split\.x must have the shape \(N, d\)"),
        (Split(SPLIT.x[:0], SPLIT.y[:0]), ValueError, r"train_split\.x is empty"),
        (Split(SPLIT.x[:0], np.zeros((0, 3))), ValueError, r"train_split\.x is empty"),
        (Split(SPLIT.x, SPLIT.y[:-1]), ValueError, r"train_split\.y must have the shape \(23,\)"),
        (Split(SPLIT.x, SPLIT.y.tolist()), TypeError, r"train_split\.y must be a NumPy array of integers"),
        (Split(SPLIT.x, SPLIT.y + 1), ValueError, r"train_split\.y must lie in 0 \.\.\. 2"),
        (Split(SPLIT.x, SPLIT.y - 1), ValueError, r"train_split\.y must lie in 0 \.\.\. 2"),
        (Split(SPLIT.x, SPLIT.y.astype(float)), ValueError, "class labels must be integers"),
        (Split(SPLIT.x, np.zeros((23, 3), np.float32)), TypeError, "targets must be float64"),
        (Split(SPLIT.x, np.full((23, 3), np.nan)), ValueError, r"train_split\.y must be finite"),
        (Split(SPLIT.x[:4], SPLIT.y[:4]), ValueError, "batch_size is 5, but there are only 4 examples"),
    ],
)
def test_data_that_do_not_fit_are_refused(split, error, words):
    with pytest.raises(error, match=words):
        begin(NET, make_plan(), split)


def ones_but(name, value, net=NET):
    mask = Parameters.ones(net.layout)
    mask[name].flat[1] = value
    return mask


OTHER_NET = MLP((5, 6, 4, 3))


@pytest.mark.parametrize(
    "arguments, error, words",
    [
        ({"weight_mask": ones_but("W2", 2.0)}, ValueError, "weight_mask must hold only 0 and 1"),
        ({"weight_mask": ones_but("W2", np.nan)}, ValueError, "weight_mask must hold only 0 and 1"),
        ({"weight_mask": ones_but("b2", 0.0)}, ValueError, "0 somewhere in b2, but biases are never pruned"),
        ({"weight_mask": np.ones(NET.layout.size)}, ValueError, "weight_mask must be Parameters of this network"),
        ({"weight_mask": Parameters.ones(OTHER_NET.layout)}, ValueError, "weight_mask must be Parameters of this"),
        ({"weight_mask": Parameters.ones(NET.layout, replicates=(2,))}, ValueError, r"replicates \(2,\)"),
        (
            {"theta_0": Parameters.zeros(OTHER_NET.layout, dtype=float)},
            ValueError,
            "theta_0 must be Parameters of this",
        ),
        ({"theta_0": np.zeros(NET.layout.size)}, ValueError, "theta_0 must be Parameters of this network"),
        (
            {"theta_0": Parameters.zeros(NET.layout)},
            TypeError,
            "theta_0 has dtype float32, but the plan trains in float64",
        ),
        ({"theta_0": Parameters.ones(NET.layout, dtype=float) * np.nan}, ValueError, "theta_0 must be finite"),
        ({"seed": -1}, ValueError, "seed is -1"),
        ({"seed": 1.5}, TypeError, "seed must be an integer"),
        ({"seed": []}, ValueError, "seed is empty"),
        ({"seed": [1, None]}, TypeError, "seed must be an integer"),
    ],
)
def test_a_start_that_does_not_fit_is_refused(arguments, error, words):
    with pytest.raises(error, match=words):
        begin(NET, make_plan(), SPLIT, **arguments)


def test_other_examples_than_those_of_the_start_are_refused():
    state = begin(NET, make_plan(evaluate_every=1), SPLIT)
    list(itertools.islice(train(state, SPLIT), 3))
    with pytest.raises(ValueError, match="train_split has 11 examples, but this training has begun with 23"):
        next(train(state, OTHER))


@pytest.mark.parametrize("lr", [math.nan, math.inf, -0.1])
def test_a_schedule_that_gives_no_learning_rate_is_refused(lr):
    plan = make_plan(steps=5, schedule=lambda t: 0.1 if t < 2 else lr)
    state = begin(NET, plan, SPLIT)
    with pytest.raises(ValueError, match=f"learning rate {lr} after 2 steps"):
        finish(state)
    assert state.step == 2


def test_a_schedule_in_numbers_of_numpy_gives_the_same_bits():
    """A np.float64 would take float32 arithmetic to float64 and back, which rounds differently."""
    split = make_split(dtype=np.float32)
    plans = [make_plan(dtype="float32", schedule=schedule) for schedule in (0.1, lambda t: np.float64(0.1))]
    one, other = (finish(begin(NET, plan, split), split) for plan in plans)
    assert np.array_equal(one.theta.vector, other.theta.vector)
    assert all(type(record.lr) is float for record in other.history[1:])


@pytest.mark.parametrize(
    "changes, error, words",
    [
        ({"epochs": None}, ValueError, "give either epochs or steps, got epochs=None and steps=None"),
        ({"epochs": 2, "steps": 5}, ValueError, "give either epochs or steps"),
        ({"epochs": 0}, ValueError, "epochs is 0"),
        ({"epochs": 2.0}, TypeError, "epochs must be an integer"),
        ({"steps": True}, TypeError, "steps must be an integer"),
        ({"batch_size": 0}, ValueError, "batch_size is 0"),
        ({"batch_size": None}, TypeError, "batch_size must be an integer"),
        ({"evaluate_every": -1}, ValueError, "evaluate_every is -1"),
        ({"schedule": 0.0}, ValueError, "lr is 0.0"),
        ({"schedule": True}, TypeError, "lr must be a number"),
        ({"schedule": "cosine"}, TypeError, "schedule must be something like 0.01"),
        ({"schedule": Cosine}, TypeError, "schedule must be something like 0.01"),
        ({"optimizer": Adam}, TypeError, r"optimizer must be something like Adam\(\)"),
        ({"optimizer": "adam"}, TypeError, r"optimizer must be something like Adam\(\), got 'adam'"),
        ({"decay": 1e-4}, TypeError, r"decay must be something like Decay\("),
        ({"loss": "mse"}, TypeError, "loss must be something like softmax_cross_entropy"),
        ({"initializer": "he"}, TypeError, "initializer must be something like glorot_normal"),
        ({"dtype": "float16"}, ValueError, "dtype is float16"),
        ({"dtype": "complex128"}, ValueError, "dtype is complex128"),
        ({"dtype": "int32"}, ValueError, "dtype is int32"),
    ],
)
def test_a_wrong_plan_is_refused(changes, error, words):
    with pytest.raises(error, match=words):
        make_plan(**changes)


def test_a_plan_can_be_compared_and_printed():
    plan = TrainingPlan(epochs=np.int64(3), batch_size=np.int32(7), schedule=np.float64(0.5), dtype=np.float64)
    assert plan == TrainingPlan(epochs=3, batch_size=7, schedule=Constant(0.5), dtype="float64")
    assert repr(plan).startswith("TrainingPlan(epochs=3, steps=None, batch_size=7, ")
    assert plan.steps_per_epoch(21) == 3
    assert plan.steps_per_epoch(22) == 4
    assert plan.total_steps(22) == 12
    assert dataclasses.replace(plan, epochs=None, steps=5).total_steps(22) == 5


@pytest.mark.parametrize("optimizer", [SGD(), Momentum(0.9), Adam()], ids=lambda optimizer: type(optimizer).__name__)
def test_a_mask_that_is_switched_on_by_the_watcher_is_checked_and_holds_from_the_next_step(optimizer):
    plan = make_plan(steps=12, schedule=0.05, evaluate_every=1, optimizer=optimizer)
    state = begin(MLP((5, 7, 4, 3)), plan, SPLIT)
    mask = Parameters.ones(state.net.layout, dtype=np.dtype(plan.dtype))
    mask["W1"][:3] = 0
    for record in train(state, SPLIT):
        if record.step == 5:
            state.weight_mask = mask
        if record.step > 5:
            assert not state.theta["W1"][:3].any() and state.theta["W1"][3:].all()
            assert not any(slot[:21].any() for slot in state.optimizer.slots.values()), (
                "the optimizer has forgotten them"
            )
    state = begin(MLP((5, 7, 4, 3)), plan, SPLIT)
    with pytest.raises(ValueError, match="weight_mask must hold only 0 and 1"):
        for record in train(state, SPLIT):
            if record.step == 5:
                state.weight_mask = 0.5 * mask
    assert state.step == 5


def test_a_pair_that_is_no_split_is_refused_by_name():
    with pytest.raises(TypeError, match="train_split must be a Split"):
        begin(MLP((5, 7, 4, 3)), make_plan(steps=1), (SPLIT.x, SPLIT.y))


def test_every_step_is_told_to_whoever_asks():
    told = []
    state = begin(MLP((5, 7, 4, 3)), make_plan(steps=7, evaluate_every=3), SPLIT, seed=range(2))
    assert state.seed == (0, 1)
    assert [record.step for record in train(state, SPLIT, on_step=told.append)] == [0, 3, 6, 7]
    assert told == [1, 2, 3, 4, 5, 6, 7]

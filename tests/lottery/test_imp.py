"""Iterative magnitude pruning: every training starts where it should, and differs from its control in nothing but the start."""

import math
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numpynet.data import Dataset, Split, load_digits
from numpynet.equations.activations import tanh
from numpynet.initializers import he_uniform
from numpynet.lottery import imp
from numpynet.lottery.arms import reinit
from numpynet.lottery.imp import TICKET, Arm, iterative_pruning
from numpynet.lottery.prune_rules import prune_rule
from numpynet.network import MLP
from numpynet.optimizers import Adam, Decay, Momentum
from numpynet.parameters import Parameters
from numpynet.plan import TrainingPlan
from numpynet.pruning import magnitude_mask
from numpynet.seeding import streams
from numpynet.training import begin, train

NET = MLP((64, 9, 8, 10), keep_prob=0.8)
PLAN = TrainingPlan(
    epochs=1,
    batch_size=300,
    optimizer=Adam(),
    schedule=0.01,
    decay=Decay(coupled=1e-3),
    initializer=he_uniform,
    dtype="float64",
)
DATA = load_digits(dtype=np.float64)
SEEDS = [4, 11]
RATE, ROUNDS = 0.3, 3
REINIT = Arm("reinit")


class Row(NamedTuple):
    """What the tests look at of a level."""

    density: float
    ticket: list
    reinit: list
    weight_mask: Parameters


def hunt(net, plan, data, *, seeds, rate, rounds):
    """The ladder with its first control at every level, the dense one too."""
    levels = iterative_pruning(
        net,
        plan,
        data.train,
        seeds=seeds,
        rounds=rounds,
        prune=prune_rule(rate),
        controls={"reinit": reinit},
        dense_controls=True,
        monitors={"test": data.test},
    )
    return [
        Row(level.density, *(level.trained[arm].final("test") for arm in (TICKET, REINIT)), level.weight_mask)
        for level in levels
    ]


class Training(NamedTuple):
    """One training of the ladder, as it began and as it ended."""

    given: Parameters  # theta_0 as it was handed in
    start: Parameters
    weight_mask: Parameters
    optimizer: Any
    rngs: list
    end: Parameters
    accuracy: list


@pytest.fixture(scope="module")
def recorded():
    """A ladder whose trainings were watched: its levels, and the trainings in their order."""
    trainings, unfinished = [], []

    def watched_begin(net, plan, train_split, **arguments):
        state = begin(net, plan, train_split, **arguments)
        assert (net, plan, arguments["seed"]) == (NET, PLAN, SEEDS)
        assert np.array_equal(train_split.x, DATA.train.x)
        slots = {name: slot.copy() for name, slot in state.optimizer.slots.items()}
        rngs = [rng.bit_generator.state for rng in (*state.batch_rngs, *state.dropout_rngs)]
        unfinished.append(
            (
                arguments["theta_0"].copy(),
                state.theta.copy(),
                arguments["weight_mask"].copy(),
                (state.optimizer.step, slots),
                rngs,
            )
        )
        return state

    def watched_train(state, train_split, **keywords):
        for record in train(state, train_split, **keywords):
            yield record
        trainings.append(Training(*unfinished.pop(), state.theta.copy(), record.accuracy["test"]))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(imp, "begin", watched_begin)
        patch.setattr(imp, "train", watched_train)
        levels = hunt(NET, PLAN, DATA, seeds=SEEDS, rate=RATE, rounds=ROUNDS)
    assert not unfinished
    assert len(trainings) == 2 * len(levels) == 2 * (ROUNDS + 1)
    return levels, trainings[0::2], trainings[1::2]


def drawn(purpose):
    return NET.init([getattr(streams(s), purpose) for s in SEEDS], initializer=he_uniform, dtype=np.float64)


def bits(array):
    return np.ascontiguousarray(array).tobytes()


@pytest.mark.equation("L4")
def test_every_ticket_starts_at_theta_0_bit_for_bit(recorded):
    levels, tickets, _ = recorded
    theta_0 = drawn("init")
    for level, ticket in zip(levels, tickets, strict=True):
        alive = level.weight_mask.vector == 1
        assert bits(ticket.start.vector[alive]) == bits(theta_0.vector[alive])
        assert not ticket.start.vector[~alive].any()
    assert not alive.all()


@pytest.mark.equation("L4")
def test_theta_0_is_never_written_to(recorded):
    _, tickets, controls = recorded
    for arm, purpose in ((tickets, "init"), (controls, "reinit")):
        for training in arm:
            assert bits(training.given.vector) == bits(drawn(purpose).vector)


@pytest.mark.equation("L4")
@pytest.mark.equation("L5")
def test_every_training_has_a_fresh_optimizer_and_the_same_order_of_the_data(recorded):
    _, tickets, controls = recorded
    expected = [getattr(streams(s), purpose).bit_generator.state for purpose in ("batches", "dropout") for s in SEEDS]
    for training in (*tickets, *controls):
        step, slots = training.optimizer
        assert step == 0
        assert slots
        assert not any(slot.any() for slot in slots.values())
        assert training.rngs == expected


@pytest.mark.equation("L5")
def test_every_control_has_the_mask_of_its_ticket_on_fresh_weights(recorded):
    levels, tickets, controls = recorded
    fresh = drawn("reinit")
    for level, ticket, control in zip(levels, tickets, controls, strict=True):
        assert bits(control.weight_mask.vector) == bits(ticket.weight_mask.vector) == bits(level.weight_mask.vector)
        alive = level.weight_mask.vector == 1
        assert bits(control.start.vector[alive]) == bits(fresh.vector[alive])
        assert not control.start.vector[~alive].any()
        for name in NET.layout.weight_names:
            here = level.weight_mask[name] == 1
            assert (control.start[name][here] != ticket.start[name][here]).all()


def test_the_streams_of_a_seed_give_other_weights_to_the_control():
    assert np.all(drawn("init")["W1"] != drawn("reinit")["W1"])


@pytest.mark.equation("L9")
def test_the_dense_level_is_a_plain_training_bit_for_bit(recorded):
    levels, tickets, _ = recorded
    state = begin(NET, PLAN, DATA.train, seed=SEEDS)
    for record in train(state, DATA.train, monitors={"test": DATA.test}):
        last = record
    assert state.weight_mask is None
    assert bits(tickets[0].end.vector) == bits(state.theta.vector)
    assert levels[0].ticket == last.accuracy["test"]
    assert levels[0].density == 1.0


@pytest.mark.equation("L2")
@pytest.mark.equation("L7")
def test_the_masks_lose_exactly_their_share_round_by_round(recorded):
    levels, _, _ = recorded
    expected = [64 * 9, 9 * 8, 8 * 10]
    for level in levels:
        for name, n in zip(NET.layout.weight_names, expected):
            assert level.weight_mask[name].sum(axis=(-2, -1)).tolist() == [n, n]
        assert level.density == sum(expected) / NET.layout.n_weights
        expected = [n - math.floor(rate * n + 0.5) for n, rate in zip(expected, (RATE, RATE, RATE / 2))]


@pytest.mark.equation("L6")
def test_the_masks_only_shrink_and_spare_the_biases(recorded):
    levels, _, _ = recorded
    for before, after in zip(levels, levels[1:]):
        assert (after.weight_mask.vector <= before.weight_mask.vector).all()
        assert (after.weight_mask.vector < before.weight_mask.vector).any(axis=-1).all()
        for name in ("b1", "b2", "b3"):
            assert (after.weight_mask[name] == 1).all()


@pytest.mark.equation("P1")
def test_every_mask_is_that_of_the_weights_that_the_ticket_was_trained_to(recorded):
    levels, tickets, _ = recorded
    for before, ticket, after in zip(levels, tickets, levels[1:]):
        expected = magnitude_mask(ticket.end, before.weight_mask, rate=RATE)
        assert bits(after.weight_mask.vector) == bits(expected.vector)
    assert not np.array_equal(levels[1].weight_mask.replicate(0).vector, levels[1].weight_mask.replicate(1).vector)


def test_pruned_weights_are_0_at_the_end_and_the_others_have_moved(recorded):
    levels, tickets, controls = recorded
    for level, *arms in zip(levels, tickets, controls, strict=True):
        for training in arms:
            pruned = level.weight_mask.vector == 0
            assert not training.end.vector[pruned].any()
            assert (training.end.vector != training.start.vector)[~pruned].mean() > 0.5  # some pixels are never inked


def test_a_level_holds_the_accuracy_of_both_arms(recorded):
    levels, tickets, controls = recorded
    for level, ticket, control in zip(levels, tickets, controls, strict=True):
        assert (level.ticket, level.reinit) == (ticket.accuracy, control.accuracy)
        for arm, training in ((level.ticket, ticket), (level.reinit, control)):
            predicted = NET.predict(training.end, DATA.test.x, weight_mask=level.weight_mask)
            assert arm == (predicted == DATA.test.y).mean(axis=-1).tolist()


# ---- as a function --------------------------------------------------------------------------------------------------


def small_data(seed, n=40):
    rng = np.random.default_rng(seed)
    train, test = (Split(rng.standard_normal((m, 6)), rng.integers(0, 4, m)) for m in (n, n // 2))
    return Dataset("random", train, test, 4, None, "drawn")


SMALL_NET = MLP((6, 7, 4), activation=tanh)
SMALL_PLAN = TrainingPlan(steps=5, batch_size=9, optimizer=Momentum(0.9), schedule=0.1, dtype="float64")


@settings(max_examples=10)
@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=3, unique=True), st.floats(0, 0.7), st.integers(0, 2))
def test_replicates_are_the_hunts_of_their_seeds(seeds, rate, rounds):
    data = small_data(0)
    together = hunt(SMALL_NET, SMALL_PLAN, data, seeds=seeds, rate=rate, rounds=rounds)
    assert len(together) == rounds + 1
    for replicate, seed in enumerate(seeds):
        alone = hunt(SMALL_NET, SMALL_PLAN, data, seeds=[seed], rate=rate, rounds=rounds)
        for one, all_of_them in zip(alone, together, strict=True):
            assert one.density == all_of_them.density
            assert np.array_equal(one.weight_mask.vector[0], all_of_them.weight_mask.vector[replicate])
            assert one.ticket == [all_of_them.ticket[replicate]]
            assert one.reinit == [all_of_them.reinit[replicate]]


def test_the_same_seeds_give_the_same_levels():
    first, second = (hunt(SMALL_NET, SMALL_PLAN, small_data(1), seeds=[3, 5], rate=0.4, rounds=2) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        assert one[:3] == other[:3]
        assert bits(one.weight_mask.vector) == bits(other.weight_mask.vector)


def test_the_masks_of_the_levels_are_their_own():
    levels = hunt(SMALL_NET, SMALL_PLAN, small_data(1), seeds=[3, 5], rate=0.4, rounds=2)
    for i, one in enumerate(levels):
        for other in levels[i + 1 :]:
            assert not np.shares_memory(one.weight_mask.vector, other.weight_mask.vector)


def test_the_data_are_not_written_to():
    data, untouched = small_data(2), small_data(2)
    hunt(SMALL_NET, SMALL_PLAN, data, seeds=[3, 5], rate=0.4, rounds=1)
    for split, same in ((data.train, untouched.train), (data.test, untouched.test)):
        assert bits(split.x) == bits(same.x)
        assert bits(split.y) == bits(same.y)


def test_every_training_is_handed_to_the_trainer_in_the_order_of_the_levels():
    seen = []
    plain = imp.Monitored(small_data(1).train, {})

    def watching(training):
        seen.append((training.level, str(training.arm)))
        return plain(training)

    levels = iterative_pruning(
        SMALL_NET,
        SMALL_PLAN,
        small_data(1).train,
        seeds=[3],
        rounds=2,
        prune=prune_rule(0.4),
        controls={"reinit": reinit},
        trainer=watching,
    )
    assert not seen  # nothing runs before the first level is asked for
    assert [[str(arm) for arm in level.trained] for level in levels] == [["ticket"]] + 2 * [["ticket", "reinit_0"]]
    assert seen == [(0, "ticket"), *((n, arm) for n in (1, 2) for arm in ("ticket", "reinit_0"))]


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"seeds": []}, ValueError, r"seeds are \[\], but one for each replicate is needed"),
        ({"seeds": [3, 5, 3]}, ValueError, r"seeds are \[3, 5, 3\], .* all different"),
        ({"seeds": [-1]}, ValueError, "seed is -1"),
        ({"seeds": [0.5]}, TypeError, "seed must be an integer"),
        ({"rate": 1.2}, ValueError, r"rate is 1\.2, but 0 <= rate <= 1"),
        ({"rate": math.nan}, ValueError, "0 <= rate <= 1"),
        ({"rate": "0.2"}, TypeError, "rate must be a number"),
        ({"rounds": -1}, ValueError, "rounds is -1, but an integer >= 0"),
        ({"rounds": 1.5}, ValueError, "rounds is 1.5"),
        ({"rounds": True}, ValueError, "rounds is True"),
    ],
)
def test_wrong_input_is_refused_before_any_training(monkeypatch, wrong, error, message):
    monkeypatch.setattr(imp, "train", lambda *arguments, **keywords: pytest.fail("a training has begun"))
    with pytest.raises(error, match=message):
        hunt(SMALL_NET, SMALL_PLAN, small_data(0), **{"seeds": [3], "rate": 0.2, "rounds": 1} | wrong)


# ---- planted bugs: the tests above can fail -------------------------------------------------------------------------


def test_a_start_from_the_trained_weights_would_be_seen(recorded):
    _, tickets, _ = recorded
    theta_0 = drawn("init")
    for ticket in tickets:
        alive = ticket.weight_mask.vector == 1
        assert bits(ticket.end.vector[alive]) != bits(theta_0.vector[alive])


def test_an_optimizer_that_is_not_fresh_would_be_seen():
    state = begin(SMALL_NET, SMALL_PLAN, small_data(0).train, seed=3)
    for _ in train(state, small_data(0).train):
        pass
    assert state.optimizer.step == 5
    assert any(slot.any() for slot in state.optimizer.slots.values())

"""Moving masks: the count never changes, drop and grow are as defined, and what is grown starts from nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpynet.data.dataset import Split
from numpynet.equations.masks import complement, prune_count
from numpynet.network import MLP
from numpynet.optimizers import SGD, Adam, Decay, Momentum, Nesterov, RMSProp
from numpynet.parameters import Layout, Parameters
from numpynet.plan import TrainingPlan
from numpynet.pruning import (
    CosineDrop,
    GradualDensity,
    Move,
    alive_counts,
    dense_gradients,
    drop_and_grow,
    erdos_renyi,
    impose_mask,
    magnitude,
    prune_globally,
    prune_layerwise,
    random_scores,
    rigl_move,
    set_move,
)
from numpynet.training import begin, train
from tests.pruning.nets import counts, random_mask, random_net, random_split, random_theta
from tests.strategies import seeds

pytestmark = pytest.mark.filterwarnings("ignore::numpynet.pruning.DisconnectedWarning")

LAYOUT = Layout.of_sizes((6, 5, 4, 3))
NAMES = LAYOUT.weight_names
fractions = st.sampled_from([0.0, 0.1, 0.3, 1.0]) | st.floats(0, 1)
OPTIMIZERS = [SGD(), Momentum(0.9), Nesterov(0.8), RMSProp(), Adam()]


def moves(seed: int, theta: Parameters, mask: Parameters, fraction: float, **options) -> list[Move]:
    """A move of each kind, RigL with many equal gradients."""
    G = Parameters(np.random.default_rng(seed).integers(-3, 4, size=theta.layout.size).astype(float), theta.layout)
    return [
        set_move(np.random.default_rng(seed), theta, mask, fraction, **options),
        rigl_move(theta, mask, G, fraction, **options),
    ]


def move_plainly(W: np.ndarray, mask: np.ndarray, growth: np.ndarray, fraction: float) -> np.ndarray:
    """The rule as it is spoken, for one layer."""
    alive = [i for i in range(W.size) if mask.flat[i]]
    k = int(np.floor(fraction * len(alive) + 0.5))
    dropped = sorted(alive, key=lambda i: (abs(W.flat[i]), i))[:k]
    dead = [i for i in range(W.size) if not mask.flat[i] or i in dropped]
    grown = sorted(dead, key=lambda i: (-growth.flat[i], i))[:k]
    new = mask.copy()
    new.reshape(-1)[dropped] = 0
    new.reshape(-1)[grown] = 1
    return new


@pytest.mark.equation("P18", "P19")
@given(seed=seeds, fraction=fractions, density=st.sampled_from([0.1, 0.5, 0.9, 1.0]))
def test_the_count_of_every_layer_stays(seed: int, fraction: float, density: float) -> None:
    theta, mask = random_theta(LAYOUT, seed), random_mask(LAYOUT, seed, density)
    theta = theta * mask
    kept = theta.copy(), mask.copy()
    for move in moves(seed, theta, mask, fraction):
        assert counts(move.weight_mask) == counts(mask)
        assert set(np.unique(move.weight_mask.vector)) <= {0.0, 1.0}
        for name in NAMES:
            k = prune_count(fraction, int(mask[name].sum()))
            assert move.dropped[name].sum() == move.grown[name].sum() == k
            assert (move.dropped[name] <= mask[name]).all()  # only the living are dropped
            after_drop = mask[name] - move.dropped[name]
            assert not (move.grown[name] * after_drop).any()  # only the dead grow
            assert np.array_equal(move.weight_mask[name], after_drop + move.grown[name])
        assert not any(part[f"b{layer}"].any() for part in move[1:] for layer in (1, 2, 3))
    assert np.array_equal(theta.vector, kept[0].vector) and np.array_equal(mask.vector, kept[1].vector)


@pytest.mark.equation("P19")
@given(seed=seeds, fraction=fractions)
def test_rigl_is_the_plain_rule_with_ties(seed: int, fraction: float) -> None:
    rng = np.random.default_rng(seed)
    theta = Parameters(rng.integers(-3, 4, size=LAYOUT.size).astype(float), LAYOUT)
    G = Parameters(rng.integers(-2, 3, size=LAYOUT.size).astype(float), LAYOUT)
    mask = random_mask(LAYOUT, seed)
    new = rigl_move(theta, mask, G, fraction).weight_mask
    for name in NAMES:
        assert np.array_equal(new[name], move_plainly(theta[name], mask[name], np.abs(G[name]), fraction))


@pytest.mark.equation("P18")
@given(seed=seeds, fraction=fractions)
def test_set_drops_as_rigl_does_and_grows_by_its_generator(seed: int, fraction: float) -> None:
    theta, mask = random_theta(LAYOUT, seed), random_mask(LAYOUT, seed)
    first, second = (set_move(np.random.default_rng(seed), theta, mask, fraction) for _ in range(2))
    assert np.array_equal(first.weight_mask.vector, second.weight_mask.vector)
    growth = random_scores(np.random.default_rng(seed), LAYOUT)
    for name in NAMES:
        assert np.array_equal(first.weight_mask[name], move_plainly(theta[name], mask[name], growth[name], fraction))


@pytest.mark.equation("P18")
def test_set_grows_everywhere_among_the_dead() -> None:
    """Also where it has just dropped: 40 draws reach all of the 12 dead places, none of the 11 living."""
    theta, mask = random_theta(Layout.of_sizes((4, 5)), 3), random_mask(Layout.of_sizes((4, 5)), 3, 0.5)
    rng, grown = np.random.default_rng(0), np.zeros((4, 5))
    for _ in range(60):
        move = set_move(rng, theta, mask, 0.3)
        grown += move.grown["W1"]
    after_drop = mask["W1"] - move.dropped["W1"]
    assert np.array_equal(grown > 0, after_drop == 0)


@pytest.mark.equation("P19")
def test_the_gradient_of_training_would_tell_nothing() -> None:
    """Planted: with the masked gradient all the dead look alike, and the lowest index grows instead of the neediest."""
    net, theta, split = random_net(1)
    mask = random_mask(net.layout, 1, 0.5)
    theta = theta * mask
    G = dense_gradients(net, theta, split, weight_mask=mask)
    right, wrong = rigl_move(theta, mask, G, 0.3), rigl_move(theta, mask, G * mask, 0.3)
    assert not np.array_equal(right.weight_mask.vector, wrong.weight_mask.vector)
    for name in NAMES:  # the neediest of those that stay dead needs no more than the least needy of the grown
        size, grown = np.abs(G[name]), right.grown[name] == 1
        assert size[grown].min() >= size[right.weight_mask[name] == 0].max()


@given(seed=seeds, fraction=fractions, frozen=st.sets(st.sampled_from(NAMES)))
def test_frozen_layers_do_not_move(seed: int, fraction: float, frozen: set[str]) -> None:
    theta, mask = random_theta(LAYOUT, seed), random_mask(LAYOUT, seed)
    for move in moves(seed, theta, mask, fraction, frozen=frozen):
        for name in frozen:
            assert np.array_equal(move.weight_mask[name], mask[name])
            assert not move.dropped[name].any() and not move.grown[name].any()


@given(seed=seeds, dtype=st.sampled_from([np.float32, np.float64]))
def test_replicates_move_each_by_itself(seed: int, dtype: type) -> None:
    theta = random_theta(LAYOUT, seed, dtype=dtype, replicates=(3,))
    mask = random_mask(LAYOUT, seed, dtype=dtype, replicates=(3,))
    G = random_theta(LAYOUT, seed + 1, dtype=dtype, replicates=(3,))
    rngs = [[np.random.default_rng([seed, r]) for r in range(3)] for _ in range(2)]
    grown_at_random, grown_by_need = set_move(rngs[0], theta, mask, 0.3), rigl_move(theta, mask, G, 0.3)
    for r in range(3):
        alone = theta.replicate(r), mask.replicate(r)
        assert np.array_equal(grown_at_random.weight_mask.vector[r], set_move(rngs[1][r], *alone, 0.3)[0].vector)
        assert np.array_equal(grown_by_need.weight_mask.vector[r], rigl_move(*alone, G.replicate(r), 0.3)[0].vector)
    assert all(part.dtype == dtype for part in (*grown_at_random, *grown_by_need))


@pytest.mark.equation("P18", "P19")
@given(seed=seeds)
def test_growing_at_0_does_not_change_the_function(seed: int) -> None:
    net, theta, split = random_net(seed)
    mask = random_mask(net.layout, seed, 0.5)
    for move in moves(seed, theta * mask, mask, 0.3):
        after_drop = mask - move.dropped
        grown_theta = theta * after_drop  # grown weights are 0
        before, _ = net.forward(grown_theta, split.x, weight_mask=after_drop)
        after, _ = net.forward(grown_theta, split.x, weight_mask=move.weight_mask)
        assert np.array_equal(before, after)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"drop_fraction": 1.2}, ValueError, "drop_fraction: rate is 1.2"),
        ({"weight_mask": None}, TypeError, "weight_mask must be Parameters"),
        ({"theta": "nan"}, ValueError, r"score of W2\[0, 1\] is NaN"),
        ({"growth_scores": "nan"}, ValueError, r"score of W2\[0, 1\] is NaN"),
        ({"frozen": ("W9",)}, ValueError, "frozen names 'W9'"),
    ],
)
def test_what_cannot_move_is_refused(arguments: dict, error: type, message: str) -> None:
    nan = random_theta(LAYOUT, 0)
    nan["W2"][0, 1] = np.nan
    whole = {"theta": random_theta(LAYOUT, 0), "weight_mask": Parameters.ones(LAYOUT, dtype=np.float64)}
    whole |= {"growth_scores": random_theta(LAYOUT, 1), "drop_fraction": 0.3}
    whole |= {name: nan if isinstance(value, str) else value for name, value in arguments.items()}
    with pytest.raises(error, match=message):
        drop_and_grow(**whole)


# ---- in a training ---------------------------------------------------------------------------------------------------


def sparse_training(optimizer, decay: Decay, seed: int, *, replicates: bool = False):
    """A training under a mask with ER budgets, with a record every 3 of 12 steps."""
    net = MLP((6, 8, 7, 3), keep_prob=0.8)
    split = random_split(net.sizes, seed, N=20)
    plan = TrainingPlan(
        steps=12, batch_size=5, optimizer=optimizer, schedule=0.05, decay=decay, evaluate_every=3, dtype="float64"
    )
    rng = np.random.default_rng(seed)
    mask = prune_layerwise(
        random_scores(rng, net.layout),
        Parameters.ones(net.layout, dtype=np.float64),
        density=erdos_renyi(net.layout, 0.4),
    )
    return net, split, begin(net, plan, split, seed=[seed, seed + 1] if replicates else seed, weight_mask=mask)


@pytest.mark.equation("P18", "P19", "M16")
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda o: type(o).__name__)
@pytest.mark.parametrize("decay", [Decay(), Decay(coupled=0.01), Decay(decoupled=0.1, max_norm=1.0)], ids=str)
@pytest.mark.parametrize("replicates", [False, True])
def test_moving_masks_in_training(optimizer, decay: Decay, replicates: bool) -> None:
    """The count stays, the dead are exactly 0 at every record, the grown start at 0 with an empty memory, and do learn."""
    net, split, state = sparse_training(optimizer, decay, 3, replicates=replicates)
    start, exchange = alive_counts(state.weight_mask), CosineDrop(steps=12, initial=0.4)
    learned, move = False, None
    rng = np.random.default_rng(7)
    rngs = [np.random.default_rng(r) for r in range(2)] if replicates else rng
    for record in train(state, split):
        assert not (state.theta * complement(state.weight_mask)).vector.any()
        if move is not None:
            learned = learned or bool((state.theta * move.grown).vector.any())
        if 0 < record.step < 12:
            mask = state.weight_mask
            if record.step == 3:
                G = dense_gradients(net, state.theta, split, weight_mask=mask)
                move = rigl_move(state.theta, mask, G, exchange(record.step))
            else:
                move = set_move(rngs, state.theta, mask, exchange(record.step))
            logits, _ = net.forward(state.theta, split.x, weight_mask=mask * complement(move.dropped))
            impose_mask(state, move.weight_mask, grown=move.grown)
            assert np.array_equal(logits, net.forward(state.theta, split.x, weight_mask=state.weight_mask)[0])
            fresh = (complement(state.weight_mask) + move.grown).vector
            assert not (state.theta.vector * fresh).any()
            assert not any((slot * fresh).any() for slot in state.optimizer.slots.values())
            assert move.grown.vector.any()
    expected = {name: [n, n] for name, n in start.items()} if replicates else start
    assert alive_counts(state.weight_mask) == expected
    assert learned


@pytest.mark.equation("P16", "M16")
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda o: type(o).__name__)
def test_a_mask_imposed_in_mid_training_leaves_the_dead_at_exactly_0(optimizer) -> None:
    net = MLP((6, 8, 7, 3))
    split = random_split(net.sizes, 1, N=20)
    plan = TrainingPlan(
        steps=9, batch_size=5, optimizer=optimizer, schedule=0.05, evaluate_every=1, dtype="float64",
        decay=Decay(coupled=0.01),
    )  # fmt: skip
    state, falling = begin(net, plan, split), GradualDensity(0.2, steps=6, start=2)
    mask = Parameters.ones(net.layout, dtype=np.float64)
    for record in train(state, split):
        assert not (state.theta * complement(mask)).vector.any()
        mask = prune_globally(magnitude(state.theta), mask, density=falling(record.step))
        impose_mask(state, mask)
        assert sum(counts(state.weight_mask)) == 125 - prune_count(1 - falling(record.step), 125)
        assert not any((slot * complement(mask).vector).any() for slot in state.optimizer.slots.values())
        assert not np.shares_memory(state.weight_mask.vector, mask.vector)


@pytest.mark.equation("N11")
def test_without_forgetting_the_grown_would_start_with_old_momentum() -> None:
    """Planted: only the mask is exchanged, so a weight that is dropped and grown again remembers what it was."""
    _, split, state = sparse_training(Momentum(0.9), Decay(), 3)
    next(record for record in train(state, split) if record.step == 3)
    move = drop_and_grow(state.theta, state.weight_mask, magnitude(state.theta), 0.4)  # the large |W| grow: the dropped
    state.weight_mask = move.weight_mask
    assert (state.optimizer.slots["v"] * move.grown.vector).any() and (state.theta * move.grown).vector.any()
    impose_mask(state, move.weight_mask, grown=move.grown)
    assert not (state.optimizer.slots["v"] * move.grown.vector).any() and not (state.theta * move.grown).vector.any()


def test_impose_refuses_a_mask_of_another_network() -> None:
    _, split, state = sparse_training(SGD(), Decay(), 3)
    assert isinstance(split, Split)
    before = state.theta.copy()
    with pytest.raises(ValueError, match="weight_mask must be Parameters of this network"):
        impose_mask(state, Parameters.ones(LAYOUT, dtype=np.float64))
    assert np.array_equal(state.theta.vector, before.vector)

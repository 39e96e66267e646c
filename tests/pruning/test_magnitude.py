"""Magnitude pruning: exact counts in every layer, the right weights, and none that comes back."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpynet.network import MLP
from numpynet.parameters import Layout, Parameters
from numpynet.pruning import magnitude_mask
from numpynet.pruning.magnitude import weight_density
from tests.strategies import binary, network_sizes, seeds

# Whoever prunes the smallest layers that there are cuts all paths now and then; the warning has a test of its own.
pytestmark = pytest.mark.filterwarnings("ignore:.*no path is left")

rates = st.one_of(st.sampled_from([0.0, 0.1, 0.2, 1 / 3, 0.7, 1.0]), st.floats(0, 1))
depths = st.integers(2, 4).flatmap(network_sizes)

# Survivors of each layer by round, at rate 0.2 and half of it in the last layer: the table of the equation book.
LADDERS = {
    (784, 300, 100, 10): {
        0: (235200, 30000, 1000),
        1: (188160, 24000, 900),
        3: (120422, 15360, 729),
        5: (77070, 9830, 590),
        7: (49325, 6291, 478),
        9: (31568, 4026, 387),
        12: (16162, 2062, 282),
        15: (8275, 1056, 206),
        18: (4237, 541, 149),  # 185 of 1000 are left before it: 18.5 is rounded up
        20: (2712, 346, 121),
    },
    (40, 100, 100, 10): {
        0: (4000, 10000, 1000),
        1: (3200, 8000, 900),
        3: (2048, 5120, 729),
        5: (1310, 3277, 590),
        7: (838, 2098, 478),
        9: (536, 1342, 387),
        12: (274, 687, 282),
        15: (140, 352, 206),
        20: (46, 116, 121),
    },
}
TOTALS = {
    (784, 300, 100, 10): {0: 266200, 1: 213060, 9: 35981, 18: 4927, 20: 3179},
    (40, 100, 100, 10): {0: 15000, 1: 12100, 9: 2265, 15: 698, 20: 283},
}


def random_theta(sizes, seed, replicates=(), *, ties=False, dtype=np.float64):
    layout = Layout.of_sizes(sizes)
    vector = np.random.default_rng(seed).standard_normal((*replicates, layout.size))
    return Parameters((np.round(vector) if ties else vector).astype(dtype), layout)


def random_mask(theta, seed, density=0.6):
    rng, mask = (
        np.random.default_rng(seed),
        Parameters.ones(theta.layout, replicates=theta.replicates, dtype=theta.dtype),
    )
    for name in theta.layout.weight_names:
        mask[name] = binary(rng, mask[name].shape, density, theta.dtype)
    return mask


def survivors(mask):
    return tuple(int(mask[name].sum()) for name in mask.layout.weight_names)


def book_count(rate, alive):
    return math.floor(rate * alive + 0.5)


# ---- counts ---------------------------------------------------------------------------------------------------------


@pytest.mark.equation("L2")
@pytest.mark.equation("L7")
@given(depths, rates, rates, seeds, st.booleans())
def test_every_layer_loses_exactly_its_share_of_the_survivors(sizes, rate, output_rate, seed, ties):
    theta = random_theta(sizes, seed, ties=ties)
    before = random_mask(theta, seed + 1)
    after = magnitude_mask(theta, before, rate=rate, output_rate=output_rate)
    *hidden, output = survivors(before)
    expected = [alive - book_count(rate, alive) for alive in hidden]
    assert survivors(after) == (*expected, output - book_count(output_rate, output))


@pytest.mark.equation("L7")
@given(depths, rates, seeds)
def test_the_output_layer_loses_half_the_rate_unless_told_otherwise(sizes, rate, seed):
    theta = random_theta(sizes, seed)
    by_default = magnitude_mask(theta, rate=rate)
    assert np.array_equal(by_default.vector, magnitude_mask(theta, rate=rate, output_rate=rate / 2).vector)
    d_in, d_out = sizes[-2:]
    assert survivors(by_default)[-1] == d_in * d_out - book_count(rate / 2, d_in * d_out)


@pytest.mark.equation("L2")
@pytest.mark.equation("L3")
@pytest.mark.equation("L7")
@pytest.mark.parametrize("sizes", LADDERS)
def test_the_published_ladders(sizes):
    net, mask = MLP(sizes), None
    theta = net.init(np.random.default_rng(sum(sizes)))
    for round_ in range(21):
        alive = survivors(Parameters.ones(net.layout) if mask is None else mask)
        assert alive == LADDERS[sizes].get(round_, alive)
        assert sum(alive) == TOTALS[sizes].get(round_, sum(alive))
        for n_0, n, rate in zip(LADDERS[sizes][0], alive, (0.2, 0.2, 0.1)):  # how far rounding may take it
            assert abs(n - n_0 * (1 - rate) ** round_) <= (1 - (1 - rate) ** round_) / (2 * rate) + 1e-9
        mask = magnitude_mask(theta, mask, rate=0.2)


# ---- which ----------------------------------------------------------------------------------------------------------


@pytest.mark.equation("P1")
@pytest.mark.equation("L2")
@given(depths, rates, seeds, st.booleans())
def test_what_goes_comes_before_what_stays_in_the_order_of_magnitude_and_index(sizes, rate, seed, ties):
    theta = random_theta(sizes, seed, ties=ties)
    before = random_mask(theta, seed + 1)
    after = magnitude_mask(theta, before, rate=rate)
    for name in theta.layout.weight_names:
        magnitude = np.abs(theta[name]).ravel()
        gone, kept = (before[name] - after[name]).ravel(), after[name].ravel()
        order = [(magnitude[i], i) for i in range(magnitude.size)]
        last_gone = max((order[i] for i in np.flatnonzero(gone)), default=(-1.0, -1))
        first_kept = min((order[i] for i in np.flatnonzero(kept)), default=(math.inf, 0))
        assert last_gone < first_kept


@pytest.mark.equation("L2")
def test_among_equal_magnitudes_the_lower_index_goes_first():
    theta = Parameters(np.array([0.5, -0.5, 0.5, 0.5, -0.5, 0.5, 9.0, 9.0]), Layout.of_sizes((3, 2)))
    mask = magnitude_mask(theta, rate=0.3, output_rate=0.34)  # 2 of 6
    assert mask["W1"].ravel().tolist() == [0, 0, 1, 1, 1, 1]
    again = magnitude_mask(theta, mask, rate=0.3, output_rate=0.25)  # 1 of 4
    assert again["W1"].ravel().tolist() == [0, 0, 0, 1, 1, 1]


@pytest.mark.equation("P1")
@given(depths, rates, seeds, st.sampled_from([1e-3, 0.3, 7.0]))
def test_neither_sign_nor_scale_of_a_layer_matters(sizes, rate, seed, scale):
    theta = random_theta(sizes, seed)
    other = theta.copy()
    for name in theta.layout.weight_names:
        signs = np.where(np.random.default_rng(seed + 1).random(theta[name].shape) < 0.3, -1.0, 1.0)
        other[name] = scale * signs * theta[name]
    assert np.array_equal(magnitude_mask(theta, rate=rate).vector, magnitude_mask(other, rate=rate).vector)


@pytest.mark.equation("L6")
@given(depths, rates, seeds, st.booleans(), st.floats(1, 1e6))
def test_nothing_comes_back_however_large_it_has_become(sizes, rate, seed, ties, boost):
    theta = random_theta(sizes, seed, ties=ties)
    before = random_mask(theta, seed + 1)
    theta += boost * (1 - before)  # pruned weights that have moved, and are the largest of all
    after = magnitude_mask(theta, before, rate=rate)
    assert (after.vector <= before.vector).all()
    assert set(np.unique(after.vector)) <= {0.0, 1.0}


@given(depths, seeds)
def test_rate_0_changes_nothing_and_rate_1_empties(sizes, seed):
    theta = random_theta(sizes, seed)
    before = random_mask(theta, seed + 1)
    same = magnitude_mask(theta, before, rate=0)
    assert np.array_equal(same.vector, before.vector)
    assert not np.shares_memory(same.vector, before.vector)
    empty = magnitude_mask(theta, before, rate=1, output_rate=1)
    assert survivors(empty) == (0,) * (len(sizes) - 1)


# ---- the rest of the vector -----------------------------------------------------------------------------------------


@pytest.mark.equation("L7")
@given(depths, rates, seeds)
def test_biases_are_never_pruned_nor_counted(sizes, rate, seed):
    theta = random_theta(sizes, seed)
    for name, part in theta.items():
        if name not in theta.layout.weight_names:
            part[...] = 0  # smaller than every weight
    after = magnitude_mask(theta, random_mask(theta, seed + 1), rate=rate)
    for name in theta.layout.shapes:
        if name not in theta.layout.weight_names:
            assert (after[name] == 1).all()
    assert weight_density(after) == sum(survivors(after)) / theta.layout.n_weights


@given(depths, rates, seeds, st.booleans(), st.sampled_from([(1,), (3,), (2, 3)]))
def test_replicates_are_pruned_each_by_itself(sizes, rate, seed, ties, replicates):
    theta = random_theta(sizes, seed, replicates, ties=ties)
    before = random_mask(theta, seed + 1)
    shared = random_mask(theta.replicate((0,) * len(replicates)), seed + 2)
    for mask in (None, before, shared):
        after = magnitude_mask(theta, mask, rate=rate)
        assert after.replicates == replicates
        for r in np.ndindex(replicates):
            own = mask if mask is None or mask is shared else mask.replicate(r)
            alone = magnitude_mask(theta.replicate(r), own, rate=rate)
            assert np.array_equal(after.replicate(r).vector, alone.vector)
        expected = np.array([weight_density(after.replicate(r)) for r in np.ndindex(replicates)]).reshape(replicates)
        assert np.array_equal(weight_density(after), expected)


@given(depths, rates, seeds, st.sampled_from([np.float32, np.float64]))
def test_no_argument_is_written_to_and_the_dtype_stays(sizes, rate, seed, dtype):
    theta = random_theta(sizes, seed, dtype=dtype)
    mask = random_mask(theta, seed + 1)
    before = theta.vector.copy(), mask.vector.copy()
    assert magnitude_mask(theta, mask, rate=rate).dtype == dtype
    assert magnitude_mask(theta, rate=rate).dtype == dtype
    assert np.array_equal(theta.vector, before[0])
    assert np.array_equal(mask.vector, before[1])


# ---- bad input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [-0.1, 1.1, math.nan, math.inf])
def test_a_rate_outside_0_to_1_is_refused(rate):
    theta = random_theta((4, 3, 2), 0)
    with pytest.raises(ValueError, match=r"rate is .*, but 0 <= rate <= 1 is needed.*0\.2 for 20 %"):
        magnitude_mask(theta, rate=rate)
    with pytest.raises(ValueError, match="0 <= rate <= 1"):
        magnitude_mask(theta, rate=0.2, output_rate=rate)


@pytest.mark.parametrize("rate", ["0.2", None, True, [0.2]])
def test_a_rate_that_is_no_number_is_refused(rate):
    with pytest.raises(TypeError, match=r"rate must be a number in \[0, 1\]"):
        magnitude_mask(random_theta((4, 3, 2), 0), rate=rate)


def test_a_network_without_a_path_is_warned_of():
    with pytest.warns(UserWarning, match="no path is left"):
        magnitude_mask(random_theta((4, 3, 2), 0), rate=1)


def test_a_mask_that_does_not_fit_is_refused():
    theta = random_theta((4, 3, 2), 0, (5,))
    with pytest.raises(ValueError, match="weight_mask belongs to another network"):
        magnitude_mask(theta, Parameters.ones(Layout.of_sizes((4, 5, 2))), rate=0.2)
    for replicates in ((4,), (2, 5)):
        with pytest.raises(ValueError, match=r"weight_mask has the replicates .*, but theta has \(5,\)"):
            magnitude_mask(theta, Parameters.ones(theta.layout, replicates=replicates), rate=0.2)
    with pytest.raises(ValueError, match=r"weight_mask has the replicates \(5,\), but theta has \(\)"):
        magnitude_mask(theta.replicate(0), Parameters.ones(theta.layout, replicates=(5,)), rate=0.2)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("W1", 0.5, r"weight_mask.* must hold only 0 and 1, but .*W1\[3, 0\] is .*0\.5"),
        ("W2", -1.0, r"weight_mask.* must hold only 0 and 1, but .*W2\[2, 0\] is .*-1\.0"),
        ("b1", 0.0, "weight_mask is .* b1.*, but biases are never pruned"),
    ],
)
def test_a_mask_that_is_none_is_refused(name, value, message):
    theta = random_theta((4, 3, 2), 0)
    mask = Parameters.ones(theta.layout, dtype=theta.dtype)
    mask[name][-1] = value
    with pytest.raises(ValueError, match=message):
        magnitude_mask(theta, mask, rate=0.2)


def test_weights_of_a_training_that_diverged_are_refused():
    theta = random_theta((4, 3, 2), 0)
    theta["W1"][1, 2] = np.nan
    with pytest.raises(ValueError, match=r"W1\[1, 2\] is NaN: it cannot be ranked\. Has the training diverged\?"):
        magnitude_mask(theta, rate=0.2)


# ---- planted bugs: what goes wrong elsewhere, and how the counts show it --------------------------------------------


def above_a_cutoff(scores, alive, k):
    return alive * (scores > np.sort(scores[alive == 1])[k])


def up_to_a_cutoff(scores, alive, k):
    return alive * ~(scores <= np.sort(scores[alive == 1])[k])


def below_a_percentile(scores, alive, k):
    return alive * ~(scores < np.percentile(scores[alive == 1], 100 * k / alive.sum()))


@pytest.mark.equation("L8")
@pytest.mark.parametrize(
    ("rule", "ties", "left"),
    [
        (above_a_cutoff, False, 799),
        (up_to_a_cutoff, False, 799),
        (above_a_cutoff, True, None),
        (below_a_percentile, True, None),
    ],
)
def test_rules_by_threshold_miss_the_count(rule, ties, left):
    theta = random_theta((50, 20), 3, ties=ties)
    alive = np.ones((50, 20))
    found = int(rule(np.abs(theta["W1"]), alive, 200).sum())
    assert found != 800
    assert left in (None, found)
    assert survivors(magnitude_mask(theta, rate=0.2, output_rate=0.2)) == (800,)


@pytest.mark.equation("L8")
def test_a_rate_that_went_through_percent_misses_the_count():
    per_cent = (1 - 0.8) * 100  # 19.999999999999996
    assert 235200 - int(235200 * per_cent / 100) == 188161
    assert book_count(0.2, 235200) == 47040


@pytest.mark.equation("L6")
def test_a_mask_read_off_the_weights_would_revive_them():
    theta = random_theta((6, 5, 4), 2)
    before = random_mask(theta, 3)
    moved = theta * before + 1e-9 * (1 - before)  # an optimizer has leaked
    read_off = Parameters((moved.vector != 0).astype(float), theta.layout)
    assert (read_off.vector > before.vector).any()
    assert (magnitude_mask(moved, before, rate=0.2).vector <= before.vector).all()

"""Masks of whole networks from one array for each layer, and Erdos-Renyi budgets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpynet.parameters import Layout, Parameters
from numpynet.pruning import (
    alive_counts,
    dense_mask,
    erdos_renyi,
    layer_counts,
    mask_from_arrays,
    prune_layerwise,
    random_scores,
)
from tests.pruning.nets import random_mask
from tests.strategies import seeds

LAYOUT = Layout.of_sizes((4, 3, 2))


def arrays_of(mask: Parameters) -> dict[str, np.ndarray]:
    return {name: mask[name].copy() for name in mask.layout.weight_names}


@given(seed=seeds, dtype=st.sampled_from([np.float32, np.float64]), lead=st.sampled_from([(), (2,), (2, 3)]))
def test_a_mask_is_rebuilt_from_its_arrays_by_name(seed: int, dtype: type, lead: tuple[int, ...]) -> None:
    mask = random_mask(LAYOUT, seed, dtype=dtype, replicates=lead)
    arrays = arrays_of(mask)
    for order in (arrays, dict(reversed(arrays.items()))):
        rebuilt = mask_from_arrays(order, LAYOUT)
        assert np.array_equal(rebuilt.vector, mask.vector) and rebuilt.dtype == dtype
    assert not np.shares_memory(rebuilt["W1"], arrays["W1"])


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda a: a.pop("W2"), ValueError, r"named \['W1'\], but this network has the weight matrices \['W1', 'W2'\]"),
        (lambda a: a.update(W3=np.ones((2, 1))), ValueError, "W3"),
        (lambda a: a.update(b1=np.ones(3)), ValueError, "none for a bias"),
        (lambda a: a.update(W2=np.ones((2, 3))), ValueError, r"W2 has shape \(2, 3\), but \(3, 2\)"),
        (lambda a: a.update(W1=np.ones(3)), ValueError, r"W1 has shape \(3,\)"),
        (lambda a: a.update(W2=np.ones((3, 2), np.float32)), TypeError, "float32"),
        (lambda a: a.update(W2=np.full((3, 2), 0.5)), ValueError, "only 0 and 1"),
        (lambda a: a.update(W2=[[1, 0]]), TypeError, "W2 must be a NumPy array"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(change, error: type, message: str) -> None:
    arrays = arrays_of(dense_mask(Parameters.zeros(LAYOUT, dtype=np.float64)))
    change(arrays)
    with pytest.raises(error, match=message):
        mask_from_arrays(arrays, LAYOUT)


# ---- budgets ---------------------------------------------------------------------------------------------------------


@pytest.mark.equation("P20")
def test_the_budgets_of_the_book() -> None:
    lenet, small = Layout.of_sizes((784, 300, 100, 10)), Layout.of_sizes((40, 100, 100, 10))
    budget = erdos_renyi(lenet, 0.1)
    assert layer_counts(lenet, budget) == {"W1": 18714, "W2": 6906, "W3": 1000}
    assert round(budget["W1"] * 784 * 300 / (784 + 300), 3) == 17.264  # epsilon
    assert layer_counts(small, erdos_renyi(small, 0.2)) == {"W1": 933, "W2": 1333, "W3": 733}  # 2999 for 3000


@pytest.mark.equation("P20")
@given(sizes=st.lists(st.integers(1, 60), min_size=2, max_size=6), density=st.floats(0, 1))
def test_budgets_have_the_right_total_and_one_epsilon(sizes: list[int], density: float) -> None:
    layout = Layout.of_sizes(sizes)
    budget = erdos_renyi(layout, density)
    size = {name: layout.shapes[name][0] * layout.shapes[name][1] for name in layout.weight_names}
    units = {name: sum(layout.shapes[name]) for name in layout.weight_names}
    assert all(0 <= d <= 1 for d in budget.values())
    assert sum(budget[name] * size[name] for name in size) == pytest.approx(density * layout.n_weights, abs=1e-9)
    epsilons = [budget[name] * size[name] / units[name] for name in size if budget[name] < 1]
    assert np.ptp(epsilons) <= 1e-9 if epsilons else density == pytest.approx(1)
    for name in size:  # a dense layer would have asked for all its weights or more
        if budget[name] == 1 and epsilons:
            assert max(epsilons) * units[name] >= size[name] * (1 - 1e-9)
    total = sum(layer_counts(layout, budget).values())
    assert abs(total - density * layout.n_weights) <= 0.5 * len(size) + 1e-6


@pytest.mark.equation("P20", "P2")
def test_a_random_sparse_network_with_budgets() -> None:
    layout = Layout.of_sizes((40, 100, 100, 10))
    scores = random_scores(np.random.default_rng(0), layout)
    mask = prune_layerwise(scores, Parameters.ones(layout), density=erdos_renyi(layout, 0.2))
    assert alive_counts(mask) == {"W1": 933, "W2": 1333, "W3": 733}


@pytest.mark.parametrize("density", [-0.1, 1.1, float("nan")])
def test_a_budget_that_is_no_share_is_refused(density: float) -> None:
    with pytest.raises(ValueError, match="density is"):
        erdos_renyi(LAYOUT, density)

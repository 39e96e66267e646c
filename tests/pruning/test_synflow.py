"""SynFlow: the closed form against the derivative of the flow, its conservation laws, and pruning in many rounds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from numpynet.gradcheck.numeric import complex_step
from numpynet.network import MLP
from numpynet.parameters import Layout, Parameters
from numpynet.pruning import (
    alive_counts,
    count_paths,
    dense_mask,
    geometric_densities,
    prune_globally,
    survivors,
    synflow,
    synflow_mask,
)
from numpynet.pruning.paths import flows
from tests.checks import assert_close
from tests.pruning.nets import counts, random_mask, random_theta
from tests.strategies import network_sizes, seeds

depths = st.integers(2, 5).flatmap(network_sizes)


def total_flow(A: list[np.ndarray]) -> complex:
    """R = 1^T A_1 ... A_L 1, as it is written."""
    flow = np.ones(A[0].shape[0])
    for matrix in A:
        flow = flow @ matrix
    return flow.sum()


@pytest.mark.equation("P6")
@given(sizes=depths, seed=seeds)
def test_the_score_is_the_weight_times_the_slope_of_the_flow(sizes: tuple[int, ...], seed: int) -> None:
    layout = Layout.of_sizes(sizes)
    theta, mask = random_theta(layout, seed), random_mask(layout, seed)
    scores = synflow(theta, mask)
    A = [np.abs(theta[name] * mask[name]) for name in layout.weight_names]
    R = max(1.0, total_flow(A))
    for i, name in enumerate(layout.weight_names):
        slope = complex_step(lambda a, i=i: total_flow([*A[:i], a, *A[i + 1 :]]), A[i])
        assert np.abs(scores[name] - A[i] * slope).max() <= 1e-12 * R
        assert not scores[name][mask[name] == 0].any()
        assert not scores[f"b{i + 1}"].any()


@pytest.mark.equation("P7", "P8")
@given(sizes=depths, seed=seeds, density=st.sampled_from([0.3, 0.6, 1.0]))
def test_nothing_is_lost_on_the_way(sizes: tuple[int, ...], seed: int, density: float) -> None:
    """At every hidden unit as much flows in as out, and every layer carries the whole flow."""
    layout = Layout.of_sizes(sizes)
    theta, mask = random_theta(layout, seed), random_mask(layout, seed, density)
    scores = synflow(theta, mask)
    S = [scores[name] for name in layout.weight_names]
    R = total_flow([np.abs(theta[name] * mask[name]) for name in layout.weight_names])
    for below, above in zip(S, S[1:]):
        assert np.abs(below.sum(axis=0) - above.sum(axis=1)).max() <= 1e-12 * max(1.0, R)
    for layer in S:
        assert abs(layer.sum() - R) <= 1e-12 * max(1.0, R)


@pytest.mark.equation("P8", "M12")
@given(sizes=depths, seed=seeds)
def test_with_weights_of_1_the_flow_counts_paths(sizes: tuple[int, ...], seed: int) -> None:
    layout = Layout.of_sizes(sizes)
    mask = random_mask(layout, seed)
    scores = synflow(Parameters.ones(layout, dtype=np.float64), mask)
    for name in layout.weight_names:
        assert scores[name].sum() == count_paths(mask)


@pytest.mark.equation("N26", "P8")
def test_biases_in_the_flow_would_break_the_conservation() -> None:
    """Planted: |b| kept in the forward pass, the score taken as A * dR/dA all the same."""
    layout = Layout.of_sizes((6, 5, 4, 3))
    theta = random_theta(layout, 1)
    A = [np.abs(theta[name]) for name in layout.weight_names]
    b = [np.abs(theta[f"b{layer}"]) for layer in (1, 2, 3)]

    def flow_with_biases(A: list[np.ndarray]) -> complex:
        flow = np.ones(6)
        for matrix, bias in zip(A, b):
            flow = flow @ matrix + bias
        return flow.sum()

    sums = [
        (A[i] * complex_step(lambda a, i=i: flow_with_biases([*A[:i], a, *A[i + 1 :]]), A[i])).sum() for i in range(3)
    ]
    assert max(sums) - min(sums) > 0.05 * max(sums)
    assert np.ptp([synflow(theta)[name].sum() for name in layout.weight_names]) <= 1e-12 * max(sums)


@pytest.mark.equation("P6")
def test_replicates_flow_each_by_itself_in_float64_and_nothing_is_written_to() -> None:
    layout = Layout.of_sizes((5, 4, 3))
    theta = random_theta(layout, 3, dtype=np.float32, replicates=(2, 3))
    kept = theta.copy()
    shared_mask = random_mask(layout, 3, dtype=np.float32)
    scores = synflow(theta, shared_mask)
    assert scores.dtype == np.float64 and scores.replicates == (2, 3)
    for r in np.ndindex(2, 3):
        assert_close(scores.vector[r], synflow(theta.replicate(r), shared_mask).vector)
    assert np.array_equal(theta.vector, kept.vector)
    forward, backward = flows([theta[name] for name in layout.weight_names])
    assert forward[-1].dtype == np.float32
    assert_close(forward[-1].sum(-1), backward[0].sum(-1), tolerance=1e-5)


# ---- pruning ---------------------------------------------------------------------------------------------------------

NARROW = (20, 30, 40, 10)  # one shot at 2 % often empties a layer


@pytest.mark.equation("P9")
@pytest.mark.parametrize("seed", range(6))
def test_in_a_hundred_rounds_the_paths_survive_where_one_shot_may_cut_them_all(seed: int) -> None:
    theta = MLP(NARROW).init(np.random.default_rng(seed))
    mask = synflow_mask(theta, density=0.02)
    assert sum(counts(mask)) == survivors(0.02, theta.layout.n_weights) == 44
    assert count_paths(mask) > 0 and min(counts(mask)) > 0
    assert mask.dtype == theta.dtype


@pytest.mark.equation("P9")
@pytest.mark.filterwarnings("ignore::numpynet.pruning.DisconnectedWarning")
def test_one_shot_mostly_cuts_them_all() -> None:
    """The reason for the rounds: most draws end without a path after a single cut."""
    cut = 0
    for seed in range(10):
        theta = MLP(NARROW).init(np.random.default_rng(seed))
        mask = prune_globally(synflow(theta), dense_mask(theta), density=0.02)
        cut += count_paths(mask) == 0
        assert count_paths(synflow_mask(theta, density=0.02, rounds=30)) > 0
    assert cut >= 5


@pytest.mark.equation("P9")
@pytest.mark.filterwarnings("ignore::numpynet.pruning.DisconnectedWarning")  # one shot may cut the last path
@given(seed=seeds, density=st.floats(0.1, 1.0), rounds=st.integers(1, 7))
@example(seed=20344, density=0.1015625, rounds=1)  # it does
def test_the_density_after_every_round_is_exact(seed: int, density: float, rounds: int) -> None:
    """density^(k/n) of all weights, to a half weight; the flow is computed anew on the masked net; nothing comes back."""
    theta = random_theta(Layout.of_sizes((7, 6, 5)), seed)
    mask, n = dense_mask(theta), theta.layout.n_weights
    for k, wanted in enumerate(geometric_densities(density, rounds), start=1):
        assert wanted == pytest.approx(density ** (k / rounds))
        new = prune_globally(synflow(theta, mask), mask, density=wanted)
        assert (new.vector <= mask.vector).all()
        mask = new
        assert sum(counts(mask)) == survivors(wanted, n) and abs(sum(counts(mask)) - wanted * n) <= 0.5 + 1e-9
    assert np.array_equal(mask.vector, synflow_mask(theta, density=density, rounds=rounds).vector)


@pytest.mark.equation("P9")
def test_replicates_are_pruned_each_by_itself() -> None:
    theta = random_theta(Layout.of_sizes((7, 6, 5)), 3, replicates=(2,))
    mask = synflow_mask(theta, density=0.3, rounds=5)
    for r in range(2):
        assert np.array_equal(mask.vector[r], synflow_mask(theta.replicate(r), density=0.3, rounds=5).vector)
    assert alive_counts(mask)["W1"] != alive_counts(mask)["W2"]

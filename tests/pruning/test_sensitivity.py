"""Scores that need data: the dense gradient, SNIP and GraSP, all against the complex step."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpynet.data.dataset import Split
from numpynet.equations.activations import relu, sigmoid, tanh
from numpynet.equations.losses import squared_error
from numpynet.gradcheck.numeric import complex_step, hessian_vector_product
from numpynet.parameters import Parameters
from numpynet.pruning import dense_gradients, dense_mask, grasp, prune_globally, snip
from numpynet.pruning.scores import weights_only
from tests.checks import assert_close
from tests.pruning.nets import loss_and_gradients, random_mask, random_net, random_split, random_theta, weights_of
from tests.strategies import seeds

activations = st.sampled_from([tanh, relu, sigmoid])


def loss_of_mask(net, theta, split):
    """The loss as a function of the whole mask vector, complex numbers included."""
    return lambda vector: loss_and_gradients(net, theta, split, Parameters(vector, net.layout))[0]


@pytest.mark.equation("B22")
@given(seed=seeds, activation=activations)
def test_the_dense_gradient_is_that_of_the_effective_weights(seed: int, activation) -> None:
    net, theta, split = random_net(seed, activation=activation)
    mask = random_mask(net.layout, seed)
    G = dense_gradients(net, theta, split, weight_mask=mask)
    kept = (theta * mask).vector
    expected = complex_step(lambda v: loss_and_gradients(net, Parameters(v, net.layout), split)[0], kept)
    assert_close(G.vector, expected)
    _, gradients = loss_and_gradients(net, theta, split, mask)
    assert_close((G * mask).vector, gradients.vector)  # dW = M * G


# ---- SNIP ------------------------------------------------------------------------------------------------------------


@pytest.mark.equation("P4", "B23")
@given(seed=seeds, activation=activations, masked=st.booleans())
def test_snip_is_the_size_of_the_mask_gradient(seed: int, activation, masked: bool) -> None:
    net, theta, split = random_net(seed, activation=activation)
    mask = random_mask(net.layout, seed) if masked else Parameters.ones(net.layout, dtype=np.float64)
    dM = Parameters(complex_step(loss_of_mask(net, theta, split), mask.vector), net.layout)
    scores = snip(net, theta, split, weight_mask=mask if masked else None)
    assert_close(weights_of(scores), np.abs(weights_of(dM)))
    assert not any(scores[f"b{layer}"].any() for layer in (1, 2, 3))


@pytest.mark.equation("P4")
def test_snip_is_the_first_order_change_of_the_loss_without_a_weight() -> None:
    """Take away the share t v_i of every weight: L changes by -t <v, G w>, and the error falls 100 times per decade of t."""
    net, theta, split = random_net(3)
    start, _ = loss_and_gradients(net, theta, split)
    first_order = weights_only(dense_gradients(net, theta, split) * theta)
    for seed in range(4):
        v = weights_only(Parameters(np.random.default_rng(seed).random(net.layout.size), net.layout))

        def remainder(t: float, v: Parameters = v) -> float:
            mask = (1 - t * v).vector.astype(complex)  # not binary, as only complex masks may be
            return abs(loss_of_mask(net, theta, split)(mask).real - start + t * (v * first_order).vector.sum())

        slope = np.log10(remainder(1e-2) / remainder(1e-4)) / 2
        assert 1.9 <= slope <= 2.1


@pytest.mark.equation("P4")
@pytest.mark.filterwarnings("ignore::numpynet.pruning.DisconnectedWarning")
@given(seed=seeds, density=st.sampled_from([0.1, 0.3, 0.7]))
def test_dividing_snip_by_its_sum_changes_no_mask(seed: int, density: float) -> None:
    net, theta, split = random_net(seed)
    scores = snip(net, theta, split)
    masks = [prune_globally(s, dense_mask(theta), density=density) for s in (scores, scores / scores.vector.sum())]
    assert np.array_equal(masks[0].vector, masks[1].vector)


@pytest.mark.equation("M7", "P4")
@given(seed=seeds, activation=activations)
def test_the_rows_of_the_signed_sensitivity_sum_to_that_of_their_unit(seed: int, activation) -> None:
    net, theta, split = random_net(seed, activation=activation)
    net = type(net)(net.sizes, net.activation, keep_prob=(None, 0.8, 0.6))
    mask = random_mask(net.layout, seed)
    units = [None, np.ones((1, 5)), np.ones((1, 4))]
    units[1][0, 0] = 0

    def loss(d: np.ndarray, layer: int) -> complex:
        unit_masks = [d if i == layer else u for i, u in enumerate(units)]
        return loss_and_gradients(net, theta, split, mask, unit_masks)[0]

    _, gradients = loss_and_gradients(net, theta, split, mask, units)
    for layer in (1, 2):
        saliency = units[layer] * complex_step(lambda d, layer=layer: loss(d, layer), units[layer])
        name = f"W{layer + 1}"
        assert_close((theta[name] * gradients[name]).sum(axis=-1), saliency[0], name)


def test_the_absolute_value_is_taken_after_the_mean() -> None:
    """Two examples that pull a weight in opposite ways leave it worthless; taken one by one they would not."""
    net, theta, _ = random_net(0, sizes=(1, 2))
    theta.vector[...] = 0.0
    theta["W1"] = np.array([[1.0, 1.0]])
    both = Split(np.array([[1.0], [1.0]]), np.array([0, 1]))
    assert_close(weights_of(snip(net, theta, both)), np.zeros(2))
    one = Split(both.x[:1], both.y[:1])
    assert weights_of(snip(net, theta, one)).min() > 0.4


# ---- GraSP -----------------------------------------------------------------------------------------------------------


def squared_gradient_norm(net, split, mask):
    return lambda v: (loss_and_gradients(net, Parameters(v, net.layout), split, mask)[1].vector ** 2).sum()


@pytest.mark.equation("P5")
@given(seed=seeds, activation=activations, masked=st.booleans())
def test_grasp_is_how_the_gradient_norm_changes_without_a_weight(seed: int, activation, masked: bool) -> None:
    net, theta, split = random_net(seed, activation=activation)
    mask = random_mask(net.layout, seed) if masked else None
    slope = complex_step(squared_gradient_norm(net, split, mask), theta.vector)  # d ||g||^2 / d theta_i
    scores = grasp(net, theta, split, weight_mask=mask)
    expected = Parameters(
        theta.vector * slope / 2, net.layout
    )  # removing is moving by -theta_i: -2 S_i = -theta_i slope
    assert_close(weights_of(scores), weights_of(expected))
    assert not any(scores[f"b{layer}"].any() for layer in (1, 2, 3))


@pytest.mark.equation("P5", "B25")
def test_the_hessian_vector_product_is_symmetric_and_that_of_differences() -> None:
    net, theta, split = random_net(5)
    u, v = random_theta(net.layout, 6).vector, random_theta(net.layout, 7).vector

    def gradient(vector: np.ndarray) -> np.ndarray:
        return loss_and_gradients(net, Parameters(vector, net.layout), split)[1].vector

    Hu, Hv = (hessian_vector_product(gradient, theta.vector, w) for w in (u, v))
    assert abs(u @ Hv - v @ Hu) <= 1e-12 * max(1.0, abs(u @ Hv))
    h = 1e-5
    assert_close(Hv, (gradient(theta.vector + h * v) - gradient(theta.vector - h * v)) / (2 * h), tolerance=1e-8)


def test_grasp_keeps_the_largest_signed_scores() -> None:
    """Removing what scores lowest leaves a larger gradient norm, to first order, than removing what scores highest."""
    net, theta, split = random_net(8)
    theta = theta * 0.5
    scores = grasp(net, theta, split)
    norm = squared_gradient_norm(net, split, None)
    removed = {}
    for sign in (1, -1):
        mask = prune_globally(sign * scores, dense_mask(theta), rate=0.02)
        step = 1e-4  # first order: shrink those weights a little
        removed[sign] = norm(theta.vector * (1 - step * (1 - mask.vector))) - norm(theta.vector)
    assert removed[1] > removed[-1]


# ---- both ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("score", [dense_gradients, snip, grasp])
def test_batches_change_nothing_but_rounding(score) -> None:
    net, theta, split = random_net(2)
    whole = score(net, theta, split)
    for batch_size in (1, 4, 11):
        assert_close(score(net, theta, split, batch_size=batch_size).vector, whole.vector)


@pytest.mark.parametrize("score", [dense_gradients, snip, grasp])
def test_replicates_are_scored_each_by_itself_and_nothing_is_written_to(score) -> None:
    net, _, split = random_net(4)
    theta, mask = random_theta(net.layout, 1, replicates=(3,)), random_mask(net.layout, 1, replicates=(3,))
    kept = theta.copy(), mask.copy()
    scores = score(net, theta, split, weight_mask=mask)
    for r in range(3):
        alone = score(net, theta.replicate(r), split, weight_mask=mask.replicate(r))
        assert_close(scores.vector[r], alone.vector)
    assert np.array_equal(theta.vector, kept[0].vector) and np.array_equal(mask.vector, kept[1].vector)


@pytest.mark.parametrize("score", [dense_gradients, snip, grasp])
def test_float32_scores_are_the_float64_ones(score) -> None:
    net, theta, split = random_net(4)
    low = score(net, theta.astype(np.float32), Split(split.x.astype(np.float32), split.y))
    assert low.dtype == (np.float64 if score is grasp else np.float32)
    assert_close(low.vector, score(net, theta, split).vector, tolerance=1e-4)


@pytest.mark.parametrize("score", [dense_gradients, snip, grasp])
def test_targets_may_be_floating_and_the_loss_another(score) -> None:
    net, theta, split = random_net(4)
    targets = Split(split.x, np.random.default_rng(1).normal(size=(11, 3)))
    assert np.isfinite(score(net, theta, targets, loss=squared_error).vector).all()
    low = Split(targets.x.astype(np.float32), targets.y.astype(np.float32))
    score(net, theta.astype(np.float32), low, loss=squared_error)


@pytest.mark.parametrize("score", [dense_gradients, snip, grasp])
def test_what_does_not_fit_is_refused(score) -> None:
    net, theta, split = random_net(4)
    with pytest.raises(ValueError, match="sizes"):
        score(net, theta, random_split((7, 3), 1))
    with pytest.raises(TypeError, match="float32"):
        score(net, theta, Split(split.x.astype(np.float32), split.y))
    with pytest.raises(ValueError, match="only 0 and 1"):
        score(net, theta, split, weight_mask=0.5 * dense_mask(theta))

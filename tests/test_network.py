"""The network as a whole: exact gradients with every kind of mask, and laws that hold from layer to layer."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpynet.equations.activations import Activation, leaky_relu, relu, sigmoid, tanh
from numpynet.equations.linear import dense_gradient
from numpynet.equations.losses import l2_penalty_backward, l2_penalty_forward
from numpynet.equations.masks import prune_lowest
from numpynet.gradcheck.numeric import complex_direction, complex_step
from numpynet.network import MLP
from numpynet.parameters import Parameters
from tests.checks import assert_close, random_like
from tests.networks import ACTIVATIONS, Case, any_case, cases, make_case
from tests.strategies import all_masks, binary, keep_probs, mask_probabilities, seeds

every_activation = pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda a: a.name)


# ---- gradients -------------------------------------------------------------------------------------------------------


@every_activation
@pytest.mark.equation("B1", "B2", "B3", "B4", "B5", "B6", "B7")
@given(data=st.data(), replicates=st.sampled_from([(), (), (2,)]))
def test_all_parameters_against_the_complex_step(
    activation: Activation, data: st.DataObject, replicates: tuple[int, ...]
) -> None:
    case = data.draw(cases(activation, replicates=replicates))
    dloss = random_like(np.empty(replicates), case.seed)
    gradients = case.gradients(dloss)
    expected = complex_step(lambda vector: (dloss * case.loss(vector)).sum(), case.theta.vector)
    assert_close(gradients.vector, expected)
    if case.weight_mask is not None:
        for name in case.net.layout.weight_names:
            assert not gradients[name][case.weight_mask[name] == 0].any()


@pytest.mark.equation("B11", "B12", "N27")
@every_activation
def test_units_at_exactly_zero_follow_the_convention(activation: Activation) -> None:
    """Zero biases and an example whose inputs are all dropped: its first layer stands at z = 0 in every unit."""
    case = make_case((4, 5, 6, 3), activation, 11, keep_prob=(0.7, 0.6, 0.8), biases=False)
    case.unit_masks[0][2] = 0
    assert not case.logits()[1].linear[0].x_kept[2].any()
    assert_close(case.gradients().vector, complex_step(case.loss, case.theta.vector))


@pytest.mark.equation("B21")
@given(case=any_case(), weight_decay=st.sampled_from([0.01, 0.3]))
def test_with_a_penalty_the_gradient_grows_by_lambda_times_the_masked_weights(case: Case, weight_decay: float) -> None:
    def mask_of(name: str) -> np.ndarray | None:
        return None if case.weight_mask is None else case.weight_mask[name]

    def total(vector: np.ndarray) -> complex:
        theta = Parameters(vector, case.net.layout)
        penalties = (
            l2_penalty_forward(theta[name], weight_decay, weight_mask=mask_of(name))[0]
            for name in case.net.layout.weight_names
        )
        return case.loss(vector) + sum(penalties)

    gradients = case.gradients()
    for name in case.net.layout.weight_names:
        _, cache = l2_penalty_forward(case.theta[name], weight_decay, weight_mask=mask_of(name))
        gradients[name] = gradients[name] + l2_penalty_backward(1.0, cache)
    assert_close(gradients.vector, complex_step(total, case.theta.vector))


@pytest.mark.equation("B23")
@given(case=any_case(density=0.6))
def test_the_derivative_by_a_living_mask_entry_is_weight_times_gradient(case: Case) -> None:
    mask = case.weight_mask

    def loss(vector: np.ndarray) -> np.ndarray:
        case.weight_mask = Parameters(vector, case.net.layout)
        return case.loss(case.theta.vector)

    by_mask = Parameters(complex_step(loss, mask.vector), case.net.layout)
    case.weight_mask = mask
    gradients = case.gradients()
    for name in case.net.layout.weight_names:
        alive = mask[name] == 1
        assert_close(by_mask[name][alive], (case.theta[name] * gradients[name])[alive])


@pytest.mark.equation("B7")
@pytest.mark.parametrize("masked", [False, True])
def test_the_adjoint_identity_at_full_size_in_one_pass(masked: bool) -> None:
    keep_prob, density = ((0.9, 0.6, 0.7), 0.2) if masked else (None, None)
    case = make_case((784, 300, 100, 10), relu, 3, keep_prob=keep_prob, density=density, N=9)
    assert case.theta.vector.size == 266_610
    case.theta.vector *= 0.05
    logits, caches = case.logits()
    dlogits = random_like(logits, 1)
    gradients = case.net.backward(dlogits, caches)
    v = np.random.default_rng(2).normal(size=266_610)
    Jv = complex_direction(lambda vector: case.logits(Parameters(vector, case.net.layout))[0], case.theta.vector, v)
    assert np.linalg.norm(Jv) > 1
    bound = 1e-12 * np.linalg.norm(dlogits) * np.linalg.norm(Jv)
    assert abs((dlogits * Jv).sum() - (gradients.vector * v).sum()) <= bound


@pytest.mark.equation("B8")
@pytest.mark.parametrize("activation", [tanh, sigmoid], ids=lambda a: a.name)
@pytest.mark.parametrize("seed", range(4))
def test_the_taylor_remainder_is_of_second_order(activation: Activation, seed: int) -> None:
    case = make_case((4, 7, 5, 3), activation, seed, keep_prob=(0.9, 0.6, 0.8))
    v = np.random.default_rng([seed, 1]).normal(size=case.theta.vector.size)
    slope_at_0 = case.gradients().vector @ v
    steps = np.geomspace(1e-4, 1e-2, 9)
    theta = case.theta.vector
    remainders = [abs(case.loss(theta + eps * v) - case.loss(theta) - eps * slope_at_0) for eps in steps]
    order = np.polyfit(np.log(steps), np.log(remainders), 1)[0]
    assert 1.9 <= order <= 2.1


@pytest.mark.equation("B9", "B10")
@pytest.mark.parametrize("activation", [relu, leaky_relu], ids=lambda a: a.name)
@given(data=st.data())
def test_homogeneous_networks_conserve_weight_times_gradient(activation: Activation, data: st.DataObject) -> None:
    case = data.draw(cases(activation, biases=False))
    logits, caches = case.logits()
    dlogits = random_like(logits, case.seed)
    gradients = case.net.backward(dlogits, caches)
    total = (logits * dlogits).sum()
    products = [case.theta[name] * gradients[name] for name in case.net.layout.weight_names]
    for product in products:
        assert_close(product.sum(), total)
    for incoming, outgoing in zip(products, products[1:]):
        assert_close(incoming.sum(axis=0), outgoing.sum(axis=1))


@pytest.mark.equation("B24")
@given(case=any_case())
def test_the_gradient_is_the_mean_of_those_of_the_single_examples(case: Case) -> None:
    N, gradients = len(case.x), case.gradients()
    mean = np.zeros_like(gradients.vector)
    for n in range(N):
        rows = [None if D is None else D[[n]] for D in case.unit_masks] if case.unit_masks else None
        alone = Case(case.net, case.theta, case.x[[n]], case.labels[[n]], case.weight_mask, rows, case.seed)
        mean += alone.gradients().vector / N
        logits, caches = alone.logits()
        G = dense_gradient(random_like(logits, case.seed), caches.linear[-1])
        assert np.linalg.matrix_rank(G) <= 1
    assert_close(gradients.vector, mean)


@pytest.mark.equation("B25")
@pytest.mark.parametrize("activation", [tanh, sigmoid], ids=lambda a: a.name)
@given(data=st.data())
def test_the_hessian_from_complex_gradients_is_symmetric_and_is_the_hessian(
    activation: Activation, data: st.DataObject
) -> None:
    case = data.draw(cases(activation))
    rng, theta = np.random.default_rng([case.seed, 1]), case.theta.vector
    u, v = rng.normal(size=(2, theta.size))

    def gradient(vector: np.ndarray) -> np.ndarray:
        return case.gradients(vector=vector).vector

    Hu, Hv = complex_direction(gradient, theta, u), complex_direction(gradient, theta, v)
    bound = 1e-12 * max(1.0, np.linalg.norm(u) * np.linalg.norm(Hv))
    assert abs(u @ Hv - v @ Hu) <= bound
    difference = (gradient(theta + 1e-5 * v) - gradient(theta - 1e-5 * v)) / 2e-5
    assert_close(Hv, difference, tolerance=1e-5)


@pytest.mark.equation("D5", "N7")
@pytest.mark.parametrize("activation", [relu, tanh], ids=lambda a: a.name)
@pytest.mark.parametrize("seed", range(3))
def test_the_mean_gradient_is_the_gradient_of_the_mean_loss_and_not_that_of_evaluation(
    activation: Activation, seed: int
) -> None:
    """All 2^7 masks of the inputs and the hidden units as one stack."""
    case = make_case((3, 4, 3), activation, seed, keep_prob=(0.8, 0.6), N=6)
    masks = all_masks(7)
    probability = mask_probabilities(masks, np.array([0.8] * 3 + [0.6] * 4))
    case.unit_masks = [masks[:, None, :3], masks[:, None, 3:]]
    mean_gradient = probability @ case.gradients(np.ones(len(masks))).vector
    assert_close(mean_gradient, complex_step(lambda vector: probability @ case.loss(vector), case.theta.vector))
    case.unit_masks = None
    assert np.abs(mean_gradient - case.gradients().vector).max() > 1e-2


# ---- masks -----------------------------------------------------------------------------------------------------------


@pytest.mark.equation("M4")
@given(case=any_case(density=0.5))
def test_a_pruned_network_is_the_one_that_stores_zeros(case: Case) -> None:
    logits, caches = case.logits()
    dlogits = random_like(logits, case.seed)
    gradients = case.net.backward(dlogits, caches)
    M = case.weight_mask
    loud = case.theta + 1e6 * (1 - M)
    assert np.array_equal(case.logits(loud)[0], logits)
    case.weight_mask = None
    stored = M * case.theta
    logits_stored, caches_stored = case.logits(stored)
    assert np.array_equal(logits_stored, logits)
    dense = case.net.backward(dlogits, caches_stored)
    assert np.array_equal((M * dense).vector, gradients.vector)


@pytest.mark.equation("M2", "M3")
@every_activation
@given(seed=seeds, q=keep_probs)
def test_input_dropout_shared_by_the_batch_is_pruning_of_inputs(activation: Activation, seed: int, q: float) -> None:
    case = make_case((6, 5, 4, 3), activation, seed, keep_prob=(1.0, None, None), density=None)
    d = binary(np.random.default_rng([seed, 1]), (1, 6), q)
    case.unit_masks = [d, None, None]
    dropped, _ = case.logits()
    case.unit_masks, case.weight_mask = None, Parameters.ones(case.net.layout, dtype=np.float64)
    case.weight_mask["W1"] = np.broadcast_to(d.T, (6, 5))
    assert np.array_equal(dropped, case.logits()[0])


@pytest.mark.equation("M20")
@given(case=any_case(keep_prob=(None, 0.7, 0.6), density=0.6))
def test_permuting_hidden_units_permutes_gradients_and_magnitude_masks(case: Case) -> None:
    order = np.random.default_rng([case.seed, 1]).permutation(case.net.sizes[1])

    def permuted(vector: Parameters) -> Parameters:
        result = vector.copy()
        result["W1"], result["b1"] = vector["W1"][:, order], vector["b1"][order]
        result["W2"] = vector["W2"][order, :]
        return result

    D = [None, case.unit_masks[1][:, order], case.unit_masks[2]]
    other = Case(case.net, permuted(case.theta), case.x, case.labels, permuted(case.weight_mask), D, case.seed)
    assert_close(other.logits()[0], case.logits()[0])
    assert_close(other.gradients().vector, permuted(case.gradients()).vector)
    for name in ("W1", "W2"):
        k = int(case.weight_mask[name].sum()) // 2
        pruned, other_pruned = case.weight_mask.copy(), other.weight_mask.copy()
        pruned[name] = prune_lowest(np.abs(case.theta[name]), case.weight_mask[name], k)
        other_pruned[name] = prune_lowest(np.abs(other.theta[name]), other.weight_mask[name], k)
        assert np.array_equal(other_pruned.vector, permuted(pruned).vector)


@given(case=any_case())
def test_evaluation_is_the_network_without_dropout_bit_for_bit(case: Case) -> None:
    case.unit_masks = None
    plain = MLP(case.net.sizes, activation=case.net.activation)
    logits, _ = case.logits()
    assert np.array_equal(logits, plain.forward(case.theta, case.x, weight_mask=case.weight_mask)[0])
    ones = [np.ones((1, d)) for d in case.net.sizes[:-1]]
    kept = MLP(case.net.sizes, activation=case.net.activation, keep_prob=(1.0,) * 3)
    assert np.array_equal(logits, kept.forward(case.theta, case.x, weight_mask=case.weight_mask, unit_masks=ones)[0])

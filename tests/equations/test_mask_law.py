"""One law over masks: every method is a corner of it, and what it says is what the layer does, mask by mask."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from numpynet.equations import mask_law
from numpynet.equations.activations import relu
from numpynet.equations.linear import dense_gradient, linear_backward, linear_forward
from numpynet.equations.mask_law import (
    MaskLaw,
    draw,
    dropconnect_law,
    dropout_law,
    every_mask,
    example_weight_masks,
    layer_moments,
    log_probability,
    pruning_law,
    supermask_law,
    targeted_law,
    unit_as_weights,
)
from numpynet.equations.masks import sample_mask
from numpynet.equations.targeted_dropout import targeted_weight_dropout_forward
from tests.checks import assert_close
from tests.dropout.bounds import hoeffding
from tests.strategies import all_masks, binary, keep_probs, mask_probabilities, seeds

D_IN, D_OUT = 4, 3

CORNERS: dict[str, Callable[[np.random.Generator, float], MaskLaw]] = {
    "dropout": lambda rng, q: dropout_law(D_IN, D_OUT, q),
    "dropout on a pruned layer": lambda rng, q: dropout_law(
        D_IN, D_OUT, q, weight_mask=binary(rng, (D_IN, D_OUT), 0.6)
    ),
    "DropConnect": lambda rng, q: dropconnect_law(D_IN, D_OUT, q),
    "targeted dropout": lambda rng, q: targeted_law(rng.normal(size=(D_IN, D_OUT)), 0.5, 1 - q),
    "supermask": lambda rng, q: supermask_law(rng.normal(size=(D_IN, D_OUT))),
    "pruning": lambda rng, q: pruning_law(binary(rng, (D_IN, D_OUT), q)),
    "units and weights": lambda rng, q: MaskLaw(np.full(3, q), rng.uniform(0.1, 0.9, size=(3, 2))),
}
every_corner = pytest.mark.parametrize("name", CORNERS)


def layer(rng: np.random.Generator, law: MaskLaw) -> tuple[np.ndarray, np.ndarray]:
    d_in, d_out = law.weight.shape
    return rng.normal(size=(1, d_in)), rng.normal(size=(d_in, d_out))


def enumerated(h: np.ndarray, W: np.ndarray, law: MaskLaw) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of what the layer of the library says under every mask."""
    masks, probability = every_mask(law)
    z = linear_forward(h, W, np.zeros(W.shape[1]), weight_mask=masks)[0][:, 0]  # (S, d_out)
    mean = probability @ z
    return mean, (z - mean).T @ (probability[:, None] * (z - mean))


@every_corner
@pytest.mark.equation("M6", "M21", "M22")
@given(q=keep_probs, seed=seeds)
def test_mean_and_noise_of_the_layer_are_those_of_the_law(name: str, q: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    law = CORNERS[name](rng, q)
    h, W = layer(rng, law)
    for actual, expected in zip(layer_moments(h, W, law), enumerated(h, W, law), strict=True):
        assert_close(actual, expected)


@every_corner
@given(q=keep_probs, seed=seeds)
def test_the_list_of_masks_is_the_law(name: str, q: float, seed: int) -> None:
    law = CORNERS[name](np.random.default_rng(seed), q)
    masks, probability = every_mask(law)
    assert set(np.unique(masks)) <= {0.0, 1.0}
    assert_close(probability.sum(), 1.0)
    assert_close(np.tensordot(probability, masks, axes=1), law.Q)
    assert_close(probability @ masks.mean(axis=(1, 2)), law.density)


@every_corner
@pytest.mark.equation("M19")
@given(q=keep_probs, seed=seeds)
def test_the_probability_of_a_mask_is_the_sum_over_the_ways_to_get_it(name: str, q: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    law = CORNERS[name](rng, q)
    masks, probability = every_mask(law)
    for index in rng.integers(len(masks), size=5):
        same = (masks == masks[index]).all(axis=(1, 2))
        assert_close(np.exp(log_probability(law, masks[index])), probability[same].sum())


@pytest.mark.equation("M19")
@given(seed=seeds)
def test_every_mask_is_a_possible_dropconnect_sample_and_likeliest_at_its_own_density(seed: int) -> None:
    mask = binary(np.random.default_rng(seed), (7, 5), 0.4)
    k, n = int(mask.sum()), mask.size
    grid = np.linspace(0.01, 0.99, 99)
    log_p = np.array([log_probability(dropconnect_law(7, 5, q), mask) for q in grid])
    assert_close(log_p, k * np.log(grid) + (n - k) * np.log(1 - grid))
    assert abs(grid[log_p.argmax()] - k / n) <= 0.005 + 1e-9
    assert log_p.max() <= log_probability(dropconnect_law(7, 5, k / n), mask)


def test_a_large_mask_has_a_finite_log_probability() -> None:
    mask = binary(np.random.default_rng(0), (784, 300), 0.2)
    assert np.exp(log_probability(dropconnect_law(784, 300, 0.2), mask)) == 0  # less than any float
    assert -2e5 < log_probability(dropconnect_law(784, 300, 0.2), mask) < -1e5
    assert log_probability(pruning_law(mask), mask) == 0
    assert log_probability(pruning_law(1 - mask), mask) == -np.inf


@pytest.mark.equation("M6")
@given(q=keep_probs, seed=seeds)
def test_pruning_is_the_corner_without_noise_and_dropout_ties_its_rows(q: float, seed: int) -> None:
    """The variances of dropout and DropConnect are one; only the units' shared coin makes them differ."""
    rng = np.random.default_rng(seed)
    h, W = rng.normal(size=(1, D_IN)), rng.normal(size=(D_IN, D_OUT))
    tied, free = (layer_moments(h, W, make(D_IN, D_OUT, q)) for make in (dropout_law, dropconnect_law))
    assert_close(tied[0], free[0])
    assert_close(np.diag(tied[1]), np.diag(free[1]))
    off = ~np.eye(D_OUT, dtype=bool)
    assert not free[1][off].any() and np.abs(tied[1][off]).max() > 1e-9
    mask = binary(rng, (D_IN, D_OUT), q)
    mean, covariance = layer_moments(h, W, pruning_law(mask))
    assert np.array_equal(mean, (h @ (mask * W))[0]) and not covariance.any()


@pytest.mark.equation("M15", "M21", "N29")
@given(q=keep_probs, seed=seeds)
def test_only_inverted_dropout_is_rescaled(q: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    h, W = rng.normal(size=(1, D_IN)), rng.normal(size=(D_IN, D_OUT))
    mask = binary(rng, (D_IN, D_OUT), 0.6)
    mean, covariance = layer_moments(h, W, dropout_law(D_IN, D_OUT, q, weight_mask=mask), scale=1 / q)
    assert_close(mean, (h @ (mask * W))[0])
    assert_close(covariance, (1 - q) / q * ((mask * W).T * h**2) @ (mask * W))
    ticket, _ = layer_moments(h, W, pruning_law(mask))
    assert np.array_equal(ticket, (h @ (mask * W))[0])


@pytest.mark.equation("M6", "D22")
@given(q=keep_probs, seed=seeds)
def test_targeted_dropout_keeps_what_its_law_says(q: float, seed: int) -> None:
    """The layer drops a candidate if u < drop_prob: of a grid of u the share that keeps it is Q."""
    rng = np.random.default_rng(seed)
    W, n = rng.normal(size=(D_IN, D_OUT)), 1000
    law = targeted_law(W, 0.5, 1 - q)
    grid = np.broadcast_to((np.arange(n)[:, None, None] + 0.5) / n, (n, D_IN, D_OUT))
    _, cache = targeted_weight_dropout_forward(
        np.ones((1, D_IN)), W, np.zeros(D_OUT), grid, target_share=0.5, drop_prob=1 - q
    )
    kept = dense_gradient_is_masked(cache)
    assert_close(kept.mean(axis=0), law.Q)


def dense_gradient_is_masked(cache) -> np.ndarray:
    """Where a layer lets gradients of weights through, (..., d_in, d_out)."""
    dz = np.ones((1, D_OUT))
    _, dW, _ = linear_backward(np.broadcast_to(dz, (1000, 1, D_OUT)), cache)
    return dW / dense_gradient(np.broadcast_to(dz, (1000, 1, D_OUT)), cache)


@every_corner
@pytest.mark.equation("M6")
@given(q=keep_probs, seed=seeds)
def test_drawn_masks_keep_every_weight_as_often_as_the_law_says(name: str, q: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    law = CORNERS[name](rng, q)
    masks = draw(rng, law, 4000)
    assert masks.shape == (4000, *law.weight.shape)
    assert np.abs(masks.mean(axis=0) - law.Q).max() <= hoeffding(4000, statements=law.Q.size)
    together = np.einsum("sij,sik->ijk", masks, masks) / 4000  # a row has one coin
    expected = law.unit[:, None, None] * law.weight[:, :, None] * law.weight[:, None, :]
    for i in range(law.weight.shape[0]):
        np.fill_diagonal(expected[i], law.Q[i])
    assert np.abs(together - expected).max() <= hoeffding(4000, statements=expected.size)


@pytest.mark.equation("M5")
@given(q=keep_probs, seed=seeds)
@example(q=0.3, seed=11)
def test_a_unit_mask_for_a_batch_is_a_weight_mask_for_each_example(q: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, b = 6, rng.normal(size=D_OUT)
    x, W = rng.normal(size=(n, D_IN)), rng.normal(size=(D_IN, D_OUT))
    D, M = binary(rng, (n, D_IN), q), binary(rng, (D_IN, D_OUT), 0.6)
    seen = example_weight_masks(D, M)
    assert seen.shape == (n, D_IN, D_OUT)
    together = linear_forward(x, W, b, unit_mask=D, weight_mask=M)[0]
    assert_close(together, linear_forward(x[:, None], W, b, weight_mask=seen)[0][:, 0])
    every = all_masks(D_IN)
    density = example_weight_masks(every, M).mean(axis=(1, 2))
    assert_close(mask_probabilities(every, q) @ density, q * M.mean())
    assert_close(dropout_law(D_IN, D_OUT, q, weight_mask=M).density, q * M.mean())


@pytest.mark.equation("M2", "M3", "N9")
@given(seed=seeds)
def test_a_dropped_unit_as_masks_of_the_weights_around_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, W1, W2 = rng.normal(size=(5, 2)), rng.normal(size=(2, D_IN)), rng.normal(size=(D_IN, D_OUT))
    b1, b2 = 1 + rng.random(D_IN), rng.normal(size=D_OUT)  # biases away from 0
    d = binary(rng, (1, D_IN), 0.6)[0]
    masks = unit_as_weights(d)

    def net(unit_mask=None, *, own=1.0, bias=1.0, following=None) -> np.ndarray:
        h, _ = relu.forward(linear_forward(x, own * W1, bias * b1)[0])
        weight_mask = None if following is None else np.broadcast_to(following, W2.shape)
        return linear_forward(h, W2, b2, unit_mask=unit_mask, weight_mask=weight_mask)[0]

    dropped = net(d[None, :])
    assert np.array_equal(net(following=masks.following), dropped)
    assert_close(net(own=masks.own, bias=masks.bias), dropped)
    assert np.abs(net(own=masks.own) - dropped).max() > 1e-3  # N9: the bias still speaks


@pytest.mark.parametrize(
    ("call", "fragments"),
    [
        (lambda: layer_moments(np.ones((2, 3)), np.ones((3, 2)), dropconnect_law(3, 2, 0.8)), ["(2, 3)", "(1, d_in)"]),
        (lambda: layer_moments(np.ones((1, 3)), np.ones((3, 2)), dropconnect_law(3, 4, 0.8)), ["(3, 4)"]),
        (lambda: dropconnect_law(3, 2, 0.0), ["keep_prob", "0"]),
        (lambda: every_mask(dropconnect_law(7, 3, 0.8)), ["21 coins", "20"]),
        (lambda: pruning_law(np.full((2, 2), 0.5)), ["0 and 1", "0.5"]),
        (lambda: log_probability(dropconnect_law(3, 2, 0.8), np.ones((2, 3))), ["(2, 3)", "(3, 2)"]),
        (lambda: unit_as_weights(np.ones((4, 3))), ["(4, 3)", "(d,)"]),
        (lambda: targeted_law(np.ones((2, 2)), 0.5, 1.5), ["drop_prob", "1.5"]),
    ],
)
def test_wrong_input_is_told(call: Callable, fragments: list[str]) -> None:
    with pytest.raises(ValueError) as error:
        call()
    assert all(fragment in str(error.value) for fragment in fragments)


# ---- planted bugs ----------------------------------------------------------------------------------------------------


def rows_not_tied(law: MaskLaw) -> MaskLaw:
    return MaskLaw(np.ones_like(law.unit), law.Q)


@pytest.mark.parametrize("name", ["dropout", "dropout on a pruned layer", "units and weights"])
def test_a_law_that_forgets_the_shared_coin_would_be_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    law = CORNERS[name](rng, 0.7)
    h, W = layer(rng, law)
    assert np.abs(layer_moments(h, W, rows_not_tied(law))[1] - enumerated(h, W, law)[1]).max() > 1e-3


def test_a_sampler_with_one_coin_for_all_would_be_found() -> None:
    class OneCoin(np.random.Generator):
        def random(self, size):
            return np.broadcast_to(super().random((size[0], 1, 1)), size)

    law = dropconnect_law(D_IN, D_OUT, 0.7)
    masks = mask_law.draw(OneCoin(np.random.PCG64(0)), law, 4000)
    together = np.einsum("sij,sik->ijk", masks, masks) / 4000
    assert np.abs(together[0, 0, 1] - 0.49) > hoeffding(4000, statements=36)


@given(q=st.sampled_from((0.3, 0.8)), seed=seeds)
def test_the_samplers_of_the_library_follow_the_law(q: float, seed: int) -> None:
    """Dropout's own sampler, spread over the rows, and DropConnect's."""
    rng = np.random.default_rng(seed)
    units = sample_mask(rng, (3000, D_IN), q)
    masks = example_weight_masks(units.astype(np.float64), np.ones((D_IN, D_OUT)))
    assert np.abs(masks.mean(axis=0) - dropout_law(D_IN, D_OUT, q).Q).max() <= hoeffding(3000, statements=12)

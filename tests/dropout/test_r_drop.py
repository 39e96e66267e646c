"""R-Drop (D23) and the logistic loss (B19): values, symmetries, and what they become near agreement."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given

from numpynet.equations.logistic import logistic_loss_backward, logistic_loss_forward, softplus
from numpynet.equations.losses import softmax, softmax_cross_entropy_backward, softmax_cross_entropy_forward
from numpynet.equations.r_drop import r_drop, r_drop_backward, r_drop_forward, r_drop_loss
from tests.checks import assert_close
from tests.strategies import seeds


def logits_pair(seed: int, *, distance: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    first = rng.normal(size=(4, 3))
    return first, first + distance * rng.normal(size=(4, 3))


@pytest.mark.equation("D23")
@given(seed=seeds)
def test_r_drop_is_the_symmetric_divergence_and_zero_only_where_predictions_agree(seed: int) -> None:
    z1, z2 = logits_pair(seed)
    p1, p2 = softmax(z1), softmax(z2)
    by_hand = ((p1 * np.log(p1 / p2)).sum(axis=-1) + (p2 * np.log(p2 / p1)).sum(axis=-1)) / 2
    loss, _ = r_drop_forward(z1, z2)
    assert_close(loss, by_hand.mean())
    assert loss > 0
    assert_close(r_drop_forward(z2, z1)[0], loss)
    shift = np.random.default_rng(seed).normal(size=(4, 1))
    same, cache = r_drop_forward(z1, z1 + shift)  # the same probabilities
    assert abs(same) <= 1e-14
    assert max(np.abs(gradient).max() for gradient in r_drop_backward(1.0, cache)) <= 1e-14


@pytest.mark.equation("D23")
@given(seed=seeds)
def test_near_agreement_r_drop_is_half_the_fisher_form(seed: int) -> None:
    """(1/2) dz^T F dz with F = diag p - p^T p, with a relative error that falls with the distance."""
    ratios = []
    for distance in (1e-2, 1e-4):
        z1, z2 = logits_pair(seed, distance=distance)
        p, dz = softmax(z1), z2 - z1
        fisher = (p * dz**2).sum(axis=-1) - (p * dz).sum(axis=-1) ** 2
        ratios.append(float(r_drop_forward(z1, z2)[0] / (fisher.mean() / 2)))
    assert abs(ratios[0] - 1) < 0.05 and abs(ratios[1] - 1) < 5e-4


@pytest.mark.equation("D23")
@given(seed=seeds)
@pytest.mark.parametrize("weight", [0.0, 0.7, 5.0])
def test_the_whole_loss_is_the_mean_cross_entropy_and_the_divergence(weight: float, seed: int) -> None:
    z1, z2 = logits_pair(seed)
    labels = np.random.default_rng(seed).integers(0, 3, 4)
    total = r_drop_loss(weight)
    value, cache = total.forward(np.stack([z1, z2]), labels)
    (ce1, c1), (ce2, c2) = softmax_cross_entropy_forward(z1, labels), softmax_cross_entropy_forward(z2, labels)
    divergence, r_cache = r_drop_forward(z1, z2)
    assert_close(value, (ce1 + ce2) / 2 + weight * divergence)
    d1, d2 = r_drop_backward(weight, r_cache)
    expected = [softmax_cross_entropy_backward(0.5, c1) + d1, softmax_cross_entropy_backward(0.5, c2) + d2]
    assert_close(total.backward(1.0, cache), np.stack(expected))


def test_r_drop_refuses_passes_that_do_not_match() -> None:
    z = np.zeros((4, 3))
    with pytest.raises(ValueError, match=r"logits_1 \(4, 3\) and logits_2 \(5, 3\) must have one shape"):
        r_drop_forward(z, np.zeros((5, 3)))
    with pytest.raises(TypeError, match="logits_2 has dtype float32, but logits_1 has float64"):
        r_drop_forward(z, z.astype(np.float32))
    with pytest.raises(ValueError, match=r"logits has shape \(4, 3\), but \(..., 2, N, K\) is needed"):
        r_drop_loss(1.0).forward(z, np.zeros(4, int))
    for weight in (-1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match=r"weight is .*, but a finite number >= 0"):
            r_drop_loss(weight)


def test_r_drop_refuses_a_weight_and_labels_of_another_kind() -> None:
    for wrong in ("1", None, True, np.ones(2)):
        with pytest.raises(TypeError, match=rf"weight must be a finite number >= 0, got {type(wrong).__name__}"):
            r_drop(wrong)
    z = np.zeros((4, 3))
    for labels, error, message in (
        (np.array([0, 1, 1, 0]), ValueError, "the second half of the examples must be the first once more"),
        (np.array([0, 1, 0]), ValueError, r"labels has shape \(3,\), but one label for each of 4 examples"),
        ([0, 1, 0, 1], TypeError, "labels must be a NumPy array of integers, got list"),
        (np.array([0.0, 1.0, 0.0, 1.0]), TypeError, "labels must be a NumPy array of integers, got dtype float64"),
        (np.array([0, 3, 0, 3]), ValueError, r"labels must lie in 0 \.\.\. 2, got 0 \.\.\. 3"),
    ):
        with pytest.raises(error, match=message):
            r_drop(1.0).forward(z, labels)
    with pytest.raises(ValueError, match=r"logits has shape \(3, 3\) and labels \(3,\), but the second half"):
        r_drop(1.0).forward(z[:3], np.zeros(3, int))


# ---- the logistic loss -----------------------------------------------------------------------------------------------


@pytest.mark.equation("B19")
@given(seed=seeds)
def test_logistic_loss_is_the_cross_entropy_of_the_logits_zero_and_z(seed: int) -> None:
    rng = np.random.default_rng(seed)
    z, y = 3 * rng.normal(size=(5, 1)), rng.integers(0, 2, 5)
    loss, cache = logistic_loss_forward(z, y[:, None].astype(float))
    two_classes, ce_cache = softmax_cross_entropy_forward(np.concatenate([np.zeros_like(z), z], axis=-1), y)
    assert_close(loss, two_classes)
    assert_close(logistic_loss_backward(0.7, cache), softmax_cross_entropy_backward(0.7, ce_cache)[:, 1:])


@pytest.mark.equation("B19")
@given(seed=seeds)
def test_the_outputs_are_questions_of_their_own_and_their_losses_add_up(seed: int) -> None:
    rng = np.random.default_rng(seed)
    z, y = rng.normal(size=(5, 3)), rng.integers(0, 2, (5, 3)).astype(float)
    loss, cache = logistic_loss_forward(z, y)
    one_by_one = [logistic_loss_forward(z[:, [k]], y[:, [k]]) for k in range(3)]
    assert_close(loss, sum(value for value, _ in one_by_one))
    separate = [logistic_loss_backward(1.0, one_cache) for _, one_cache in one_by_one]
    assert_close(logistic_loss_backward(1.0, cache), np.concatenate(separate, axis=-1))


@pytest.mark.equation("B19")
def test_logistic_loss_of_huge_logits() -> None:
    z, y = np.array([[800.0], [-800.0], [800.0], [-800.0]]), np.array([[1.0], [0.0], [0.0], [1.0]])
    loss, cache = logistic_loss_forward(z, y)
    assert loss == 400.0  # the two wrong ones cost 800 each
    assert np.array_equal(logistic_loss_backward(4.0, cache), np.array([[0.0], [0.0], [1.0], [-1.0]]))
    assert_close(softplus(np.array([0.0])), np.array([math.log(2)]))
    t = np.linspace(-30, 30, 7)
    assert_close(softplus(t) - softplus(-t), t)


@pytest.mark.parametrize(
    ("targets", "error", "message"),
    [
        (np.array([[0.0], [2.0]]), ValueError, r"targets must hold only 0 and 1, but targets\[1, 0\]"),
        (np.array([[0.0], [np.nan]]), ValueError, r"targets must hold only 0 and 1, but targets\[1, 0\]"),
        (np.array([0.0, 1.0]), ValueError, r"targets \(2,\) must have the shape of the logits"),
        (np.array([[0], [1]]), TypeError, "targets has dtype int"),
        (np.zeros((2, 1), np.float32), TypeError, "targets has dtype float32, but logits has float64"),
    ],
    ids=["two", "NaN", "shape", "integers", "precision"],
)
def test_logistic_loss_refuses_wrong_targets(targets, error, message: str) -> None:
    with pytest.raises(error, match=message):
        logistic_loss_forward(np.zeros((2, 1)), targets)

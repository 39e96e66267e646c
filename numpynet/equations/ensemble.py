"""What an ensemble says: means of a stack of answers, and how far they differ.

Dropout makes many subnetworks out of one net. Their answers stand along the first axis of an array, with the probability
of each or, for a random sample, all alike. The arithmetic mean of their outputs is what they say together; the
normalized geometric mean is what one pass with scaled weights computes, where there is theory for it (Equations (D10),
(D11), (D13)). Where they contradict each other the net is uncertain.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from numpynet.equations.checks import check_keep_prob
from numpynet.equations.losses import log_softmax, softmax

# ---- means of a stack ------------------------------------------------------------------------------------------------


def arithmetic_mean(values: np.ndarray, probability: np.ndarray | None = None) -> np.ndarray:
    """Return sum over s of P_s v_s, along the first axis; without probabilities all count alike.   Equation (D15)

    Parameters
    ----------
    values : (S, ...)
    probability : (S,), which adds up to 1, or None for 1 / S each

    Returns
    -------
    mean : (...), in the dtype of the values

    Examples
    --------
    >>> float(arithmetic_mean(np.array([1.0, 4.0]), np.array([0.2, 0.8])))
    3.4
    """
    return np.tensordot(_law(values, probability), values, axes=1).astype(values.dtype, copy=False)


def geometric_mean(values: np.ndarray, probability: np.ndarray | None = None) -> np.ndarray:
    """Return the product over s of v_s^P_s, along the first axis.   Equation (D13)

    Parameters
    ----------
    values : (S, ...), none negative
    probability : (S,), which adds up to 1, or None for 1 / S each

    Returns
    -------
    mean : (...), in the dtype of the values

    Raises
    ------
    ValueError
        A value is negative.

    Examples
    --------
    >>> float(geometric_mean(np.array([1.0, 32.0]), np.array([0.2, 0.8])))
    16.0
    """
    if not (values >= 0).all():
        raise ValueError("values must not be negative: a geometric mean takes their logarithms")
    with np.errstate(divide="ignore"):  # one 0 makes the product 0
        return np.exp(arithmetic_mean(np.log(values), probability))


def normalized_geometric_mean(values: np.ndarray, probability: np.ndarray | None = None) -> np.ndarray:
    """Return G / (sum of G over the last axis), G the geometric mean along the first.   Equations (D10), (D13)

    Parameters
    ----------
    values : (S, ..., K) probabilities of K classes; for one sigmoid unit stack its output O and 1 - O
    probability : (S,), which adds up to 1, or None for 1 / S each

    Returns
    -------
    mean : (..., K), rows that sum to 1

    Raises
    ------
    ValueError
        A value is so small that it has lost digits, or is 0. Of softmax outputs the mean is
        ``softmax(arithmetic_mean(logits, probability))``, for logits of any size.

    Examples
    --------
    >>> normalized_geometric_mean(np.array([[0.2, 0.8], [0.5, 0.5]]))
    array([0.333333, 0.666667])
    """
    smallest = np.finfo(values.dtype).tiny
    if not (values >= smallest).all():
        raise ValueError(
            f"values must be at least {smallest:.3g}, the smallest {values.dtype} with all its digits, got "
            f"{values.min():.3g}: one 0 would make the whole product 0. For softmax outputs use "
            "softmax(arithmetic_mean(logits, probability)), which is the same mean"
        )
    return softmax(arithmetic_mean(np.log(values), probability))


# ---- what the stack says ---------------------------------------------------------------------------------------------


class Prediction(NamedTuple):
    """The answer of an ensemble of classifiers, and how sure it is. Entropies are in nats."""

    probabilities: np.ndarray  # (..., N, K) mean over subnetworks
    variance: np.ndarray  # (..., N, K) over subnetworks
    entropy: np.ndarray  # (..., N) of the mean: all uncertainty
    expected_entropy: np.ndarray  # (..., N) mean entropy of a subnetwork: what more subnetworks would not settle
    mutual_information: np.ndarray  # (..., N) the difference, >= 0 to rounding: how much they disagree (BALD)


def predict(logits: np.ndarray, probability: np.ndarray | None = None) -> Prediction:
    """Return mean, variance, entropy and mutual information of the softmax outputs of a stack.   Equation (D16)

    Gal and Ghahramani (2016); BALD: Houlsby et al. (2011).

    Parameters
    ----------
    logits : (S, ..., N, K), of ``monte_carlo`` or ``every_subnetwork``
    probability : (S,) for ``every_subnetwork``, None for ``monte_carlo``

    Returns
    -------
    Prediction : with the mean probabilities (..., K), their variance, and entropies (...) in nats.

    Examples
    --------
    >>> answer = predict(np.array([[[9.0, 0.0]], [[0.0, 9.0]]]))            # two that are sure, and contradict each other
    >>> answer.entropy.round(3).tolist(), answer.mutual_information.round(3).tolist()
    ([0.693], [0.692])
    """
    log_p = log_softmax(logits)  # (S, ..., N, K)
    p = np.exp(log_p)
    mean, variance = moments(p, probability)
    highest = log_p.max(axis=0)  # (..., N, K), so that no logarithm is taken of a sum that rounds to 0
    log_mean = highest + np.log(arithmetic_mean(np.exp(log_p - highest), probability))
    divergence = (p * (log_p - log_mean)).sum(axis=-1)  # (S, ..., N) KL(p_s, mean)
    return Prediction(
        probabilities=mean,
        variance=variance,
        entropy=-(mean * log_mean).sum(axis=-1),
        expected_entropy=arithmetic_mean(-(p * log_p).sum(axis=-1), probability),
        mutual_information=arithmetic_mean(divergence, probability),
    )


def moments(outputs: np.ndarray, probability: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and variance along the first axis: for T masks the variance divides by T, not T - 1.   Equation (D16)

    For regression the predictive variance is this one plus 1 / ``model_precision``.

    Parameters
    ----------
    outputs : (T, ...) one output for each mask
    probability : (T,) of the masks, summing to 1, or None for masks that were drawn, each with 1/T

    Returns
    -------
    mean, variance : (...)

    Examples
    --------
    >>> [float(m) for m in moments(np.array([1.0, 3.0]))]
    [2.0, 1.0]
    """
    mean = arithmetic_mean(outputs, probability)
    return mean, arithmetic_mean((outputs - mean) ** 2, probability)


def model_precision(keep_prob: float, length_scale: float, n_examples: int, penalty: float) -> float:
    """Return tau = q l^2 / (2 N lambda), the inverse noise variance that a regression net implies.   Equation (D16)

    Parameters
    ----------
    keep_prob : q in (0, 1]
    length_scale : l > 0 of the prior: how far apart inputs are whose targets differ
    n_examples : N > 0, how many were trained on
    penalty : lambda > 0 of a penalty lambda ||W||^2 beside the loss ||Z - T||^2 / 2N. Coupled weight decay c is the
        penalty (c / 2) ||W||^2 (Equation (B21)), so hand in c / 2.

    Returns
    -------
    tau : a number, in one over the square of the targets' unit

    Raises
    ------
    ValueError
        An argument is not a finite number > 0, or keep_prob is above 1.

    Examples
    --------
    >>> model_precision(0.8, length_scale=2.0, n_examples=100, penalty=0.01)
    1.6
    """
    for name, value in (("length_scale", length_scale), ("n_examples", n_examples), ("penalty", penalty)):
        if not 0 < value < math.inf:
            raise ValueError(f"{name} is {value!r}, but a finite number > 0 is needed")
    return check_keep_prob(keep_prob) * length_scale**2 / (2 * n_examples * penalty)


def _law(values: np.ndarray, probability: np.ndarray | None) -> np.ndarray:
    """Return the weights of a mean along the first axis."""
    if values.ndim < 1 or len(values) == 0:
        raise ValueError(f"values has shape {values.shape}, but a stack (S, ...) of at least one is needed")
    if probability is None:
        return np.full(len(values), 1 / len(values))
    if probability.shape != (len(values),):
        raise ValueError(
            f"probability has shape {probability.shape}, but one for each of {len(values)} values is needed"
        )
    total = float(probability.sum())
    if not ((probability >= 0).all() and abs(total - 1) <= 1e-6):  # NaN is refused, too
        raise ValueError(f"probability must not be negative and must add up to 1, got a sum of {total:g}")
    return probability

"""What theory says about dropout on the inputs of a linear or logistic model, and every mask run through to check it.

Data are made here as well, so small that the 2^d masks of a row are a stacked array.
"""

from __future__ import annotations

import numpy as np

from numpynet.data.dataset import Split
from numpynet.equations.activations import sigmoid_forward
from numpynet.equations.logistic import softplus
from numpynet.network import MLP
from numpynet.subnetworks import list_subnetworks

N_EXAMPLES, N_INPUTS = 100, 6
FREQUENCIES = (1.0, 1.0, 0.5, 0.5, 0.1, 0.1)  # how often each input of the logistic data is on


# ---- linear ----------------------------------------------------------------------------------------------------------


def linear_data(rng: np.random.Generator) -> Split:
    """Draw correlated inputs and noisy targets, both centred, so that the bias is 0 for every keep probability.

    Parameters
    ----------
    rng : to draw from

    Returns
    -------
    Split of (N, d) inputs and (N, 1) targets in float64

    Examples
    --------
    >>> data = linear_data(np.random.default_rng(0))
    >>> data.x.shape, bool(abs(data.x.mean(axis=0)).max() < 1e-12)
    ((100, 6), True)
    """
    common = rng.standard_normal((N_EXAMPLES, 1))
    x = rng.standard_normal((N_EXAMPLES, N_INPUTS)) + 0.7 * common
    y = x @ np.linspace(-1.0, 1.5, N_INPUTS)[:, None] + 0.5 * rng.standard_normal((N_EXAMPLES, 1))
    return Split(x - x.mean(axis=0), y - y.mean(axis=0))


def ridge_of_dropout(x: np.ndarray, y: np.ndarray, keep_prob: float) -> np.ndarray:
    """Return (X'X + (1-q)/q diag(X'X))^-1 X'y, what dropout on the inputs converges to.   Equation (D7)

    Parameters
    ----------
    x : (N, d)
    y : (N, 1)
    keep_prob : q of the inputs

    Returns
    -------
    (d, 1)

    Examples
    --------
    >>> ridge_of_dropout(np.array([[1.0], [2.0]]), np.array([[2.0], [4.0]]), 0.8)                # 2 shrinks to 2 * 0.8
    array([[1.6]])
    """
    gram = x.T @ x
    return np.linalg.solve(gram + (1 - keep_prob) / keep_prob * np.diag(np.diag(gram)), x.T @ y)


def enumerated_loss(x: np.ndarray, y: np.ndarray, w: np.ndarray, keep_prob: float) -> float:
    """Return E ||y - (D * X / q) w||^2, every mask of a row run through.   Equation (D7)

    Parameters
    ----------
    x : (N, d), d small: there are 2^d masks
    y : (N, 1)
    w : (d, 1)
    keep_prob : q of the inputs

    Returns
    -------
    A sum over the examples.

    Examples
    --------
    >>> x, y, w = np.array([[1.0], [2.0]]), np.array([[2.0], [4.0]]), np.array([[1.5]])
    >>> enumerated_loss(x, y, w, 0.8), 0.5**2 + 1.0**2 + 0.2 / 0.8 * 5 * 1.5**2
    (4.0625, 4.0625)
    """
    dropped, probability = all_dropped(x, keep_prob)
    return float(probability @ ((y - dropped @ w) ** 2).sum(axis=(1, 2)))


def penalised_loss(x: np.ndarray, y: np.ndarray, w: np.ndarray, keep_prob: float) -> float:
    """Return ||y - Xw||^2 + (1-q)/q sum_i (X'X)_ii w_i^2, the closed form.   Equation (D7)

    Parameters
    ----------
    x : (N, d)
    y : (N, 1)
    w : (d, 1)
    keep_prob : q of the inputs

    Returns
    -------
    A sum over the examples.

    Examples
    --------
    >>> penalised_loss(np.array([[1.0], [2.0]]), np.array([[2.0], [4.0]]), np.array([[1.5]]), 0.8)
    4.0625
    """
    penalty = (1 - keep_prob) / keep_prob * ((x**2).sum(axis=0) @ w**2).sum()
    return float(((y - x @ w) ** 2).sum() + penalty)


# ---- logistic --------------------------------------------------------------------------------------------------------


def logistic_data(rng: np.random.Generator) -> Split:
    """Draw normal inputs that are on (not 0) with different frequencies, and labels 0 or 1 of a logistic model.

    Parameters
    ----------
    rng : to draw from

    Returns
    -------
    Split of (N, d) inputs and (N, 1) labels in float64

    Examples
    --------
    >>> data = logistic_data(np.random.default_rng(0))
    >>> data.x.shape, sorted(set(data.y.ravel().tolist()))
    ((100, 6), [0.0, 1.0])
    """
    x = rng.standard_normal((N_EXAMPLES, N_INPUTS)) * (rng.random((N_EXAMPLES, N_INPUTS)) < FREQUENCIES)
    chance, _ = sigmoid_forward(x @ np.array([[1.0], [-1.5], [1.0], [-1.5], [2.0], [-2.0]]))
    return Split(x, (rng.random((N_EXAMPLES, 1)) < chance).astype(np.float64))


def exact_penalty(x: np.ndarray, beta: np.ndarray, keep_prob: float) -> float:
    """Return R = sum_n E A(x~_n beta) - A(x_n beta), A = softplus, every mask run through.   Equation (D9)

    Parameters
    ----------
    x : (N, d), d small: there are 2^d masks
    beta : (d, 1)
    keep_prob : q of the inputs

    Returns
    -------
    Nats, a sum over the examples; >= 0 (Jensen).

    Examples
    --------
    >>> round(exact_penalty(np.array([[1.0]]), np.array([[2.0]]), 0.8), 4)          # 0.8 A(2.5) + 0.2 A(0) - A(2)
    0.0749
    """
    dropped, probability = all_dropped(x, keep_prob)
    return float(probability @ softplus(dropped @ beta).sum(axis=(1, 2)) - softplus(x @ beta).sum())


def adaptive_strengths(x: np.ndarray, beta: np.ndarray, keep_prob: float) -> np.ndarray:
    """Return c_i = (1-q)/q sum_n A''(x_n beta) x_ni^2: the penalty is sum_i c_i beta_i^2 / 2 to second order.   Equation (D9)

    Parameters
    ----------
    x : (N, d)
    beta : (d, 1)
    keep_prob : q of the inputs

    Returns
    -------
    (d,)

    Examples
    --------
    >>> adaptive_strengths(np.array([[1.0], [0.0]]), np.array([[0.0]]), 0.8)        # 0.25 A''(0), A''(0) = 1/4
    array([0.0625])
    """
    chance, _ = sigmoid_forward(x @ beta)
    return (1 - keep_prob) / keep_prob * ((chance * (1 - chance)) * x**2).sum(axis=0)


def quadratic_penalty(x: np.ndarray, beta: np.ndarray, keep_prob: float) -> float:
    """Return sum_i c_i beta_i^2 / 2, the second-order form of ``exact_penalty``.   Equation (D9)

    Parameters
    ----------
    x : (N, d)
    beta : (d, 1)
    keep_prob : q of the inputs

    Returns
    -------
    Nats, a sum over the examples.

    Examples
    --------
    >>> quadratic_penalty(np.array([[1.0], [0.0]]), np.array([[0.4]]), 0.8) < 0.0625 * 0.4**2 / 2          # A'' < 1/4
    True
    """
    return float(0.5 * adaptive_strengths(x, beta, keep_prob) @ beta[:, 0] ** 2)


def logistic_minimum(x: np.ndarray, y: np.ndarray, keep_prob: float) -> np.ndarray:
    """Return the (beta, bias) that minimise the expected loss under input dropout exactly, by Newton's method, (d + 1, 1).

    Parameters
    ----------
    x : (N, d), d small: there are 2^d masks
    y : (N, 1) labels 0 or 1
    keep_prob : q of the inputs

    Returns
    -------
    (d + 1, 1), the bias last

    Raises
    ------
    ArithmeticError
        It does not converge, or there is no minimum: without dropout, when the examples can be separated.

    Examples
    --------
    >>> x, y = np.array([[1.0], [1.0], [1.0], [-1.0]]), np.array([[1.0], [1.0], [0.0], [0.0]])
    >>> beta, bias = logistic_minimum(x, y, 0.8)
    >>> bool(0 < beta < 2)
    True
    """
    dropped, probability = all_dropped(x, keep_prob)
    ones = np.ones((*dropped.shape[:2], 1))
    dropped, plain = np.concatenate([dropped, ones], axis=2), np.concatenate([x, ones[0]], axis=1)
    rows = dropped.reshape(-1, plain.shape[1])  # (2^d N, d + 1)
    weight = np.repeat(probability, len(x))[:, None]
    beta = np.zeros((plain.shape[1], 1))
    for _ in range(50):
        chance, _ = sigmoid_forward(rows @ beta)
        curvature = weight * chance * (1 - chance)
        if curvature.sum() < 1e-6 * len(x):
            raise ArithmeticError(
                "there is no minimum: the examples can be separated, and the coefficients grow for ever"
            )
        gradient = rows.T @ (weight * chance) - plain.T @ y
        if np.abs(gradient).max() < 1e-10:
            return beta
        beta = beta - np.linalg.solve(rows.T @ (curvature * rows), gradient)
    raise ArithmeticError(f"no minimum after 50 steps of Newton's method; the gradient is {np.abs(gradient).max():.2g}")


# ---- both ------------------------------------------------------------------------------------------------------------


def all_dropped(x: np.ndarray, keep_prob: float) -> tuple[np.ndarray, np.ndarray]:
    """Return D * X / q for every mask of a row, (2^d, N, d), and the probabilities (2^d,).   Equation (D1)

    Parameters
    ----------
    x : (N, d), d small: there are 2^d masks
    keep_prob : q; at 1 there is one mask, of ones

    Returns
    -------
    dropped, probability : (2^d, N, d) and (2^d,)

    Examples
    --------
    >>> dropped, probability = all_dropped(np.array([[2.0]]), 0.8)
    >>> dropped[:, 0, 0].tolist(), probability.round(2).tolist()
    ([0.0, 2.5], [0.2, 0.8])
    """
    if keep_prob == 1:
        return x[None], np.ones(1)
    (masks,), probability = list_subnetworks(MLP((x.shape[1], 1), keep_prob=(keep_prob,)))
    return masks * x / keep_prob, probability

"""The mask criteria of Zhou et al. (2019): what a weight was at the start, what it became, and how they compare.

All take (theta_0, theta_T), also those that look at one of them, so that one can stand in for another. The largest
score stays. The criterion of the lottery ticket paper is ``large_final``.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from numpynet.parameters import Parameters
from numpynet.pruning.scores import weights_only

Criterion = Callable[[Parameters, Parameters], Parameters]


def large_final(theta_0: Parameters, theta_T: Parameters) -> Parameters:
    """S = |W_T|: the magnitude after training.   Equation (P3)

    Parameters
    ----------
    theta_0 : before training
    theta_T : after it

    Returns
    -------
    Parameters : scores of the form of theta; the largest stay

    Examples
    --------
    >>> from numpynet.parameters import Layout
    >>> layout = Layout.of_sizes((1, 2))
    >>> theta_0 = Parameters(np.array([1.0, -2.0, 0.0, 0.0]), layout)
    >>> theta_T = Parameters(np.array([4.0, 1.0, 0.0, 0.0]), layout)
    >>> large_final(theta_0, theta_T)["W1"]
    array([[4., 1.]])
    """
    return weights_only(np.abs(theta_T))


def small_final(theta_0: Parameters, theta_T: Parameters) -> Parameters:
    """S = -|W_T|: the smallest stay, a control.   Equation (P3)

    Parameters
    ----------
    theta_0 : before training
    theta_T : after it

    Returns
    -------
    Parameters : scores of the form of theta; the largest stay

    Examples
    --------
    >>> from numpynet.parameters import Layout
    >>> theta = Parameters(np.array([4.0, 1.0, 0.0, 0.0]), Layout.of_sizes((1, 2)))
    >>> small_final(theta, theta)["W1"]
    array([[-4., -1.]])
    """
    return weights_only(-np.abs(theta_T))


def large_init(theta_0: Parameters, theta_T: Parameters) -> Parameters:
    """S = |W_0|: the magnitude before training.   Equation (P3)

    Parameters
    ----------
    theta_0 : before training
    theta_T : after it

    Returns
    -------
    Parameters : scores of the form of theta; the largest stay

    Examples
    --------
    >>> from numpynet.parameters import Layout
    >>> theta = Parameters(np.array([4.0, -1.0, 0.0, 0.0]), Layout.of_sizes((1, 2)))
    >>> large_init(theta, 2 * theta)["W1"]
    array([[4., 1.]])
    """
    return weights_only(np.abs(theta_0))


def small_init(theta_0: Parameters, theta_T: Parameters) -> Parameters:
    """S = -|W_0|.   Equation (P3)

    Parameters
    ----------
    theta_0 : before training
    theta_T : after it

    Returns
    -------
    Parameters : scores of the form of theta; the largest stay

    Examples
    --------
    >>> from numpynet.parameters import Layout
    >>> theta = Parameters(np.array([4.0, -1.0, 0.0, 0.0]), Layout.of_sizes((1, 2)))
    >>> small_init(theta, 2 * theta)["W1"]
    array([[-4., -1.]])
    """
    return weights_only(-np.abs(theta_0))


def large_init_large_final(theta_0: Parameters, theta_T: Parameters, *, alpha: float = 1.0) -> Parameters:
    """S = min(alpha |W_T|, |W_0|): large at both ends; alpha makes up for weights that grow in training.   Equation (P3)

    Parameters
    ----------
    theta_0 : before training
    theta_T : after it
    alpha : factor of the final magnitudes

    Returns
    -------
    Parameters : scores of the form of theta; the largest stay

    Raises
    ------
    ValueError
        alpha is not above 0.

    Examples
    --------
    >>> from numpynet.parameters import Layout
    >>> layout = Layout.of_sizes((1, 2))
    >>> theta_0 = Parameters(np.array([1.0, -2.0, 0.0, 0.0]), layout)
    >>> theta_T = Parameters(np.array([4.0, 1.0, 0.0, 0.0]), layout)
    >>> large_init_large_final(theta_0, theta_T, alpha=0.5)["W1"]
    array([[1. , 0.5]])
    """
    if not alpha > 0:
        raise ValueError(f"alpha is {alpha!r}, but a number > 0 is needed")
    return weights_only(np.minimum(float(alpha) * np.abs(theta_T), np.abs(theta_0)))


def small_init_small_final(theta_0: Parameters, theta_T: Parameters, *, alpha: float = 1.0) -> Parameters:
    """S = -max(alpha |W_T|, |W_0|): small at both ends, the counterpart of ``large_init_large_final``.

    Parameters
    ----------
    theta_0 : before training
    theta_T : after it
    alpha : factor of the final magnitudes

    Returns
    -------
    Parameters : scores of the form of theta; the largest stay

    Raises
    ------
    ValueError
        alpha is not above 0.

    Examples
    --------
    >>> from numpynet.parameters import Layout
    >>> layout = Layout.of_sizes((1, 2))
    >>> theta_0 = Parameters(np.array([1.0, -2.0, 0.0, 0.0]), layout)
    >>> theta_T = Parameters(np.array([4.0, 1.0, 0.0, 0.0]), layout)
    >>> small_init_small_final(theta_0, theta_T, alpha=0.5)["W1"]
    array([[-2., -2.]])
    """
    if not alpha > 0:
        raise ValueError(f"alpha is {alpha!r}, but a number > 0 is needed")
    return weights_only(-np.maximum(float(alpha) * np.abs(theta_T), np.abs(theta_0)))


def magnitude_increase(theta_0: Parameters, theta_T: Parameters) -> Parameters:
    """S = |W_T| - |W_0|.   Equation (P3)

    Parameters
    ----------
    theta_0 : before training
    theta_T : after it

    Returns
    -------
    Parameters : scores of the form of theta; the largest stay

    Examples
    --------
    >>> from numpynet.parameters import Layout
    >>> layout = Layout.of_sizes((1, 2))
    >>> theta_0 = Parameters(np.array([1.0, -2.0, 0.0, 0.0]), layout)
    >>> theta_T = Parameters(np.array([4.0, 1.0, 0.0, 0.0]), layout)
    >>> magnitude_increase(theta_0, theta_T)["W1"]
    array([[ 3., -1.]])
    """
    return weights_only(np.abs(theta_T) - np.abs(theta_0))


def movement(theta_0: Parameters, theta_T: Parameters) -> Parameters:
    """S = |W_T - W_0|: the distance from the start. (``add_movement`` is another criterion of that name.)   Equation (P3)

    Parameters
    ----------
    theta_0 : before training
    theta_T : after it

    Returns
    -------
    Parameters : scores of the form of theta; the largest stay

    Examples
    --------
    >>> from numpynet.parameters import Layout
    >>> layout = Layout.of_sizes((1, 2))
    >>> theta_0 = Parameters(np.array([1.0, -2.0, 0.0, 0.0]), layout)
    >>> theta_T = Parameters(np.array([4.0, 1.0, 0.0, 0.0]), layout)
    >>> movement(theta_0, theta_T)["W1"]
    array([[3., 3.]])
    """
    return weights_only(np.abs(theta_T - theta_0))


def large_final_same_sign(theta_0: Parameters, theta_T: Parameters) -> Parameters:
    """S = max(0, W_0 W_T / |W_0|): |W_T| where the sign has stayed, else 0; also 0 where W_0 is 0.   Equation (P3)

    Parameters
    ----------
    theta_0 : before training
    theta_T : after it

    Returns
    -------
    Parameters : scores of the form of theta; the largest stay

    Examples
    --------
    >>> from numpynet.parameters import Layout
    >>> layout = Layout.of_sizes((1, 2))
    >>> theta_0 = Parameters(np.array([1.0, -2.0, 0.0, 0.0]), layout)
    >>> theta_T = Parameters(np.array([4.0, 1.0, 0.0, 0.0]), layout)
    >>> large_final_same_sign(theta_0, theta_T)["W1"]
    array([[4., 0.]])
    """
    return weights_only(np.maximum(0, np.sign(theta_0) * theta_T))


def only_same_sign(criterion: Criterion, theta_0: Parameters, theta_T: Parameters) -> Parameters:
    """Any criterion, with all weights whose sign has changed (or is 0) ranked below all others.

    They score -infinity. A score of 0 would do for positive criteria only: with ``small_final`` it would be the best.

    Parameters
    ----------
    criterion : one of the above
    theta_0 : before training
    theta_T : after it

    Returns
    -------
    Parameters : scores of the form of theta; the largest stay

    Examples
    --------
    >>> from numpynet.parameters import Layout
    >>> layout = Layout.of_sizes((1, 2))
    >>> theta_0 = Parameters(np.array([1.0, -2.0, 0.0, 0.0]), layout)
    >>> theta_T = Parameters(np.array([4.0, 1.0, 0.0, 0.0]), layout)
    >>> only_same_sign(small_final, theta_0, theta_T)["W1"]
    array([[ -4., -inf]])
    """
    return _only(np.sign(theta_0) * np.sign(theta_T) > 0, criterion(theta_0, theta_T))


def only_diff_sign(criterion: Criterion, theta_0: Parameters, theta_T: Parameters) -> Parameters:
    """Any criterion, with all weights whose sign has stayed (or is 0) ranked below all others; a control.

    Parameters
    ----------
    criterion : one of the above
    theta_0 : before training
    theta_T : after it

    Returns
    -------
    Parameters : scores of the form of theta; the largest stay

    Examples
    --------
    >>> from numpynet.parameters import Layout
    >>> layout = Layout.of_sizes((1, 2))
    >>> theta_0 = Parameters(np.array([1.0, -2.0, 0.0, 0.0]), layout)
    >>> theta_T = Parameters(np.array([4.0, 1.0, 0.0, 0.0]), layout)
    >>> only_diff_sign(large_final, theta_0, theta_T)["W1"]
    array([[-inf,   1.]])
    """
    return _only(np.sign(theta_0) * np.sign(theta_T) < 0, criterion(theta_0, theta_T))


def _only(chosen: Parameters, scores: Parameters) -> Parameters:
    lowest = scores.dtype.type(-np.inf)
    return weights_only(Parameters(np.where(chosen.vector, scores.vector, lowest), scores.layout))

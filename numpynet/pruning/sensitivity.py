"""Scores that need data: what the loss would say if a weight were missing.

SNIP asks by how much the loss changes, GraSP by how much the gradient shrinks. Both look at the network once, before
training, and need nothing but the explicit backward pass; the Hessian-vector product of GraSP is that same backward
pass on complex numbers.
"""

from __future__ import annotations

import numpy as np

from numpynet.data.dataset import Split
from numpynet.equations.losses import Loss, softmax_cross_entropy
from numpynet.gradcheck.numeric import hessian_vector_product
from numpynet.network import MLP
from numpynet.parameters import Parameters
from numpynet.pruning.masks import check_weight_mask
from numpynet.pruning.scores import weights_only
from numpynet.training_checks import check_data


def dense_gradients(
    net: MLP,
    theta: Parameters,
    split: Split,
    *,
    weight_mask: Parameters | None = None,
    loss: Loss = softmax_cross_entropy,
    batch_size: int = 2000,
) -> Parameters:
    """Return G = dL/d(M * W) of a whole network in evaluation, also at pruned weights.   Equation (B22)

    A pruned network equals the dense one that stores M * W (Equation (M4)), so this is an ordinary backward pass of
    that one. Biases have their ordinary gradients.

    Parameters
    ----------
    net : an ``MLP``
    theta : its parameters
    split : the examples; L is the mean over all of them
    weight_mask : None for a dense net
    loss : softmax cross-entropy, or another
    batch_size : bounds the memory; the result is the same up to rounding

    Returns
    -------
    Parameters : G, of the form of theta

    Raises
    ------
    TypeError, ValueError
        The split does not fit the network or has another dtype than theta.

    Examples
    --------
    >>> net = MLP((2, 1, 2))
    >>> theta = Parameters.zeros(net.layout, dtype=np.float64)
    >>> theta["W2"] = np.array([[1.0, -1.0]])
    >>> G = dense_gradients(net, theta, Split(np.ones((3, 2)), np.array([0, 1, 1])))
    >>> G["b2"].round(3)                                    # mean of P - Y
    array([ 0.167, -0.167])
    """
    check_data(net, split, "split", theta.dtype)
    if weight_mask is not None:
        check_weight_mask(weight_mask, net.layout)
    W_kept = theta if weight_mask is None else theta * weight_mask
    return _mean_gradient(net, W_kept, split, None, loss, batch_size)


def snip(
    net: MLP,
    theta: Parameters,
    split: Split,
    *,
    weight_mask: Parameters | None = None,
    loss: Loss = softmax_cross_entropy,
    batch_size: int = 2000,
) -> Parameters:
    """S = |G * W| = |dL/dM|: by how much, to first order, the loss changes without a weight.   Equation (P4)

    Lee, Ajanthan and Torr (2019). The absolute value is taken after the mean over all examples.

    Parameters
    ----------
    net : an ``MLP``
    theta : usually theta_0
    split : the examples, often a single batch
    weight_mask : None for a dense net, as in the paper
    loss : softmax cross-entropy, or another
    batch_size : bounds the memory; the result is the same up to rounding

    Returns
    -------
    Parameters : scores of the form of theta; the largest stay

    Examples
    --------
    >>> net = MLP((1, 2))
    >>> theta = Parameters.from_arrays({"W1": np.array([[3.0, -1.0]]), "b1": np.zeros(2)}, net.layout)
    >>> snip(net, theta, Split(np.zeros((3, 1)), np.array([0, 1, 1])))["W1"]          # inputs of 0 tell nothing
    array([[0., 0.]])
    """
    G = dense_gradients(net, theta, split, weight_mask=weight_mask, loss=loss, batch_size=batch_size)
    return weights_only(np.abs(G * theta))


def grasp(
    net: MLP,
    theta: Parameters,
    split: Split,
    *,
    weight_mask: Parameters | None = None,
    loss: Loss = softmax_cross_entropy,
    batch_size: int = 2000,
) -> Parameters:
    """S = theta * (H g), signed: without weight i, ||g||^2 changes by -2 S_i to first order.   Equation (P5)

    Wang, Zhang and Grosse (2020), who write it with the opposite sign. A weight with a small S is one whose absence
    leaves more gradient to learn with. g and H are those of all parameters, biases included; H g is exact (Equation (B25)).

    Parameters
    ----------
    net : an ``MLP``
    theta : usually theta_0; computed in float64 whatever it is
    split : the examples
    weight_mask : None for a dense net, as in the paper
    loss : softmax cross-entropy, or another
    batch_size : bounds the memory; the result is the same up to rounding

    Returns
    -------
    scores, float64

    Raises
    ------
    TypeError, ValueError
        The examples or the mask do not fit the network.

    Examples
    --------
    >>> net = MLP((1, 2))
    >>> theta = Parameters.from_arrays({"W1": np.array([[3.0, -1.0]]), "b1": np.zeros(2)}, net.layout)
    >>> grasp(net, theta, Split(np.ones((2, 1)), np.array([0, 1])))["W1"].round(4)
    array([[0.1022, 0.0341]])
    """
    check_data(net, split, "split", theta.dtype)
    if weight_mask is not None:
        check_weight_mask(weight_mask, net.layout)
    x = split.x.astype(np.float64)
    y = split.y if split.y.dtype.kind in "iu" else split.y.astype(np.float64)
    mask = None if weight_mask is None else weight_mask.astype(np.float64)

    def gradient(vector: np.ndarray) -> np.ndarray:
        return _mean_gradient(net, Parameters(vector, net.layout), Split(x, y), mask, loss, batch_size).vector

    vector = theta.vector.astype(np.float64)
    g = gradient(vector)  # (..., P)
    return weights_only(Parameters(vector * hessian_vector_product(gradient, vector, g), net.layout))


def _mean_gradient(net, theta, split, weight_mask, loss, batch_size) -> Parameters:
    """The gradient of the mean loss over a split, batch by batch."""
    n, total = len(split.x), None
    for start in range(0, n, batch_size):
        x, y = split.x[start : start + batch_size], split.y[start : start + batch_size]
        logits, caches = net.forward(theta, x, weight_mask=weight_mask, trusted=True)
        _, loss_cache = loss.forward(logits, y)
        gradients = net.backward(loss.backward(len(x) / n, loss_cache), caches)  # the batch's share of the mean
        total = gradients if total is None else total + gradients
    return total

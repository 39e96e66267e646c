"""The link: dropout, DropConnect, supermasks and pruning as one law over the weight masks of a layer.

The mask of a layer is M_ij = d_i c_ij: a coin d_i for each input unit, which takes a whole row with it, and a coin c_ij for
each weight. Dropout tosses the first kind only, DropConnect the second; a supermask learns the second; targeted dropout
tosses it for small weights only; a pruned layer, so also a lottery ticket, is the corner in which every probability is 0
or 1, and the variance is gone. What one law says of the mean and the noise of z = h (M * W) + b holds in all of them.

Nothing is divided by a keep probability here, unless ``scale`` says so: a ticket is not rescaled (Equation (M15)).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from numpynet.equations.activations import sigmoid
from numpynet.equations.checks import check_binary, check_keep_prob, check_rng
from numpynet.equations.targeted_dropout import check_share, weight_candidates

MAX_COINS = 20  # 2^20 masks are a million


class MaskLaw(NamedTuple):
    """The law of a random mask (d_in, d_out): M_ij = d_i c_ij, d_i ~ Bern(unit_i), c_ij ~ Bern(weight_ij), all independent."""

    unit: np.ndarray  # (d_in,) probability that an input unit stays
    weight: np.ndarray  # (d_in, d_out) probability that a weight stays, given its unit does

    @property
    def Q(self) -> np.ndarray:
        """P(M_ij = 1), (d_in, d_out)."""
        return self.unit[:, None] * self.weight

    @property
    def density(self) -> float:
        """The expected share of weights that stay."""
        return float(self.Q.mean())


# ---- the corners -----------------------------------------------------------------------------------------------------


def dropout_law(d_in: int, d_out: int, keep_prob: float, *, weight_mask: np.ndarray | None = None) -> MaskLaw:
    """Dropout on the input of a layer: a unit goes with its whole row; on a pruned layer if there is a mask.   Equation (M5)

    Parameters
    ----------
    d_in : number of inputs, each of which has one coin
    d_out : number of outputs
    keep_prob : q in (0, 1]
    weight_mask : (d_in, d_out) binary, or None for a dense layer

    Returns
    -------
    MaskLaw

    Examples
    --------
    >>> dropout_law(2, 3, 0.8).Q
    array([[0.8, 0.8, 0.8],
           [0.8, 0.8, 0.8]])
    """
    weight = np.ones((d_in, d_out)) if weight_mask is None else check_binary(weight_mask).astype(np.float64)
    return MaskLaw(np.full(d_in, check_keep_prob(keep_prob)), weight)


def dropconnect_law(d_in: int, d_out: int, keep_prob: float) -> MaskLaw:
    """DropConnect: every weight has a coin of its own, with one keep probability.   Equation (M6)

    Parameters
    ----------
    d_in : number of inputs
    d_out : number of outputs
    keep_prob : q of every weight

    Returns
    -------
    MaskLaw

    Examples
    --------
    >>> dropconnect_law(2, 3, 0.8).density
    0.8
    """
    return MaskLaw(np.ones(d_in), np.full((d_in, d_out), check_keep_prob(keep_prob)))


def targeted_law(W: np.ndarray, target_share: float, drop_prob: float) -> MaskLaw:
    """Targeted dropout: only the smallest weights of each unit have a coin, Q = 1 - drop_prob there, 1 elsewhere.   Equation (M6)

    Parameters
    ----------
    W : (d_in, d_out)
    target_share : gamma in [0, 1], the share of each unit's weights that may be dropped
    drop_prob : with which such a one is dropped

    Returns
    -------
    MaskLaw

    Examples
    --------
    >>> targeted_law(np.array([[3.0, 0.1], [-1.0, 4.0]]), target_share=0.5, drop_prob=0.7).Q
    array([[1. , 0.3],
           [0.3, 1. ]])
    """
    candidates = weight_candidates(W, target_share)
    return MaskLaw(np.ones(W.shape[0]), np.where(candidates, 1 - check_share(drop_prob, "drop_prob"), 1.0))


def supermask_law(scores: np.ndarray) -> MaskLaw:
    """A Bernoulli supermask: every weight has a coin of its own, with a learned probability Q = sigmoid(S).   Equation (M6)

    Parameters
    ----------
    scores : (d_in, d_out) S

    Returns
    -------
    MaskLaw

    Examples
    --------
    >>> supermask_law(np.array([[0.0, 2.0]])).Q.round(2)
    array([[0.5 , 0.88]])
    """
    return MaskLaw(np.ones(scores.shape[0]), sigmoid.forward(np.asarray(scores, np.float64))[0])


def pruning_law(weight_mask: np.ndarray) -> MaskLaw:
    """A pruned layer: Q in {0, 1}, the corner without variance. Whoever made the mask, IMP, edge-popup or chance.   Equation (M6)

    Parameters
    ----------
    weight_mask : (d_in, d_out) binary

    Returns
    -------
    MaskLaw

    Examples
    --------
    >>> layer_moments(np.ones((1, 2)), np.ones((2, 1)), pruning_law(np.array([[1.0], [0.0]])))
    (array([1.]), array([[0.]]))
    """
    return MaskLaw(np.ones(len(weight_mask)), check_binary(weight_mask).astype(np.float64))


# ---- what the law says -----------------------------------------------------------------------------------------------


def layer_moments(h: np.ndarray, W: np.ndarray, law: MaskLaw, *, scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and covariance of z = scale * h (M * W) over the masks.   Equations (M6), (M21), (M22)

        E z = h (Q * W),   Cov(z_j, z_k) = sum over i of h_i^2 W_ij W_ik Cov(M_ij, M_ik)

    Two weights of one unit are correlated through its coin: Cov(M_ij, M_ik) = u_i (1 - u_i) c_ij c_ik, where u and c are
    the probabilities; that of a weight with itself is Q_ij (1 - Q_ij). Where all probabilities are 0 or 1 nothing varies.

    Parameters
    ----------
    h : (1, d_in) one input of the layer
    W : (d_in, d_out)
    law : of a mask of that shape
    scale : 1 / keep_prob for inverted dropout, 1 for everything else

    Returns
    -------
    mean : (d_out,)
    covariance : (d_out, d_out)

    Examples
    --------
    >>> h, W = np.array([[1.0, 2.0]]), np.array([[1.0, 1.0], [1.0, -1.0]])
    >>> layer_moments(h, W, dropout_law(2, 2, 0.8))[1]                                # 0.16 (1 + 4), 0.16 (1 - 4)
    array([[ 0.8 , -0.48],
           [-0.48,  0.8 ]])
    >>> layer_moments(h, W, dropconnect_law(2, 2, 0.8))[1]                            # the same variance, but independent
    array([[0.8, 0. ],
           [0. , 0.8]])
    """
    _check_layer(h, W, law)
    mean = scale * (h @ (law.Q * W))[0]
    hW = h.T * W  # (d_in, d_out)
    shared = (law.unit * (1 - law.unit))[:, None]  # (d_in, 1) variance of each unit's coin
    expected = law.weight * hW
    covariance = (shared * expected).T @ expected
    np.fill_diagonal(covariance, (law.Q * (1 - law.Q) * hW**2).sum(axis=0))
    return mean, scale**2 * covariance


def log_probability(law: MaskLaw, mask: np.ndarray) -> float:
    """Return ln P(M = mask); -inf for a mask that the law never draws.   Equation (M19)

    Under DropConnect it is k ln q + (n - k) ln(1 - q) with k = ||mask||_0: every mask is possible, a ticket is a sample
    like any other, and it is the likelier the nearer q is to k / n.

    Parameters
    ----------
    law : of the masks
    mask : (d_in, d_out) binary

    Returns
    -------
    A number, at most 0; -inf if it cannot be drawn.

    Raises
    ------
    ValueError
        The mask has not the shape of the law.

    Examples
    --------
    >>> mask = np.array([[1.0, 0.0, 1.0]])
    >>> round(float(np.exp(log_probability(dropconnect_law(1, 3, 0.8), mask))), 3)            # 0.8^2 0.2
    0.128
    >>> log_probability(dropout_law(1, 3, 0.8), mask)                           # dropout takes a row or leaves it
    -inf
    """
    if mask.shape != law.weight.shape:
        raise ValueError(f"mask has shape {mask.shape}, but the law is one of masks {law.weight.shape}")
    check_binary(mask)
    with np.errstate(divide="ignore"):
        row = np.log(law.unit) + np.log(np.where(mask == 1, law.weight, 1 - law.weight)).sum(axis=1)  # (d_in,)
        gone = np.where(mask.any(axis=1), -np.inf, np.log(1 - law.unit))  # an empty row may be the unit's doing
    return float(np.logaddexp(row, gone).sum())


def draw(rng: np.random.Generator, law: MaskLaw, n_masks: int) -> np.ndarray:
    """Draw masks of the law, (n_masks, d_in, d_out) float64.   Equation (M6)

    Parameters
    ----------
    rng : draws the coins
    law : of the masks
    n_masks : how many

    Returns
    -------
    masks : (n_masks, d_in, d_out) float64, binary

    Examples
    --------
    >>> draw(np.random.default_rng(0), dropout_law(3, 2, 0.7), 1)[0]            # whole rows
    array([[1., 1.],
           [1., 1.],
           [1., 1.]])
    """
    check_rng(rng)
    unit = rng.random((n_masks, len(law.unit), 1)) < law.unit[:, None]
    return (unit & (rng.random((n_masks, *law.weight.shape)) < law.weight)).astype(np.float64)


def every_mask(law: MaskLaw) -> tuple[np.ndarray, np.ndarray]:
    """List what all coins of a small layer can give: masks (2^n, d_in, d_out) and their probabilities (2^n,).

    Only coins that can fall either way are tossed. A mask may come several times: a unit that is gone hides its weights.

    Parameters
    ----------
    law : of the masks, with at most 20 coins that can fall either way

    Returns
    -------
    masks : (2^n, d_in, d_out) float64, binary
    probabilities : (2^n,), which sum to 1

    Raises
    ------
    ValueError
        There are more than 20 such coins.

    Examples
    --------
    >>> masks, probability = every_mask(dropout_law(2, 2, 0.8))
    >>> masks[:, :, 0].tolist(), probability.round(2).tolist()
    ([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], [0.04, 0.16, 0.16, 0.64])
    """
    d_in, d_out = law.weight.shape
    q = np.concatenate([law.unit, law.weight.ravel()])
    fair = np.flatnonzero((q > 0) & (q < 1))
    if len(fair) > MAX_COINS:
        raise ValueError(f"the law has {len(fair)} coins that can fall either way, and at most {MAX_COINS} are listed")
    coins = np.tile(q, (2 ** len(fair), 1))  # those that cannot fall either way: 0 or 1
    coins[:, fair] = (np.arange(len(coins))[:, None] >> np.arange(len(fair))) & 1
    probability = np.where(coins[:, fair] == 1, q[fair], 1 - q[fair]).prod(axis=1)
    return coins[:, :d_in, None] * coins[:, d_in:].reshape(-1, d_in, d_out), probability


# ---- units as weights ------------------------------------------------------------------------------------------------


def example_weight_masks(unit_mask: np.ndarray, weight_mask: np.ndarray) -> np.ndarray:
    """Return the weight mask that each example sees under both masks, (N, d_in, d_out): (d_n^T 1) * M.   Equation (M5)

    A unit mask for a batch is N weight masks, not one.

    Parameters
    ----------
    unit_mask : (N, d_in) binary
    weight_mask : (d_in, d_out) binary

    Returns
    -------
    masks : (N, d_in, d_out) binary

    Examples
    --------
    >>> example_weight_masks(np.array([[1.0, 0.0], [1.0, 1.0]]), np.array([[1.0, 0.0], [1.0, 1.0]])).tolist()
    [[[1.0, 0.0], [0.0, 0.0]], [[1.0, 0.0], [1.0, 1.0]]]
    """
    return check_binary(unit_mask)[..., :, None] * check_binary(weight_mask)


class UnitAsWeights(NamedTuple):
    """What dropping hidden units means for the weights around them."""

    own: np.ndarray  # (1, d) mask of the columns of the weights that feed the units
    bias: np.ndarray  # (d,) mask of their biases, which must go as well
    following: np.ndarray  # (d, 1) mask of the rows of the weights that listen to them


def unit_as_weights(unit_mask: np.ndarray) -> UnitAsWeights:
    """Return the weight masks that do what one unit mask does for the whole batch.   Equations (M2), (M3)

    ``following`` alone is enough, whatever the activation. ``own`` and ``bias`` together are enough if phi(0) = 0; without
    the bias, or with a sigmoid, they are not (N9 in the book).

    Parameters
    ----------
    unit_mask : (d,) binary

    Returns
    -------
    UnitAsWeights : row mask, bias mask and column mask.

    Raises
    ------
    ValueError
        unit_mask is not (d,).

    Examples
    --------
    >>> masks = unit_as_weights(np.array([1.0, 0.0]))
    >>> masks.own.tolist(), masks.bias.tolist(), masks.following.tolist()
    ([[1.0, 0.0]], [1.0, 0.0], [[1.0], [0.0]])
    """
    if unit_mask.ndim != 1:
        raise ValueError(f"unit_mask has shape {unit_mask.shape}, but one mask (d,) for the whole batch is needed")
    d = check_binary(unit_mask)
    return UnitAsWeights(d[None, :], d.copy(), d[:, None])


def _check_layer(h: np.ndarray, W: np.ndarray, law: MaskLaw) -> None:
    if h.shape != (1, W.shape[0]) or law.weight.shape != W.shape or law.unit.shape != (W.shape[0],):
        raise ValueError(
            f"h has shape {h.shape}, W {W.shape} and the law is one of masks {law.weight.shape}, but (1, d_in) and twice "
            "(d_in, d_out) are needed"
        )

"""Layer rules: what a layer of a network does with randomness, as one record for each kind of dropout.

Every affine layer of an ``MLP`` follows a rule: how its noise is drawn, and the forward and backward pair that takes
it. Plain dropout is the rule ``unit_dropout(keep_prob)``; the other functions here wrap the variants of
``numpynet.equations``, with their settings bound, into the same form. The network calls the rule and knows no variant:

    net = MLP((784, 500, 10), rules=(None, gaussian_dropout(keep_prob=0.8)))

The noise of a layer is an array, drawn outside and handed in (a binary mask, uniform or normal numbers); None in its
place means evaluation. So every rule can be checked against the complex step with its noise held fixed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from numpynet.equations import alpha_dropout as alpha
from numpynet.equations import gaussian_dropout as gaussian
from numpynet.equations import standout as gated
from numpynet.equations import targeted_dropout as targeted
from numpynet.equations import variational_dropout as variational
from numpynet.equations.checks import check_finite, check_finite_number, check_one_keep_prob
from numpynet.equations.dropout import dropconnect_backward, dropconnect_forward
from numpynet.equations.linear import LinearCache, linear_backward, linear_forward
from numpynet.equations.masks import sample_mask
from numpynet.equations.noise import sample_normal, sample_uniform


class LayerRule(NamedTuple):
    """How a layer draws and uses its noise.

    A batch_shape ends in the number of examples, or in 1 where they share the noise; axes before it are samples.
    """

    name: str  # with its settings; two rules of one name are the same
    sample: Callable[..., np.ndarray] | None  # rng, batch_shape, d_in, d_out, *, dtype -> noise; None if there is none
    forward: Callable[..., tuple[np.ndarray, Any]]  # x, W, b, noise, *, weight_mask=None -> z, cache
    backward: Callable[..., tuple]  # dz, cache, *, need_dx=True, out=None -> dx, dW, db
    binary: bool = False  # whether the noise is a mask of 0 and 1, which the network then checks
    mask_in_product: bool = False  # whether z depends on M and W through M * W alone: a masked W then needs no mask
    own_arrays: bool = False  # whether z and dx are made by it and kept by nobody: then the activation writes over them
    on_outputs: bool = False  # whether it silences units of z: then phi(0) must be 0, or they would still speak


def plain_layer() -> LayerRule:
    """Return the rule of a layer without noise.

    Examples
    --------
    >>> plain_layer().forward(np.ones((1, 2)), np.ones((2, 1)), np.zeros(1), None)[0]
    array([[2.]])
    """
    return _linear_rule("plain", None, 1.0)


def unit_dropout(keep_prob: float, *, shared: bool = False) -> LayerRule:
    """Return the rule of dropout on the input of a layer, inverted: z = (D * x / q)(M * W) + b.   Equation (B1)

    Parameters
    ----------
    keep_prob : q in (0, 1], with which a unit stays
    shared : True draws one mask for the batch; the mean gradient is the same, its variance is not (Equation (D8))

    Returns
    -------
    A ``LayerRule`` for the ``rules`` of an ``MLP``.

    Raises
    ------
    TypeError, ValueError
        keep_prob is no number in (0, 1].

    Examples
    --------
    >>> rule = unit_dropout(keep_prob=0.8)
    >>> rule.sample(np.random.default_rng(0), (5,), 3, 2, dtype=np.float32).shape
    (5, 3)
    """
    q = check_one_keep_prob(keep_prob)
    sample = partial(_sample_units, keep_prob=q, shared=shared)
    name = f"unit_dropout({q}, shared=True)" if shared else f"unit_dropout({q})"
    return _linear_rule(name, sample, q)


def dropconnect(keep_prob: float, *, shared: bool = False) -> LayerRule:
    """Return the rule of DropConnect, scaled by 1/q in training.   Equation (D17)

    Parameters
    ----------
    keep_prob : q in (0, 1], with which a weight stays
    shared : True draws one mask for the batch, which costs d_in * d_out numbers instead of N times as many

    Returns
    -------
    A ``LayerRule`` for the ``rules`` of an ``MLP``.

    Raises
    ------
    TypeError, ValueError
        keep_prob is no number in (0, 1].

    Examples
    --------
    >>> dropconnect(0.8).sample(np.random.default_rng(0), (5,), 3, 2, dtype=np.float32).shape
    (5, 3, 2)
    """
    q = check_one_keep_prob(keep_prob)
    sample = partial(_sample_connections, keep_prob=q, shared=shared)
    forward = partial(_dropconnect, keep_prob=q)
    return LayerRule(f"dropconnect({q}, shared={shared})", sample, forward, _dropconnect_backward, binary=True)


def gaussian_dropout(keep_prob: float) -> LayerRule:
    """Return the rule of Gaussian dropout: noise of mean 1 and variance (1 - q) / q on the inputs.   Equation (D18)

    Parameters
    ----------
    keep_prob : q in (0, 1]

    Returns
    -------
    A ``LayerRule`` for the ``rules`` of an ``MLP``.

    Raises
    ------
    TypeError, ValueError
        keep_prob is no number in (0, 1].

    Examples
    --------
    >>> gaussian_dropout(0.8).sample(np.random.default_rng(0), (5,), 3, 2, dtype=np.float32).shape
    (5, 3)
    """
    q = check_one_keep_prob(keep_prob)
    sample = partial(_sample_gaussian, keep_prob=q)
    return LayerRule(
        f"gaussian_dropout({q})", sample, gaussian.gaussian_dropout_forward, gaussian.gaussian_dropout_backward
    )


def variational_dropout(log_alpha: float | np.ndarray) -> LayerRule:
    """Return the rule of variational dropout, by local reparametrisation: noise on the pre-activations.   Equation (D19)

    Parameters
    ----------
    log_alpha : one number, or one for each weight (d_in, d_out); held fixed. To learn it, follow it with
        ``log_alpha_gradient`` and ``variational_kl_backward`` of ``numpynet.equations.variational_dropout``.

    Returns
    -------
    A ``LayerRule`` for the ``rules`` of an ``MLP``.

    Raises
    ------
    TypeError, ValueError
        log_alpha is no number, or not finite.

    Examples
    --------
    >>> variational_dropout(-1.0).sample(np.random.default_rng(0), (5,), 3, 2, dtype=np.float32).shape
    (5, 2)
    """
    if isinstance(log_alpha, np.ndarray):
        check_finite(log_alpha, "log_alpha")
    else:
        log_alpha = check_finite_number(log_alpha, "log_alpha")
    forward = partial(variational.variational_dropout_forward, log_alpha=log_alpha)
    name = f"variational_dropout({np.asarray(log_alpha).tolist()})"
    return LayerRule(name, _sample_normal, forward, variational.variational_dropout_backward)


def alpha_dropout(keep_prob: float) -> LayerRule:
    """Return the rule of alpha dropout, for nets of SELU units.   Equation (D21)

    Parameters
    ----------
    keep_prob : q in (0, 1]

    Returns
    -------
    A ``LayerRule`` for the ``rules`` of an ``MLP``.

    Raises
    ------
    TypeError, ValueError
        keep_prob is no number in (0, 1].

    Examples
    --------
    >>> alpha_dropout(0.9).sample(np.random.default_rng(0), (5,), 3, 2, dtype=np.float32).shape
    (5, 3)
    """
    q = check_one_keep_prob(keep_prob)
    sample = partial(_sample_units, keep_prob=q)
    forward = partial(alpha.alpha_dropout_forward, keep_prob=q)
    return LayerRule(f"alpha_dropout({q})", sample, forward, alpha.alpha_dropout_backward, binary=True)


def targeted_weight_dropout(target_share: float, drop_prob: float) -> LayerRule:
    """Return the rule of targeted dropout on weights; evaluation leaves out all candidates.   Equation (D22)

    Parameters
    ----------
    target_share : gamma in [0, 1], the share of the smallest that may be dropped
    drop_prob : with which such a one is dropped

    Returns
    -------
    A ``LayerRule`` for the ``rules`` of an ``MLP``.

    Raises
    ------
    TypeError, ValueError
        A share or probability is no number in [0, 1].

    Examples
    --------
    >>> targeted_weight_dropout(0.75, 0.66).sample(np.random.default_rng(0), (5,), 3, 2, dtype=np.float32).shape
    (3, 2)
    """
    sample = _sample_for_weights
    settings = _targeted_settings(target_share, drop_prob)
    forward = partial(targeted.targeted_weight_dropout_forward, **settings)
    return LayerRule(
        f"targeted_weight_dropout({_listed(settings)})", sample, forward, targeted.targeted_weight_dropout_backward
    )


def targeted_unit_dropout(target_share: float, drop_prob: float) -> LayerRule:
    """Return the rule of targeted dropout on the units that a layer feeds.   Equation (D22)

    Parameters
    ----------
    target_share : gamma in [0, 1], the share of the smallest that may be dropped
    drop_prob : with which such a one is dropped

    Returns
    -------
    A ``LayerRule`` for the ``rules`` of an ``MLP``.

    Raises
    ------
    TypeError, ValueError
        A share or probability is no number in [0, 1].

    Examples
    --------
    >>> targeted_unit_dropout(0.75, 0.66).sample(np.random.default_rng(0), (5,), 3, 2, dtype=np.float32).shape
    (5, 2)
    """
    sample = _sample_for_outputs
    settings = _targeted_settings(target_share, drop_prob)
    forward = partial(targeted.targeted_unit_dropout_forward, **settings)
    return LayerRule(
        f"targeted_unit_dropout({_listed(settings)})",
        sample,
        forward,
        targeted.targeted_unit_dropout_backward,
        on_outputs=True,
    )


def standout(alpha: float = 1.0, beta: float = 0.0) -> LayerRule:
    """Return the rule of standout: a unit's keep probability depends on what it hears.   Equation (D26)

    Parameters
    ----------
    alpha, beta : of g = sigmoid(alpha s + beta), the keep probability at input s

    Returns
    -------
    A ``LayerRule`` for the ``rules`` of an ``MLP``.

    Raises
    ------
    TypeError, ValueError
        alpha or beta is no finite number.

    Examples
    --------
    >>> standout(1.0, 0.5).sample(np.random.default_rng(0), (5,), 3, 2, dtype=np.float32).shape
    (5, 2)
    """
    sample = _sample_for_outputs
    alpha, beta = check_finite_number(alpha, "alpha"), check_finite_number(beta, "beta")
    forward = partial(gated.standout_forward, alpha=alpha, beta=beta)
    return LayerRule(f"standout({alpha}, {beta})", sample, forward, gated.standout_backward, on_outputs=True)


# The functions that the rules bind stand at the top level, so that a network can be pickled and sent to other processes.


def _sample_units(rng, batch_shape, d_in, d_out, *, dtype, keep_prob, shared=False):
    *lead, n = batch_shape
    return sample_mask(rng, (*lead, 1 if shared else n, d_in), keep_prob, dtype=dtype)


def _sample_connections(rng, batch_shape, d_in, d_out, *, dtype, keep_prob, shared):
    *lead, n = batch_shape
    return sample_mask(rng, (*lead, 1 if shared else n, d_in, d_out), keep_prob, dtype=dtype)


def _sample_gaussian(rng, batch_shape, d_in, d_out, *, dtype, keep_prob):
    return gaussian.sample_gaussian_noise(rng, (*batch_shape, d_in), keep_prob, dtype=dtype)


def _sample_normal(rng, batch_shape, d_in, d_out, *, dtype):
    return sample_normal(rng, (*batch_shape, d_out), dtype=dtype)


def _sample_for_outputs(rng, batch_shape, d_in, d_out, *, dtype):
    return sample_uniform(rng, (*batch_shape, d_out), dtype=dtype)


def _sample_for_weights(rng, batch_shape, d_in, d_out, *, dtype):
    return sample_uniform(rng, (*batch_shape[:-1], d_in, d_out), dtype=dtype)


def _dropconnect(x, W, b, noise, *, keep_prob, weight_mask=None):
    if noise is None:
        return linear_forward(x, W, b, weight_mask=weight_mask)
    return dropconnect_forward(x, W, b, noise, keep_prob=keep_prob, weight_mask=weight_mask)


def _dropconnect_backward(dz, cache, *, need_dx=True, out=None):
    back = linear_backward if isinstance(cache, LinearCache) else dropconnect_backward
    return back(dz, cache, need_dx=need_dx, out=out)


def _linear(x, W, b, noise, *, keep_prob, weight_mask=None):
    return linear_forward(x, W, b, unit_mask=noise, keep_prob=keep_prob, weight_mask=weight_mask)


def _linear_rule(name: str, sample: Callable[..., np.ndarray] | None, keep_prob: float) -> LayerRule:
    forward = partial(_linear, keep_prob=keep_prob)
    return LayerRule(name, sample, forward, linear_backward, binary=True, mask_in_product=True, own_arrays=True)


def _targeted_settings(target_share: float, drop_prob: float) -> dict[str, float]:
    return {
        "target_share": targeted.check_share(target_share, "target_share"),
        "drop_prob": targeted.check_share(drop_prob, "drop_prob"),
    }


def _listed(settings: dict[str, float]) -> str:
    return ", ".join(f"{name}={value}" for name, value in settings.items())

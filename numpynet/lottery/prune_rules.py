"""From trained weights to the next mask: which weights are worth keeping, and within which scope they are ranked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from numpynet.equations.masks import prune_count
from numpynet.parameters import Parameters
from numpynet.pruning import prune_globally, prune_layerwise, zhou

# What a weight is worth, from (theta_0, theta_T); the largest stay.
CRITERIA = {
    "magnitude": zhou.large_final,
    "small_final": zhou.small_final,
    "large_init": zhou.large_init,
    "small_init": zhou.small_init,
    "large_init_large_final": zhou.large_init_large_final,
    "magnitude_increase": zhou.magnitude_increase,
    "movement": zhou.movement,
    "large_final_same_sign": zhou.large_final_same_sign,
}
SCOPES = ("layer", "global")


def prune_rule(
    rate: float | Mapping[str, float],
    *,
    output_rate: float | None = None,
    scope: str = "layer",
    criterion: str = "magnitude",
    min_keep: int = 0,
    require_path: bool = False,
) -> Callable[[Parameters, Parameters, Parameters], Parameters]:
    """Return a function (theta_0, theta_T, mask) -> new mask.   Equations (L2), (L7), (P3)

    Parameters
    ----------
    rate : share of the survivors that go; for scope "layer" also one for each layer
    output_rate : that of the last layer, None for half of ``rate``
    scope : "layer" ranks the weights of each layer, "global" all of them
    criterion : a name of ``CRITERIA``
    min_keep : weights that every layer keeps at least
    require_path : True raises ``DisconnectedError`` where otherwise a warning says that no path is left

    Returns
    -------
    function: (theta_0, theta_T, mask) -> mask with fewer ones, replicate by replicate

    Raises
    ------
    TypeError, ValueError
        A rate is not in [0, 1]; there is no such scope or criterion.

    References
    ----------
    Frankle and Carbin (2019); the criteria are those of Zhou et al. (2019).

    Examples
    --------
    >>> import numpy as np
    >>> from numpynet.parameters import Layout
    >>> theta = Parameters(np.array([1.0, -3.0, 2.0, 4.0, 0.0]), Layout.of_sizes((4, 1)))
    >>> prune_rule(0.5, scope="global")(theta, theta, Parameters.ones(theta.layout))["W1"].ravel()
    array([0., 1., 0., 1.], dtype=float32)
    """
    for number in (*(rate.values() if isinstance(rate, Mapping) else (rate,)), output_rate):
        if number is not None:
            prune_count(number, 0)  # raises unless it is a number in [0, 1]
    if scope not in SCOPES:
        raise ValueError(f"scope is {scope!r}, but one of {', '.join(SCOPES)} is needed")
    if criterion not in CRITERIA:
        raise ValueError(f"criterion is {criterion!r}, but one of {', '.join(CRITERIA)} is needed")
    rate = dict(rate) if isinstance(rate, Mapping) else rate
    return partial(
        _prune,
        rate=rate,
        output_rate=output_rate,
        scope=scope,
        criterion=criterion,
        keep={"min_keep": min_keep, "require_path": require_path},
    )


def _prune(theta_0, theta_T, weight_mask, *, rate, output_rate, scope, criterion, keep) -> Parameters:
    scores = CRITERIA[criterion](theta_0, theta_T)
    if scope == "global":
        return prune_globally(scores, weight_mask, rate=rate, **keep)
    return prune_layerwise(scores, weight_mask, rate=rate, output_rate=output_rate, **keep)

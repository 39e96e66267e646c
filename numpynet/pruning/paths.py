"""Paths: how many ways lead from the inputs through a pruned network to its outputs, and which weights lie on one.

A weight that no path runs through does nothing: it hangs on a unit that hears nothing, or on one that nobody hears.
One sweep forward and one sweep backward through the layers settle all such questions, because a product of matrices
sums over paths. The same sweeps, with |W| in the place of the mask, give SynFlow.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from numpynet.equations.checks import check_keep_prob
from numpynet.parameters import Parameters
from numpynet.pruning.masks import alive_counts, weight_density


class DisconnectedWarning(UserWarning):
    """A mask has been made that empties a layer, or leaves no path from the inputs to the outputs."""


class DisconnectedError(RuntimeError):
    """No path would be left from the inputs to the outputs, and ``require_path`` asked for one.

    No ``ValueError``: the arguments may be in order, and only the run shows that they leave nothing.
    """


def flows(matrices: Sequence[np.ndarray]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return f_l = 1^T A_1 ... A_l and c_l = A_(l+1) ... A_L 1 for l = 0 ... L.   Equation (P6)

    Entry k of f_l sums over the paths from any input to unit k of layer l, each with the product of its entries; c_l
    does the same from unit k to any output. (The book numbers f by the layer that it enters: its f_(l+1) is this f_l.)

    Parameters
    ----------
    matrices : A_1 (..., d_0, d_1), ..., A_L (..., d_(L-1), d_L)

    Returns
    -------
    f, c : L + 1 arrays each, (..., d_l)

    Examples
    --------
    >>> f, c = flows([np.array([[2.0, 0.0]]), np.array([[3.0], [5.0]])])
    >>> f[1].tolist(), c[1].tolist(), f[2].tolist(), c[0].tolist()
    ([2.0, 0.0], [3.0, 5.0], [6.0], [6.0])
    """
    forward = [np.ones(matrices[0].shape[:-1], matrices[0].dtype)]  # (..., d_0)
    for A in matrices:
        forward.append((forward[-1][..., None, :] @ A)[..., 0, :])  # (..., d_(l-1)) @ (..., d_(l-1), d_l)
    backward = [np.ones((*matrices[-1].shape[:-2], matrices[-1].shape[-1]), matrices[-1].dtype)]  # (..., d_L)
    for A in reversed(matrices):
        backward.append((A @ backward[-1][..., None])[..., 0])  # (..., d_(l-1), d_l) @ (..., d_l)
    return forward, backward[::-1]


def count_paths(weight_mask: Parameters, *, keep_probs: Sequence[float | None] | None = None) -> float | list:
    """Return the number of paths from inputs to outputs, 1^T M_1 ... M_L 1.   Equation (M12)

    Counts are float64, exact up to 2^53.

    Parameters
    ----------
    weight_mask : binary; with replicates the result is a list
    keep_probs : one for each layer, None for 1, to get the expected number instead: of the units at the input of each
        layer under dropout, or of the weights of each layer under DropConnect. It is the same product.

    Returns
    -------
    A number, or one for each net of a stack.

    Raises
    ------
    ValueError
        There is not one keep probability for each layer.

    Examples
    --------
    >>> from numpynet.parameters import Layout
    >>> mask = Parameters.ones(Layout.of_sizes((4, 3, 2)))
    >>> count_paths(mask), round(count_paths(mask, keep_probs=(None, 0.8)), 9)
    (24.0, 19.2)
    """
    matrices = _matrices(weight_mask)
    paths = flows(matrices)[0][-1].sum(axis=-1)  # (...,)
    if keep_probs is not None:
        if len(keep_probs) != len(matrices):
            raise ValueError(f"keep_probs has {len(keep_probs)} entries, but one for each of {len(matrices)} layers")
        for keep_prob in keep_probs:
            paths = paths * (1.0 if keep_prob is None else check_keep_prob(keep_prob))
    return paths.tolist()


def reachable(weight_mask: Parameters) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return, for l = 0 ... L, which units hear an input and which are heard by an output; boolean, (..., d_l).

    A unit hears an input if a path of surviving weights leads from one to it. Every input hears itself.

    Parameters
    ----------
    weight_mask : binary, of the form of theta, of one net or of a stack

    Returns
    -------
    hears, heard : for l = 0 ... L, boolean (..., d_l)

    Examples
    --------
    >>> from numpynet.pruning.masks import mask_from_arrays
    >>> from numpynet.parameters import Layout
    >>> arrays = {"W1": np.array([[1.0, 0.0]]), "W2": np.array([[0.0], [1.0]])}
    >>> hears, heard = reachable(mask_from_arrays(arrays, Layout.of_sizes((1, 2, 1))))
    >>> hears[1].tolist(), heard[1].tolist()
    ([True, False], [False, True])
    """
    forward, backward = flows(_matrices(weight_mask))
    return [f > 0 for f in forward], [c > 0 for c in backward]


def is_connected(weight_mask: Parameters) -> np.ndarray:
    """Return whether a path is left from any input to any output, (...,) boolean.

    Parameters
    ----------
    weight_mask : binary, of the form of theta, of one net or of a stack

    Returns
    -------
    (...) boolean

    Examples
    --------
    >>> from numpynet.parameters import Layout
    >>> bool(is_connected(Parameters.ones(Layout.of_sizes((4, 3, 2)))))
    True
    """
    return reachable(weight_mask)[0][-1].any(axis=-1)


def warn_if_cut(old: Parameters, new: Parameters, *, require_path: bool = False, stacklevel: int = 2) -> None:
    """Warn when the step from one mask to the next empties a layer or cuts the last path; once, at that step.

    In a multilayer perceptron one empty layer is enough to cut all paths, but they can end without one.

    Parameters
    ----------
    old, new : masks of one form
    require_path : True raises if the new mask has no path from the inputs to the outputs
    stacklevel : of the warning

    Raises
    ------
    DisconnectedError
        There is no path, and ``require_path`` is True.

    Examples
    --------
    >>> from numpynet.parameters import Layout
    >>> dense = Parameters.ones(Layout.of_sizes((4, 3, 2)))
    >>> warn_if_cut(dense, 0 * dense, require_path=True)
    Traceback (most recent call last):
    ...
    numpynet.pruning.paths.DisconnectedError: W1 and W2 are empty: no path is left from the inputs to the outputs, ...
    """
    before, after = alive_counts(old), alive_counts(new)
    emptied = [name for name in after if ((np.asarray(before[name]) > 0) & (np.asarray(after[name]) == 0)).any()]
    cut = ~is_connected(new)  # (...,)
    lost = is_connected(old) & cut
    if not (emptied or lost.any() or (require_path and cut.any())):
        return
    message = f"{' and '.join(emptied)} {'is' if len(emptied) == 1 else 'are'} empty: " if emptied else ""
    message += "no path is left from the inputs to the outputs"
    if cut.ndim:
        message += f" in {int(cut.sum())} of {cut.size} replicates"
    message += (
        ", the output no longer depends on the input. Prune less, give a layer a rate of its own, or set min_keep"
    )
    if require_path:
        raise DisconnectedError(message)
    warnings.warn(message, DisconnectedWarning, stacklevel=stacklevel)


def effective_mask(weight_mask: Parameters) -> Parameters:
    """Keep only the weights that lie on a path from an input to an output.   Equation (L19)

    Parameters
    ----------
    weight_mask : binary, of the form of theta, of one net or of a stack

    Returns
    -------
    Parameters : a mask below the one that was given

    Examples
    --------
    >>> from numpynet.pruning.masks import mask_from_arrays
    >>> from numpynet.parameters import Layout
    >>> arrays = {"W1": np.array([[1.0, 1.0]]), "W2": np.array([[0.0], [1.0]])}
    >>> effective_mask(mask_from_arrays(arrays, Layout.of_sizes((1, 2, 1))))["W1"]
    array([[0., 1.]])
    """
    hears, heard = reachable(weight_mask)
    effective = weight_mask.copy()
    for layer, name in enumerate(weight_mask.layout.weight_names, start=1):
        effective[name] *= hears[layer - 1][..., :, None] & heard[layer][..., None, :]
    return effective


def effective_density(weight_mask: Parameters) -> float | list[float]:
    """Return the share of all weights that lie on a path from an input to an output.   Equation (L19)

    Parameters
    ----------
    weight_mask : binary, of the form of theta, of one net or of a stack

    Returns
    -------
    A number, or one for each net of a stack.

    Examples
    --------
    >>> from numpynet.parameters import Layout
    >>> effective_density(Parameters.ones(Layout.of_sizes((4, 3, 2))))
    1.0
    """
    return weight_density(effective_mask(weight_mask))


def _matrices(weight_mask: Parameters) -> list[np.ndarray]:
    return [weight_mask[name].astype(np.float64) for name in weight_mask.layout.weight_names]

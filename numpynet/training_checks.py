"""What may enter a training: data that fit the network, initial parameters and masks that it may call its own.

They are checked once, at the door; behind it nothing is looked at twice.
"""

from __future__ import annotations

import numpy as np

from numpynet.data.dataset import Split, check_split
from numpynet.equations.checks import check_binary, check_finite
from numpynet.network import MLP
from numpynet.parameters import Parameters


def check_data(net: MLP, split: Split, name: str, dtype: np.dtype) -> None:
    """Raise unless the split can go through this network in this dtype.

    Parameters
    ----------
    net : that is to be trained or evaluated
    split : N examples
    name : of the split, for errors
    dtype : of the parameters

    Raises
    ------
    TypeError
        It is no ``Split``, or its inputs or floating targets have another dtype.
    ValueError
        Shapes, labels or numbers do not fit; see ``check_split``.
    """
    if not isinstance(split, Split):
        raise TypeError(f"{name} must be a Split(x, y), got {type(split).__name__}")
    of_classes = not (isinstance(split.y, np.ndarray) and split.y.dtype.kind == "f")
    labels = split.y if of_classes else np.zeros(np.shape(split.x)[:1], np.int64)  # targets are checked below
    check_split(Split(split.x, labels), n_classes=net.sizes[-1], name=name)
    if split.x.shape[1] != net.sizes[0]:
        raise ValueError(f"{name}.x has shape {split.x.shape}, but (N, {net.sizes[0]}) is needed for sizes {net.sizes}")
    if split.x.dtype != dtype:
        raise TypeError(
            f"{name}.x has dtype {split.x.dtype}, but the parameters are {dtype}: convert the data once, "
            f"x.astype(np.{dtype}), or give the plan dtype={split.x.dtype.name!r}"
        )
    if of_classes:
        return
    if split.y.shape != (len(split.x), net.sizes[-1]):
        raise ValueError(
            f"{name}.y has shape {split.y.shape}, but floating targets must be {(len(split.x), net.sizes[-1])}; "
            "class labels must be integers"
        )
    if split.y.dtype != dtype:
        raise TypeError(f"{name}.y has dtype {split.y.dtype}, but targets must be {dtype}, as the parameters are")
    check_finite(split.y, f"{name}.y")


def own_start(net: MLP, theta_0: Parameters, dtype: np.dtype, replicates: tuple[int, ...]) -> Parameters:
    """Return a copy of theta_0, which training must never touch.

    Parameters
    ----------
    net : that is to be trained
    theta_0 : its initial parameters, or a stack of them
    dtype : of the training
    replicates : () or (R,), as the seeds ask for

    Returns
    -------
    A stack of this shape; a single theta_0 is repeated.

    Raises
    ------
    TypeError
        theta_0 has another dtype.
    ValueError
        It is not of this network, not finite, or a stack of another size.
    """
    if not isinstance(theta_0, Parameters) or theta_0.layout != net.layout:
        raise ValueError(f"theta_0 must be Parameters of this network with sizes {net.sizes}")
    if theta_0.dtype != dtype:
        raise TypeError(f"theta_0 has dtype {theta_0.dtype}, but the plan trains in {dtype}")
    check_finite(theta_0.vector, "theta_0")
    if theta_0.replicates not in ((), replicates):
        raise ValueError(f"theta_0 has the replicates {theta_0.replicates}, but the seeds ask for {replicates}")
    return Parameters(np.broadcast_to(theta_0.vector, (*replicates, net.layout.size)).copy(), net.layout)


def own_mask(net: MLP, weight_mask: Parameters, dtype: np.dtype, replicates: tuple[int, ...]) -> Parameters:
    """Return a copy of the mask in the dtype of training, or raise if it is no mask of this network's weights.

    Parameters
    ----------
    net : that is to be trained
    weight_mask : M, in the form of theta, or a stack
    dtype : of the training
    replicates : () or (R,), as the seeds ask for

    Returns
    -------
    0 or 1, in dtype; 1 at biases.

    Raises
    ------
    ValueError
        It is not of this network, not binary, 0 at a bias, or a stack of another size.
    """
    if not isinstance(weight_mask, Parameters) or weight_mask.layout != net.layout:
        raise ValueError(f"weight_mask must be Parameters of this network with sizes {net.sizes}")
    check_binary(weight_mask.vector, "weight_mask")
    for name, part in weight_mask.items():
        if name not in net.layout.weight_names and not (part == 1).all():
            raise ValueError(f"weight_mask is 0 somewhere in {name}, but biases are never pruned: they must be 1 there")
    if weight_mask.replicates not in ((), replicates):
        raise ValueError(f"weight_mask has the replicates {weight_mask.replicates}, but the seeds ask for {replicates}")
    return weight_mask.astype(dtype)


def own_frozen(net: MLP, frozen: Parameters, weight_mask: Parameters | None, theta: Parameters) -> Parameters:
    """Return a copy of the values of frozen weights, or raise unless they are those of pruned weights alone.

    Parameters
    ----------
    net : that is to be trained
    frozen : in the form of theta, 0 wherever the mask is 1
    weight_mask : M, in the form of theta
    theta : the parameters that are trained

    Returns
    -------
    A new vector.

    Raises
    ------
    TypeError
        frozen has another dtype than theta.
    ValueError
        There is no mask, or frozen is not of this network, not finite, a stack of another size, or not 0 at a live weight.
    """
    if not isinstance(frozen, Parameters) or frozen.layout != net.layout:
        raise ValueError(f"frozen must be Parameters of this network with sizes {net.sizes}")
    if weight_mask is None:
        raise ValueError("frozen says where pruned weights stay, but there is no weight_mask: nothing is pruned")
    if frozen.dtype != theta.dtype:
        raise TypeError(f"frozen has dtype {frozen.dtype}, but the plan trains in {theta.dtype}")
    check_finite(frozen.vector, "frozen")
    if frozen.replicates not in ((), theta.replicates):
        raise ValueError(f"frozen has the replicates {frozen.replicates}, but the seeds ask for {theta.replicates}")
    if (frozen * weight_mask).vector.any():
        raise ValueError("frozen is not 0 at weights or biases that are alive: those are trained, and start at theta_0")
    return frozen.copy()

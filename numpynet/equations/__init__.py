"""The ground floor: the layer equations as pure functions, a forward and a backward for each.

Hold a file of this folder beside the equation book (``docs/equations.md``); every function names its equation.
Nothing here draws unless it is given a generator, nothing remembers, nothing knows whether it is training.
"""

from numpynet.equations.activations import Activation, identity, leaky_relu, relu, sigmoid, tanh
from numpynet.equations.dropout import (
    dropconnect_backward,
    dropconnect_forward,
    inverted_dropout_backward,
    inverted_dropout_forward,
    standard_dropout_backward,
    standard_dropout_evaluate,
    standard_dropout_forward,
)
from numpynet.equations.linear import dense_gradient, linear_backward, linear_forward, mask_gradients
from numpynet.equations.losses import (
    Loss,
    l2_penalty_backward,
    l2_penalty_forward,
    log_softmax,
    softmax,
    softmax_cross_entropy,
    softmax_cross_entropy_backward,
    softmax_cross_entropy_forward,
    squared_error,
    squared_error_backward,
    squared_error_forward,
)
from numpynet.equations.masks import (
    complement,
    density,
    difference,
    intersection,
    prune_count,
    prune_lowest,
    sample_mask,
    union,
)

__all__ = [
    "Activation",
    "Loss",
    "complement",
    "dense_gradient",
    "density",
    "difference",
    "dropconnect_backward",
    "dropconnect_forward",
    "identity",
    "intersection",
    "inverted_dropout_backward",
    "inverted_dropout_forward",
    "l2_penalty_backward",
    "l2_penalty_forward",
    "leaky_relu",
    "linear_backward",
    "linear_forward",
    "log_softmax",
    "mask_gradients",
    "prune_count",
    "prune_lowest",
    "relu",
    "sample_mask",
    "sigmoid",
    "softmax",
    "softmax_cross_entropy",
    "softmax_cross_entropy_backward",
    "softmax_cross_entropy_forward",
    "squared_error",
    "squared_error_backward",
    "squared_error_forward",
    "standard_dropout_backward",
    "standard_dropout_evaluate",
    "standard_dropout_forward",
    "tanh",
    "union",
]

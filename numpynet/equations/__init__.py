"""The ground floor: the layer equations as pure functions, a forward and a backward for each.

Hold a file of this folder beside the equation book (``docs/equations.md``); every function names its equation.
Nothing here draws unless it is given a generator, nothing remembers, nothing knows whether it is training.
"""

from numpynet.equations.activations import Activation, identity, leaky_relu, relu, sigmoid, tanh
from numpynet.equations.alpha_dropout import alpha_dropout_backward, alpha_dropout_forward, alpha_dropout_scale
from numpynet.equations.dropout import (
    dropconnect_backward,
    dropconnect_forward,
    inverted_dropout_backward,
    inverted_dropout_forward,
    standard_dropout_backward,
    standard_dropout_evaluate,
    standard_dropout_forward,
)
from numpynet.equations.ensemble import (
    Prediction,
    arithmetic_mean,
    geometric_mean,
    model_precision,
    moments,
    normalized_geometric_mean,
    predict,
)
from numpynet.equations.gaussian_dropout import (
    gaussian_dropout_backward,
    gaussian_dropout_forward,
    sample_gaussian_noise,
)
from numpynet.equations.linear import dense_gradient, linear_backward, linear_forward, mask_gradients
from numpynet.equations.logistic import logistic_loss, logistic_loss_backward, logistic_loss_forward, softplus
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
from numpynet.equations.noise import sample_normal, sample_uniform
from numpynet.equations.r_drop import r_drop_backward, r_drop_forward, r_drop_loss
from numpynet.equations.selu import selu
from numpynet.equations.standout import standout_backward, standout_forward, standout_keep_prob
from numpynet.equations.targeted_dropout import (
    targeted_unit_dropout_backward,
    targeted_unit_dropout_forward,
    targeted_weight_dropout_backward,
    targeted_weight_dropout_forward,
    unit_candidates,
    weight_candidates,
)
from numpynet.equations.variational_dropout import (
    log_alpha_gradient,
    log_alpha_of,
    variational_dropout_backward,
    variational_dropout_forward,
    variational_kl_backward,
    variational_kl_forward,
    variational_mask,
)

__all__ = [
    "Activation",
    "Loss",
    "Prediction",
    "alpha_dropout_backward",
    "alpha_dropout_forward",
    "alpha_dropout_scale",
    "arithmetic_mean",
    "complement",
    "dense_gradient",
    "density",
    "difference",
    "dropconnect_backward",
    "dropconnect_forward",
    "gaussian_dropout_backward",
    "gaussian_dropout_forward",
    "geometric_mean",
    "identity",
    "intersection",
    "inverted_dropout_backward",
    "inverted_dropout_forward",
    "l2_penalty_backward",
    "l2_penalty_forward",
    "leaky_relu",
    "linear_backward",
    "linear_forward",
    "log_alpha_gradient",
    "log_alpha_of",
    "log_softmax",
    "logistic_loss",
    "logistic_loss_backward",
    "logistic_loss_forward",
    "mask_gradients",
    "model_precision",
    "moments",
    "normalized_geometric_mean",
    "predict",
    "prune_count",
    "prune_lowest",
    "r_drop_backward",
    "r_drop_forward",
    "r_drop_loss",
    "relu",
    "sample_gaussian_noise",
    "sample_mask",
    "sample_normal",
    "sample_uniform",
    "selu",
    "sigmoid",
    "softmax",
    "softmax_cross_entropy",
    "softmax_cross_entropy_backward",
    "softmax_cross_entropy_forward",
    "softplus",
    "squared_error",
    "squared_error_backward",
    "squared_error_forward",
    "standard_dropout_backward",
    "standard_dropout_evaluate",
    "standard_dropout_forward",
    "standout_backward",
    "standout_forward",
    "standout_keep_prob",
    "tanh",
    "targeted_unit_dropout_backward",
    "targeted_unit_dropout_forward",
    "targeted_weight_dropout_backward",
    "targeted_weight_dropout_forward",
    "union",
    "unit_candidates",
    "variational_dropout_backward",
    "variational_dropout_forward",
    "variational_kl_backward",
    "variational_kl_forward",
    "variational_mask",
    "weight_candidates",
]

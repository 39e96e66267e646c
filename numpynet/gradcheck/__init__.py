"""Gradients, checked: numeric derivatives that are exact, and what they say about the code under test.

Check one layer, in your own style of functions, and read what is wrong with it::

    from numpynet.gradcheck import check_pair, relu_pair

    report = check_pair(relu_pair(my_relu_forward, my_relu_backward))
    print(report.text())                          # where, how much, and the most likely cause
    report.raise_if_failed()                      # in a test

=========================  ===========================================================================================
what there is to check     how
=========================  ===========================================================================================
a whole implementation     ``check_layers(layers_of(module))`` -> a list of ``Report``, from the loss backwards
one forward and backward   ``check_pair(linear_pair(f, b))``, ``relu_pair``, ``dropout_pair``,
                           ``softmax_cross_entropy_pair``, ``l2_penalty_pair``, ``activation_pair``; a ``LayerPair`` of
                           your own with ``draw_normal`` for any other layer
layers of strangers        ``from_object``, ``from_cache``, ``from_closure`` make (forward, backward) of them;
                           ``self_drawing_dropout_pair`` for a dropout that draws its own mask
a network of this package  ``check_network(MLP(...))``; with 266,610 parameters in a tenth of a second
f(x) -> (value, grad)       ``check_function(f, x)``
two arrays                 ``diagnose(analytic, numeric)``
=========================  ===========================================================================================

Where things are: ``numeric`` (complex step and differences), ``draws`` (sizes, masks, factors), ``layers`` and ``pairs``
(the layer contract as data), ``run``, ``stages``, ``checker`` and ``checks`` (the check itself), ``candidates`` and ``diagnosis``
(naming the cause), ``report`` (text, JSON, figure), ``zoo`` (the planted bugs: ``ZOO``, ``MUTANTS``, ``bug(id)``) and
``rates`` (how often the checker finds and names each of them).

A ``Report`` has ``status`` ("pass", "fail", "error", "wait", "skip"), ``passed``, ``causes`` (best first; ``cause`` is
the id of the first), ``text(detail)``, ``to_dict(detail)``, ``to_json(detail)``, ``figure()``, ``reproduce()`` and
``raise_if_failed()``. Details are "off", "where", "ratio" and "cause". The pair (seed, shape) of a report repeats its
check: ``check_layers(layers, seed=seed, sizes=Sizes(*shape), only=task)``.

What it cannot see: a mistake that forward and backward share, where the layer has no law to be held against (a
stranger's ``LayerPair`` without ``law``); two bugs at once are found, but usually not named.
"""

from numpynet.gradcheck.adapters import (
    STRANGERS,
    from_cache,
    from_closure,
    from_object,
    self_drawing_dropout_pair,
)
from numpynet.gradcheck.candidates import Candidate
from numpynet.gradcheck.checker import check_pair
from numpynet.gradcheck.checks import check_function, check_layers, check_network
from numpynet.gradcheck.diagnosis import Cause, Diagnosis, diagnose
from numpynet.gradcheck.draws import Inputs, Sizes, draw_mask, draw_normal
from numpynet.gradcheck.layers import REFERENCE, Layers, compose_network, layers_of
from numpynet.gradcheck.numeric import (
    NumericGradient,
    central_difference,
    complex_direction,
    complex_step,
    hessian_vector_product,
    numeric_gradient,
    one_sided_differences,
    richardson,
)
from numpynet.gradcheck.pairs import (
    LayerPair,
    activation_pair,
    dropout_pair,
    function_pair,
    l2_penalty_pair,
    linear_pair,
    mask_gradients_pair,
    network_loss_pair,
    pairs_of,
    relu_pair,
    softmax_cross_entropy_pair,
)
from numpynet.gradcheck.rates import Rate, false_alarms, naming_rates, rates_table, rows_named
from numpynet.gradcheck.report import DETAILS, GradientMismatch, Report
from numpynet.gradcheck.zoo import MUTANTS, ZOO, Bug, bug

__all__ = [
    "DETAILS",
    "MUTANTS",
    "REFERENCE",
    "STRANGERS",
    "ZOO",
    "Bug",
    "Candidate",
    "Cause",
    "Diagnosis",
    "GradientMismatch",
    "Inputs",
    "LayerPair",
    "Layers",
    "NumericGradient",
    "Rate",
    "Report",
    "Sizes",
    "activation_pair",
    "bug",
    "central_difference",
    "check_function",
    "check_layers",
    "check_network",
    "check_pair",
    "complex_direction",
    "complex_step",
    "compose_network",
    "diagnose",
    "draw_mask",
    "draw_normal",
    "dropout_pair",
    "false_alarms",
    "from_cache",
    "from_closure",
    "from_object",
    "function_pair",
    "hessian_vector_product",
    "l2_penalty_pair",
    "layers_of",
    "linear_pair",
    "mask_gradients_pair",
    "naming_rates",
    "network_loss_pair",
    "numeric_gradient",
    "one_sided_differences",
    "pairs_of",
    "rates_table",
    "relu_pair",
    "richardson",
    "rows_named",
    "self_drawing_dropout_pair",
    "softmax_cross_entropy_pair",
]

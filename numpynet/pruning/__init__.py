"""Pruning: which weights to take away, exactly how many, and what is left of the network then.

Scores say what a weight is worth, selections turn scores into masks, and neither knows the other:

    mask = prune_layerwise(magnitude(theta), dense_mask(theta), rate=0.2)          # a round of the lottery
    mask = prune_globally(snip(net, theta, batch), dense_mask(theta), density=0.1) # before any training
    mask = synflow_mask(theta, density=0.02)                                       # without data

``moving`` changes masks while training, ``schedules`` says when and how much, ``budgets`` shares a density out among
the layers, ``units`` prunes whole units, ``paths`` asks what is still connected, and ``compaction`` makes of a masked
network a smaller one with the same outputs.
"""

from numpynet.pruning import zhou
from numpynet.pruning.budgets import erdos_renyi, layer_counts
from numpynet.pruning.compaction import Compacted, CompactionReport, compact, describe_compaction, time_ratio
from numpynet.pruning.counts import survivors
from numpynet.pruning.magnitude import magnitude_mask
from numpynet.pruning.masks import (
    alive_counts,
    check_weight_mask,
    dense_mask,
    layer_densities,
    mask_from_arrays,
    weight_density,
)
from numpynet.pruning.moving import Move, drop_and_grow, impose_mask, rigl_move, set_move
from numpynet.pruning.paths import (
    DisconnectedError,
    DisconnectedWarning,
    count_paths,
    effective_density,
    effective_mask,
    is_connected,
    reachable,
)
from numpynet.pruning.rounds import geometric_densities, prune_in_rounds, rate_per_round
from numpynet.pruning.schedules import ConstantDrop, CosineDrop, GradualDensity, PolynomialDrop
from numpynet.pruning.scores import add_movement, magnitude, random_scores
from numpynet.pruning.selection import (
    l2_norm,
    prune_globally,
    prune_layerwise,
    root_mean_square,
)
from numpynet.pruning.sensitivity import dense_gradients, grasp, snip
from numpynet.pruning.synflow import synflow, synflow_mask
from numpynet.pruning.units import incoming_norms, mask_of_units, norm_products, outgoing_norms, prune_units

__all__ = [
    "Compacted",
    "CompactionReport",
    "ConstantDrop",
    "CosineDrop",
    "DisconnectedError",
    "DisconnectedWarning",
    "GradualDensity",
    "Move",
    "PolynomialDrop",
    "add_movement",
    "alive_counts",
    "check_weight_mask",
    "compact",
    "count_paths",
    "dense_gradients",
    "dense_mask",
    "describe_compaction",
    "drop_and_grow",
    "effective_density",
    "effective_mask",
    "erdos_renyi",
    "geometric_densities",
    "grasp",
    "impose_mask",
    "incoming_norms",
    "is_connected",
    "l2_norm",
    "layer_counts",
    "layer_densities",
    "magnitude",
    "magnitude_mask",
    "mask_from_arrays",
    "mask_of_units",
    "norm_products",
    "outgoing_norms",
    "prune_globally",
    "prune_in_rounds",
    "prune_layerwise",
    "prune_units",
    "random_scores",
    "rate_per_round",
    "reachable",
    "rigl_move",
    "root_mean_square",
    "set_move",
    "snip",
    "survivors",
    "synflow",
    "synflow_mask",
    "time_ratio",
    "weight_density",
    "zhou",
]

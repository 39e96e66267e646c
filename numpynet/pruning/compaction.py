"""Compaction: a pruned network as a smaller one, with the same outputs.

A masked network is as large as it ever was; only zeros have been added. But some of its units are dead, and those can
be taken away without changing a single output:

* a unit that nobody hears (all its outgoing weights are pruned) is deleted;
* a unit that hears nothing (all its incoming weights are pruned) is not silent: it says phi(b), always the same. That
  constant goes into the biases of the next layer, and then the unit is deleted.

A deletion may leave another unit without inputs or without listeners, so one would repeat this until nothing changes.
Here it is done at once: the units that stay are those on a path from an input to an output, and walking up through the
layers, all units that hear no input have become constants by the time one comes to them.

This is for evaluation. In training the bias of a deaf unit would go on learning (Equation (M17)), and with dropout its
constant would come and go.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from numpynet.network import MLP
from numpynet.parameters import Parameters
from numpynet.pruning.masks import check_weight_mask
from numpynet.pruning.paths import reachable


class CompactionReport(NamedTuple):
    """How much smaller the network is. Counts of units are one for each hidden layer."""

    sizes: tuple[int, ...]  # before
    compact_sizes: tuple[int, ...]  # after
    deaf_units: tuple[int, ...]  # hear no input: folded into the next biases
    unheard_units: tuple[int, ...]  # heard by no output: deleted (a unit may be both)
    unread_inputs: int  # inputs with no path to an output; they stay, because x has them
    stored_weights: int  # entries of the weight matrices before ...
    compact_stored_weights: int  # ... and after
    alive_weights: int  # entries of the mask that are 1
    effective_weights: int  # those of them on a path from an input to an output
    connected: bool  # False: the network is a constant, and every hidden layer was left one idle unit

    @property
    def ratio(self) -> float:
        """Stored weights after, as a share of before; also that of multiplications per example."""
        return self.compact_stored_weights / self.stored_weights

    def __str__(self) -> str:
        before, after = ("-".join(map(str, sizes)) for sizes in (self.sizes, self.compact_sizes))
        return (
            f"{before} becomes {after}: {self.compact_stored_weights} of {self.stored_weights} stored weights "
            f"({100 * self.ratio:.1f} %). Of {self.alive_weights} living weights {self.effective_weights} lie on a path "
            f"from input to output; hidden units that hear nothing {list(self.deaf_units)}, that nobody hears "
            f"{list(self.unheard_units)}; inputs that nobody reads {self.unread_inputs}"
            + ("" if self.connected else "; no path is left, the output is a constant")
        )


class Compacted(NamedTuple):
    """A smaller network with the outputs of the masked one."""

    net: MLP
    theta: Parameters  # pruned weights are exactly 0 in it, so it runs without the mask
    weight_mask: Parameters
    kept_units: tuple[np.ndarray, ...]  # for each hidden layer the old numbers of its units
    report: CompactionReport


def compact(net: MLP, theta: Parameters, weight_mask: Parameters) -> Compacted:
    """Delete all dead hidden units, with their constants folded into the biases that follow.   Equation (M11)

    The outputs in evaluation are equal up to rounding. Whether a weight lives is read off the mask, never off the weight:
    a living weight may be 0. What is left is M * W, not M * W / density: a ticket is not rescaled (Equation (M15)). Afterwards every living weight lies on a path from an input to an output (Equation (L19)),
    and doing it again changes nothing.

    Parameters
    ----------
    net, theta, weight_mask : one network; of a stack take ``theta.replicate(r)``, for each has its own dead units

    Returns
    -------
    Compacted : net, theta, weight_mask, kept_units, report. If no path is left, every hidden layer keeps one idle unit
        (no weights, bias 0), because a layer needs one.

    Raises
    ------
    TypeError, ValueError
        theta or the mask belong to another network, or to replicates.

    Examples
    --------
    >>> net = MLP((2, 3, 1))
    >>> theta = Parameters(np.array([1.0, 7.0, 2.0, 3.0, 7.0, 4.0, 0.0, 5.0, 0.0, 1.0, 10.0, 100.0, 0.5]), net.layout)
    >>> mask = Parameters(np.array([1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1, 1, 1, 1.0, 1.0, 0.0, 1]), net.layout)
    >>> small = compact(net, theta, mask)                           # unit 1 hears nothing, nobody hears unit 2
    >>> small.net.sizes, small.kept_units, small.theta["b2"]        # 0.5 + 5 * 10
    ((2, 1, 1), (array([0]),), array([50.5]))
    """
    if not isinstance(theta, Parameters) or theta.layout != net.layout:
        raise ValueError(f"theta must be Parameters of this network with sizes {net.sizes}")
    check_weight_mask(weight_mask, net.layout)
    if theta.replicates or weight_mask.replicates:
        raise ValueError(
            f"theta has the replicates {theta.replicates} and weight_mask {weight_mask.replicates}, but networks are "
            "compacted one by one, because each has its own dead units: theta.replicate(r), weight_mask.replicate(r)"
        )
    kept = theta * weight_mask  # M * W; biases as they are
    hears, heard = reachable(weight_mask)
    biases = _fold(net, kept, hears)
    stays = [hears[layer] & heard[layer] for layer in range(1, net.n_layers)]
    connected = bool(hears[-1].any())
    units = [np.arange(net.sizes[0]), *(_at_least_one(s) for s in stays), np.arange(net.sizes[-1])]

    small_net = replace(net, sizes=tuple(len(u) for u in units))
    small_theta = Parameters.zeros(small_net.layout, dtype=kept.dtype)
    small_mask = Parameters.ones(small_net.layout, dtype=weight_mask.dtype)
    for layer in range(1, net.n_layers + 1):
        rows_columns = np.ix_(units[layer - 1], units[layer])
        small_theta[f"W{layer}"] = kept[f"W{layer}"][rows_columns]
        small_mask[f"W{layer}"] = weight_mask[f"W{layer}"][rows_columns]
        small_theta[f"b{layer}"] = biases[layer - 1][units[layer]]
    if not connected:
        _silence(small_net, small_theta, small_mask)

    effective = sum(
        np.count_nonzero(weight_mask[f"W{layer}"] * np.outer(hears[layer - 1], heard[layer]))
        for layer in range(1, net.n_layers + 1)
    )
    report = CompactionReport(
        sizes=net.sizes,
        compact_sizes=small_net.sizes,
        deaf_units=tuple(int((~h).sum()) for h in hears[1:-1]),
        unheard_units=tuple(int((~h).sum()) for h in heard[1:-1]),
        unread_inputs=int((~heard[0]).sum()),
        stored_weights=net.layout.n_weights,
        compact_stored_weights=small_net.layout.n_weights,
        alive_weights=sum(int(np.count_nonzero(weight_mask[name])) for name in net.layout.weight_names),
        effective_weights=int(effective),
        connected=connected,
    )
    return Compacted(small_net, small_theta, small_mask, tuple(units[1:-1]), report)


def time_ratio(net: MLP, theta: Parameters, compacted: Compacted, x: np.ndarray, *, repeats: int = 20) -> float:
    """Measure how much time the compact network takes for x, as a share of what the large one does.

    Both run without a mask, on weights that hold their zeros; the fastest of ``repeats`` turns counts. It is a
    measurement and differs from run to run.

    Parameters
    ----------
    net, theta : the large network, with ``theta * weight_mask``
    compacted : of ``compact``
    x : (N, d_0), in the dtype of theta
    repeats : turns of each, taken alternately

    Returns
    -------
    A number; below 1 the compact network is faster.

    Raises
    ------
    ValueError
        repeats is below 1.

    Examples
    --------
    >>> net = MLP((20, 30, 5))
    >>> theta = net.init(np.random.default_rng(0))
    >>> time_ratio(net, theta, compact(net, theta, Parameters.ones(net.layout)), np.ones((3, 20), np.float32), repeats=2) > 0
    True
    """
    if isinstance(repeats, bool) or not isinstance(repeats, int) or repeats < 1:
        raise ValueError(f"repeats is {repeats!r}, but an integer >= 1 is needed")
    net.forward(theta, x)  # raises if x does not fit
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        for turn, (n, t) in zip(seconds, ((net, theta), (compacted.net, compacted.theta))):
            start = time.perf_counter()
            n.forward(t, x, trusted=True)
            turn.append(time.perf_counter() - start)
    return min(seconds[1]) / min(seconds[0])


def describe_compaction(
    net: MLP, theta: Parameters, weight_mask: Parameters, x: np.ndarray, *, repeats: int = 20
) -> str:
    """Say how much smaller and how much faster a pruned network becomes without its dead units, and that it is the same.

    Parameters
    ----------
    net, theta, weight_mask : one network
    x : (N, d_0), examples to run it on
    repeats : see ``time_ratio``

    Returns
    -------
    Three sentences: the report of ``compact``, the time of a forward pass as a share of before (a measurement, the same
    weights without the mask before and after), and the largest difference of an output, beside the largest output.

    Examples
    --------
    >>> net = MLP((20, 30, 5))
    >>> theta = net.init(np.random.default_rng(0))
    >>> mask = Parameters.ones(net.layout)
    >>> mask["W2"][:24] = 0                                                      # nobody hears 24 of the 30 units
    >>> print(describe_compaction(net, theta, mask, np.ones((3, 20), np.float32), repeats=2))      # doctest: +ELLIPSIS
    20-30-5 becomes 20-6-5: 150 of 750 stored weights (20.0 %)... A forward pass of 3 examples takes ... % of the time...
    """
    small = compact(net, theta, weight_mask)
    before, _ = net.forward(theta, x, weight_mask=weight_mask)
    after, _ = small.net.forward(small.theta, x)
    ratio = time_ratio(net, theta * weight_mask, small, x, repeats=repeats)
    return (
        f"{small.report}. A forward pass of {len(x)} examples takes {100 * ratio:.0f} % of the time. "
        f"Outputs differ by at most {np.abs(after - before).max():.1e}, the largest is {np.abs(before).max():.2g}."
    )


def _fold(net: MLP, kept: Parameters, hears: list[np.ndarray]) -> list[np.ndarray]:
    """The biases of all layers, with what the units that hear no input have to say."""
    biases = [kept["b1"]]
    for layer in range(1, net.n_layers):
        h, _ = net.activation.forward(biases[-1][None, :])  # (1, d_l)
        constants = np.where(hears[layer], 0, h[0]).astype(kept.dtype)  # (d_l,) phi(b), where nothing else is heard
        biases.append(kept[f"b{layer + 1}"] + constants @ kept[f"W{layer + 1}"])  # (d_l,) @ (d_l, d_(l+1))
    return biases


def _at_least_one(stays: np.ndarray) -> np.ndarray:
    """The numbers of the units that stay, or the first one if none does."""
    return np.flatnonzero(stays) if stays.any() else np.zeros(1, np.intp)


def _silence(net: MLP, theta: Parameters, weight_mask: Parameters) -> None:
    """Turn a network without a path into a constant: idle units have no weights and the bias 0; both are written to."""
    for name in net.layout.weight_names:
        theta[name][...] = 0
        weight_mask[name][...] = 0
    for layer in range(1, net.n_layers):
        theta[f"b{layer}"][...] = 0

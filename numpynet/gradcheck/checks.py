"""Checks of more than one pair: a whole implementation, a plain function of a stranger, a network of this package.

All of them are ``check_pair`` underneath; each only says how to see its subject as a layer pair.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from numpynet.gradcheck.checker import ALL_STAGES, check_pair
from numpynet.gradcheck.draws import Inputs, Sizes, draw_signed
from numpynet.gradcheck.layers import Layers
from numpynet.gradcheck.pairs import LayerPair, function_pair, missing_functions, pairs_of
from numpynet.gradcheck.report import Report
from numpynet.network import MLP
from numpynet.parameters import Parameters


def check_layers(
    layers: Layers,
    *,
    seed: int = 0,
    sizes: Sizes | None = None,
    only: str | None = None,
    stop: bool = False,
    file: str = "FILE.py",
    stages: Collection[int] = ALL_STAGES,
) -> list[Report]:
    """Check every pair of an implementation, from the loss backwards, and the whole network last.

    Each pair is checked on sizes that all differ and once more on a square layer. The network is skipped while a layer
    of it is wrong: everything upstream of a mistake would look wrong, too.

    Parameters
    ----------
    layers : see ``Layers`` and ``layers_of``
    seed, sizes : as for ``check_pair``
    only : the name of one pair
    stop : True ends at the first pair that does not pass
    file, stages : as for ``check_pair``

    Returns
    -------
    a report for each pair, those that lack a half first

    Raises
    ------
    ValueError
        There is no pair of the name in ``only``.

    Examples
    --------
    >>> from numpynet.gradcheck import REFERENCE
    >>> [report.status for report in check_layers(REFERENCE)]
    ['pass', 'pass', 'pass', 'pass', 'pass', 'pass', 'pass']
    """
    pairs, missing = pairs_of(layers), missing_functions(layers)
    known = [pair.name for pair in pairs] + list(missing)
    if only is not None and only not in known:
        raise ValueError(f"there is no pair {only!r} to check; there are {', '.join(known)}")
    reports: list[Report] = [
        Report("skip", name, name, message=f"{function} is not there", file=file, seed=seed)
        for name, function in missing.items()
        if only in (None, name)
    ]
    for position, pair in enumerate(pairs, start=1):
        if only is not None and pair.name != only:
            continue
        broken = [report.layer for report in reports if not report.passed]
        if pair.whole and broken:
            report = Report("skip", pair.name, pair.name, message=f"needs {', '.join(broken)}", file=file, seed=seed)
        else:
            report = check_pair(pair, seed=seed, sizes=sizes, file=file, stages=stages)
            if report.passed and not pair.whole:
                N, d, _, K = report.shape
                square = check_pair(
                    pair, seed=seed, sizes=Sizes(N, d, d, K), keep_prob=report.q, file=file, stages=(0, 4)
                )
                report = report if square.passed else square
        report.layer_index, report.n_layers = position, len(pairs)
        right = [earlier.layer for earlier in reports if earlier.passed]
        if not report.passed and right:
            report.passed_before = (f"layers {', '.join(right)}", *report.passed_before)
        reports.append(report)
        if stop and not report.passed:
            break
    return reports


def check_function(
    f: Callable[..., Any],
    *arrays: np.ndarray,
    names: tuple[str, ...] | None = None,
    seed: int = 0,
    method: str | None = None,
    **constants: Any,
) -> Report:
    """Check a plain function of anybody's: f(x) -> (scalar, gradient), at the x given.

    Parameters
    ----------
    f : called as f(*arrays, **constants); returns one number and the gradient, or a tuple of gradients for several
        arrays
    arrays : float64, where to check
    names : of the arrays; x, or x0, x1, ...
    seed : for directions
    method : "complex step" or "central difference" to force one
    constants : handed over by keyword

    Returns
    -------
    the report

    Raises
    ------
    TypeError
        An array is not float64: in float32 a check could not tell a rounding error from a bug.

    Examples
    --------
    >>> check_function(lambda x: ((x * x * x).sum(), 3 * x * x), np.array([1.0, 2.0])).status
    'pass'
    >>> print(check_function(lambda x: ((x * x * x).sum(), -3 * x * x), np.array([1.0, 2.0])).causes[0].text)
    the sign is reversed
    """
    names = names or (("x",) if len(arrays) == 1 else tuple(f"x{i}" for i in range(len(arrays))))
    for name, array in zip(names, arrays):
        if not isinstance(array, np.ndarray) or array.dtype != np.float64:
            came = f"dtype {array.dtype}" if isinstance(array, np.ndarray) else type(array).__name__
            raise TypeError(f"{name} must be a float64 array, got {came}: checks run in double precision")

    at = [True]

    def draw(rng: np.random.Generator, sizes: Sizes, keep_prob: float) -> Inputs:
        # The first draw is the point asked for; others (for the unrelated call in between) are near it.
        noise = 0.0 if at.pop() else 0.1
        at.append(False)
        return Inputs(
            {n: np.asarray(a + noise * rng.standard_normal(a.shape)) for n, a in zip(names, arrays)}, dict(constants)
        )

    pair = function_pair(f, names, draw)
    report = check_pair(pair, seed=seed, stages=(0, 2, 4), method=method)
    report.shape, report.q = (), None
    return report


def check_network(
    net: MLP,
    theta: Parameters | None = None,
    x: np.ndarray | None = None,
    *,
    weight_mask: Parameters | None = None,
    unit_masks: Any = None,
    seed: int = 0,
    n_examples: int = 7,
    stages: Collection[int] = (0, 2, 3, 5),
    max_entries: int = 2000,
) -> Report:
    """Check all gradients of an MLP, masks included, against a random upstream gradient of its logits.

    Small networks are checked entry by entry; large ones by one random direction for each array, which costs one
    complex forward pass each and misses nothing that is off by more than 1e-10.

    Parameters
    ----------
    net : an ``MLP``, or anything with its ``layout``, ``forward`` and ``backward``
    theta, x : None to draw them; converted to float64
    weight_mask, unit_masks : as for ``MLP.forward``; None draws them, in float64
    seed : as for ``check_pair``
    n_examples : how many are drawn where x is None
    stages, max_entries : as for ``check_pair``

    Returns
    -------
    the report

    Examples
    --------
    >>> check_network(MLP((4, 6, 5, 3), keep_prob=0.7)).status
    'pass'
    """
    names = tuple(net.layout.shapes)

    def draw(rng: np.random.Generator, sizes: Sizes, keep_prob: float) -> Inputs:
        n = n_examples if x is None else x.shape[-2]
        point = _drawn_theta(net, rng) if theta is None else theta.astype(np.float64)
        arrays = {name: point[name].copy() for name in names}
        constants: dict[str, Any] = {"x": draw_signed(rng, (n, net.sizes[0])) if x is None else x.astype(np.float64)}
        mask = weight_mask
        if mask is None:
            mask = Parameters((rng.random(net.layout.size) < 0.6).astype(np.float64), net.layout)
        mask = mask.astype(np.float64)
        # Once as the network takes it, and once by the names of the arrays, for the sample of kept and pruned entries.
        constants |= {"weight_mask": mask, **{f"mask {name}": mask[name] for name in names}}
        units = net.sample_unit_masks(rng, (n,), dtype=np.float64) if unit_masks is None else unit_masks
        constants["unit_masks"] = [None if D is None else D.astype(np.float64) for D in units]
        return Inputs(arrays, constants)

    def forward(*arrays: np.ndarray, x: np.ndarray, unit_masks: Any, weight_mask: Parameters, **by_name: Any) -> Any:
        dtype = np.result_type(*arrays)
        point = Parameters.from_arrays(dict(zip(names, (a.astype(dtype) for a in arrays))), net.layout)
        if weight_mask.dtype != x.dtype:
            weight_mask = weight_mask.astype(x.dtype)
        return net.forward(point, x, weight_mask=weight_mask, unit_masks=unit_masks, trusted=True)

    def backward(dlogits: np.ndarray, cache: Any) -> Mapping[str, np.ndarray]:
        return dict(net.backward(dlogits, cache).items())

    pair = LayerPair(
        "network",
        forward,
        backward,
        names,
        draw,
        masks={name: f"mask {name}" for name in net.layout.weight_names},
        whole=True,
    )
    sizes = Sizes(n_examples if x is None else x.shape[-2], net.sizes[0], net.sizes[1], net.sizes[-1])
    q = next((q for q in net.keep_probs if q is not None), 1.0)
    return check_pair(pair, seed=seed, sizes=sizes, keep_prob=q, stages=stages, max_entries=max_entries)


def _drawn_theta(net: MLP, rng: np.random.Generator) -> Parameters:
    theta = net.init(rng, dtype=np.float64)
    for name in net.layout.shapes:
        if name not in net.layout.weight_names:
            theta[name] = 0.3 * draw_signed(rng, net.layout.shapes[name])  # biases of 0 would hide bugs
    return theta

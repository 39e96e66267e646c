"""The diagnosis: from two arrays, yours and the right one, to a ranked list of causes.

In this order: an exact candidate (the array that a known bug would return), a pure factor (yours is c times the right
one), a candidate times a factor, and else an honest "unknown" with what can be said: the angle, where entries are
spurious or missing, and the ratio of each row and column. A cause is named only if it explains every entry to 1e-6.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from numpynet.gradcheck.candidates import Candidate
from numpynet.gradcheck.zoo import EXPLANATIONS

EXACT = 1e-6  # what "explains every entry" means, relative to the largest

# What a factor means where no candidate says it better. Ids are those of the zoo; "factor" has no row of its own.
_FACTOR_CAUSES = {
    "N": ("1", "it is not divided by the number of examples N"),
    "1/N": ("2a", "it is divided by N once too often, or a mean stands where a sum belongs"),
    "1/K": ("3", "it is divided by the number of classes K: a mean over all entries instead of the examples"),
    "1/(NK)": ("factor", "it is divided by N*K: a mean over all entries where nothing should be divided"),
    "-1": ("4", "the sign is reversed"),
    "2": ("5b", "everything is counted twice: a factor 2 too much, or gradients added up and not cleared"),
    "1/2": ("factor", "a factor 2 is missing"),
    "q": ("9", "the 1/keep_prob scale is missing"),
    "q^2": ("10", "it is multiplied by keep_prob where it should be divided"),
    "1/q": ("11", "it is divided by keep_prob twice"),
    "q/(1-q)": ("12", "keep and drop are swapped: it is divided by 1 - keep_prob"),
}


class Cause(NamedTuple):
    """One explanation of a wrong array."""

    id: str  # of the zoo, or "factor"
    text: str
    residual: float  # the largest entry it leaves unexplained, relative to the largest of yours
    score: float  # 1 for an exact candidate, less for weaker evidence


class Diagnosis(NamedTuple):
    """What is known about a wrong array."""

    causes: tuple[Cause, ...]  # best first; empty if nothing is known
    c: float | None  # <a, n> / <n, n>
    residual: float | None  # ||a - c n|| / ||a||
    cosine: float | None
    ratio: float | None  # a / n, if it is the same for all wrong entries that are not 0
    factors: tuple[str, ...]  # the names that this ratio has: "q", "1/N"
    n_spurious: int  # a != 0 where n == 0
    n_missing: int  # a == 0 where n != 0
    description: str  # for the reader, when no cause is known


def diagnose(
    analytic: np.ndarray,
    numeric: np.ndarray,
    *,
    candidates: Iterable[Candidate] = (),
    factors: Mapping[str, float] | None = None,
    wrong: np.ndarray | None = None,
) -> Diagnosis:
    """Return the causes that explain a wrong gradient, best first.

    Parameters
    ----------
    analytic : the gradient under test
    numeric : the right one
    candidates : what known bugs would return; their array names are not looked at
    factors : name -> value, see ``draws.factors``; None for those that need no sizes (-1, 2, 1/2)
    wrong : which entries are wrong, or None to find out

    Returns
    -------
    the diagnosis

    Examples
    --------
    >>> n = np.array([[1.0, 2.0], [3.0, 0.0]])
    >>> diagnose(-n, n).causes[0].text
    'the sign is reversed'
    >>> diagnose(n + 1, n).causes
    ()
    """
    factors = {"-1": -1.0, "2": 2.0, "1/2": 0.5} if factors is None else factors
    candidates = [c for c in candidates if not _same(c.value, numeric)]  # a formula that is right is no explanation
    if analytic.shape != numeric.shape:
        causes = _exact_candidates(analytic, candidates)
        text = f"shape {analytic.shape}, where {numeric.shape} is expected"
        return Diagnosis(tuple(causes), None, None, None, None, (), 0, 0, text)
    if wrong is None:
        wrong = ~np.isclose(analytic, numeric, rtol=1e-9, atol=1e-9 * max(_largest(numeric), 1e-300))
    a, n = analytic.reshape(-1), numeric.reshape(-1)
    nn, aa, an = float(n @ n), float(a @ a), float(a @ n)
    c = an / nn if nn else None
    cosine = an / math.sqrt(aa * nn) if aa and nn else None
    residual = float(np.linalg.norm(a - c * n) / math.sqrt(aa)) if c is not None and aa else None
    tiny_a, tiny_n = 1e-12 * _largest(a), 1e-12 * _largest(n)
    spurious = (np.abs(analytic) > tiny_a) & (np.abs(numeric) <= tiny_n) & wrong
    missing = (np.abs(analytic) <= tiny_a) & (np.abs(numeric) > tiny_n) & wrong
    both = wrong & ~spurious & ~missing
    ratio = _constant_ratio(analytic[both], numeric[both])

    causes = _exact_candidates(analytic, candidates) or _by_precision(analytic, numeric, wrong)
    if not causes and c and residual is not None and residual < EXACT:
        causes = _factor_causes(c, residual, factors)
    if not causes:
        # Some multiple of the right one is one of every candidate that is a multiple: it must at least have a name.
        multiple = residual is not None and residual < EXACT
        causes = [
            cause for cause in _scaled_candidates(analytic, candidates, factors) if cause.score > 0.5 or not multiple
        ]
    if not causes:
        causes = _by_support(analytic, numeric, spurious, missing)
    description = _describe(analytic, numeric, wrong, cosine)
    names = (
        () if ratio is None else tuple(k for k, value in factors.items() if math.isclose(ratio, value, rel_tol=EXACT))
    )
    n_spurious, n_missing = int(spurious.sum()), int(missing.sum())
    return Diagnosis(tuple(causes), c, residual, cosine, ratio, names, n_spurious, n_missing, description)


def _exact_candidates(analytic: np.ndarray, candidates: Sequence[Candidate]) -> list[Cause]:
    best: dict[tuple[str, str], float] = {}
    for candidate in candidates:
        if candidate.value.shape == analytic.shape:
            residual = _residual(analytic, candidate.value)
            if residual <= EXACT:
                meant = candidate.bug, _text(candidate)
                best[meant] = min(residual, best.get(meant, math.inf))
    # All of these explain everything; the order of the candidates settles ties, not noise of 1e-17.
    return [Cause(bug, text, residual, 1.0) for (bug, text), residual in best.items()]


def _text(candidate: Candidate) -> str:
    return candidate.text or EXPLANATIONS[candidate.bug]


def _factor_causes(c: float, residual: float, factors: Mapping[str, float]) -> list[Cause]:
    causes = []
    for label, value in factors.items():
        if math.isclose(c, value, rel_tol=EXACT):
            id, text = _FACTOR_CAUSES.get(label, ("factor", f"a factor {label} too much"))
            causes.append(Cause(id, text, residual, 0.9))
    return causes


def _scaled_candidates(
    analytic: np.ndarray, candidates: Sequence[Candidate], factors: Mapping[str, float]
) -> list[Cause]:
    causes = []
    for candidate in candidates:
        value = candidate.value
        if value.shape != analytic.shape or not value.any():
            continue
        k = float((analytic * value).sum() / (value * value).sum())
        residual = _residual(analytic, k * value)
        if residual > EXACT or not k:
            continue
        labels = [label for label, factor in factors.items() if math.isclose(k, factor, rel_tol=EXACT)]
        times = f"times {' or '.join(labels)}" if labels else f"times {k:.6g}"
        text = f"{_text(candidate)}; and all of it {times}"
        causes.append(Cause(candidate.bug, text, residual, 0.7 if labels else 0.5))
    return sorted(causes, key=lambda cause: -cause.score)


def _by_precision(analytic: np.ndarray, numeric: np.ndarray, wrong: np.ndarray) -> list[Cause]:
    """Name rounding: most entries right to about seven digits only (float32), or all cut to whole numbers."""
    for rounded in (np.trunc(numeric), np.rint(numeric)):
        if rounded.any() and _residual(analytic, rounded) <= EXACT:
            return [Cause("27b", EXPLANATIONS["27b"], _residual(analytic, rounded), 0.9)]
    residual = _residual(analytic, numeric)
    if residual <= 2e-6 and wrong.sum() > 0.3 * np.count_nonzero(numeric):
        return [Cause("27a", EXPLANATIONS["27a"], residual, 0.8)]
    return []


def _by_support(analytic: np.ndarray, numeric: np.ndarray, spurious: np.ndarray, missing: np.ndarray) -> list[Cause]:
    """Name another mask: right (or rightly scaled) where both are alive, but alive at other places."""
    both = (analytic != 0) & (numeric != 0)
    if not (spurious.any() and missing.any()) or both.sum() < 2:
        return []
    ratio = _constant_ratio(analytic[both], numeric[both])
    if ratio is None or not math.isclose(ratio, 1.0, rel_tol=EXACT):
        return []
    return [Cause("14a", EXPLANATIONS["14a"], 0.0, 0.6)]


def _describe(analytic: np.ndarray, numeric: np.ndarray, wrong: np.ndarray, cosine: float | None) -> str:
    """Say what is known when nothing matches."""
    parts = ["no known pattern"]
    if not analytic.any():
        parts.append("all of yours are 0")
    elif cosine is not None:
        parts.append(f"cosine with the right gradient {cosine:.4f}")
    if analytic.ndim == 2 and min(analytic.shape) > 1:
        for axis, name in ((0, "row"), (1, "column")):
            lines = np.moveaxis(wrong, axis, 0).reshape(wrong.shape[axis], -1).any(axis=1)
            if lines.sum() < lines.size:
                which = ", ".join(str(i) for i in np.flatnonzero(lines)[:6])
                parts.append(f"wrong only in {name} {which}{', ...' if lines.sum() > 6 else ''}")
            ratios = [
                _constant_ratio(a, n)
                for a, n in zip(np.moveaxis(analytic, axis, 0), np.moveaxis(numeric, axis, 0))
                if n.any()
            ]
            if ratios and all(r is not None for r in ratios):
                shown = ", ".join(f"{r:.4g}" for r in ratios[:6])
                parts.append(f"ratio constant in each {name}: {shown}{', ...' if len(ratios) > 6 else ''}")
    return "; ".join(parts)


def _constant_ratio(a: np.ndarray, n: np.ndarray) -> float | None:
    """Return a / n if it is one number wherever n is not 0, and a is 0 with n."""
    alive = n != 0
    if not alive.any() or a[~alive].any():
        return None
    ratio = a[alive] / n[alive]
    middle = float(np.median(ratio))
    return middle if np.abs(ratio - middle).max() <= EXACT * max(abs(middle), 1e-300) else None


def scaling_law(cs: Sequence[float], draws: Sequence[Mapping[str, float]]) -> dict[str, int] | None:
    """Return the exponents of c = product of size ** exponent, from its values in several draws; None if none fits.

    One draw cannot tell 1/N from 1/(1 - q) when both are 5; several draws can.

    Parameters
    ----------
    cs : the measured factor of each draw
    draws : the sizes of each draw, name -> positive value

    Returns
    -------
    name -> exponent in -2 ... 2, those of 0 left out; or None

    Examples
    --------
    >>> scaling_law([10.0, 24.0, 42.0], [{"N": 5, "q": 0.5}, {"N": 6, "q": 0.25}, {"N": 21, "q": 0.5}])
    {'N': 1, 'q': -1}
    """
    if any(not np.isfinite(c) or c == 0 for c in cs) or len({math.copysign(1, c) for c in cs}) > 1:
        return None
    names = list(draws[0])
    rows = np.log([[draw[name] for name in names] for draw in draws])
    logs = np.log(np.abs(cs))
    # The simplest law wins: as few symbols as possible.
    for exponents in _small_exponents(len(names)):
        if np.abs(rows @ exponents - logs).max() <= EXACT:
            return {name: int(e) for name, e in zip(names, exponents) if e}
    return None


def settled_causes(causes: Sequence[Cause], law: dict[str, int] | None, sign: float) -> tuple[Cause, ...]:
    """Return the causes whose factor follows a scaling law that was measured over several draws.

    Parameters
    ----------
    causes : those that one draw could not tell apart
    law : exponents, as by ``scaling_law``
    sign : of the factor

    Returns
    -------
    the causes, as they came where there is no law

    Examples
    --------
    >>> causes = (Cause("1", "not divided by N", 0.0, 0.9), Cause("12", "keep and drop are swapped", 0.0, 0.9))
    >>> [cause.id for cause in settled_causes(causes, {"N": 1}, sign=1.0)]
    ['1']
    """
    if law is None:
        return tuple(causes)
    wanted = _LAW_CAUSES.get((tuple(sorted(law.items())), sign < 0))
    if wanted is None:
        named = {f"({name})" if "-" in name else name: power for name, power in law.items()}
        formula = " * ".join(f"{name}^{power}" if power != 1 else name for name, power in named.items()) or "1"
        text = f"yours is {'-' if sign < 0 else ''}{formula} times the expected one, in every draw"
        return (Cause("factor", text, 0.0, 0.8),)
    known = [c for c in causes if c.id == wanted]
    return tuple(known) or (Cause(wanted, EXPLANATIONS[wanted], 0.0, 0.8),)


_LAW_CAUSES = {
    ((("N", 1),), False): "1",
    ((("N", -1),), False): "2a",
    ((("K", -1),), False): "3",
    ((), True): "4",
    ((("2", 1),), False): "5b",
    ((("q", 1),), False): "9",
    ((("q", 2),), False): "10",
    ((("q", -1),), False): "11",
    ((("1-q", -1), ("q", 1)), False): "12",
}


def _small_exponents(n: int) -> list[np.ndarray]:
    """Return all vectors of n exponents in -2 ... 2, the simplest first."""
    grid = np.stack(np.meshgrid(*[np.arange(-2, 3)] * n, indexing="ij"), axis=-1).reshape(-1, n)
    return list(grid[np.argsort(np.abs(grid).sum(axis=1), kind="stable")])


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and _residual(a, b) <= 1e-9


def _residual(a: np.ndarray, b: np.ndarray) -> float:
    scale = max(_largest(a), _largest(b))
    return _largest(a - b) / scale if scale else 0.0


def _largest(x: np.ndarray) -> float:
    return float(np.abs(x).max(initial=0.0))

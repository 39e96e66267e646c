"""How often the checker finds each bug of the zoo, and how often it names it: a table measured over random draws."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from numpynet.gradcheck.checks import check_layers
from numpynet.gradcheck.layers import REFERENCE
from numpynet.gradcheck.report import Report
from numpynet.gradcheck.zoo import MUTANTS, ZOO, Bug


class Rate(NamedTuple):
    """One row of the table."""

    bug: Bug
    n_draws: int
    n_detected: int  # some check did not pass
    n_named: int  # the first cause is the right one
    others: dict[str, int]  # what else was named first, how often; "unknown" for no cause

    @property
    def detected(self) -> float:
        """The share of draws in which it was found."""
        return self.n_detected / self.n_draws

    @property
    def named(self) -> float:
        """The share of draws in which its cause was named first."""
        return self.n_named / self.n_draws


def naming_rates(n_draws: int = 200, seed: int = 0, bugs: Iterable[Bug] = (*ZOO, *MUTANTS)) -> list[Rate]:
    """Plant every bug in n_draws implementations, check each as a whole, and count.

    Each draw has sizes, keep probability, masks and arrays of its own. All layers are checked, from the loss backwards,
    and the first that does not pass is the verdict; no check knows what was planted.

    Parameters
    ----------
    n_draws : for each bug
    seed : of the first draw; the others follow
    bugs : of the zoo, all by default

    Returns
    -------
    a rate for each bug

    Examples
    --------
    >>> from numpynet.gradcheck.zoo import bug
    >>> [rate] = naming_rates(3, bugs=[bug("9")])
    >>> rate.detected, rate.named
    (1.0, 1.0)
    """
    rows = []
    for bug in bugs:
        first_causes: Counter[str] = Counter()
        n_detected = 0
        for draw in range(n_draws):
            report = check_layers(bug.plant(), seed=seed + draw, stop=True)[-1]
            if not report.passed:
                n_detected += 1
                first_causes[report.cause or "unknown"] += 1
        n_named = first_causes.pop(bug.expected, 0)
        rows.append(Rate(bug, n_draws, n_detected, n_named, dict(first_causes)))
    return rows


def rows_named(rates: Iterable[Rate], threshold: float = 0.95) -> dict[int, bool]:
    """Return row of the bug table -> whether every variant of it is named in that share of the draws.

    Parameters
    ----------
    rates : of ``naming_rates``; mutants do not count, they have no row
    threshold : share of the draws

    Returns
    -------
    number of the row -> whether it is named

    Examples
    --------
    >>> from numpynet.gradcheck.zoo import bug
    >>> rows_named(naming_rates(2, bugs=[bug("20a"), bug("20c")]))
    {20: True}
    """
    named: dict[int, bool] = {}
    for rate in rates:
        # f9 ... are forward halves of their row and count for it.
        if not rate.bug.is_mutant:
            named[rate.bug.row] = named.get(rate.bug.row, True) and rate.named >= threshold
    return named


def false_alarms(n_draws: int, seed: int = 0) -> list[Report]:
    """Check the reference in n_draws draws (seven pairs each) and return the reports that did not pass.

    Parameters
    ----------
    n_draws : how many
    seed : of the first draw; the others follow

    Returns
    -------
    the reports, none if all is well

    Examples
    --------
    >>> false_alarms(1)
    []
    """
    return [
        report for draw in range(n_draws) for report in check_layers(REFERENCE, seed=seed + draw) if not report.passed
    ]


def rates_table(rates: Iterable[Rate]) -> str:
    """Return the rates as a table in plain text.

    Parameters
    ----------
    rates : of ``naming_rates``

    Returns
    -------
    lines of text, shares in %

    Examples
    --------
    >>> from numpynet.gradcheck.zoo import bug
    >>> print(rates_table(naming_rates(2, bugs=[bug("9")])).splitlines()[1])
    9           1/keep_prob missing in backward               100.0 %   100.0 %
    """
    lines = [f"{'bug':12}{'name':44}{'detected':>9}{'named':>10}   otherwise"]
    for rate in rates:
        others = ", ".join(f"{id} {n}" for id, n in sorted(rate.others.items(), key=lambda item: -item[1]))
        line = (
            f"{rate.bug.id:12}{rate.bug.name[:43]:44}{100 * rate.detected:7.1f} %{100 * rate.named:8.1f} %   {others}"
        )
        lines.append(line.rstrip())
    return "\n".join(lines)

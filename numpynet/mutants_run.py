"""The work behind ``numpynet verify --mutants``: is what should find bugs able to find them?

Every bug of the zoo is planted in many random draws; the table says in what share of them the gradient check noticed
it, and in what share it named the right cause first. Correct layers go through the same check and must pass. And every
bug, those of masks and tickets as well, must break a law of the conformance suite.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from numpynet.conformance.kills import killers
from numpynet.conformance.laws import Law
from numpynet.conformance.mutants import MASK_MUTANTS, TICKET_MUTANTS, Mutant
from numpynet.gradcheck.rates import Rate, false_alarms, naming_rates, rows_named
from numpynet.gradcheck.zoo import MUTANTS, ZOO, Bug
from numpynet.progress import Progress
from numpynet.report import text_table

PLANTED: tuple[Bug | Mutant, ...] = (*ZOO, *MUTANTS, *MASK_MUTANTS, *TICKET_MUTANTS)
NAMED_SHARE = 0.95  # of the draws, in which a row counts as named
NAMED_ROWS = 26  # of the 28 rows of the bug table that must be
LAYERS_PER_DRAW = 7  # pairs that one check of the reference goes through


class Measured(NamedTuple):
    """What was measured about one planted bug; no rate for those of masks and tickets, which have no gradient."""

    id: str
    name: str
    rate: Rate | None
    killers: list[Law]


def run_mutants(
    *, n_draws: int, seed: int = 0, as_json: bool = False, planted: Sequence[Bug | Mutant] | None = None
) -> int:
    """Measure, print the table, and return 0 if all targets are met, else 1.

    Parameters
    ----------
    n_draws : random draws for each bug of the zoo, and of correct layers
    seed : of the first draw
    as_json : print JSON instead of a table
    planted : the bugs; None for all that are known

    Returns
    -------
    The exit code.

    Examples
    --------
    >>> from numpynet.gradcheck.zoo import bug
    >>> run_mutants(n_draws=1, planted=[bug("9")])
    bug  what is wrong                    detected  named   named otherwise  first law that it breaks
    9    1/keep_prob missing in backward  100.0%    100.0%                   dropout_backward: gradients
    <BLANKLINE>
    ok    1 of 1 rows named first in 95% of 1 draws (needed: 26 of 28)
    ok    every bug noticed in every draw
    ok    0 false alarms in 7 correct layers
    ok    1 of 1 planted bugs break a law of the suite
    0
    """
    planted = PLANTED if planted is None else planted
    progress = Progress("planted bugs", len(planted) + 1)
    measured = []
    for done, bug in enumerate(planted):
        progress.show(done, bug.id)
        if isinstance(bug, Bug):
            (rate,) = naming_rates(n_draws, seed, bugs=[bug])
            measured.append(Measured(bug.id, bug.name, rate, killers(bug, stop=True)))
        else:
            measured.append(Measured(bug.id, bug.explanation, None, killers(bug, stop=True)))
    progress.show(len(planted), "correct layers")
    alarms = len(false_alarms(n_draws, seed))
    progress.close()
    targets = _targets(measured, alarms, n_draws)
    document = {
        "version": 1,
        "draws": n_draws,
        "seed": seed,
        "bugs": [_row(m) for m in measured],
        "targets": [{"target": text, "met": met} for text, met in targets],
        "status": "pass" if all(met for _, met in targets) else "fail",
    }
    print(json.dumps(document, indent=2, allow_nan=False) if as_json else _text(document))
    return 0 if document["status"] == "pass" else 1


def _targets(measured: list[Measured], alarms: int, n_draws: int) -> list[tuple[str, bool]]:
    """Return each target in words, with the figure that was measured, and whether it is met."""
    rows = rows_named((m.rate for m in measured if m.rate is not None), NAMED_SHARE)
    n_named, n_rows = sum(rows.values()), len(rows)
    undetected = [m.id for m in measured if m.rate is not None and m.rate.n_detected < m.rate.n_draws]
    survivors = [m.id for m in measured if not m.killers]
    n_correct = LAYERS_PER_DRAW * n_draws
    return [
        (
            f"{n_named} of {n_rows} rows named first in {NAMED_SHARE:.0%} of {n_draws} draws (needed: {NAMED_ROWS} of 28)",
            n_rows - n_named <= 28 - NAMED_ROWS,
        ),
        (
            f"{len(undetected)} bugs not noticed in every draw: {', '.join(undetected)}"
            if undetected
            else "every bug noticed in every draw",
            not undetected,
        ),
        (f"{alarms} false alarms in {n_correct} correct layers", alarms == 0),
        (f"{len(measured) - len(survivors)} of {len(measured)} planted bugs break a law of the suite", not survivors),
    ]


def _row(m: Measured) -> dict[str, Any]:
    return {
        "id": m.id,
        "name": m.name,
        "detected": None if m.rate is None else m.rate.detected,
        "named": None if m.rate is None else m.rate.named,
        "named_otherwise": {} if m.rate is None else m.rate.others,
        "law": repr(m.killers[0]) if m.killers else None,
    }


def _text(document: dict[str, Any]) -> str:
    def share(value: float | None) -> str:
        return "" if value is None else f"{value:.1%}"

    rows = []
    for bug in document["bugs"]:
        others = ", ".join(f"{id} {n}" for id, n in sorted(bug["named_otherwise"].items(), key=lambda item: -item[1]))
        law = bug["law"] or "SURVIVES"
        rows.append((bug["id"], bug["name"][:58], share(bug["detected"]), share(bug["named"]), others, law))
    table = text_table(
        ("bug", "what is wrong", "detected", "named", "named otherwise", "first law that it breaks"), rows
    )
    lines = [f"{'ok  ' if target['met'] else 'MISS'}  {target['target']}" for target in document["targets"]]
    return f"{table}\n\n" + "\n".join(lines)

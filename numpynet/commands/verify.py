"""``numpynet verify``: every implemented equation of the book, and the checks themselves."""

from __future__ import annotations

import argparse
import json
import math

from numpynet.commands.arguments import positive, seed

MUTANT_DRAWS = 20


def add_parser(commands) -> None:
    """Add the command to the parser.

    Parameters
    ----------
    commands : what ``add_subparsers`` returned
    """
    parser = commands.add_parser(
        "verify",
        help="check every equation of the book that is implemented; a few seconds",
        description="Check every implemented equation of the book and print id, quantity, what it was compared with, worst "
        "error and tolerance. Exits with 1 if a check fails. With --mutants the checks themselves are checked: every known bug is planted, and "
        "the table says how often it is noticed and its cause named.",
    )
    parser.add_argument("--seed", type=seed, default=0, help="of the numbers that are checked (default: %(default)s)")
    parser.add_argument(
        "--draws", type=positive, help=f"repeat with so many seeds (default: 1; {MUTANT_DRAWS} with --mutants)"
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--layers", action="store_true", help="only the layers, losses and masks: a quarter of a second")
    which.add_argument("--mutants", action="store_true", help="plant every known bug; about two seconds for each draw")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.set_defaults(run=_run_verify)


def _run_verify(options: argparse.Namespace) -> int:
    if options.mutants:
        from numpynet.mutants_run import run_mutants

        return run_mutants(n_draws=options.draws or MUTANT_DRAWS, seed=options.seed, as_json=options.json)
    from numpynet.audit import audit_everything, audit_layers
    from numpynet.report import text_table

    n_draws, audit = options.draws or 1, audit_layers if options.layers else audit_everything
    worst = audit(options.seed)
    for further in range(options.seed + 1, options.seed + n_draws):
        worst = [max(pair, key=lambda c: (not c.passed, c.error)) for pair in zip(worst, audit(further))]
    if options.json:
        return _print_audit(worst, n_draws, options.seed)
    rows = [
        (c.equation, c.what, c.how, *(f"{x:.0e}" if x else "0" for x in (c.error, c.tolerance)), "ok" if c.passed else "WRONG")
        for c in worst
    ]  # fmt: skip
    print(text_table(("equation", "what", "compared with", "worst error", "tolerance", ""), rows))
    n_wrong, n_equations = sum(not c.passed for c in worst), len({c.equation for c in worst})
    print(
        f"\n{len(worst) - n_wrong} of {len(worst)} checks passed, {n_equations} equations, "
        f"{n_draws} draw(s) each, first seed {options.seed}"
    )
    return 1 if n_wrong else 0


def _print_audit(checks, n_draws: int, seed: int) -> int:
    """Print the audit as JSON, in which an error that is not finite is null."""
    rows = [
        {**check._asdict(), "error": check.error if math.isfinite(check.error) else None, "passed": check.passed}
        for check in checks
    ]
    passed = all(check.passed for check in checks)
    document = {"version": 1, "draws": n_draws, "seed": seed, "checks": rows, "status": "pass" if passed else "fail"}
    print(json.dumps(document, indent=2, allow_nan=False))
    return 0 if passed else 1

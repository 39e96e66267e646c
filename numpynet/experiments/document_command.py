"""``numpynet document``: the two code examples of the article that numpynet began with, put right."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable

from numpynet.experiments import document_dropout, document_ticket
from numpynet.experiments.publish import publish

REPLICATES = 5
INTRODUCTION = (
    f"The article {document_dropout.ARTICLE}\n"
    "(in Chinese), has two code examples. Neither does what it says. Each is run here as it was meant, each mistake beside it."
)


def run_document(options: Namespace, *, say: Callable[[str], None] = print) -> int:
    """Run one example, or both, print what it shows, write a page for each, and return the exit code.

    Parameters
    ----------
    options : example ("dropout", "ticket" or None for both), seed, replicates (of the ticket), out
    say : where the text goes

    Returns
    -------
    The exit code, 0; what goes wrong raises.

    Examples
    --------
    >>> from pathlib import Path
    >>> run_document(Namespace(example="dropout", seed=0, replicates=5, out=Path("runs/document")))  # doctest: +SKIP
    0
    """
    seeds = [options.seed + r for r in range(options.replicates)]
    examples = {
        "dropout": (lambda: document_dropout.report(options.seed), ""),
        "ticket": (lambda: document_ticket.report(seeds), f" --replicates {options.replicates}"),
    }
    say(INTRODUCTION)
    for name in examples if options.example is None else (options.example,):
        report_of, more = examples[name]
        outcome = report_of()
        say(f"\n\n{outcome.title}\n{'-' * len(outcome.title)}\n")
        command = f"numpynet document {name} --seed {options.seed}{more}"
        say(f"\nReport: {publish(outcome, options.out / name, command=command, say=say)}")
    return 0

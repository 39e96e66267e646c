"""A law of the suite, and how it is put to an implementation.

A law is a small function of an implementation, a seed and four sizes. It draws what it needs from the seed, so one pair
(seed, sizes) repeats it, and it returns a ``Report`` of ``numpynet.gradcheck``: pass, fail, error (the code raised), wait
(it raises NotImplementedError) or skip (a function is not defined). Nothing here needs pytest or Hypothesis; the test
modules of this package only draw seeds and sizes, and turn reports into test results.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

from numpynet.conformance.contract import LAYER_FUNCTIONS, Subject
from numpynet.gradcheck.draws import Sizes
from numpynet.gradcheck.report import Report


class LawBroken(AssertionError):
    """Something that a law asks for is not so; the message says what, in one sentence."""


class Waiting(Exception):
    """A function raises NotImplementedError: it is not written yet."""


class Raised(Exception):
    """A function under test raised an exception."""


class Law(NamedTuple):
    """One thing that must be true of an implementation.

    ``name`` is a word or two; ``tasks`` are the functions that it is about, the one to blame first; ``needs`` those that
    it calls.
    """

    name: str
    tasks: tuple[str, ...]
    needs: tuple[str, ...]
    check: Callable[[Subject, int, Sizes], Report]

    def report(self, subject: Subject, seed: int, sizes: Sizes) -> Report:
        """Put the law to an implementation.

        Parameters
        ----------
        subject : the implementation
        seed : of the draws
        sizes : N, d_in, d_out and K

        Returns
        -------
        Report, "skip" where a function that the law needs is not defined
        """
        for name in self.needs:
            if name not in subject.functions:
                return self.outcome(subject, seed, sizes, "skip", f"{name} is not defined")
        return self.check(subject, seed, sizes)

    def outcome(self, subject: Subject, seed: int, sizes: Sizes, status: str, message: str = "") -> Report:
        """Return a report that is not about a gradient.

        Parameters
        ----------
        subject : the implementation
        seed, sizes : of the draws
        status : "pass", "fail", "error", "wait" or "skip"
        message : what was found, in one sentence

        Returns
        -------
        Report of kind "law"
        """
        return Report(
            status,
            self.about,
            self.tasks[0],
            kind="law",
            message=message,
            file=subject.file,
            seed=seed,
            shape=tuple(sizes),
        )

    @property
    def about(self) -> str:
        """The function or functions that the law is about, or what they are together, where none can be blamed alone."""
        if len(self.tasks) <= 2:
            return " and ".join(self.tasks)
        return "layers" if self.tasks[0] in LAYER_FUNCTIONS else "tickets"

    def __repr__(self) -> str:
        return f"{self.about}: {self.name}"


def law(
    name: str, *tasks: str, needs: tuple[str, ...] | None = None
) -> Callable[[Callable[[Subject, int, Sizes], None]], Law]:
    """Make a law of a function that raises ``LawBroken``; it calls the code under test by ``call`` alone.

    Parameters
    ----------
    name : a word or two
    *tasks : functions of the contract that it is about, the one to blame first
    needs : functions that it calls; None takes the tasks

    Returns
    -------
    A decorator that makes a ``Law`` of a function (subject, seed, sizes).

    Examples
    --------
    >>> @law("three", "prune_count")
    ... def three(subject, seed, sizes):
    ...     if call(subject, "prune_count", 0.3, 10) != 3:
    ...         raise LawBroken("0.3 of 10 should be 3")
    >>> three.report(Subject("mine.py", {"prune_count": lambda rate, alive: 4}), 0, Sizes(5, 7, 4, 3)).message
    'three: 0.3 of 10 should be 3'
    """

    def decorate(function: Callable[[Subject, int, Sizes], None]) -> Law:
        def check(subject: Subject, seed: int, sizes: Sizes) -> Report:
            try:
                function(subject, seed, sizes)
            except LawBroken as error:
                return made.outcome(subject, seed, sizes, "fail", f"{name}: {error}")
            except Waiting as error:
                return made.outcome(subject, seed, sizes, "wait", str(error))
            except Raised as error:
                return made.outcome(subject, seed, sizes, "error", str(error))
            return made.outcome(subject, seed, sizes, "pass")

        made = Law(name, tasks, tasks if needs is None else needs, check)
        return made

    return decorate


def call(subject: Subject, name: str, *args: Any, **kwargs: Any) -> Any:
    """Call a function under test, and give an exception the name of the function; warnings are its own affair.

    Parameters
    ----------
    subject : the implementation
    name : of a function that it has
    *args, **kwargs : handed over as they are

    Returns
    -------
    What the function returns.

    Raises
    ------
    Waiting
        It raises NotImplementedError.
    Raised
        It raises anything else.
    LawBroken
        It returns None, and should not.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = subject.functions[name](*args, **kwargs)
    except NotImplementedError as error:
        raise Waiting(str(error) or f"{name} is not written yet") from None
    except (Exception, SystemExit) as error:
        raise Raised(f"{name} raised {type(error).__name__}: {error}") from error
    if result is None and name != "save_ticket":
        raise LawBroken(f"{name} returns None (is the return statement missing?)")
    return result


def require(condition: object, message: str) -> None:
    """Raise ``LawBroken`` unless a condition holds.

    Parameters
    ----------
    condition : what must be so
    message : what is wrong if it is not, in one sentence

    Raises
    ------
    LawBroken
        The condition does not hold.

    Examples
    --------
    >>> require(1 + 1 == 2, "1 + 1 is 2")
    """
    if not condition:
        raise LawBroken(message)


def text_of(report: Report, detail: str = "cause") -> str:
    """Return a report for a person; those about masks and tickets have words of their own.

    Parameters
    ----------
    report : of a check or of a law
    detail : "off", "where", "ratio" or "cause"

    Returns
    -------
    Text, one line or several.

    Examples
    --------
    >>> print(text_of(Report("fail", "prune", "prune", kind="law", message="2 should go, 3 went", seed=1), "where"))
    LawBroken  prune
      2 should go, 3 went
      reproduce: numpynet check FILE.py --task prune --seed 1
    """
    if report.kind != "law" or report.status != "fail" or detail == "off":
        return report.text(detail)
    return f"LawBroken  {report.layer}\n  {report.message}\n  reproduce: {report.reproduce()}"

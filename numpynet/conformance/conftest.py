"""What the suite needs from pytest: a marker for each function, the Hypothesis profiles, the implementation under test.

The profiles are used by the tests of this package alone (as ``conformance-dev`` and so on); nothing is loaded globally,
so that they do not get in the way of the tests of whoever runs them together.
"""

from __future__ import annotations

import os

# Small matrices are multiplied faster by one thread than by several. It must be said before NumPy is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import pytest

from numpynet.conformance.contract import CONTRACT, Subject
from numpynet.conformance.profiles import profile_name
from numpynet.conformance.subject import VARIABLE, load_subject


def pytest_configure(config: pytest.Config) -> None:
    """Register a marker for every function of the contract."""
    for name, signature in CONTRACT.items():
        config.addinivalue_line("markers", f"{name}: numpynet.conformance, {signature}")


@pytest.fixture(scope="session")
def under_test() -> Subject:
    """The implementation under test."""
    return load_subject()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """End at once, and with one line, if the suite is asked for something that there is not."""
    if any("under_test" in getattr(item, "fixturenames", ()) for item in items):
        try:
            profile_name(os.environ)
            load_subject()
        except (TypeError, ValueError) as error:
            raise pytest.UsageError(f"numpynet.conformance: {error}") from None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was checked, and what could not be."""
    if not os.environ.get(VARIABLE):
        return
    waits = set()
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
        if reason.startswith("Skipped: WAIT: "):
            waits.add(reason.removeprefix("Skipped: WAIT: "))
    terminalreporter.section(f"numpynet.conformance: {os.environ[VARIABLE]}")
    for wait in sorted(waits):
        terminalreporter.write_line(f"WAIT: {wait}")
    if not waits:
        terminalreporter.write_line("every function of the tests that ran is there")

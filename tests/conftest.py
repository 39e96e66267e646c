"""What every test of the repository shares: one BLAS thread, the Hypothesis profiles, and the slow tests set apart.

Choose a profile with ``HYPOTHESIS_PROFILE=thorough python -m pytest``; where ``CI`` is set, ``ci`` is the default.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

# The reader of the equation book belongs to the site, and the tests hold code and book together with it.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "docs"))

# Small matrices are multiplied faster by one thread than by several. It must be said before NumPy is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import pytest
from hypothesis import HealthCheck, settings

# No test cuts the power, so none need wait for the disk, ten thousand times. What must be forced to it, and when, is what
# tests/test_storage.py looks at; processes that tests start and kill do wait.
os.fsync = os.fstat  # which refuses what is no open file, as fsync does

# No deadlines: the first matrix product of a process is slow. ``too_slow`` times the draws, which says more about a
# busy machine than about a test.
_common = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
# dev and ci draw the same examples every time: one command, one outcome, on every machine. New examples are
# what ``explore`` (as quick) and ``thorough`` are for.
_repeatable = {"derandomize": True, "print_blob": True, "database": None}
settings.register_profile("dev", max_examples=25, **_repeatable, **_common)
settings.register_profile("ci", max_examples=50, **_repeatable, **_common)
settings.register_profile("explore", max_examples=25, print_blob=True, **_common)
settings.register_profile("thorough", max_examples=1000, print_blob=True, **_common)


def profile_name(environment: dict[str, str]) -> str:
    """Return the profile that these environment variables ask for."""
    running_in_ci = environment.get("CI", "").lower() not in ("", "0", "false")
    return environment.get("HYPOTHESIS_PROFILE") or ("ci" if running_in_ci else "dev")


settings.load_profile(profile_name(dict(os.environ)))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out tests marked slow, unless the -m option speaks of them."""
    if "slow" in config.getoption("markexpr", ""):
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    if slow:
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if not item.get_closest_marker("slow")]

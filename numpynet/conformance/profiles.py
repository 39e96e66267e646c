"""How many examples the suite draws, and how: chosen by HYPOTHESIS_PROFILE."""

from __future__ import annotations

import os
from collections.abc import Mapping

from hypothesis import HealthCheck, Phase, settings
from hypothesis.errors import Flaky

from numpynet.conformance.subject import VARIABLE

# No deadline: the first matrix product of a process is slow. ``too_slow`` times the draws, which says more about a busy
# machine than about a test.
_COMMON = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}

PROFILES = {
    "dev": {"max_examples": 15, "derandomize": True, "database": None},
    "explore": {"max_examples": 15, "derandomize": False},
    # The same examples every time, or marks would change when a run is repeated.
    "student": {"max_examples": 25, "derandomize": True, "database": None, "print_blob": False},
    "ci": {"max_examples": 50, "derandomize": True, "database": None, "print_blob": True},
    "thorough": {"max_examples": 1000, "derandomize": False, "print_blob": True},
}

for _name, _profile in PROFILES.items():
    settings.register_profile(f"conformance-{_name}", **_COMMON, **_profile)


def profile_name(environment: Mapping[str, str]) -> str:
    """Return the profile that these environment variables ask for.

    Parameters
    ----------
    environment : variables such as those of ``os.environ``

    Returns
    -------
    "dev", "ci", "student" or another key of ``PROFILES``.

    Raises
    ------
    ValueError
        ``HYPOTHESIS_PROFILE`` names none of them.

    Examples
    --------
    >>> profile_name({}), profile_name({"NUMPYNET_UNDER_TEST": "layers.py"}), profile_name({"CI": "true"})
    ('dev', 'student', 'ci')
    """
    asked = environment.get("HYPOTHESIS_PROFILE")
    if asked:
        if asked not in PROFILES:
            raise ValueError(f"HYPOTHESIS_PROFILE is {asked!r}, but it must be one of {', '.join(PROFILES)}")
        return asked
    if environment.get(VARIABLE):
        return "student"
    return "ci" if environment.get("CI", "").lower() not in ("", "0", "false") else "dev"


def chosen(*, share: float = 1.0, shrink: bool = False) -> settings:
    """Return the settings of the profile that was chosen.

    Parameters
    ----------
    share : of the profile's examples, for laws that take long
    shrink : True looks for the simplest failure. Where a draw is a seed and four small sizes, none is simpler than
        another, and it would only take time.

    Returns
    -------
    hypothesis.settings

    Examples
    --------
    >>> chosen().deadline is None
    True
    """
    profile = settings.get_profile(f"conformance-{profile_name(os.environ)}")
    phases = (Phase.explicit, Phase.reuse, Phase.generate, *((Phase.shrink,) if shrink else ()))
    return settings(profile, max_examples=max(1, round(share * profile.max_examples)), phases=phases)


def in_plain_words(error: Flaky) -> str:
    """Return what it means that Hypothesis saw the same draw go well once and badly once.

    Parameters
    ----------
    error : that Hypothesis raised

    Returns
    -------
    Text, one line or several.

    Examples
    --------
    >>> in_plain_words(Flaky("...")).splitlines()[0]
    'NotRepeatable  the same draw was right once and wrong once'
    """
    found = [str(failure) for failure in getattr(error, "exceptions", ())]
    advice = "  a function remembers something from one call to the next, or draws random numbers of its own"
    return "\n".join(["NotRepeatable  the same draw was right once and wrong once", advice, *found])

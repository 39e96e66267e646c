"""The bug zoo: the mistakes that people make in backward passes, as data.

``ZOO`` holds the 28 rows of the bug table (with letters where a row is several bugs) and ``MUTANTS`` the 14 bugs that
were found in public repositories. Each is a ``Bug`` with a name, one sentence of explanation, its signature, and
``plant()``, which returns an implementation with the bug in it. One table serves the diagnosis (its sentences are
these), the tests of the tests, the tutorials and the assignments::

    layers = bug("20a").plant()
    layers.relu_backward(dh, cache)
"""

from __future__ import annotations

from numpynet.gradcheck.zoo.bug import Bug
from numpynet.gradcheck.zoo.contract import CONTRACT_BUGS
from numpynet.gradcheck.zoo.dropout import DROPOUT_BUGS
from numpynet.gradcheck.zoo.linear import LINEAR_BUGS
from numpynet.gradcheck.zoo.losses import LOSS_BUGS
from numpynet.gradcheck.zoo.mutants import MUTANTS
from numpynet.gradcheck.zoo.network import NETWORK_BUGS

ZOO: tuple[Bug, ...] = tuple(
    sorted((*LOSS_BUGS, *DROPOUT_BUGS, *LINEAR_BUGS, *NETWORK_BUGS, *CONTRACT_BUGS), key=lambda bug: bug.row)
)

# Causes that the diagnosis knows and nobody planted.
MORE_CAUSES = {
    "f18a": "the weight mask is inverted in the forward pass",
    "f20": "the forward pass does not apply the activation",
    "f24b": "the penalty is twice too large (lambda / 2 times the square is meant)",
    "f24c": "the penalty is taken of W instead of M * W",
    "f_bias": "the bias is not added in the forward pass",
    "dead": "entries that a mask switches off are not exactly 0 (multiply by the mask last)",
}

EXPLANATIONS: dict[str, str] = MORE_CAUSES | {bug.id: bug.explanation for bug in (*MUTANTS, *ZOO)}


def bug(id: str) -> Bug:
    """Return one bug by its id.

    Parameters
    ----------
    id : a row of the table, such as "9" or "20a", or a mutant, such as "m10"

    Returns
    -------
    the bug

    Raises
    ------
    KeyError
        There is none with this id.

    Examples
    --------
    >>> bug("9").name
    '1/keep_prob missing in backward'
    """
    for candidate in (*ZOO, *MUTANTS):
        if candidate.id == id:
            return candidate
    raise KeyError(f"there is no bug {id!r}; the zoo has {', '.join(b.id for b in (*ZOO, *MUTANTS))}")


__all__ = ["EXPLANATIONS", "MUTANTS", "ZOO", "Bug", "bug"]

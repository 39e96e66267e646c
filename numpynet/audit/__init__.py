"""The audit: every equation of the book that is implemented, held against something that does not share its code.

Each check draws its own numbers, runs the very code that trains and prunes, and says which equation it is about, what
was compared with what, how far apart the two sides were at worst, and how far they may be. Gradients are compared with
the complex step, expectations with lists of all masks, trainings with their closed forms or with another training of
which the law says that it is the same one; whatever is left to chance has a bound that it breaks once in 10^9 draws.

There is a module for each part of the book, to be read beside it. ``numpynet verify`` prints the whole as a table.
"""

from numpynet.audit.check import Check
from numpynet.audit.derivatives import audit_derivatives
from numpynet.audit.dropout import audit_dropout
from numpynet.audit.dropout_variants import audit_dropout_variants
from numpynet.audit.ensemble import audit_ensemble
from numpynet.audit.layers import audit_layers
from numpynet.audit.learned_masks import audit_learned_masks
from numpynet.audit.mask_training import audit_mask_training
from numpynet.audit.masks import audit_masks
from numpynet.audit.pruning import audit_pruning
from numpynet.audit.rewinding import audit_rewinding
from numpynet.audit.sparse_training import audit_sparse_training
from numpynet.audit.tickets import audit_tickets
from numpynet.audit.training import audit_training

__all__ = ["Check", "audit_everything", "audit_layers"]

_PARTS = (
    audit_layers,
    audit_derivatives,
    audit_training,
    audit_dropout,
    audit_ensemble,
    audit_dropout_variants,
    audit_masks,
    audit_mask_training,
    audit_pruning,
    audit_sparse_training,
    audit_tickets,
    audit_rewinding,
    audit_learned_masks,
)


def audit_everything(seed: int = 0) -> list[Check]:
    """Check every implemented equation of the book on numbers of this seed, in the order of the book.

    Parameters
    ----------
    seed : of the numbers that are drawn, the same for every part

    Returns
    -------
    One ``Check`` for each comparison.

    Examples
    --------
    >>> all(check.passed for check in audit_everything(seed=1))
    True
    """
    checks = [check for audit in _PARTS for check in audit(seed)]
    return sorted(checks, key=lambda check: ("BODMPL".index(check.equation[0]), int(check.equation[1:])))

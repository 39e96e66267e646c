"""The contract: the functions that an implementation may have, and how they are called.

Everything is optional: a file defines what it has got, and only that is judged. Layer functions are pairs (forward and
backward, ``numpynet.gradcheck.layers``). Functions of masks work on one array. Functions of tickets take a ticket and
return it, new or changed; a ticket may be anything from which ``theta`` and ``weight_mask`` can be read, as attributes
or as keys: both give an array for a name such as "W1". Biases ("b1") have no mask, or ones.

This is the whole list; each name is also the name of a pytest marker and of a ``--task``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from numpynet.gradcheck.layers import ALIASES, Layers
from numpynet.gradcheck.pairs import LayerPair

LAYER_FUNCTIONS = {
    "linear_forward": "(x, W, b, *, unit_mask, keep_prob, weight_mask) -> y, cache",
    "linear_backward": "(dy, cache) -> dx, dW, db",
    "relu_forward": "(z) -> h, cache",
    "relu_backward": "(dh, cache) -> dz",
    "dropout_forward": "(h, *, unit_mask, keep_prob) -> y, cache",
    "dropout_backward": "(dy, cache) -> dh",
    "softmax_cross_entropy_forward": "(logits, *, labels) -> loss, cache",
    "softmax_cross_entropy_backward": "(dloss, cache) -> dlogits",
    "l2_penalty_forward": "(W, *, weight_decay, weight_mask) -> penalty, cache",
    "l2_penalty_backward": "(dpenalty, cache) -> dW",
    "mask_gradients": "(dy, cache of linear_forward) -> d_weight_mask, d_unit_mask",
    "network_loss": "(parameters, x, *, labels, unit_masks, keep_prob, weight_masks, weight_decay) -> loss, gradients",
}

MASK_FUNCTIONS = {
    "sample_mask": "(rng, shape, keep_prob) -> binary array, each entry 1 with probability keep_prob",
    "prune_count": "(rate, alive) -> how many go: floor(rate * alive + 1/2)",
    "prune_lowest": "(scores, mask, k) -> new mask without the k alive entries of lowest score, lower index first",
    "prune": "(W, mask, rate) -> new mask without that share of the alive weights, the smallest by magnitude",
    "rewind": "(W_0, mask) -> mask * W_0, a new array",
}

TICKET_FUNCTIONS = {
    "begin_ticket": "(theta_0, weight_mask=None, optimizer=one of OPTIMIZERS) -> ticket at mask * theta_0, nothing pruned",
    "train_ticket": "(ticket, gradients) -> ticket, one step on; gradients are those of the dense net, a dict like theta_0",
    "prune_ticket": "(ticket, rate) -> ticket; each weight matrix loses that share of its alive weights",
    "rewind_ticket": "(ticket) -> ticket at mask * theta_0, with an optimizer that remembers nothing",
    "reinit_ticket": "(ticket, rng) -> ticket with fresh weights under the same mask, and a fresh optimizer",
    "save_ticket": "(path, ticket) -> None",
    "load_ticket": "(path) -> ticket",
}

CONTRACT: dict[str, str] = LAYER_FUNCTIONS | MASK_FUNCTIONS | TICKET_FUNCTIONS


class Subject(NamedTuple):
    """An implementation under test: what it is called, and what it defines."""

    file: str  # as one would type it after ``numpynet check``
    functions: Mapping[str, Callable]
    optimizers: tuple[str | None, ...] = (None,)  # what begin_ticket can be asked for
    pairs: tuple[LayerPair, ...] = ()  # layers that are in no contract, made with numpynet.gradcheck
    trusted: bool = True  # False for graded work: gradients are those of the law, not of a forward that could lie

    @property
    def layers(self) -> Layers:
        """The layer functions."""
        return Layers(**{name: f for name, f in self.functions.items() if name in LAYER_FUNCTIONS})

    def having(self, **functions: Callable) -> Subject:
        """Return this implementation with some functions replaced: a mutant.

        Parameters
        ----------
        **functions : name in the contract -> function

        Returns
        -------
        A new Subject; this one stays as it is.

        Examples
        --------
        >>> sorted(Subject("nothing", {}).having(prune=min).functions)
        ['prune']
        """
        return self._replace(functions={**self.functions, **functions})

    def __repr__(self) -> str:
        return self.file


def subject_of(module: Any, file: str) -> Subject:
    """Return what a module defines of the contract.

    A list ``PAIRS`` of ``LayerPair`` may hold further layers, ``OPTIMIZERS`` names what ``begin_ticket`` offers.

    Parameters
    ----------
    module : anything with attributes; what a file became when it was imported
    file : its name, for reports

    Returns
    -------
    Subject, trusted

    Raises
    ------
    ValueError
        There is nothing of the contract in it.
    TypeError
        ``PAIRS`` holds something that is not a ``LayerPair``, or ``OPTIMIZERS`` something that is not a name.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> list(subject_of(SimpleNamespace(prune_count=round, other=1), "mine.py").functions)
    ['prune_count']
    """
    functions = {}
    for name in CONTRACT:
        for known_as in (name, ALIASES.get(name, name)):
            if getattr(module, known_as, None) is not None:
                functions[name] = getattr(module, known_as)
                break
    pairs = tuple(getattr(module, "PAIRS", ()))
    for pair in pairs:
        if not isinstance(pair, LayerPair):
            raise TypeError(f"PAIRS must hold LayerPair records such as relu_pair(forward, backward), got {pair!r}")
    optimizers = getattr(module, "OPTIMIZERS", None) or (None,)
    if isinstance(optimizers, str) or not all(isinstance(name, (str, type(None))) for name in optimizers):
        raise TypeError(f"OPTIMIZERS must be a list of names for begin_ticket, got {optimizers!r}")
    if not functions and not pairs:
        raise ValueError(
            f"there is none of the functions to check in it; known are {', '.join(CONTRACT)}. "
            "Are they at the top level of the file, and spelled like this?"
        )
    return Subject(file, functions, tuple(optimizers), pairs)

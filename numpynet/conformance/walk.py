"""A ticket on a walk: trained, pruned, rewound, re-initialised, saved and loaded in any order, and watched all the while.

A twin goes the same way by another road: where the ticket is rewound the twin begins anew, and it is never saved. Both
must be the same at every step, bit for bit. So an optimizer that remembers what it should have forgotten shows in the
next step, whatever it is, and so does a file that has lost something.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from numpynet.conformance.contract import Subject
from numpynet.conformance.laws import LawBroken, Waiting, call, require
from numpynet.conformance.mask_laws import checked_mask, expected_count
from numpynet.gradcheck.draws import Sizes, draw_mask, draw_signed

Arrays = dict[str, np.ndarray]


def draw_start(rng: np.random.Generator, sizes: Sizes) -> Arrays:
    """Return initial parameters of two layers: weights with ties and a zero among them, biases that are not 0.

    Parameters
    ----------
    rng : to draw from
    sizes : of a net d_in-d_out-K; N is not used

    Returns
    -------
    Name -> array, float64.

    Examples
    --------
    >>> {name: a.shape for name, a in draw_start(np.random.default_rng(0), Sizes(5, 7, 4, 3)).items()}
    {'W1': (7, 4), 'b1': (4,), 'W2': (4, 3), 'b2': (3,)}
    """
    theta_0 = {}
    for layer, shape in enumerate(((sizes.d_in, sizes.d_out), (sizes.d_out, sizes.K)), start=1):
        W = draw_signed(rng, shape)
        W.reshape(-1)[:3] = 0.0, 0.5, -0.5
        theta_0 |= {f"W{layer}": W, f"b{layer}": draw_signed(rng, shape[1:])}
    return theta_0


def draw_gradients(rng: np.random.Generator, theta_0: Mapping[str, np.ndarray]) -> Arrays:
    """Return gradients of a dense network: nothing is 0, pruned or not.

    Parameters
    ----------
    rng : to draw from
    theta_0 : names and shapes

    Returns
    -------
    Name -> array, float64.

    Examples
    --------
    >>> list(draw_gradients(np.random.default_rng(0), {"b1": np.zeros(3)}))
    ['b1']
    """
    return {name: draw_signed(rng, a.shape) for name, a in theta_0.items()}


def part(ticket: Any, what: str) -> Mapping[str, np.ndarray]:
    """Return ``theta`` or ``weight_mask`` of a ticket, an attribute or a key.

    Parameters
    ----------
    ticket : whatever ``begin_ticket`` returned
    what : "theta" or "weight_mask"

    Returns
    -------
    What maps names to arrays, not a copy.

    Raises
    ------
    LawBroken
        The ticket has no such part.

    Examples
    --------
    >>> part({"theta": {"b1": 0.0}}, "theta")
    {'b1': 0.0}
    """
    value = ticket.get(what) if isinstance(ticket, Mapping) else getattr(ticket, what, None)
    if value is None:
        raise LawBroken(f"a ticket of type {type(ticket).__name__} has no {what}, neither as attribute nor as key")
    return value


def weights(theta_0: Mapping[str, np.ndarray]) -> list[str]:
    """Return the names of the weight matrices.

    Parameters
    ----------
    theta_0 : name -> array; weights have two axes

    Returns
    -------
    Names, in their order.

    Examples
    --------
    >>> weights({"W1": np.ones((2, 2)), "b1": np.ones(2)})
    ['W1']
    """
    return [name for name, a in theta_0.items() if a.ndim == 2]


def theta_of(ticket: Any, like: Mapping[str, np.ndarray]) -> Arrays:
    """Return copies of the parameters of a ticket, or raise ``LawBroken`` if one is missing or misshapen.

    Parameters
    ----------
    ticket : whatever ``begin_ticket`` returned
    like : names and shapes that are expected

    Returns
    -------
    Name -> array.

    Raises
    ------
    LawBroken
        One is missing, or has another shape.
    """
    theta = part(ticket, "theta")
    arrays = {}
    for name, a in like.items():
        try:
            arrays[name] = np.array(theta[name])
        except (KeyError, IndexError, TypeError):
            raise LawBroken(f"the ticket's theta has no {name}") from None
        require(arrays[name].shape == a.shape, f"{name} has shape {arrays[name].shape}, where {a.shape} is expected")
    return arrays


def masks_of(ticket: Any, like: Mapping[str, np.ndarray]) -> Arrays:
    """Return copies of the weight masks of a ticket, or raise ``LawBroken`` unless they are masks of its weights.

    Parameters
    ----------
    ticket : whatever ``begin_ticket`` returned
    like : names and shapes of theta

    Returns
    -------
    Name of each weight matrix -> array.
    """
    weight_mask = part(ticket, "weight_mask")
    masks = {}
    for name, a in like.items():
        try:
            mask = np.array(weight_mask[name])
        except (KeyError, IndexError, TypeError):
            require(a.ndim < 2, f"the ticket has no mask for {name}")
            continue
        checked_mask(mask, a.shape, f"weight_mask[{name!r}]")
        require(a.ndim == 2 or mask.all(), f"{name} is pruned, but biases never are")
        if a.ndim == 2:
            masks[name] = mask
    return masks


def begin(subject: Subject, theta_0: Arrays, masks: Arrays | None, optimizer: str | None) -> Any:
    """Call ``begin_ticket``, with an optimizer if one is named.

    Parameters
    ----------
    subject : the implementation
    theta_0 : name -> array
    masks : name of each weight matrix -> 0 or 1; None prunes nothing
    optimizer : a name of ``subject.optimizers``, or None

    Returns
    -------
    What ``begin_ticket`` returns.
    """
    chosen = {} if optimizer is None else {"optimizer": optimizer}
    return call(subject, "begin_ticket", theta_0, masks, **chosen)


class Walk:
    """A ticket and its twin, and what must be true of them.

    Every method is a step; ``check`` raises ``LawBroken`` if something is not as it should be. A step whose function
    is not defined, or not written yet, does nothing.
    """

    def __init__(self, subject: Subject, seed: int, sizes: Sizes, optimizer: str | None = None) -> None:
        self.subject, self.optimizer = subject, optimizer
        self.rng = np.random.default_rng(seed)
        self.theta_0 = draw_start(self.rng, sizes)  # handed over; must stay as it is
        self.kept = copies(self.theta_0)  # nobody else has these
        self.not_written: set[str] = set()
        self.ticket = begin(subject, self.theta_0, None, optimizer)
        self.twin = begin(subject, copies(self.kept), None, optimizer)
        self.masks = {name: np.ones_like(self.kept[name]) for name in weights(self.kept)}
        self.at_start = True
        self.check()

    def can(self, name: str) -> bool:
        """Say whether a function is there.

        Parameters
        ----------
        name : of a function of the contract

        Returns
        -------
        True if it is defined, and not known to be unwritten.
        """
        return name in self.subject.functions and name not in self.not_written

    def call(self, name: str, *args: Any) -> Any:
        """Call a function of the subject, and remember it if it is not written yet.

        Parameters
        ----------
        name : of a function of the contract
        *args : handed over as they are

        Returns
        -------
        What the function returns.
        """
        try:
            return call(self.subject, name, *args)
        except Waiting:
            self.not_written.add(name)
            raise

    # ---- steps -------------------------------------------------------------------------------------------------------

    def train(self) -> None:
        """One step of the optimizer, with the same gradients for both; everything that is alive moves."""
        if not self.can("train_ticket"):
            return
        gradients, before = draw_gradients(self.rng, self.kept), theta_of(self.ticket, self.kept)
        given = copies(gradients)
        self.ticket = self.call("train_ticket", self.ticket, given)
        require(same(given, gradients), "train_ticket writes to the gradients")
        for name, after in theta_of(self.ticket, self.kept).items():
            stuck = int(((after == before[name]) & (self.masks.get(name, 1) == 1)).sum())
            require(stuck == 0, f"{stuck} live entries of {name} do not move, although their gradient is not 0")
        self.twin = self.call("train_ticket", self.twin, copies(gradients))
        self.at_start = False

    def prune(self, rate: float) -> None:
        """One pruning step: the exact count, the smallest magnitudes, never upwards.

        Parameters
        ----------
        rate : share of the alive weights of each layer that goes, in [0, 1]
        """
        if not self.can("prune_ticket"):
            return
        before = theta_of(self.ticket, self.kept)
        self.ticket = self.call("prune_ticket", self.ticket, rate)
        self.twin = self.call("prune_ticket", self.twin, rate)
        after = masks_of(self.ticket, self.kept)
        for name, mask in self.masks.items():
            n = int(mask.sum())
            gone, right = n - int(after[name].sum()), expected_count(rate, n)
            require(gone == right, f"rate {rate} of {n} alive weights in {name}: {right} should go, but {gone} went")
            size = np.abs(before[name])
            out, kept = size[(mask == 1) & (after[name] == 0)], size[after[name] == 1]
            if len(out) and len(kept):
                message = f"{name}: a weight of magnitude {out.max():.3f} went while one of {kept.min():.3f} stayed"
                require(out.max() <= kept.min(), message)
        self.grown(after)
        self.masks = after

    def rewind(self) -> None:
        """Back to the start; the twin begins anew under the same mask."""
        if not self.can("rewind_ticket"):
            return
        self.ticket = self.call("rewind_ticket", self.ticket)
        self.twin = begin(self.subject, copies(self.kept), copies(self.masks), self.optimizer)
        self.at_start = True

    def reinit(self, seed: int) -> None:
        """Fresh weights under the same mask; the twin gets them straight after its beginning.

        Parameters
        ----------
        seed : of the fresh weights
        """
        if not self.can("reinit_ticket"):
            return
        self.ticket = self.call("reinit_ticket", self.ticket, np.random.default_rng(seed))
        fresh = begin(self.subject, copies(self.kept), copies(self.masks), self.optimizer)
        self.twin = self.call("reinit_ticket", fresh, np.random.default_rng(seed))
        for name, mask in self.masks.items():
            new, old = theta_of(self.ticket, self.kept)[name][mask == 1], np.abs(self.kept[name])
            recycled = new.size > 0 and np.isin(np.abs(new), old[old > 0]).mean() > 0.5
            require(not recycled, f"{name} holds its initial values again, perhaps in another order: draw new ones")
        self.at_start = False

    def save_and_load(self) -> None:
        """Through a file and back; the twin stays at home."""
        if not (self.can("save_ticket") and self.can("load_ticket")):
            return
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "ticket.npz")
            self.call("save_ticket", path, self.ticket)
            self.ticket = self.call("load_ticket", path)

    def step(self) -> None:
        """One step of a random kind."""
        kind = self.rng.choice(["train", "prune", "rewind", "reinit", "save_and_load"], p=[0.4, 0.25, 0.15, 0.1, 0.1])
        more = {"prune": (float(self.rng.choice([0.0, 0.2, 0.3, 0.5])),), "reinit": (int(self.rng.integers(2**31)),)}
        getattr(self, kind)(*more.get(kind, ()))
        self.check()

    # ---- what must be true -------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Raise ``LawBroken`` unless all invariants hold.

        Raises
        ------
        LawBroken
            The message says which does not.
        """
        require(same(self.theta_0, self.kept), "theta_0, the start that was handed over, has changed")
        theta, masks = theta_of(self.ticket, self.kept), masks_of(self.ticket, self.kept)
        self.grown(masks)
        require(same(masks, self.masks), "the mask has changed, and nothing was pruned")
        for name, mask in masks.items():
            alive = int((theta[name][mask == 0] != 0).sum())
            require(alive == 0, f"{alive} pruned weights of {name} are not exactly 0")
        if self.at_start:
            for name, start in self.kept.items():
                at = start * masks[name] if name in masks else start
                require(np.array_equal(theta[name], at), f"{name} is not at mask * theta_0, where it should start from")
        twin = theta_of(self.twin, self.kept)
        for name in theta:
            if not np.array_equal(theta[name], twin[name]):
                raise LawBroken(
                    f"{name} differs from that of a ticket which began anew under the same mask, was never saved, and had "
                    "the same gradients: something is remembered that should be forgotten, or lost that should be kept"
                )

    def grown(self, masks: Arrays) -> None:
        """Raise ``LawBroken`` if a mask has a 1 where it had a 0.

        Parameters
        ----------
        masks : name of each weight matrix -> its mask now
        """
        for name, mask in self.masks.items():
            back = int(((masks[name] == 1) & (mask == 0)).sum())
            require(back == 0, f"{back} pruned weights of {name} are alive again")


def copies(arrays: Mapping[str, np.ndarray]) -> Arrays:
    """Return a dict of copies.

    Parameters
    ----------
    arrays : name -> array

    Returns
    -------
    Name -> a copy.

    Examples
    --------
    >>> copies({"b1": np.zeros(1)})
    {'b1': array([0.])}
    """
    return {name: np.copy(a) for name, a in arrays.items()}


def same(left: Mapping[str, np.ndarray], right: Mapping[str, np.ndarray]) -> bool:
    """Say whether two dicts hold equal arrays.

    Parameters
    ----------
    left, right : name -> array

    Returns
    -------
    True if the names and all entries are equal.

    Examples
    --------
    >>> same({"b1": np.zeros(1)}, {"b1": np.zeros(1)})
    True
    """
    return left.keys() == right.keys() and all(np.array_equal(left[name], right[name]) for name in left)


def draw_masks(rng: np.random.Generator, theta_0: Arrays) -> Arrays:
    """Return a mask for every weight matrix.

    Parameters
    ----------
    rng : to draw from
    theta_0 : names and shapes

    Returns
    -------
    Name of each weight matrix -> 0 or 1, with at least one of each.

    Examples
    --------
    >>> list(draw_masks(np.random.default_rng(0), {"W1": np.ones((3, 2)), "b1": np.ones(2)}))
    ['W1']
    """
    return {name: draw_mask(rng, theta_0[name].shape, 0.6) for name in weights(theta_0)}

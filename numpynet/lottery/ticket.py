"""A ticket as a thing of its own: initial weights, a mask, and where they came from; a file that one can pass on.

    ticket = Ticket(net, theta_0, weight_mask, {"seed": 7, "initializer": "glorot_normal", "level": 9})
    save_ticket("ticket.npz", ticket)
    ticket = load_ticket("ticket.npz")              # refused if it is damaged, or of another version
    verify_ticket(ticket)                           # a list of findings: is it what it says it is?
    state = ticket.begin(plan, data.train, seed=7)  # for numpynet.training.train

All initial weights are kept, pruned ones too: so every control can be made from a ticket, and if its origin names seed and
initializer, anybody can draw them again and compare the bits.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from numpynet import initializers
from numpynet.data.dataset import Split
from numpynet.equations import activations
from numpynet.equations.checks import check_finite
from numpynet.equations.selu import selu
from numpynet.network import MLP
from numpynet.parameters import Parameters
from numpynet.plan import TrainingPlan
from numpynet.pruning.masks import alive_counts, check_weight_mask, weight_density
from numpynet.pruning.paths import is_connected, reachable
from numpynet.seeding import stream
from numpynet.storage import StorageError, digest, load_arrays, save_arrays
from numpynet.training import TrainingState, begin

VERSION = 1  # of the content of a ticket file; the container has its own
_KIND = "lottery ticket"
_ACTIVATIONS = {
    a.name: a
    for a in (
        activations.relu,
        activations.leaky_relu,
        activations.tanh,
        activations.sigmoid,
        activations.identity,
        selu,
    )
}


@dataclass(frozen=True, eq=False)
class Ticket:
    """A subnetwork at its start, one network and no stack.

    Parameters
    ----------
    net : whose parameters they are
    theta_0 : initial parameters, all of them; for late rewinding those of step ``step``
    weight_mask : binary, in the form of theta_0, 1 at biases
    origin : where it came from, as JSON can hold it. Any keys are welcome; ``verify_ticket`` knows these: "seed" and
        "initializer" (a name in ``numpynet.initializers``) say how theta_0 was drawn, "alive" (layer -> weights left) and
        "density" what was left of the net.
    step : 0, or the step of the first training that theta_0 is of

    Raises
    ------
    TypeError, ValueError
        Parameters and mask do not belong to this network, or hold replicates, or other things than a mask may hold.

    Examples
    --------
    >>> net = MLP((4, 3, 2))
    >>> ticket = Ticket(net, net.init(np.random.default_rng(0)), Parameters.ones(net.layout))
    >>> print(ticket)
    ticket of 4-3-2 relu: 18 of 18 weights (100 %); W1 12 of 12, W2 6 of 6; 3 of 3 hidden units on a path
    """

    net: MLP
    theta_0: Parameters
    weight_mask: Parameters
    origin: Mapping[str, Any] = field(default_factory=dict)
    step: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.net, MLP):
            raise TypeError(f"net must be an MLP, got {type(self.net).__name__}")
        if not isinstance(self.theta_0, Parameters) or self.theta_0.layout != self.net.layout:
            raise ValueError(f"theta_0 must be Parameters of a network with sizes {self.net.sizes}")
        check_weight_mask(self.weight_mask, self.net.layout)
        for name in ("theta_0", "weight_mask"):
            if getattr(self, name).replicates:
                raise ValueError(f"{name} holds replicates {getattr(self, name).replicates}: a ticket is one network")
        check_finite(self.theta_0.vector, "theta_0")
        if isinstance(self.step, bool) or not isinstance(self.step, (int, np.integer)) or self.step < 0:
            raise ValueError(f"step is {self.step!r}, but an integer >= 0 is needed")
        # copies: a ticket must not change when the training that it came from goes on
        object.__setattr__(self, "theta_0", self.theta_0.copy())
        object.__setattr__(self, "weight_mask", self.weight_mask.astype(self.theta_0.dtype))
        object.__setattr__(self, "origin", dict(self.origin))
        object.__setattr__(self, "step", int(self.step))
        self.theta_0.vector.flags.writeable = self.weight_mask.vector.flags.writeable = False

    def begin(self, plan: TrainingPlan, train_split: Split, *, seed: int | Sequence[int]) -> TrainingState:
        """Prepare its training: mask * theta_0, a fresh optimizer, the plan from ``step`` on.   Equations (L4), (L14)

        Parameters
        ----------
        plan, train_split : how and on what
        seed : of order and dropout masks. That of the origin repeats the training of the hunt; a list of seeds trains the
            ticket so many times, in one stack

        Returns
        -------
        a state at ``step``, for ``numpynet.training.train``

        Raises
        ------
        TypeError, ValueError
            Plan, data and network do not fit each other; see ``numpynet.training.begin``.

        Examples
        --------
        >>> from numpynet.data import load_digits
        >>> net, data = MLP((64, 10)), load_digits()
        >>> ticket = Ticket(net, net.init(np.random.default_rng(0)), Parameters.ones(net.layout))
        >>> ticket.begin(TrainingPlan(steps=5), data.train, seed=7).step
        0
        """
        return begin(
            self.net,
            plan,
            train_split,
            seed=seed,
            theta_0=self.theta_0.astype(plan.dtype),
            weight_mask=self.weight_mask,
            step=self.step,
        )

    def __str__(self) -> str:
        shapes, alive = self.net.layout.shapes, alive_counts(self.weight_mask)
        layers = ", ".join(f"{name} {n} of {shapes[name][0] * shapes[name][1]}" for name, n in alive.items())
        hears, heard = reachable(self.weight_mask)
        units = sum(int((a & b).sum()) for a, b in zip(hears[1:-1], heard[1:-1]))
        sizes = "-".join(map(str, self.net.sizes))
        late = f", at step {self.step}" if self.step else ""
        return (
            f"ticket of {sizes} {self.net.activation.name}{late}: {sum(alive.values())} of {self.net.layout.n_weights} "
            f"weights ({100 * weight_density(self.weight_mask):.3g} %); {layers}; "
            f"{units} of {sum(self.net.sizes[1:-1])} hidden units on a path"
        )


def save_ticket(path: str | os.PathLike, ticket: Ticket) -> None:
    """Write a ticket to one file, whole or not at all; the mask takes one bit for each weight.

    Parameters
    ----------
    path : of the file, which is replaced
    ticket : to save

    Raises
    ------
    TypeError, ValueError
        The network has rules of its own, or an activation that is none of numpynet's, which a file cannot hold; or the
        origin is nothing that JSON can say. No file is touched then.
    OSError
        The file cannot be written.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> net = MLP((4, 3, 2), keep_prob=0.8)
    >>> ticket = Ticket(net, net.init(np.random.default_rng(0)), Parameters.ones(net.layout), {"seed": 0})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_ticket(pathlib.Path(folder, "ticket.npz"), ticket)
    ...     again = load_ticket(pathlib.Path(folder, "ticket.npz"))
    >>> again.net == net, again.origin, bool((again.theta_0 == ticket.theta_0).vector.all())
    (True, {'seed': 0}, True)
    """
    net = ticket.net
    if net.rules is not None:
        raise TypeError(
            "the network has rules of its own, which a file cannot hold: store tickets of nets with keep_prob"
        )
    if _ACTIVATIONS.get(net.activation.name) != net.activation:
        raise TypeError(f"the activation {net.activation.name!r} is not one of {', '.join(_ACTIVATIONS)}")
    arrays = {"theta_0": ticket.theta_0.vector}
    for name in net.layout.weight_names:
        arrays[f"mask.{name}"] = np.packbits(ticket.weight_mask[name].astype(bool))
    metadata = {
        "ticket_version": VERSION,
        "sizes": list(net.sizes),
        "activation": net.activation.name,
        "keep_prob": net.keep_prob,
        "step": ticket.step,
        "alive": alive_counts(ticket.weight_mask),
        "origin": ticket.origin,
    }
    save_arrays(path, arrays, kind=_KIND, metadata=metadata)


def load_ticket(path: str | os.PathLike, net: MLP | None = None) -> Ticket:
    """Read a ticket back; nothing of a damaged file is believed.

    Parameters
    ----------
    path : the file
    net : the network it must be of, or None for any

    Returns
    -------
    the ticket

    Raises
    ------
    StorageError
        The file is missing, damaged, no ticket, of another version, or a ticket of another network; the message says which.

    Examples
    --------
    >>> load_ticket("no such file")
    Traceback (most recent call last):
    ...
    numpynet.storage.StorageError: cannot load no such file: it does not exist
    """
    arrays, metadata = load_arrays(path, kind=_KIND)

    def refuse(reason: str) -> StorageError:
        return StorageError(f"cannot load the ticket {path}: {reason}")

    version = metadata.get("ticket_version")
    if version != VERSION:
        raise refuse(
            f"it has ticket version {version!r}, this numpynet reads {VERSION}; update numpynet, or save it again"
        )
    try:
        if metadata["activation"] not in _ACTIVATIONS:
            raise refuse(f"its activation is {metadata['activation']!r}, and known are {', '.join(_ACTIVATIONS)}")
        own = MLP(tuple(metadata["sizes"]), _ACTIVATIONS[metadata["activation"]], metadata["keep_prob"])
        theta_0 = Parameters(arrays["theta_0"], own.layout)
        mask = Parameters.ones(own.layout, dtype=theta_0.dtype)
        for name, shape in own.layout.shapes.items():
            if name in own.layout.weight_names:
                bits = np.unpackbits(arrays[f"mask.{name}"], count=shape[0] * shape[1])
                mask[name] = bits.reshape(shape).astype(theta_0.dtype)
        ticket = Ticket(own, theta_0, mask, metadata["origin"], metadata["step"])
        if alive_counts(mask) != metadata["alive"]:
            raise refuse(f"its mask keeps {alive_counts(mask)}, but it says {metadata['alive']}")
    except StorageError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise refuse(f"its content is not what a ticket holds ({error})") from error
    if net is not None and (net.sizes, net.activation.name) != (own.sizes, own.activation.name):
        raise refuse(
            f"it is of a network {own.sizes} {own.activation.name}, and one of {net.sizes} {net.activation.name} is needed"
        )
    return ticket


class Finding(NamedTuple):
    """One thing that was looked at."""

    what: str
    passed: bool
    detail: str


def verify_ticket(ticket: Ticket) -> list[Finding]:
    """Check that a ticket is what it says it is.

    That it is a mask of this network, with finite weights, was settled when it was made. Here its origin is held against
    it, and what would keep it from learning is looked for.

    Parameters
    ----------
    ticket : as it was made or loaded

    Returns
    -------
    findings : the start is the one that seed and initializer give, bit for bit (if the origin names both, and step is 0);
        counts and density are those of the origin (if it names them); there is a path from input to output; no living
        weight starts at exactly 0

    Examples
    --------
    >>> net = MLP((4, 3, 2))
    >>> theta_0 = net.init(stream(7, "init"))
    >>> ticket = Ticket(net, theta_0, Parameters.ones(net.layout), {"seed": 7, "initializer": "glorot_normal"})
    >>> [finding.passed for finding in verify_ticket(ticket)]
    [True, True, True]
    """
    findings = [*_start(ticket), *_counts(ticket)]
    connected = bool(is_connected(ticket.weight_mask))
    findings.append(
        Finding(
            "a path from input to output", connected, "there is one" if connected else "none is left: it cannot learn"
        )
    )
    at_zero = sum(
        int(((ticket.theta_0[name] == 0) & (ticket.weight_mask[name] == 1)).sum())
        for name in ticket.net.layout.weight_names
    )
    findings.append(Finding("living weights that start at exactly 0", at_zero == 0, str(at_zero)))
    return findings


def _start(ticket: Ticket) -> list[Finding]:
    """Draw theta_0 again, if it is known how."""
    origin, what = ticket.origin, "theta_0 is what its seed draws"
    if "seed" not in origin or "initializer" not in origin or ticket.step:
        return []
    initializer = getattr(initializers, str(origin["initializer"]), None)
    if initializer is None:
        return [Finding(what, False, f"there is no initializer {origin['initializer']!r}")]
    try:
        rng = stream(origin["seed"], "init")
    except (TypeError, ValueError) as error:
        return [Finding(what, False, str(error))]
    drawn = ticket.net.init(rng, initializer=initializer, dtype=ticket.theta_0.dtype)
    here, there = digest(ticket.theta_0.vector), digest(drawn.vector)
    if here == there:
        return [Finding(what, True, f"seed {origin['seed']}, {origin['initializer']}, SHA-256 {here[:12]}")]
    different = int((drawn.vector != ticket.theta_0.vector).sum())
    return [
        Finding(what, False, f"{different} of {drawn.vector.size} numbers differ; SHA-256 {here[:12]} and {there[:12]}")
    ]


def _counts(ticket: Ticket) -> list[Finding]:
    findings = []
    if "alive" in ticket.origin:
        alive = alive_counts(ticket.weight_mask)
        same = alive == ticket.origin["alive"]
        findings.append(Finding("weights of each layer", same, f"{alive}, its origin says {ticket.origin['alive']}"))
    if "density" in ticket.origin:
        density = weight_density(ticket.weight_mask)
        same = density == ticket.origin["density"]
        findings.append(Finding("density", same, f"{density!r}, its origin says {ticket.origin['density']!r}"))
    return findings

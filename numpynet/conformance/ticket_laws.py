"""Laws of tickets: a rewound ticket is a new one, what is pruned stays 0, a start is never touched.

Most of them are short walks (``walk``); whatever goes wrong on the way is the answer.
"""

from __future__ import annotations

import numpy as np

from numpynet.conformance.contract import TICKET_FUNCTIONS, Subject
from numpynet.conformance.laws import Law, call, law, require
from numpynet.conformance.walk import (
    Walk,
    begin,
    copies,
    draw_gradients,
    draw_masks,
    draw_start,
    masks_of,
    part,
    same,
    theta_of,
    weights,
)
from numpynet.gradcheck.draws import Sizes

_BASIC = ("begin_ticket", "train_ticket")


def _walk(subject: Subject, seed: int, sizes: Sizes, steps: str) -> None:
    """Go a way given by letters: t(rain), p(rune), r(ewind), i (re-initialise), s(ave and load)."""
    optimizer = subject.optimizers[seed % len(subject.optimizers)]
    walk = Walk(subject, seed, sizes, optimizer)
    for letter in steps:
        if letter == "p":
            walk.prune(0.3)
        elif letter == "i":
            walk.reinit(seed + 1)
        else:
            {"t": walk.train, "r": walk.rewind, "s": walk.save_and_load}[letter]()
        walk.check()


@law("start", "begin_ticket")
def starts(subject: Subject, seed: int, sizes: Sizes) -> None:
    """Starts at mask * theta_0 bit for bit, and shares no memory with theta_0.   Equation (L4)"""
    rng = np.random.default_rng(seed)
    theta_0 = draw_start(rng, sizes)
    for masks in (None, draw_masks(rng, theta_0)):
        given, given_masks = copies(theta_0), None if masks is None else copies(masks)
        for optimizer in subject.optimizers:
            ticket = begin(subject, given, given_masks, optimizer)
            theta, got = theta_of(ticket, theta_0), masks_of(ticket, theta_0)
            for name, start in theta_0.items():
                mask = np.ones_like(start) if masks is None else masks.get(name, np.ones_like(start))
                require(np.array_equal(theta[name], start * mask), f"{name} is not mask * theta_0")
                message = f"the mask of {name} is not {'ones' if masks is None else 'the one that was given'}"
                require(name not in got or np.array_equal(got[name], mask), message)
            live = part(ticket, "theta")
            shared = [name for name in theta_0 if np.shares_memory(np.asarray(live[name]), given[name])]
            require(not shared, f"{', '.join(shared)} shares memory with theta_0: training would change the start")
        require(same(given, theta_0), "begin_ticket writes to theta_0")


@law("independence", "begin_ticket", needs=_BASIC)
def apart(subject: Subject, seed: int, sizes: Sizes) -> None:
    """Two tickets know nothing of each other."""
    rng = np.random.default_rng(seed)
    theta_0 = draw_start(rng, sizes)
    gradients = [draw_gradients(rng, theta_0) for _ in range(2)]
    ends = []
    for _ in range(2):
        ticket = begin(subject, copies(theta_0), None, subject.optimizers[seed % len(subject.optimizers)])
        for g in gradients:
            ticket = call(subject, "train_ticket", ticket, copies(g))
        ends.append(theta_of(ticket, theta_0))
    require(same(*ends), "two tickets with the same start and the same gradients come out different")


@law("no revival", "train_ticket", needs=(*_BASIC, "prune_ticket"))
def no_revival(subject: Subject, seed: int, sizes: Sizes) -> None:
    """Dead weights stay exactly 0 under every optimizer, whatever it remembers.   Equations (L6), (M10), (M16)

    The mask comes in the middle of a training, when momentum is everywhere.
    """
    for optimizer in subject.optimizers:
        walk = Walk(subject, seed, sizes, optimizer)
        for _ in range(1 + seed % 3):
            walk.train()
        walk.prune(0.4)
        for _ in range(2):
            walk.check()
            walk.train()
        walk.check()


@law("live weights move", "train_ticket", needs=_BASIC)
def live_weights_move(subject: Subject, seed: int, sizes: Sizes) -> None:
    """Every live weight and bias moves under every optimizer, also one that is negative or 0."""
    for optimizer in subject.optimizers:
        walk = Walk(subject, seed, sizes, optimizer)
        walk.train()
        walk.train()


@law("exact count", "prune_ticket", needs=(*_BASIC, "prune_ticket"))
def prunes(subject: Subject, seed: int, sizes: Sizes) -> None:
    """The exact count of every layer goes, by the trained weights; biases stay.   Equations (L2), (L6)"""
    _walk(subject, seed, sizes, "ptptptpp")


@law("new ticket", "rewind_ticket", needs=(*_BASIC, "prune_ticket", "rewind_ticket"))
def rewinds(subject: Subject, seed: int, sizes: Sizes) -> None:
    """What is rewound is a new ticket: weights, biases and optimizer.   Equation (L4)"""
    _walk(subject, seed, sizes, "rttprtpprt")


@law("fresh draw", "reinit_ticket", needs=("begin_ticket", "reinit_ticket"))
def reinits(subject: Subject, seed: int, sizes: Sizes) -> None:
    """A fresh draw under the same mask, with a fresh optimizer.   Equation (L5)"""
    rng = np.random.default_rng(seed)
    theta_0 = draw_start(rng, sizes)
    masks = draw_masks(rng, theta_0)
    draws = []
    for s in (seed, seed, seed + 1):
        ticket = begin(subject, copies(theta_0), copies(masks), subject.optimizers[0])
        ticket = call(subject, "reinit_ticket", ticket, np.random.default_rng(s))
        require(same(masks_of(ticket, theta_0), masks), "re-initialising changes the mask")
        draws.append(theta_of(ticket, theta_0))
    for name in weights(theta_0):
        first, again, other = (draw[name] for draw in draws)
        alive = masks[name] == 1
        require(not first[~alive].any(), f"pruned weights of {name} are not exactly 0")
        require(np.array_equal(first, again), f"{name}: two generators of one seed give two draws")
        require(not np.array_equal(first, other), f"{name}: two seeds give the same weights")
    _walk(subject, seed, sizes, "tptitt")


@law("round trip", "save_ticket", "load_ticket", needs=(*_BASIC, "save_ticket", "load_ticket"))
def saves(subject: Subject, seed: int, sizes: Sizes) -> None:
    """A loaded ticket goes on as if it had never been saved."""
    _walk(subject, seed, sizes, "tptstsrts")


@law("random walk", *TICKET_FUNCTIONS, needs=("begin_ticket",))
def random_walk(subject: Subject, seed: int, sizes: Sizes) -> None:
    """Train, prune, rewind, re-initialise, save and load in a random order."""
    walk = Walk(subject, seed, sizes, subject.optimizers[seed % len(subject.optimizers)])
    for _ in range(12):
        walk.step()


TICKET_LAWS: tuple[Law, ...] = (
    starts,
    apart,
    no_revival,
    live_weights_move,
    prunes,
    rewinds,
    reinits,
    saves,
    random_walk,
)

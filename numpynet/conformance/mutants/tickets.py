"""Wrong ways to train, prune, rewind, re-initialise and store a lottery ticket."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from numpynet.conformance import reference
from numpynet.conformance.mutants.mutant import Mutant, plain
from numpynet.conformance.reference import Ticket
from numpynet.equations import prune_lowest
from numpynet.parameters import Parameters


def _aliased(theta_0, weight_mask=None, optimizer="sgd"):
    """The start is the live array: a dict is copied, its arrays are not."""
    ticket = reference.begin_ticket(theta_0, weight_mask, optimizer)
    if weight_mask is not None:
        return ticket
    return _Loose(ticket, dict(theta_0))


def _aliased_biases(theta_0, weight_mask=None, optimizer="sgd"):
    ticket = reference.begin_ticket(theta_0, weight_mask, optimizer)
    return _Loose(ticket, {name: a if a.ndim == 1 else ticket.theta[name] for name, a in theta_0.items()})


class _Loose:
    """A ticket whose parameters are arrays on their own, kept in step with a proper ticket."""

    def __init__(self, ticket: Ticket, theta: dict[str, np.ndarray]) -> None:
        self.ticket, self.theta, self.weight_mask = ticket, theta, ticket.weight_mask

    def follow(self, ticket: Ticket) -> _Loose:
        for name, a in self.theta.items():
            a[...] = ticket.theta[name]  # in place, as training does
        self.ticket, self.weight_mask = ticket, ticket.weight_mask
        return self


def _loosely(name: str) -> Callable:
    """Return a function of the reference that also takes a loose ticket."""
    function = getattr(reference, name)

    def call(ticket, *args):
        if not isinstance(ticket, _Loose):
            return function(ticket, *args)
        result = function(ticket.ticket, *args)
        return ticket.follow(result)

    return call


_LOOSE = {name: _loosely(name) for name in ("train_ticket", "prune_ticket", "rewind_ticket", "reinit_ticket")}
_LOOSE["save_ticket"] = lambda path, ticket: reference.save_ticket(path, getattr(ticket, "ticket", ticket))


def _changed(ticket: Ticket, **vectors: np.ndarray) -> Ticket:
    """Return a ticket with other vectors."""
    return ticket._replace(**{name: Parameters(vector, ticket.theta.layout) for name, vector in vectors.items()})


def _trained_without_mask(ticket, gradients):
    """Only the gradient is masked; what the optimizer remembers moves dead weights all the same."""
    masked = {name: g * ticket.weight_mask[name] for name, g in gradients.items()}
    mask, ones = ticket.weight_mask, Parameters.ones(ticket.theta.layout, dtype=ticket.theta.dtype)
    return reference.train_ticket(ticket._replace(weight_mask=ones), masked)._replace(weight_mask=mask)


def _state_survives_pruning(ticket, rate):
    """Prune, and let the optimizer remember everything."""
    mask = reference.magnitude_mask(ticket.theta, ticket.weight_mask, rate=rate, output_rate=rate)
    return ticket._replace(theta=mask * ticket.theta, weight_mask=mask)


def _negative_weights_frozen(ticket, gradients):
    kept = {name: np.where(ticket.theta[name] < 1e-6, 0.0, g) for name, g in gradients.items()}
    return reference.train_ticket(ticket, kept)


def _zero_is_dead(ticket, gradients):
    kept = {name: g * (ticket.theta[name] != 0) for name, g in gradients.items()}
    return reference.train_ticket(ticket, kept)


def _writes_to_gradients(ticket, gradients):
    for g in gradients.values():
        g *= 0.5
    return reference.train_ticket(ticket, gradients)


def _mask_grows(ticket, gradients):
    """Training brings weights back whose gradient is large, without being asked to."""
    ticket = reference.train_ticket(ticket, gradients)
    for name in ticket.theta.layout.weight_names:
        ticket.weight_mask[name][np.abs(gradients[name]) > 1.5] = 1
    return ticket


def _dead_keep_their_value(ticket, rate):
    pruned = reference.prune_ticket(ticket, rate)
    return pruned._replace(theta=ticket.theta)


def _one_too_many(ticket, rate):
    pruned = reference.prune_ticket(ticket, rate)
    mask = pruned.weight_mask.copy()
    for name in mask.layout.weight_names:
        flat = mask[name].reshape(-1)
        flat[np.flatnonzero(flat)[:1]] = 0
    return pruned._replace(weight_mask=mask, theta=mask * pruned.theta)


def _inverted_mask(ticket, rate):
    pruned = reference.prune_ticket(ticket, rate)
    mask = pruned.weight_mask.copy()
    for name in mask.layout.weight_names:
        mask[name] = ticket.weight_mask[name] - mask[name]
    return pruned._replace(weight_mask=mask, theta=mask * ticket.theta)


def _mask_of_nonzero(ticket, rate):
    """What is alive is read off W != 0."""
    mask = ticket.weight_mask.copy()
    for name in mask.layout.weight_names:
        mask[name] = (ticket.theta[name] != 0).astype(mask.dtype)
    return reference.prune_ticket(ticket._replace(weight_mask=mask), rate)


def _biases_pruned(ticket, rate):
    pruned = reference.prune_ticket(ticket, rate)
    mask = pruned.weight_mask.copy()
    if rate:
        mask["b1"][0] = 0
    return pruned._replace(weight_mask=mask, theta=mask * pruned.theta)


def _ranked_by_the_start(ticket, rate):
    pruned = reference.prune_ticket(ticket._replace(theta=ticket.theta_0.copy()), rate)
    return pruned._replace(theta=pruned.weight_mask * ticket.theta)


def _one_scope(ticket, rate):
    """The rate is met by the weights of all layers together, not by each layer."""
    names = ticket.theta.layout.weight_names
    scores = np.concatenate([np.abs(ticket.theta[name]).reshape(-1) for name in names])
    flat = np.concatenate([ticket.weight_mask[name].reshape(-1) for name in names])
    flat = prune_lowest(scores, flat, reference.prune_count(rate, int(flat.sum())))
    mask = ticket.weight_mask.copy()
    for name in names:
        mask[name], flat = flat[: mask[name].size].reshape(mask[name].shape), flat[mask[name].size :]
    ticket.state.impose(mask)
    return ticket._replace(theta=mask * ticket.theta, weight_mask=mask)


def _no_rewind(ticket):
    """The trained weights stay."""
    fresh = reference.rewind_ticket(ticket)
    return fresh._replace(theta=ticket.weight_mask * ticket.theta)


def _weights_only(ticket):
    fresh = reference.rewind_ticket(ticket)
    for name in fresh.theta.layout.shapes.keys() - set(fresh.theta.layout.weight_names):
        fresh.theta[name] = ticket.theta[name]
    return fresh


def _state_not_reset(ticket):
    return reference.rewind_ticket(ticket)._replace(state=ticket.state)


def _steps_not_reset(ticket):
    """The moments are 0 again, but the count of steps goes on."""
    fresh = reference.rewind_ticket(ticket)
    fresh.state.step = ticket.state.step
    return fresh


def _mask_forgotten(ticket):
    return reference.begin_ticket(dict(ticket.theta_0.items()), None, ticket.optimizer)


def _permuted(ticket, rng):
    """The initial weights in another order: not a fresh draw."""
    theta = ticket.theta_0.copy()
    for name in theta.layout.weight_names:
        theta[name] = rng.permutation(theta[name].reshape(-1)).reshape(theta[name].shape)
    return reference.rewind_ticket(ticket)._replace(theta=ticket.weight_mask * theta)


def _same_start_again(ticket, rng):
    return reference.rewind_ticket(ticket)


def _unseeded(ticket, rng):
    return reference.reinit_ticket(ticket, np.random.default_rng())


def _dense_again(ticket, rng):
    fresh = reference.reinit_ticket(ticket, rng)
    ones = Parameters.ones(fresh.theta.layout, dtype=fresh.theta.dtype)
    return reference.reinit_ticket(fresh._replace(weight_mask=ones), rng)


def _old_state(ticket, rng):
    return reference.reinit_ticket(ticket, rng)._replace(state=ticket.state)


def _without_state(path, ticket):
    fresh = reference.rewind_ticket(ticket)
    reference.save_ticket(path, fresh._replace(theta=ticket.theta))


def _in_float32(path, ticket):
    narrow = ticket.theta.vector.astype(np.float32).astype(ticket.theta.dtype)
    reference.save_ticket(path, _changed(ticket, theta=narrow))


def _trained_as_start(path, ticket):
    reference.save_ticket(path, ticket._replace(theta_0=ticket.theta))


def _mask_not_loaded(path):
    ticket = reference.load_ticket(path)
    return ticket._replace(weight_mask=Parameters.ones(ticket.theta.layout, dtype=ticket.theta.dtype))


def _shared_optimizer() -> Callable:
    """One optimizer for all tickets, as if there were one object for the whole program."""
    states: dict[Any, Any] = {}

    def begin_ticket(theta_0, weight_mask=None, optimizer="sgd"):
        ticket = reference.begin_ticket(theta_0, weight_mask, optimizer)
        key = optimizer, ticket.theta.layout
        return ticket._replace(state=states.setdefault(key, ticket.state))

    return begin_ticket


def _draws_the_start(theta_0, weight_mask=None, optimizer="sgd"):
    shifted = {name: np.nextafter(a, np.inf) for name, a in theta_0.items()}
    return reference.begin_ticket(shifted, weight_mask, optimizer)


TICKET_MUTANTS = (
    Mutant("aliased-start", "the start is the live array: training changes it", "begin_ticket", plain(_aliased), _LOOSE),
    Mutant("aliased-biases", "the biases of the start are the live ones: training changes them", "begin_ticket",
           plain(_aliased_biases), _LOOSE),
    Mutant("shared-optimizer", "all tickets share one optimizer", "begin_ticket", _shared_optimizer),
    Mutant("not-quite-the-start", "the start is off by one bit", "begin_ticket", plain(_draws_the_start)),
    Mutant("gradient-masked-only", "only the gradient is masked: momentum moves dead weights", "train_ticket",
           plain(_trained_without_mask), {"prune_ticket": _state_survives_pruning}),
    Mutant("negative-frozen", "negative weights get no gradient (w < eps without the absolute value)", "train_ticket",
           plain(_negative_weights_frozen)),
    Mutant("zero-frozen", "a live weight that is 0 gets no gradient: its mask is read off W != 0", "train_ticket",
           plain(_zero_is_dead)),
    Mutant("gradients-written-to", "the gradients that are handed over are written to", "train_ticket",
           plain(_writes_to_gradients)),
    Mutant("mask-grows", "weights return while training", "train_ticket", plain(_mask_grows)),
    Mutant("trains-nothing", "the step is not made", "train_ticket", plain(lambda ticket, gradients: ticket)),
    Mutant("dead-keep-values", "the mask is cut, but the weights under it keep their values", "prune_ticket",
           plain(_dead_keep_their_value)),
    Mutant("ticket-one-too-many", "one weight too many goes in every layer", "prune_ticket", plain(_one_too_many)),
    Mutant("ticket-inverted", "the small weights stay and the large ones go", "prune_ticket", plain(_inverted_mask)),
    Mutant("mask-of-nonzero", "what is alive is read off W != 0, so that a live weight of 0 dies", "prune_ticket",
           plain(_mask_of_nonzero)),
    Mutant("biases-pruned", "a bias is pruned", "prune_ticket", plain(_biases_pruned)),
    Mutant("ranked-by-the-start", "the initial weights are ranked, not the trained ones", "prune_ticket",
           plain(_ranked_by_the_start)),
    Mutant("one-scope", "the rate is met over all layers together", "prune_ticket", plain(_one_scope)),
    Mutant("no-rewind", "nothing is rewound: the trained weights stay", "rewind_ticket", plain(_no_rewind)),
    Mutant("weights-only", "weights are rewound, biases are not", "rewind_ticket", plain(_weights_only)),
    Mutant("state-not-reset", "the optimizer keeps its moments over the rewind", "rewind_ticket", plain(_state_not_reset)),
    Mutant("steps-not-reset", "the optimizer's count of steps goes on over the rewind", "rewind_ticket",
           plain(_steps_not_reset)),
    Mutant("mask-forgotten", "the rewind brings the dense network back", "rewind_ticket", plain(_mask_forgotten)),
    Mutant("reinit-permuted", "re-initialised weights are the old ones in another order", "reinit_ticket", plain(_permuted)),
    Mutant("reinit-same", "re-initialised weights are the old ones", "reinit_ticket", plain(_same_start_again)),
    Mutant("reinit-unseeded", "the fresh weights come from a generator of their own", "reinit_ticket", plain(_unseeded)),
    Mutant("reinit-dense", "re-initialising forgets the mask", "reinit_ticket", plain(_dense_again)),
    Mutant("reinit-old-state", "re-initialising keeps the optimizer's state", "reinit_ticket", plain(_old_state)),
    Mutant("state-not-saved", "the file does not hold the optimizer's state", "save_ticket", plain(_without_state)),
    Mutant("saved-in-float32", "the file holds the weights in float32", "save_ticket", plain(_in_float32)),
    Mutant("start-not-saved", "the file holds the trained weights as the start", "save_ticket", plain(_trained_as_start)),
    Mutant("mask-not-loaded", "the mask is not read back", "load_ticket", plain(_mask_not_loaded)),
)  # fmt: skip

"""Lottery tickets by hand: exact pruning, a masked layer, an optimizer that revives nothing, the search, and its controls."""

# %% [markdown]
# # Lottery tickets by hand
#
# The lottery ticket hypothesis says that a large random net holds a small one that, trained *alone from the same initial
# weights*, learns as well: Equation (L1). The search is short to tell: train, take away the smallest weights, put the
# rest back to where they started, again. It is easy to write a search that runs, prints falling densities and
# proves nothing: weights that come back to life, a start that was overwritten, an optimizer that remembers. Here you write
# each piece, and the checks look for exactly that.
#
# A weight mask $M$ is an array of zeros and ones in the shape of $W$. What is alive is said by **the mask**, never by
# $W\ne0$: a live weight may happen to be 0. Parameters are dicts, `{"W1": ..., "b1": ..., "W2": ..., "b2": ...}`; only
# the matrices have masks. Biases are never pruned. Whatever is made of an array has its dtype.

# %%
import math

import numpy as np

# BEGIN TESTS
from numpynet.classroom.authoring import assignment_from
from numpynet.classroom.rungs import law_check, own_check, own_pair_check
from numpynet.conformance.laws import call, law, require
from numpynet.conformance.mask_laws import checked_mask, expected_count
from numpynet.conformance.walk import begin, copies, draw_gradients, draw_start, part, same, theta_of, weights
from numpynet.gradcheck import Inputs, LayerPair, candidates, draw_mask
from numpynet.gradcheck.draws import draw_signed

# END TESTS

# %% [markdown]
# ## Tasks 1.1 and 1.2: Exactly that many
#
# A round at rate $\rho$ takes $k=\lfloor\rho a+\frac12\rfloor$ of the $a$ weights that are alive, Equation (L2): those of
# smallest magnitude, Equation (P1), and among equal ones those of lower flat index. A threshold does not do: among ties
# it takes too many or too few. Dead weights are not ranked and do not return, Equation (L6).
#
# *Before you run it: what does Python's `round(0.5)` say, and what should 0.5 of 1 weight be?*

# %%
# TASK 1.1 points=2: How many
# HINT round() sends halves to the nearest even number. math.floor(... + 0.5) does not.


def prune_count(rate, alive):
    """floor(rate * alive + 1/2).   Equation (L2)

    Parameters
    ----------
    rate : share of the alive weights that go, in [0, 1]
    alive : how many there are

    Returns
    -------
    k : an int

    Examples
    --------
    >>> prune_count(0.1, 5), prune_count(0.2, 235200)
    (1, 47040)
    """
    # BEGIN SOLUTION
    # MUTANT cut-off: + 0.5 -> + 0.0
    return math.floor(rate * alive + 0.5)
    # END SOLUTION


# TASK 1.2 points=6 needs=1.1: The smallest go
# HINT Work on flat arrays: np.flatnonzero(mask) are the indices of what is alive.
# HINT np.argsort(..., kind="stable") of the alive magnitudes keeps the order of the indices among equal ones.
# HINT Copy the mask, reshape the copy to one row, and set the first k of these indices to 0.


def prune(W, mask, rate):
    """Take away a share of the alive weights, the smallest by magnitude.   Equations (L2), (L6), (P1)

    Parameters
    ----------
    W : (d_in, d_out) weights
    mask : (d_in, d_out) binary; left alone
    rate : share of the alive weights that go

    Returns
    -------
    new : (d_in, d_out) binary, in the dtype of mask, with exactly prune_count(rate, alive) ones less

    Examples
    --------
    >>> prune(np.array([[3.0, -1.0], [2.0, 4.0]]), np.ones((2, 2)), 0.5)
    array([[1., 0.],
           [0., 1.]])
    """
    # BEGIN SOLUTION
    new = np.array(mask, order="C")
    # MUTANT alive-by-weight: mask -> W * mask
    alive = np.flatnonzero(mask)
    # MUTANT signed: np.abs(W) -> W
    # MUTANT largest-go: np.abs(W) -> -np.abs(W)
    order = np.argsort(np.abs(W).ravel()[alive], kind="stable")
    # MUTANT rate-of-all: len(alive) -> mask.size
    new.reshape(-1)[alive[order[: prune_count(rate, len(alive))]]] = 0
    return new
    # END SOLUTION


# %% [markdown]
# ## Tasks 2.1 and 2.2: A layer with holes, and the way back
#
# $z = x\,(M\odot W)+b$, Equation (B1) without dropout, and **no** rescaling by the density: Equation (M15). Backward, the
# gradient of a pruned weight is exactly 0, Equation (B5). Rewinding is one line, Equation (L4); what matters is that its
# result is a new array. If training can write into $W_0$, there is no start to go back to.

# %%
# TASK 2.1 points=5: A masked layer
# HINT Let V = M * W. Then it is a linear layer with V in the place of W.
# HINT The gradient flows to x through V, and to W through M once more.


def masked_forward(x, W, b, *, weight_mask):
    """x @ (M * W) + b.   Equations (B1), (M4)

    Parameters
    ----------
    x : (N, d_in)
    W, b : (d_in, d_out) weights and (d_out,) biases; W need not be 0 under the mask
    weight_mask : (d_in, d_out) binary

    Returns
    -------
    z : (N, d_out)
    cache : anything that ``masked_backward`` needs

    Examples
    --------
    >>> mask = np.array([[1.0], [0.0]])
    >>> masked_forward(np.array([[2.0, 3.0]]), np.ones((2, 1)), np.zeros(1), weight_mask=mask)[0]
    array([[2.]])
    """
    # BEGIN SOLUTION
    # MUTANT rescaled: weight_mask * W -> weight_mask * W / weight_mask.mean()
    present = weight_mask * W
    return x @ present + b, (x, present, weight_mask)
    # END SOLUTION


def masked_backward(dz, cache):
    """The gradients with respect to x, W and b.   Equations (B5), (B6)

    Parameters
    ----------
    dz : (N, d_out) upstream gradient
    cache : of ``masked_forward``

    Returns
    -------
    dx, dW, db : in the shapes of x, W and b; dW is exactly 0 where a weight is pruned

    Examples
    --------
    >>> z, cache = masked_forward(np.ones((1, 1)), np.ones((1, 1)), np.ones(1), weight_mask=np.zeros((1, 1)))
    >>> masked_backward(np.array([[3.0]]), cache)[1]
    array([[0.]])
    """
    # BEGIN SOLUTION
    x, present, weight_mask = cache
    # MUTANT pruned-get-gradients: weight_mask * -> 1.0 *
    dW = weight_mask * (x.T @ dz)
    return dz @ present.T, dW, dz.sum(axis=0)
    # END SOLUTION


# TASK 2.2 points=2: Back to the start
# HINT A product of two arrays is a new array, also where the mask is all ones. Do not save the multiplication.


def rewind(W_0, mask):
    """M * W_0, a new array.   Equation (L4)

    Parameters
    ----------
    W_0 : (d_in, d_out) initial weights; left alone, and never returned itself
    mask : (d_in, d_out) binary, in the dtype of W_0

    Returns
    -------
    W : (d_in, d_out), in the dtype of W_0

    Examples
    --------
    >>> rewind(np.array([[3.0, 1.0]]), np.array([[0.0, 1.0]]))
    array([[0., 1.]])
    """
    # BEGIN SOLUTION
    # MUTANT aliased: mask * W_0 -> W_0 if mask.all() else mask * W_0
    return mask * W_0
    # END SOLUTION


# %% [markdown]
# ## Tasks 3.1 to 3.3: A ticket, and an optimizer that revives nothing
#
# A ticket is a dict with four entries, each a dict of arrays: `theta_0`, `theta`, `weight_mask` (of the matrices), and
# `velocity`, what the optimizer remembers. Training is SGD with momentum, Equation (O2), with learning rate 0.1 and
# momentum 0.9:
#
# $$v\leftarrow0.9\,v+g,\qquad\theta\leftarrow\theta-0.1\,v.$$
#
# The gradients that come in are those of the dense net, so pruned entries are not 0 in them. And a weight that is pruned
# in the middle of training has a velocity: mask the gradient alone, and the velocity carries the dead weight on. Equations
# (M9), (M10), (M16) say what leaks and what does not.

# %%
# TASK 3.1 points=3 needs=2.2: Begin a ticket
# HINT Copy what is handed over: dict(theta_0) copies the dict, not the arrays in it.
# HINT Matrices are the arrays with two dimensions. Without a mask, theirs is all ones; biases have none.


def begin_ticket(theta_0, weight_mask=None):
    """A ticket at M * theta_0, with a velocity of 0.   Equation (L4)

    Parameters
    ----------
    theta_0 : dict of W1 (d_in, d_1), b1 (d_1,), ...; left alone for ever
    weight_mask : dict of binary arrays for W1, W2, ..., or None: nothing is pruned

    Returns
    -------
    ticket : dict of the dicts "theta_0", "theta", "weight_mask", "velocity"

    Examples
    --------
    >>> begin_ticket({"W1": np.ones((1, 2)), "b1": np.zeros(2)}, {"W1": np.array([[0.0, 1.0]])})["theta"]["W1"]
    array([[0., 1.]])
    """
    # BEGIN SOLUTION
    start = {name: np.array(a) for name, a in theta_0.items()}
    if weight_mask is None:
        weight_mask = {name: np.ones_like(a) for name, a in start.items() if a.ndim == 2}
    masks = {name: np.array(mask) for name, mask in weight_mask.items()}
    # MUTANT start-not-masked: rewind(a, masks[name]) -> a.copy()
    theta = {name: rewind(a, masks[name]) if name in masks else a.copy() for name, a in start.items()}
    return {
        "theta_0": start,
        "theta": theta,
        "weight_mask": masks,
        "velocity": {name: np.zeros_like(a) for name, a in start.items()},
    }
    # END SOLUTION


# TASK 3.2 points=9 needs=1.2,3.1: Train and prune
# HINT train_ticket: new arrays for velocity and theta, for weights and biases alike.
# HINT Multiply theta by its mask after the step, whatever the velocity says: dead weights stay exactly 0.
# HINT prune_ticket: a new mask for each matrix by prune(theta, mask, rate), and theta and velocity times the new mask.


def train_ticket(ticket, gradients):
    """One step of SGD with momentum, learning rate 0.1, momentum 0.9; dead weights stay 0.   Equations (M10), (O2)

    Parameters
    ----------
    ticket : may be changed, or a new one returned
    gradients : dict like theta, of the dense net; left alone

    Returns
    -------
    ticket : one step on

    Examples
    --------
    >>> ticket = begin_ticket({"W1": np.array([[1.0]]), "b1": np.zeros(1)})
    >>> train_ticket(ticket, {"W1": np.array([[2.0]]), "b1": np.zeros(1)})["theta"]["W1"]
    array([[0.8]])
    """
    # BEGIN SOLUTION
    theta, velocity = {}, {}
    for name, g in gradients.items():
        # MUTANT no-momentum: 0.9 * -> 0.0 *
        velocity[name] = 0.9 * ticket["velocity"][name] + g
        theta[name] = ticket["theta"][name] - 0.1 * velocity[name]
    # MUTANT revived: in ticket["weight_mask"].items() -> in ()
    for name, mask in ticket["weight_mask"].items():
        theta[name] = theta[name] * mask
    return {**ticket, "theta": theta, "velocity": velocity}
    # END SOLUTION


def prune_ticket(ticket, rate):
    """Take away a share of the alive weights of every matrix, by their trained values.   Equations (L2), (L6)

    Parameters
    ----------
    ticket : may be changed, or a new one returned
    rate : share of the alive weights of each matrix that go; biases stay

    Returns
    -------
    ticket : with a new mask; survivors keep their values, the others are exactly 0

    Examples
    --------
    >>> ticket = begin_ticket({"W1": np.array([[1.0, 3.0]]), "b1": np.zeros(2)})
    >>> prune_ticket(ticket, 0.5)["theta"]["W1"]
    array([[0., 3.]])
    """
    # BEGIN SOLUTION
    # MUTANT by-the-start: ["theta"][name] -> ["theta_0"][name]
    masks = {name: prune(ticket["theta"][name], mask, rate) for name, mask in ticket["weight_mask"].items()}
    # MUTANT dead-keep-values: a * masks[name] -> a
    theta = {name: a * masks[name] if name in masks else a for name, a in ticket["theta"].items()}
    velocity = {name: a * masks[name] if name in masks else a for name, a in ticket["velocity"].items()}
    return {**ticket, "theta": theta, "weight_mask": masks, "velocity": velocity}
    # END SOLUTION


# TASK 3.3 points=3 needs=3.2: Rewind a ticket
# HINT Everything is new: weights, biases, and the optimizer, which remembers nothing. Only the mask stays.
# HINT begin_ticket does all of it.


def rewind_ticket(ticket):
    """A ticket at M * theta_0, biases at their start, velocity 0.   Equation (L4)

    Parameters
    ----------
    ticket : trained and pruned

    Returns
    -------
    ticket : as if it had just begun under the same mask

    Examples
    --------
    >>> ticket = begin_ticket({"W1": np.array([[1.0]]), "b1": np.zeros(1)})
    >>> ticket = train_ticket(ticket, {"W1": np.array([[2.0]]), "b1": np.ones(1)})
    >>> rewind_ticket(ticket)["theta"]
    {'W1': array([[1.]]), 'b1': array([0.])}
    """
    # BEGIN SOLUTION
    # MUTANT not-rewound: "theta_0" -> "theta"
    # MUTANT velocity-kept: begin_ticket(ticket["theta_0"], ticket["weight_mask"]) -> {**begin_ticket(ticket["theta_0"], ticket["weight_mask"]), "velocity": ticket["velocity"]}
    return begin_ticket(ticket["theta_0"], ticket["weight_mask"])
    # END SOLUTION


# %% [markdown]
# ## Task 4.1: The search
#
# Iterative magnitude pruning: in each round train from $M\odot\theta_0$ to the end, prune by the **trained** weights, and
# go back to $\theta_0$. After $n$ rounds about $(1-\rho)^n$ of the weights are left, Equation (L3). Training is handed over
# as a function, so nothing here depends on data.

# %%
# TASK 4.1 points=6 needs=1.2,2.2: The search
# HINT A loop of `rounds` rounds with three lines: start = M * theta_0; trained = train(start, M); a new M.
# HINT Hand copies to train: it may write into what it gets. Biases start from theta_0 in every round.


def find_ticket(theta_0, train, rate, rounds):
    """Iterative magnitude pruning.   Equations (L2), (L4), (L6)

    Parameters
    ----------
    theta_0 : dict of W1, b1, ...; left alone
    train : train(theta, weight_mask) -> trained theta, a new dict like theta
    rate : share of the alive weights of each matrix that go in a round
    rounds : how often; train is called once in each

    Returns
    -------
    theta, weight_mask : the ticket: M * theta_0 (with the biases of theta_0), and M, a dict for the matrices

    Examples
    --------
    >>> theta_0 = {"W1": np.array([[1.0, 2.0]]), "b1": np.zeros(2)}
    >>> theta, weight_mask = find_ticket(theta_0, lambda theta, mask: {n: 1 / (a + 1) for n, a in theta.items()}, 0.5, 1)
    >>> theta["W1"], weight_mask["W1"]
    (array([[1., 0.]]), array([[1., 0.]]))
    """
    # BEGIN SOLUTION
    masks = {name: np.ones_like(a) for name, a in theta_0.items() if a.ndim == 2}

    def at_start():
        return {name: rewind(a, masks[name]) if name in masks else a.copy() for name, a in theta_0.items()}

    theta = at_start()
    for _ in range(rounds):
        trained = train(theta, {name: mask.copy() for name, mask in masks.items()})
        # MUTANT by-the-start: trained[name] -> theta_0[name]
        # MUTANT mask-anew: prune(trained[name], mask, rate) -> prune(trained[name], np.ones_like(mask), rate)
        masks = {name: prune(trained[name], mask, rate) for name, mask in masks.items()}
        # MUTANT no-rewind: at_start() -> {name: a * masks[name] if name in masks else a for name, a in trained.items()}
        theta = at_start()
    return theta, masks
    # END SOLUTION


# %% [markdown]
# ## Tasks 5.1 and 5.2: Two controls
#
# A small net that learns well is no ticket yet; perhaps every net of this size does. Equation (L5): (a) the same mask on
# **fresh** weights asks whether the start matters; (b) a **shuffled** mask, each layer's ones in random places, asks whether
# the places matter. A permutation of the old weights is no fresh draw, and a mask whose rows keep their numbers of ones is
# not shuffled.

# %%
# TASK 5.1 points=3 needs=3.3: Control: fresh weights
# HINT Rewind first, then replace theta by fresh weights times the mask. theta_0 stays what it is.
# HINT A normal draw with variance 2 / (d_in + d_out) is Equation (B27); biases are 0.


def reinit_ticket(ticket, rng):
    """Fresh normal weights of variance 2 / (d_in + d_out) under the same mask, biases 0.   Equations (B27), (L5)

    Parameters
    ----------
    ticket : any
    rng : numpy.random.Generator, the only source of chance

    Returns
    -------
    ticket : with the same mask, fresh weights, and an optimizer that remembers nothing

    Examples
    --------
    >>> ticket = begin_ticket({"W1": np.ones((1, 2)), "b1": np.ones(2)}, {"W1": np.array([[0.0, 1.0]])})
    >>> float(reinit_ticket(ticket, np.random.default_rng(0))["theta"]["W1"][0, 0])
    0.0
    """
    # BEGIN SOLUTION
    fresh = rewind_ticket(ticket)
    theta = {}
    for name, a in fresh["theta"].items():
        theta[name] = np.zeros_like(a)
        if a.ndim == 2:
            # MUTANT variance-one: np.sqrt(2 / sum(a.shape)) -> 1.0
            # MUTANT permuted: rng.standard_normal(a.shape) * np.sqrt(2 / sum(a.shape)) -> rng.permutation(ticket["theta_0"][name].ravel()).reshape(a.shape)
            drawn = rng.standard_normal(a.shape) * np.sqrt(2 / sum(a.shape))
            # MUTANT dense-again: fresh["weight_mask"][name] * -> 1.0 *
            theta[name] = fresh["weight_mask"][name] * drawn
    return {**fresh, "theta": theta}
    # END SOLUTION


# TASK 5.2 points=3: Control: a shuffled mask
# HINT rng.permutation of the flat mask, brought back into its shape; for each layer on its own.


def shuffle_masks(weight_mask, rng):
    """Every mask with its ones in random places.   Equation (L5)

    Parameters
    ----------
    weight_mask : dict of binary arrays; left alone
    rng : numpy.random.Generator, the only source of chance

    Returns
    -------
    shuffled : dict like it, with as many ones in each array

    Examples
    --------
    >>> float(shuffle_masks({"W1": np.array([[1.0, 0.0, 0.0]])}, np.random.default_rng(0))["W1"].sum())
    1.0
    """
    # BEGIN SOLUTION
    # MUTANT within-rows: rng.permutation(mask.reshape(-1)).reshape(mask.shape) -> rng.permuted(mask, axis=1)
    # MUTANT rows-only: rng.permutation(mask.reshape(-1)).reshape(mask.shape) -> rng.permutation(mask)
    # MUTANT drawn-anew: rng.permutation(mask.reshape(-1)).reshape(mask.shape) -> (rng.random(mask.shape) < mask.mean()).astype(mask.dtype)
    return {name: rng.permutation(mask.reshape(-1)).reshape(mask.shape) for name, mask in weight_mask.items()}
    # END SOLUTION


# %% [markdown]
# ## For the curious
#
# These earn nothing and are not checked.
#
# 1. Run your search on a small net and the digits of this package (`numpynet lottery` does it at length). Compare ticket
#    and both controls at 20 %, 5 % and 2 % of the weights, with five seeds each. Which differences are larger than their
#    spread?
# 2. One round at rate $1-(1-\rho)^n$ instead of $n$ rounds at $\rho$: Equation (L17). Do the masks agree? By chance two
#    masks of density $s$ agree in a share $s$ of their ones, Equation (L20).
# 3. Rewind to step $k$ instead of step 0: Equation (L14). What must be kept besides the weights?
# 4. A dropout mask of units that never changes is a pruned net, Equation (M18). Write a unit mask as a weight mask.


# BEGIN TESTS
# ---- how it is judged ------------------------------------------------------------------------------------------------


def _known_mistakes(scene):
    yield from candidates.linear(scene)
    x, W, b, M = (scene.inputs[name] for name in ("x", "W", "b", "weight_mask"))
    rescaled = "the output is rescaled by the density of the mask, as dropout would be; a ticket is not"
    yield candidates.Candidate("y", "factor", x @ (M * W) / M.mean() + b, rescaled)


def _masked_pair(forward, backward):
    def draw(rng, sizes, keep_prob):
        N, d_in, d_out, _ = sizes
        arrays = {"x": (N, d_in), "W": (d_in, d_out), "b": (d_out,)}
        constants = {"weight_mask": draw_mask(rng, (d_in, d_out), 0.6)}
        return Inputs({name: draw_signed(rng, shape) for name, shape in arrays.items()}, constants)

    def law_of_it(x, W, b, weight_mask):
        return np.einsum("ni,ij->nj", x, W * weight_mask) + b

    return LayerPair(
        "masked layer",
        forward,
        backward,
        ("x", "W", "b"),
        draw,
        law_of_it,
        candidates=_known_mistakes,  # so that a mistake gets its name
        masks={"W": "weight_mask"},
    )


@law("momentum", "train_ticket", needs=("begin_ticket", "train_ticket"))
def _momentum(subject, seed, sizes):
    """Two steps from a start with known gradients.   Equation (O2)"""
    rng = np.random.default_rng(seed)
    start = draw_start(rng, sizes)
    first, second = draw_gradients(rng, start), draw_gradients(rng, start)
    ticket = begin(subject, copies(start), None, None)
    for gradients in (first, second):
        ticket = call(subject, "train_ticket", ticket, copies(gradients))
    for name, a in theta_of(ticket, start).items():
        right = start[name] - 0.1 * (1.9 * first[name] + second[name])
        message = f"after two steps {name} is not where learning rate 0.1 and momentum 0.9 bring it"
        require(np.all(np.abs(a - right) <= 1e-12 * (1 + np.abs(right))), message)


def _search(subject, rng, sizes, rate, rounds):
    """Run find_ticket with a training that remembers what it was called with."""
    start = draw_start(rng, sizes)
    given, calls = copies(start), []

    def train(theta, weight_mask):
        calls.append((copies(theta), copies(weight_mask)))
        trained = {name: a + 0.7 * draw_signed(rng, a.shape) * (a != 0) for name, a in calls[-1][0].items()}
        calls[-1] = (*calls[-1], copies(trained))
        return trained

    result = call(subject, "find_ticket", given, train, rate, rounds)
    require(isinstance(result, (tuple, list)) and len(result) == 2, "two things should come back: theta, weight_mask")
    require(all(isinstance(part, dict) for part in result), "theta and weight_mask should be dicts")
    require(same(given, start), "theta_0, the start that was handed over, has changed")
    require(len(calls) == rounds, f"in {rounds} rounds train was called {len(calls)} times")
    return start, calls, *result


def _is_at(theta, start, masks, when):
    for name, a in start.items():
        right = a * masks.get(name, 1)
        found = theta.get(name)
        require(found is not None and np.shape(found) == a.shape, f"theta has no {name} of shape {a.shape} {when}")
        require(np.array_equal(found, right), f"{name} is not at mask * theta_0 {when}")


@law("back to the start in every round", "find_ticket")
def _rewinds(subject, seed, sizes):
    """Each round trains from M * theta_0, and so does the ticket.   Equation (L4)"""
    rng = np.random.default_rng(seed)
    start, calls, theta, masks = _search(subject, rng, sizes, 0.3, 3)
    for k, (begun, mask, _) in enumerate(calls, start=1):
        require(set(mask) == set(weights(start)), "weight_mask should have an entry for every matrix, and no other")
        _is_at(begun, start, mask, f"where round {k} begins")
    _is_at(theta, start, masks, "in the end")


@law("exact counts, smallest first", "find_ticket")
def _prunes(subject, seed, sizes):
    """Each round takes the exact count, by the trained weights, and nothing returns.   Equations (L2), (L6)"""
    rng = np.random.default_rng(seed)
    rate = float(rng.choice((0.2, 0.3, 0.4)))
    start, calls, _, last = _search(subject, rng, sizes, rate, 3)
    before = {name: np.ones_like(start[name]) for name in weights(start)}
    for k, (begun, mask, _) in enumerate(calls, start=1):
        new = mask if k > 1 else before
        origins = [start] if k == 1 else [start, calls[k - 2][2]]  # going on without a rewind is for the other check
        known = any(same(begun, _under(mask, origin)) for origin in origins)
        require(known, f"round {k} trains neither what it started from nor what was trained, under the mask")
        require(k > 1 or same(mask, before), "the first round should train the whole net")
        if k > 1:
            _one_round(before, new, calls[k - 2][2], rate, k - 1)
        before = new
    _one_round(before, last, calls[-1][2], rate, len(calls))


def _under(masks, theta):
    return {name: a * masks.get(name, 1) for name, a in theta.items()}


def _one_round(before, after, trained, rate, k):
    for name, mask in before.items():
        new = checked_mask(after.get(name), mask.shape, f"weight_mask[{name!r}]")
        n, gone = int(mask.sum()), int(mask.sum() - new.sum())
        require(not ((new == 1) & (mask == 0)).any(), f"pruned weights of {name} are alive again after round {k}")
        right = expected_count(rate, n)
        require(gone == right, f"rate {rate} of {n} alive in {name}: {right} should go in round {k}, but {gone} went")
        size = np.abs(trained[name])
        out, kept = size[(mask == 1) & (new == 0)], size[new == 1]
        if len(out) and len(kept):
            message = f"{name}: in round {k} a trained weight went that was larger than one that stayed"
            require(out.max() <= kept.min(), message)


@law("distribution", "reinit_ticket", needs=("begin_ticket", "reinit_ticket"))
def _distribution(subject, seed, sizes):
    """Normal weights of variance 2 / (d_in + d_out) where the mask is 1; biases 0.   Equation (B27)"""
    rng = np.random.default_rng(seed)
    start = {name: rng.standard_normal(shape) for name, shape in (("W1", (40, 90)), ("b1", 90))}
    masks = {"W1": draw_mask(rng, start["W1"].shape, 0.7)}
    ticket = begin(subject, copies(start), copies(masks), None)
    fresh = theta_of(call(subject, "reinit_ticket", ticket, np.random.default_rng(seed + 1)), start)
    require(not fresh["b1"].any(), "the biases of fresh weights are 0")
    drawn = fresh["W1"][masks["W1"] == 1] / np.sqrt(2 / 130)  # about 2500 numbers of variance 1
    # Six standard deviations of each estimate: of n squares of normal numbers, and of a share of n.
    n = drawn.size
    variance = float((drawn**2).mean())
    message = f"the variance of W1 is {variance:.2f} times 2 / (d_in + d_out)"
    require(abs(variance - 1) <= 6 * np.sqrt(2 / n), message)
    beyond = float((np.abs(drawn) > 2).mean())
    require(abs(beyond - 0.0455) <= 6 * np.sqrt(0.0455 / n), "the weights have the right variance, but are not normal")


@law("masks of matrices", "begin_ticket")
def _masks_of_matrices(subject, seed, sizes):
    """With nothing pruned, every matrix has a mask of ones, and nothing else has one."""
    start = draw_start(np.random.default_rng(seed), sizes)
    ticket = begin(subject, copies(start), None, None)
    masks = part(ticket, "weight_mask")
    require(set(masks) == set(weights(start)), "weight_mask should have an entry for every matrix, and no other")
    for name, mask in masks.items():
        require(checked_mask(mask, start[name].shape, f"weight_mask[{name!r}]").all(), "without a mask, all are alive")
    require(same(theta_of(ticket, start), start), "without a mask, theta is theta_0")


@law("counts and places", "shuffle_masks")
def _shuffles(subject, seed, sizes):
    """As many ones in every layer, in random places.   Equation (L5)"""
    rng = np.random.default_rng(seed)
    masks = {"W1": draw_mask(rng, (23, 14), 0.3), "W2": draw_mask(rng, (19, 13), 0.6)}
    masks["W2"][0] = 1  # one row that is full, so that whole rows moved about would show
    given, found = copies(masks), []
    for s in (seed, seed, seed + 1):
        shuffled = call(subject, "shuffle_masks", given, np.random.default_rng(s))
        require(isinstance(shuffled, dict), f"a dict should come back, not a {type(shuffled).__name__}")
        require(same(given, masks), "the masks that were handed over have changed")
        for name, mask in masks.items():
            new = checked_mask(shuffled.get(name), mask.shape, f"the mask of {name}")
            require(new.sum() == mask.sum(), f"{name} had {mask.sum():g} ones, and has {new.sum():g}")
            require(not np.array_equal(new, mask), f"the mask of {name} is the old one")
            rows = sorted(map(tuple, new.tolist())) == sorted(map(tuple, mask.tolist()))
            require(not rows, f"only whole rows of {name} were moved: each entry should be able to go anywhere")
            for axis, line in ((0, "column"), (1, "row")):
                stays = np.array_equal(new.sum(axis=axis), mask.sum(axis=axis))
                require(not stays, f"every {line} of {name} has as many ones as before: entries should leave theirs")
            require(new.dtype == mask.dtype, f"the mask of {name} comes back as {new.dtype}, not {mask.dtype}")
        found.append(copies(shuffled))
    require(same(*found[:2]), "two generators of one seed give other masks: draw from rng alone")
    require(not same(*found[1:]), "two generators give the same masks")


CHECKS = {
    "1.1": (law_check("prune_count", "count", 2, name="count"),),
    "1.2": (
        law_check("prune", "exact count", 2, name="exact count"),
        law_check("prune", "smallest first", 2, name="smallest first", needs=("exact count",)),
        law_check("prune", ("no revival", "zero is alive"), 1, name="alive is what the mask says"),
        law_check(
            "prune",
            ("invariance", "purity"),
            1,
            name="no threshold, no side effect",
            needs=("exact count", "smallest first"),
        ),
    ),
    "2.1": (
        own_pair_check(_masked_pair, "masked_forward", None, (0, 1), 1, name="values"),
        own_pair_check(_masked_pair, "masked_forward", "masked_backward", (0, 3, 4), 3, name="gradients"),
        own_pair_check(
            _masked_pair,
            "masked_forward",
            "masked_backward",
            (0, 2, 7),
            1,
            name="arguments, zeros, float32",
            needs=("values", "gradients"),
        ),
    ),
    "2.2": (
        law_check("rewind", "bits", 1, name="bit for bit"),
        law_check("rewind", "new array", 1, name="a new array", needs=("bit for bit",)),
    ),
    "3.1": (law_check("begin_ticket", "start", 2, name="start"), own_check(_masks_of_matrices, 1)),
    "3.2": (
        law_check("train_ticket", "live weights move", 1, name="live weights move"),
        own_check(_momentum, 2, needs=("live weights move",)),
        law_check("begin_ticket", "independence", 1, name="two tickets", needs=("live weights move",)),
        law_check("prune_ticket", "exact count", 2, name="exact count", needs=("live weights move",)),
        law_check("train_ticket", "no revival", 3, name="no revival", needs=("live weights move",)),
    ),
    "3.3": (law_check("rewind_ticket", "new ticket", 3, name="everything is new"),),
    "4.1": (own_check(_rewinds, 3), own_check(_prunes, 3)),
    "5.1": (law_check("reinit_ticket", "fresh draw", 2, name="a fresh draw"), own_check(_distribution, 1)),
    "5.2": (own_check(_shuffles, 3),),
}

ASSIGNMENT = assignment_from(__file__, "Lottery tickets by hand", CHECKS)
# END TESTS

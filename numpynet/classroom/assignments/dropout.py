"""Dropout by hand: masks, both conventions, DropConnect, the exact mean over all masks, Monte-Carlo prediction."""

# %% [markdown]
# # Dropout by hand
#
# A dropout layer multiplies activations by a mask of zeros and ones. That is all it does; everything else is bookkeeping:
# where the scale stands, which mask the backward pass sees, what the evaluation net is. Most mistakes in public code are
# mistakes in the bookkeeping, and most of them train quite well. Here you write each piece and hold it against its
# equation.
#
# Two rules make every piece checkable. **The mask is an argument**: a layer never draws. And **the mask is binary**; the
# scale $1/q$ is a factor of its own, where $q$ is `keep_prob`, the probability that a unit *stays*. Shapes: a batch of
# activations `h` is (N, d), examples by units, and so is its mask: every example has its own. What goes in as float32 comes
# out as float32, and nothing that was handed over is edited.

# %%
import itertools

import numpy as np

# BEGIN TESTS
from numpynet.classroom.authoring import assignment_from
from numpynet.classroom.rungs import law_check, own_check, own_pair_check
from numpynet.conformance.laws import call, law, require
from numpynet.conformance.mask_laws import hoeffding
from numpynet.gradcheck import Inputs, LayerPair, candidates, draw_mask
from numpynet.gradcheck.draws import KEEP_PROBS, draw_signed

# END TESTS

# %% [markdown]
# ## Task 1.1: The mask
#
# Each entry is 1 with probability $q$, on its own: not a fixed number per row, not one row for the whole batch. Draw from
# the generator that is handed over and from nothing else, or no run can be repeated.
# Equations (D1), (D6).
#
# *Before you run it: how far from 0.8 may the share of ones among 1000 entries at $q=0.8$ lie? Equation (D6) says.*

# %%
# TASK 1.1 points=4: The mask
# HINT rng.random(shape) gives numbers in [0, 1). What is the probability that one of them lies below keep_prob?
# HINT A comparison gives booleans; masks are numbers. astype makes one of the other.


def sample_mask(rng, shape, keep_prob):
    """Draw a binary mask, each entry 1 with probability keep_prob.   Equations (D1), (D6)

    Parameters
    ----------
    rng : numpy.random.Generator, the only source of chance
    shape : of the mask
    keep_prob : q in (0, 1]

    Returns
    -------
    mask : float64 array of this shape, of exactly 0 and 1

    Examples
    --------
    >>> sample_mask(np.random.default_rng(0), (2, 3), 1.0)
    array([[1., 1., 1.],
           [1., 1., 1.]])
    """
    # BEGIN SOLUTION
    # MUTANT drop-for-keep: < keep_prob -> < 1 - keep_prob
    return (rng.random(shape) < keep_prob).astype(np.float64)
    # END SOLUTION


# %% [markdown]
# ## Tasks 2.1 and 2.2: Inverted dropout
#
# $y = D\odot h/q$. Over masks the mean of $y$ is $h$, so the evaluation net needs nothing: `unit_mask` of ones, $q=1$.
# The backward pass multiplies by the **same** mask and the **same** $1/q$, Equation (B3). So the forward pass has to keep
# them: that is what the cache is for. A fresh mask in the backward pass, or a forgotten $1/q$, is a gradient of another
# network.

# %%
# TASK 2.1 points=5: Inverted dropout, forward
# HINT Multiply by the mask, divide by keep_prob. The mask itself stays binary.
# HINT Return a pair: the output, and whatever the backward pass will need.


def dropout_forward(h, *, unit_mask, keep_prob):
    """D * h / q.   Equation (D1)

    Parameters
    ----------
    h : (N, d) activations; left alone
    unit_mask : (N, d) binary
    keep_prob : q in (0, 1]

    Returns
    -------
    y : (N, d), in the dtype of h
    cache : anything that ``dropout_backward`` needs

    Examples
    --------
    >>> dropout_forward(np.array([[2.0, 4.0]]), unit_mask=np.array([[0.0, 1.0]]), keep_prob=0.8)[0]
    array([[0., 5.]])
    """
    # BEGIN SOLUTION
    # MUTANT no-scale: / keep_prob -> / 1.0
    y = h * unit_mask / keep_prob
    return y, (unit_mask, keep_prob)
    # END SOLUTION


# TASK 2.2 points=5 needs=2.1: Inverted dropout, backward
# HINT y is linear in h. What is the derivative of one entry of y with respect to the same entry of h?
# HINT It is D / q, so dh = dy * D / q, with D and q out of the cache.


def dropout_backward(dy, cache):
    """D * dy / q, with the mask and the scale of the forward pass.   Equation (B3)

    Parameters
    ----------
    dy : (N, d) gradient of the loss with respect to y; left alone
    cache : of ``dropout_forward``

    Returns
    -------
    dh : (N, d), exactly 0 where a unit was dropped

    Examples
    --------
    >>> y, cache = dropout_forward(np.ones((1, 2)), unit_mask=np.array([[0.0, 1.0]]), keep_prob=0.8)
    >>> dropout_backward(np.array([[3.0, 4.0]]), cache)
    array([[0., 5.]])
    """
    # BEGIN SOLUTION
    mask, q = cache
    # MUTANT scale-forgotten: / q ->
    return mask * dy / q
    # END SOLUTION


# %% [markdown]
# ## Task 3.1: The standard convention
#
# The paper of 2014 scales at evaluation instead: $D\odot h$ in training, $q\,h$ in evaluation, where no mask is given.
# Equation (D2): with weights $qW$ behind the inverted layer both are one net. They are *not* one net if the weights are
# the same, which is why a ported checkpoint can be wrong by a factor $q$ per layer and still look trained.

# %%
# TASK 3.1 points=5 needs=2.1: The standard convention
# HINT Two cases: with a mask, and with unit_mask=None. Only in one of them does keep_prob appear.
# HINT The backward pass has the same two cases; let the cache hold the factor that h was multiplied by.


def standard_dropout_forward(h, *, unit_mask, keep_prob):
    """D * h in training, q * h in evaluation.   Equation (D2)

    Parameters
    ----------
    h : (N, d) activations; left alone
    unit_mask : (N, d) binary, or None for evaluation
    keep_prob : q in (0, 1]

    Returns
    -------
    y : (N, d), in the dtype of h
    cache : anything that ``standard_dropout_backward`` needs

    Examples
    --------
    >>> standard_dropout_forward(np.array([[5.0, 10.0]]), unit_mask=None, keep_prob=0.8)[0]
    array([[4., 8.]])
    """
    # BEGIN SOLUTION
    # MUTANT no-scale-in-evaluation: keep_prob -> 1.0
    factor = keep_prob if unit_mask is None else unit_mask
    return h * factor, factor
    # END SOLUTION


def standard_dropout_backward(dy, cache):
    """D * dy in training, q * dy in evaluation.   Equations (B3), (D2)

    Parameters
    ----------
    dy : (N, d) gradient of the loss with respect to y; left alone
    cache : of ``standard_dropout_forward``

    Returns
    -------
    dh : (N, d); in evaluation the gradient of what the forward pass does there

    Examples
    --------
    >>> y, cache = standard_dropout_forward(np.ones((1, 2)), unit_mask=np.array([[0.0, 1.0]]), keep_prob=0.8)
    >>> standard_dropout_backward(np.array([[3.0, 4.0]]), cache)
    array([[0., 4.]])
    """
    # BEGIN SOLUTION
    # MUTANT mask-forgotten: cache * -> 1.0 *
    # MUTANT evaluation-unscaled: cache * -> (cache if np.ndim(cache) else 1.0) *
    return cache * dy
    # END SOLUTION


# %% [markdown]
# ## Task 4.1: DropConnect
#
# Dropout switches units off, DropConnect single weights: $z = h\,(C\odot W) + b$ with a binary $C$ in the shape of $W$,
# and $z = q\,hW + b$ in evaluation, Equation (D17). A weight that was dropped gets no gradient; and what flows back to
# $h$ flows through the weights that are there. A lottery ticket is the same layer with a $C$ that never changes.

# %%
# TASK 4.1 points=6: DropConnect
# HINT Work with V = C * W (or q * W in evaluation): then it is a linear layer z = h @ V + b.
# HINT dh = dz @ V.T and dV = h.T @ dz. From dV to dW it is one factor more; which?
# HINT The bias is dropped by nobody: db is the sum of dz over the examples.


def dropconnect_forward(h, W, b, *, weight_mask, keep_prob):
    """h @ (C * W) + b in training, h @ (q * W) + b in evaluation.   Equation (D17)

    Parameters
    ----------
    h : (N, d_in) activations
    W, b : (d_in, d_out) weights and (d_out,) biases
    weight_mask : (d_in, d_out) binary, the mask C, or None for evaluation
    keep_prob : q in (0, 1], of a weight

    Returns
    -------
    z : (N, d_out)
    cache : anything that ``dropconnect_backward`` needs

    Examples
    --------
    >>> C = np.array([[0.0], [1.0]])
    >>> dropconnect_forward(np.array([[2.0, 3.0]]), np.ones((2, 1)), np.zeros(1), weight_mask=C, keep_prob=0.8)[0]
    array([[3.]])
    """
    # BEGIN SOLUTION
    # MUTANT scaled-as-dropout: else weight_mask -> else weight_mask / keep_prob
    factor = keep_prob if weight_mask is None else weight_mask
    present = factor * W
    return h @ present + b, (h, present, factor)
    # END SOLUTION


def dropconnect_backward(dz, cache):
    """The gradients with respect to h, W and b.   Equations (B5), (B6), (D17)

    Parameters
    ----------
    dz : (N, d_out) gradient of the loss with respect to z
    cache : of ``dropconnect_forward``

    Returns
    -------
    dh, dW, db : in the shapes of h, W and b; dW is exactly 0 where a weight was dropped.
        In evaluation, the gradients of what the forward pass does there

    Examples
    --------
    >>> z, cache = dropconnect_forward(np.ones((1, 1)), np.ones((1, 1)), np.ones(1), weight_mask=np.ones((1, 1)), keep_prob=0.8)
    >>> dropconnect_backward(np.array([[3.0]]), cache)[2]
    array([3.])
    """
    # BEGIN SOLUTION
    h, present, factor = cache
    # MUTANT mask-missing-on-dW: factor * -> 1.0 *
    # MUTANT evaluation-unscaled: factor * -> (factor if np.ndim(factor) else 1.0) *
    dW = factor * (h.T @ dz)
    # MUTANT bias-as-mean: .sum( -> .mean(
    return dz @ present.T, dW, dz.sum(axis=0)
    # END SOLUTION


# %% [markdown]
# ## Task 5.1: The exact mean over all masks
#
# A layer of $n$ units has $2^n$ masks; mask $d$ has probability $P(d)=\prod_i q^{d_i}(1-q)^{1-d_i}$, Equation (D1). For a
# small $n$ the mean over masks is a sum that can be written down: no sampling, no noise. It is the yardstick for
# everything that is said of "the average of exponentially many networks".

# %%
# TASK 5.1 points=5: The exact mean over all masks
# HINT itertools.product((0.0, 1.0), repeat=n) runs through all masks of n units.
# HINT A mask with k ones has probability q**k * (1 - q)**(n - k); these sum to 1. The mean is a weighted sum.


def expected_output(network, n_units, keep_prob):
    """The mean of network(mask) over all 2**n masks, each with its probability.   Equation (D1)

    Parameters
    ----------
    network : a function of one mask, a float64 array (n_units,) of 0 and 1; returns an array
    n_units : n, at most 8 here
    keep_prob : q in (0, 1]

    Returns
    -------
    mean : in the shape of what network returns

    Examples
    --------
    >>> round(float(expected_output(lambda d: d.sum() ** 2, 2, 0.8)), 6)      # 4 q^2 + 2 q (1 - q)
    2.88
    """
    # BEGIN SOLUTION
    mean = 0.0
    for entries in itertools.product((0.0, 1.0), repeat=n_units):
        ones = int(sum(entries))
        # MUTANT uniform-weights: keep_prob**ones * (1 - keep_prob) ** (n_units - ones) -> 2.0**-n_units
        # MUTANT keep-and-drop: keep_prob**ones * (1 - keep_prob) ** (n_units - ones) -> (1 - keep_prob) ** ones * keep_prob ** (n_units - ones)
        weight = keep_prob**ones * (1 - keep_prob) ** (n_units - ones)
        mean = mean + weight * network(np.array(entries))
    return mean
    # END SOLUTION


# %% [markdown]
# ## Task 6.1: Monte-Carlo prediction
#
# For 1000 units there are too many masks, so one draws $T$ of them and averages the **outputs**, Equation (D15): not the
# masks, not the logits. The spread of the outputs says how much the subnetworks disagree, Equation (D16), where the
# variance is divided by $T$.

# %%
# TASK 6.1 points=5 needs=1.1: Monte-Carlo prediction
# HINT One mask for each of the n_samples calls, all drawn with sample_mask from the one generator.
# HINT Keep the outputs in a list; np.mean and np.var with axis=0 do the rest. Which divisor does np.var use?


def mc_predict(network, rng, shape, keep_prob, n_samples):
    """The mean and the variance of network(mask) over T drawn masks.   Equations (D15), (D16)

    Parameters
    ----------
    network : a function of one mask; returns an array of probabilities
    rng : numpy.random.Generator
    shape : of a mask
    keep_prob : q in (0, 1]
    n_samples : T, how many masks

    Returns
    -------
    mean, variance : in the shape of what network returns; the variance with the divisor T

    Examples
    --------
    >>> mean, variance = mc_predict(lambda mask: mask, np.random.default_rng(0), (3,), 1.0, 4)
    >>> mean, variance
    (array([1., 1., 1.]), array([0., 0., 0.]))
    """
    # BEGIN SOLUTION
    # MUTANT one-mask-for-all: sample_mask(rng, shape, keep_prob) -> sample_mask(np.random.default_rng(0), shape, keep_prob)
    masks = [sample_mask(rng, shape, keep_prob) for _ in range(n_samples)]
    # MUTANT one-sample-less: in masks -> in masks[1:]
    outputs = np.array([network(mask) for mask in masks])
    # MUTANT divisor-T-1: axis=0) -> axis=0, ddof=1)
    variance = np.var(outputs, axis=0)
    # MUTANT geometric-mean: np.mean(outputs, axis=0) -> np.exp(np.mean(np.log(outputs), axis=0))
    return np.mean(outputs, axis=0), variance
    # END SOLUTION


# %% [markdown]
# ## For the curious
#
# These earn nothing and are not checked.
#
# 1. Show with `expected_output` that the mean of `dropout_forward` is $h$ for every $q$, and that the mean of
#    softmax(logits) over masks is *not* the softmax of the evaluation net. How large is the difference at $q=0.8$, and
#    for which activations would it be 0? Equations (D10), (D12).
# 2. Draw $T$ masks for $T=10, 100, \dots$ and plot the distance of `mc_predict` from `expected_output`. Which slope do
#    you expect in a log-log plot? Equation (D6).
# 3. Give DropConnect a mask for every example. What becomes of dW? How much memory do the masks take?
# 4. Keep one unit mask for a whole training. Which smaller net have you trained? Equation (M18). And if it is a mask of
#    weights? That is a lottery ticket.


# BEGIN TESTS
# ---- how it is judged ------------------------------------------------------------------------------------------------


def _standard_pair(forward, backward):
    def draw(rng, sizes, keep_prob):
        shape = (sizes.N, sizes.d_in)
        constants = {"unit_mask": draw_mask(rng, shape, keep_prob), "keep_prob": keep_prob}
        return Inputs({"h": draw_signed(rng, shape)}, constants)

    def law_of_it(h, unit_mask, keep_prob):
        return keep_prob * h if unit_mask is None else unit_mask * h

    evaluation = {"unit_mask": None}
    return LayerPair(
        "standard dropout",
        forward,
        backward,
        ("h",),
        draw,
        law_of_it,
        candidates=_other_convention,
        masks={"h": "unit_mask"},
        evaluation=evaluation,
    )


def _other_convention(scene):
    """Name scales in training, where the standard convention has none."""
    D, q = scene.inputs["unit_mask"], scene.inputs["keep_prob"]
    inverted = "the inverted convention: in training the standard one multiplies by the mask alone"
    early = "keep_prob stands in training already, where it belongs to evaluation"
    for array, value in (("y", scene.inputs["h"]), ("dh", scene.dy)):
        yield candidates.Candidate(array, "factor", D * value / q, f"1/keep_prob is {inverted}")
        yield candidates.Candidate(array, "factor", D * value * q, early)


def _known_mistakes(scene):
    """Name the mistakes of a linear layer with a weight mask; this one only calls its input h."""
    inputs = {"x": scene.inputs["h"], **{name: scene.inputs[name] for name in ("W", "b", "weight_mask")}}
    for candidate in candidates.linear(candidates.Scene(inputs, scene.dy)):
        yield candidate._replace(array={"dx": "dh"}.get(candidate.array, candidate.array))
    h, W, b, C, q = (scene.inputs[name] for name in ("h", "W", "b", "weight_mask", "keep_prob"))
    scaled = "it is divided by keep_prob in training; here the scale stands in evaluation alone"
    yield candidates.Candidate("y", "factor", h @ (C * W / q) + b, scaled)
    yield candidates.Candidate("y", "factor", h @ (C * W) / q + b, scaled)


def _dropconnect_pair(forward, backward):
    def draw(rng, sizes, keep_prob):
        N, d_in, d_out, _ = sizes
        arrays = {"h": (N, d_in), "W": (d_in, d_out), "b": (d_out,)}
        constants = {"weight_mask": draw_mask(rng, (d_in, d_out), keep_prob), "keep_prob": keep_prob}
        return Inputs({name: draw_signed(rng, shape) for name, shape in arrays.items()}, constants)

    def law_of_it(h, W, b, weight_mask, keep_prob):
        return np.einsum("ni,ij->nj", h, W * (keep_prob if weight_mask is None else weight_mask)) + b

    evaluation = {"weight_mask": None}
    return LayerPair(
        "DropConnect",
        forward,
        backward,
        ("h", "W", "b"),
        draw,
        law_of_it,
        candidates=_known_mistakes,
        masks={"W": "weight_mask"},
        evaluation=evaluation,
    )


def _law_of_evaluation(name, forward, backward, mask, factors):
    """Return the law that in evaluation backward is the gradient of what forward does there: keep_prob times it all."""

    @law(name, backward, needs=(forward, backward))
    def evaluates(subject, seed, sizes):
        rng = np.random.default_rng(seed)
        N, d_in, d_out, _ = sizes
        q = float(rng.choice(KEEP_PROBS))
        arrays = [draw_signed(rng, shape) for shape in ((N, d_in), (d_in, d_out), (d_out,))[: len(factors)]]
        result = call(subject, forward, *(a.copy() for a in arrays), **{mask: None, "keep_prob": q})
        require(isinstance(result, (tuple, list)) and len(result) == 2, "forward should return a pair: output, cache")
        dy = draw_signed(rng, np.shape(result[0]))
        found = call(subject, backward, dy.copy(), result[1])
        found = found if len(factors) > 1 else (found,)
        require(isinstance(found, (tuple, list)) and len(found) == len(factors), "backward should return dh, dW, db")
        for (array, right), answer in zip(factors.items(), found):
            wrong = (
                f"in evaluation ({mask}=None) {array} is not the gradient: there the factor is keep_prob, not a mask"
            )
            require(_close(answer, right(q, dy, *arrays)), wrong)

    return evaluates


_STANDARD_EVALUATION = _law_of_evaluation(
    "evaluation",
    "standard_dropout_forward",
    "standard_dropout_backward",
    "unit_mask",
    {"dh": lambda q, dy, h: q * dy},
)
_DROPCONNECT_EVALUATION = _law_of_evaluation(
    "evaluation",
    "dropconnect_forward",
    "dropconnect_backward",
    "weight_mask",
    {
        "dh": lambda q, dz, h, W, b: np.einsum("nj,ij->ni", dz, q * W),
        "dW": lambda q, dz, h, W, b: q * np.einsum("ni,nj->ij", h, dz),
        "db": lambda q, dz, h, W, b: np.einsum("nj->j", dz),
    },
)


@law("float64", "sample_mask")
def _float64(subject, seed, sizes):
    """A mask is an array of numbers, not of booleans."""
    mask = call(subject, "sample_mask", np.random.default_rng(seed), (sizes.N, sizes.d_in), 0.6)
    require(mask.dtype == np.float64, f"the mask is an array of {mask.dtype}, where float64 is expected")


def _mask_check():
    """Return the check of the values of a mask, and of their type."""
    binary, float64 = law_check("sample_mask", "binary", 1, name="binary"), own_check(_float64, 1)

    def run(subject, seed):
        report = binary.run(subject, seed)
        return report if report.status != "pass" else float64.run(subject, seed)

    return binary._replace(run=run)


def _close(found, right):
    found, right = np.asarray(found), np.asarray(right)
    return found.shape == right.shape and bool(np.all(np.abs(found - right) <= 1e-12 * (1 + np.abs(right))))


def _small_net(rng, n):
    """A function of one mask of n units with three outputs; not linear in the mask."""
    W = rng.standard_normal((n, 3))

    def network(mask):
        z = np.tanh(np.asarray(mask, dtype=np.float64) @ W)
        return np.exp(z) / np.exp(z).sum()

    return network


@law("exact mean", "expected_output")
def _exact_mean(subject, seed, sizes):
    """The weighted sum over all masks.   Equation (D1)"""
    rng = np.random.default_rng(seed)
    n, q = int(rng.integers(2, 6)), float(rng.choice(KEEP_PROBS))
    network = _small_net(rng, n)
    on = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
    probability = np.where(on == 1, q, 1 - q).prod(axis=1)
    outputs = np.array([network(d) for d in on])
    right = np.tensordot(probability, outputs, axes=1)
    found = call(subject, "expected_output", network, n, q)
    if not _close(found, right):
        for wrong, words in (
            (outputs.mean(axis=0), "all masks count the same: each has a probability of its own"),
            (np.tensordot(probability[::-1], outputs, axes=1), "keep and drop are swapped: a unit is 1 with keep_prob"),
            (network(np.full(n, q)), "this is the output under the mean mask, not the mean of the outputs"),
            (probability[:, None] * outputs, "the outputs are weighted, but not added up"),
        ):
            require(not _close(found, wrong), words)
    message = f"with {n} units at keep_prob {q} it is not the sum of probability times output over all 2**{n} masks"
    require(_close(found, right), message)


@law("all units kept", "expected_output")
def _certain(subject, seed, sizes):
    """At keep_prob 1 only the mask of ones counts."""
    rng = np.random.default_rng(seed)
    network = _small_net(rng, 3)
    message = "at keep_prob 1 it is not the output under the mask of ones"
    require(_close(call(subject, "expected_output", network, 3, 1.0), network(np.ones(3))), message)


def _predicted(subject, rng, shape, q, n_samples):
    """Call mc_predict with a network that remembers its masks; return these, its outputs, the mean and the variance."""
    net, masks, outputs = _small_net(rng, int(np.prod(shape))), [], []

    def network(mask):
        masks.append(np.array(mask, dtype=np.float64))
        outputs.append(net(masks[-1].reshape(-1)) if masks[-1].shape == shape else np.zeros(3))
        return outputs[-1].copy()

    result = call(subject, "mc_predict", network, np.random.default_rng(int(rng.integers(2**31))), shape, q, n_samples)
    for mask in masks:
        require(mask.shape == shape, f"the network was called with a mask of shape {mask.shape}, not {shape}")
        binary = "the network was called with a mask that is not of 0 and 1: average the outputs, not the masks"
        require(np.isin(mask, (0, 1)).all(), binary)
    require(isinstance(result, (tuple, list)) and len(result) == 2, "two things should come back: mean, variance")
    require(len(masks) == n_samples, f"{n_samples} masks were asked for, the network was called {len(masks)} times")
    require(len({mask.tobytes() for mask in masks}) > 1, "all samples have the same mask")  # of 30 units or more
    return np.array(masks), np.array(outputs), *result


@law("mean of the outputs", "mc_predict", needs=("mc_predict", "sample_mask"))
def _mean_of_outputs(subject, seed, sizes):
    """The arithmetic mean of the outputs.   Equation (D15)"""
    rng = np.random.default_rng(seed)
    _, outputs, mean, _ = _predicted(subject, rng, (6, 5 + sizes.d_in % 3), float(rng.choice(KEEP_PROBS)), 7)
    require(_close(mean, outputs.sum(axis=0) / 7), "the mean is not the arithmetic mean of the outputs")


@law("variance of the outputs", "mc_predict", needs=("mc_predict", "sample_mask"))
def _variance_of_outputs(subject, seed, sizes):
    """With the divisor T.   Equation (D16)"""
    rng = np.random.default_rng(seed)
    _, outputs, _, variance = _predicted(subject, rng, (6, 5 + sizes.d_in % 3), float(rng.choice(KEEP_PROBS)), 5)
    right = ((outputs - outputs.sum(axis=0) / 5) ** 2).sum(axis=0) / 5
    if not _close(variance, right):
        require(not _close(variance, np.sqrt(right)), "this is the standard deviation, not the variance")
        require(not _close(variance, right * 5 / 4), "the divisor is T - 1, where T is asked for")
    require(_close(variance, right), "the variance is not that of the outputs, with the divisor T")


@law("fresh masks", "mc_predict", needs=("mc_predict", "sample_mask"))
def _fresh_masks(subject, seed, sizes):
    """Each sample has a mask of its own, from the generator; a share keep_prob is 1.   Equation (D6)"""
    rng = np.random.default_rng(seed)
    q = float(rng.choice(KEEP_PROBS))
    masks, *_ = _predicted(subject, np.random.default_rng(seed), (4, 25), q, 30)
    repeated, *_ = _predicted(subject, np.random.default_rng(seed), (4, 25), q, 30)
    require(np.array_equal(masks, repeated), "two generators of one seed give other masks: draw from rng alone")
    require(len({mask.tobytes() for mask in masks}) > 25, "the masks of several samples are the same")
    require(abs(masks.mean() - q) <= hoeffding(masks.size), f"the share of ones is far from keep_prob {q}")
    again, *_ = _predicted(subject, rng, (4, 25), q, 30)
    require(not np.array_equal(masks, again), "another generator gives the same masks")


CHECKS = {
    "1.1": (
        _mask_check(),
        law_check("sample_mask", "generator", 1, name="generator", needs=("binary",)),
        law_check("sample_mask", "statistics", 2, name="statistics", needs=("binary",)),
    ),
    "2.1": (
        law_check("dropout_forward", ("values", "last bit", "identity at evaluation"), 3, name="values"),
        law_check("dropout_forward", "purity", 1, name="arguments left alone", needs=("values",)),
        law_check("dropout_forward", "float32 and extremes", 1, name="float32", needs=("values",)),
    ),
    "2.2": (
        law_check("dropout_backward", "gradients", 3, name="gradients"),
        law_check("dropout_backward", ("linearity", "purity"), 1, name="arguments left alone", needs=("gradients",)),
        law_check("dropout_backward", "zeros, float32 and extremes", 1, name="zeros, float32", needs=("gradients",)),
    ),
    "3.1": (
        own_pair_check(_standard_pair, "standard_dropout_forward", None, (0, 1), 2, name="values"),
        own_pair_check(
            _standard_pair, "standard_dropout_forward", "standard_dropout_backward", (0, 3, 4), 1, name="gradients"
        ),
        own_check(_STANDARD_EVALUATION, 1, needs=("values", "gradients")),
        own_pair_check(
            _standard_pair,
            "standard_dropout_forward",
            "standard_dropout_backward",
            (0, 2, 7),
            1,
            name="arguments, zeros, float32",
            needs=("values", "gradients"),
        ),
    ),
    "4.1": (
        own_pair_check(_dropconnect_pair, "dropconnect_forward", None, (0, 1), 2, name="values"),
        own_pair_check(
            _dropconnect_pair, "dropconnect_forward", "dropconnect_backward", (0, 3, 4), 2, name="gradients"
        ),
        own_check(_DROPCONNECT_EVALUATION, 1, needs=("values", "gradients")),
        own_pair_check(
            _dropconnect_pair,
            "dropconnect_forward",
            "dropconnect_backward",
            (0, 2, 7),
            1,
            name="arguments, zeros, float32",
            needs=("values", "gradients"),
        ),
    ),
    "5.1": (own_check(_exact_mean, 4), own_check(_certain, 1, needs=("exact mean",))),
    "6.1": (
        own_check(_mean_of_outputs, 2),
        own_check(_variance_of_outputs, 1),
        own_check(_fresh_masks, 2),
    ),
}

ASSIGNMENT = assignment_from(__file__, "Dropout by hand", CHECKS)
# END TESTS

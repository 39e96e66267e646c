# %% [markdown]
# # Tutorial 11: Prune an exact number of weights, and keep them dead
#
# **What you will do.** Choose which weights of a trained network to take away, take away exactly as many as you meant
# to, watch them come back to life in three different ways, and finally cut the network down to a really smaller one.
#
# **What you will learn.** Why a threshold is not a count; why "set to zero" is not pruning; what an optimizer
# remembers; and what a mask saves (nothing, until you compact).
#
# **What you will need.** Tutorials 4, 6 and 10. Under ten seconds.

# %%
from numpynet import threads

threads.set_default()  # one thread, before NumPy is imported

import math
import textwrap

import matplotlib.pyplot as plt
import numpy as np

from numpynet.data import load_digits
from numpynet.equations import prune_count, prune_lowest, softmax_cross_entropy_backward, softmax_cross_entropy_forward
from numpynet.figures import STYLE
from numpynet.network import MLP
from numpynet.optimizers import SGD, Adam, Momentum
from numpynet.parameters import Parameters
from numpynet.plan import TrainingPlan
from numpynet.pruning import (
    alive_counts,
    compact,
    magnitude,
    magnitude_mask,
    prune_globally,
    prune_layerwise,
    random_scores,
    weight_density,
)
from numpynet.training import begin, evaluate, train

plt.rcParams.update(STYLE)
rng = np.random.default_rng(11)

# %% [markdown]
# ## A score and a count
#
# Pruning needs two decisions. *What is a weight worth?* The oldest answer is still hard to beat: its size.
#
# $$
# S = |W| \in \mathbb{R}^{d_{in} \times d_{out}} \tag{P1}
# $$
#
# *How many go?* A **rate** $\rho$ is the share of the *surviving* weights that a round removes. With $a$ alive,
# exactly
#
# $$
# k = \Big\lfloor \rho\, a + \tfrac12 \Big\rfloor \tag{L2}
# $$
#
# go: the $k$ alive entries that come first in the order (score, place). Three words matter. *Exactly*: two programs
# that prune "20 %" must agree on every count, or their tickets cannot be compared. *Alive*: what is dead is not
# ranked, so it cannot return. *Place*: of two equal scores the one with the lower index goes, so that the result does
# not depend on a sorting routine's mood.


# %%
def prune(scores, mask, rate):
    """Remove floor(rate * alive + 1/2) more entries: the plain form."""
    flat_mask, flat_scores = mask.ravel().copy(), scores.ravel()
    alive = np.flatnonzero(flat_mask)  # places of the survivors, in order
    k = math.floor(rate * alive.size + 0.5)
    first = np.argsort(flat_scores[alive], kind="stable")[:k]  # stable: equal scores stay in the order of their places
    flat_mask[alive[first]] = 0
    return flat_mask.reshape(mask.shape)


by_hand = prune(np.abs([3.0, -1.0, 1.0, 2.0]), np.ones(4), rate=0.25)
print("scores 3 1 1 2, one of four goes:", by_hand)
assert by_hand.tolist() == [1, 0, 1, 1]  # of the two equal ones the first

W = rng.standard_normal((40, 20))
mask = np.ones_like(W)
for _ in range(5):
    library = prune_lowest(np.abs(W), mask, prune_count(0.2, int(mask.sum())))
    mask_before, mask = mask, prune(np.abs(W), mask, rate=0.2)
    assert np.array_equal(mask, library)  # the library partitions instead of sorting; the result is the same
    assert (mask <= mask_before).all()  # nothing returns
    assert mask_before.sum() - mask.sum() == prune_count(0.2, int(mask_before.sum()))
print("800 weights, five rounds at rate 0.2:", int(mask.sum()), "left")

# %% [markdown]
# **Pitfalls: a threshold is not a count.** Three popular one-liners, each meant to remove 160 of 800 weights. The
# first array has ties, as weights from a coarse initialisation or from `float16` do.

# %%
coarse = np.abs(np.round(rng.standard_normal(800), 1))
fine = np.abs(rng.standard_normal(800))
attempts = {
    "w > sorted[k]": lambda s: s > np.sort(s)[160],
    "w >= sorted[k]": lambda s: s >= np.sort(s)[160],
    "w > quantile(0.2)": lambda s: s > np.quantile(s, 0.2),
    "exact rule": lambda s: prune(s, np.ones(800), 0.2) == 1,
}
for name, rule in attempts.items():
    removed = [int((~rule(scores)).sum()) for scores in (fine, coarse)]
    print(f"{name:18s} removes {removed[0]} of distinct scores, {removed[1]} where there are ties (wanted: 160)")
    assert (removed == [160, 160]) == (name == "exact rule")

print("round(0.1 * 185) =", round(0.1 * 185), "  floor(0.1 * 185 + 1/2) =", prune_count(0.1, 185))
print(
    "int(19.999999999999996 % of 235200) =",
    int(235200 * 0.19999999999999996),
    "  exact rule:",
    prune_count(0.2, 235200),
)
assert round(18.5) == 18 and prune_count(0.1, 185) == 19  # Python rounds halves to the even neighbour
assert int(235200 * 0.19999999999999996) == 47039 and prune_count(0.2, 235200) == 47040

# %% [markdown]
# ## Round after round
#
# A rate acts on survivors, so counts follow
#
# $$
# n_{t+1} = n_t - \lfloor \rho\, n_t + \tfrac12 \rfloor , \qquad \Big| n_t - n_0 (1 - \rho)^t \Big| \le \frac{1 - (1-\rho)^t}{2 \rho} . \tag{L3}
# $$
#
# Rounding errs by at most one half per round, and later rounds shrink earlier errors by $1 - \rho$: a geometric sum.
# These are the exact counts of LeNet-300-100, pruned as in the lottery-ticket paper: 20 % per round, the output layer
# 10 %.

# %%
counts, layers = [], [235200, 30000, 1000]
for t in range(21):
    counts.append(list(layers))
    for ideal_start, rate, n in zip((235200, 30000, 1000), (0.2, 0.2, 0.1), layers):
        assert abs(n - ideal_start * (1 - rate) ** t) <= (1 - (1 - rate) ** t) / (2 * rate) + 1e-9
    layers = [n - prune_count(rate, n) for n, rate in zip(layers, (0.2, 0.2, 0.1))]
for t in (0, 1, 5, 12, 18, 20):
    print(f"round {t:2d}: {counts[t]}, together {sum(counts[t]):6d} = {100 * sum(counts[t]) / 266200:.3f} %")
assert counts[1] == [188160, 24000, 900] and counts[18] == [4237, 541, 149] and sum(counts[20]) == 3179

# %% [markdown]
# ## A trained net to prune
#
# 64-60-40-10 on the digits. How much of it can go? First at once and without any further training, smallest weights
# first or at random.

# %%
data = load_digits()
net = MLP((64, 60, 40, 10))
state = begin(net, TrainingPlan(epochs=15, optimizer=Adam(), schedule=3e-3), data.train, seed=0)
for _record in train(state, data.train):
    pass
theta = state.theta
dense_accuracy = evaluate(net, theta, data.test)[1]
ones = Parameters.ones(net.layout)
densities = (1.0, 0.7, 0.5, 0.35, 0.25, 0.18, 0.12, 0.08, 0.05)
curves = {"smallest |W| first": [], "at random": [], "smallest, then 3 epochs more": []}
for share in densities:
    by_size = prune_layerwise(magnitude(theta), ones, density=share)
    by_chance = prune_layerwise(random_scores(np.random.default_rng(1), net.layout), ones, density=share)
    assert abs(weight_density(by_size) - share) < 1e-3 and weight_density(by_size) == weight_density(by_chance)
    curves["smallest |W| first"].append(evaluate(net, theta, data.test, weight_mask=by_size)[1])
    curves["at random"].append(evaluate(net, theta, data.test, weight_mask=by_chance)[1])
    more = TrainingPlan(epochs=3, optimizer=Adam(), schedule=3e-3)
    tuned = begin(net, more, data.train, seed=1, theta_0=theta, weight_mask=by_size)
    for _record in train(tuned, data.train):
        pass
    curves["smallest, then 3 epochs more"].append(evaluate(net, tuned.theta, data.test, weight_mask=by_size)[1])
    print(
        f"{100 * share:5.1f} % left: "
        + ",  ".join(f"{name} {100 * values[-1]:.1f} %" for name, values in curves.items())
    )

half = densities.index(0.5)
assert curves["smallest |W| first"][half] > dense_accuracy - 0.03  # half of the weights are hardly missed ...
assert curves["at random"][half] < curves["smallest |W| first"][half] - 0.1  # ... if one takes the right half
eighth = densities.index(0.12)
assert (
    curves["smallest, then 3 epochs more"][eighth] > curves["smallest |W| first"][eighth] + 0.2
)  # training on repairs a lot

# %%
# alt: Test accuracy against the share of weights left, falling from left to right. Random pruning falls at once, pruning
#      the smallest weights holds to about a third, and with three epochs of further training the curve stays flat much longer.
fig, ax = plt.subplots(figsize=(6.4, 3.6))
for (name, values), marker in zip(curves.items(), "os^"):
    ax.plot(100 * np.array(densities), 100 * np.array(values), marker=marker, label=name)
ax.set_xscale("log")
ax.set_xticks([100 * v for v in densities], [f"{100 * v:.0f}" for v in densities])
ax.minorticks_off()
ax.invert_xaxis()
ax.set(xlabel="weights left in %", ylabel="test accuracy in %", title="one net, one run of each")
ax.legend(fontsize=8, loc="lower left")
plt.show()

# %% [markdown]
# Training on from the *trained* weights is called fine-tuning. It is not a lottery ticket: that would start again
# from the initial weights (Tutorial 12).
#
# ## Why weights come back to life
#
# We have set 70 % of the weights to zero. Train on. What happens to them? We try four ways, on one net with momentum,
# and count.
#
# 1. **Zero once**, then train as before. The gradient of a zeroed weight is the dense gradient $G$, and $G$ is not 0.
# 2. **Mask the gradient, keep the optimizer.** The velocity still remembers the past of the dead weights.
# 3. **Mask the gradient, clear the optimizer.** Then nothing moves them.
# 4. **Mask in the layer** (Equation (B1)) and a projection $\theta \leftarrow M \odot \theta$ after the step,
#    whatever the optimizer remembers.


# %%
def gradient(theta, batch, weight_mask=None):
    logits, caches = net.forward(theta, data.train.x[batch], weight_mask=weight_mask)
    _, loss_cache = softmax_cross_entropy_forward(logits, data.train.y[batch])
    return net.backward(softmax_cross_entropy_backward(1.0, loss_cache), caches)


pruned = prune_layerwise(magnitude(theta), ones, density=0.3)
dead = pruned.vector == 0
memory = Momentum(0.9).init(theta.vector)  # a velocity with a history: 20 steps of dense training
warm = theta.copy()
for k in range(20):
    Momentum(0.9).step(warm.vector, gradient(warm, slice(64 * k, 64 * k + 64)).vector, memory, lr=0.05)

ways = {
    "1 zeroed once": dict(mask_gradient=False, clear=False, project=False),
    "2 gradient masked, memory kept": dict(mask_gradient=True, clear=False, project=False),
    "3 gradient masked, memory cleared": dict(mask_gradient=True, clear=True, project=False),
    "4 mask in the layer, projected": dict(mask_gradient=True, clear=False, project=True),
}
largest = {}
for name, way in ways.items():
    walker, velocity = warm * pruned, memory.slots["v"].copy()
    if way["clear"]:
        velocity = velocity * pruned.vector
    largest[name] = [0.0]
    for k in range(30):
        batch = slice(40 * k, 40 * k + 40)
        grad = gradient(walker, batch, pruned if way["project"] else None).vector
        if way["mask_gradient"]:
            grad = grad * pruned.vector
        velocity = 0.9 * velocity + grad
        walker = Parameters(walker.vector - 0.05 * velocity, net.layout)
        if way["project"]:
            walker = walker * pruned
        largest[name].append(float(abs(walker.vector[dead]).max()))
    revived = np.count_nonzero(walker.vector[dead])
    print(
        f"{name:34s} alive again: {100 * revived / dead.sum():5.1f} % of the pruned, the largest is {largest[name][-1]:.3f}"
    )
    assert (revived == 0) == (name[0] in "34")
    assert revived == 0 or revived > 0.5 * dead.sum()

# %%
# alt: Largest pruned weight against steps for four ways of training on. Zeroed once grows from the first step on; with a
#      masked gradient and kept memory it rises and levels off; the other two lie exactly on zero.
fig, ax = plt.subplots(figsize=(6.2, 3.4))
for (name, values), style in zip(largest.items(), ("-", "--", "-", ":")):
    ax.plot(values, style, linewidth=2, label=name)
ax.set(xlabel="step after pruning", ylabel="largest |pruned weight|", title="who comes back?")
ax.legend(fontsize=8)
plt.show()

# %% [markdown]
# The second way can be computed by hand. With the gradient masked, a dead weight obeys $v \leftarrow \mu v$,
# $w \leftarrow w - \eta v$ from its old velocity $v_0$:
#
# $$
# w_n = -\eta \sum_{t=1}^{n} \mu^t v_0 = -\eta\, \mu\, v_0\, \frac{1 - \mu^n}{1 - \mu} . \tag{M9}
# $$
#
# It runs on like a ball that nobody holds, nine times $\eta v_0$ far for $\mu = 0.9$.

# %%
v0 = memory.slots["v"][dead]
expected = abs(-0.05 * 0.9 * v0 * (1 - 0.9**30) / (1 - 0.9)).max()
print(
    f"largest leak after 30 steps: {largest['2 gradient masked, memory kept'][-1]:.6f}, by the formula {expected:.6f}"
)
assert math.isclose(largest["2 gradient masked, memory kept"][-1], expected, rel_tol=1e-4)  # float32

# %% [markdown]
# When do they stay at **exactly** 0 for ever? Either one projects after every step,
#
# $$
# \theta \leftarrow M \odot (\theta + \text{step}) , \tag{M10}
# $$
#
# or nothing may push them: for SGD, momentum, Nesterov, RMSProp and Adam, zeros stay zeros if
#
# $$
# \begin{gathered}
# \theta = 0, \qquad \text{gradient} = 0, \qquad \text{optimizer state} = 0 \qquad \text{where } M = 0, \\
# \text{and any decay is multiplicative.}
# \end{gathered} \tag{M16}
# $$
#
# All these optimizers act on each entry by itself, so both ways give the survivors *the same bits*. numpynet does
# both: `begin(..., weight_mask=M)` trains with the mask in the equation, and every step ends with the projection.
# (One thing breaks the equivalence: clipping by the norm of the whole *dense* gradient, which lets dead entries
# shorten the step of living ones. The clipped gradient must be the masked one.)

# %%
survivors = {}
for name in ("masked gradient", "dense gradient, then project"):
    walker, optimizer = warm * pruned, Adam()
    optimizer_state = optimizer.init(walker.vector)
    for k in range(25):
        batch = slice(50 * k, 50 * k + 50)
        grad = gradient(walker, batch, pruned if name == "masked gradient" else None).vector
        optimizer.step(walker.vector, grad, optimizer_state, lr=0.003)
        if name != "masked gradient":
            walker *= pruned
    survivors[name] = walker.vector
assert np.array_equal(survivors["masked gradient"], survivors["dense gradient, then project"])
assert (survivors["masked gradient"][dead] == 0).all()
print("25 steps of Adam: masking before and projecting after give the same bits; pruned weights are exactly 0")

# %% [markdown]
# ## Layer by layer, or all together?
#
# The rule of Equation (L2) can rank each layer by itself, or all weights together (*global*). They differ in what
# they depend on. Scale a ReLU unit: its incoming weights and bias times $c$, its outgoing weights divided by $c$. The
# network computes the same function. But a global ranking compares the two layers and changes its mind; a ranking
# within layers changes it only if *single units* are scaled, not if whole layers are.

# %%
scaled = theta.copy()
scaled["W1"] *= 1.5
scaled["b1"] *= 1.5
scaled["W2"] /= 1.5
before, after = (net.forward(t, data.test.x)[0] for t in (theta, scaled))
layerwise = [prune_layerwise(magnitude(t), ones, density=0.3).vector for t in (theta, scaled)]
globally = [prune_globally(magnitude(t), ones, density=0.3).vector for t in (theta, scaled)]
changed = (globally[0] != globally[1]).mean()
print(
    f"same function to {abs(before - after).max():.0e}; masks that differ: layerwise {(layerwise[0] != layerwise[1]).mean():.3f}, global {changed:.3f}"
)
assert abs(before - after).max() < 1e-3
assert (layerwise[0] != layerwise[1]).mean() < 1e-3 < 0.05 < changed

# %% [markdown]
# ## A smaller network
#
# A mask makes nothing faster: the zeros are multiplied like any other number. But some *units* are dead. Two kinds:
#
# * **Unheard**: all outgoing weights are pruned. Delete the unit.
# * **Deaf**: all incoming weights are pruned. It is not silent: it says $\phi(b_k)$, always the same. Add this
#   constant to the biases of the next layer, *then* delete it:
#
# $$
# b_{l+1} \leftarrow b_{l+1} + \phi(b_k)\, \big(M_{l+1} \odot W_{l+1}\big)_{k,:} . \tag{M11}
# $$
#
# A deletion may kill others, so one repeats until nothing changes. In the open, for a net pruned to 4 %, and with the
# fold forgotten on request:


# %%
def compact_by_hand(theta, mask, fold=True):
    """Delete dead hidden units of 64-60-40-10 until none is left; returns the weights and biases of the layers."""
    W = [theta[f"W{i}"] * mask[f"W{i}"] for i in (1, 2, 3)]
    M = [mask[f"W{i}"].copy() for i in (1, 2, 3)]
    b = [theta[f"b{i}"].copy() for i in (1, 2, 3)]
    passes, changed = 0, True
    while changed:
        changed, passes = False, passes + 1
        for layer in (0, 1):
            deaf, unheard = M[layer].sum(axis=0) == 0, M[layer + 1].sum(axis=1) == 0
            if fold:
                says = np.maximum(b[layer], 0) * deaf  # phi(b) of those that hear nothing
                b[layer + 1] = b[layer + 1] + says @ W[layer + 1]
            stays = ~(deaf | unheard)
            changed |= not stays.all()
            W[layer], M[layer], b[layer] = W[layer][:, stays], M[layer][:, stays], b[layer][stays]
            W[layer + 1], M[layer + 1] = W[layer + 1][stays], M[layer + 1][stays]
    return W, b, passes


sparse = prune_layerwise(magnitude(theta), ones, density=0.04)
(W1, W2, W3), (b1, b2, b3), passes = compact_by_hand(theta, sparse)
x = data.test.x
masked_logits, _ = net.forward(theta, x, weight_mask=sparse)  # (360, 10)
small_logits = np.maximum(np.maximum(x @ W1 + b1, 0) @ W2 + b2, 0) @ W3 + b3  # (360, 10)
(F1, F2, F3), (f1, f2, f3), _ = compact_by_hand(theta, sparse, fold=False)
forgetful = np.maximum(np.maximum(x @ F1 + f1, 0) @ F2 + f2, 0) @ F3 + f3

result = compact(net, theta, sparse)
print(
    f"64-60-40-10 becomes {W1.shape[0]}-{W1.shape[1]}-{W2.shape[1]}-10 in {passes} passes; outputs differ by {abs(small_logits - masked_logits).max():.0e}"
)
print(f"without the fold they differ by {abs(forgetful - masked_logits).max():.3f}")
print(textwrap.fill(f"numpynet: {result.report}", 100))
assert abs(small_logits - masked_logits).max() < 1e-4 < 1e-2 < abs(forgetful - masked_logits).max()
assert result.net.sizes == (64, W1.shape[1], W2.shape[1], 10)
assert np.allclose(result.theta["W2"], W2) and np.allclose(result.theta["b3"], b3, atol=1e-5)
assert W1.shape[1] < 60

# %%
# alt: Left, the weight mask of the second layer at four per cent density, 60 rows and 40 columns of mostly empty cells, with
#      whole rows and columns empty. Right, what is left of it after compaction, a smaller and denser grid.
fig, axes = plt.subplots(1, 2, figsize=(7.4, 4.0))
for ax, grid, title in (
    (axes[0], sparse["W2"], "mask of layer 2 at 4 %"),
    (axes[1], result.weight_mask["W2"], "after compaction"),
):
    ax.imshow(grid, cmap="Blues", vmin=0, vmax=1.2, interpolation="nearest")
    ax.set(
        title=f"{title}: {grid.shape[0]} x {grid.shape[1]}",
        xlabel="unit of layer 2",
        ylabel="unit of layer 1",
        xlim=(-0.5, 39.5),
        ylim=(59.5, -0.5),
    )
    ax.grid(False)
plt.show()

# %% [markdown]
# **No rescaling.** Dropout divides by $q$ because its units come back in evaluation. A pruned net stays as it is:
#
# $$
# \text{pruned layer} = M \odot W, \quad \text{not } M \odot W / \text{density} . \tag{M15}
# $$
#
# A ticket is one particular network, not an average over many; "making up for" the lost weights is a bug that has
# been imported from dropout.

# %%
at_half = prune_layerwise(magnitude(theta), ones, density=0.5)
plain = evaluate(net, theta, data.test, weight_mask=at_half)
blown_up = theta.copy()
for name in net.layout.weight_names:
    blown_up[name] /= 0.5
rescaled = evaluate(net, blown_up, data.test, weight_mask=at_half)
print(f"half of the weights pruned: test loss {plain[0]:.3f} as it is, {rescaled[0]:.3f} divided by the density")
assert rescaled[0] > 1.3 * plain[0]

# %% [markdown]
# ## Exercises
#
# > **Exercise 11.1** At rate 0.2, from how many weights on does a round remove none? Can a layer ever become empty?
#
# <details><summary>Answer</summary>
#
# $\lfloor 0.2\,a + \frac12 \rfloor = 0$ means $0.2\,a < \frac12$, so $a \le 2$: two weights stay for ever. Only rates
# of $\frac12$ and more can empty a layer.
#
# </details>
#
# > **Exercise 11.2** A method ranks `abs(W * mask)` over *all* entries, dead ones included, and removes the 20 %
# > lowest of all entries in every round. What happens in round 2?
#
# <details><summary>Answer</summary>
#
# The dead entries have the score 0, so they are the lowest: the second round removes what is dead already, and
# nothing else. The density stays at 80 % for ever.
#
# </details>
#
# > **Exercise 11.3** Plain SGD has no memory. Is way 1 then harmless if the gradient is dense but the pruned *inputs*
# > are always 0 in the data?
#
# <details><summary>Answer</summary>
#
# For weights of the first layer at such an input, yes: $G = X^\top dZ$ has rows of zeros where a column of $X$ is 0.
# In general, no.
#
# </details>

# %%
assert prune_count(0.2, 2) == 0 and prune_count(0.2, 3) == 1
stuck = np.ones(100)
values = np.abs(rng.standard_normal(100))
for _ in range(3):
    lowest = np.argsort(values * stuck, kind="stable")[:20]
    stuck[lowest] = 0
assert stuck.sum() == 80  # exercise 11.2
always_empty = np.flatnonzero(data.train.x.max(axis=0) == 0)  # corner pixels that never have ink
assert always_empty.size > 0
walker = theta.copy()
SGD().step(walker.vector, gradient(theta, slice(0, 200)).vector, SGD().init(walker.vector), lr=0.1)
assert np.array_equal(walker["W1"][always_empty], theta["W1"][always_empty])  # exercise 11.3
first_round = magnitude_mask(theta, rate=0.2)
assert alive_counts(first_round) == {"W1": 3072, "W2": 1920, "W3": 360}  # the last layer at half the rate

# %% [markdown]
# ## What to read next
#
# Tutorial 12: prune, then go *back* to the initial weights and train the survivors alone. That is the lottery ticket.

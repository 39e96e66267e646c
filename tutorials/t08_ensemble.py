# %% [markdown]
# # Tutorial 8: See dropout as 2^n networks
#
# **What you will do.** List *every* network that hides in a small net with dropout, run all of them, and compare
# their common answer with the one pass that everybody uses instead.
#
# **What you will learn.** Which mean that one pass computes, when it does so exactly and when it only comes close;
# how many random masks replace the whole list; and what the disagreement of the networks says about how sure the net
# is.
#
# **What you will need.** Tutorials 3 and 7. Under ten seconds.

# %%
from numpynet import threads

threads.set_default()  # one thread, before NumPy is imported

import itertools

import matplotlib.pyplot as plt
import numpy as np

from numpynet.data import load_digits, make_xor
from numpynet.equations import log_softmax, normalized_geometric_mean, predict, softmax
from numpynet.figures import COLOURS, STYLE
from numpynet.network import MLP
from numpynet.optimizers import Adam
from numpynet.parameters import Parameters
from numpynet.plan import TrainingPlan
from numpynet.seeding import streams
from numpynet.subnetworks import every_subnetwork, list_subnetworks, monte_carlo
from numpynet.training import begin, train

plt.rcParams.update(STYLE)
rng = np.random.default_rng(8)

# %% [markdown]
# ## A net, and the nets in it
#
# Two inputs, ten hidden units with dropout, two classes. Each of the ten may be there or not: $2^{10} = 1024$
# *subnetworks*, which share their weights. Dropout trains a random few of them in each step. With ten units we can do
# what nobody can do with five hundred: run them all.

# %%
q = 0.7
data = make_xor(streams(0).split, 300, noise=0.35, dtype=np.float64)
net = MLP((2, 10, 2), keep_prob=q)
plan = TrainingPlan(epochs=60, batch_size=50, optimizer=Adam(), schedule=0.01, dtype="float64")
state = begin(net, plan, data, seed=0)
history = list(train(state, data, monitors={"train": data}))
theta = state.theta
print(f"trained with keep_prob {q}: accuracy {100 * history[-1].accuracy['train']:.1f} % (evaluation)")
assert history[-1].accuracy["train"] > 0.95

x = rng.uniform(-1.6, 1.6, (40, 2))  # (N, 2) points to ask about
hidden = np.maximum(x @ theta["W1"] + theta["b1"], 0)  # (N, 10)
masks = np.array(list(itertools.product((0.0, 1.0), repeat=10)))  # (1024, 10)
chance = (q**masks * (1 - q) ** (1 - masks)).prod(axis=-1)  # (1024,)
logits = (masks[:, None, :] * hidden / q) @ theta["W2"] + theta["b2"]  # (1024, 1, 10) * (N, 10) -> (1024, N, 2)

library_logits, library_chance = every_subnetwork(net, theta, x)
library_masks = list_subnetworks(net)[0][1][:, 0]  # (1024, 10), in another order: unit 0 counts fastest
place = np.lexsort(library_masks.T[::-1])  # sorted like ours
assert np.array_equal(library_masks[place], masks)
assert np.allclose(library_logits[place], logits, rtol=0, atol=1e-12)
assert np.allclose(library_chance[place], chance, rtol=1e-12)
print(f"{len(masks)} subnetworks, {logits.size} logits; probabilities add up to {chance.sum():.15f}")

# %%
# alt: Six maps of the plane with four clouds of points in the corners. The first four are the decision regions of single
#      subnetworks, some of which cut a corner off wrongly. The fifth, the mean of all 1024, and the sixth, the single
#      pass without masks, look almost alike and are right at all four corners.
side = np.linspace(-2, 2, 61)
plane = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)  # (3721, 2)
plane_logits, plane_chance = every_subnetwork(net, theta, plane)  # (1024, 3721, 2)
plane_p = softmax(plane_logits)[..., 1]  # (1024, 3721)
chosen = rng.choice(1024, size=4, p=plane_chance, replace=False)
single_pass = softmax(net.forward(theta, plane)[0])[:, 1]
panels = [(f"subnetwork {s}", plane_p[s]) for s in chosen]
panels += [("mean of all 1024", plane_chance @ plane_p), ("one pass, no mask", single_pass)]
fig, axes = plt.subplots(2, 3, figsize=(8.0, 5.2), sharex=True, sharey=True)
for ax, (title, p) in zip(axes.flat, panels):
    ax.contourf(side, side, p.reshape(61, 61), levels=np.linspace(0, 1, 11), cmap="PuOr", alpha=0.9)
    for label, marker in ((0, "o"), (1, "^")):
        ax.plot(*data.x[data.y == label][:40].T, marker, color="k", markersize=2.5)
    ax.set(title=title, aspect="equal")
    ax.grid(False)
plt.show()

right = (softmax(every_subnetwork(net, theta, data.x)[0]).argmax(axis=-1) == data.y).mean(axis=-1)  # (1024,)
print(
    f"accuracy of single subnetworks {100 * right.min():.0f} to {100 * right.max():.0f} %, mean by probability {100 * chance @ right[place]:.1f} %"
)
assert right.min() < 0.8 < history[-1].accuracy["train"]

# %% [markdown]
# ## What the masks do to one pre-activation
#
# Before any softmax: for one example with hidden activations $h$ the pre-activation is
# $z_j = \sum_i \frac{d_i h_i}{q} W_{ij} + b_j$, a sum of independent random terms. Means add, and so do covariances
# of independent terms:
#
# $$
# E[z] = h W + b, \qquad \mathrm{Cov}(z_j, z_k) = \frac{1 - q}{q} \sum_i h_i^2\, W_{ij} W_{ik} . \tag{D3}
# $$
#
# The outputs of one layer are *correlated*: they lose the same units. (Dropping single weights, DropConnect, has no
# such correlation.)

# %%
z = logits[:, 0]  # (1024, 2): the first example
mean = chance @ z  # (2,)
covariance = (chance[:, None] * (z - mean)).T @ (z - mean)  # (2, 2)
formula = (1 - q) / q * (hidden[0] ** 2 * theta["W2"].T) @ theta["W2"]  # (2, 10) @ (10, 2)
print(
    "covariance over 1024 masks", covariance.ravel().round(6), "\nformula                   ", formula.ravel().round(6)
)
assert np.allclose(mean, hidden[0] @ theta["W2"] + theta["b2"], rtol=0, atol=1e-12)
assert np.allclose(covariance, formula, rtol=0, atol=1e-11)

# %% [markdown]
# ## Three ways to ask everybody
#
# The ensemble's answer should be a mean of 1024 softmax outputs. But which mean? The *arithmetic* one adds
# probabilities. The *normalised geometric* one multiplies them, each to the power of its weight, and divides by the
# sum. And what everybody computes is neither: **one pass without masks** ("weight scaling").
#
# **Weight scaling is the normalised geometric mean.** Take the logarithm of the product over masks, for one example
# and class $k$:
#
# $$
# \ln \prod_m p_k(m)^{P(m)} = \sum_m P(m) \big( z_k(m) - \mathrm{LSE}(z(m)) \big) = E[z_k] - \underbrace{E[\mathrm{LSE}(z)]}_{\text{the same for every } k} .
# $$
#
# What is the same for every class cancels when one normalises, so what is left is the softmax of $E[z]$. And
# $E[z] = h W + b$, by Equation (D3), is the pass without masks:
#
# $$
# \frac{\prod_m p_k(m)^{P(m)}}{\sum_j \prod_m p_j(m)^{P(m)}} = \mathrm{softmax}(h W + b)_k . \tag{D10}
# $$
#
# No approximation anywhere, as long as $h$ itself is not random, that is, as long as **the last layer's input is the
# only place with dropout** (Equation (D11)).

# %%
p = softmax(logits)  # (1024, N, 2)
arithmetic = np.tensordot(chance, p, axes=1)  # (N, 2)
log_geometric = np.tensordot(chance, np.log(p), axes=1)  # (N, 2)
geometric = np.exp(log_geometric) / np.exp(log_geometric).sum(axis=-1, keepdims=True)  # (N, 2)
scaling = softmax(net.forward(theta, x)[0])  # (N, 2): one pass

print(f"weight scaling against the geometric mean of 1024 nets : {abs(scaling - geometric).max():.0e}")
print(f"weight scaling against the arithmetic mean             : {abs(scaling - arithmetic).max():.3f}")
assert np.allclose(scaling, geometric, rtol=0, atol=1e-12)
assert np.allclose(geometric, normalized_geometric_mean(p, chance), rtol=0, atol=1e-12)
assert abs(scaling - arithmetic).max() > 0.01

# %% [markdown]
# **Pitfall: "weight scaling is exact".** With dropout *inside*, in front of another ReLU, it is a mere approximation:
# $E[\phi(z)] \ne \phi(E[z])$. We train a net with two hidden layers, both with dropout, and ask its 1024 subnetworks.

# %%
deep = MLP((2, 6, 4, 2), keep_prob=q)
deep_state = begin(deep, plan, data, seed=1)
for _record in train(deep_state, data):
    pass
deep_logits, deep_chance = every_subnetwork(deep, deep_state.theta, x)  # (1024, N, 2)
deep_geometric = softmax(np.tensordot(deep_chance, log_softmax(deep_logits), axes=1))
deep_scaling = softmax(deep.forward(deep_state.theta, x)[0])
gap = abs(deep_scaling - deep_geometric).max(axis=-1)
print(
    f"dropout in two layers: one pass and geometric mean differ by up to {gap.max():.3f}, median {np.median(gap):.3f}"
)
assert gap.max() > 0.01

# %% [markdown]
# ## Why the training loss is above the evaluation loss
#
# The log-sum-exp is convex, so $E[\mathrm{LSE}(z)] \ge \mathrm{LSE}(E[z])$ (Jensen). Put that into
# $E[\ln p_y] = E[z_y] - E[\mathrm{LSE}(z)]$:
#
# $$
# \ln p_{\text{eval}}(y) \ge E_m \ln p(y \mid m) . \tag{D12}
# $$
#
# The expected loss with masks is never below the loss without, for each example and either label, again with dropout
# in front of the last layer only. The difference is the price that dropout puts on unreliable units; Tutorial 9
# computes it.

# %%
expected = np.tensordot(chance, log_softmax(logits), axes=1)  # (N, 2): E ln p for both labels
evaluated = log_softmax(net.forward(theta, x)[0])
price = evaluated - expected
print(f"price of the masks, in nats: {price.min():.4f} to {price.max():.4f}")
assert price.min() > -1e-12
assert np.allclose(price[:, 0], price[:, 1], rtol=0, atol=1e-12)  # it does not depend on the label

# %% [markdown]
# ## Too many units: Monte Carlo
#
# Five hundred hidden units have $10^{150}$ subnetworks. Draw $T$ masks at random and average:
#
# $$
# \bar p_T = \frac{1}{T} \sum_{t=1}^{T} p(y \mid m_t) \;\longrightarrow\; E_m\, p(y \mid m) \quad (T \to \infty), \tag{D15}
# $$
#
# with an error that falls like $1/\sqrt T$. It goes to the *arithmetic* mean. It does not go to weight scaling,
# however large $T$ is.

# %%
counts = [4, 16, 64, 256, 1024, 4096]
to_arithmetic, to_scaling = [], []
samples = softmax(monte_carlo(net, theta, x, streams(0).dropout, 8 * 4096)).reshape(8, 4096, 40, 2)  # 8 repetitions
for T in counts:
    mean_T = samples[:, :T].mean(axis=1)  # (8, N, 2)
    to_arithmetic.append(np.sqrt(((mean_T - arithmetic) ** 2).mean()))
    to_scaling.append(np.sqrt(((mean_T - scaling) ** 2).mean()))
rate = np.polyfit(np.log(counts), np.log(to_arithmetic), 1)[0]
print(
    f"error against T falls with slope {rate:.2f} (1/sqrt(T) is -0.5); the distance to weight scaling stays at {to_scaling[-1]:.3f}"
)
assert abs(rate + 0.5) < 0.1
assert to_scaling[-1] > 5 * to_arithmetic[-1]

# %%
# alt: Two curves against the number of masks, both axes logarithmic. The distance to the arithmetic mean falls along a
#      straight line; the distance to weight scaling levels off.
fig, ax = plt.subplots()
ax.loglog(counts, to_arithmetic, "o-", label="distance to the arithmetic mean of all 1024")
ax.loglog(counts, to_scaling, "s-", label="distance to weight scaling")
ax.set(xlabel="number of masks T", ylabel="root mean square distance", ylim=(1e-3, None))
ax.legend(fontsize=8)
plt.show()

# %% [markdown]
# **Pitfall: the frozen mask.** If the generator is made anew with the same seed inside the loop, all $T$ masks are
# one mask. The mean looks fine; the variance is exactly 0, and so a net looks sure of everything.

# %%
frozen = np.concatenate([softmax(monte_carlo(net, theta, x, np.random.default_rng(0), 1)) for _ in range(30)])
alive = softmax(monte_carlo(net, theta, x, np.random.default_rng(0), 30))
print(
    f"largest variance over 30 passes: {frozen.var(axis=0).max():.3f} with the seed set inside the loop, {alive.var(axis=0).max():.3f} as it should be"
)
assert frozen.var(axis=0).max() < 1e-30 < 1e-3 < alive.var(axis=0).max()

# %% [markdown]
# ## Disagreement as a measure of doubt
#
# The subnetworks may agree that a case is unclear, each giving half and half. Or each may be sure, and they
# contradict each other. The entropy $\mathrm H[p] = -\sum_k p_k \ln p_k$ of the mean is large in both cases; what
# tells them apart is how much of it the single networks have themselves:
#
# $$
# \underbrace{\mathrm H\big[E_m\, p\big]}_{\text{all doubt}} - \underbrace{E_m\, \mathrm H[p]}_{\text{each one's own}} = \underbrace{E_m\, \mathrm{KL}\big(p \,\|\, E_m\, p\big)}_{\text{disagreement}} \ge 0 . \tag{D16}
# $$
#
# The right side, with the Kullback-Leibler divergence $\mathrm{KL}(p \| r) = \sum_k p_k \ln (p_k / r_k)$, is called
# the *mutual information*; Gal and Ghahramani (2016) use it as the part of the doubt that more data could remove. To
# see that both sides are equal, write the KL out: $E \sum p \ln p - E \sum p \ln \bar p$, and in the second term
# $E\,p = \bar p$.

# %%
all_doubt = -(arithmetic * np.log(arithmetic)).sum(axis=-1)  # (N,)
own = chance @ -(p * np.log(p)).sum(axis=-1)  # (N,)
disagreement = chance @ (p * np.log(p / arithmetic)).sum(axis=-1)  # (N,)
answer = predict(logits, chance)
print(f"largest difference of the two sides: {abs(all_doubt - own - disagreement).max():.0e}")
assert np.allclose(all_doubt - own, disagreement, rtol=0, atol=1e-12)
assert np.allclose(disagreement, answer.mutual_information, rtol=0, atol=1e-12)
assert disagreement.min() > -1e-12

# %% [markdown]
# Now on digits. A net with dropout is trained on them, and we let one digit fade into another. Nobody knows what a
# half-and-half is, and the net should say so.

# %%
digits = load_digits()
reader = MLP((64, 100, 10), keep_prob=0.7)
reader_state = begin(reader, TrainingPlan(epochs=12, optimizer=Adam(), schedule=3e-3), digits.train, seed=0)
records = list(train(reader_state, digits.train, monitors={"test": digits.test}))
first = digits.test.x[np.flatnonzero(digits.test.y == 4)[0]]
second = digits.test.x[np.flatnonzero(digits.test.y == 0)[0]]
blend = np.linspace(0, 1, 25, dtype=np.float32)[:, None]
fade = (1 - blend) * first + blend * second  # (25, 64)
opinion = predict(monte_carlo(reader, reader_state.theta, fade, streams(0).dropout, 500))
test_opinion = predict(monte_carlo(reader, reader_state.theta, digits.test.x, streams(1).dropout, 200))
wrong = test_opinion.probabilities.argmax(axis=-1) != digits.test.y
doubt = test_opinion.mutual_information
print(
    f"test accuracy {100 * records[-1].accuracy['test']:.1f} %; disagreement on {wrong.sum()} wrong answers {doubt[wrong].mean():.3f}, on right ones {doubt[~wrong].mean():.3f} nats"
)
assert records[-1].accuracy["test"] > 0.95
assert doubt[wrong].mean() > 2 * doubt[~wrong].mean()
assert opinion.mutual_information[5:20].max() > 2 * max(opinion.mutual_information[0], opinion.mutual_information[-1])

# %%
# alt: Above, five pictures in which a 4 fades into a 0. Below, against the share of the 0: the probability of the 4 falls
#      from one, that of the 0 rises to one, and the mutual information is small at both ends with a hump between.
fig, (top, ax) = plt.subplots(2, 1, figsize=(6.2, 4.6), height_ratios=(1, 3))
top.imshow(np.hstack([np.pad(f.reshape(8, 8), 1) for f in fade[::6]]), cmap="Greys")
top.set(xticks=[], yticks=[], title="a 4 fades into a 0")
top.grid(False)
ax.plot(blend, opinion.probabilities[:, 4], label="probability of 4")
ax.plot(blend, opinion.probabilities[:, 0], "--", label="probability of 0")
ax.plot(blend, opinion.mutual_information, ":", color=COLOURS[3], linewidth=2.5, label="disagreement, in nats")
ax.set(xlabel="share of the 0", ylim=(0, 1.05))
ax.legend(fontsize=8)
plt.show()

# %% [markdown]
# This is a measure of *disagreement among masks*, no more. That it is larger on wrong answers was checked above for
# this net; it is no guarantee far away from the data, where all subnetworks may be sure of the same nonsense.
#
# ## Exercises
#
# > **Exercise 8.1** For a net that is *linear* up to the logits, with dropout on both layers and independent masks,
# > is weight scaling still the geometric mean?
#
# <details><summary>Answer</summary>
#
# Yes: all that was used is $E[z] = $ the pass without masks, and for products of independent factors the mean of the
# product is the product of the means. If the *same* mask is used in two layers it is not: $E[d_i d_i] = q$, not
# $q^2$.
#
# </details>
#
# > **Exercise 8.2** Averaging *logits* over masks and taking the softmax once: which of the three means is that?
#
# <details><summary>Answer</summary>
#
# The normalised geometric mean: by the derivation above the softmax of $E[z]$ is exactly that.
#
# </details>
#
# > **Exercise 8.3** Does Equation (D12) hold if the input layer has dropout and a ReLU follows?
#
# <details><summary>Answer</summary>
#
# No. Then $E[z]$ is not the pass without masks, and the inequality may go either way. The code below looks for a
# counterexample among random nets.
#
# </details>

# %%
linear_nets, below = 300, 0
small = MLP((3, 4, 2), keep_prob=(q, None))  # dropout on the inputs, ReLU behind it
for seed in range(linear_nets):
    draw = np.random.default_rng(seed)
    weights = Parameters(draw.standard_normal(small.layout.size), small.layout)
    one = draw.standard_normal((1, 3))
    every, probability = every_subnetwork(small, weights, one)
    difference = log_softmax(small.forward(weights, one)[0]) - np.tensordot(probability, log_softmax(every), axes=1)
    below += bool((difference < -1e-9).any())
print(f"input dropout: Equation (D12) is false for some label in {below} of {linear_nets} random nets")
assert below > 0
assert np.allclose(softmax(np.tensordot(chance, logits, axes=1)), geometric, rtol=0, atol=1e-12)  # exercise 8.2

# %% [markdown]
# ## What to read next
#
# A subnetwork is a mask, and a mask is a subnetwork. Dropout averages over all of them; a lottery ticket
# (Tutorial 12) is *one* of them, chosen and kept. First, Tutorial 9 computes what dropout costs and what one gets for
# it: for linear models it is a penalty that can be written down.

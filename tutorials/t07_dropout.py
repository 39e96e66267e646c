# %% [markdown]
# # Tutorial 7: Drop units: one mask, forward and backward
#
# **What you will do.** Draw a mask, put it into a network, bring it back through the gradient, and try every way of
# doing it wrong that has been published, among them that of a widely read page on NumPy and MNIST.
#
# **What you will learn.** Why the units that stay are divided by $q$ (and when they are not); why the way back must
# use the mask of the way forward; and why a network with wrong gradients trains all the same.
#
# **What you will need.** Tutorials 2, 4 and 6. Under ten seconds.

# %%
from numpynet import threads

threads.set_default()  # one thread, before NumPy is imported

import itertools

import matplotlib.pyplot as plt
import numpy as np

from numpynet.data import Split, load_digits
from numpynet.equations import (
    inverted_dropout_backward,
    inverted_dropout_forward,
    sample_mask,
    softmax_cross_entropy_backward,
    softmax_cross_entropy_forward,
    standard_dropout_evaluate,
    standard_dropout_forward,
)
from numpynet.figures import COLOURS, STYLE
from numpynet.gradcheck import complex_step
from numpynet.network import MLP
from numpynet.optimizers import SGD
from numpynet.plan import TrainingPlan
from numpynet.seeding import streams
from numpynet.subnetworks import standard_to_inverted, without_scale
from numpynet.training import begin, train

plt.rcParams.update(STYLE)
rng = np.random.default_rng(7)

# %% [markdown]
# ## The idea, and the law of the mask
#
# In every training step, and for every example, each hidden unit is switched off with probability $1 - q$. A unit
# that may be missing cannot be relied upon, so the others learn to do without it. That is **dropout** (Srivastava et
# al. 2014). $q$, `keep_prob`, is the probability that a unit *stays*.
#
# For one example with hidden activations $h \in \mathbb{R}^{d}$ the mask $d \in \{0, 1\}^{d}$ has the law
#
# $$
# \begin{gathered}
# P(d) = \prod_i q^{d_i} (1 - q)^{1 - d_i}, \\
# E\Big[\frac{d_i h_i}{q}\Big] = h_i, \qquad \mathrm{Var}\Big[\frac{d_i h_i}{q}\Big] = h_i^2\, \frac{1 - q}{q} .
# \end{gathered} \tag{D1}
# $$
#
# The mean: $d_i$ is 1 with probability $q$, so $E[d_i] = q$. The variance: $d_i^2 = d_i$, so
# $\mathrm{Var}[d_i] = q - q^2 = q(1-q)$, times $(h_i/q)^2$. With four units there are only $2^4 = 16$ masks; we list
# them all and compute the mean without any chance.

# %%
h, q = np.array([0.5, -1.0, 2.0, 1.5]), 0.7
masks = np.array(list(itertools.product((0.0, 1.0), repeat=4)))  # (16, 4)
chance = (q**masks * (1 - q) ** (1 - masks)).prod(axis=-1)  # (16,)
kept = masks * h / q  # (16, 4)
mean = chance @ kept  # (4,)
variance = chance @ (kept - mean) ** 2  # (4,)
print("probabilities of the 16 masks add up to", chance.sum().round(15))
print("mean over all masks", mean, "   variance", variance.round(4))
assert abs(chance.sum() - 1) < 1e-15
assert np.allclose(mean, h, rtol=0, atol=1e-14)
assert np.allclose(variance, h**2 * (1 - q) / q, rtol=0, atol=1e-14)

# %% [markdown]
# Drawing is one line: compare uniform numbers with $q$. How far may the share of ones be from $q$? By Hoeffding's
# inequality, for $n$ entries and with a probability of failure of $10^{-9}$,
#
# $$
# |\hat q - q| \le \sqrt{\frac{\ln(2 \cdot 10^9)}{2 n}} . \tag{D6}
# $$
#
# A bound with a known risk is a test; "roughly 0.7" is not.

# %%
n = 1_000_000
bound = np.sqrt(np.log(2e9) / (2 * n))
for keep_prob in (0.3, 0.7, 0.9):
    by_hand = (np.random.default_rng(1).random(n, dtype=np.float32) < keep_prob).astype(np.float32)
    assert np.array_equal(by_hand, sample_mask(np.random.default_rng(1), n, keep_prob))  # the library's line
    print(f"q = {keep_prob}: share of ones {by_hand.mean():.5f}, allowed are +-{bound:.5f}")
    assert abs(by_hand.mean(dtype=np.float64) - keep_prob) < bound

# %% [markdown]
# ## Two conventions
#
# Somewhere the missing share of the signal has to be made up for. There are two places, and the confusion between
# them is the oldest bug of dropout.
#
# | | training | evaluation |
# |---|---|---|
# | *inverted* (numpynet, and most code today) | $d \odot h / q$ | $h$ |
# | *standard* (the paper) | $d \odot h$ | $q\, h$ |
#
# They are one thing seen from two sides. With the weights behind it scaled,
# $W_\text{inverted} = q\, W_\text{standard}$, both compute the same, mask by mask and in evaluation:
#
# $$
# (d \odot h)\, W = \Big(\frac{d \odot h}{q}\Big) (q\, W) . \tag{D2}
# $$

# %%
N, d, d_out = 6, 5, 3
H, W = rng.standard_normal((N, d)), rng.standard_normal((d, d_out))  # (N, d), (d, d_out)
D = sample_mask(rng, (N, d), q, dtype=H.dtype)  # (N, d), one row for each example
standard, _ = standard_dropout_forward(H, D)
inverted, cache = inverted_dropout_forward(H, D, q)
assert np.array_equal(standard, D * H) and np.array_equal(inverted, D * H / q)
assert np.allclose(standard @ W, inverted @ (q * W), rtol=0, atol=1e-14)
assert np.array_equal(standard_dropout_evaluate(H, q), q * H)
print("training and evaluation agree between the conventions, if the weights differ by q")

# %% [markdown]
# **Pitfall: never, or twice.** Mix the table's rows and the signal in the evaluation is not the one that the network
# was trained with:

# %%
ones = np.ones((20_000, 50))
many = sample_mask(rng, ones.shape, 0.8, dtype=ones.dtype)
for name, training, evaluation in (
    ("inverted", many * ones / 0.8, ones),
    ("standard", many * ones, 0.8 * ones),
    ("scaled never", many * ones, ones),
    ("scaled twice", many * ones / 0.8, 0.8 * ones),
):
    ratio = evaluation.mean() / training.mean()
    print(f"{name:13s} mean in training {training.mean():.3f}, in evaluation {evaluation.mean():.3f}")
    assert (abs(ratio - 1) < 0.01) == (name in ("inverted", "standard"))

# %% [markdown]
# ## The way back
#
# With the mask a fixed array, $\tilde H = D \odot H / q$ is about the simplest function there is: entry by entry
# $\tilde H_{ni} = (D_{ni}/q)\, H_{ni}$, so $\partial \tilde H_{ni} / \partial H_{ni} = D_{ni}/q$, and
#
# $$
# \underbrace{dH}_{(N, d)} = \frac{1}{q}\, \underbrace{D}_{(N, d)} \odot \underbrace{d\tilde H}_{(N, d)} . \tag{B3}
# $$
#
# The **same** $D$ and the same $1/q$. A dropped unit had no influence, so it gets no gradient; a kept unit was
# amplified, so its gradient is amplified. Four mistakes, held against the complex step of Tutorial 5:

# %%
dH_kept = rng.standard_normal((N, d))  # a random upstream gradient, never ones
truth = complex_step(lambda a: (dH_kept * (D * a / q)).sum(), H)
fresh = sample_mask(rng, (N, d), q, dtype=H.dtype)
right = D * dH_kept / q
assert np.allclose(right, truth, rtol=0, atol=1e-14)
assert np.array_equal(inverted_dropout_backward(dH_kept, cache), right)

for name, wrong in (
    ("1/q forgotten", D * dH_kept),
    ("mask forgotten", dH_kept / q),
    ("keep and drop swapped", D * dH_kept / (1 - q)),
    ("another mask drawn", fresh * dH_kept / q),
):
    spurious = (wrong != 0) & (truth == 0)
    missing = (wrong == 0) & (truth != 0)
    ratios = np.unique((wrong[(truth != 0) & (wrong != 0)] / truth[(truth != 0) & (wrong != 0)]).round(9))
    print(
        f"{name:22s} ratio {ratios}, gradient where there is none: {spurious.sum()}, none where there is one: {missing.sum()}"
    )
    assert abs(wrong - truth).max() > 0.1

# %% [markdown]
# Each mistake has a face of its own: a constant ratio that is a function of $q$, gradient at dropped units, or both
# kinds of misplaced entries. Tutorial 16 reads such faces. At $q = \frac12$ the third has the ratio 1: *it is
# invisible there*. Never test dropout at 0.5 alone.

# %%
# alt: Four maps of 6 by 5 cells. The mask of the forward pass, the right gradient with white cells exactly where the mask
#      is zero, the gradient without mask, coloured everywhere, and the gradient with another mask, whose white cells are elsewhere.
fig, axes = plt.subplots(1, 4, figsize=(9.0, 3.3))
limit = abs(truth).max()
axes[0].imshow(D, cmap="Greys", vmin=0, vmax=1.4)
for ax, array in zip(axes[1:], (right, dH_kept / q, fresh * dH_kept / q)):
    ax.imshow(np.where(array == 0, np.nan, array), cmap="PuOr", vmin=-limit, vmax=limit)
for ax, title in zip(axes, ("mask D", "right", "mask forgotten", "another mask")):
    ax.set(title=title, xticks=[], yticks=[], xlabel="unit")
    ax.grid(False)
axes[0].set_ylabel("example")
plt.show()

# %% [markdown]
# ## Before or after the activation?
#
# The mask goes on the *activation* $h = \phi(z)$, that is, on the input of the next layer. Does it matter? The two
# orders agree,
#
# $$
# \phi\Big(\frac{d \odot z}{q}\Big) = \frac{d \odot \phi(z)}{q} \quad \text{for all } q , \tag{D30}
# $$
#
# if and only if $\phi(c z) = c\,\phi(z)$ for $c \ge 0$. ReLU does that. tanh does not, and for the sigmoid even a
# dropped unit is not silent: $\sigma(0) = \frac12$.

# %%
z = rng.standard_normal((N, d))
for name, phi in (("ReLU", lambda a: np.maximum(a, 0)), ("tanh", np.tanh), ("sigmoid", lambda a: 1 / (1 + np.exp(-a)))):
    gap = abs(phi(D * z / q) - D * phi(z) / q).max()
    print(f"{name:8s} mask before against after the activation: {gap:.3f}")
    assert (gap < 1e-14) == (name == "ReLU")

# %% [markdown]
# ## A training step with the mask in the open
#
# Nothing is hidden in a layer: the loop draws the masks, hands them in, and the backward pass finds them in the
# cache. This is the loop of Tutorial 6 with one more line. Data order and masks come from two streams of one seed, so
# switching dropout on does not shuffle the data differently.

# %%
digits = load_digits(dtype=np.float64)
split = Split(digits.train.x[:1400], digits.train.y[:1400])
net = MLP((64, 40, 10), keep_prob=0.7)
theta_0 = net.init(streams(0).init, dtype=np.float64)

theta, random = theta_0.copy(), streams(0)
for _ in range(2):
    order = random.batches.permutation(1400)
    for first in range(0, 1400, 50):
        batch = order[first : first + 50]
        unit_masks = net.sample_unit_masks(random.dropout, (50,), dtype=np.float64)  # [None, (50, 40)], fresh
        logits, caches = net.forward(theta, split.x[batch], unit_masks=unit_masks)
        loss, loss_cache = softmax_cross_entropy_forward(logits, split.y[batch])
        gradients = net.backward(softmax_cross_entropy_backward(1.0, loss_cache), caches)
        theta = theta - 0.1 * gradients

plan = TrainingPlan(epochs=2, batch_size=50, optimizer=SGD(), schedule=0.1, dtype="float64")
state = begin(net, plan, split, seed=0, theta_0=theta_0)
for _record in train(state, split):
    pass
print("our loop and the library's: equal bits", np.array_equal(theta.vector, state.theta.vector))
assert np.array_equal(theta.vector, state.theta.vector)

# %% [markdown]
# Evaluation has no dropout code at all: it is the same forward pass without masks. So it is deterministic, and the
# training loss (with masks) and the evaluation loss (without) of the same net differ. A training loss above the test
# loss is no miracle when dropout is on.

# %%
with_masks, without = [], softmax_cross_entropy_forward(net.forward(theta, split.x)[0], split.y)[0]
for _ in range(20):
    unit_masks = net.sample_unit_masks(rng, (1400,), dtype=np.float64)
    with_masks.append(softmax_cross_entropy_forward(net.forward(theta, split.x, unit_masks=unit_masks)[0], split.y)[0])
print(f"loss on the training examples: {np.mean(with_masks):.3f} with masks (20 draws), {without:.3f} without")
assert np.array_equal(net.forward(theta, split.x)[0], net.forward(theta, split.x)[0])
assert min(with_masks) > without

# %% [markdown]
# ## The two conventions, in training
#
# In Equation (D2) the weights differ by $q$. Follow both through a whole training: if $V = q W$, the gradients are
# related by $dW = q\, dV$ (chain rule), so one SGD step gives
#
# $$
# V' = q W' = q (W - \eta\, dW) = V - q^2 \eta\, dV . \tag{D4}
# $$
#
# Standard dropout with learning rate $\eta$ *is* inverted dropout with $q^2 \eta$, in each layer with its own $q$.
# Whoever switches the convention and keeps the learning rate has changed it, by a factor of two at $q = 0.7$. We
# train both on the same masks:

# %%
deep = MLP((64, 30, 20, 10), keep_prob=(None, 0.8, 0.3))  # another q for each layer
standard_net = without_scale(deep)  # takes the masks, divides by 1
W_theta = deep.init(streams(1).init, dtype=np.float64)
V_theta = standard_to_inverted(deep, W_theta)  # V_l = q_l W_l
careless = V_theta.copy()  # inverted, but with the learning rate left alone
random, lr = streams(1), 0.1
for _ in range(40):
    batch = random.batches.integers(0, 1400, 50)
    unit_masks = deep.sample_unit_masks(random.dropout, (50,), dtype=np.float64)

    def gradients_of(network, theta, batch=batch, unit_masks=unit_masks):
        logits, caches = network.forward(theta, split.x[batch], unit_masks=unit_masks)
        _, loss_cache = softmax_cross_entropy_forward(logits, split.y[batch])
        return network.backward(softmax_cross_entropy_backward(1.0, loss_cache), caches)

    dW, dV = gradients_of(standard_net, W_theta), gradients_of(deep, V_theta)
    W_theta = W_theta - lr * dW
    for layer, keep in enumerate((1.0, 0.8, 0.3), start=1):
        V_theta[f"W{layer}"] = V_theta[f"W{layer}"] - keep**2 * lr * dV[f"W{layer}"]
        V_theta[f"b{layer}"] = V_theta[f"b{layer}"] - lr * dV[f"b{layer}"]
    careless = careless - lr * gradients_of(deep, careless)

apart = abs(standard_to_inverted(deep, W_theta) - V_theta).vector.max()
careless_apart = abs(standard_to_inverted(deep, W_theta) - careless).vector.max()
print(f"after 40 steps: {apart:.0e} apart with q^2 lr, {careless_apart:.2f} apart with the same lr")
assert apart < 1e-13 < 1e-2 < careless_apart

# %% [markdown]
# ## A page that trains with wrong gradients
#
# "Deep learning on MNIST", a page of numpy-tutorials (read at commit 732952b, file
# `tutorial-deep-learning-on-mnist.md`), trains a net of one hidden layer on MNIST with dropout at $\frac12$ and the
# squared error $\sum_k (Y_k - Z_k)^2$, one example at a time. What it does in a step is, in our words and symbols:
#
#     h  = relu(x @ W1)                      D = a 0/1 mask;   h *= D * 2
#     z  = h @ W2
#     dz = y - z                             # the sign is taken care of by +=
#     dh = (dz @ W2.T) * (h >= 0)            # the slope of ReLU, from its *output*
#     dh *= D
#     W1 += lr * outer(x, dh);   W2 += lr * outer(h, dz)
#
# Let us hold it against the complex step, on an untrained net of this kind.


# %%
def published_step(x, y, W1, W2, D):
    """What the page adds to W1 and W2 for a learning rate of 1, with the sign of a gradient."""
    h = np.maximum(x @ W1, 0)  # (d1,)
    h = h * D * 2  # 1/q = 2
    z = h @ W2  # (K,)
    dz = y - z
    dh = (W2 @ dz) * (h >= 0)  # (d1,): h is never negative, so this is always True
    dh = dh * D  # and where is the 2 ?
    return -np.outer(x, dh), -np.outer(h, dz)


def true_loss(x, y, W1, W2, D):
    z1 = x @ W1
    return ((y - (z1 * (z1.real > 0) * D * 2) @ W2) ** 2).sum()


W1, W2 = rng.uniform(-0.1, 0.1, (64, 100)), rng.uniform(-0.1, 0.1, (100, 10))
x0, y0 = split.x[0], np.eye(10)[split.y[0]]
D0 = sample_mask(rng, 100, 0.5, dtype=np.float64)
page_dW1, page_dW2 = published_step(x0, y0, W1, W2, D0)
true_dW1 = complex_step(lambda w: true_loss(x0, y0, w, W2, D0), W1)
true_dW2 = complex_step(lambda w: true_loss(x0, y0, W1, w, D0), W2)

live = true_dW1 != 0
ratio_W2 = true_dW2[true_dW2 != 0] / page_dW2[true_dW2 != 0]
ratio_W1 = true_dW1[live] / page_dW1[live]
spurious = (page_dW1 != 0) & ~live
print(f"dW2: true / page = {ratio_W2.mean():.6f} everywhere (to {np.ptp(ratio_W2):.0e})")
print(f"dW1: true / page = {ratio_W1.mean():.6f} where ReLU is open (to {np.ptp(ratio_W1):.0e})")
print(f"dW1: {spurious.sum()} entries of {page_dW1.size} get a gradient through a closed ReLU; {live.sum()} are open")
assert np.allclose(ratio_W2, 2, rtol=1e-9) and np.allclose(ratio_W1, 4, rtol=1e-9)
assert spurious.sum() > 100

# %% [markdown]
# Three mistakes in six lines, and we can name them:
#
# * **Factor 2 in both**: the derivative of $(y - z)^2$ is $2(z - y)$. Harmless alone, the learning rate absorbs it.
# * **Another factor 2 in $dW_1$**: the forward pass multiplies by $2 = 1/q$, the backward pass does not, against
#   Equation (B3). The first layer learns at half the rate of the second.
# * **The gate is always open**: `h >= 0` is asked of the *output* of ReLU, which is never negative. So weights learn
#   from units that were silent. This is not a factor, it is another direction.
#
# And yet it trains. We run the page's rule and the right one, with the same masks and data. (The right one gets a
# quarter of the learning rate for both layers, so that the open units of the first layer take the same step.)

# %%
accuracy, agreement = {}, []
for name in ("the page", "the right gradient"):
    w1, w2, random = W1.copy(), W2.copy(), streams(2)
    for step in range(2800):
        k = random.batches.integers(0, 1400)
        D = sample_mask(random.dropout, 100, 0.5, dtype=np.float64)
        x, y = split.x[k], np.eye(10)[split.y[k]]
        page = published_step(x, y, w1, w2, D)
        z1 = x @ w1
        hidden = np.maximum(z1, 0) * D * 2
        dz = 2 * (hidden @ w2 - y)
        right = np.outer(x, (w2 @ dz) * D * 2 * (z1 > 0)), np.outer(hidden, dz)
        if name == "the page" and step % 40 == 0:
            both = [np.concatenate([g.ravel() for g in pair]) for pair in (page, right)]
            agreement.append(both[0] @ both[1] / np.linalg.norm(both[0]) / np.linalg.norm(both[1]))
        used, lr = (page, 0.01) if name == "the page" else (right, 0.01 / 4)
        w1, w2 = w1 - lr * used[0], w2 - lr * used[1]
    outputs = np.maximum(digits.test.x @ w1, 0) @ w2
    accuracy[name] = (outputs.argmax(axis=-1) == digits.test.y).mean()
    print(f"{name:20s} test accuracy after two passes over 1400 digits: {100 * accuracy[name]:.1f} %")
print(
    f"cosine between the two gradients along the page's way: {np.min(agreement):.2f} to {np.max(agreement):.2f}, mean {np.mean(agreement):.2f}"
)
assert min(accuracy.values()) > 0.7  # both train ...
assert np.mean(agreement) < 0.99  # ... and one of them on another gradient
assert min(agreement) > 0

# %%
# alt: Histogram of the cosine between the page's gradient and the right one along the training. All values are above 0,
#      and few reach 1.
fig, ax = plt.subplots(figsize=(5.6, 3.0))
ax.hist(agreement, bins=np.linspace(0, 1, 26), color=COLOURS[0])
ax.set(
    xlabel="cosine between the page's gradient and the right one",
    ylabel="steps looked at",
    title="wrong, and downhill all the same",
)
plt.show()

# %% [markdown]
# The wrong gradient has a positive inner product with the right one, so a small step along it lowers the loss. The
# wrong rule is not even worse here (one run of each, so nothing should be read into the difference). Nearly
# everything that points roughly downhill trains. **"It trains" is no evidence for a gradient.** Only a check is, and
# it takes one line.
#
# ## Exercises
#
# > **Exercise 7.1** A library has a parameter `p = 0.2` for dropout. Which two things do you have to find out before
# > you use it?
#
# <details><summary>Answer</summary>
#
# Whether $p$ is the probability to drop or to keep, and whether the scale $1/q$ is applied in training (inverted) or
# the scale $q$ in evaluation (standard). The first is quickly tried: put ones through it and count zeros.
#
# </details>
#
# > **Exercise 7.2** Half of the units of a layer are dropped for the *whole batch* at once, `D` of shape $(1, d)$. Is
# > the gradient still right? What changes?
#
# <details><summary>Answer</summary>
#
# Each gradient is right for its masks, and its mean over the masks is the same. What changes is the noise: the
# examples of a batch no longer average over different masks, and usually (not always) the variance is larger.
#
# </details>
#
# > **Exercise 7.3** In a net with dropout, ReLU and no biases, a unit's outgoing gradient row is 0 in some step. Was
# > it dropped?
#
# <details><summary>Answer</summary>
#
# Not necessarily. If it was dropped for all examples, its row of $dW$ is 0; but a unit whose pre-activation is
# negative for the whole batch has a row of zeros as well. The mask cannot be read off the gradient.
#
# </details>

# %%
shared = np.ones((1, d))
shared[0, :2] = 0
assert np.array_equal(inverted_dropout_forward(H, shared, q)[0], np.repeat(shared, N, axis=0) * H / q)
silent = np.maximum(-np.abs(H), 0)  # a layer whose units are all closed
assert (silent.T @ rng.standard_normal((N, d_out)) == 0).all()  # rows of dW are 0, and nothing was dropped

# %% [markdown]
# ## What to read next
#
# Each mask makes a network of its own. Tutorial 8 lists all $2^n$ of them and asks what the evaluation without masks
# has to do with their common answer.

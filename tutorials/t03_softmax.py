# %% [markdown]
# # Tutorial 3: Turn scores into probabilities, and measure the mistake
#
# **What you will do.** Build the softmax and the cross-entropy, break both with ordinary numbers, mend them, derive
# their gradient, and train a classifier of handwritten digits in ten lines.
#
# **What you will learn.** Why the gradient of the most used loss is the plain difference $P - Y$; why code that is
# right on paper overflows at 1000; and where the one $1/N$ of a whole network belongs.
#
# **What you will need.** Tutorials 1 and 2, and the derivatives of $\ln$ and $\exp$. A few seconds.

# %%
import matplotlib.pyplot as plt
import numpy as np

from numpynet.data import load_digits
from numpynet.equations import (
    log_softmax,
    logistic_loss_forward,
    softmax,
    softmax_cross_entropy_backward,
    softmax_cross_entropy_forward,
)
from numpynet.figures import COLOURS, STYLE

plt.rcParams.update(STYLE)
rng = np.random.default_rng(3)

# %% [markdown]
# ## From scores to probabilities
#
# The last layer of a classifier, a $Z = \frac{D \odot H}{q} (M \odot W) + b$ like any other (Equation (B1)), gives
# $K$ numbers for each example, the *logits* $z_1, \dots, z_K$, of any sign and size. We want $K$ probabilities:
# positive, with sum 1, the largest for the largest logit. The exponential makes everything positive, and dividing by
# the sum makes the sum 1. For a whole batch, row by row,
#
# $$
# P_{nk} = \frac{e^{Z_{nk}}}{\sum_{j=1}^{K} e^{Z_{nj}}} , \qquad Z, P \in \mathbb{R}^{N \times K} . \tag{B16}
# $$
#
# As it stands there, in code:


# %%
def naive_softmax(Z):
    e = np.exp(Z)  # (N, K)
    return e / e.sum(axis=-1, keepdims=True)  # (N, K) / (N, 1)


N, K = 5, 3
Z = rng.standard_normal((N, K))
P = naive_softmax(Z)
print(P.round(3), "\nrow sums", P.sum(axis=-1))
assert np.allclose(P.sum(axis=-1), 1, rtol=0, atol=1e-15)
assert np.array_equal(P.argmax(axis=-1), Z.argmax(axis=-1))

# %% [markdown]
# **Pitfall 1: the wrong axis.** `e.sum(axis=0)` adds up over the examples. The result looks like probabilities, and
# each example's depend on its neighbours in the batch.

# %%
e = np.exp(Z)
wrong = e / e.sum(axis=0)
print("row sums of the softmax over the batch:", wrong.sum(axis=-1).round(2))
assert np.allclose(wrong.sum(axis=0), 1) and abs(wrong.sum(axis=-1) - 1).max() > 0.1

# %% [markdown]
# **Pitfall 2: overflow.** The largest `float64` is about $10^{308}$, so $e^{710}$ is infinite, and infinity divided
# by infinity is NaN. In `float32` the end comes at 89.

# %%
with np.errstate(over="ignore", invalid="ignore"):
    print("softmax of (1000, 0), naive:", naive_softmax(np.array([[1000.0, 0.0]])))
    assert np.isnan(naive_softmax(np.array([[1000.0, 0.0]]))[0, 0])
    assert np.isnan(naive_softmax(np.array([[89.0, 0.0]], dtype=np.float32))[0, 0])

# %% [markdown]
# The mend costs one line. Add a number $c$ to all logits of a row: every exponential is multiplied by $e^c$,
# numerator and denominator alike, and the probabilities stay. So we may choose $c$, and we choose minus the largest
# logit of the row. Then all exponents are at most 0, one of them is exactly 0, and nothing overflows.


# %%
def stable_softmax(Z):
    e = np.exp(Z - Z.max(axis=-1, keepdims=True))  # (N, K), in [0, 1], with a 1 in every row
    return e / e.sum(axis=-1, keepdims=True)


print("softmax of (1000, 0), shifted:", stable_softmax(np.array([[1000.0, 0.0]])))
assert np.allclose(stable_softmax(Z), P, rtol=0, atol=1e-15)
assert np.allclose(stable_softmax(Z + 1000), P, rtol=0, atol=1e-12)  # any shift gives the same
assert np.array_equal(stable_softmax(Z), softmax(Z))  # the library's function is this one

# %% [markdown]
# ## How wrong? The cross-entropy
#
# The labels $y_n$ say which class is right. A good net gives it a large probability. The probability of *all* labels
# is the product $\prod_n P_{n, y_n}$; its logarithm is a sum, minus that is a cost, and divided by $N$ it does not
# depend on how many examples there are:
#
# $$
# L = -\frac{1}{N} \sum_{n=1}^{N} \ln P_{n, y_n} . \tag{B18}
# $$
#
# Its unit is the *nat*. A net that knows nothing gives every class $1/K$, so its loss is $\ln K$. This is the first
# thing to look at in any training: for ten classes the loss must start near 2.303.

# %%
labels = np.array([0, 2, 1, 1, 0])
loss = -np.log(P[np.arange(N), labels]).mean()
know_nothing, _ = softmax_cross_entropy_forward(np.zeros((N, 10)), labels)
print(f"loss {loss:.4f};   of a net that knows nothing about 10 classes: {know_nothing:.4f} = ln 10")
assert abs(know_nothing - np.log(10)) < 1e-15
assert abs(loss - softmax_cross_entropy_forward(Z, labels)[0]) < 1e-15

# %% [markdown]
# **Pitfall 3: the logarithm of 0.** A net may be sure and wrong: $P_{n, y_n}$ is then so small that it becomes 0, and
# $\ln 0$ is $-\infty$. A widespread cure is $\ln(P + \epsilon)$ with a tiny $\epsilon$. It hides the patient instead
# of curing him: the loss is capped at $-\ln\epsilon$, and where it is capped it is *flat*. The example that is most
# wrong teaches nothing at all.

# %%
eps = 1e-12


def capped_loss(z):  # of one example with the logits (z, 0), whose label is class 0
    return -np.log(stable_softmax(np.array([[z, 0.0]]))[0, 0] + eps)


def true_loss(z):
    return softmax_cross_entropy_forward(np.array([[z, 0.0]]), np.array([0]))[0]


h = 1e-3
for z in (-5.0, -60.0, -1000.0):
    slopes = [(f(z + h) - f(z - h)) / (2 * h) for f in (capped_loss, true_loss)]
    print(
        f"right class {-z:6.0f} below: loss {capped_loss(z):7.2f} capped, {true_loss(z):7.2f} true; slopes {slopes[0]:.4f}, {slopes[1]:.4f}"
    )

assert abs(capped_loss(-1000.0) + np.log(eps)) < 1e-9 and abs(true_loss(-1000.0) - 1000) < 1e-9
assert abs((capped_loss(-60 + h) - capped_loss(-60 - h)) / (2 * h)) < 1e-9  # no slope: nothing is learned
assert abs((true_loss(-60 + h) - true_loss(-60 - h)) / (2 * h) + 1) < 1e-9  # the true slope is -1

# %% [markdown]
# The right mend is never to form the small probability. The logarithm of the softmax can be simplified first:
#
# $$
# \ln P_{nk} = Z_{nk} - \underbrace{\Big( \mu_n + \ln \sum_{j} e^{Z_{nj} - \mu_n} \Big)}_{\text{log-sum-exp of row } n} , \qquad \mu_n = \max_j Z_{nj} . \tag{B17}
# $$
#
# The sum holds a 1, so its logarithm is between 0 and $\ln K$, whatever the logits are.


# %%
def stable_log_softmax(Z):
    shifted = Z - Z.max(axis=-1, keepdims=True)  # (N, K), all <= 0
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


extreme = np.array([[1e4, -1e4, 0.0]])
print("log-softmax of (10000, -10000, 0):", stable_log_softmax(extreme)[0])
assert np.array_equal(stable_log_softmax(extreme)[0], [0.0, -2e4, -1e4])
assert np.array_equal(stable_log_softmax(Z), log_softmax(Z))
assert np.allclose(np.exp(stable_log_softmax(Z)), P, rtol=0, atol=1e-15)

# %%
# alt: Two panels against the logit of the right class minus that of the other. Left: the probability of the right class,
#      an S-shaped curve. Right: the loss, nearly a straight line of slope -1 on the left and nearly 0 on the right; the
#      capped loss leaves it at about -27 and is flat from there on.
margin = np.linspace(-45, 10, 300)
fig, axes = plt.subplots(1, 2, figsize=(8.4, 3.2))
near = np.linspace(-8, 8, 200)
axes[0].plot(near, stable_softmax(np.stack([near, 0 * near], axis=-1))[:, 0])
axes[0].set(title="probability of the right class", xlabel="its logit minus the other", ylabel="P")
axes[1].plot(margin, [true_loss(m) for m in margin], label="cross-entropy")
axes[1].plot(margin, [capped_loss(m) for m in margin], "--", color=COLOURS[1], label="ln(P + 1e-12): flat here")
axes[1].set(title="loss of one example, in nats", xlabel="its logit minus the other", ylabel="loss")
axes[1].legend()
plt.show()

# %% [markdown]
# ## The gradient, step by step
#
# How does $L$ change when one logit changes? Take one example first and write $\ell = -\ln P_y$ with
# $P_k = e^{z_k}/S$ and $S = \sum_j e^{z_j}$. Then $\ell = -z_y + \ln S$, and
#
# $$
# \frac{\partial \ell}{\partial z_k} = -\underbrace{\frac{\partial z_y}{\partial z_k}}_{1 \text{ if } k = y,\ \text{else } 0} + \frac{1}{S} \underbrace{\frac{\partial S}{\partial z_k}}_{e^{z_k}} = P_k - Y_k ,
# $$
#
# where $Y$ is the *one-hot* row: 1 at the right class, 0 elsewhere. That is all. With the mean over $N$ examples, and
# writing $dZ$ for the array of all $\partial L / \partial Z_{nk}$,
#
# $$
# \underbrace{dZ}_{(N, K)} = \frac{1}{N} \big( \underbrace{P}_{(N, K)} - \underbrace{Y}_{(N, K)} \big) . \tag{B2}
# $$
#
# Read it: every wrong class is pushed down in proportion to the probability it got, the right class is pushed up by
# what it lacks, and each row of $dZ$ adds up to 0, because a common shift of the logits changes nothing.

# %%
Y = np.eye(K)[labels]  # (N, K) one-hot
dZ = (P - Y) / N

loss, cache = softmax_cross_entropy_forward(Z, labels)
dZ_library = softmax_cross_entropy_backward(1.0, cache)
print("row sums of dZ:", dZ.sum(axis=-1).round(17))
assert np.allclose(dZ, dZ_library, rtol=0, atol=1e-16)
assert abs(dZ.sum(axis=-1)).max() < 1e-16

# %% [markdown]
# Believe nothing that was not checked. Move one logit by a little in both directions and look at the loss. This is
# the *central difference*; Tutorial 5 has a better method and says how far this one can be trusted.


# %%
def numeric_gradient(f, x, h=6e-6):
    gradient = np.zeros_like(x)
    for index in np.ndindex(*x.shape):
        up, down = x.copy(), x.copy()
        up[index] += h
        down[index] -= h
        gradient[index] = (f(up) - f(down)) / (2 * h)
    return gradient


numeric = numeric_gradient(lambda z: softmax_cross_entropy_forward(z, labels)[0], Z)
print(f"largest difference to the numeric gradient: {abs(dZ - numeric).max():.1e}")
assert np.allclose(dZ, numeric, rtol=0, atol=1e-9)

# %% [markdown]
# **Pitfall 4: the factor in front.** $1/N$ is forgotten, or taken twice, or the mean runs over all $N K$ entries.
# Such a gradient has the right direction and trains, with another learning rate, and so it survives. The ratio to the
# numeric gradient is the same number everywhere, and it names the mistake. Note that $N$ and $K$ must differ for
# that.

# %%
for name, mistake in (
    ("1/N forgotten", P - Y),
    ("mean over N K", (P - Y) / (N * K)),
    ("1/N taken twice", (P - Y) / N**2),
):
    ratio = mistake / numeric
    print(f"{name:16s} yours / numeric = {ratio.mean():.4f}, the same at every entry to {np.ptp(ratio):.0e}")
    assert np.ptp(ratio) < 1e-6 and abs(ratio.mean() - 1) > 0.1

# %% [markdown]
# The rule that prevents it: **the loss owns $1/N$, and layers only sum.** Then there is one $1/N$ in the whole
# program, and doubling the batch with copies of itself changes neither the loss nor any gradient.

# %%
twice = np.concatenate([Z, Z])
loss_twice, cache_twice = softmax_cross_entropy_forward(twice, np.concatenate([labels, labels]))
dZ_twice = softmax_cross_entropy_backward(1.0, cache_twice)
assert abs(loss_twice - loss) < 1e-15
assert np.allclose(dZ_twice[:N] + dZ_twice[N:], dZ, rtol=0, atol=1e-16)
print("a batch joined with itself: the same loss, and the two halves share the gradient")

# %% [markdown]
# ## Two classes: the logistic loss
#
# With $K = 2$ only the difference of the logits counts. Fix the first at 0 and call the second $z$: then
# $P_1 = 1/(1 + e^{-z})$, the sigmoid of $z$, and the loss is known as the *logistic loss*,
#
# $$
# L = \frac{1}{N} \sum_n \big( \ln(1 + e^{z_n}) - y_n z_n \big), \qquad y_n \in \{0, 1\} . \tag{B19}
# $$

# %%
z = rng.standard_normal(7)  # (7,)
y = (rng.random(7) < 0.5).astype(np.int64)
with_softmax, _ = softmax_cross_entropy_forward(np.stack([0 * z, z], axis=-1), y)
by_formula = (np.log1p(np.exp(z)) - y * z).mean()
by_library, _ = logistic_loss_forward(z[:, None], y[:, None].astype(np.float64))
print(f"two-class softmax {with_softmax:.6f}, logistic loss {by_formula:.6f}")
assert abs(with_softmax - by_formula) < 1e-15 and abs(with_softmax - by_library) < 1e-15

# %% [markdown]
# ## A classifier in ten lines
#
# One layer, softmax, cross-entropy, and the gradient of Equation (B2). From $Z = X W + b$ follows $dW = X^\top dZ$
# and $db$ = the sum of $dZ$ over the examples; Tutorial 4 derives that. Then walk downhill: `W -= 0.5 * dW`, four
# hundred times. There is nothing else in it.

# %%
digits = load_digits(dtype=np.float64)
X, y = digits.train
W, b = np.zeros((64, 10)), np.zeros(10)
losses = []
for _ in range(400):
    logits = X @ W + b  # (1437, 64) @ (64, 10) + (10,)
    loss, cache = softmax_cross_entropy_forward(logits, y)
    dZ = softmax_cross_entropy_backward(1.0, cache)  # (1437, 10)
    W -= 0.5 * (X.T @ dZ)  # (64, 1437) @ (1437, 10)
    b -= 0.5 * dZ.sum(axis=0)  # (10,)
    losses.append(float(loss))

accuracy = (np.argmax(digits.test.x @ W + b, axis=-1) == digits.test.y).mean()
print(f"loss {losses[0]:.4f} (ln 10 = {np.log(10):.4f}) -> {losses[-1]:.4f};  test accuracy {100 * accuracy:.1f} %")
assert abs(losses[0] - np.log(10)) < 1e-12  # it began by knowing nothing
assert all(later < earlier for earlier, later in zip(losses, losses[1:]))  # and went downhill in every step
assert accuracy > 0.94

# %% [markdown]
# A single layer can be looked at. Column $k$ of $W$ is a picture of 64 weights: purple pixels speak for digit $k$,
# orange ones against it.

# %%
# alt: Ten small pictures, the weights of the ten output units as 8 by 8 pixels. Purple marks pixels that speak for the
#      digit, orange those that speak against it; the picture of 0 has an orange centre within a purple ring.
fig, axes = plt.subplots(2, 5, figsize=(7.2, 3.2))
limit = abs(W).max()
for k, ax in enumerate(axes.flat):
    ax.imshow(W[:, k].reshape(8, 8), cmap="PuOr", vmin=-limit, vmax=limit)
    ax.set(title=f"digit {k}", xticks=[], yticks=[])
    ax.grid(False)
plt.show()

# In the middle of a 0 there is no ink, and the classifier has found that out.
assert W[:, 0].reshape(8, 8)[3:5, 3:5].mean() < 0 < W[:, 0].reshape(8, 8)[2:6, 2].mean()

# %% [markdown]
# ## Exercises
#
# > **Exercise 3.1** Someone applies the softmax to the output of a softmax ("to be safe"). What is the smallest loss
# > that such a classifier with $K = 10$ can reach, however sure it is?
#
# <details><summary>Answer</summary>
#
# The best first output is $(1, 0, \dots, 0)$, and its softmax has $e / (e + 9)$ at the right class. The loss cannot
# fall below $\ln\big((e + 9)/e\big) = 1.461$. It still trains, and the accuracy may even be good: the bug shows only
# in the loss.
#
# </details>
#
# > **Exercise 3.2** Derive the Jacobian of the softmax, $\partial P_k / \partial z_j = P_k (1[k = j] - P_j)$, and
# > obtain $P - Y$ from it and from $\partial \ell / \partial P_k = -Y_k / P_k$.
#
# <details><summary>Answer</summary>
#
# $P_k = e^{z_k}/S$. The quotient rule gives
# $\big(1[k = j]\, e^{z_k} S - e^{z_k} e^{z_j}\big)/S^2 = P_k\,1[k=j] - P_k P_j$. Then
# $\sum_k (-Y_k/P_k)\, P_k (1[k = j] - P_j) = -Y_j + P_j \sum_k Y_k = P_j - Y_j$.
#
# </details>
#
# > **Exercise 3.3** The cross-entropy stops falling at 0.83 for a net with dropout on its *logits*. Can that be? (A
# > full answer is in Tutorial 14.)
#
# <details><summary>Answer</summary>
#
# Yes. If the logit of the right class is dropped with probability one half, the net cannot be sure of it, however
# large the logit is. Dropout belongs on activations, never on logits.
#
# </details>

# %%
once = np.array([[1e4] + [0.0] * 9])  # as sure as can be
floor = softmax_cross_entropy_forward(softmax(once), np.array([0]))[0]
assert abs(floor - np.log((np.e + 9) / np.e)) < 1e-12 and abs(floor - 1.461) < 1e-3

# %% [markdown]
# ## What to read next
#
# Tutorial 4 carries $dZ$ back through the layers, masks included, to every weight of the network.

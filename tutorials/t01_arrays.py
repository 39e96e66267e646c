# %% [markdown]
# # Tutorial 1: Read a network as arrays
#
# **What you will do.** Handle the few NumPy operations that a whole neural network is made of, and watch five common
# shape and type mistakes go wrong without an error message.
#
# **What you will learn.** The notation of all tutorials: which letter is which array, which axis is which, and why
# "the last two axes are (batch, units)" saves work on every later page.
#
# **What you will need.** Python, school mathematics, NumPy and matplotlib. No download, a few seconds.
#
# These tutorials lead to one line,
#
# $$
# Z = \left(\frac{D \odot H}{q}\right) (M \odot W) + b,
# $$
#
# the layer of a neural network with two masks in it: $D$ switches *units* off (dropout), $M$ switches *weights* off
# (pruning, lottery tickets). At the end of this page you can read every symbol of it and say its shape.

# %%
import matplotlib.pyplot as plt
import numpy as np

from numpynet.data import load_digits
from numpynet.equations import linear_forward
from numpynet.figures import STYLE
from numpynet.parameters import Layout, Parameters
from numpynet.seeding import streams

plt.rcParams.update(STYLE)

# %% [markdown]
# ## Examples are rows
#
# The data of the first tutorials come with the package: 1797 handwritten digits, 8 × 8 pixels each. A network does
# not see squares; it sees rows of numbers. The pixels of one digit, written one after the other, are one row of a
# matrix $X$ of shape $(N, d)$: $N$ examples, $d$ numbers for each. The labels $y$ of shape $(N,)$ say which digit it
# is.

# %%
digits = load_digits()
X, y = digits.train
print("X", X.shape, X.dtype, "   y", y.shape, y.dtype)
print("row 0, pixels 16 to 23:", X[0, 16:24], "  label", y[0])

assert X.shape == (1437, 64) and y.shape == (1437,)
assert X.min() == 0 and X.max() == 1  # ink, from none to full

# %%
# alt: On the left a row of five handwritten digits as 8 by 8 pictures with their labels. On the right the same five
#      digits as five rows of a matrix with 64 columns.
fig, axes = plt.subplots(1, 2, figsize=(8.4, 2.2), width_ratios=(1, 1.2))
strip = np.hstack([np.pad(row.reshape(8, 8), 1, constant_values=np.nan) for row in X[:5]])
axes[0].imshow(strip, cmap="Greys")
axes[0].set(title=f"five digits; labels {y[:5].tolist()}", xticks=[], yticks=[])
axes[1].imshow(X[:5], cmap="Greys", aspect="auto")
axes[1].set(title="the same, as five rows of X", xlabel="pixel 0 ... 63", ylabel="example n", yticks=range(5))
for ax in axes:
    ax.grid(False)
plt.show()

# %% [markdown]
# ## Two kinds of product
#
# Nothing is confused more often than these two, so they get different signs.
#
# * $A \odot B$, in code `A * B`, is **elementwise**: $(A \odot B)_{ij} = A_{ij} B_{ij}$. Both have one shape, and so
#   has the result. A mask acts like this.
# * $A B$, in code `A @ B`, is the **matrix product**: $(A B)_{ij} = \sum_k A_{ik} B_{kj}$. The inner sizes must agree
#   and disappear: $(N, d)\,(d, k) \to (N, k)$. A layer of neurons acts like this.
#
# All sizes in these tutorials differ from each other. That is deliberate: where $N = d = k$, a forgotten transpose
# does not raise an error, and there is no way to see from a shape which axis is which.

# %%
rng = np.random.default_rng(1)
N, d_in, d_out = 5, 4, 3
H = rng.standard_normal((N, d_in))  # N examples, d_in numbers each
W = rng.standard_normal((d_in, d_out))  # one column for each of d_out neurons
b = rng.standard_normal(d_out)  # one number for each neuron

by_hand = np.zeros((N, d_out))
for n in range(N):
    for j in range(d_out):
        for i in range(d_in):
            by_hand[n, j] += H[n, i] * W[i, j]

print("H @ W has shape", (H @ W).shape, " largest difference to three loops:", abs(H @ W - by_hand).max())
assert (H @ W).shape == (N, d_out)
assert np.allclose(H @ W, by_hand, rtol=0, atol=1e-14)

# %% [markdown]
# ## Broadcasting: a friend with a temper
#
# `H @ W + b` adds an array of shape $(d_{out},)$ to one of shape $(N, d_{out})$. NumPy aligns shapes **from the
# right** and repeats what is missing or has size 1, so every row gets the same $b$. That is what we want.
#
# **The pitfall.** Let a network predict one number for each example. Its output has the shape $(N, 1)$, the targets
# came as $(N,)$. Aligned from the right, $(N, 1)$ and $(N,)$ make $(N, N)$: every prediction minus *every* target. No
# error, a plausible number, and a loss that is small for the wrong net.

# %%
targets = rng.standard_normal(N)  # (N,)
predictions = targets[:, None].copy()  # (N, 1): a perfect prediction

wrong = np.mean((predictions - targets) ** 2)
right = np.mean((predictions[:, 0] - targets) ** 2)
print("shape of the difference:", (predictions - targets).shape)
print(f"loss of a perfect prediction: {wrong:.3f} with the silent (N, N), {right:.3f} as meant")

assert (predictions - targets).shape == (N, N)
assert wrong > 0.1 and right == 0

# %% [markdown]
# The mend is to say the shape. Where a shape changes, the code of these tutorials carries it at the end of the line,
# `# (N, d_out)`, and the library refuses arrays that do not fit instead of repeating them.

# %%
try:
    linear_forward(H, W, b[:2])
except ValueError as error:
    print("numpynet says:", error)
else:
    raise AssertionError("a bias of the wrong shape must be refused")

# %% [markdown]
# ## Axes, and sums over them
#
# In $(N, d)$ the axis of the examples is `-2` and the axis of the units is `-1`. Counted from the right they keep
# their names when more axes appear in front. A sum removes its axis, unless `keepdims=True` leaves it with size 1:
#
# | code | shape | meaning |
# |---|---|---|
# | `Z.sum(axis=-2)` | $(d_{out},)$ | add up the examples (the gradient of a bias, Tutorial 4) |
# | `Z.sum(axis=-1, keepdims=True)` | $(N, 1)$ | one number for each example (the softmax, Tutorial 3) |
# | `Z.sum()` | $()$ | everything; almost never what was meant |

# %%
Z = H @ W + b  # (N, d_out)
print(Z.sum(axis=-2).shape, Z.sum(axis=-1, keepdims=True).shape, Z.sum().shape)
assert Z.sum(axis=-2).shape == (d_out,)
assert (Z / Z.sum(axis=-1, keepdims=True)).shape == (N, d_out)

# %% [markdown]
# ## Leading axes are free
#
# `@` multiplies the last two axes and broadcasts all the others. Put $R$ weight matrices into one array
# $(R, d_{in}, d_{out})$, and one call runs $R$ networks. Later this is how all $2^n$ dropout masks of a small net are
# tried in one line, and how eight lottery tickets are trained at once.
#
# **The pitfall.** `.T` reverses *all* axes. For a matrix that is the transpose; for a stack it is nonsense. The
# transpose of the last two axes is `.mT`.

# %%
R = 7
stack = rng.standard_normal((R, d_in, d_out))  # R networks
together = H @ stack  # (N, d_in) @ (R, d_in, d_out) -> (R, N, d_out)
one_by_one = np.stack([H @ stack[r] for r in range(R)])  # (R, N, d_out)

print("R products in one call:", together.shape, "   .T:", stack.T.shape, "   .mT:", stack.mT.shape)
assert np.allclose(together, one_by_one, rtol=0, atol=1e-14)
assert stack.T.shape == (d_out, d_in, R)  # not what one wants
assert stack.mT.shape == (R, d_out, d_in)

# %% [markdown]
# ## Types: one stray float64
#
# Networks are trained in `float32`: half the memory, and on a processor about twice the speed. Gradients are
# *checked* in `float64`, which has 16 digits instead of 7. The arrays decide, so a `float32` net must stay one.
#
# **The pitfall.** One `float64` array, or one NumPy `float64` *scalar*, turns everything after it into `float64`: it
# gives right numbers, at half the speed, without a word. A plain Python number does not.

# %%
h32 = H.astype(np.float32)
mask = rng.random((N, d_in)) < 0.8  # booleans
keep_prob = np.float64(0.8)  # as it comes out of np.linspace or np.mean

print("h32 / np.float64(0.8) is", (h32 / keep_prob).dtype, "    h32 / 0.8 is", (h32 / 0.8).dtype)
print("(mask / 0.8) is", (mask / 0.8).dtype, ", and so is h32 * (mask / 0.8):", (h32 * (mask / 0.8)).dtype)

assert (h32 / keep_prob).dtype == np.float64  # the accident
assert (h32 * (mask / 0.8)).dtype == np.float64  # the same accident, better hidden
assert (h32 * mask.astype(h32.dtype) / float(keep_prob)).dtype == np.float32  # mended

# %% [markdown]
# ## Views and copies: who changes what?
#
# All weights and biases of a network stand in **one** vector $\theta$ (theta). `theta["W1"]` is a *view*, a window
# onto a stretch of it with a shape of its own. Built in the open:

# %%
sizes = (4, 3, 2)  # 4 inputs, 3 hidden units, 2 outputs
vector = np.arange(4 * 3 + 3 + 3 * 2 + 2, dtype=np.float64)  # W1, b1, W2, b2 in a row
W1 = vector[0:12].reshape(4, 3)
b1 = vector[12:15]
W2 = vector[15:21].reshape(3, 2)
b2 = vector[21:23]

W1[0, 0] = 100.0
print("after W1[0, 0] = 100 the vector begins", vector[:3])
assert vector[0] == 100.0 and np.shares_memory(W1, vector)

theta = Parameters(vector, Layout.of_sizes(sizes))  # the library's form of the same
for name, array in (("W1", W1), ("b1", b1), ("W2", W2), ("b2", b2)):
    assert np.array_equal(theta[name], array) and np.shares_memory(theta[name], array)
print("numpynet:", theta)

# %% [markdown]
# **The pitfall.** A lottery ticket needs the *initial* weights $\theta_0$ after a whole training. `=` does not copy.
# Whoever writes `theta_0 = theta` and trains in place has a $\theta_0$ that has been trained as well, and "rewinds"
# to nowhere.

# %%
alias, copy = theta, theta.copy()
theta -= 0.5  # a training step, in place
print("moved by:   theta_0 = theta", alias["b2"] - copy["b2"], "   theta_0 = theta.copy()", copy["b2"] - [21, 22])

assert alias is theta  # the mistake: both names, one vector
assert np.array_equal(copy["b2"], [21.0, 22.0])  # the copy has stayed

# %% [markdown]
# ## Randomness is an argument
#
# Every function here that draws takes a *generator*. One seed gives a generator for each purpose, so that switching
# dropout on does not change the order of the data. Same seed, same bits.

# %%
first, again = streams(7), streams(7)
weights = first.init.standard_normal(3)
_ = again.dropout.random(1000)  # somebody else draws a lot ...
print("initial weights of seed 7:", weights)
assert np.array_equal(weights, again.init.standard_normal(3))  # ... and the initial weights do not notice

# %% [markdown]
# ## Masks, and the one equation
#
# A **mask** is an array of exactly 0 and 1. Multiplied elementwise it keeps or drops. Now every symbol can be read:
#
# | symbol | in code | shape | meaning |
# |---|---|---|---|
# | $H$ | `h`, `x` | $(N, d_{in})$ | what goes into the layer: one row for each example |
# | $W$, $b$ | `W`, `b` | $(d_{in}, d_{out})$, $(d_{out},)$ | weights and biases |
# | $D$ | `unit_mask` | $(N, d_{in})$ | 0 where a unit is dropped, for each example anew |
# | $q$ | `keep_prob` | a number in $(0, 1]$ | the probability that a unit *stays* |
# | $M$ | `weight_mask` | $(d_{in}, d_{out})$ | 0 where a weight has been pruned |
# | $Z$ | `z`, `y`, `logits` | $(N, d_{out})$ | what comes out |
# | $\theta$, $\theta_0$ | `theta`, `theta_0` | one vector | all weights and biases; their initial values |
#
# The letter $p$ alone is never used. Half of the world means the probability to keep by it, the other half the
# probability to drop; Tutorial 14 shows an article that means both in one sentence.

# %%
q = 0.8
D = (rng.random((N, d_in)) < q).astype(H.dtype)  # (N, d_in)
M = (rng.random((d_in, d_out)) < 0.6).astype(W.dtype)  # (d_in, d_out)

Z = (D * H / q) @ (M * W) + b  # (N, d_in) @ (d_in, d_out) + (d_out,) -> (N, d_out)
by_index = np.einsum("ni,ni,ij,ij->nj", D, H, M, W) / q + b  # sum over i of D_ni H_ni M_ij W_ij
from_library, _ = linear_forward(H, W, b, unit_mask=D, keep_prob=q, weight_mask=M)

print("largest difference to the sum over indices:", abs(Z - by_index).max())
assert np.allclose(Z, by_index, rtol=0, atol=1e-14)
assert np.array_equal(Z, from_library)  # the library's layer is this line

# %%
# alt: Five small matrices in a row: D, D times H, M, M times W, and Z. Zeros of the two masks
#      are white gaps: in D they differ from row to row, in M they belong to the weights.
fig, axes = plt.subplots(1, 5, figsize=(9.6, 2.4), width_ratios=(4, 4, 3, 3, 3))
limit = max(abs(H).max(), abs(W).max())
for ax, array, title in (
    (axes[0], D, "D  (N, d_in)"),
    (axes[1], np.where(D == 1, H, np.nan), "D * H  (N, d_in)"),
    (axes[2], M, "M  (d_in, d_out)"),
    (axes[3], np.where(M == 1, W, np.nan), "M * W  (d_in, d_out)"),
    (axes[4], Z, "Z  (N, d_out)"),
):
    is_mask = array is D or array is M
    ax.imshow(array, cmap="Greys" if is_mask else "PuOr", vmin=0 if is_mask else -limit, vmax=1.4 if is_mask else limit)
    ax.set(title=title, xticks=[], yticks=[])
    ax.title.set_fontsize(9)
    ax.grid(False)
plt.show()

# %% [markdown]
# One trap is left for masks. In arithmetic $0 \cdot \infty$ is not 0 but NaN ("not a number"), so a mask removes a
# number only as long as that number is finite. The library checks its inputs for this reason.

# %%
with np.errstate(invalid="ignore"):
    product = np.array([0.0, 1.0]) * np.array([np.inf, 2.0])
print("[0, 1] * [inf, 2] =", product)
assert np.isnan(product[0]) and product[1] == 2

# %% [markdown]
# ## Exercises
#
# > **Exercise 1.1** `X` has shape $(N, d)$. Subtract from every pixel its mean over the examples, and then from every
# > example its own mean over the pixels. Which of the two needs `keepdims=True`, and what happens without it?
#
# <details><summary>Answer</summary>
#
# `X - X.mean(axis=-2)` works as it stands: $(d,)$ aligns with the last axis. `X - X.mean(axis=-1)` has the shapes
# $(N, d)$ and $(N,)$ and raises, unless $N = d$, where it silently subtracts the mean of example $j$ from *pixel*
# $j$. `X.mean(axis=-1, keepdims=True)` has shape $(N, 1)$ and is right.
#
# </details>
#
# > **Exercise 1.2** How many weights and biases has a 784-300-100-10 net? Where in the vector does `b2` begin?
#
# <details><summary>Answer</summary>
#
# $784 \cdot 300 + 300 + 300 \cdot 100 + 100 + 100 \cdot 10 + 10 = 266610$. `b2` begins behind W1, b1 and W2, at
# $235200 + 300 + 30000 = 265500$. Check it: `Layout.of_sizes((784, 300, 100, 10)).slices["b2"]`.
#
# </details>
#
# > **Exercise 1.3** A mask with the scale inside, `S = D / q`, saves one division. Compute `S * S` and `D * D` for
# > $q = 0.8$. Which of the two is a mask?
#
# <details><summary>Answer</summary>
#
# `D * D == D`: dropping twice is dropping once. `S * S` has entries $1/q^2 = 1.5625$: whoever applies it twice scales
# twice. This is why masks here are binary and the scale is a factor of its own (Tutorial 10).
#
# </details>

# %%
assert Layout.of_sizes((784, 300, 100, 10)).size == 266610
assert Layout.of_sizes((784, 300, 100, 10)).slices["b2"].start == 265500
assert np.array_equal(D * D, D) and not np.array_equal((D / q) * (D / q), D / q)

# %% [markdown]
# ## What to read next
#
# Tutorial 2 builds the layer from a single neuron. If indices and sums still feel slippery, run this page as a
# notebook and change the sizes: every assertion must still hold.

# %% [markdown]
# # Tutorial 4: Derive the backward pass, line by line
#
# **What you will do.** Go through a two-layer network backwards, with both masks in it, derive every gradient, write
# it as one line of NumPy, and hold each line against a numeric derivative that is exact to the last digit.
#
# **What you will learn.** A way to derive gradients of matrix expressions without indices; why each mask appears
# again on the way back, in the same place; and seven mistakes, what each looks like, and why most of them still
# train.
#
# **What you will need.** Tutorials 2 and 3, the chain rule. A few seconds.

# %%
import matplotlib.pyplot as plt
import numpy as np

from numpynet.equations import (
    dense_gradient,
    linear_backward,
    linear_forward,
    relu,
    sample_mask,
    softmax_cross_entropy_backward,
    softmax_cross_entropy_forward,
)
from numpynet.figures import COLOURS, STYLE
from numpynet.network import MLP
from numpynet.parameters import Parameters

plt.rcParams.update(STYLE)
rng = np.random.default_rng(4)

# %% [markdown]
# ## What a gradient is, and its shape
#
# $L$ is one number, the loss. For any array $A$ on the way to it, $dA$ means $\partial L / \partial A$: **the array
# of the same shape as $A$ whose entry says how fast $L$ grows when that entry of $A$ grows.** Same shape: if yours
# has another one, it is wrong.
#
# All of it follows from one reading of this definition. If $A$ moves by a small $\delta A$ and nothing else does, $L$
# moves by
#
# $$
# \delta L = \sum_{ij} dA_{ij}\, \delta A_{ij} = \langle dA, \delta A \rangle .
# $$
#
# So: compute how $Z$ moves when its ingredients move, put it into $\langle dZ, \delta Z \rangle$, and shuffle until
# $\delta A$ stands alone on the right. What stands on the left is $dA$. The shuffling needs three rules, each a line
# of sums:
#
# | rule | because |
# |---|---|
# | $\langle A, B\, C \rangle = \langle A\, C^\top, B \rangle$ | both are $\sum_{ijk} A_{ij} B_{ik} C_{kj}$ |
# | $\langle A, B\, C \rangle = \langle B^\top A, C \rangle$ | the same sum |
# | $\langle A, B \odot C \rangle = \langle A \odot B, C \rangle$ | both are $\sum_{ij} A_{ij} B_{ij} C_{ij}$ |

# %%
A, B, C = rng.standard_normal((5, 3)), rng.standard_normal((5, 4)), rng.standard_normal((4, 3))
E = rng.standard_normal((5, 3))
left = (A * (B @ C)).sum()
print("three times the same sum:", left, ((A @ C.T) * B).sum(), ((B.T @ A) * C).sum())
assert abs(left - ((A @ C.T) * B).sum()) < 1e-13
assert abs(left - ((B.T @ A) * C).sum()) < 1e-13
assert abs((A * (E * A)).sum() - ((A * E) * A).sum()) < 1e-13

# %% [markdown]
# ## The way forward
#
# Two masked layers and the loss. Every line carries its shapes; `D` is the unit mask on the hidden layer, `M1` and
# `M2` are the weight masks. All sizes differ.

# %%
N, d0, d1, K, q = 11, 5, 7, 3, 0.8
X = rng.standard_normal((N, d0))
labels = rng.integers(0, K, N)
W1, b1 = rng.standard_normal((d0, d1)) * 0.7, rng.standard_normal(d1) * 0.3
W2, b2 = rng.standard_normal((d1, K)) * 0.7, rng.standard_normal(K) * 0.3
M1 = sample_mask(rng, (d0, d1), 0.6, dtype=X.dtype)
M2 = sample_mask(rng, (d1, K), 0.7, dtype=X.dtype)
D = sample_mask(rng, (N, d1), q, dtype=X.dtype)


def forward(X, W1, b1, W2, b2):
    """The loss, and everything that the way back will need."""
    Z1 = X @ (M1 * W1) + b1  # (N, d0) @ (d0, d1) -> (N, d1)
    H1 = Z1 * (Z1.real > 0)  # (N, d1), ReLU
    H1_kept = D * H1 / q  # (N, d1), what dropout leaves
    Z2 = H1_kept @ (M2 * W2) + b2  # (N, d1) @ (d1, K) -> (N, K)
    shifted = Z2 - Z2.real.max(axis=-1, keepdims=True)  # (N, K)
    log_P = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))  # (N, K)
    loss = -log_P[np.arange(N), labels].mean()
    return loss, (Z1, H1, H1_kept, Z2, log_P)


loss, (Z1, H1, H1_kept, Z2, log_P) = forward(X, W1, b1, W2, b2)
assert np.isfinite(loss)
print(f"loss {loss:.6f}")

# %% [markdown]
# ## A judge
#
# To check each line we need the true gradient. The *complex step* gives it: add $i \cdot 10^{-30}$ to one entry, run
# the same code with complex numbers, and the imaginary part of the loss, divided by $10^{-30}$, is the derivative, to
# all 16 digits. Why it works, and what it asks of the code (`.real` above is part of that), is the subject of
# Tutorial 5. The masks are fixed arrays, so they do not disturb it.


# %%
def true_gradient(name):
    """dL/d(name) by the complex step; one run of the network for each entry."""
    arrays = {"X": X, "W1": W1, "b1": b1, "W2": W2, "b2": b2}
    gradient = np.zeros(arrays[name].shape)
    for index in np.ndindex(*gradient.shape):
        moved = arrays[name].astype(complex)
        moved[index] += 1e-30j
        gradient[index] = forward(**{**arrays, name: moved})[0].imag / 1e-30
    return gradient


truth = {name: true_gradient(name) for name in ("X", "W1", "b1", "W2", "b2")}

# %% [markdown]
# ## The way back
#
# **Step 1, the loss.** Tutorial 3: $dZ_2 = (P - Y)/N$, Equation (B2), of shape $(N, K)$.

# %%
Y = np.eye(K)[labels]  # (N, K)
dZ2 = (np.exp(log_P) - Y) / N  # (N, K)

# %% [markdown]
# **Step 2, the second layer.** It reads $Z_2 = \tilde H_1 \tilde W_2 + \mathbf{1} b_2$ with
# $\tilde H_1 = D \odot H_1 / q$, $\tilde W_2 = M_2 \odot W_2$ and a column $\mathbf 1$ of $N$ ones, which copies the
# bias into each row. Move all three ingredients (products of two small moves are dropped):
#
# $$
# \delta Z_2 = \delta\tilde H_1\, \tilde W_2 + \tilde H_1\, \delta\tilde W_2 + \mathbf 1\, \delta b_2 .
# $$
#
# Put it into $\delta L = \langle dZ_2, \delta Z_2 \rangle$ and use the first two rules:
#
# $$
# \delta L = \langle \underbrace{dZ_2\, \tilde W_2^\top}_{(N,K)(K,d_1)}, \delta\tilde H_1 \rangle + \langle \underbrace{\tilde H_1^\top dZ_2}_{(d_1,N)(N,K)}, \delta\tilde W_2 \rangle + \langle \underbrace{\mathbf 1^\top dZ_2}_{(1,N)(N,K)}, \delta b_2 \rangle .
# $$
#
# Three gradients can be read off, for any masked layer with input $\tilde H$ and output $Z$. The first is for what
# went in:
#
# $$
# d\tilde H = dZ\, (M \odot W)^\top \in \mathbb{R}^{N \times d_{in}} . \tag{B6}
# $$
#
# The second is for the weights *that the product used*. It has its own name, the **dense gradient**:
#
# $$
# G = \frac{\partial L}{\partial \tilde W} = \tilde H^\top dZ \in \mathbb{R}^{d_{in} \times d_{out}} . \tag{B22}
# $$
#
# And one step further: $\tilde W = M \odot W$, so $\delta\tilde W = M \odot \delta W$, and the third rule moves the
# mask over to the other side: $\langle G, M \odot \delta W \rangle = \langle M \odot G, \delta W \rangle$. The mask
# of the forward pass comes back in the gradient:
#
# $$
# dW = M \odot (\tilde H^\top dZ) \in \mathbb{R}^{d_{in} \times d_{out}}, \qquad db = \mathbf 1^\top dZ \in \mathbb{R}^{d_{out}} . \tag{B5}
# $$

# %%
G2 = H1_kept.T @ dZ2  # (d1, N) @ (N, K) -> (d1, K)
dW2 = M2 * G2  # (d1, K)
db2 = dZ2.sum(axis=0)  # (K,)
dH1_kept = dZ2 @ (M2 * W2).T  # (N, K) @ (K, d1) -> (N, d1)

print(
    f"dW2 {abs(dW2 - truth['W2']).max():.1e}   db2 {abs(db2 - truth['b2']).max():.1e}   (difference to the complex step)"
)
assert np.allclose(dW2, truth["W2"], rtol=0, atol=1e-12)
assert np.allclose(db2, truth["b2"], rtol=0, atol=1e-12)

# %% [markdown]
# **Step 3, through dropout.** $\tilde H_1 = D \odot H_1 / q$ gives $\delta\tilde H_1 = D \odot \delta H_1 / q$, and
# the third rule again moves the mask across: $dH_1 = D \odot d\tilde H_1 / q$. This is Equation (B3): the same mask
# and the same scale as on the way forward. A unit that was not there has no share in the mistake.
#
# **Step 4, through the activation.** $H_1 = \phi(Z_1)$ entry by entry, so $\delta H_1 = \phi'(Z_1) \odot \delta Z_1$,
# and once more:
#
# $$
# dZ = \phi'(Z) \odot dH' \in \mathbb{R}^{N \times d_{out}} . \tag{B4}
# $$
#
# For ReLU $\phi'(Z)$ is itself a mask: 1 where $Z > 0$, else 0. It is made by the data instead of by chance or by
# pruning, and it acts in the same way.
#
# **Step 5, the first layer.** The equations of step 2 again. Nobody needs $dX$ in a training; we compute it to check
# it.

# %%
dH1 = D * dH1_kept / q  # (N, d1)
dZ1 = dH1 * (Z1 > 0)  # (N, d1)
dW1 = M1 * (X.T @ dZ1)  # (d0, N) @ (N, d1) -> (d0, d1)
db1 = dZ1.sum(axis=0)  # (d1,)
dX = dZ1 @ (M1 * W1).T  # (N, d1) @ (d1, d0) -> (N, d0)

for name, gradient in (("W1", dW1), ("b1", db1), ("X", dX)):
    print(f"d{name:2s} {abs(gradient - truth[name]).max():.1e}")
    assert np.allclose(gradient, truth[name], rtol=0, atol=1e-12)

# %% [markdown]
# That is the whole of back-propagation: seven lines, and each is the mirror image of a line of the forward pass.
# Three masks stand in them (pruning, dropout, ReLU), and each returns in the gradient exactly where it was.
#
# The library has the same lines, as a forward and backward pair for each layer. What the backward pass needs travels
# in a *cache*, so no other mask can come in between:

# %%
z1, cache1 = linear_forward(X, W1, b1, weight_mask=M1)
h1, gate = relu.forward(z1)
z2, cache2 = linear_forward(h1, W2, b2, unit_mask=D, keep_prob=q, weight_mask=M2)
library_loss, loss_cache = softmax_cross_entropy_forward(z2, labels)

library_dz2 = softmax_cross_entropy_backward(1.0, loss_cache)
library_dh1, library_dW2, library_db2 = linear_backward(library_dz2, cache2)
library_dx, library_dW1, library_db1 = linear_backward(relu.backward(library_dh1, gate), cache1)
for mine, theirs in ((dW1, library_dW1), (db1, library_db1), (dW2, library_dW2), (db2, library_db2), (dX, library_dx)):
    assert np.allclose(mine, theirs, rtol=0, atol=1e-15)

net = MLP((d0, d1, K), keep_prob=q)
theta = Parameters.from_arrays({"W1": W1, "b1": b1, "W2": W2, "b2": b2}, net.layout)
weight_mask = Parameters.from_arrays({"W1": M1, "b1": np.ones(d1), "W2": M2, "b2": np.ones(K)}, net.layout)
logits, caches = net.forward(theta, X, weight_mask=weight_mask, unit_masks=[None, D])
gradients = net.backward(softmax_cross_entropy_backward(1.0, loss_cache), caches)
assert np.array_equal(gradients["W1"], library_dW1) and np.array_equal(gradients["W2"], library_dW2)
print("numpynet's layers and its MLP give the same arrays")

# %% [markdown]
# ## What a pruned weight would like
#
# $dW$ is exactly 0 where the mask is. The dense gradient $G$ is not: it says how much the loss would change if the
# pruned weight came back to life. This is not waste. Scores like SNIP and methods that regrow connections read it
# (Tutorial 15), and an optimizer that is handed $G$ instead of $dW$ revives the dead (Tutorial 11).

# %%
# alt: Three maps of 7 by 3 cells: the weight mask of the second layer, the dense gradient G, which has colour also where
#      the mask is 0, and the gradient dW, in which the cells of pruned weights are crossed out and exactly zero.
fig, axes = plt.subplots(1, 3, figsize=(7.6, 3.2))
limit = abs(G2).max()
axes[0].imshow(M2, cmap="Greys", vmin=0, vmax=1.5)
axes[1].imshow(G2, cmap="PuOr", vmin=-limit, vmax=limit)
image = axes[2].imshow(dW2, cmap="PuOr", vmin=-limit, vmax=limit)
rows, columns = np.nonzero(M2 == 0)
axes[2].plot(columns, rows, "x", color="0.5")
for ax, title in zip(axes, ("mask M", "dense gradient G", "dW = M * G")):
    ax.set(title=title, xticks=range(K), yticks=range(d1), xlabel="output unit")
    ax.grid(False)
axes[0].set_ylabel("hidden unit")
fig.colorbar(image, ax=axes, shrink=0.8)
plt.show()

assert np.array_equal(dense_gradient(library_dz2, cache2) * M2, library_dW2)
assert (dW2[M2 == 0] == 0).all()  # exactly
assert abs(G2[M2 == 0]).max() > 1e-3  # and there they are

# %% [markdown]
# ## One example at a time
#
# A matrix product is a sum of outer products. $\tilde H^\top dZ$ adds up, over the examples, the column of what went
# in times the row of what comes back. So every single example asks for a change of rank one, and the gradient is
# their sum. A loop that *overwrites* instead of adding keeps the last example only: a favourite mistake.

# %%
outer_products = H1_kept[:, :, None] * dZ2[:, None, :]  # (N, d1, 1) * (N, 1, K) -> (N, d1, K)
print("ranks of the shares:", [int(np.linalg.matrix_rank(share)) for share in outer_products])
assert np.allclose(outer_products.sum(axis=0), G2, rtol=0, atol=1e-15)
assert max(np.linalg.matrix_rank(share) for share in outer_products) <= 1

# %% [markdown]
# ## Seven mistakes
#
# Each of these has been seen in published code. For each we print which gradients are wrong, and the cosine between
# the wrong and the right gradient of *all* parameters. A positive cosine means that a step along the wrong gradient
# still goes downhill: this is why "it trains" proves nothing.


# %%
def backward(mistake=""):
    """The seven lines of above, with one mistake on request."""
    dZ2 = (np.exp(log_P) - Y) / (1 if mistake == "1/N missing" else N)
    dW2 = M2 * ((H1 if mistake == "H for H-kept in dW2" else H1_kept).T @ dZ2)
    db2 = dZ2.mean(axis=0) if mistake == "bias: mean for sum" else dZ2.sum(axis=0)
    dH1_kept = dZ2 @ (W2 if mistake == "unmasked W2 on the way back" else M2 * W2).T
    dH1 = dH1_kept if mistake == "dropout forgotten" else D * dH1_kept / (1 if mistake == "1/q missing" else q)
    dZ1 = dH1 * (H1 >= 0 if mistake == "gate from the output, >=" else Z1 > 0)
    dW1 = M1 * (X.T @ dZ1)
    return {"b2": db2, "W2": dW2, "b1": dZ1.sum(axis=0), "W1": dW1}


def flat(gradients):
    return np.concatenate([gradients[name].ravel() for name in ("b2", "W2", "b1", "W1")])


right = flat(truth)
assert np.allclose(flat(backward()), right, rtol=0, atol=1e-12)
mistakes = (
    "1/N missing",
    "bias: mean for sum",
    "H for H-kept in dW2",
    "unmasked W2 on the way back",
    "dropout forgotten",
    "1/q missing",
    "gate from the output, >=",
)
cosines = []
for mistake in mistakes:
    wrong = backward(mistake)
    cosines.append(flat(wrong) @ right / np.linalg.norm(flat(wrong)) / np.linalg.norm(right))
    broken = [name for name in wrong if not np.allclose(wrong[name], truth[name], rtol=0, atol=1e-12)]
    assert broken, "a planted mistake must be found"
    print(f"{mistake:28s} wrong: {', '.join('d' + name for name in broken):19s} cosine {cosines[-1]:.3f}")
assert min(cosines) > 0  # each of them goes downhill

# %%
# alt: Seven horizontal bars, one for each mistake, that show the cosine between the wrong and the right gradient. All
#      are positive.
fig, ax = plt.subplots(figsize=(6.4, 3.0))
ax.barh(range(len(mistakes)), cosines, color=COLOURS[0])
ax.set(yticks=range(len(mistakes)), yticklabels=mistakes, xlim=(0, 1), xlabel="cosine with the right gradient")
ax.invert_yaxis()
plt.show()

# %% [markdown]
# Look again at the list of what is wrong. The unmasked $W_2$ spares $dW_2$ and $db_2$ and spoils everything in front
# of it. A mistake is not always seen where it is made: **the layer where it sits may look right**. This is why a
# gradient check goes layer by layer, from the loss backwards (Tutorial 16).
#
# **The square trap.** In a layer with $d_{in} = d_{out}$ a forgotten transpose raises nothing:

# %%
square = rng.standard_normal((d1, d1))
upstream = rng.standard_normal((N, d1))
with_transpose, without = upstream @ square.T, upstream @ square
print("shapes", with_transpose.shape, without.shape, f"  difference {abs(with_transpose - without).max():.2f}")
assert with_transpose.shape == without.shape and abs(with_transpose - without).max() > 0.1

# %% [markdown]
# ## Exercises
#
# > **Exercise 4.1** Derive Equation (B5) with indices: write $Z_{nj} = \sum_i \tilde H_{ni} M_{ij} W_{ij} + b_j$ and
# > compute $\partial L / \partial W_{ij} = \sum_n dZ_{nj}\, \partial Z_{nj} / \partial W_{ij}$.
#
# <details><summary>Answer</summary>
#
# $\partial Z_{nj} / \partial W_{ij} = \tilde H_{ni} M_{ij}$, and other columns of $Z$ do not contain $W_{ij}$. So
# $\partial L / \partial W_{ij} = M_{ij} \sum_n \tilde H_{ni}\, dZ_{nj}$, which is entry $(i, j)$ of
# $M \odot (\tilde H^\top dZ)$.
#
# </details>
#
# > **Exercise 4.2** Add weight decay, $\frac{\lambda}{2} \lVert M \odot W \rVert^2$, to the loss. What is added to
# > $dW$, and why must the mask stand in it?
#
# <details><summary>Answer</summary>
#
# $\lambda\, M \odot W$ (the mask squared is the mask). Without the mask, $\lambda W$ moves weights that do not exist:
# the layer does not notice, but the weights are no longer what they were when one wants them back.
#
# </details>
#
# > **Exercise 4.3** Which of the seven mistakes would a check with $q = 1$ and no pruning find? Which with $q = 0.5$
# > only?
#
# <details><summary>Answer</summary>
#
# With $q = 1$ and masks of ones only "1/N missing", "bias: mean for sum" and the gate: the other four are the right
# formula then. With $q = 0.5$ all seven; what hides at 0.5 is a keep probability swapped with the drop probability.
#
# </details>

# %%
decay = 0.1
penalised = true_gradient("W2") + decay * M2 * W2  # the answer of 4.2 ...
step = 1e-6
for index in ((0, 0), (3, 1), (6, 2)):  # ... against central differences of the penalised loss
    values = []
    for sign in (1, -1):
        moved = W2.copy()
        moved[index] += sign * step
        values.append(forward(X, W1, b1, moved, b2)[0] + decay / 2 * ((M2 * moved) ** 2).sum())
    assert abs((values[0] - values[1]) / (2 * step) - penalised[index]) < 1e-8

# %% [markdown]
# ## What to read next
#
# Tutorial 5 explains the judge of this page, and what to do where it cannot be used. Impatient readers train a
# network first (Tutorial 6); but then they have to believe that its gradients are right.

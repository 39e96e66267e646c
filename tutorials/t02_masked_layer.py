# %% [markdown]
# # Tutorial 2: Build a masked layer from one neuron
#
# **What you will do.** Start with a single artificial neuron, put neurons side by side into a layer, and put two
# masks into the layer: one that drops units, one that prunes weights.
#
# **What you will learn.** Equation (B1), the one line on which all of numpynet stands; why the units that stay are
# divided by the keep probability and the weights that stay are not; and why a network needs something that is not
# linear.
#
# **What you will need.** Tutorial 1 (shapes, the two products). A few seconds.

# %%
import matplotlib.pyplot as plt
import numpy as np

from numpynet.equations import linear_forward, relu, sample_mask
from numpynet.figures import COLOURS, STYLE
from numpynet.network import MLP
from numpynet.parameters import Parameters

plt.rcParams.update(STYLE)
rng = np.random.default_rng(2)

# %% [markdown]
# ## One neuron
#
# A neuron takes $d_{in}$ numbers $h_1, \dots, h_{d_{in}}$, weighs each with a weight $w_i$, adds them up, adds a bias
# $b$:
#
# $$
# z = \sum_{i=1}^{d_{in}} h_i\, w_i + b .
# $$
#
# The number $z$ is called the *pre-activation*. What the neuron passes on is $\phi(z)$, with an *activation* $\phi$.
# The usual one is ReLU ("rectified linear unit"): pass what is positive, and nothing else.
#
# $$
# \phi(z) = \max(z, 0), \qquad \phi'(z) = \begin{cases} 1 & z > 0 \\ 0 & z \le 0 \end{cases} \tag{B11}
# $$
#
# At $z = 0$ exactly there is a corner and no slope. We *choose* 0 there, and keep to it everywhere.


# %%
def neuron(h, w, b):
    """One number for one example: h (d_in,), w (d_in,), b a number."""
    z = b
    for i in range(len(h)):
        z = z + h[i] * w[i]
    return max(z, 0.0)


h, w, b = np.array([0.5, -1.0, 2.0]), np.array([1.0, 0.5, 0.25]), -0.2
print("0.5 * 1 - 1 * 0.5 + 2 * 0.25 - 0.2 =", neuron(h, w, b))
assert abs(neuron(h, w, b) - 0.3) < 1e-15
assert abs(neuron(h, w, b) - max(h @ w + b, 0.0)) < 1e-15  # the sum is a dot product

# %% [markdown]
# With two inputs one can see what a neuron does. The line $h_1 w_1 + h_2 w_2 + b = 0$ cuts the plane; on one side the
# neuron is silent, on the other its answer grows with the distance from the line. The weights say which way the line
# looks, the bias how far from the origin it lies.

# %%
# alt: Two maps of the plane. Left: one neuron is white below a straight line and gets steadily darker above it.
#      Right: the sum of three neurons, which is zero in the middle and grows outwards in three directions.
grid = np.stack(np.meshgrid(np.linspace(-2, 2, 101), np.linspace(-2, 2, 101)), axis=-1).reshape(-1, 2)  # (10201, 2)
one = relu.forward(grid @ np.array([1.0, 2.0]) - 0.8)[0]  # (10201,)
angles = np.deg2rad([90, 210, 330])
three_weights = np.stack([np.cos(angles), np.sin(angles)])  # (2, 3): one column for each neuron
three = relu.forward(grid @ three_weights - 0.5)[0].sum(axis=-1)  # (10201,)
fig, axes = plt.subplots(1, 2, figsize=(8.0, 3.4))
for ax, value, title in (
    (axes[0], one, "one neuron: max(h1 + 2 h2 - 0.8, 0)"),
    (axes[1], three, "three neurons, added"),
):
    picture = ax.contourf(np.linspace(-2, 2, 101), np.linspace(-2, 2, 101), value.reshape(101, 101), 12, cmap="Blues")
    ax.set(title=title, xlabel="h1", ylabel="h2", aspect="equal")
    fig.colorbar(picture, ax=ax, shrink=0.8)
plt.show()

assert neuron(np.array([0.0, 0.4]), np.array([1.0, 2.0]), -0.8) == 0  # on the line
assert neuron(np.array([0.0, 0.9]), np.array([1.0, 2.0]), -0.8) > 0  # above it

# %% [markdown]
# ## Neurons side by side: a layer, and a batch
#
# $d_{out}$ neurons that look at the same input have $d_{out}$ weight vectors. Written as the **columns** of a matrix
# $W$ of shape $(d_{in}, d_{out})$, all their pre-activations are one product $h W + b$, of shape $(d_{out},)$. And
# $N$ examples, the rows of $H$, are one product as well:
#
# $$
# \underbrace{Z}_{(N,\, d_{out})} = \underbrace{H}_{(N,\, d_{in})}\ \underbrace{W}_{(d_{in},\, d_{out})} + \underbrace{b}_{(d_{out},)}
# $$

# %%
N, d_in, d_out = 6, 5, 3
H = rng.standard_normal((N, d_in))
W = rng.standard_normal((d_in, d_out))
b = rng.standard_normal(d_out)

one_at_a_time = np.array([[neuron(H[n], W[:, j], b[j]) for j in range(d_out)] for n in range(N)])  # (N, d_out)
all_at_once = relu.forward(H @ W + b)[0]  # (N, d_out)
print("18 neurons one by one against one matrix product:", abs(one_at_a_time - all_at_once).max())
assert np.allclose(one_at_a_time, all_at_once, rtol=0, atol=1e-14)

# %% [markdown]
# **Why an activation at all?** Because without one, two layers are one: $(H W_1) W_2 = H (W_1 W_2)$, and $W_1 W_2$ is
# a matrix like any other. A hundred linear layers can do no more than a single one. With ReLU between them the
# sentence is wrong.

# %%
W2 = rng.standard_normal((d_out, 2))
linear_difference = abs((H @ W) @ W2 - H @ (W @ W2)).max()
relu_difference = abs(relu.forward(H @ W)[0] @ W2 - H @ (W @ W2)).max()
print(f"two linear layers against one: {linear_difference:.1e};   with ReLU between them: {relu_difference:.2f}")
assert linear_difference < 1e-13 and relu_difference > 0.1

# %% [markdown]
# ## First mask: take weights away
#
# A **weight mask** $M$ has the shape of $W$ and holds a 1 for each weight that exists, a 0 for each that has been
# pruned. The layer uses $M \odot W$. That is all that pruning is: *a pruned layer is a layer that stores zeros*,
# whatever value stands under the mask.

# %%
M = sample_mask(rng, (d_in, d_out), keep_prob=0.6, dtype=W.dtype)  # (d_in, d_out)
stored_zeros = W.copy()
stored_zeros[M == 0] = 0.0
rubbish = W + 1e6 * (1 - M)  # something large under the mask

pruned = H @ (M * W) + b  # (N, d_out)
print(f"{int((1 - M).sum())} of {M.size} weights pruned")
assert np.array_equal(pruned, H @ stored_zeros + b)
assert np.array_equal(pruned, H @ (M * rubbish) + b)  # bit for bit: nothing under the mask gets out

# %% [markdown]
# ## Second mask: drop units
#
# A **unit mask** $D$ has the shape of $H$. A 0 at $D_{ni}$ says: for example $n$, input unit $i$ is missing today.
# Dropout draws it at random, every entry on its own, 1 with probability $q$, the *keep probability*:

# %%
q = 0.8
D = sample_mask(rng, (N, d_in), keep_prob=q, dtype=H.dtype)  # (N, d_in)
print("D =", *D.astype(int), sep="\n    ")
assert set(np.unique(D)) <= {0.0, 1.0}

# %% [markdown]
# **The pitfall.** Take one neuron whose inputs are all 1, and drop a fifth of them. Its sum is smaller by a fifth, on
# average. A network that has been trained with the small sums meets the full ones in the evaluation, when nothing is
# dropped, and every layer behind it sees numbers that it has never seen.
#
# The mend: divide the units that stay by $q$. The expected value of $d h / q$ is $q \cdot h/q + (1 - q) \cdot 0 = h$,
# so the average is right again, and the evaluation needs no rule of its own. This is called *inverted* dropout.

# %%
draws = 20_000
ones = np.ones((draws, 50))
D_many = sample_mask(rng, ones.shape, keep_prob=q, dtype=ones.dtype)  # (draws, 50)
sum_plain = (D_many * ones).sum(axis=-1).mean()
sum_scaled = (D_many * ones / q).sum(axis=-1).mean()
print(
    f"sum of 50 ones, mean of {draws} masks: {sum_plain:.2f} unscaled, {sum_scaled:.2f} divided by q, 50 without dropout"
)

# A sum of 50 terms that are 0 or 1/q has the standard deviation sqrt(50 (1 - q) / q) = 3.54; 20,000 draws have the mean
# known to 0.025, and six times that is a safe bound.
assert abs(sum_plain - 40.0) < 6 * np.sqrt(50 * q * (1 - q) / draws)
assert abs(sum_scaled - 50.0) < 6 * np.sqrt(50 * (1 - q) / q / draws)

# %% [markdown]
# ## The one equation
#
# Both masks in one layer:
#
# $$
# \underbrace{Z}_{(N,\,d_{out})} \;=\; \underbrace{\frac{D \odot H}{q}}_{\tilde H\ (N,\,d_{in})}\; \underbrace{(M \odot W)}_{\tilde W\ (d_{in},\,d_{out})} \;+\; \underbrace{b}_{(d_{out},)} , \qquad H' = \phi(Z) \tag{B1}
# $$
#
# $\tilde H$ ("H tilde") is what is left of the input, $\tilde W$ what is left of the weights. Two masks of different
# characters in the same line:
#
# | | unit mask $D$ | weight mask $M$ |
# |---|---|---|
# | acts on | units, example by example | weights, for all examples |
# | drawn | at random, anew in every step | chosen, then fixed for a whole training |
# | scale | $1/q$, so that the mean stays | none: a pruned layer is meant to be another layer |
# | in evaluation | all ones, no scale | the same mask as in training |
# | known as | dropout | pruning, lottery tickets |
#
# There is no "training switch" in this line. Evaluation is the same equation with another $D$.


# %%
def masked_layer(x, W, b, *, unit_mask=None, keep_prob=1.0, weight_mask=None):
    """Z = (D * x / q) (M * W) + b; a mask that is None is all ones."""
    x_kept = x if unit_mask is None else x * unit_mask / keep_prob  # (N, d_in)
    W_kept = W if weight_mask is None else W * weight_mask  # (d_in, d_out)
    return x_kept @ W_kept + b  # (N, d_out)


Z = masked_layer(H, W, b, unit_mask=D, keep_prob=q, weight_mask=M)
Z_library, cache = linear_forward(H, W, b, unit_mask=D, keep_prob=q, weight_mask=M)

by_sums = np.zeros((N, d_out))
for n in range(N):
    for j in range(d_out):
        by_sums[n, j] = sum(D[n, i] * H[n, i] / q * M[i, j] * W[i, j] for i in range(d_in)) + b[j]

assert np.array_equal(Z, Z_library)
assert np.allclose(Z, by_sums, rtol=0, atol=1e-14)
assert np.array_equal(masked_layer(H, W, b), H @ W + b)  # no masks: an ordinary layer
print("the layer in the open, the sum over indices and numpynet's linear_forward agree")

# %% [markdown]
# ## What example $n$ sees
#
# Look at one example. Where $D_{ni} = 0$, the whole *row* $i$ of the weights counts for nothing. So the layer could
# as well have kept its input and pruned rows of its matrix, for this one example: its effective weight mask is the
# row pattern of $d_n$ combined with $M$. **Dropout is pruning with a mask for each example; pruning is dropout with a
# mask that stays.** This is the idea that all other pages follow up.

# %%
effective = D[:, :, None] * M  # (N, d_in, 1) * (d_in, d_out) -> (N, d_in, d_out): one weight mask for each example
for n in range(N):
    assert np.allclose((H[n] / q) @ (effective[n] * W) + b, Z[n], rtol=0, atol=1e-14)

# %%
# alt: Four small grids of 5 by 3 cells. The first is the fixed weight mask M. The other three are what examples 1, 4
#      and 5 see of it: the same pattern, in which whole rows are missing, other rows for each example.
shown = (1, 4, 5)
fig, axes = plt.subplots(1, 4, figsize=(8.4, 2.8))
for ax, mask, title in zip(axes, (M, *effective[list(shown)]), ("M, fixed", *(f"example {n}" for n in shown))):
    ax.imshow(mask, cmap="Blues", vmin=0, vmax=1.3)
    ax.set(title=title, xticks=range(d_out), yticks=range(d_in), xlabel="unit j")
    ax.grid(False)
for ax, n in zip(axes[1:], shown):
    for i in np.flatnonzero(D[n] == 0):
        ax.axhspan(i - 0.5, i + 0.5, color=COLOURS[1], alpha=0.35, linewidth=0)
axes[0].set_ylabel("input i")
plt.show()
dropped = {n: np.flatnonzero(D[n] == 0).tolist() for n in shown}
print("dropped inputs of these examples:", dropped)
assert len({tuple(inputs) for inputs in dropped.values()}) == 3  # a pattern for each example

# %% [markdown]
# ## Pitfalls of masks, seen failing
#
# **One mask for the whole batch.** `(d_in,)` broadcasts without a word, and then all examples lose the same units.
# That is a different law (still unbiased, usually noisier). The library asks for `(N, d_in)`, or `(1, d_in)` if you
# mean it.

# %%
try:
    linear_forward(H, W, b, unit_mask=D[0], keep_prob=q)
except ValueError as error:
    print("refused:", error)
else:
    raise AssertionError("a mask without a batch axis must be refused")

# %% [markdown]
# **Keep or drop?** Swapping the two is invisible at 0.5 and wrong everywhere else. For this reason no example here
# uses 0.5.

# %%
for keep in (0.5, 0.8):
    swapped = (rng.random((draws, 50)) > keep) / keep  # keeps with probability 1 - keep
    print(f"q = {keep}: mean of the swapped mask / q = {swapped.mean():.3f} (should be 1)")
    assert (abs(swapped.mean() - 1) < 0.02) == (keep == 0.5)

# %% [markdown]
# **The scale inside the mask.** $1/q$ belongs to the layer, not to the mask; a mask stays binary, so that it can be
# counted, combined and compared (Tutorial 10). **Rescaling a pruned layer by its density** is the opposite mistake:
# dropout divides by $q$ because the units come back in the evaluation. Pruned weights do not come back.
#
# ## From layers to a network
#
# A multilayer perceptron (MLP) is layers in a row, with an activation after each but the last. The library's `MLP`
# holds no arrays; parameters and masks go in. Two layers by hand, and the same by `MLP`:

# %%
net = MLP((d_in, 7, 4), keep_prob=q)  # 5 inputs, 7 hidden units, 4 outputs; dropout on the hidden units
theta = net.init(rng, dtype=np.float64)
theta["b1"] = 0.1 * rng.standard_normal(7)
weight_mask = Parameters(sample_mask(rng, net.layout.size, 0.5, dtype=np.float64), net.layout)
unit_masks = net.sample_unit_masks(rng, (N,), dtype=np.float64)  # None for the inputs, (N, 7) for the hidden units

z1 = masked_layer(H, theta["W1"], theta["b1"], weight_mask=weight_mask["W1"])  # (N, 7)
h1 = np.maximum(z1, 0)  # (N, 7)
logits = masked_layer(  # (N, 4)
    h1, theta["W2"], theta["b2"], unit_mask=unit_masks[1], keep_prob=q, weight_mask=weight_mask["W2"]
)
logits_library, _ = net.forward(theta, H, weight_mask=weight_mask, unit_masks=unit_masks)
print("logits, by hand and by MLP, of shape", logits.shape, "; equal:", np.array_equal(logits, logits_library))
assert np.array_equal(logits, logits_library)

# %% [markdown]
# ## Exercises
#
# > **Exercise 2.1** Choose weights and a bias so that one ReLU neuron with two inputs from $\{0, 1\}$ computes AND.
# > Why can no single neuron compute XOR?
#
# <details><summary>Answer</summary>
#
# $w = (1, 1)$, $b = -1$: only $(1, 1)$ gives $z = 1$. XOR asks for a positive answer at $(0, 1)$ and $(1, 0)$ and 0
# at $(0, 0)$ and $(1, 1)$. Positive means $w_2 + b > 0$ and $w_1 + b > 0$, zero means $b \le 0$ and
# $w_1 + w_2 + b \le 0$. Adding the first two gives $w_1 + w_2 + 2b > 0$, so $w_1 + w_2 + b > -b \ge 0$: a
# contradiction.
#
# </details>
#
# > **Exercise 2.2** The variance of $d h / q$ is $h^2 (1 - q)/q$. Derive it, and check it with the 20,000 masks
# > above.
#
# <details><summary>Answer</summary>
#
# $\mathrm{Var}[d] = q - q^2 = q(1 - q)$, because $d^2 = d$. Multiply by $(h/q)^2$: $h^2 (1 - q)/q$. For $h = 1$,
# $q = 0.8$ it is 0.25. Dividing by $q$ mends the mean; it does not take the noise away.
#
# </details>
#
# > **Exercise 2.3** Does it matter whether ReLU comes before or after the unit mask and its scale? And for tanh?
#
# <details><summary>Answer</summary>
#
# Not for ReLU, because $\max(c z, 0) = c \max(z, 0)$ for $c \ge 0$. For tanh it does:
# $\tanh(z / q) \ne \tanh(z) / q$. Tutorial 7 comes back to it.
#
# </details>

# %%
assert [neuron(np.array(x), np.array([1.0, 1.0]), -1.0) for x in ([0, 0], [0, 1], [1, 0], [1, 1])] == [0, 0, 0, 1]
assert abs((D_many / q).var() - 0.25) < 0.005
assert np.allclose(np.maximum(D * H / q, 0), D * np.maximum(H, 0) / q, rtol=0, atol=1e-15)
assert abs(np.tanh(D * H / q) - D * np.tanh(H) / q).max() > 0.1

# %% [markdown]
# ## What to read next
#
# Tutorial 3 turns the numbers that come out into probabilities and says how wrong they are. Then Tutorial 4 goes back
# through this very layer and asks each weight for its share in the error.

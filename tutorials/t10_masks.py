# %% [markdown]
# # Tutorial 10: Calculate with masks
#
# **What you will do.** Treat masks as sets, combine and count them, turn a unit mask into a weight mask and back, and
# differentiate with respect to a mask.
#
# **What you will learn.** The small algebra on which pruning, lottery tickets and the link to dropout stand; exactly
# when dropping a unit is the same as pruning weights (it takes one thing more than most people think); and how much
# two masks agree by pure chance.
#
# **What you will need.** Tutorials 2 and 4. A few seconds.

# %%
import itertools
import math

import matplotlib.pyplot as plt
import numpy as np

from numpynet.equations import (
    complement,
    density,
    difference,
    intersection,
    linear_backward,
    linear_forward,
    mask_gradients,
    sample_mask,
    softmax_cross_entropy_backward,
    softmax_cross_entropy_forward,
    union,
)
from numpynet.figures import COLOURS, STYLE
from numpynet.network import MLP
from numpynet.parameters import Parameters
from numpynet.pruning import count_paths, mask_of_units

plt.rcParams.update(STYLE)
rng = np.random.default_rng(10)

# %% [markdown]
# ## Masks are sets
#
# A mask of $n$ entries is a choice of what to keep: a subset of $n$ things, written as an array of 0 and 1. The
# operations on sets become arithmetic:
#
# $$
# \begin{gathered}
# M \odot M = M, \qquad M_1 \cap M_2 = M_1 \odot M_2, \\
# M_1 \cup M_2 = M_1 + M_2 - M_1 \odot M_2, \qquad M_1 \setminus M_2 = M_1 \odot (1 - M_2) .
# \end{gathered} \tag{M1}
# $$
#
# And $M' \le M$, entry by entry, says that $M'$ keeps nothing that $M$ has dropped. A lottery ticket is pruned in
# rounds and only ever moves *down* in this order. With four entries there are 16 masks, so the laws can be tried on
# every triple of them.

# %%
every = np.array(list(itertools.product((0.0, 1.0), repeat=4)))  # (16, 4)
a, b, c = every[:, None, None], every[None, :, None], every[None, None, :]  # all 4096 triples
assert np.array_equal(a * a, a)  # dropping twice is dropping once
assert np.array_equal(a * b, b * a) and np.array_equal((a * b) * c, a * (b * c))  # the order is irrelevant
assert np.array_equal(union(a, b), np.maximum(a, b)) and np.array_equal(intersection(a, b), np.minimum(a, b))
assert np.array_equal(a * union(b, c), union(a * b, a * c))  # distributive
assert np.array_equal(complement(union(a, b)), complement(a) * complement(b))  # De Morgan
assert np.array_equal(union(intersection(a, b), difference(a, b)), a * np.ones_like(b))  # two parts make the whole
assert (intersection(a, b) <= a).all()  # an intersection only goes down
print("all of these laws hold, bit for bit, for all 16^3 triples of masks")

# %%
# alt: Five grids of 6 by 8 cells in a row: two masks, what both keep, what at least one keeps, and what only the first keeps.
first, second = sample_mask(rng, (6, 8), 0.6), sample_mask(rng, (6, 8), 0.4)
fig, axes = plt.subplots(1, 5, figsize=(9.4, 2.2))
for ax, (title, mask) in zip(
    axes,
    (
        ("M1", first),
        ("M2", second),
        ("intersection", intersection(first, second)),
        ("union", union(first, second)),
        ("M1 without M2", difference(first, second)),
    ),
):
    ax.imshow(mask, cmap="Blues", vmin=0, vmax=1.3)
    ax.set(title=f"{title}\ndensity {density(mask):.2f}", xticks=[], yticks=[])
    ax.title.set_fontsize(9)
    ax.grid(False)
plt.show()

# %% [markdown]
# **Pitfalls.** Four ways to have an array that looks like a mask and is none:

# %%
print("M1 + M2 as a union:          ", np.unique(first + second), " (a 2)")
print("~M on whole numbers:         ", np.unique(~first.astype(int)), " (the complement of 1 is -2)")
print("a mask with the scale inside:", np.unique((first / 0.8) * (first / 0.8)).round(4), " (applied twice)")
zero_start = np.zeros((3, 2))  # biases, or a layer that is initialised with zeros
print("the mask read off as W != 0 : ", (zero_start != 0).mean(), " (nothing has been pruned)")
assert 2.0 in first + second and -2 in ~first.astype(int)
assert not np.array_equal((first / 0.8) * (first / 0.8), first / 0.8)
assert (zero_start != 0).mean() == 0

# %% [markdown]
# The last one costs most: a live weight may be 0 by chance or at the start, and a pruned one may have moved. *The
# mask is an array of its own.* The library refuses what is not binary:

# %%
try:
    linear_net = MLP((2, 3, 1))
    theta = linear_net.init(rng, dtype=np.float64)
    linear_net.forward(theta, np.ones((1, 2)), weight_mask=theta * 0 + 0.8)
except ValueError as error:
    print("refused:", str(error).split(". ")[0])
else:
    raise AssertionError("0.8 is no mask entry")

# %% [markdown]
# ## When is dropping a unit the same as pruning weights?
#
# Take hidden layer $l$ with activations $H_l = \phi(H_{l-1} W_l + b_l)$ and one unit mask $d$ for the whole batch,
# without the scale $1/q$. A dropped unit has two sides.
#
# **What leaves it.** $(H_l \odot d)\, W_{l+1}$: entry $(n, j)$ is $\sum_k H_{nk}\, d_k\, W_{kj}$, and $d_k$ may as
# well sit on the weight. So dropping units is a mask of *rows* of the next matrix, for any $\phi$.
#
# **What enters it.** One could also cut its inputs, *columns* of $W_l$. Then $z_k = b_k$, and the unit says
# $\phi(b_k)$. It is silent only if its bias goes as well **and** $\phi(0) = 0$:
#
# $$
# \underbrace{d \text{ on the units } H_l}_{(d_l,)} \;=\; \underbrace{d^\top \mathbf 1 \text{ on } W_{l+1}}_{\text{rows, any } \phi} \;=\; \underbrace{\mathbf 1^\top d \text{ on } W_l,\ d \text{ on } b_l}_{\text{columns and bias, if } \phi(0) = 0} . \tag{M2}
# $$

# %%
N, d0, d1, d2 = 6, 5, 7, 3
X = rng.standard_normal((N, d0))
W1, b1 = rng.standard_normal((d0, d1)), rng.standard_normal(d1)
W2, b2 = rng.standard_normal((d1, d2)), rng.standard_normal(d2)
d = np.array([1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0])  # (d1,)
b1[d == 0] = 0.5, 0.7  # the two units that go have something to say


def relu(z):
    return np.maximum(z, 0)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


for phi in (relu, np.tanh, sigmoid):
    dropped = (d * phi(X @ W1 + b1)) @ W2 + b2  # (N, d2): the unit mask
    rows = phi(X @ W1 + b1) @ (d[:, None] * W2) + b2  # row mask on W2
    columns_and_bias = phi(X @ (W1 * d) + d * b1) @ W2 + b2  # column mask on W1, and the biases
    columns_only = phi(X @ (W1 * d) + b1) @ W2 + b2  # the bias forgotten
    gaps = [abs(dropped - other).max() for other in (rows, columns_and_bias, columns_only)]
    print(f"{phi.__name__:8s} rows {gaps[0]:.0e}   columns and bias {gaps[1]:.3f}   columns alone {gaps[2]:.3f}")
    assert gaps[0] < 1e-14 and gaps[2] > 0.1
    assert (gaps[1] < 1e-14) == (phi is not sigmoid)

# %% [markdown]
# In the last row even the bias does not help: a sigmoid unit that hears nothing says $\frac12$ all day. The library
# builds the weight mask of a unit mask for you, with both the columns and the rows. (The rows alone would do: nobody
# hears the unit then, so its bias does not matter.)

# %%
layout = MLP((d0, d1, d2)).layout
theta = Parameters.from_arrays({"W1": W1, "b1": b1, "W2": W2, "b2": b2}, layout)
of_units = mask_of_units({1: d}, theta)
assert np.array_equal(of_units["W1"], np.ones((d0, 1)) * d)
assert np.array_equal(of_units["W2"], d[:, None] * np.ones((1, d2)))
print("weights left:", {name: f"{int(of_units[name].sum())} of {of_units[name].size}" for name in layout.weight_names})

# %% [markdown]
# ## Both masks in one layer
#
# A *dropout* mask has a row for each example. Put it beside a weight mask, and example $n$ sees its own weight mask,
# $d_n^\top \mathbf 1$ combined with $M$:
#
# $$
# \big[(D \odot H)(M \odot W)\big]_{nj} = \sum_i H_{ni} \underbrace{D_{ni}\, M_{ij}}_{\text{mask of example } n} W_{ij} . \tag{M5}
# $$
#
# So dropout is not *one* weight mask, it is $N$ of them, all made of whole rows, all below $M$ in the order. Their
# expected density is $q$ times the density of $M$.

# %%
q = 0.8
D = sample_mask(rng, (4000, d0), q, dtype=np.float64)  # (N, d0), many examples
M = sample_mask(rng, (d0, d1), 0.6, dtype=np.float64)
per_example = D[:, :, None] * M  # (4000, d0, d1)
H = rng.standard_normal((4000, d0))
left = (D * H) @ (M * W1)  # (4000, d1)
assert np.allclose(left, np.einsum("ni,nij,ij->nj", H, per_example, W1), rtol=0, atol=1e-13)
assert (per_example <= M).all()
print(
    f"density of M {density(M):.3f}, times q {q * density(M):.3f}; mean density of 4000 example masks {per_example.mean():.3f}"
)
# The rows of M weigh differently, so the bound is that of a mean of numbers in [0, density(M)] (Hoeffding, 1e-9).
assert abs(per_example.mean() - q * density(M)) < density(M) * np.sqrt(np.log(2e9) / (2 * 4000))

# %% [markdown]
# **Masks that are nested.** Draw *one* array of uniform numbers $u$ and compare it with different $q$. Where $q$ is
# smaller, fewer $u$ lie below: the mask shrinks, and what has gone does not come back. The library draws one number
# per entry even at $q = 1$, so two runs that differ in $q$ alone are comparable in this sense.

# %%
nested = [sample_mask(np.random.default_rng(4), (200,), keep_prob) for keep_prob in (1.0, 0.9, 0.6, 0.3)]
assert all((smaller <= larger).all() for larger, smaller in zip(nested, nested[1:]))
print("ones left as q falls:", [int(mask.sum()) for mask in nested])

# %% [markdown]
# ## The derivative with respect to a mask
#
# A mask is 0 or 1, but the formula of the layer can be differentiated at any number. Tutorial 4's rules give, with
# the dense gradient $G = \tilde H^\top dZ$,
#
# $$
# \frac{\partial L}{\partial M} = G \odot W \in \mathbb{R}^{d_{in} \times d_{out}}, \qquad \frac{\partial L}{\partial D} = \frac{d\tilde H \odot H}{q} \in \mathbb{R}^{N \times d_{in}} . \tag{B23}
# $$
#
# Read as a forecast: switching weight $(i, j)$ off changes the loss by about $-G_{ij} W_{ij}$. The two are related: a
# unit is the sum of its outgoing weights,
#
# $$
# \sum_n \tilde H_{nk}\, d\tilde H_{nk} = \sum_j W_{kj}\, dW_{kj} \qquad \text{for every unit } k . \tag{M7}
# $$

# %%
labels = rng.integers(0, d2, N)
H1 = relu(X @ W1 + b1)  # (N, d1)
D1 = np.ones((N, d1))
z, cache = linear_forward(H1, W2, b2, unit_mask=D1, keep_prob=1.0)
loss, loss_cache = softmax_cross_entropy_forward(z, labels)
dz = softmax_cross_entropy_backward(1.0, loss_cache)
dH, dW2, _ = linear_backward(dz, cache)
d_weight_mask, d_unit_mask = mask_gradients(dz, cache)

assert np.allclose(d_weight_mask, (H1.T @ dz) * W2, rtol=0, atol=1e-15)
assert np.allclose(d_unit_mask, (dz @ W2.T) * H1, rtol=0, atol=1e-15)
assert np.allclose(d_unit_mask.sum(axis=0), (W2 * dW2).sum(axis=1), rtol=0, atol=1e-14)  # M7


def loss_without(k):
    mask = np.ones(d1)
    mask[k] = 0.0
    return softmax_cross_entropy_forward((mask * H1) @ W2 + b2, labels)[0]


forecast = -d_unit_mask.sum(axis=0)  # (d1,) first order
truth = np.array([loss_without(k) for k in range(d1)]) - loss  # (d1,)
print("unit      forecast   true cost of dropping it")
for k in range(d1):
    print(f"  {k}      {forecast[k]:8.4f}   {truth[k]:8.4f}")

# %%
# alt: For seven hidden units, the forecast cost of dropping each beside its true cost. The signs and sizes agree roughly;
#      for units with a large effect the forecast is off.
fig, ax = plt.subplots()
ax.bar(np.arange(d1) - 0.2, forecast, 0.38, label="forecast from the mask gradient")
ax.bar(np.arange(d1) + 0.2, truth, 0.38, color=COLOURS[1], label="true change of the loss")
ax.axhline(0, color="0.3", linewidth=0.8)
ax.set(xlabel="hidden unit", ylabel="nats", xticks=range(d1), title="dropping one unit")
ax.legend(fontsize=8)
plt.show()

small = 1e-4  # for a small step down from 1 the forecast is right: it is the derivative
for k in range(d1):
    mask = np.ones(d1)
    mask[k] -= small
    step = softmax_cross_entropy_forward((mask * H1) @ W2 + b2, labels)[0] - loss
    assert abs(step / small - forecast[k]) < 1e-2
assert abs(forecast - truth).max() > 0.01  # for the whole step it is a forecast only

# %% [markdown]
# ## Paths
#
# An input reaches an output along paths of live weights. A path from input $i$ over hidden unit $k$ to output $j$
# exists if $M^{(1)}_{ik} M^{(2)}_{kj} = 1$, so the number of paths is a matrix product of the masks:
#
# $$
# \text{paths} = \mathbf 1^\top M_1 M_2 \cdots M_L\, \mathbf 1 . \tag{M12}
# $$
#
# If it is 0, the output does not depend on the input, and no training can help. With dropout a path survives if all
# its hidden units do, so the expected number is multiplied by $q$ for each hidden layer.

# %%
net = MLP((5, 7, 6, 3))
mask = Parameters(sample_mask(rng, net.layout.size, 0.4, dtype=np.float64), net.layout)
by_product = (mask["W1"] @ mask["W2"] @ mask["W3"]).sum()
by_walking = sum(
    mask["W1"][i, k] * mask["W2"][k, m] * mask["W3"][m, j]
    for i, k, m, j in itertools.product(range(5), range(7), range(6), range(3))
)
print(f"paths: {by_product:.0f} by matrix products, {by_walking:.0f} by walking all {5 * 7 * 6 * 3}")
assert by_product == by_walking == count_paths(mask)
assert math.isclose(count_paths(mask, keep_probs=(None, 0.8, 0.6)), 0.8 * 0.6 * by_product, rel_tol=1e-12)

# %% [markdown]
# ## How much do two masks agree by chance?
#
# Somebody finds two tickets of 15 % density and reports that they share 48 % of their union. Is that much? Draw masks
# with exactly $a$ and $b$ ones among $n$ at random, independently. Each entry of the first is hit by the second with
# probability $b/n$, so the overlap has the mean $ab/n$; its law is the hypergeometric one (as in drawing $b$ balls
# without putting them back), with the variance
#
# $$
# \frac{ab}{n} \Big(1 - \frac an\Big) \frac{n - b}{n - 1} . \tag{L20}
# $$

# %%
n, ones_a, ones_b = 30, 9, 12
fixed = np.zeros(n)
fixed[:ones_a] = 1
overlaps = np.array([fixed[rng.permutation(n)[:ones_b]].sum() for _ in range(20_000)])
law = np.array(
    [math.comb(ones_a, k) * math.comb(n - ones_a, ones_b - k) / math.comb(n, ones_b) for k in range(ones_a + 1)]
)
mean, variance = law @ np.arange(10), law @ (np.arange(10) - law @ np.arange(10)) ** 2
expected_variance = ones_a * ones_b / n * (1 - ones_a / n) * (n - ones_b) / (n - 1)
print(
    f"mean overlap {mean:.4f} (ab/n = {ones_a * ones_b / n}), variance {variance:.4f} (formula {expected_variance:.4f}); 20,000 draws: {overlaps.mean():.3f}, {overlaps.var():.3f}"
)
assert math.isclose(mean, ones_a * ones_b / n, rel_tol=1e-12)
assert math.isclose(variance, expected_variance, rel_tol=1e-12)
assert abs(overlaps.mean() - mean) < ones_a * np.sqrt(np.log(2e9) / (2 * 20_000))

rho = 0.15
by_chance = rho * rho / (rho + rho - rho * rho)
print(f"two random masks of density {rho} share {100 * by_chance:.1f} % of their union: 48 % is far more than chance")
assert abs(by_chance - 0.081) < 1e-3

# %%
# alt: Histogram of the overlap of two random masks with 9 and 12 ones among 30, in 20,000 draws, with the exact
#      hypergeometric probabilities as points on the tops of the bars.
fig, ax = plt.subplots()
ax.hist(overlaps, bins=np.arange(11) - 0.5, density=True, color=COLOURS[5], label="20,000 draws", rwidth=0.9)
ax.plot(range(10), law, "o", color=COLOURS[0], label="hypergeometric law")
ax.set(xlabel="overlap of masks with 9 and 12 ones of 30", ylabel="probability", xticks=range(10))
ax.legend(fontsize=8)
plt.show()

# %% [markdown]
# **Pitfall: comparing masks of different layers at once.** If one layer is kept at 50 % and another at 5 %, two
# tickets agree by chance much more than their common density says. Compare layer by layer.
#
# ## How many masks are there?
#
# $n$ weights have $2^n$ masks, and $\binom nk$ with exactly $k$ ones. For the 266,200 weights of a 784-300-100-10
# net, $2^n$ has 80,135 digits. Dropout samples from such a set; a lottery ticket is one element of it. That both live
# in the same set, and that a ticket could in principle be *drawn* as a dropout mask, is where Tutorial 13 begins.

# %%
digits_of_count = int(266_200 * math.log10(2)) + 1
print(f"2^266200 has {digits_of_count} digits")
assert digits_of_count == 80_135
assert sum(math.comb(9, k) for k in range(10)) == 2**9

# %% [markdown]
# ## Exercises
#
# > **Exercise 10.1** Show that $M_1 \cup M_2$ is binary whenever $M_1$ and $M_2$ are.
#
# <details><summary>Answer</summary>
#
# $M_1 + M_2 - M_1 M_2 = 1 - (1 - M_1)(1 - M_2)$. A product of two numbers from $\{0, 1\}$ is in $\{0, 1\}$, and so is
# one minus it.
#
# </details>
#
# > **Exercise 10.2** A unit with ReLU and a bias of $-0.3$ has lost all its incoming weights. What does it
# > contribute? And with a bias of $+0.3$?
#
# <details><summary>Answer</summary>
#
# $\max(-0.3, 0) = 0$: nothing, it may be deleted. With $+0.3$ it says 0.3, always; delete it, and add $0.3$ times its
# outgoing row to the next biases. Tutorial 11 does so.
#
# </details>
#
# > **Exercise 10.3** Dropout with keep probabilities 0.8 and 0.6 on two hidden layers, on top of a mask with 100
# > paths. How many paths has the net that is trained in a step, on average, and for how many examples is it the same
# > net?
#
# <details><summary>Answer</summary>
#
# $0.8 \cdot 0.6 \cdot 100 = 48$. And for hardly any: every example has a mask of its own.
#
# </details>

# %%
assert set(np.unique(union(every[:, None], every[None]))) == {0.0, 1.0}
assert relu(-0.3) == 0 and relu(0.3) == 0.3
assert math.isclose(0.8 * 0.6 * 100, 48)

# %% [markdown]
# ## What to read next
#
# Tutorial 11 chooses a mask: which weights to prune, how many exactly, and why they tend to come back.

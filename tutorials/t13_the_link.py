# %% [markdown]
# # Tutorial 13: Dropout and lottery tickets are one law over masks
#
# **What you will do.** Write down one probability law for a mask, find dropout, DropConnect, supermasks and lottery
# tickets as its corners, check its moments by listing every mask, and then slide a network from one corner to
# another.
#
# **What you will learn.** What the two ideas of this project have to do with each other, exactly: where one *is* the
# other, what separates them (one number: a variance), and which statements are theorems and which are measurements.
#
# **What you will need.** Tutorials 7, 8, 10 and 12; 15 for the supermasks. Under thirty seconds.

# %%
from numpynet import threads

threads.set_default()  # one thread, before NumPy is imported

import itertools
import math

import matplotlib.pyplot as plt
import numpy as np

from numpynet.data import load_digits, make_xor
from numpynet.equations import (
    linear_forward,
    prune_lowest,
    softmax_cross_entropy_backward,
    softmax_cross_entropy_forward,
)
from numpynet.equations.keep_prob_gradient import expected_loss, expected_loss_gradient
from numpynet.equations.mask_law import (
    dropconnect_law,
    dropout_law,
    every_mask,
    layer_moments,
    log_probability,
    pruning_law,
    targeted_law,
)
from numpynet.equations.targeted_dropout import targeted_weight_dropout_forward
from numpynet.figures import COLOURS, STYLE, band
from numpynet.layer_rules import targeted_weight_dropout
from numpynet.link.laws_table import HEADER, laws_table
from numpynet.link.sliding import slide
from numpynet.lottery.controls import control_rngs, one_shot_mask, shuffled_mask
from numpynet.network import MLP
from numpynet.optimizers import Adam
from numpynet.parameters import Parameters
from numpynet.plan import TrainingPlan
from numpynet.pruning import alive_counts, magnitude, magnitude_mask, weight_density
from numpynet.seeding import streams
from numpynet.statistics import t_interval
from numpynet.subnetworks import list_subnetworks, without_scale
from numpynet.training import begin, evaluate, train

plt.rcParams.update(STYLE)
rng = np.random.default_rng(13)

# %% [markdown]
# ## One law
#
# Give every weight a coin of its own: the mask entry $M_{ij}$ is 1 with probability $Q_{ij}$, else 0. For one example
# $h$ the layer's output $z = h (M \odot W)$ is then random. Each $z_j$ is a sum of independent terms
# $h_i M_{ij} W_{ij}$, so means add and variances add. A coin has the mean $Q$ and the variance $Q(1-Q)$:
#
# $$
# E[z] = h\, (Q \odot W), \qquad \mathrm{Var}[z] = h^2 \big( Q \odot (1 - Q) \odot W^2 \big) . \tag{M6}
# $$
#
# That is the link. Everything else on this page is reading it.
#
# * **DropConnect**: $Q_{ij} = q$ everywhere. Variance, and no information: all coins are alike.
# * **Lottery ticket**: $Q_{ij} \in \{0, 1\}$. All information, and the variance is *zero*, because $Q(1-Q) = 0$ at
#   both ends.
# * **Supermask**: $Q = \sigma(S)$, learned; somewhere in between, on the way from the first to the second.
# * **Dropout**: $Q_{ij} = q$ as well, but all weights of one input unit share *one* coin. The mean is the same, the
#   variance of each $z_j$ is the same, and the outputs become correlated.

# %%
h, W, q = rng.standard_normal((1, 4)), rng.standard_normal((4, 2)), 0.7
coins = np.array(list(itertools.product((0.0, 1.0), repeat=8))).reshape(-1, 4, 2)  # (256, 4, 2): every weight mask
Q = rng.uniform(0.1, 0.9, (4, 2))  # any law of single coins
chance = (Q**coins * (1 - Q) ** (1 - coins)).prod(axis=(-2, -1))  # (256,)
z = (h @ (coins * W))[:, 0]  # (256, 2)
mean, variance = chance @ z, chance @ (z - chance @ z) ** 2
print("mean    ", mean.round(6), " by the formula", (h @ (Q * W))[0].round(6))
print("variance", variance.round(6), " by the formula", (h**2 @ (Q * (1 - Q) * W**2))[0].round(6))
assert np.allclose(mean, h @ (Q * W), rtol=0, atol=1e-13)
assert np.allclose(variance, h**2 @ (Q * (1 - Q) * W**2), rtol=0, atol=1e-13)

single, tied = layer_moments(h, W, dropconnect_law(4, 2, q)), layer_moments(h, W, dropout_law(4, 2, q))
assert np.allclose(single[0], tied[0]) and np.allclose(np.diag(single[1]), np.diag(tied[1]), rtol=1e-12)
print(f"covariance of z_1 and z_2: DropConnect {single[1][0, 1]:.4f}, dropout {tied[1][0, 1]:.4f}")
assert abs(single[1][0, 1]) < 1e-15 and abs(tied[1][0, 1]) > 0.01

# %% [markdown]
# The library computes such a table for a small layer, each row checked by listing its masks:

# %%
rows = laws_table()
for row in ([HEADER[0], *HEADER[2:6]], *([row[0], *row[2:6]] for row in rows)):
    print(f"{row[0]:22s}" + "".join(f"{cell:>15s}" for cell in row[1:]))
spread = {row[0]: float(row[4]) for row in rows}
assert spread["lottery ticket"] == 0 and spread["dropout"] == spread["DropConnect"] > 0

# %%
# alt: Variance of a coin, Q times one minus Q, against Q: a parabola that is zero at 0 and 1 and largest at one half. Marks
#      show dropout and DropConnect at 0.8, supermask weights spread along the curve, and the ticket's weights at both ends.
fig, ax = plt.subplots(figsize=(5.8, 3.4))
t = np.linspace(0, 1, 200)
ax.plot(t, t * (1 - t), color="0.6")
learned = 1 / (1 + np.exp(-np.array([-2.6, -1.3, 0.3, 1.9, 3.0])))
ax.plot(0.8, 0.16, "s", color=COLOURS[0], markersize=9, label="dropout, DropConnect: one Q for all")
ax.plot(learned, learned * (1 - learned), "o", color=COLOURS[2], label="supermask: a learned Q for each weight")
ax.plot([0, 1], [0, 0], "^", color=COLOURS[1], markersize=9, label="lottery ticket: 0 or 1")
ax.set(
    xlabel="keep probability Q of a weight",
    ylabel="variance Q (1 - Q)",
    ylim=(-0.01, 0.34),
    title="one law, and its corners",
)
ax.legend(fontsize=8, loc="upper left")
plt.show()

# %% [markdown]
# ## A ticket is a draw that DropConnect could have made
#
# Under DropConnect a particular mask $m$ with $k$ ones among $n$ has the probability
#
# $$
# P(C = m) = q^k (1 - q)^{n - k}, \qquad k = \lVert m \rVert_0 . \tag{M19}
# $$
#
# It is positive for *every* mask: each ticket is one of the networks that DropConnect trains now and then. It depends
# on $k$ alone, so among all masks of one density the ticket is as likely as any other. And it is largest at $q = k/n$
# (set the derivative of the logarithm, $k/q - (n-k)/(1-q)$, to 0). *Given* the count $k$, whatever $q$ was, the coins
# are no longer independent: where one weight is in, there is one place less for the others,
#
# $$
# E\,M_i = \frac kn, \qquad \mathrm{Cov}(M_i, M_j) = -\frac{\frac kn (1 - \frac kn)}{n - 1} \quad (i \ne j) . \tag{M14}
# $$
#
# (Their sum is fixed, so its variance $n \frac kn (1 - \frac kn) + n (n - 1)\, \mathrm{Cov}$ is 0.) What makes a ticket
# special is not that it cannot be drawn. It is that nobody would *wait* for it. Plain dropout, though, can hardly ever
# draw it: it takes whole rows or leaves them.

# %%
ticket = prune_lowest(np.abs(W), np.ones_like(W), k=5)  # 3 of 8 weights
logs = {share: log_probability(dropconnect_law(4, 2, share), ticket) for share in (0.2, 3 / 8, 0.6)}
print("ln P(ticket) at q = 0.2, 3/8, 0.6:", [round(float(v), 3) for v in logs.values()])
assert math.isclose(logs[0.2], 3 * math.log(0.2) + 5 * math.log(0.8), rel_tol=1e-12)
assert max(logs, key=logs.get) == 3 / 8
same_count = [m for m in coins if m.sum() == 3]
assert len({round(log_probability(dropconnect_law(4, 2, 0.6), m), 12) for m in same_count}) == 1
sized = np.array([m.ravel() for m in same_count])  # (56, 8)
centred = sized - sized.mean(axis=0)
covariance = centred.T @ centred / len(sized)  # (8, 8)
assert np.allclose(sized.mean(axis=0), 3 / 8) and np.allclose(np.diag(covariance), 3 / 8 * 5 / 8)
assert np.allclose(covariance[~np.eye(8, dtype=bool)], -(3 / 8) * (5 / 8) / 7, rtol=0, atol=1e-15)
print(
    f"all {len(sized)} masks with 3 of 8: mean {sized[:, 0].mean():.3f}, covariance of two entries {covariance[0, 1]:.4f}"
)
assert log_probability(dropout_law(4, 2, 0.6), ticket) == -math.inf  # dropout takes whole rows
per_draw = 266_200 * (0.2 * math.log(0.2) + 0.8 * math.log(0.8)) / math.log(10)
print(f"LeNet-300-100 at 20 %: one draw in 10^{-per_draw:.0f} is a given ticket, even at the best q")
assert per_draw < -57_000

# %% [markdown]
# ## A frozen dropout mask is a smaller network
#
# Draw *one* unit mask and keep it for a whole training. Then dropout has become pruning, exactly: the dropped units
# never speak and never learn, and what is trained is the net without them, with the factor $1/q$ on what is left.
# Both trainings give the same weights:
#
# $$
# \begin{gathered}
# \text{training with one fixed } d \text{ and } \tfrac{d \odot h}{q} \\
# \equiv \quad \text{training without those units, with } \tfrac{h}{q} .
# \end{gathered} \tag{M18}
# $$

# %%
digits = load_digits(dtype=np.float64)
x, y = digits.train.x[:200], digits.train.y[:200]
big = MLP((64, 20, 10), keep_prob=q)
d = (rng.random(20) < q).astype(np.float64)
stays = np.flatnonzero(d)
small = MLP((64, len(stays), 10), keep_prob=q)
theta = big.init(streams(0).init, dtype=np.float64)
theta_small = Parameters.from_arrays(
    {"W1": theta["W1"][:, stays], "b1": theta["b1"][stays], "W2": theta["W2"][stays], "b2": theta["b2"]}, small.layout
)
for _ in range(30):
    for net_, mask, which in ((big, d[None, :], "big"), (small, np.ones((1, len(stays))), "small")):
        parameters = theta if which == "big" else theta_small
        logits, caches = net_.forward(parameters, x, unit_masks=[None, mask])
        gradients = net_.backward(
            softmax_cross_entropy_backward(1.0, softmax_cross_entropy_forward(logits, y)[1]), caches
        )
        parameters -= 0.2 * gradients  # in place
apart = abs(theta["W1"][:, stays] - theta_small["W1"]).max()
print(
    f"20 units of which {20 - len(stays)} are dropped for 30 steps, against {len(stays)} units: weights {apart:.0e} apart"
)
assert apart < 1e-12
assert np.allclose(theta["W2"][stays], theta_small["W2"], rtol=0, atol=1e-12)
start = big.init(streams(0).init, dtype=np.float64)
assert np.array_equal(theta["W1"][:, d == 0], start["W1"][:, d == 0])  # the dropped have not moved

# %% [markdown]
# So a network trained with ordinary dropout is a network trained as *many* pruned networks in turn, which share their
# weights; and a lottery ticket is what comes out if one of them is chosen and all steps are spent on it.
#
# ## The gradient of the keep probability is the cost of pruning
#
# Give each of $n$ units a keep probability $q_k$ of its own, and let $E L(q)$ be the loss averaged over all $2^n$
# masks (here without the factor $1/q$, so that $q_k = 1$ is simply "kept"). Each mask has the probability
# $\prod_k q_k^{d_k} (1 - q_k)^{1 - d_k}$, and in it each $q_k$ occurs once. So $E L$ is *linear in each* $q_k$:
#
# $$
# \begin{gathered}
# E L = q_k\, E[L \mid d_k = 1] + (1 - q_k)\, E[L \mid d_k = 0], \\
# \frac{\partial\, E L}{\partial q_k} = E[L \mid d_k = 1] - E[L \mid d_k = 0] .
# \end{gathered} \tag{M8}
# $$
#
# Dropout's question "how should I change the keep probability of this unit?" and pruning's question "what does it
# cost to remove this unit?" have **the same answer**, up to its sign. We compute it for a small net after two epochs
# of training, when some of its 8 hidden units still do harm, with all 256 masks.

# %%
data = make_xor(streams(0).split, 200, noise=0.3, dtype=np.float64)
xor = MLP((2, 8, 2), keep_prob=0.8)
state = begin(
    xor, TrainingPlan(epochs=2, batch_size=50, optimizer=Adam(), schedule=0.01, dtype="float64"), data, seed=2
)
for _record in train(state, data):
    pass
weights = state.theta.copy()
unscaled = without_scale(xor)  # takes masks, divides by nothing
weights["W2"] /= 0.8  # the standard convention: larger weights, no 1/q
masks, _ = list_subnetworks(xor)
losses, _ = softmax_cross_entropy_forward(unscaled.forward(weights, data.x, unit_masks=masks)[0], data.y)  # (256,)

keep = np.full(8, 0.8)
bits = (np.arange(256)[:, None] >> np.arange(8)) & 1  # (256, 8): bit k says whether unit k stays


def mean_loss(keep_probs):
    """E L, by its definition; complex numbers pass."""
    return (np.where(bits == 1, keep_probs, 1 - keep_probs).prod(axis=-1) * losses).sum()


slope = np.array([mean_loss(keep + 1e-30j * e).imag / 1e-30 for e in np.eye(8)])  # complex step in q
cost_of_pruning = []
for k in range(8):
    others = np.where(bits == 1, keep, 1 - keep)
    others[:, k] = 1.0  # the law of the other seven
    weight = others.prod(axis=-1)
    kept, dropped = (weight[bits[:, k] == s] @ losses[bits[:, k] == s] for s in (1, 0))
    cost_of_pruning.append(dropped - kept)
print("dEL/dq_k           ", slope.round(3))
print("- cost of pruning  ", (-np.array(cost_of_pruning)).round(3))
assert np.allclose(slope, -np.array(cost_of_pruning), rtol=0, atol=1e-13)
assert np.allclose(slope, expected_loss_gradient(losses, keep), rtol=0, atol=1e-13)
assert np.isclose(mean_loss(keep), expected_loss(losses, keep), rtol=1e-13)

# %% [markdown]
# **What follows.** A function that is linear in each variable has its smallest value over a cube at a *corner*: from
# any point, move one $q_k$ to whichever end is better, and the value does not rise; after $n$ moves all are 0 or 1.
# The corners are the pruned networks. So
#
# > for fixed weights, no dropout law has a smaller expected loss than the best pruned network.
#
# Noise pays only because the weights are *trained* under it.

# %%
path, values = keep.copy(), [mean_loss(keep)]
for k in range(8):
    ends = [mean_loss(np.where(np.arange(8) == k, end, path)) for end in (0.0, 1.0)]
    path[k] = float(np.argmin(ends))
    values.append(min(ends))
print("expected loss along the moves:", [round(float(v), 4) for v in values])
print(
    "the corner:",
    path.astype(int),
    f"   all units kept: {losses[-1]:.4f}   best of all 256 subnetworks: {losses.min():.4f}",
)
assert all(b <= a + 1e-12 for a, b in zip(values, values[1:]))
assert set(path) <= {0.0, 1.0} and losses.min() <= values[-1] + 1e-12
assert 0 < path.sum() < 8 and losses.min() < losses[-1]  # here less is more
for _ in range(500):  # no law beats the best corner
    assert mean_loss(rng.random(8)) >= losses.min() - 1e-12

# %%
# alt: Left, bars for eight units: the slope of the expected loss in the keep probability of each, which is minus the cost of
#      pruning it; five are positive, two clearly negative. Right, the expected loss falling step by step while the eight keep probabilities are
#      moved to 0 or 1 one after the other, down to a horizontal line, the loss of the best subnetwork.
fig, axes = plt.subplots(1, 2, figsize=(8.6, 3.2))
axes[0].bar(range(8), slope, color=COLOURS[0])
axes[0].axhline(0, color="0.3", linewidth=0.8)
axes[0].set(xlabel="unit k", ylabel="nats", title="slope in q_k = minus the cost of pruning")
axes[1].plot(range(9), values, "o-", label="expected loss")
axes[1].axhline(losses.min(), color=COLOURS[1], linestyle="--", label="best of 256 subnetworks")
axes[1].set(xlabel="units decided", ylabel="expected loss in nats", title="from dropout to a corner")
axes[1].legend(fontsize=8)
plt.show()

# %% [markdown]
# ## Both at once
#
# Nothing prevents both masks: dropout on a pruned net. With units kept with probability $q$ and divided by it, and
# weights kept with probability $s$, all independent, and no scale for the weights,
#
# $$
# E[z] = s\, h W, \qquad \mathrm{Var}[z_j] = \Big( \frac sq - s^2 \Big) \sum_i h_i^2 W_{ij}^2 . \tag{M22}
# $$
#
# On *one* pruned layer, $M$ fixed, the law of Tutorial 8 holds with $M \odot W$ in the place of $W$,
#
# $$
# \mathrm{Cov}(z_j, z_k) = \frac{1 - q}{q} \sum_i h_i^2\, M_{ij} W_{ij}\, M_{ik} W_{ik} , \tag{M21}
# $$
#
# so what has been pruned makes no noise, and outputs without a common living input are not correlated.
#
# Back to Equation (M22). At $s = 1$ it is dropout's $\frac{1-q}{q}$; at $q = 1$ DropConnect's $s(1-s)$. (Write the entry as $D M / q$: its
# second moment is $\frac{s}{q}$, its mean is $s$.)

# %%
s = 0.6
units = np.array(list(itertools.product((0.0, 1.0), repeat=4)))  # (16, 4)
p_units = (q**units * (1 - q) ** (1 - units)).prod(axis=-1)
p_weights = (s**coins * (1 - s) ** (1 - coins)).prod(axis=(-2, -1))  # (256,)
z = np.stack([(h * u / q) @ (coins * W) for u in units])[:, :, 0]  # (16, 256, 2)
joint = p_units[:, None] * p_weights  # (16, 256)
mean = np.tensordot(joint, z, axes=2)
variance = np.tensordot(joint, (z - mean) ** 2, axes=2)
print("16 x 256 pairs of masks: mean", mean.round(4), "variance", variance.round(4))
assert np.allclose(mean, s * h @ W, rtol=0, atol=1e-12)
assert np.allclose(variance, (s / q - s**2) * (h**2 @ W**2), rtol=0, atol=1e-12)

_, of_pruned = layer_moments(h, W, dropout_law(4, 2, q, weight_mask=ticket), scale=1 / q)
kept = ticket * W
assert np.allclose(of_pruned, (1 - q) / q * (h.T**2 * kept).T @ kept, rtol=0, atol=1e-14)
apart = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])  # no input feeds both outputs
assert layer_moments(h, W, dropout_law(4, 2, q, weight_mask=apart))[1][0, 1] == 0

# %% [markdown]
# ## Is a ticket a typical draw?
#
# Every mask of its size is as likely as the ticket. Is it one of the crowd? That is a question for a measurement. We
# find eight tickets as in Tutorial 12 (four rounds of 50 %) and lay their masks on *untrained* weights. No training
# follows: all that has been chosen is which initial weights to keep. Beside each, 100 random masks with the same
# number of weights in each layer.

# %%
digits = load_digits()
seeds = list(range(8))
net = MLP((64, 60, 40, 10))


def trained(start, mask=None, steps=300, model=net, seeds=seeds):
    """Weights and test accuracies, one for each seed, after training from a start under a mask."""
    plan = TrainingPlan(steps=steps, batch_size=60, optimizer=Adam(), schedule=3e-3, evaluate_every=steps)
    state = begin(model, plan, digits.train, seed=seeds, theta_0=start, weight_mask=mask)
    last = list(train(state, digits.train, monitors={"test": digits.test}))[-1]
    return state.theta, np.array(last.accuracy["test"])


def accuracy(theta, mask):
    """Test accuracies, one for each replicate, under a mask, without training."""
    return np.array(evaluate(net, theta, digits.test, weight_mask=mask)[1])  # (R,)


theta_0 = net.init([streams(seed).init for seed in seeds])
tickets = Parameters.ones(net.layout, replicates=(8,))
dense, dense_accuracy = trained(theta_0, tickets)
theta_T = dense
for _round in range(4):
    tickets = magnitude_mask(theta_T, tickets, rate=0.5)
    theta_T, ticket_accuracy = trained(theta_0, tickets)

crowd_rngs = [np.random.default_rng((13, seed)) for seed in seeds]
crowd = {"untrained": [], "trained": []}
for _draw in range(100):
    random_masks = shuffled_mask(tickets, crowd_rngs)
    crowd["untrained"].append(accuracy(theta_0, random_masks))
    crowd["trained"].append(accuracy(dense, random_masks))
crowd = {name: np.array(values) for name, values in crowd.items()}  # (100, 8)
own = {"untrained": accuracy(theta_0, tickets), "trained": accuracy(dense, tickets)}
assert alive_counts(random_masks) == alive_counts(tickets)
print(f"accuracy in % with {100 * np.mean(weight_density(tickets)):.1f} % of the weights, nothing trained afterwards")
for name in crowd:
    beaten = (crowd[name] < own[name]).sum(axis=0)  # (8,)
    gap = t_interval(own[name] - crowd[name].mean(axis=0))
    print(f"on {name} weights: mask of the ticket {t_interval(own[name]).text(digits=1)}")
    print(
        f"  100 random masks {t_interval(crowd[name].mean(axis=0)).text(digits=1)}, best {100 * crowd[name].max():.1f}"
    )
    print(f"  difference {gap.text(digits=1, sign=True)}; the ticket's beats at least {beaten.min()} of 100")
    assert beaten.min() >= 99 and gap.mean - gap.half_width > 0.1

# %%
# alt: Two histograms of the accuracies of 800 random masks. On untrained and on trained weights they pile up at about ten per
#      cent. The masks of the eight tickets, triangles near the axis, lie far to the right of them in both panels.
fig, axes = plt.subplots(1, 2, figsize=(8.4, 3.0), sharex=True)
for ax, name in zip(axes, crowd):
    ax.hist(100 * crowd[name].ravel(), bins=np.arange(0, 101, 2), color=COLOURS[5], label="100 random masks, 8 seeds")
    ax.plot(100 * own[name], np.full(8, 12), "v", color=COLOURS[1], label="masks of the 8 tickets")
    ax.set(title=f"on {name} weights", xlabel="test accuracy in %", xlim=(0, 100))
axes[0].set_ylabel("masks")
axes[1].legend(fontsize=8)
plt.show()

# %% [markdown]
# On weights that nobody has trained, the mask alone is worth several times the level of chance. That is no magic: it
# has been *chosen by a training from just this start*, and carries what was learned there. A ticket is a possible
# draw of DropConnect, and a very untypical one.
#
# ## Where the two meet: targeted dropout
#
# If the smallest weights will be pruned in the end, let *those* be the ones that drop in training. Targeted dropout
# (Gomez and others 2019) takes, of the $n$ weights of an output unit, the candidates
#
# $$
# \begin{gathered}
# C = \text{the } \lfloor \gamma n \rfloor \text{ weights with the smallest } |W_{ij}|, \\
# Q_{ij} = 1 - \alpha \text{ in } C, \quad 1 \text{ elsewhere},
# \end{gathered} \tag{D22}
# $$
#
# without a scale, and leaves out all of $C$ in evaluation. At $\alpha = 1$ nothing is random any more:
#
# $$
# \alpha = 1: \quad M = \text{the one-shot magnitude mask of each unit's weights} . \tag{L12}
# $$

# %%
A, inputs = rng.standard_normal((8, 5)), rng.standard_normal((6, 8))
out, _ = targeted_weight_dropout_forward(inputs, A, np.zeros(5), rng.random(A.shape), target_share=0.5, drop_prob=1.0)
by_magnitude = np.ones_like(A)
for j in range(5):  # each output unit by itself
    by_magnitude[:, j] = prune_lowest(np.abs(A[:, j]), np.ones(8), k=4)
assert np.array_equal(out, inputs @ (by_magnitude * A))
assert np.array_equal(targeted_law(A, 0.5, 1.0).Q, by_magnitude)
print("targeted dropout with alpha = 1 is one-shot magnitude pruning: equal bits")

# %% [markdown]
# Does such noise make a net that can be cut *without training again*? And does plain dropout? Three kinds of training
# from the same starts on the same batches, then one cut of the smallest weights of each layer, and nothing after it.
# The spread between runs is large after a deep cut, so here are sixteen of them.

# %%
targeted = [targeted_weight_dropout(0.75, 0.66)] * 2 + [targeted_weight_dropout(0.375, 0.66)]
kinds = {
    "no dropout": net,
    "dropout, q = 0.8": MLP(net.sizes, keep_prob=0.8),
    "targeted dropout": MLP(net.sizes, rules=tuple(targeted)),
}
rates = (0.0, 0.5, 0.65, 0.75, 0.85, 0.9)
cut, sixteen = {}, list(range(16))
starts = net.init([streams(seed).init for seed in sixteen])
for name, model in kinds.items():
    end, _ = trained(starts, model=model, seeds=sixteen)
    cut[name] = np.array([accuracy(end, magnitude_mask(end, rate=rate)) for rate in rates])  # (6, 16)
print("accuracy in % after one cut; in brackets: minus no dropout, paired, 95 % interval\n")
print("cut %   no dropout    dropout, q = 0.8             targeted dropout")
gains = {}
for row, rate in enumerate(rates):
    none = cut["no dropout"][row]
    cells = [f"{t_interval(none).text(digits=1):12s}"]
    for name in list(kinds)[1:]:
        gains[name, rate] = t_interval(cut[name][row] - none)
        bracket = f"({gains[name, rate].text(digits=1, sign=True)})"
        cells.append(f"{t_interval(cut[name][row]).text(digits=1):11s} {bracket:15s}")
    print(f"{100 * rate:4.0f}    {'  '.join(cells)}".rstrip())
deep = gains["targeted dropout", 0.85]
assert deep.mean - deep.half_width > 0  # a clear gain under a deep cut
assert gains["targeted dropout", 0.0].mean < 0.01  # and none as long as nothing is cut
more = t_interval(cut["targeted dropout"][4] - cut["dropout, q = 0.8"][4])
print(f"cut by 85 %: targeted minus plain dropout {more.text(digits=1, sign=True)} points")
assert more.mean - more.half_width > 0

# %%
# alt: Test accuracy against the share of the weights that one cut removes. Without dropout it falls from about 60 per cent on,
#      with dropout a little later; with targeted dropout it starts lower and falls last.
fig, ax = plt.subplots(figsize=(6.4, 3.6))
for (name, values_of), colour, marker in zip(cut.items(), COLOURS, "os^"):
    band(ax, 100 * np.array(rates), 100 * values_of, name, colour, marker=marker, markersize=4)
ax.set(xlabel="weights of each hidden layer removed at once, in %", ylabel="test accuracy in %")
ax.set_title("no training after the cut; mean of 16 seeds, band: 95 %", fontsize=10)
ax.legend(fontsize=8, loc="lower left")
plt.show()

# %% [markdown]
# **Targeted dropout** does what it is made for: after a deep cut its net is better by far more than the interval, and
# for that it pays two or three points as long as nothing is cut. **Plain dropout** has higher means after the deeper
# cuts, and three of its six intervals lie above 0, barely. A small effect on these digits, if it is one; and no law:
# on MNIST-1D, after a cut of 75 %, the net trained with dropout *loses more* (`numpynet link priming`). That two
# methods have a law in common does not mean that one helps the other.
#
# ## Slide from one corner to the other
#
# If they are one law, a network can be moved from one to the other. Start with DropConnect, $Q = 0.8$ for every
# weight. Give each weight a score, $Q = \sigma\big((S - c)/\tau\big)$, let the scores learn with the weights, and
# lower density and temperature $\tau$. At the end every $Q$ is 0 or 1: a pruned net, with the exact counts that we
# ask for, here those of our tickets. Its rivals have the same number of weights in each layer and as many steps:
#
# * magnitude pruning *in one shot* after half of the steps, and fine-tuning for the other half,
# * the learned mask rewound to $\theta_0$, and the same mask shuffled,
# * the ticket, whose mask has cost four trainings before.

# %%
slow = TrainingPlan(steps=600, batch_size=60, optimizer=Adam(), schedule=3e-3, evaluate_every=600)
counts = {name: per_replicate[0] for name, per_replicate in alive_counts(tickets).items()}
slid = slide(net, slow, digits.train, counts, seeds=seeds)
assert alive_counts(slid.weight_mask) == alive_counts(tickets)
assert (slid.theta.vector[slid.weight_mask.vector == 0] == 0).all()

one_shot = one_shot_mask(magnitude(dense), tickets)
learned_shuffled = shuffled_mask(slid.weight_mask, control_rngs(seeds, "shuffle"))
assert alive_counts(one_shot) == alive_counts(learned_shuffled) == alive_counts(tickets)
arms = {
    "slid from DropConnect": accuracy(slid.theta, slid.weight_mask),
    "one shot, fine-tuned": trained(dense, one_shot)[1],
    "the learned mask, rewound": trained(theta_0, slid.weight_mask, 600)[1],
    "the learned mask, shuffled, rewound": trained(theta_0, learned_shuffled, 600)[1],
    "the ticket": trained(theta_0, tickets, 600)[1],
}
print("test accuracy in %, 8 seeds           difference to the slide, paired")
versus = {}
for name, values_of in arms.items():
    versus[name] = t_interval(values_of - arms["slid from DropConnect"])
    to_slide = versus[name].text(sign=True) if name != "slid from DropConnect" else ""
    print(f"{name:36s} {t_interval(values_of).text():15s} {to_slide}".rstrip())
gain = t_interval(arms["the learned mask, rewound"] - arms["the learned mask, shuffled, rewound"])
print(f"learned mask minus shuffled mask, both from theta_0: {gain.text(sign=True)} points")
assert gain.mean - gain.half_width > 0  # the scores have found something
assert versus["the ticket"].mean > 0

# %%
# alt: Mean density and mean variance Q times one minus Q of the coins against steps. The density falls from 0.8 to 0.08; the
#      variance begins at 0.16, rises a little, and is exactly zero from 70 per cent of the training on.
fig, ax = plt.subplots(figsize=(5.8, 3.4))
step, density, variance_of_coins, _ = slid.trace.T
ax.plot(step, density, label="mean of Q: the density")
ax.plot(step, variance_of_coins, "--", label="mean of Q (1 - Q): the noise")
ax.set(xlabel="step", ylim=(0, 0.85), title="from DropConnect to a pruned net")
ax.legend()
plt.show()
assert abs(variance_of_coins[0] - 0.16) < 1e-3 and (variance_of_coins[step >= 0.7 * 600] == 0).all()

# %% [markdown]
# In one training the learned law comes as far as the cut and fine-tuned net; the two cannot be told apart here. What
# it has learned is in the *mask*: rewound to $\theta_0$ it is far better than its shuffled control. The ticket, for
# five trainings instead of one, is better by more than the interval. All this holds for this net, these digits, this
# density and 600 steps.
#
# ## What is proved, and what is measured
#
# | statement | kind |
# |---|---|
# | dropout and tickets are laws of one mask; the ticket has variance 0 | exact |
# | a frozen dropout mask is a smaller net, through the whole training | exact |
# | every ticket is a possible DropConnect draw, as likely as any mask of its size | exact |
# | the gradient of a keep probability is minus the cost of pruning | exact |
# | for fixed weights some pruned net is at least as good as any dropout law | exact |
# | targeted dropout with $\alpha = 1$ is a magnitude mask | exact |
# | a ticket is a very untypical draw; targeted dropout prepares a net for a cut; a net can slide to a good mask | measured above |
# | does dropout make better tickets? do the gains add up? does plain dropout make nets easier to prune? | measured, or open |
#
# The last row has a page of its own: `numpynet link` runs seven experiments with paired intervals, and its statement
# of results says, question by question, what was found, with which uncertainty, and where the literature says
# something else.
#
# ## Exercises
#
# > **Exercise 13.1** Which $Q$ has the largest variance for a given mean output $h (Q \odot W)$, in a layer with a
# > single input and a single weight? What can be traded with several weights?
#
# <details><summary>Answer</summary>
#
# With one weight the mean fixes $Q$, so there is no choice. With several, the same mean can be had by all coins in
# the middle (much variance) or by some at 1 and some at 0 (none, if the numbers work out): noise is a choice.
#
# </details>
#
# > **Exercise 13.2** In Equation (M8) put the factor $1/q_k$ back. Why is the expected loss no longer linear in
# > $q_k$, and what is the extra term?
#
# <details><summary>Answer</summary>
#
# $q_k$ now also stands inside the layer: kept units are $h/q_k$. The product rule adds
# $E[\partial L / \partial q_k] = -\frac{1}{q_k} E \sum_n \tilde h_{nk}\, d\tilde H_{nk}$. The sentence about corners
# holds for the unscaled convention.
#
# </details>
#
# > **Exercise 13.3** "Dropout is an ensemble of lottery tickets." Right or wrong?
#
# <details><summary>Answer</summary>
#
# Half. It is an ensemble of *subnetworks*. A ticket is a subnetwork that trains well by itself from its own start;
# almost none of the $2^n$ does.
#
# </details>

# %%
variances = {name: layer_moments(np.ones((1, 2)), np.ones((2, 1)), law)[1][0, 0] for name, law in (
    ("both coins at one half", dropconnect_law(2, 1, 0.5)),
    ("one kept, one pruned", pruning_law(np.array([[1.0], [0.0]]))),
)}  # fmt: skip
print("mean 1 either way; variance:", {name: float(v) for name, v in variances.items()})
assert list(variances.values()) == [0.5, 0.0]
listed, probability = every_mask(dropout_law(4, 2, q))
outputs = linear_forward(h, W, np.zeros(2), weight_mask=listed)[0][:, 0]
assert np.allclose(probability @ outputs, tied[0], rtol=0, atol=1e-13)  # the library's list says the same

# %% [markdown]
# ## What to read next
#
# Tutorial 14 reads the article that promised this link and did not give it. Tutorial 15 learns masks without training
# weights.

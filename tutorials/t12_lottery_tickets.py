# %% [markdown]
# # Tutorial 12: Find a lottery ticket, and controls that make it believable
#
# **What you will do.** Train, prune, go back to the start, train again, nine times over; and beside each ticket train
# its impostors: the same mask with other weights, the same weights under another mask.
#
# **What you will learn.** What exactly the Lottery Ticket Hypothesis claims; which four steps find a ticket and how
# each is done wrong; and why a curve without controls shows nothing.
#
# **What you will need.** Tutorials 6, 10 and 11. Under thirty seconds.

# %%
from numpynet import threads

threads.set_default()  # one thread, before NumPy is imported

import matplotlib.pyplot as plt
import numpy as np

from numpynet.data import load_digits, split_validation
from numpynet.figures import COLOURS, STYLE, band
from numpynet.lottery.controls import control_rngs, reinitialised, shuffled_mask
from numpynet.lottery.imp import iterative_pruning
from numpynet.lottery.prune_rules import prune_rule
from numpynet.network import MLP
from numpynet.optimizers import Adam
from numpynet.parameters import Parameters
from numpynet.plan import TrainingPlan
from numpynet.pruning import alive_counts, magnitude_mask, weight_density
from numpynet.seeding import streams
from numpynet.statistics import t_interval
from numpynet.training import begin, early_stop, evaluate, train

plt.rcParams.update(STYLE)

# %% [markdown]
# ## The claim
#
# Prune a trained network to a tenth: it still works (Tutorial 11). Take a network of that shape *from the beginning*
# and train it: it works worse. So a large net seems to be needed for the training, though not for the result. Frankle
# and Carbin (2019) found that this is not so. The small network can be trained from the beginning, if it begins with
# **the weights that it had in the large one**:
#
# $$
# \begin{gathered}
# \text{there is a mask } m \in \{0,1\}^n \text{ with } \lVert m \rVert_0 \ll n \text{ ones, such that} \\
# f(x;\, m \odot \theta_0), \text{ trained alone, reaches } a' \ge a \text{ in } j' \le j \text{ steps,}
# \end{gathered} \tag{L1}
# $$
#
# where $\theta_0$ are the initial weights of the dense net with $n$ weights, $a$ is its accuracy after training and
# $j$ the number of steps it needs. The *pair* of mask and start is called a winning ticket. The words carry weight:
# *there is* (not: every), *with its own start* (not: any weights), *trained alone* (not: cut out of the trained net).
#
# **What would contradict it?** If the same mask did as well with fresh weights, the start would be irrelevant: the
# *shape* would be what matters. If the start did as well under a shuffled mask, the mask would be irrelevant. So
# these two are the controls, and they have to be run.
#
# ## The search
#
# *Iterative magnitude pruning*: train to the end; remove the smallest share $\rho$ of the survivors in each layer,
# exactly counted by Equation (L2); put the survivors back to their initial values and everything else to exactly 0,
#
# $$
# \theta = m \odot \theta_0, \qquad \text{bit for bit,} \tag{L4}
# $$
#
# with a fresh optimizer and the same order of the data; train again. Here it is, for six replicates at once: six
# seeds, six nets, one stack.

# %%
digits = load_digits()
train_split, validation = split_validation(digits.train, 300, streams(0).split)
seeds = list(range(6))
net = MLP((64, 60, 40, 10))
plan = TrainingPlan(steps=200, batch_size=60, optimizer=Adam(), schedule=3e-3, evaluate_every=10)
monitors = {"validation": validation, "test": digits.test}


def trained(start, mask):
    """Train from a start under a mask; the trained weights and the history, for all six replicates."""
    state = begin(net, plan, train_split, seed=seeds, theta_0=start, weight_mask=mask)  # theta = mask * start, a copy
    return state.theta, list(train(state, train_split, monitors=monitors))


theta_0 = net.init([streams(seed).init for seed in seeds])  # (6, 6790)
kept_safe = theta_0.copy()
mask = Parameters.ones(net.layout, replicates=(6,))
masks, tickets = [mask], []
for _round in range(9):
    theta_T, history = trained(theta_0, mask)  # train
    tickets.append(history)
    mask = magnitude_mask(theta_T, mask, rate=0.3)  # prune 30 % of the survivors (the last layer 15 %)
    masks.append(mask)  # and rewind: the next round starts from theta_0 again
tickets.append(trained(theta_0, mask)[1])
densities = [float(np.mean(weight_density(m))) for m in masks]
print("weights left in %:", [round(100 * d, 1) for d in densities])
print("layers of the last mask, per replicate:", {name: counts[0] for name, counts in alive_counts(masks[-1]).items()})

# %% [markdown]
# Before looking at any accuracy, check that the search did what it says. Each of these checks has caught a published
# implementation.

# %%
assert np.array_equal(theta_0.vector, kept_safe.vector)  # nobody has trained theta_0 (no alias)
for older, newer in zip(masks, masks[1:]):
    assert (newer.vector <= older.vector).all()  # nothing comes back
    for name, counts in alive_counts(newer).items():
        before = alive_counts(older)[name]
        rate = 0.15 if name == "W3" else 0.3
        assert counts == [n - int(np.floor(rate * n + 0.5)) for n in before]  # exact counts
state = begin(net, plan, train_split, seed=seeds, theta_0=theta_0, weight_mask=masks[-1])
alive = masks[-1].vector == 1
assert np.array_equal(state.theta.vector[alive], theta_0.vector[alive])  # rewound, bit for bit
assert (state.theta.vector[~alive] == 0).all()
assert (trained(theta_0, masks[-1])[0].vector[~alive] == 0).all()  # and dead weights are dead after training, too

dense_state = begin(net, plan, train_split, seed=seeds, theta_0=theta_0)  # no mask at all ...
for _record in train(dense_state, train_split):
    pass
identity = trained(theta_0, masks[0])[0]  # ... and a mask of ones
assert np.array_equal(dense_state.theta.vector, identity.vector)
print("counts, rewinding, dead weights, identity run: as they should be")

# %% [markdown]
# The library's `iterative_pruning` is this loop with controls, one level after the other:

# %%
levels = iterative_pruning(net, plan, train_split, seeds=seeds, rounds=2, prune=prune_rule(0.3))
for number, level in enumerate(levels):
    assert np.array_equal(level.weight_mask.vector, masks[number].vector)
print("numpynet's search gives the same masks, bit for bit")

# %% [markdown]
# ## The controls
#
# Same number of weights in each layer, same data in the same order, same number of steps. Only one thing differs each
# time:
#
# $$
# \begin{gathered}
# \text{(a) } m \odot \theta_0' \text{ with fresh weights } \theta_0', \\
# \text{(b) } m' \odot \theta_0 \text{ with } m' \text{ the mask } m, \text{ permuted within each layer.}
# \end{gathered} \tag{L5}
# $$
#
# Why *within* each layer? A mask shuffled over the whole net would change how many weights each layer has, and one
# would not know which of two changes did it.

# %%
fresh = reinitialised(net, control_rngs(seeds, "reinit"))
arms = {"ticket": tickets, "same mask, fresh weights": [], "same weights, shuffled mask": []}
for level, level_mask in enumerate(masks):
    shuffled = shuffled_mask(level_mask, control_rngs(seeds, "shuffle")) if level else level_mask
    assert alive_counts(shuffled) == alive_counts(level_mask)
    arms["same mask, fresh weights"].append(trained(fresh, level_mask)[1])
    arms["same weights, shuffled mask"].append(trained(theta_0, shuffled)[1] if level else tickets[0])
accuracy = {name: np.array([h[-1].accuracy["test"] for h in histories]) for name, histories in arms.items()}  # (10, 6)

print("test accuracy after 200 steps in %, mean and 95 % interval of 6 replicates; differences paired by seed")
print("left %    ticket          fresh weights    shuffled mask     ticket - dense    ticket - fresh")
for level, share in enumerate(densities):
    row = [t_interval(accuracy[name][level]).text() for name in arms]
    row += [
        t_interval(accuracy["ticket"][level] - accuracy["ticket"][0]).text(sign=True) if level else "",
        t_interval(accuracy["ticket"][level] - accuracy["same mask, fresh weights"][level]).text(sign=True),
    ]
    print(f"{100 * share:5.1f}    " + "    ".join(row))

# %% [markdown]
# Read it like a referee.
#
# * **Ticket against dense.** Down to a fifth of the weights, and a little below, the intervals of the difference
#   contain 0: as far as six runs can tell, the ticket is as good as the dense net. Further down it is worse. "As good
#   at *some* densities" is what Equation (L1) says; "pruning improves accuracy" it does not say.
# * **Ticket against fresh weights.** From half of the weights on the ticket is better with the same mask, and the gap
#   grows as the net gets sparse. At 100 % there is no difference: the fresh weights are no worse as such.
# * **Against the shuffled mask.** Worse still. So neither the mask alone nor the start alone is the ticket.

# %%
for level, share in enumerate(densities):
    to_fresh = t_interval(accuracy["ticket"][level] - accuracy["same mask, fresh weights"][level])
    to_shuffled = t_interval(accuracy["ticket"][level] - accuracy["same weights, shuffled mask"][level])
    if share < 0.4:
        assert to_fresh.mean - to_fresh.half_width > 0  # its own start matters ...
        assert to_shuffled.mean - to_shuffled.half_width > 0  # ... and so does its mask
    if 0.2 < share < 1:
        to_dense = t_interval(accuracy["ticket"][level] - accuracy["ticket"][0])
        assert to_dense.mean > -0.015  # and it keeps up with the dense net
to_fresh = t_interval(accuracy["ticket"][0] - accuracy["same mask, fresh weights"][0])
assert abs(to_fresh.mean) < 0.02  # the dense nets are alike

# %%
# alt: Test accuracy against the share of weights left, from 100 to 5 per cent. The ticket stays level to about 20 per cent
#      and then sinks slowly; the same mask with fresh weights falls earlier and deeper, the shuffled mask deeper still.
fig, ax = plt.subplots(figsize=(6.6, 4.0))
for (name, values), colour, marker in zip(accuracy.items(), COLOURS, "os^"):
    band(ax, 100 * np.array(densities), 100 * values, name, colour, marker=marker, markersize=4)
ax.axhline(100 * accuracy["ticket"][0].mean(), color="0.5", linestyle=":", linewidth=1)
ax.set_xscale("log")
ax.set_xticks([100 * d for d in densities], [f"{100 * d:.0f}" for d in densities])
ax.minorticks_off()
ax.invert_xaxis()
ax.set(xlabel="weights left in %", ylabel="test accuracy in %", title="mean of 6 replicates, band: 95 % interval")
ax.legend(fontsize=8, loc="lower left")
plt.show()

# %% [markdown]
# ## How fast?
#
# Equation (L1) also says: in at most as many steps. The paper takes $j$ as the step with the smallest *validation*
# loss. **Pitfall:** in a short training the loss is still falling at the end, and then the "step of the smallest
# loss" is simply the last one that was looked at. Such a number is *censored*: it says "200 or more", not "200".

# %%
last = plan.steps
censored = {}
for name, histories in arms.items():
    steps = [early_stop(histories[0], "validation", replicate=r).step for r in range(6)]
    steps_sparse = [early_stop(histories[-1], "validation", replicate=r).step for r in range(6)]
    censored[name] = (sum(s >= last - 10 for s in steps), sum(s == last for s in steps_sparse))
    print(
        f"{name:28s} runs whose smallest loss is at the end: dense {censored[name][0]} of 6, at {100 * densities[-1]:.0f} % {censored[name][1]} of 6"
    )
assert censored["ticket"][1] >= 5  # j cannot be read off here

# %% [markdown]
# So ask another question that these runs can answer: after how many steps is the validation accuracy 85 % for the
# first time?


# %%
def first_step(histories, level, goal=0.85):
    """For each replicate the first recorded step at the goal; infinity if it is never reached."""
    reached = np.array([[a >= goal for a in record.accuracy["validation"]] for record in histories[level]])  # (21, 6)
    steps = np.array([record.step for record in histories[level]])
    return np.where(reached.any(axis=0), steps[reached.argmax(axis=0)], np.inf)


third = 3
print(
    f"first step with 85 % validation accuracy, median of 6, at 100 % and at {100 * densities[third]:.0f} % of the weights:"
)
for name, histories in arms.items():
    print(f"  {name:28s} {np.median(first_step(histories, 0)):.0f} and {np.median(first_step(histories, third)):.0f}")
fast = {name: np.median(first_step(histories, third)) for name, histories in arms.items()}
assert fast["ticket"] <= np.median(first_step(tickets, 0))  # the ticket is not slower than the dense net ...
assert fast["ticket"] < min(fast["same mask, fresh weights"], fast["same weights, shuffled mask"])  # the impostors are

# %% [markdown]
# ## One in how many?
#
# How special is the ticket among masks of its size? Draw 40 shuffled masks for the start of seed 0, train all of
# them, as a stack, and see where the ticket stands.

# %%
sparse = 5
of_seed_0 = masks[sparse].replicate(0)
crowd_rngs = [np.random.default_rng((12, k)) for k in range(40)]
crowd_mask = shuffled_mask(Parameters(np.repeat(of_seed_0.vector[None], 40, axis=0), net.layout), crowd_rngs)
crowd_start = Parameters(np.repeat(theta_0.replicate(0).vector[None], 40, axis=0), net.layout)
crowd = begin(net, plan, train_split, seed=range(40), theta_0=crowd_start, weight_mask=crowd_mask)
for _record in train(crowd, train_split):
    pass
crowd_accuracy = np.array(evaluate(net, crowd.theta, digits.test, weight_mask=crowd_mask)[1])  # (40,)
own = accuracy["ticket"][sparse][0]
print(
    f"at {100 * densities[sparse]:.1f} %: ticket {100 * own:.1f} %, 40 random masks {100 * crowd_accuracy.min():.1f} to {100 * crowd_accuracy.max():.1f} %; better than the ticket: {(crowd_accuracy >= own).sum()}"
)
assert (crowd_accuracy >= own).sum() == 0

# %%
# alt: Histogram of the test accuracies of 40 random masks with as many weights per layer as the ticket. All lie to the left
#      of a vertical line, the accuracy of the ticket.
fig, ax = plt.subplots(figsize=(5.6, 3.0))
ax.hist(100 * crowd_accuracy, bins=20, color=COLOURS[5], label="40 shuffled masks, same start")
ax.axvline(100 * own, color=COLOURS[1], linewidth=2, label="the ticket")
ax.set(xlabel="test accuracy in %", ylabel="masks", title=f"{100 * densities[sparse]:.1f} % of the weights")
ax.legend(fontsize=8, loc="upper left")
plt.show()

# %% [markdown]
# ## What it costs, and three ways to spoil it
#
# A ticket at 5 % has cost ten full trainings. It is a way to *understand* training, not a way to save it. One could
# prune to 5 % at once, with the rate that does in one round what nine rounds do,
#
# $$
# \rho_1 = 1 - (1 - \rho)^9 , \tag{L17}
# $$
#
# for the price of two trainings:

# %%
theta_T, _ = trained(theta_0, masks[0])
one_shot = magnitude_mask(theta_T, rate=1 - 0.7**9, output_rate=1 - 0.85**9)
_, one_shot_history = trained(theta_0, one_shot)
one_shot_accuracy = np.array(one_shot_history[-1].accuracy["test"])
print(
    f"weights left: {100 * np.mean(weight_density(one_shot)):.2f} % in one shot, {100 * densities[-1]:.2f} % in nine rounds"
)
difference = t_interval(accuracy["ticket"][-1] - one_shot_accuracy)
print(f"nine rounds minus one shot, in points: {difference.text(sign=True)}")
assert abs(np.mean(weight_density(one_shot)) - densities[-1]) < 1e-3
assert difference.mean > 0

# %% [markdown]
# **Spoiled 1: no rewinding.** If the survivors keep their trained values, the result is fine-tuning. It may be *more*
# accurate, and it says nothing about the start:

# %%
theta_T, _ = trained(theta_0, masks[-2])
fine_tuned = np.array(trained(theta_T, masks[-1])[1][-1].accuracy["test"])
print(
    f"at {100 * densities[-1]:.1f} %: rewound {t_interval(accuracy['ticket'][-1]).text()} %, fine-tuned {t_interval(fine_tuned).text()} %"
)
assert not np.array_equal((theta_T * masks[-1]).vector[alive], theta_0.vector[alive])

# %% [markdown]
# **Spoiled 2: `theta_0 = theta`.** In a loop that trains in place this is an alias, and one rewinds to the trained
# weights without knowing. `begin` copies; a check like the first of those above costs one line.
#
# **Spoiled 3: the best of many.** Six seeds, and only the best ticket is reported against the *mean* of the controls.
# Even between two arms that are the same, this shows a "gain":

# %%
alike = np.random.default_rng(12).normal(0.95, 0.01, (20_000, 2, 6))  # two arms of six runs, without any difference
gain = (alike[:, 0].max(axis=-1) - alike[:, 1].mean(axis=-1)).mean()
print(
    f"best of six minus mean of six, where there is no difference at all: {100 * gain:+.2f} points (spread of a run: 1 point)"
)
assert 0.011 < gain < 0.014  # the expected maximum of six normals is 1.27 standard deviations

# %% [markdown]
# ## The ticket and the one equation
#
# In $Z = \frac{D \odot H}{q} (M \odot W) + b$ nothing has changed but $M$: it is chosen by a training, fixed for a
# whole training, and has no scale. Dropout's $D$ is drawn anew for each example. In between lies a whole family of
# laws for masks; Tutorial 13 walks through it.
#
# ## Exercises
#
# > **Exercise 12.1** Somebody shuffles the mask over the whole net and finds that the ticket beats it by far. What
# > else could explain that?
#
# <details><summary>Answer</summary>
#
# The layers have other densities. A small output layer may end up nearly empty, and no start can help then. Shuffle
# within each layer.
#
# </details>
#
# > **Exercise 12.2** A paper reports "the ticket reaches its smallest validation loss at step 200 of 200, the dense
# > net at step 190: the ticket is slower." What do you say?
#
# <details><summary>Answer</summary>
#
# The first number is censored: the loss may fall on after step 200. Train longer, or ask for the step at which a
# fixed level is reached.
#
# </details>
#
# > **Exercise 12.3** After how many rounds at 20 % is less than 10 % left? And why does a paired difference need
# > fewer seeds than two separate means?
#
# <details><summary>Answer</summary>
#
# $0.8^t < 0.1$ from $t = 11$ on ($0.8^{10} = 0.107$, $0.8^{11} = 0.086$). Pairing removes what the two runs of a seed
# have in common (start, order of the data, luck with the digits), and what they have in common is often most of the
# spread.
#
# </details>

# %%
assert 0.8**10 > 0.1 > 0.8**11
left, of = (alive_counts(masks[-1])["W3"][0], masks[-1]["W3"][0].size)
print(f"the last layer keeps {left} of {of} weights at {100 * densities[-1]:.0f} % in all")
assert left / of > 3 * densities[-1]  # it is pruned at half the rate: layers differ in density

# %% [markdown]
# ## What to read next
#
# Tutorial 13: what dropout masks and tickets have to do with each other. `numpynet lottery` runs this experiment on
# larger data, with more controls and a run folder.

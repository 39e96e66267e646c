# %% [markdown]
# # Tutorial 14: Read an article critically, by running it
#
# **What you will do.** Take a short article about dropout and lottery tickets, run what it prints, formula by formula
# and line by line, find some thirty mistakes, and put each right.
#
# **What you will learn.** A way of reading: every formula has to survive a number, every sentence a "compared with
# what?", every piece of code a look at what it changes. And what nonsense of each kind looks like from outside,
# because much of it runs without an error.
#
# **What you will need.** Tutorials 3, 4, 7 and 11. Under twenty seconds.

# %%
from numpynet import threads

threads.set_default()  # one thread, before NumPy is imported

import itertools
import math

import matplotlib.pyplot as plt
import numpy as np

from numpynet.data import Split, load_digits
from numpynet.equations import (
    inverted_dropout_backward,
    inverted_dropout_forward,
    sample_mask,
    softmax_cross_entropy_backward,
    softmax_cross_entropy_forward,
)
from numpynet.experiments.document_dropout import dropout_as_printed, logit_dropout_floor, returned_mask_loss
from numpynet.figures import COLOURS, STYLE
from numpynet.gradcheck import complex_step
from numpynet.network import MLP
from numpynet.optimizers import SGD, Adam, Momentum
from numpynet.plan import TrainingPlan
from numpynet.pruning import magnitude_mask, weight_density
from numpynet.seeding import streams
from numpynet.statistics import t_interval
from numpynet.training import begin, evaluate, train

plt.rcParams.update(STYLE)
rng = np.random.default_rng(14)

# %% [markdown]
# ## The article
#
# "Dropout and the Lottery Ticket Hypothesis: Exploring the Connection" (in Chinese,
# juejin.cn/post/7315117097151021065). It introduces both ideas, gives three formulas, two examples for PyTorch,
# challenges, and a list of questions and answers. It has the form of thousands of pages that one finds first when one
# looks for something. The mistakes that follow are not rare ones. We do not mock it: numpynet began with it.
#
# ## Three formulas
#
# **The first**, $P(i) = 1 - p$: $P(i)$ is called the probability that neuron $i$ is *kept*, and $p$ the "dropout
# *keep* probability".
#
# Read it with a number. If both are keep probabilities, they are equal: $p = 1 - p$. There is exactly one such
# number:

# %%
candidates = np.linspace(0, 1, 1001)
consistent = candidates[np.isclose(candidates, 1 - candidates)]
print("keep probabilities for which the first formula is not a contradiction:", consistent)
assert consistent.tolist() == [0.5]

# %% [markdown]
# And 0.5 is the only value that the article uses, so it never notices. $p$ must be the *drop* probability, as in the
# article's own code, where the argument is used as one. Half of the world's pages say $p$ for the one, half for the
# other. In numpynet it is `keep_prob`, and nothing is tested at 0.5 alone.
#
# **The second**, $D_i = P(i) \times X_i$: "$D_i$ is the output of neuron $i$ after dropout, $X_i$ its input."
#
# Where is the dropping? No random number stands on the right. The formula gives the *mean* of what dropout does,
# which is the rule for the evaluation of standard dropout, not for training:

# %%
h, q = 2.0, 0.8
draws = (rng.random(100_000) < q) * h  # standard dropout in training: d * h
print(
    f"training: values {np.unique(draws)}, mean {draws.mean():.3f}, variance {draws.var():.3f};   the formula: always {q * h}, variance 0"
)
assert set(np.unique(draws)) == {0.0, h}
assert abs(draws.mean() - q * h) < h * math.sqrt(math.log(2e9) / 2e5)  # Hoeffding, risk 1e-9
assert abs(draws.var() - q * (1 - q) * h**2) < 0.02  # and this is what trains

# %% [markdown]
# (Nor is $X_i$ the neuron's *input*: dropout acts on what a neuron sends out. For ReLU it makes no difference which
# side of the activation one masks, for tanh it does; Tutorial 7.)
#
# **The third**, $W = w_1, w_2, \dots, w_n$: "the lottery ticket hypothesis in a formula: $W$ are the parameters,
# $w_i$ the $i$-th." It names the parameters. It says nothing about them: no mask, no initial weights, no inequality,
# nothing that could be true or false. The hypothesis (Frankle and Carbin 2019) is a statement: there is a mask
# $m \in \{0, 1\}^n$ with few ones, such that $f(x; m \odot \theta_0)$, *trained alone from the initial weights*
# $\theta_0$, gets at least as accurate in at most as many steps. A good test of a formula is to ask what would
# contradict it.
#
# ## The sentences
#
# | the article | ask | better |
# |---|---|---|
# | dropout keeps the model from relying too much on particular *input data* | relying on what? | on particular other *units*; for a linear model it is a penalty on weights (Tutorial 9) |
# | in each iteration the *structure* of the net changes; neurons are *removed* | for how long, for whom? | each *example* has a mask of its own; nothing is removed, all weights are shared |
# | adjust the weights of the *remaining* neurons | and the others? | their gradient is 0; momentum and weight decay move them all the same (Tutorial 11) |
# | only a small part of the *combinations of initial parameters* can reach the best performance | "only"? combinations? | a *subnetwork* with its own start can match the dense net: existence, nothing about others |
# | once found, the best performance follows | compared with what? | with the dense net, and with controls of equal size |
# | dropout lengthens training because neurons are *deleted* in each iteration | did anybody time it? | masks cost little; the gradient is noisier |
# | we explore the *connection* | where? | never given. It is the one line that this project is about |
#
# ## The first example: dropout
#
# A net 784-500-10, ReLU, cross-entropy, SGD. Beside it a small module "Dropout", applied **to the output of the
# net**. In words, its forward pass: reshape the argument to rows of 784, overwrite it with random bits that are 1
# with probability $1 - p$, restore the shape, return it. We run it in NumPy, where `dropout_as_printed` does just
# this.
#
# **Mistake: it seldom runs.** The argument is not an image but $N$ rows of 10 logits. The reshape works only if
# $10 N$ is a multiple of 784:

# %%
runs = []
for n_examples in range(1, 1200):
    try:
        dropout_as_printed(np.zeros((n_examples, 10)), 0.5, rng)
        runs.append(n_examples)
    except ValueError as error:
        message = str(error)
print("batch sizes up to 1199 for which it runs:", runs)
print("otherwise:", message)
assert runs == [392, 784, 1176]
for n_examples in (64, 100, 128, 256):  # none of the sizes that people use
    assert n_examples not in runs

# %% [markdown]
# An error that always comes is the friendliest kind of bug. The next ones are quiet.
#
# **Mistake: it returns the mask.** Random bits, and not the activations times the bits. What goes in does not matter:

# %%
x = rng.standard_normal((392, 10))
of_x = dropout_as_printed(x.copy(), 0.5, np.random.default_rng(1))
of_nothing = dropout_as_printed(np.zeros((392, 10)), 0.5, np.random.default_rng(1))
print("values that come out:", np.unique(of_x), "   same output for x and for 0:", np.array_equal(of_x, of_nothing))
assert np.array_equal(of_x, of_nothing) and set(np.unique(of_x)) == {0.0, 1.0}

# %% [markdown]
# **Mistake: it writes in place.** Used on inputs, it destroys the stored data, silently and for ever.

# %%
stored = rng.standard_normal((392, 10))
before = stored.copy()
dropout_as_printed(stored, 0.5, rng)
print("share of the stored numbers that survived:", np.isclose(stored, before).mean())
assert set(np.unique(stored)) == {0.0, 1.0}
D = sample_mask(rng, before.shape, 0.8, dtype=before.dtype)
kept, cache = inverted_dropout_forward(before, D, 0.8)
assert not np.shares_memory(kept, before)  # right: a function that leaves its argument alone

# %% [markdown]
# **Mistake: nothing is learned.** The output does not depend on the logits, so its derivative is 0, and so is every
# gradient before it. The training runs, the loss jitters convincingly, and no parameter moves. What value does it
# jitter around? The "logits" are $K$ random bits. With $k$ ones among them the log-sum-exp is $\ln(k e + K - k)$, and
# the logit of the right class is 1 with probability $q$:
#
# $$
# E\,L = \sum_{k=0}^{K} \binom{K}{k} q^k (1-q)^{K-k} \ln(k e + K - k) - q . \tag{D29}
# $$

# %%
K = 10
by_formula = {
    keep: sum(math.comb(K, k) * keep**k * (1 - keep) ** (K - k) * math.log(k * math.e + K - k) for k in range(K + 1))
    - keep
    for keep in (0.5, 0.8)
}
labels = rng.integers(0, K, 392)
for keep, expected in by_formula.items():
    losses = [softmax_cross_entropy_forward(dropout_as_printed(x.copy(), 1 - keep, rng), labels)[0] for _ in range(200)]
    print(
        f"keep probability {keep}: mean of 200 losses {np.mean(losses):.4f}, formula {expected:.4f};  of a net that knows nothing: {math.log(K):.4f}"
    )
    assert math.isclose(expected, returned_mask_loss(K, keep), rel_tol=1e-12)
    assert abs(np.mean(losses) - expected) < 0.02
    assert expected > math.log(K)  # worse than knowing nothing

through = complex_step(lambda z: np.real((rng.random(z.shape) < 0.5).sum()), x[:3])
assert (through == 0).all()  # the derivative of bits with respect to what they replace

# %% [markdown]
# **Mistake: no scale, and no evaluation.** Mend the module, $D \odot H$, and the next two appear. Without $1/q$ the
# mean in training is $q$ times that in evaluation (Tutorial 7). And the module stands *outside* of the net, so
# switching the net to evaluation does not reach it: it goes on drawing bits. Where the mask is an argument,
# evaluation is simply the call without it.
#
# **Mistake: dropout on the logits.** Suppose all is mended but the place. The last layer's output is dropped and then
# goes into the softmax. If the *right* logit is dropped, it becomes 0, and the best that a net can do is to have sent
# all wrong ones to $-\infty$. But of those, too, some are dropped back to 0: $m$ of them, and the probability of the
# right class is then $1/(1 + m)$. With $r = 1 - q$ the drop probability,
#
# $$
# \inf_z E\,L = r\; E \ln\big(1 + \mathrm{Bin}(K - 1, r)\big) . \tag{D28}
# $$
#
# No network on earth, no data and no training gets below that.

# %%
r = 0.5
floor = r * sum(math.comb(K - 1, m) * r**m * (1 - r) ** (K - 1 - m) * math.log(1 + m) for m in range(K))
assert math.isclose(floor, logit_dropout_floor(K, r), rel_tol=1e-12)
print(f"floor of the loss with half of the logits dropped: {floor:.6f} nats")
assert abs(floor - 0.831232) < 1e-6

every = np.array(list(itertools.product((0.0, 1.0), repeat=K)))  # all 1024 masks of a row of logits
sure = np.where(np.arange(K) == 3, 60.0, -60.0)  # as sure of class 3 as can be
expected = softmax_cross_entropy_forward(every[:, None, :] * sure, np.array([3]))[0].mean()  # q = 1/2: all alike
timid = softmax_cross_entropy_forward(every[:, None, :] * (sure / 20), np.array([3]))[0].mean()
shifted = softmax_cross_entropy_forward(every[:, None, :] * (sure / 20 + 3), np.array([3]))[0].mean()
print(f"expected loss of a very sure net {expected:.6f}, of a timid one {timid:.4f},")
print(f"and of the timid one with 3 added to all its logits {shifted:.4f}")
assert abs(expected - floor) < 1e-9 and timid > floor
assert abs(shifted - timid) > 0.1  # a shift of all logits changes nothing in a softmax; here it does

# %% [markdown]
# Let us see it in a training: the same net and data, dropout on the logits and on the hidden units, with gradients
# that are right in both cases.

# %%
data = load_digits(dtype=np.float64)
few = Split(data.train.x[:300], data.train.y[:300])
curves = {}
for place in ("logits", "hidden units"):
    net = MLP((64, 50, 10), keep_prob=0.5 if place == "hidden units" else 1.0)
    random, theta, losses = streams(0), net.init(streams(0).init, dtype=np.float64), []
    for _ in range(400):
        masks = net.sample_unit_masks(random.dropout, (300,), dtype=np.float64)
        logits, caches = net.forward(theta, few.x, unit_masks=masks)
        if place == "logits":
            D = sample_mask(random.dropout, logits.shape, 0.5, dtype=np.float64)
            logits, drop_cache = inverted_dropout_forward(logits, D, 0.5)
        loss, loss_cache = softmax_cross_entropy_forward(logits, few.y)
        dlogits = softmax_cross_entropy_backward(1.0, loss_cache)
        if place == "logits":
            dlogits = inverted_dropout_backward(dlogits, drop_cache)
        theta = theta - 0.5 * net.backward(dlogits, caches)
        losses.append(float(loss))
    curves[place] = losses
    deployed = evaluate(net, theta, few)[0]
    print(
        f"dropout on the {place:12s}: training loss at the end {np.mean(losses[-50:]):.3f}, without masks {deployed:.4f}"
    )
assert np.mean(curves["logits"][-50:]) > floor > np.mean(curves["hidden units"][-50:])

# %%
# alt: Training loss against steps for dropout on the logits and on the hidden units. The first levels off above a dashed
#      line at 0.83; the second falls through it to near zero.
fig, ax = plt.subplots()
for place, losses in curves.items():
    ax.plot(losses, label=f"dropout on the {place}", linewidth=1)
ax.axhline(floor, color="0.3", linestyle="--", linewidth=1)
ax.annotate("floor 0.831", (300, floor - 0.14), fontsize=8)
ax.set(xlabel="step", ylabel="training loss, with masks", ylim=(0, 2.6), title="the place matters")
ax.legend(fontsize=8)
plt.show()

# %% [markdown]
# The example has more small things (data, device, functions never defined; images never flattened; no seed). **Put
# right**, all of it is this: the loop of Tutorial 7.

# %%
digits = load_digits()
net = MLP((64, 500, 10), keep_prob=0.5)  # dropout on the hidden layer, scaled; evaluation without masks
state = begin(net, TrainingPlan(epochs=10, batch_size=64, optimizer=SGD(), schedule=0.1), digits.train, seed=0)
history = list(train(state, digits.train, monitors={"test": digits.test}))
print(f"example 4.1, put right: test accuracy {100 * history[-1].accuracy['test']:.1f} %")
assert history[-1].accuracy["test"] > 0.9

# %% [markdown]
# ## The second example: a lottery ticket
#
# Train a net. Make a second net and, layer by layer, put the result of a pruning call into it (the call does not
# exist, and no amount is given). Train the second net with the same loop, with the optimizer of the first. Suppose
# the call pruned half of each layer. What has been done?
#
# **Mistake: no rewinding.** A ticket starts from $m \odot \theta_0$. Nobody has kept $\theta_0$; the second loop
# starts from the *trained* weights:
#
# $$
# \theta = m \odot \theta_T \quad \text{(fine-tuning)} \qquad \text{instead of} \qquad \theta = m \odot \theta_0 . \tag{L16}
# $$
#
# Fine-tuning is a respectable thing to do. It is another experiment: it cannot tell whether the *start* was a winning
# ticket.

# %%
small = MLP((64, 60, 10))
plan = TrainingPlan(epochs=8, optimizer=Adam(), schedule=3e-3)
theta_0 = small.init(streams(0).init)  # a copy is kept: `begin` copies it again
first = begin(small, plan, digits.train, seed=0, theta_0=theta_0)
for _record in train(first, digits.train):
    pass
theta_T = first.theta
m = magnitude_mask(theta_T, rate=0.5, output_rate=0.5)
printed_start, ticket_start = theta_T * m, theta_0 * m
alive = m.vector == 1
print(
    f"distance of the survivors from their initial values: as printed {abs(printed_start.vector - theta_0.vector)[alive].max():.2f}, ticket {abs(ticket_start.vector - theta_0.vector)[alive].max():.0f}"
)
assert np.array_equal(ticket_start.vector[alive], theta_0.vector[alive])
assert not np.array_equal(printed_start.vector[alive], theta_0.vector[alive])

# %% [markdown]
# **Mistake: two names, one net.** The second net gets the first net's own layers. Pruning one prunes the other; the
# dense net, with which one would like to compare, is gone, and the second net's new initial weights, which would have
# made a good control, are thrown away. In NumPy terms:

# %%
dense = theta_T.copy()
second = dense  # what "register the same layer under the same name" does
second.vector[:] *= m.vector
print(
    "the dense net still has",
    int(np.count_nonzero(dense.vector[m.vector == 0])),
    "of its pruned weights;   shared memory:",
    np.shares_memory(dense.vector, second.vector),
)
assert np.count_nonzero(dense.vector[m.vector == 0]) == 0

# %% [markdown]
# **Mistake: no mask in the second loop.** Somebody who prunes by hand, by writing zeros once, has a dense net again
# one step later:


# %%
def one_step(theta, optimizer, mask=None):
    theta = theta.copy()
    logits, caches = small.forward(theta, digits.train.x, weight_mask=mask)
    gradients = small.backward(
        softmax_cross_entropy_backward(1.0, softmax_cross_entropy_forward(logits, digits.train.y)[1]), caches
    )
    optimizer.step(theta.vector, gradients.vector, optimizer.init(theta.vector), lr=0.01)
    return theta


pruned = m.vector == 0
for optimizer in (SGD(), Momentum(0.9), Adam()):
    revived = (one_step(printed_start, optimizer).vector[pruned] != 0).mean()
    with_mask = (one_step(printed_start, optimizer, m).vector[pruned] != 0).mean()
    print(
        f"{type(optimizer).__name__:9s} one step without the mask: {100 * revived:.0f} % of the pruned weights are back; with it {100 * with_mask:.0f} %"
    )
    assert revived > 0.7 and with_mask == 0

# %% [markdown]
# (Those that stay away sit at pixels that never have ink, or behind units that are closed for all examples: their
# gradient happens to be 0.)
#
# **Mistake: no control.** This is the gravest, because no amount of correct code mends it. "The pruned net reaches 97
# %" may mean that the ticket is good, or that *any* net of this size does it. Two comparisons separate that
# (Tutorial 12 does it properly): the dense net, and the same mask with **other initial weights**. Five seeds, seven
# rounds of train, prune, rewind, in each of which 30 % of the survivors go:

# %%
seeds = range(5)
start = small.init([streams(s).init for s in seeds])
other = small.init([streams(s).reinit for s in seeds])


def trained(start, mask=None):
    state = begin(small, plan, digits.train, seed=seeds, theta_0=start, weight_mask=mask)
    last = list(train(state, digits.train, monitors={"test": digits.test}))[-1]
    return state.theta, np.array(last.accuracy["test"])


theta, dense_accuracy = trained(start)
mask = None
for _ in range(7):
    mask = magnitude_mask(theta, mask, rate=0.3)  # of the survivors; half of it in the output layer
    theta, ticket_accuracy = trained(start, mask)  # rewound: mask * theta_0
_, control_accuracy = trained(other, mask)
left = 100 * np.mean(weight_density(mask))
print(f"test accuracy in %, with {left:.1f} % of the weights left:")
for name, values in (
    ("dense", dense_accuracy),
    ("ticket", ticket_accuracy),
    ("same mask, other start", control_accuracy),
):
    print(f"  {name:24s} {t_interval(values).text()}")
to_dense, to_control = t_interval(ticket_accuracy - dense_accuracy), t_interval(ticket_accuracy - control_accuracy)
print(
    f"paired differences in points: ticket - dense {to_dense.text(sign=True)}, ticket - other start {to_control.text(sign=True)}"
)
assert left < 12
assert to_control.mean > 0  # with its own start it is better than with another

# %%
# alt: Three groups of five points, test accuracies of the dense net, the ticket and the same mask with another start, with
#      their means as bars. Lines join the points of one seed.
fig, ax = plt.subplots(figsize=(6.0, 3.4))
arms = {"dense": dense_accuracy, "ticket": ticket_accuracy, "same mask,\nother start": control_accuracy}
values = 100 * np.array(list(arms.values()))  # (3, 5)
ax.plot(range(3), values, color="0.75", linewidth=0.8)
for k, row in enumerate(values):
    ax.plot([k] * 5, row, "o", color=COLOURS[k])
    ax.plot([k - 0.15, k + 0.15], [row.mean()] * 2, color=COLOURS[k], linewidth=3)
ax.set(
    xticks=range(3),
    xticklabels=list(arms),
    ylabel="test accuracy in %",
    title=f"digits, {left:.1f} % of the weights, 5 seeds",
)
plt.show()

# %% [markdown]
# ## A checklist for the next article
#
# 1. **Put a number into every formula**, and not 0.5.
# 2. **What is random in it?** If the text says "random" and the formula does not, it is a mean.
# 3. **What could contradict it?** If nothing, it says nothing.
# 4. **Does the output depend on the input?** Feed zeros. Does anything *change* that should not, and not change that
#    should?
# 5. **Where is the evaluation?** In which mode, with which scale?
# 6. **What is copied and what is shared?** Ask `np.shares_memory`.
# 7. **Compared with what?** Same size, same budget, same data, several seeds, an interval.
# 8. **Does "it runs" or "it trains" stand where evidence should?**
#
# `numpynet document` runs both examples, as printed and as meant, and writes what each says.
#
# ## Exercises
#
# > **Exercise 14.1** The floor of Equation (D28) is the same with and without the scale $1/q$. Why?
#
# <details><summary>Answer</summary>
#
# The infimum is over all logits. Dividing the kept ones by $q$ is the same as choosing other logits, and a dropped
# one is 0 either way.
#
# </details>
#
# > **Exercise 14.2** A page claims: "dropping a fifth of the weights of 10, again and again, leaves 8, 6, 4, 2, 0."
# > Which words would make it true, and what do tickets do?
#
# <details><summary>Answer</summary>
#
# "A fifth of the *original* number." Tickets remove a fifth of the *survivors*, by the exact-count rule: 8, 6, 5, 4,
# 3, 2, 2, ...
#
# </details>
#
# > **Exercise 14.3** In the article's second example the optimizer still belongs to the first net, and training works
# > all the same. By which mistake? What would happen if only the other one were mended?
#
# <details><summary>Answer</summary>
#
# Both nets are one net, so the first net's optimizer moves the second's weights. If the nets were two, the loop would
# compute gradients for the second and step the first: nothing would move, and the gradients, which are cleared
# through the optimizer, would pile up.
#
# </details>

# %%
n, history_of_ten = 10, []
for _ in range(7):
    n -= math.floor(0.2 * n + 0.5)
    history_of_ten.append(n)
assert history_of_ten == [8, 6, 5, 4, 3, 2, 2]
scaled = softmax_cross_entropy_forward(every[:, None, :] * sure / 0.5, np.array([3]))[0].mean()
assert abs(scaled - floor) < 1e-9

# %% [markdown]
# ## What to read next
#
# Tutorial 12 finds a ticket with all the controls, and Tutorial 13 gives the connection that the article's title
# promises. If you have read both, go on with Tutorial 15: masks that are chosen or learned without training a weight.

# %% [markdown]
# # Tutorial 17: Make it fast without changing a number
#
# **What you will do.** Start from the most obvious training step, speed it up in seven moves, and after each one check
# that the results are the same, to the bit or to the rounding that one has agreed to.
#
# **What you will learn.** Where the time of a small network goes, how to measure a ratio that means something, and
# why a pruned network is not a faster one.
#
# **What you will need.** Tutorials 1, 4, 6 and 11. Under thirty seconds. The times that you see are those of *your*
# machine at this moment; the page asserts results, never times.

# %%
from numpynet import threads

threads.set_default()  # one thread, before NumPy is imported: the first of the seven moves

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import matplotlib.pyplot as plt
import numpy as np

from numpynet import optimizers
from numpynet.data import load_digits
from numpynet.equations import (
    linear_backward,
    linear_forward,
    sample_mask,
    softmax_cross_entropy_backward,
    softmax_cross_entropy_forward,
)
from numpynet.figures import COLOURS, STYLE
from numpynet.network import MLP
from numpynet.optimizers import Adam
from numpynet.parallel import run_tasks
from numpynet.parameters import Parameters
from numpynet.plan import TrainingPlan
from numpynet.pruning import compact, magnitude, prune_layerwise
from numpynet.pruning.compact_training import smaller, train_compacted
from numpynet.seeding import streams
from numpynet.survivors import Survivors
from numpynet.training import begin, train

plt.rcParams.update(STYLE)
rng = np.random.default_rng(17)

# %% [markdown]
# ## Measure first
#
# A single time is worth little: other programs run, the processor changes its clock, memory is warm or cold. Four
# habits help. Measure **two things in turn**, many times, in one process, in a changing order. Count the **processor
# time** of the process and not the clock on the wall. Take the **ratio within each turn**, for both suffer alike from
# what goes on around them, and report the median. And say how far it **spreads**: beside each median below stands the
# middle half of the ratios. (If those are very wide, NumPy was perhaps imported before the first cell of this page, and
# computes with several threads that get in each other's way.)

# %%
ratios, spreads = {}, {}


def report(name, plain_times, fast_times):
    """Print and keep how many times faster the second is: median of the paired ratios, and their middle half."""
    paired = np.array(plain_times) / np.maximum(fast_times, 1e-9)
    ratios[name], spreads[name] = float(np.median(paired)), np.quantile(paired, (0.25, 0.75))
    print(f"{name:42s} {ratios[name]:5.1f} times as fast ({spreads[name][0]:.1f} to {spreads[name][1]:.1f})")


def compare(name, plain, fast, rounds=15, repeats=3):
    """Call both in turn, and report."""
    plain(), fast()  # warm up
    spent = {plain: [], fast: []}
    for k in range(rounds):
        for contestant in (plain, fast) if k % 2 == 0 else (fast, plain):
            start = time.process_time()
            for _ in range(repeats):
                contestant()
            spent[contestant].append(time.process_time() - start)
    report(name, spent[plain], spent[fast])


# %% [markdown]
# ## Move 1: one thread
#
# It has been made already, in the first cell. The library behind `@` splits every product among the cores. For
# matrices of a few hundred rows the splitting costs more than it saves, and where other programs use the cores, one
# late thread holds up all the rest. The setting is read once, when NumPy is imported. So the comparison needs other
# processes, one with each setting, in turn; and here it has to be the clock on the wall, for two threads use the time
# of two processors. The product is the first one of a LeNet-300-100, batch 60.

# %%
PRODUCTS = """
import json, time
import numpy as np
rng = np.random.default_rng(17)
a, b = rng.random((60, 784), dtype=np.float32), rng.random((784, 300), dtype=np.float32)
a @ b
start = time.perf_counter()
for _ in range(200):
    out = a @ b
print(json.dumps([time.perf_counter() - start, out[:2].tolist()]))
"""


def with_threads(n):
    """Run the products in a process of their own that may use n threads; return seconds and some of the results."""
    environment = os.environ | dict.fromkeys(threads.VARIABLES, str(n))
    done = subprocess.run([sys.executable, "-c", PRODUCTS], env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


turns = [(with_threads(2), with_threads(1)) for _ in range(3)]
for two, one in turns:
    assert np.allclose(two[1], one[1], rtol=1e-5)  # the same results, whoever computes them
report("one thread against two (wall clock)", [two[0] for two, _ in turns], [one[0] for _, one in turns])

# %% [markdown]
# Above 1, one thread was faster; below, two. It is the least certain number of this page: it depends on who else is
# using the cores at this moment, and for smaller products the library does not even split. Even where two threads win,
# they win less than a factor of two, for two cores. *Two trainings*, each with one thread, fill two cores better. And
# where a training runs must not matter for its result: everything random comes from seeds inside it.

# %%
data = load_digits()
small = MLP((64, 16, 10))
plan = TrainingPlan(steps=40, batch_size=20, optimizer=Adam(), schedule=3e-3)
seeds = list(range(8))


def run(seed):
    state = begin(small, plan, data.train, seed=seed)
    for _record in train(state, data.train):
        pass
    return state.theta


here = run_tasks(run, seeds)  # one after the other
with ThreadPoolExecutor(2) as pool:  # two at a time; worker processes and clusters are given in the same way
    elsewhere = run_tasks(run, seeds, executor=pool)
for a, b in zip(here, elsewhere):
    assert np.array_equal(a.vector, b.vector)
print("eight trainings, one after the other or two at a time: equal bits")

# %% [markdown]
# ## Move 2: float32
#
# The layer of a LeNet-300-100 on a batch of 60. Half the bytes, twice the numbers in each instruction:

# %%
N, d_in, d_out = 60, 784, 300
x, W, b = rng.standard_normal((N, d_in)), rng.standard_normal((d_in, d_out)) / 28, np.zeros(d_out)
dy = rng.standard_normal((N, d_out))
narrow = [a.astype(np.float32) for a in (x, W, b, dy)]


def step_of(x, W, b, dy):
    y, cache = linear_forward(x, W, b)
    return y, *linear_backward(dy, cache)


wide_results, narrow_results = step_of(x, W, b, dy), step_of(*narrow)
for wide, short in zip(wide_results, narrow_results):
    assert short.dtype == np.float32  # nothing on the way has turned it into float64
    assert abs(wide - short).max() < 1e-5 * abs(wide).max()  # seven digits, as agreed
compare("float32 against float64", lambda: step_of(x, W, b, dy), lambda: step_of(*narrow))

# %% [markdown]
# **Pitfall.** One stray `float64`, and the whole gain is gone without a word. In `h * mask / q` it is enough that the
# mask is an array of booleans divided by $q$ first, or that $q$ came out of `np.linspace`:

# %%
h = narrow[0]
booleans = rng.random(h.shape) < 0.8
assert (h * (booleans / 0.8)).dtype == np.float64  # the accident
assert (h * booleans.astype(np.float32) / 0.8).dtype == np.float32
compare(
    "a mask that stays float32",
    lambda: (h * (booleans / 0.8)) @ W,
    lambda: (h * booleans.astype(np.float32) / 0.8) @ narrow[1],
)

# %% [markdown]
# ## Move 3: do not compute what nobody reads
#
# The gradient with respect to the *input of the first layer* is a product as large as the others, and no one uses it.

# %%
_, first_cache = linear_forward(*narrow[:3])
with_dx, without_dx = linear_backward(narrow[3], first_cache), linear_backward(narrow[3], first_cache, need_dx=False)
assert without_dx[0] is None
assert np.array_equal(with_dx[1], without_dx[1]) and np.array_equal(with_dx[2], without_dx[2])
compare(
    "backward pass without dx",
    lambda: linear_backward(narrow[3], first_cache),
    lambda: linear_backward(narrow[3], first_cache, need_dx=False),
)

# %% [markdown]
# ## Move 4: draw masks by comparing
#
# A mask of coins can be drawn by `binomial`, which is made for the general case, or by comparing uniform numbers with
# $q$. The law is the same; the numbers are others, so this move must be made before the first experiment and not
# between two.

# %%
compare(
    "masks: uniform < q against binomial",
    lambda: rng.binomial(1, 0.8, (128, 300)),
    lambda: sample_mask(rng, (128, 300), 0.8),
)
drawn = sample_mask(np.random.default_rng(1), 1_000_000, 0.8)
assert set(np.unique(drawn)) == {0.0, 1.0} and drawn.dtype == np.float32
assert abs(drawn.mean(dtype=np.float64) - 0.8) < np.sqrt(np.log(2e9) / 2e6)

# %% [markdown]
# ## Move 5: one vector, updated in place
#
# Adam reads and writes as many numbers as there are weights, a dozen times. Written as the paper writes it, array by
# array, each line makes new arrays. The library does it on *one* flat vector, into memory that is there already. And it
# remembers sums instead of means: $\hat m$ is a weighted sum of gradients over the sum of its weights, so the factors
# $1 - \beta$ and $1 - \beta^t$ meet in one number and need not go through the vectors. It is the same step, to rounding:

# %%
net = MLP((64, 100, 100, 10))
names = list(net.layout.shapes)
theta = net.init(streams(0).init)
grad = Parameters(rng.standard_normal(net.layout.size).astype(np.float32), net.layout)


def adam_as_written(theta, grad, m, s, t, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    for name in names:
        m[name] = beta1 * m[name] + (1 - beta1) * grad[name]
        s[name] = beta2 * s[name] + (1 - beta2) * grad[name] ** 2
        theta[name] = theta[name] - lr * (m[name] / (1 - beta1**t)) / (np.sqrt(s[name] / (1 - beta2**t)) + eps)


arrays = [{name: np.array(p[name]) for name in names} for p in (theta, theta * 0, theta * 0)]
flat, memory = theta.vector.copy(), Adam().init(theta.vector)
for t in range(1, 6):
    adam_as_written(arrays[0], grad, arrays[1], arrays[2], t)
    Adam().step(flat, grad.vector, memory, lr=1e-3)
for name in names:
    assert np.allclose(arrays[0][name], Parameters(flat, net.layout)[name], rtol=1e-5, atol=1e-7)
    for mine, slot, beta in ((arrays[1], "m_sum", 0.9), (arrays[2], "s_sum", 0.999)):  # and what Adam remembers
        remembered = (1 - beta) * Parameters(memory.slots[slot], net.layout)[name]
        assert np.allclose(mine[name], remembered, rtol=1e-5, atol=1e-7)
compare(
    "Adam on one vector, in place",
    lambda: adam_as_written(arrays[0], grad, arrays[1], arrays[2], 6),
    lambda: Adam().step(flat, grad.vector, memory, lr=1e-3),
)

# %% [markdown]
# ## Move 6: replicates in one stack
#
# An experiment needs several seeds. NumPy takes a few microseconds for every call, whatever the size of the arrays;
# for a small net that is most of the time. Put $R$ networks into one array with a leading axis, and the calls are
# paid once. The results are those of single runs:

# %%
stacked = run(seeds)
assert stacked.vector.shape == (8, small.layout.size)
for r in range(8):
    assert np.allclose(stacked.vector[r], here[r].vector, rtol=0, atol=1e-6)
print("a stack of 8 against 8 runs:", abs(stacked.vector[3] - here[3].vector).max(), "apart in run 3")
compare(
    "8 replicates of 64-16-10 in one stack",
    lambda: [run(seed) for seed in seeds],
    lambda: run(seeds),
    rounds=5,
    repeats=1,
)

# %% [markdown]
# For large nets the gain fades: there the time is in the products, and a product of a stack costs what its parts
# cost.
#
# ## Move 7: no numbers that are too small
#
# Some pixels are dark in nearly every image. The gradient of their weights is 0 for hundreds of steps, and Adam's memory of
# them shrinks by the factor 0.9 at each. One would expect it to end at 0. It does not:

# %%
remembered, steps = np.float32(1), 0
while remembered * np.float32(0.9) != remembered:
    remembered, steps = remembered * np.float32(0.9), steps + 1
smallest = np.finfo(np.float32).smallest_subnormal  # 2^-149
print(f"after {steps} steps it stands still at {remembered:.2g}, {remembered / smallest:.0f} times the smallest number")
assert 0 < remembered < np.finfo(np.float32).tiny  # below the normal numbers, which end at 2^-126
assert remembered / smallest == 4  # for 0.9 * 4 = 3.6, and that rounds to 4

# %% [markdown]
# Numbers below $2^{-126}$ are *subnormal*: they have lost leading digits, and many processors leave them to a slow path.
# A memory full of them has as many numbers as before, and every multiplication takes longer. The library's optimizers set
# them to 0 every 64 steps. By such a number Adam would move a weight by less than $10^{-29}$ times the learning rate, so no weight
# is another one afterwards:

# %%
steps_of_darkness = 1200
bright, dark = rng.standard_normal(net.layout.size).astype(np.float32), np.zeros(net.layout.size, np.float32)
ends = {}
for name in ("kept", "forgotten"):
    vector, adam = theta.vector.copy(), Adam().init(theta.vector)
    optimizers.FORGET_EVERY = 64 if name == "forgotten" else 10**9  # steps; it is 64 in the library
    for step in range(steps_of_darkness):
        Adam().step(vector, bright if step == 0 else dark, adam, lr=1e-3)
    ends[name] = vector, adam
optimizers.FORGET_EVERY = 64
assert np.array_equal(ends["kept"][0], ends["forgotten"][0])
m_kept, m_forgotten = (ends[name][1].slots["m_sum"] for name in ("kept", "forgotten"))
assert ((m_kept != 0) & (abs(m_kept) < np.finfo(np.float32).tiny)).all() and not m_forgotten.any()
compare("Adam's m times 0.9, subnormal against 0", lambda: m_kept * 0.9, lambda: m_forgotten * 0.9, repeats=20)

# %% [markdown]
# ## What does *not* make it fast: a mask
#
# A pruned network multiplies its zeros like any other numbers. The products get no cheaper until the dead units are
# *taken out* (Tutorial 11):

# %%
big = MLP((64, 300, 100, 10))
weights = big.init(streams(1).init)
mask = prune_layerwise(magnitude(weights), Parameters.ones(big.layout), density=0.02)
kept = weights * mask
compacted = compact(big, weights, mask)
test = data.test.x
dense_logits = big.forward(kept, test)[0]
small_logits = compacted.net.forward(compacted.theta, test)[0]
print(f"{'-'.join(map(str, big.sizes))} with 2 % of its weights becomes {'-'.join(map(str, compacted.net.sizes))}")
assert abs(dense_logits - small_logits).max() < 1e-5
compare("98 % zeros against dense", lambda: big.forward(weights, test), lambda: big.forward(kept, test))
compare(
    "compacted against 98 % zeros",
    lambda: big.forward(kept, test),
    lambda: compacted.net.forward(compacted.theta, test),
)

# %% [markdown]
# In *training* two things can be saved under a mask, and both leave the results alone. The first: a pruned weight has
# gradient 0 and memory 0 and stays where it is (Equations (M10) and (M16)), so the optimizer need only see the
# survivors. The library does that by itself, where they are at most a quarter.

# %%
gradients = Parameters(rng.standard_normal(big.layout.size).astype(np.float32), big.layout) * mask
whole, alone = kept.copy(), kept.copy()
whole_memory = Adam().init(whole.vector)
survivors = Survivors.of(alone, mask, Adam(), Adam().init(alone.vector))
for _ in range(5):
    Adam().step(whole.vector, gradients.vector, whole_memory, lr=1e-3)
    survivors.update(gradients, lr=1e-3)
assert np.array_equal(whole.vector, alone.vector)  # equal bits
assert (alone.vector[mask.vector == 0] == 0).all()
compare(
    "Adam on the survivors alone (2 % left)",
    lambda: Adam().step(whole.vector, gradients.vector, whole_memory, lr=1e-3),
    lambda: survivors.update(gradients, lr=1e-3),
)

# %% [markdown]
# The second: a unit $k$ of layer $l$ *whose outgoing weights are all pruned* gets no gradient, since
#
# $$
# dH_{nk} = \sum_j dZ_{nj}\, (M \odot W)_{kj} = 0 , \tag{M17}
# $$
#
# so nothing that leads into it ever changes, and one may train the net without it and put it back at the end. (A unit
# that *hears* nothing may not be left out of a training: its bias goes on learning.) A sum of fewer terms, all those
# missing being 0, may differ in the last bit.

# %%
sparse_plan = TrainingPlan(steps=30, batch_size=60, optimizer=Adam(), schedule=3e-3)


def sparse_run(how):
    state = begin(big, sparse_plan, data.train, seed=3, theta_0=weights, weight_mask=mask)
    for _record in how(state, data.train):
        pass
    return state.theta


in_full, without_units = sparse_run(train), sparse_run(train_compacted)
assert np.allclose(in_full.vector, without_units.vector, rtol=0, atol=1e-5)
unheard = ~mask["W2"].any(axis=1)  # hidden units of the first layer that nobody hears
assert unheard.any()
assert np.array_equal(without_units["W1"][:, unheard], kept["W1"][:, unheard])  # put back as they were
heard = smaller(begin(big, sparse_plan, data.train, seed=3, theta_0=weights, weight_mask=mask)).net
print(f"{'-'.join(map(str, big.sizes))} without the units that nobody hears: {'-'.join(map(str, heard.sizes))}")
compare(
    "training without unheard units (2 % left)",
    lambda: sparse_run(train),
    lambda: sparse_run(train_compacted),
    rounds=5,
    repeats=1,
)

# %%
# alt: Horizontal bars on a logarithmic axis, one for each move, that show how many times faster the second form was than the
#      first on the machine that made this page, with the middle half of the ratios as a line. They begin at a
#      vertical line at one. The bar for a net of zeros against a dense net ends near that line.
fig, ax = plt.subplots(figsize=(7.4, 4.2))
middle_half = abs(np.array(list(spreads.values())).T - np.array(list(ratios.values())))  # (2, moves)
ax.barh(
    range(len(ratios)),
    np.array(list(ratios.values())) - 1,
    left=1,
    xerr=middle_half,
    error_kw={"ecolor": "0.3", "elinewidth": 1},
    color=[COLOURS[1] if "zeros against" in n else COLOURS[0] for n in ratios],
)
ax.axvline(1, color="0.3", linewidth=1)
ax.set(
    yticks=range(len(ratios)),
    yticklabels=list(ratios),
    xlabel="times as fast, while this page was made; line: middle half",
    xscale="log",
)
ax.set_xticks([0.5, 1, 2, 5, 10, 20], ["½", "1", "2", "5", "10", "20"])
ax.minorticks_off()
ax.invert_yaxis()
plt.show()
assert len(ratios) == 12 and all(np.isfinite(list(ratios.values())))

# %% [markdown]
# ## The whole step
#
# All moves together are the library's training step. Tests hold the fast forms beside the plain
# ones. Here is the plainest of all for comparison, on a LeNet-300-100 with dropout and Adam: `float64`,
# all gradients, masks by `binomial`.

# %%
drop = MLP((784, 300, 100, 10), keep_prob=0.8)
start = drop.init(streams(2).init)
batch_x, batch_y = rng.random((60, 784), dtype=np.float32), rng.integers(0, 10, 60)  # what they mean costs nothing
plain_theta = {name: start[name].astype(np.float64) for name in names}
plain_m, plain_s = ({name: 0 * a for name, a in plain_theta.items()} for _ in range(2))


def gradients_in_the_open(theta, x, y, masks, q):
    """Tutorial 4's lines for three layers, in whatever precision comes in; returns the gradients."""
    h, saved = x, []
    for layer in (1, 2, 3):
        kept = h if layer == 1 else h * masks[layer - 1] / q
        z = kept @ theta[f"W{layer}"] + theta[f"b{layer}"]
        saved.append((kept, z))
        h = np.maximum(z, 0)
    _, cache = softmax_cross_entropy_forward(z, y)
    dz, grads = softmax_cross_entropy_backward(1.0, cache), {}
    for layer in (3, 2, 1):
        kept, z = saved[layer - 1]
        grads[f"W{layer}"], grads[f"b{layer}"] = kept.T @ dz, dz.sum(axis=0)
        dh = dz @ theta[f"W{layer}"].T
        if layer > 1:
            dz = (dh * masks[layer - 1] / q) * (saved[layer - 2][1] > 0)
    return grads


def plain_step():
    masks = [None, *(rng.binomial(1, 0.8, (60, d)) for d in (300, 100))]
    grads = gradients_in_the_open(plain_theta, batch_x.astype(np.float64), batch_y, masks, 0.8)
    adam_as_written(plain_theta, grads, plain_m, plain_s, 6)


fast_theta, fast_memory, fast_grad = start.copy(), Adam().init(start.vector), Parameters.zeros(drop.layout)


def fast_step():
    masks = drop.sample_unit_masks(rng, (60,))
    logits, caches = drop.forward(fast_theta, batch_x, unit_masks=masks, trusted=True)
    _, loss_cache = softmax_cross_entropy_forward(logits, batch_y)
    drop.backward(softmax_cross_entropy_backward(1.0, loss_cache), caches, out=fast_grad)
    Adam().step(fast_theta.vector, fast_grad.vector, fast_memory, lr=1e-3)


unit_masks = drop.sample_unit_masks(rng, (60,))
logits, caches = drop.forward(start, batch_x, unit_masks=unit_masks)
library = drop.backward(softmax_cross_entropy_backward(1.0, softmax_cross_entropy_forward(logits, batch_y)[1]), caches)
in_the_open = gradients_in_the_open(
    {name: start[name].astype(np.float64) for name in names}, batch_x.astype(np.float64), batch_y, unit_masks, 0.8
)
for name in names:  # the same gradients, to float32
    assert abs(library[name] - in_the_open[name]).max() < 1e-5 * max(1.0, abs(in_the_open[name]).max())
compare("the whole step, 784-300-100-10", plain_step, fast_step, rounds=9, repeats=2)

# %% [markdown]
# The page of benchmarks of this site compares whole trainings with other libraries, in turns and in one process;
# `python -m tests.benchmarks` repeats it on your machine.
#
# ## Exercises
#
# > **Exercise 17.1** Someone reports "NumPy 0.9 s, library X 0.3 s", measured one after the other, once each. Which
# > three things would you ask for?
#
# <details><summary>Answer</summary>
#
# Both in turn and several times, with the spread; the same number of threads; and the same results (precision, batch
# order, number of steps). Warming up counts as well: the first call often loads libraries.
#
# </details>
#
# > **Exercise 17.2** Which of the seven moves change the numbers, and how?
#
# <details><summary>Answer</summary>
#
# `float32` rounds to seven digits. Masks by comparison are other draws of the same law. One thread or several, and
# stacks, may add in another order, which can change the last digit. Adam's sums round in other places than its means
# would; one vector in place of several arrays changes nothing, and neither does leaving out `dx`. What Adam forgets
# is other numbers in its memory, and the same weights.
#
# </details>
#
# > **Exercise 17.3** When does a sparse matrix format pay?
#
# <details><summary>Answer</summary>
#
# When the zeros are many and the matrix is large: a general rule of thumb is well below 10 % density. Try
# `scipy.sparse` on your sizes before you believe it; and compare with compaction, which needs no format at all.
#
# </details>

# %%
density = float(np.mean([np.count_nonzero(kept[n]) / kept[n].size for n in big.layout.weight_names]))
assert density < 0.05 and compacted.report.ratio < 1
print(f"stored weights after compaction: {100 * compacted.report.ratio:.1f} % of before")

# %% [markdown]
# ## What to read next
#
# This is the last page. Go back to the one that you believed most easily, and try to break it.

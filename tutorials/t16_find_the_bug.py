# %% [markdown]
# # Tutorial 16: Find the bug: read the report of a gradient check
#
# **What you will do.** Play detective. Somebody has planted mistakes in the layers of a network; you get what a
# gradient check prints, without the cause, and name the mistake.
#
# **What you will learn.** The few clues that give most bugs away: where the wrong numbers are, whether they share a
# ratio, whether two calls agree; what the order of the checks is good for; and which bugs leave no trace in any
# gradient.
#
# **What you will need.** Tutorials 4, 5 and 7. About ten seconds.

# %%
import textwrap

import matplotlib.pyplot as plt
import numpy as np

from numpynet.figures import STYLE
from numpynet.gradcheck import (
    MUTANTS,
    REFERENCE,
    ZOO,
    Sizes,
    bug,
    check_layers,
    check_pair,
    complex_step,
    dropout_pair,
    linear_pair,
    relu_pair,
)

plt.rcParams.update(STYLE)
rng = np.random.default_rng(16)

# %% [markdown]
# ## Four clues
#
# Write $a$ for the gradient that the code returns and $n$ for the true one, both as long vectors.
#
# 1. **Where is it wrong?** Everywhere, or only at dropped units, pruned weights, closed gates, one row?
# 2. **Spurious** entries: $a \ne 0$ where $n = 0$. Something that should block lets through. **Missing** ones:
#    $a = 0$ where $n \ne 0$. Something blocks that should not.
# 3. **Is it a factor?** See below.
# 4. **Do two calls agree,** and do the arguments look the same after the call as before?
#
# The factor $c$ that explains $a \approx c\, n$ best makes $\lVert a - c\,n \rVert^2$ smallest. The derivative of
# that, $-2\langle n, a - c\, n\rangle$, is 0 at
#
# $$
# c = \frac{\langle a, n \rangle}{\langle n, n \rangle}, \qquad \text{and what is left over is } \frac{\lVert a - c\, n \rVert}{\lVert a \rVert} .
# $$
#
# Only if nothing is left over is $c$ a factor; then it is a number like $N$, $\frac1N$, $q$, $\frac1q$, $2$ or $-1$,
# and it names the bug. With something left over, $c$ is meaningless, however round it looks.


# %%
def clues(a, n):
    """(c, what is left over, number of spurious and of missing entries)."""
    c = (a * n).sum() / (n * n).sum()
    left = np.linalg.norm(a - c * n) / np.linalg.norm(a)
    return c, left, int(((a != 0) & (n == 0)).sum()), int(((a == 0) & (n != 0)).sum())


N, d_in, d_out, q = 5, 4, 3, 0.7
x, W = rng.standard_normal((N, d_in)), rng.standard_normal((d_in, d_out))
D = np.array([[1, 0, 1, 1], [0, 1, 1, 1], [1, 1, 0, 1], [1, 1, 1, 0], [1, 0, 0, 1]], dtype=float)  # (N, d_in)
M = np.array([[1, 0, 1], [1, 1, 0], [0, 1, 1], [1, 1, 1]], dtype=float)  # (d_in, d_out)
dy = rng.standard_normal((N, d_out))
true_dW = complex_step(lambda w: (dy * ((D * x / q) @ (M * w))).sum(), W)
true_dx = complex_step(lambda u: (dy * ((D * u / q) @ (M * W))).sum(), x)

suspects = {
    "right": (M * ((D * x / q).T @ dy), true_dW),
    "dW: weight mask forgotten": ((D * x / q).T @ dy, true_dW),
    "dW: input before dropout": (M * (x.T @ dy), true_dW),
    "dx: 1/q forgotten": (D * (dy @ (M * W).T), true_dx),
    "dx: unit mask forgotten": ((dy @ (M * W).T) / q, true_dx),
    "dx: W for M * W": (D * (dy @ W.T) / q, true_dx),
}
print("                            factor c  left over  spurious  missing")
for name, (a, n) in suspects.items():
    c, left, spurious, missing = clues(a, n)
    print(f"{name:27s} {c:8.4f}   {left:8.1e}   {spurious:5d}   {missing:5d}")
assert clues(*suspects["right"])[1] < 1e-14
assert clues(*suspects["dW: weight mask forgotten"])[2] == int((M == 0).sum())  # spurious exactly where M is 0
assert clues(*suspects["dx: unit mask forgotten"])[2] == int((D == 0).sum())
c, left, _, _ = clues(*suspects["dx: 1/q forgotten"])
assert abs(c - q) < 1e-12 and left < 1e-12  # a pure factor
c, left, _, _ = clues(*suspects["dW: weight mask forgotten"])
assert abs(c - 1) < 1e-12 and left > 0.1  # c is exactly 1, and means nothing: something is left over

# %% [markdown]
# Look at the second line: the factor is *exactly* 1 and the gradient is wrong. Read the leftover first.

# %%
# alt: Four columns of small maps, for four mistakes. The upper row shows what the code returns, the lower row the difference
#      to the truth. For the forgotten weight mask the difference is coloured at pruned weights only, for the forgotten unit
#      mask at dropped units only, for the forgotten scale wherever there is a gradient, for the unmasked W all over the kept units.
shown = [name for name in suspects if name not in ("right", "dW: input before dropout")]
fig, axes = plt.subplots(2, 4, figsize=(9.0, 4.4))
for column, name in zip(axes.T, shown):
    a, n = suspects[name]
    for ax, array in zip(column, (a, np.where(abs(a - n) > 1e-12, a - n, np.nan))):
        limit = np.nanmax(abs(array))  # a scale for each map
        ax.imshow(array, cmap="PuOr", vmin=-limit, vmax=limit)
        ax.set(xticks=[], yticks=[])
        ax.grid(False)
    column[0].set_title(name, fontsize=9)
axes[0, 0].set_ylabel("returned")
axes[1, 0].set_ylabel("wrong by")
plt.show()

# %% [markdown]
# ## The cases
#
# From here on numpynet's checker gathers the clues. `check_layers` takes an implementation (a set of layer
# functions), checks it *from the loss backwards*, each layer alone with a random upstream gradient, and reports. We
# let it print all but the cause. Cover the answers and think.


# %%
def show(text):
    """Print a report, long lines folded."""
    for line in text.splitlines():
        print(textwrap.fill(line, 100, subsequent_indent="      "))


def evidence(case):
    """What the check says about a planted bug, without the cause; and the full report."""
    reports = check_layers(bug(case).plant())
    first = next(report for report in reports if not report.passed)
    show(first.text("ratio"))
    return first


case_1 = evidence("9-linear")

# %% [markdown]
# > **Exercise 16.1** The ratio is the same on every wrong entry, and it is 0.7, the keep probability of this check.
# > What has happened?
#
# <details><summary>Answer</summary>
#
# The forward pass divides by $q$, the backward pass does not: the scale $1/q$ is missing. Entries of dropped units
# are 0 in both, so they are "right".
#
# </details>

# %%
assert case_1.cause == "9"
case_2 = evidence("15")

# %% [markdown]
# > **Exercise 16.2** Everything wrong is spurious, and it sits exactly where weights are pruned. Which line of the
# > backward pass do you look at?
#
# <details><summary>Answer</summary>
#
# $dW = M \odot (\tilde H^\top dZ)$: the mask is not applied. The pruned weights receive a gradient, and the next step
# of the optimizer revives them (Tutorial 11).
#
# </details>

# %%
assert case_2.cause == "15"
case_3 = evidence("17")

# %% [markdown]
# > **Exercise 16.3** `dW` and `db` of this layer have passed, `dx` is wrong wherever it can be, without a common
# > ratio. What do `dx` and only `dx` use?
#
# <details><summary>Answer</summary>
#
# The weights. $dx$ must go back through $M \odot W$, and here it goes through $W$: what has been pruned still carries
# gradient upstream. In a whole network everything in front of this layer would look wrong and this layer right, which
# is why layers are checked one by one.
#
# </details>

# %%
assert case_3.cause == "17"
case_4 = evidence("20b")

# %% [markdown]
# > **Exercise 16.4** A ReLU whose gradient is spurious in some places *and* missing in others. A gate is there, then,
# > but it is the wrong one. Where might it come from?
#
# <details><summary>Answer</summary>
#
# It lets through where the *upstream gradient* is positive: `dh * (dh > 0)` instead of `dh * (z > 0)`. A check with
# an upstream gradient of ones would see an always-open gate; with a random one both kinds of mistake show.
#
# </details>

# %%
assert case_4.cause == "20b"
case_5 = evidence("14a")

# %% [markdown]
# > **Exercise 16.5** The check did not even come to comparing numbers. What kind of bug makes two equal calls differ?
#
# <details><summary>Answer</summary>
#
# Randomness inside: the backward pass draws a fresh mask instead of using that of the forward pass. (A forward pass
# that draws its own mask would give differences of the size of the loss divided by $h$.)
#
# </details>

# %%
assert case_5.cause == "14a"
case_6 = evidence("26b")

# %% [markdown]
# > **Exercise 16.6** The numbers are right, and still it fails. Why is that a bug at all?
#
# <details><summary>Answer</summary>
#
# The backward pass writes into the upstream gradient, which belongs to the layer above. If that array is used twice
# (by a bias, by a second branch, by a second call), the second use finds something else. It works by luck, until
# somebody adds a line.
#
# </details>

# %%
assert case_6.cause == "26b"

# %% [markdown]
# ## Same clue, two culprits
#
# A ratio of $1/q$ in $dx$ has two explanations: the backward pass divides by $q$ twice, or the *forward* pass forgets
# to divide (then the true gradient lacks a $1/q$, and the right backward pass has one too many). No gradient can
# decide. The checker therefore looks at forward *values* first, and stops at the first stage that fails.

# %%
for case in ("11", "f9"):
    report = next(r for r in check_layers(bug(case).plant()) if not r.passed)
    print(f"{bug(case).name:30s} fails at stage {report.stage}, and had passed: {report.passed_before[-1]}")
    print("    cause:", report.causes[0].text)
    assert report.cause == case
assert next(r for r in check_layers(bug("f9").plant()) if not r.passed).stage == 1
assert next(r for r in check_layers(bug("11").plant()) if not r.passed).stage == 4

# %% [markdown]
# **Numbers that keep apart.** A ratio of 5 means "not divided by $N$" in a batch of five. But for $q = 0.8$ it is
# $1/(1 - q)$ as well: keep and drop swapped. With a bad choice of sizes the clue is worth nothing. Count how many of
# the usual factors coincide:


# %%
def coincidences(N, K, q):
    factors = {
        "N": N, "1/N": 1 / N, "K": K, "1/K": 1 / K, "NK": N * K, "1/(NK)": 1 / (N * K), "2": 2, "1/2": 0.5,
        "q": q, "1/q": 1 / q, "q^2": q * q, "1-q": 1 - q, "1/(1-q)": 1 / (1 - q), "q/(1-q)": q / (1 - q), "1": 1,
    }  # fmt: skip
    names = list(factors)
    return [(a, b) for i, a in enumerate(names) for b in names[i + 1 :] if abs(factors[a] / factors[b] - 1) < 1e-3]


for sizes in ((5, 3, 0.5), (5, 3, 0.8), (2, 3, 0.7), (5, 3, 0.7)):
    print(
        f"N = {sizes[0]}, K = {sizes[1]}, q = {sizes[2]}: {len(coincidences(*sizes))} coincidences {coincidences(*sizes)[:3]}"
    )
assert len(coincidences(5, 3, 0.5)) > 5 and ("N", "1/(1-q)") in coincidences(5, 3, 0.8) and not coincidences(5, 3, 0.7)

# %% [markdown]
# ## From the loss backwards
#
# A student hands in three layers. Each has a mistake. Checked as a whole network, every gradient is wrong and no
# pattern fits. Checked one by one, from the loss backwards, they come out one after the other:


# %%
def student_relu_backward(dh, cache):
    return dh * (cache.z_positive | True)  # the gate is never closed


def student_linear_backward(dy, cache, *, need_dx=True, out=None):
    dx, dW, db = REFERENCE.linear_backward(dy, cache)
    return dx, dW, db / dy.shape[-2]  # a mean for a sum


def student_loss_backward(dloss, cache):
    return 2 * REFERENCE.softmax_cross_entropy_backward(dloss, cache)  # the habit of squared errors


handed_in = REFERENCE._replace(
    relu_backward=student_relu_backward,
    linear_backward=student_linear_backward,
    softmax_cross_entropy_backward=student_loss_backward,
)
mended, causes = handed_in, []
repairs = {
    "softmax_cross_entropy": "softmax_cross_entropy_backward",
    "relu": "relu_backward",
    "linear": "linear_backward",
}
for attempt in range(4):
    reports = check_layers(mended)
    broken = [r for r in reports if r.status == "fail"]
    print(f"attempt {attempt + 1}:", ", ".join(r.layer for r in broken) or "nothing", "is wrong")
    if not broken:
        break
    show(f"   first {broken[0].layer}: {broken[0].causes[0].text}")
    causes.append(broken[0].cause)
    name = repairs[broken[0].layer]
    mended = mended._replace(**{name: getattr(REFERENCE, name)})  # the student mends it
assert causes == ["5b", "20a", "2b"]  # loss, ReLU, linear: in this order
assert all(report.passed for report in reports)

# %% [markdown]
# The network itself is checked last, and only if its layers are right. Two bugs in *one* layer are found as well, but
# usually not named: an honest checker then says "no known pattern" and describes.
#
# ## What leaves no trace
#
# A gradient check asks: is this the derivative of that function? It cannot know whether it is the function you
# wanted, whether it survives large numbers, or whether it will do the same tomorrow. The checker's other questions
# exist for this. Below, mistakes from public repositories, checked once by gradients alone and once by everything:

# %%
pair_of = {"dropout": dropout_pair, "linear": linear_pair, "relu": relu_pair}
blind = []
for mutant in MUTANTS:
    layers = mutant.plant()
    everything = [r for r in check_layers(layers) if r.status == "fail"]
    assert everything, f"{mutant.name} must be found"
    if mutant.pair in pair_of:
        functions = [getattr(layers, f"{mutant.pair}_{way}") for way in ("forward", "backward")]
        gradients_only = check_pair(pair_of[mutant.pair](*functions), stages=(0, 4))
        if gradients_only.passed:
            blind.append(mutant.id)
        verdict = "not seen" if gradients_only.passed else "found"
        print(f"{mutant.name:50s} by gradients alone: {verdict:9s} by everything: found")
print(f"all {len(MUTANTS)} are found by the whole check; gradients alone miss {blind}")
assert {"m10", "m11", "m13"} <= set(blind)

# %% [markdown]
# The misses: a dropout that is unscaled in both directions (a right gradient of the wrong function), a mask that
# turns `float32` into `float64`, and arrays that are edited or remembered behind your back. Each has a test of its
# own: the mean over all masks, the type that comes out, a second call in between.
#
# ## How good is the detective?
#
# A checker must be tested like anything else. Every bug of the zoo is planted once; count how many are found and how
# many are named right at first guess. (`numpynet verify --mutants` does this many times, with other numbers each
# time.)

# %%
found = named = 0
for planted in ZOO:
    failed = [report for report in check_layers(planted.plant(), seed=16) if report.status == "fail"]
    found += bool(failed)
    named += bool(failed) and failed[0].cause == planted.expected
print(f"{len(ZOO)} planted bugs: {found} found, {named} named at first guess")
assert found == len(ZOO) and named >= 0.95 * len(ZOO)
false_alarms = sum(not report.passed for seed in range(5) for report in check_layers(REFERENCE, seed=seed))
print("false alarms in correct layers, 5 seeds:", false_alarms)
assert false_alarms == 0

# %% [markdown]
# ## Check your own file
#
# Write your layers as plain functions into a file and run
#
#     numpynet check layers.py
#
# It prints the same reports, each with a line that repeats it exactly. `--detail where` keeps the causes from you, if
# you would rather play.
#
# ## Exercises
#
# > **Exercise 16.7** `db` has the right shape and is $\frac18$ of the truth everywhere; the batch has 8 examples and
# > 4 classes. Name two mistakes that would do that, and an experiment that decides.
#
# <details><summary>Answer</summary>
#
# A mean instead of a sum over the examples ($1/N$), or a division by twice the number of classes, $1/(2K)$. Check
# again with another batch size: if the ratio follows $N$, it is the first. Sizes without such coincidences spare you
# the question.
#
# </details>
#
# > **Exercise 16.8** A colleague's check reports ratios of 0.9999 to 1.0001 everywhere. Bug or not?
#
# <details><summary>Answer</summary>
#
# Ask what the numeric side can do. If it is a central difference in `float32`, that is its rounding error. With the
# complex step in `float64` it would be a bug: something inside runs in `float32`, or a constant is off in the fourth
# digit.
#
# </details>
#
# > **Exercise 16.9** Plant a bug of your own in `REFERENCE` (as the student did above), let a friend read
# > `report.text("ratio")`, and see who is faster.
#
# <details><summary>Answer</summary>
#
# `check_layers(REFERENCE._replace(relu_backward=my_function))` is all you need. The ids and names of 64 bugs to
# choose from: `[(b.id, b.name) for b in ZOO]`.
#
# </details>

# %%
by_eight = check_layers(
    REFERENCE._replace(linear_backward=student_linear_backward), only="linear", sizes=Sizes(8, 6, 7, 4)
)[0]
print(by_eight.text("ratio").splitlines()[1])
assert by_eight.array == "db" and by_eight.cause == "2b"
by_eleven = check_layers(
    REFERENCE._replace(linear_backward=student_linear_backward), only="linear", sizes=Sizes(11, 6, 7, 4)
)[0]
assert abs(by_eight.c - 1 / 8) < 1e-9 and abs(by_eleven.c - 1 / 11) < 1e-9  # it follows N
assert len(ZOO) == 64

# %% [markdown]
# ## What to read next
#
# Tutorial 17, the last, makes right code fast without changing a number. If you have come here first, go back to
# Tutorial 4, where the right formulas are derived.

# %% [markdown]
# # Tutorial 5: Check a gradient so that it cannot lie
#
# **What you will do.** Measure four ways to compute a derivative numerically, find out how exact each can be, and
# then try to fool a gradient check in every way that has worked on others.
#
# **What you will learn.** Why the step $10^{-5}$ of the textbooks is about right for one method and why another needs
# no choice at all; what to hold a layer against (random directions, never ones); and what no gradient check can see.
#
# **What you will need.** Tutorials 2 to 4; the Taylor series. About five seconds.

# %%
import itertools
import textwrap

import matplotlib.pyplot as plt
import numpy as np

from numpynet.equations import (
    linear_backward,
    linear_forward,
    sample_mask,
    softmax_cross_entropy_backward,
    softmax_cross_entropy_forward,
    tanh,
)
from numpynet.equations.losses import softmax, softmax_backward
from numpynet.figures import STYLE
from numpynet.gradcheck import (
    central_difference,
    check_network,
    check_pair,
    complex_step,
    hessian_vector_product,
    linear_pair,
    richardson,
)
from numpynet.network import MLP
from numpynet.parameters import Parameters

plt.rcParams.update(STYLE)
rng = np.random.default_rng(5)

# %% [markdown]
# The patient: a network with both masks and the activation tanh (which has no corners), its loss as a function of
# *one vector* $\theta$, and the gradient of Tutorial 4.

# %%
net = MLP((4, 6, 5, 3), activation=tanh, keep_prob=0.7)
theta = net.init(rng, dtype=np.float64)
for name in ("b1", "b2", "b3"):
    theta[name] = 0.3 * rng.standard_normal(theta[name].shape)  # biases of 0 would hide mistakes
x, labels = rng.standard_normal((7, 4)), rng.integers(0, 3, 7)
unit_masks = net.sample_unit_masks(rng, (7,), dtype=np.float64)  # drawn once: from here on they are constants
weight_mask = sample_mask(rng, net.layout.size, 0.7, dtype=np.float64)


def loss_of(vector):
    point = Parameters(vector, net.layout)
    mask = Parameters(weight_mask.astype(vector.dtype), net.layout)
    units = [None if D is None else D.astype(vector.dtype) for D in unit_masks]
    logits, caches = net.forward(point, x.astype(vector.dtype), weight_mask=mask, unit_masks=units, trusted=True)
    loss, loss_cache = softmax_cross_entropy_forward(logits, labels)
    return loss, (loss_cache, caches)


def gradient_of(vector):
    _, (loss_cache, caches) = loss_of(vector)
    return net.backward(softmax_cross_entropy_backward(1.0, loss_cache), caches).vector


vector = theta.vector
analytic = gradient_of(vector)
print(f"{vector.size} parameters, loss {loss_of(vector)[0]:.6f}")

# %% [markdown]
# **Masks are arguments.** Because they are fixed arrays, the loss is an ordinary function: the same $\theta$ gives
# the same number. A layer that draws its mask inside has no derivative to check. Many courses therefore advise to
# switch dropout off for the check, which leaves exactly the code unchecked in which mistakes are made.
#
# ## Differences, and the U-shaped curve
#
# Along one parameter $f(x + h) = f(x) + h f'(x) + \frac{h^2}{2} f''(x) + \frac{h^3}{6} f'''(x) + \dots$ So the
# *forward difference* $\big(f(x+h) - f(x)\big)/h$ is off by $\frac h2 f''$, and in the *central difference* the even
# terms cancel:
#
# $$
# \frac{f(x + h) - f(x - h)}{2h} = f'(x) + \underbrace{\tfrac{h^2}{6} f'''(x) + \dots}_{\text{truncation}} + \underbrace{O(\varepsilon / h)}_{\text{rounding}} , \tag{B26}
# $$
#
# with $\varepsilon \approx 2.2 \cdot 10^{-16}$. The second error is the catch. $f$ is known to 16 digits; the two
# values agree in most of them, and the subtraction leaves the rest. A smaller $h$ makes the first error smaller and
# the second larger. For the sum $h^2 + \varepsilon/h$ the best $h$ is near
# $\varepsilon^{1/3} \approx 6 \cdot 10^{-6}$ (set the derivative $2h - \varepsilon/h^2$ to 0), and no more than about
# 10 or 11 digits can be had. For the forward difference the best is near $\varepsilon^{1/2}$, with 8 digits.
#
# ## No subtraction, no rounding: the complex step
#
# Go a step in the *imaginary* direction: $f(x + ih) = f(x) + ih f'(x) - \frac{h^2}{2} f''(x) - \dots$ The derivative
# is the only large imaginary term:
#
# $$
# \frac{\mathrm{Im}\, f(x + ih)}{h} = f'(x) + O(h^2) . \tag{B7}
# $$
#
# Nothing is subtracted, so nothing cancels, and $h$ may be as small as one likes. With $h = 10^{-30}$ the truncation
# error is $10^{-60}$. The code of the network runs as it stands, on complex numbers.


# %%
def forward_difference(f, x, h):
    """(f(x + h e_k) - f(x)) / h for every k: the crudest of all."""
    middle = f(x)
    return np.array([(f(x + h * direction) - middle) / h for direction in np.eye(x.size)])


def real_loss(v):
    return loss_of(v)[0]


steps = np.logspace(-12, -1, 12)
errors = {
    "forward difference": [abs(forward_difference(real_loss, vector, h) - analytic).max() for h in steps],
    "central difference": [abs(central_difference(real_loss, vector, step=h) - analytic).max() for h in steps],
    "Richardson": [abs(richardson(real_loss, vector, step=h) - analytic).max() for h in steps],
    "complex step": [abs(complex_step(real_loss, vector, step=h) - analytic).max() for h in steps],
}
at_best = abs(central_difference(real_loss, vector, step=6e-6) - analytic).max()
complex_errors = [abs(complex_step(real_loss, vector, step=h) - analytic).max() for h in (1e-20, 1e-30, 1e-200)]
for name, error in errors.items():
    print(f"{name:20s} best error {min(error):.0e} at h = {steps[int(np.argmin(error))]:.0e}")
print(f"central at 6e-6: {at_best:.0e};  complex step at 1e-20, 1e-30, 1e-200:", *(f"{e:.0e}" for e in complex_errors))

assert min(errors["forward difference"]) > 1e-10  # it cannot be better
assert at_best < 1e-9 < errors["central difference"][0]  # and too small a step is as bad as too large a one
assert errors["central difference"][-1] > 1e-5
assert max(complex_errors) < 1e-14  # exact to rounding, whatever the step

# %%
# alt: Error of the gradient against the step size, both logarithmic. The three differences are U-shaped: forward bottoms
#      out near 1e-8, central near 1e-10 and Richardson near 1e-13. The complex step falls with slope 2 and stays at 1e-16.
fig, ax = plt.subplots(figsize=(6.0, 3.8))
for (name, error), marker in zip(errors.items(), "osv^"):
    ax.loglog(steps, np.maximum(error, 1e-17), marker=marker, markersize=4, label=name)
ax.set(xlabel="step h", ylabel="largest error of the gradient", title="how exact a numeric gradient can be")
ax.legend(fontsize=8)
plt.show()

# %% [markdown]
# **Pitfall: float32.** There $\varepsilon \approx 10^{-7}$, and the whole U moves up: the same check with `float32`
# arrays cannot tell a wrong gradient from rounding. Checks run in `float64`, always, even for code that trains in
# `float32`.

# %%
vector32 = vector.astype(np.float32)
errors32 = []
for h in (1e-1, 1e-2, 1e-3, 1e-4, 1e-5):
    numeric = [
        (real_loss(vector32 + np.float32(h) * d) - real_loss(vector32 - np.float32(h) * d)) / np.float32(2 * h)
        for d in np.eye(vector.size, dtype=np.float32)
    ]
    errors32.append(abs(np.array(numeric) - analytic).max())
print("central differences in float32, h = 1e-1 ... 1e-5:", *(f"{e:.0e}" for e in errors32))
assert real_loss(vector32).dtype == np.float32
assert min(errors32) > 1e-6  # five digits are the best that can be had

# %% [markdown]
# ## What complex numbers ask of the code
#
# The complex step needs operations that continue into the complex plane. `np.abs` does not: it returns the length, a
# real number, and the derivative is gone, **without an error**. So do `np.conj`, norms and variances;
# `np.sign(z) * z` is wrong in yet another way.

# %%
point = np.array([1.5, -2.0])
true_slope = np.sign(point)  # of |x1| + |x2|
lost = complex_step(lambda z: np.abs(z).sum(), point)
mended = complex_step(lambda z: np.sqrt(z * z).sum(), point)
print("slope of |x|:", true_slope, "  with np.abs:", lost, "  with sqrt(z * z):", mended)
assert np.array_equal(lost, [0.0, 0.0])
assert np.allclose(mended, true_slope, rtol=0, atol=1e-15)

# %% [markdown]
# The guard: compare a few entries with a central difference. Two methods with different weaknesses do not fail
# together. The library's `numeric_gradient` does this every time and says why it went back to differences.
#
# **Corners.** At $z = 0$ ReLU has no slope; we have chosen 0. A central difference straddles the corner and reports
# one half, which is right for neither side. That is not rare: a zero bias and a fully masked row of inputs give
# exactly $z = 0$. And `z > 0` compares complex numbers by their real part *and then by the imaginary one*, so a
# careless gate opens at $0 + ih$. The gates of numpynet ask `z.real > 0`.

# %%
zero = np.zeros(1)
central = central_difference(lambda z: np.maximum(z, 0).sum(), zero)[0]
careless = complex_step(lambda z: (z * (z > 0)).sum(), zero)[0]
careful = complex_step(lambda z: (z * (z.real > 0)).sum(), zero)[0]
print(f"slope of ReLU at 0: central difference {central}, gate on z {careless}, gate on z.real {careful}")
assert (central, careless, careful) == (0.5, 1.0, 0.0)

# %% [markdown]
# ## One layer at a time, with a random upstream gradient
#
# A layer with output $y$ is checked through a number, $L = \langle dy, y \rangle$ with a fixed array $dy$; its
# gradients are what the backward pass returns for this $dy$. **Pitfall: $dy$ of ones**, the choice of many test
# suites. The outputs of a softmax add up to 1, whatever goes in, so with ones $L$ is constant and its true gradient
# is 0. A backward pass that returns *nothing but zeros* passes.


# %%
def lazy_softmax_backward(dP, P):
    return np.zeros_like(P)


logits = rng.standard_normal((5, 3))
for dy, name in ((np.ones((5, 3)), "ones"), (rng.standard_normal((5, 3)), "random")):
    numeric = complex_step(lambda z, dy=dy: (dy * softmax(z)).sum(), logits)
    lazy_error = abs(lazy_softmax_backward(dy, softmax(logits)) - numeric).max()
    true_error = abs(softmax_backward(dy, softmax(logits)) - numeric).max()
    print(f"dy {name:7s} error of a backward that returns zeros: {lazy_error:.0e};  of the right one: {true_error:.0e}")
    assert true_error < 1e-15
    assert (lazy_error < 1e-15) == (name == "ones")

# %% [markdown]
# ## One direction instead of a million entries
#
# An entry costs a run of the network. A layer with a million weights wants another idea: move *all* entries at once
# along a random direction $v$. With $J$ the matrix of all derivatives of the outputs,
# $J v = \mathrm{Im} f(x + i h v)/h$ is one run, and
#
# $$
# \langle dy, J v \rangle = \langle J^\top dy, v \rangle
# $$
#
# must hold, where $J^\top dy$ is what the backward pass returns. This is the *adjoint test*. Its strength depends on
# the numeric side: one entry that is wrong by 1 % changes the right-hand side by about 1 part in $100 \sqrt{N}$. With
# the tolerances of a check in differences that drowns; with an exact numeric side it does not.

# %%
trials, caught = 1000, {}
for n in (100, 10_000):
    g, v = rng.standard_normal((trials, n)), rng.standard_normal((trials, n))
    change = np.abs(0.01 * g[:, 0] * v[:, 0])  # one entry off by 1 %: what it does to <g, v>
    size = np.abs((g * v).sum(axis=-1))
    norm = np.linalg.norm(g, axis=-1) * np.linalg.norm(v, axis=-1)
    caught[n] = ((change > 1e-5 + 1e-3 * size).mean(), (change > 1e-9 * norm).mean())
    print(
        f"{n:6d} entries: found by 1e-5 + 1e-3 |value| in {100 * caught[n][0]:.0f} % of the trials, by 1e-9 in {100 * caught[n][1]:.1f} %"
    )
assert caught[10_000][0] < 0.15 and caught[100][0] < 0.6
assert min(caught[100][1], caught[10_000][1]) > 0.99

# %%
big = MLP((64, 100, 100, 10), keep_prob=0.8)
report = check_network(big, seed=1)
print(report.text())
assert report.passed

# %% [markdown]
# ## The judge must be judged
#
# **Relative error** $|a - n| / (|a| + |n|)$, entry by entry, is the most printed number and a poor judge. A right
# gradient of size $10^{-12}$ with the unavoidable error $10^{-11}$ of a central difference has a relative error near
# 1, and a pruned entry has 0/0. One tolerance for the whole array, in units of its largest entry, does not have these
# moods.

# %%
numeric = central_difference(real_loss, vector)
small = analytic * 1e-10  # the same, as the gradient of a much smaller loss
with np.errstate(invalid="ignore"):
    relative = np.abs(numeric - analytic) / (np.abs(numeric) + np.abs(analytic))
print(f"of {vector.size} right entries {np.isnan(relative).sum()} have the relative error 0/0;")
print(f"largest error / largest entry: {abs(numeric - analytic).max() / abs(analytic).max():.0e}")
assert np.isnan(relative).sum() == (analytic == 0).sum() > 0  # weights that are pruned
assert abs(numeric - analytic).max() < 1e-9 * max(1.0, abs(analytic).max())
noisy = small + 1e-11 * rng.standard_normal(small.size)  # what a central difference would make of it
assert np.median(np.abs(noisy - small) / (np.abs(noisy) + np.abs(small))) > 0.1

# %% [markdown]
# **A checker that accepts everything** is the commonest failure of all. So plant mistakes and demand that they be
# found: the gradient is off by one part in a million, in one entry. The complex step finds it; a central difference
# at its best may not.

# %%
entry = int(np.argmax(abs(analytic)))
planted = analytic.copy()
planted[entry] *= 1 + 1e-6
exact = complex_step(real_loss, vector)
tolerance = 1e-9 * abs(exact).max() + 1e-12
assert abs(analytic - exact).max() <= tolerance  # the right one passes
assert abs(planted - exact).max() > tolerance  # the wrong one is caught
print(f"off by {abs(planted - exact).max():.0e}, tolerance {tolerance:.0e}: caught")

# %% [markdown]
# ## A check without any numeric gradient: the Taylor remainder
#
# If $dL$ is the gradient, then what the linear prediction leaves over shrinks with the *square* of the step:
#
# $$
# \big| L(\theta + \epsilon v) - L(\theta) - \epsilon \langle dL, v \rangle \big| = O(\epsilon^2) . \tag{B8}
# $$
#
# In a log-log plot that is a line of slope 2. A wrong gradient leaves a term of order $\epsilon$, and the slope falls
# to 1.

# %%
v = rng.standard_normal(vector.size)
wrong_gradient = analytic * 1.1
epsilons = np.logspace(-4, -1, 7)
remainder = {
    name: [abs(real_loss(vector + e * v) - real_loss(vector) - e * (g @ v)) for e in epsilons]
    for name, g in (("right gradient", analytic), ("off by 10 %", wrong_gradient))
}
slopes = {name: np.polyfit(np.log(epsilons[:4]), np.log(r[:4]), 1)[0] for name, r in remainder.items()}
print("slopes:", {name: round(float(slope), 3) for name, slope in slopes.items()})
assert abs(slopes["right gradient"] - 2) < 0.1 and slopes["off by 10 %"] < 1.5

# %%
# alt: Remainder of the linear prediction against the step, both logarithmic. The right gradient gives a line of slope 2,
#      the gradient that is off by ten per cent bends to slope 1 for small steps.
fig, ax = plt.subplots()
for (name, values), marker in zip(remainder.items(), "os"):
    ax.loglog(epsilons, values, marker=marker, label=f"{name}: slope {slopes[name]:.2f} at the left")
ax.set(xlabel="step epsilon", ylabel="remainder", title="Taylor remainder")
ax.legend(fontsize=8)
plt.show()

# %% [markdown]
# ## Laws: checks for what gradients cannot see
#
# **The same mistake in both passes** is invisible: if the forward pass forgets $1/q$ and the backward pass as well,
# the gradient is the right gradient of the wrong function. Only a law about the *function* finds it: the mean over
# all masks must be the input.


# %%
def forgetful_forward(h, D, q):
    return D * h  # where is 1/q?


def forgetful_backward(dy, D, q):
    return dy * D  # the right derivative of the wrong function


h, q = rng.standard_normal((1, 4)), 0.7
D, dy = np.array([[1.0, 0.0, 1.0, 1.0]]), rng.standard_normal((1, 4))
numeric = complex_step(lambda a: (dy * forgetful_forward(a, D, q)).sum(), h)
assert np.allclose(forgetful_backward(dy, D, q), numeric, rtol=0, atol=1e-15)  # the gradient check is content

masks = np.array(list(itertools.product((0.0, 1.0), repeat=4)))  # (16, 4): every mask there is
chance = (q**masks * (1 - q) ** (1 - masks)).prod(axis=-1)  # (16,)
mean_forgetful = chance @ forgetful_forward(h, masks, q)
mean_right = chance @ (masks * h / q)
print(
    "mean over all masks / input:",
    (mean_forgetful / h[0]).round(3),
    "forgetful;",
    (mean_right / h[0]).round(3),
    "right",
)
assert abs(chance.sum() - 1) < 1e-15
assert np.allclose(mean_right, h[0], rtol=0, atol=1e-15) and np.allclose(mean_forgetful, q * h[0], rtol=0, atol=1e-15)

# %% [markdown]
# Some laws hold for gradients themselves, whatever the numbers. One of many: in a ReLU net without biases, doubling
# the weights of one layer doubles the output. From this follows, for every layer $l$ and whatever the masks,
#
# $$
# \langle W_l, dW_l \rangle = \langle Z_L, dZ_L \rangle . \tag{B9}
# $$
#
# Such laws are *properties*. A property is tested on many random cases, of many shapes, with masks and keep
# probabilities drawn as well:

# %%
for case in range(50):
    case_rng = np.random.default_rng(case)
    shape = [int(s) for s in case_rng.permutation(np.arange(2, 9))[:4]]  # sizes that all differ
    relu_net = MLP(shape, keep_prob=float(case_rng.choice([0.3, 0.6, 0.7, 0.9])))
    weights = relu_net.init(case_rng, dtype=np.float64)  # biases are 0
    case_mask = Parameters(sample_mask(case_rng, relu_net.layout.size, 0.7, dtype=np.float64), relu_net.layout)
    case_units = relu_net.sample_unit_masks(case_rng, (9,), dtype=np.float64)
    z, caches = relu_net.forward(
        weights, case_rng.standard_normal((9, shape[0])), weight_mask=case_mask, unit_masks=case_units
    )
    dz = case_rng.standard_normal(z.shape)
    gradients = relu_net.backward(dz, caches)
    for name in relu_net.layout.weight_names:
        assert abs((weights[name] * gradients[name]).sum() - (z * dz).sum()) < 1e-11
print("the law holds in 50 random networks")

# %% [markdown]
# The library Hypothesis does this with more cunning: it searches for a failing case and then makes it as small as it
# can. numpynet's own tests use it, and so does `numpynet check`, which puts all of this page into one command and
# names the mistake:


# %%
def my_backward(dy, cache, *, need_dx=True, out=None):
    dx, dW, db = linear_backward(dy, cache)
    return dx * cache.keep_prob, dW, db  # 1/keep_prob has been lost


report = check_pair(linear_pair(linear_forward, my_backward))
for line in report.text().splitlines():
    print(textwrap.fill(line, 100, subsequent_indent="      "))
assert not report.passed and report.cause == "9"
assert check_pair(linear_pair(linear_forward, linear_backward)).passed

# %% [markdown]
# ## A present: second derivatives
#
# The backward pass runs on complex numbers as well. So the derivative of the *gradient* along $v$, which is the
# Hessian matrix times $v$, costs one more run, and no matrix is ever formed:
#
# $$
# H v = \frac{\mathrm{Im}\, \nabla L(\theta + i h v)}{h} . \tag{B25}
# $$

# %%
u = rng.standard_normal(vector.size)
Hv = gradient_of(vector + 1e-30j * v).imag / 1e-30
Hu = gradient_of(vector + 1e-30j * u).imag / 1e-30
print(f"a Hessian is symmetric: u.Hv = {u @ Hv:.12f}, v.Hu = {v @ Hu:.12f}")
assert abs(u @ Hv - v @ Hu) < 1e-12
assert np.array_equal(Hv, hessian_vector_product(gradient_of, vector, v))

# %% [markdown]
# ## Exercises
#
# > **Exercise 5.1** Find the best step of the forward difference and of Richardson's $\big(4 D(h/2) - D(h)\big)/3$,
# > whose truncation error is of order $h^4$, from their two errors.
#
# <details><summary>Answer</summary>
#
# $h + \varepsilon/h$ is smallest at $h = \varepsilon^{1/2} \approx 1.5 \cdot 10^{-8}$, with an error of that size.
# $h^4 + \varepsilon/h$ is smallest near $\varepsilon^{1/5} \approx 7 \cdot 10^{-4}$, with an error near
# $\varepsilon^{4/5} \approx 3 \cdot 10^{-13}$. Compare the minima of the first figure.
#
# </details>
#
# > **Exercise 5.2** Run the complex step through `np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))`, a stable
# > softplus. What comes out, and what should?
#
# <details><summary>Answer</summary>
#
# Its derivative is the sigmoid of $z$. With `np.abs` on the path only the slope of the first term survives: 1 for
# positive $z$, 0 for negative. The dtype stays complex, so nothing warns. Choose the branch by `z.real` instead.
#
# </details>
#
# > **Exercise 5.3** A network has dropout that draws its mask inside. How large are the numbers of a central
# > difference with $h = 10^{-6}$?
#
# <details><summary>Answer</summary>
#
# The two runs use different masks, so their difference is of the size of the loss itself, and divided by $2h$ it is
# of order $10^5$ to $10^6$. Huge numbers, different in every run, are the signature of a mask that is drawn anew.
#
# </details>

# %%
bad_softplus = complex_step(lambda z: (np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))).sum(), np.array([0.7, -0.7]))
assert np.array_equal(bad_softplus, [1.0, 0.0])
eps = np.finfo(float).eps
assert 1e-8 < eps**0.5 < 2e-8 and 5e-4 < eps**0.2 < 1e-3

# %% [markdown]
# ## What to read next
#
# With gradients that can be trusted, Tutorial 6 trains. Tutorial 16 comes back to the report and makes a game of it:
# find the bug.

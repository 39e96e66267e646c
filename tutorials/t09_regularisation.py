# %% [markdown]
# # Tutorial 9: Find the penalty hidden in dropout
#
# **What you will do.** Average dropout over all its masks with pencil and paper, find a weight decay with a price of
# its own for each weight, and check every step by enumeration. Then look for what dropout does to a network that is
# too large for pencil and paper.
#
# **What you will learn.** For a linear model dropout *is* a penalty, and which one; why it does not care how the
# inputs are scaled, and ridge regression does; and which popular statements about dropout hold in a measurement, and
# which do not.
#
# **What you will need.** Tutorials 7 and 8; setting a derivative to zero. Under ten seconds.

# %%
from numpynet import threads

threads.set_default()  # one thread, before NumPy is imported

import itertools

import matplotlib.pyplot as plt
import numpy as np

from numpynet.data import Split, load_digits
from numpynet.equations import softplus
from numpynet.experiments.penalty_theory import exact_penalty, penalised_loss, quadratic_penalty, ridge_of_dropout
from numpynet.figures import COLOURS, STYLE
from numpynet.network import MLP
from numpynet.optimizers import Adam
from numpynet.plan import TrainingPlan
from numpynet.statistics import t_interval
from numpynet.training import begin, train

plt.rcParams.update(STYLE)
rng = np.random.default_rng(9)

# %% [markdown]
# ## The linear model, averaged by hand
#
# $N$ examples, $d$ inputs, one output, no bias: predict $y_n$ by $x_n w$ with $w \in \mathbb{R}^{d}$. With dropout on
# the inputs, example $n$ is predicted by $\tilde x_n w$ with $\tilde x_{ni} = D_{ni} x_{ni} / q$. What does training
# minimise, *on average over the masks*? For any random number $u$, $E[u^2] = (E[u])^2 + \mathrm{Var}[u]$. Take
# $u = y_n - \tilde x_n w$:
#
# * its mean is $y_n - x_n w$, because $E[\tilde x_n] = x_n$;
# * its variance is $\sum_i w_i^2\, \mathrm{Var}[\tilde x_{ni}] = \frac{1-q}{q} \sum_i x_{ni}^2 w_i^2$, because the
#   masks of different units are independent (and $y_n$ is not random).
#
# Add over the examples and collect $\Gamma_{ii}^2 = \sum_n x_{ni}^2$, the diagonal of $X^\top X$:
#
# $$
# E \big\lVert y - \tilde X w \big\rVert^2 = \underbrace{\lVert y - X w \rVert^2}_{\text{without dropout}} + \underbrace{\frac{1-q}{q} \sum_i \Gamma_{ii}^2\, w_i^2}_{\text{a penalty}} . \tag{D7}
# $$
#
# Dropout on the inputs of a linear model is ridge regression in which **each weight pays in proportion to the
# strength of its input**. The price rises from 0 at $q = 1$ without limit as $q \to 0$.

# %%
N, d, q = 30, 6, 0.7
common = rng.standard_normal((N, 1))
X = rng.standard_normal((N, d)) + 0.7 * common  # (N, d), correlated inputs
X[:, 4] *= 3.0  # one of them strong
y = X @ np.array([[-1.0], [-0.5], [0.0], [0.5], [0.3], [1.5]]) + 0.5 * rng.standard_normal((N, 1))  # (N, 1)
w = rng.standard_normal((d, 1))

masks = np.array(list(itertools.product((0.0, 1.0), repeat=d)))  # (64, d)
chance = (q**masks * (1 - q) ** (1 - masks)).prod(axis=-1)  # (64,)


def expected_loss(w):
    """E ||y - X~ w||^2: for every example, all 64 masks."""
    predictions = (masks[:, None, :] * X / q) @ w  # (64, N, d) @ (d, 1) -> (64, N, 1)
    return chance @ ((y - predictions) ** 2).sum(axis=(-2, -1))


strength = (X**2).sum(axis=0)  # (d,): the diagonal of X^T X
by_formula = ((y - X @ w) ** 2).sum() + (1 - q) / q * (strength @ w[:, 0] ** 2)
print(f"average over all masks {expected_loss(w):.10f}, formula {by_formula:.10f}")
assert np.isclose(expected_loss(w), by_formula, rtol=1e-12)
assert np.isclose(penalised_loss(X, y, w, q), by_formula, rtol=1e-12)

# %% [markdown]
# **The minimum.** The gradient of Equation (D7) is $-2 X^\top (y - X w) + 2 \frac{1-q}{q} \Gamma^2 w$. Set it to 0:
#
# $$
# \hat w = \Big( \underbrace{X^\top X}_{(d, d)} + \frac{1-q}{q}\, \Gamma^2 \Big)^{-1} \underbrace{X^\top y}_{(d, 1)} .
# $$
#
# Does training with *random* masks get there? Each step sees masks of its own, so plain SGD never stands still; we
# average the last half of the walk.


# %%
def dropout_solution(X, y, q):
    gram = X.T @ X  # (d, d)
    return np.linalg.solve(gram + (1 - q) / q * np.diag(np.diag(gram)), X.T @ y)  # (d, 1)


w_hat = dropout_solution(X, y, q)
assert np.array_equal(w_hat, ridge_of_dropout(X, y, q))
for k in range(d):  # a minimum: a step in any direction makes the expected loss larger
    for step in (-1e-3, 1e-3):
        assert expected_loss(w_hat + step * np.eye(d)[:, [k]]) > expected_loss(w_hat)

walk, mean, steps = np.zeros((d, 1)), np.zeros((d, 1)), 20_000
for step in range(steps):
    X_kept = X * (rng.random((N, d)) < q) / q  # (N, d): fresh masks
    walk = walk - 0.0005 * (X_kept.T @ (X_kept @ walk - y))
    mean += walk * (step >= steps // 2) / (steps - steps // 2)
least_squares = np.linalg.lstsq(X, y, rcond=None)[0]
print("least squares     ", least_squares[:, 0].round(3))
print("formula           ", w_hat[:, 0].round(3))
print("SGD with dropout  ", mean[:, 0].round(3))
assert abs(mean - w_hat).max() < 0.05 < abs(least_squares - w_hat).max()

# %% [markdown]
# ## It does not care about units of measurement
#
# Measure one input in millimetres instead of metres: its column is multiplied by 1000, and the natural weight is
# divided by 1000. Ordinary ridge regression, with the same price $\lambda$ for every $w_i^2$, now finds that weight
# almost free, and predicts something else. In Equation (D7) the price of that weight has risen by $1000^2$, its
# square has fallen by $1000^2$: nothing happens.


# %%
def ridge(X, y, penalty):
    return np.linalg.solve(X.T @ X + penalty * np.eye(X.shape[1]), X.T @ y)


rescaled = X.copy()
rescaled[:, 2] *= 1000.0
change_dropout = abs(rescaled @ dropout_solution(rescaled, y, q) - X @ w_hat).max()
change_ridge = abs(rescaled @ ridge(rescaled, y, 15.0) - X @ ridge(X, y, 15.0)).max()
print(f"predictions change by {change_dropout:.0e} with dropout, by {change_ridge:.3f} with ridge")
assert change_dropout < 1e-9 < 1e-3 < change_ridge

# %%
# alt: Six weights against the keep probability, from 0.1 to 1. At keep probability 1 they are those of least squares;
#      towards smaller values they shrink smoothly, and some change their sign on the way. Circles, from training with
#      random masks, lie on the curves at 0.7.
keep_probs = np.linspace(0.05, 1.0, 60)
paths = np.array([dropout_solution(X, y, value)[:, 0] for value in keep_probs])  # (60, d)
fig, ax = plt.subplots(figsize=(6.0, 3.8))
for i in range(d):
    ax.plot(keep_probs, paths[:, i], color=COLOURS[i], label=f"w{i}" + (" (strong input)" if i == 4 else ""))
    ax.plot(q, mean[i, 0], "o", color=COLOURS[i], markersize=5)
ax.set(xlabel="keep probability q", ylabel="weight", title="what dropout on the inputs converges to; circles: SGD")
ax.legend(fontsize=8, ncols=2)
plt.show()
assert np.allclose(paths[-1], least_squares[:, 0], rtol=0, atol=1e-10)  # q = 1 is least squares
assert (abs(paths[0]) < abs(paths[-1]).max()).all()

# %% [markdown]
# ## Logistic regression: a price that depends on the model
#
# With labels 0 and 1 and the logistic loss $A(z) - y z$, $A(z) = \ln(1 + e^z)$ (Tutorial 3), the part $y z$ is linear
# in the mask and its average is unchanged. What is left over is free of labels:
#
# $$
# R = \sum_n \Big( E\, A(\tilde x_n \beta) - A(x_n \beta) \Big) \approx \frac12\, \frac{1-q}{q} \sum_n A''(x_n \beta) \sum_i x_{ni}^2 \beta_i^2 . \tag{D9}
# $$
#
# $R \ge 0$, because $A$ is convex (Jensen). The right side is the Taylor series of $A$ to second order: the
# first-order term averages out, the second is $\frac12 A''$ times the variance. $A'' = \sigma(1 - \sigma)$ is largest
# where the model is unsure. So an input pays little if it is *rare*, or if the model is *sure* whenever it is there
# (Wager, Wang and Liang 2013). For $\beta \to 0$ both sides agree.


# %%
def penalty_by_enumeration(beta):
    kept = masks[:, None, :] * X / q  # (64, N, d)
    return chance @ softplus(kept @ beta).sum(axis=(-2, -1)) - softplus(X @ beta).sum()


beta = rng.standard_normal((d, 1))
for size in (2.0, 1.0, 0.1, 0.01):
    exact, quadratic = penalty_by_enumeration(size * beta), quadratic_penalty(X, size * beta, q)
    assert np.isclose(exact, exact_penalty(X, size * beta, q), rtol=1e-9)
    print(
        f"beta times {size:4}: exact penalty {exact:12.6f}, quadratic form {quadratic:12.6f}, ratio {exact / quadratic:.4f}"
    )
    assert exact >= 0
assert abs(exact / quadratic - 1) < 1e-3  # at the smallest beta

# %%
# alt: Penalty of a one-dimensional logistic model against its logit, exact and quadratic. Both rise from zero like a
#      parabola; the quadratic form turns down after about two, because it follows the curvature, while the exact
#      penalty levels off at 0.21.
z = np.linspace(0, 8, 80)
exact_curve = np.array([exact_penalty(np.ones((1, 1)), np.array([[value]]), q) for value in z])
quadratic_curve = np.array([quadratic_penalty(np.ones((1, 1)), np.array([[value]]), q) for value in z])
fig, ax = plt.subplots()
ax.plot(z, exact_curve, label="exact, both masks")
ax.plot(z, quadratic_curve, "--", label="second order")
ax.set(xlabel="logit of the single input", ylabel="penalty in nats", title="one example, keep probability 0.7")
ax.legend()
plt.show()
assert (np.diff(exact_curve) > 0).all() and (np.diff(quadratic_curve) < 0).any()
# For large z, A(z) is z itself: q (z / q) + (1 - q) ln 2 - z, so the price of being sure is at most (1 - q) ln 2.
assert abs(exact_curve[-1] - (1 - q) * np.log(2)) < 1e-3

# %% [markdown]
# ## In a deep net: what is true of the gradient
#
# For a net with hidden layers nobody can write the penalty down. But one thing stays true. Averages and derivatives
# change places, so the gradient with random masks is, on average, the gradient of the **expected loss**:
#
# $$
# E_m\, \nabla L(\theta, m) = \nabla\, E_m\, L(\theta, m) . \tag{D5}
# $$
#
# **Pitfall.** It is *not* the gradient of the net that is deployed, the one without masks. For the linear model both
# are known: the second lacks the penalty.

# %%
kept = masks[:, None, :] * X / q  # (64, N, d), the masks shared by the batch
gradients = 2 * kept.mT @ (kept @ w - y)  # (64, d, 1): one for each mask
mean_gradient = np.tensordot(chance, gradients, axes=1)  # (d, 1)
of_expected = 2 * X.T @ (X @ w - y) + 2 * (1 - q) / q * strength[:, None] * w
of_deployed = 2 * X.T @ (X @ w - y)
moved = np.array([expected_loss(w + 1e-30j * e[:, None]).imag / 1e-30 for e in np.eye(d)])  # complex step
print(
    f"mean gradient against the expected loss's {abs(mean_gradient - of_expected).max():.0e}, against the deployed net's {abs(mean_gradient - of_deployed).max():.1f}"
)
assert np.allclose(mean_gradient[:, 0], moved, rtol=1e-10)
assert abs(mean_gradient - of_deployed).max() > 1


# %% [markdown]
# ## What does it do to features? Measure
#
# "Dropout prevents co-adaptation", "dropout makes activations sparse", "dropout improves accuracy". We train a net
# 64-100-10 on 300 digits, without and with dropout ($q = 0.5$ and, since 0.5 alone proves little, $0.7$), five runs
# each with the same initial weights and batches; once with right labels, once with 60 of the 300 labels replaced by
# wrong ones, as in Tutorial 6. Then we ask three things of the *trained* net:
#
# 1. How good is it on the test digits?
# 2. How good is it if a random 30 % of its hidden units fail (no scale, 20 draws)? A net whose units rely on each
#    other should suffer.
# 3. What share of hidden activations is not 0?

# %%
digits = load_digits()
labels = digits.train.y[:300]
spoiled = labels.copy()
spoiled[:60] = (spoiled[:60] + np.random.default_rng(6).integers(1, 10, 60)) % 10
failing = (np.random.default_rng(1).random((20, 1, 1, 100)) < 0.7).astype(np.float32)  # which units stay

found = {}
for case, given in (("right labels", labels), ("60 wrong labels", spoiled)):
    for keep in (1.0, 0.7, 0.5):
        net = MLP((64, 100, 10), keep_prob=keep)
        few = Split(digits.train.x[:300], given)
        plan = TrainingPlan(steps=800, batch_size=50, optimizer=Adam(), schedule=3e-3, evaluate_every=800)
        state = begin(net, plan, few, seed=range(5))
        last = list(train(state, few, monitors={"test": digits.test}))[-1]
        theta = state.theta  # five nets in one stack
        hidden = np.maximum(digits.test.x @ theta["W1"] + theta["b1"][:, None, :], 0)  # (5, 360, 100)
        broken = (hidden * failing) @ theta["W2"] + theta["b2"][:, None, :]  # (20, 5, 360, 10)
        found[case, keep] = {
            "test accuracy": np.array(last.accuracy["test"]),
            "if 30 % fail": (broken.argmax(axis=-1) == digits.test.y).mean(axis=(0, 2)),
            "active units": (hidden > 0).mean(axis=(1, 2)),
        }
        print(
            f"{case:16s} q = {keep}:",
            ", ".join(f"{k} {t_interval(v).text(digits=1)} %" for k, v in found[case, keep].items()),
        )

# %% [markdown]
# Now the differences to the net without dropout, paired run by run, with 95 % intervals in percentage points:

# %%
gains = {}
for case, keep in found:
    if keep < 1:
        for what in found[case, keep]:
            gains[case, keep, what] = t_interval(found[case, keep][what] - found[case, 1.0][what])
        print(
            f"{case:16s} q = {keep}:",
            ", ".join(f"{w} {gains[case, keep, w].text(digits=1, sign=True)}" for w in found[case, keep]),
        )

for keep in (0.7, 0.5):
    for case in ("right labels", "60 wrong labels"):
        lost, active = gains[case, keep, "if 30 % fail"], gains[case, keep, "active units"]
        assert lost.mean - lost.half_width > 0  # units rely less on each other
        assert active.mean + active.half_width < 0  # and fewer of them are active
    assert gains["60 wrong labels", keep, "test accuracy"].mean > 0.01
    assert abs(gains["right labels", keep, "test accuracy"].mean) < 0.015

# %% [markdown]
# The first two statements hold, in both cases, beyond the spread of five runs. The third does not hold in general:
# with right labels this net hardly overfits, and dropout changes the test accuracy by nothing that could be seen.
# With wrong labels, where there is something to be learned by heart, it helps. **Dropout is a remedy against an
# illness; a healthy net does not need it.**

# %%
# alt: Three groups of bars, one for each measured quantity, with error bars, for keep probabilities 1, 0.7 and 0.5, on the
#      spoiled labels. Test accuracy rises a little, accuracy with lost units rises much, the share of active units falls.
fig, ax = plt.subplots(figsize=(7.2, 3.6))
names = list(found["60 wrong labels", 1.0])
for k, keep in enumerate((1.0, 0.7, 0.5)):
    intervals = [t_interval(100 * found["60 wrong labels", keep][name]) for name in names]
    ax.bar(
        np.arange(3) + 0.26 * (k - 1),
        [i.mean for i in intervals],
        0.24,
        yerr=[i.half_width for i in intervals],
        capsize=3,
        color=COLOURS[k],
        label=f"keep_prob {keep}",
    )
ax.set(
    xticks=range(3),
    xticklabels=names,
    ylabel="%",
    title="300 digits, 60 wrong labels; mean and 95 % interval of 5 runs",
)
ax.legend(fontsize=8, loc="upper right")
plt.show()

# %% [markdown]
# ## Exercises
#
# > **Exercise 9.1** Repeat the derivation of Equation (D7) for *standard* dropout, $\tilde x = d \odot x$ without
# > $1/q$.
#
# <details><summary>Answer</summary>
#
# The mean of $u$ is $y_n - q\, x_n w$, its variance $q(1-q) \sum_i x_{ni}^2 w_i^2$. So
# $E\lVert y - \tilde X w \rVert^2 = \lVert y - q X w \rVert^2 + q(1-q) \sum_i \Gamma_{ii}^2 w_i^2$. With $v = q w$
# this is Equation (D7) for $v$.
#
# </details>
#
# > **Exercise 9.2** One input, one weight: by which factor does dropout shrink the least-squares weight?
#
# <details><summary>Answer</summary>
#
# $\hat w = \frac{x^\top y}{x^\top x\, (1 + (1-q)/q)} = q\, \frac{x^\top y}{x^\top x}$: exactly by $q$.
#
# </details>
#
# > **Exercise 9.3** Someone claims that dropout on the inputs is "the same as L2 regularisation". Name two
# > differences.
#
# <details><summary>Answer</summary>
#
# The price of a weight depends on its input's strength (for the logistic model on the model's certainty as well); and
# it cannot be evaded by rescaling an input. For standardised inputs of a linear model it *is* ridge with
# $\lambda = N (1-q)/q$.
#
# </details>

# %%
one = rng.standard_normal((20, 1))
target = 2 * one + rng.standard_normal((20, 1))
assert np.isclose(dropout_solution(one, target, q)[0, 0], q * (one.T @ target)[0, 0] / (one.T @ one)[0, 0], rtol=1e-12)
unscaled = chance @ ((y - (masks[:, None, :] * X) @ w) ** 2).sum(axis=(-2, -1))
assert np.isclose(unscaled, ((y - q * X @ w) ** 2).sum() + q * (1 - q) * (strength @ w[:, 0] ** 2), rtol=1e-12)
standardised = X / np.sqrt((X**2).mean(axis=0))
assert np.allclose(dropout_solution(standardised, y, q), ridge(standardised, y, N * (1 - q) / q), rtol=1e-10)

# %% [markdown]
# ## What to read next
#
# The whole penalty comes from the *variance* $q(1 - q)$ of the mask. A mask that is fixed has none: pruning is the
# corner of the same law in which every $q$ is 0 or 1, and Tutorial 13 takes that up. Up to here masks were drawn.
# Tutorial 10 treats them as objects of their own, with an algebra, and finds the second kind of mask in the first.

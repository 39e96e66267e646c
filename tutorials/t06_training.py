# %% [markdown]
# # Tutorial 6: Train a network, and watch it overfit
#
# **What you will do.** Write stochastic gradient descent, momentum and Adam in one line each, write the training
# loop, train on handwritten digits, and then drive a network into learning its training set by heart.
#
# **What you will learn.** What the learning rate may be and why; what each optimizer adds; how to see overfitting,
# and what early stopping and weight decay do about it.
#
# **What you will need.** Tutorials 3 and 4. Under ten seconds.

# %%
from numpynet import threads

threads.set_default()  # one thread: never much slower for small matrices, and faster on a busy machine. Before NumPy is imported.

import matplotlib.pyplot as plt
import numpy as np

from numpynet.data import Split, load_digits
from numpynet.equations import softmax_cross_entropy_backward, softmax_cross_entropy_forward
from numpynet.figures import COLOURS, STYLE, band
from numpynet.network import MLP
from numpynet.optimizers import SGD, Adam, Decay, Momentum
from numpynet.plan import TrainingPlan
from numpynet.seeding import streams
from numpynet.statistics import t_interval
from numpynet.training import begin, early_stop, train

plt.rcParams.update(STYLE)

# %% [markdown]
# ## Downhill
#
# The gradient points uphill, so walk against it. With the learning rate $\eta$ (eta, `lr`) and
# $g_t = \nabla L(\theta_{t-1})$:
#
# $$
# \theta_t = \theta_{t-1} - \eta\, g_t \tag{O1}
# $$
#
# How large may $\eta$ be? In one dimension and on a parabola $L = \frac a2 (\theta - c)^2$ the answer is exact. Its
# gradient is $a (\theta - c)$, so each step multiplies the distance to the minimum by $1 - \eta a$, and
# $\theta_t - c = (1 - \eta a)^t (\theta_0 - c)$. It shrinks if and only if $0 < \eta < 2/a$. A valley with a steep
# wall ($a$ large) and a gentle floor ($a$ small) needs a small $\eta$ for the wall and a large one for the floor:
# that is the whole difficulty.

# %%
a, c = np.array([1.0, 25.0]), np.array([0.0, 0.0])  # gentle along the first axis, steep along the second


def slope(theta):
    return a * (theta - c)  # (2,)


start = np.array([-4.0, 1.0])
for lr in (0.04, 0.079, 0.081):
    theta = start
    for _ in range(200):
        theta = theta - lr * slope(theta)
    print(f"lr {lr}: after 200 steps {theta};  closed form {(1 - lr * a) ** 200 * start}")
    assert np.allclose(theta, (1 - lr * a) ** 200 * start, rtol=1e-9)
    assert (abs(theta[1]) > 1) == (lr > 2 / 25)  # beyond 2 / 25 = 0.08 it flies off

# %% [markdown]
# ## Momentum and Adam
#
# **Momentum** remembers. The velocity $v$ is a decaying sum of past gradients; what alternates cancels, what agrees
# adds up:
#
# $$
# v_t = \mu\, v_{t-1} + g_t, \qquad \theta_t = \theta_{t-1} - \eta\, v_t \tag{O2}
# $$
#
# With a constant gradient $v$ tends to $g / (1 - \mu)$: at $\mu = 0.9$ the steps are ten times as long. **Adam**
# ("adaptive moments") keeps two means, of the gradient and of its square, and divides one by the root of the other,
# entry by entry:
#
# $$
# \begin{gathered}
# m_t = \beta_1 m_{t-1} + (1 - \beta_1)\, g_t, \qquad s_t = \beta_2 s_{t-1} + (1 - \beta_2)\, g_t^2, \\
# \theta_t = \theta_{t-1} - \eta\, \frac{m_t / (1 - \beta_1^t)}{\sqrt{s_t / (1 - \beta_2^t)} + \epsilon}
# \end{gathered} \tag{O5}
# $$
#
# Both means start from 0 and would be too small at first; the divisions by $1 - \beta^t$ mend that: what is left is a
# weighted sum over the sum of its weights. (numpynet's `Adam` keeps the sums, $m_t / (1 - \beta_1)$ and
# $s_t / (1 - \beta_2)$, which makes the same step.) Multiply all
# gradients by 1000: Adam's step stays the same (but for $\epsilon$). Its step is about $\eta$ where the gradient
# keeps its sign, whatever the gradient's size.


# %%
def sgd(theta, g, state, lr):
    return theta - lr * g, state


def momentum(theta, g, v, lr, mu=0.9):
    v = mu * v + g
    return theta - lr * v, v


def adam(theta, g, state, lr, beta1=0.9, beta2=0.999, eps=1e-8):
    m, s, t = state
    t = t + 1
    m = beta1 * m + (1 - beta1) * g
    s = beta2 * s + (1 - beta2) * g**2
    m_hat, s_hat = m / (1 - beta1**t), s / (1 - beta2**t)
    return theta - lr * m_hat / (np.sqrt(s_hat) + eps), (m, s, t)


walks = {}
for name, step, state, lr, library in (
    ("SGD, lr 0.07", sgd, None, 0.07, SGD()),
    ("momentum, lr 0.02", momentum, np.zeros(2), 0.02, Momentum(0.9)),
    ("Adam, lr 0.3", adam, (np.zeros(2), np.zeros(2), 0), 0.3, Adam()),
):
    theta, other = start, start.copy()  # `other` walks with the library's optimizer, in place
    other_state, path = library.init(other), [start]
    for _ in range(60):
        theta, state = step(theta, slope(theta), state, lr)
        library.step(other, slope(other), other_state, lr)
        path.append(theta)
    assert np.allclose(theta, other, rtol=0, atol=1e-12)  # the line above and numpynet's optimizer agree
    if library == Adam():
        assert np.allclose((1 - 0.9) * other_state.slots["m_sum"], state[0])  # the same memory, as a sum
    walks[name] = np.array(path)  # (61, 2)
    print(f"{name:18s} distance to the minimum after 60 steps: {np.linalg.norm(theta - c):.4f}")
    assert np.linalg.norm(theta - c) < 0.3

# %%
# alt: Contours of a narrow valley, and three walks from its left end to the minimum. SGD zigzags between the steep walls,
#      momentum swings along the floor and overshoots, Adam goes diagonally at first.
fig, axes = plt.subplots(1, 3, figsize=(10, 3.0), sharey=True)
u, w = np.meshgrid(np.linspace(-4.6, 2.4, 120), np.linspace(-1.4, 1.4, 80))
for ax, (name, path), colour in zip(axes, walks.items(), COLOURS):
    ax.contour(u, w, (a[0] * u**2 + a[1] * w**2) / 2, levels=np.geomspace(0.3, 30, 8), colors="0.75", linewidths=0.8)
    ax.plot(path[:, 0], path[:, 1], marker="o", markersize=2.5, linewidth=1, color=colour)
    ax.plot(*c, "k+", markersize=10)
    ax.set(title=name, xlabel="gentle direction")
axes[0].set_ylabel("steep direction")
plt.show()

# %% [markdown]
# **Pitfall: Adam without the correction.** The first step is then
# $\eta (1 - \beta_1) / \sqrt{1 - \beta_2} = 3.16\, \eta$ instead of $\eta$. It is an easy line to forget, and
# training goes on, with a jump at the start. Only a step computed by hand shows it.

# %%
g = np.array([0.02, -400.0])
corrected, _ = adam(np.zeros(2), g, (np.zeros(2), np.zeros(2), 0), lr=1.0)
m, s = 0.1 * g, 0.001 * g**2
uncorrected = -m / (np.sqrt(s) + 1e-8)
print("first step of Adam with lr 1:", corrected, "  without correction:", uncorrected)
assert np.allclose(abs(corrected), 1, atol=1e-6)  # one learning rate, for tiny and for huge gradients
assert np.allclose(abs(uncorrected), 0.1 / np.sqrt(0.001), atol=1e-4)

# %% [markdown]
# ## Stochastic: a batch instead of everything
#
# The gradient of $N$ examples is the mean of $N$ gradients. A *batch*, a few dozen of them drawn without replacement,
# gives a good guess for a fraction of the price. After every example has been used once, an *epoch*, one shuffles
# again. On average over an epoch the guess is right:

# %%
digits = load_digits(dtype=np.float64)
X, y = digits.train.x[:1400], digits.train.y[:1400]
net = MLP((64, 30, 10))
theta_0 = net.init(streams(0).init, dtype=np.float64)


def loss_and_gradient(theta, x, labels):
    logits, caches = net.forward(theta, x)
    loss, loss_cache = softmax_cross_entropy_forward(logits, labels)
    return loss, net.backward(softmax_cross_entropy_backward(1.0, loss_cache), caches)


full = loss_and_gradient(theta_0, X, y)[1].vector
order = streams(0).batches.permutation(1400)
batches = [loss_and_gradient(theta_0, X[order[k : k + 50]], y[order[k : k + 50]])[1].vector for k in range(0, 1400, 50)]
cosines = [b @ full / np.linalg.norm(b) / np.linalg.norm(full) for b in batches]
print(
    f"28 batches of 50: cosine with the full gradient {min(cosines):.2f} to {max(cosines):.2f}; their mean is the full gradient"
)
assert np.allclose(np.mean(batches, axis=0), full, rtol=0, atol=1e-14)
assert min(cosines) > 0.3

# %% [markdown]
# ## The loop
#
# This is a whole training. The library's `train` is the same with records, checks and masks; with the same seed it
# gives the same bits.

# %%
theta, rng = theta_0.copy(), streams(0).batches
for _ in range(2):  # epochs
    order = rng.permutation(1400)
    for first in range(0, 1400, 50):
        batch = order[first : first + 50]
        loss, gradients = loss_and_gradient(theta, X[batch], y[batch])
        theta = theta - 0.1 * gradients

plan = TrainingPlan(epochs=2, batch_size=50, optimizer=SGD(), schedule=0.1, dtype="float64")
state = begin(net, plan, Split(X, y), seed=0, theta_0=theta_0)
for _record in train(state, Split(X, y)):
    pass
print("our loop and the library's, after 56 steps: equal bits", np.array_equal(theta.vector, state.theta.vector))
assert np.array_equal(theta.vector, state.theta.vector)

# %% [markdown]
# **Pitfall: forgetting to shuffle.** Data often come sorted by class. Then each batch knows one digit only, and the
# net runs after whichever came last.

# %%
by_class = np.argsort(y, kind="stable")
accuracies = {}
for name, shuffled in (("shuffled", True), ("sorted by class", False)):
    theta, rng = theta_0.copy(), streams(0).batches
    for _ in range(5):
        order = rng.permutation(1400) if shuffled else by_class
        for first in range(0, 1400, 50):
            batch = order[first : first + 50]
            theta = theta - 0.1 * loss_and_gradient(theta, X[batch], y[batch])[1]
    accuracies[name] = (net.predict(theta, digits.test.x) == digits.test.y).mean()
    print(f"{name:16s} test accuracy after 5 epochs {100 * accuracies[name]:.1f} %")
assert accuracies["shuffled"] > 0.85 > 0.6 > accuracies["sorted by class"]

# %% [markdown]
# ## Three optimizers on the digits
#
# Five runs each, trained as one stack: `seed=range(5)`. All start from the same five initial weights and see the same
# batches. The bands are 95 % intervals of the mean over the runs. The learning rates are sensible ones for each; a
# fair comparison would tune them.

# %%
data = load_digits()  # float32, for speed
histories = {}
for name, optimizer, lr in (
    ("SGD 0.1", SGD(), 0.1),
    ("momentum 0.05", Momentum(0.9), 0.05),
    ("Adam 0.003", Adam(), 3e-3),
):
    state = begin(
        MLP((64, 30, 10)), TrainingPlan(epochs=10, optimizer=optimizer, schedule=lr), data.train, seed=range(5)
    )
    histories[name] = list(train(state, data.train, monitors={"test": data.test}))
    final = t_interval(histories[name][-1].accuracy["test"])
    print(f"{name:14s} test accuracy after 10 epochs {final.text()} %")
    assert abs(np.mean(histories[name][0].loss["test"]) - np.log(10)) < 0.3  # it starts near ln 10
    assert final.mean > 0.92

# %%
# alt: Test loss against epochs for three optimizers with narrow bands. All fall from about 2.3; SGD more slowly than
#      momentum and Adam.
fig, ax = plt.subplots()
for (name, records), colour in zip(histories.items(), COLOURS):
    band(ax, [r.epoch for r in records], np.array([r.loss["test"] for r in records]), name, colour)
ax.set(xlabel="epoch", ylabel="test loss in nats", title="digits, 64-30-10, mean of 5 runs")
ax.legend()
plt.show()

# %% [markdown]
# ## Overfitting, made visible
#
# Now something unfair: only 300 examples, and 60 of their labels are *wrong on purpose*. A net that understands
# digits cannot be better than 80 % on them. A net with 17,000 weights has another way: it can learn 300 answers by
# heart, the wrong ones included.

# %%
draw = np.random.default_rng(6)
few_x, few_y = data.train.x[:300], data.train.y[:300].copy()
few_y[:60] = (few_y[:60] + draw.integers(1, 10, 60)) % 10  # each becomes another digit
few = Split(few_x, few_y)
truth = Split(few_x[:60], data.train.y[:60])  # the same 60 images with their true labels
big = MLP((64, 100, 100, 10))


def overfit(**settings):
    # The data are shared; only the decay may differ between calls.
    plan = TrainingPlan(steps=900, batch_size=50, optimizer=Adam(), schedule=3e-3, evaluate_every=30, **settings)
    state = begin(big, plan, few, seed=range(5))
    return state, list(train(state, few, monitors={"train": few, "test": data.test, "truth": truth}))


state, plain = overfit()
best = np.argmin([np.mean(r.loss["test"]) for r in plain])
print(f"{big.layout.n_weights} weights, 300 examples; means of 5 runs, at the best step and at the end:")
for name in ("train", "test"):
    print(
        f"  {name:5s} loss {np.mean(plain[best].loss[name]):.3f} -> {np.mean(plain[-1].loss[name]):.3f}"
        f"   accuracy {100 * np.mean(plain[best].accuracy[name]):.1f} -> {100 * np.mean(plain[-1].accuracy[name]):.1f} %"
    )
print(f"  images with a wrong label whose *true* class it says: {100 * np.mean(plain[-1].accuracy['truth']):.1f} %")

assert np.mean(plain[-1].accuracy["train"]) > 0.995  # wrong labels learned by heart
assert np.mean(plain[-1].accuracy["truth"]) < 0.05
assert np.mean(plain[-1].loss["test"]) > 1.5 * np.mean(plain[best].loss["test"])  # and the test loss has turned
assert np.mean(plain[best].accuracy["test"]) > np.mean(plain[-1].accuracy["test"]) + 0.03

# %% [markdown]
# Training loss: always better. Test loss: better, then worse and worse. **The gap between the two is overfitting**,
# and the training loss alone does not show it. Two remedies of old:
#
# * *Early stopping.* Keep the parameters of the step at which the loss on a *validation* set was smallest. (Not the
#   test set: what is used to choose can no longer be used to judge. Here we look at the test curve only to show where
#   it turns.)
# * *Weight decay.* Add to the loss a price for large weights,
#
# $$
# \Omega = \frac{\lambda}{2} \sum_l \lVert M_l \odot W_l \rVert^2, \qquad \text{which adds } \lambda\, M_l \odot W_l \text{ to } dW_l . \tag{B21}
# $$
#
# Biases pay nothing, and neither do pruned weights. Dropout is the third remedy; Tutorial 9 shows that for a linear
# net it *is* a weight decay, with a price of its own for each weight.

# %%
_, decayed = overfit(decay=Decay(coupled=0.01))
gain = t_interval(np.subtract(decayed[-1].accuracy["test"], plain[-1].accuracy["test"]))
stopped = early_stop(plain, "test", replicate=0)
print(f"weight decay 0.01: test accuracy at the end {gain.text(sign=True)} points against none (paired, 5 runs)")
print(f"early stopping of run 0: step {stopped.step}, test accuracy {100 * stopped.accuracy['test'][0]:.1f} %")
assert gain.mean - gain.half_width > 0  # on this spoiled data decay helps, beyond the spread of 5 runs
assert 0 < stopped.step < 600

# %%
# alt: Two panels against steps. Left, the loss: training loss falls to zero, test loss falls until about step 100 and then
#      climbs; with weight decay it stays low. Right, the accuracy: training accuracy climbs to 100 per cent while test
#      accuracy sinks from its peak; with weight decay it sinks less.
fig, axes = plt.subplots(1, 2, figsize=(9.2, 3.4))
for ax, of in zip(axes, ("loss", "accuracy")):
    scale = 100 if of == "accuracy" else 1
    for (label, records, name), colour in zip(
        (("training", plain, "train"), ("test", plain, "test"), ("test, weight decay", decayed, "test")), COLOURS
    ):
        values = scale * np.array([getattr(r, of)[name] for r in records])
        band(ax, [r.step for r in records], values, label, colour)
    ax.set(xlabel="step", ylabel="loss in nats" if of == "loss" else "accuracy in %")
axes[1].axhline(80, color="0.5", linestyle=":")
axes[1].annotate("share of true labels", (500, 76), fontsize=8, color="0.35")
axes[1].set_ylim(0, 103)
axes[0].legend()
plt.show()

# %% [markdown]
# ## Exercises
#
# > **Exercise 6.1** Show that with momentum and a constant gradient $g$ the velocity tends to $g/(1 - \mu)$.
#
# <details><summary>Answer</summary>
#
# $v_t = g (1 + \mu + \dots + \mu^{t-1}) = g (1 - \mu^t)/(1 - \mu)$, a geometric sum.
#
# </details>
#
# > **Exercise 6.2** Weight decay and plain SGD: $\theta \leftarrow \theta - \eta (g + \lambda \theta)$. By which
# > factor does a weight shrink in 1000 steps without any data gradient, for $\eta = 0.1$ and $\lambda = 0.01$?
#
# <details><summary>Answer</summary>
#
# By $(1 - \eta\lambda)^{1000} = 0.999^{1000} = 0.368$, nearly $e^{-1}$. With Adam it is not so: there the size of
# $\lambda\theta$ cancels, and without a data gradient the weight moves by about $\eta$ per step, whatever $\lambda$
# is. AdamW ("decoupled" decay, Equation (O7)) shrinks by the factor instead.
#
# </details>
#
# > **Exercise 6.3** A colleague reports 100 % accuracy "after training". What do you ask?
#
# <details><summary>Answer</summary>
#
# On which examples, how they were chosen, whether the number of steps was picked by looking at them, and how far
# other seeds differ.
#
# </details>

# %%
v = np.zeros(1)
for _ in range(300):
    _, v = momentum(np.zeros(1), np.array([2.0]), v, lr=0.1)
assert abs(v[0] - 2.0 / (1 - 0.9)) < 1e-10
assert abs(0.999**1000 - 0.368) < 1e-3
for lam in (0.01, 1.0):  # Adam with coupled decay alone: the first step is lr, whatever lambda is
    moved, _ = adam(np.array([1.0]), lam * np.array([1.0]), (0.0, 0.0, 0), lr=0.1)
    assert abs(moved[0] - 0.9) < 1e-6

# %% [markdown]
# ## What to read next
#
# Tutorial 7 puts dropout into this loop: the first of the two masks, drawn anew in every step.

"""Can dropout prune? Sparse variational dropout: every weight learns how much noise it bears, and drowned ones are cut.

A weight is W + sigma eps, with alpha = sigma^2 / W^2; the loss is the cross-entropy with noise plus the divergence from the
prior, over the number of training examples (Equations (D19), (D20)). The divergence falls as alpha grows, so a weight that
the data do not need becomes noise. After training, weights with log alpha > 3 are cut, and nothing is trained again.

Beside it stands plain training, cut by magnitude to the same number of weights in every layer. Following Molchanov et al.
(2017), log sigma^2 is learned in place of log alpha: the noise in the gradient of W is then less. The divergence is
phased in over the first half of the training, so that the net learns something before it is asked what it needs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from numpynet.data.dataset import Split
from numpynet.equations.losses import softmax_cross_entropy_backward, softmax_cross_entropy_forward
from numpynet.equations.noise import sample_normal
from numpynet.equations.variational_dropout import (
    PRUNE_ABOVE,
    log_alpha_gradient,
    variational_dropout_backward,
    variational_dropout_forward,
    variational_kl_backward,
    variational_kl_forward,
    variational_mask,
)
from numpynet.experiments.publish import Report, Table
from numpynet.experiments.setup import Setup, Steps, direction, measure_each, paired, train_stack
from numpynet.figures import COLOURS, new_figure
from numpynet.lottery.controls import one_shot_mask
from numpynet.network import MLP
from numpynet.optimizers import Adam, update
from numpynet.parameters import Parameters
from numpynet.pruning.scores import magnitude
from numpynet.seeding import streams
from numpynet.statistics import t_interval
from numpynet.training import evaluate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KL_WEIGHTS = (0.3, 1.0)  # 1 is the bound itself; below it the net is asked to forget less
QUICK = {"kl_weights": (1.0,)}
LOG_SIGMA2_START = -8.0  # hardly any noise at first
TINY = 1e-8  # added to W^2, so that log alpha is finite also where a weight is 0


class SparseNet(NamedTuple):
    """Nets trained with noise that is learned."""

    theta: Parameters  # (R,)
    log_alpha: Parameters  # (R,) of the weights; the entries at biases mean nothing


class Pruned(NamedTuple):
    """One way to train, whole and cut; arrays (R,)."""

    name: str
    whole: np.ndarray  # test accuracy
    cut: np.ndarray  # test accuracy of what is left, not trained again
    left: np.ndarray  # share of the weights
    histogram: np.ndarray | None  # (L, BINS) weights of all replicates by log alpha


BINS = np.linspace(-8, 14, 45)


def log_alpha_of_weights(theta: Parameters, log_sigma2: Parameters) -> Parameters:
    """Return log alpha = log sigma^2 - log W^2, as a new vector.   Equation (D19)

    Parameters
    ----------
    theta : parameters
    log_sigma2 : log of their noise's variance, in the form of theta

    Returns
    -------
    In the form of theta.

    Examples
    --------
    >>> from numpynet.parameters import Layout
    >>> layout = Layout.of_sizes((1, 1))
    >>> log_alpha_of_weights(Parameters(np.array([0.1, 0.0]), layout), Parameters(np.zeros(2), layout))["W1"]
    array([[4.60516919]])
    """
    return Parameters(log_sigma2.vector - np.log(theta.vector * theta.vector + TINY), theta.layout)


def loss_and_gradients(
    net: MLP,
    theta: Parameters,
    log_sigma2: Parameters,
    x: np.ndarray,
    y: np.ndarray,
    noise: Sequence[np.ndarray],
    kl_scale: float,
) -> tuple[np.ndarray, Parameters, Parameters]:
    """Return cross-entropy + kl_scale KL, and its gradients with respect to theta and log sigma^2.   Equations (D19), (D20)

    Parameters
    ----------
    net, theta : with their activation
    log_sigma2 : of the form of theta
    x, y : (..., B, d_0) and (..., B)
    noise : for each layer (..., B, d_l), standard normal
    kl_scale : 1 / N for the variational bound of N training examples

    Returns
    -------
    loss, d_theta, d_log_sigma2 : (...,), and twice in the form of theta

    Examples
    --------
    >>> net = MLP((2, 3))
    >>> theta, noise = Parameters.ones(net.layout, dtype=np.float64), [np.zeros((1, 3))]
    >>> loss, _, _ = loss_and_gradients(net, theta, 0 * theta, np.ones((1, 2)), np.array([0]), noise, 0.0)
    >>> round(float(loss), 4)                                                                             # log 3
    1.0986
    """
    log_alpha = log_alpha_of_weights(theta, log_sigma2)
    gradients, of_sigma = (
        Parameters(np.zeros_like(theta.vector), net.layout),
        Parameters(np.zeros_like(theta.vector), net.layout),
    )
    h, layer_caches, activation_caches, kl = x, [], [], 0.0
    for layer in range(1, net.n_layers + 1):
        z, cache = variational_dropout_forward(
            h, theta[f"W{layer}"], theta[f"b{layer}"], noise[layer - 1], log_alpha=log_alpha[f"W{layer}"]
        )  # (..., B, d_l)
        layer_caches.append(cache)
        if layer < net.n_layers:
            h, cache = net.activation.forward(z)
            activation_caches.append(cache)
    loss, loss_cache = softmax_cross_entropy_forward(z, y)
    dz = softmax_cross_entropy_backward(1.0, loss_cache)
    for layer in range(net.n_layers, 0, -1):
        w, b = f"W{layer}", f"b{layer}"
        dh, dW, db = variational_dropout_backward(dz, layer_caches[layer - 1], need_dx=layer > 1)
        own_kl, kl_cache = variational_kl_forward(log_alpha[w])
        kl = kl + own_kl
        dlog_alpha = log_alpha_gradient(dz, layer_caches[layer - 1]) + variational_kl_backward(kl_scale, kl_cache)
        of_sigma[w][...] = dlog_alpha
        gradients[w][...] = dW - 2 * theta[w] / (theta[w] * theta[w] + TINY) * dlog_alpha  # through log alpha
        gradients[b][...] = db
        if layer > 1:
            dz = net.activation.backward(dh, activation_caches[layer - 2])
    return loss + kl_scale * kl, gradients, of_sigma


def train_sparse(setup: Setup, seeds: Sequence[int], kl_weight: float, steps: Steps) -> SparseNet:
    """Train weights and their noise together, R replicates in one stack, each with the streams of its seed.

    Parameters
    ----------
    setup, seeds : data and training; one replicate for each seed
    kl_weight : of the divergence, which is phased in over the first half of the steps; 1 is the variational bound
    steps : to count on

    Returns
    -------
    SparseNet, a stack of R replicates

    Examples
    --------
    >>> from numpynet.data import load_digits
    >>> found = train_sparse(Setup(load_digits(), hidden=(8,), steps=4), [0, 1], 1.0, Steps("sparse", 4))
    >>> found.log_alpha["W1"].shape
    (2, 64, 8)
    """
    net, split, random = setup.net(1.0), setup.data.train, [streams(seed) for seed in seeds]
    theta = net.init([run.init for run in random], dtype=split.x.dtype)
    log_sigma2 = Parameters(np.full_like(theta.vector, LOG_SIGMA2_START), net.layout)
    optimizer = Adam()
    states = [optimizer.init(theta.vector), optimizer.init(log_sigma2.vector)]
    order, batch = np.empty((len(seeds), 0), np.intp), min(setup.batch_size, len(split.x))
    for step in range(setup.steps):
        if order.shape[1] < batch:
            order = np.stack([run.batches.permutation(len(split.x)) for run in random])
        rows, order = order[:, :batch], order[:, batch:]
        noise = [
            np.stack([sample_normal(run.dropout, (batch, d), dtype=theta.dtype) for run in random])
            for d in net.sizes[1:]
        ]  # (R, B, d_l) for each layer
        phased_in = min(1.0, 2 * step / setup.steps)
        _, *gradients = loss_and_gradients(
            net, theta, log_sigma2, split.x[rows], split.y[rows], noise, phased_in * kl_weight / len(split.x)
        )
        for parameters, gradient, state in zip((theta, log_sigma2), gradients, states):
            update(parameters, gradient, optimizer, state, setup.lr)
        if step % 50 == 0:
            steps.progress.show(steps.before + step, f"divergence times {kl_weight:g}")
    steps.before += setup.steps
    return SparseNet(theta, log_alpha_of_weights(theta, log_sigma2))


def cut(net: MLP, log_alpha: Parameters) -> Parameters:
    """Return the weight mask that leaves out what drowns in its noise, 1 at biases.   Equation (D20)

    Parameters
    ----------
    net : the network
    log_alpha : in the form of theta, or a stack

    Returns
    -------
    0 or 1, in form and dtype of log_alpha.

    Examples
    --------
    >>> net = MLP((2, 1))
    >>> cut(net, Parameters(np.array([2.9, 3.1, 9.0]), net.layout)).vector
    array([1., 0., 1.])
    """
    mask = Parameters.ones(net.layout, replicates=log_alpha.replicates, dtype=log_alpha.dtype)
    for name in net.layout.weight_names:
        mask[name][...] = variational_mask(log_alpha[name])
    return mask


def compare(setup: Setup, seeds: Sequence[int], kl_weight: float, steps: Steps) -> tuple[Pruned, Pruned]:
    """Train with learned noise and plainly; cut both to the same number of weights in every layer, and test.

    Parameters
    ----------
    setup, seeds : data and training; one replicate for each seed
    kl_weight : of the divergence; 1 is the variational bound
    steps : to count on

    Returns
    -------
    sparse, plain : cut by noise, and by magnitude

    Examples
    --------
    >>> from numpynet.data import load_digits
    >>> sparse, plain = compare(Setup(load_digits(), hidden=(8,), steps=4), [0, 1], 1.0, Steps("sparse", 8))
    >>> bool((sparse.left == plain.left).all()), sparse.whole.shape
    (True, (2,))
    """
    net = setup.net(1.0)
    theta, log_alpha = train_sparse(setup, seeds, kl_weight, steps)
    mask = cut(net, log_alpha)
    plain = train_stack(net, setup.plan(), setup.data.train, seeds, steps).theta
    plain_mask = one_shot_mask(magnitude(plain), mask)
    histogram = np.array(
        [np.histogram(np.clip(log_alpha[n], BINS[0], BINS[-1]), BINS)[0] for n in net.layout.weight_names]
    )
    test = setup.data.test
    return (
        Pruned(f"learned noise, divergence times {kl_weight:g}", *_scores(net, theta, mask, test), histogram),
        Pruned("plain, cut by magnitude to as many", *_scores(net, plain, plain_mask, test), None),
    )


def report(
    setup: Setup,
    seeds: Sequence[int],
    *,
    kl_weights: Sequence[float] = KL_WEIGHTS,
    where: Mapping[str, Any] | None = None,
) -> Report:
    """Compare learned noise with magnitude at each weight of the divergence.

    Parameters
    ----------
    setup, seeds : data and training; one replicate for each seed
    kl_weights : of the divergence; 1 is the variational bound
    where : ``workers``, ``scheduler`` or ``executor`` of ``numpynet.parallel.run_tasks``, or None

    Returns
    -------
    Report, ready for ``publish``

    Examples
    --------
    >>> from numpynet.data import load_digits
    >>> outcome = report(Setup(load_digits(), hidden=(8,), steps=3), [0, 1], kl_weights=(1.0,))
    >>> len(outcome.tables[0].rows)
    2
    """
    found = measure_each(compare, [(setup, seeds, w) for w in kl_weights], "sparse-variational", 2 * setup.steps, where)
    return Report(
        title="Can dropout prune?",
        question="If every weight learns how much noise it bears, which can be left out, and is that better than to leave out "
        "the smallest?",
        tables=[Table("Test accuracy, whole and cut, nothing trained again", *_table(found))],
        remark=_remark(found),
        pictures={
            "sparse_variational.png": (
                _picture(kl_weights, found),
                f"Weights of all replicates by log alpha, layer by layer; those right of the line, log alpha > {PRUNE_ABOVE:g}, "
                "are cut. The peak on the right are weights that have become 0: 1e-8 is added to W^2, so that log alpha stays finite. "
                "The ends of the axis hold what lies beyond.",
            )
        },
        reading="The divergence is weighed with 1 / (number of training examples) for the variational bound; less of it asks the "
        "net to forget less. Plain nets start from the same weights, and are cut once, to the same number of weights in each layer.",
        settings={
            **setup.settings(seeds),
            "noise": f"log sigma^2 from {LOG_SIGMA2_START:g}, divergence phased in over the first half",
        },
    )


def _scores(net: MLP, theta: Parameters, mask: Parameters, test: Split) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    whole, left_over = (np.array(evaluate(net, theta, test, weight_mask=m)[1]) for m in (None, mask))
    alive = sum(mask[name].sum(axis=(-2, -1)) for name in net.layout.weight_names)
    return whole, left_over, alive / sum(theta[name][0].size for name in net.layout.weight_names)


def _table(found: Sequence[tuple[Pruned, Pruned]]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    rows = []
    for pair in found:
        for p in pair:
            loss = paired(p.cut, p.whole).text(sign=True)
            rows.append(
                (p.name, t_interval(p.left).text(digits=1), t_interval(p.whole).text(), t_interval(p.cut).text(), loss)
            )
    return ("trained", "weights left %", "whole %", "cut %", "cut, minus whole"), rows


def _remark(found: Sequence[tuple[Pruned, Pruned]]) -> str:
    lines = []
    for sparse, plain in found:
        words = {"above": "better than", "below": "worse than", "not told apart": "not told apart from"}
        cut_, whole = (words[direction(paired(getattr(sparse, n), getattr(plain, n)))] for n in ("cut", "whole"))
        lines.append(
            f"{sparse.name}: with {t_interval(sparse.left).text(digits=1)} % of the weights left it is {cut_} the plain net cut "
            f"to as many; whole, it is {whole} the plain net."
        )
    return "\n".join(lines)


def _picture(kl_weights: Sequence[float], found: Sequence[tuple[Pruned, Pruned]]) -> Figure:
    n_layers = len(found[0][0].histogram)
    figure, axes = new_figure(n_layers, width=4.2)
    figure.get_layout_engine().set(w_pad=0.12)
    for layer, ax in enumerate(axes):
        for colour, weight, (sparse, _) in zip(COLOURS, kl_weights, found):
            share = 100 * sparse.histogram[layer] / sparse.histogram[layer].sum()
            ax.stairs(share, BINS, color=colour, label=f"divergence times {weight:g}", fill=True, alpha=0.2)
            ax.stairs(share, BINS, color=colour, linewidth=1.3)
        ax.axvline(PRUNE_ABOVE, color="0.3", linestyle="--", linewidth=1.2)
        ax.set(xlabel="log alpha", ylabel="weights in %", title=f"layer {layer + 1}")
    axes[0].legend(frameon=False, fontsize=9)
    return figure

"""Broken lottery tickets, as they have been seen in public code. Each of these must fail the test named after its bug.

A bug here is something put in the place of a function of the library, by the name under which the library calls it:
so the checks run the very code that trains, prunes and rewinds, with one mistake in it. Nothing here is used elsewhere.
"""

from __future__ import annotations

import numpy as np

from numpynet import optimizers, parameters, training, training_checks
from numpynet.lottery import controls
from numpynet.lottery.ticket import Ticket, load_ticket
from numpynet.parameters import Parameters

# ---- A16 to A20: training under a mask ---------------------------------------------------------------------------------


def negative_weights_frozen(theta, gradients, *args, **kwargs):
    """A16: where(w < EPS, 0, grad), and the absolute value is forgotten."""
    kept = Parameters(np.where(theta.vector < 1e-6, 0.0, gradients.vector), theta.layout)
    optimizers.update(theta, kept, *args, **kwargs)


def no_mask_in_training(state, known):
    """A17: the mask is forgotten after the start, so the net is dense again."""
    state.weight_mask = None
    return


def only_the_gradient_masked(theta, gradients, optimizer, state, lr, *, decay=None, weight_mask=None):
    """A18: what the optimizer remembers moves dead weights, although their gradient is 0."""
    optimizers.update(theta, gradients, optimizer, state, lr, decay=decay)


def decay_of_raw_weights(theta, gradients, optimizer, state, lr, *, decay=None, weight_mask=None):
    """A19: decay pulls on every weight that is stored, also on those that the mask keeps out of the training."""
    raw = theta.copy()
    optimizers.update(theta, gradients, optimizer, state, lr, decay=decay, weight_mask=weight_mask)
    if weight_mask is not None:
        theta += (1 - weight_mask) * raw * (-lr * (decay.coupled + decay.decoupled))


def dense_gradients(gradients, mask):
    """A20: the gradient of the dense weights reaches the clipping; the projection afterwards cannot mend that."""


# ---- A21 to A25: rewinding ---------------------------------------------------------------------------------------------


class NoRewind:
    """A21: every level goes on from where the last one ended."""

    def __init__(self) -> None:
        self.last = None

    def __call__(self, net, plan, split, *, theta_0, **options):
        start = theta_0 if self.last is None else self.last.theta
        self.last = training.begin(net, plan, split, theta_0=start, **options)
        return self.last


class BiasesStay(NoRewind):
    """A21: weights are rewound, biases are not."""

    def __call__(self, net, plan, split, *, theta_0, **options):
        start = theta_0.copy()
        for name in net.layout.bias_names:
            if self.last is not None:
                start[name] = self.last.theta[name]
        self.last = training.begin(net, plan, split, theta_0=start, **options)
        return self.last


def start_that_is_live(net, theta_0, dtype, replicates):
    """A22: theta_0 itself is trained."""
    return theta_0


def start_of_live_biases(net, theta_0, dtype, replicates):
    """A22: weights are copied, biases are views of the saved start."""
    copied = training_checks.own_start(net, theta_0, dtype, replicates)
    live = parameters.Parameters(copied.vector, net.layout)
    for name in net.layout.bias_names:
        live._views[name] = theta_0[name]
    return live


class OptimizerSurvives:
    """A23: one optimizer for all levels."""

    def __init__(self) -> None:
        self.memory = None

    def __call__(self, *args, **options):
        state = training.begin(*args, **options)
        self.memory = state.optimizer = self.memory or state.optimizer
        return state


class StreamsGoOn:
    """A24: the order of the data goes on where the last level left it."""

    def __init__(self) -> None:
        self.streams = {}

    def __call__(self, seed, purpose, draw=0):
        return self.streams.setdefault((seed, purpose, draw), training.streams(seed)._asdict()[purpose])


def unseeded(seed, purpose, draw=0):
    """A24: nobody has seeded it."""
    return np.random.default_rng()


class ScheduleGoesOn:
    """A24: the learning rate is not rewound."""

    def __init__(self) -> None:
        self.levels = 0

    def __call__(self, net, plan, split, **options):
        state = training.begin(net, plan, split, **options)
        state.plan = training.replace(plan, schedule=lambda t, done=self.levels * 11: 0.05 / (1 + t + done))
        self.levels += 1
        return state


def stops_at_a_round_number(state, split, *, until=None, **options):
    """A25: the last checkpoint is that of step 8 of 11."""
    yield from training.train(state, split, until=8 if until is None else until, **options)


# ---- A26 to A29: controls ----------------------------------------------------------------------------------------------


def shuffle_of_a_copy(rng, mask):
    """A26: the permuted array is bound to a local name, and thrown away."""
    for name in mask.layout.weight_names:
        layer = mask[name].reshape(-1)
        layer = rng.permutation(layer)


def one_key_for_all_layers(rng, mask):
    """A27: every layer gets the permutation of the same seed."""
    seed = int(rng.integers(2**31))
    for name in mask.layout.weight_names:
        flat = mask[name].reshape(-1)
        flat[...] = np.random.default_rng(seed).permutation(flat)


def calls_what_is_not_there(rng, mask):
    """A28: the control has never been run."""
    return controls.shuffle_this(mask)


def permuted_for_fresh(net, rng, **options):
    """A29: "re-initialised" is a permutation of the initial weights."""
    theta_0 = net.init([controls.stream(s, "init") for s in (3, 4)], **options)
    return controls.permuted_init(theta_0, rng)


# ---- A32, A34: accuracy and density ------------------------------------------------------------------------------------


def whole_batches_alone(net, theta, split, *, weight_mask=None, batch_size=2000):
    """A32: what does not fill a batch is left out, and the sum is divided by all."""
    right = 0
    for start in range(0, len(split.x) - batch_size + 1, batch_size):
        x, y = split.x[start : start + batch_size], split.y[start : start + batch_size]
        right += int((net.predict(theta, x, weight_mask=weight_mask) == y).sum())
    return 0.0, right / len(split.x)


def mask_read_off_the_weights(path, net=None):
    """A34: the file holds weights, and whoever is not 0 is alive; all of theta_0 is."""
    loaded = load_ticket(path, net)
    mask = Parameters((loaded.theta_0.vector != 0).astype(float), loaded.net.layout)
    for name in loaded.net.layout.bias_names:
        mask[name][...] = 1
    return Ticket(loaded.net, loaded.theta_0, mask, loaded.origin)


def density_of_everything(mask):
    """A34: biases are counted as well."""
    return float(mask.vector.mean())

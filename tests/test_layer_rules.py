"""Every kind of dropout in a network: its gradients, its training, its checkpoints, without a special case."""

import pickle

import numpy as np
import pytest

from numpynet.checkpoints import load_checkpoint, save_checkpoint
from numpynet.data.dataset import Split
from numpynet.equations import relu, sigmoid, softmax_cross_entropy, tanh
from numpynet.equations.alpha_dropout import alpha_dropout_scale
from numpynet.equations.keep_schedules import Curriculum, Early, Late
from numpynet.equations.r_drop import r_drop, r_drop_loss
from numpynet.equations.selu import SELU_FLOOR
from numpynet.equations.targeted_dropout import unit_candidates, weight_candidates
from numpynet.gradcheck.numeric import complex_step
from numpynet.layer_rules import (
    alpha_dropout,
    dropconnect,
    gaussian_dropout,
    plain_layer,
    standout,
    targeted_unit_dropout,
    targeted_weight_dropout,
    unit_dropout,
    variational_dropout,
)
from numpynet.network import MLP
from numpynet.optimizers import Momentum
from numpynet.parameters import Parameters
from numpynet.plan import TrainingPlan
from numpynet.storage import StorageError
from numpynet.training import begin, train
from tests.checks import assert_close
from tests.dropout.bounds import chi_squared, hoeffding

RULES = [
    plain_layer(),
    unit_dropout(0.8),
    unit_dropout(0.8, shared=True),
    dropconnect(0.7),
    dropconnect(0.7, shared=True),
    gaussian_dropout(0.6),
    variational_dropout(-0.7),
    alpha_dropout(0.9),
    targeted_weight_dropout(0.6, 0.7),
    targeted_unit_dropout(0.6, 0.7),
    standout(1.3, 0.4),
]
SIZES = (6, 7, 5, 4)
RNG = np.random.default_rng(5)
SPLIT = Split(RNG.standard_normal((40, 6)).astype(np.float32), RNG.integers(0, 4, 40))
every_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name.split("(")[0])


def net_with(rule, activation=tanh) -> MLP:
    """The rule in the middle, between two others."""
    return MLP(SIZES, activation=activation, rules=(unit_dropout(0.9), rule, None))


def masked(net: MLP, rng: np.random.Generator) -> tuple[Parameters, Parameters]:
    theta = Parameters(rng.standard_normal(net.layout.size), net.layout)
    mask = Parameters.ones(net.layout, dtype=np.float64)
    for name in net.layout.weight_names:
        mask[name][:] = rng.random(mask[name].shape) < 0.7
    return theta, mask


def loss_and_gradients(net, vector, mask, noise, x, labels):
    theta = Parameters(vector, net.layout)
    logits, caches = net.forward(theta, x, weight_mask=mask, unit_masks=noise)
    loss, cache = softmax_cross_entropy.forward(logits, labels)
    return loss, net.backward(softmax_cross_entropy.backward(1.0, cache), caches)


@every_rule
@pytest.mark.parametrize("activation", [relu, tanh], ids=lambda activation: activation.name)
@pytest.mark.parametrize("training", [True, False])
def test_every_parameter_against_the_complex_step(rule, activation, training):
    rng = np.random.default_rng(3)
    net = net_with(rule, activation)
    theta, mask = masked(net, rng)
    x, labels = rng.standard_normal((8, 6)), rng.integers(0, 4, 8)
    noise = net.sample_unit_masks(rng, (8,), dtype=np.float64) if training else None
    _, gradients = loss_and_gradients(net, theta.vector, mask, noise, x, labels)
    numeric = complex_step(lambda v: loss_and_gradients(net, v, mask, noise, x, labels)[0], theta.vector)
    np.testing.assert_allclose(gradients.vector, numeric, rtol=0, atol=1e-12 * np.abs(numeric).max())
    assert not gradients.vector[mask.vector == 0].any()


SHAPES = [  # of the noise for N = 5 examples, 4 inputs and 3 outputs, behind the axes of the samples
    (unit_dropout(0.8), (5, 4)),
    (unit_dropout(0.8, shared=True), (1, 4)),
    (dropconnect(0.7), (5, 4, 3)),
    (dropconnect(0.7, shared=True), (1, 4, 3)),
    (gaussian_dropout(0.6), (5, 4)),
    (variational_dropout(-0.7), (5, 3)),
    (alpha_dropout(0.9), (5, 4)),
    (targeted_weight_dropout(0.6, 0.7), (4, 3)),
    (targeted_unit_dropout(0.6, 0.7), (5, 3)),
    (standout(1.3, 0.4), (5, 3)),
]


@pytest.mark.equation("D8")
@pytest.mark.parametrize(("rule", "shape"), SHAPES, ids=lambda value: getattr(value, "name", ""))
def test_the_noise_is_drawn_for_each_example_unless_the_batch_shares_it(rule, shape):
    """Of every sample anew; a shared mask is one row, which the layer broadcasts."""
    for lead in ((), (2,), (6, 2)):
        noise = rule.sample(np.random.default_rng(7), (*lead, 5), 4, 3, dtype=np.float64)
        assert noise.shape == lead + shape
        assert noise.dtype == np.float64
    assert not np.array_equal(noise[0], noise[1])


# Each rule, and what its settings make of the noise: by hand, or by the equation with the settings named.
A, C = alpha_dropout_scale(0.9)
WIRED = [
    (unit_dropout(0.8), lambda x, W, b, d: (d * x / 0.8) @ W + b),
    (dropconnect(0.7), lambda x, W, b, d: np.einsum("ni,nij->nj", x, d * W / 0.7) + b),
    (gaussian_dropout(0.6), lambda x, W, b, xi: (xi * x) @ W + b),
    (variational_dropout(-0.7), lambda x, W, b, e: x @ W + b + np.sqrt(x**2 @ (np.exp(-0.7) * W**2)) * e),
    (alpha_dropout(0.9), lambda x, W, b, d: (A * (d * x + SELU_FLOOR * (1 - d)) + C) @ W + b),
    (
        targeted_weight_dropout(0.6, 0.7),
        lambda x, W, b, u: x @ (~(weight_candidates(W, 0.6) & (u < 0.7)) * W) + b,
    ),
    (
        targeted_unit_dropout(0.6, 0.7),
        lambda x, W, b, u: ~(unit_candidates(W, 0.6) & (u < 0.7)) * (x @ W + b),
    ),
    (standout(1.3, 0.4), lambda x, W, b, u: (u < 1 / (1 + np.exp(-1.3 * (x @ W) - 0.4))) * (x @ W + b)),
]


@pytest.mark.equation("D1", "D17", "D18", "D19", "D21", "D22", "D26")
@pytest.mark.parametrize(("rule", "expected"), WIRED, ids=lambda value: getattr(value, "name", ""))
def test_a_rule_uses_its_settings(rule, expected):
    rng = np.random.default_rng(8)
    x, W, b = rng.normal(size=(20, 6)), rng.normal(size=(6, 5)), rng.normal(size=5)
    noise = rule.sample(rng, (20,), 6, 5, dtype=np.float64)
    z, _ = rule.forward(x, W, b, noise)
    assert_close(z, expected(x, W, b, noise))


@pytest.mark.equation("D6", "D18")
@pytest.mark.parametrize(
    ("rule", "q"),
    [(unit_dropout(0.8), 0.8), (dropconnect(0.7), 0.7), (alpha_dropout(0.9), 0.9)],
    ids=lambda value: getattr(value, "name", ""),  # not str: it holds addresses, which differ between workers
)
def test_a_rule_draws_with_its_keep_prob(rule, q):
    noise = rule.sample(np.random.default_rng(9), (400,), 30, 20, dtype=np.float32)
    assert abs(noise.mean(dtype=np.float64) - q) <= hoeffding(noise.size)


@pytest.mark.equation("D18")
def test_gaussian_noise_of_a_rule_has_the_variance_of_its_keep_prob():
    noise = gaussian_dropout(0.6).sample(np.random.default_rng(9), (2000,), 30, 20, dtype=np.float64)
    assert abs(((noise - 1) ** 2).mean() / ((1 - 0.6) / 0.6) - 1) <= chi_squared(noise.size)


@every_rule
def test_a_network_that_was_used_can_be_pickled(rule):
    net = net_with(rule)
    theta, mask = masked(net, np.random.default_rng(1))
    x = np.random.default_rng(2).standard_normal((8, 6))
    noise = net.sample_unit_masks(np.random.default_rng(3), (8,), dtype=np.float64)
    logits, _ = net.forward(theta, x, weight_mask=mask, unit_masks=noise)
    again, _ = pickle.loads(pickle.dumps(net)).forward(theta, x, weight_mask=mask, unit_masks=noise)
    assert np.array_equal(logits, again)


@every_rule
def test_a_stack_of_samples_is_a_stack_of_calls(rule):
    rng = np.random.default_rng(4)
    net = net_with(rule)
    theta, mask = masked(net, rng)
    x = rng.standard_normal((8, 6))
    noise = net.sample_unit_masks(rng, (3, 8), dtype=np.float64)
    logits, _ = net.forward(theta, x, weight_mask=mask, unit_masks=noise)
    assert logits.shape == (3, 8, 4)
    for t in range(3):
        single, _ = net.forward(theta, x, weight_mask=mask, unit_masks=[n if n is None else n[t] for n in noise])
        np.testing.assert_allclose(logits[t], single, rtol=0, atol=1e-12)


@every_rule
@pytest.mark.parametrize("seed", [2, (2, 9, 4)])
def test_training_stays_finite_and_repeats_and_each_replicate_is_a_single_run(rule, seed):
    net = net_with(rule, relu)
    plan = TrainingPlan(steps=12, batch_size=9, optimizer=Momentum(), schedule=0.05)

    def trained(s):
        state = begin(net, plan, SPLIT, seed=s)
        records = list(train(state, SPLIT, monitors={"train": SPLIT}))
        return state.theta.vector, records

    theta, records = trained(seed)
    again, _ = trained(seed)
    assert theta.dtype == np.float32 and np.isfinite(theta).all() and np.array_equal(theta, again)
    assert records[-1].step == 12
    if isinstance(seed, tuple):
        for r, s in enumerate(seed):
            np.testing.assert_allclose(theta[r], trained(s)[0], rtol=2e-5, atol=2e-6)


@every_rule
def test_the_noise_of_a_rule_changes_the_training(rule):
    plan = TrainingPlan(steps=5, batch_size=9, schedule=0.1)
    thetas = []
    for middle in (rule, None):
        state = begin(MLP(SIZES, rules=(None, middle, None)), plan, SPLIT)
        list(train(state, SPLIT))
        thetas.append(state.theta.vector)
    assert np.array_equal(*thetas) == (rule.sample is None)


@every_rule
def test_a_resumed_training_ends_with_the_same_bits(rule, tmp_path):
    net = net_with(rule, relu)
    plan = TrainingPlan(steps=12, batch_size=9, schedule=0.05, evaluate_every=4)
    whole = begin(net, plan, SPLIT)
    list(train(whole, SPLIT))
    part = begin(net, plan, SPLIT)
    for record in train(part, SPLIT):
        if record.step == 8:
            break
    save_checkpoint(tmp_path / "c.npz", part, SPLIT)
    resumed = load_checkpoint(tmp_path / "c.npz", net, plan, SPLIT)
    list(train(resumed, SPLIT))
    assert np.array_equal(whole.theta.vector, resumed.theta.vector)
    other = MLP(SIZES, rules=(unit_dropout(0.5), rule, None))
    with pytest.raises(StorageError, match="rules"):
        load_checkpoint(tmp_path / "c.npz", other, plan, SPLIT)


def test_keep_prob_is_the_rule_of_unit_dropout():
    one = MLP(SIZES, keep_prob=0.7)
    two = MLP(SIZES, rules=(None, unit_dropout(0.7), unit_dropout(0.7)))
    plan = TrainingPlan(steps=9, batch_size=9, schedule=0.1)
    thetas = []
    for net in (one, two):
        state = begin(net, plan, SPLIT)
        list(train(state, SPLIT))
        thetas.append(state.theta.vector)
    assert np.array_equal(*thetas)


@pytest.mark.equation("D25")
def test_after_an_early_cut_off_training_is_plain_training():
    """Both halves, through the training loop: dropout while it lasts, then the steps of a net without it."""
    net, cut, after = MLP(SIZES, keep_prob=0.8), 6, 7
    early = TrainingPlan(
        steps=cut + after, batch_size=9, schedule=0.1, evaluate_every=cut, keep_schedule=Early(0.8, steps=cut)
    )
    constant = TrainingPlan(steps=cut, batch_size=9, schedule=0.1, evaluate_every=cut)
    scheduled, plain = begin(net, early, SPLIT), begin(net, constant, SPLIT)
    list(train(plain, SPLIT))
    for record in train(scheduled, SPLIT):
        if record.step == cut:
            assert np.array_equal(scheduled.theta.vector, plain.theta.vector)
    # go on without dropout from there: the same optimizer, order and place
    plain.net, plain.plan = MLP(SIZES), TrainingPlan(steps=cut + after, batch_size=9, schedule=0.1)
    list(train(plain, SPLIT))
    assert np.array_equal(scheduled.theta.vector, plain.theta.vector)


def test_a_keep_schedule_draws_also_where_it_keeps_all():
    """So that runs which differ in their schedule alone meet the same uniform numbers at every step."""
    streams = []
    for schedule in (None, Early(0.8, steps=2), Late(0.8, steps=2), Late(0.8, steps=50)):
        plan = TrainingPlan(steps=5, batch_size=9, schedule=0.1, keep_schedule=schedule)
        state = begin(MLP(SIZES, keep_prob=0.8), plan, SPLIT)
        before = [rng.bit_generator.state for rng in state.dropout_rngs]
        list(train(state, SPLIT))
        streams.append([rng.bit_generator.state for rng in state.dropout_rngs])
        assert streams[-1] == streams[0] != before
    net = MLP(SIZES)  # without a keep_prob of its own, too: the schedule sets it
    state = begin(net, TrainingPlan(steps=5, batch_size=9, schedule=0.1, keep_schedule=Late(0.8, steps=2)), SPLIT)
    list(train(state, SPLIT))
    assert [rng.bit_generator.state for rng in state.dropout_rngs] == streams[0]


def test_a_keep_schedule_survives_a_checkpoint_and_is_part_of_it(tmp_path):
    net = MLP(SIZES, keep_prob=0.8)
    plan = TrainingPlan(
        steps=12, batch_size=9, schedule=0.1, evaluate_every=3, keep_schedule=Curriculum(0.6, gamma=0.2)
    )
    whole = begin(net, plan, SPLIT)
    list(train(whole, SPLIT))
    part = begin(net, plan, SPLIT)
    for record in train(part, SPLIT):
        if record.step == 6:
            break
    save_checkpoint(tmp_path / "c.npz", part, SPLIT)
    resumed = load_checkpoint(tmp_path / "c.npz", net, plan, SPLIT)
    list(train(resumed, SPLIT))
    assert np.array_equal(whole.theta.vector, resumed.theta.vector)
    with pytest.raises(StorageError, match="keep_schedule"):
        load_checkpoint(
            tmp_path / "c.npz", net, TrainingPlan(steps=12, batch_size=9, schedule=0.1, evaluate_every=3), SPLIT
        )


@pytest.mark.equation("D23")
def test_r_drop_in_the_training_loop_is_the_loss_of_two_passes():
    rng = np.random.default_rng(8)
    logits, labels = rng.standard_normal((2, 5, 4)), rng.integers(0, 4, 5)
    stacked, flat = r_drop_loss(0.7), r_drop(0.7)
    loss, cache = stacked.forward(logits, labels)
    flat_loss, flat_cache = flat.forward(logits.reshape(10, 4), np.concatenate([labels, labels]))
    assert loss == flat_loss
    assert np.array_equal(stacked.backward(0.3, cache).reshape(10, 4), flat.backward(0.3, flat_cache))
    with pytest.raises(ValueError, match="two passes"):
        flat.forward(logits.reshape(10, 4), np.arange(10) % 4)


@pytest.mark.parametrize("seed", [1, (1, 6)])
def test_training_with_r_drop(seed):
    """With weight 0 and without dropout both passes agree: it is plain training, up to the order of the sums."""
    plain = TrainingPlan(steps=20, batch_size=10, schedule=0.2, dtype="float64")
    with_r_drop = TrainingPlan(steps=20, batch_size=10, schedule=0.2, dtype="float64", loss=r_drop(0.0))
    split = Split(SPLIT.x.astype(np.float64), SPLIT.y)
    thetas = []
    for plan in (plain, with_r_drop):
        state = begin(MLP(SIZES), plan, split, seed=seed)
        records = list(train(state, split, monitors={"train": split}))
        thetas.append(state.theta.vector)
        assert np.isfinite(records[-1].loss["train"]).all()
    np.testing.assert_allclose(*thetas, rtol=0, atol=1e-12)
    # with dropout and a weight the two subnetworks are drawn together
    gaps = []
    for weight in (0.0, 5.0):
        net = MLP(SIZES, keep_prob=0.6)
        state = begin(net, TrainingPlan(steps=200, batch_size=10, schedule=0.2, loss=r_drop(weight)), SPLIT, seed=1)
        list(train(state, SPLIT))
        noise = net.sample_unit_masks(np.random.default_rng(0), (2, 40))
        two, _ = net.forward(state.theta, SPLIT.x, unit_masks=noise)
        gaps.append(float(np.square(two[0] - two[1]).mean()))
    assert gaps[1] < gaps[0] / 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rules": (None, None)}, "rules has 2 entries"),
        ({"rules": (None, 0.8, None)}, r"rules\[1\] must be a LayerRule"),
        ({"rules": (None, None, None), "keep_prob": 0.8}, "keep_prob is 0.8 and rules are given"),
        ({"rules": (None, standout(), None), "activation": sigmoid}, "silences units of layer 2"),
        ({"rules": (None, None, targeted_unit_dropout(0.5, 0.5))}, "silences units of layer 3"),
    ],
)
def test_rules_that_do_not_fit(arguments, message):
    with pytest.raises((ValueError, TypeError), match=message):
        MLP(SIZES, **arguments)


@pytest.mark.parametrize("make", [unit_dropout, dropconnect, gaussian_dropout, alpha_dropout])
@pytest.mark.parametrize("keep_prob", [0.0, 1.2, float("nan"), "0.8"])
def test_a_keep_prob_that_is_none(make, keep_prob):
    with pytest.raises((ValueError, TypeError), match="keep_prob"):
        make(keep_prob)


@every_rule
def test_noise_of_the_wrong_shape_is_refused(rule):
    if rule.sample is None:
        return
    net = net_with(rule)
    theta, _ = masked(net, np.random.default_rng(0))
    noise = net.sample_unit_masks(np.random.default_rng(0), (8,), dtype=np.float64)
    noise[1] = noise[1][..., :-1]
    with pytest.raises(ValueError, match=r"shape|must be"):
        net.forward(theta, np.zeros((8, 6)), unit_masks=noise)


def test_a_keep_schedule_needs_one_keep_prob():
    plan = TrainingPlan(steps=3, batch_size=9, keep_schedule=Early(0.8, steps=2))
    for net in (MLP(SIZES, keep_prob=(0.9, 0.8, 0.7)), MLP(SIZES, rules=(None, unit_dropout(0.8), None))):
        with pytest.raises(ValueError, match="keep_schedule"):
            begin(net, plan, SPLIT)
    with pytest.raises(TypeError, match="keep_schedule"):
        TrainingPlan(steps=3, keep_schedule=0.8)

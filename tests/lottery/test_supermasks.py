"""Learned masks: the gradients of the scores against the complex step for a fixed sample, the draw, the loop."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpynet.data import Split, load_digits, load_mnist1d
from numpynet.equations.losses import softmax_cross_entropy
from numpynet.gradcheck.numeric import complex_step
from numpynet.lottery.actions import signed_constant
from numpynet.lottery.edge_popup import EdgePopup, edge_popup_backward, edge_popup_mask
from numpynet.lottery.score_training import evaluate_scores, learn_scores
from numpynet.lottery.supermasks import (
    Bernoulli,
    keep_probabilities,
    sample_supermask,
    supermask_backward,
    supermask_forward,
    threshold_supermask,
)
from numpynet.network import MLP
from numpynet.optimizers import Adam
from numpynet.parameters import Parameters
from numpynet.plan import TrainingPlan
from numpynet.pruning import alive_counts, survivors, weight_density
from numpynet.seeding import stream
from numpynet.training import TrainingDiverged, evaluate
from tests.checks import assert_close
from tests.lottery.small import NET, PLAN, plan_with, same, split_of, theta_of
from tests.strategies import seeds

pytestmark = pytest.mark.filterwarnings("ignore::numpynet.pruning.DisconnectedWarning")  # a density of 0 is one too

WEIGHTS, BIASES = NET.layout.weight_names, NET.layout.bias_names


def drawn(seed: int):
    """Frozen parameters, scores, and a mask drawn from them, none of it 0 or trivial."""
    theta, scores = theta_of(seed), 2 * theta_of(seed + 1)
    uniform = np.random.default_rng([seed, 8]).random(NET.layout.size)
    return theta, scores, sample_supermask(scores, uniform)


def loss_of(effective: Parameters, split: Split, unit_masks=None):
    logits, caches = NET.forward(effective, split.x, unit_masks=unit_masks)
    loss, cache = softmax_cross_entropy.forward(logits, split.y)
    return loss, lambda: NET.backward(softmax_cross_entropy.backward(1.0, cache), caches)


def sigma(x):
    return 1 / (1 + np.exp(-x))


# ---- gradients ---------------------------------------------------------------------------------------------------------


@pytest.mark.equation("P13")
@given(seeds, st.booleans(), st.booleans())
def test_the_gradient_of_the_scores_is_that_of_the_surrogate(seed, rescale, dropout):
    """m + sigma(S) - sigma(S_0) equals m at S_0 and has the slope that straight-through gives it."""
    theta, scores, mask = drawn(seed)
    split = split_of(seed, 9)
    unit_masks = NET.sample_unit_masks(stream(seed, "dropout"), (9,), dtype=np.float64) if dropout else None

    def surrogate(vector):
        moved = Parameters(mask.vector + sigma(vector) - sigma(scores.vector), NET.layout)
        for name in BIASES:
            moved[name][...] = 1
        return loss_of(supermask_forward(theta, moved, rescale=rescale)[0], split, unit_masks)[0]

    effective, cache = supermask_forward(theta, mask, rescale=rescale)
    loss, backward = loss_of(effective, split, unit_masks)
    assert_close(loss, surrogate(scores.vector))
    d_scores = supermask_backward(backward(), scores, cache)
    assert_close(d_scores.vector, complex_step(surrogate, scores.vector))
    assert not any(d_scores[name].any() for name in BIASES)


@pytest.mark.equation("P13")
def test_without_the_term_through_the_sum_the_rescaled_gradient_would_be_wrong():
    theta, scores, mask = drawn(1)
    effective, cache = supermask_forward(theta, mask, rescale=True)
    G = loss_of(effective, split_of(1, 9))[1]()
    right = supermask_backward(G, scores, cache)
    probability = sigma(scores["W1"])
    n = mask["W1"].size
    naive = n / mask["W1"].sum() * G["W1"] * theta["W1"] * probability * (1 - probability)
    assert np.abs(naive - right["W1"]).max() > 1e-4 * np.abs(right["W1"]).max()


@pytest.mark.equation("P15")
@given(seeds, st.sampled_from([0.1, 0.3, 0.7, 1.0]))
def test_the_gradient_of_edge_popup_is_that_of_its_surrogate(seed, density):
    """m + |S| - |S_0|, with |S| = S sign(S_0) near S_0: the selection passed over, the absolute value not."""
    theta, scores, split = theta_of(seed), theta_of(seed + 1), split_of(seed, 9)
    mask = edge_popup_mask(scores, density)

    def surrogate(vector):
        moved = Parameters(mask.vector + vector * np.sign(scores.vector) - np.abs(scores.vector), NET.layout)
        for name in BIASES:
            moved[name][...] = 1
        return loss_of(supermask_forward(theta, moved)[0], split)[0]

    G = loss_of(theta * mask, split)[1]()
    d_scores = edge_popup_backward(G, scores, theta)
    assert_close(d_scores.vector, complex_step(surrogate, scores.vector))
    left_out = mask["W2"] == 0
    assert density == 1 or d_scores["W2"][left_out].any()  # what took no part learns as well


# ---- masks -------------------------------------------------------------------------------------------------------------


@pytest.mark.equation("P15")
@given(seeds, st.floats(0, 1))
def test_edge_popup_keeps_the_exact_share_with_the_largest_scores(seed, density):
    scores = theta_of(seed)
    mask = edge_popup_mask(scores, density)
    for name in WEIGHTS:
        assert mask[name].sum() == survivors(density, mask[name].size)
        kept, gone = np.abs(scores[name])[mask[name] == 1], np.abs(scores[name])[mask[name] == 0]
        assert not kept.size or not gone.size or kept.min() >= gone.max()
    assert all((mask[name] == 1).all() for name in BIASES)
    assert same(mask, edge_popup_mask(-scores, density))


@pytest.mark.equation("P13", "M6")
def test_a_supermask_keeps_each_weight_with_its_probability():
    """20000 masks of one net: every weight within five standard deviations of sigma(s); biases always."""
    scores, n = 2 * theta_of(3), 20_000
    uniform = np.random.default_rng(0).random((n, NET.layout.size), np.float32)
    masks = sample_supermask(scores, uniform)
    p = keep_probabilities(scores)
    assert set(np.unique(masks.vector)) == {0, 1}
    deviation = np.abs(masks.vector.mean(axis=0) - p.vector)
    assert (deviation <= 5 * np.sqrt(p.vector * (1 - p.vector) / n)).all()
    assert all((masks[name] == 1).all() and (p[name] == 1).all() for name in BIASES)


@given(seeds)
def test_thresholding_is_sampling_with_one_half(seed):
    scores = theta_of(seed)
    assert same(threshold_supermask(scores), sample_supermask(scores, np.full(NET.layout.size, 0.5)))


@pytest.mark.equation("M6", "P13")
@given(seeds)
def test_the_expected_net_is_the_mean_of_one_layer(seed):
    """For a single linear layer the mean over masks of the output is the output of the expected net."""
    theta, scores, _ = drawn(seed)
    masks = sample_supermask(scores, np.random.default_rng(seed).random((4000, NET.layout.size)))
    x = split_of(seed, 3).x
    mean = (x @ (masks["W1"] * theta["W1"])).mean(axis=0)
    expected = x @ supermask_forward(theta, keep_probabilities(scores))[0]["W1"]
    assert np.abs(mean - expected).max() < 6 * np.abs(x).sum() * np.abs(theta["W1"]).max() / np.sqrt(4000)


@given(seeds)
def test_rescaling_gives_each_layer_the_weight_it_had(seed):
    theta, _, mask = drawn(seed)
    effective, _ = supermask_forward(theta, mask, rescale=True)
    for name in WEIGHTS:
        assert_close(effective[name], theta[name] * mask[name] * mask[name].size / mask[name].sum())
    assert all(np.array_equal(effective[name], theta[name]) for name in BIASES)


def test_a_layer_without_weights_is_not_rescaled():
    theta, scores, mask = drawn(0)
    mask["W2"][...] = 0
    effective, cache = supermask_forward(theta, mask, rescale=True)
    assert not effective["W2"].any() and np.isfinite(effective.vector).all()
    assert np.isfinite(supermask_backward(theta, scores, cache).vector).all()


# ---- the loop ----------------------------------------------------------------------------------------------------------

LAWS = [Bernoulli(), Bernoulli(rescale=True), EdgePopup(0.4)]


@pytest.mark.parametrize("law", LAWS, ids=repr)
def test_scores_learn_and_weights_do_not(law):
    split, theta = split_of(0), theta_of(0)
    before = theta.copy()
    records = list(learn_scores(law, NET, plan_with(steps=40, schedule=0.1), theta, split, seed=3))
    assert same(theta, before)
    assert [r.step for r in records] == [*range(0, 41, 4)] and records[0].batch_loss is None
    assert not np.array_equal(records[0].scores.vector, records[-1].scores.vector)
    assert not any(np.array_equal(records[0].scores[name], records[-1].scores[name]) for name in WEIGHTS)
    assert all(not records[-1].scores[name].any() for name in BIASES)
    again = list(learn_scores(law, NET, plan_with(steps=40, schedule=0.1), theta, split, seed=3))
    assert [same(a.scores, b.scores) for a, b in zip(records, again)] == [True] * len(records)


@pytest.mark.parametrize("law", LAWS, ids=repr)
def test_replicates_learn_as_they_would_alone(law):
    split, theta = split_of(0), theta_of(0, (2,))
    *_, both = learn_scores(law, NET, PLAN, theta, split, seed=[3, 8])
    for r, seed in enumerate((3, 8)):
        *_, alone = learn_scores(law, NET, PLAN, theta.replicate(r), split, seed=seed)
        np.testing.assert_allclose(both.scores.vector[r], alone.scores.vector, rtol=1e-9, atol=1e-12)


def test_bernoulli_scores_start_at_a_coin_and_edge_popup_scores_within_their_limit():
    *_, first = [next(learn_scores(Bernoulli(), NET, PLAN, theta_of(0), split_of(0)))]
    assert not first.scores.vector.any()
    first = next(learn_scores(EdgePopup(0.5), NET, PLAN, theta_of(0), split_of(0)))
    for name in WEIGHTS:
        limit = 1 / np.sqrt(NET.layout.shapes[name][0])
        assert limit / 2 < np.abs(first.scores[name]).max() <= limit


def test_a_diverged_run_says_so():
    theta = theta_of(0)
    theta["b3"][0] = np.finfo(np.float64).max
    theta["W3"][...] = np.finfo(np.float64).max / 4
    with pytest.raises(TrainingDiverged, match=r"the loss is (inf|nan) at step \d of learning a mask"):
        list(learn_scores(Bernoulli(), NET, PLAN, theta, split_of(0)))


def test_evaluation_says_how_and_ways_differ():
    theta, scores, _ = drawn(2)
    split = split_of(4, 50)
    how = {
        "sampled": evaluate_scores(NET, theta, scores, split, "sampled", rng=np.random.default_rng(0), samples=20),
        "threshold": evaluate_scores(NET, theta, scores, split, "threshold"),
        "expected": evaluate_scores(NET, theta, scores, split, "expected"),
    }
    assert len({loss for loss, _ in how.values()}) == 3
    one = evaluate_scores(NET, theta, scores, split, "sampled", rng=np.random.default_rng(0), samples=1)
    assert one != how["sampled"]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: evaluate_scores(NET, theta_of(0), theta_of(1), split_of(0), "mean"), ValueError, "how is 'mean'"),
        (lambda: evaluate_scores(NET, theta_of(0), theta_of(1), split_of(0), "sampled"), TypeError, "have to be drawn"),
        (lambda: EdgePopup(1.2), ValueError, "density is 1.2"),
        (lambda: EdgePopup("half"), TypeError, "density must be a number"),
        (
            lambda: next(learn_scores(Bernoulli(), MLP((5, 3)), PLAN, theta_of(0), split_of(0))),
            ValueError,
            "theta_0 must",
        ),
    ],
)
def test_wrong_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_mask_is_found_in_a_random_net_of_the_digits():
    """Weights that were never trained, chance 10 %: the masks of a few hundred steps are right three times out of four."""
    data, net = load_digits(), MLP((64, 60, 10))
    theta = signed_constant(net.init(stream(0, "init")))
    plan = TrainingPlan(epochs=10, optimizer=Adam(), schedule=0.1)
    *_, bernoulli = learn_scores(Bernoulli(), net, plan, theta, data.train, seed=0)
    loss, accuracy = evaluate_scores(net, theta, bernoulli.scores, data.test, "expected")
    assert accuracy > 0.75 and loss < 1.5
    assert 0.4 < weight_density(threshold_supermask(bernoulli.scores)) < 0.6
    plan = TrainingPlan(epochs=10, optimizer=Adam(), schedule=0.003)
    *_, popup = learn_scores(EdgePopup(0.5), net, plan, theta, data.train, seed=0)
    mask = edge_popup_mask(popup.scores, 0.5)
    assert (net.predict(theta * mask, data.test.x) == data.test.y).mean() > 0.75
    assert alive_counts(mask) == {"W1": 1920, "W2": 300}


@pytest.fixture(scope="module")
def mnist1d_task():
    """Frozen signed constants in 40-100-100-10, 4 replicates."""
    data, net = load_mnist1d(), MLP((40, 100, 100, 10))
    drawn = net.init([stream(s, "init") for s in range(4)])
    return data, net, signed_constant(drawn, std=lambda d_in, d_out: 2 / np.sqrt(d_in + d_out))


@pytest.mark.slow
def test_the_published_order_of_the_ways_to_read_a_mask_on_mnist1d(mnist1d_task):
    """4000 steps, 4 replicates: 50 % and more against 10 % by chance; expected >= thresholded >= sampled.

    Known from 8 replicates: 50.1 to 51.6 sampled, 52.0 thresholded, 52.3 to 53.5 expected.
    """
    data, net, theta = mnist1d_task
    plan = TrainingPlan(steps=4000, batch_size=100, optimizer=Adam(), schedule=0.05)
    *_, last = learn_scores(Bernoulli(), net, plan, theta, data.train, seed=range(4))
    accuracy = {
        how: np.mean(evaluate_scores(net, theta, last.scores, data.test, how, rng=np.random.default_rng(0))[1])
        for how in ("sampled", "threshold", "expected")
    }
    density = np.mean(weight_density(threshold_supermask(last.scores)))
    print({how: round(100 * float(value), 1) for how, value in accuracy.items()}, "density", round(float(density), 3))
    assert 0.45 < accuracy["sampled"] <= accuracy["threshold"] + 0.01 <= accuracy["expected"] + 0.02
    assert 0.5 < density < 0.6


@pytest.mark.slow
def test_edge_popup_is_best_with_half_of_the_weights_on_mnist1d(mnist1d_task):
    """4000 steps, 4 replicates. Known from 8 replicates: 46.3, 50.9 and 44.4 % at densities .3, .5 and .7."""
    data, net, theta = mnist1d_task
    plan = TrainingPlan(steps=4000, batch_size=100, optimizer=Adam(), schedule=0.003)
    accuracy = {}
    for density in (0.3, 0.5, 0.7):
        law = EdgePopup(density)
        *_, last = learn_scores(law, net, plan, theta, data.train, seed=range(4))
        accuracy[density] = np.mean(evaluate(net, theta * law.mask(last.scores), data.test)[1])
    print({density: round(100 * float(value), 1) for density, value in accuracy.items()})
    assert min(accuracy.values()) > 0.4 and accuracy[0.5] > max(accuracy[0.3], accuracy[0.7]) and accuracy[0.5] > 0.47

"""The slide from DropConnect to a pruned net: its ends, its gradient, its counts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpynet.data import load_digits
from numpynet.data.dataset import Split
from numpynet.equations.activations import sigmoid
from numpynet.equations.losses import softmax_cross_entropy
from numpynet.link import sliding
from numpynet.link.sliding import Slide, keep_probabilities, slide
from numpynet.network import MLP
from numpynet.optimizers import Adam
from numpynet.parameters import Parameters
from numpynet.plan import TrainingPlan
from numpynet.seeding import stream
from numpynet.training import begin, draw_step, train
from tests.checks import assert_close
from tests.strategies import seeds

NET = MLP((64, 12, 10))
COUNTS = {"W1": 200, "W2": 70}


def run(plan_steps=80, seeds=(0, 1), **how):
    plan = TrainingPlan(steps=plan_steps, batch_size=50, optimizer=Adam(), schedule=3e-3)
    return slide(NET, plan, load_digits().train, COUNTS, seeds=list(seeds), how=Slide(**how))


@given(density=st.floats(0.02, 0.98), temperature=st.sampled_from((0.01, 0.3, 2.0)), seed=seeds)
def test_the_mean_of_the_probabilities_is_the_density(density: float, temperature: float, seed: int) -> None:
    scores = np.random.default_rng(seed).normal(size=(3, 6, 5))
    Q = keep_probabilities(scores, density, temperature)
    assert_close(Q.mean(axis=(-2, -1)), np.full(3, density), tolerance=1e-6)
    order = np.argsort(scores[1].ravel())
    assert (np.diff(Q[1].ravel()[order]) >= 0).all()  # a larger score never has less chance


@pytest.mark.equation("M6")
@given(seed=seeds)
def test_it_begins_as_dropconnect_and_ends_without_variance(seed: int) -> None:
    assert_close(keep_probabilities(np.zeros((4, 3)), 0.8, 1.0), np.full((4, 3), 0.8), tolerance=1e-9)
    scores = np.random.default_rng(seed).permutation(20).reshape(5, 4) / 4.0
    Q = keep_probabilities(scores, 0.25, 1e-3)
    assert np.array_equal(Q.round(6), (scores >= np.sort(scores.ravel())[15]).astype(float))


def test_the_net_at_the_end_is_pruned_to_the_counts_and_nothing_revives():
    end = run()
    for name, count in COUNTS.items():
        assert (end.weight_mask[name].sum(axis=(1, 2)) == count).all()
        assert not end.theta[name][end.weight_mask[name] == 0].any()
        assert (end.theta[name][end.weight_mask[name] == 1] != 0).all()
    assert (end.trace[0, 1:] == pytest.approx([0.8, 0.16, 1.0])) and end.trace[-1, 2] == 0
    assert (np.diff(end.trace[:, 1]) <= 1e-9).all()


def test_the_same_seeds_give_the_same_bits_and_a_replicate_is_a_run_of_its_own():
    one, again, other = run(), run(), run(seeds=(2, 1))
    assert np.array_equal(one.theta.vector, again.theta.vector)
    assert np.array_equal(one.weight_mask.vector[1], other.weight_mask.vector[1])
    assert not np.array_equal(one.weight_mask.vector[0], other.weight_mask.vector[0])


def test_the_scores_learn_and_the_mask_is_not_that_of_chance():
    """Pixels that are always 0 teach nothing: their weights are the first to go."""
    end = run(plan_steps=300)
    x = load_digits().train.x
    silent = (x == x[0]).all(axis=0)
    density = end.weight_mask["W1"].mean(axis=(0, 2))
    assert silent.any() and density[silent].mean() < density[~silent].mean()


def test_without_a_slide_it_is_plain_training(monkeypatch):
    """With every probability 1 and nothing pruned the weights are those of an ordinary training, bit for bit."""
    monkeypatch.setattr(sliding, "keep_probabilities", lambda s, density, tau: np.ones(s.shape))
    monkeypatch.setattr(sliding, "_largest", lambda scores, counts: 0 * scores + 1)
    end = run(plan_steps=30)
    plan = TrainingPlan(steps=30, batch_size=50, optimizer=Adam(), schedule=3e-3)
    state = begin(NET, plan, load_digits().train, seed=[0, 1])
    for _ in train(state, load_digits().train):
        pass
    assert np.array_equal(end.theta.vector, state.theta.vector)


@pytest.mark.equation("M8", "P13")
def test_the_gradient_of_the_scores_is_that_of_the_loss_with_the_mask_moved_by_its_probabilities(monkeypatch) -> None:
    """The first step, by the complex step: the loss at m + Q(S + dS) - Q(S), the draw m and the shift c held fixed."""
    data, seen = load_digits(), []
    split = Split(data.train.x.astype(np.float64), data.train.y)
    plan = TrainingPlan(steps=1, batch_size=50, optimizer=Adam(), schedule=3e-3, dtype="float64")
    monkeypatch.setattr(sliding, "update", lambda vector, gradient, *_, **__: seen.append(gradient.copy()))
    slide(NET, plan, split, COUNTS, seeds=[4], how=Slide(start=0.7, hot=0.5))
    state = begin(NET, plan, split, seed=[4])
    _, batch, _ = draw_step(state, len(split.x))
    m = (stream(4, "supermask").random(NET.layout.size, dtype=np.float32) < 0.7).astype(np.float64)
    theta = state.theta.replicate(0)

    def loss(S: np.ndarray) -> np.ndarray:
        c = -0.5 * np.log(0.7 / 0.3)  # Q = 0.7 at S = 0
        moved = m + sigmoid.forward((S - c) / 0.5)[0] - 0.7
        moved[NET.layout.slices["b1"]] = moved[NET.layout.slices["b2"]] = 1
        logits, _ = NET.forward(Parameters(theta.vector * moved, NET.layout), split.x[batch[0]] + 0j)
        return softmax_cross_entropy.forward(logits, split.y[batch[0]])[0]

    rng = np.random.default_rng(0)
    for name in NET.layout.weight_names:
        part = NET.layout.slices[name]
        for index in rng.integers(part.start, part.stop, size=4):
            S = np.zeros(NET.layout.size, complex)
            S[index] = 1e-30j
            assert_close(seen[0].vector[0, index], loss(S).imag / 1e-30)
    assert not seen[0]["b1"].any() and seen[0]["W1"].any()
    dense = seen[0].vector[0] != 0
    assert (dense & (m == 0)).any()  # a weight that was left out learns, too


@pytest.mark.parametrize(("density", "temperature"), [(0.0, 1.0), (1.0, 1.0), (0.5, 0.0), (0.5, -1.0)])
def test_what_has_no_probabilities_is_refused(density, temperature):
    with pytest.raises(ValueError, match=r"density is|temperature is"):
        keep_probabilities(np.zeros((2, 2)), density, temperature)

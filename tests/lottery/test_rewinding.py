"""Rewinding: where a retraining starts, and that it sees at each step what the first training saw there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpynet.equations.keep_schedules import Curriculum
from numpynet.equations.r_drop import r_drop_loss
from numpynet.lottery.arms import CONTROLS
from numpynet.lottery.imp import Monitored, iterative_pruning
from numpynet.lottery.prune_rules import prune_rule
from numpynet.lottery.rewinding import FineTune, Init, Late, LearningRate, rewind_point, rewound
from numpynet.network import MLP
from numpynet.optimizers import SGD, Adam, Momentum
from numpynet.schedules import Constant, Cosine, Step, Warmup
from numpynet.training import begin, train
from tests.lottery.small import NET, OPTIMIZERS, PLAN, STEPS, mask_of, plan_with, run, same, split_of, theta_of, trained
from tests.strategies import seeds

KINDS = [Init(), Late(4), Late(4, "saved"), LearningRate(), LearningRate(3), FineTune(5)]
SCHEDULES = [Constant(0.05), Cosine(0.05, STEPS), Step(0.05, factor=0.5, every=3), Warmup(4, Constant(0.05))]


def rewound_from(rewinding, seed=3, weight_mask="some", **changes):
    """A first training, its mask, and what the rewinding makes of them."""
    plan, split, theta_0 = plan_with(**changes), split_of(0), theta_of(0)
    mask = mask_of(2) if isinstance(weight_mask, str) else weight_mask
    state = begin(NET, plan, split, seed=seed, theta_0=theta_0)
    k = rewinding.step if isinstance(rewinding, Late) else 0
    run(state, split, until=k)
    point = rewind_point(state)
    run(state, split)
    parts = {"theta_0": theta_0, "point": point, "theta_T": state.theta}
    again = rewound(rewinding, NET, plan, split, seed=seed, weight_mask=mask, **parts)
    return again, state, mask, parts, split


# ---- a training that begins at step k ----------------------------------------------------------------------------------


@pytest.mark.equation("L14")
@given(seeds, st.integers(0, STEPS), st.sampled_from(SCHEDULES))
def test_a_dense_net_begun_at_step_k_repeats_the_run_from_there(seed, k, schedule):
    """m = 1 and SGD: theta_k with schedule, order and dropout masks of step k gives the dense run, bit for bit."""
    plan, split = plan_with(optimizer=SGD(), schedule=schedule), split_of(0)
    first = begin(NET, plan, split, seed=seed)
    run(first, split, until=k)
    theta_k = first.theta.copy()
    run(first, split)
    second = run(begin(NET, plan, split, seed=seed, theta_0=theta_k, step=k), split)
    assert same(first.theta, second.theta) and second.step == STEPS
    assert second.history[0].step == k and second.history[-1].accuracy == first.history[-1].accuracy


VARIANTS = {
    "no dropout": (replace(NET, keep_prob=1.0), {}),
    "dropout at the input": (replace(NET, keep_prob=(0.9, 0.7, None)), {}),
    "a keep schedule": (replace(NET, keep_prob=1.0), {"keep_schedule": Curriculum(0.7, gamma=0.3)}),
    "two passes": (NET, {"loss": r_drop_loss(0.5)}),
    "batches of everything": (NET, {"batch_size": 23}),
    "epochs": (NET, {"steps": None, "epochs": 3, "batch_size": 5}),
}


@pytest.mark.equation("L14")
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda o: type(o).__name__)
def test_the_streams_of_every_kind_of_noise_go_on_at_step_k(variant, optimizer):
    net, changes = VARIANTS[variant]
    plan, split = plan_with(optimizer=optimizer, **changes), split_of(0)
    first = begin(net, plan, split, seed=[8, 5])
    run(first, split, until=6)
    point = rewind_point(first)
    run(first, split)
    late = rewound(Late(6, "saved"), net, plan, split, seed=[8, 5], weight_mask=None, point=point)
    assert same(run(late, split).theta, first.theta)


@given(seeds, st.integers(0, STEPS + 3))
def test_a_stop_changes_nothing(seed, until):
    split = split_of(0)
    stopped = begin(NET, PLAN, split, seed=seed)
    run(stopped, split, until=until)
    assert stopped.step == min(until, STEPS)
    whole = trained(seed, split)
    assert same(run(stopped, split).theta, whole.theta)
    assert stopped.history == whole.history


@given(seeds, st.integers(1, 4))
def test_another_draw_changes_order_and_masks_and_nothing_else(seed, draw):
    split = split_of(0)
    one, other = (begin(NET, PLAN, split, seed=seed, draw=d) for d in (0, draw))
    assert same(one.theta, other.theta)
    next(batches := train(other, split, until=1))
    list(batches)
    list(train(one, split, until=1))
    assert not np.array_equal(one.order, other.order)
    for here, there in ((one.batch_rngs, other.batch_rngs), (one.dropout_rngs, other.dropout_rngs)):
        assert here[0].bit_generator.state != there[0].bit_generator.state
    assert same(trained(seed, split, draw=draw).theta, trained(seed, split, draw=draw).theta)


@pytest.mark.parametrize("step", [-1, STEPS + 1, 2.0, True, None])
def test_a_step_that_the_plan_does_not_have_is_refused(step):
    with pytest.raises(ValueError, match=f"the plan has the steps 0 ... {STEPS}"):
        begin(NET, PLAN, split_of(0), theta_0=theta_of(0), step=step)


def test_at_a_later_step_the_parameters_cannot_be_drawn():
    with pytest.raises(ValueError, match="without theta_0"):
        begin(NET, PLAN, split_of(0), step=3)


# ---- the four kinds ----------------------------------------------------------------------------------------------------


@pytest.mark.equation("L4", "L14", "L15", "L16")
@pytest.mark.parametrize("rewinding", KINDS, ids=repr)
def test_survivors_start_where_the_kind_says_to_the_bit(rewinding):
    again, _, mask, parts, _ = rewound_from(rewinding)
    theta_0, point, theta_T = parts.values()
    source = {Init: theta_0, Late: point.theta, LearningRate: theta_T, FineTune: theta_T}[type(rewinding)]
    alive = mask.vector == 1  # the biases are
    assert again.theta.vector[alive].tobytes() == source.vector[alive].tobytes()
    assert (again.theta.vector[mask.vector == 0] == 0).all()
    steps = {Init: 0, Late: 4, FineTune: STEPS - 5, LearningRate: getattr(rewinding, "step", 0)}
    assert again.step == steps[type(rewinding)]


@pytest.mark.parametrize("rewinding", KINDS, ids=repr)
def test_nothing_that_was_saved_changes_or_is_shared(rewinding):
    again, state, mask, parts, split = rewound_from(rewinding)
    saved = [
        parts["theta_0"].vector,
        parts["point"].theta.vector,
        state.theta.vector,
        mask.vector,
        *parts["point"].slots.values(),
    ]
    before = [array.copy() for array in saved]
    run(again, split)
    assert all(np.array_equal(a, b) for a, b in zip(saved, before))
    used = [again.theta.vector, again.weight_mask.vector, *again.optimizer.slots.values()]
    assert not any(np.shares_memory(a, b) for a in saved for b in used)


@pytest.mark.parametrize("rewinding", KINDS, ids=repr)
def test_every_retraining_ends_with_the_plan_and_keeps_its_zeros(rewinding):
    again, _, mask, _, split = rewound_from(rewinding)
    for _ in train(again, split):
        assert (again.theta.vector[mask.vector == 0] == 0).all()
    assert again.step == STEPS
    alive = again.theta["W2"][mask["W2"] == 1]
    assert (alive != 0).all()


@pytest.mark.parametrize("rewinding", KINDS, ids=repr)
def test_the_optimizer_is_fresh_unless_it_is_to_be_remembered(rewinding):
    again, _, mask, parts, _ = rewound_from(rewinding)
    saved = isinstance(rewinding, Late) and rewinding.optimizer == "saved"
    assert again.optimizer.step == (4 if saved else 0)
    for name, slot in again.optimizer.slots.items():
        expected = parts["point"].slots[name] * mask.vector if saved else np.zeros_like(slot)
        assert np.array_equal(slot, expected)
        assert slot.any() == saved


@pytest.mark.equation("L14")
@given(seeds)
def test_late_rewinding_to_step_0_is_rewinding_to_the_start(seed):
    one, _, _, parts, split = rewound_from(Init(), seed)
    with_point = rewound(Late(0), NET, PLAN, split, seed=seed, weight_mask=mask_of(2), point=parts["point"])
    with_theta = rewound(
        Late(0, "saved"), NET, PLAN, split, seed=seed, weight_mask=mask_of(2), theta_0=parts["theta_0"]
    )
    run(one, split)
    assert same(one.theta, run(with_point, split).theta) and same(one.theta, run(with_theta, split).theta)


@pytest.mark.equation("L9")
@given(seeds)
def test_a_mask_of_ones_rewound_to_the_start_repeats_the_dense_run(seed):
    again, state, _, _, split = rewound_from(Init(), seed, mask_of(0, density=2.0) * 0 + 1)
    assert same(run(again, split).theta, state.theta)
    assert again.history == state.history


@pytest.mark.equation("L15", "L16")
@given(seeds, st.integers(1, STEPS), st.sampled_from([Adam(), SGD(), Momentum(0.8)]))
def test_learning_rate_rewinding_is_fine_tuning_when_the_rate_is_constant_and_not_under_a_schedule(seed, s, optimizer):
    def ends(schedule):
        pair = []
        for kind in (LearningRate(STEPS - s), FineTune(s)):
            again, _, _, _, split = rewound_from(kind, seed, schedule=schedule, optimizer=optimizer)
            pair.append(run(again, split).theta)
        return pair

    assert same(*ends(Constant(0.02)))
    # with one step left, both take it at the last learning rate
    assert same(*ends(Cosine(0.05, STEPS))) == (s == 1)


@pytest.mark.equation("L15", "L16")
def test_the_learning_rates_are_those_of_the_schedule_or_the_last():
    for kind, rates in ((LearningRate(8), [8, 9, 10]), (FineTune(3), [10, 10, 10])):
        again, _, _, _, split = rewound_from(kind, evaluate_every=1)
        run(again, split)
        assert [r.lr for r in again.history[1:]] == [pytest.approx(PLAN.schedule(t), rel=1e-15) for t in rates]


@given(seeds)
def test_a_replicate_is_rewound_as_it_would_be_alone(seed):
    split, both = split_of(0), [seed, seed + 1]
    theta_0, mask = theta_of(0, (2,)), mask_of(1, replicates=(2,))
    for kind in KINDS:
        stack = begin(NET, PLAN, split, seed=both, theta_0=theta_0)
        run(stack, split, until=4)
        point = rewind_point(stack)
        again = rewound(
            kind, NET, PLAN, split, seed=both, weight_mask=mask, theta_0=theta_0, point=point, theta_T=theta_0
        )
        run(again, split)
        for r in range(2):
            alone = begin(NET, PLAN, split, seed=both[r], theta_0=theta_0.replicate(r))
            run(alone, split, until=4)
            single = rewound(
                kind,
                NET,
                PLAN,
                split,
                seed=both[r],
                weight_mask=mask.replicate(r),
                theta_0=theta_0.replicate(r),
                point=rewind_point(alone),
                theta_T=theta_0.replicate(r),
            )
            np.testing.assert_allclose(run(single, split).theta.vector, again.theta.vector[r], rtol=1e-9, atol=1e-12)


# ---- wrong input -------------------------------------------------------------------------------------------------------


@pytest.mark.equation("L4")
@pytest.mark.equation("L14")
@pytest.mark.parametrize("rewinding", KINDS, ids=str)
def test_every_level_of_the_ladder_starts_where_its_rewinding_says(rewinding):
    """The ladder hands over the right weights, not only ``rewound``: theta_0, theta_k of the dense net, or the last theta_T."""
    split, begun, trained_by_level = split_of(0), {}, {}
    plain = Monitored(split, {})

    def watching(training):
        state = training.begin()
        begun[training.level, training.arm.name] = (state.theta.copy(), state.step, state.weight_mask)
        trained_by_level.setdefault(training.level, plain(training))
        return trained_by_level[training.level] if training.arm.name == "ticket" else plain(training)

    levels = list(
        iterative_pruning(
            NET, PLAN, split, seeds=[8, 5], rounds=2, prune=prune_rule(0.3), rewinding=rewinding,
            controls={name: CONTROLS[name] for name in ("reinit", "shuffled_mask")}, trainer=watching,
        )
    )  # fmt: skip
    dense = begin(NET, PLAN, split, seed=[8, 5])
    theta_0 = dense.theta.copy()
    late = isinstance(rewinding, Late)
    run(dense, split, until=rewinding.step if late else 0)
    for level in levels[1:]:
        before = trained_by_level[level.number - 1].theta
        origin = dense.theta if late else theta_0 if rewinding == Init() else before
        theta, step, _ = begun[level.number, "ticket"]
        assert np.array_equal(theta.vector, level.weight_mask.vector * origin.vector)
        moved, _, other_mask = begun[level.number, "shuffled_mask"]
        assert np.array_equal(moved.vector, other_mask.vector * origin.vector)
        fresh, *_ = begun[level.number, "reinit"]
        assert not (fresh.vector == theta.vector)[theta.vector != 0].any()
        assert {begun[level.number, arm][1] for arm in ("reinit", "shuffled_mask")} == {step}
        assert not late or step == rewinding.step


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Late(-1), "step is -1"),
        (lambda: Late(1.5), "step is 1.5"),
        (lambda: Late(True), "step is True"),
        (lambda: Late(3, "old"), "optimizer is 'old', but 'fresh' or 'saved'"),
        (lambda: LearningRate(-2), "step is -2"),
        (lambda: FineTune(0), "steps is 0"),
    ],
)
def test_a_record_that_makes_no_sense_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("rewinding", "parts", "error", "message"),
    [
        (Init(), {}, ValueError, r"Init\(\) starts from theta_0, which is missing"),
        (Late(4), {"theta_0": 1}, ValueError, "starts from point, which is missing"),
        (Late(5), {"point": 4}, ValueError, "point was kept at step 4, but .* goes back to step 5"),
        (LearningRate(3), {"theta_0": 1}, ValueError, "starts from theta_T"),
        (FineTune(3), {"theta_0": 1}, ValueError, "starts from theta_T"),
        (FineTune(STEPS + 1), {"theta_T": 1}, ValueError, f"does not fit a plan of {STEPS} steps"),
        (LearningRate(STEPS), {"theta_T": 1}, ValueError, f"does not fit a plan of {STEPS} steps"),
        ("init", {"theta_0": 1}, TypeError, "rewinding must be"),
    ],
)
def test_what_a_rewinding_starts_from_must_be_there(rewinding, parts, error, message):
    state = begin(NET, PLAN, split_of(0))
    run(state, split_of(0), until=parts.get("point", 0))
    values = {"theta_0": theta_of(0), "point": rewind_point(state), "theta_T": theta_of(1)}
    given_parts = {name: values[name] for name in parts}
    with pytest.raises(error, match=message):
        rewound(rewinding, NET, PLAN, split_of(0), seed=0, weight_mask=mask_of(0), **given_parts)


def test_the_memory_of_another_optimizer_or_another_network_is_refused():
    point = rewind_point(begin(NET, plan_with(optimizer=Momentum()), split_of(0)))
    with pytest.raises(ValueError, match=r"with another optimizer: it holds \['v'\], but Adam needs"):
        rewound(Late(0, "saved"), NET, PLAN, split_of(0), seed=0, weight_mask=None, point=point)
    other = MLP((5, 8, 3))
    with pytest.raises(ValueError, match="theta_0 must be Parameters of this network"):
        rewound(Late(0), other, PLAN, split_of(0), seed=0, weight_mask=None, point=point)

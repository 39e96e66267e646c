"""What has gone wrong in public lottery-ticket code and must not go wrong here: one check for each bug.

Every check passes for the library. The mistakes of ``broken.py`` are planted into the library one by one, and each must
fail the check that is named after its bug, so that no check is empty. The numbers A16 ... are those of the project's list.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from numpynet import training
from numpynet.data.dataset import Split
from numpynet.lottery import controls
from numpynet.lottery import ticket as ticket_module
from numpynet.lottery.actions import freeze_init
from numpynet.lottery.imp import Monitored, iterative_pruning
from numpynet.network import MLP
from numpynet.optimizers import SGD, Adam, Decay, Momentum
from numpynet.parameters import Layout, Parameters
from numpynet.pruning import alive_counts, compact, magnitude_mask, weight_density
from numpynet.storage import digest
from tests.lottery import broken
from tests.lottery.small import NET, OPTIMIZERS, PLAN, SIZES, STEPS, mask_of, plan_with, same, split_of, theta_of
from tests.pruning.nets import loss_and_gradients
from tests.pruning.test_must_not_happen import BROKEN as PRUNING
from tests.strategies import labels_of

SEEDS = [3, 4]
QUIET = MLP(SIZES, NET.activation)  # without dropout


def ends_of(net, plan, split, **options) -> training.TrainingState:
    state = training.begin(net, plan, split, **options)
    for _ in training.train(state, split):
        pass
    return state


class Seen:
    """The trainings of an iterative pruning, as they began and as they ended."""

    def __init__(self, plan=PLAN, rounds: int = 2) -> None:
        self.split, self.starts, self.ends, self.theta_0s = split_of(0), [], [], []
        plain = Monitored(self.split, {})

        def watched(task):
            def begin():
                state = task.begin()
                memory = [np.abs(slot).max() for slot in state.optimizer.slots.values()]
                rngs = [rng.bit_generator.state for rng in (*state.batch_rngs, *state.dropout_rngs)]
                self.starts.append((state.theta.copy(), state.optimizer.step, memory, rngs))
                return state

            done = plain(task._replace(begin=begin))
            self.ends.append(done)
            return done

        def prune(theta_0, theta_T, mask):
            self.theta_0s.append(theta_0)
            return magnitude_mask(theta_T, mask, rate=0.3)

        self.levels = list(
            iterative_pruning(NET, plan, self.split, seeds=SEEDS, rounds=rounds, prune=prune, trainer=watched)
        )


# ---- training under a mask -------------------------------------------------------------------------------------------


def check_negative_weights_learn() -> None:
    """A16: after a step every live weight with a gradient has moved, and a hidden unit may be turned round.

    tanh is odd: the net with the incoming weights, the bias and the outgoing weights of a unit negated is the same one,
    and so is its training.
    """
    split, mask, theta_0 = split_of(0), mask_of(0), theta_of(0)
    flip = np.ones(SIZES[1])
    flip[::2] = -1

    def turned(theta: Parameters) -> Parameters:
        new = theta.copy()
        new["W1"], new["b1"], new["W2"] = theta["W1"] * flip, theta["b1"] * flip, theta["W2"] * flip[:, None]
        return new

    _, gradients = loss_and_gradients(QUIET, theta_0 * mask, split, mask)
    for optimizer in OPTIMIZERS:
        one = plan_with(optimizer=optimizer, steps=1, batch_size=23)
        moved = ends_of(QUIET, one, split, theta_0=theta_0, weight_mask=mask).theta.vector != theta_0.vector
        assert moved[gradients.vector != 0].all()
        plan = plan_with(optimizer=optimizer)
        a, b = (ends_of(QUIET, plan, split, theta_0=t, weight_mask=mask) for t in (theta_0, turned(theta_0)))
        np.testing.assert_allclose(turned(a.theta).vector, b.theta.vector, rtol=1e-9, atol=1e-12)


def check_mask_while_training() -> None:
    """A17: after the training the density is that of the mask, and what stands under the mask does not matter."""
    split, mask = split_of(0), mask_of(0)
    state = ends_of(NET, PLAN, split, theta_0=theta_of(0), weight_mask=mask)
    alive = {name: int((state.theta[name] != 0).sum()) for name in NET.layout.weight_names}
    assert alive == alive_counts(mask)
    logits, _ = NET.forward(state.theta, split.x, weight_mask=mask)
    loud, _ = NET.forward(state.theta + 1e6 * (1 - mask), split.x, weight_mask=mask)
    assert np.array_equal(logits, loud) and np.array_equal(logits, NET.forward(state.theta, split.x)[0])


def dead_after_every_step(decay: Decay) -> None:
    split, mask = split_of(0), mask_of(0)
    pruned = mask.vector == 0
    for k, optimizer in enumerate(OPTIMIZERS):
        plan = plan_with(optimizer=optimizer, decay=decay, evaluate_every=1)
        state = training.begin(NET, plan, split, theta_0=theta_of(0))
        for record in training.train(state, split):
            if record.step == 2 + k:  # in the middle, when the optimizer remembers everything
                state.weight_mask = mask
            elif record.step > 2 + k:
                assert (state.theta.vector[pruned] == 0.0).all()
        assert not any(slot[pruned].any() for slot in state.optimizer.slots.values())


def check_dead_stay_dead() -> None:
    """A18: pruned weights are 0.0 after every step of every optimizer, when the mask comes in mid-training."""
    dead_after_every_step(Decay())


def check_dead_stay_dead_under_decay() -> None:
    """A19: the same with weight decay, before the optimizer and beside it; what is frozen elsewhere than at 0 stays too."""
    split, theta_0, mask = split_of(0), theta_of(0), mask_of(0)
    pruned = mask.vector == 0
    for decay in (Decay(coupled=0.1), Decay(decoupled=0.1)):
        dead_after_every_step(decay)
        state = ends_of(
            NET,
            plan_with(decay=decay),
            split,
            theta_0=theta_0,
            weight_mask=mask,
            frozen=freeze_init(theta_0, mask),
        )
        assert np.array_equal(state.theta.vector[pruned], theta_0.vector[pruned])


def check_clipping_of_survivors() -> None:
    """A20: the norm is that of the masked gradient: a net without its unheard units is clipped in the same way."""
    split, theta_0, mask = split_of(0), theta_of(0), mask_of(0, density=0.8)
    mask["W2"][2, :], mask["W3"][4, :] = 0, 0  # nobody hears these two
    plan = plan_with(optimizer=SGD(), schedule=0.5, clip_norm=0.1)
    small = compact(QUIET, theta_0, mask)
    assert small.net.sizes == (5, 7, 5, 3) and not any(small.report.deaf_units)
    large = ends_of(QUIET, plan, split, theta_0=theta_0, weight_mask=mask)
    compacted = ends_of(small.net, plan, split, theta_0=small.theta, weight_mask=small.weight_mask)
    kept = compact(QUIET, large.theta, mask).theta
    np.testing.assert_allclose(kept.vector, compacted.theta.vector, rtol=1e-9, atol=1e-12)


# ---- rewinding -------------------------------------------------------------------------------------------------------


def check_rewind() -> None:
    """A21: every level starts at mask * theta_0, bit for bit, biases included."""
    seen = Seen()
    theta_0 = NET.init([controls.stream(s, "init") for s in SEEDS], dtype="float64")
    for (start, *_), level in zip(seen.starts, seen.levels, strict=True):
        assert same(start, theta_0 * level.weight_mask)
        assert all(not start[name].any() for name in NET.layout.bias_names)


def check_saved_start() -> None:
    """A22: theta_0 is the same before and after a training, and shares no memory with what is trained."""
    theta_0, split = theta_of(0), split_of(0)
    before = digest(theta_0.vector)
    for mask in (None, mask_of(0)):
        state = ends_of(NET, PLAN, split, theta_0=theta_0, weight_mask=mask)
        assert digest(theta_0.vector) == before
        parts = [state.theta.vector, *(view for _, view in state.theta.items())]
        assert not any(np.shares_memory(part, theta_0.vector) for part in parts)


def check_fresh_optimizer() -> None:
    """A23: at the start of a level the optimizer has made no step and remembers nothing."""
    for optimizer in (Adam(), Momentum()):
        for _, steps, memory, _ in Seen(plan_with(optimizer=optimizer)).starts:
            assert steps == 0 and memory == [0.0] * len(memory)


def check_streams_and_schedule() -> None:
    """A24: every level sees the same examples, dropout masks and learning rates; two runs are equal, bit for bit."""
    first, second = Seen(), Seen()
    for one, other in zip(first.levels, second.levels, strict=True):
        assert same(one.weight_mask, other.weight_mask)
    for one, other in zip(first.ends, second.ends, strict=True):
        assert same(one.theta, other.theta)
    assert all(rngs == first.starts[0][3] for *_, rngs in first.starts)
    rates = [[record.lr for record in done.history] for done in first.ends]
    assert all(rate == rates[0] for rate in rates)


def check_ranked_at_the_end() -> None:
    """A25: masks are cut from the weights of the last step."""
    seen = Seen(rounds=1)
    end = ends_of(NET, PLAN, seen.split, seed=SEEDS)
    assert end.step == STEPS and seen.ends[0].history[-1].step == STEPS
    assert same(seen.levels[1].weight_mask, magnitude_mask(end.theta, rate=0.3))


# ---- controls, evaluation, files ---------------------------------------------------------------------------------------


def check_shuffle_shuffles() -> None:
    """A26: the shuffled mask keeps the counts of the layers, and differs in each of them."""
    mask = mask_of(0, replicates=(2,))
    shuffled = controls.shuffled_mask(mask, controls.control_rngs(SEEDS, "shuffle"))
    assert alive_counts(shuffled) == alive_counts(mask)
    for name in NET.layout.weight_names:
        assert all(not np.array_equal(a, b) for a, b in zip(shuffled[name], mask[name]))


def check_layers_have_streams_of_their_own() -> None:
    """A27: two layers of one shape and one mask are shuffled differently."""
    layout = Layout.of_sizes((6, 6, 6, 6))
    mask = Parameters.ones(layout)
    for name in layout.weight_names:
        mask[name][:3] = 0
    shuffled = controls.shuffled_mask(mask, controls.control_rngs(7, "shuffle"))
    assert len({shuffled[name].tobytes() for name in layout.weight_names}) == 3


def check_controls_run() -> None:
    """A28: every control trains a small net to the end."""
    theta_0, mask, split = theta_of(0, (2,)), mask_of(0, replicates=(2,)), split_of(0)

    def rngs(purpose: str):
        return controls.control_rngs(SEEDS, purpose)

    starts = [
        controls.Start(controls.reinitialised(NET, rngs("reinit"), dtype="float64"), mask),
        controls.Start(controls.permuted_init(theta_0, rngs("permute")), mask),
        controls.Start(controls.reshuffled(theta_0, mask, rngs("permute")), mask),
        controls.Start(theta_0, controls.shuffled_mask(mask, rngs("shuffle"))),
        controls.random_ticket(NET, mask, rngs("shuffle"), rngs("reinit")),
        controls.Start(theta_0, controls.globally_shuffled_mask(mask, rngs("shuffle"))),
        controls.Start(theta_0, controls.uniform_mask(mask, rngs("shuffle"))),
        controls.Start(theta_0, controls.one_shot_mask(theta_0, mask)),
    ]
    ends = [ends_of(NET, PLAN, split, seed=SEEDS, theta_0=s.theta_0, weight_mask=s.weight_mask) for s in starts]
    assert all(state.step == STEPS for state in ends)
    assert len({state.theta.vector.tobytes() for state in ends}) == len(ends)


def check_fresh_means_fresh() -> None:
    """A29: re-initialised weights are other numbers; permuted ones are the same numbers."""
    theta_0 = NET.init([controls.stream(s, "init") for s in SEEDS])
    fresh = controls.reinitialised(NET, controls.control_rngs(SEEDS, "reinit"))
    permuted = controls.permuted_init(theta_0, controls.control_rngs(SEEDS, "permute"))
    for name in NET.layout.weight_names:
        for r in range(2):
            ordered = [np.sort(p[name][r], axis=None) for p in (theta_0, fresh, permuted)]
            assert not np.isin(ordered[1], ordered[0]).any() and np.array_equal(ordered[0], ordered[2])


def check_accuracy_counts_all() -> None:
    """A32: every example counts once, also those of a last batch that is not full."""
    rng = np.random.default_rng(0)
    split = Split(rng.normal(size=(23, SIZES[0])), labels_of(rng, (23,), SIZES[-1]))
    theta = theta_of(0)
    right = float((NET.predict(theta, split.x) == split.y).mean())
    for batch_size in (23, 7, 10, 100):
        assert training.evaluate(NET, theta, split, batch_size=batch_size)[1] == pytest.approx(right, abs=1e-15)


def check_density_survives_the_file(tmp_path) -> None:
    """A34: the density of a ticket is that of its weights, before it was saved and after it was loaded."""
    mask = mask_of(0)
    n, alive = NET.layout.n_weights, sum(alive_counts(mask).values())
    ticket_module.save_ticket(tmp_path / "t.npz", ticket_module.Ticket(NET, theta_of(0), mask))
    loaded = ticket_module.load_ticket(tmp_path / "t.npz")
    assert weight_density(mask) == weight_density(loaded.weight_mask) == alive / n < 1


# ---- the library passes, with a mistake in it it does not --------------------------------------------------------------

CHECKS: dict[str, Callable[..., Any]] = {
    "A16": check_negative_weights_learn,
    "A17": check_mask_while_training,
    "A18": check_dead_stay_dead,
    "A19": check_dead_stay_dead_under_decay,
    "A20": check_clipping_of_survivors,
    "A21": check_rewind,
    "A22": check_saved_start,
    "A23": check_fresh_optimizer,
    "A24": check_streams_and_schedule,
    "A25": check_ranked_at_the_end,
    "A26": check_shuffle_shuffles,
    "A27": check_layers_have_streams_of_their_own,
    "A28": check_controls_run,
    "A29": check_fresh_means_fresh,
    "A32": check_accuracy_counts_all,
    "A34": check_density_survives_the_file,
}

ALL = {"numpynet.training._survivors": lambda: lambda state: None}  # the optimizer works on the whole vector
FORGET = "numpynet.optimizers.OptimizerState.impose"
PLANTED: list[tuple[str, str, dict[str, Callable[[], Any]]]] = [
    ("A16", "negative weights frozen", {**ALL, "numpynet.training.update": lambda: broken.negative_weights_frozen}),
    ("A17", "the mask of the start alone", {"numpynet.training._imposed": lambda: broken.no_mask_in_training}),
    ("A18", "only the gradient masked", {**ALL, "numpynet.training.update": lambda: broken.only_the_gradient_masked, FORGET: lambda: lambda state, mask: None}),
    ("A18", "the optimizer remembers", {FORGET: lambda: lambda state, mask: None}),
    ("A19", "decay of raw weights", {**ALL, "numpynet.training.update": lambda: broken.decay_of_raw_weights}),
    ("A20", "clipping by the dense gradient", {"numpynet.training._keep_survivors": lambda: broken.dense_gradients}),
    ("A21", "no rewind", {"numpynet.lottery.imp.begin": broken.NoRewind}),
    ("A21", "biases stay", {"numpynet.lottery.imp.begin": broken.BiasesStay}),
    ("A22", "the start is live", {"numpynet.training.own_start": lambda: broken.start_that_is_live}),
    ("A22", "the biases of the start are live", {"numpynet.training.own_start": lambda: broken.start_of_live_biases}),
    ("A23", "one optimizer for all levels", {"numpynet.lottery.imp.begin": broken.OptimizerSurvives}),
    ("A24", "the order goes on", {"numpynet.training.stream": broken.StreamsGoOn}),
    ("A24", "unseeded", {"numpynet.training.stream": lambda: broken.unseeded}),
    ("A24", "the schedule goes on", {"numpynet.lottery.imp.begin": broken.ScheduleGoesOn}),
    ("A25", "ranked at step 8 of 11", {"numpynet.lottery.imp.train": lambda: broken.stops_at_a_round_number}),
    ("A26", "a local variable is shuffled", {"numpynet.lottery.controls._shuffle_layers": lambda: broken.shuffle_of_a_copy}),
    ("A27", "one key for all layers", {"numpynet.lottery.controls._shuffle_layers": lambda: broken.one_key_for_all_layers}),
    ("A28", "a control that was never run", {"numpynet.lottery.controls._shuffle_layers": lambda: broken.calls_what_is_not_there}),
    ("A29", "permuted for fresh", {"numpynet.lottery.controls.reinitialised": lambda: broken.permuted_for_fresh}),
    ("A32", "whole batches alone", {"numpynet.training.evaluate": lambda: broken.whole_batches_alone}),
    ("A34", "the mask is read off the weights", {"numpynet.lottery.ticket.load_ticket": lambda: broken.mask_read_off_the_weights}),
    ("A34", "biases are counted", {f"{__name__}.weight_density": lambda: broken.density_of_everything}),
]  # fmt: skip


def run_check(number: str, tmp_path) -> None:
    check = CHECKS[number]
    check(tmp_path) if number == "A34" else check()


@pytest.mark.equation("L4", "L5", "L9", "M10", "M16")
@pytest.mark.parametrize("number", CHECKS)
def test_it_does_not_happen_here(number: str, tmp_path) -> None:
    assert CHECKS[number].__doc__.startswith(f"{number}: ")
    run_check(number, tmp_path)


@pytest.mark.parametrize(
    ("number", "replaced"),
    [pytest.param(number, replaced, id=f"{number}-{name}") for number, name, replaced in PLANTED],
)
def test_a_planted_mistake_is_caught(number: str, replaced: dict, tmp_path, monkeypatch) -> None:
    for target, make in replaced.items():
        monkeypatch.setattr(target, make())
    otherwise = {"A25": RuntimeError, "A28": AttributeError}  # the library says so itself; the control cannot run
    with pytest.raises((AssertionError, otherwise.get(number, AssertionError))):
        run_check(number, tmp_path)


def test_every_check_has_a_planted_mistake() -> None:
    assert {number for number, _, _ in PLANTED} == set(CHECKS)


# ---- A30: two processes ------------------------------------------------------------------------------------------------

RUN = """
import numpy as np
from numpynet import seeding
{plant}
from numpynet.lottery import controls
from numpynet.lottery.actions import freeze_init
from numpynet.lottery.imp import iterative_pruning
from numpynet.pruning import magnitude_mask
from numpynet.storage import digest
from tests.lottery.small import NET, PLAN, split_of

prune = lambda theta_0, theta_T, mask: magnitude_mask(theta_T, mask, rate=0.3)
*_, last = iterative_pruning(NET, PLAN, split_of(0), seeds=[3, 4], rounds=2, prune=prune)
rngs = lambda purpose, draw: controls.control_rngs([3, 4], purpose, draw)
ticket = controls.random_ticket(NET, last.weight_mask, rngs("shuffle", 1), rngs("reinit", 2))
for trained in last.trained.values():
    print(digest(trained.theta.vector))
print(digest(last.weight_mask.vector), digest(ticket.theta_0.vector), digest(ticket.weight_mask.vector))
"""
SALTED = """
right = seeding._checked
seeding._checked = lambda seed: right(seed + hash("ranking noise") % 1000)
"""


def digests(plant: str) -> list[str]:
    """What a run prints in two processes, whose strings are salted differently."""

    def one(salt: str) -> str:
        environment = {**os.environ, "PYTHONHASHSEED": salt, "OPENBLAS_NUM_THREADS": "1"}
        command = [sys.executable, "-c", RUN.format(plant=plant)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(one, ("1", "2")))


def test_a_run_is_the_same_in_two_processes_unless_something_is_unseeded() -> None:
    """A30: equal digests of weights, masks and controls; and a seed with a salted string in it would be noticed."""
    first, second = digests("")
    assert first == second and len(first.split()) == 4
    first, second = digests(SALTED)
    assert first != second


# ---- the whole list ----------------------------------------------------------------------------------------------------


def test_every_mistake_of_the_list_is_planted_somewhere() -> None:
    """A37, tests that do not test, is what the planted mistakes are there against: each must make its own test fail."""
    of_runs = (Path(__file__).parent / "test_run.py").read_text(encoding="utf-8")
    planted = {*(number for number, _, _ in (*PRUNING, *PLANTED)), "A30", *re.findall(r"\b(A31|A33|A36)\b", of_runs)}
    assert planted == {f"A{i}" for i in range(1, 37)}

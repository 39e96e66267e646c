"""Checkpoints: a training that was interrupted ends with the bits of one that was not, and no wrong file is taken."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import os
import random
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import numpynet
from numpynet.checkpoints import load_checkpoint, save_checkpoint
from numpynet.data import Split
from numpynet.equations.activations import relu, tanh
from numpynet.equations.losses import squared_error
from numpynet.initializers import glorot_normal, he_normal
from numpynet.network import MLP
from numpynet.optimizers import SGD, Adam, Decay, Momentum, Nesterov, RMSProp
from numpynet.parameters import Parameters
from numpynet.plan import TrainingPlan
from numpynet.schedules import Constant, Cosine, Exponential, Step, Warmup
from numpynet.storage import StorageError, digest, load_arrays, save_arrays
from numpynet.training import begin, train

OPTIMIZERS = [SGD(), Momentum(0.8), Nesterov(0.7), RMSProp(0.9, 1e-6), Adam(0.8, 0.95, 1e-6)]
NET = MLP((5, 7, 4, 3), tanh, keep_prob=(0.9, 0.7, 0.6))


def make_split(dtype, seed=0):
    rng = np.random.default_rng(seed)
    return Split(rng.normal(size=(23, 5)).astype(dtype), rng.integers(3, size=23))


PLAN = TrainingPlan(steps=12, batch_size=5, schedule=0.05, optimizer=Momentum(0.8), dtype="float64", evaluate_every=2)
SPLIT = make_split(np.float64)


def make_mask(seed):
    rng = np.random.default_rng(seed)
    mask = Parameters.ones(NET.layout)
    for name in NET.layout.weight_names:
        mask[name] = rng.random(NET.layout.shapes[name]) < 0.6
    return mask


def advance(state, split, records=None):
    for _ in itertools.islice(train(state, split, monitors={"all": split}), records):
        pass
    return state


def generator_states(state):
    return [rng.bit_generator.state for rng in (*state.batch_rngs, *state.dropout_rngs)]


def assert_same_state(one, other):
    """Everything that the next step depends on, and all that was recorded."""
    assert one.theta.vector.tobytes() == other.theta.vector.tobytes()
    assert one.optimizer.step == other.optimizer.step
    assert one.optimizer.slots.keys() == other.optimizer.slots.keys()
    for name, slot in one.optimizer.slots.items():
        assert slot.tobytes() == other.optimizer.slots[name].tobytes(), name
    assert (one.weight_mask is None) == (other.weight_mask is None)
    assert one.weight_mask is None or np.array_equal(one.weight_mask.vector, other.weight_mask.vector)
    assert np.array_equal(one.order, other.order)
    for name in ("net", "plan", "seed", "position", "step", "batch_loss_count", "history"):
        assert getattr(one, name) == getattr(other, name), name
    assert generator_states(one) == generator_states(other)


@pytest.fixture
def saved(tmp_path):
    """The checkpoint of a training in the middle of its second epoch: the file and the state."""
    state = advance(begin(NET, PLAN, SPLIT, seed=3), SPLIT, records=4)
    assert 0 < state.position < 23
    path = tmp_path / "run.npz"
    save_checkpoint(path, state, SPLIT)
    return path, state


# ---- what was interrupted goes on ----------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda optimizer: type(optimizer).__name__)
@given(
    records=st.integers(0, 8),
    evaluate_every=st.sampled_from([1, 3, None]),
    masked=st.booleans(),
    net=st.sampled_from([NET, MLP(NET.sizes, relu)]),
    dtype=st.sampled_from(["float32", "float64"]),
    seed=st.sampled_from([0, 2**100, (4, 1)]),
    schedule=st.sampled_from([Constant(0.05), Warmup(3, Cosine(0.05, 12))]),
)
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_interrupted_anywhere_and_resumed_is_uninterrupted(
    tmp_path, optimizer, records, evaluate_every, masked, net, dtype, seed, schedule
):
    split, path = make_split(np.dtype(dtype)), tmp_path / "run.npz"
    decay = Decay(coupled=0.01, decoupled=0.02, max_norm=1.5)
    plan = dataclasses.replace(
        PLAN, optimizer=optimizer, schedule=schedule, decay=decay, dtype=dtype, evaluate_every=evaluate_every
    )
    mask = make_mask(1) if masked else None
    straight = advance(begin(net, plan, split, seed=seed, weight_mask=mask), split)
    broken = advance(begin(net, plan, split, seed=seed, weight_mask=mask), split, records)
    save_checkpoint(path, broken, split)
    resumed = load_checkpoint(path, net, plan, split, seed=seed)
    assert_same_state(resumed, broken)
    assert_same_state(advance(resumed, split), straight)


def test_saving_changes_nothing_and_shares_nothing(tmp_path, saved):
    path, state = saved
    before = state.theta.vector.copy(), generator_states(state), list(state.history)
    save_checkpoint(tmp_path / "other.npz", state, SPLIT)
    assert np.array_equal(state.theta.vector, before[0])
    assert generator_states(state) == before[1]
    assert state.history == before[2]
    assert path.read_bytes() == (tmp_path / "other.npz").read_bytes(), "the same state gives the same file"
    loaded = load_checkpoint(path, NET, PLAN, SPLIT, seed=3)
    advance(loaded, SPLIT)
    assert np.array_equal(state.theta.vector, before[0])


def test_a_mask_that_came_in_mid_training_is_resumed(tmp_path, saved):
    _, state = saved
    state.weight_mask = make_mask(5).astype(np.float64)
    save_checkpoint(tmp_path / "masked.npz", state, SPLIT)
    resumed = load_checkpoint(tmp_path / "masked.npz", NET, PLAN, SPLIT, seed=3)
    assert_same_state(advance(resumed, SPLIT), advance(state, SPLIT))
    assert not resumed.theta.vector[state.weight_mask.vector == 0].any()


def fragile_schedule(t):
    if t == 5 and fragile_schedule.broken:
        raise RuntimeError("the power went off")
    return 0.05


def test_a_training_stopped_by_an_error_between_two_records_goes_on(tmp_path):
    plan = dataclasses.replace(PLAN, schedule=fragile_schedule, evaluate_every=4)
    broken, path = begin(NET, plan, SPLIT), tmp_path / "run.npz"
    fragile_schedule.broken = True
    with pytest.raises(RuntimeError):
        advance(broken, SPLIT)
    fragile_schedule.broken = False
    assert (broken.step, broken.batch_loss_count) == (5, 1)
    save_checkpoint(path, broken, SPLIT)
    resumed = load_checkpoint(path, NET, plan, SPLIT)
    assert_same_state(resumed, broken)
    assert_same_state(advance(resumed, SPLIT), advance(begin(NET, plan, SPLIT), SPLIT))


@pytest.mark.parametrize("longer", [{"steps": 30}, {"steps": None, "epochs": 6}])
def test_a_finished_training_can_be_continued_by_a_longer_plan(tmp_path, longer):
    longer = dataclasses.replace(PLAN, **longer)
    short = advance(begin(NET, PLAN, SPLIT), SPLIT)
    save_checkpoint(tmp_path / "run.npz", short, SPLIT)
    resumed = load_checkpoint(tmp_path / "run.npz", NET, longer, SPLIT)
    assert_same_state(advance(resumed, SPLIT), advance(begin(NET, longer, SPLIT), SPLIT))


def test_a_shorter_plan_is_refused_unless_it_ends_just_there(saved):
    path, state = saved
    assert state.step == 6
    assert list(train(load_checkpoint(path, NET, dataclasses.replace(PLAN, steps=6), SPLIT, seed=3), SPLIT)) == []
    with pytest.raises(StorageError, match=r"run\.npz: it has made 6 steps, but this plan ends after 5"):
        load_checkpoint(path, NET, dataclasses.replace(PLAN, steps=5), SPLIT, seed=3)


@pytest.mark.parametrize("seed", [[0, 7], (0, 7), [np.int64(0), np.uint8(7)]])
def test_seeds_may_be_written_in_any_way(tmp_path, seed):
    state = begin(NET, PLAN, SPLIT, seed=(0, 7))
    save_checkpoint(tmp_path / "run.npz", state, SPLIT)
    assert load_checkpoint(tmp_path / "run.npz", NET, PLAN, SPLIT, seed=seed).seed == (0, 7)
    save_checkpoint(tmp_path / "one.npz", begin(NET, PLAN, SPLIT, seed=np.int32(7)), SPLIT)
    assert load_checkpoint(tmp_path / "one.npz", NET, PLAN, SPLIT, seed=7).seed == 7


PROGRAM = """
import sys
from pathlib import Path
import numpy as np
from numpynet.checkpoints import load_checkpoint, save_checkpoint
from numpynet.data import Split
from numpynet.network import MLP
from numpynet.optimizers import Adam
from numpynet.plan import TrainingPlan
from numpynet.storage import digest
from numpynet.training import begin, train

path, stay_at = Path(sys.argv[1]), int(sys.argv[2])
rng = np.random.default_rng(0)
split = Split(rng.normal(size=(43, 50)).astype(np.float32), rng.integers(3, size=43))
net = MLP((50, 60, 40, 3), keep_prob=(0.9, 0.7, 0.6))
plan = TrainingPlan(steps=30, batch_size=8, evaluate_every=1, optimizer=Adam(), schedule=0.01)
state = load_checkpoint(path, net, plan, split, seed=5) if path.exists() else begin(net, plan, split, seed=5)
for record in train(state, split):
    print(record.step, flush=True)
    save_checkpoint(path, state, split)
    while record.step == stay_at:  # until it is killed
        save_checkpoint(path, state, split)
print(digest(state.theta.vector))
"""


def start(path, stay_at=-1):
    root = str(Path(numpynet.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-c", PROGRAM, str(path), str(stay_at)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def last_line(process):
    lines = process.communicate(timeout=60)[0].split()
    assert process.returncode == 0
    return lines[-1]


def test_killed_while_it_writes_checkpoints_and_resumed(tmp_path):
    """Two programs are killed without a warning, at a random moment of their writing; a third one finishes."""
    uninterrupted, path = start(tmp_path / "uninterrupted.npz"), tmp_path / "run.npz"
    first_step = 0
    for stay_at in (7, 19):
        with start(path, stay_at) as process:
            assert int(process.stdout.readline()) == first_step, "it did not go on from the checkpoint"
            while int(process.stdout.readline()) != stay_at:
                pass
            time.sleep(random.uniform(0, 0.02))
            process.kill()  # SIGKILL, where there is one
        assert process.returncode != 0
        _, metadata = load_arrays(path, kind="training checkpoint")
        assert metadata["step"] in (stay_at - 1, stay_at), "the checkpoint must be whole, and of the last moment"
        first_step = metadata["step"] + 1
    assert last_line(start(path)) == last_line(uninterrupted)


# ---- no wrong file is taken ----------------------------------------------------------------------------------------


def flip(data, place):
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:-1],
        lambda data: data[: len(data) // 2],
        lambda data: data[: len(data) // 2] + bytes(100) + data[len(data) // 2 + 100 :],
        lambda data: data + b"\0",
        lambda data: flip(data, len(data) // 3),
        lambda data: flip(data, len(data) - 70),
        lambda data: b"loss 0.5\n" * 100,
    ],
)
def test_a_damaged_or_foreign_file_is_refused_by_name(saved, damage):
    path, _ = saved
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(StorageError, match=r"cannot load .*run\.npz: it .*"):
        load_checkpoint(path, NET, PLAN, SPLIT, seed=3)


def test_files_of_another_kind_are_refused(tmp_path):
    with pytest.raises(StorageError, match="does not exist"):
        load_checkpoint(tmp_path / "none.npz", NET, PLAN, SPLIT)
    np.savez(tmp_path / "foreign.npz", theta=np.zeros(3))
    with pytest.raises(StorageError, match=r"foreign\.npz: it is not a file of numpynet"):
        load_checkpoint(tmp_path / "foreign.npz", NET, PLAN, SPLIT)
    save_arrays(tmp_path / "mask.npz", {"theta": np.zeros(NET.layout.size)}, kind="mask")
    with pytest.raises(StorageError, match="holds 'mask', and 'training checkpoint' is needed"):
        load_checkpoint(tmp_path / "mask.npz", NET, PLAN, SPLIT)
    save_arrays(tmp_path / "hollow.npz", {}, kind="training checkpoint", metadata={"settings": {}})
    with pytest.raises(StorageError, match=r"hollow\.npz: it belongs to another training"):
        load_checkpoint(tmp_path / "hollow.npz", NET, PLAN, SPLIT)


def test_a_checkpoint_without_one_of_its_arrays_is_refused(saved):
    path, _ = saved
    arrays, metadata = load_arrays(path, kind="training checkpoint")
    del arrays["order"]
    save_arrays(path, arrays, kind="training checkpoint", metadata=metadata)
    with pytest.raises(StorageError, match=r"run\.npz: it is not a checkpoint of this training \('order"):
        load_checkpoint(path, NET, PLAN, SPLIT, seed=3)


@pytest.mark.parametrize("kept", [[], ["m"], ["v", "m"]])
def test_an_optimizer_that_remembers_something_else_is_refused(saved, kept):
    path, _ = saved
    arrays, metadata = load_arrays(path, kind="training checkpoint")
    memory = arrays.pop("optimizer.v")
    arrays |= {f"optimizer.{name}": memory for name in kept}
    save_arrays(path, arrays, kind="training checkpoint", metadata=metadata)
    with pytest.raises(
        StorageError, match=rf"remembers {re.escape(str(sorted(kept)))}, but here it needs \['v'\]; another"
    ):
        load_checkpoint(path, NET, PLAN, SPLIT, seed=3)


def plan_with(**changes):
    return {"plan": dataclasses.replace(PLAN, **changes)}


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"net": MLP((5, 6, 4, 3), tanh, NET.keep_prob)}, r"sizes: '\(5, 7, 4, 3\)' there, '\(5, 6, 4, 3\)' here"),
        ({"net": MLP(NET.sizes, relu, NET.keep_prob)}, "activation: 'tanh' there, 'relu' here"),
        ({"net": MLP(NET.sizes, tanh, (0.9, 0.7, 0.8))}, r"keep_prob: .* there, '\(0\.9, 0\.7, 0\.8\)' here"),
        (plan_with(batch_size=6), "batch_size: '5' there, '6' here"),
        (plan_with(optimizer=Momentum(0.9)), r"optimizer: 'Momentum\(momentum=0\.8\)' there, .*0\.9\)' here"),
        (plan_with(optimizer=SGD()), r"optimizer: .* there, 'SGD\(\)' here"),
        (plan_with(schedule=0.06), r"schedule: 'Constant\(lr=0\.05\)' there, 'Constant\(lr=0\.06\)' here"),
        (plan_with(schedule=Exponential(0.05, 0.9)), "schedule: "),
        (plan_with(decay=Decay(coupled=1e-4)), "decay: "),
        (plan_with(loss=squared_error), "loss: 'softmax_cross_entropy' there, 'squared_error' here"),
        (plan_with(evaluate_every=None), "evaluate_every: '2' there, 'None' here"),
        (plan_with(initializer=he_normal), "initializer: 'glorot_normal' there, 'he_normal' here"),
        ({**plan_with(dtype="float32"), "split": make_split(np.float32)}, "dtype: 'float64' there, 'float32' here"),
        ({"seed": 4}, "seed: '3' there, '4' here"),
        ({"seed": (3,)}, r"seed: '3' there, '\(3,\)' here"),
        ({"split": make_split(np.float64, seed=1)}, "data: 'x .* there, 'x .* here"),
        ({"split": Split(SPLIT.x, SPLIT.y[::-1].copy())}, "data: 'x .* there, 'x .* here"),
    ],
)
def test_another_training_is_refused_and_the_difference_is_printed(saved, changes, words):
    path, _ = saved
    now = {"net": NET, "plan": PLAN, "split": SPLIT, "seed": 3, **changes}
    with pytest.raises(StorageError, match=r"run\.npz: it belongs to another training: .*" + words):
        load_checkpoint(path, now["net"], now["plan"], now["split"], seed=now["seed"])


def test_arguments_that_do_not_fit_each_other_are_their_own_error(saved):
    path, _ = saved
    with pytest.raises(TypeError, match=r"train_split\.x has dtype float32"):
        load_checkpoint(path, NET, PLAN, make_split(np.float32), seed=3)


def named_schedule(t):
    return 0.05 / (1 + t)


@pytest.mark.parametrize(
    "plan",
    [
        dataclasses.replace(PLAN, schedule=lambda t: 0.05),
        dataclasses.replace(PLAN, schedule=Warmup(3, lambda t: 0.05)),
        dataclasses.replace(PLAN, schedule=functools.partial(named_schedule)),
        dataclasses.replace(PLAN, initializer=functools.partial(glorot_normal)),
    ],
)
def test_what_has_no_name_cannot_be_compared_and_is_refused_when_saving(saved, plan):
    path, _ = saved
    before = path.read_bytes()
    state = begin(NET, plan, SPLIT, seed=3)
    with pytest.raises(TypeError, match="has no name, so a checkpoint cannot say which one it is"):
        save_checkpoint(path, state, SPLIT)
    assert path.read_bytes() == before, "the older checkpoint must stay"


@pytest.mark.parametrize("schedule", [named_schedule, Warmup(3, named_schedule), Step(0.05, 0.5, 4)])
def test_named_functions_and_records_can_be_compared(tmp_path, schedule):
    plan = dataclasses.replace(PLAN, schedule=schedule)
    path, state = tmp_path / "run.npz", advance(begin(NET, plan, SPLIT), SPLIT, 3)
    save_checkpoint(path, state, SPLIT)
    assert_same_state(load_checkpoint(path, NET, plan, SPLIT), state)
    assert " at 0x" not in str(load_arrays(path, kind="training checkpoint")[1]), (
        "an address differs in the next program"
    )


def test_nothing_in_the_file_is_pickled(saved):
    path, state = saved
    with np.load(path, allow_pickle=False) as npz:
        arrays = {name: npz[name] for name in npz.files}
    assert all(array.dtype.kind in "fiu" for array in arrays.values())
    assert digest(arrays["theta"]) == digest(state.theta.vector)

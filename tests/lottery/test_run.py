"""Runs in a folder: whatever happens to the process, the folder ends with the same bits, or says what is wrong."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numpynet import checkpoints, storage
from numpynet.data import Split
from numpynet.lottery import curves, outcomes, plain_files, run, run_folder, run_results, run_versions, training_files
from numpynet.lottery.arms import CONTROLS
from numpynet.lottery.experiment import identity, load_examples
from numpynet.lottery.imp import TICKET, Arm, Monitored, Trained, Training, iterative_pruning
from numpynet.lottery.run import Group, run_group
from numpynet.parameters import Layout, Parameters
from numpynet.pruning import DisconnectedError, weight_density
from numpynet.storage import StorageError
from numpynet.training import Record, begin, early_stop, evaluate
from tests.lottery.tiny import COMPACT, EXAMPLES, TINY, contents, run_all

LATE = replace(TINY, rewind="late:4:saved", keep_prob=1.0, test_curve=False)


class Killed(BaseException):
    """The process has gone, as far as these tests can tell."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nothing has happened to, and its bytes."""
    folder = tmp_path_factory.mktemp("whole")
    run_all(folder)
    return folder, contents(folder)


@pytest.fixture(scope="module")
def late(tmp_path_factory):
    """The same with late rewinding and rare looks at the test set."""
    folder = tmp_path_factory.mktemp("late")
    run_all(folder, LATE)
    return folder, contents(folder)


@pytest.fixture(scope="module")
def compacted(tmp_path_factory):
    """One that leaves out units that nobody hears."""
    folder = tmp_path_factory.mktemp("compacted")
    run_all(folder, COMPACT)
    return folder, contents(folder)


def killed_at(write, monkeypatch, *, after=False, error=Killed):
    """Let the n-th file that is about to take its name be the last thing that happens."""
    count = 0
    replace_file = os.replace

    def replaced(source, target):
        nonlocal count
        count += 1
        if count == write and not after:
            raise error
        replace_file(source, target)
        if count == write:
            raise error

    monkeypatch.setattr(storage.os, "replace", replaced)


def interrupted(folder, write, *, experiment=TINY, after=False):
    """Begin a run and kill it at a write; return whether it was reached."""
    with pytest.MonkeyPatch.context() as patch:
        killed_at(write, patch, after=after)
        try:
            run_all(folder, experiment, save_every=0.0)
        except Killed:
            return True
    return False


# ---- what a run leaves ----------------------------------------------------------------------------------------------


def test_the_folder_holds_every_training_of_every_trial(whole):
    folder, files = whole
    trainings = [f"trial_{t:02}/{arm}level_{k:02}" for t in range(3) for arm, levels in (("", range(3)), ("controls/reinit_0/", (1, 2)), ("controls/shuffled_mask_0/", (1, 2))) for k in levels]  # fmt: skip
    expected = {f"{t}/{name}" for t in trainings for name in ("mask.npz", "final.npz", "curve.csv", "summary.json")}
    expected |= {f"trial_{t:02}/start.npz" for t in range(3)} | {"config.json", "data.json", "results.csv"}
    assert set(files) == expected
    assert len(files["results.csv"].splitlines()) == 1 + len(trainings)
    assert not (folder / "checkpoints").exists() or not list((folder / "checkpoints").iterdir())
    events = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [e["event"] for e in events] == ["started", "trained"] * 14  # 7 trainings of each of two stacks


def test_the_numbers_of_a_summary_are_those_of_its_training(whole):
    folder, _ = whole
    net = TINY.net()
    for trial, level, arm in ((0, 0, TICKET), (2, 1, TICKET), (1, 2, Arm("reinit"))):
        path = training_files.place(folder, trial, level, arm)
        summary = training_files.read_summary(path)
        theta, mask, history = training_files.load_training(path, net.layout)
        for split, name in ((EXAMPLES.test, "test"), (EXAMPLES.validation, "validation"), (EXAMPLES.train, "train")):
            right = int((net.predict(theta, split.x, weight_mask=mask) == split.y).sum())
            assert summary[f"{name}_accuracy_end"] == right / len(split.x)
        stop = min(history, key=lambda record: record.loss["validation"])
        assert summary["stop_step"] == stop.step
        assert summary["test_accuracy_stop"] == stop.accuracy["test"]
        assert summary["censored"] == (stop.step >= 0.95 * TINY.steps)
        assert summary["density"] == weight_density(mask)
        assert summary["ranked_at_step"] == TINY.steps


def test_pruned_weights_are_0_and_a_ticket_starts_from_theta_0(whole):
    folder, _ = whole
    layout = TINY.net().layout
    for trial in range(3):
        theta_0, _ = training_files.load_start(folder, trial, layout)
        state = begin(TINY.net(), TINY.plan(), EXAMPLES.train, seed=TINY.seeds[trial])
        assert np.array_equal(theta_0.vector, state.theta.vector)
        previous = None
        for level in range(3):
            theta, mask, _ = training_files.load_training(training_files.place(folder, trial, level, TICKET), layout)
            assert not theta.vector[mask.vector == 0].any()
            assert previous is None or (mask.vector <= previous.vector).all()
            previous = mask


@pytest.mark.parametrize("stack", [1, 3])
def test_a_replicate_of_a_stack_is_the_single_run_with_its_seed(whole, tmp_path, stack):
    experiment = replace(TINY, stack=stack, controls=())
    run_all(tmp_path, experiment)
    stacked, single = whole[1], contents(tmp_path)
    tickets = {name for name in single if name.startswith("trial_")}
    assert len(tickets) == 3 * (1 + 3 * 4)
    for name in tickets:
        assert single[name] == stacked[name], name


def test_a_first_seed_later_gives_the_later_replicates(whole, tmp_path):
    # The validation split is that of the first seed, so the examples are handed over.
    experiment = replace(TINY, seed=2, replicates=1)
    run_all(tmp_path, experiment)
    for name in ("mask.npz", "final.npz", "curve.csv"):
        assert (tmp_path / "trial_00/level_02" / name).read_bytes() == whole[1][f"trial_02/level_02/{name}"]


def test_rare_looks_at_the_test_set_change_no_number_of_the_tables(whole, tmp_path):
    run_all(tmp_path, replace(TINY, test_curve=False))
    assert (tmp_path / "results.csv").read_bytes() == whole[1]["results.csv"]
    curves = [(tmp_path / "trial_00/level_01/curve.csv").read_text(), whole[1]["trial_00/level_01/curve.csv"].decode()]
    assert curves[0] != curves[1] or curves[0].count(",,") == 1  # every record may have been a minimum


@settings(max_examples=12)
@given(st.lists(st.integers(0, 4), min_size=4, max_size=12), st.booleans())
def test_the_test_set_is_looked_at_where_the_validation_loss_is_smallest_so_far(losses, everyone):
    state = begin(TINY.net(), TINY.plan(), EXAMPLES.train, seed=[3])
    looked = []
    for step, value in enumerate(losses):
        record = early_record(step, value)
        state.history.append(record)
        outcomes._look_at_test(state, record, EXAMPLES.test, everyone=everyone)
        looked.append(record.accuracy["test"][0] is not None)
    assert looked == [everyone or step == 0 or value < min(losses[:step]) for step, value in enumerate(losses)]
    assert early_stop(state.history, "validation", replicate=0).accuracy["test"][0] is not None


def early_record(step, value):
    from numpynet.training import Record

    return Record(step, 0.0, None, None, {"validation": [float(value)]}, {"validation": [0.5]})


# ---- interrupted and resumed: A24, A36 --------------------------------------------------------------------------------


@pytest.mark.parametrize("write", [1, 3, 6, 9, 13, 29, 61])
@pytest.mark.parametrize("after", [False, True])
def test_a_run_that_was_killed_at_a_write_ends_with_the_same_bits(whole, tmp_path, write, after):
    assert interrupted(tmp_path, write, after=after)
    run_all(tmp_path)
    assert contents(tmp_path) == whole[1]


@pytest.mark.parametrize("write", [4, 7, 9, 16, 31])
def test_so_does_a_run_with_late_rewinding(late, tmp_path, write):
    assert interrupted(tmp_path, write, experiment=LATE)
    run_all(tmp_path, LATE)
    assert contents(tmp_path) == late[1]


@pytest.mark.parametrize(("write", "level"), [(60, 2), (74, 2), (99, 3), (112, 3), (127, 3), (202, 3)])
def test_so_does_a_run_that_leaves_units_out(compacted, tmp_path, write, level):
    assert interrupted(tmp_path, write, experiment=COMPACT)
    run_all(tmp_path, COMPACT)
    assert contents(tmp_path) == compacted[1]
    events = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [e["level"] for e in events if e["event"] == "resumed"] == [level]


@pytest.mark.parametrize("write", [70, 100])
def test_so_does_one_whose_optimizer_remembers_what_nobody_hears(tmp_path, write):
    experiment = replace(COMPACT, rewind="late:4:saved", keep_prob=1.0)
    run_all(tmp_path / "whole", experiment)
    assert interrupted(tmp_path / "killed", write, experiment=experiment)
    run_all(tmp_path / "killed", experiment)
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


@settings(max_examples=3)
@given(st.lists(st.integers(1, 60), min_size=2, max_size=4))
def test_so_does_a_run_that_is_killed_again_and_again(whole, tmp_path_factory, writes):
    folder = tmp_path_factory.mktemp("again")
    for write in writes:
        interrupted(folder, write)
    run_all(folder)
    assert contents(folder) == whole[1]


def test_a_resumed_training_goes_on_where_its_checkpoint_was(tmp_path):
    # Writes: data, config, two starts, then the checkpoints of the dense training at steps 0, 3, 6, 9.
    assert interrupted(tmp_path, 8)
    run_all(tmp_path)
    events = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [event["event"] for event in events[:3]] == ["started", "resumed", "trained"]
    assert events[1]["step"] > 0


@pytest.mark.parametrize("lost", ["batch_rngs", "dropout_rngs", "order", "optimizer"])
def test_a_resume_that_forgets_a_stream_would_be_seen(whole, tmp_path, monkeypatch, lost):
    load = checkpoints.load_checkpoint

    def forgetful(path, net, plan, split, *, seed):
        state, fresh = load(path, net, plan, split, seed=seed), begin(net, plan, split, seed=seed)
        if lost == "optimizer":
            state.optimizer = fresh.optimizer
        elif lost == "order":
            state.order = state.order[..., ::-1].copy()
        else:
            setattr(state, lost, getattr(fresh, lost))
        if lost == "batch_rngs":
            state.position = state.order.shape[-1]  # otherwise the stream is not asked in so short a training
        return state

    assert interrupted(tmp_path, 8)
    monkeypatch.setattr(run, "load_checkpoint", forgetful)
    run_all(tmp_path)
    assert contents(tmp_path)["results.csv"] != whole[1]["results.csv"]


# What a process runs in these tests: the run itself, without the report that the command makes of it.
PROGRAM = """
import sys
from dataclasses import replace
from pathlib import Path
from tests.lottery import tiny
run_all, experiment = tiny.run_all, getattr(tiny, sys.argv[3])
run_all(Path(sys.argv[1]), replace(experiment, steps=int(sys.argv[2])), save_every=0.0)
"""


def process(folder, steps, hash_seed="0", experiment="TINY"):
    environment = os.environ | {"PYTHONHASHSEED": hash_seed}
    return subprocess.Popen([sys.executable, "-c", PROGRAM, str(folder), str(steps), experiment], env=environment)


@pytest.mark.parametrize(("experiment", "level"), [("TINY", 1), ("COMPACT", 3)])
def test_a_process_that_is_killed_leaves_a_folder_that_can_be_finished(tmp_path, experiment, level):
    """SIGKILL inside a level; then the same again, in other processes with other hash seeds: A30, A36."""
    killed, other = tmp_path / "killed", tmp_path / "other"
    running = process(killed, 60, experiment=experiment)
    deadline = time.monotonic() + 600  # only so that it ends at all
    while not list(killed.glob(f"checkpoints/*level_{level:02}*")) and running.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.002)
    running.kill()
    assert running.wait() == -signal.SIGKILL
    assert not (killed / "results.csv").exists()
    both = [process(killed, 60, "7", experiment), process(other, 60, "8", experiment)]
    assert [p.wait() for p in both] == [0, 0]
    assert contents(killed) == contents(other)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_killed_at_random_moments_one_after_the_other(tmp_path, seed):
    rng = np.random.default_rng(seed)
    for _ in range(8):
        running = process(tmp_path / "killed", 300)
        try:
            running.wait(timeout=float(rng.uniform(0.3, 3.0)))
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()
    both = [process(tmp_path / name, 300) for name in ("killed", "other")]
    assert [p.wait() for p in both] == [0, 0]
    assert contents(tmp_path / "killed") == contents(tmp_path / "other")


# ---- two at once, other settings, a full disk -------------------------------------------------------------------------


def test_a_second_process_is_refused(tmp_path):
    with (
        run_folder.locked(tmp_path),
        pytest.raises(StorageError, match=r"another process \(process \d+\) .*\[lock\]"),
        run_folder.locked(tmp_path),
    ):
        pytest.fail("two hold it")
    with run_folder.locked(tmp_path):  # nobody holds it any more
        pass


def test_another_experiment_is_refused_and_the_difference_said(whole, tmp_path):
    shutil.copytree(whole[0], tmp_path / "run")
    for other in (replace(TINY, lr=0.02), replace(TINY, seed=1), replace(TINY, rounds=3)):
        with pytest.raises(
            StorageError, match=r"holds another experiment: (lr: 0.01 there, 0.02 here|seed: 0 |rounds: 2 )"
        ):
            run_all(tmp_path / "run", other)
    assert contents(tmp_path / "run") == whole[1]  # A33: nothing of it was written over


def test_a_folder_that_takes_any_experiment_would_be_seen(whole, tmp_path, monkeypatch):
    """A33: without the comparison two experiments are mixed in one folder, and nobody is told."""
    shutil.copytree(whole[0], tmp_path / "run")
    monkeypatch.setattr(run_folder, "differences", lambda there, here: [])
    run_all(tmp_path / "run", replace(TINY, rounds=3, lr=0.02))
    assert contents(tmp_path / "run") != whole[1]


def test_the_same_experiment_again_trains_nothing_and_changes_nothing(whole, tmp_path, monkeypatch):
    shutil.copytree(whole[0], tmp_path / "run")
    monkeypatch.setattr(outcomes, "train", lambda *a, **k: pytest.fail("a training has begun"))
    run_all(tmp_path / "run")
    assert contents(tmp_path / "run") == whole[1]


def test_other_data_are_refused(whole, tmp_path):
    shutil.copytree(whole[0], tmp_path / "run")
    test = EXAMPLES.data.test
    other = EXAMPLES._replace(data=EXAMPLES.data._replace(test=Split(test.x, test.y[::-1].copy())))
    with pytest.raises(StorageError, match=r"the data of .* were others: test_y differ"):
        run_all(tmp_path / "run", TINY, other)


@pytest.mark.parametrize("write", [1, 8, 33])
def test_a_full_disk_is_a_clear_error_and_nothing_earlier_is_lost(whole, tmp_path, monkeypatch, write):
    with monkeypatch.context() as patch:
        killed_at(write, patch, error=OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
        with pytest.raises(
            OSError, match="No space left on device; nothing was written, an older file is as it was"
        ) as caught:
            run_all(tmp_path, save_every=0.0)
    assert str(tmp_path) in str(caught.value.filename)
    assert not list(tmp_path.rglob(".numpynet-*.tmp"))
    before = contents(tmp_path)
    run_all(tmp_path)
    after = contents(tmp_path)
    assert after == whole[1]
    assert all(after[name] == content for name, content in before.items())


def test_a_full_disk_in_the_middle_of_the_log_is_survived(whole, tmp_path):
    (tmp_path / "log.jsonl").write_text('{"time": "2026", "eve')
    run_all(tmp_path)
    assert contents(tmp_path) == whole[1]
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    assert json.loads(lines[1])["event"] == "started"


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("trial_00/level_00/final.npz", lambda b: b[:-9], "damaged"),
        ("trial_00/level_01/mask.npz", lambda b: b.replace(b"W1", b"W9", 1), "damaged"),
        ("trial_01/start.npz", lambda b: b"", "empty"),
        ("trial_00/level_00/curve.csv", lambda b: b"step\n", "empty"),
        ("trial_00/level_00/curve.csv", lambda b: b.replace(b"0.", b"x.", 1), "no curve"),
        ("trial_00/level_00/summary.json", lambda b: b"{", "cannot read"),
        ("trial_00/level_00/curve.csv", lambda b: b.replace(b",0.", b",1.", 1), "SHA-256 differs"),
        ("trial_00/level_00/curve.csv", lambda b: b[: b[:-1].rindex(b"\n") + 1], "SHA-256 differs"),
        ("trial_00/level_00/summary.json", lambda b: b.replace(b'theta_digest": "', b'theta_digest": "0', 1), "changed after"),
        ("trial_00/level_00/summary.json", lambda b: b.replace(b"test_accuracy_stop\": 0.", b"test_accuracy_stop\": 0.9"), "changed after"),
        ("config.json", lambda b: b.replace(b'"lr": 0.01', b'"lr": 0.02'), "changed after the run had begun"),
        ("config.json", lambda b: b"[]", "no JSON object"),
        ("config.json", lambda b: b"{}", "no configuration"),
        ("config.json", lambda b: b"\xff", "cannot read"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_named_and_nothing_is_trained_over_it(whole, tmp_path, file, change, message):
    shutil.copytree(whole[0], tmp_path / "run")
    path = tmp_path / "run" / file
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(StorageError, match=message) as caught:
        run_all(tmp_path / "run")
    assert path.name in str(caught.value)


def nested(depth):
    """A JSON object with lists in one another, the outermost in the object: Python gives up at about 1000 of them."""
    return '{"NumPy": ' + "[" * (depth - 1) + "]" * (depth - 1) + "}"


@pytest.mark.parametrize("depth", [plain_files.MAX_DEPTH + 2, 900, 200_000])
@pytest.mark.parametrize("file", ["config.json", "data.json", "trial_00/level_01/summary.json"])
def test_a_file_that_is_nested_without_end_is_named(whole, tmp_path, file, depth):
    """It ended with "maximum recursion depth exceeded", and nobody knew of which file."""
    shutil.copytree(whole[0], tmp_path / "run")
    path = tmp_path / "run" / file
    path.write_text(nested(depth))
    with pytest.raises(StorageError) as caught:
        run_all(tmp_path / "run")
    expected = "lists and objects lie more than 50 deep in one another: it is damaged, or no file of numpynet"
    assert str(caught.value) == f"cannot read {path}: {expected}"


@pytest.mark.parametrize("depth", [900, 200_000])
def test_versions_that_are_nested_without_end_are_not_known(tmp_path, depth):
    (tmp_path / "environment.json").write_text(nested(depth))
    (said,) = run_versions.other_versions(tmp_path, {"NumPy": "2.4.6"})
    assert said.startswith(f"versions that are not known (cannot read {tmp_path / 'environment.json'}: lists and")


@given(st.recursive(st.none() | st.integers() | st.text(), lambda of: st.lists(of) | st.dictionaries(st.text(), of)))
def test_what_is_not_nested_too_deep_is_read_as_it_is(value):
    assert plain_files.parse_json(json.dumps(value)) == value


def test_the_deepest_file_that_is_read():
    depth = plain_files.MAX_DEPTH
    plain_files.parse_json("[" * depth + "0" + "]" * depth)
    for inner in ("0", "[]"):
        with pytest.raises(ValueError, match="more than 50 deep"):
            plain_files.parse_json("[" * (depth + 1) + inner + "]" * (depth + 1))


def test_a_run_of_before_the_seals_is_still_read(whole, tmp_path):
    """Summaries were once written without digests; such a run goes on, and ends with the same table."""
    shutil.copytree(whole[0], tmp_path / "run")
    for path in (tmp_path / "run").rglob("summary.json"):
        summary = json.loads(path.read_text())
        del summary["curve_digest"], summary["digest"]
        path.write_text(json.dumps(summary))
    run_all(tmp_path / "run")
    assert contents(tmp_path / "run")["results.csv"] == whole[1]["results.csv"]


def test_a_run_of_before_units_could_be_left_out_goes_on_as_it_was(whole, tmp_path):
    """Its configuration has no such field; that is the run in which nothing is left out, to the bit."""
    shutil.copytree(whole[0], tmp_path / "run")
    path = tmp_path / "run/config.json"
    options = json.loads(path.read_text())["experiment"]
    assert options.pop("compact") is False
    path.write_text(json.dumps({"digest": identity(options), "experiment": options}))
    before = path.read_bytes()
    shutil.rmtree(tmp_path / "run/trial_02/level_02")
    with pytest.raises(StorageError, match="holds another experiment: compact: False there, True here"):
        run_all(tmp_path / "run", replace(TINY, compact=True))
    assert run_folder.read_experiment(tmp_path / "run") == TINY
    run_all(tmp_path / "run")
    assert path.read_bytes() == before
    path.write_bytes(whole[1]["config.json"])
    assert contents(tmp_path / "run") == whole[1]


def test_a_run_without_its_configuration_is_not_taken_for_another(whole, tmp_path):
    shutil.copytree(whole[0], tmp_path / "run")
    (tmp_path / "run/config.json").unlink()
    with pytest.raises(StorageError, match=r"config\.json, which says of which one, is gone"):
        run_all(tmp_path / "run", replace(TINY, lr=0.02))


def test_only_what_a_run_has_made_is_cleared_away(tmp_path):
    """Once all of checkpoints/ was removed, and the half-written files of every run below."""
    ours = ["checkpoints/trials_00-01_level_02_ticket.npz", "checkpoints/.numpynet-1.tmp", ".numpynet-2.tmp"]
    ours += ["trial_00/controls/reinit_0/level_01/.numpynet-3.tmp"]
    theirs = ["checkpoints/my_model.npz", "checkpoints/best/weights.bin", "another_run/trial_00/.numpynet-4.tmp"]
    for name in ours + theirs:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    run.clear_leftovers(tmp_path)
    assert sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()) == sorted(theirs)
    (tmp_path / "empty/checkpoints").mkdir(parents=True)
    run.clear_leftovers(tmp_path / "empty")
    assert not (tmp_path / "empty/checkpoints").exists()


def test_a_mask_that_does_not_follow_from_the_level_before_is_refused(whole, tmp_path):
    shutil.copytree(whole[0], tmp_path / "run")
    a, b = (tmp_path / "run" / f"trial_{t:02}/level_01" for t in (0, 1))
    shutil.rmtree(a)
    shutil.copytree(b, a)  # whole, sealed, and of another trial
    with pytest.raises(StorageError, match="not the mask that the level before leads to"):
        run_all(tmp_path / "run")


def test_a_run_without_a_path_left_says_which_trial_and_keeps_the_levels_before(tmp_path):
    experiment = replace(TINY, sizes=(64, 2, 2, 10), scope="global", rate=0.9, rounds=4, controls=())
    with pytest.raises(DisconnectedError, match=r"after level \d of trials 0 to 1: .*fewer rounds"):
        run_all(tmp_path, experiment, load_examples(experiment))
    assert (tmp_path / "trial_00/level_00/summary.json").exists()


# ---- what must not happen, each shown by a broken variant -------------------------------------------------------------


def with_other_test_labels():
    test = EXAMPLES.data.test
    labels = np.random.default_rng(5).permutation(test.y)
    return EXAMPLES._replace(data=EXAMPLES.data._replace(test=Split(test.x, labels)))


CHOSEN = ("stop_step", "mask_digest", "theta_digest", "censored", "validation_accuracy_stop")


def chosen_by(folder):
    return [[row[name] for name in CHOSEN] for row in run_results.finished(folder, TINY)]


def test_nothing_is_chosen_by_the_test_examples(whole, tmp_path):
    """A31."""
    run_all(tmp_path, TINY, with_other_test_labels())
    assert chosen_by(tmp_path) == chosen_by(whole[0])
    assert contents(tmp_path)["results.csv"] != whole[1]["results.csv"]  # its accuracies are those of chance


@pytest.mark.parametrize(("stop", "censored"), [(0, False), (37, False), (38, True), (40, True)])
def test_a_stop_in_the_last_twentieth_is_censored_its_first_step_too(stop, censored):
    """Of 40 steps the last 5 % begin at step 38."""
    net, mask = TINY.net(), Parameters.ones(TINY.net().layout, replicates=(1,))
    losses = {0: 2.0, 37: 2.0, 38: 2.0, 40: 2.0} | {stop: 1.0}
    history = [
        Record(step, 0.0, 0.01, None, {"validation": [loss], "test": [1.0]}, {"validation": [0.5], "test": [0.5]})
        for step, loss in losses.items()
    ]
    theta = net.init([np.random.default_rng(0)])
    (row,) = outcomes.summaries(net, Trained(theta, mask, history), EXAMPLES, level=0, arm="ticket", draw=0)
    assert (row["stop_step"], row["censored"]) == (stop, censored)


def test_a_stop_that_is_chosen_by_the_test_examples_would_be_seen(tmp_path, monkeypatch):
    monkeypatch.setattr(outcomes, "early_stop", lambda history, monitor, replicate: early_stop(history, "test", replicate=replicate))  # fmt: skip
    run_all(tmp_path / "a", TINY)
    run_all(tmp_path / "b", TINY, with_other_test_labels())
    assert chosen_by(tmp_path / "a") != chosen_by(tmp_path / "b")


def test_a_level_is_ranked_after_its_last_step_and_nowhere_else():
    """A25: a trainer that stops early is not ranked."""
    plan = TINY.plan()
    short = Monitored(EXAMPLES.train, {"test": EXAMPLES.test})

    def trains_too_short(training: Training):
        return short(training._replace(begin=lambda: shortened(training.begin())))

    def shortened(state):
        state.plan = replace(plan, steps=9)
        return state

    levels = iterative_pruning(TINY.net(), plan, EXAMPLES.train, seeds=[0], rounds=1, prune=TINY.prune(), trainer=trains_too_short)  # fmt: skip
    next(levels)
    with pytest.raises(RuntimeError, match="trained to step 9, but is ranked at step 12"):
        next(levels)


@given(st.integers(1, 40), st.integers(1, 12))
def test_accuracy_is_the_share_of_all_examples_whatever_the_batches(n, batch_size):
    """A32, and a variant that counts batches and not examples."""
    net, split = TINY.net(), Split(EXAMPLES.test.x[:n], EXAMPLES.test.y[:n])
    theta = net.init(np.random.default_rng(1))
    right = net.predict(theta, split.x) == split.y
    assert evaluate(net, theta, split, batch_size=batch_size)[1] == right.sum() / n
    whole_batches = right[: n // batch_size * batch_size].sum() / n  # 9,960 evaluated, divided by 10,000
    if right[n // batch_size * batch_size :].any():
        assert whole_batches != right.sum() / n


@given(st.integers(0, 10**6), st.floats(0, 1))
def test_density_is_the_same_after_loading(tmp_path_factory, seed, density):
    """A34, for masks of any density, also where a living weight is 0."""
    layout = Layout.of_sizes((5, 7, 3))
    path = tmp_path_factory.mktemp("mask") / "mask.npz"
    mask = Parameters.ones(layout)
    rng = np.random.default_rng(seed)
    for name in layout.weight_names:
        mask[name] = (rng.random(layout.shapes[name]) < density).astype(np.float32)
    training_files.save_mask(path, mask)
    loaded = training_files.load_mask(path, layout)
    assert np.array_equal(loaded.vector, mask.vector)
    assert weight_density(loaded) == weight_density(mask)
    with pytest.raises(StorageError, match="mask of another network"):
        training_files.load_mask(path, Layout.of_sizes((7, 5, 3)))


def test_a_density_that_is_read_off_the_weights_would_be_seen(whole):
    """A34: with a living weight that is 0, the mask knows and the weights do not."""
    theta, mask, _ = training_files.load_training(training_files.place(whole[0], 0, 1, TICKET), TINY.net().layout)
    first = np.argwhere(mask["W1"] == 1)[0]
    theta["W1"][tuple(first)] = 0.0
    off_the_weights = Parameters((theta.vector != 0).astype(np.float32), theta.layout)
    assert weight_density(off_the_weights) != weight_density(mask)


@pytest.mark.parametrize("rewind", ["init", "late:4", "late:4:saved", "lr:2", "finetune:5"])
def test_every_control_runs_with_every_rewinding(tmp_path, rewind):
    """A28; and the survivors of every training keep their number."""
    experiment = replace(TINY, rewind=rewind, controls=tuple(CONTROLS), draws=2, rounds=1, replicates=2)
    run_all(tmp_path, experiment)
    rows = run_results.finished(tmp_path, experiment)
    assert len(rows) == 2 * (2 + 2 * (len(CONTROLS) - 1) + 1)  # a cut in one shot is not drawn twice
    level = [row for row in rows if row["level"] == 1]
    assert {sum(row["alive"].values()) for row in level} == {sum(experiment.ladder()[1].values())}
    by_arm = {}
    for row in level:
        by_arm.setdefault((row["trial"], row["arm"]), []).append(row)
    for (trial, arm), drawn in by_arm.items():
        if len(drawn) == 2:  # two draws are two trainings
            assert drawn[0]["theta_digest"] != drawn[1]["theta_digest"], arm
        same_mask = arm in ("ticket", "reinit", "permuted_init", "reshuffled", "one_shot")  # one round is one shot
        ticket = by_arm[trial, "ticket"][0]
        assert all((row["mask_digest"] == ticket["mask_digest"]) is same_mask for row in drawn), arm


@pytest.mark.equation("L14")
def test_late_rewinding_keeps_the_point_of_the_dense_training(late):
    folder, _ = late
    for trial, seed in enumerate(LATE.seeds):
        theta_0, point = training_files.load_start(folder, trial, LATE.net().layout)
        state = begin(LATE.net(), LATE.plan(), EXAMPLES.train, seed=seed)
        assert np.array_equal(theta_0.vector, state.theta.vector)
        list(outcomes.train(state, EXAMPLES.train, until=4))
        assert point.step == point.optimizer_step == 4
        assert np.array_equal(point.theta.vector, state.theta.vector)
        assert all(np.array_equal(slot, state.optimizer.slots[name]) for name, slot in point.slots.items())
        first = curves.read_curve(training_files.place(folder, trial, 1, TICKET) / "curve.csv")[0]
        assert first.step == 4


def test_progress_counts_every_step_once(tmp_path):
    steps = []
    group = Group(str(tmp_path), TINY, (0, 1))
    run_folder.claim(tmp_path, TINY, EXAMPLES, {})
    run_group(group, examples=EXAMPLES, on_step=steps.append)
    assert sum(steps) == TINY.trainings * TINY.steps
    steps.clear()
    run_group(group, examples=EXAMPLES, on_step=steps.append)  # nothing is left to do, and progress knows
    assert sum(steps) == TINY.trainings * TINY.steps

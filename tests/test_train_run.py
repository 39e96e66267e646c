"""``numpynet train``: the run folder, and a run that is killed and resumed.

Most runs have a network without hidden layer, which is trained in a few milliseconds an epoch.
"""

import csv
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from numpynet import train_run
from numpynet.cli import main
from numpynet.data import data_folder, load_digits, load_mnist1d
from numpynet.data.mnist import MNIST_SHA256, find_mnist_file
from numpynet.network import MLP
from numpynet.parameters import Parameters
from numpynet.seeding import streams
from numpynet.storage import StorageError, load_arrays
from numpynet.training import TrainingDiverged, evaluate

ROOT = Path(__file__).resolve().parents[1]
SMALL = ("--sizes", "64-10")
WITH_EVERYTHING = (
    *("--sizes", "64-20-10", "--keep-prob", "0.9,0.7", "--optimizer", "adam", "--weight-decay", "1e-3"),
    *("--max-norm", "3", "--batch-size", "50", "--schedule", "cosine", "--warmup", "10", "--validation", "137"),
)


@pytest.fixture
def train(tmp_path, capsys):
    """Run ``numpynet train`` in this process and return its output."""

    def run(*arguments, out="run", code=0):
        assert main(["train", *map(str, arguments), "--out", str(tmp_path / out)]) == code
        return capsys.readouterr().out

    return run


def rows_of(folder):
    """The lines of history.csv, each a dictionary."""
    with open(folder / "history.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def results_of(folder):
    return {name: (folder / name).read_bytes() for name in ("weights.npz", "history.csv")}


# ---- killed and resumed ---------------------------------------------------------------------------------------------


def step_of(checkpoint):
    """The step that a checkpoint has come to; 0 while there is none."""
    return load_arrays(checkpoint, kind="training checkpoint")[1]["step"] if checkpoint.exists() else 0


# A run that rests after every checkpoint, so that there is time to kill it between two of them.
UNHURRIED = """
import sys, time
from numpynet import train_run
from numpynet.cli import main
save = train_run.save_checkpoint
def save_and_rest(*arguments):
    save(*arguments)
    time.sleep(0.05)
train_run.save_checkpoint = save_and_rest
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
@pytest.mark.parametrize("seeds", [("--seed", "7"), ("--seed", "3", "11", "5")], ids=["one seed", "three seeds"])
def test_a_run_killed_at_any_moment_and_resumed_ends_with_the_same_bits(train, tmp_path, seeds):
    command = (*WITH_EVERYTHING, *seeds, "--steps", "90", "--evaluate-every", "4")
    train(*command, out="whole")

    killed = tmp_path / "killed"
    process = subprocess.Popen(
        [sys.executable, "-c", UNHURRIED, "train", *command, "--out", killed],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    with process:
        deadline = time.monotonic() + 60
        while step_of(killed / "checkpoint.npz") < 28 and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        process.kill()
        assert process.wait(timeout=60) == -signal.SIGKILL, process.stderr.read()
    assert 28 <= step_of(killed / "checkpoint.npz") < 90  # in the second of four epochs
    assert not (killed / "weights.npz").exists()
    assert not (killed / "history.csv").exists()  # it is written at the end, or when the run is told to stop

    said = train(*command, "--resume", out="killed")
    assert said.startswith("resumed at step ")
    assert results_of(killed) == results_of(tmp_path / "whole")


@pytest.mark.parametrize("stop_at", [1, 2, 3, 5])
@pytest.mark.parametrize("when", ["before the checkpoint", "after the checkpoint"])
def test_a_run_interrupted_around_a_checkpoint_and_resumed_ends_with_the_same_bits(
    train, monkeypatch, tmp_path, stop_at, when
):
    command = (*SMALL, "--optimizer", "momentum", "--steps", "40", "--evaluate-every", "9", "--seed", "2", "8")
    train(*command, out="whole")
    save, calls = train_run.save_checkpoint, []

    def interrupt(*arguments):
        calls.append(arguments)
        if len(calls) == stop_at and when == "before the checkpoint":
            raise KeyboardInterrupt
        save(*arguments)
        if len(calls) == stop_at:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(train_run, "save_checkpoint", interrupt)
        train(*command, out="stopped", code=1)
    stopped = tmp_path / "stopped"
    assert [row["step"] for row in rows_of(stopped)] == 2 * [str(9 * i) for i in range(stop_at)]  # what was recorded
    assert not (stopped / "weights.npz").exists()

    if stop_at == 1 and when == "before the checkpoint":
        train(*command, out="stopped")  # nothing to go on with, and nothing in the way
    else:
        train(*command, "--resume", out="stopped")
    assert results_of(stopped) == results_of(tmp_path / "whole")


def test_a_finished_run_is_continued_by_more_epochs(train, tmp_path):
    train(*SMALL, "--epochs", 3, "--seed", 1, 2, out="whole")
    train(*SMALL, "--epochs", 1, "--seed", 1, 2)
    said = train(*SMALL, "--epochs", 3, "--seed", 1, 2, "--resume")
    assert said.splitlines()[0] == "resumed at step 23 of 69"
    assert results_of(tmp_path / "run") == results_of(tmp_path / "whole")


def test_a_finished_run_is_not_shortened(train, tmp_path, capsys):
    train(*SMALL, "--epochs", 2)
    before = results_of(tmp_path / "run")
    assert main(["train", *SMALL, "--epochs", "1", "--resume", "--out", str(tmp_path / "run")]) == 2
    assert "it has made 46 steps, but this plan ends after 23" in capsys.readouterr().err
    assert results_of(tmp_path / "run") == before


def test_resuming_a_finished_run_changes_nothing(train, tmp_path):
    train(*SMALL, "--epochs", 2)
    before = results_of(tmp_path / "run")
    said = train(*SMALL, "--epochs", 2, "--resume")
    assert said.splitlines()[0] == "resumed at step 46 of 46"
    assert results_of(tmp_path / "run") == before


def test_overwriting_leaves_nothing_of_the_old_run(train, tmp_path):
    train(*SMALL, "--epochs", 1, "--lr", "0.3", out="alone")
    train(*SMALL, "--epochs", 4, "--seed", 9)
    train(*SMALL, "--epochs", 1, "--lr", "0.3", "--overwrite")
    assert results_of(tmp_path / "run") == results_of(tmp_path / "alone")
    train("--lr", "1e30", "--overwrite", code=1)  # it diverges: the old weights are not beside the new history
    assert not (tmp_path / "run" / "weights.npz").exists()
    assert len(rows_of(tmp_path / "run")) == 1


def test_a_run_that_goes_on_and_diverges_keeps_no_weights_of_the_shorter_run(train, tmp_path, monkeypatch):
    train(*SMALL, "--epochs", 1)

    def diverges(*arguments, **keywords):
        raise TrainingDiverged("the loss is nan")
        yield

    monkeypatch.setattr(train_run, "train", diverges)
    train(*SMALL, "--epochs", 2, "--resume", code=1)
    assert not (tmp_path / "run" / "weights.npz").exists()
    assert len(rows_of(tmp_path / "run")) == 2


# ---- what the folder holds ------------------------------------------------------------------------------------------


def test_the_history_has_a_line_for_each_record_and_seed(train, tmp_path):
    train(*SMALL, "--steps", 30, "--evaluate-every", 12, "--seed", 4, 6, "--validation", 100)
    rows = rows_of(tmp_path / "run")
    assert list(rows[0]) == [
        *("seed", "step", "epoch", "lr", "batch_loss"),
        *("validation_loss", "validation_accuracy", "test_loss", "test_accuracy"),
    ]
    assert [(row["seed"], row["step"]) for row in rows] == [(s, t) for s in "46" for t in ("0", "12", "24", "30")]
    per_epoch = math.ceil((1437 - 100) / 64)
    for row in rows:
        assert float(row["epoch"]) == int(row["step"]) / per_epoch
        if row["step"] == "0":
            assert (row["lr"], row["batch_loss"]) == ("", "")
        else:
            assert float(row["lr"]) == 0.1
            assert 0 < float(row["batch_loss"]) < 5
        for name, n in (("validation", 100), ("test", 360)):
            assert 0 < float(row[f"{name}_loss"]) < 5
            right = float(row[f"{name}_accuracy"]) * n
            assert right == pytest.approx(round(right), abs=1e-9)
    assert b"\r" not in (tmp_path / "run" / "history.csv").read_bytes()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_weights_are_those_of_the_last_line(train, tmp_path, dtype):
    train("--sizes", "64-12-10", "--epochs", 2, "--keep-prob", 0.8, "--seed", 4, 6, "--dtype", dtype)
    arrays, metadata = load_arrays(tmp_path / "run" / "weights.npz", kind="weights")
    assert metadata == {
        "sizes": [64, 12, 10],
        "activation": "relu",
        "keep_probs": [None, 0.8],
        "rules": ["plain", "unit_dropout(0.8)"],
    }
    assert {name: (a.shape, a.dtype.name) for name, a in arrays.items()} == {
        "W1": ((2, 64, 12), dtype),
        "b1": ((2, 12), dtype),
        "W2": ((2, 12, 10), dtype),
        "b2": ((2, 10), dtype),
    }
    net = MLP((64, 12, 10))
    loss, accuracy = evaluate(net, Parameters.from_arrays(arrays, net.layout), load_digits(dtype=dtype).test)
    last = [row for row in rows_of(tmp_path / "run") if row["step"] == "46"]
    assert [float(row["test_accuracy"]) for row in last] == accuracy
    assert [float(row["test_loss"]) for row in last] == loss


def test_replicates_are_the_runs_of_their_seeds(train, tmp_path):
    train("--sizes", "64-12-10", "--epochs", 2, "--keep-prob", 0.8, "--seed", 4, 6, "--dtype", "float64", out="both")
    both = rows_of(tmp_path / "both")
    for seed in ("4", "6"):
        train("--sizes", "64-12-10", "--epochs", 2, "--keep-prob", 0.8, "--seed", seed, "--dtype", "float64", out=seed)
        for row, of_both in zip(rows_of(tmp_path / seed), [r for r in both if r["seed"] == seed], strict=True):
            assert row.keys() == of_both.keys()
            for name in row:
                if row[name]:
                    assert float(row[name]) == pytest.approx(float(of_both[name]), rel=1e-9)


def test_the_settings_say_all_and_are_the_same_whenever_it_is_run(train, tmp_path):
    for out in ("one", "two"):
        train(
            *WITH_EVERYTHING, "--epochs", 1, "--initializer", "he_uniform", "--activation", "tanh", "--seed", 3, out=out
        )
    text = (tmp_path / "one" / "settings.json").read_text(encoding="utf-8")
    assert text == (tmp_path / "two" / "settings.json").read_text(encoding="utf-8")
    assert " at 0x" not in text
    settings = json.loads(text)
    assert {name: settings[name] for name in settings if name not in ("source", "versions", "optimizer")} == {
        "data": "digits",
        "validation": 137,
        "sizes": [64, 20, 10],
        "activation": "tanh",
        "keep_probs": [0.9, 0.7],
        "rules": ["unit_dropout(0.9)", "unit_dropout(0.7)"],
        "keep_schedule": "None",
        "initializer": "he_uniform",
        "schedule": "Warmup(steps=10, base=Cosine(lr=0.001, steps=16, lr_min=0.0))",  # 26 steps in all
        "decay": "Decay(coupled=0.001, decoupled=0.0, max_norm=3.0)",
        "loss": "softmax_cross_entropy",
        "epochs": 1,
        "steps": None,
        "batch_size": 50,
        "evaluate_every": None,
        "dtype": "float32",
        "seed": [3],
    }
    assert settings["optimizer"].startswith("Adam(")
    assert "CC BY" in settings["source"]
    assert settings["versions"]["NumPy"] == np.__version__


@pytest.mark.parametrize(
    ("arguments", "optimizer", "lr", "decay"),
    [
        ("", "SGD()", 0.1, "coupled=0.0, decoupled=0.0, max_norm=None"),
        ("--optimizer momentum", "Momentum(momentum=0.9)", 0.1, "coupled=0.0, decoupled=0.0, max_norm=None"),
        ("--optimizer momentum --momentum 0.7", "Momentum(momentum=0.7)", 0.1, "coupled=0.0"),
        ("--optimizer nesterov --lr 0.03", "Nesterov(momentum=0.9)", 0.03, "coupled=0.0"),
        ("--optimizer rmsprop", "RMSProp(", 0.001, "coupled=0.0"),
        ("--optimizer adam --weight-decay 0.01", "Adam(", 0.001, "coupled=0.01, decoupled=0.0"),
        ("--optimizer adamw --weight-decay 0.01", "Adam(", 0.001, "coupled=0.0, decoupled=0.01"),
        ("--max-norm 2", "SGD()", 0.1, "max_norm=2.0"),
    ],
)
def test_names_become_the_records_that_they_stand_for(train, tmp_path, arguments, optimizer, lr, decay):
    train(*SMALL, "--steps", 1, *arguments.split())
    settings = json.loads((tmp_path / "run" / "settings.json").read_text())
    assert settings["optimizer"].startswith(optimizer)
    assert settings["schedule"] == f"Constant(lr={lr})"
    assert decay in settings["decay"]


@pytest.mark.parametrize("lr", [0.01, 3, 30, 1e4])
@pytest.mark.parametrize("seeds", [[7], [4, 6, 9]])
def test_a_training_that_ends_worse_than_it_began_says_so(train, tmp_path, lr, seeds):
    """A loss of 4000 is finite, and the command ended with 0 and without a word."""
    sizes, x = (64, 12, 10), load_digits().train
    out = train("--sizes", "64-12-10", "--epochs", 1, "--lr", lr, "--seed", *seeds)
    net = MLP(sizes)
    start = net.init([streams(seed).init for seed in seeds])
    arrays, _ = load_arrays(tmp_path / "run" / "weights.npz", kind="weights")
    end = Parameters.from_arrays({k: a if len(seeds) > 1 else a[None] for k, a in arrays.items()}, net.layout)
    before, after = (evaluate(net, theta, x)[0] for theta in (start, end))
    worse = [(s, b, a) for s, b, a in zip(seeds, before, after) if a > b]
    assert lr in (3, 30) or bool(worse) == (lr == 1e4)  # one in between may go either way, and is told as it went
    notes = [line for line in out.splitlines() if line.startswith("note: ")]
    if not worse:
        assert notes == []
        return
    named, b, a = (", ".join(texts) for texts in zip(*((str(s), f"{b:.4g}", f"{a:.4g}") for s, b, a in worse)))
    of = f" of seed {named}" if len(seeds) > 1 else ""
    assert notes == [
        f"note: the training loss{of} rose from {b} at step 0 to {a}: the learning rate is probably too large"
    ]


def test_a_resumed_training_says_the_same(train):
    words = ("--sizes", "64-12-10", "--lr", 1e4)
    whole = train(*words, "--epochs", 2, out="whole")
    train(*words, "--epochs", 1)
    (note,) = [line for line in whole.splitlines() if line.startswith("note: ")]
    assert note in train(*words, "--epochs", 2, "--resume").splitlines()


def test_of_a_large_set_a_part_is_looked_at(train, monkeypatch):
    monkeypatch.setattr(train_run, "SAMPLE", 100)
    assert "(on 100 examples): the learning rate is" in train("--sizes", "64-12-10", "--epochs", 1, "--lr", 1e4)


LENGTH = 50


@pytest.mark.parametrize(
    ("arguments", "lr_after"),
    [
        ("", lambda t: 0.2),
        ("--warmup 8", lambda t: 0.2 * (t + 1) / 8 if t < 8 else 0.2),
        ("--schedule cosine", lambda t: 0.1 * (1 + math.cos(math.pi * t / LENGTH))),
        (
            "--schedule cosine --warmup 10",
            lambda t: 0.2 * (t + 1) / 10 if t < 10 else 0.1 * (1 + math.cos(math.pi * (t - 10) / 40)),
        ),
        ("--schedule step --decay-every 20", lambda t: 0.2 * 0.1 ** (t // 20)),
        ("--schedule step --decay-every 7 --decay-factor 0.6", lambda t: 0.2 * 0.6 ** (t // 7)),
        ("--schedule exponential", lambda t: 0.2 * 0.1 ** (t / LENGTH)),
        ("--schedule exponential --decay-factor 0.3", lambda t: 0.2 * 0.3 ** (t / LENGTH)),
    ],
)
def test_the_learning_rate_of_every_step_is_that_of_the_schedule(train, tmp_path, arguments, lr_after):
    train(*SMALL, "--steps", LENGTH, "--evaluate-every", 1, "--lr", 0.2, *arguments.split())
    rows = rows_of(tmp_path / "run")[1:]
    assert len(rows) == LENGTH
    for row in rows:
        assert float(row["lr"]) == pytest.approx(lr_after(int(row["step"]) - 1), rel=1e-12, abs=1e-15)


def test_a_learning_rate_of_the_command_line_is_used(train, tmp_path):
    train(*SMALL, "--steps", 1, "--lr", 0.2, out="one")
    train(*SMALL, "--steps", 1, "--lr", 0.4, out="two")
    one, two = (load_arrays(tmp_path / out / "weights.npz", kind="weights")[0]["b1"] for out in ("one", "two"))
    assert one.any()
    assert np.allclose(two, 2 * one, rtol=1e-6)  # biases start at 0, and the first gradient is the same


# ---- validation and data --------------------------------------------------------------------------------------------


def test_validation_is_watched_and_the_early_stop_is_told(train, tmp_path):
    said = train(*SMALL, "--epochs", 4, "--validation", 200, "--seed", 5, 2, "--lr", 3)
    rows = rows_of(tmp_path / "run")
    for seed in ("5", "2"):
        own = [row for row in rows if row["seed"] == seed]
        best = min(own, key=lambda row: float(row["validation_loss"]))
        line = f"seed {seed}: smallest validation loss at step {best['step']}, test accuracy there "
        assert line + f"{100 * float(best['test_accuracy']):.2f} %" in said.splitlines()
    assert re.search(r"^final validation accuracy: ", said, re.MULTILINE)


def test_without_validation_nothing_is_said_of_it(train, tmp_path):
    assert "validation" not in train(*SMALL, "--epochs", 1).rpartition("run folder:")[0]
    assert "validation_loss" not in rows_of(tmp_path / "run")[0]


def test_the_examples_of_the_validation_are_not_trained_on(train, tmp_path, monkeypatch):
    seen = {}

    def remember(net, plan, train_split, *, seed):
        seen["train"] = train_split
        raise StorageError("far enough")

    monkeypatch.setattr(train_run, "begin", remember)
    train(*SMALL, "--validation", 437, "--seed", 5, 9, code=2)
    assert len(seen["train"].x) == 1000
    whole = {row.tobytes() for row in load_digits().train.x}
    kept = {row.tobytes() for row in seen["train"].x}
    assert kept < whole
    first = seen["train"]
    train(*SMALL, "--validation", 437, "--seed", 5, code=2)  # the first seed decides
    assert np.array_equal(seen["train"].x, first.x)
    train(*SMALL, "--validation", 437, "--seed", 9, code=2)
    assert not np.array_equal(seen["train"].x, first.x)


def test_mnist_1d_with_the_default_network(train, tmp_path):
    train("--data", "mnist1d", "--steps", 2)
    settings = json.loads((tmp_path / "run" / "settings.json").read_text())
    assert settings["sizes"] == [load_mnist1d().train.x.shape[1], 100, 10]
    assert settings["data"] == "mnist1d"


@pytest.mark.slow
def test_mnist_is_learned_to_97_and_a_half_percent_by_every_seed(train, tmp_path, monkeypatch):
    chosen = os.environ.get("NUMPYNET_DATA")
    monkeypatch.delenv("NUMPYNET_DATA", raising=False)
    places = [*([Path(chosen)] if chosen else []), ROOT.parent / "shared" / "data", data_folder()]
    folder = next((p for p in places if all(find_mnist_file(p, name) for name in MNIST_SHA256)), None)
    if folder is None:
        pytest.skip("MNIST is not on this computer; get it with 'numpynet data fetch mnist' or set NUMPYNET_DATA")
    command = "--sizes 784-300-100-10 --optimizer adam --lr 0.0012 --batch-size 60 --epochs 5 --seed 0 1 2"
    train("--data", "mnist", "--data-folder", folder, *command.split())
    accuracies = [float(row["test_accuracy"]) for row in rows_of(tmp_path / "run") if row["step"] == "5000"]
    assert len(accuracies) == 3
    assert min(accuracies) >= 0.975

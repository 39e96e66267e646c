"""The command line: what a user types, what comes back, and with which exit code.

Most commands run in this process, through ``main``; those of which the process itself is the subject run in one of their
own.
"""

import errno
import functools
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import numpynet
from numpynet import audit, equations, threads
from numpynet.cli import build_parser, main
from numpynet.commands.train import ACTIVATIONS, INITIALIZERS, OPTIMIZERS, SCHEDULES
from numpynet.storage import save_arrays

ROOT = Path(__file__).resolve().parents[1]
QUICK = ("--sizes", "64-10", "--epochs", "1")


@pytest.fixture
def numpynet_says(capsys):
    """Run a command in this process; return its exit code, its output and its errors."""

    def run(*arguments):
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as stop:
            code = stop.code
        return code, *capsys.readouterr()

    return run


def numpynet_process(*arguments, cwd, options=(), **environment):
    """Run a command in a process of its own."""
    return subprocess.run(
        [sys.executable, *options, "-m", "numpynet", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def assert_one_line(err, *fragments):
    """One line that says what is wrong, and no traceback."""
    assert re.fullmatch(r"numpynet[^\n]*: error: [^\n]+\n", err), err
    for fragment in fragments:
        assert str(fragment) in err


# ---- help and version -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), ("demo", "train", "verify", "data", "Start with: numpynet demo")),
        (("demo",), ("--out", "--seed")),
        (("document",), ("dropout", "ticket", "as they were meant", "Example: numpynet document ticket")),
        (("train",), ("--keep-prob", "--optimizer", "--resume", "such as 784-300-100-10", "Example: numpynet train")),
        (("verify",), ("--draws", "Exits with 1 if a check fails")),
        (("data",), ("list", "fetch")),
        (("data", "fetch"), ("--folder", "--url", "mnist")),
    ],
)
def test_every_command_has_help(numpynet_says, monkeypatch, arguments, expected):
    monkeypatch.setenv("COLUMNS", "150")
    code, out, err = numpynet_says(*arguments, "--help")
    assert (code, err) == (0, "")
    for text in ("usage: numpynet", *expected):
        assert text in " ".join(out.split())


def test_the_help_says_what_happens_by_default(numpynet_says, monkeypatch):
    monkeypatch.setenv("COLUMNS", "150")
    _, out, _ = numpynet_says("train", "--help")
    text = " ".join(out.split())
    options = vars(build_parser().parse_args(["train"]))
    assert f"--data {{digits,mnist1d,mnist}} default: {options['data']} " in text
    assert f"--batch-size BATCH_SIZE default: {options['batch_size']} " in text
    assert "(default: one hidden layer of 100)" in text


def test_version(numpynet_says):
    assert numpynet_says("--version") == (0, f"numpynet {numpynet.__version__}\n", "")


def imported_by(tmp_path, *arguments):
    """The modules that a command imports, as Python itself lists them."""
    done = numpynet_process(*arguments, cwd=tmp_path, options=["-X", "importtime"])
    assert done.returncode == 0
    return {line.rsplit("|", 1)[1].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}


@pytest.mark.parametrize("arguments", [("--help",), ("train", "--help"), ("--version",)])
def test_help_imports_nothing_heavy(tmp_path, arguments):
    modules = imported_by(tmp_path, *arguments)
    assert "numpynet.cli" in modules
    assert not {name for name in modules if name.partition(".")[0] in ("numpy", "matplotlib")}


def test_the_list_of_imports_would_show_numpy(tmp_path):
    modules = imported_by(tmp_path, "data", "list")
    assert "numpy" in modules
    assert "matplotlib" not in modules


def test_what_can_be_chosen_exists():
    assert all(getattr(equations, name).name == name for name in ACTIVATIONS)
    from numpynet import initializers

    assert all(callable(getattr(initializers, name)) for name in INITIALIZERS)
    for option, names in (("--optimizer", OPTIMIZERS), ("--schedule", SCHEDULES)):
        for name in names:
            assert getattr(build_parser().parse_args(["train", option, name]), option[2:]) == name


def test_one_thread_unless_the_user_says_otherwise(numpynet_says, monkeypatch):
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    numpynet_says("data", "list")
    assert (os.environ["OPENBLAS_NUM_THREADS"], os.environ["OMP_NUM_THREADS"]) == ("2", "1")


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ({}, ["1 (default)"] * 4),
        ({"OPENBLAS_NUM_THREADS": "2"}, ["2 (as you set it)", *["1 (default)"] * 3]),
        # OMP_NUM_THREADS alone means every library: a default of ours in a variable that goes before it would undo it.
        ({"OMP_NUM_THREADS": "3"}, ["3 (as OMP_NUM_THREADS)"] * 2 + ["3 (as you set it)", "3 (as OMP_NUM_THREADS)"]),
    ],
)
def test_verbose_says_how_many_threads_there_are(tmp_path, monkeypatch, setting, expected):
    for name in threads.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in setting.items():
        monkeypatch.setenv(name, value)
    done = numpynet_process("--verbose", "data", "list", cwd=tmp_path)
    settings = ", ".join(f"{name}={value}" for name, value in zip(threads.VARIABLES, expected))
    assert done.stderr == f"numpynet: threads of matrix products: {settings}\n"
    assert numpynet_process("data", "list", cwd=tmp_path).stderr == ""


# ---- commands that do well ------------------------------------------------------------------------------------------


def test_train_says_what_it_does_and_where_the_run_is(numpynet_says, tmp_path):
    code, out, err = numpynet_says("train", *QUICK, "--out", tmp_path / "run")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert re.fullmatch(r"step  0  epoch    0\.00  test loss \d+\.\d{4} accuracy \d+\.\d\d %", lines[0])
    assert re.fullmatch(
        r"step 23  epoch    1\.00  batch loss \d+\.\d{4}  test loss \d+\.\d{4} accuracy \d+\.\d\d %", lines[1]
    )
    assert lines[2] == f"final test accuracy: {lines[1].split()[-2]} %"
    assert lines[3:] == [f"run folder: {tmp_path / 'run'}"]
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        "checkpoint.npz",
        "history.csv",
        "settings.json",
        "weights.npz",
    ]


def test_several_seeds_come_with_an_interval(numpynet_says, tmp_path):
    code, out, _ = numpynet_says("train", *QUICK, "--seed", 4, 9, "--out", tmp_path)
    assert code == 0
    found = re.search(r"final test accuracy: (\S+) ± (\S+) % \((\S+), (\S+); mean ± half-width of the 95 % t-", out)
    mean, half_width, first, second = map(float, found.groups())
    assert mean == pytest.approx((first + second) / 2, abs=0.011)  # everything is printed with two digits
    assert half_width == pytest.approx(
        12.7062 * abs(first - second) / 2, abs=12.7062 * 0.011
    )  # s / sqrt(2) = |a - b| / 2


@pytest.mark.parametrize("text", ["0.8", "1", "0.9,0.8", "1e-3"])
def test_keep_probabilities_are_read(text):
    values = tuple(float(part) for part in text.split(","))
    assert build_parser().parse_args(["train", "--keep-prob", text]).keep_prob == (
        values if len(values) > 1 else values[0]
    )


@pytest.mark.parametrize(("scope", "run"), [((), audit.audit_everything), (("--layers",), audit.audit_layers)])
def test_verify_prints_every_check(numpynet_says, monkeypatch, scope, run):
    kept = functools.cache(run)  # that a seed gives the same numbers again is tested with the audit
    monkeypatch.setattr(audit, run.__name__, kept)
    code, out, err = numpynet_says("verify", *scope, "--seed", 5, "--draws", 2)
    assert kept.cache_info()[:2] == (0, 2)
    checks = kept(5)
    assert kept.cache_info()[:2] == (1, 2), "it was asked for seed 5, and for another"
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].split() == ["equation", "what", "compared", "with", "worst", "error", "tolerance"]
    assert len(lines) == 1 + len(checks) + 2
    for line, check in zip(lines[1:], checks):
        assert line.startswith(check.equation)
        assert check.what in line
        assert line.endswith("ok")
    n, n_equations = len(checks), len({check.equation for check in checks})
    assert lines[-1] == f"{n} of {n} checks passed, {n_equations} equations, 2 draw(s) each, first seed 5"


def test_verify_shows_the_worst_of_all_draws(numpynet_says, monkeypatch):
    error_of = {7: 1e-16, 8: float("nan"), 9: 2e-16}
    monkeypatch.setattr(
        audit, "audit_everything", lambda seed: [audit.Check("B5", "dW", "a number", error_of[seed], 1e-12)]
    )
    assert re.search(r"nan +1e-12 +WRONG$", numpynet_says("verify", "--seed", 7, "--draws", 3)[1], re.MULTILINE)
    error_of[8] = 3e-16
    assert re.search(r"3e-16 +1e-12 +ok$", numpynet_says("verify", "--seed", 7, "--draws", 3)[1], re.MULTILINE)


def test_verify_as_json_has_every_check_and_no_nan(numpynet_says, monkeypatch):
    checks = [audit.Check("B5", "dW", "a number", 3e-16, 1e-12), audit.Check("D6", "share", "q", math.nan, 0.01)]
    monkeypatch.setattr(audit, "audit_everything", lambda seed: checks)
    code, out, err = numpynet_says("verify", "--json", "--seed", 7)
    document = json.loads(out, parse_constant=pytest.fail)
    assert (code, err, document["status"], document["seed"]) == (1, "", "fail", 7)
    first, second = document["checks"]
    assert first == checks[0]._asdict() | {"passed": True}
    assert second == checks[1]._asdict() | {"error": None, "passed": False}
    checks.pop()
    assert numpynet_says("verify", "--json")[0] == 0


def test_verify_fails_if_a_gradient_is_wrong(numpynet_says, monkeypatch):
    monkeypatch.setattr(audit.layers, "inverted_dropout_backward", lambda dy, cache: dy * cache.unit_mask)
    code, out, _ = numpynet_says("verify", "--layers")
    assert code == 1
    wrong = [line for line in out.splitlines() if line.endswith("WRONG")]
    assert len(wrong) == 1
    assert wrong[0].startswith("B3 ")
    assert "dropout backward" in wrong[0]
    n = len(audit.audit_layers(0))
    assert f"{n - 1} of {n} checks passed" in out


def test_data_list_names_every_data_set_and_the_place_of_mnist(numpynet_says, monkeypatch, tmp_path):
    monkeypatch.setenv("NUMPYNET_DATA", str(tmp_path))
    code, out, err = numpynet_says("data", "list")
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()] == ["digits", "mnist1d", "mnist"]
    assert str(tmp_path) in out


@pytest.mark.parametrize("url", [None, "http://localhost/mirror/"])
def test_data_fetch_hands_on_what_was_asked_for(numpynet_says, monkeypatch, tmp_path, url):
    asked = {}

    def fetch(folder, *, progress, **mirror):
        asked.update(folder=folder, **mirror)
        progress("one file", 5, 10)
        progress("a file of unknown size", 5, None)
        return folder

    monkeypatch.setattr("numpynet.data.fetch_mnist", fetch)
    code, out, err = numpynet_says(
        "data", "fetch", "mnist", "--folder", tmp_path, *(() if url is None else ("--url", url))
    )
    assert (code, err) == (0, "")
    assert out == f"MNIST is complete and verified in {tmp_path}\n"
    assert asked == {"folder": tmp_path} | ({} if url is None else {"base_url": url})


def test_demo_hands_on_what_was_asked_for(numpynet_says, monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr("numpynet.demo.run_demo", lambda folder, *, seed: asked.append((folder, seed)) or False)
    assert numpynet_says("demo", "--out", tmp_path, "--seed", 3)[0] == 1  # a check failed
    monkeypatch.setattr("numpynet.demo.run_demo", lambda folder, *, seed: True)
    assert numpynet_says("demo", "--out", tmp_path)[0] == 0
    assert asked == [(tmp_path, 3)]


# ---- commands that are wrong ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "fragments"),
    [
        ("", ["arguments are required", "COMMAND", "see numpynet --help"]),
        ("training", ["invalid choice: 'training'", "demo"]),
        ("verify --draws 0", ["--draws", "must be >= 1, got 0"]),
        ("verify --layers --mutants", ["--mutants", "not allowed with argument --layers"]),
        ("verify --seed x", ["--seed", "'x' is not an integer"]),
        ("demo --seed -1", ["--seed", "a seed must be >= 0, got -1"]),
        ("data", ["ACTION", "see numpynet data --help"]),
        ("data fetch cifar", ["invalid choice: 'cifar'", "mnist"]),
        ("train --data iris", ["--data", "'iris'", "digits"]),
        ("train --dat", ["--dat"]),
        ("train --sizes 64", ["--sizes", "'64' is not of the form 784-300-100-10"]),
        ("train --sizes 64-0-10", ["--sizes", "'64-0-10'"]),
        ("train --sizes 64,10", ["--sizes", "'64,10'"]),
        ("train --sizes 784-100-10", ["--sizes 784-100-10 does not fit digits", "64 inputs and 10 classes"]),
        ("train --sizes 64-30-9", ["--sizes 64-30-9 does not fit digits", "10 classes"]),
        ("train --keep-prob 0", ["--keep-prob", "0 must lie in (0, 1]", "probability that a unit stays"]),
        ("train --keep-prob 1.5", ["--keep-prob", "1.5 must lie in (0, 1]"]),
        ("train --keep-prob -0.2", ["--keep-prob"]),
        ("train --keep-prob nan", ["--keep-prob", "nan must lie in (0, 1]"]),
        ("train --keep-prob half", ["--keep-prob", "'half' is neither a number nor a list such as 0.8,0.5,0.5"]),
        ("train --keep-prob 0.8,,0.5", ["--keep-prob", "neither a number nor a list"]),
        ("train --keep-prob 0.8,2", ["--keep-prob", "0.8,2 must lie in (0, 1]"]),
        ("train --sizes 64-10 --keep-prob 0.8", ["--keep-prob 0.8 is for the hidden layers", "has none"]),
        ("train --sizes 64-30-10 --keep-prob 0.9,0.8,0.7", ["keep_prob has 3 entries", "2 layers"]),
        ("train --activation swish", ["--activation", "'swish'", "relu"]),
        ("train --optimizer lion", ["--optimizer", "'lion'", "adam"]),
        ("train --lr 0", ["lr is 0.0", "> 0"]),
        ("train --lr nan", ["lr is nan"]),
        ("train --lr inf", ["lr is inf"]),
        ("train --lr fast", ["--lr", "'fast'"]),
        ("train --lr -0.1", ["lr is -0.1"]),
        ("train --epochs 0", ["epochs is 0, but an integer >= 1"]),
        ("train --epochs 1.5", ["--epochs", "'1.5'"]),
        ("train --steps 0", ["steps is 0, but an integer >= 1"]),
        ("train --epochs 1 --steps 5", ["--steps", "not allowed with argument --epochs"]),
        ("train --batch-size 0", ["batch_size is 0"]),
        ("train --batch-size 5000", ["batch_size is 5000", "only 1437 examples"]),
        ("train --evaluate-every 0", ["evaluate_every is 0"]),
        ("train --validation 1437", ["n_validation is 1437", "of 1437 examples at least one must stay"]),
        ("train --validation -5", ["n_validation is -5"]),
        ("train --validation 1400 --batch-size 64", ["batch_size is 64", "only 37 examples"]),
        ("train --seed -1", ["--seed", "a seed must be >= 0, got -1"]),
        ("train --seed 1 2 1", ["--seed 1 2 1 names a seed twice"]),
        ("train --seed 0.5", ["--seed", "'0.5' is not an integer"]),
        ("train --dtype float16", ["--dtype", "'float16'"]),
        ("train --warmup -1 --epochs 1", ["--warmup is -1", "23, the steps of the run"]),
        ("train --warmup 23 --epochs 1", ["--warmup is 23", "23, the steps of the run"]),
        ("train --warmup 100 --steps 50 --schedule cosine", ["--warmup is 100", "50, the steps of the run"]),
        ("train --schedule step", ["--schedule step needs --decay-every STEPS"]),
        ("train --schedule step --decay-every 0", ["every is 0"]),
        (
            "train --schedule exponential --decay-factor -0.5",
            ["--decay-factor", "must be a finite number > 0, got -0.5"],
        ),
        ("train --schedule exponential --decay-factor nan", ["--decay-factor", "got nan"]),
        ("train --schedule cosine --decay-factor 0.5", ["--decay-factor is for step and exponential", "cosine"]),
        ("train --decay-every 5", ["--decay-every is for step", "no effect on constant"]),
        ("train --momentum 0.5", ["--momentum is for momentum and nesterov", "no effect on sgd"]),
        ("train --optimizer nesterov --momentum 1", ["momentum is 1.0", "< 1"]),
        ("train --weight-decay -1", ["weight decay is -1.0"]),
        ("train --max-norm 0", ["max_norm is 0.0"]),
        ("train --data-folder here", ["--data-folder is for mnist", "digits"]),
        ("lottery run quick --data-folder here", ["--data-folder is for mnist", "mnist1d"]),
        ("train --resume --overwrite", ["--overwrite", "not allowed with argument --resume"]),
        ("train --resume", ["--resume", "holds no checkpoint.npz"]),
        ("train --data mnist --data-folder nowhere", ["MNIST is not in nowhere", "numpynet data fetch mnist"]),
    ],
)
def test_wrong_input_is_refused_on_one_line_before_anything_is_written(
    numpynet_says, monkeypatch, tmp_path, arguments, fragments
):
    monkeypatch.chdir(tmp_path)
    code, out, err = numpynet_says(*arguments.split())
    assert (code, out) == (2, "")
    assert_one_line(err, *fragments)
    assert list(tmp_path.iterdir()) == []


def test_mnist_that_is_missing_is_looked_for_where_the_environment_says(numpynet_says, monkeypatch, tmp_path):
    monkeypatch.setenv("NUMPYNET_DATA", str(tmp_path / "empty"))
    code, _, err = numpynet_says("train", "--data", "mnist", "--out", tmp_path / "run")
    assert code == 2
    assert_one_line(err, tmp_path / "empty", "NUMPYNET_DATA", "train-images-idx3-ubyte")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", ["train", "demo"])
def test_a_folder_that_is_a_file_is_refused(numpynet_says, tmp_path, command):
    (tmp_path / "taken").write_text("mine")
    for out in (tmp_path / "taken", tmp_path / "taken" / "deeper" / "still"):
        code, _, err = numpynet_says(command, "--out", out)
        assert code == 2
        assert_one_line(err, "--out", f"{tmp_path / 'taken'} is a file, but a folder is needed")
    assert (tmp_path / "taken").read_text() == "mine"


@pytest.mark.parametrize("command", [("train", *QUICK), ("demo",)])
def test_a_folder_that_may_not_be_made_is_named(numpynet_says, monkeypatch, tmp_path, command):
    def refuse(path, *args, **kwargs):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    code, out, err = numpynet_says(*command, "--out", tmp_path / "locked" / "run")
    assert (code, out) == (2, "")  # before any work
    assert err == f"numpynet: error: {tmp_path / 'locked' / 'run'}: {os.strerror(errno.EACCES)}\n"


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 0)() == 0, reason="whoever is root may write everywhere")
@pytest.mark.parametrize("command", [("train", *QUICK), ("demo",)])
def test_a_folder_without_permission_is_named(numpynet_says, tmp_path, command):
    locked = tmp_path / "locked"
    locked.mkdir()
    locked.chmod(0o555)
    code, _, err = numpynet_says(*command, "--out", locked / "run")
    locked.chmod(0o755)
    assert code == 2
    assert_one_line(err, locked / "run", os.strerror(errno.EACCES))


def test_a_full_disk_is_said_and_leaves_nothing_half(numpynet_says, monkeypatch, tmp_path):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("numpynet.storage.os.fsync", full)
    code, _, err = numpynet_says("train", *QUICK, "--out", tmp_path / "run")
    assert code == 1  # the command was right
    assert_one_line(err, tmp_path / "run", os.strerror(errno.ENOSPC), "nothing was written")
    assert list((tmp_path / "run").iterdir()) == []


@pytest.mark.parametrize(
    ("number", "expected"),
    [(errno.ENOSPC, 1), (errno.EDQUOT, 1), (errno.EIO, 1), (errno.ENOENT, 2), (errno.EACCES, 2), (errno.EISDIR, 2)],
)
def test_trouble_with_the_disk_is_no_error_of_the_command_line(numpynet_says, monkeypatch, number, expected):
    def refuse(options):
        raise OSError(number, os.strerror(number), "somewhere")

    monkeypatch.setattr("numpynet.train_run.run_train", refuse)
    assert numpynet_says("train") == (expected, "", f"numpynet: error: somewhere: {os.strerror(number)}\n")


def test_a_server_that_does_not_answer_is_no_error_of_the_command_line(numpynet_says, monkeypatch, tmp_path):
    """It ended with 2, as if another command line would help."""
    monkeypatch.setattr("numpynet.data.fetch.time.sleep", lambda seconds: None)
    nobody = "http://127.0.0.1:9"  # the discard port: nobody listens
    code, _, err = numpynet_says("data", "fetch", "mnist", "--folder", tmp_path, "--url", nobody)
    assert code == 1
    assert_one_line(
        err, "cannot fetch train-images-idx3-ubyte.gz", f"{nobody}/train-images-idx3-ubyte.gz did not answer"
    )
    assert numpynet_says("data", "fetch", "mnist", "--folder", tmp_path, "--url", "ftp://127.0.0.1")[0] == 2


@pytest.mark.parametrize(
    "words",
    [("lottery", "run", "quick"), ("dropout", "keep-prob", "--quick"), ("link", "tickets", "--quick")],
    ids=lambda words: words[0],
)
def test_a_scheduler_that_does_not_answer_is_no_error_of_the_command_line(numpynet_says, monkeypatch, tmp_path, words):
    pytest.importorskip("distributed", reason="a Dask cluster needs: pip install 'numpynet[cluster]'")
    monkeypatch.setattr("numpynet.dask_cluster.ANSWER_SECONDS", 0.3)
    for address, expected in (("tcp://127.0.0.1:1", 1), ("nowhere", 2)):
        code, out, err = numpynet_says(*words, "--scheduler", address, "--out", tmp_path / "run")
        assert (code, out) == (expected, "")
        assert_one_line(err, f"no Dask scheduler answers at '{address}'")
        assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("port", ["0", "-1", "65536", "99999"])
def test_a_port_that_is_none_is_an_error_of_the_command_line(numpynet_says, tmp_path, port):
    """It was tried for 10 s, and ended with 1."""
    address = f"tcp://127.0.0.1:{port}"
    code, out, err = numpynet_says("lottery", "run", "quick", "--scheduler", address, "--out", tmp_path / "run")
    assert (code, out) == (2, "")
    assert_one_line(err, address, "ports go from 1 to 65535")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("error", [ConnectionError, ConnectionRefusedError, TimeoutError])
def test_a_connection_that_is_lost_is_no_error_of_the_command_line(numpynet_says, monkeypatch, error):
    def lose(options):
        raise error("nobody is there")

    monkeypatch.setattr("numpynet.train_run.run_train", lose)
    assert numpynet_says("train") == (1, "", "numpynet: error: nobody is there\n")


# ---- runs that meet one another -------------------------------------------------------------------------------------


@pytest.fixture
def finished(numpynet_says, tmp_path):
    """The folder of a finished run."""
    assert numpynet_says("train", *QUICK, "--out", tmp_path / "run")[0] == 0
    return tmp_path / "run"


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_folder_that_holds_a_run_is_not_touched(numpynet_says, finished):
    before = contents(finished)
    code, _, err = numpynet_says("train", *QUICK, "--seed", 5, "--out", finished)
    assert code == 2
    assert_one_line(err, finished, "already holds a run", "--resume", "--overwrite", "--out")
    assert contents(finished) == before


@pytest.mark.parametrize(
    ("changed", "fragments"),
    [
        (("--lr", "0.2"), ["schedule: 'Constant(lr=0.1)' there, 'Constant(lr=0.2)' here"]),
        (("--schedule", "cosine"), ["schedule: 'Constant(lr=0.1)' there, 'Cosine(lr=0.1, steps=23"]),
        (("--sizes", "64-20-10"), ["sizes: '(64, 10)' there, '(64, 20, 10)' here"]),
        (("--sizes", "64-20-10", "--keep-prob", "0.8"), ["keep_prob: '(None,)' there, '(None, 0.8)' here"]),
        (("--batch-size", "32"), ["batch_size: '64' there, '32' here"]),
        (("--optimizer", "adam", "--lr", "0.1"), ["optimizer: 'SGD()' there, 'Adam("]),
        (("--weight-decay", "0.01"), ["decay: ", "coupled=0.01"]),
        (("--activation", "tanh"), ["activation: 'relu' there, 'tanh' here"]),
        (("--initializer", "he_normal"), ["initializer: 'glorot_normal' there, 'he_normal' here"]),
        (("--seed", "5"), ["seed: '0' there, '5' here"]),
        (("--dtype", "float64"), ["dtype: 'float32' there, 'float64' here"]),
        (("--validation", "100"), ["data: 'x "]),
        (("--evaluate-every", "5"), ["evaluate_every: 'None' there, '5' here"]),
    ],
)
def test_a_run_is_not_resumed_with_other_settings(numpynet_says, finished, changed, fragments):
    before = contents(finished)
    code, _, err = numpynet_says("train", *QUICK, "--out", finished, "--resume", *changed)
    assert code == 2
    assert_one_line(err, "belongs to another training", *fragments)
    assert contents(finished) == before


def spoil(content: bytes, how: str) -> bytes:
    if how == "cut short":
        return content[: len(content) // 2]
    if how == "a flipped bit":
        middle = len(content) // 2
        return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    return {"empty": b"", "text": b"step 23\n"}[how]


@pytest.mark.parametrize(
    ("how", "reason"),
    [("cut short", "damaged"), ("a flipped bit", "damaged"), ("empty", "it is empty"), ("text", "not an .npz file")],
)
def test_a_damaged_checkpoint_is_refused(numpynet_says, finished, how, reason):
    checkpoint = finished / "checkpoint.npz"
    checkpoint.write_bytes(spoil(checkpoint.read_bytes(), how))
    before = contents(finished)
    code, _, err = numpynet_says("train", *QUICK, "--out", finished, "--resume")
    assert code == 2
    assert_one_line(err, f"cannot load {checkpoint}", reason)
    assert contents(finished) == before


def test_a_foreign_checkpoint_is_refused(numpynet_says, finished):
    save_arrays(finished / "checkpoint.npz", {"theta": np.zeros(3)}, kind="weights")
    code, _, err = numpynet_says("train", *QUICK, "--out", finished, "--resume")
    assert code == 2
    assert_one_line(err, "'weights'", "'training checkpoint' is needed")


def test_a_training_that_explodes_ends_with_1_and_keeps_its_history(numpynet_says, tmp_path):
    code, out, err = numpynet_says("train", "--lr", "1e30", "--out", tmp_path)
    assert code == 1
    assert_one_line(err, "the loss is nan at step 2", "learning rate 1e+30 is probably too large")
    assert len(out.splitlines()) == 1  # step 0
    assert [line.split(",")[:2] for line in (tmp_path / "history.csv").read_text().splitlines()] == [
        ["seed", "step"],
        ["0", "0"],
    ]
    assert not (tmp_path / "weights.npz").exists()


def test_an_interrupt_from_the_keyboard_is_no_traceback(numpynet_says, monkeypatch):
    def interrupted(options):
        raise KeyboardInterrupt

    monkeypatch.setattr("numpynet.train_run.run_train", interrupted)
    assert numpynet_says("train") == (1, "", "\nnumpynet: interrupted\n")


def test_the_traceback_is_there_for_who_asks(tmp_path):
    with pytest.raises(ValueError, match="does not fit digits"):
        main(["--traceback", "train", "--sizes", "3-2", "--out", str(tmp_path)])


def test_an_error_in_the_program_is_not_taken_for_wrong_input(monkeypatch):
    def broken(seed):
        raise AttributeError("a bug")

    monkeypatch.setattr(audit, "audit_everything", broken)
    with pytest.raises(AttributeError):
        main(["verify"])


# ---- the process ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "err"),
    [
        (("data", "list"), 0, r""),
        (("train", "--lr", "1e30", "--out", "run"), 1, r"numpynet: error: the loss is nan[^\n]+\n"),
        (("train", "--sizes", "3-2", "--out", "run"), 2, r"numpynet: error: --sizes 3-2 does not fit[^\n]+\n"),
        (("train", "--sizes", "3"), 2, r"numpynet train: error: argument --sizes[^\n]+\n"),
    ],
)
def test_exit_codes(tmp_path, arguments, code, err):
    done = numpynet_process(*arguments, cwd=tmp_path)
    assert done.returncode == code
    assert re.fullmatch(err, done.stderr), done.stderr


def test_a_terminal_that_lacks_a_character_is_no_reason_to_stop(tmp_path):
    done = numpynet_process("train", *QUICK, "--seed", 1, 2, cwd=tmp_path, PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"final test accuracy: \S+ \? \S+ %", done.stdout)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no broken pipes")
def test_a_reader_that_goes_away_ends_the_command_quietly(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "numpynet", "train", "--sizes", "64-10", "--epochs", "50", "--out", "run"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout.readline().startswith("step    0")
        process.stdout.close()  # as "| head -1" does
        err = process.stderr.read()
        code = process.wait(timeout=60)
    assert (code, err) == (1, "")
    assert (tmp_path / "run" / "history.csv").exists()


def test_a_folder_without_a_name_is_refused(numpynet_says):
    code, _, err = numpynet_says("train", "--epochs", "1", "--out", "")
    assert code == 2 and "the name of the folder is empty" in err


@pytest.mark.skipif(os.name == "nt", reason="no sh")
@pytest.mark.parametrize("closed", [">&-", ">&- 2>&-"])
def test_a_command_that_is_started_without_an_output_does_its_work(tmp_path, closed):
    """Of "numpynet ... >&-" Python makes sys.stdout = None, which cannot be flushed: a traceback, and 1."""
    words = [sys.executable, "-m", "numpynet", "train", "--sizes", "64-10", "--epochs", "1", "--out", "run"]
    done = subprocess.run(
        ["sh", "-c", f'"$@" {closed}', "sh", *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "run" / "history.csv").exists()

"""The suite as its users run it: pytest in a process of its own, in a folder of their own."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parents[2]

MUTANT = """
import numpy as np


def relu_forward(z):
    return np.maximum(z, 0), z


def relu_backward(dh, z):
    return dh * (z < 0)


def prune(W, mask, rate):
    return mask * (np.abs(W) > np.quantile(np.abs(W), rate))
"""

HALF_FINISHED = """
import numpy as np


def relu_forward(z):
    return np.maximum(z, 0), z


def relu_backward(dh, cache):
    raise NotImplementedError("Task 1.2: relu_backward")


def rewind(W_0, mask):
    return mask * W_0
"""


def suite(folder, *arguments, **environment):
    """Run the suite; return the exit code and the output."""
    inherited = {k: v for k, v in os.environ.items() if k not in ("CI", "HYPOTHESIS_PROFILE", "NUMPYNET_UNDER_TEST")}
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "--pyargs",
            "numpynet.conformance",
            "-q",
            "-p",
            "no:cacheprovider",
            *arguments,
        ],
        cwd=folder,
        env={**inherited, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.returncode, done.stdout + done.stderr


def test_a_wrong_file_fails_with_its_diagnosis(tmp_path):
    (tmp_path / "wrong.py").write_text(MUTANT)
    code, out = suite(tmp_path, "--strict-markers", NUMPYNET_UNDER_TEST="wrong.py")
    assert code == 1
    assert "FAILED" in out
    for line in (
        "GradientMismatch  relu   d loss / d z",
        "most likely: the ReLU gate is open on the wrong side, z < 0",
        "reproduce: numpynet check wrong.py --task relu --seed 0 --shape 5,7,11,3",
        "LawBroken  prune",
        "reproduce: numpynet check wrong.py --task prune --seed 0 --shape 5,7,11,3",
        "WAIT: linear_forward is not defined",
    ):
        assert line in out
    for internal in ("stage_gradients.py", "mask_laws.py", "layer_laws.py", "laws.py:1", "hypothesis/core.py"):
        assert internal not in out
    failed = [line for line in out.splitlines() if line.startswith("FAILED")]
    assert {line.split("[")[1].split(":")[0] for line in failed} == {"relu_backward", "prune"}


def test_a_half_finished_file_passes_with_what_it_has(tmp_path):
    (tmp_path / "half.py").write_text(HALF_FINISHED)
    code, out = suite(
        tmp_path,
        "--import-mode=importlib",
        "--strict-markers",
        *("-m", "relu_forward or relu_backward or rewind or linear_forward"),
        *("-W", "error"),
        NUMPYNET_UNDER_TEST=str(tmp_path / "half.py"),
    )
    assert code == 0, out
    assert "WAIT: Task 1.2: relu_backward" in out
    assert "WAIT: linear_forward is not defined" in out
    assert "5 passed, " in out  # three laws of relu_forward, two of rewind
    assert "deselected" in out


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("NUMPYNET_UNDER_TEST", "nowhere.py", "nowhere.py: there is no such file"),
        (
            "HYPOTHESIS_PROFILE",
            "fast",
            "HYPOTHESIS_PROFILE is 'fast', but it must be one of dev, explore, student, ci, thorough",
        ),
    ],
)
def test_who_asks_for_what_is_not_there_gets_one_line(monkeypatch, variable, value, message):
    monkeypatch.setenv(variable, value)
    conftest = importlib.import_module("numpynet.conformance.conftest")
    with pytest.raises(pytest.UsageError, match=re.escape(f"numpynet.conformance: {message}")):
        conftest.pytest_collection_modifyitems(None, [SimpleNamespace(fixturenames=["under_test"])])
    conftest.pytest_collection_modifyitems(None, [SimpleNamespace(fixturenames=["tmp_path"])])  # not our tests

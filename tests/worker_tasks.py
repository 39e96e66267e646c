"""Tasks for the tests of ``numpynet.parallel``. Workers import this file by its own name, so it stands in no package."""

import os
import signal
import sys
import time
from pathlib import Path
from typing import NamedTuple


class Task(NamedTuple):
    """A number to square; where a flag lies, the worker that takes it away dies; first wait for a file, if one is named."""

    number: int
    flag: Path | None = None
    awaited: Path | None = None


def square(task: Task) -> int:
    while task.awaited is not None and not task.awaited.exists():
        time.sleep(0.01)
    if task.flag is not None and task.flag.exists():
        task.flag.unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    return task.number**2


def deadly(task: int) -> int:
    if task == 3:
        os._exit(9)
    return task


def fails(task: int) -> int:
    """Even tasks fail, the later the sooner."""
    time.sleep(0.2 / (1 + task))
    if task % 2 == 0 and task > 0:
        raise ValueError(f"task {task} failed")
    return task


def surroundings(task: object) -> dict[str, object]:
    """What a worker sees of the world before it has imported NumPy, and its process id."""
    names = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
    return {
        "threads": [os.environ.get(name) for name in names],
        "numpy was here": "numpy" in sys.modules,
        "terminal": sys.stderr.isatty(),
        "pid": os.getpid(),
    }


def draws(n_bytes: int) -> bytes:
    """Return bytes that nobody else has."""
    return os.urandom(n_bytes + 16)


def says_hello_and_sleeps(folder: Path) -> None:
    """Leave the process id in a folder, and sleep for a minute."""
    (folder / str(os.getpid())).touch()
    time.sleep(60)


def train_group(seeds: tuple[int, ...]) -> tuple[bytes, list[float]]:
    """Train a small stack of replicates with dropout, and return the bits of its parameters and its losses."""
    from numpynet.data import load_digits
    from numpynet.network import MLP
    from numpynet.plan import TrainingPlan
    from numpynet.training import begin, train

    data = load_digits()
    state = begin(MLP((64, 20, 10), keep_prob=0.8), TrainingPlan(steps=30, batch_size=50), data.train, seed=seeds)
    losses = [record.loss["test"] for record in train(state, data.train, monitors={"test": data.test})]
    return state.theta.vector.tobytes(), losses[-1]

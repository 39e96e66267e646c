"""A lottery experiment in a folder: killed at any moment and started again, it ends with the same bits.

The trials are trained in groups of a fixed size, each a task of its own: a function of plain records, which shares
nothing with the others but the folder. So the outcome does not depend on how many groups run at the same time.

A group goes through the ladder from the beginning, every time. What is done already is not trained again but read, and
checked against what the ladder has come to; so a resumed run cannot drift away from an uninterrupted one unnoticed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from numpynet.checkpoints import load_checkpoint, save_checkpoint
from numpynet.lottery import curves, run_folder, training_files
from numpynet.lottery.arms import CONTROLS
from numpynet.lottery.experiment import Examples, Experiment, load_examples
from numpynet.lottery.imp import Level, Trained, Training, iterative_pruning
from numpynet.lottery.outcomes import summaries, watched
from numpynet.lottery.rewinding import RewindPoint, rewind_point
from numpynet.parameters import Parameters
from numpynet.pruning import DisconnectedError
from numpynet.seeding import streams
from numpynet.storage import StorageError
from numpynet.training import TrainingDiverged, TrainingState


class Group(NamedTuple):
    """A part of an experiment that can be run anywhere: some trials, through all levels."""

    folder: str
    experiment: Experiment
    trials: tuple[int, ...]
    data_folder: str | None = None
    save_every: float = 20.0  # seconds between checkpoints of a training

    @property
    def seeds(self) -> list[int]:
        """One for each trial."""
        return [self.experiment.seeds[trial] for trial in self.trials]


def run_group(
    group: Group,
    *,
    examples: Examples | None = None,
    on_step: Callable[[int], None] | None = None,
    on_level: Callable[[Group, Level], None] | None = None,
    versions: Mapping[str, str] | None = None,
) -> None:
    """Train everything that the group still lacks, and save it.

    Parameters
    ----------
    group : which
    examples : of its experiment, if they are loaded already
    on_step : called with the number of steps that were made, or that a finished training did not need
    on_level : called after each level
    versions : name -> version of what trains here; the log names them for every training

    Raises
    ------
    StorageError, OSError
        A file of the folder cannot be believed, or cannot be written; what was saved before is as it was.
    DisconnectedError, TrainingDiverged
        Which trial, level and arm is in the message.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from numpynet.lottery.run_results import finished
    >>> small = Experiment(data="digits", sizes=(64, 10), validation=200, steps=4, rounds=1, rate=0.5, replicates=1)
    >>> with TemporaryDirectory() as name:
    ...     run_group(Group(name, small, trials=(0,)))
    ...     [(row["level"], row["arm"], row["density"]) for row in finished(Path(name), small)]
    [(0, 'ticket', 1.0), (1, 'ticket', 0.75), (1, 'reinit', 0.75)]
    """
    experiment = group.experiment
    examples = examples or load_examples(experiment, None if group.data_folder is None else Path(group.data_folder))
    trainer = _Saving(group, examples, on_step or (lambda steps: None), dict(versions or {}))
    trainer.check_start()
    level = None
    levels = iterative_pruning(
        experiment.net(),
        experiment.plan(),
        examples.train,
        seeds=group.seeds,
        rounds=experiment.rounds,
        prune=experiment.prune(),
        controls={name: CONTROLS[name] for name in experiment.controls},
        draws=experiment.draws_of(),
        rewinding=experiment.rewinding,
        trainer=trainer,
    )
    try:
        for level in levels:
            if on_level is not None:
                on_level(group, level)
    except DisconnectedError as error:
        raise DisconnectedError(
            f"after level {level.number if level else 0} of {_names(group)}: {error}. The levels before are kept; take fewer rounds, a "
            f"smaller rate, or min_keep {experiment.min_keep + 1}"
        ) from error


def _names(group: Group) -> str:
    first, last = group.trials[0], group.trials[-1]
    return f"trial {first}" if first == last else f"trials {first} to {last}"


class _Saving:
    """A trainer that saves what it trains, and reads what is saved already."""

    def __init__(
        self, group: Group, examples: Examples, on_step: Callable[[int], None], versions: dict[str, str]
    ) -> None:
        self.group, self.examples, self.on_step, self.versions = group, examples, on_step, versions
        self.folder, self.net = Path(group.folder), group.experiment.net()
        plan = group.experiment.plan()
        rngs = [streams(seed).init for seed in group.seeds]
        self.theta_0 = self.net.init(rngs, initializer=plan.initializer, dtype=plan.dtype)

    def check_start(self) -> None:
        """Save theta_0, or check that it is the one that was saved."""
        for r, trial in enumerate(self.group.trials):
            if not (self.folder / f"trial_{trial:02}" / "start.npz").exists():
                training_files.save_start(self.folder, trial, self.group.seeds[r], self.theta_0, None, r)
            elif not np.array_equal(self._start(trial)[0].vector, self.theta_0.vector[r]):
                raise StorageError(
                    f"the initial weights of trial {trial} in {self.folder} are not those that its seed gives here; they were "
                    "drawn by another version of NumPy or numpynet, see environment.json"
                )

    def __call__(self, training: Training) -> Trained:
        paths = [training_files.place(self.folder, t, training.level, training.arm) for t in self.group.trials]
        if all((path / "summary.json").exists() for path in paths):
            return self._read(training, paths)
        began = time.monotonic()
        state, point = self._train(training)
        trained = Trained(state.theta, state.weight_mask, state.history, point)
        rows = summaries(
            self.net, trained, self.examples, level=training.level, arm=training.arm.name, draw=training.arm.draw
        )
        for r, (path, row) in enumerate(zip(paths, rows)):
            training_files.save_training(path, row, trained, r)
        self._checkpoint(training).unlink(missing_ok=True)
        seconds = round(time.monotonic() - began, 3)
        self._log("trained", training, seconds=seconds)
        return trained

    def _train(self, training: Training) -> tuple[TrainingState, RewindPoint | None]:
        """Train to the end, from the last checkpoint if there is one."""
        state, path = training.begin(), self._checkpoint(training)
        first, point = state.step, None
        if path.exists():
            saved = load_checkpoint(path, state.net, state.plan, self.examples.train, seed=state.seed)
            if not np.array_equal(saved.weight_mask.vector, state.weight_mask.vector):
                raise StorageError(f"{path} was made under another mask than this level has; delete it to train anew")
            state = saved
            self._log("resumed", training, step=state.step, versions=self.versions)
            self.on_step(state.step - first)
        else:
            self._log("started", training, versions=self.versions)
        keep_at = training.keep_at
        if keep_at is not None:
            if state.step <= keep_at:
                self._go_on(state, path, until=keep_at)
                point = rewind_point(state)
                for r, trial in enumerate(self.group.trials):
                    training_files.save_start(self.folder, trial, self.group.seeds[r], self.theta_0, point, r)
            else:
                point = self._point()
        self._go_on(state, path)
        return state, point

    def _go_on(self, state: TrainingState, path: Path, until: int | None = None) -> None:
        experiment, saved = self.group.experiment, time.monotonic()
        before = state.step

        def on_step(step: int) -> None:
            nonlocal before
            self.on_step(step - before)
            before = step

        try:
            for _ in watched(
                state,
                self.examples,
                test_curve=experiment.test_curve,
                compact=experiment.compact,
                on_step=on_step,
                until=until,
            ):
                if time.monotonic() - saved >= self.group.save_every:
                    path.parent.mkdir(exist_ok=True)
                    save_checkpoint(path, state, self.examples.train)
                    saved = time.monotonic()
        except TrainingDiverged as error:
            raise TrainingDiverged(f"{_names(self.group)}, {path.stem}: {error}") from error

    def _read(self, training: Training, paths: list[Path]) -> Trained:
        """What was trained before, if it is what would be trained now."""
        begun = training.begin()
        parts = [training_files.load_training(path, self.net.layout) for path in paths]
        thetas, masks, histories = zip(*parts)
        for path, mask, expected in zip(paths, masks, begun.weight_mask.vector):
            if not np.array_equal(mask.vector, expected):
                raise StorageError(f"{path / 'mask.npz'} is not the mask that the level before leads to")
        self.on_step(self.group.experiment.steps - begun.step)
        theta = Parameters(np.stack([t.vector for t in thetas]), self.net.layout)
        point = self._point() if training.keep_at is not None else None
        return Trained(theta, begun.weight_mask, curves.stacked_history(histories), point)

    def _point(self) -> RewindPoint:
        """The point to rewind to, of all trials of the group."""
        points = [self._start(trial)[1] for trial in self.group.trials]
        if None in points:
            raise StorageError(f"the start.npz of {_names(self.group)} in {self.folder} have no rewind point")
        first = points[0]
        theta = Parameters(np.stack([p.theta.vector for p in points]), self.net.layout)
        slots = {name: np.stack([p.slots[name] for p in points]) for name in first.slots}
        return RewindPoint(first.step, theta, slots, first.optimizer_step)

    def _start(self, trial: int):
        return training_files.load_start(self.folder, trial, self.net.layout)

    def _checkpoint(self, training: Training) -> Path:
        first, last = self.group.trials[0], self.group.trials[-1]
        name = f"trials_{first:02}-{last:02}_level_{training.level:02}_{training.arm}.npz"
        return self.folder / "checkpoints" / name

    def _log(self, event: str, training: Training, **facts) -> None:
        trials = list(self.group.trials)
        run_folder.log(self.folder, event, trials=trials, level=training.level, arm=str(training.arm), **facts)


def clear_leftovers(folder: Path) -> None:
    """Remove what a finished run no longer needs, and half-written files of processes that were killed.

    The folder may hold other things: files of its user, or other runs that are being trained. They stay.

    Parameters
    ----------
    folder : of the run; it need not exist

    Examples
    --------
    >>> clear_leftovers(Path("no such folder"))
    """
    unfinished = ".numpynet-*.tmp"
    for pattern in (
        unfinished,
        f"trial_*/**/{unfinished}",
        f"checkpoints/{unfinished}",
        "checkpoints/trials_*_level_*.npz",
    ):
        for path in folder.glob(pattern):
            path.unlink(missing_ok=True)
    with suppress(OSError):  # there is none, or there is something else in it
        (folder / "checkpoints").rmdir()

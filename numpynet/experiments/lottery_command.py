"""``numpynet lottery``: run an experiment in a folder, go on with it, report it."""

from __future__ import annotations

import hashlib
import platform
import threading
import time
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from numpynet import report
from numpynet.dask_cluster import check_scheduler
from numpynet.experiments.lottery_clock import clock, measure
from numpynet.experiments.lottery_page import lottery_report
from numpynet.experiments.publish import publish
from numpynet.lottery import run_folder, run_results, run_versions
from numpynet.lottery.experiment import Examples, Experiment, differences, load_examples
from numpynet.lottery.imp import Level
from numpynet.lottery.plain_files import json_objects
from numpynet.lottery.presets import ABOUT, OPTIONS, PRESETS, command_of, scaled
from numpynet.lottery.run import Group, clear_leftovers, run_group
from numpynet.parallel import run_tasks
from numpynet.progress import Progress, say
from numpynet.statistics import t_interval
from numpynet.storage import StorageError


def configured(options: Namespace) -> Experiment:
    """Return the experiment that the preset and the options describe.

    Parameters
    ----------
    options : preset, scale, and those of ``OPTIONS``, each None where it was not given

    Returns
    -------
    Experiment

    Raises
    ------
    ValueError
        There is no such preset, or an option does not fit.

    Examples
    --------
    >>> from argparse import Namespace
    >>> configured(Namespace(preset="quick", scale=1.0, **dict.fromkeys(OPTIONS)))  == PRESETS["quick"]
    True
    """
    if options.preset not in PRESETS:
        raise ValueError(f"there is no preset {options.preset!r}; there are {', '.join(PRESETS)}")
    given = {name: value for name in OPTIONS if (value := getattr(options, name)) is not None}
    if "rate" in given and "output_rate" not in given:
        given["output_rate"] = None  # that of the preset belongs to the rate of the preset
    if given.get("scope") == "global":
        given.setdefault("output_rate", None)
    changed = replace(PRESETS[options.preset], **{k: v for k, v in given.items() if k != "rewind"})
    changed = scaled(changed, options.scale) if options.scale != 1 else changed
    return replace(changed, rewind=given["rewind"]) if "rewind" in given else changed


def run(options: Namespace) -> int:
    """Run an experiment, or go on with it, and report it.

    Parameters
    ----------
    options : what ``numpynet lottery run`` parsed

    Returns
    -------
    The exit code.

    Raises
    ------
    TypeError, ValueError, OSError
        The options do not fit each other, the data, or what the folder holds.
    """
    experiment = configured(options)
    folder = options.out or Path("runs") / f"lottery-{options.preset}"
    return _run(experiment, folder, options)


def resume(options: Namespace) -> int:
    """Go on with the run in a folder.

    Parameters
    ----------
    options : what ``numpynet lottery resume`` parsed

    Returns
    -------
    The exit code.

    Raises
    ------
    StorageError
        There is no run in it, or it cannot be read.
    """
    return _run(run_folder.read_experiment(options.folder), options.folder, options)


def _run(experiment: Experiment, folder: Path, options: Namespace) -> int:
    if options.data_folder is not None and experiment.data != "mnist":
        raise ValueError(f"--data-folder is for mnist; {experiment.data} needs no files")
    if options.scheduler is not None and not options.dry_run:
        check_scheduler(options.scheduler)  # before the folder is claimed
    examples = load_examples(experiment, options.data_folder)
    _describe(experiment, examples)
    estimate = measure(experiment, examples)
    print(estimate.text(min(options.workers, len(experiment.groups))), flush=True)
    if options.dry_run:
        return 0
    folder.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with run_folder.locked(folder):
        known = run_folder.claim(folder, experiment, examples, report.versions())
        wanted = experiment.replicates * experiment.trainings
        done = len(run_results.finished(folder, experiment)) if known else 0
        if known and done < wanted and (others := run_versions.other_versions(folder, report.versions())):
            print(
                f"note: {folder} was begun with {'; '.join(others)}. What is trained from here on may differ from what the "
                "versions of the beginning would give; for a run of one kind, take another folder with --out",
                flush=True,
            )
        run_folder.log(folder, "begun", done=done, of=wanted, workers=options.workers, versions=report.versions())
        if known:
            left = estimate.seconds(min(options.workers, len(experiment.groups))) * (1 - done / wanted)
            print(
                f"{folder} holds this run: {done} of {wanted} trainings are done; about {clock(left)} left", flush=True
            )
        groups = [
            Group(
                str(folder.absolute()),  # a worker may have been started in another folder
                experiment,
                trials,
                None if options.data_folder is None else str(options.data_folder.absolute()),
                options.save_every,
            )
            for trials in experiment.groups
        ]
        if min(options.workers, len(groups)) > 1 or options.scheduler is not None:
            _elsewhere(groups, options)
        else:
            _here(groups, examples)
        results = run_results.write_results(folder, experiment)
        clear_leftovers(folder)
        run_folder.log(folder, "finished", seconds=round(time.monotonic() - began, 1))
        print(f"\nDone in {clock(time.monotonic() - began)}.\n")
        _publish(folder)
    digest = hashlib.sha256(results.read_bytes()).hexdigest()
    print(f"\nresults: {results} (sha256 {digest[:16]})\nreport:  {folder / 'report.html'}")
    return 0


def _describe(experiment: Experiment, examples: Examples) -> None:
    densities = [f"{100 * d:.3g}" for d in experiment.densities()]
    seeds = experiment.seeds
    print(
        f"{'-'.join(map(str, experiment.sizes))} on {examples.data.name} ({len(examples.train.x)} training, "
        f"{len(examples.validation.x)} validation, {len(examples.test.x)} test examples), "
        f"seed{'s' if len(seeds) > 1 else ''} {seeds[0]}{f' to {seeds[-1]}' if len(seeds) > 1 else ''}\n"
        f"weights left in %: {', '.join(densities)}\n"
        f"controls: {', '.join(experiment.controls) or 'none'}; survivors rewound: {experiment.rewind}; cut: "
        f"{experiment.criterion}, {experiment.scope}"
        + ("\nunits that nobody hears are left out while training; the expected time counts them" * experiment.compact)
    )


def _here(groups: Sequence[Group], examples: Examples) -> None:
    """One group after the other, in this process, counting steps."""
    experiment = groups[0].experiment
    progress = Progress("lottery", sum(len(g.trials) for g in groups) * experiment.trainings * experiment.steps)
    done = 0

    def on_step(group: Group, steps: int) -> None:
        nonlocal done
        done += steps * len(group.trials)
        progress.show(done, f"trials {group.trials[0]} to {group.trials[-1]}")

    def on_level(group: Group, level: Level) -> None:
        say(_level_line(level_facts(group, level)))

    try:
        for group in groups:
            run_group(
                group,
                examples=examples,
                on_step=partial(on_step, group),
                on_level=on_level,
                versions=report.versions(),
            )
    finally:
        progress.close()


def _elsewhere(groups: Sequence[Group], options: Namespace) -> None:
    """Several groups at once. What they have to say they write to the log of the folder, and it is read here."""
    experiment, folder = groups[0].experiment, Path(groups[0].folder)
    progress = Progress("lottery", experiment.replicates * experiment.trainings)
    ended = threading.Event()
    failed: list[Exception] = []

    def follow() -> None:
        try:
            show_all()
        except Exception as error:  # nobody reads any more, as in "| head", or the terminal is gone
            failed.append(error)

    def check(*_) -> None:
        if failed:
            raise failed[0]

    def show_all() -> None:
        path, position = folder / "log.jsonl", (folder / "log.jsonl").stat().st_size
        while True:
            last = ended.wait(0.5)
            with open(path, "rb") as file:
                file.seek(position)
                new = file.read()
            whole = new[: new.rfind(b"\n") + 1]
            position += len(whole)
            for facts in json_objects(whole):
                if facts.get("event") == "level":
                    say(_level_line(facts))
            progress.show(sum(1 for _ in folder.rglob("summary.json")), "trainings")
            if last:
                return

    watcher = threading.Thread(target=follow, daemon=True)
    watcher.start()
    try:
        run_tasks(run_and_tell, groups, workers=options.workers, scheduler=options.scheduler, what=None, on_done=check)
    finally:
        ended.set()
        watcher.join()
        progress.close()
    check()


def run_and_tell(group: Group) -> None:
    """``run_group``, with a line in the log after each level; a task for any worker.

    Parameters
    ----------
    group : the replicates of one stack, and the folder of their run

    Raises
    ------
    StorageError
        The folder does not hold this run where the worker looks.
    """
    folder = Path(group.folder)

    def check() -> None:
        if not (folder / "config.json").exists() or differences(run_folder.read_experiment(folder), group.experiment):
            raise StorageError(
                f"{folder} does not hold this run on {platform.node()}, where a worker was to go on with it: the command and "
                "all workers need the same file system; or the folder was removed meanwhile"
            )

    def on_level(group: Group, level: Level) -> None:
        check()  # a task of Dask outlives its command, and must not fill the folder of another run
        run_folder.log(folder, "level", **level_facts(group, level))

    check()
    run_group(group, on_level=on_level, versions=report.versions())  # those of the worker, wherever it is


def level_facts(group: Group, level: Level) -> dict:
    """Return what is told of a level as soon as it is done: validation accuracies, because nothing is chosen by the test.

    Parameters
    ----------
    group : whose level it is
    level : just finished

    Returns
    -------
    trials, level, density, and name of an arm -> mean validation accuracy; what JSON can hold.
    """
    accuracies: dict[str, list[float]] = {}
    for arm, trained in level.trained.items():
        accuracies.setdefault(arm.name, []).append(t_interval(trained.final("validation")).mean)
    return {
        "trials": list(group.trials),
        "level": level.number,
        "density": level.density,
        "validation": {name: float(np.mean(values)) for name, values in accuracies.items()},
    }


def _level_line(facts: dict) -> str:
    trials = facts["trials"]
    who = f"trial {trials[0]}" if len(trials) == 1 else f"trials {trials[0]} to {trials[-1]}"
    told = list(facts["validation"].items())[:4]  # a line has room for three controls; the tables have all of them
    values = "  ".join(f"{name} {100 * value:.2f}" for name, value in told)
    return (
        f"{who:<15} level {facts['level']:>2}  {100 * facts['density']:6.2f} % left  validation %, last step: {values}"
    )


def _publish(folder: Path) -> Path:
    """Print the tables of a run, and write its figures and page; whoever reads the page can repeat the run."""
    try:
        command = command_of(run_folder.read_experiment(folder))
    except ValueError:
        command = ""
    return publish(lottery_report(folder), folder, command=command)


def make_report(options: Namespace) -> int:
    """Write the report of a run anew, finished or not, and print its tables.

    Parameters
    ----------
    options : with ``folder``, that of the run

    Returns
    -------
    The exit code.

    Raises
    ------
    StorageError
        There is no run in the folder, or a file of it is damaged.
    """
    experiment = run_folder.read_experiment(options.folder)
    page = _publish(options.folder)
    run_results.write_results(options.folder, experiment)
    print(f"\nreport: {page}")
    return 0


def list_presets() -> int:
    """Print the presets.

    Examples
    --------
    >>> list_presets()                                                              # doctest: +ELLIPSIS
    quick ...
    0
    """
    print(report.text_table(("preset", "what it is"), list(ABOUT.items())).split("\n", 1)[1])
    return 0

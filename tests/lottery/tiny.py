"""An experiment that takes a moment: what the tests of runs, folders and commands share."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from numpynet.lottery.experiment import Examples, Experiment, load_examples
from numpynet.lottery.run import Group, run_group
from numpynet.lottery.run_folder import claim
from numpynet.lottery.run_results import write_results

TINY = Experiment(
    data="digits",
    sizes=(64, 6, 5, 10),
    keep_prob=0.8,
    validation=200,
    steps=12,
    batch_size=50,
    lr=0.01,
    evaluate_every=3,
    rounds=2,
    rate=0.3,
    controls=("reinit", "shuffled_mask"),
    replicates=3,
    stack=2,
)
# Units and inputs die at its last levels, and are left out.
COMPACT = replace(TINY, sizes=(64, 20, 12, 10), rounds=3, rate=0.6, compact=True)
EXAMPLES = load_examples(TINY)
NOT_COMPARED = {"log.jsonl", "environment.json", "lock"}


def run_all(
    folder: Path, experiment: Experiment = TINY, examples: Examples = EXAMPLES, *, save_every: float = 1e9
) -> None:
    """Run an experiment in a folder, or go on with it, as the command does."""
    folder.mkdir(exist_ok=True)
    claim(folder, experiment, examples, {})
    for trials in experiment.groups:
        run_group(Group(str(folder), experiment, trials, save_every=save_every), examples=examples)
    write_results(folder, experiment)


def contents(folder: Path) -> dict[str, bytes]:
    """The files of a run that must not depend on how often it was interrupted."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in NOT_COMPARED and path.parent.name != "checkpoints"
    }

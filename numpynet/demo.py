"""The main job: in under a minute, with nothing to download, see the three things that numpynet is about.

1. Every gradient of a masked, dropped-out network is checked against the complex step.
2. The experiment that the source article on dropout had in mind (a d-500-10 ReLU net, SGD with rate 0.01, 10 epochs) is
   run as it was meant, with and without dropout, on real handwritten digits, several seeds in one stack.
3. A first lottery ticket is found by pruning and rewinding, beside the same mask on fresh initial weights.

Tables go to the terminal, figures and one self-contained page to a folder.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from numpynet import figures, report
from numpynet.audit import audit_layers
from numpynet.data import load_digits
from numpynet.data.dataset import Dataset
from numpynet.experiments.findings import write_results
from numpynet.experiments.publish import Table
from numpynet.lottery.arms import reinit
from numpynet.lottery.imp import TICKET, Arm, Monitored, iterative_pruning
from numpynet.lottery.prune_rules import prune_rule
from numpynet.network import MLP
from numpynet.optimizers import Adam
from numpynet.parameters import Parameters
from numpynet.plan import TrainingPlan
from numpynet.progress import Progress
from numpynet.seeding import streams
from numpynet.statistics import t_interval
from numpynet.storage import write_bytes, write_text
from numpynet.training import Record, begin, train

KEEP_PROBS = (1.0, 0.8, 0.5)
HIDDEN, EPOCHS, LONGER, LR, BATCH = 500, 10, 50, 0.01, 64
TICKET_SIZES, TICKET_EPOCHS, TICKET_LR, RATE, ROUNDS = (64, 100, 100, 10), 15, 3e-3, 0.5, 6
REPLICATES = 8


class DropoutRun(NamedTuple):
    """The trainings of one keep probability: what was recorded after each epoch, replicates side by side."""

    keep_prob: float
    epochs: list[float]  # (S,)
    training: np.ndarray  # (S, R) accuracy on the training examples, in evaluation
    test: np.ndarray  # (S, R)


class TicketLevel(NamedTuple):
    """One density of the ticket experiment; a list holds one number for each replicate."""

    density: float  # share of weights left
    ticket: list[float]  # test accuracy of mask * theta_0, trained
    reinit: list[float]  # test accuracy of mask * a fresh draw, trained
    weight_mask: Parameters  # of all replicates


def run_demo(folder: Path, *, seed: int = 0, say: Callable[[str], None] = print) -> bool:
    """Run the three parts, write ``folder``, and return whether every check passed.

    Parameters
    ----------
    folder : for the figures, ``report.html`` and ``results.json``; made if need be
    seed : the first of the replicates' seeds; the same seed gives the same numbers
    say : where the tables go, line by line

    Returns
    -------
    True if every check of part 1 passed; what the experiments show does not count.
    """
    folder.mkdir(parents=True, exist_ok=True)  # before any work: a folder that cannot be written is told at once
    data = load_digits()
    seeds = [seed + r for r in range(REPLICATES)]

    say("1. Every gradient against the complex step\n")
    checks = audit_layers(seed)
    check_rows = [
        (c.equation, c.what, c.how, f"{c.error:.0e}" if c.error else "0", "ok" if c.passed else "WRONG") for c in checks
    ]
    check_header = ("equation", "what", "compared with", "worst error", "")
    say(report.text_table(check_header, check_rows))

    shape = f"{data.train.x.shape[1]}-{HIDDEN}-{data.n_classes}"
    say(f"\n2. With and without dropout: {shape} ReLU, SGD {LR}, batch {BATCH}, digits, {REPLICATES} seeds\n")
    runs = dropout_experiment(data, seeds)
    dropout_rows = _dropout_rows(runs)
    dropout_header = ("epochs", "keep_prob", "train accuracy %", "test accuracy %", "test, minus no dropout")
    say(report.text_table(dropout_header, dropout_rows))
    say(_dropout_remark(runs))

    sizes = "-".join(map(str, TICKET_SIZES))
    say(f"\n3. A first lottery ticket: {sizes} ReLU, Adam {TICKET_LR}, {TICKET_EPOCHS} epochs, {REPLICATES} seeds\n")
    levels = ticket_experiment(data, seeds)
    ticket_rows = _ticket_rows(levels)
    ticket_header = ("weights left %", "ticket %", "re-initialised %", "ticket - dense", "ticket - re-initialised")
    say(report.text_table(ticket_header, ticket_rows))
    say(_ticket_remark(levels))

    pictures = _pictures(data, runs, levels, seed)
    for name, (png, _) in pictures.items():
        write_bytes(folder / name, png)
    settings = {
        "command": f"numpynet demo --seed {seed}",
        "seeds": f"{seeds[0]} to {seeds[-1]}",
        "data": f"{data.name}: {len(data.train.x)} training and {len(data.test.x)} test examples. {data.source}",
        "dropout experiment": f"{shape}, ReLU, SGD {LR}, batch {BATCH}, {LONGER} epochs, Glorot normal, float32",
        "ticket experiment": f"{sizes}, ReLU, Adam {TICKET_LR}, batch {BATCH}, {TICKET_EPOCHS} epochs, "
        f"rate {RATE} (output layer {RATE / 2}), {ROUNDS} rounds, rewound to theta_0, fresh Adam, same order of the data",
    }
    html = _page(checks, (check_header, check_rows), (dropout_header, dropout_rows), runs, (ticket_header, ticket_rows), levels, pictures, settings)  # fmt: skip
    write_text(folder / "report.html", html)
    write_results(
        folder,
        title="The demo: dropout, and a first lottery ticket",
        question="Does dropout help this net on digits, and does a pruned net need its own initial weights?",
        command=str(settings["command"]),
        settings={**settings, **report.versions()},
        findings=[],
        claims=[],
        tables=[
            Table("With and without dropout", dropout_header, dropout_rows)._asdict(),
            Table("A first lottery ticket", ticket_header, ticket_rows)._asdict(),
        ],
        remark=[*_dropout_remark(runs).splitlines(), *_ticket_remark(levels).splitlines()],
    )

    passed = all(check.passed for check in checks)
    n_wrong = sum(not check.passed for check in checks)
    say(f"\n{len(checks) - n_wrong} of {len(checks)} checks passed. Figures and report: {folder / 'report.html'}")
    return passed


def dropout_experiment(data: Dataset, seeds: list[int]) -> list[DropoutRun]:
    """Train d-500-10 at each keep probability, replicates in one stack, with a record after every epoch.

    Parameters
    ----------
    data : with training and test examples
    seeds : (R,) one for each replicate

    Returns
    -------
    One ``DropoutRun`` for each of ``KEEP_PROBS``.
    """
    runs = []
    plan = TrainingPlan(epochs=LONGER, batch_size=BATCH, schedule=LR)
    per_epoch = plan.steps_per_epoch(len(data.train.x))
    progress = Progress("dropout experiment", len(KEEP_PROBS) * LONGER * per_epoch)
    for index, keep_prob in enumerate(KEEP_PROBS):
        net = MLP((data.train.x.shape[1], HIDDEN, data.n_classes), keep_prob=keep_prob)
        records: list[Record] = []
        state = begin(net, plan, data.train, seed=seeds)
        for record in train(state, data.train, monitors={"train": data.train, "test": data.test}):
            records.append(record)
            progress.show(index * LONGER * per_epoch + record.step, f"keep_prob {keep_prob}")
        epochs = [record.epoch for record in records]
        training, test = (np.array([r.accuracy[name] for r in records]) for name in ("train", "test"))
        runs.append(DropoutRun(keep_prob, epochs, training, test))
    progress.close()
    return runs


def ticket_experiment(data: Dataset, seeds: list[int]) -> list[TicketLevel]:
    """Prune, rewind, retrain, with the control beside it.

    Parameters
    ----------
    data : with 64 inputs and 10 classes, as ``TICKET_SIZES`` has
    seeds : (R,) one for each replicate

    Returns
    -------
    One ``TicketLevel`` for each density, the dense net first.
    """
    plan = TrainingPlan(
        epochs=TICKET_EPOCHS, batch_size=BATCH, optimizer=Adam(), schedule=TICKET_LR, evaluate_every=10**9
    )
    per_training = plan.total_steps(len(data.train.x))
    progress = Progress("lottery ticket", 2 * (ROUNDS + 1) * per_training)
    levels: list[TicketLevel] = []
    done = 0

    def on_step(step: int) -> None:
        nonlocal done
        done += 1
        progress.show(done, f"level {len(levels)} of {ROUNDS}")

    for level in iterative_pruning(
        MLP(TICKET_SIZES),
        plan,
        data.train,
        seeds=seeds,
        rounds=ROUNDS,
        prune=prune_rule(RATE),
        controls={"reinit": reinit},
        dense_controls=True,
        trainer=Monitored(data.train, {"test": data.test}, on_step=on_step),
    ):
        ticket, control = level.trained[TICKET], level.trained[Arm("reinit")]
        levels.append(TicketLevel(level.density, ticket.final("test"), control.final("test"), level.weight_mask))
    progress.close()
    return levels


def _dropout_rows(runs: list[DropoutRun]) -> list[tuple[str, ...]]:
    rows = []
    for epoch in (EPOCHS, LONGER):
        for run in runs:
            at = run.epochs.index(epoch)
            difference = t_interval(run.test[at] - runs[0].test[at])
            training, test = t_interval(run.training[at]), t_interval(run.test[at])
            paired = "" if run is runs[0] else difference.text(sign=True)
            rows.append((str(epoch), f"{run.keep_prob:g}", training.text(), test.text(), paired))
    return rows


def _dropout_remark(runs: list[DropoutRun]) -> str:
    """Say what the intervals allow, no more."""
    at = runs[0].epochs.index(EPOCHS)
    end = runs[0].epochs.index(LONGER)
    seen = [
        f"keep_prob {run.keep_prob:g} after {epoch} epochs ({'better' if difference.mean > 0 else 'worse'})"
        for epoch, index in ((EPOCHS, at), (LONGER, end))
        for run in runs[1:]
        if (difference := t_interval(run.test[index] - runs[0].test[index])).excludes_zero
    ]
    gap = t_interval(runs[0].training[end] - runs[0].test[end])
    verdict = (
        f"Clear of zero: {', '.join(seen)}."
        if seen
        else "Every interval of the last column holds 0: no effect of dropout on the test accuracy was seen."
    )
    return (
        f"{verdict}\nWithout dropout, train minus test accuracy after {LONGER} epochs is {gap.text(sign=True)} points"
        f"{'' if gap.mean > 0 and gap.excludes_zero else ': no overfitting was seen here, so dropout has nothing to cure'}."
    )


def _ticket_rows(levels: list[TicketLevel]) -> list[tuple[str, ...]]:
    dense = np.array(levels[0].ticket)
    rows = []
    for level in levels:
        ticket, reinit = np.array(level.ticket), np.array(level.reinit)
        against_dense = "" if level is levels[0] else t_interval(ticket - dense).text(sign=True)
        rows.append(
            (
                f"{100 * level.density:.2f}",
                t_interval(ticket).text(),
                t_interval(reinit).text(),
                against_dense,
                t_interval(ticket - reinit).text(sign=True),
            )
        )
    return rows


def _ticket_remark(levels: list[TicketLevel]) -> str:
    above = [
        f"{100 * level.density:.3g} %"
        for level in levels[1:]
        if (i := t_interval(np.subtract(level.ticket, level.reinit))).excludes_zero and i.mean > 0
    ]
    return (
        f"Ticket above re-initialisation, 95 % interval clear of zero, at: {', '.join(above) or 'no density'}.\n"
        "Accuracies are mean ± half-width of the 95 % t-interval; differences are paired by seed."
    )


def _pictures(
    data: Dataset, runs: list[DropoutRun], levels: list[TicketLevel], seed: int
) -> dict[str, tuple[bytes, str]]:
    """Return file name -> (PNG, caption)."""
    names = [f"keep_prob {run.keep_prob:g}" if run.keep_prob < 1 else "no dropout" for run in runs]
    curves = {name: (run.epochs, run.training, run.test) for name, run in zip(names, runs)}
    arms = {
        "ticket: mask * theta_0": np.array([level.ticket for level in levels]),
        "control: mask * fresh weights": np.array([level.reinit for level in levels]),
    }
    against_density = figures.accuracy_against_density(
        [level.density for level in levels], arms, dense=levels[0].ticket
    )
    level = levels[min(3, len(levels) - 1)]
    hidden = TICKET_SIZES[1]
    unit_mask = MLP(TICKET_SIZES, keep_prob=0.8).sample_unit_masks(streams(seed).dropout, (hidden,))[1]
    masks = figures.two_masks(unit_mask, level.weight_mask["W2"][0])
    return {
        "masks.png": (
            figures.png_bytes(masks),
            f"The two masks of one layer, Z = (D * H / q) @ (M * W) + b, at the second layer of {TICKET_SIZES}. "
            f"Left: dropout with keep_prob 0.8. Right: the ticket with {100 * level.density:.3g} % of all weights.",
        ),
        "dropout.png": (
            figures.png_bytes(figures.learning_curves(curves)),
            f"Learning curves of {data.train.x.shape[1]}-{HIDDEN}-{data.n_classes} on the {data.name}, SGD {LR}, "
            "with and without dropout.",
        ),
        "ticket.png": (
            figures.png_bytes(against_density),
            "Test accuracy against the share of weights left: the ticket from its own start, and its mask on fresh "
            "initial weights.",
        ),
    }


def _page(checks, check_table, dropout_table, runs, ticket_table, levels, pictures, settings) -> str:
    n_passed = sum(check.passed for check in checks)
    sections = [
        report.section(
            "Every gradient against the complex step",
            report.paragraph(
                f"{n_passed} of {len(checks)} checks passed. The error is the worst absolute difference, relative to the "
                "largest entry; the ids are those of the equation book."
            ),
            report.table(*check_table),
        ),
        report.section(
            "With and without dropout",
            report.table(*dropout_table),
            report.paragraph(_dropout_remark(runs)),
            report.figure(*pictures["dropout.png"]),
        ),
        report.section(
            "A first lottery ticket",
            report.table(*ticket_table),
            report.paragraph(_ticket_remark(levels)),
            report.figure(*pictures["ticket.png"]),
            report.figure(*pictures["masks.png"]),
        ),
        report.section("Settings", report.settings_table(settings)),
    ]
    return report.page(
        "numpynet demo",
        "A pure-NumPy network with both masks in its layer equation: its gradients checked, dropout tried, a lottery "
        "ticket found.",
        sections,
    )

"""``numpynet lottery``: experiments on lottery tickets, in a folder that survives anything."""

from __future__ import annotations

import argparse
from pathlib import Path

from numpynet.commands.arguments import (
    add_places,
    fill_in,
    folder,
    keep_prob,
    positive,
    positive_float,
    rates,
    refuse_idle,
    seed,
    share,
    sizes,
)

# They are listed here as well, so that --help needs no NumPy; a test holds them together.
CONTROLS = (
    "reinit", "permuted_init", "reshuffled", "shuffled_mask", "random_ticket", "global_shuffle", "uniform", "one_shot",
)  # fmt: skip
CRITERIA = (
    "magnitude", "small_final", "large_init", "small_init", "large_init_large_final", "magnitude_increase", "movement",
    "large_final_same_sign",
)  # fmt: skip
PRESETS = ("quick", "mnist1d", "digits", "lenet-mnist", "document")


def add_parser(commands) -> None:
    """Add the command to the parser.

    Parameters
    ----------
    commands : what ``add_subparsers`` returned
    """
    parser = commands.add_parser(
        "lottery",
        help="find lottery tickets, with controls, intervals and a report; can be killed and resumed at any moment",
        description="Iterative magnitude pruning with rewinding, and controls that differ from the ticket in one thing. All "
        "replicates are paired by seed, and every difference comes with its 95 % interval.",
        epilog="Start with: numpynet lottery run quick --workers 2",
    )
    actions = parser.add_subparsers(title="actions", required=True, metavar="ACTION")
    _add_run(actions)
    _add_resume(actions)
    _add_report(actions)
    _add_compare(actions)
    _add_ticket(actions)
    listing = actions.add_parser("list", help="list the presets", description="List the presets of run.")
    listing.set_defaults(run=_list)


def _add_run(actions) -> None:
    run = actions.add_parser(
        "run",
        help="run an experiment; the same command goes on with a run that was interrupted",
        description="Run a preset, changed by the options below. The run folder holds masks, weights, curves and results; "
        "kill the process at any moment and give the same command again: it ends with the same bits. With --dry-run it "
        "only says how long it would take.",
        epilog="Example: numpynet lottery run mnist1d --controls reinit shuffled_mask --rewind late:200 --out runs/late",
    )
    run.add_argument("preset", choices=PRESETS, help="see numpynet lottery list")
    what = run.add_argument_group("experiment (default: that of the preset)")
    what.add_argument("--replicates", type=_count, help="how many, each with its own initial weights and data order")
    what.add_argument("--seed", type=seed, help="of the first replicate; the others follow (default: 0)")
    what.add_argument(
        "--controls", nargs="*", choices=CONTROLS, metavar="NAME",
        help=f"what is trained beside every ticket: {', '.join(CONTROLS)}; nothing after it for none",
    )  # fmt: skip
    what.add_argument("--draws", type=positive, help="how often each control is drawn (default: 1; the paper has 3)")
    what.add_argument(
        "--rewind", metavar="HOW",
        help="where survivors go back to: init, late:K (to step K), late:K:saved (with the optimizer's memory), lr:T "
        "(trained weights, learning rates from step T on) or finetune:S (trained weights, S more steps)",
    )  # fmt: skip
    what.add_argument("--rounds", type=_count_or_none, help="how often to prune")
    what.add_argument(
        "--rate", type=rates, help="share of the survivors that goes per round, 0.2 or W1=0.2,W2=0.2,W3=0.1"
    )
    what.add_argument("--output-rate", type=float, help="that of the last layer (default: half of the rate)")
    what.add_argument("--scope", choices=("layer", "global"), help="rank the weights of each layer, or all in one line")
    what.add_argument(
        "--criterion", choices=CRITERIA, metavar="NAME", help=f"which weights stay: {', '.join(CRITERIA)}"
    )
    what.add_argument("--min-keep", type=_count_or_none, help="weights that every layer keeps at least (default: 0)")
    how = run.add_argument_group("training (default: that of the preset)")
    how.add_argument(
        "--scale", type=positive_float, default=1.0, help="train this share of the steps, 0.1 for instance"
    )
    how.add_argument(
        "--dropout", dest="keep_prob", type=_one_keep_prob, metavar="KEEP_PROB",
        help="train with dropout: the probability that a hidden unit stays, 0.8 for instance",
    )  # fmt: skip
    how.add_argument("--data", choices=("digits", "mnist1d", "mnist"))
    how.add_argument("--sizes", type=sizes, help="such as 40-100-100-10")
    how.add_argument("--steps", type=positive, help="of each training")
    how.add_argument("--batch-size", type=positive)
    how.add_argument("--optimizer", choices=("sgd", "momentum", "rmsprop", "adam"))
    how.add_argument("--lr", type=positive_float, help="learning rate")
    how.add_argument("--evaluate-every", type=positive, metavar="STEPS")
    how.add_argument(
        "--compact", action="store_true", default=None,
        help="leave out units from which no path of weights leads to an output, and inputs that nobody reads, while a net is "
        "trained: the same results but for rounding, faster where many are left out (default: train all units)",
    )  # fmt: skip
    how.add_argument("--validation", type=positive, metavar="N", help="training examples set apart for the early stop")
    _add_where(run)
    run.add_argument("--out", type=folder, help="run folder (default: runs/lottery-PRESET)")
    run.set_defaults(run=_run)


def _add_where(parser) -> None:
    where = parser.add_argument_group("where and how")
    where.add_argument("--data-folder", type=Path, help="files of MNIST (default: NUMPYNET_DATA, then the cache)")
    where.add_argument("--dry-run", action="store_true", help="say what would be done and how long it would take")
    where.add_argument(
        "--save-every", type=_seconds, default=20.0, metavar="SECONDS",
        help="save the training that is under way so often; what a kill costs (default: %(default)g)",
    )  # fmt: skip
    add_places(parser)


def _add_resume(actions) -> None:
    resume = actions.add_parser(
        "resume",
        help="go on with the run in a folder",
        description="Go on with the run in a folder, with the options it has begun with.",
    )
    resume.add_argument("folder", type=folder, help="of the run")
    _add_where(resume)
    resume.set_defaults(run=_resume)


def _add_report(actions) -> None:
    report = actions.add_parser(
        "report",
        help="tables, figures and the page of a run, finished or not",
        description="Print the tables of a run and write its figures, results.csv and report.html anew.",
    )
    report.add_argument("folder", type=folder, help="of the run")
    report.set_defaults(run=_report)


def _add_compare(actions) -> None:
    compare = actions.add_parser(
        "compare",
        help="the tickets of two runs, paired by seed and density",
        description="Compare the tickets of two runs on the same data, seed by seed: with and without dropout, for instance. "
        "The levels that are nearest in density are compared; both densities are shown where they differ, and levels without "
        "a partner are named.",
        epilog="Example: numpynet lottery compare runs/with-dropout runs/without",
    )
    compare.add_argument("first", type=folder)
    compare.add_argument("second", type=folder)
    compare.add_argument(
        "--tolerance", type=share, default=0.05,
        help="how far the densities of a pair may be apart, as a share of the larger one (default: %(default)g)",
    )  # fmt: skip
    compare.add_argument("--out", type=folder, help="where the page goes (default: runs/lottery-compare)")
    compare.set_defaults(run=_compare)


def _add_ticket(actions) -> None:
    ticket = actions.add_parser(
        "ticket",
        help="take a ticket out of a run as a file of its own, or look at such a file",
        description="Save theta_0 and the mask of one trial at one density as a file that verifies itself, and say how much "
        "smaller the net becomes without its dead units. With --check, read such a file and say what it holds.",
        epilog="Example: numpynet lottery ticket runs/lottery-quick --density 0.26 --out ticket.npz",
    )
    ticket.add_argument("folder", type=Path, help="of the run; a file with --check")
    which = ticket.add_mutually_exclusive_group()
    which.add_argument("--level", type=_count_or_none, help="which mask (default: the last one)")
    which.add_argument("--density", type=share, help="the level whose density is nearest")
    ticket.add_argument("--trial", type=_count_or_none, help="which replicate (default: 0)")
    ticket.add_argument("--out", type=Path, help="file to write (default: ticket.npz)")
    ticket.add_argument("--overwrite", action="store_true", help="replace the file of --out, if it is there")
    ticket.add_argument("--check", action="store_true", help="read and verify a ticket file")
    ticket.set_defaults(run=_ticket)


def _count(text: str) -> int:
    value = _count_or_none(text)
    if value == 0:
        raise argparse.ArgumentTypeError("0 replicates give no result; take 1 or more, and 5 or more for intervals")
    return value


def _count_or_none(text: str) -> int:
    try:
        return seed(text)
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(f"must be an integer >= 0, got {text}") from None


def _one_keep_prob(text: str) -> float:
    value = keep_prob(text)
    if isinstance(value, tuple):
        raise argparse.ArgumentTypeError(f"one number for all hidden layers is needed, got {text}")
    return value


def _seconds(text: str) -> float:
    return 0.0 if text == "0" else positive_float(text)


def _run(options: argparse.Namespace) -> int:
    from numpynet.experiments.lottery_command import run

    return run(options)


def _resume(options: argparse.Namespace) -> int:
    from numpynet.experiments.lottery_command import resume

    return resume(options)


def _report(options: argparse.Namespace) -> int:
    from numpynet.experiments.lottery_command import make_report

    return make_report(options)


def _compare(options: argparse.Namespace) -> int:
    from numpynet.experiments.lottery_compare import compare_runs

    return compare_runs(options)


def _ticket(options: argparse.Namespace) -> int:
    from numpynet.experiments.lottery_ticket import take_ticket

    if options.check:
        refuse_idle(options, "numpynet lottery ticket --check", ("level", "density", "trial", "out", "overwrite"))
    return take_ticket(fill_in(options, trial=0, out=Path("ticket.npz")))


def _list(options: argparse.Namespace) -> int:
    from numpynet.experiments.lottery_command import list_presets

    return list_presets()

"""``numpynet train``: a training that can be interrupted and resumed."""

from __future__ import annotations

import argparse
from pathlib import Path

from numpynet.commands.arguments import (
    finite,
    folder,
    keep_prob,
    positive,
    positive_float,
    seed,
    share,
    sizes,
)

ACTIVATIONS = ("relu", "leaky_relu", "tanh", "sigmoid", "selu", "identity")
OPTIMIZERS = ("sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw")
INITIALIZERS = ("glorot_normal", "glorot_truncated", "glorot_uniform", "he_normal", "he_truncated", "he_uniform")
SCHEDULES = ("constant", "cosine", "step", "exponential")
DROPOUT = ("unit", "dropconnect", "gaussian", "variational", "alpha", "targeted-weights", "targeted-units", "standout")
KEEP_SCHEDULES = ("curriculum", "early", "late", "linear-early", "linear-late")


def add_parser(commands) -> None:
    """Add the command to the parser.

    Parameters
    ----------
    commands : what ``add_subparsers`` returned
    """
    parser = commands.add_parser(
        "train",
        help="train a network, with or without dropout; can be interrupted and resumed",
        description="Train a multilayer perceptron. The run folder holds a checkpoint (written after every record), the "
        "history as CSV, the settings and the final weights. A resumed run ends with the bits of an uninterrupted one.",
        epilog="Example: numpynet train --data mnist --sizes 784-300-100-10 --optimizer adam --lr 0.0012 "
        "--batch-size 60 --epochs 5 --seed 0 1 2 --out runs/lenet",
    )
    data = parser.add_argument_group("data")
    data.add_argument("--data", choices=("digits", "mnist1d", "mnist"), default="digits", help="default: %(default)s")
    data.add_argument(
        "--data-folder", type=Path, help="where the files of MNIST are (default: NUMPYNET_DATA, then the cache)"
    )
    data.add_argument(
        "--validation", type=int, default=0, metavar="N", help="examples set apart from training (default: 0)"
    )
    net = parser.add_argument_group("network")
    net.add_argument("--sizes", type=sizes, help="such as 784-300-100-10 (default: one hidden layer of 100)")
    net.add_argument("--activation", choices=ACTIVATIONS, help="default: relu; selu with --dropout alpha")
    net.add_argument("--initializer", choices=INITIALIZERS, default="glorot_normal", help="default: %(default)s")
    _add_dropout(parser)
    how = parser.add_argument_group("training")
    how.add_argument("--optimizer", choices=OPTIMIZERS, default="sgd", help="default: %(default)s")
    how.add_argument("--lr", type=float, help="learning rate (default: 0.1; 0.001 for rmsprop, adam and adamw)")
    how.add_argument(
        "--schedule", choices=SCHEDULES, default="constant", help="of the learning rate (default: %(default)s)"
    )
    how.add_argument("--decay-every", type=int, metavar="STEPS", help="for --schedule step")
    how.add_argument("--decay-factor", type=positive_float, help="for --schedule step and exponential (default: 0.1)")
    how.add_argument(
        "--warmup", type=int, default=0, metavar="STEPS", help="linear warm-up before the schedule (default: 0)"
    )
    how.add_argument("--momentum", type=float, help="of momentum and nesterov (default: 0.9)")
    how.add_argument(
        "--weight-decay",
        type=float,
        default=0.0,
        help="of the weights, not the biases: decoupled for adamw, else an L2 penalty",
    )
    how.add_argument("--max-norm", type=float, help="largest norm of a unit's incoming weights")
    length = how.add_mutually_exclusive_group()
    length.add_argument("--epochs", type=int, help="passes over the data (default: 10)")
    length.add_argument("--steps", type=int, help="batches")
    how.add_argument("--batch-size", type=int, default=64, help="default: %(default)s")
    how.add_argument("--evaluate-every", type=int, metavar="STEPS", help="steps between records (default: an epoch)")
    how.add_argument("--seed", type=seed, nargs="+", default=[0], help="one, or several for replicates (default: 0)")
    how.add_argument("--dtype", choices=("float32", "float64"), default="float32", help="default: %(default)s")
    where = parser.add_argument_group("run folder")
    where.add_argument("--out", type=folder, default=Path("runs/train"), help="default: %(default)s")
    start = where.add_mutually_exclusive_group()
    start.add_argument("--resume", action="store_true", help="go on where the run in this folder was interrupted")
    start.add_argument("--overwrite", action="store_true", help="begin anew, and remove the run that the folder holds")
    parser.set_defaults(run=_run_train)


def _add_dropout(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "dropout",
        "Evaluation has no noise; targeted dropout then leaves out all candidates, and standout multiplies every unit by "
        "its keep probability. An option that would have no effect is refused.",
    )
    group.add_argument(
        "--keep-prob",
        type=keep_prob,
        help="probability that a unit stays: one number for the hidden layers, or one for the input of each layer, "
        "such as 0.8,0.5,0.5 (default: 1, no dropout). The same for the weights with dropconnect; for gaussian and "
        "variational it sets the variance (1 - q) / q of the noise",
    )
    group.add_argument(
        "--dropout",
        choices=DROPOUT,
        help="unit (the default, once there is a --keep-prob); dropconnect: weights are dropped; gaussian: normal noise on "
        "units; variational: on pre-activations; alpha: for SELU units; targeted-weights, targeted-units: only the "
        "smallest are dropped; standout: a unit's own input decides how likely it stays",
    )
    group.add_argument(
        "--shared-masks",
        action="store_true",
        help="unit and dropconnect: one mask for all examples of a batch (default: one for each; for dropconnect that is a "
        "mask of the weights for each, which is slow)",
    )
    group.add_argument(
        "--target-share",
        type=share,
        metavar="G",
        help="targeted: share of the smallest that may be dropped (default: 0.75)",
    )
    group.add_argument(
        "--drop-prob", type=share, metavar="A", help="targeted: with which such a one is dropped (default: 0.66)"
    )
    group.add_argument(
        "--standout-alpha", type=finite, metavar="A", help="keep probability sigmoid(A s + B) at input s (default: 1)"
    )
    group.add_argument("--standout-beta", type=finite, metavar="B", help="default: 0")
    group.add_argument(
        "--keep-schedule",
        choices=KEEP_SCHEDULES,
        help="unit dropout that changes: curriculum falls from 1 to --keep-prob, quickly at first; early drops in the "
        "first --keep-steps only, late after them only; linear-early and linear-late move along a line, from --keep-prob "
        "to 1 or back (default: it stays)",
    )
    group.add_argument(
        "--keep-steps",
        type=positive,
        metavar="STEPS",
        help="of --keep-schedule (default: the whole run; not for early, late)",
    )
    group.add_argument(
        "--r-drop",
        type=positive_float,
        metavar="WEIGHT",
        help="pass each batch twice, with masks of its own, and add WEIGHT times the divergence of the two answers",
    )


def _run_train(options: argparse.Namespace) -> int:
    from numpynet.train_run import run_train

    return run_train(options)

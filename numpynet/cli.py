"""The door: ``numpynet demo``, ``train``, ``verify``, ``check``, ``dropout`` and ``data``.

Nothing heavy is imported here, so that ``--help`` answers at once; each command imports what it needs when it runs.
Exit codes: 0 all is well, 1 a check failed or a run ended badly, 2 the command or its input is wrong.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from numpynet import __version__

# Small matrices do not gain from threads, they lose: two threads were measured up to 15 times slower. Whoever has
# large nets sets the variables, which then win. They must be set before NumPy is imported.
_THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")

ACTIVATIONS = ("relu", "leaky_relu", "tanh", "sigmoid", "identity")
OPTIMIZERS = ("sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw")
INITIALIZERS = ("glorot_normal", "glorot_truncated", "glorot_uniform", "he_normal", "he_truncated", "he_uniform")
SCHEDULES = ("constant", "cosine", "step", "exponential")
DETAILS = ("off", "where", "ratio", "cause")
MUTANT_DRAWS = 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code.

    Examples
    --------
    >>> main(["data", "list"])                                                      # doctest: +ELLIPSIS
    digits ...
    0
    """
    options = build_parser().parse_args(arguments)
    for variable in _THREAD_VARIABLES:
        os.environ.setdefault(variable, "1")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that cannot write "±" shows "?", and the run goes on
    try:
        code = options.run(options)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # whoever read our output has gone, as in "| head"
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that the flush at exit finds no broken pipe
        return 1
    except KeyboardInterrupt:
        print("\nnumpynet: interrupted", file=sys.stderr)
        return 1
    except MemoryError as error:
        return _fail(options, MemoryError(f"there is not enough memory: {error}; smaller sizes or batches may fit"), 1)
    except ArithmeticError as error:
        return _fail(options, error, 1)
    except (ValueError, TypeError, OSError) as error:
        return _fail(options, error, 2)


class _Parser(argparse.ArgumentParser):
    """A parser that reports an error on one line; argparse would print the usage, two dozen lines of it, first."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}; see {self.prog} --help\n")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands.

    Examples
    --------
    >>> build_parser().parse_args(["train", "--sizes", "64-30-10"]).sizes
    (64, 30, 10)
    """
    parser = _Parser(
        prog="numpynet",
        description="Dropout and lottery tickets in pure NumPy, every gradient and every mask checkable.",
        epilog="Start with: numpynet demo",
    )
    parser.add_argument("--version", action="version", version=f"numpynet {__version__}")
    parser.add_argument("--traceback", action="store_true", help="show the whole traceback of an error")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_demo(commands)
    _add_train(commands)
    _add_verify(commands)
    _add_check(commands)
    _add_dropout(commands)
    _add_data(commands)
    return parser


def _add_demo(commands) -> None:
    parser = commands.add_parser(
        "demo",
        help="check all gradients, try dropout, find a lottery ticket; under a minute, no download",
        description="Check every gradient against the complex step, train with and without dropout on real digits, "
        "find a first lottery ticket, and write figures and one self-contained report.",
    )
    parser.add_argument(
        "--out", type=_folder, default=Path("runs/demo"), help="folder for the report (default: %(default)s)"
    )
    parser.add_argument("--seed", type=_seed, default=0, help="first of the seeds (default: %(default)s)")
    parser.set_defaults(run=_run_demo)


def _add_train(commands) -> None:
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
    net.add_argument("--sizes", type=_sizes, help="such as 784-300-100-10 (default: one hidden layer of 100)")
    net.add_argument("--activation", choices=ACTIVATIONS, default="relu", help="default: %(default)s")
    net.add_argument(
        "--keep-prob",
        type=_keep_prob,
        default=1.0,
        help="probability that a unit stays: one number for the hidden layers, or one for the input of each layer, "
        "such as 0.8,0.5,0.5 (default: 1, no dropout)",
    )
    net.add_argument("--initializer", choices=INITIALIZERS, default="glorot_normal", help="default: %(default)s")
    how = parser.add_argument_group("training")
    how.add_argument("--optimizer", choices=OPTIMIZERS, default="sgd", help="default: %(default)s")
    how.add_argument("--lr", type=float, help="learning rate (default: 0.1; 0.001 for rmsprop, adam and adamw)")
    how.add_argument(
        "--schedule", choices=SCHEDULES, default="constant", help="of the learning rate (default: %(default)s)"
    )
    how.add_argument("--decay-every", type=int, metavar="STEPS", help="for --schedule step")
    how.add_argument("--decay-factor", type=_positive_float, help="for --schedule step and exponential (default: 0.1)")
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
    how.add_argument("--seed", type=_seed, nargs="+", default=[0], help="one, or several for replicates (default: 0)")
    how.add_argument("--dtype", choices=("float32", "float64"), default="float32", help="default: %(default)s")
    where = parser.add_argument_group("run folder")
    where.add_argument("--out", type=_folder, default=Path("runs/train"), help="default: %(default)s")
    start = where.add_mutually_exclusive_group()
    start.add_argument("--resume", action="store_true", help="go on where the run in this folder was interrupted")
    start.add_argument("--overwrite", action="store_true", help="begin anew, and remove the run that the folder holds")
    parser.set_defaults(run=_run_train)


def _add_verify(commands) -> None:
    parser = commands.add_parser(
        "verify",
        help="check every equation of the book that is implemented; a few seconds",
        description="Check every implemented equation of the book and print id, quantity, what it was compared with, worst "
        "error and tolerance. Exits with 1 if a check fails. With --mutants the checks themselves are checked: every known bug is planted, and "
        "the table says how often it is noticed and its cause named.",
    )
    parser.add_argument("--seed", type=_seed, default=0, help="of the numbers that are checked (default: %(default)s)")
    parser.add_argument(
        "--draws", type=_positive, help=f"repeat with so many seeds (default: 1; {MUTANT_DRAWS} with --mutants)"
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--layers", action="store_true", help="only the layers, losses and masks: a quarter of a second")
    which.add_argument("--mutants", action="store_true", help="plant every known bug; about two seconds for each draw")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.set_defaults(run=_run_verify)


def _add_check(commands) -> None:
    parser = commands.add_parser(
        "check",
        help="check the layers, masks and tickets in a file of yours, and say what is wrong with them",
        description="Import a file and check what it defines: layers by the gradient check, from the loss backwards, "
        "functions of masks and tickets by their laws. Prints a block for each: passed, failed with the most likely cause, "
        "or waiting for what is not written yet (NotImplementedError). Exits with 1 if something is wrong, with 2 if there "
        "is nothing to check. Which functions are known, and how they are called: numpynet.conformance.contract. The file "
        "is run as Python would run it, without protection: check only what you would run.",
        epilog="Example: numpynet check layers.py --task linear_backward --detail ratio",
    )
    parser.add_argument("file", metavar="FILE.py", help="or the dotted name of a module")
    parser.add_argument(
        "--task", help="one layer, such as linear, or one function, such as prune (default: all there are)"
    )
    parser.add_argument("--detail", choices=DETAILS, default="cause", help="how much to say (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    parser.add_argument("--seed", type=_seed, default=0, help="of the numbers that are drawn (default: %(default)s)")
    parser.add_argument("--shape", type=_shape, metavar="N,D_IN,D_OUT,K", help="sizes (default: drawn from the seed)")
    parser.add_argument("--figure", type=_png, metavar="PNG", help="draw where the first wrong gradient is wrong")
    parser.set_defaults(run=_run_check)


def _add_dropout(commands) -> None:
    parser = commands.add_parser(
        "dropout",
        help="experiments on dropout: which keep_prob, what it costs, what it does to the units",
        description="Run an experiment on dropout, several seeds in one stack, and write a table, a figure and a report. "
        "Differences are paired and come with 95 %% intervals.",
        epilog="Start with: numpynet dropout list",
    )
    parser.add_argument("name", help="of an experiment; list to see them, all to run them one after the other")
    parser.add_argument("--quick", action="store_true", help="a few seconds: few steps, few replicates, wide intervals")
    parser.add_argument("--seed", type=_seed, default=0, help="first of the seeds (default: %(default)s)")
    parser.add_argument("--replicates", type=_positive, help="how many seeds (default: 5; 3 with --quick)")
    parser.add_argument("--data", choices=("digits", "mnist1d", "mnist"), help="default: that of the experiment")
    parser.add_argument(
        "--out",
        type=_folder,
        default=Path("runs/dropout"),
        help="each experiment writes a folder in it (default: %(default)s)",
    )
    parser.set_defaults(run=_run_dropout)


def _add_data(commands) -> None:
    parser = commands.add_parser("data", help="list the data sets; fetch MNIST", description="List or fetch data sets.")
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="which data sets there are, and where")
    listing.set_defaults(run=_run_data_list)
    fetch = actions.add_parser("fetch", help="download a data set and verify it")
    fetch.add_argument("name", choices=("mnist",))
    fetch.add_argument("--folder", type=Path, help="where to put it (default: NUMPYNET_DATA, then the cache)")
    fetch.add_argument("--url", help="of the folder that holds the four files, instead of the known mirrors")
    fetch.set_defaults(run=_run_data_fetch)


def _run_demo(options: argparse.Namespace) -> int:
    from numpynet.demo import run_demo

    return 0 if run_demo(options.out, seed=options.seed) else 1


def _run_train(options: argparse.Namespace) -> int:
    from numpynet.train_run import run_train

    return run_train(options)


def _run_verify(options: argparse.Namespace) -> int:
    if options.mutants:
        from numpynet.mutants_run import run_mutants

        return run_mutants(n_draws=options.draws or MUTANT_DRAWS, seed=options.seed, as_json=options.json)
    from numpynet.audit import audit_everything, audit_layers
    from numpynet.report import text_table

    n_draws, audit = options.draws or 1, audit_layers if options.layers else audit_everything
    worst = audit(options.seed)
    for seed in range(options.seed + 1, options.seed + n_draws):
        worst = [max(pair, key=lambda c: (not c.passed, c.error)) for pair in zip(worst, audit(seed))]
    if options.json:
        return _print_audit(worst, n_draws, options.seed)
    rows = [
        (c.equation, c.what, c.how, *(f"{x:.0e}" if x else "0" for x in (c.error, c.tolerance)), "ok" if c.passed else "WRONG")
        for c in worst
    ]  # fmt: skip
    print(text_table(("equation", "what", "compared with", "worst error", "tolerance", ""), rows))
    n_wrong, n_equations = sum(not c.passed for c in worst), len({c.equation for c in worst})
    print(
        f"\n{len(worst) - n_wrong} of {len(worst)} checks passed, {n_equations} equations, "
        f"{n_draws} draw(s) each, first seed {options.seed}"
    )
    return 1 if n_wrong else 0


def _print_audit(checks, n_draws: int, seed: int) -> int:
    """Print the audit as JSON, in which an error that is not finite is null."""
    rows = [
        {**check._asdict(), "error": check.error if math.isfinite(check.error) else None, "passed": check.passed}
        for check in checks
    ]
    passed = all(check.passed for check in checks)
    document = {"version": 1, "draws": n_draws, "seed": seed, "checks": rows, "status": "pass" if passed else "fail"}
    print(json.dumps(document, indent=2, allow_nan=False))
    return 0 if passed else 1


def _run_check(options: argparse.Namespace) -> int:
    from numpynet.check_run import run_check

    return run_check(
        options.file,
        task=options.task,
        detail=options.detail,
        as_json=options.json,
        seed=options.seed,
        shape=options.shape,
        figure=options.figure,
    )


def _run_dropout(options: argparse.Namespace) -> int:
    from numpynet.experiments.dropout_command import run_dropout

    return run_dropout(options)


def _run_data_list(options: argparse.Namespace) -> int:
    from numpynet.data import data_folder

    print("digits   1797 handwritten digits, 8x8, shipped with numpynet")
    print("mnist1d  5000 sequences of 40 numbers in 10 classes, generated in a second")
    print(
        f"mnist    70000 handwritten digits, 28x28; looked for in {data_folder()}, fetched by: numpynet data fetch mnist"
    )
    return 0


def _run_data_fetch(options: argparse.Namespace) -> int:
    from numpynet.data import fetch_mnist
    from numpynet.progress import Progress

    bars: dict[str, Progress] = {}

    def show(name: str, done: int, total: int | None) -> None:
        if total:
            bars.setdefault(name, Progress(name, total)).show(done)

    mirror = {} if options.url is None else {"base_url": options.url}
    folder = fetch_mnist(options.folder, progress=show, **mirror)
    for bar in bars.values():
        bar.close()
    print(f"MNIST is complete and verified in {folder}")
    return 0


def _fail(options: argparse.Namespace, error: Exception, code: int) -> int:
    if options.traceback:
        raise error
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        text = f"{error.filename}: {error.strerror}"  # without the "[Errno 17]" that str(error) begins with
    else:
        text = str(error)
    print(f"numpynet: error: {' '.join(text.split()) or type(error).__name__}", file=sys.stderr)
    return code


def _seed(text: str) -> int:
    value = _integer(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"a seed must be >= 0, got {text}")
    return value


def _positive(text: str) -> int:
    value = _integer(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be >= 1, got {text}")
    return value


def _positive_float(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"must be a finite number > 0, got {text}")
    return value


def _folder(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("the name of the folder is empty (an unset variable?); . is this folder")
    path = Path(text)
    for part in (path, *path.parents):
        if part.exists() and not part.is_dir():
            raise argparse.ArgumentTypeError(f"{part} is a file, but a folder is needed")
    return path


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not an integer") from None


def _sizes(text: str) -> tuple[int, ...]:
    try:
        sizes = tuple(int(part) for part in text.split("-"))
    except ValueError:
        sizes = ()
    if len(sizes) < 2 or min(sizes, default=0) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form 784-300-100-10")
    return sizes


def _shape(text: str) -> tuple[int, ...]:
    try:
        shape = tuple(int(part) for part in text.split(","))
    except ValueError:
        shape = ()
    if len(shape) != 4 or min(shape) < 2:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form 5,7,11,3: N, d_in, d_out and K, each at least 2")
    return shape


def _png(text: str) -> Path:
    path = Path(text)
    if path.suffix.lower() != ".png":
        raise argparse.ArgumentTypeError(f"{text!r} is not the name of a .png file")
    if not path.absolute().parent.is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {path.absolute().parent}")
    return path


def _keep_prob(text: str) -> float | tuple[float, ...]:
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor a list such as 0.8,0.5,0.5") from None
    if not all(0 < value <= 1 for value in values):
        raise argparse.ArgumentTypeError(
            f"{text} must lie in (0, 1]: it is the probability that a unit stays; to drop 20 % of the units give 0.8"
        )
    return values if len(values) > 1 else values[0]

"""What the words on the command line mean: from text to numbers, paths and sizes, or an error on one line."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable
from pathlib import Path


def integer(text: str) -> int:
    """Return an integer.

    Parameters
    ----------
    text : from the command line

    Returns
    -------
    int

    Raises
    ------
    argparse.ArgumentTypeError
        It is not an integer.

    Examples
    --------
    >>> integer("-3")
    -3
    """
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not an integer") from None


def seed(text: str) -> int:
    """Return a seed, an integer >= 0.

    Parameters
    ----------
    text : from the command line

    Returns
    -------
    int

    Raises
    ------
    argparse.ArgumentTypeError
        It is not an integer, or negative.

    Examples
    --------
    >>> seed("3")
    3
    """
    value = integer(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"a seed must be >= 0, got {text}")
    return value


def positive(text: str) -> int:
    """Return an integer >= 1.

    Parameters
    ----------
    text : from the command line

    Returns
    -------
    int

    Raises
    ------
    argparse.ArgumentTypeError
        It is not an integer, or < 1.

    Examples
    --------
    >>> positive("3")
    3
    """
    value = integer(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be >= 1, got {text}")
    return value


def finite(text: str) -> float:
    """Return a finite number.

    Parameters
    ----------
    text : from the command line

    Returns
    -------
    float

    Raises
    ------
    argparse.ArgumentTypeError
        It is not a number, or it is NaN or infinite.

    Examples
    --------
    >>> finite("-0.5")
    -0.5
    """
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"must be a finite number, got {text}")
    return value


def positive_float(text: str) -> float:
    """Return a finite number > 0.

    Parameters
    ----------
    text : from the command line

    Returns
    -------
    float

    Raises
    ------
    argparse.ArgumentTypeError
        It is not a finite number, or not > 0.

    Examples
    --------
    >>> positive_float("0.5")
    0.5
    """
    value = finite(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"must be a finite number > 0, got {text}")
    return value


def share(text: str) -> float:
    """Return a share or a probability above 0, up to 1.

    Parameters
    ----------
    text : from the command line

    Returns
    -------
    float

    Raises
    ------
    argparse.ArgumentTypeError
        It is not a number in (0, 1].

    Examples
    --------
    >>> share("0.75")
    0.75
    """
    value = finite(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"must lie in (0, 1], got {text}")
    return value


def folder(text: str) -> Path:
    """Return the path of a folder, which need not exist yet; no part of it may be a file.

    Parameters
    ----------
    text : from the command line

    Returns
    -------
    Path

    Raises
    ------
    argparse.ArgumentTypeError
        It is empty, or it or a folder above it is a file.

    Examples
    --------
    >>> folder("runs").name
    'runs'
    """
    if not text:
        raise argparse.ArgumentTypeError("the name of the folder is empty (an unset variable?); . is this folder")
    path = Path(text)
    for part in (path, *path.parents):
        if part.exists() and not part.is_dir():
            raise argparse.ArgumentTypeError(f"{part} is a file, but a folder is needed")
    return path


def add_places(parser: argparse.ArgumentParser) -> None:
    """Add --workers and --scheduler, which say where independent tasks run; see ``numpynet.parallel``.

    Parameters
    ----------
    parser : of a command; it gets the two options, which exclude each other
    """
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--workers",
        type=positive,
        default=1,
        help="processes, one thread each; the results are the same for any number (default: 1)",
    )
    where.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="run on the workers of this Dask scheduler, tcp://10.0.0.1:8786 for instance",
    )


def refuse_idle(options: argparse.Namespace, word: str, names: Iterable[str]) -> None:
    """Refuse options that were given beside a word that does nothing with them.

    Parameters
    ----------
    options : as parsed; None or False is what was not given, so that also a default that is typed out counts as given
    word : of the command, for the message
    names : of the options that would have no effect

    Raises
    ------
    ValueError
        One of them was given.

    Examples
    --------
    >>> refuse_idle(argparse.Namespace(quick=True, seed=0, data=None), "numpynet link list", ("quick", "seed", "data"))
    Traceback (most recent call last):
    ...
    ValueError: numpynet link list does nothing with --quick, --seed: leave them out
    """
    values = {name: getattr(options, name) for name in names}
    given = [
        f"--{name.replace('_', '-')}" for name, value in values.items() if value is not None and value is not False
    ]
    if given:
        raise ValueError(f"{word} does nothing with {', '.join(given)}: leave {'them' if len(given) > 1 else 'it'} out")


def fill_in(options: argparse.Namespace, **defaults: object) -> argparse.Namespace:
    """Return the options with a default for each that was not given.

    Parameters
    ----------
    options : as parsed; None is what was not given
    defaults : name -> value

    Returns
    -------
    A new ``Namespace``.

    Examples
    --------
    >>> fill_in(argparse.Namespace(seed=None, workers=3), seed=0, workers=1)
    Namespace(seed=0, workers=3)
    """
    missing = {name: value for name, value in defaults.items() if getattr(options, name) is None}
    return argparse.Namespace(**(vars(options) | missing))


def sizes(text: str) -> tuple[int, ...]:
    """Return the sizes of a network, such as 784-300-100-10.

    Parameters
    ----------
    text : from the command line

    Returns
    -------
    Units of the inputs, of each hidden layer and of the output.

    Raises
    ------
    argparse.ArgumentTypeError
        It is not a list of at least two integers >= 1 with dashes between.

    Examples
    --------
    >>> sizes("64-30-10")
    (64, 30, 10)
    """
    try:
        widths = tuple(int(part) for part in text.split("-"))
    except ValueError:
        widths = ()
    if len(widths) < 2 or min(widths, default=0) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form 784-300-100-10")
    return widths


def rates(text: str) -> float | dict[str, float]:
    """Return a pruning rate, or one for each layer.

    Parameters
    ----------
    text : from the command line

    Returns
    -------
    One rate, or name of a weight matrix -> rate; each is the share of the survivors that goes in a round.

    Raises
    ------
    argparse.ArgumentTypeError
        It has neither form, names a matrix twice, or a rate lies outside [0, 1].

    Examples
    --------
    >>> rates("0.2"), rates("W1=0.2,W2=0.1")
    (0.2, {'W1': 0.2, 'W2': 0.1})
    """
    parts = [part.partition("=") for part in text.split(",")]
    try:
        if len(parts) == 1 and not parts[0][1]:
            values = {"": float(text)}
        else:
            values = {name.strip(): float(number) for name, _, number in parts}
    except ValueError:
        values = {}
    if not values or len(values) < len(parts):
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor of the form W1=0.2,W2=0.2,W3=0.1")
    if not all(0 <= value <= 1 for value in values.values()):
        raise argparse.ArgumentTypeError(f"{text} must lie in [0, 1]: it is the share of the survivors that goes")
    return values.get("", values)


def shape(text: str) -> tuple[int, ...]:
    """Return the sizes N, d_in, d_out and K of a check.

    Parameters
    ----------
    text : from the command line

    Returns
    -------
    N, d_in, d_out, K

    Raises
    ------
    argparse.ArgumentTypeError
        It is not four integers >= 2 with commas between.

    Examples
    --------
    >>> shape("5,7,11,3")
    (5, 7, 11, 3)
    """
    try:
        numbers = tuple(int(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != 4 or min(numbers) < 2:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form 5,7,11,3: N, d_in, d_out and K, each at least 2")
    return numbers


def png(text: str) -> Path:
    """Return the path of a .png file, in a folder that exists.

    Parameters
    ----------
    text : from the command line

    Returns
    -------
    Path

    Raises
    ------
    argparse.ArgumentTypeError
        It does not end in .png, or its folder does not exist.

    Examples
    --------
    >>> png("picture.png").suffix
    '.png'
    """
    path = Path(text)
    if path.suffix.lower() != ".png":
        raise argparse.ArgumentTypeError(f"{text!r} is not the name of a .png file")
    if not path.absolute().parent.is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {path.absolute().parent}")
    return path


def keep_prob(text: str) -> float | tuple[float, ...]:
    """Return a keep probability, or one for the input of each layer.

    Parameters
    ----------
    text : from the command line

    Returns
    -------
    One number for the hidden layers, or one for the input of each layer.

    Raises
    ------
    argparse.ArgumentTypeError
        It is neither a number nor a list of numbers with commas between, or one lies outside (0, 1].

    Examples
    --------
    >>> keep_prob("0.8"), keep_prob("0.8,0.5")
    (0.8, (0.8, 0.5))
    """
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor a list such as 0.8,0.5,0.5") from None
    if not all(0 < value <= 1 for value in values):
        raise argparse.ArgumentTypeError(
            f"{text} must lie in (0, 1]: it is the probability that a unit stays; to drop 20 % of the units give 0.8"
        )
    return values if len(values) > 1 else values[0]

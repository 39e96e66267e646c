"""Pictures, each a function that takes numbers and returns a matplotlib ``Figure``.

matplotlib is imported where a figure is drawn, never through pyplot, so that no window and no global state is involved.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from numpynet.statistics import t_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which people with colour blindness can tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")

# How every picture looks. A script that draws with pyplot begins with plt.rcParams.update(STYLE).
STYLE = {
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.prop_cycle": f"cycler(color={list(COLOURS)})",
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.constrained_layout.use": True,
    "figure.dpi": 120,
    "figure.figsize": (5.2, 3.6),
    "grid.color": "0.9",
    "grid.linewidth": 0.8,
    "legend.frameon": False,
}


def new_figure(columns: int = 1, *, width: float = 5.2, height: float = 3.6) -> tuple[Figure, np.ndarray]:
    """Return a figure with a row of axes, styled alike everywhere.

    Parameters
    ----------
    columns : how many axes
    width : of one, in inches
    height : in inches

    Returns
    -------
    figure, axes : the axes as an array (columns,)

    Examples
    --------
    >>> figure, axes = new_figure(2)
    >>> len(axes)
    2
    """
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width * columns, height))
        axes = figure.subplots(1, columns, squeeze=False)[0]
    return figure, axes


def png_bytes(figure: Figure) -> bytes:
    """Return a figure as a PNG file.

    Parameters
    ----------
    figure : to draw

    Returns
    -------
    The bytes of a file.

    Examples
    --------
    >>> png_bytes(new_figure()[0])[1:4]
    b'PNG'
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def band(ax: Axes, x: Sequence[float], values: np.ndarray, label: str, colour: str, **line) -> None:
    """Draw the mean over replicates with its 95 % t-interval as a band.

    Parameters
    ----------
    ax : to draw on
    x : (S,)
    values : (S, R), a row for each x, a column for each replicate
    label : for the legend
    colour : of line and band
    **line : further properties of the line

    Examples
    --------
    >>> _, (ax,) = new_figure()
    >>> band(ax, [0, 1], np.array([[0.25, 0.75], [0.5, 1.0]]), "ticket", COLOURS[0])
    >>> ax.lines[0].get_ydata()
    array([0.5 , 0.75])
    """
    intervals = [t_interval(row) for row in np.asarray(values)]
    mean = np.array([i.mean for i in intervals])
    half = np.nan_to_num(np.array([i.half_width for i in intervals]))  # a single replicate has no band
    ax.plot(x, mean, color=colour, label=label, **line)
    ax.fill_between(x, mean - half, mean + half, color=colour, alpha=0.18, linewidth=0)


def learning_curves(curves: Mapping[str, tuple[Sequence[float], np.ndarray, np.ndarray]]) -> Figure:
    """Draw training and test accuracy against epochs, a colour for each condition.

    Parameters
    ----------
    curves : 1 to 7 of name -> (epochs (S,), training accuracy (S, R), test accuracy (S, R)), accuracies from 0 to 1

    Returns
    -------
    Figure of two axes, training and test: the mean over R replicates in %, its 95 % t-interval as a band.

    Raises
    ------
    ValueError
        There is no curve, or there are more than colours to tell them apart.

    Examples
    --------
    >>> curves = {"no dropout": ([0, 1], np.array([[0.1, 0.1], [0.9, 0.8]]), np.array([[0.1, 0.1], [0.8, 0.7]]))}
    >>> len(learning_curves(curves).axes)
    2
    """
    figure, axes = new_figure(2)
    for colour, (name, (epochs, training, test)) in zip(_colours(curves), curves.items()):
        band(axes[0], epochs, 100 * np.asarray(training), name, colour)
        band(axes[1], epochs, 100 * np.asarray(test), name, colour)
    n = np.asarray(next(iter(curves.values()))[1]).shape[1]
    for ax, title in zip(axes, ("training examples, in evaluation", "test examples")):
        ax.set(xlabel="epoch", ylabel="accuracy in %", title=title)
    axes[1].legend(frameon=False, loc="lower right", title=f"mean of {n} runs, band: 95 % interval")
    return figure


def accuracy_against_density(
    densities: Sequence[float], arms: Mapping[str, np.ndarray], *, dense: Sequence[float]
) -> Figure:
    """Draw test accuracy against the share of weights left, on a logarithmic axis that runs from dense to sparse.

    Parameters
    ----------
    densities : (S,) shares of weights left, above 0 up to 1
    arms : 1 to 7 of name -> (S, R) accuracies, 0 to 1
    dense : (R,) accuracies of the unpruned net, drawn as a line

    Returns
    -------
    Figure of one pair of axes, both in %; means over R replicates with their 95 % t-intervals as bands.

    Raises
    ------
    ValueError
        A density is not > 0; there is no arm, or there are more than colours to tell them apart.

    Examples
    --------
    >>> arms = {"ticket": np.array([[0.9, 0.8], [0.9, 0.7]])}
    >>> len(accuracy_against_density([1.0, 0.5], arms, dense=[0.9, 0.8]).axes)
    1
    """
    percent = 100 * np.asarray(densities)
    if not (percent > 0).all():
        raise ValueError(f"densities are {list(densities)}, but a logarithmic axis needs numbers > 0")
    figure, (ax,) = new_figure(width=6.4)
    for colour, (name, values) in zip(_colours(arms), arms.items()):
        band(ax, percent, 100 * np.asarray(values), name, colour, marker="o", markersize=4)
    ax.axhline(100 * float(np.mean(dense)), color="0.4", linestyle="--", linewidth=1, label="dense net, mean")
    ax.set_xscale("log")
    ax.set_xticks(percent, [f"{value:.3g}" for value in percent])
    ax.minorticks_off()
    ax.invert_xaxis()
    n = np.asarray(next(iter(arms.values()))).shape[1]
    ax.set(xlabel="weights left in %", ylabel="test accuracy in %")
    ax.legend(frameon=False, loc="lower left", title=f"mean of {n} runs, band: 95 % interval")
    return figure


def two_masks(unit_mask: np.ndarray, weight_mask: np.ndarray) -> Figure:
    """Draw a unit mask (examples by units) beside a weight mask (inputs by units): what dropout and pruning remove.

    Parameters
    ----------
    unit_mask : (N, d_in)
    weight_mask : (d_in, d_out)

    Returns
    -------
    Figure of two axes, a mask on each, with its share of ones.

    Examples
    --------
    >>> len(two_masks(np.eye(3), np.eye(3)).axes)
    2
    """
    figure, axes = new_figure(2, width=4.6, height=3.8)
    for ax, mask, title, labels in (
        (axes[0], unit_mask, "unit mask D: dropout\ndrawn anew for every example", ("input unit", "example")),
        (
            axes[1],
            weight_mask,
            "weight mask M: lottery ticket\nfixed for a whole training",
            ("unit of the layer", "input unit"),
        ),
    ):
        ax.grid(False)
        ax.imshow(mask, cmap="Blues", vmin=0, vmax=1.25, interpolation="nearest", aspect="auto")
        ax.set(title=f"{title}; {100 * np.mean(mask):.1f} % ones", xlabel=labels[0], ylabel=labels[1])
    return figure


def _colours(lines: Mapping[str, object]) -> Sequence[str]:
    """Return a colour for each line, or raise: lines that could not be told apart are not drawn, nor left out."""
    if not 1 <= len(lines) <= len(COLOURS):
        raise ValueError(f"there are {len(lines)} lines to draw, but it takes 1 to {len(COLOURS)} to tell them apart")
    return COLOURS[: len(lines)]

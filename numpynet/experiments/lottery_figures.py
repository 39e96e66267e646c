"""The pictures of a lottery experiment; each takes numbers and returns a matplotlib ``Figure``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from numpynet.figures import COLOURS, band, new_figure
from numpynet.lottery.analysis import Cell, Comparison
from numpynet.parameters import Parameters

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# An arm looks the same in every picture: colour, line, marker.
LOOKS = {
    "ticket": (COLOURS[0], "-", "o"),
    "reinit": (COLOURS[1], "-", "s"),
    "shuffled_mask": (COLOURS[2], "-", "^"),
    "random_ticket": (COLOURS[3], "-", "v"),
    "one_shot": (COLOURS[4], "-", "D"),
    "permuted_init": (COLOURS[1], "--", "s"),
    "reshuffled": (COLOURS[5], "--", "o"),
    "global_shuffle": (COLOURS[2], "--", "^"),
    "uniform": (COLOURS[3], "--", "v"),
}
LABELS = {
    "ticket": "ticket",
    "reinit": "same mask, fresh weights",
    "shuffled_mask": "shuffled mask, initial weights",
    "random_ticket": "shuffled mask, fresh weights",
    "one_shot": "cut in one shot",
    "permuted_init": "same mask, weights permuted",
    "reshuffled": "same mask, survivors permuted",
    "global_shuffle": "mask shuffled over all layers",
    "uniform": "equal density in every layer",
}


def percent_axis(ax: Axes, densities: Sequence[float]) -> None:
    """Make the x axis one of weights left in percent, logarithmic, from dense to sparse.

    Parameters
    ----------
    ax : to change
    densities : of all levels that are drawn, above 0 up to 1

    Examples
    --------
    >>> _, (ax,) = new_figure()
    >>> percent_axis(ax, [1.0, 0.5])
    >>> ax.get_xlabel()
    'weights left in %'
    """
    percent = sorted({100 * d for d in densities}, reverse=True)
    shown = percent if len(percent) <= 9 else percent[:: -(-len(percent) // 8)]
    ax.set_xscale("log")
    ax.set_xticks(shown, [f"{value:.3g}" for value in shown])
    ax.minorticks_off()
    ax.set_xlim(max(percent) * 1.08, min(percent) / 1.08)
    ax.set_xlabel("weights left in %")


def against_density(
    cells: Mapping[tuple[int, str], Cell], densities: Sequence[float], *, name: str, ylabel: str, scale: float = 1.0
) -> Figure:
    """Draw one number of every arm against the density, mean and 95 % band; for stopping steps, lower bounds are hollow.

    Parameters
    ----------
    cells : of ``analysis.cells``
    densities : of the levels
    name : of the number, "test_accuracy_stop" for instance
    ylabel, scale : of the axis

    Returns
    -------
    Figure

    Examples
    --------
    >>> cell = Cell((0, 1), {"stop_step": np.array([10.0, 20.0])}, np.array([False, True]))
    >>> cells = {(0, "ticket"): cell, (1, "ticket"): cell}
    >>> len(against_density(cells, [1.0, 0.5], name="stop_step", ylabel="step").axes)
    1
    """
    figure, (ax,) = new_figure(width=8.0, height=4.4)
    arms = [arm for arm in LOOKS if any(a == arm for _, a in cells)]
    for arm in arms:
        colour, line, marker = LOOKS[arm]
        levels = sorted(level for level, a in cells if a == arm)
        own = [cells[level, arm] for level in levels]
        x = [100 * densities[level] for level in levels]
        values = [scale * cell.values[name] for cell in own]
        _band_of(ax, x, values, LABELS[arm], colour, line, with_band=line == "-")  # nine bands would hide each other
        means = [scale * float(cell.values[name].mean()) for cell in own]
        hollow = [name == "stop_step" and bool(cell.censored.any()) for cell in own]
        for filled in (True, False):
            points = [(a, b) for a, b, h in zip(x, means, hollow) if h is not filled]
            if points:
                face = colour if filled else "white"
                ax.scatter(*zip(*points), s=26, marker=marker, color=face, edgecolors=colour, zorder=3)
    dense = cells.get((0, "ticket"))
    if dense is not None:
        ax.axhline(
            scale * float(dense.values[name].mean()), color="0.4", linestyle=":", linewidth=1.2, label="dense net"
        )
    percent_axis(ax, densities)
    ax.set_ylabel(ylabel)
    if name == "stop_step":
        ax.set_ylim(bottom=0)  # no training stops earlier, however wide the band of a few runs
    n = max(len(cell.trials) for cell in cells.values())
    legend = ax.legend(frameon=False, fontsize=9, title=_of_runs(n), loc="center left", bbox_to_anchor=(1.0, 0.5))
    legend.set_alignment("left")
    legend.get_title().set_fontsize(9)
    return figure


def _band_of(
    ax: Axes,
    x: Sequence[float],
    values: Sequence[np.ndarray],
    label: str,
    colour: str,
    line: str,
    *,
    with_band: bool = True,
) -> None:
    """``band`` for levels that have not all as many replicates, as in a run that is not finished."""
    if with_band and len({len(v) for v in values}) == 1:
        band(ax, x, np.stack(values), label, colour, linestyle=line, linewidth=1.5)
        return
    ax.plot(x, [v.mean() for v in values], color=colour, linestyle=line, label=label, linewidth=1.5)


def _as_it_is(name: str) -> str:
    """A label of any text: Matplotlib reads dollars as mathematics, and keeps what begins with _ out of the legend."""
    return f"{' ' if name.startswith('_') else ''}{name}".replace("$", r"\$")


def _of_runs(n: int) -> str:
    return "1 run" if n == 1 else f"mean of {n} runs, band: 95 % interval"


def paired_differences(comparisons: Mapping[str, Mapping[int, Comparison]], densities: Sequence[float]) -> Figure:
    """Draw ticket minus every other arm, with 95 % intervals and the line at 0.

    Parameters
    ----------
    comparisons : arm -> level -> ``Comparison``; "dense" is the dense net
    densities : of the levels

    Returns
    -------
    Figure of one pair of axes for each comparison, in percentage points

    Examples
    --------
    >>> from numpynet.statistics import t_interval
    >>> one = Comparison((0, 1), (0.1, 0.2), t_interval([0.1, 0.2]), 2, None, None, 0, 0)
    >>> len(paired_differences({"dense": {1: one}, "reinit": {1: one}}, [1.0, 0.5]).axes)
    2
    """
    names = list(comparisons)
    figure, axes = new_figure(len(names), width=max(3.0, 9.6 / max(len(names), 1)), height=3.4)
    if len(names) > 4:
        figure, axes = _grid(len(names))
    for ax, name in zip(axes, names):
        colour = "0.3" if name == "dense" else LOOKS[name][0]
        levels = sorted(comparisons[name])
        intervals = [comparisons[name][level].difference for level in levels]
        x = [100 * densities[level] for level in levels]
        y = [100 * i.mean for i in intervals]
        half = [0.0 if np.isnan(i.half_width) else 100 * i.half_width for i in intervals]
        ax.errorbar(x, y, yerr=half, color=colour, marker="o", markersize=4, linewidth=1.2, capsize=3)
        ax.axhline(0, color="0.2", linewidth=1)
        percent_axis(ax, [densities[level] for level in levels])
        ticks = x if len(x) <= 5 else x[:: -(-len(x) // 5)]
        ax.set_xticks(ticks, [f"{value:.3g}" for value in ticks])
        ax.set_title("minus dense net" if name == "dense" else f"minus {LABELS[name]}", fontsize=9.5)
    axes[0].set_ylabel("ticket minus ..., points of\ntest accuracy at the early stop")
    return figure


def _grid(n: int):
    from matplotlib.figure import Figure

    columns, rows = 3, -(-n // 3)
    figure = Figure(figsize=(3.6 * columns, 2.9 * rows), layout="constrained", dpi=120)
    axes = list(figure.subplots(rows, columns, squeeze=False).ravel())
    for ax in axes[n:]:
        ax.set_visible(False)
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(True, color="0.9", linewidth=0.8)
    return figure, axes


def learning_curves(curves: Mapping[str, Mapping[float, tuple[Sequence[float], np.ndarray]]], *, ylabel: str) -> Figure:
    """Draw accuracy against the training step, a panel for each arm, a line for each density.

    Parameters
    ----------
    curves : arm -> density -> (steps (S,), accuracies (S, R))
    ylabel : of the axis

    Returns
    -------
    Figure of one pair of axes for each arm, in %

    Examples
    --------
    >>> one = ([0, 10], np.array([[0.1, 0.1], [0.8, 0.9]]))
    >>> len(learning_curves({"ticket": {1.0: one, 0.5: one}}, ylabel="accuracy").axes)
    1
    """
    figure, axes = new_figure(len(curves), width=4.8, height=3.7)
    everything = sorted({density for of in curves.values() for density in of}, reverse=True)
    colour_of = {density: COLOURS[i % len(COLOURS)] for i, density in enumerate(everything)}
    for ax, (arm, of) in zip(axes, curves.items()):
        for density, (steps, values) in sorted(of.items(), reverse=True):
            few = values.shape[1] < 3  # the band of two runs is as wide as the picture
            label = f"{100 * density:.3g} %"
            _band_of(ax, steps, list(100 * values), label, colour_of[density], "-", with_band=not few)
        ax.set(xlabel="training step", title=LABELS[arm])
    # The means settle the limits: the first steps, and the bands of two or three runs, would flatten the rest.
    means = [100 * values[len(values) // 10 :].mean(axis=1) for of in curves.values() for _, values in of.values()]
    low, high = min(m.min() for m in means), max(m.max() for m in means)
    room = max(high - low, 0.5)
    for ax in axes:
        ax.set_ylim(max(low - 0.3 * room, 0), min(high + 0.15 * room, 100.5))
    axes[0].set_ylabel(ylabel)
    axes[0].legend(frameon=False, title="weights left", loc="lower right")
    return figure


def first_layer(mask: np.ndarray, image_shape: tuple[int, int] | None) -> Figure:
    """Draw the mask of the first layer, and how many weights each input has left: a map of pixels where there are any.

    Parameters
    ----------
    mask : (d_0, d_1), binary
    image_shape : (rows, columns) of an example as a picture, or None

    Returns
    -------
    Figure of two axes, and a colour bar where there is a picture

    Examples
    --------
    >>> len(first_layer(np.eye(4), (2, 2)).axes), len(first_layer(np.eye(4), None).axes)
    (3, 2)
    """
    figure, axes = new_figure(2, width=4.8, height=3.9)
    for ax in axes:
        ax.grid(False)
    axes[0].imshow(mask, cmap="Blues", vmin=0, vmax=1.25, interpolation="nearest", aspect="auto")
    axes[0].set(xlabel="unit of the first hidden layer", ylabel="input", title=f"W1: {100 * mask.mean():.3g} % left")
    counts = mask.sum(axis=1)
    if image_shape is None:
        axes[1].bar(np.arange(len(counts)), counts, color=COLOURS[0], width=1.0)
        axes[1].set(xlabel="input", ylabel="weights left", title="by input")
    else:
        picture = axes[1].imshow(counts.reshape(image_shape), cmap="viridis", vmin=0, interpolation="nearest")
        figure.colorbar(picture, ax=axes[1], label="weights left", shrink=0.85)
        axes[1].set(title="by pixel", xticks=[], yticks=[])
    return figure


def initial_and_final(theta_0: Parameters, theta_T: Parameters, weight_mask: Parameters, *, most: int = 4000) -> Figure:
    """Draw the weights of the dense net before and after its training, coloured by the ticket's mask.

    Parameters
    ----------
    theta_0, theta_T, weight_mask : of one network
    most : weights of a layer that are drawn; of a larger one every n-th is

    Returns
    -------
    Figure of one pair of axes for each layer

    Examples
    --------
    >>> from numpynet.parameters import Layout
    >>> theta = Parameters.ones(Layout.of_sizes((3, 2, 2)))
    >>> len(initial_and_final(theta, 2 * theta, theta).axes)
    2
    """
    names = theta_0.layout.weight_names
    figure, axes = new_figure(len(names), width=3.7, height=3.6)
    for ax, name in zip(axes, names):
        start, end, alive = (p[name].ravel() for p in (theta_0, theta_T, weight_mask))
        every = -(-start.size // most)
        for kept, colour, label in ((0, "0.72", "pruned"), (1, COLOURS[0], "in the ticket")):
            chosen = np.flatnonzero(alive == kept)[::every]
            ax.scatter(start[chosen], end[chosen], s=4, color=colour, alpha=0.55, linewidths=0, label=label)
        reach = 1.05 * float(np.abs(start).max() or 1.0)
        ax.plot([-reach, reach], [-reach, reach], color="0.3", linewidth=0.8, linestyle=":")
        ax.set(xlabel="initial weight", title=f"{name}: {100 * alive.mean():.3g} % left")
        ax.title.set_fontsize(10)
    axes[0].set_ylabel("weight after the dense training")
    axes[0].legend(markerscale=3, loc="upper left", fontsize=8.5, framealpha=0.9, edgecolor="none")
    return figure


def live_units_and_densities(
    cells: Mapping[tuple[int, str], Cell],
    densities: Sequence[float],
    layer_densities: Mapping[int, Sequence[float]],
    widths: Sequence[int],
) -> Figure:
    """Draw how many hidden units of the ticket still lie on a path, and the density of every layer.

    Parameters
    ----------
    cells, densities : see ``against_density``
    layer_densities : level -> the density of each layer
    widths : of the hidden layers

    Returns
    -------
    Figure of two axes, in %

    Examples
    --------
    >>> cell = Cell((0, 1), {"live_units_1": np.array([9.0, 8.0])}, np.zeros(2, bool))
    >>> len(live_units_and_densities({(0, "ticket"): cell}, [1.0], {0: [1.0, 1.0]}, [10]).axes)
    2
    """
    figure, axes = new_figure(2, width=4.8, height=3.5)
    levels = sorted(level for level, arm in cells if arm == "ticket")
    x = [100 * densities[level] for level in levels]
    for i, width in enumerate(widths, start=1):
        values = [100 * cells[level, "ticket"].values[f"live_units_{i}"] / width for level in levels]
        line = ("-", "--", ":")[(i - 1) % 3]
        _band_of(axes[0], x, values, f"hidden layer {i}, {width} units", COLOURS[i - 1], line)
    for i in range(len(next(iter(layer_densities.values())))):
        y = [100 * layer_densities[level][i] for level in levels]
        line = ("-", "--", ":")[i % 3]  # layers with one rate lie on each other
        axes[1].plot(x, y, color=COLOURS[i], linestyle=line, linewidth=2.6 - 0.6 * (i % 3), label=f"W{i + 1}")
    axes[0].set(ylabel="live units in %", title="hidden units on a path")
    axes[0].set_ylim(bottom=min(axes[0].get_ylim()[0], 89), top=101)
    axes[1].set(ylabel="weights left in % of the layer", title="density of each layer", yscale="log")
    ticks = [t for t in (100, 50, 20, 10, 5, 2, 1, 0.5, 0.2, 0.1) if t >= 0.8 * axes[1].get_ylim()[0]]
    axes[1].set_yticks(ticks, [f"{t:g}" for t in ticks])
    for ax in axes:
        percent_axis(ax, [densities[level] for level in levels])
        ax.minorticks_off()
        ax.legend(frameon=False, loc="lower left", fontsize=8.5)
    ticks = x if len(x) <= 6 else x[:: -(-len(x) // 6)]
    for ax in axes:
        ax.set_xticks(ticks, [f"{value:.3g}" for value in ticks])
    return figure


def overlaid(
    names: Sequence[str], cells: Sequence[Mapping[tuple[int, str], Cell]], densities: Sequence[Sequence[float]]
) -> Figure:
    """Draw the tickets of several runs in one picture.

    Parameters
    ----------
    names, cells, densities : of the runs, at most seven

    Returns
    -------
    Figure

    Examples
    --------
    >>> cell = Cell((0, 1), {"test_accuracy_stop": np.array([0.9, 0.8])}, np.zeros(2, bool))
    >>> len(overlaid(["a", "b"], [{(0, "ticket"): cell}] * 2, [[1.0]] * 2).axes)
    1
    """
    figure, (ax,) = new_figure(width=6.8, height=4.0)
    for name, of, own, colour in zip(names, cells, densities, COLOURS):
        levels = sorted(level for level, arm in of if arm == "ticket")
        values = [100 * of[level, "ticket"].values["test_accuracy_stop"] for level in levels]
        x = [100 * own[level] for level in levels]
        _band_of(ax, x, values, _as_it_is(name), colour, "-")
        ax.scatter(x, [v.mean() for v in values], s=20, color=colour, zorder=3)
    percent_axis(ax, [d for own in densities for d in own])
    ax.set_ylabel("test accuracy of the ticket\nat the early stop, in %")
    n = max(len(cell.trials) for of in cells for cell in of.values())
    ax.legend(frameon=False, loc="lower left", title=_of_runs(n), fontsize=9)
    return figure

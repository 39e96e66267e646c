"""The pictures of a lottery run show the numbers that they were given, and mark what is only a bound."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from numpynet.experiments import lottery_figures as figures
from numpynet.lottery.analysis import Cell, compare
from numpynet.lottery.arms import CONTROLS
from numpynet.parameters import Layout, Parameters


def cell(values, name="test_accuracy_stop", censored=False, steps=None):
    values = np.asarray(values, float)
    steps = np.full(len(values), 10.0) if steps is None else np.asarray(steps, float)
    flags = np.zeros(len(values), bool)
    flags[0] = censored
    return Cell(tuple(range(len(values))), {name: values, "stop_step": steps}, flags)


def test_every_arm_has_a_look_of_its_own():
    assert set(figures.LOOKS) == set(figures.LABELS) == {"ticket", *CONTROLS}
    assert len(set(figures.LOOKS.values())) == len(figures.LOOKS)
    assert len(set(figures.LABELS.values())) == len(figures.LABELS)


def test_means_are_drawn_at_their_densities():
    cells = {(0, "ticket"): cell([0.5, 0.7]), (1, "ticket"): cell([0.8, 0.9]), (1, "reinit"): cell([0.2, 0.4])}
    (ax,) = figures.against_density(cells, [1.0, 0.4], name="test_accuracy_stop", ylabel="y", scale=100).axes
    lines = {line.get_label(): line for line in ax.lines}
    assert lines["ticket"].get_xdata() == pytest.approx([100, 40])
    assert lines["ticket"].get_ydata() == pytest.approx([60, 85])
    assert lines["same mask, fresh weights"].get_ydata() == pytest.approx([30])
    assert lines["dense net"].get_ydata() == pytest.approx([60, 60])
    left, right = ax.get_xlim()
    assert left > right  # from dense to sparse


def points(ax):
    return {round(float(x)): to_hex(c.get_facecolor()[0]) for c in ax.collections if len(c.get_offsets()) for x, _ in c.get_offsets() if hasattr(c, "get_sizes") and c.get_sizes().size}  # fmt: skip


def test_a_lower_bound_is_hollow_and_only_among_stopping_steps():
    cells = {(0, "ticket"): cell([0.5, 0.7]), (1, "ticket"): cell([0.8, 0.9], censored=True)}
    (ax,) = figures.against_density(cells, [1.0, 0.4], name="stop_step", ylabel="y").axes
    assert points(ax) == {100: figures.COLOURS[0].lower(), 40: "#ffffff"}
    (ax,) = figures.against_density(cells, [1.0, 0.4], name="test_accuracy_stop", ylabel="y").axes
    assert set(points(ax).values()) == {figures.COLOURS[0].lower()}


@pytest.mark.parametrize("n", [1, 3, 9])
def test_a_panel_for_every_difference_with_a_line_at_0(n):
    both = compare(cell([0.6, 0.8, 0.7]), cell([0.5, 0.5, 0.5]))
    names = ["dense", *list(CONTROLS)][:n]
    drawn = figures.paired_differences({name: {1: both, 2: both} for name in names}, [1.0, 0.5, 0.25])
    shown = [ax for ax in drawn.axes if ax.get_visible()]
    assert len(shown) == n
    for ax in shown:
        assert any(list(line.get_ydata()) == [0, 0] for line in ax.lines)
        assert any(np.allclose(line.get_ydata(), [20, 20]) for line in ax.lines if len(line.get_ydata()) == 2)


def test_the_map_of_pixels_counts_the_weights_of_each():
    mask = (np.random.default_rng(0).random((12, 7)) < 0.4).astype(float)
    axes = figures.first_layer(mask, (3, 4)).axes
    assert np.array_equal(axes[1].images[0].get_array(), mask.sum(axis=1).reshape(3, 4))
    assert np.array_equal(axes[0].images[0].get_array(), mask)
    bars = figures.first_layer(mask, None).axes[1].patches
    assert [bar.get_height() for bar in bars] == mask.sum(axis=1).tolist()


def test_every_weight_is_drawn_once_and_in_the_colour_of_the_mask():
    layout = Layout.of_sizes((5, 4, 3))
    rng = np.random.default_rng(1)
    theta_0, theta_T = (Parameters(rng.standard_normal(layout.size), layout) for _ in range(2))
    mask = Parameters.ones(layout, dtype=np.float64)
    mask["W1"] = (rng.random((5, 4)) < 0.5).astype(float)
    axes = figures.initial_and_final(theta_0, theta_T, mask).axes
    pruned, kept = (c.get_offsets() for c in axes[0].collections)
    assert sorted(kept[:, 0]) == pytest.approx(sorted(theta_0["W1"][mask["W1"] == 1]))
    assert sorted(pruned[:, 1]) == pytest.approx(sorted(theta_T["W1"][mask["W1"] == 0]))
    assert len(axes[1].collections[0].get_offsets()) == 0


def test_many_weights_are_thinned_out():
    layout = Layout.of_sizes((100, 100))
    theta = Parameters.ones(layout)
    drawn = figures.initial_and_final(theta, theta, theta, most=1000).axes[0].collections
    assert sum(len(c.get_offsets()) for c in drawn) == 1000


def test_wide_bands_and_first_steps_do_not_flatten_the_learning_curves():
    values = np.array([[0.1, 0.1]] + [[0.90, 0.92], [0.95, 0.93]] * 10)  # with two runs a band may reach beyond 100 %
    (ax,) = figures.learning_curves({"ticket": {1.0: (range(21), values)}}, ylabel="y").axes
    low, high = ax.get_ylim()
    assert 85 < low < 91 < 94 < high <= 100.5

"""Figures: what is drawn is what was given, and drawing leaves no trace in the process."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from numpynet import figures
from numpynet.statistics import t_interval

ROOT = Path(__file__).resolve().parents[1]
PNG = b"\x89PNG\r\n\x1a\n"


def accuracies(seed, n_rows, n_replicates):
    return np.random.default_rng(seed).uniform(0.1, 0.9, (n_rows, n_replicates))


def labels_of(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def edges_of(band, x):
    """The lowest and the highest point of a filled band at x."""
    path = band.get_paths()[0].vertices
    return path[path[:, 0] == x, 1].min(), path[path[:, 0] == x, 1].max()


@pytest.mark.parametrize("n_replicates", [1, 6])
def test_learning_curves_show_the_means_with_their_intervals(n_replicates):
    epochs = [0.0, 1.0, 3.0, 4.0]
    curves = {
        name: (epochs, accuracies(seed, 4, n_replicates), accuracies(seed + 1, 4, n_replicates))
        for seed, name in ((1, "no dropout"), (5, "keep_prob 0.8"), (9, "keep_prob 0.6"))
    }
    figure = figures.learning_curves(curves)
    assert len(figure.axes) == 2
    for column, ax in enumerate(figure.axes):
        assert [line.get_label() for line in ax.lines] == list(curves)
        assert len({line.get_color() for line in ax.lines}) == 3
        for line, band, (x, *values) in zip(ax.lines, ax.collections, curves.values(), strict=True):
            assert line.get_xdata().tolist() == x
            intervals = [t_interval(100 * row) for row in values[column]]
            assert line.get_ydata() == pytest.approx([i.mean for i in intervals])
            for at, interval in zip(x, intervals):
                half_width = 0.0 if n_replicates == 1 else interval.half_width
                assert edges_of(band, at) == pytest.approx((interval.mean - half_width, interval.mean + half_width))
    assert labels_of(figure.axes[1]) == list(curves)
    assert figure.axes[1].get_legend().get_title().get_text().startswith(f"mean of {n_replicates} runs")
    assert figures.png_bytes(figure).startswith(PNG)


def test_accuracy_against_density_runs_from_dense_to_sparse():
    densities = [1.0, 0.5144, 0.2]
    arms = {"ticket": accuracies(2, 3, 4), "control": accuracies(3, 3, 4)}
    figure = figures.accuracy_against_density(densities, arms, dense=[0.5, 0.7, 0.9])
    (ax,) = figure.axes
    *lines, dense = ax.lines
    for line, (name, values) in zip(lines, arms.items(), strict=True):
        assert line.get_label() == name
        assert line.get_xdata() == pytest.approx([100, 51.44, 20])
        assert line.get_ydata() == pytest.approx(100 * values.mean(axis=1))
    assert np.ptp(dense.get_ydata()) == 0
    assert dense.get_ydata()[0] == pytest.approx(70)
    left, right = ax.get_xlim()
    assert left > right
    assert ax.get_xscale() == "log"
    assert [label.get_text() for label in ax.get_xticklabels()] == ["100", "51.4", "20"]
    assert labels_of(ax) == ["ticket", "control", "dense net, mean"]
    assert figures.png_bytes(figure).startswith(PNG)


def test_two_masks_are_drawn_as_they_are():
    rng = np.random.default_rng(4)
    unit_mask, weight_mask = (
        (rng.random((9, 5)) < 0.7).astype(np.float32),
        (rng.random((5, 7)) < 0.2).astype(np.float32),
    )
    figure = figures.two_masks(unit_mask, weight_mask)
    for ax, mask in zip(figure.axes, (unit_mask, weight_mask), strict=True):
        (image,) = ax.images
        assert np.array_equal(image.get_array(), mask)
        assert f"{100 * mask.mean():.1f} % ones" in ax.get_title()
    assert figures.png_bytes(figure).startswith(PNG)


def test_the_same_numbers_give_the_same_bytes():
    def drawn():
        return figures.png_bytes(figures.two_masks(np.eye(3), np.eye(4)))

    assert drawn() == drawn()


@pytest.mark.parametrize("n", [0, 8])
def test_lines_that_could_not_be_told_apart_are_refused_not_left_out(n):
    lines = {f"line {i}": accuracies(i, 2, 3) for i in range(n)}
    with pytest.raises(ValueError, match=f"there are {n} lines to draw, but it takes 1 to 7"):
        figures.learning_curves({name: ([0, 1], values, values) for name, values in lines.items()})
    with pytest.raises(ValueError, match=f"there are {n} lines to draw"):
        figures.accuracy_against_density([1.0, 0.5], lines, dense=[0.5])


def test_seven_lines_have_seven_colours():
    lines = {f"line {i}": ([0, 1], accuracies(i, 2, 3), accuracies(i, 2, 3)) for i in range(7)}
    assert len({line.get_color() for line in figures.learning_curves(lines).axes[0].lines}) == 7


@pytest.mark.parametrize("densities", [[1.0, 0.0], [1.0, -0.5], [1.0, float("nan")]])
def test_a_density_that_a_logarithmic_axis_cannot_show_is_refused(densities):
    with pytest.raises(ValueError, match=r"densities are .*, but a logarithmic axis needs numbers > 0"):
        figures.accuracy_against_density(densities, {"ticket": accuracies(0, 2, 3)}, dense=[0.5])


def test_drawing_changes_none_of_its_arguments():
    values, mask = accuracies(0, 2, 3), np.eye(3)
    before = values.copy()
    figures.learning_curves({"a": ([0, 1], values, values)})
    figures.accuracy_against_density([1.0, 0.5], {"a": values}, dense=values[0])
    figures.two_masks(mask, mask)
    assert np.array_equal(values, before)
    assert np.array_equal(mask, np.eye(3))


SCRIPT = """
import sys
from numpynet import figures
assert "matplotlib" not in sys.modules, "imported too early"
import numpy as np
figures.png_bytes(figures.two_masks(np.eye(3), np.eye(3)))
assert "matplotlib" in sys.modules, "not seen here"
assert "matplotlib.pyplot" not in sys.modules, "pyplot has state"
print("as it should be")
"""


def test_matplotlib_is_imported_late_and_pyplot_never(tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.stdout.strip(), done.returncode) == ("as it should be", 0), done.stderr

"""A set-up so small that an experiment takes a moment, and accuracies with a known difference."""

import numpy as np

from numpynet.data import load_digits
from numpynet.experiments.setup import Setup
from numpynet.statistics import t_interval

SPREAD = np.linspace(-0.01, 0.01, 6)  # of differences between replicates
HALF_WIDTH = t_interval(SPREAD).half_width
LOUD, QUIET = 1.2 * HALF_WIDTH, 0.8 * HALF_WIDTH
BASE = 0.7 + 0.05 * np.cos(np.arange(6))


def tiny(**changes):
    return Setup(load_digits(), hidden=(9, 8), steps=6)._replace(**changes)


def shifted(difference):
    """Accuracies that differ from BASE by so much on the average, with the known spread."""
    return BASE + difference + SPREAD


def text_of(report):
    return repr([tuple(map(tuple, table.rows)) for table in report.tables]) + report.remark

"""Timings beside other libraries; see ``python -m tests.benchmarks --help``. pytest collects none of it."""

from numpynet import threads

CHOSEN = threads.set_default()  # here, because NumPy reads it when it is imported

"""Timings beside other libraries; see ``python -m tests.benchmarks --help``. pytest collects none of it."""

import os

from numpynet import threads

# One thread for everybody, whatever the user has set: the peers are held to one as well. It is here, because NumPy reads it
# when it is imported.
os.environ.update(dict.fromkeys(threads.VARIABLES, "1"))

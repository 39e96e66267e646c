"""numpynet: a neural network whose every number can be checked by hand.

A multilayer perceptron in pure NumPy, without autograd. Dropout masks and pruning masks are ordinary arrays in the
layer equation ``Z = (D * H / q) @ (M * W) + b``, so every gradient and every mask can be held beside a formula.

The parts are imported by name::

    from numpynet.equations import linear_forward, linear_backward
    from numpynet.network import MLP
    from numpynet.plan import TrainingPlan
    from numpynet.training import begin, train
    from numpynet.data import load_digits

This module itself imports nothing, so that ``numpynet --help`` answers at once.
"""

__version__ = "0.2.0"

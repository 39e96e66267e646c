"""The step of an optimizer on the weights that survive, and on no others.

A pruned weight is 0 (or frozen), its gradient is 0, and so is what the optimizer remembers of it: an elementwise optimizer
leaves it where it is (Equations (M10), (M16)). So a step may pick the survivors out of the gradient, work on these alone
and put them back. Nothing else changes: the numbers are those of a step on the whole vector, bit for bit. The fewer
survivors there are, the less it takes.

The optimizer's memory is picked out once, at ``Survivors.of``, and put back by ``return_to``; in between only the weights
themselves are up to date.
"""

from __future__ import annotations

import numpy as np

from numpynet.optimizers import SGD, Adam, Momentum, Nesterov, Optimizer, OptimizerState, RMSProp
from numpynet.parameters import Parameters

ELEMENTWISE = (SGD, Momentum, Nesterov, RMSProp, Adam)
WORTH_WHILE = 0.25  # density above which picking out costs more than it saves, of LeNet and of stacks of small nets


class Survivors:
    """The survivors of a mask, with an optimizer's memory of them.

    Parameters
    ----------
    theta : the parameters; from here on only ``update`` may write to them
    alive : flat indices of the survivors (and of all biases) in theta's vector
    optimizer : what acts on them
    state : its memory of them, each slot of the length of ``alive``
    """

    def __init__(self, theta: Parameters, alive: np.ndarray, optimizer: Optimizer, state: OptimizerState) -> None:
        self.alive, self.optimizer, self.state = alive, optimizer, state
        self.vector = theta.vector.reshape(-1)  # a view
        self.survivors = self.vector[alive]
        self.grad = np.empty_like(self.survivors)

    @classmethod
    def of(
        cls, theta: Parameters, weight_mask: Parameters | None, optimizer: Optimizer, state: OptimizerState
    ) -> Survivors | None:
        """Pick out the survivors and what the optimizer remembers of them; None where it would not pay or not be exact.

        Parameters
        ----------
        theta : its pruned weights are where they stay
        weight_mask : binary, for all replicates or one for each; None for a dense net
        optimizer, state : the state is copied, and 0 at pruned weights already

        Returns
        -------
        the survivors, or None

        Examples
        --------
        >>> from numpynet.parameters import Layout
        >>> layout = Layout.of_sizes((7, 1))
        >>> theta, mask = Parameters(np.ones(8), layout), Parameters(np.array([0.0, 1, 0, 0, 0, 0, 0, 1]), layout)
        >>> theta *= mask
        >>> state = SGD().init(theta.vector)
        >>> survivors = Survivors.of(theta, mask, SGD(), state)
        >>> survivors.update(Parameters(np.full(8, 2.0), layout), lr=0.1)
        >>> theta.vector
        array([0. , 0.8, 0. , 0. , 0. , 0. , 0. , 0.8])
        >>> survivors.return_to(state)
        >>> state.step
        1
        """
        if weight_mask is None or type(optimizer) not in ELEMENTWISE or not theta.vector.flags.c_contiguous:
            return None
        if np.count_nonzero(weight_mask.vector) > WORTH_WHILE * weight_mask.vector.size:
            return None
        alive = np.flatnonzero(np.broadcast_to(weight_mask.vector, theta.vector.shape))
        slots = {name: slot.reshape(-1)[alive] for name, slot in state.slots.items()}
        return cls(theta, alive, optimizer, OptimizerState(state.step, slots, np.empty(alive.size, theta.dtype)))

    def update(self, gradients: Parameters, lr: float) -> None:
        """Make one step on the survivors of theta, in place; what the gradient says of pruned weights is not looked at.

        Parameters
        ----------
        gradients : in the form of theta
        lr : learning rate of this step
        """
        np.take(gradients.vector, self.alive, out=self.grad, mode="clip")  # "clip" writes to out without a copy between
        self.optimizer.step(self.survivors, self.grad, self.state, lr)
        self.vector[self.alive] = self.survivors

    def return_to(self, state: OptimizerState) -> None:
        """Put back what the optimizer remembers, and how many steps it has made.

        Parameters
        ----------
        state : of the whole vector, which changes; its slots at pruned weights are left alone
        """
        state.step = self.state.step
        for name, slot in state.slots.items():
            slot.reshape(-1)[self.alive] = self.state.slots[name]

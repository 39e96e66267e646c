"""The stages of a check, in their order. Each asks one question and raises a ``Finding`` if the answer is no.

0. Do the functions answer, with arrays of the right shape and type?  1. Are the forward values those of the law?
2. Can they be called again, and is everything they were given left alone?  3. Is backward linear in the upstream
gradient?  4. Is it the gradient?  5. and 6. The same for a whole network, without and with weight decay.  7. Masked
entries exactly 0, float32 stays float32, large inputs stay finite.

The order matters: a wrong gradient of a forward pass that draws its own mask means nothing, and a forgotten 1/N is a
clean factor only as long as weight decay is off.
"""

from __future__ import annotations

from collections.abc import Callable

from numpynet.gradcheck.run import Run
from numpynet.gradcheck.stage_behaviour import forward_values, linear_in_dy, repeatable
from numpynet.gradcheck.stage_calls import answers
from numpynet.gradcheck.stage_extremes import masks_and_extremes
from numpynet.gradcheck.stage_gradients import gradients, network, weight_decay

STAGES: tuple[Callable[[Run], None], ...] = (
    answers,
    forward_values,
    repeatable,
    linear_in_dy,
    gradients,
    network,
    weight_decay,
    masks_and_extremes,
)

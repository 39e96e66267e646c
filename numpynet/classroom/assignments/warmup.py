"""Warm-up: a linear layer with both masks, and inverted dropout; small, for a first meeting with the grader."""

from __future__ import annotations

from pathlib import Path

from numpynet.classroom.rungs import layer_ladder
from numpynet.classroom.task import Assignment, Task

ASSIGNMENT = Assignment(
    name="warmup",
    title="Warm-up: two layers with masks",
    file="layers.py",
    tasks=(
        Task(
            id="1",
            title="Linear layer with both masks",
            functions=("linear_forward", "linear_backward"),
            checks=layer_ladder(
                "linear",
                {"answers": 0, "values": 4, "gradients": 4, "square": 1, "large": 1, "details": 2},
                square=True,
                large=True,
            ),
        ),
        Task(
            id="2",
            title="Inverted dropout",
            functions=("dropout_forward", "dropout_backward"),
            checks=layer_ladder("dropout", {"answers": 0, "values": 4, "gradients": 3, "details": 1}),
        ),
    ),
    solution=Path(__file__).with_name("_warmup_solution.py"),
)

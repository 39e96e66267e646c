"""Experiments on dropout: questions that theory leaves open, asked of small nets, with intervals for answers.

Each file asks one question. Its experiment is a function that returns plain records; ``report`` turns them into a table, a
figure and a remark that says what the intervals allow and no more. ``numpynet dropout list`` names them all.
"""

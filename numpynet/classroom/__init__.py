"""The classroom: assignments, and a grader that runs a student's code beside neither the reference nor the tests.

===================  ================================================================================================
``task``             the records of an assignment: checks with points, tasks, and how an assignment is found
``variants``         conventions of a course (drop instead of keep probability, transposed weights, another scale)
``rungs``            checks made of the laws and the gradient check of this package
``assignments``      the assignments themselves, a module each with ``ASSIGNMENT``
``sandbox``          the child process, what it may do, and the wire to it
``submissions``      a folder of hand-ins, read without following a link
``grading``          one submission -> one record
``batch``            a class -> ``grades.csv``, a record and a page per submission, a summary (``pool``, ``table``, ``summary``)
``exports``          the files that Gradescope, PrairieLearn, GitHub Classroom, JUnit and otter-grader read
===================  ================================================================================================

What is protected and what is not: docs/classroom_security.md.
"""

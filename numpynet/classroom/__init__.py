"""The classroom: assignments, and a grader that runs a student's code beside neither the reference nor the tests.

===================  ================================================================================================
``task``             the records of an assignment: checks with points, tasks, and how an assignment is found
``variants``         conventions of a course (drop instead of keep probability, transposed weights, another scale)
``rungs``            checks made of the laws and the gradient check of this package
``assignments``      the assignments themselves, each a marked solution file that defines ``ASSIGNMENT``
``markers``          the marks in a solution file, and the texts made of it: skeleton, checks, page, mutants
``authoring``        from such a file to an assignment
``release``          what students get; ``notebook`` makes the notebook of it
``self_check``       what must be true of an assignment before anybody gets it
``desk``             a student's folder: which assignment, which functions, which hints
``practice``         the student's loop: a line for each task, for a file, for pytest, in a notebook
``sandbox``          the child process, what it may do, and the wire to it
``submissions``      a folder of hand-ins, read without following a link
``grading``          one submission -> one record
``batch``            a class -> ``grades.csv``, a record and a page per submission, a summary (``pool``, ``table``, ``summary``)
``exports``          the files that Gradescope, PrairieLearn, GitHub Classroom, JUnit and otter-grader read
===================  ================================================================================================

What is protected and what is not: docs/classroom_security.md.
"""

"""The assignments, a module each; ``ASSIGNMENT`` is the record of it (``numpynet.classroom.task``)."""

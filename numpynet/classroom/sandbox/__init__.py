"""The child process that runs a student's code, what it may do, and the wire to it.

==============  =====================================================================================================
``host``        the grader's side: starts a child, asks it, stops it
``stand_ins``   functions whose calls travel to the child
``wire``        messages: a header that is checked before anything is allocated, then the bytes of arrays; no pickles
``child``       the child's side: closes the doors, imports the file, answers calls
``doors``       limits, another user, namespaces, Landlock, seccomp: what the system allows
``seccomp``     the system calls that the child may make
``idle``        packages for plots and progress bars, which do nothing here
``source``      what a file imports, and its fingerprint; read before any of it runs
==============  =====================================================================================================

``wire``, ``child``, ``doors``, ``seccomp``, ``idle`` and ``source`` are run by the child, outside the package: they import nothing of
it.
"""

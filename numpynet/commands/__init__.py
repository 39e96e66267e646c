"""The commands of ``numpynet``, a file each: its options, and the function that runs it.

Nothing heavy is imported when such a file is; what a command needs, it imports when it runs.
"""

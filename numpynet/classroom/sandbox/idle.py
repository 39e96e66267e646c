"""Packages that are imported for plots and progress bars: they are there, and do nothing.

They are left over from a student's own trials, and no reason for a file to be worth nothing.

This file is run by the child, so it imports nothing of the package.
"""

from __future__ import annotations

import types
from typing import Any

IDLE = ("matplotlib", "pylab", "seaborn", "tqdm", "IPython", "pytest")


class Idle:
    """Stands in for everything of a package that has no work here: may be called, opened, unpacked in two, entered."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        is_loop = bool(args) and hasattr(args[0], "__iter__") and not isinstance(args[0], (str, Idle))
        return args[0] if is_loop else self  # tqdm(range(n)) is range(n)

    def __getattr__(self, name: str) -> Idle:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __getitem__(self, key: Any) -> Idle:
        return self

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def __iter__(self) -> Any:
        return iter((self, self))

    def __enter__(self) -> Idle:
        return self

    def __exit__(self, *_: Any) -> None:
        pass


class IdleModule(types.ModuleType):
    """A package that is not there, and of which nothing is needed."""

    __path__: tuple = ()

    def __getattr__(self, name: str) -> Idle:
        if name.startswith("__"):
            raise AttributeError(name)
        return Idle()

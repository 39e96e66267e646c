"""Is there a Dask scheduler at an address? Asked before anything is written, because a client finds out too late.

``distributed`` is imported when it is asked for, and nowhere above this file and ``numpynet.parallel``.
"""

from __future__ import annotations

import re
from typing import Any

ANSWER_SECONDS = 10  # a scheduler that was started just now needs a few


def check_scheduler(address: str) -> int:
    """Return how many workers a Dask scheduler has, if it is one and answers.

    Parameters
    ----------
    address : such as tcp://10.0.0.1:8786

    Returns
    -------
    The number of workers that it has now; 0 is no error, for a queue may send them later.

    Raises
    ------
    ConnectionError
        Nobody answers.
    ValueError
        The package is not installed, the address is none, or it is that of somebody else.

    Examples
    --------
    >>> try:
    ...     check_scheduler("nowhere")
    ... except ValueError as error:  # which of the two it says depends on what is installed
    ...     print("distributed" in str(error) or "nowhere" in str(error))
    True
    """
    port = address.rpartition(":")[2]
    if re.fullmatch(r"-?\d+", port) and not 0 < int(port) < 1 << 16:  # a client would try it, and hear nothing
        raise ValueError(f"the scheduler's address is {address!r}, but ports go from 1 to 65535")
    try:
        import distributed  # noqa: F401
    except ImportError:
        raise ValueError(
            "a Dask cluster needs the package distributed: pip install 'numpynet[cluster]'; --workers does without"
        ) from None
    identity = _ask(address)
    if identity["type"] != "Scheduler":
        known = identity.get("scheduler")
        raise ValueError(
            f"a {identity['type'].lower()} of Dask answers at {address!r}, but the address of its scheduler is needed"
            + (f": {known}" if known else "")
        )
    return len(identity["workers"])


def _ask(address: str) -> dict[str, Any]:
    """What the process at an address says of itself."""
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

    from distributed import Security
    from distributed.core import rpc

    async def identity() -> dict[str, Any]:
        async with rpc(address, connection_args=Security().get_connection_args("client")) as server:
            return await server.identity()

    async def within_time() -> dict[str, Any]:
        return await asyncio.wait_for(identity(), ANSWER_SECONDS)

    try:
        with ThreadPoolExecutor(1) as thread:  # in a notebook, this thread has a loop already, which cannot be entered
            return thread.submit(lambda: asyncio.run(within_time())).result()
    except (TimeoutError, asyncio.TimeoutError):
        raise ConnectionError(
            f"no Dask scheduler answers at {address!r} within {ANSWER_SECONDS} s: is it running, and is this the address "
            "that it printed behind 'Scheduler at' (its dashboard has a port of its own)?"
        ) from None
    except OSError as error:
        raise ConnectionError(f"no Dask scheduler answers at {address!r}: {error}; is it running?") from None
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"no Dask scheduler answers at {address!r}: {error}; an address looks like tcp://10.0.0.1:8786"
        ) from None

"""Many independent tasks on several cores, or on a cluster; the results are those of one core, bit for bit.

A task is a plain record that can be pickled, and ``run_tasks(function, tasks)`` returns ``[function(task) for task in
tasks]``, wherever that is computed. So the work is split into tasks by what it is (a group of replicates, a condition, a
student), never by the number of workers, and everything random comes from seeds inside the task:

    results = run_tasks(train_group, groups)                                    # here, one after the other
    results = run_tasks(train_group, groups, workers=4)                         # four processes, one thread each
    results = run_tasks(train_group, groups, scheduler="tcp://10.0.0.1:8786")   # an existing Dask cluster
    results = run_tasks(train_group, groups, executor=MPIPoolExecutor())        # any concurrent.futures.Executor

A task whose worker dies is done again. Ctrl-C, or the death of this process, ends all workers at once.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from numpynet import threads
from numpynet.dask_cluster import ANSWER_SECONDS, check_scheduler
from numpynet.progress import WIPE, Progress, aside, say

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future
    from multiprocessing.connection import Connection

Task = TypeVar("Task")
Result = TypeVar("Result")

RETRIES = 2  # how often a task is done again after the death of its worker


class WorkerLost(RuntimeError):
    """A worker died again and again in the same task, or a pool that is not ours is broken."""


def run_tasks(
    function: Callable[[Task], Result],
    tasks: Iterable[Task],
    *,
    workers: int = 1,
    scheduler: str | None = None,
    executor: Executor | None = None,
    retries: int = RETRIES,
    what: str | None = "tasks",
    on_done: Callable[[int, Result], None] | None = None,
) -> list[Result]:
    """Return ``[function(task) for task in tasks]``, computed here, on several processes or on a cluster.

    Parameters
    ----------
    function : of a module (no lambda, no inner function), if it is to run elsewhere
    tasks : records that can be pickled; a task may be done twice, so it must have no effect but its result (or files
        that come out the same each time)
    workers : processes, each with one thread for matrix products unless the environment says otherwise; 1 runs the
        tasks here, one after the other
    scheduler : address of a Dask scheduler, such as tcp://10.0.0.1:8786, in place of ``workers``
    executor : in place of both; it stays open
    retries : how often a task is done again after its worker died, with ``workers``; a Dask scheduler counts itself
    what : a word or two for the progress line, which counts tasks; tasks that run here, one after the other, show their
        own; None shows nothing, where somebody else does
    on_done : called here with the index and the result of every task as it ends, in whatever order they end: to show
        progress, or to save what is there

    Returns
    -------
    results, in the order of the tasks

    Raises
    ------
    WorkerLost
        A task's worker died more than ``retries`` times, for instance for want of memory.
    ConnectionError
        The scheduler does not answer.
    ValueError, TypeError
        More than one place was asked for; the address is not that of a scheduler; the function cannot be sent.
    Exception
        What a task raised: that of the first failing task in their order, whatever the number of workers. No task is
        started after a failure was seen.

    Examples
    --------
    >>> run_tasks(abs, [-3, 4, -5])
    [3, 4, 5]
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> with ThreadPoolExecutor(2) as pool:
    ...     run_tasks(abs, [-3, 4, -5], executor=pool)
    [3, 4, 5]
    """
    tasks = list(tasks)
    if (workers != 1) + (scheduler is not None) + (executor is not None) > 1:
        raise ValueError("tasks run in one place: give workers, or scheduler, or executor")
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise ValueError(f"workers is {workers!r}, but an integer >= 1 is needed")
    if isinstance(retries, bool) or not isinstance(retries, int) or retries < 0:
        raise ValueError(f"retries is {retries!r}, but an integer >= 0 is needed")
    job = _Job(function, tasks, what, on_done)
    try:
        _run(job, workers, scheduler, executor, retries)
    finally:
        if job.progress is not None:
            job.progress.close()
    return [job.results[index] for index in range(len(tasks))]


def _run(job: _Job, workers: int, scheduler: str | None, executor: Executor | None, retries: int) -> None:
    if executor is not None:
        _on_executor(job, executor)
    elif scheduler is not None:
        _check_can_be_sent(job.function)
        with _dask(scheduler) as cluster:
            _on_executor(job, cluster)
    elif min(workers, len(job.tasks)) > 1:
        _check_can_be_sent(job.function)
        _on_processes(job, min(workers, len(job.tasks)), retries)
    else:
        for index, task in enumerate(job.tasks):
            job.finish(index, job.function(task))


class _Job:
    """What is to do, and what is done so far."""

    def __init__(
        self, function: Callable, tasks: list, what: str | None, on_done: Callable[[int, Any], None] | None
    ) -> None:
        self.function, self.tasks, self.on_done = function, tasks, on_done
        self.progress = None if what is None else Progress(what, len(tasks))
        self.waiting = deque(range(len(tasks)))  # in order: a task is never started before an earlier one
        self.results: dict[int, Any] = {}
        self.errors: dict[int, BaseException] = {}

    def finish(self, index: int, result: Any) -> None:
        self.results[index] = result
        if self.on_done is not None:
            with aside():
                self.on_done(index, result)

    def show(self) -> None:
        if self.progress is not None:
            self.progress.show(len(self.results), f"{len(self.results)} of {len(self.tasks)}")

    def collect(self, executor: Executor, window: int, running: dict[Future, int]) -> None:
        """Keep up to ``window`` tasks in the executor until all are done; ``running`` shows what is in it."""
        from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, wait

        self.show()
        while (self.waiting and not self.errors) or running:
            while self.waiting and not self.errors and len(running) < window:
                future = executor.submit(self.function, self.tasks[self.waiting[0]])
                running[future] = self.waiting.popleft()
            if self.errors and min(self.errors) < min(running.values()):
                break  # what is still running comes later, so the first failure is known
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                error = future.exception()
                if isinstance(error, BrokenExecutor):
                    raise error
                index = running.pop(future)
                if error is None:
                    self.finish(index, future.result())
                    self.show()
                else:
                    self.errors[index] = error
        if self.errors:
            raise self.errors[min(self.errors)]


def _on_executor(job: _Job, executor: Executor) -> None:
    """Hand all tasks to an executor; if this is interrupted, take back those that have not begun."""
    from concurrent.futures import BrokenExecutor, CancelledError

    running: dict[Future, int] = {}
    try:
        job.collect(executor, len(job.tasks), running)
    except (BrokenExecutor, CancelledError) as error:
        raise WorkerLost(f"the executor is broken: {error or type(error).__name__}; a worker may have died") from error
    finally:
        for future in running:
            future.cancel()


# ---- processes ------------------------------------------------------------------------------------------------------


def _on_processes(job: _Job, workers: int, retries: int) -> None:
    """Run the tasks on processes of our own; when one dies, begin again with a new pool and what is not done."""
    from concurrent.futures import BrokenExecutor

    deaths: Counter[int] = Counter()
    while True:
        running: dict[Future, int] = {}
        try:
            with _processes(workers) as pool:
                job.collect(pool, workers, running)
            return
        except BrokenExecutor as error:
            # Only as many tasks as workers are in the pool, so these are the suspects.
            lost = sorted(running.values())
            suspects = lost or [job.waiting[0]]
            deaths.update(suspects)
            if any(deaths[index] > retries for index in suspects):
                which = ", ".join(str(index + 1) for index in suspects if deaths[index] > retries)
                raise WorkerLost(
                    f"a worker died {retries + 1} times in task {which} of {len(job.tasks)}; there may not be enough memory: "
                    "fewer workers, or smaller groups, may fit"
                ) from error
            job.waiting.extendleft(reversed(lost))


class _Pool:
    """A pool of processes; they are started by ``submit``, and that is where they inherit what they need."""

    def __init__(self, pool: Executor) -> None:
        self.pool = pool

    def submit(self, function: Callable, task: Any) -> Future:
        with threads.default_for_children(), _without_interrupts():
            return self.pool.submit(function, task)


@contextlib.contextmanager
def _processes(workers: int) -> Iterator[_Pool]:
    """A pool of fresh interpreters that ends with this block, and with this process, however either ends.

    Each worker holds the reading end of a pipe whose writing end only this process has: when that is closed, by us
    or by our death, the worker ends, whatever it is doing.
    """
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    context = multiprocessing.get_context("spawn")  # fresh: NumPy reads the thread variables when it is imported
    lifeline, held = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin_worker, initargs=(lifeline,))
    try:
        yield _Pool(pool)
    except BaseException:
        held.close()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        held.close()
        lifeline.close()


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """Start processes that Ctrl-C does not reach: we hear it, and end them; they would only print a traceback each."""
    if not hasattr(signal, "pthread_sigmask"):  # not on Windows; _begin_worker does what can be done there
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin_worker(lifeline: Connection) -> None:
    """Prepare a worker: deaf to Ctrl-C, without a progress line of its own, and mortal."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.stderr is not None:
        sys.stderr = _NotATerminal(sys.stderr)
    threading.Thread(target=_end_with_the_lifeline, args=(lifeline,), daemon=True).start()


def _end_with_the_lifeline(lifeline: Connection) -> None:
    with contextlib.suppress(EOFError, OSError):
        lifeline.recv_bytes()
    os._exit(1)


class _NotATerminal:
    """A stream that says it is no terminal: progress lines of several workers would overwrite each other.

    What else a worker writes, a warning for instance, goes out in whole lines; on a terminal they begin where the
    command shows its progress, which is wiped for them.
    """

    def __init__(self, stream: Any) -> None:
        self._stream, self._begun = stream, ""
        self._wipe = WIPE if stream.isatty() else ""

    def isatty(self) -> bool:
        return False

    def write(self, text: str) -> int:
        whole, end, self._begun = (self._begun + text).rpartition("\n")
        if end:
            self._stream.write(self._wipe + whole + end)
        return len(text)

    def flush(self) -> None:
        if self._begun:
            self._stream.write(self._wipe + self._begun)
            self._begun = ""
        self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _check_can_be_sent(function: Callable) -> None:
    name = getattr(function, "__qualname__", "")
    if "<" in name:
        raise TypeError(
            f"{name} cannot be sent to another process: it must be a function of a module, not of a function"
        )


# ---- a Dask cluster -------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _dask(address: str) -> Iterator[Executor]:
    """The workers of a Dask scheduler as an executor. Dask itself gives a lost worker's tasks to another one."""
    if not check_scheduler(address):  # and so, no client that never was connected: it hangs at the end of the process
        say(
            f"{address} has no workers yet; the work waits for the first. To start one: dask worker {address} --nthreads 1",
            stream=sys.stderr,
        )
    from distributed import Client
    from distributed.scheduler import KilledWorker

    with Client(address, timeout=ANSWER_SECONDS, set_as_default=False) as client:
        try:
            yield client.get_executor(pure=False)  # or equal tasks, of other commands too, would be one
        except KilledWorker as error:
            raise WorkerLost(f"Dask gave up a task: {error}") from error

"""Tasks on several processes: the same results in the same order, whatever dies on the way."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from numpynet import dask_cluster, threads
from numpynet.parallel import WorkerLost, _NotATerminal, run_tasks

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def tasks():
    """The module of tasks, by a name under which the workers find it too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(HERE)
        import worker_tasks

        yield worker_tasks
        sys.modules.pop("worker_tasks")


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return (
        Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z" if sys.platform == "linux" else True
    )


def wait_until(condition, seconds: float = 30.0) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def test_results_do_not_depend_on_the_number_of_workers(tasks):
    groups = [(0, 1), (2,), (3, 4, 5)]
    here = run_tasks(tasks.train_group, groups)
    assert len({bits for bits, _ in here}) == 3
    assert run_tasks(tasks.train_group, groups, workers=2) == here
    with ThreadPoolExecutor(2) as executor:
        assert run_tasks(tasks.train_group, groups, executor=executor) == here


def test_results_come_in_order_and_are_reported_as_they_end(tasks, tmp_path):
    first_is_last = [tasks.Task(n, awaited=tmp_path / "open" if n == 0 else None) for n in range(5)]
    done = {}

    def on_done(index, result):
        done[index] = result
        if len(done) == 4:
            (tmp_path / "open").touch()

    assert run_tasks(tasks.square, first_is_last, workers=2, on_done=on_done) == [0, 1, 4, 9, 16]
    assert done == {n: n**2 for n in range(5)}
    assert list(done)[-1] == 0


def test_a_dead_workers_tasks_are_done_again(tasks, tmp_path):
    flags = [tmp_path / "first", tmp_path / "second"]
    for flag in flags:
        flag.touch()
    jobs = [tasks.Task(n, flags[n // 4] if n in (1, 6) else None) for n in range(9)]
    done = []
    results = run_tasks(tasks.square, jobs, workers=2, on_done=lambda index, result: done.append(index))
    assert results == [n**2 for n in range(9)]
    assert sorted(done) == list(range(9))  # each once
    assert not any(flag.exists() for flag in flags)


def test_a_task_that_always_kills_its_worker_is_given_up(tasks):
    with pytest.raises(WorkerLost, match=r"died 2 times in task .*4.* of 6; there may not be enough memory"):
        run_tasks(tasks.deadly, range(6), workers=2, retries=1)


@pytest.mark.parametrize("workers", [1, 2])
def test_the_first_failure_in_order_is_raised(tasks, workers):
    with pytest.raises(ValueError, match="task 2 failed"):
        run_tasks(tasks.fails, range(20), workers=workers)


def test_workers_have_one_thread_and_no_terminal(tasks, monkeypatch):
    for name in threads.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    seen = run_tasks(tasks.surroundings, range(4), workers=2)
    assert [s["threads"] for s in seen] == [["1"] * 4] * 4
    assert not any(s["numpy was here"] or s["terminal"] for s in seen)
    assert os.getpid() not in {s["pid"] for s in seen}
    assert not any(name in os.environ for name in threads.VARIABLES)  # and this process is as it was
    assert wait_until(lambda: not any(alive(s["pid"]) for s in seen))


@pytest.mark.parametrize("terminal", [True, False])
def test_what_a_worker_writes_goes_out_in_whole_lines(terminal):
    """A warning of a worker began in the middle of the line of progress."""
    written = []
    stream = SimpleNamespace(isatty=lambda: terminal, write=written.append, flush=lambda: None, encoding="ascii")
    worker = _NotATerminal(stream)
    assert not worker.isatty() and worker.encoding == "ascii"
    print("no path", 1, "left", file=worker)
    worker.write("one\ntwo\nthr")
    worker.write("ee\nfo")
    worker.flush()
    worker.flush()
    wipe = "\r\x1b[K" if terminal else ""
    assert written == [f"{wipe}{text}" for text in ("no path 1 left\n", "one\ntwo\n", "three\n", "fo")]


def test_workers_respect_what_the_user_has_set(tasks, monkeypatch):
    for name in threads.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setenv("MKL_NUM_THREADS", "3")
    seen = run_tasks(tasks.surroundings, range(2), workers=2)
    assert [s["threads"] for s in seen] == [["2", "3", "2", "2"]] * 2


PARENT = """
    import sys
    from pathlib import Path
    from numpynet.parallel import run_tasks
    from worker_tasks import says_hello_and_sleeps

    if __name__ == "__main__":
        try:
            run_tasks(says_hello_and_sleeps, [Path(sys.argv[1])] * 5, workers=2)
        except KeyboardInterrupt:
            print("interrupted")
"""


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGKILL])
def test_no_worker_outlives_an_interrupt_or_the_death_of_its_parent(tmp_path, sign):
    (tmp_path / "parent.py").write_text(textwrap.dedent(PARENT))
    (tmp_path / "here").mkdir()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent)])}
    parent = subprocess.Popen(
        [sys.executable, tmp_path / "parent.py", tmp_path / "here"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell's background job ignores Ctrl-C, and so would all that is started from it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        assert wait_until(lambda: len(list((tmp_path / "here").iterdir())) == 2)
        workers = [int(path.name) for path in (tmp_path / "here").iterdir()]
        assert all(alive(pid) for pid in workers)
        if sign == signal.SIGINT:
            os.killpg(parent.pid, sign)  # Ctrl-C reaches all processes of a terminal
        else:
            parent.kill()
        out, err = parent.communicate(timeout=30)
        assert wait_until(lambda: not any(alive(pid) for pid in workers))
        if sign == signal.SIGINT:
            assert (out, err) == ("interrupted\n", "")
    finally:
        parent.kill()


class Broken(Executor):
    """A pool whose worker has died."""

    def submit(self, function, /, *args, **kwargs):
        future = Future()
        future.set_exception(BrokenExecutor("all is lost"))
        return future


def test_a_broken_executor_is_reported():
    with pytest.raises(WorkerLost, match="the executor is broken: all is lost"):
        run_tasks(abs, [1, 2], executor=Broken())


class Recording(Executor):
    """A pool that never ends anything but the first task, which fails."""

    def __init__(self):
        self.futures = []

    def submit(self, function, /, *args, **kwargs):
        self.futures.append(Future())
        if len(self.futures) == 3:
            self.futures[0].set_exception(ValueError("wrong"))
        return self.futures[-1]


def test_tasks_that_have_not_begun_are_taken_back_after_a_failure():
    executor = Recording()
    with pytest.raises(ValueError, match="wrong"):
        run_tasks(abs, [1, 2, 3], executor=executor)
    assert [future.cancelled() for future in executor.futures] == [False, True, True]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"workers": 0}, ValueError, "workers is 0, but an integer >= 1"),
        ({"workers": True}, ValueError, "workers is True"),
        ({"workers": 2, "retries": -1}, ValueError, "retries is -1"),
        ({"workers": 2, "scheduler": "tcp://127.0.0.1:1"}, ValueError, "one place"),
        ({"executor": Broken(), "scheduler": "tcp://127.0.0.1:1"}, ValueError, "one place"),
    ],
)
def test_bad_input(options, error, message):
    with pytest.raises(error, match=message):
        run_tasks(abs, [1, 2], **options)


def test_an_inner_function_cannot_be_sent():
    with pytest.raises(TypeError, match=r"<lambda> cannot be sent to another process"):
        run_tasks(lambda task: task, [1, 2], workers=2)
    assert run_tasks(lambda task: task, [1, 2]) == [1, 2]


def test_nothing_to_do():
    assert run_tasks(abs, [], workers=3) == run_tasks(abs, []) == []


@pytest.mark.slow
def test_a_dask_cluster_gives_the_same_results_though_a_worker_is_killed(tasks, tmp_path):
    distributed = pytest.importorskip("distributed", reason="a Dask cluster needs: pip install 'numpynet[cluster]'")
    (tmp_path / "flag").touch()
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=":0"
    ) as cluster:
        address = cluster.scheduler_address
        jobs = [tasks.Task(n, tmp_path / "flag" if n == 3 else None) for n in range(8)]
        assert run_tasks(tasks.square, jobs, scheduler=address) == [n**2 for n in range(8)]
        assert not (tmp_path / "flag").exists()  # it was taken away by the worker that died
        groups = [(0, 1), (2,), (3, 4, 5)]
        assert run_tasks(tasks.train_group, groups, scheduler=address) == run_tasks(tasks.train_group, groups)
        with pytest.raises(ValueError, match="task 2 failed"):
            run_tasks(tasks.fails, range(5), scheduler=address)
        with pytest.raises(WorkerLost, match=r"Dask gave up a task.* on 4 different workers"):
            run_tasks(tasks.deadly, range(5), scheduler=address)
        assert wait_until(lambda: len(cluster.scheduler.workers) == 2)  # closing trips over a worker that is starting


@pytest.mark.slow
def test_an_address_that_is_not_that_of_a_dask_scheduler(monkeypatch):
    distributed = pytest.importorskip("distributed", reason="a Dask cluster needs: pip install 'numpynet[cluster]'")
    monkeypatch.setattr(dask_cluster, "ANSWER_SECONDS", 1)
    with socket.create_server(("127.0.0.1", 0)) as mute:  # listens, and never says a word
        for address in ("tcp://127.0.0.1:1", f"tcp://127.0.0.1:{mute.getsockname()[1]}"):
            with pytest.raises(ConnectionError, match=f"no Dask scheduler answers at '{address}' within 1 s"):
                run_tasks(abs, [1, 2], scheduler=address)
    for address in ("nowhere", "", "http://127.0.0.1:8786", "tls://127.0.0.1:8786"):
        with pytest.raises(ValueError, match=f"no Dask scheduler answers at '{address}': .*like tcp://10"):
            run_tasks(abs, [1, 2], scheduler=address)
    with distributed.LocalCluster(
        n_workers=1, processes=False, protocol="tcp", host="127.0.0.1", dashboard_address=":0"
    ) as cluster:
        (worker,) = cluster.workers.values()
        with pytest.raises(ValueError, match=f"a worker of Dask .*: {cluster.scheduler_address}"):
            run_tasks(abs, [1, 2], scheduler=worker.address)


@pytest.mark.slow
def test_a_wrong_address_leaves_no_client_behind_to_hang_at_the_end():
    pytest.importorskip("distributed", reason="a Dask cluster needs: pip install 'numpynet[cluster]'")
    code = "from numpynet.parallel import run_tasks; run_tasks(abs, [1, 2], scheduler='nowhere')"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.stderr.count("Traceback") == 1 and "ValueError: no Dask scheduler" in ended.stderr.splitlines()[-1]


@pytest.mark.slow
def test_work_waits_for_the_first_dask_worker_and_equal_tasks_are_all_done(tasks, capsys):
    distributed = pytest.importorskip("distributed", reason="a Dask cluster needs: pip install 'numpynet[cluster]'")
    with (
        distributed.LocalCluster(
            n_workers=0, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=":0"
        ) as cluster,
        ThreadPoolExecutor(1) as thread,
    ):
        address = cluster.scheduler_address
        found = thread.submit(run_tasks, tasks.draws, [3, 3, 3], scheduler=address)
        said = []
        assert wait_until(lambda: said.append(capsys.readouterr().err) or "has no workers yet" in "".join(said))
        assert f"dask worker {address} --nthreads 1" in "".join(said)
        cluster.scale(1)
        assert len(set(found.result(timeout=60))) == 3  # each drew for itself


def test_a_cluster_needs_its_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ValueError, match=r"pip install 'numpynet\[cluster\]'"):
        run_tasks(abs, [1, 2], scheduler="tcp://127.0.0.1:1")


def test_importing_it_imports_no_numpy():
    code = "import sys, numpynet.parallel; print('numpy' in sys.modules, 'multiprocessing' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "False False\n"
    )

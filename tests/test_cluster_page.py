"""The recipes of docs/howto/cluster.md for Slurm and MPI, run as they are printed, on this machine."""

import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from numpynet.parallel import run_tasks

HERE = Path(__file__).parent
PAGE = (HERE.parent / "docs" / "howto" / "cluster.md").read_text(encoding="utf-8")
RECIPES = {
    name: code for name, code in re.findall(r"^```text\n# (\w+\.py)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
}


def test_the_page_prints_its_recipes():
    assert set(RECIPES) == {"slurm_workers.py", "my_tasks.py", "script.py"}
    for name, code in RECIPES.items():
        compile(code, name, "exec")


def here(folder: Path, **more: str) -> dict[str, str]:
    """The environment of a process that finds numpynet, the tasks of the tests and what is in a folder."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (folder, HERE, HERE.parent))), **more}


@pytest.mark.slow
def test_the_recipe_for_mpi_gives_what_one_process_gives(tmp_path):
    version = "from mpi4py import MPI; print(MPI.Get_library_version())"
    starter = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if starter is None or subprocess.run([sys.executable, "-c", version], capture_output=True).returncode:
        pytest.skip("mpi4py and the mpiexec of its MPI are needed: pip install mpi4py mpich")
    for name in ("my_tasks.py", "script.py"):
        (tmp_path / name).write_text(RECIPES[name], encoding="utf-8")
    where = {"cwd": tmp_path, "env": here(tmp_path, OPENBLAS_NUM_THREADS="1"), "capture_output": True, "text": True}
    alone = "from my_tasks import groups, train_group; print([train_group(group) for group in groups])"
    expected = subprocess.run([sys.executable, "-c", alone], check=True, **where).stdout
    (command,) = re.findall(r"^\$ mpiexec (.*)$", PAGE, re.MULTILINE)
    words = [sys.executable if word == "python" else word for word in command.split()]
    found = subprocess.run([starter, *words], timeout=120, **where)
    assert (found.stdout, found.returncode) == (expected, 0), found.stderr
    assert len(set(re.findall(r"\d+\.\d{6,}", expected))) == 8  # losses to the last bit, none like another


# Two jobs begin at once, all others wait in the queue for ever; a job ends with the process group of its script.
SBATCH = """\
#!{python}
import itertools, os, subprocess, sys
from pathlib import Path

folder = Path({folder!r})
for number in itertools.count(1):  # several are submitted at the same time
    script = folder / f"job-{{number}}"
    try:
        script.open("x").write(Path(sys.argv[-1]).read_text())
        break
    except FileExistsError:
        pass
if number <= 2:
    with open(folder / f"log-{{number}}", "w") as log:
        job = subprocess.Popen(["bash", script], stdout=log, stderr=log, start_new_session=True)
    (folder / f"pid-{{number}}").write_text(str(job.pid))
print("Submitted batch job", number)
"""
SCANCEL = """\
#!{python}
import os, signal, sys
from pathlib import Path

for number in sys.argv[1:]:
    pid = Path({folder!r}) / f"pid-{{number}}"
    if pid.exists():
        os.killpg(int(pid.read_text()), signal.SIGTERM)
"""


@pytest.fixture
def queue(tmp_path, monkeypatch):
    """A folder with an ``sbatch`` that starts jobs on this machine; what still runs at the end is ended."""
    folder = tmp_path / "queue"
    folder.mkdir()
    for name, source in (("sbatch", SBATCH), ("scancel", SCANCEL)):
        (folder / name).write_text(textwrap.dedent(source).format(python=sys.executable, folder=str(folder)))
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    yield folder
    for pid in folder.glob("pid-*"):
        subprocess.run([folder / "scancel", pid.name.removeprefix("pid-")], stderr=subprocess.DEVNULL)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="jobs of Slurm are scripts for a shell")
def test_the_recipe_for_slurm_gives_workers_that_compute_what_one_process_computes(tmp_path, queue, monkeypatch):
    for package in ("distributed", "dask_jobqueue"):
        pytest.importorskip(package, reason="needed: pip install 'numpynet[cluster]' dask-jobqueue")
    monkeypatch.syspath_prepend(HERE)
    import worker_tasks

    (tmp_path / "slurm_workers.py").write_text(RECIPES["slurm_workers.py"], encoding="utf-8")
    recipe = subprocess.Popen(
        [sys.executable, "slurm_workers.py"],
        cwd=tmp_path,
        env=here(tmp_path),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        address = recipe.stdout.readline().strip()
        assert address.startswith("tcp://")
        groups = [(0, 1), (2,), (3, 4, 5)]
        assert run_tasks(worker_tasks.train_group, groups, scheduler=address) == run_tasks(
            worker_tasks.train_group, groups
        )
        seen = run_tasks(worker_tasks.surroundings, range(4), scheduler=address)
        assert {s["threads"][0] for s in seen} == {"1"}
        recipe.communicate("\n", timeout=60)
        assert recipe.returncode == 0
    finally:
        recipe.kill()
    assert len(list(queue.glob("job-*"))) == 32
    assert "#SBATCH --mem=2G\n#SBATCH -t 01:00:00\n" in (queue / "job-1").read_text()

"""Experiments whose tasks run elsewhere: refused before anything is written, and the folder of a run is one for all."""

import shutil
import sys
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import pytest

from numpynet.cli import main
from numpynet.data import load_digits
from numpynet.experiments import lottery_command
from numpynet.link.link_command import setup_of
from numpynet.lottery import run_folder
from numpynet.lottery.run import Group
from numpynet.parallel import run_tasks
from numpynet.storage import StorageError
from tests.lottery.tiny import EXAMPLES, TINY

PLAIN = replace(TINY, controls=(), rounds=1)


@pytest.mark.parametrize(
    "words",
    [("lottery", "run", "quick"), ("dropout", "keep-prob", "--quick"), ("link", "tickets", "--quick")],
    ids=lambda words: words[0],
)
def test_without_the_package_a_cluster_is_refused_before_anything_is_written(words, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert main([*words, "--scheduler", "tcp://127.0.0.1:8786", "--out", str(tmp_path / "run")]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "pip install 'numpynet[cluster]'" in err
    assert not (tmp_path / "run").exists()


def test_workers_that_were_started_in_another_folder_write_into_that_of_the_run(tmp_path, monkeypatch):
    def in_another_folder(function, tasks, *, workers, scheduler, what, on_done):
        with monkeypatch.context() as elsewhere:
            elsewhere.chdir(tmp_path / "elsewhere")
            run_tasks(function, tasks, on_done=on_done)

    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(lottery_command, "run_tasks", in_another_folder)
    monkeypatch.setattr(lottery_command, "_publish", lambda folder: None)
    options = Namespace(workers=2, scheduler=None, data_folder=None, dry_run=False, save_every=0.0)
    assert lottery_command._run(PLAIN, Path("run"), options) == 0
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert (tmp_path / "run/trial_00/level_01/summary.json").exists()


def test_workers_of_link_find_what_is_kept_wherever_they_were_started(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert setup_of(load_digits(), quick=True, folder=Path("run")).folder == tmp_path / "run/parts"


def test_a_worker_that_does_not_see_the_run_says_so_and_writes_nothing(tmp_path):
    with pytest.raises(StorageError, match="need the same file system"):
        lottery_command.run_and_tell(Group(str(tmp_path / "run"), PLAIN, (0,)))
    assert not (tmp_path / "run").exists()


def test_a_worker_stops_where_another_run_has_taken_the_folder(tmp_path, monkeypatch):
    told = []

    def level_facts(group, level):
        shutil.rmtree(tmp_path)
        tmp_path.mkdir()
        run_folder.claim(tmp_path, replace(PLAIN, lr=0.02), EXAMPLES, {})
        told.append(level.number)
        return {}

    run_folder.claim(tmp_path, PLAIN, EXAMPLES, {})
    monkeypatch.setattr(lottery_command, "level_facts", level_facts)
    with pytest.raises(StorageError, match="does not hold this run"):
        lottery_command.run_and_tell(Group(str(tmp_path), PLAIN, (0,)))
    assert told == [0]

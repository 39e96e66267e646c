"""``numpynet dropout`` as it is typed."""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from numpynet.cli import main
from numpynet.data import load_digits
from numpynet.experiments import command, dropout_command, setup
from numpynet.experiments.command import expected_seconds
from numpynet.experiments.dropout_command import EXPERIMENTS, SETUPS
from numpynet.experiments.publish import Report
from numpynet.parallel import run_tasks
from tests.experiments.planted import tiny

SMALL = {"keep_probs": (1.0, 0.8)}


@pytest.fixture
def small(monkeypatch):
    """Only one experiment, with few units and steps."""
    monkeypatch.setattr(dropout_command, "setup_of", lambda data, *, quick: tiny(data=data))
    monkeypatch.setitem(EXPERIMENTS, "sparsity", EXPERIMENTS["sparsity"]._replace(quick=SMALL))
    for name in set(EXPERIMENTS) - {"sparsity"}:
        monkeypatch.delitem(EXPERIMENTS, name)


def test_the_list_names_every_experiment_with_its_time(capsys):
    assert main(["dropout", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line.split()[0] for line in lines] == list(EXPERIMENTS)
    for line, experiment in zip(lines, EXPERIMENTS.values(), strict=True):
        assert line.split()[1] == f"{experiment.seconds:g}"
        assert line.endswith(experiment.question)


@pytest.mark.parametrize("name", ["sparsity", "all"])
def test_an_experiment_says_how_long_it_takes_and_writes_its_report(name, small, tmp_path, capsys):
    arguments = ["--quick", "--data", "digits", "--replicates", "2", "--seed", "4", "--out", str(tmp_path)]
    assert main(["dropout", name, *arguments]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    said = out.splitlines()
    assert said[1] == "sparsity: " + EXPERIMENTS["sparsity"].question
    assert re.fullmatch(r"data digits, 2 replicates, about \d+ s on one core", said[2])
    page = (tmp_path / "sparsity" / "report.html").read_text(encoding="utf-8")
    assert "numpynet dropout sparsity --quick --seed 4 --replicates 2 --data digits" in page
    assert "4, 5" in page
    assert {path.name for path in (tmp_path / "sparsity").iterdir()} == {"report.html", "results.json", "sparsity.png"}


def test_the_same_seed_writes_the_same_page(small, tmp_path, capsys):
    pages = []
    for folder in ("a", "b"):
        main(
            ["dropout", "sparsity", "--quick", "--replicates", "2", "--data", "digits", "--out", str(tmp_path / folder)]
        )
        pages.append((tmp_path / folder / "sparsity" / "report.html").read_bytes())
    assert pages[0] == pages[1]


@pytest.mark.parametrize(
    ("arguments", "fragments"),
    [
        (["nonsense"], ["nonsense", "keep-prob"]),
        (["penalties", "--data", "digits"], ["penalties makes its own data", "--data digits"]),
        (["sparsity", "--replicates", "0"], ["--replicates", "0"]),
        (["sparsity", "--data", "cifar"], ["--data", "cifar"]),
    ],
)
def test_a_wrong_command_is_told_on_one_line(arguments, fragments, tmp_path, capsys):
    try:
        code = main(["dropout", *arguments, "--out", str(tmp_path / "never")])
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert all(fragment in err for fragment in fragments)
    assert not (tmp_path / "never").exists()


@pytest.mark.parametrize("word", [["list"], []])
def test_the_list_refuses_options_that_would_do_nothing(word, capsys):
    given = ["--quick", "--seed", "0", "--replicates", "3", "--data", "digits", "--out", "runs", "--workers", "1"]
    assert main(["dropout", *word, *given]) == 2
    expected = (
        "numpynet dropout list does nothing with --quick, --seed, --replicates, --data, --out, --workers: leave them"
    )
    assert capsys.readouterr() == ("", f"numpynet: error: {expected} out\n")
    assert main(["dropout", *word]) == 0


def test_mnist_without_its_files_is_told(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("NUMPYNET_DATA", str(tmp_path / "nowhere"))
    assert main(["dropout", "sparsity", "--data", "mnist", "--out", str(tmp_path / "never")]) == 2
    assert "nowhere" in capsys.readouterr().err
    assert not (tmp_path / "never").exists()


def test_every_experiment_has_a_quick_form_of_its_own():
    both = dropout_command.collection()
    for name, experiment in EXPERIMENTS.items():
        assert experiment.quick, name
        assert experiment.quick_seconds < experiment.seconds <= 120
        for data in [None] if experiment.data is None else SETUPS:
            short, long = (expected_seconds(both, name, data, n, quick=quick) for n, quick in ((3, True), (5, False)))
            assert short < long
    assert dropout_command.setup_of(load_digits(), quick=False).steps == SETUPS["digits"]["steps"]


@pytest.fixture
def in_threads(monkeypatch):
    """Tasks for several workers run in threads of this process, where experiments can be made small; the counts of them."""
    counts = []

    def run_in_threads(function, tasks, *, workers, scheduler, what, on_done=None):
        counts.append(len(tasks))
        with ThreadPoolExecutor(workers) as executor:
            return run_tasks(function, tasks, executor=executor, on_done=on_done)

    monkeypatch.setattr(command, "run_tasks", run_in_threads)
    monkeypatch.setattr(setup, "run_tasks", run_in_threads)
    return counts


def pages_of(folder, *arguments):
    assert main(["dropout", *arguments, "--quick", "--replicates", "2", "--data", "digits", "--out", str(folder)]) == 0
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*.*"))}


def test_several_workers_share_the_conditions_of_an_experiment(small, in_threads, tmp_path):
    assert pages_of(tmp_path / "a", "sparsity", "--workers", "3") == pages_of(tmp_path / "b", "sparsity")
    assert in_threads == [len(SMALL["keep_probs"])]


def test_several_workers_share_the_experiments(monkeypatch, in_threads, tmp_path, capsys):
    monkeypatch.setattr(dropout_command, "setup_of", lambda data, *, quick: tiny(data=data))
    for name in set(EXPERIMENTS) - {"sparsity", "co-adaptation"}:
        monkeypatch.delitem(EXPERIMENTS, name)
    assert pages_of(tmp_path / "a", "all", "--workers", "2") == pages_of(tmp_path / "b", "all")
    assert in_threads == [2]
    assert capsys.readouterr().out.count("Done in") == 4


@pytest.mark.slow
def test_worker_processes_write_the_same_pages(tmp_path):
    alone = pages_of(tmp_path / "a", "averaging", "--seed", "3")
    assert pages_of(tmp_path / "b", "averaging", "--seed", "3", "--workers", "2") == alone
    assert {path.name for path in alone} == {"report.html", "averaging.png", "results.json"}


def test_an_experiment_in_one_piece_says_so(monkeypatch, in_threads, tmp_path, capsys):
    whole = EXPERIMENTS["penalties"]._replace(report=lambda seeds, **sizes: Report("T", "Q", [], "R", {}, {}))
    monkeypatch.setitem(EXPERIMENTS, "penalties", whole)
    assert main(["dropout", "penalties", "--workers", "2", "--out", str(tmp_path)]) == 0
    assert "penalties is one task: it runs here" in capsys.readouterr().out
    assert in_threads == []

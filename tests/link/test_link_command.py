"""``numpynet link`` as it is typed, and the statement of results."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from numpynet.cli import main
from numpynet.data import load_digits
from numpynet.experiments.findings import Claim, Finding, parse_results, read_results, write_results
from numpynet.link import link_command
from numpynet.link.bench import bench_of
from numpynet.link.link_command import EXPERIMENTS
from numpynet.link.statement import SITE_NUMBERS, collect, statement, statement_page, unlike, write_docs
from numpynet.storage import StorageError
from tests.experiments.planted import LOUD, QUIET, SPREAD
from tests.test_report import Page


@pytest.fixture
def small(monkeypatch):
    """Two experiments that share their trainings, with few units and steps."""

    def setup_of(data, *, quick, folder):
        return bench_of(load_digits(), hidden=(8,), steps=12, every=6, rounds=1, folder=folder / "parts")

    monkeypatch.setattr(link_command, "setup_of", setup_of)
    two = {name: EXPERIMENTS[name] for name in ("tickets", "overlap")}
    monkeypatch.setattr(link_command, "EXPERIMENTS", two)


DOCS = Path(__file__).parents[2] / "docs"


def files_of(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_all_experiments_and_again_from_what_an_interrupt_has_left(small, tmp_path, capsys):
    arguments = ["all", "--replicates", "2", "--seed", "4", "--data", "digits", "--out"]
    assert main(["link", *arguments, str(tmp_path / "a")]) == 0
    out, err = capsys.readouterr()
    assert err == "" and out.count("Done in") == 2
    whole = files_of(tmp_path / "a")
    assert {path.name for path in whole if path.parts[0] == "overlap"} == {"report.html", "overlap.png", "results.json"}
    assert len([path for path in whole if path.parts[0] == "parts"]) == 5  # 2 x 2 rungs and another order
    (tmp_path / "b" / "parts").mkdir(parents=True)
    for path in list(whole)[::2]:
        if path.parts[0] == "parts":
            (tmp_path / "b" / path).write_bytes(whole[path])
    assert main(["link", *arguments, str(tmp_path / "b")]) == 0
    assert files_of(tmp_path / "b") == whole
    results = read_results(tmp_path / "a" / "tickets")
    assert results["command"] == "numpynet link tickets --seed 4 --replicates 2 --data digits"
    assert results["settings"]["seeds"] == "4, 5" and len(results["findings"][0].values) == 2
    assert main(["link", "statement", "--out", str(tmp_path / "a")]) == 0
    out = capsys.readouterr().out
    assert "link_results.md" in out and "link_results.html" in out
    shown = "\n".join(Page((tmp_path / "a" / "link_results.html").read_text(encoding="utf-8")).texts)
    for text in ("At a glance", "numpynet link overlap --seed 4", "4, 5", results["findings"][0].what):
        assert text in shown


def test_the_list_and_the_laws(capsys):
    assert main(["link", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1 : 1 + len(EXPERIMENTS)]] == list(EXPERIMENTS)
    assert main(["link", "laws"]) == 0
    out = capsys.readouterr().out
    for method in ("dropout", "DropConnect", "targeted dropout", "supermask", "lottery ticket"):
        assert f"\n{method}  " in out


@pytest.mark.parametrize(
    ("arguments", "fragments"),
    [
        (["nonsense"], ["nonsense", "tickets"]),
        (["tickets", "--replicates", "0"], ["--replicates", "0"]),
        (["statement"], ["tickets", "has not been run"]),
        (["tickets", "--docs", "elsewhere"], ["--docs elsewhere", "statement"]),
        (["list"], ["numpynet link list does nothing with --out: leave it out"]),
        (["laws"], ["numpynet link laws does nothing with --out: leave it out"]),
    ],
)
def test_a_wrong_command_is_told_on_one_line(arguments, fragments, tmp_path, capsys):
    try:
        code = main(["link", *arguments, "--out", str(tmp_path / "never")])
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and all(fragment in err for fragment in fragments)
    assert not (tmp_path / "never").exists()


@pytest.mark.parametrize("name", ["list", "laws", "statement"])
@pytest.mark.parametrize(
    "option", ["--quick", "--seed 0", "--replicates 3", "--data mnist1d", "--workers 1", "--scheduler tcp://nowhere:1"]
)
def test_an_option_that_would_do_nothing_is_refused(name, option, capsys):
    """Also one that says what is so anyway: whoever types it believes that it matters."""
    assert main(["link", name, *option.split()]) == 2
    out, err = capsys.readouterr()
    assert (out, err) == (
        "",
        f"numpynet: error: numpynet link {name} does nothing with {option.split()[0]}: leave it out\n",
    )


def test_every_experiment_has_eight_replicates_and_a_shorter_form():
    for name, experiment in EXPERIMENTS.items():
        assert experiment.replicates >= 8, name
        assert experiment.quick_seconds < experiment.seconds
    quick, full = (link_command.setup_of(load_digits(), quick=quick) for quick in (True, False))
    assert quick.steps < full.steps and quick.rounds < full.rounds and full.folder is None
    assert sum(experiment.seconds for experiment in EXPERIMENTS.values()) < 15 * 60


# ---- the statement ---------------------------------------------------------------------------------------------------


def results_of(folder, mean, expects):
    findings = [
        Finding("gain", "ticket - dense", (mean + SPREAD).tolist()),
        Finding("share", "left", [0.25, 0.25], "percent"),
    ]
    claims = [Claim("gain", "Somebody 2019", "tickets win", expects)]
    folder.mkdir()
    how = {
        "title": "Tickets",
        "question": "Do they?",
        "command": "numpynet link tickets --seed 7",
        "settings": {"seeds": "7"},
    }
    write_results(folder, **how, findings=findings, claims=claims)


@pytest.mark.parametrize(
    ("mean", "expects", "said", "unsaid"),
    [
        (LOUD, "above", "agrees", "Here the two disagree"),
        (-LOUD, "above", "Here the two disagree: tickets win (-", "agrees |"),
        (QUIET, "above", "not told: the interval holds 0", "agrees |"),
        (QUIET, "none", "no disagreement was seen", "Here the two disagree"),
    ],
)
def test_the_statement_says_what_the_intervals_say(mean, expects, said, unsaid, tmp_path):
    results_of(tmp_path / "tickets", mean, expects)
    page = statement(collect(tmp_path, ["tickets"]))
    assert said in page and unsaid.replace("agrees |", "| agrees |") not in page
    for text in ("numpynet link tickets --seed 7", "Somebody 2019", "Do they?", "seeds: 7"):
        assert text in page
    assert f"{100 * SPREAD.std(ddof=1):.2f} | 6 |" in page


def command_of(*arguments):
    return {"command": " ".join(["numpynet link", *arguments])}


def test_the_statement_tells_runs_that_are_short_or_not_alike(tmp_path):
    alike = {name: command_of(name, "--seed 0 --replicates 8") for name in ("tickets", "overlap")}
    assert unlike(alike) == []
    short = unlike(alike | {"overlap": command_of("overlap", "--quick --seed 0 --replicates 8")})
    assert (
        short[0].endswith("quick run, with few steps and few replicates: overlap.") and "different options" in short[1]
    )
    (other,) = unlike(alike | {"overlap": command_of("overlap", "--seed 3 --replicates 8")})
    assert "tickets --seed 0 --replicates 8; overlap --seed 3 --replicates 8" in other
    results_of(tmp_path / "tickets", LOUD, "above")
    results = collect(tmp_path, ["tickets"])
    results["overlap"] = results["tickets"] | {"command": "numpynet link overlap --quick --seed 7"}
    for page in (statement(results), statement_page(results)):
        assert "There are 4 intervals in the tables" in page and "Somebody 2019: tickets win. Measured" in page
        assert "few replicates: overlap." in page and "different options: tickets --seed 7; overlap --quick" in page


NUMBER = re.compile(r"[+-]?\d+\.\d+ ± \d+\.\d+")


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_interval_in_a_sentence_of_the_site_stands_in_a_table_too(name):
    path = DOCS / SITE_NUMBERS.format(name=name)
    results = parse_results(json.loads(path.read_text(encoding="utf-8")), path.name)
    cells = [cell for table in results["tables"] for row in table["rows"] for cell in row]
    known = {f.text() for f in results["findings"]} | set(NUMBER.findall(" ; ".join(cells)))
    assert set(NUMBER.findall(" ; ".join(results["remark"]))) <= known


def test_the_page_of_the_site_is_made_of_the_numbers_beside_it():
    results = {}
    for name in EXPERIMENTS:
        path = DOCS / SITE_NUMBERS.format(name=name)
        results[name] = parse_results(json.loads(path.read_text(encoding="utf-8")), path.name)
        assert all(len(finding.values) >= 8 for finding in results[name]["findings"])
    assert (DOCS / "link_results.md").read_text(encoding="utf-8") == statement(results, numbers=SITE_NUMBERS)


def test_the_page_of_the_site_is_written_whole_or_not_at_all(tmp_path):
    results_of(tmp_path / "tickets", LOUD, "above")
    with pytest.raises(StorageError, match="overlap"):
        write_docs(tmp_path, ["tickets", "overlap"], tmp_path / "docs")
    assert not (tmp_path / "docs").exists()
    path = write_docs(tmp_path, ["tickets"], tmp_path / "docs")
    assert "(results/link-tickets.json)" in path.read_text(encoding="utf-8")
    numbers = (tmp_path / "docs" / "results" / "link-tickets.json").read_text(encoding="utf-8")
    assert numbers == (tmp_path / "tickets" / "results.json").read_text(encoding="utf-8")

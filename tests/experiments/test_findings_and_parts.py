"""Parts that are kept, and numbers that are written down: nothing mixed, nothing believed unchecked, no claim too many."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from numpynet.experiments import parts
from numpynet.experiments.findings import (
    Claim,
    Finding,
    differences_table,
    parse_results,
    read_results,
    verdict,
    write_results,
)
from numpynet.experiments.parts import kept, settings_digest
from numpynet.experiments.publish import Report, Table, publish
from numpynet.storage import StorageError
from tests.experiments.planted import HALF_WIDTH, LOUD, QUIET, SPREAD
from tests.test_report import Page


def part(folder, settings, values, calls):
    def compute():
        calls.append(settings)
        return {"values": np.array(values), "count": 3}

    return kept(folder, "part", settings, compute)


def test_a_part_is_computed_once(tmp_path):
    calls = []
    first = part(tmp_path / "parts", {"seed": 1}, [1.0, 2.0], calls)
    again = part(tmp_path / "parts", {"seed": 1}, [9.0, 9.0], calls)
    assert len(calls) == 1
    assert np.array_equal(first["values"], again["values"]) and again["count"] == 3
    assert [p.suffix for p in (tmp_path / "parts").iterdir()] == [".npz"]


def test_other_settings_are_another_part(tmp_path):
    calls = []
    one, other = (part(tmp_path, {"seed": seed}, [seed], calls) for seed in (1, 2))
    assert len(calls) == 2 and one["values"] != other["values"]
    assert part(tmp_path, {"seed": 1}, [7.0], calls)["values"] == 1
    assert len(list(tmp_path.iterdir())) == 2


def test_another_numpy_or_numpynet_is_another_setting(monkeypatch):
    before = settings_digest({"seed": 1})
    monkeypatch.setattr(parts, "versions", lambda: {"numpynet": "another"})
    assert settings_digest({"seed": 1}) != before


def test_a_part_under_a_name_that_is_not_its_own_is_refused(tmp_path):
    part(tmp_path, {"seed": 1}, [1.0], [])
    (path,) = tmp_path.iterdir()
    path.rename(tmp_path / f"part-{settings_digest({'seed': 2})[:12]}.npz")
    with pytest.raises(StorageError, match="computed from other settings"):
        part(tmp_path, {"seed": 2}, [2.0], [])


def test_a_damaged_part_is_refused(tmp_path):
    part(tmp_path, {"seed": 1}, [1.0], [])
    (path,) = tmp_path.iterdir()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(StorageError, match="damaged"):
        part(tmp_path, {"seed": 1}, [1.0], [])


def test_what_failed_leaves_no_part(tmp_path):
    with pytest.raises(ZeroDivisionError):
        kept(tmp_path, "part", {}, lambda: 1 / 0)
    assert list(tmp_path.iterdir()) == []


def test_without_a_folder_nothing_is_kept():
    calls = []
    for _ in range(2):
        part(None, {"seed": 1}, [1.0], calls)
    assert len(calls) == 2


# ---- findings --------------------------------------------------------------------------------------------------------


def finding(mean):
    return Finding("gain", "ticket - dense", (mean + SPREAD).tolist())


@pytest.mark.parametrize(
    ("mean", "expects", "expected"),
    [
        (LOUD, "above", "agrees"),
        (LOUD, "below", "disagrees"),
        (-LOUD, "below", "agrees"),
        (-LOUD, "above", "disagrees"),
        (QUIET, "above", "not told: the interval holds 0"),
        (QUIET, "none", "no disagreement was seen"),
        (-LOUD, "none", "disagrees"),
        (LOUD, "not below", "no disagreement was seen"),
        (QUIET, "not below", "no disagreement was seen"),
        (-LOUD, "not below", "disagrees"),
        (-LOUD, "not above", "no disagreement was seen"),
        (LOUD, "not above", "disagrees"),
    ],
)
def test_the_interval_alone_decides(mean, expects, expected):
    assert verdict(finding(mean), Claim("gain", "Somebody", "It is so.", expects)) == expected


def test_one_replicate_tells_nothing():
    for expects in ("above", "below", "none"):
        claim = Claim("gain", "Somebody", "It is so.", expects)
        assert verdict(Finding("gain", "", [0.5]), claim) == "not told: one replicate"


def test_a_claim_must_expect_something_that_there_is():
    with pytest.raises(ValueError, match="'up'"):
        verdict(finding(1), Claim("gain", "Somebody", "It is so.", "up"))


def test_a_finding_is_shown_in_its_unit():
    assert finding(LOUD).text() == f"{100 * LOUD:+.2f} ± {100 * HALF_WIDTH:.2f}"
    assert Finding("a", "", [0.5, 0.5], "percent").text() == "50.00 ± 0.00"
    assert Finding("a", "", [1.25, 1.25], "nats").text() == "1.250 ± 0.000"


@pytest.mark.parametrize(("unit", "scale"), [("points", 100), ("percent", 100), ("nats", 1)])
def test_the_spread_is_shown_in_the_unit_of_the_mean(unit, scale):
    assert Finding("a", "", SPREAD.tolist(), unit).spread() == f"{scale * SPREAD.std(ddof=1):.2f}"
    assert Finding("a", "", [0.5], unit).spread() == "-"  # it was "nan"


def test_differences_are_a_table_of_points_and_of_nothing_else():
    header, rows = differences_table([finding(LOUD), finding(QUIET)])
    assert len(header) == 3 and len(rows) == 2
    for mean, row in zip((LOUD, QUIET), rows):
        assert row[1:] == (f"{100 * mean:+.2f} ± {100 * HALF_WIDTH:.2f}", f"{100 * SPREAD.std(ddof=1):.2f}")
    with pytest.raises(ValueError, match=r"findings are loss \(nats\), but differences in points"):
        differences_table([finding(LOUD), Finding("loss", "a - b", [0.1, 0.2], "nats")])


@pytest.mark.parametrize("name", ["equal-cost", "priming", "inference"])
def test_the_tables_of_the_site_are_made_so(name):
    path = Path(__file__).parents[2] / f"docs/results/link-{name}.json"
    results = parse_results(json.loads(path.read_text(encoding="utf-8")), path.name)
    header, rows = differences_table(results["findings"])
    (table,) = [table for table in results["tables"] if table["heading"].startswith("Differences")]
    assert (tuple(table["header"]), list(map(tuple, table["rows"]))) == (header, rows)


def write(folder, findings, claims=()):
    how = {"title": "T", "question": "Q?", "command": "c", "settings": {"steps": 3}}
    return write_results(folder, **how, findings=findings, claims=claims)


def test_results_come_back_as_they_were(tmp_path):
    claim = Claim("gain", "Somebody", "It is so.", "above")
    write(tmp_path, [finding(LOUD)], [claim])
    found = read_results(tmp_path)
    assert found["claims"] == [claim] and found["settings"] == {"steps": "3"}
    assert found["findings"][0].interval.mean == pytest.approx(LOUD)
    assert found["findings"][0]._replace(values=()) == finding(0)._replace(values=())


@pytest.mark.parametrize(
    ("findings", "claims", "match"),
    [
        ([finding(1), finding(2)], [], "one key.*gain"),
        ([finding(1)], [Claim("loss", "", "", "above")], "about loss"),
        ([Finding("gain", "", [float("nan")])], [], "finite"),
    ],
)
def test_results_that_do_not_fit_are_not_written(findings, claims, match, tmp_path):
    with pytest.raises(ValueError, match=match):
        write(tmp_path, findings, claims)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("change", [lambda d: d.update(format=99), lambda d: d.pop("findings"), lambda d: d["findings"][0].pop("key")])  # fmt: skip
def test_results_of_another_kind_are_refused(change, tmp_path):
    path = write(tmp_path, [finding(1)])
    document = json.loads(path.read_text(encoding="utf-8"))
    change(document)
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(StorageError, match=r"results\.json"):
        read_results(tmp_path)
    for damaged in ("{", "[" * 200_000):
        path.write_text(damaged, encoding="utf-8")
        with pytest.raises(StorageError, match=r"results\.json is damaged"):
            read_results(tmp_path)


def test_a_published_outcome_has_its_verdicts_and_its_results(tmp_path):
    claim = Claim("gain", "Somebody", "It is <so>.", "above")
    table = Table("Numbers", ("a",), [("1",)])
    outcome = Report("T", "Q?", [table], "R.", {}, {"seeds": "0"}, [finding(LOUD)], [claim])
    page = publish(outcome, tmp_path / "x", command="numpynet link x", say=lambda text: None)
    shown = "\n".join(Page(page.read_text(encoding="utf-8")).texts)
    for text in ("It is <so>.", "Somebody", "ticket - dense", "agrees", finding(LOUD).text()):
        assert text in shown
    results = read_results(tmp_path / "x")
    assert results["command"] == "numpynet link x"
    assert results["settings"]["seeds"] == "0" and "NumPy" in results["settings"]

"""``numpynet verify --mutants``: the table of planted bugs, what it is measured against, and when it is not good enough."""

from __future__ import annotations

import json

import pytest

from numpynet import mutants_run
from numpynet.cli import main
from numpynet.conformance.mutants import MASK_MUTANTS, TICKET_MUTANTS, mutant
from numpynet.conformance.reference import prune, rewind_ticket
from numpynet.gradcheck import MUTANTS, REFERENCE, ZOO, bug, false_alarms, naming_rates

FEW = (bug("9"), bug("20c"), bug("m13"), mutant("signed"), mutant("no-rewind"))


@pytest.fixture
def verify(monkeypatch, capsys):
    """Run the command on a few bugs, and on those that are given."""

    def run(*arguments, planted=FEW):
        monkeypatch.setattr(mutants_run, "PLANTED", planted)
        code = main(["verify", "--mutants", *map(str, arguments)])
        return code, *capsys.readouterr()

    return run


def test_the_table(verify):
    code, out, err = verify("--draws", 3)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].split("  ")[0] == "bug"
    assert lines[1].split() == [
        *("9", "1/keep_prob", "missing", "in", "backward", "100.0%", "100.0%"),
        *("dropout_backward:", "gradients"),
    ]
    assert lines[4].endswith("prune: smallest first")
    assert lines[5].endswith("rewind_ticket: new ticket")
    assert lines[-4:] == [
        "ok    2 of 2 rows named first in 95% of 3 draws (needed: 26 of 28)",
        "ok    every bug noticed in every draw",
        "ok    0 false alarms in 21 correct layers",
        "ok    5 of 5 planted bugs break a law of the suite",
    ]


def test_as_json(verify):
    code, out, _ = verify("--draws", 2, "--seed", 7, "--json")
    document = json.loads(out, parse_constant=pytest.fail)
    assert (code, document["status"], document["draws"], document["seed"]) == (0, "pass", 2, 7)
    assert all(target["met"] for target in document["targets"])
    first, *_, last = document["bugs"]
    assert first == {
        "id": "9",
        "name": "1/keep_prob missing in backward",
        "detected": 1.0,
        "named": 1.0,
        "named_otherwise": {},
        "law": "dropout_backward: gradients",
    }
    assert (last["id"], last["detected"], last["law"]) == ("no-rewind", None, "rewind_ticket: new ticket")


@pytest.mark.parametrize(
    ("planted", "missed"),
    [
        # Right code that is called a bug: nobody can find anything.
        ((bug("m13")._replace(plant=lambda: REFERENCE),), ["1 bugs not noticed in every draw: m13", "0 of 1 planted"]),
        ((bug("9"), mutant("signed")._replace(make=lambda: prune)), ["1 of 2 planted bugs"]),
        ((mutant("no-rewind")._replace(make=lambda: rewind_ticket),), ["0 of 1 planted bugs"]),
        # Three rows of the table under a wrong name: found, but not named.
        (
            tuple(bug(id)._replace(plant=bug("20c").plant, pair="relu") for id in ("20a", "1", "15")),
            ["0 of 3 rows named first in 95% of 2 draws"],
        ),
    ],
)
def test_who_misses_a_target_fails(verify, planted, missed):
    code, out, _ = verify("--draws", 2, planted=planted)
    assert code == 1
    misses = [line for line in out.splitlines() if line.startswith("MISS")]
    assert len(misses) == len(missed)
    for line, text in zip(misses, missed, strict=True):
        assert text in line


def test_a_false_alarm_fails(verify, monkeypatch):
    monkeypatch.setattr(mutants_run, "false_alarms", lambda n_draws, seed: ["an alarm"])
    code, out, _ = verify("--draws", 1)
    assert code == 1
    assert "MISS  1 false alarms in 7 correct layers" in out


def test_the_draws_have_a_default(verify, monkeypatch):
    asked = []
    monkeypatch.setattr(
        mutants_run, "naming_rates", lambda n, seed, bugs: asked.append(n) or naming_rates(1, seed, bugs)
    )
    monkeypatch.setattr(mutants_run, "false_alarms", lambda n_draws, seed: asked.append(n_draws) or [])
    verify()
    assert set(asked) == {20}


# ---- the rates themselves --------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_rates_that_are_stated():
    """The whole table, as the documentation quotes it: 200 draws of each bug, more than 1000 correct layers."""
    assert mutants_run.run_mutants(n_draws=200) == 0


def test_every_bug_is_found_and_named_in_fresh_draws():
    """What 200 draws gave was 100 %; a few draws that nobody has looked at must give it, too."""
    for rate in naming_rates(1, seed=10_000, bugs=(*ZOO, *MUTANTS)):
        assert (rate.detected, rate.named) == (1.0, 1.0), f"{rate.bug.id} was named {rate.others}"
    assert false_alarms(3, seed=10_000) == []


def test_the_numbers_of_the_table():
    assert (len({b.row for b in ZOO}), len(MUTANTS)) == (28, 14)
    assert len(MASK_MUTANTS) + len(TICKET_MUTANTS) >= 60


# ---- the audit as JSON -----------------------------------------------------------------------------------------------


def test_the_audit_as_json(capsys, monkeypatch):
    assert main(["verify", "--layers", "--json"]) == 0
    document = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert (document["status"], document["draws"], document["seed"]) == ("pass", 1, 0)
    assert len(document["checks"]) > 20
    assert all(check["passed"] and check["error"] <= check["tolerance"] for check in document["checks"])
    from numpynet import audit

    wrong = audit.Check("B5", "dW", "complex step", float("nan"), 1e-12)
    monkeypatch.setattr(audit, "audit_layers", lambda seed: [wrong])
    assert main(["verify", "--layers", "--json"]) == 1
    document = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert (document["status"], document["checks"][0]["error"]) == ("fail", None)

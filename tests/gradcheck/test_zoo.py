"""Tests of the tests: every bug of the zoo is found and named, and correct layers raise no alarm."""

from __future__ import annotations

import numpy as np
import pytest

from numpynet.gradcheck import (
    MUTANTS,
    REFERENCE,
    ZOO,
    bug,
    check_layers,
    false_alarms,
    naming_rates,
    pairs_of,
    rates_table,
    rows_named,
)
from numpynet.gradcheck.zoo import EXPLANATIONS

ALL = (*ZOO, *MUTANTS)


def test_the_zoo_holds_the_28_rows_and_the_14_mutants():
    assert sorted({b.row for b in ZOO}) == list(range(1, 29))
    assert [b.id for b in MUTANTS] == [f"m{k}" for k in range(1, 15)]
    assert len({b.id for b in ALL}) == len(ALL)


@pytest.mark.parametrize("planted", ALL, ids=lambda b: b.id)
def test_an_entry_of_the_zoo_is_complete(planted):
    assert planted.name
    assert len(planted.signature) > 5
    assert len(planted.explanation) > 20
    assert not planted.explanation.endswith(".")  # it stands after "most likely:"
    assert planted.expected in EXPLANATIONS
    assert planted.pair in {pair.name for pair in pairs_of(REFERENCE)}
    layers = planted.plant()
    changed = [name for name, f, g in zip(layers._fields, layers, REFERENCE) if f is not g]
    assert changed, "nothing was planted"
    assert planted.plant() is not layers  # a bug that remembers starts afresh


@pytest.mark.parametrize("planted", ALL, ids=lambda b: b.id)
def test_a_planted_bug_is_found_where_it_is_and_named(planted):
    for seed in (1, 2):
        reports = check_layers(planted.plant(), seed=seed, stop=True)
        assert [report.status for report in reports[:-1]] == ["pass"] * (len(reports) - 1)
        report = reports[-1]
        assert report.status == "fail"
        assert report.layer == planted.pair
        assert report.cause == planted.expected, report.text()
        assert EXPLANATIONS[planted.expected] in report.text()


@pytest.mark.parametrize("id", ["9", "10", "11", "12", "1", "2a", "3", "4", "5b"])
def test_a_factor_is_measured(id):
    report = check_layers(bug(id).plant(), seed=5, stop=True)[-1]
    N, _, _, K = report.shape
    q = report.q
    value = {"9": q, "10": q * q, "11": 1 / q, "12": q / (1 - q), "1": N, "2a": 1 / N, "3": 1 / K, "4": -1, "5b": 2}[id]
    assert report.ratio == pytest.approx(value, rel=1e-9)
    assert report.c == pytest.approx(value, rel=1e-9)
    assert report.residual < 1e-9


@pytest.mark.parametrize(("id", "spurious", "missing"), [("15", True, False), ("18a", True, True), ("13", True, False)])
def test_spurious_and_missing_entries_are_counted(id, spurious, missing):
    report = check_layers(bug(id).plant(), seed=6, stop=True)[-1]
    assert (report.n_spurious > 0, report.n_missing > 0) == (spurious, missing)


@pytest.mark.parametrize(
    ("id", "stage"),
    [
        *(("28a", 0), ("f9", 1), ("m13", 1), ("5a", 2), ("14a", 2), ("26b", 2), ("m11", 2), ("25", 3)),
        *(("20b", 3), ("9", 4), ("20e", 5), ("21b", 5), ("24b", 6), ("m10", 7), ("m14", 7)),
    ],
)
def test_a_bug_is_found_at_the_stage_that_asks_for_it(id, stage):
    assert check_layers(bug(id).plant(), seed=4, stop=True)[-1].stage == stage


def test_a_network_waits_until_its_layers_are_right():
    reports = {report.layer: report for report in check_layers(bug("15").plant(), seed=0)}
    assert reports["linear"].status == "fail"
    assert reports["network"].status == "skip"
    assert "linear" in reports["network"].message


def test_no_correct_layer_is_accused():
    assert false_alarms(15, seed=100) == []  # 7 pairs each, and as many square ones


def test_the_table_of_rates_says_what_was_counted():
    rates = naming_rates(2, seed=50, bugs=[bug("9"), bug("20e")])
    assert [(rate.n_draws, rate.n_detected, rate.n_named) for rate in rates] == [(2, 2, 2), (2, 2, 2)]
    assert rows_named(rates) == {9: True, 20: True}
    table = rates_table(rates).splitlines()
    assert len(table) == 3
    assert "gate of another layer" in table[2]


def test_the_table_would_show_a_bug_that_is_not_named():
    """Two bugs at once are found and, as the documentation says, not named."""

    def two_at_once():
        return REFERENCE._replace(
            relu_forward=lambda z: (REFERENCE.relu_forward(z)[0], z), relu_backward=lambda dh, z: dh * (z + 0.5) ** 2
        )

    [rate] = naming_rates(2, bugs=[bug("20a")._replace(id="20x", plant=two_at_once, cause="20x")])
    assert (rate.n_detected, rate.n_named, rate.others) == (2, 0, {"unknown": 2})
    assert rows_named([rate]) == {20: False}


@pytest.mark.slow
def test_the_rates_over_200_draws():
    rates = naming_rates(200, seed=1000)
    assert all(rate.detected == 1.0 for rate in rates), rates_table(rates)
    assert all(rate.named >= 0.99 for rate in rates), rates_table(rates)
    assert all(rows_named(rates, 0.99).values()), rates_table(rates)


@pytest.mark.slow
def test_no_false_alarm_in_1000_correct_layers():
    assert false_alarms(150, seed=5000) == []  # 150 x 7 pairs


def test_a_zoo_bug_really_is_wrong():
    """Whoever looks at the numbers of a planted gradient sees the signature that the table claims."""
    layers, rng = bug("13").plant(), np.random.default_rng(0)
    h, dy = rng.normal(size=(2, 4, 6))
    D = (rng.random((4, 6)) < 0.7) * 1.0
    _, cache = layers.dropout_forward(h, unit_mask=D, keep_prob=0.7)
    dh = layers.dropout_backward(dy, cache)
    np.testing.assert_allclose(dh, dy / 0.7)

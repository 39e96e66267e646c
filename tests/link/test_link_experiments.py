"""Each experiment of the link, made tiny: the same numbers again, whole or in pieces, and no claim beyond the interval."""

from __future__ import annotations

import numpy as np
import pytest

from numpynet.data import load_digits
from numpynet.equations.losses import softmax
from numpynet.experiments.findings import verdict
from numpynet.experiments.setup import Steps
from numpynet.link import equal_cost, inference, learned, overlap, priming, random_subnetworks, standing, tickets
from numpynet.link.bench import Fit, Rung, bench_of, dense_fit, ladder
from numpynet.link.sliding import Slide
from numpynet.parameters import Layout, Parameters
from numpynet.seeding import stream
from numpynet.subnetworks import every_subnetwork, monte_carlo
from tests.experiments.planted import BASE, HALF_WIDTH, LOUD, QUIET, SPREAD, shifted, text_of


def tiny(**changes):
    return bench_of(load_digits(), **{"hidden": (9, 8), "steps": 20, "every": 10, "rounds": 1, **changes})


REPORTS = {
    "tickets": lambda bench, seeds: tickets.report(bench, seeds),
    "priming": lambda bench, seeds: priming.report(bench, seeds, targeted=[(0.75, 0.66)]),
    "standing": lambda bench, seeds: standing.report(bench, seeds, n_masks=4),
    "equal_cost": lambda bench, seeds: equal_cost.report(bench, seeds, counts=(1, 4)),
    "inference": lambda bench, seeds: inference.report(bench, seeds, counts=(1, 4)),
    "overlap": lambda bench, seeds: overlap.report(bench, seeds),
    "learned": lambda bench, seeds: learned.report(bench, seeds, how=Slide(every=5)),
}


@pytest.mark.parametrize("name", REPORTS)
def test_kept_or_computed_the_same_seeds_give_the_same_numbers(name, tmp_path):
    """From a full folder, from one that lacks half of its parts, and without a folder; other seeds give others."""
    first = REPORTS[name](tiny(folder=tmp_path), [0, 1])
    parts = sorted(tmp_path.iterdir())
    for part in parts[::2]:
        part.unlink()
    again = REPORTS[name](tiny(folder=tmp_path), [0, 1])
    assert sorted(tmp_path.iterdir()) == parts
    alone = REPORTS[name](tiny(), [0, 1])
    other = REPORTS[name](tiny(folder=tmp_path), [2, 3])
    assert text_of(first) == text_of(again) == text_of(alone) != text_of(other)
    assert [f.values for f in first.findings] == [f.values for f in alone.findings]


@pytest.mark.parametrize("name", REPORTS)
def test_one_replicate_is_reported_without_a_verdict(name):
    report = REPORTS[name](tiny(steps=10), [0])
    by_key = {f.key: f for f in report.findings}
    assert {verdict(by_key[c.key], c) for c in report.claims} == {"not told: one replicate"}
    assert all(len(row) == len(table.header) for table in report.tables for row in table.rows)


# ---- tickets ---------------------------------------------------------------------------------------------------------


def rung(density, test, final=None):
    n = len(test)
    return Rung(
        density, None, Fit(None, None, test, test if final is None else final, np.zeros(n, int), np.zeros(n, bool))
    )


def ladders(plain_gain, dropout_gain, both_gain):
    """Two ladders of one round with known gains, each with the known spread."""
    dense = BASE + dropout_gain
    return tickets.Ladders(
        [rung(1.0, BASE), rung(0.5, shifted(plain_gain))], [rung(1.0, dense), rung(0.5, dense + both_gain)]
    )


def test_gains_are_paired_and_the_interaction_is_what_is_left():
    found = {f.key: np.mean(f.values) for f in tickets._gains(ladders(0.03, 0.05, 0.01), 1)}
    assert found == pytest.approx(
        {
            "ticket without dropout": 0.03,
            "dropout, dense": 0.05,
            "ticket with dropout": 0.01,
            "both": 0.06,
            "interaction": -0.02,
        }
        | {key: found[key] for key in found if "last step" in key}
    )


@pytest.mark.parametrize(
    ("gain", "said", "unsaid"),
    [
        (LOUD, "gains: +", "loses"),
        (-LOUD, "loses", " gains: +"),
        (QUIET, "is not told apart from the dense net", " gains: +"),
    ],
)
def test_a_ticket_gains_only_what_the_interval_allows(gain, said, unsaid):
    found = ladders(gain, 0.05, 0.0)
    line = tickets._remark(found, tickets._gains(found, 1), "50 %").splitlines()[0]
    assert said in line and unsaid not in line


def test_a_stop_at_the_end_of_the_budget_is_flagged():
    found = rung(0.5, BASE)
    late = found.fit._replace(stop=np.full(6, 100), censored=np.array([True, True, False, False, False, False]))
    assert tickets._stop(found._replace(fit=late)) == ">= 100 (2 of 6 at the end of the budget)"
    assert tickets._stop(found) == "0"


# ---- standing --------------------------------------------------------------------------------------------------------


@pytest.mark.equation("M14")
def test_random_weight_masks_have_the_counts_and_every_place_is_as_likely():
    layout = Layout.of_sizes((3, 4, 2))
    mask = Parameters.ones(layout)
    mask["W1"][0] = 0
    mask["W2"][1, 1] = 0
    rng = np.random.default_rng(0)
    drawn = np.array([random_subnetworks.random_weight_mask(rng, mask).vector for _ in range(3000)])
    for name, k in (("W1", 8), ("W2", 7)):
        part = drawn[:, layout.slices[name]]
        assert (part.sum(axis=1) == k).all()
        assert np.abs(part.mean(axis=0) - k / part.shape[1]).max() < 0.06
    assert drawn[:, layout.slices["b1"]].all()


@pytest.mark.equation("M2")
def test_a_random_unit_mask_is_the_net_without_these_units():
    bench = tiny()
    net, rng = bench.net(0.8), np.random.default_rng(1)
    theta = Parameters(rng.normal(size=net.layout.size).astype(np.float32), net.layout)
    mask = random_subnetworks.random_unit_mask(rng, net.layout, (5, 3), np.float32)
    kept = [mask["b1"], mask["b2"]]
    assert [int(k.sum()) for k in kept] == [5, 3]
    x = bench.data.test.x[:20]
    scale = np.float32(0.8)  # the layer divides by keep_prob
    unscaled = theta.copy()
    unscaled["W2"] *= scale
    unscaled["W3"] *= scale
    dropped = net.forward(unscaled, x, unit_masks=[None, kept[0][None], kept[1][None]])[0]
    np.testing.assert_allclose(net.forward(theta * mask, x)[0], dropped, rtol=1e-4, atol=1e-4)
    share = sum(int(np.outer(a, b).sum()) for a, b in zip([np.ones(64), *kept], [*kept, np.ones(10)]))
    assert random_subnetworks.unit_density(net.sizes, (5, 3)) == share / net.layout.n_weights


def test_the_share_of_masks_that_reach_the_ticket_is_counted():
    random = np.zeros((2, 2, 5, 3))
    random[0, 0, 0], random[0, 0, 1] = 0.5, 0.4  # one is better, one just as good
    flat = np.full((2, 3), 0.4)
    found = standing.Standing(0.3, 0.3, (2,), flat, flat, flat, random)
    rows = standing._table(found)[1]
    assert rows[3][-1] == "40.00 (0 in 0 of 3 runs)" and rows[4][-1] == "0.00 (0 in 3 of 3 runs)"
    assert "all 5 DropConnect masks in 0 of 3 replicates and all 5 dropout masks in 3" in standing._remark(found, 5)


# ---- equal cost and inference ----------------------------------------------------------------------------------------


def test_averages_are_those_of_the_subnetworks():
    bench, seeds = tiny(), [3, 5]
    net = bench.net(0.6)
    theta = dense_fit(bench, seeds, 0.6, Steps("x", 20)).theta
    found = equal_cost.average(bench, seeds, net, theta, (1, 3))
    test = bench.data.test
    logits = monte_carlo(net, theta.replicate(1), test.x, stream(5, "dropout", 1), 3, shared=True)
    right = logits.argmax(axis=-1) == test.y
    assert found.single[1] == pytest.approx(right.mean()) and found.average[0, 1] == pytest.approx(right[0].mean())
    assert found.average[1, 1] == pytest.approx((softmax(logits).mean(axis=0).argmax(axis=-1) == test.y).mean())


@pytest.mark.equation("D15")
def test_many_samples_become_the_exact_ensemble():
    bench = bench_of(load_digits(), hidden=(7,), steps=60, every=20)
    found = inference.dropout_answers(bench, [0], (1, 3000), Steps("x", 60))
    theta, net = dense_fit(bench, [0], 0.8, Steps("x", 60)).theta, bench.net(0.8)
    logits, probability = every_subnetwork(net, theta.replicate(0), bench.data.test.x)
    exact = np.tensordot(probability, softmax(logits.astype(np.float64)), axes=1).argmax(axis=-1)
    assert found.average[1, 0] == pytest.approx((exact == bench.data.test.y).mean(), abs=0.02)
    assert found.expected[0] == pytest.approx(
        (net.predict(theta.replicate(0), bench.data.test.x) == bench.data.test.y).mean()
    )


def test_a_ticket_costs_no_more_than_what_it_is_compared_with():
    rungs = [rung(density, BASE) for density in (1.0, 0.65, 0.43, 0.28)]
    assert [equal_cost.ticket_within(rungs, cost) for cost in (1.0, 0.69, 0.33, 0.1)] == [0, 1, 3, 3]


def costs(*, half_gain=0.0, densities=(1.0, 0.65, 0.3)):
    """Nets of the same accuracies, but for the average of 3 at keep_prob 0.5."""
    averages = [
        equal_cost.Averages(q, cost, BASE, np.array([BASE, shifted(half_gain) if q == 0.5 else BASE]), BASE)
        for q, cost in ((0.8, 0.69), (0.5, 1 / 3))
    ]
    rungs = [rung(density, BASE) for density in densities]
    return equal_cost.Costs((1, 3), averages, rungs, rungs)


@pytest.mark.parametrize(("gain", "word"), [(LOUD, "above it"), (-LOUD, "below it"), (QUIET, "not told apart from it")])
def test_the_average_that_costs_as_much_as_the_mean_net_is_held_against_it(gain, word):
    found = costs(half_gain=gain)
    remark = equal_cost._remark(found, equal_cost._findings(found))
    (line,) = [line for line in remark.splitlines() if "no more than the mean net" in line]
    assert line.startswith("The average of 3 of them costs 1.00 of the dense net") and word in line


def test_what_a_ticket_cost_and_how_it_was_trained_is_said():
    found = costs()
    findings = equal_cost._findings(found)
    assert findings[0].what == "ticket of 65.0 %, trained with dropout 0.8 - one subnetwork at keep_prob 0.8"
    lines = equal_cost._remark(found, findings).splitlines()
    assert "It took 2 trainings" in lines[0] and "hold the better or worse keep_prob" not in lines[1]
    assert sum("trained at keep_prob 0.8 and these nets at 0.5" in line for line in lines) == 1
    dear = costs(densities=(1.0, 0.7))
    assert "comes nearest costs 0.70" in equal_cost._remark(dear, equal_cost._findings(dear))


# ---- overlap, priming ------------------------------------------------------------------------------------------------


@pytest.mark.equation("L20")
def test_overlap_of_equal_opposite_and_nested_masks():
    a, b = np.array([[[1.0, 1.0, 0.0, 0.0]]]), np.array([[[0.0, 0.0, 1.0, 1.0]]])
    assert overlap.iou(a, a) == 1 and overlap.iou(a, b) == 0 and overlap.iou(a, np.ones_like(a)) == 0.5
    with pytest.raises(ValueError, match="empty"):
        overlap.iou(0 * a, 0 * a)


def test_the_two_orders_of_the_examples_differ_in_the_order_alone():
    bench = tiny()
    one, two = (dense_fit(bench, [0], 1.0, Steps("x", 20), draw=draw) for draw in (0, 1))
    assert not np.array_equal(one.theta_T.vector, two.theta_T.vector)
    whole = ladder(bench, [0], 1.0, Steps("x", 40))[0].fit
    assert np.array_equal(whole.theta_T.vector, one.theta_T.vector)


def overlaps(shared, chance):
    """One level, one layer: what tickets share on the average, with the known spread."""
    same = np.full((1, 1, 6), 0.9)
    return overlap.Overlaps([0.5], (shared + SPREAD)[None, None], same, same, np.array([[chance]]))


def test_how_much_tickets_share_is_told_as_it_was_measured():
    said = overlap._remark(overlaps(0.95, 0.3), 0).splitlines()[0]
    assert "in layers 1;" in said and f"95.0 ± {100 * HALF_WIDTH:.1f} % (equal masks: 100 %)" in said
    assert "no layer, as far" in overlap._remark(overlaps(0.3 + QUIET, 0.3), 0)


@pytest.mark.parametrize(("lead", "said"), [(LOUD, "is ahead"), (-LOUD, "is behind"), (QUIET, "is not told apart")])
def test_who_is_ahead_before_the_cut_is_what_the_interval_says(lead, said):
    n = len(priming.RATES)
    found = [priming.Pruned(name, np.tile(a, (n, 1))) for name, a in (("none", BASE), ("dropout 0.8", shifted(lead)))]
    line = priming._remark(found, priming._findings(found)).splitlines()[0]
    assert said in line and ("more to lose" in line) == (lead == LOUD)


@pytest.mark.parametrize(("loss", "word"), [(LOUD, "less"), (-LOUD, "more"), (QUIET, "as much")])
def test_priming_is_said_only_where_the_interval_allows(loss, word):
    n = len(priming.RATES)
    none = priming.Pruned("no dropout", np.tile(BASE, (n, 1)))
    with_dropout = np.tile(BASE, (n, 1))
    with_dropout[priming.RATES.index(0.5)] = shifted(loss)
    found = [none, priming.Pruned("dropout 0.8", with_dropout)]
    line = priming._remark(found, priming._findings(found)).splitlines()[0]
    assert f"by 50 % costs it {word}" in line and "by 75 % costs it as much" in line

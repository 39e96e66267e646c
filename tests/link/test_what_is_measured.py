"""What each experiment of the link measures, done once more by hand: which weights, which masks, which start.

What must not be looked at is spoilt: a training hands out zeros in the place of the weights that are not asked for.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from numpynet.experiments.setup import Steps
from numpynet.link import bench as bench_module
from numpynet.link import equal_cost, inference, learned, overlap, priming, random_subnetworks, standing, tickets
from numpynet.link.bench import bench_of, dense_fit, fit, ladder
from numpynet.parameters import Parameters
from numpynet.seeding import stream, streams
from numpynet.training import begin
from tests.link.test_link_experiments import tiny

SEEDS = [2, 5]


def steps() -> Steps:
    return Steps("x", 1000)


def accuracy(bench, theta, keep=None):
    """By the definition: the share of test examples whose largest logit is the right one."""
    masked = theta if keep is None else theta * keep
    logits, _ = bench.net().forward(masked, bench.data.test.x)
    return (logits.argmax(axis=-1) == bench.data.test.y).mean(axis=-1)


def largest(theta, counts):
    """So many of the largest absolute values of each layer, replicate by replicate."""
    mask = Parameters.ones(theta.layout, replicates=theta.replicates, dtype=theta.dtype)
    for name, count in counts.items():
        for r in range(len(theta.vector)):
            size = np.abs(theta.replicate(r)[name])
            mask.replicate(r)[name][...] = size >= np.sort(size, axis=None)[-count]
    return mask


def counts_of(mask):
    return {name: int(mask[name][0].sum()) for name in mask.layout.weight_names}


def initial(bench):
    return bench.net().init([streams(s).init for s in SEEDS], dtype=np.dtype(bench.plan().dtype))


def spoilt(trained, name):
    return trained._replace(**{name: 0 * getattr(trained, name)})


def spoil(monkeypatch, module, name):
    """Every training that the module asks for hands out zeros as one of its two sets of weights; the true ones are returned."""
    true = []

    def wrapped(function):
        def spoiling(*args, **kwargs):
            true.append(function(*args, **kwargs))
            return spoilt(true[-1], name)

        return spoiling

    for function in {"fit", "dense_fit"} & set(vars(module)):
        monkeypatch.setattr(module, function, wrapped(getattr(module, function)))
    return true


def iou_of(one, two):
    return np.array(
        [[(a * b).sum() / np.maximum(a, b).sum() for a, b in zip(one[n], two[n])] for n in one.layout.weight_names]
    )


def test_the_first_of_equal_validation_losses_counts(monkeypatch):
    """Replicate 0 is best at once and ties later, replicate 1 is best in the middle and worse at the end."""
    bench = tiny(steps=30)

    def train(state, *_, **__):
        for step, loss, test in (
            (10, [1.0, 3.0], [0.1, 0.2]),
            (20, [1.0, 2.0], [0.3, 0.4]),
            (30, [1.5, 2.0], [0.5, 0.6]),
        ):
            state.theta.vector[...] = step
            yield SimpleNamespace(step=step, loss={"validation": loss}, accuracy={"test": test})

    monkeypatch.setattr(bench_module, "train", train)
    found = fit(bench, begin(bench.net(), bench.plan(), bench.data.train, seed=SEEDS), steps(), "x")
    assert found.stop.tolist() == [10, 20] and found.test.tolist() == [0.1, 0.4] and found.final.tolist() == [0.5, 0.6]
    assert found.theta.vector[:, 0].tolist() == [10, 20] and (found.theta_T.vector == 30).all()
    assert not found.censored.any()


def test_ladders_are_those_of_their_keep_prob_and_start_from_one_draw():
    bench = tiny()
    found = tickets.climb(bench, SEEDS, steps())
    for rungs, keep_prob in ((found.plain, 1.0), (found.dropout, 0.8)):
        alone = dense_fit(bench, SEEDS, keep_prob, steps())
        assert np.array_equal(rungs[0].fit.theta_T.vector, alone.theta_T.vector)
    mask = found.dropout[1].weight_mask
    assert np.array_equal(mask.vector, largest(found.dropout[0].fit.theta_T, counts_of(mask)).vector)
    start = begin(bench.net(0.8), bench.plan(), bench.data.train, seed=SEEDS, theta_0=initial(bench), weight_mask=mask)
    again = fit(bench, start, steps(), "x")
    assert np.array_equal(found.dropout[1].fit.theta_T.vector, again.theta_T.vector)


def test_what_is_cut_are_the_weights_after_the_last_step(monkeypatch):
    bench = tiny()
    true = spoil(monkeypatch, priming, "theta")
    found = priming.measure(bench, SEEDS, steps(), targeted=[(0.75, 0.66)])
    assert len(true) == len(found) == 3
    rate = 0.5
    for pruned, trained in zip(found, true):
        sizes = {n: trained.theta_T[n][0].size for n in trained.theta_T.layout.weight_names}
        last = list(sizes)[-1]
        counts = {n: size - round(size * (rate / 2 if n == last else rate)) for n, size in sizes.items()}
        kept = largest(trained.theta_T, counts)
        assert np.array_equal(pruned.test[priming.RATES.index(rate)], accuracy(bench, trained.theta_T, kept))
        assert np.array_equal(pruned.test[0], accuracy(bench, trained.theta_T))
    assert not np.array_equal(true[1].theta_T.vector, true[2].theta_T.vector)


def test_masks_are_laid_on_the_initial_and_on_the_trained_weights():
    bench, n_masks = tiny(steps=60, rounds=2), 2
    found = standing.measure(bench, SEEDS, steps(), n_masks=n_masks)
    rungs = ladder(bench, SEEDS, 1.0, steps())
    ticket, theta_T = rungs[-1].weight_mask, rungs[0].fit.theta_T
    one_shot = largest(theta_T, counts_of(ticket))
    for w, theta in enumerate((initial(bench), theta_T)):
        for seen, mask in ((found.dense, None), (found.ticket, ticket), (found.one_shot, one_shot)):
            assert np.array_equal(seen[w], accuracy(bench, theta, mask))
        for r, seed in enumerate(SEEDS):
            rng = stream(seed, "shuffle", 1)
            for index in range(n_masks):
                masks = (
                    random_subnetworks.random_weight_mask(rng, ticket.replicate(r)),
                    random_subnetworks.random_unit_mask(rng, ticket.layout, found.units, theta.dtype),
                )
                for kind, mask in enumerate(masks):
                    assert found.random[w, kind, index, r] == accuracy(bench, theta.replicate(r), mask)
    assert not np.array_equal(found.random[0], found.random[1])


@pytest.mark.parametrize("name", ["learned", "one-shot", "random"])
def test_every_mask_is_trained_from_the_same_initial_weights_in_the_same_order(name, monkeypatch):
    bench, starts = tiny(rounds=2), {}

    def spying(bench, state, steps, what):
        starts[what] = (
            state.theta.copy(),
            state.weight_mask.copy(),
            [str(rng.bit_generator.state) for rng in state.batch_rngs],
        )
        return fit(bench, state, steps, what)

    monkeypatch.setattr(learned, "fit", spying)
    found = learned.measure(bench, SEEDS, steps())
    theta, mask, order = starts[f"mask-{name}"]
    ticket = found.ticket.weight_mask
    assert np.array_equal(theta.vector, (initial(bench) * mask).vector)
    assert counts_of(mask) == counts_of(ticket)
    expected = {"learned": found.slid.weight_mask, "one-shot": largest(found.dense.theta_T, counts_of(ticket))}
    assert (
        np.array_equal(mask.vector, expected[name].vector)
        if name in expected
        else not np.array_equal(mask.vector, ticket.vector)
    )
    dense = begin(bench.net(), bench.plan(), bench.data.train, seed=SEEDS)
    assert order == [str(rng.bit_generator.state) for rng in dense.batch_rngs]
    assert np.array_equal(found.slid_test, accuracy(bench, found.slid.theta))
    assert np.allclose(found.overlap, iou_of(found.slid.weight_mask, ticket))


def test_overlaps_are_those_of_the_masks_that_the_page_names():
    bench = tiny(rounds=2)
    found = overlap.measure(bench, SEEDS, steps())
    plain, dropout = (ladder(bench, SEEDS, q, steps()) for q in (1.0, 0.8))
    other = dense_fit(bench, SEEDS, 1.0, steps(), draw=1)
    for level in (1, 2):
        counts = counts_of(plain[level].weight_mask)
        none, noisy, reordered = (largest(f.theta_T, counts) for f in (plain[0].fit, dropout[0].fit, other))
        assert np.allclose(found.imp[level - 1], iou_of(plain[level].weight_mask, dropout[level].weight_mask))
        assert np.allclose(found.one_shot[level - 1], iou_of(none, noisy))
        assert np.allclose(found.order[level - 1], iou_of(none, reordered))


def test_the_mean_nets_are_those_of_the_smallest_validation_loss(monkeypatch):
    bench = tiny(rounds=0)
    true = spoil(monkeypatch, equal_cost, "theta_T")
    monkeypatch.setattr(equal_cost, "ladder", lambda *a: [r._replace(fit=spoilt(r.fit, "theta_T")) for r in ladder(*a)])
    found = equal_cost.measure(bench, SEEDS, steps(), counts=(1, 2))
    (half,) = true  # the other one is the top of its ladder
    wide = dense_fit(bench, SEEDS, 0.8, steps())
    for averages, trained in zip(found.averages, (wide, half)):
        assert np.array_equal(averages.mean_net, accuracy(bench, trained.theta)), averages.keep_prob
    assert [a.keep_prob for a in found.averages] == [0.8, 0.5]
    assert found.averages[0].cost == pytest.approx(
        (0.8 * 64 * 9 + 0.64 * 9 * 8 + 0.8 * 8 * 10) / (64 * 9 + 9 * 8 + 8 * 10)
    )


def test_a_supermask_is_sampled_thresholded_and_expected_from_its_scores(monkeypatch):
    bench, rng = tiny(), np.random.default_rng(4)
    net, theta = bench.net(), initial(bench)
    planted = rng.normal(scale=1.5, size=theta.vector.shape).astype(np.float32)
    monkeypatch.setattr(inference, "kept", lambda *_: {"scores": planted})
    found = inference.supermask_answers(bench, SEEDS, "x", theta, (1, 2), steps())
    scores = Parameters(planted, net.layout)
    Q, likeliest = (Parameters.ones(net.layout, replicates=(2,), dtype=np.float32) for _ in range(2))
    for name in net.layout.weight_names:
        Q[name], likeliest[name] = 1 / (1 + np.exp(-scores[name])), scores[name] > 0
    uniform = np.stack([stream(s, "supermask", 1).random(net.layout.size, dtype=np.float32) for s in SEEDS])
    first = Parameters((uniform < Q.vector).astype(np.float32), net.layout)
    answers = [accuracy(bench, theta, mask) for mask in (Q, likeliest, first)]
    for seen, expected in zip((found.expected, found.threshold, found.average[0]), answers):
        assert np.array_equal(seen, expected)
    assert not np.array_equal(answers[0], answers[1])
    weights = np.concatenate([Q[name].reshape(2, -1) for name in net.layout.weight_names], axis=1)
    assert np.allclose(found.density, weights.mean(axis=1))


def test_supermasks_are_learned_on_glorot_weights_and_on_their_signs(monkeypatch):
    starts = {}
    monkeypatch.setattr(
        inference, "supermask_answers", lambda bench, seeds, name, theta, *_: starts.setdefault(name, theta)
    )
    monkeypatch.setattr(inference, "dropout_answers", lambda *_: None)
    bench = bench_of(tiny().data, hidden=(30, 20))
    inference.measure(bench, SEEDS, steps())
    glorot, signed = starts["supermask, Glorot"], starts["supermask, signed constant"]
    draw = initial(bench)
    assert np.allclose(glorot.vector, np.sqrt(2) * draw.vector)
    for name in draw.layout.weight_names:
        d_in, d_out = draw.layout.shapes[name]
        assert np.array_equal(np.sign(signed[name]), np.sign(draw[name]))
        assert np.allclose(np.abs(signed[name]), np.sqrt(2) * np.sqrt(2 / (d_in + d_out)), rtol=0.1)

"""The bench: what is judged and when, and trainings that are taken up again as if nothing had happened."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from numpynet.data import load_digits
from numpynet.experiments.setup import Steps
from numpynet.link import bench as benches
from numpynet.link.bench import bench_of, dense_fit, fit, ladder, training_settings
from numpynet.parameters import Parameters
from numpynet.training import begin, evaluate, train


def tiny(**changes):
    return bench_of(load_digits(), **{"hidden": (9, 8), "steps": 40, "every": 10, "rounds": 2, **changes})


def arrays_of(result):
    return [part.vector if hasattr(part, "vector") else part for part in result]


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(arrays_of(one), arrays_of(other), strict=True))


def test_the_parts_are_disjoint_and_no_example_is_lost():
    bench, data = tiny(), load_digits()
    rows = np.concatenate([bench.data.train.x, bench.validation.x])
    assert len(rows) == len(data.train.x)
    assert np.array_equal(np.sort(rows, axis=0), np.sort(data.train.x, axis=0))
    assert np.array_equal(bench.data.test.x, data.test.x)
    assert tiny().fingerprint == bench.fingerprint


def test_every_replicate_is_judged_where_its_own_validation_loss_is_smallest():
    bench = tiny(lr=0.02, steps=120)
    net, seeds = bench.net(0.7), [3, 5, 6]
    found = fit(bench, begin(net, bench.plan(), bench.data.train, seed=seeds), Steps("x", 120), "x")
    state, thetas = begin(net, bench.plan(), bench.data.train, seed=seeds), []
    for _ in train(state, bench.data.train, monitors={"validation": bench.validation}):
        thetas.append(state.theta.copy())
    losses = np.array([record.loss["validation"] for record in state.history])  # (S, R)
    best = losses.argmin(axis=0)
    assert len(set(best)) > 1  # or the test would not see a replicate that follows another one
    for r, index in enumerate(best):
        assert found.stop[r] == state.history[index].step
        assert np.array_equal(found.theta.vector[r], thetas[index].vector[r])
        alone = evaluate(net, thetas[index].replicate(r), bench.data.test)[1]
        assert found.test[r] == pytest.approx(alone, abs=1.5 / len(bench.data.test.x))
    assert np.array_equal(found.theta_T.vector, state.theta.vector)
    assert np.array_equal(found.final, evaluate(net, state.theta, bench.data.test)[1])
    assert np.array_equal(found.censored, found.stop > 0.95 * 120)


def test_the_test_examples_choose_nothing():
    """With random test labels the same masks, the same steps, the same weights (A31)."""
    bench = tiny()
    labels = np.random.default_rng(0).integers(10, size=len(bench.data.test.y))
    other = bench._replace(data=bench.data._replace(test=bench.data.test._replace(y=labels)))
    for a, b in zip(*(ladder(b, [0, 1], 0.8, Steps("x", 1)) for b in (bench, other)), strict=True):
        assert np.array_equal(a.weight_mask.vector, b.weight_mask.vector)
        assert np.array_equal(a.fit.theta.vector, b.fit.theta.vector) and np.array_equal(a.fit.stop, b.fit.stop)
        assert not np.array_equal(a.fit.test, b.fit.test)


def test_a_training_is_kept_and_taken_from_the_folder(tmp_path, monkeypatch):
    bench = tiny(folder=tmp_path)
    first = dense_fit(bench, [0, 1], 0.8, Steps("x", 40))
    monkeypatch.setattr(benches, "_train", lambda *_: pytest.fail("it was trained again"))
    steps = Steps("x", 40)
    assert same(dense_fit(bench, [0, 1], 0.8, steps), first)
    assert steps.before == 40
    assert same(first, dense_fit_alone(monkeypatch))


def dense_fit_alone(monkeypatch):
    monkeypatch.undo()
    return dense_fit(tiny(), [0, 1], 0.8, Steps("x", 40))


def test_a_ladder_that_was_interrupted_goes_on_to_the_same_bits(tmp_path, monkeypatch):
    whole = ladder(tiny(), [0, 1], 1.0, Steps("x", 120))
    train_once, calls = benches._train, []

    def interrupted(*arguments):
        if len(calls) == 1:
            raise KeyboardInterrupt
        calls.append(arguments)
        return train_once(*arguments)

    monkeypatch.setattr(benches, "_train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ladder(tiny(folder=tmp_path), [0, 1], 1.0, Steps("x", 120))
    assert len(list(tmp_path.iterdir())) == 1
    monkeypatch.undo()
    again = ladder(tiny(folder=tmp_path), [0, 1], 1.0, Steps("x", 120))
    for a, b in zip(whole, again, strict=True):
        assert same(a.fit, b.fit) and np.array_equal(a.weight_mask.vector, b.weight_mask.vector)
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize(
    "change",
    [
        {"steps": 50},
        {"lr": 0.004},
        {"batch_size": 99},
        {"every": 20},
        {"hidden": (9, 7)},
    ],
)
def test_other_settings_are_other_trainings(change):
    one, other = tiny(), tiny(**change)
    first, second = (training_settings(b, begin(b.net(), b.plan(), b.data.train, seed=[0])) for b in (one, other))
    assert first != second


def test_seeds_order_dropout_start_and_mask_are_settings_too():
    bench = tiny()
    ones = Parameters.ones(bench.net().layout, replicates=(1,))
    states = [
        begin(bench.net(keep_prob), bench.plan(), bench.data.train, seed=[seed], **how)
        for keep_prob, seed, how in (
            (1.0, 0, {}),
            (1.0, 1, {}),
            (1.0, 0, {"draw": 1}),
            (0.8, 0, {}),
            (1.0, 0, {"weight_mask": ones}),
            (1.0, 0, {"theta_0": 0.5 * ones}),
            (1.0, 1, {"theta_0": 0.5 * ones}),
        )
    ]
    found = [repr(training_settings(bench, state)) for state in states]
    assert len(set(found)) == len(found)


def test_the_settings_are_the_same_in_another_process():
    code = (
        "from numpynet.data import load_digits; from numpynet.link.bench import *; from numpynet.training import begin\n"
        "from numpynet.experiments.parts import settings_digest\n"
        "b = bench_of(load_digits(), steps=40)\n"
        "print(settings_digest(training_settings(b, begin(b.net(0.8), b.plan(), b.data.train, seed=[0, 1]))))"
    )
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(2)]
    assert runs[0].stdout == runs[1].stdout and len(runs[0].stdout) == 65


def test_a_ladder_has_the_counts_of_two_rounds_in_one():
    rungs = ladder(tiny(hidden=(30, 20), steps=4), [0, 1], 1.0, Steps("x", 12))
    for name, (rate, n) in {"W1": (0.36, 64 * 30), "W2": (0.36, 30 * 20), "W3": (0.19, 20 * 10)}.items():
        for rung in rungs:
            assert (rung.weight_mask[name].sum(axis=(1, 2)) == n).all()
            n -= int(rate * n + 0.5)
    with_dropout = ladder(tiny(hidden=(30, 20), steps=4), [0, 1], 0.8, Steps("x", 12))
    assert [r.density for r in with_dropout] == [r.density for r in rungs]

"""Runs that leave out units nobody hears end as runs that train them all, but for rounding."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numpynet.lottery import outcomes, run_results, training_files
from numpynet.lottery.arms import CONTROLS
from numpynet.lottery.experiment import load_examples
from numpynet.lottery.imp import TICKET, Monitored, iterative_pruning
from numpynet.lottery.presets import PRESETS
from numpynet.pruning import compact_training
from tests.lottery.tiny import COMPACT, EXAMPLES, TINY, run_all

DOUBLE = load_examples(replace(COMPACT, dtype="float64"))


@pytest.fixture
def left_out(monkeypatch):
    """The sizes of the networks that are trained in the place of the whole one."""
    sizes, smaller = set(), compact_training.smaller

    def watched(state):
        small = smaller(state)
        if small is not None:
            sizes.add(small.net.sizes)
        return small

    monkeypatch.setattr(compact_training, "smaller", watched)
    return sizes


def climbed(experiment, compact):
    monitors = {"validation": DOUBLE.validation, "test": DOUBLE.test}
    levels = iterative_pruning(
        experiment.net(), experiment.plan(), DOUBLE.train, seeds=experiment.seeds, rounds=experiment.rounds,
        prune=experiment.prune(), controls={name: CONTROLS[name] for name in experiment.controls},
        rewinding=experiment.rewinding, trainer=Monitored(DOUBLE.train, monitors, compact=compact),
    )  # fmt: skip
    return list(levels)


@pytest.mark.equation("M17")
@settings(max_examples=6)
@given(
    seed=st.integers(0, 1000),
    optimizer=st.sampled_from(["sgd", "momentum", "rmsprop", "adam"]),
    keep_prob=st.sampled_from([1.0, 0.8]),
    rewind=st.sampled_from(["init", "late:4", "late:4:saved", "lr:2", "finetune:5"]),
    scope=st.sampled_from(["layer", "global"]),
)
def test_masks_and_accuracies_of_every_level_are_those_of_the_plain_run(seed, optimizer, keep_prob, rewind, scope):
    """In double precision, where rounding is far too small to turn the order of two weights or two logits."""
    experiment = replace(
        COMPACT, dtype="float64", seed=seed, optimizer=optimizer, keep_prob=keep_prob, rewind=rewind, scope=scope
    )
    for plain, compact in zip(climbed(experiment, False), climbed(experiment, True)):
        assert np.array_equal(plain.weight_mask.vector, compact.weight_mask.vector)
        for arm, one in plain.trained.items():
            other = compact.trained[arm]
            assert [r.accuracy for r in one.history] == [r.accuracy for r in other.history]
            np.testing.assert_allclose(other.theta.vector, one.theta.vector, rtol=0, atol=1e-9)


@pytest.mark.parametrize("compact", [False, True])
def test_a_ladder_leaves_units_out_where_it_is_asked_to(compact, left_out):
    climbed(replace(COMPACT, dtype="float64"), compact)
    assert bool(left_out) == compact


@pytest.mark.parametrize("stack", [1, 2])
def test_a_run_like_quick_agrees_in_single_precision(tmp_path, stack, left_out):
    """The tolerance: the same masks, losses to 1 in 100000, accuracies to one of the 500 validation examples."""
    small = replace(PRESETS["quick"], steps=120, evaluate_every=20, rounds=3, rate=0.75, replicates=2, stack=stack)
    examples = load_examples(small)
    rows = []
    for compact in (False, True):
        experiment, folder = replace(small, compact=compact), tmp_path / str(compact)
        run_all(folder, experiment, examples)
        rows.append(run_results.finished(folder, experiment))
        assert bool(left_out) == compact
    assert len(rows[0]) == len(rows[1]) == small.replicates * small.trainings
    for plain, compact in zip(*rows):
        assert plain["mask_digest"] == compact["mask_digest"]
        for name, value in plain.items():
            if "loss" in name:
                assert compact[name] == pytest.approx(value, rel=1e-5), name
            elif "accuracy" in name:
                assert compact[name] == pytest.approx(value, abs=1.01 / 500), name


def test_units_are_left_out_only_where_it_is_asked_for(tmp_path, monkeypatch, left_out):
    run_all(tmp_path / "compact", COMPACT)
    assert min(sizes[1] for sizes in left_out) < 15  # of 20
    assert max(sizes[0] for sizes in left_out) < 64
    monkeypatch.setattr(outcomes, "train_compacted", lambda *a, **k: pytest.fail("something is left out"))
    run_all(tmp_path / "plain", replace(COMPACT, compact=False))


def test_rare_looks_at_the_test_set_change_no_number_of_the_tables_but_for_rounding(tmp_path):
    """They are made by the whole net, and regular ones by what is heard of it."""
    rows = []
    for test_curve in (False, True):
        experiment, folder = replace(COMPACT, test_curve=test_curve), tmp_path / str(test_curve)
        run_all(folder, experiment)
        rows.append(run_results.finished(folder, experiment))
    for rare, regular in zip(*rows):
        tests = [name for name in rare if name.startswith("test_")]
        assert [rare[name] for name in tests] == pytest.approx([regular[name] for name in tests], rel=1e-5)
        for name in set(rare) - {*tests, "curve_digest", "digest"}:
            assert rare[name] == regular[name], name


def test_what_is_left_out_keeps_its_place_and_its_weights(tmp_path):
    """Weights that lead into an unheard unit are in the mask, and stay at their initial values."""
    run_all(tmp_path, COMPACT)
    layout, stayed = COMPACT.net().layout, 0
    for trial in range(COMPACT.replicates):
        theta_0, _ = training_files.load_start(tmp_path, trial, layout)
        theta, mask, _ = training_files.load_training(training_files.place(tmp_path, trial, 3, TICKET), layout)
        unheard = ~mask["W2"].any(axis=1)
        assert np.array_equal(theta["W1"][:, unheard], (mask["W1"] * theta_0["W1"])[:, unheard])
        stayed += int(mask["W1"][:, unheard].sum())
    assert stayed > 0


def test_a_net_in_which_nothing_dies_is_the_plain_run(tmp_path):
    """Early levels leave nothing out, so that they have the very bits."""
    for compact in (False, True):
        run_all(tmp_path / str(compact), replace(TINY, rounds=1, rate=0.1, compact=compact), EXAMPLES)
    assert (tmp_path / "True/results.csv").read_bytes() == (tmp_path / "False/results.csv").read_bytes()

"""The configuration of an experiment: what it means, what it refuses, and how two of them are told apart."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from numpynet.commands import lottery as command
from numpynet.equations.masks import prune_count
from numpynet.lottery import arms, presets, prune_rules
from numpynet.lottery.experiment import Experiment, differences, from_json, identity, load_examples, parse_rewind
from numpynet.lottery.prune_rules import prune_rule
from numpynet.lottery.rewinding import FineTune, Init, Late, LearningRate
from numpynet.parameters import Parameters
from tests.lottery.tiny import TINY

ROOT = Path(__file__).parents[2]

# The integers that the exact rule leaves, level by level.
LENET = {0: (235200, 30000, 1000), 1: (188160, 24000, 900), 3: (120422, 15360, 729), 5: (77070, 9830, 590), 7: (49325, 6291, 478), 9: (31568, 4026, 387), 11: (20203, 2577, 313), 13: (12930, 1650, 254), 15: (8275, 1056, 206), 18: (4237, 541, 149), 20: (2712, 346, 121)}  # fmt: skip
SMALL = {0: (4000, 10000, 1000), 1: (3200, 8000, 900), 3: (2048, 5120, 729), 5: (1310, 3277, 590), 7: (838, 2098, 478), 9: (536, 1342, 387), 11: (343, 859, 313), 13: (219, 550, 254), 15: (140, 352, 206)}  # fmt: skip


@pytest.mark.equation("L7")
@pytest.mark.parametrize(("sizes", "golden"), [((784, 300, 100, 10), LENET), ((40, 100, 100, 10), SMALL)])
def test_the_ladder_has_the_integers_of_the_exact_rule(sizes, golden):
    ladder = Experiment(sizes=sizes, rounds=20).ladder()
    assert {level: tuple(ladder[level].values()) for level in golden} == golden


@pytest.mark.equation("L8")
def test_a_rule_that_is_off_by_one_would_leave_the_golden_ladder(monkeypatch):
    monkeypatch.setattr("numpynet.lottery.experiment.prune_count", lambda rate, alive: prune_count(rate, alive) + 1)
    ladder = Experiment(rounds=7).ladder()
    assert tuple(ladder[7].values()) != SMALL[7]


@pytest.mark.equation("L7")
@pytest.mark.filterwarnings("ignore::numpynet.pruning.DisconnectedWarning")
@example("global", 0.5, 0, 2)  # random scores may cut the last path; that is another test's concern
@given(st.sampled_from(["layer", "global"]), st.floats(0, 0.6), st.integers(0, 3), st.integers(0, 4))
def test_the_ladder_is_what_the_rule_will_cut(scope, rate, min_keep, seed):
    experiment = replace(TINY, scope=scope, rate=rate, min_keep=min_keep, rounds=3)
    net, prune = experiment.net(), prune_rule(rate, scope=scope, min_keep=min_keep)
    rng = np.random.default_rng(seed)
    mask = Parameters.ones(net.layout)
    for planned in experiment.ladder():
        counts = {name: int(mask[name].sum()) for name in net.layout.weight_names}
        assert planned == (counts if scope == "layer" else {"all": sum(counts.values())})
        theta = Parameters(rng.standard_normal(net.layout.size).astype(np.float32), net.layout)
        mask = prune(theta, theta, mask)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "steps": st.integers(1, 10**6), "lr": st.floats(1e-6, 1.0), "rate": st.one_of(st.floats(0, 0.4), st.just({"W1": 0.2, "W2": 0.1, "W3": 0.0})),
            "controls": st.lists(st.sampled_from(sorted(arms.CONTROLS)), unique=True), "keep_prob": st.floats(0.1, 1), "seed": st.integers(0, 9),
            "compact": st.booleans(),
        },
    )
)  # fmt: skip
def test_a_record_comes_back_from_json_as_it_was(options):
    experiment = Experiment(**options)
    again = from_json(json.loads(json.dumps(experiment.as_json())))
    assert again.as_json() == experiment.as_json()
    assert differences(again, experiment) == []
    assert identity(again.as_json()) == identity(experiment.as_json())


@pytest.mark.parametrize(
    ("name", "changes"),
    [("quick", {}), ("lenet-mnist", {"replicates": 3, "controls": ("reinit",), "scale": 0.1})],
)
def test_published_results_have_the_identity_of_a_run_made_today(name, changes):
    """A new option once changed it, though nothing else about the run was new."""
    changes = dict(changes)
    experiment = replace(presets.scaled(presets.PRESETS[name], changes.pop("scale", 1.0)), **changes)
    published = json.loads((ROOT / f"docs/results/lottery-{name}.json").read_text())["settings"]
    assert published["identity of the configuration"] == identity(experiment.as_json())[:16]


@pytest.mark.parametrize(
    ("name", "value"),
    [("lr", 0.004), ("seed", 1), ("stack", 3), ("compact", True), ("rewind", "late:3"), ("controls", ("reinit",)), ("rate", {"W1": 0.2, "W2": 0.2, "W3": 0.1})],
)  # fmt: skip
def test_every_change_has_another_identity_and_is_named(name, value):
    changed = replace(TINY, **{name: value})
    assert identity(changed.as_json()) != identity(TINY.as_json())
    (text,) = differences(TINY, changed)
    assert text.startswith(f"{name}: ")
    assert "there" in text
    assert "here" in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"replicates": 0}, "replicates is 0, but an integer >= 1"),
        ({"replicates": 10**9}, "replicates is 1000000000, but at most 10000"),
        ({"draws": 10**9}, "draws is 1000000000, but at most 10000"),
        ({"rounds": -1}, "rounds is -1"),
        ({"validation": 0}, "validation is 0"),
        ({"steps": True}, "steps is True"),
        ({"rate": 1.5}, r"rate is 1\.5"),
        ({"rate": -0.1}, r"rate is -0\.1"),
        ({"rate": float("nan")}, "rate is nan"),
        ({"output_rate": 2.0}, "2.0"),
        ({"rate": {"W1": 0.2, "W2": 0.2}}, "rate names W1, W2, but the layers are W1, W2, W3"),
        ({"rate": {"W1": 0.2, "W2": 0.2, "W3": 0.2, "W9": 0.1}}, "W9"),
        ({"rate": {"W1": 0.2, "W2": 0.2, "W3": 0.2}, "scope": "global"}, "scope 'layer'"),
        ({"output_rate": 0.1, "scope": "global"}, "output_rate goes with scope"),
        ({"rate": 1.0}, "round 1 would remove the last weight of W1, W2"),
        ({"rate": 0.6, "rounds": 40}, "would remove the last weight of W"),
        ({"controls": ("reinit", "luck")}, "there is no control 'luck'"),
        ({"controls": ("reinit", "reinit")}, "named twice"),
        ({"scope": "world"}, "scope is 'world'"),
        ({"criterion": "beauty"}, "criterion is 'beauty'"),
        ({"data": "cifar"}, "data is 'cifar'"),
        ({"optimizer": "lion"}, "optimizer is 'lion'"),
        ({"keep_prob": 0.0}, "keep_prob"),
        ({"sizes": (64, 10), "keep_prob": 0.5}, "has none"),
        ({"rewind": "late"}, "rewind is 'late'"),
        ({"rewind": "late:12"}, "does not fit a training of 12 steps"),
        ({"rewind": "finetune:13"}, "does not fit a training of 12 steps"),
        ({"lr": -1.0}, "lr"),
        ({"version": 2}, "version 2"),
        ({"compact": 1}, "compact is 1, but True or False"),
        ({"test_curve": "no"}, "test_curve is 'no', but True or False"),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_is(options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        replace(TINY, **options)


def test_min_keep_lets_a_steep_ladder_be_climbed():
    assert replace(TINY, rate=0.6, rounds=40, min_keep=1).ladder()[-1] == {"W1": 1, "W2": 1, "W3": 1}


def test_data_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"sizes 63-6-10 do not fit .*64 inputs and 10 classes"):
        load_examples(replace(TINY, sizes=(63, 6, 10)))
    with pytest.raises(ValueError, match="batch_size is 5000"):
        load_examples(replace(TINY, batch_size=5000))


def test_an_unknown_field_and_a_wrong_value_are_refused():
    with pytest.raises(ValueError, match="unknown fields: colour"):
        from_json({"colour": 3})
    with pytest.raises(ValueError, match="steps is 'x'"):
        from_json({"steps": "x"})


@pytest.mark.parametrize(
    ("text", "record"),
    [
        ("init", Init()), ("late:7", Late(7)), ("late:7:saved", Late(7, "saved")), ("lr", LearningRate(0)), ("lr:3", LearningRate(3)),
        ("finetune:5", FineTune(5)),
    ],
)  # fmt: skip
def test_what_rewind_means(text, record):
    assert parse_rewind(text) == record


@pytest.mark.parametrize(
    "text", ["", "early:3", "late:x", "late:3:kept", "late:3:saved:more", "finetune", "init:0", "lr:-1"]
)
def test_what_rewind_does_not_mean(text):
    with pytest.raises(ValueError, match=r"rewind is .*late:200"):
        parse_rewind(text)


def test_the_validation_examples_are_those_of_the_first_seed_whatever_the_replicates():
    one, many, other = (load_examples(replace(TINY, **o)) for o in ({"replicates": 1}, {"replicates": 9}, {"seed": 5}))
    assert np.array_equal(one.validation.x, many.validation.x)
    assert not np.array_equal(one.validation.x, other.validation.x)
    joined = np.concatenate([one.train.x, one.validation.x])
    assert len(np.unique(joined, axis=0)) == len(np.unique(one.data.train.x, axis=0))


@given(st.integers(1, 30), st.integers(1, 12))
def test_the_groups_share_out_every_trial_once(replicates, stack):
    groups = replace(TINY, replicates=replicates, stack=stack).groups
    assert [trial for group in groups for trial in group] == list(range(replicates))
    assert max(map(len, groups)) <= stack


def test_the_command_line_lists_what_there_is():
    assert tuple(arms.CONTROLS) == command.CONTROLS == tuple(arms.WHAT)
    assert tuple(prune_rules.CRITERIA) == command.CRITERIA
    assert tuple(presets.PRESETS) == command.PRESETS == tuple(presets.ABOUT)


def test_the_presets_are_what_they_say():
    lenet = presets.PRESETS["lenet-mnist"]
    assert (lenet.sizes, lenet.steps, lenet.batch_size, lenet.lr) == ((784, 300, 100, 10), 50_000, 60, 1.2e-3)
    assert lenet.evaluate_every == 100
    assert [round(100 * d, 1) for d in lenet.densities()][::2] == [100, 64.1, 41.1, 26.3, 16.9, 10.8, 7.0, 4.5]
    assert round(100 * lenet.densities()[15], 1) == 3.6
    document = presets.PRESETS["document"]
    assert (document.sizes, document.optimizer, document.lr) == ((784, 500, 10), "sgd", 0.01)
    assert document.steps == 10 * -(-55_000 // document.batch_size)
    assert set(presets.PRESETS["mnist1d"].controls) == set(arms.CONTROLS)
    assert presets.PRESETS["mnist1d"].replicates == 16


def test_scaling_keeps_evaluations():
    scaled = presets.scaled(presets.PRESETS["lenet-mnist"], 0.001)
    assert (scaled.steps, scaled.evaluate_every) == (50, 2)
    for wrong in (0, 2, -1, True, "x"):
        with pytest.raises(ValueError, match="scale is"):
            presets.scaled(TINY, wrong)

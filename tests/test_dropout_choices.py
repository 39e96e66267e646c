"""``numpynet train --dropout``: every kind is trained as the library trains it, resumes to the same bits, and an option
that would change nothing is refused."""

import json
import math
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pytest

from numpynet import layer_rules, train_run
from numpynet.cli import build_parser, main
from numpynet.commands.train import DROPOUT, KEEP_SCHEDULES
from numpynet.data import load_digits
from numpynet.equations import relu, selu, softmax_cross_entropy
from numpynet.equations.keep_schedules import Curriculum, Early, Late, Linear
from numpynet.equations.r_drop import r_drop
from numpynet.network import MLP
from numpynet.optimizers import SGD, Decay
from numpynet.plan import TrainingPlan
from numpynet.storage import load_arrays
from numpynet.training import begin, train

SIZES, STEPS, SEEDS = (64, 11, 9, 10), 30, [4, 9]


class Choice(NamedTuple):
    """What is typed, and what the library takes for it."""

    typed: str
    net: dict
    plan: dict = MappingProxyType({})


def rules(*three):
    return {"rules": three}


CHOICES = [
    Choice("--keep-prob 0.8", {"keep_prob": 0.8}),
    Choice("--keep-prob 0.9,0.8,0.6 --dropout unit", {"keep_prob": (0.9, 0.8, 0.6)}),
    Choice("--keep-prob 0.7 --shared-masks", rules(None, *[layer_rules.unit_dropout(0.7, shared=True)] * 2)),
    Choice("--dropout dropconnect --keep-prob 0.8", rules(None, *[layer_rules.dropconnect(0.8)] * 2)),
    Choice(
        "--dropout dropconnect --keep-prob 0.8,0.7,0.6 --shared-masks",
        rules(*(layer_rules.dropconnect(q, shared=True) for q in (0.8, 0.7, 0.6))),
    ),
    Choice("--dropout gaussian --keep-prob 0.7", rules(None, *[layer_rules.gaussian_dropout(0.7)] * 2)),
    Choice(
        "--dropout variational --keep-prob 0.8,1,0.7",
        rules(
            layer_rules.variational_dropout(math.log((1 - 0.8) / 0.8)),
            None,
            layer_rules.variational_dropout(math.log((1 - 0.7) / 0.7)),
        ),
    ),
    Choice(
        "--dropout alpha --keep-prob 0.9", {"activation": selu, **rules(None, *[layer_rules.alpha_dropout(0.9)] * 2)}
    ),
    Choice("--dropout targeted-weights", rules(*[layer_rules.targeted_weight_dropout(0.75, 0.66)] * 3)),
    Choice(
        "--dropout targeted-units --target-share 0.4 --drop-prob 1",
        rules(*[layer_rules.targeted_unit_dropout(0.4, 1.0)] * 2, None),
    ),
    Choice("--dropout standout", rules(*[layer_rules.standout(1.0, 0.0)] * 2, None)),
    Choice(
        "--dropout standout --standout-alpha -0.5 --standout-beta 0.7",
        rules(*[layer_rules.standout(-0.5, 0.7)] * 2, None),
    ),
    Choice(
        "--keep-prob 0.6 --keep-schedule curriculum",
        {"keep_prob": 0.6},
        {"keep_schedule": Curriculum(0.6, gamma=10 / STEPS)},
    ),
    Choice(
        "--keep-prob 0.6 --keep-schedule early --keep-steps 12", {"keep_prob": 0.6}, {"keep_schedule": Early(0.6, 12)}
    ),
    Choice(
        "--keep-prob 0.6 --keep-schedule late --keep-steps 12", {"keep_prob": 0.6}, {"keep_schedule": Late(0.6, 12)}
    ),
    Choice(
        "--keep-prob 0.6 --keep-schedule linear-early --keep-steps 20",
        {"keep_prob": 0.6},
        {"keep_schedule": Linear(0.6, 1.0, 20)},
    ),
    Choice(
        "--keep-prob 0.6 --keep-schedule linear-late", {"keep_prob": 0.6}, {"keep_schedule": Linear(1.0, 0.6, STEPS)}
    ),
    Choice("--keep-prob 0.8 --r-drop 0.7", {"keep_prob": 0.8}, {"loss": r_drop(0.7)}),
    Choice(
        "--dropout standout --r-drop 0.7 --max-norm 1.5",
        rules(*[layer_rules.standout(1.0, 0.0)] * 2, None),
        {"loss": r_drop(0.7), "decay": Decay(max_norm=1.5)},
    ),
]
every_choice = pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: choice.typed)


@pytest.fixture
def numpynet_train(tmp_path, capsys):
    """Run ``numpynet train`` on digits, in this process; return exit code, output and errors."""

    def run(typed, *more, out="run"):
        arguments = ["--sizes", "64-11-9-10", "--steps", STEPS, "--evaluate-every", 7, "--seed", *SEEDS]
        try:
            code = main(["train", *map(str, arguments), *typed.split(), *more, "--out", str(tmp_path / out)])
        except SystemExit as stop:
            code = stop.code
        return code, *capsys.readouterr()

    return run


def weights(folder):
    return load_arrays(folder / "weights.npz", kind="weights")


def test_every_kind_and_schedule_is_tried():
    typed = " ".join(choice.typed for choice in CHOICES)
    assert {kind for kind in DROPOUT if f"--dropout {kind}" in typed} == set(DROPOUT)
    assert {name for name in KEEP_SCHEDULES if f"--keep-schedule {name}" in typed} == set(KEEP_SCHEDULES)


@every_choice
def test_the_run_is_that_of_the_library(choice, numpynet_train, tmp_path):
    code, said, _ = numpynet_train(choice.typed)
    assert code == 0
    net = MLP(SIZES, **{"activation": relu, **choice.net})
    plan = TrainingPlan(steps=STEPS, optimizer=SGD(), schedule=0.1, **choice.plan)
    split = load_digits().train
    state = begin(net, plan, split, seed=SEEDS)
    for _ in train(state, split):
        pass
    arrays, metadata = weights(tmp_path / "run")
    for name, value in state.theta.items():
        assert np.array_equal(arrays[name], value), name
    assert metadata["rules"] == [rule.name for rule in net.layer_rules]
    settings = json.loads((tmp_path / "run" / "settings.json").read_text(encoding="utf-8"))
    assert settings["rules"] == metadata["rules"]
    assert settings["loss"] == plan.loss.name
    assert settings["keep_schedule"] == repr(plan.keep_schedule)
    assert said.startswith("dropout: ")
    assert (f"loss {plan.loss.name}" in said) == (plan.loss is not softmax_cross_entropy)


@every_choice
def test_an_interrupted_run_is_resumed_to_the_same_bits(choice, numpynet_train, tmp_path, monkeypatch):
    assert numpynet_train(choice.typed, out="whole")[0] == 0
    save, calls = train_run.save_checkpoint, []

    def interrupt(*arguments):
        save(*arguments)
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(train_run, "save_checkpoint", interrupt)
        assert numpynet_train(choice.typed, out="stopped")[0] == 1
    code, said, _ = numpynet_train(choice.typed, "--resume", out="stopped")
    assert (code, said.splitlines()[0]) == (0, f"resumed at step 14 of {STEPS}")
    for name in ("weights.npz", "history.csv"):
        assert (tmp_path / "stopped" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.parametrize(
    ("first", "then", "what"),
    [
        ("--keep-prob 0.8", "--keep-prob 0.8 --shared-masks", "rules"),
        ("--keep-prob 0.8 --dropout gaussian", "--keep-prob 0.8 --dropout variational", "rules"),
        ("--dropout standout", "--dropout standout --standout-beta 0.1", "rules"),
        ("--dropout targeted-units", "--dropout targeted-units --drop-prob 0.65", "rules"),
        ("--keep-prob 0.8 --r-drop 1", "--keep-prob 0.8 --r-drop 1.0000001", "loss"),
        ("--keep-prob 0.8 --r-drop 1", "--keep-prob 0.8", "loss"),
        ("--keep-prob 0.8 --keep-schedule curriculum", "--keep-prob 0.8", "keep_schedule"),
        (
            "--keep-prob 0.8 --keep-schedule early --keep-steps 5",
            "--keep-prob 0.8 --keep-schedule early --keep-steps 6",
            "keep_schedule",
        ),
    ],
)
def test_a_run_is_not_resumed_with_another_dropout(first, then, what, numpynet_train):
    assert numpynet_train(first)[0] == 0
    code, _, err = numpynet_train(then, "--resume")
    assert code == 2
    assert "belongs to another training" in err
    assert f"{what}: " in err


@pytest.mark.parametrize(
    ("typed", "fragments"),
    [
        ("--dropout cutout", ["--dropout", "'cutout'", "standout"]),
        ("--dropout unit", ["--dropout unit needs --keep-prob"]),
        ("--dropout gaussian", ["--dropout gaussian needs --keep-prob"]),
        ("--shared-masks", ["--shared-masks needs --keep-prob"]),
        ("--keep-schedule curriculum", ["--keep-schedule curriculum needs --keep-prob"]),
        ("--r-drop 1", ["--r-drop 1.0 needs --keep-prob"]),
        ("--dropout standout --keep-prob 0.8", ["--keep-prob is for --dropout unit", "no effect on standout"]),
        ("--dropout targeted-units --keep-prob 0.8", ["--keep-prob is for", "no effect on targeted-units"]),
        ("--dropout gaussian --keep-prob 0.8 --shared-masks", ["--shared-masks is for --dropout unit and dropconnect"]),
        ("--keep-prob 0.8 --target-share 0.5", ["--target-share is for --dropout targeted-weights", "effect on unit"]),
        ("--dropout standout --drop-prob 0.5", ["--drop-prob is for --dropout targeted-weights"]),
        ("--keep-prob 0.8 --standout-alpha 2", ["--standout-alpha is for --dropout standout"]),
        ("--keep-prob 0.8 --standout-beta 0", ["--standout-beta is for --dropout standout"]),
        ("--dropout gaussian --keep-prob 0.8 --keep-schedule late", ["--keep-schedule is for --dropout unit"]),
        ("--keep-prob 0.8 --keep-steps 5", ["--keep-steps is for --keep-schedule"]),
        ("--keep-prob 0.8 --keep-schedule early", ["--keep-schedule early needs --keep-steps"]),
        ("--keep-prob 0.8 --keep-schedule late --keep-steps 30", ["--keep-steps is 30", "30 steps", "ever be dropped"]),
        ("--keep-prob 0.8 --keep-schedule early --keep-steps 99", ["--keep-steps is 99", "would never end"]),
        ("--keep-prob 0.8 --keep-schedule early --keep-steps 0", ["--keep-steps", "must be >= 1"]),
        ("--keep-prob 1 --keep-schedule linear-late", ["--keep-prob is 1", "no unit would ever"]),
        ("--keep-prob 0.9,0.8,0.7 --keep-schedule curriculum", ["--keep-prob is a list", "one number"]),
        ("--keep-prob 0.8 --keep-schedule curriculum --shared-masks", ["leave out --shared-masks"]),
        ("--keep-prob 1,1,1 --r-drop 1", ["--r-drop would have no effect", "--keep-prob is 1"]),
        ("--keep-prob 0.8 --r-drop 0", ["--r-drop", "> 0"]),
        ("--keep-prob 0.8 --r-drop nan", ["--r-drop", "nan"]),
        ("--keep-prob 0.8 --shared-masks --r-drop 1", ["with --shared-masks both would have the same"]),
        ("--dropout targeted-weights --r-drop 1", ["with --dropout targeted-weights both would have the same"]),
        ("--dropout targeted-units --drop-prob 1 --r-drop 1", ["--r-drop would have no effect", "--drop-prob is 1"]),
        ("--dropout targeted-units --target-share 0.09", ["--target-share is 0.09", "11 units", "ever be dropped"]),
        ("--dropout targeted-weights --target-share 0.015", ["--target-share is 0.015", "64 weights"]),
        ("--dropout targeted-weights --target-share 1.2", ["--target-share", "1.2", "(0, 1]"]),
        ("--dropout targeted-weights --drop-prob 0", ["--drop-prob", "(0, 1]"]),
        ("--dropout standout --standout-alpha inf", ["--standout-alpha", "finite", "inf"]),
        ("--dropout standout --activation sigmoid", ["standout", "sigmoid"]),
        ("--dropout alpha --keep-prob 0.9 --activation relu", ["--dropout alpha", "--activation is relu", "selu"]),
        ("--dropout gaussian --keep-prob 0.8,0.7", ["keep_prob has 2 entries", "3 layers"]),
        (
            "--dropout dropconnect --keep-prob 0.8 --sizes 64-700-600-10 --batch-size 700",
            ["700 x 600 weights", "1400 examples", "2.2 GiB", "--shared-masks"],
        ),
        ("--dropout standout --sizes 64-10", ["--dropout standout is for the units of the hidden layers", "none"]),
        ("--dropout gaussian --keep-prob 0.8 --sizes 64-10", ["--keep-prob 0.8 is for the hidden layers"]),
    ],
)
def test_what_would_have_no_effect_or_cannot_be_is_told_on_one_line(typed, fragments, numpynet_train, tmp_path):
    code, out, err = numpynet_train(typed)
    assert (code, out, err.count("\n")) == (2, "", 1)
    for fragment in fragments:
        assert fragment in err
    assert not (tmp_path / "run").exists()


def test_a_sweep_over_keep_prob_may_include_1(numpynet_train, tmp_path):
    """Gaussian noise of variance 0, or masks of ones, change nothing: the run is that without dropout."""
    assert numpynet_train("", out="plain")[0] == 0
    for typed in ("--keep-prob 1", "--keep-prob 1 --dropout unit", "--keep-prob 1 --dropout variational"):
        assert numpynet_train(typed, "--overwrite")[0] == 0
        for name, value in weights(tmp_path / "plain")[0].items():
            assert np.array_equal(weights(tmp_path / "run")[0][name], value)


def test_the_options_are_explained():
    help_of = {
        action.dest: action.help for action in build_parser()._subparsers._group_actions[0].choices["train"]._actions
    }
    for name in (
        "dropout",
        "shared_masks",
        "target_share",
        "drop_prob",
        "standout_alpha",
        "keep_schedule",
        "keep_steps",
    ):
        assert help_of[name]
    for kind in DROPOUT:
        assert kind in help_of["dropout"]
    for name in KEEP_SCHEDULES:
        assert name in help_of["keep_schedule"]

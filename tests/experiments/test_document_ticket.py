"""The article's lottery-ticket example: each misbehaviour is there, and the right version has none of it."""

import numpy as np
import pytest

from numpynet.cli import main
from numpynet.data import load_digits
from numpynet.data.dataset import Split
from numpynet.experiments import document_ticket as article
from numpynet.experiments import document_ticket_meant as meant
from numpynet.experiments import document_ticket_mistakes as mistakes
from numpynet.network import MLP
from numpynet.optimizers import SGD, Adam, Momentum
from numpynet.plan import TrainingPlan
from numpynet.pruning import magnitude_mask
from numpynet.seeding import streams
from numpynet.training import begin, train

DATA = load_digits()
NET = MLP((64, 23, 10))
LOOP = {"epochs": 2, "lr": 0.05, "seed": 7}


@pytest.fixture(scope="module")
def dense():
    """A start, where it ends, and the mask of its smallest weights."""
    theta_0 = NET.init(streams(7).init)
    theta_T = meant.train_loop(NET, theta_0, DATA.train, **LOOP)
    return theta_0, theta_T, magnitude_mask(theta_T, rate=0.7)


# ---- what was meant --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pruned", [False, True])
def test_the_loop_is_that_of_the_library(dense, pruned):
    theta_0, _, mask = dense
    mask = mask if pruned else None
    plan = TrainingPlan(epochs=2, batch_size=article.BATCH, optimizer=SGD(), schedule=0.05)
    state = begin(NET, plan, DATA.train, seed=7, theta_0=theta_0, weight_mask=mask)
    for _ in train(state, DATA.train):
        pass
    by_hand = meant.train_loop(NET, theta_0, DATA.train, weight_mask=mask, **LOOP)
    assert np.allclose(by_hand.vector, state.theta.vector, rtol=0, atol=1e-5)


@pytest.mark.equation("L2", "L3", "L4")
def test_the_ticket_is_found_by_rounds_that_start_at_theta_0(monkeypatch):
    starts, loop = [], meant.train_loop

    def remember(net, start, split, **options):
        starts.append((start.copy(), options.get("weight_mask")))
        return loop(net, start, split, **options)

    monkeypatch.setattr(meant, "train_loop", remember)
    ticket = meant.find_ticket(DATA, NET, rounds=3, epochs=1)
    assert len(starts) == 3  # dense, after the first round, after the second
    assert all(np.array_equal(start.vector, ticket.theta_0.vector) for start, _ in starts)
    masks = [mask for _, mask in starts[1:]] + [ticket.weight_mask]
    n = [[int(mask[name].sum()) for name in ("W1", "W2")] for mask in masks]
    assert n == [[1178, 207], [942, 186], [754, 167]]  # of 1472 and 230: L2 with rates 0.2 and 0.1
    for earlier, later in zip(masks, masks[1:]):
        assert (later.vector <= earlier.vector).all()


@pytest.mark.equation("L4", "M16")
def test_a_ticket_starts_at_theta_0_and_keeps_its_zeros(dense):
    theta_0, theta_T, mask = dense
    before = theta_0.copy(), theta_T.copy()
    ticket = meant.train_loop(NET, theta_0, DATA.train, weight_mask=mask, **LOOP)
    assert mistakes.revived(ticket, mask) == 0
    assert np.abs(ticket.vector - theta_0.vector * mask.vector).max() > 0.01  # it did train
    assert np.array_equal(theta_0.vector, before[0].vector)
    assert np.array_equal(theta_T.vector, before[1].vector)


# ---- the mistakes ----------------------------------------------------------------------------------------------------


@pytest.mark.equation("L16")
def test_as_printed_the_second_loop_begins_with_trained_weights(dense):
    theta_0, theta_T, mask = dense
    start = mistakes.start_without_rewinding(theta_T, mask)
    assert np.array_equal(start.vector, theta_T.vector * mask.vector)
    alive = mask.vector == 1
    assert (
        start.vector[alive] != theta_0.vector[alive]
    ).mean() > 0.8  # L4 asks for none; those of dead pixels never move


@pytest.mark.equation("N11")
@pytest.mark.parametrize("optimizer", [SGD(), Momentum(0.9), Adam()], ids=lambda o: type(o).__name__)
def test_one_step_without_a_mask_revives_every_pruned_weight(optimizer):
    rng = np.random.default_rng(3)
    split = Split(rng.uniform(0.1, 1.0, (40, 6)), rng.integers(0, 4, 40))  # no input is ever 0
    net = MLP((6, 5, 4))
    theta = net.init(streams(1).init, dtype=np.float64)
    theta["b1"][:] = 3.0  # every unit is on for every example
    mask = magnitude_mask(theta, rate=0.6)
    assert mistakes.revived_by_one_step(net, theta, split, mask, optimizer) == 1.0


def test_on_digits_most_come_back_in_a_step_and_nearly_all_in_the_loop(dense):
    theta_0, theta_T, mask = dense
    start = mistakes.start_without_rewinding(theta_T, mask)
    assert mistakes.revived_by_one_step(NET, start, DATA.train, mask, SGD()) > 0.7
    forgot = mistakes.train_without_the_mask(NET, theta_T, DATA.train, mask, **LOOP)
    ever_on = np.repeat((DATA.train.x != 0).any(axis=0), 23)  # a weight of a pixel that is always 0 never moves
    pruned = mask["W1"].ravel() == 0
    assert (
        forgot["W1"].ravel()[pruned & ever_on] != 0
    ).mean() > 0.8  # the others hang on units that are off whenever the pixel is on
    assert (forgot["W1"].ravel()[pruned & ~ever_on] == 0).all()
    assert mistakes.weights_left(NET, forgot) > 0.85
    kept = meant.train_loop(NET, theta_0, DATA.train, weight_mask=mask, **LOOP)
    assert mistakes.weights_left(NET, kept) == pytest.approx((mask["W1"].sum() + mask["W2"].sum()) / 1702)


def test_as_printed_the_two_nets_are_one_and_the_dense_one_is_destroyed(dense):
    _, theta_T, mask = dense
    first, second = theta_T.copy(), NET.init(streams(8).init)
    own_start = second.copy()
    pruned = mistakes.second_net_as_printed(first, second, mask)
    assert np.shares_memory(pruned.vector, first.vector)
    assert not np.array_equal(first.vector, theta_T.vector)  # pruned by pruning the "other"
    assert mistakes.weights_left(NET, first) < 0.4
    assert np.array_equal(second.vector, own_start.vector)
    other = mistakes.second_net_as_printed(theta_T.copy(), NET.init(streams(9).init), mask)
    assert np.array_equal(other.vector, pruned.vector)  # the second net's start is not read
    pruned.vector[:] += 1.0  # whatever the second loop does
    assert np.array_equal(first.vector, pruned.vector)


def test_with_the_first_nets_optimizer_nothing_moves_and_gradients_pile_up(dense):
    theta_0, _, mask = dense
    pruned = theta_0 * mask
    loop = mistakes.train_with_the_other_optimizer(NET, pruned, DATA.train, mask, steps=15)
    assert loop.moved == 0
    rows = slice(0, article.BATCH)
    one = meant.gradient(NET, pruned, DATA.train.x[rows], DATA.train.y[rows], mask)
    assert loop.first_norm == pytest.approx(float(np.linalg.norm(one.vector)), rel=1e-6)
    assert loop.last_norm > 8 * loop.first_norm


# ---- side by side, and the command -----------------------------------------------------------------------------------


def test_the_table_holds_every_misbehaviour_beside_the_right_version():
    findings = {f.what: (f.wrong, f.right) for f in article.side_by_side(DATA, hidden=40, epochs=2, lr=0.05)}
    assert len(findings) == 8
    wrong, right = findings["survivors against theta_0, before the second loop"]
    assert float(wrong.split()[-1]) > 0.01
    assert right == "off by 0: bit for bit"
    wrong, right = findings["pruned weights that are not 0 after one step"]
    assert float(wrong.split()[0]) > 50
    assert right == "0 %"
    wrong, right = findings["weights left after the second loop"]
    assert float(wrong.split()[0]) > 85
    assert right == "24.6 %, as pruned"  # 537 of 2560 and 191 of 400 weights
    assert findings["arrays that the two nets share"] == ("all: they are one net", "none")
    assert findings["the dense net after the second loop"][0].startswith("gone: ")
    assert findings["the dense net after the second loop"][1] == "as it was"
    assert findings["the second net's own initial weights"][0].startswith("not read")
    assert findings["were they two: largest change by the first net's optimizer"][0] == "0"


def test_only_the_printed_net_is_dense_again():
    found = article.arms(DATA, [3, 4], hidden=12, rounds=5, epochs=1, lr=0.05)
    for name in (article.TICKET, article.OTHER_START, article.FINE_TUNED):
        assert all(0.3 < left < 0.45 for left in found.left[name])
    assert all(left > 0.8 for left in found.left[article.AS_PRINTED])
    assert found.left[article.DENSE] == [1.0, 1.0]


def test_numpynet_document_runs_both_examples_and_says_in_words_what_is_wrong(monkeypatch, tmp_path, capsys):
    from numpynet.experiments import document_command, document_dropout

    dropout_report, ticket_report = document_dropout.report, article.report
    monkeypatch.setattr(
        document_command.document_dropout, "report", lambda seed: dropout_report(seed, hidden=9, epochs=1, steps=20)
    )
    monkeypatch.setattr(
        document_command.document_ticket, "report", lambda seeds: ticket_report(seeds, hidden=9, epochs=1)
    )
    assert main(["document", "--replicates", "2", "--seed", "5", "--out", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    for text in (
        "example 4.1, dropout, put right",
        "example 4.2, a lottery ticket, put right",
        "returns its random bits",
        "it is the dense net, trained for twice as long",
        "test accuracy",
    ):
        assert text in out
    for name, command in (
        ("dropout", "numpynet document dropout --seed 5"),
        ("ticket", "numpynet document ticket --seed 5 --replicates 2"),
    ):
        assert command in (tmp_path / name / "report.html").read_text(encoding="utf-8")
    assert main(["document", "ticket", "--replicates", "1", "--out", str(tmp_path / "one")]) == 0
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["ticket"]


def test_replicates_are_refused_where_there_are_none(tmp_path, capsys):
    assert main(["document", "dropout", "--replicates", "5", "--out", str(tmp_path / "never")]) == 2
    expected = "numpynet document dropout does nothing with --replicates: leave it out"
    assert capsys.readouterr() == ("", f"numpynet: error: {expected}\n")
    assert not (tmp_path / "never").exists()

"""The main job, made small: what it prints, what it writes, and what it dares to say."""

import base64
import re
from itertools import pairwise

import numpy as np
import pytest

from numpynet import audit, demo
from numpynet.cli import main
from numpynet.data import load_digits
from numpynet.demo import DropoutRun, run_demo
from numpynet.statistics import t_interval
from numpynet.training import begin
from tests.test_report import Page

PNG = b"\x89PNG\r\n\x1a\n"
FIGURES = {"masks.png", "dropout.png", "ticket.png"}
SMALL = {"HIDDEN": 7, "EPOCHS": 1, "LONGER": 2, "BATCH": 500, "TICKET_SIZES": (64, 8, 9, 10), "TICKET_EPOCHS": 1} | {
    "ROUNDS": 1,
    "REPLICATES": 2,
}


@pytest.fixture
def small(monkeypatch):
    for name, value in SMALL.items():
        assert hasattr(demo, name)
        monkeypatch.setattr(demo, name, value)


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    """A small demo that has been run: its folder, its output and its answer."""
    folder, said = tmp_path_factory.mktemp("demo") / "made" / "on the way", []
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SMALL.items():
            patch.setattr(demo, name, value)
        passed = run_demo(folder, seed=3, say=said.append)
    return folder, "\n".join(said), passed


# ---- what it prints -------------------------------------------------------------------------------------------------


def test_it_passes_and_says_where_the_report_is(result):
    folder, said, passed = result
    assert passed is True
    n = len(audit.audit_layers(3))
    assert said.splitlines()[-1] == f"{n} of {n} checks passed. Figures and report: {folder / 'report.html'}"


def test_all_three_parts_have_their_table(result):
    _, said, _ = result
    parts = re.split(r"^\d\. ", said, flags=re.MULTILINE)
    assert [part.splitlines()[0].split(":")[0] for part in parts[1:]] == [
        "Every gradient against the complex step",
        "With and without dropout",
        "A first lottery ticket",
    ]
    for check in audit.audit_layers(3):
        assert re.search(rf"^{check.equation} +{re.escape(check.what)} ", parts[1], re.MULTILINE)
    rows = [line.split()[:2] for line in parts[2].splitlines() if re.match(r"\d+ ", line)]
    assert rows == [[epochs, q] for epochs in ("1", "2") for q in ("1", "0.8", "0.5")]
    assert "64-7-10 ReLU, SGD 0.01, batch 500, digits, 2 seeds" in parts[2]
    densities = [float(line.split()[0]) for line in parts[3].splitlines() if re.match(r"\d+\.\d\d ", line)]
    alive = 64 * 8 - 256 + 8 * 9 - 36 + 9 * 10 - 23  # half of each layer, a quarter of the last (22.5 is rounded up)
    assert densities == [100.0, round(100 * alive / (64 * 8 + 8 * 9 + 9 * 10), 2)]


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others(result, small, monkeypatch, tmp_path):
    folder, said, _ = result
    again, other = [], []
    run_demo(tmp_path / "again", seed=3, say=again.append)
    assert "\n".join(again) == said.replace(str(folder), str(tmp_path / "again"))
    for name in FIGURES | {"report.html", "results.json"}:
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()
    monkeypatch.setattr(demo.figures, "png_bytes", lambda figure: PNG)  # drawing takes the longest, and has been seen
    run_demo(tmp_path / "other", seed=4, say=other.append)
    assert numbers_of("\n".join(other)) != numbers_of(said)


def numbers_of(said):
    return re.findall(r"\d+\.\d\d", said.partition("2. With and without")[2])


def test_a_wrong_gradient_is_told_and_changes_the_answer(small, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(demo.figures, "png_bytes", lambda figure: PNG)
    monkeypatch.setattr(audit.layers, "linear_backward", lambda dy, cache: (dy @ cache.W_kept.mT, *WRONG(dy, cache)))
    assert main(["demo", "--out", str(tmp_path)]) == 1
    out, err = capsys.readouterr()
    assert err == ""
    n = len(audit.audit_layers(0))
    wrong = [line.split()[0] for line in out.splitlines() if line.endswith("WRONG")]
    assert set(wrong) == {"B3", "B6"}
    assert f"{n - len(wrong)} of {n} checks passed" in out
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert f"{n - len(wrong)} of {n} checks passed" in html
    assert html.count("<td>WRONG</td>") == len(wrong)


def WRONG(dy, cache):
    return cache.weight_mask * (cache.x_kept.mT @ dy), dy.sum(axis=-2)  # dW and db are right; dx forgets the unit mask


# ---- what it writes -------------------------------------------------------------------------------------------------


def test_it_writes_three_figures_one_page_and_its_numbers_and_nothing_else(result):
    folder, _, _ = result
    assert {path.name for path in folder.iterdir()} == FIGURES | {"report.html", "results.json"}
    for name in FIGURES:
        assert (folder / name).read_bytes().startswith(PNG)


def test_the_page_needs_nothing_but_itself(result):
    folder, _, _ = result
    html = (folder / "report.html").read_text(encoding="utf-8")
    page = Page(html)  # asserts that every tag is closed in its turn
    links = [value for _, name, value in page.attributes if name in ("src", "href", "srcset", "data", "action")]
    assert len(links) == 3
    assert all(link.startswith("data:image/png;base64,") for link in links)
    assert {base64.b64decode(link.partition(",")[2]) for link in links} == {(folder / n).read_bytes() for n in FIGURES}
    assert "url(" not in html
    assert "@import" not in html
    assert not {"script", "link", "iframe"} & set(page.tags)


def test_the_page_shows_what_the_terminal_showed(result):
    folder, said, _ = result
    page = Page((folder / "report.html").read_text(encoding="utf-8"))
    text = " ".join(" ".join(page.texts).split())
    lines = [line for line in said.splitlines() if re.match(r"[A-Z]\d+ |\d+ +[01]|\d+\.\d\d ", line)]
    assert len(lines) == len(audit.audit_layers(3)) + 6 + 2
    for cell in (cell for line in lines for cell in re.split(r" {2,}", line)):
        assert cell in text
    for setting in ("numpynet demo --seed 3", "3 to 4", "1437 training and 360 test examples", "NumPy", np.__version__):
        assert setting in text


# ---- the experiments ------------------------------------------------------------------------------------------------


def test_the_dropout_experiment_differs_in_dropout_alone(small, monkeypatch):
    started = []

    def remember(net, plan, train_split, *, seed):
        state = begin(net, plan, train_split, seed=seed)
        started.append((net, plan, seed, state.theta.copy()))
        return state

    monkeypatch.setattr(demo, "begin", remember)
    runs = demo.dropout_experiment(load_digits(), [5, 8])
    assert [run.keep_prob for run in runs] == [1.0, 0.8, 0.5]
    assert [net.keep_probs for net, *_ in started] == [(None, 1.0), (None, 0.8), (None, 0.5)]
    for (_, plan, seeds, theta), (_, other_plan, other_seeds, other_theta) in pairwise(started):
        assert (plan, seeds) == (other_plan, other_seeds)
        assert np.array_equal(theta.vector, other_theta.vector)
    for run in runs:
        assert run.epochs == [0.0, 1.0, 2.0]
        assert run.training.shape == run.test.shape == (3, 2)
        assert np.array_equal(run.test[0], runs[0].test[0])  # before the first step all are one net
    assert not np.array_equal(runs[0].training[-1], runs[2].training[-1])


def test_fewer_seeds_are_the_first_of_more(small):
    data = load_digits()
    one, two = demo.dropout_experiment(data, [5]), demo.dropout_experiment(data, [5, 8])
    for single, stacked in zip(one, two, strict=True):
        assert single.test[:, 0] == pytest.approx(stacked.test[:, 0], abs=1.5 / 360)  # float32: at most a digit differs


# ---- what it dares to say -------------------------------------------------------------------------------------------


def runs_with(differences, gap=0.05, n=8):
    """Runs whose test accuracies differ from those without dropout by these means, with a known spread."""
    spread = np.linspace(-0.01, 0.01, n)
    base = 0.9 + 0.02 * np.cos(np.arange(n))
    test = {1.0: np.stack([base, base, base])}
    for keep_prob, (early, late) in zip((0.8, 0.5), differences, strict=True):
        test[keep_prob] = np.stack([base, base + early + spread, base + late + spread])
    training = base + gap + spread
    return [DropoutRun(q, [0.0, 10.0, 50.0], np.stack([base, base, training]), values) for q, values in test.items()]


HALF_WIDTH = t_interval(np.linspace(-0.01, 0.01, 8)).half_width


def test_no_effect_is_claimed_where_every_interval_holds_zero():
    quiet = 0.9 * HALF_WIDTH
    remark = demo._dropout_remark(runs_with([(quiet, -quiet), (0.0, quiet)]))
    assert "Every interval of the last column holds 0: no effect of dropout on the test accuracy was seen." in remark
    assert "Clear of zero" not in remark


def test_effects_are_named_with_their_direction():
    loud, quiet = 1.1 * HALF_WIDTH, 0.9 * HALF_WIDTH
    remark = demo._dropout_remark(runs_with([(loud, quiet), (-quiet, -loud)]))
    first = remark.splitlines()[0]
    assert first == "Clear of zero: keep_prob 0.8 after 10 epochs (better), keep_prob 0.5 after 50 epochs (worse)."


@pytest.mark.parametrize(
    ("gap", "overfits"), [(1.1 * HALF_WIDTH, True), (0.9 * HALF_WIDTH, False), (0.0, False), (-1.1 * HALF_WIDTH, False)]
)
def test_overfitting_is_claimed_only_where_it_was_seen(gap, overfits):
    remark = demo._dropout_remark(runs_with([(0, 0), (0, 0)], gap=gap)).splitlines()[1]
    assert remark.startswith(f"Without dropout, train minus test accuracy after 50 epochs is {100 * gap:+.2f} ± ")
    assert ("no overfitting was seen" in remark) is not overfits


def test_one_replicate_allows_no_claim():
    remark = demo._dropout_remark(runs_with([(0.5, 0.5), (-0.5, -0.5)], gap=0.5, n=1))
    assert "Every interval of the last column holds 0" in remark
    assert "no overfitting was seen" in remark


def levels_with(differences, n=8):
    spread = np.linspace(-0.01, 0.01, n)
    base = 0.9 + 0.02 * np.cos(np.arange(n))
    return [
        demo.TicketLevel(0.5**i, (base + difference + spread).tolist(), base.tolist(), None)
        for i, difference in enumerate(differences)
    ]


def test_a_ticket_is_above_its_control_only_where_the_interval_says_so():
    loud, quiet = 1.1 * HALF_WIDTH, 0.9 * HALF_WIDTH
    remark = demo._ticket_remark(levels_with([loud, loud, quiet, -loud, loud]))
    assert remark.splitlines()[0].endswith("clear of zero, at: 50 %, 6.25 %.")  # the dense level is no ticket
    assert demo._ticket_remark(levels_with([loud, quiet, -loud])).splitlines()[0].endswith("at: no density.")


def test_the_tables_hold_the_paired_differences():
    levels = levels_with([0.0, 0.03])
    rows = demo._ticket_rows(levels)
    ticket, reinit, dense = (np.array(a) for a in (levels[1].ticket, levels[1].reinit, levels[0].ticket))
    assert rows[0][3] == ""
    assert rows[1] == (
        "50.00",
        t_interval(ticket).text(),
        t_interval(reinit).text(),
        "+3.00 ± 0.00",  # the same spread on both sides: paired, nothing of it is left
        t_interval(ticket - reinit).text(sign=True),
    )
    assert np.ptp(ticket - dense) < 1e-12
    runs = runs_with([(0.02, 0.01), (-0.02, 0.0)])
    table = demo._dropout_rows(runs)
    assert [row[:2] for row in table] == [(e, q) for e in ("10", "50") for q in ("1", "0.8", "0.5")]
    assert [row[4] for row in table] == [
        "" if q == 0 else t_interval(runs[q].test[e] - runs[0].test[e]).text(sign=True)
        for e in (1, 2)
        for q in (0, 1, 2)
    ]

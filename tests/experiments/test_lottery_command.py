"""``numpynet lottery``: what it prints, what it writes, and how it says no."""

import contextlib
import io
import json
import re
import shlex
import shutil
import time
from argparse import Namespace
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg

from numpynet import report
from numpynet.cli import build_parser, main
from numpynet.experiments import lottery_clock, lottery_command, lottery_figures
from numpynet.experiments.findings import read_results
from numpynet.experiments.lottery_clock import Estimate, clock
from numpynet.experiments.lottery_compare import ROUNDING, _about_densities, nearest_levels
from numpynet.experiments.lottery_page import lottery_report
from numpynet.experiments.lottery_ticket import ticket_of
from numpynet.figures import new_figure, png_bytes
from numpynet.lottery import run_folder, run_results, run_versions, training_files
from numpynet.lottery.analysis import cells
from numpynet.lottery.experiment import Experiment, identity
from numpynet.lottery.presets import PRESETS, command_of
from numpynet.lottery.run import Group
from numpynet.lottery.ticket import load_ticket
from numpynet.statistics import t_interval
from numpynet.training import train
from tests.lottery.tiny import COMPACT, EXAMPLES, TINY, contents, run_all
from tests.terminal import Screen

OPTIONS = ["--data", "digits", "--sizes", "64-6-5-10", "--dropout", "0.8", "--validation", "200", "--steps", "12"]
OPTIONS += ["--batch-size", "50", "--lr", "0.01", "--evaluate-every", "3", "--rounds", "2", "--rate", "0.3"]
OPTIONS += ["--controls", "reinit", "shuffled_mask", "--replicates", "3"]


def lottery(*words):
    return main(["lottery", *map(str, words)])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run by the command, and what it printed."""
    folder = tmp_path_factory.mktemp("lottery") / "run"
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert lottery("run", "quick", *OPTIONS, "--out", folder) == 0
    return folder, out.getvalue()


@pytest.fixture(scope="module")
def blank():
    return png_bytes(new_figure(width=1, height=1)[0])


@pytest.fixture(autouse=True)
def blank_pictures(made, blank, monkeypatch):
    """Pages that a test writes itself have figures, but blank pictures of them: drawing is most of their work.

    Those of ``made`` are drawn.
    """
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda self, file, **options: file.write(blank))


def test_a_run_says_what_it_will_do_what_it_does_and_what_came_out(made):
    folder, text = made
    assert "64-6-5-10 on digits (1237 training, 200 validation, 360 test examples), seeds 0 to 2" in text
    assert "expected time: about" in text
    assert len(re.findall(r"^trials 0 to 2 +level +\d ", text, re.MULTILINE)) == 3
    assert "Paired differences of test accuracy" in text
    assert "ticket - dense" in text
    assert "ticket - shuffled_mask" in text
    assert str(folder / "report.html") in text


def test_the_tables_hold_what_the_results_hold(made):
    folder, text = made
    rows = run_results.finished(folder, run_folder.read_experiment(folder))
    number = {(r["trial"], r["level"], r["arm"]): r["test_accuracy_stop"] for r in rows}
    for level in (1, 2):
        ticket = np.array([number[t, level, "ticket"] for t in range(3)])
        for other in ("reinit", "shuffled_mask"):
            difference = ticket - [number[t, level, other] for t in range(3)]
            assert f"{t_interval(difference).text(sign=True)} ({(difference > 0).sum()}/3)" in text
        dense = ticket - [number[t, 0, "ticket"] for t in range(3)]
        assert t_interval(dense).text(sign=True) in text


def test_the_page_holds_everything_and_needs_nothing(made):
    page = (made[0] / "report.html").read_text(encoding="utf-8")
    assert page.count('src="data:image/png;base64,') == 7
    assert not re.search(r'(?:src|href)="(?!data:)', page)
    for heading in ("Test accuracy in %", "Paired differences", "Early stop", "live units", "Settings"):
        assert heading in page
    pictures = {"accuracy", "early_stop", "differences", "learning_curves", "first_layer", "weights", "units"}
    assert {path.stem for path in made[0].glob("*.png")} == pictures


def test_the_command_makes_the_run_of_the_library(made, tmp_path):
    run_all(tmp_path / "run", replace(TINY, stack=8))
    from_command = {k: v for k, v in contents(made[0]).items() if not k.endswith((".png", ".html", "results.json"))}
    assert from_command == contents(tmp_path / "run")


@pytest.mark.parametrize("experiment", [replace(TINY, rounds=1), COMPACT], ids=["plain", "compact"])
def test_two_workers_give_the_bits_of_one(tmp_path, capsys, monkeypatch, experiment):
    experiment = replace(experiment, controls=())  # two stacks
    monkeypatch.setattr(lottery_command, "_publish", lambda folder: None)
    for workers in (1, 2):
        folder = tmp_path / str(workers)
        options = Namespace(workers=workers, scheduler=None, data_folder=None, dry_run=False, save_every=0.0)
        assert lottery_command._run(experiment, folder, options) == 0
    assert contents(tmp_path / "1") == contents(tmp_path / "2")
    lines = [
        sorted(re.findall(r"^trials? .*level.*$", part, re.MULTILINE)) for part in capsys.readouterr().out.split("Done")
    ]
    assert lines[0] == lines[1]
    assert len(lines[0]) == 2 * (experiment.rounds + 1)


def test_workers_and_command_share_one_line_of_the_terminal(tmp_path, monkeypatch):
    """The tasks were counted on the line of the trainings, each over the other."""
    experiment = replace(TINY, controls=(), rounds=1)
    run_folder.claim(tmp_path, experiment, EXAMPLES, {})
    run_folder.log(tmp_path, "begun")
    groups = [Group(str(tmp_path), experiment, trials) for trials in experiment.groups]
    screen = Screen()
    monkeypatch.setattr("sys.stdout", screen)
    monkeypatch.setattr("sys.stderr", screen)
    lottery_command._elsewhere(groups, Namespace(workers=2, scheduler=None))
    shown = {state.split("  ")[0] for state in screen.states if "%" in state}
    assert shown == {"lottery"}
    assert screen.lines.pop() == ""
    assert len(screen.lines) == 4
    assert all(re.fullmatch(r"trials? [\d to]+ +level +\d .*ticket \d+\.\d\d", line) for line in screen.lines)


def test_who_watches_workers_passes_over_half_a_line_of_the_log(tmp_path, monkeypatch, capsys):
    """The thread that watches died of it, with a traceback, and nothing more was shown."""
    experiment = replace(TINY, controls=(), rounds=0)
    run_folder.claim(tmp_path, experiment, EXAMPLES, {})
    run_folder.log(tmp_path, "begun")
    groups = [Group(str(tmp_path), experiment, trials) for trials in experiment.groups]

    def killed_in_the_middle(*arguments, **options):
        with open(tmp_path / "log.jsonl", "ab") as file:
            file.write(b'{"event": "level", "tri')
        return run_tasks(*arguments, **options)

    run_tasks = lottery_command.run_tasks
    monkeypatch.setattr(lottery_command, "run_tasks", killed_in_the_middle)
    lottery_command._elsewhere(groups, Namespace(workers=2, scheduler=None))
    said = capsys.readouterr()
    assert (len(said.out.splitlines()), said.err) == (len(groups), "")


def test_a_reader_that_has_gone_ends_a_run_of_workers_without_a_word(tmp_path, monkeypatch, capsys):
    """The thread that watches printed its traceback, and the workers went on to the end for nobody."""
    experiment = replace(TINY, controls=(), rounds=0, stack=1, replicates=12)
    run_folder.claim(tmp_path, experiment, EXAMPLES, {})
    run_folder.log(tmp_path, "begun")
    groups = [Group(str(tmp_path), experiment, trials) for trials in experiment.groups]

    def gone(text):
        raise BrokenPipeError

    def slowly(function, tasks, *, on_done, **options):
        for index, task in enumerate(tasks):
            function(task)
            time.sleep(0.2)
            on_done(index, None)

    monkeypatch.setattr(lottery_command, "say", gone)
    monkeypatch.setattr(lottery_command, "run_tasks", slowly)
    with pytest.raises(BrokenPipeError):
        lottery_command._elsewhere(groups, Namespace(workers=2, scheduler=None))
    assert 0 < len(run_results.finished(tmp_path, experiment)) < 12
    assert capsys.readouterr() == ("", "")


def test_the_same_command_again_has_nothing_left_to_do(made, capsys, monkeypatch):
    monkeypatch.setattr(lottery_command, "_publish", lambda folder: None)
    before = contents(made[0])
    assert lottery("run", "quick", *OPTIONS, "--out", made[0]) == 0
    assert "holds this run: 21 of 21 trainings are done; about 0 s left" in capsys.readouterr().out
    assert lottery("resume", made[0]) == 0
    assert "21 of 21" in capsys.readouterr().out
    assert contents(made[0]) == before


def test_a_run_that_leaves_units_out_says_so_everywhere(made, tmp_path, capsys):
    folder = tmp_path / "compact"
    assert lottery("run", "quick", *OPTIONS, "--compact", "--out", folder) == 0
    said = "units that nobody hears are left out while training"
    assert said in capsys.readouterr().out
    assert said not in made[1]
    assert read_results(folder)["settings"]["compact"] == "True"
    assert read_results(folder)["command"].endswith(" --compact")
    assert lottery("run", "quick", *OPTIONS, "--out", folder) == 2
    assert "compact: True there, False here" in capsys.readouterr().err
    assert lottery("resume", folder) == 0
    assert "21 of 21" in capsys.readouterr().out
    assert lottery("compare", made[0], folder, "--out", tmp_path / "page") == 0
    assert "What differs in the settings: compact: False in run, True in compact." in capsys.readouterr().out


def test_the_page_names_the_identity_that_the_run_was_begun_with(made, tmp_path):
    """It was that of all fields, also of those that the configuration of an older run does not have."""
    shutil.copytree(made[0], tmp_path / "run")
    path = tmp_path / "run/config.json"
    options = json.loads(path.read_text())["experiment"]
    del options["criterion"]
    path.write_text(json.dumps({"digest": identity(options), "experiment": options}))
    assert lottery_report(tmp_path / "run").settings["identity of the configuration"] == identity(options)[:16]
    assert lottery_report(made[0]).settings["identity of the configuration"] != identity(options)[:16]


@pytest.fixture
def half_done(made, tmp_path):
    """A copy of the run without its last level: 9 of 21 trainings are to be done again."""
    shutil.copytree(made[0], tmp_path / "half")
    for level in (tmp_path / "half").glob("trial_*/**/level_02"):
        shutil.rmtree(level)
    return tmp_path / "half"


@pytest.fixture
def other_versions(monkeypatch):
    """From here on this process is one with other versions."""
    versions = report.versions() | {"NumPy": "9.9", "numpynet": "8.8"}
    return lambda: monkeypatch.setattr(report, "versions", lambda: versions)


def test_a_run_that_goes_on_with_other_versions_says_so(half_done, capsys, monkeypatch, other_versions):
    monkeypatch.setattr(lottery_command, "_publish", lambda folder: None)
    versions = report.versions()
    begun = (half_done / "environment.json").read_text()
    other_versions()
    assert lottery("resume", half_done) == 0
    said = capsys.readouterr().out
    assert f"was begun with numpynet {versions['numpynet']}, now 8.8; NumPy {versions['NumPy']}, now 9.9. What" in said
    assert (half_done / "environment.json").read_text() == begun
    events = [json.loads(line) for line in (half_done / "log.jsonl").read_text().splitlines()]
    assert [event for event in events if event["event"] == "begun"][-1]["versions"]["NumPy"] == "9.9"


def test_a_run_that_goes_on_with_its_own_versions_says_nothing_of_them(half_done, capsys, monkeypatch):
    monkeypatch.setattr(lottery_command, "_publish", lambda folder: None)
    assert lottery("resume", half_done) == 0
    assert "was begun with" not in capsys.readouterr().out


def test_where_nothing_is_left_to_train_no_version_makes_a_difference(made, capsys, monkeypatch, other_versions):
    """It said "what is trained from here on may differ", and then trained nothing."""
    monkeypatch.setattr(lottery_command, "_publish", lambda folder: None)
    other_versions()
    assert lottery("resume", made[0]) == 0
    said = capsys.readouterr().out
    assert "21 of 21 trainings are done" in said
    assert "may differ" not in said and "was begun with" not in said


def named_versions(folder):
    """The versions in results.json and in the page of a run."""
    settings = read_results(folder)["settings"]
    page = (folder / "report.html").read_text(encoding="utf-8")
    return [(settings[name], f"<td>{name}</td><td>{settings[name]}</td>" in page) for name in ("NumPy", "numpynet")]


def test_a_report_names_the_versions_that_trained_and_not_its_own(made, tmp_path, capsys, other_versions):
    shutil.copytree(made[0], tmp_path / "run")
    trained = report.versions()
    other_versions()
    assert lottery("report", tmp_path / "run") == 0
    assert named_versions(tmp_path / "run") == [(trained["NumPy"], True), (trained["numpynet"], True)]
    assert "same versions" not in capsys.readouterr().out


def test_a_report_names_all_versions_that_trained(half_done, capsys, other_versions):
    trained = report.versions()
    other_versions()
    assert lottery("resume", half_done) == 0
    both = [
        f"{trained['NumPy']} (12 trainings), 9.9 (9 trainings)",
        f"{trained['numpynet']} (12 trainings), 8.8 (9 trainings)",
    ]
    assert named_versions(half_done) == [(text, True) for text in both]
    (said,) = [
        line for line in capsys.readouterr().out.splitlines() if line.startswith("Not everything was trained with")
    ]
    assert said.endswith(f": numpynet {both[1]}; NumPy {both[0]}.")


def test_a_worker_names_its_own_versions(tmp_path, other_versions):
    folder = tmp_path / "run"
    folder.mkdir()
    run_folder.claim(folder, TINY, EXAMPLES, report.versions())
    other_versions()
    lottery_command.run_and_tell(Group(str(folder), TINY, (2,)))
    rows = run_results.finished(folder, TINY)
    assert run_versions.trained_with(folder, rows)["NumPy"] == {"9.9": TINY.trainings}


def test_other_options_are_refused_with_the_difference(made, capsys):
    before = contents(made[0])
    assert lottery("run", "quick", *OPTIONS, "--lr", "0.02", "--scope", "global", "--out", made[0]) == 2
    error = capsys.readouterr().err
    assert "lr: 0.01 there, 0.02 here; scope: 'layer' there, 'global' here" in error
    assert error.count("\n") == 1
    assert contents(made[0]) == before


def test_a_run_that_loses_its_last_path_ends_with_1_and_keeps_its_levels(tmp_path, capsys):
    words = [
        "--sizes",
        "64-6-10",
        "--rate",
        "0.7",
        "--scope",
        "global",
        "--rounds",
        "4",
        "--controls",
        "--replicates",
        "1",
    ]
    assert lottery("run", "quick", *OPTIONS, *words, "--out", tmp_path / "run") == 1  # 2 is for what is typed wrong
    error = capsys.readouterr().err
    assert "no path is left" in error and "The levels before are kept" in error
    assert error.count("\n") == 1
    assert (tmp_path / "run/trial_00/level_03/summary.json").exists()
    assert not (tmp_path / "run/trial_00/level_04/summary.json").exists()


def test_a_folder_that_another_process_works_in_is_refused(made, capsys):
    with run_folder.locked(made[0]):
        assert lottery("resume", made[0]) == 2
    error = capsys.readouterr().err
    assert "[lock]" in error
    assert error.count("\n") == 1


def test_a_dry_run_leaves_nothing(tmp_path, capsys):
    assert lottery("run", "quick", *OPTIONS, "--dry-run", "--out", tmp_path / "run") == 0
    assert "expected time" in capsys.readouterr().out
    assert not (tmp_path / "run").exists()


def test_an_unfinished_run_is_reported_as_such(made, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("numpynet.experiments.lottery_page._pictures", lambda *a: {})
    folder = tmp_path / "run"
    shutil.copytree(made[0], folder)
    shutil.rmtree(folder / "trial_01/level_02")
    shutil.rmtree(folder / "trial_02/controls")
    assert lottery("report", folder) == 0
    out = capsys.readouterr().out
    assert "This run is not finished: 5 trainings are missing." in out
    assert "/2)" in out  # pairs that are there


def test_the_figures_of_an_unfinished_run_can_be_drawn(made, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(made[0], folder)
    shutil.rmtree(folder / "trial_01/level_02")
    shutil.rmtree(folder / "trial_02/controls")
    outcome = lottery_report(folder)
    assert len(outcome.pictures) == 7


def test_two_runs_are_compared_seed_by_seed(made, tmp_path, capsys):
    other = tmp_path / "without"
    run_all(other, replace(TINY, keep_prob=1.0, stack=8, replicates=2, seed=0))
    assert lottery("compare", made[0], other, "--out", tmp_path / "page") == 0
    out = capsys.readouterr().out
    assert "keep_prob: 0.8 in run, 1.0 in without" in out
    rows = [run_results.finished(f, run_folder.read_experiment(f)) for f in (made[0], other)]
    first, second = (
        {(r["seed"], r["level"]): r["test_accuracy_stop"] for r in of if r["arm"] == "ticket"} for of in rows
    )
    for level in range(3):
        difference = [first[s, level] - second[s, level] for s in range(2)]
        assert t_interval(difference).text(sign=True) in out
    assert (tmp_path / "page/compare.png").exists()
    # With the third seed, which has no partner, the means of a row would differ by something else than their difference.
    for level in range(3):
        (line,) = [line for line in out.splitlines() if re.match(rf"{level}  ", line)]
        for of in (first, second):
            assert f"  {t_interval([of[s, level] for s in range(2)]).text()}  " in line
    assert "those of the seeds that have finished it in both runs" in out
    assert lottery("compare", other, other, "--out", tmp_path / "page") == 0
    assert "both runs" not in capsys.readouterr().out


def test_levels_are_compared_where_they_leave_the_same_share_and_others_are_named(made, tmp_path, capsys):
    """By number, a net with 49 % of its weights was compared with one of 70 %. A cut by 0.51 is two cuts by 0.3."""
    other = tmp_path / "faster"
    run_all(other, replace(TINY, rate=0.51, output_rate=1 - 0.85**2, rounds=1, stack=8))
    assert lottery("compare", made[0], other, "--out", tmp_path / "page") == 0
    out = capsys.readouterr().out
    runs = [run_folder.read_experiment(f) for f in (made[0], other)]
    numbers = [
        {(r["seed"], r["level"]): r["test_accuracy_stop"] for r in run_results.finished(f, e) if r["arm"] == "ticket"}
        for f, e in zip((made[0], other), runs)
    ]
    levels = [line.split("  ")[0] for line in out.splitlines() if re.match(r"\d", line)]
    assert levels == ["0", "2 / 1"]
    difference = [numbers[0][s, 2] - numbers[1][s, 1] for s in range(3)]
    assert t_interval(difference).text(sign=True) in out
    (alone,) = [line for line in out.splitlines() if line.startswith("Not compared")]
    assert alone.endswith(f": {100 * runs[0].densities()[1]:.2f} % of run.")


def test_levels_that_no_seed_has_finished_in_both_runs_are_named(made, tmp_path, capsys):
    other = tmp_path / "short"
    shutil.copytree(made[0], other)
    for trial in range(3):
        shutil.rmtree(other / f"trial_{trial:02}/level_02")
    assert lottery("compare", made[0], other, "--out", tmp_path / "page") == 0
    density = 100 * run_folder.read_experiment(made[0]).densities()[2]
    expected = f"Not compared, because no seed has finished there in both runs: {density:.2f} %."
    assert expected in capsys.readouterr().out.splitlines()


def test_nets_of_other_sizes_are_paired_at_the_nearest_densities_and_both_are_named(made, tmp_path, capsys):
    """With an output layer that is cut at half of the rate only dense nets were paired, and nobody was told why."""
    other = tmp_path / "wider"
    run_all(other, replace(TINY, sizes=(64, 40, 5, 10), stack=8))
    experiments = [run_folder.read_experiment(f) for f in (made[0], other)]
    densities = [experiment.densities() for experiment in experiments]
    apart = [abs(a - b) / max(a, b) for a, b in zip(*densities)]
    assert 0.01 < apart[1] < apart[2] < 0.05
    assert lottery("compare", made[0], other, "--out", tmp_path / "page") == 0
    out = capsys.readouterr().out
    numbers = [
        {(r["seed"], r["level"]): r["test_accuracy_stop"] for r in run_results.finished(f, e) if r["arm"] == "ticket"}
        for f, e in zip((made[0], other), experiments)
    ]
    for level in (1, 2):
        (line,) = [line for line in out.splitlines() if re.match(rf"{level}  ", line)]
        assert f"  {100 * densities[0][level]:.2f} / {100 * densities[1][level]:.2f}  " in line
        assert t_interval([numbers[0][s, level] - numbers[1][s, level] for s in range(3)]).text(sign=True) in line
    assert f"differ by up to {100 * apart[2]:.2g} % of the larger one (--tolerance 0.05)" in out
    assert "Not compared" not in out
    assert f"--tolerance {0.05}" in read_results(tmp_path / "page")["command"]

    between = (apart[1] + apart[2]) / 2
    assert lottery("compare", made[0], other, "--tolerance", between, "--out", tmp_path / "page") == 0
    out = capsys.readouterr().out
    assert f"differ by up to {100 * apart[1]:.2g} %" in out
    assert "Paired: 2 levels, of 3 of run and 3 of wider." in out
    alone = f"{100 * densities[0][2]:.2f} % of run; {100 * densities[1][2]:.2f} % of wider."
    assert re.search(rf"Not compared, because .* more than {100 * between:g} % away.*: {re.escape(alone)}", out)
    (needed,) = re.findall(r"With --tolerance (\S+) it would be 3 pairs\.", out)
    assert apart[2] <= float(needed) < apart[2] + 0.002
    assert "--rate 0.3 --output-rate 0.3 for both" in out
    assert lottery("compare", made[0], other, "--tolerance", needed, "--out", tmp_path / "page") == 0
    assert "Not compared" not in capsys.readouterr().out


def test_a_run_that_is_only_shorter_is_not_told_to_take_other_rates(made, tmp_path, capsys):
    run_all(tmp_path / "short", replace(TINY, rounds=1, stack=8))
    assert lottery("compare", made[0], tmp_path / "short", "--out", tmp_path / "page") == 0
    out = capsys.readouterr().out
    assert "Paired: 2 levels, of 3 of run and 2 of short." in out
    assert "--tolerance" not in out and "--rate" not in out


@pytest.mark.parametrize(
    ("changes", "advice"),
    [
        ([{"scope": "global", "output_rate": None}] * 2, "--rate 0.3 for both"),
        (
            [{"scope": "global", "output_rate": None}, {"output_rate": None}],
            "--scope layer --rate 0.3 --output-rate 0.3 for both",
        ),
        ([{"output_rate": 0.3}] * 2, None),
    ],
)
def test_rates_are_advised_that_the_command_takes_and_the_runs_have_not(changes, advice):
    """To a global cut an output rate was advised, which "lottery run" refuses."""
    rates = (0.3, 0.3) if advice is None else (0.3, 0.5)
    both = [replace(TINY, rate=rate, **change) for rate, change in zip(rates, changes)]
    lines = _about_densities(["one", "other"], [[1.0, 0.7], [1.0, 0.5]], [(0, 0)], both, 0.05)
    assert [line.partition("of their nets: ")[2] for line in lines if "--rate" in line] == (
        [] if advice is None else [f"{advice}."]
    )
    if advice is not None:
        parsed(
            "quick",
            *advice.removesuffix(" for both").split(),
            *(["--scope", "global"] if "layer" not in advice else []),
        )


@pytest.mark.parametrize("name", [r"$\frac$", "_hidden", "a$b_c", "$", r"back\slash"])
def test_a_run_may_have_any_name(made, name):
    """Of a folder "$\\frac$" Matplotlib said that it cannot be parsed; one that begins with _ was not in the legend."""
    experiment = run_folder.read_experiment(made[0])
    found = cells(run_results.finished(made[0], experiment))
    figure = lottery_figures.overlaid(["run", name], [found] * 2, [experiment.densities()] * 2)
    FigureCanvasAgg(figure).draw()
    shown = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert [text.replace(r"\$", "$").strip() for text in shown] == ["run", name]


falling = st.lists(st.floats(0.01, 1), max_size=8).map(lambda densities: [1.0, *sorted(densities, reverse=True)])


@given(first=falling, second=falling, tolerance=st.floats(0.001, 1))
@example(
    first=[1.0, 0.107], second=[1.0, 0.12, 0.095], tolerance=0.11
)  # 0.095 is nearer by difference, 0.12 as a share
def test_a_pair_is_each_others_nearest_within_the_tolerance_and_no_level_has_two_partners(first, second, tolerance):
    pairs = nearest_levels(first, second, tolerance=tolerance)
    assert pairs == [(a, b) for b, a in nearest_levels(second, first, tolerance=tolerance)]
    for side in zip(*pairs):
        assert list(side) == sorted(set(side))

    def apart(a, b):
        return abs(first[a] - second[b]) / max(first[a], second[b])

    for a, b in pairs:
        assert apart(a, b) <= tolerance
        assert (
            apart(a, b) == min(apart(a, k) for k in range(len(second))) == min(apart(k, b) for k in range(len(first)))
        )
    for a in {*range(len(first))} - {a for a, _ in pairs}:  # it has no partner for a reason
        b = min(range(len(second)), key=lambda k: apart(a, k))
        assert apart(a, b) > tolerance or apart(a, b) >= min(apart(k, b) for k in range(len(first)) if k != a)
    assert nearest_levels(first, first, tolerance=tolerance) == [(level, level) for level in range(len(first))]


def test_one_rate_pairs_every_level_also_of_nets_of_other_sizes():
    nets = ((40, 100, 100, 10), (40, 200, 100, 10))
    small, large = (Experiment(sizes=n, rate=0.2, output_rate=0.2, rounds=12).densities() for n in nets)
    assert small != large  # by rounding
    assert nearest_levels(small, large, tolerance=ROUNDING) == [(level, level) for level in range(13)]


def test_two_runs_of_other_versions_are_compared_and_the_versions_are_named(
    made, half_done, tmp_path, capsys, other_versions
):
    versions = report.versions()
    assert lottery("compare", made[0], made[0], "--out", tmp_path / "page") == 0
    assert "other versions" not in capsys.readouterr().out
    other_versions()
    assert lottery("resume", half_done) == 0
    capsys.readouterr()
    assert lottery("compare", made[0], half_done, "--out", tmp_path / "page") == 0
    (said,) = [line for line in capsys.readouterr().out.splitlines() if "trained with other versions" in line]
    assert f"run with numpynet {versions['numpynet']}, NumPy {versions['NumPy']}, Python" in said
    assert f"half with numpynet {versions['numpynet']} (12 trainings), 8.8 (9 trainings), NumPy" in said
    settings = read_results(tmp_path / "page")["settings"]
    assert settings["NumPy"] == "9.9"  # of who compares
    assert f"NumPy {versions['NumPy']}, Python" in settings["first run, trained with"]
    assert "9.9 (9 trainings)" in settings["second run, trained with"]
    for name in ("log.jsonl", "environment.json"):
        (half_done / name).unlink()
    assert lottery("compare", made[0], half_done, "--out", tmp_path / "page") == 0
    (said,) = [line for line in capsys.readouterr().out.splitlines() if "trained with other versions" in line]
    assert said.startswith("Nobody knows that they were not") and said.endswith("half with versions not known.")


def test_runs_that_are_no_pairs_are_not_compared(made, tmp_path, capsys):
    other = tmp_path / "other"
    run_all(other, replace(TINY, replicates=1, seed=9, rounds=0), EXAMPLES)
    assert lottery("compare", made[0], other) == 2
    assert "no finished seed in common" in capsys.readouterr().err
    record = json.loads((other / "data.json").read_text())
    (other / "data.json").write_text(json.dumps(record | {"train_x": "0"}))
    assert lottery("compare", made[0], other) == 2
    assert "train_x differ" in capsys.readouterr().err
    for names in ((made[0], other), (other, made[0])):  # of data that nobody knows, nobody knows that they are the same
        (other / "data.json").write_text("{}")
        assert lottery("compare", *names) == 2
        assert "train_x, train_y, validation_x" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run"], "preset"),
        (["run", "slow"], "invalid choice: 'slow'"),
        (["run", "quick", "--replicates", "0"], "0 replicates give no result"),
        (["run", "quick", "--replicates", "-1"], "must be an integer >= 0, got -1"),
        (["run", "quick", "--rate", "1.2"], r"must lie in \[0, 1\]"),
        (["run", "quick", "--rate", "W1=x"], "neither a number nor"),
        (["run", "quick", "--rate", "W1=0.2,W9=0.2"], "rate names W1, W9, but the layers are W1, W2, W3"),
        (["run", "quick", "--rate", "1"], "would remove the last weight of W1, W2"),
        (["run", "quick", "--output-rate", "-1"], "rate"),
        (["run", "quick", "--controls", "luck"], "invalid choice: 'luck'"),
        (["run", "quick", "--rewind", "late"], "rewind is 'late'"),
        (["run", "quick", "--rewind", "late:99999"], "does not fit a training of 1000 steps"),
        (["run", "quick", "--criterion", "beauty"], "invalid choice"),
        (["run", "quick", "--scale", "2"], "scale is 2"),
        (["run", "quick", "--scale", "0"], "finite number > 0"),
        (["run", "quick", "--dropout", "0"], "must lie in"),
        (["run", "quick", "--dropout", "0.5,0.5"], "one number for all hidden layers"),
        (["run", "quick", "--sizes", "41-10"], "sizes 41-10 do not fit"),
        (["run", "quick", "--rounds", "-1"], "integer >= 0"),
        (["resume", "nowhere"], "nowhere holds no lottery run"),
        (["ticket", "nowhere", "--density", "nan"], "finite"),
        (["ticket", "nowhere", "--density", "21"], r"must lie in \(0, 1\]"),
        (["report", "nowhere"], "nowhere holds no lottery run"),
        (["compare", "nowhere", "elsewhere"], "nowhere holds no lottery run"),
        (["compare", "nowhere", "elsewhere", "--tolerance", "0"], r"must lie in \(0, 1\]"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    try:
        code = lottery(*words)
    except SystemExit as stop:
        code = stop.code
    error = capsys.readouterr().err
    assert code == 2
    assert re.search(message, error)
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("change", [lambda b: b[: len(b) // 2], lambda b: b.replace(b",0.", b",1.", 1)])
def test_a_damaged_curve_is_named_and_not_drawn(made, tmp_path, capsys, change):
    """Of half a curve NumPy spoke of an inhomogeneous shape; another number in it was drawn."""
    shutil.copytree(made[0], tmp_path / "run")
    path = tmp_path / "run/trial_01/level_02/curve.csv"
    path.write_bytes(change(path.read_bytes()))
    assert lottery("report", tmp_path / "run") == 2
    assert "trial_01/level_02/curve.csv" in capsys.readouterr().err.replace("\\", "/")


def test_a_folder_of_something_else_is_not_reported(tmp_path, capsys):
    (tmp_path / "config.json").write_text("{}")
    assert lottery("report", tmp_path) == 2
    assert "no configuration that this numpynet can read" in capsys.readouterr().err


def test_the_presets_are_listed(capsys):
    assert lottery("list") == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(PRESETS)


def parsed(*words):
    return lottery_command.configured(build_parser().parse_args(["lottery", "run", *words]))


def test_options_change_the_preset_and_nothing_else():
    assert parsed("quick") == PRESETS["quick"]
    assert parsed("quick", "--compact") == replace(PRESETS["quick"], compact=True)
    assert parsed("quick", "--dropout", "0.8") == replace(PRESETS["quick"], keep_prob=0.8)
    assert parsed("quick", "--controls") == replace(PRESETS["quick"], controls=())
    assert parsed("quick", "--rate", "0.5").output_rate is None
    assert parsed("mnist1d", "--scope", "global").scope == "global"
    both = parsed("quick", "--rate", "W1=0.3,W2=0.2,W3=0")
    assert both.layer_rates() == {"W1": 0.3, "W2": 0.2, "W3": 0.0}
    assert parsed("lenet-mnist", "--scale", "0.1", "--replicates", "3").steps == 5000
    assert parsed("quick", "--scale", "0.5", "--rewind", "late:499").rewind == "late:499"


@pytest.mark.parametrize(
    "words",
    [
        ["quick"],
        ["mnist1d", "--dropout", "0.8", "--rewind", "late:200"],
        ["quick", "--rate", "0.3", "--output-rate", "0.1", "--scope", "layer"],
        ["quick", "--rate", "W1=0.3,W2=0.2,W3=0", "--controls"],
        ["document", "--rate", "0.3"],
        ["quick", "--rounds", "15", "--compact"],
        ["lenet-mnist", "--scale", "0.1", "--replicates", "3", "--controls", "reinit"],
    ],
)
def test_the_page_names_a_command_that_makes_the_same_run(words):
    experiment = parsed(*words)
    command = shlex.split(command_of(experiment))
    assert command[:3] == ["numpynet", "lottery", "run"]
    assert parsed(*command[3:]) == experiment


def test_a_run_that_no_command_makes_says_so():
    with pytest.raises(ValueError, match="no command line makes this experiment"):
        command_of(replace(TINY, activation="tanh"))


def test_findings_are_held_against_the_literature(made):
    results = read_results(made[0])
    keys = {f"{name} {level}" for name in ("dense", "reinit", "shuffled_mask") for level in (1, 2)}
    assert {finding.key for finding in results["findings"]} == keys
    assert {claim.key for claim in results["claims"]} == {"dense 2", "reinit 2"}  # nearest to 51 % and below
    assert all(len(finding.values) == 3 for finding in results["findings"])
    assert results["command"].startswith("numpynet lottery run ")


def test_what_a_training_does_once_is_no_part_of_a_step(monkeypatch):
    """A clock that only moves when it is read, and leaps while the data are looked through: a step still takes one tick."""
    now = [0.0]

    def read():
        now[0] += 1.0
        return now[0]

    def look_through(*_):
        now[0] += 1000.0

    monkeypatch.setattr(lottery_clock, "time", SimpleNamespace(perf_counter=read))
    monkeypatch.setattr("numpynet.training.check_data", look_through)
    experiment = Experiment(data="digits", sizes=(64, 10), validation=200, steps=90, rounds=1, replicates=2)
    measured = lottery_clock.measure(experiment, EXAMPLES, seconds=5000.0)
    assert measured.step == measured.fastest == 1.0


def test_the_expected_time_is_the_sum_of_its_parts():
    estimate = Estimate(
        step=0.001, evaluation=0.04, fastest=0.001, stack=1, trainings=46, steps=50_000, records=501, stacks=3
    )
    assert estimate.seconds() == pytest.approx(3 * 46 * (50 + 501 * 0.04))
    assert estimate.seconds(2) == pytest.approx(2 * 46 * (50 + 501 * 0.04))
    assert estimate.text(2).startswith("expected time: about 1 h 47 min (3 x 46 trainings of 50000 steps, 2 at once;")
    assert "busy" not in estimate.text()
    busy = estimate._replace(step=0.002).text()
    assert "about 4 h 36 min" in busy
    assert busy.endswith("this machine is busy with other work, else it would be about 2 h 41 min")
    assert clock(3599.7) == "1 h 0 min"


def test_measuring_changes_nothing():
    before = EXAMPLES.train.x.copy()
    experiment = Experiment(data="digits", sizes=(64, 10), validation=200, steps=2, replicates=3, stack=2)
    measured = lottery_clock.measure(experiment, EXAMPLES, seconds=0.0)
    assert (measured.stack, measured.stacks, measured.records) == (2, 2, 2)
    assert np.array_equal(before, EXAMPLES.train.x)


# ---- tickets ---------------------------------------------------------------------------------------------------------


def test_a_ticket_taken_out_of_a_run_repeats_its_training(made, tmp_path, capsys):
    file = tmp_path / "ticket.npz"
    assert lottery("ticket", made[0], "--density", "0.7", "--trial", "2", "--out", file) == 0
    assert "ok" in capsys.readouterr().out
    ticket = load_ticket(file)
    assert (ticket.origin["level"], ticket.origin["seed"]) == (1, 2)
    state = ticket.begin(TINY.plan(), EXAMPLES.train, seed=2)
    for _ in train(state, EXAMPLES.train):
        pass
    theta, mask, _ = training_files.load_training(made[0] / "trial_02/level_01", TINY.net().layout)
    assert np.array_equal(state.theta.vector, theta.vector)
    assert np.array_equal(ticket.weight_mask.vector, mask.vector)
    assert lottery("ticket", file, "--check") == 0
    out = capsys.readouterr().out
    assert re.search(r"theta_0 is what its seed draws +ok", out)
    assert re.search(
        r"64-6-5-10 becomes .* A forward pass of 1000 examples takes \d+ % of the time. Outputs differ by", out
    )


def test_a_ticket_of_a_run_that_leaves_units_out_repeats_its_training_but_for_rounding(tmp_path):
    run_all(tmp_path, COMPACT)
    ticket = ticket_of(tmp_path, trial=1)
    assert ticket.origin["experiment"]["compact"] is True
    state = ticket.begin(COMPACT.plan(), EXAMPLES.train, seed=1)
    for _ in train(state, EXAMPLES.train):
        pass
    theta, _, _ = training_files.load_training(tmp_path / "trial_01/level_03", COMPACT.net().layout)
    np.testing.assert_allclose(state.theta.vector, theta.vector, rtol=0, atol=1e-5)


def test_a_ticket_of_late_rewinding_starts_at_its_step(tmp_path):
    experiment = replace(TINY, rewind="late:4", controls=(), replicates=1, keep_prob=1.0)
    run_all(tmp_path, experiment)
    ticket = ticket_of(tmp_path)
    assert (ticket.step, ticket.origin["level"]) == (4, 2)
    state = ticket.begin(experiment.plan(), EXAMPLES.train, seed=0)
    for _ in train(state, EXAMPLES.train):
        pass
    theta, _, _ = training_files.load_training(tmp_path / "trial_00/level_02", experiment.net().layout)
    assert np.array_equal(state.theta.vector, theta.vector)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--trial", "3"], "there is no trial 3"),
        (["--level", "3"], r"there is no level 3: .* 0 \.\.\. 2"),
        (["--out", "nowhere/ticket.npz"], "there is no folder"),
    ],
)
def test_a_ticket_that_is_not_there_is_refused(made, tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    assert lottery("ticket", made[0], *words) == 2
    assert re.search(message, capsys.readouterr().err)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_is_replaced_only_for_who_asks(made, tmp_path, capsys):
    file = tmp_path / "ticket.npz"
    file.write_bytes(b"mine")
    assert lottery("ticket", made[0], "--out", file) == 2
    error = capsys.readouterr().err
    assert f"{file} is there already: --overwrite" in error and error.count("\n") == 1
    assert file.read_bytes() == b"mine"
    assert lottery("ticket", made[0], "--out", file, "--overwrite") == 0
    assert load_ticket(file).origin["level"] == 2


def test_a_check_of_a_ticket_refuses_options_that_would_do_nothing(tmp_path, capsys):
    for option in ("--level 0", "--density 0.5", "--trial 0", "--out other.npz", "--overwrite"):
        assert lottery("ticket", tmp_path / "ticket.npz", "--check", *option.split()) == 2
        expected = f"numpynet lottery ticket --check does nothing with {option.split()[0]}: leave it out"
        assert capsys.readouterr().err == f"numpynet: error: {expected}\n"


def test_a_ticket_file_that_is_damaged_is_refused(made, tmp_path, capsys):
    file = tmp_path / "ticket.npz"
    assert lottery("ticket", made[0], "--out", file) == 0
    file.write_bytes(file.read_bytes()[:-5])
    assert lottery("ticket", file, "--check") == 2
    assert "damaged" in capsys.readouterr().err

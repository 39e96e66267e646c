"""Who trained what: the log of a run says it, whatever happened on the way and whoever asks."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpynet.lottery import run, run_folder, run_results
from numpynet.lottery.imp import Arm
from numpynet.lottery.run import Group, run_group
from numpynet.lottery.run_folder import log
from numpynet.lottery.run_versions import UNKNOWN, trained_with, versions_text
from tests.lottery.tiny import EXAMPLES, TINY

OLD, NEW = {"numpynet": "0.2", "NumPy": "2.1.0"}, {"numpynet": "0.2", "NumPy": "2.4.6"}


def row(trial=0, level=0, arm="ticket", draw=0):
    return {"trial": trial, "level": level, "arm": arm, "draw": draw}


def event(folder, what, trials=(0,), level=0, arm="ticket", **facts):
    log(folder, what, trials=list(trials), level=level, arm=arm, **facts)


def numpy_of(folder, *rows):
    return dict(trained_with(folder, rows)["NumPy"])


def test_a_training_that_went_on_from_its_checkpoint_has_all_that_took_part(tmp_path):
    event(tmp_path, "started", versions=OLD)
    event(tmp_path, "resumed", step=7, versions=NEW)
    event(tmp_path, "resumed", step=9, versions={"NumPy": "3"})
    event(tmp_path, "trained", seconds=1.0)
    assert numpy_of(tmp_path, row()) == {"2.1.0": 1, "2.4.6": 1, "3": 1}
    assert trained_with(tmp_path, [row()])["numpynet"] == {"0.2": 1, UNKNOWN: 1}  # the last did not say


def test_a_training_that_began_anew_has_nothing_of_what_was_lost(tmp_path):
    event(tmp_path, "started", versions=OLD)
    event(tmp_path, "started", versions=NEW)
    event(tmp_path, "trained", seconds=1.0)
    assert numpy_of(tmp_path, row()) == {"2.4.6": 1}


def test_only_what_is_done_counts(tmp_path):
    event(tmp_path, "started", trials=(0, 1), versions=OLD)
    event(tmp_path, "started", trials=(0, 1), level=1, arm="reinit_2", versions=NEW)
    assert numpy_of(tmp_path, row(0), row(1)) == {"2.1.0": 2}
    assert numpy_of(tmp_path, row(0), row(1, 1, "reinit", 2)) == {"2.1.0": 1, "2.4.6": 1}


def test_half_a_line_and_lines_of_others_are_passed_over(tmp_path):
    (tmp_path / "log.jsonl").write_text(
        '[]\n{"event": "started", "trials": 3}\n{"event": "trai\n' + "[" * 99_999 + "\n"
    )
    event(tmp_path, "started", versions=NEW)
    with open(tmp_path / "log.jsonl", "ab") as file:
        file.write(b'{"event": "star\xff')
    assert numpy_of(tmp_path, row()) == {"2.4.6": 1}


def test_lines_that_another_program_might_have_written_are_passed_over(tmp_path):
    """A list in the place of a number ended the report with "unhashable type: 'list'"."""
    event(tmp_path, "started", versions=OLD)
    for other in ({"trials": [[0]]}, {"level": {}}, {"arm": ["ticket"]}, {"trials": 0}, {"level": None}):
        log(tmp_path, "started", **{"trials": [0], "level": 0, "arm": "ticket", "versions": NEW} | other)
    assert numpy_of(tmp_path, row()) == {"2.1.0": 1}


def test_an_older_log_names_the_versions_of_the_command(tmp_path):
    log(tmp_path, "begun", done=0, versions=OLD)
    event(tmp_path, "trained", seconds=1.0)
    log(tmp_path, "begun", done=1, versions=NEW)
    event(tmp_path, "resumed", level=1, step=3)
    event(tmp_path, "trained", level=1, seconds=1.0)
    assert numpy_of(tmp_path, row(), row(level=1)) == {"2.1.0": 1, "2.4.6": 1}


def test_without_a_log_it_is_what_the_run_was_begun_with_and_then_nothing_is_known(tmp_path):
    environment = tmp_path / "environment.json"
    environment.write_text(json.dumps(OLD))
    assert numpy_of(tmp_path, row()) == {"2.1.0": 1}
    event(tmp_path, "started", level=1, versions=NEW)
    for lost in (
        environment.unlink,
        lambda: environment.write_text("{"),
        lambda: environment.write_text('{"NumPy": []}'),
    ):
        lost()
        assert numpy_of(tmp_path, row(), row(level=1)) == {UNKNOWN: 1, "2.4.6": 1}
        assert trained_with(tmp_path, [row()]) == {"versions": {UNKNOWN: 1}}


@given(st.lists(st.sampled_from([OLD, NEW, {"NumPy": "3"}]), min_size=1, max_size=9))
def test_every_training_is_counted_once_where_none_was_interrupted(tmp_path_factory, by):
    folder = tmp_path_factory.mktemp("run")
    for level, versions in enumerate(by):
        event(folder, "started", level=level, versions=versions)
    counts = numpy_of(folder, *(row(level=level) for level in range(len(by))))
    assert counts == {v: sum(versions["NumPy"] == v for versions in by) for v in counts}
    assert sum(counts.values()) == len(by)
    text = versions_text(counts)
    assert all(version in text for version in counts)
    assert ("training" in text) == (len(counts) > 1)


@pytest.mark.parametrize("save_every", [0.0, 1e9])
def test_a_run_that_was_killed_and_goes_on_elsewhere_knows_who_made_its_weights(tmp_path, monkeypatch, save_every):
    """With checkpoints the interrupted training is the work of both, without them of the second alone."""

    class Killed(BaseException):
        pass

    def stop(*arguments, **options):
        for record in watched(*arguments, **options):
            yield record
            if record.step >= 6:
                raise Killed

    watched = run.watched
    group = Group(str(tmp_path), TINY, (0, 1), save_every=save_every)
    run_folder.claim(tmp_path, TINY, EXAMPLES, OLD)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(run, "watched", stop)
        run_group(group, examples=EXAMPLES, versions=OLD)
    run_group(group, examples=EXAMPLES, versions=NEW)
    rows = run_results.finished(tmp_path, TINY)
    assert len(rows) == 2 * TINY.trainings
    of_dense = {Arm(r["arm"], r["draw"]): numpy_of(tmp_path, r) for r in rows if r["level"] == 0}
    assert of_dense == {Arm("ticket"): {"2.1.0": 1, "2.4.6": 1} if save_every == 0 else {"2.4.6": 1}}
    assert numpy_of(tmp_path, *(r for r in rows if r["level"])) == {"2.4.6": len(rows) - 2}

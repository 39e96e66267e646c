"""What the experiments share: paired trainings, and a report that shows what was said."""

import base64
import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from numpynet.data import load_digits
from numpynet.experiments.publish import Report, Table, publish
from numpynet.experiments.setup import Setup, Steps, accuracies, direction, measure_each, paired, train_stack
from numpynet.figures import new_figure
from numpynet.statistics import t_interval
from numpynet.training import Record, begin, evaluate
from tests.experiments.planted import HALF_WIDTH, LOUD, QUIET, SPREAD, tiny
from tests.test_report import Page


def test_conditions_differ_in_dropout_alone():
    setup = tiny()
    starts = [begin(setup.net(q), setup.plan(), setup.data.train, seed=[3, 5]) for q in (1.0, 0.8, 0.3)]
    assert [state.net.keep_probs for state in starts] == [(None, q, q) for q in (1.0, 0.8, 0.3)]
    for state in starts[1:]:
        assert np.array_equal(state.theta.vector, starts[0].theta.vector)
        assert state.plan == starts[0].plan


def test_a_batch_is_no_larger_than_its_examples():
    assert tiny(batch_size=100).plan(n_train=30).batch_size == 30
    assert tiny(batch_size=100).plan(n_train=300).batch_size == 100


def test_a_stack_is_trained_to_the_end_and_counted():
    setup, steps = tiny(), Steps("training", 12)
    states = [train_stack(setup.net(q), setup.plan(), setup.data.train, [1, 2, 4], steps) for q in (1.0, 0.6)]
    assert [state.step for state in states] == [6, 6]
    assert steps.before == 12
    assert states[0].theta.replicates == (3,)
    assert not np.array_equal(states[0].theta.vector, states[1].theta.vector)


def test_accuracies_are_those_of_evaluation():
    setup = tiny()
    state = train_stack(setup.net(0.8), setup.plan(), setup.data.train, [1, 2], Steps("training", 6))
    for replicate in range(2):
        alone = evaluate(state.net, state.theta.replicate(replicate), setup.data.test)[1]
        assert accuracies(state.net, state.theta, setup.data.test)[replicate] == pytest.approx(alone, abs=1.5 / 360)


def test_records_pass_through_unchanged():
    records = [Record(step, 0.0, None, None, {}, {}) for step in (0, 4, 7)]
    steps = Steps("x", 14)
    assert list(steps.follow(records)) == records
    assert steps.before == 7


def test_a_direction_is_named_only_where_the_interval_allows():
    assert direction(t_interval(LOUD + SPREAD)) == "above"
    assert direction(t_interval(-LOUD + SPREAD)) == "below"
    assert direction(t_interval(QUIET + SPREAD)) == direction(t_interval(-QUIET + SPREAD)) == "not told apart"
    assert direction(t_interval([0.9])) == "not told apart"  # one replicate allows no claim


def test_differences_are_paired():
    common = np.array([0.1, 0.9, 0.4, 0.6, 0.2, 0.7])
    assert paired(common + SPREAD, common).half_width == pytest.approx(HALF_WIDTH)


def outcome():
    figure, (ax,) = new_figure()
    ax.plot([0, 1])
    tables = [Table("First <b>", ("a", "b"), [("1 ± 2", "x & y")]), Table("Second", ("c",), [("3",)])]
    return Report(
        "Title", "Question?", tables, "One line.\nAnother.", {"one.png": (figure, "Caption")}, {"net": "5-4-3"}
    )


def test_the_page_shows_what_the_terminal_showed_and_needs_nothing_else(tmp_path):
    said = []
    page = publish(outcome(), tmp_path / "a" / "b", command="numpynet dropout x", say=said.append)
    assert {path.name for path in page.parent.iterdir()} == {"one.png", "report.html", "results.json"}
    parsed = Page(page.read_text(encoding="utf-8"))
    shown = "\n".join(parsed.texts)
    for text in ("First <b>", "1 ± 2", "x & y", "Second", "3", "One line.", "Another."):
        assert text in shown
        assert text in "\n".join(said)
    for text in ("Title", "Question?", "Caption", "5-4-3", "numpynet dropout x", np.__version__):
        assert text in shown
    (link,) = [value for _, name, value in parsed.attributes if name == "src"]
    assert base64.b64decode(link.partition(",")[2]) == (tmp_path / "a" / "b" / "one.png").read_bytes()


def test_the_numbers_are_there_for_programs_too(tmp_path):
    page = publish(outcome(), tmp_path, command="numpynet dropout x", say=lambda text: None)
    record = json.loads((page.parent / "results.json").read_text(encoding="utf-8"))
    assert record["command"] == "numpynet dropout x"
    assert record["tables"][0] == {"heading": "First <b>", "header": ["a", "b"], "rows": [["1 ± 2", "x & y"]]}
    assert record["remark"] == ["One line.", "Another."]
    assert record["settings"]["net"] == "5-4-3" and record["settings"]["NumPy"] == np.__version__


def test_the_same_outcome_makes_the_same_files(tmp_path):
    pages = [publish(outcome(), tmp_path / name, say=lambda text: None) for name in ("a", "b")]
    assert pages[0].read_bytes() == pages[1].read_bytes()


def test_the_settings_name_the_seeds_and_the_net():
    settings = Setup(load_digits(), hidden=(7, 5)).settings([4, 9])
    assert settings["net"].startswith("64-7-5-10")
    assert settings["seeds"] == "4, 9"


def product_and_count(a, b, steps):
    return a * b, isinstance(steps, Steps)


@pytest.mark.parametrize("n", [1, 3])
def test_any_executor_makes_the_measurements(n):
    asked = []

    class Watched(ThreadPoolExecutor):
        def submit(self, *call, **named):
            asked.append(call)
            return super().submit(*call, **named)

    conditions = [(2, 3), (4, 5), (7, 11)]
    with Watched(n) as executor:
        found = measure_each(product_and_count, conditions, "products", 1, {"executor": executor})
    assert found == [(6, True), (20, True), (77, True)] == measure_each(product_and_count, conditions, "products", 1)
    assert len(asked) == len(conditions)


@pytest.mark.parametrize(
    "where, words", [({"worker": 4}, "names worker, but"), ({"workers": 0}, "workers"), ({"on_done": print}, "on_done")]
)
def test_a_place_that_does_not_exist_is_refused(where, words):
    with pytest.raises((TypeError, ValueError), match=words):
        measure_each(product_and_count, [(2, 3)], "products", 1, where)

"""The classifier: labels of any kind, honest errors, and at home in scikit-learn without needing it."""

from __future__ import annotations

import copy
import inspect
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import numpynet
from numpynet.classifier import ACTIVATIONS, OPTIMIZERS, Classifier, NotFittedError
from numpynet.data import Split, load_digits, make_xor
from numpynet.equations.activations import leaky_relu, relu
from numpynet.network import MLP
from numpynet.optimizers import Adam, Decay, Momentum
from numpynet.plan import TrainingPlan
from numpynet.schedules import Cosine
from numpynet.training import TrainingDiverged, begin, evaluate, train

XOR = make_xor(np.random.default_rng(0), 120)
QUICK = {"hidden_layer_sizes": (12,), "learning_rate": 0.02, "epochs": 15}


def blobs(n_classes, n=60):
    """Clouds around points on a circle, easy to tell apart, and which cloud each point belongs to."""
    rng, k = np.random.default_rng(1), np.arange(n) % n_classes
    angle = 2 * np.pi * k / n_classes
    return 3 * np.stack([np.cos(angle), np.sin(angle)], axis=1) + 0.2 * rng.normal(size=(n, 2)), k


# ---- training and prediction ---------------------------------------------------------------------------------------


def test_real_digits_with_dropout():
    digits = load_digits()
    scores = [Classifier(keep_prob=0.8, random_state=seed).fit(*digits.train).score(*digits.test) for seed in range(2)]
    assert min(scores) > 0.95, scores


def test_it_is_a_training_of_numpynet_and_nothing_else():
    model = Classifier(
        hidden_layer_sizes=(9, 6), activation="leaky_relu", keep_prob=0.7, input_keep_prob=0.9, optimizer="adamw",
        learning_rate=0.02, weight_decay=0.1, max_norm=1.5, batch_size=25, epochs=3, random_state=7, dtype="float64",
    ).fit(*XOR)  # fmt: skip
    net = MLP((2, 9, 6, 2), leaky_relu, (0.9, 0.7, 0.7))
    plan = TrainingPlan(
        epochs=3,
        batch_size=25,
        optimizer=Adam(),
        schedule=0.02,
        decay=Decay(decoupled=0.1, max_norm=1.5),
        dtype="float64",
    )
    split = Split(XOR.x.astype(np.float64), XOR.y)
    state = begin(net, plan, split, seed=7)
    records = list(train(state, split))
    assert model.net_ == net
    assert np.array_equal(model.theta_.vector, state.theta.vector)
    assert model.history_ == records
    assert (model.n_iter_, model.n_features_in_) == (3, 2)
    assert model.loss_curve_ == [record.batch_loss for record in records[1:]]
    assert model.score(*XOR) == evaluate(net, state.theta, split)[1]


def test_two_fits_give_the_same_bits_and_a_fit_starts_from_scratch():
    model = Classifier(**QUICK, keep_prob=0.8, random_state=3)
    once = model.fit(*XOR).theta_.vector.copy()
    assert np.array_equal(model.fit(*XOR).theta_.vector, once)
    assert not np.array_equal(model.set_params(random_state=4).fit(*XOR).theta_.vector, once)


def test_probabilities_belong_to_the_classes_in_their_order():
    X, k = blobs(3)
    names = np.array(["c", "a", "b"])[k]
    model = Classifier(**QUICK).fit(X, names)
    assert model.classes_.tolist() == ["a", "b", "c"]
    probabilities = model.predict_proba(X)
    assert probabilities.shape == (60, 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)
    assert np.array_equal(model.classes_[probabilities.argmax(axis=1)], model.predict(X))
    assert model.score(X, names) == 1.0
    assert (probabilities[np.arange(60), np.array([2, 0, 1])[k]] > 0.5).all()


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_has_a_name(name):
    assert Classifier(**QUICK, activation=name).fit(*blobs(3)).score(*blobs(3)) > 0.9


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_has_a_name(name):
    model = Classifier(optimizer=name, weight_decay=1e-3, learning_rate=0.05, batch_size=10, epochs=10)
    assert model.fit(*blobs(3)).score(*blobs(3)) > 0.9


def test_records_are_as_good_as_names():
    named = Classifier(**QUICK, activation="relu", optimizer="momentum").fit(*XOR)
    given_as = Classifier(**QUICK, activation=relu, optimizer=Momentum()).fit(*XOR)
    assert np.array_equal(named.theta_.vector, given_as.theta_.vector)
    cosine = Classifier(epochs=2, learning_rate=Cosine(0.01, steps=4), batch_size=60).fit(*XOR)
    assert [record.lr for record in cosine.history_[1:]] == [Cosine(0.01, steps=4)(t) for t in (1, 3)]


def test_a_validation_part_is_watched_and_not_trained_on():
    model = Classifier(**QUICK, validation_fraction=0.25, batch_size=30).fit(*XOR)
    assert len(model.validation_loss_curve_) == model.n_iter_ == 15
    assert model.validation_loss_curve_[model.best_epoch_ - 1] == min(model.validation_loss_curve_)
    assert model.history_[-1].step == 15 * 3, "90 of 120 examples, in batches of 30"
    without = Classifier(**QUICK).fit(*XOR)
    assert without.validation_loss_curve_ is None
    assert without.best_epoch_ is None


@pytest.mark.parametrize("n, steps", [(10, 1), (64, 1), (65, 2), (120, 2)])
def test_auto_is_64_examples_or_all_of_them(n, steps):
    model = Classifier(epochs=1).fit(XOR.x[:n], XOR.y[:n])
    assert model.history_[-1].step == steps


# ---- labels --------------------------------------------------------------------------------------------------------

LABELS = {
    "integers": [3, -1, 10],
    "strings": ["dog", "cat", "bird"],
    "bytes": [b"x", b"a", b"m"],
    "floats": [2.0, -1.0, 0.0],
    "tuples": [(1, "b"), (0, "a"), (2, "c")],
    "huge integers": [2**70, 1, 2],
    "strings and numbers": ["1", 1, 2.5],
    "nothing among strings": [None, "a", "b"],
    "frozen sets": [frozenset({1}), frozenset(), frozenset({1, 2})],
}


def object_array(labels):
    array = np.empty(len(labels), object)
    for i, label in enumerate(labels):  # one by one: NumPy would take tuples apart
        array[i] = label
    return array


@pytest.mark.parametrize(
    "labels, form",
    [(labels, form) for labels in LABELS.values() for form in (list, object_array)]
    + [(LABELS[kind], np.array) for kind in ("integers", "strings", "bytes", "floats")],
)
def test_labels_of_any_kind_come_back_as_they_were(labels, form):
    X, k = blobs(3)
    y = form([labels[i] for i in k])
    model = Classifier(**QUICK).fit(X, y)
    predicted = model.predict(X)
    assert predicted.tolist() == [labels[i] for i in k]
    assert {type(label) for label in predicted.tolist()} == {type(label) for label in labels}, "1 must not become '1'"
    assert set(model.classes_.tolist()) == set(labels)
    assert model.score(X, y) == 1.0
    assert model.score(X, ["never seen"] * 60) == 0.0


@given(st.permutations(range(60)))
@settings(max_examples=5)
def test_classes_do_not_depend_on_the_order_of_the_data(order):
    X, k = blobs(3)
    for labels in (["1", 1, 2.5], ["dog", "cat", "bird"]):
        y = [labels[i] for i in k]
        model = Classifier(epochs=1)
        straight = model.fit(X, y).classes_.tolist()
        assert model.fit(X[list(order)], [y[i] for i in order]).classes_.tolist() == straight


def test_true_and_false_are_labels():
    X, k = blobs(2)
    model = Classifier(**QUICK).fit(X, k == 1)
    assert model.classes_.tolist() == [False, True]
    assert model.predict(X).dtype == bool


# ---- input ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.float64, np.float16, object])
def test_numbers_of_other_types_are_converted_once(dtype):
    x = (XOR.x > 0).astype(dtype)
    model = Classifier(**QUICK).fit(x, XOR.y)
    same = Classifier(**QUICK).fit(x.astype(np.float32), XOR.y)
    assert np.array_equal(model.theta_.vector, same.theta_.vector)
    assert model.theta_.dtype == np.float32
    assert np.array_equal(model.predict_proba(x.tolist()), same.predict_proba(x.astype(np.float32)))
    assert model.predict_proba(x).dtype == np.float32


def test_what_comes_in_is_not_changed():
    for X in (XOR.x.copy(), np.asfortranarray(XOR.x), XOR.x.astype(np.float64)):
        X_before, y = X.copy(), XOR.y.copy()
        X.flags.writeable = y.flags.writeable = False
        Classifier(epochs=1).fit(X, y).predict(X)
        assert np.array_equal(X, X_before)


def with_entry(value):
    x = XOR.x.astype(np.float64)
    x[17, 1] = value
    return x


class Sparse:
    def tocsr(self):
        raise AssertionError("must not be called")


@pytest.mark.parametrize(
    "X, error, words",
    [
        (with_entry(np.nan), ValueError, "NaN.*in row 17, column 1"),
        (with_entry(-np.inf), ValueError, "infinity.*in row 17, column 1"),
        (with_entry(1e300), ValueError, r"finite in float32.*too large: np.float64\(1e\+300\) in row 17, column 1"),
        (XOR.x.astype(complex), ValueError, "Complex data not supported"),
        (XOR.x.astype(str), TypeError, "X must hold real numbers, got dtype <U"),
        (XOR.x.astype(str).astype(object), TypeError, "X must hold real numbers, got text"),
        ([[{}, 1.0]] * 120, TypeError, r"X must hold real numbers \("),
        (XOR.x[0], ValueError, r"X has shape \(2,\).* Reshape your data"),
        (XOR.x[None], ValueError, r"X has shape \(1, 120, 2\), but \(N, d\) is needed"),
        (XOR.x[:0], ValueError, r"0 sample\(s\)"),
        (XOR.x[:, :0], ValueError, r"0 feature\(s\)"),
        (XOR.x[:-1], ValueError, "X has 119 rows, but y has 120 labels"),
        (Sparse(), TypeError, "X is a sparse matrix"),
    ],
)
def test_unusable_numbers_are_refused(X, error, words):
    with pytest.raises(error, match=words):
        Classifier(epochs=1).fit(X, XOR.y)


@pytest.mark.parametrize(
    "y, error, words",
    [
        (None, ValueError, "y should be a 1d array"),
        ("labels", ValueError, "y should be a 1d array"),
        (XOR.y[:, None], ValueError, r"y has shape \(120, 1\)"),
        ([[1], [2]] * 60, TypeError, "y must hold hashable labels"),
        (np.full(120, np.nan), ValueError, "y holds NaN"),
        ([float("nan"), "a"] * 60, ValueError, "y holds NaN"),
        (XOR.x[:, 0], ValueError, "Unknown label type: continuous"),
        (np.ones(120), ValueError, "y holds only one class"),
        (XOR.y[:7], ValueError, "X has 120 rows, but y has 7 labels"),
    ],
)
def test_unusable_labels_are_refused(y, error, words):
    with pytest.raises(error, match=words):
        Classifier(epochs=1).fit(XOR.x, y)


@pytest.mark.parametrize(
    "parameters, error, words",
    [
        ({"activation": "swish"}, ValueError, "activation is 'swish', but one of relu, leaky_relu"),
        ({"activation": np.tanh}, TypeError, "activation must be an Activation"),
        ({"optimizer": "adagrad"}, ValueError, "optimizer is 'adagrad', but one of sgd, momentum"),
        ({"optimizer": Adam}, TypeError, "optimizer must be"),
        ({"keep_prob": 0.0}, ValueError, "keep_prob is 0.0"),
        ({"input_keep_prob": 1.2}, ValueError, "keep_prob is 1.2"),
        ({"hidden_layer_sizes": (10, 0)}, ValueError, "sizes must be"),
        ({"learning_rate": -1}, ValueError, "lr is -1"),
        ({"weight_decay": -1}, ValueError, "weight decay is -1"),
        ({"max_norm": 0}, ValueError, "max_norm is 0"),
        ({"batch_size": 121}, ValueError, "batch_size is 121, but there are only 120 examples"),
        ({"batch_size": "all"}, TypeError, "batch_size must be an integer"),
        ({"epochs": 0}, ValueError, "epochs is 0"),
        ({"validation_fraction": 1.0}, ValueError, "validation_fraction is 1.0"),
        ({"validation_fraction": "some"}, ValueError, "validation_fraction is 'some'"),
        ({"random_state": None}, ValueError, "random_state is None"),
        ({"random_state": np.random.default_rng(0)}, ValueError, "random_state is Generator"),
        ({"dtype": "float16"}, ValueError, "dtype is float16"),
    ],
)
def test_unusable_parameters_are_refused_in_fit_and_not_before(parameters, error, words):
    model = Classifier(**parameters)
    with pytest.raises(error, match=words):
        model.fit(*XOR)
    assert not hasattr(model, "classes_"), "a fit that failed leaves nothing behind"


def test_a_training_that_explodes_says_so():
    with pytest.raises(TrainingDiverged, match="learning rate"):
        Classifier(activation="identity", optimizer="sgd", learning_rate=1e30).fit(*XOR)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "score"])
def test_before_fit_there_is_nothing_to_predict(method):
    arguments = XOR if method == "score" else (XOR.x,)
    for error in (NotFittedError, ValueError, AttributeError):
        with pytest.raises(error, match=r"this Classifier is not fitted yet: call fit\(X, y\) first"):
            getattr(Classifier(), method)(*arguments)


def test_another_number_of_columns_is_refused():
    model = Classifier(epochs=1).fit(*XOR)
    with pytest.raises(ValueError, match="X has 3 features, but Classifier is expecting 2 features"):
        model.predict(np.ones((4, 3)))
    with pytest.raises(ValueError, match="X has 120 rows, but y has 3 labels"):
        model.score(XOR.x, XOR.y[:3])


# ---- parameters ----------------------------------------------------------------------------------------------------


def test_parameters_are_stored_as_they_come():
    names = list(inspect.signature(Classifier).parameters)
    marks = {name: object() for name in names}
    model = Classifier(**marks)
    assert all(getattr(model, name) is mark for name, mark in marks.items())
    assert model.get_params() == model.get_params(deep=False) == marks
    assert list(model.get_params()) == names
    assert vars(model).keys() == marks.keys(), "the constructor stores its parameters and nothing else"
    with pytest.raises(TypeError):
        Classifier((100,))  # all by keyword


def test_set_params_is_all_or_nothing():
    model = Classifier()
    assert model.set_params(epochs=3, keep_prob=0.7) is model
    assert (model.epochs, model.keep_prob) == (3, 0.7)
    with pytest.raises(ValueError, match="Invalid parameter 'dropout': Classifier has hidden_layer_sizes, "):
        model.set_params(epochs=9, dropout=0.2)
    assert model.epochs == 3


def test_it_prints_what_is_not_the_default():
    assert repr(Classifier()) == "Classifier()"
    assert repr(Classifier(keep_prob=0.8, epochs=20, dtype="float64")) == "Classifier(keep_prob=0.8, dtype='float64')"


def test_copies_and_pickles_predict_the_same():
    model = Classifier(epochs=2, keep_prob=0.8).fit(*XOR)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert np.array_equal(twin.predict_proba(XOR.x), model.predict_proba(XOR.x))


def test_scikit_learn_is_not_needed():
    program = (
        "import sys; sys.modules['sklearn'] = None\n"  # importing it would raise
        "import numpy as np\n"
        "from numpynet.classifier import Classifier\n"
        "X = np.array([[0.0, 1.0], [1.0, 0.0]] * 9)\n"
        "assert Classifier(learning_rate=0.1).fit(X, ['a', 'b'] * 9).score(X, ['a', 'b'] * 9) == 1\n"
        "assert not any(name.startswith(('sklearn.', 'scipy', 'matplotlib')) for name in sys.modules)\n"
    )
    root = str(Path(numpynet.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment, timeout=60)


# ---- scikit-learn --------------------------------------------------------------------------------------------------


@pytest.fixture
def sklearn():
    return pytest.importorskip(
        "sklearn", reason="scikit-learn is not installed; its part of the interface is not tested"
    )


def test_in_pipelines_and_cross_validation(sklearn):
    from sklearn.model_selection import cross_val_predict, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    labels = np.array(["same", "different"])[XOR.y]
    model = make_pipeline(StandardScaler(), Classifier(**QUICK, keep_prob=0.9))
    scores = cross_val_score(model, XOR.x * 100, labels, cv=3, error_score="raise")
    assert scores.min() > 0.9
    assert np.array_equal(scores, cross_val_score(model, XOR.x * 100, labels, cv=3)), "a run can be repeated"
    logloss = cross_val_score(model, XOR.x, labels, cv=3, scoring="neg_log_loss", error_score="raise")
    assert (logloss < 0).all() and (logloss > -0.4).all()
    assert set(cross_val_predict(model, XOR.x, labels, cv=3)) == {"same", "different"}


def test_in_a_grid_search(sklearn):
    from sklearn.model_selection import GridSearchCV

    grid = {
        "keep_prob": np.array([0.8, 1.0]),
        "hidden_layer_sizes": [8, (8, 6)],
        "activation": ["relu", "tanh"],
        "epochs": np.arange(10, 12),
    }
    search = GridSearchCV(Classifier(learning_rate=0.02), grid, cv=2, error_score="raise", n_jobs=1).fit(*XOR)
    assert len(search.cv_results_["params"]) == 16
    assert isinstance(search.best_estimator_, Classifier)
    assert search.best_params_.keys() == grid.keys()
    assert search.score(*XOR) == search.best_estimator_.score(*XOR)


def test_folds_smaller_than_a_batch(sklearn):
    from sklearn.model_selection import cross_val_score

    X, k = blobs(2, n=20)
    assert cross_val_score(Classifier(), X, k, cv=4, error_score="raise").shape == (4,)
    with pytest.raises(ValueError, match="batch_size is 64, but there are only 15 examples"):
        cross_val_score(Classifier(batch_size=64), X, k, cv=4, error_score="raise")


def test_clones_are_unfitted_and_equal(sklearn):
    from sklearn.base import clone, is_classifier
    from sklearn.utils.validation import check_is_fitted

    model = Classifier(hidden_layer_sizes=(9,), optimizer=Momentum(0.7), learning_rate=Cosine(0.1, 20)).fit(*XOR)
    twin = clone(model)
    assert twin.get_params() == model.get_params()
    assert not hasattr(twin, "theta_")
    assert is_classifier(twin)
    check_is_fitted(model)
    with pytest.raises(AttributeError):
        check_is_fitted(twin)


REFUSED = {
    "check_estimators_unfitted": "our NotFittedError has the bases of scikit-learn's, but is not that class",
    "check_supervised_y_2d": "a column of labels is refused, where scikit-learn would warn and flatten it",
}


@pytest.mark.filterwarnings("ignore:Estimator Classifier does not inherit")
@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"keep_prob": 0.8, "input_keep_prob": 0.9, "validation_fraction": 0.1, "dtype": "float64", "max_norm": 3.0},
    ],
)
def test_the_checks_that_scikit_learn_has_for_its_own_classifiers(sklearn, parameters):
    checks = pytest.importorskip("sklearn.utils.estimator_checks", reason="scikit-learn's checks cannot be imported")
    if "expected_failed_checks" not in inspect.signature(checks.check_estimator).parameters:
        pytest.skip("this scikit-learn is older than 1.6 and cannot be told which checks fail")
    results = checks.check_estimator(
        Classifier(**parameters), expected_failed_checks=REFUSED, on_fail=None, on_skip=None
    )
    failed = {result["check_name"]: result["exception"] for result in results if result["status"] == "failed"}
    assert failed == {}
    assert sum(result["status"] == "passed" for result in results) >= 40


def test_a_dtype_that_is_set_after_fit_counts_from_the_next_fit_on():
    X, y = np.random.default_rng(0).standard_normal((30, 4)), np.arange(30) % 3
    classifier = Classifier(epochs=1).fit(X, y)
    before = classifier.predict_proba(X)
    assert np.array_equal(before, classifier.set_params(dtype="float64").predict_proba(X))
    assert classifier.fit(X, y).predict_proba(X).dtype == np.float64

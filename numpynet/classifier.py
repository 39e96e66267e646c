"""A classifier with scikit-learn's interface: a multilayer perceptron with dropout, for pipelines and grid searches.

    from numpynet.classifier import Classifier

    model = Classifier(hidden_layer_sizes=(100,), keep_prob=0.8)
    model.fit(X_train, y_train).score(X_test, y_test)

It is a thin layer on top of ``numpynet.training`` and needs no scikit-learn; where scikit-learn is installed it works in
``Pipeline``, ``cross_val_score``, ``GridSearchCV`` and ``clone``. Because their users search over names, activations and
optimizers may be given by name here, and only here.

Unlike the rest of numpynet it converts: numbers in X, integers included, are taken to ``dtype`` once, when they come in.
"""

from __future__ import annotations

import inspect
import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np

from numpynet.data.dataset import Split, split_validation
from numpynet.equations.activations import Activation, identity, leaky_relu, relu, sigmoid, tanh
from numpynet.equations.losses import softmax
from numpynet.network import MLP
from numpynet.optimizers import SGD, Adam, Decay, Momentum, Nesterov, Optimizer, RMSProp
from numpynet.plan import TrainingPlan
from numpynet.schedules import Schedule
from numpynet.seeding import streams
from numpynet.training import begin, early_stop, train

ACTIVATIONS = {"relu": relu, "leaky_relu": leaky_relu, "tanh": tanh, "sigmoid": sigmoid, "identity": identity}
OPTIMIZERS = {
    "sgd": SGD(),
    "momentum": Momentum(),
    "nesterov": Nesterov(),
    "rmsprop": RMSProp(),
    "adam": Adam(),
    "adamw": Adam(),  # with decoupled weight decay
}


class NotFittedError(ValueError, AttributeError):
    """Something was asked of a classifier that has not been fitted yet; of the same bases as scikit-learn's."""


class Classifier:
    """A multilayer perceptron for classification, with dropout, trained by stochastic gradients on the cross-entropy.

    Parameters
    ----------
    hidden_layer_sizes : units of each hidden layer; () is softmax regression
    activation : of the hidden layers, a key of ``ACTIVATIONS`` or an ``Activation``
    keep_prob : probability that a hidden unit stays while training; 1 is no dropout
    input_keep_prob : the same for the inputs; None is no dropout
    optimizer : a key of ``OPTIMIZERS``, or an optimizer such as ``Momentum(0.95)``
    learning_rate : a number, or a schedule such as ``Cosine(0.01, steps=1000)``
    weight_decay : lambda >= 0. It pulls the weights, not the biases, towards 0: through the gradient of the L2 penalty
        (Equation (O6)), with "adamw" beside the optimizer (Equation (O7)).
    max_norm : largest norm of the incoming weights of a unit, or None.   Equation (O8)
    batch_size : examples in a batch. "auto" is 64, or all of them where there are fewer, as in the small folds of a
        cross-validation; a number that is larger than the data raises.
    epochs : passes over the data
    validation_fraction : share of the examples that ``fit`` sets apart at random and watches, not trained on. Nothing
        stops early; ``best_epoch_`` says afterwards where the validation loss was smallest.
    random_state : integer >= 0, the seed. Two fits with one seed give the same bits, so None is refused.
    dtype : of the computation, "float32" or "float64"

    Attributes
    ----------
    classes_ : (K,) the labels, sorted where they can be compared, else by type and text
    n_features_in_ : columns of X
    n_iter_ : epochs made
    loss_curve_ : mean training loss of the batches of each epoch, dropout and all, in nats
    validation_loss_curve_, best_epoch_ : loss after each epoch, and the epoch with the smallest; None without validation
    net_, theta_, history_ : the network, its parameters, and the records of the training

    Examples
    --------
    >>> from numpynet.data import make_xor
    >>> X, y = make_xor(np.random.default_rng(0), 200)
    >>> labels = np.array(["same", "different"])[y]
    >>> model = Classifier(hidden_layer_sizes=(20,), keep_prob=0.9, learning_rate=0.01, epochs=30).fit(X, labels)
    >>> model.predict([[1, 1], [-1, 1]])
    array(['same', 'different'], dtype='<U9')
    >>> model.score(X, labels) > 0.95
    True
    """

    _estimator_type = "classifier"  # how scikit-learn before 1.6 tells a classifier

    def __init__(
        self,
        *,
        hidden_layer_sizes: Sequence[int] = (100,),
        activation: str | Activation = "relu",
        keep_prob: float = 1.0,
        input_keep_prob: float | None = None,
        optimizer: str | Optimizer = "adam",
        learning_rate: float | Schedule = 1e-3,
        weight_decay: float = 0.0,
        max_norm: float | None = None,
        batch_size: int | str = "auto",
        epochs: int = 20,
        validation_fraction: float = 0.0,
        random_state: int = 0,
        dtype: str = "float32",
    ) -> None:
        # Stored as they come and checked in fit: scikit-learn copies and changes them in between.
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.keep_prob = keep_prob
        self.input_keep_prob = input_keep_prob
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.max_norm = max_norm
        self.batch_size = batch_size
        self.epochs = epochs
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.dtype = dtype

    # ---- training and prediction -------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any) -> Classifier:
        """Train on examples and their labels, from scratch, and return self.

        Parameters
        ----------
        X : (N, d) finite numbers
        y : (N,) labels: strings, integers, or anything hashable; at least two different ones

        Returns
        -------
        self, with the attributes that end in an underscore

        Raises
        ------
        TypeError, ValueError
            X, y or a parameter is not as described.
        TrainingDiverged
            The loss is no longer finite.
        """
        seed = self.random_state
        if isinstance(seed, bool) or not isinstance(seed, numbers.Integral) or seed < 0:
            raise ValueError(f"random_state is {seed!r}, but an integer >= 0 is needed: every run has to be repeatable")
        x = _as_input(X, self.dtype)
        labels = _as_labels(y)
        if len(labels) != len(x):
            raise ValueError(f"X has {len(x)} rows, but y has {len(labels)} labels: one for each row is needed")
        classes = _classes_of(labels)
        index = {label: k for k, label in enumerate(classes.tolist())}
        data = Split(x, np.array([index[label] for label in labels.tolist()]))
        training, validation = self._set_apart(data)
        net, plan = self._network(x.shape[1], len(classes)), self._plan(len(training.x))
        monitors = {} if validation is None else {"validation": validation}

        state = begin(net, plan, training, seed=seed)
        for _ in train(state, training, monitors=monitors):
            pass

        self.classes_, self.n_features_in_ = classes, x.shape[1]
        self.net_, self.theta_, self.history_ = net, state.theta, state.history
        epochs = state.history[1:]  # after the record at step 0, there is one for each
        self.n_iter_ = len(epochs)
        self.loss_curve_ = [record.batch_loss for record in epochs]
        self.validation_loss_curve_ = self.best_epoch_ = None
        if validation is not None:
            self.validation_loss_curve_ = [record.loss["validation"] for record in epochs]
            self.best_epoch_ = int(early_stop(epochs).epoch)
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class for each row of X, (N, K), in the order of ``classes_``.

        Parameters
        ----------
        X : (N, d_0)

        Returns
        -------
        (N, K), rows that sum to 1

        Raises
        ------
        NotFittedError
            ``fit`` has not been called.
        TypeError, ValueError
            X is not as described, or has another number of columns than in ``fit``.
        """
        if not hasattr(self, "theta_"):
            raise NotFittedError(f"this {type(self).__name__} is not fitted yet: call fit(X, y) first")
        x = _as_input(X, self.theta_.dtype)
        if x.shape[1] != self.n_features_in_:
            raise ValueError(
                f"X has {x.shape[1]} features, but {type(self).__name__} is expecting {self.n_features_in_} features as "
                "input, as there were in fit"
            )
        logits, _ = self.net_.forward(self.theta_, x)
        return softmax(logits)

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable label for each row of X, (N,).

        Parameters
        ----------
        X : (N, d_0)

        Returns
        -------
        (N,) labels

        """
        probabilities = self.predict_proba(X)  # (N, K)
        return self.classes_[probabilities.argmax(axis=1)]

    def score(self, X: Any, y: Any) -> float:
        """Return the accuracy, the share of rows whose label is predicted; a label never seen in fit counts as wrong.

        Parameters
        ----------
        X : (N, d_0)
        y : (N,) labels

        Returns
        -------
        A number in [0, 1].

        Raises
        ------
        NotFittedError
            ``fit`` has not been called.
        TypeError, ValueError
            X or y is not as described, or their lengths differ.
        """
        predicted, labels = self.predict(X).tolist(), _as_labels(y).tolist()
        if len(predicted) != len(labels):
            raise ValueError(f"X has {len(predicted)} rows, but y has {len(labels)} labels: one for each row is needed")
        return sum(a == b for a, b in zip(predicted, labels)) / len(labels)

    # ---- parameters, as scikit-learn asks for them -------------------------------------------------------------------

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the constructor's parameters by name; ``deep`` is accepted, there is nothing below.

        Parameters
        ----------
        deep : changes nothing

        Returns
        -------
        settings : name -> value

        Examples
        --------
        >>> Classifier(keep_prob=0.8).get_params()["keep_prob"]
        0.8
        """
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def set_params(self, **params: Any) -> Classifier:
        """Change parameters by name, and return self; they count from the next ``fit`` on.

        Parameters
        ----------
        **params : names of the constructor and their values, which are checked in ``fit``

        Returns
        -------
        self

        Raises
        ------
        ValueError
            There is no parameter of this name; none is changed then.

        Examples
        --------
        >>> Classifier().set_params(epochs=5)
        Classifier(epochs=5)
        """
        known = inspect.signature(type(self)).parameters
        for name in params:
            if name not in known:
                raise ValueError(f"Invalid parameter {name!r}: {type(self).__name__} has {', '.join(known)}")
        for name, value in params.items():
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        defaults = inspect.signature(type(self)).parameters
        changed = (f"{name}={v!r}" for name, v in self.get_params().items() if repr(v) != repr(defaults[name].default))
        return f"{type(self).__name__}({', '.join(changed)})"

    def __sklearn_tags__(self) -> Any:
        """Say to scikit-learn (1.6 and later) what this is; only scikit-learn calls it, so it is imported here."""
        from sklearn.utils import ClassifierTags, InputTags, Tags, TargetTags

        return Tags(
            estimator_type="classifier",
            target_tags=TargetTags(required=True),
            transformer_tags=None,
            classifier_tags=ClassifierTags(),
            regressor_tags=None,
            input_tags=InputTags(),
        )

    # ---- from parameters to a network and a plan ---------------------------------------------------------------------

    def _set_apart(self, data: Split) -> tuple[Split, Split | None]:
        share = self.validation_fraction
        if isinstance(share, bool) or not isinstance(share, numbers.Real) or not 0 <= share < 1:
            raise ValueError(f"validation_fraction is {share!r}, but a number in [0, 1) is needed")
        if share == 0:
            return data, None
        return split_validation(data, max(1, round(share * len(data.x))), streams(self.random_state).split)

    def _network(self, d_in: int, n_classes: int) -> MLP:
        hidden = self.hidden_layer_sizes
        hidden = (hidden,) if isinstance(hidden, numbers.Integral) else tuple(hidden)
        activation = _by_name("activation", self.activation, ACTIVATIONS)
        keep_probs = (self.input_keep_prob, *(self.keep_prob for _ in hidden))
        return MLP((d_in, *hidden, n_classes), activation, keep_probs)

    def _plan(self, n_train: int) -> TrainingPlan:
        decay_name = "decoupled" if isinstance(self.optimizer, str) and self.optimizer == "adamw" else "coupled"
        return TrainingPlan(
            epochs=self.epochs,
            batch_size=min(64, n_train) if self.batch_size == "auto" else self.batch_size,
            optimizer=_by_name("optimizer", self.optimizer, OPTIMIZERS),
            schedule=self.learning_rate,
            decay=Decay(**{decay_name: self.weight_decay}, max_norm=self.max_norm),
            dtype=self.dtype,
        )


def _by_name(what: str, value: Any, table: dict[str, Any]) -> Any:
    """Return what a name stands for; anything but a str is handed on."""
    if isinstance(value, str) and value not in table:
        raise ValueError(f"{what} is {value!r}, but one of {', '.join(table)} is needed")
    return table[value] if isinstance(value, str) else value


def _as_input(X: Any, dtype: Any) -> np.ndarray:
    """Return X as an (N, d) array in dtype, or raise; the one place where numbers are converted."""
    if hasattr(X, "tocsr"):
        raise TypeError("X is a sparse matrix, but a dense array is needed: pass X.toarray()")
    came = np.asarray(X)
    if came.dtype.kind == "c":
        raise ValueError("X is complex. Complex data not supported: take the real part, or both parts as columns")
    text = came.dtype.kind == "O" and any(isinstance(entry, (str, bytes)) for entry in came.flat)
    if came.dtype.kind not in "biufO" or text:
        raise TypeError(f"X must hold real numbers, got {'text' if text else f'dtype {came.dtype}'}")
    if came.ndim != 2:
        raise ValueError(
            f"X has shape {came.shape}, but (N, d) is needed: N examples of d numbers. Reshape your data: "
            "a single example is X.reshape(1, -1), a single column X.reshape(-1, 1)"
        )
    if came.size == 0:
        what = "sample" if len(came) == 0 else "feature"
        raise ValueError(f"X has 0 {what}(s) (shape={came.shape}) while a minimum of 1 is required.")
    try:
        with np.errstate(over="ignore"):  # float64 numbers beyond float32 are found below
            x = came.astype(dtype, order="C", copy=False)
    except TypeError as error:
        raise TypeError(f"X must hold real numbers ({error})") from None
    wrong = np.argwhere(~np.isfinite(x))
    if len(wrong):
        row, column = wrong[0]
        raise ValueError(
            f"X must be finite in {x.dtype}, but holds NaN, infinity or a number too large: {came[row, column]!r} in row "
            f"{row}, column {column} ({len(wrong)} such entries). Mend or leave out such rows first"
        )
    return x


def _as_labels(y: Any) -> np.ndarray:
    """Return labels as a vector; a list of mixed types stays what it is, where NumPy would turn 1 into '1'."""
    if y is None or isinstance(y, (str, bytes)):
        raise ValueError(f"y should be a 1d array of labels, one for each row of X, got {y!r}")
    if hasattr(y, "__array__"):
        labels = np.asarray(y)
    else:
        items = list(y)
        labels = np.empty(len(items), object)
        for i, item in enumerate(items):  # one by one: NumPy would take tuples apart
            labels[i] = item
        if len({type(item) for item in items}) == 1 and isinstance(items[0], (str, bool, int, float, np.generic)):
            labels = np.asarray(items)
    if labels.ndim != 1:
        raise ValueError(
            f"y has shape {labels.shape}, but (N,) is needed: one label for each example, y.ravel() perhaps"
        )
    return labels


def _classes_of(labels: np.ndarray) -> np.ndarray:
    """Return the different labels as a vector: sorted, or by type and text where they cannot be compared."""
    try:
        different = list(dict.fromkeys(labels.tolist()))
    except TypeError as error:
        raise TypeError(f"y must hold hashable labels ({error})") from None
    if any(label != label for label in different):
        raise ValueError("y holds NaN, which is no label: it does not even equal itself")
    if labels.dtype.kind == "f" and not all(label.is_integer() for label in different):
        raise ValueError(
            f"Unknown label type: continuous. y holds {different[0]!r}, ..., but labels of classes are needed"
        )
    if len(different) < 2:
        raise ValueError(
            f"y holds only one class, {different}: there is nothing to tell apart, at least two are needed"
        )
    try:
        different = sorted(different)
    except TypeError:
        different = sorted(different, key=lambda label: (type(label).__name__, repr(label)))
    classes = np.empty(len(different), labels.dtype)
    for k, label in enumerate(different):
        classes[k] = label
    return classes

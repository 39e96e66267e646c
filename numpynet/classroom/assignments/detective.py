"""The detective: predict before you run, write checks that let no mistake through, name a bug from its traces."""

# %% [markdown]
# # The detective
#
# Every mistake leaves traces. A forgotten $1/q$ makes a gradient too small by one factor everywhere; a forgotten mask puts
# numbers where zeros belong; a mean where a sum belongs divides by $N$. Who knows what *should* come out can tell from
# what does come out what is wrong. So first you predict, then you write checks that are put to the test themselves, and
# last you name bugs from reports.
#
# The layers are those of this package: the masked linear layer, Equation (B1), and inverted dropout, Equation (D1). A
# unit mask $D$ is (N, d_in), a weight mask $M$ is (d_in, d_out), $q$ is `keep_prob`.

# %%
import math

import numpy as np

# BEGIN TESTS
from numpynet.classroom.authoring import assignment_from
from numpynet.classroom.rungs import own_check
from numpynet.conformance.laws import Raised, call, law, require
from numpynet.gradcheck import REFERENCE, bug, check_pair, draw_mask, pairs_of
from numpynet.gradcheck.draws import Sizes, draw_keep_prob, draw_sizes

# END TESTS

# %% [markdown]
# ## Tasks 1.1 to 1.3: Predict before you run
#
# A gradient has the shape of what it belongs to. Under a mask it is 0; but there are more zeros than that. An input unit
# that was dropped in every example teaches its weights nothing; a unit whose outgoing weights are all pruned is not heard
# by anybody. Say where dx and dW of the masked linear layer are 0 **whatever** the numbers are. Equations (B3), (B5),
# (B6).

# %%
# TASK 1.1 points=3: Shapes
# HINT Every gradient has the shape of the array that it belongs to.


def predict_shapes(N, d_in, d_out):
    """The shapes of the output and of the gradients of a linear layer.   Equations (B1), (B5), (B6)

    Parameters
    ----------
    N, d_in, d_out : examples, inputs, outputs

    Returns
    -------
    shapes : dict with a tuple for "y", "dx", "dW" and "db"

    Examples
    --------
    >>> predict_shapes(5, 7, 4)["y"]
    (5, 4)
    """
    # BEGIN SOLUTION
    # MUTANT transposed: (d_in, d_out) -> (d_out, d_in)
    return {"y": (N, d_out), "dx": (N, d_in), "dW": (d_in, d_out), "db": (d_out,)}
    # END SOLUTION


# TASK 1.2 points=5: Zeros
# HINT dx[n, i] has the factor D[n, i], and is a sum over j of terms with the factor M[i, j].
# HINT dW[i, j] has the factor M[i, j], and is a sum over n of terms with the factor D[n, i].
# HINT np.any(..., axis=...) says whether anything is left along an axis.


def predict_zeros(unit_mask, weight_mask):
    """Where dx and dW of the masked linear layer are 0 whatever x, W and dy are.   Equations (B3), (B5), (B6)

    Parameters
    ----------
    unit_mask : (N, d_in) binary
    weight_mask : (d_in, d_out) binary

    Returns
    -------
    dx_zero, dW_zero : booleans, (N, d_in) and (d_in, d_out)

    Examples
    --------
    >>> predict_zeros(np.array([[1.0, 0.0]]), np.array([[1.0], [1.0]]))[1]
    array([[False],
           [ True]])
    """
    # BEGIN SOLUTION
    # MUTANT own-mask-only: np.any(weight_mask == 1, axis=1) -> True
    heard = np.any(weight_mask == 1, axis=1)
    # MUTANT never-dropped: np.any(unit_mask == 1, axis=0) -> np.ones(len(weight_mask), dtype=bool)
    seen = np.any(unit_mask == 1, axis=0)
    return (unit_mask == 0) | ~(heard & np.ones_like(seen)), (weight_mask == 0) | ~seen[:, None]
    # END SOLUTION


# TASK 1.3 points=3: Numbers
# HINT Constant logits mean equal probabilities. What is minus the logarithm of 1/K?
# HINT A round takes floor(rate * n + 1/2) of n; the next round begins with what is left. A closed formula is not exact.


def loss_of_constant_logits(n_classes):
    """The cross-entropy of logits that are all the same.   Equation (B18)

    Parameters
    ----------
    n_classes : K

    Returns
    -------
    loss : a float

    Examples
    --------
    >>> round(loss_of_constant_logits(2), 6)
    0.693147
    """
    # BEGIN SOLUTION
    # MUTANT without-logarithm: math.log(n_classes) -> 1 / n_classes
    return math.log(n_classes)
    # END SOLUTION


def alive_after(n_weights, rate, rounds):
    """How many weights are left after some rounds of pruning.   Equations (L2), (L3)

    Parameters
    ----------
    n_weights : at the beginning
    rate : share of the alive ones that go in a round
    rounds : how many

    Returns
    -------
    alive : an int

    Examples
    --------
    >>> alive_after(10, 0.5, 2)
    2
    """
    # BEGIN SOLUTION
    for _ in range(rounds):
        # MUTANT cut-off: + 0.5 -> + 0.0
        n_weights -= math.floor(rate * n_weights + 0.5)
    return n_weights
    # END SOLUTION


# %% [markdown]
# ## Tasks 2.1 and 2.2: Kill the mutants
#
# You write the check; it is run on right implementations and on wrong ones, *mutants*, in random order and without names.
# Whoever rejects a right one earns nothing in that check: a check that always says "wrong" is no check. Draw numbers that
# leave a mistake no place to hide: never $q=\frac12$ (there keep and drop are the same number), never an upstream gradient
# of ones, never a square layer alone, no mask of ones, weights that are not 0 under the mask.
#
# Right is what has the right numbers in the right shapes, in the dtype of its input, every time that it is called. A
# function that raises is wrong, too.

# %%
# TASK 2.1 points=7: A check of dropout
# HINT Compare both: y with h * D / q, and dh with dy * D / q, for a random dy.
# HINT Some mistakes show in the second call only, or after a forward pass in between: call twice.
# HINT float32 in, float32 out: one mutant computes in a higher precision.


def check_dropout(forward, backward):
    """Whether a pair of functions is inverted dropout.   Equations (D1), (B3)

    Parameters
    ----------
    forward : forward(h, unit_mask=D, keep_prob=q) -> y, cache
    backward : backward(dy, cache) -> dh

    Returns
    -------
    verdict : True if it is right, False if not

    Examples
    --------
    >>> check_dropout(lambda h, *, unit_mask, keep_prob: (h, None), lambda dy, cache: dy)
    False
    """
    # BEGIN SOLUTION
    rng = np.random.default_rng(1)
    for dtype in (np.float64, np.float32):
        # MUTANT keep-half: (0.3, 0.8) -> (0.5,)
        for q in (0.3, 0.8):
            h, dy = (rng.standard_normal((5, 7)).astype(dtype) for _ in range(2))
            mask = (rng.random((5, 7)) < 0.6).astype(dtype)
            y, cache = forward(h, unit_mask=mask, keep_prob=q)
            # MUTANT forward-unchecked: np.allclose(y, h -> np.allclose(h * mask / q, h
            # MUTANT precision-unchecked: y.dtype -> np.dtype(dtype)
            # MUTANT rejects-everything: y.dtype != dtype -> y.size
            if y.dtype != dtype or not np.allclose(y, h * mask / q, rtol=1e-5, atol=1e-8):
                return False
            # MUTANT backward-unchecked: backward(dy, cache) -> dy * mask / q
            dh = backward(dy, cache)
            if not np.allclose(dh, dy * mask / q, rtol=1e-5, atol=1e-8):
                return False
    return True
    # END SOLUTION


# TASK 2.2 points=8: A check of the masked linear layer
# HINT Write the formulas down once more: y = (D * x / q) @ (M * W) + b, and the three gradients.
# HINT Compare shapes before values: broadcasting hides a db of shape (1, d_out).
# HINT A function that raises is wrong, too: catch the exception. Call everything twice for those that remember.


def check_linear(forward, backward):
    """Whether a pair of functions is the masked linear layer.   Equations (B1), (B3), (B5), (B6)

    Parameters
    ----------
    forward : forward(x, W, b, unit_mask=D, keep_prob=q, weight_mask=M) -> y, cache
    backward : backward(dy, cache) -> dx, dW, db

    Returns
    -------
    verdict : True if it is right, False if not

    Examples
    --------
    >>> check_linear(lambda x, W, b, **masks: (x @ W + b, None), lambda dy, cache: (dy, dy, dy))
    False
    """
    # BEGIN SOLUTION
    rng = np.random.default_rng(1)
    q = 0.8

    def same(found, right):
        # MUTANT shapes-unchecked: np.shape(found) == right.shape and -> np.ndim(found) >= 0 and
        return np.shape(found) == right.shape and bool(np.allclose(found, right))

    def drawn():
        x, W, b = rng.standard_normal((5, 7)), rng.standard_normal((7, 4)), rng.standard_normal(4)
        # MUTANT no-weight-mask: rng.random((7, 4)) < 0.6 -> rng.random((7, 4)) < 2
        D, M = (rng.random((5, 7)) < 0.6) * 1.0, (rng.random((7, 4)) < 0.6) * 1.0
        return x, W, b, D, M, rng.standard_normal((5, 4))

    try:
        work = []
        # MUTANT once-only: range(2) -> range(1)
        for _ in range(2):
            x, W, b, D, M, dy = drawn()
            work.append(((x, W, b, D, M, dy), forward(x, W, b, unit_mask=D, keep_prob=q, weight_mask=M)))
        for (x, W, b, D, M, dy), (y, cache) in work:
            dropped, present = D * x / q, M * W
            right = (dy @ present.T) * D / q, M * (dropped.T @ dy), dy.sum(axis=0)
            # MUTANT gradients-unchecked: all(map(same, backward(dy, cache), right)) -> True
            if not (same(y, dropped @ present + b) and all(map(same, backward(dy, cache), right))):
                return False
    except Exception:
        return False
    return True
    # END SOLUTION


# %% [markdown]
# ## Task 3.1: Name the bug
#
# A gradient check has failed, and this is its report, a dict:
#
# | key | meaning |
# | --- | --- |
# | `layer` | "dropout", "linear" or "softmax_cross_entropy" |
# | `array` | the gradient that is wrong: "dh", "dW", "db", "dlogits" |
# | `ratio` | yours / right where that is one number in all wrong entries, else None |
# | `spurious` | how many entries should be 0 and are not |
# | `missing` | how many entries are 0 and should not be |
# | `N`, `K`, `keep_prob` | of the draw: examples, classes, $q$ |
#
# The answer is one of these words: "scale missing" (no $1/q$ in the backward pass), "scaled twice" ($1/q^2$), "mask
# missing", "mask inverted", "not divided by N", "divided by N twice", "wrong sign", "bias as mean". Reports are drawn
# at random; compute, do not guess.

# %%
# TASK 3.1 points=8: Name the bug
# HINT First ask for spurious and missing entries: they are about masks. A forgotten mask leaves nothing missing.
# HINT Then compare the ratio with q, 1/q, N, 1/N and -1, with a tolerance (math.isclose with rel_tol=1e-6).
# HINT 1/N in db of a linear layer is one bug, 1/N in dlogits another.


def name_the_bug(report):
    """Which mistake left these traces.   Equations (B2), (B3), (B5)

    Parameters
    ----------
    report : dict with layer, array, ratio, spurious, missing, N, K and keep_prob, as the page says

    Returns
    -------
    name : one of the eight names that the page lists

    Examples
    --------
    >>> name_the_bug({"layer": "softmax_cross_entropy", "array": "dlogits", "ratio": -1.0, "spurious": 0, "missing": 0,
    ...               "N": 5, "K": 3, "keep_prob": 0.8})
    'wrong sign'
    """
    # BEGIN SOLUTION
    ratio, q, N = report["ratio"], report["keep_prob"], report["N"]
    if report["missing"]:
        return "mask inverted"
    if report["spurious"]:
        # MUTANT patterns-confused: "mask missing" -> "mask inverted"
        return "mask missing"
    at = {
        # MUTANT keep-and-drop: q: -> 1 - q:
        q: "scale missing",
        1 / q: "scaled twice",
        N: "not divided by N",
        # MUTANT always-the-loss: "bias as mean" if report["array"] == "db" else "divided by N twice" -> "divided by N twice"
        1 / N: "bias as mean" if report["array"] == "db" else "divided by N twice",
        -1: "wrong sign",
    }
    return next(name for value, name in at.items() if math.isclose(ratio, value, rel_tol=1e-6))
    # END SOLUTION


# %% [markdown]
# ## For the curious
#
# These earn nothing and are not checked.
#
# 1. `numpynet.gradcheck.ZOO` holds all planted bugs of this package. Run your two checks on every one of a layer. Which
#    survive, and what would it take?
# 2. Two bugs in one layer: $1/q$ missing and the mask missing. What does the report say? Can you still name them?
# 3. Which mistake in a *forward* pass can no gradient check ever find? (m13 of the zoo is one.)
# 4. Write a mutant that passes your own check and is wrong. Then mend the check.


# BEGIN TESTS
# ---- how it is judged ------------------------------------------------------------------------------------------------


@law("shapes", "predict_shapes")
def _shapes(subject, seed, sizes):
    """Shapes of the output and of all gradients."""
    N, d_in, d_out, _ = sizes
    found = call(subject, "predict_shapes", N, d_in, d_out)
    right = {
        name: part.shape for name, part in zip(("y", "dx", "dW", "db"), _gradients(np.random.default_rng(seed), sizes))
    }
    require(isinstance(found, dict), f"a dict should come back, not a {type(found).__name__}")
    for name, shape in right.items():
        answer = found.get(name)
        is_shape = isinstance(answer, (tuple, list)) and tuple(answer) == shape
        require(is_shape, f"the shape of {name} is another one")


def _gradients(rng, sizes, unit_mask=None, weight_mask=None):
    """Run the layer of this package on random numbers."""
    N, d_in, d_out, _ = sizes
    x, W, b = rng.standard_normal((N, d_in)), rng.standard_normal((d_in, d_out)), rng.standard_normal(d_out)
    y, cache = REFERENCE.linear_forward(x, W, b, unit_mask=unit_mask, keep_prob=0.8, weight_mask=weight_mask)
    return (y, *REFERENCE.linear_backward(rng.standard_normal((N, d_out)), cache))


def _zeros(which, seed, subject, sizes):
    rng = np.random.default_rng(seed)
    D = draw_mask(rng, (sizes.N, sizes.d_in), 0.6)
    M = draw_mask(rng, (sizes.d_in, sizes.d_out), 0.6)
    dropped, unheard = rng.permutation(sizes.d_in)[:2]
    D[:, dropped], M[dropped] = 0, 1  # a unit that no example sees
    D[:, unheard], M[unheard] = 1, 0  # one that nobody hears
    found = call(subject, "predict_zeros", D.copy(), M.copy())
    require(isinstance(found, (tuple, list)) and len(found) == 2, "two arrays should come back: dx_zero, dW_zero")
    answer = np.asarray(found[which])
    right = _gradients(rng, sizes, D, M)[1 + which] == 0
    name = ("dx", "dW")[which]
    require(answer.shape == right.shape, f"{name}_zero has the shape {answer.shape}, where {right.shape} is expected")
    require(answer.dtype == bool, f"{name}_zero should hold booleans, not {answer.dtype}")
    require(not (answer & ~right).any(), f"some entries of {name} that you say are 0 are not")
    require(not (right & ~answer).any(), f"some entries of {name} are 0, and you do not say so")


@law("zeros of dx", "predict_zeros")
def _zeros_of_dx(subject, seed, sizes):
    """Dropped units, and units that nobody hears."""
    _zeros(0, seed, subject, sizes)


@law("zeros of dW", "predict_zeros")
def _zeros_of_dW(subject, seed, sizes):
    """Pruned weights, and weights of a unit that no example sees."""
    _zeros(1, seed, subject, sizes)


@law("constant logits", "loss_of_constant_logits")
def _constant(subject, seed, sizes):
    """The loss of constant logits, by the loss of this package."""
    for K in (2, sizes.K, 10 + seed % 7):
        right = float(REFERENCE.softmax_cross_entropy_forward(np.full((2, K), 1.5), labels=np.array([0, 1]))[0])
        found = call(subject, "loss_of_constant_logits", K)
        require(isinstance(found, (float, np.floating)), "the loss should be a float")
        require(abs(float(found) - right) < 1e-9, f"with {K} classes the loss is another one")


@law("rounds", "alive_after")
def _rounds(subject, seed, sizes):
    """Round after round on real masks.   Equation (L3)"""
    rng = np.random.default_rng(seed)
    for _ in range(5):
        n, rate, rounds = int(rng.integers(20, 3000)), float(rng.choice((0.1, 0.2, 0.5))), int(rng.integers(1, 8))
        alive = n
        for _round in range(rounds):
            alive -= int(np.floor(rate * alive + 0.5))
        found = call(subject, "alive_after", n, rate, rounds)
        message = f"after {rounds} rounds at rate {rate} from {n} weights another number is alive"
        require(isinstance(found, (int, np.integer)) and int(found) == alive, message)


def _plain_dropout():
    """A right implementation that is written otherwise than that of this package."""

    def forward(h, *, unit_mask, keep_prob):
        factor = (unit_mask / keep_prob).astype(h.dtype)
        return h * factor, factor

    return forward, lambda dy, factor: dy * factor


def _plain_linear():
    def forward(x, W, b, *, unit_mask=None, keep_prob=1.0, weight_mask=None):
        factor = np.ones_like(x) if unit_mask is None else unit_mask / keep_prob
        weight_mask = np.ones_like(W) if weight_mask is None else weight_mask
        return np.einsum("ni,ij->nj", x * factor, W * weight_mask) + b, (x, W, factor, weight_mask)

    def backward(dy, cache):
        x, W, factor, weight_mask = cache
        dW = np.einsum("ni,nj->ij", x * factor, dy) * weight_mask
        return np.einsum("nj,ij->ni", dy, W * weight_mask) * factor, dW, np.einsum("nj->j", dy)

    return forward, backward


class _Kept:
    """What a forward pass has kept: only the backward pass of the same pair looks inside."""

    def __init__(self, pair, cache, of_the_reference):
        self.pair, self.cache, self.of_the_reference = pair, cache, of_the_reference


def _masked(layer, pair):
    """Return a pair behind a mask, so that what it computes from sound arguments is all that tells it from another.

    The names in a TypeError, the kind of a cache and what is done about unsound arguments would give a wrong
    implementation away without any check: all pairs get the words of one, and those that raise have none of their own.
    """
    right = tuple(getattr(REFERENCE, f"{layer}_{part}") for part in ("forward", "backward"))
    inputs = {"dropout": ("h",), "linear": ("x", "W", "b")}[layer]
    names = (*inputs, "unit_mask", "keep_prob", "weight_mask")

    def sound(function, *args, **constants):
        try:
            if not all(a.ndim <= 2 for a in (*args, *constants.values()) if isinstance(a, np.ndarray)):
                raise ValueError("arrays of one layer have two dimensions at most")
            return function(*args, **constants)
        except Exception as error:
            words = str(error).replace(function.__qualname__, function.__name__.rpartition("_")[2])
            raise ValueError(f"with these arguments it cannot be called: {words}") from None

    def run(function, *args, **constants):
        try:
            return function(*args, **constants)
        except Exception as error:
            raise ValueError("it raised an error") from error

    def forward(*args, **constants):
        _, of_the_reference = sound(right[0], *args, **constants)
        named = {**dict(zip(names, args)), **constants}
        y, cache = run(pair[0], *[named.pop(name) for name in inputs], **named)
        return y, _Kept(pair, cache, of_the_reference)

    def backward(dy, cache):
        if not isinstance(cache, _Kept) or cache.pair is not pair:
            raise ValueError("the cache must be one that the forward pass returned")
        sound(right[1], dy, cache.of_the_reference)
        return run(pair[1], dy, cache.cache)

    return forward, backward


def _kills(function, layer, name, ids):
    """Return the law that a check of the student's accepts what is right and rejects these bugs."""

    @law(name, function)
    def kills(subject, seed, sizes):
        rng = np.random.default_rng(seed)
        plain = {"dropout": _plain_dropout, "linear": _plain_linear}[layer]
        pair = (f"{layer}_forward", f"{layer}_backward")
        reference = tuple(getattr(REFERENCE, part) for part in pair)
        cases = [("", reference), ("", plain())]
        for id in ids:
            layers = bug(id).plant()  # forward and backward of one planting: some remember things
            cases.append((id, tuple(getattr(layers, part) for part in pair)))
        survivors, n_wrong, stumbles = 0, 0, []
        for k in rng.permutation(len(cases)):
            id, implementation = cases[k]
            try:
                verdict = call(subject, function, *_masked(layer, implementation))
            except Raised as error:
                if not id:
                    raise
                stumbles.append(str(error))
                continue
            is_bool = isinstance(verdict, (bool, np.bool_))
            require(is_bool, f"True or False should come back, not a {type(verdict).__name__}")
            require(id or verdict, "a right implementation is rejected")
            n_wrong += bool(id)
            survivors += bool(id and verdict)
        advice = "where a wrong implementation was judged: catch what goes wrong there, the verdict is False"
        require(not stumbles, f"{''.join(stumbles[:1])}, {advice}")
        require(not survivors, f"{survivors} of {n_wrong} wrong implementations are accepted")

    return kills


_DROPOUT_KILLS = (
    _kills("check_dropout", "dropout", "the scale", ("9", "10", "11", "f9", "f10", "f11", "m13")),
    _kills("check_dropout", "dropout", "the mask", ("12", "13", "18b", "f12", "f13", "f18", "13-lost")),
    _kills("check_dropout", "dropout", "chance", ("14a", "14b")),
    _kills("check_dropout", "dropout", "precision", ("m10",)),
)
_LINEAR_KILLS = (
    _kills("check_linear", "linear", "the weight mask", ("15", "16", "17", "18a")),
    _kills("check_linear", "linear", "the unit mask", ("9-linear", "10-linear", "11-linear", "12-linear", "13-linear")),
    _kills("check_linear", "linear", "products and sums", ("19", "19-dW", "21a", "22a", "22c", "2b", "23")),
    _kills("check_linear", "linear", "shapes and order", ("22b", "28b", "28a")),
    _kills("check_linear", "linear", "memory", ("m11",)),
)

_RATIOS = {
    "9": "scale missing",
    "11": "scaled twice",
    "1": "not divided by N",
    "2a": "divided by N twice",
    "4": "wrong sign",
    "2b": "bias as mean",
}
_PATTERNS = {"13": "mask missing", "18b": "mask inverted", "15": "mask missing", "18a": "mask inverted"}


def _report(rng, id):
    """Plant a bug, run the gradient check, and return its report as students get it; None if it tells too little."""
    planted = bug(id)
    pair = next(pair for pair in pairs_of(planted.plant()) if pair.name == planted.pair)
    sizes: Sizes = draw_sizes(rng)
    q = draw_keep_prob(rng, sizes)
    report = check_pair(pair, seed=int(rng.integers(2**31)), sizes=sizes, keep_prob=q, stages=(0, 4))
    if report.status != "fail" or (report.ratio is None and not report.n_spurious and not report.n_missing):
        return None
    by_mask = bool(report.n_spurious or report.n_missing)
    return {
        "layer": report.layer,
        "array": report.array,
        "ratio": None if by_mask else report.ratio,
        "spurious": report.n_spurious,
        "missing": report.n_missing,
        "N": sizes.N,
        "K": sizes.K,
        "keep_prob": q,
    }


def _names(name, answers):
    @law(name, "name_the_bug")
    def names(subject, seed, sizes):
        rng = np.random.default_rng(seed)
        ids = [*answers]
        for k in rng.permutation(len(ids)):
            report = _report(rng, ids[k])
            if report is None:
                continue
            found = call(subject, "name_the_bug", report)
            require(isinstance(found, str), f"a word should come back, not a {type(found).__name__}")
            traces = "a ratio" if report["ratio"] is not None else "entries that should be 0, or should not"
            where = f"{report['array']} of {report['layer']}"
            require(found.strip().lower() == answers[ids[k]].lower(), f"wrong name for {traces} in {where}")

    return names


CHECKS = {
    "1.1": (own_check(_shapes, 3),),
    "1.2": (own_check(_zeros_of_dx, 2), own_check(_zeros_of_dW, 3)),
    "1.3": (own_check(_constant, 1), own_check(_rounds, 2)),
    "2.1": tuple(own_check(kill, points) for kill, points in zip(_DROPOUT_KILLS, (3, 2, 1, 1))),
    "2.2": tuple(own_check(kill, points) for kill, points in zip(_LINEAR_KILLS, (2, 2, 2, 1, 1))),
    "3.1": (own_check(_names("ratios", _RATIOS), 5), own_check(_names("patterns", _PATTERNS), 3)),
}

ASSIGNMENT = assignment_from(__file__, "The detective", CHECKS)
# END TESTS

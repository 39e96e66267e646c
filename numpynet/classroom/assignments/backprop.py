"""Backpropagation by hand: a masked layer, ReLU, the loss, weight decay, the whole net, and a gradient check of your own."""

# %% [markdown]
# # Backpropagation by hand
#
# A net is a chain of small functions. Each knows two things: its output, and how to turn the gradient with respect to its
# output (*upstream*) into gradients with respect to its inputs. That is all of backpropagation, and there is nothing in it
# that cannot be checked: a derivative has one right value, to the last digits.
#
# Every layer is a pair. `forward` returns (output, cache); `backward` takes (upstream gradient, cache) and returns the
# gradients, each in the shape of what it belongs to. Batches are (N, d), examples by units; weights are (d_in, d_out).
# **Layers only sum over examples; the factor $1/N$ belongs to the loss.** A mask is an array of zeros and ones, and a
# constant: nothing is differentiated with respect to it. What goes in as float32 comes out as float32, gradients too, and
# nothing that was handed over is edited.

# %%
import numpy as np

# BEGIN TESTS
from numpynet.classroom.authoring import assignment_from
from numpynet.classroom.rungs import LARGE, law_check, own_check, pair_check, sizes_of
from numpynet.classroom.task import Check
from numpynet.conformance.laws import call, law, require
from numpynet.gradcheck import Report, check_pair, network_loss_pair

# END TESTS

# %% [markdown]
# ## Tasks 1.1 and 1.2: The masked linear layer
#
# $$\tilde H=(D\odot H)/q,\qquad \tilde W=M\odot W,\qquad Z=\tilde H\tilde W+b$$
#
# is Equation (B1): $D$ drops units, $M$ prunes weights; without either it is the plain linear layer. The gradients follow
# from the shapes alone: dW must be (d_in, d_out) and is made of $\tilde H$, (N, d_in), and dZ, (N, d_out). There is one
# way to multiply them, Equation (B5); dx is Equation (B6), and then Equation (B3). Each factor of the forward pass comes
# back as a factor: a pruned weight gets a gradient of exactly 0, and so does a dropped unit.
#
# *Before you run it: why must dW be built from the dropped input and not from x? Which entries of dW are 0 if a unit was
# dropped for every example?*

# %%
# TASK 1.1 points=6: Masked linear layer, forward
# HINT Start without masks: x @ W + b. Then let h be x * unit_mask / keep_prob where there is a unit mask.
# HINT For the backward pass you need what was multiplied: the dropped input, the masked weights, both masks, keep_prob.


def linear_forward(x, W, b, *, unit_mask=None, keep_prob=1.0, weight_mask=None):
    """(D * x / q) @ (M * W) + b.   Equation (B1)

    Parameters
    ----------
    x : (N, d_in) input; left alone, like all arguments
    W, b : (d_in, d_out) weights and (d_out,) biases
    unit_mask : (N, d_in) binary, or None for evaluation
    keep_prob : q in (0, 1], used where there is a unit mask
    weight_mask : (d_in, d_out) binary, or None for a dense layer

    Returns
    -------
    y : (N, d_out), in the dtype of x
    cache : anything that ``linear_backward`` needs

    Examples
    --------
    >>> linear_forward(np.array([[1.0, 2.0]]), np.ones((2, 1)), np.array([0.5]))[0]
    array([[3.5]])
    """
    # BEGIN SOLUTION
    # MUTANT no-scale: / keep_prob ->
    # MUTANT scaled-without-mask: x if unit_mask is None -> x / keep_prob if unit_mask is None
    dropped = x if unit_mask is None else x * unit_mask / keep_prob
    # MUTANT mask-ignored: W * weight_mask -> W
    masked = W if weight_mask is None else W * weight_mask
    return dropped @ masked + b, (dropped, masked, unit_mask, keep_prob, weight_mask)
    # END SOLUTION


# TASK 1.2 points=8 needs=1.1: Masked linear layer, backward
# HINT Without masks: dx = dy @ W.T, dW = x.T @ dy, and db is the sum of dy over the examples.
# HINT With masks: dy flows back through M * W, and dW is made of the dropped input. Then each mask multiplies once more.
# HINT dx = (dy @ (M * W).T) * D / q and dW = M * (dropped.T @ dy).


def linear_backward(dy, cache):
    """The gradients with respect to x, W and b.   Equations (B3), (B5), (B6)

    Parameters
    ----------
    dy : (N, d_out) upstream gradient; left alone
    cache : of ``linear_forward``; left alone

    Returns
    -------
    dx, dW, db : in the shapes of x, W and b; exactly 0 under a mask

    Examples
    --------
    >>> y, cache = linear_forward(np.array([[1.0, 2.0]]), np.ones((2, 1)), np.zeros(1))
    >>> linear_backward(np.array([[3.0]]), cache)[1]
    array([[3.],
           [6.]])
    """
    # BEGIN SOLUTION
    dropped, masked, unit_mask, keep_prob, weight_mask = cache
    # MUTANT through-the-unmasked: dy @ masked.T -> dy @ np.ones_like(masked).T
    dx = dy @ masked.T
    if unit_mask is not None:
        # MUTANT mask-forgotten: * unit_mask ->
        dx = dx * unit_mask / keep_prob
    dW = dropped.T @ dy
    if weight_mask is not None:
        # MUTANT pruned-get-gradients: * weight_mask ->
        dW = dW * weight_mask
    # MUTANT bias-as-mean: dy.sum( -> dy.mean(
    return dx, dW, dy.sum(axis=0)
    # END SOLUTION


# %% [markdown]
# ## Task 2.1: ReLU
#
# $\phi(z)=\max(z,0)$, with slope 1 where $z>0$ and slope 0 elsewhere, at $z=0$ too: Equation (B11). The backward pass,
# Equation (B4), is a gate, a third mask, but one that the input sets. Beware of `>=` on the *output*: the output is never
# negative, so that gate is always open.

# %%
# TASK 2.1 points=4: ReLU
# HINT The gate z > 0 is all that the backward pass needs.
# HINT Multiply by the gate; do not write into z or dh: somebody else may still need them.


def relu_forward(z):
    """max(z, 0).   Equation (B11)

    Parameters
    ----------
    z : (N, d); left alone

    Returns
    -------
    h : (N, d), in the dtype of z
    cache : anything that ``relu_backward`` needs

    Examples
    --------
    >>> relu_forward(np.array([[-1.0, 2.0]]))[0]
    array([[0., 2.]])
    """
    # BEGIN SOLUTION
    # MUTANT open-at-zero: z > 0 -> z >= 0
    gate = z > 0
    # MUTANT gate-on-the-output: gate -> h >= 0 if (h := np.maximum(z, 0)) is not None else gate
    return np.maximum(z, 0), gate
    # END SOLUTION


def relu_backward(dh, cache):
    """dh where z > 0, else 0.   Equations (B4), (B11)

    Parameters
    ----------
    dh : (N, d) upstream gradient; left alone
    cache : of ``relu_forward``

    Returns
    -------
    dz : (N, d)

    Examples
    --------
    >>> h, cache = relu_forward(np.array([[-1.0, 2.0]]))
    >>> relu_backward(np.array([[3.0, 4.0]]), cache)
    array([[0., 4.]])
    """
    # BEGIN SOLUTION
    # MUTANT gate-of-the-gradient: cache -> (dh > 0)
    return dh * cache
    # END SOLUTION


# %% [markdown]
# ## Tasks 3.1 and 3.2: Softmax and cross-entropy
#
# Logits become log-probabilities, $\log P = Z - \mathrm{LSE}(Z)$, Equation (B17), and the loss is their mean at the
# labels, with a minus, Equation (B18). Subtract each row's maximum first: nothing changes on paper, and no exponential
# overflows. The gradient is the most beautiful formula of the subject, $(P-Y)/N$, Equation (B2), with $Y$ one-hot.
#
# *Before you run it: what is the loss of constant logits with $K$ classes? What is the sum of each row of the gradient?*

# %%
# TASK 3.1 points=4: Cross-entropy, forward
# HINT shifted = logits minus the maximum of each row (keepdims=True); log P = shifted - log(sum(exp(shifted))).
# HINT log_P[np.arange(N), labels] picks one entry of every row.


def softmax_cross_entropy_forward(logits, *, labels):
    """The mean over examples of -log P at the labels.   Equations (B17), (B18)

    Parameters
    ----------
    logits : (N, K)
    labels : (N,) integers from 0 to K - 1

    Returns
    -------
    loss : a number
    cache : anything that ``softmax_cross_entropy_backward`` needs

    Examples
    --------
    >>> round(float(softmax_cross_entropy_forward(np.zeros((2, 4)), labels=np.array([0, 3]))[0]), 6)     # ln 4
    1.386294
    """
    # BEGIN SOLUTION
    # MUTANT no-shift: - logits.max(axis=-1, keepdims=True) ->
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_P = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    # MUTANT sum-for-mean: .mean() -> .sum()
    return -log_P[np.arange(len(labels)), labels].mean(), (np.exp(log_P), labels)
    # END SOLUTION


# TASK 3.2 points=5 needs=3.1: Cross-entropy, backward
# HINT Work on a copy of P: subtract 1 at the label of each row.
# HINT The loss is a mean, so divide by N; and it may be part of something larger, so multiply by dloss.


def softmax_cross_entropy_backward(dloss, cache):
    """dloss * (P - Y) / N.   Equation (B2)

    Parameters
    ----------
    dloss : upstream gradient, a number
    cache : of ``softmax_cross_entropy_forward``; left alone

    Returns
    -------
    dlogits : (N, K); every row sums to 0

    Examples
    --------
    >>> loss, cache = softmax_cross_entropy_forward(np.zeros((1, 2)), labels=np.array([1]))
    >>> softmax_cross_entropy_backward(1.0, cache)
    array([[ 0.5, -0.5]])
    """
    # BEGIN SOLUTION
    P, labels = cache
    dlogits = P.copy()
    # MUTANT labels-not-subtracted: -= 1 -> -= 0
    dlogits[np.arange(len(labels)), labels] -= 1
    # MUTANT upstream-ignored: dloss -> 1.0
    # MUTANT not-divided-by-N: / len(labels) ->
    return dlogits * (dloss / len(labels))
    # END SOLUTION


# %% [markdown]
# ## Task 4.1: Weight decay
#
# $\Omega=\frac\lambda2\lVert M\odot W\rVert^2$, Equation (B21). Only weights that are there are penalised: with a mask, a
# pruned weight must not feel the decay either, or it would come back to life.

# %%
# TASK 4.1 points=4: Weight decay
# HINT Half of lambda times the sum of squares of M * W. The derivative of a square has a 2 that cancels the half.


def l2_penalty_forward(W, *, weight_decay, weight_mask=None):
    """lambda / 2 times the sum of squares of M * W.   Equation (B21)

    Parameters
    ----------
    W : (d_in, d_out)
    weight_decay : lambda >= 0
    weight_mask : (d_in, d_out) binary, or None

    Returns
    -------
    penalty : a number
    cache : anything that ``l2_penalty_backward`` needs

    Examples
    --------
    >>> float(l2_penalty_forward(np.array([[1.0], [2.0]]), weight_decay=0.4)[0])
    1.0
    """
    # BEGIN SOLUTION
    kept = W if weight_mask is None else W * weight_mask
    # MUTANT half-missing: 0.5 * -> 1.0 *
    return 0.5 * weight_decay * (kept * kept).sum(), (kept, weight_decay)
    # END SOLUTION


def l2_penalty_backward(dpenalty, cache):
    """dpenalty * lambda * (M * W).   Equation (B21)

    Parameters
    ----------
    dpenalty : upstream gradient, a number
    cache : of ``l2_penalty_forward``

    Returns
    -------
    dW : (d_in, d_out)

    Examples
    --------
    >>> penalty, cache = l2_penalty_forward(np.array([[1.0], [2.0]]), weight_decay=0.5)
    >>> l2_penalty_backward(1.0, cache)
    array([[0.5],
           [1. ]])
    """
    # BEGIN SOLUTION
    kept, weight_decay = cache
    # MUTANT decay-doubled: weight_decay * kept -> 2 * weight_decay * kept
    return dpenalty * weight_decay * kept
    # END SOLUTION


# %% [markdown]
# ## Task 5.1: The whole net
#
# Linear, ReLU, linear, ReLU, ..., linear, loss; plus the penalty of every weight matrix. Forward, keep all caches;
# backward, take them in reverse. The gradient that leaves one layer enters the one below. The gradient of the penalty is
# added to dW: a weight that is used twice gets two contributions.

# %%
# TASK 5.1 points=8 needs=1.2,2.1,3.2,4.1: The whole net
# HINT parameters is a dict W1, b1, W2, b2, ...: there are len(parameters) // 2 layers. The last has no ReLU.
# HINT Append (linear cache, relu cache or None, penalty cache) for each layer; then walk through reversed(range(...)).
# HINT Start the way back with softmax_cross_entropy_backward(1.0, loss_cache).


def network_loss(parameters, x, *, labels, unit_masks, keep_prob, weight_masks, weight_decay):
    """Loss and gradients of a net with both masks and weight decay.   Equations (B1), (B2), (B21)

    Parameters
    ----------
    parameters : dict of W1 (d_in, d_1), b1 (d_1,), W2 (d_1, d_2), ...
    x : (N, d_in)
    labels : (N,) integers
    unit_masks : list, for the input of each layer: (N, d) binary, or None
    keep_prob : q in (0, 1], for all layers
    weight_masks : list, for each layer: binary in the shape of its W, or None
    weight_decay : lambda >= 0

    Returns
    -------
    loss : a number, the cross-entropy plus the penalties of all W
    gradients : dict like parameters

    Examples
    --------
    >>> options = dict(unit_masks=[None], keep_prob=1.0, weight_masks=[None], weight_decay=0.0)
    >>> parameters = {"W1": np.zeros((2, 3)), "b1": np.zeros(3)}
    >>> loss, gradients = network_loss(parameters, np.ones((1, 2)), labels=np.array([0]), **options)
    >>> round(float(loss), 6), sorted(gradients)
    (1.098612, ['W1', 'b1'])
    """
    # BEGIN SOLUTION
    n_layers = len(parameters) // 2
    h, penalty, caches = x, 0.0, []
    for k in range(n_layers):
        W, b = parameters[f"W{k + 1}"], parameters[f"b{k + 1}"]
        masks = {"unit_mask": unit_masks[k], "weight_mask": weight_masks[k]}
        h, linear_cache = linear_forward(h, W, b, keep_prob=keep_prob, **masks)
        relu_cache = None
        # MUTANT relu-on-the-logits: n_layers - 1 -> n_layers
        if k < n_layers - 1:
            h, relu_cache = relu_forward(h)
        omega, penalty_cache = l2_penalty_forward(W, weight_decay=weight_decay, weight_mask=weight_masks[k])
        penalty = penalty + omega
        caches.append((linear_cache, relu_cache, penalty_cache))
    loss, loss_cache = softmax_cross_entropy_forward(h, labels=labels)
    gradients = {}
    dh = softmax_cross_entropy_backward(1.0, loss_cache)
    for k in reversed(range(n_layers)):
        # MUTANT gate-of-another-layer: caches[k] -> (caches[k][0], caches[k][1] and caches[0][1], caches[k][2]) if caches[k][1] is None else (caches[k][0], caches[0][1], caches[k][2])
        linear_cache, relu_cache, penalty_cache = caches[k]
        if relu_cache is not None:
            dh = relu_backward(dh, relu_cache)
        dh, dW, db = linear_backward(dh, linear_cache)
        # MUTANT decay-missing: + l2_penalty_backward(1.0, penalty_cache) ->
        gradients[f"W{k + 1}"] = dW + l2_penalty_backward(1.0, penalty_cache)
        gradients[f"b{k + 1}"] = db
    return loss + penalty, gradients
    # END SOLUTION


# %% [markdown]
# ## Task 6.1: A gradient check of your own
#
# A derivative is a limit, so it can be measured: $\big(L(\theta+he_i)-L(\theta-he_i)\big)/2h$ for every entry, Equation
# (B26). Better, where the function takes complex numbers: $\mathrm{Im}\,L(\theta+ihe_i)/h$ with $h=10^{-30}$, Equation
# (B7), with no subtraction and so no rounding. Here you write the judge. It will be given right and wrong gradients
# of functions that you do not see, large ones and small ones; whoever rejects a right one earns nothing.

# %%
# TASK 6.1 points=6: A gradient check of your own
# HINT Change one entry of a copy at a time: np.ndindex(x.shape) runs through the indices. Leave x itself alone.
# HINT A fixed tolerance fails for values of a millionth: compare the difference with the size of the gradient.
# HINT Compare all entries. A norm or a sum alone does not see a transposed or permuted gradient.


def gradient_is_right(f, x, gradient):
    """Whether an array is the gradient of f at x.   Equations (B7), (B26)

    Parameters
    ----------
    f : a smooth function of an array like x, real or complex; returns a number
    x : float64 array of any shape; left alone
    gradient : float64 array in the shape of x: to be judged

    Returns
    -------
    verdict : True or False

    Examples
    --------
    >>> x = np.array([1.0, 2.0])
    >>> gradient_is_right(lambda a: (a**2).sum(), x, 2 * x), gradient_is_right(lambda a: (a**2).sum(), x, x)
    (True, False)
    """
    # BEGIN SOLUTION
    numeric = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        moved = x.astype(complex)
        moved[index] += 1e-30j
        numeric[index] = f(moved).imag / 1e-30
    # MUTANT absolute-tolerance: np.abs(numeric).max() -> 1.0
    size = np.abs(numeric).max()
    # MUTANT norms-only: np.abs(gradient - numeric).max() -> abs(np.linalg.norm(gradient) - np.linalg.norm(numeric))
    # MUTANT always-true: <= 1e-6 * size -> <= 1e300
    return bool(np.abs(gradient - numeric).max() <= 1e-6 * size)
    # END SOLUTION


# %% [markdown]
# ## For the curious
#
# These earn nothing and are not checked.
#
# 1. Plot the error of the central difference against $h$, from 1 to $10^{-15}$. Why is it a V, and where is its lowest
#    point? Equation (B26). Do the same with the complex step.
# 2. Without biases $\langle W_l,dW_l\rangle$ is the same number in every layer, whatever the masks: Equation (B9). Check
#    it with your net. Which of the mistakes above would it find?
# 3. What is the gradient with respect to a mask, if its zeros and ones are taken for real numbers? Equation (B23). Which
#    pruned weight would the loss like to have back most?
# 4. Put a ReLU unit at exactly $z=0$. What do central difference, complex step and Equation (B11) say, and who is right?


# BEGIN TESTS
# ---- how it is judged ------------------------------------------------------------------------------------------------


def _network_check(stages, points, name, needs=()):
    """Some stages of the gradient check, on the whole net."""

    def run(subject, seed):
        function = subject.functions.get("network_loss")
        if function is None:
            return Report("skip", "network", "network_loss", message="network_loss is not defined", file=subject.file)
        pair = network_loss_pair(function)._replace(numeric_law=not subject.trusted)
        return check_pair(pair, seed=seed, sizes=sizes_of(seed), stages=stages, file=subject.file)

    return Check(name, points, run, needs)


def _smooth(rng, shape, scale):
    """Return a smooth function of an array, and its gradient at a point that is returned as well."""
    x, a, b = rng.standard_normal(shape), rng.standard_normal(shape), rng.standard_normal(shape)

    def f(v):
        v = np.asarray(v)
        require(v.shape == shape, f"f was called with an array of shape {v.shape}, where {shape} is right")
        return scale * ((np.sin(v) * a).sum() + 0.5 * (b * v).sum() ** 2)

    return f, x, scale * (np.cos(x) * a + (b * x).sum() * b)


def _verdict(subject, f, x, gradient):
    given = x.copy()
    verdict = call(subject, "gradient_is_right", f, given, gradient.copy())
    require(isinstance(verdict, (bool, np.bool_)), f"True or False should come back, not a {type(verdict).__name__}")
    return bool(verdict)


def _wrong_gradients(rng, right):
    """What people's mistakes make of a right gradient of a square matrix."""
    one_off = right.copy()
    index = tuple(int(rng.integers(n)) for n in right.shape)
    one_off[index] += 0.02 * np.abs(right).max()
    mean = right / len(right)
    return {
        "of the wrong sign": -right,
        "twice too large": 2 * right,
        "divided by N": mean,
        "transposed": right.T.copy(),
        "with one wrong entry": one_off,
        "with rows in another order": right[::-1].copy(),
        "of zeros": 0 * right,
    }


@law("accepts what is right", "gradient_is_right")
def _accepts(subject, seed, sizes):
    """Right gradients of functions of any size.   Equation (B26)"""
    rng = np.random.default_rng(seed)
    for shape, scale in (((3, 3), 1.0), ((4,), 1e6), ((2, 3), 1e-6)):
        f, x, right = _smooth(rng, shape, scale)
        require(_verdict(subject, f, x, right), f"a right gradient is rejected (values of about {scale:g})")


@law("rejects what is wrong", "gradient_is_right")
def _rejects(subject, seed, sizes):
    """Wrong ones, among right ones, in random order."""
    rng = np.random.default_rng(seed)
    for scale in (1.0, 1e-6):
        f, x, right = _smooth(rng, (3, 3), scale)
        cases = [*_wrong_gradients(rng, right).items(), ("", right), ("", right)]
        for k in rng.permutation(len(cases)):
            words, gradient = cases[k]
            verdict = _verdict(subject, f, x, gradient)
            if words:
                require(not verdict, f"a gradient {words} is accepted (values of about {scale:g})")
            else:
                require(verdict, "a right gradient is rejected")


@law("without a unit mask", "linear_forward")
def _without_a_unit_mask(subject, seed, sizes):
    """In evaluation nothing is scaled, whatever keep_prob is.   Equation (B1)"""
    rng = np.random.default_rng(seed)
    N, d_in, d_out, _ = sizes
    x, W, b = rng.standard_normal((N, d_in)), rng.standard_normal((d_in, d_out)), rng.standard_normal(d_out)
    result = call(subject, "linear_forward", x.copy(), W.copy(), b.copy(), keep_prob=0.7)
    require(isinstance(result, (tuple, list)) and len(result) == 2, "two things should come back: y, cache")
    right = np.einsum("ni,ij->nj", x, W) + b
    close = np.shape(result[0]) == right.shape and np.allclose(result[0], right, rtol=1e-9, atol=1e-12)
    require(close, "without a unit mask the output is not x @ W + b: keep_prob belongs to the mask")


@law("slope at 0", "relu_backward", needs=("relu_forward", "relu_backward"))
def _slope_at_zero(subject, seed, sizes):
    """A unit at exactly 0 passes nothing on.   Equation (B11)"""
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((sizes.N, sizes.d_in)) * (rng.random((sizes.N, sizes.d_in)) < 0.6)
    result = call(subject, "relu_forward", z.copy())
    require(isinstance(result, (tuple, list)) and len(result) == 2, "two things should come back: h, cache")
    dz = call(subject, "relu_backward", rng.standard_normal(z.shape), result[1])
    require(np.shape(dz) == z.shape, f"dz has shape {np.shape(dz)}, where {z.shape} is expected")
    require(not np.asarray(dz)[z == 0].any(), "where z is exactly 0 the slope is 0, and dz is not")


CHECKS = {
    "1.1": (
        law_check("linear_forward", "values", 3, name="values"),
        own_check(_without_a_unit_mask, 1, needs=("values",)),
        law_check("linear_forward", ("purity", "float32 and extremes"), 2, name="details", needs=("values",)),
    ),
    "1.2": (
        law_check("linear_backward", "gradients", 4, name="gradients"),
        law_check(
            "linear_backward",
            ("gradients of a square layer", "linearity"),
            1,
            name="square layer, linearity",
            needs=("gradients",),
        ),
        law_check("linear_backward", ("purity",), 1, name="arguments left alone", needs=("gradients",)),
        law_check(
            "linear_backward", "zeros, float32 and extremes", 1, name="zeros, float32, extremes", needs=("gradients",)
        ),
        # Differences instead of a backward pass would take 235,200 forward passes here.
        pair_check("linear", (0, 4), 1, name="a large layer", sizes=LARGE, needs=("gradients",), seconds=5.0),
    ),
    "2.1": (
        law_check("relu_forward", "values", 1, name="values"),
        law_check("relu_backward", ("gradients", "linearity"), 1, name="gradients"),
        own_check(_slope_at_zero, 1, needs=("gradients",)),
        pair_check("relu", (0, 2, 7), 1, name="details", needs=("values", "gradients")),
    ),
    "3.1": (
        law_check("softmax_cross_entropy_forward", ("values", "mean over the batch"), 2, name="values"),
        law_check(
            "softmax_cross_entropy_forward",
            ("logits of 1e4", "float32 and extremes", "purity"),
            2,
            name="extremes, float32",
            needs=("values",),
        ),
    ),
    "3.2": (
        law_check("softmax_cross_entropy_backward", "gradients", 3, name="gradients"),
        law_check("softmax_cross_entropy_backward", "linearity", 1, name="upstream gradient", needs=("gradients",)),
        law_check(
            "softmax_cross_entropy_backward",
            ("purity", "zeros, float32 and extremes"),
            1,
            name="details",
            needs=("gradients",),
        ),
    ),
    "4.1": (
        law_check("l2_penalty_forward", "values", 1, name="values"),
        law_check("l2_penalty_backward", ("gradients", "linearity"), 2, name="gradients"),
        pair_check("l2_penalty", (0, 2, 7), 1, name="details", needs=("values", "gradients")),
    ),
    "5.1": (
        _network_check((0, 1), 2, "loss"),
        _network_check((0, 5), 4, "gradients"),
        _network_check((0, 5, 6), 1, "weight decay", ("gradients",)),
        _network_check((0, 2, 7), 1, "details", ("loss", "gradients")),
    ),
    "6.1": (own_check(_accepts, 0), own_check(_rejects, 6)._replace(needs=("accepts what is right",))),
}

ASSIGNMENT = assignment_from(__file__, "Backpropagation by hand", CHECKS)
# END TESTS

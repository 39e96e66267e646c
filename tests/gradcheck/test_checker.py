"""The checker: every kind of bad behaviour is its own finding, kinks are judged fairly, large nets are checked fast."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from numpynet import equations
from numpynet.equations.activations import leaky_relu, sigmoid, tanh
from numpynet.gradcheck import (
    REFERENCE,
    Inputs,
    LayerPair,
    Layers,
    Sizes,
    activation_pair,
    bug,
    check_function,
    check_layers,
    check_network,
    check_pair,
    compose_network,
    draw_mask,
    draw_normal,
    layers_of,
    linear_pair,
    mask_gradients_pair,
    relu_pair,
    softmax_cross_entropy_pair,
)
from numpynet.network import MLP
from numpynet.parameters import Parameters

seeds = st.integers(0, 2**32 - 1)
CORRECT = relu_pair(REFERENCE.relu_forward, REFERENCE.relu_backward)
LINEAR = linear_pair(REFERENCE.linear_forward, REFERENCE.linear_backward)


# ---- correct code ---------------------------------------------------------------------------------------------------


@pytest.mark.equation("B3")
@pytest.mark.equation("B5")
@pytest.mark.equation("B6")
@given(seed=seeds)
def test_the_masked_linear_layer_passes(seed):
    report = check_pair(LINEAR, seed=seed)
    assert report.passed, report.text()
    assert report.method == "complex step"
    assert report.worst_error < 1e-13


@pytest.mark.equation("B4")
@pytest.mark.parametrize("activation", [tanh, sigmoid, leaky_relu, equations.identity, equations.relu])
def test_the_activations_pass(activation):
    for seed in range(5):
        report = check_pair(activation_pair(activation, law=lambda z, a=activation: a.forward(z)[0]), seed=seed)
        assert report.passed, report.text()


@pytest.mark.equation("B23")
def test_the_gradients_of_the_masks_pass_and_a_wrong_one_does_not():
    pair = mask_gradients_pair(REFERENCE.linear_forward, REFERENCE.mask_gradients)
    assert check_pair(pair).passed
    wrong = mask_gradients_pair(
        REFERENCE.linear_forward, lambda dy, c: (REFERENCE.mask_gradients(dy, c)[0], dy @ c.W_kept.T * c.x)
    )
    assert check_pair(wrong).array == "dunit_mask"


@pytest.mark.equation("D17")
@given(seed=seeds)
def test_a_pair_of_ones_own_dropconnect(seed):
    def draw(rng, sizes, keep_prob):
        N, d_in, d_out, _ = sizes
        arrays = draw_normal(x=("N", "d_in"), W=("d_in", "d_out"), b=("d_out",))(rng, sizes, keep_prob).arrays
        mask = draw_mask(rng, (N, d_in, d_out), keep_prob)
        return Inputs(arrays, {"connection_mask": mask, "keep_prob": keep_prob})

    f, b = equations.dropconnect_forward, equations.dropconnect_backward
    report = check_pair(LayerPair("dropconnect", f, b, ("x", "W", "b"), draw), seed=seed)
    assert report.passed, report.text()
    wrong = LayerPair(
        "dropconnect", f, lambda dz, c: (b(dz, c)[0], 2 * b(dz, c)[1], b(dz, c)[2]), ("x", "W", "b"), draw
    )
    assert check_pair(wrong, seed=seed).cause == "5b"


@pytest.mark.equation("B16")
def test_softmax_by_itself():
    def forward(z):
        p = equations.softmax(z)
        return p, p

    backward = equations.losses.softmax_backward
    assert check_pair(LayerPair("softmax", forward, backward, ("z",), draw_normal(z=("N", "K")), extreme="z")).passed


def test_a_module_is_an_implementation():
    found = layers_of(equations)
    assert found.linear_backward is REFERENCE.linear_backward
    assert found.dropout_forward is REFERENCE.dropout_forward  # known there as inverted_dropout_forward
    assert found.relu_forward is None
    assert all(report.passed for report in check_layers(found))
    with pytest.raises(ValueError, match="none of the layer functions"):
        layers_of({"something": 1})


# ---- sensitivity ----------------------------------------------------------------------------------------------------


@given(seed=seeds, factor=st.sampled_from([1.001, 1 + 1e-6, 1 - 1e-6]))
def test_one_entry_that_is_off_by_a_millionth_is_rejected(seed, factor):
    def backward(dy, cache):
        dx, dW, db = REFERENCE.linear_backward(dy, cache)
        dW = dW.copy()
        dW.reshape(-1)[abs(dW).argmax()] *= factor
        return dx, dW, db

    report = check_pair(linear_pair(REFERENCE.linear_forward, backward), seed=seed, stages=(0, 4))
    assert (report.status, report.array, report.n_wrong) == ("fail", "dW", 1)
    assert report.ratio == pytest.approx(factor, rel=1e-9)


def test_a_constant_upstream_gradient_would_have_hidden_this():
    """Zero is the right product of the softmax Jacobian with ones; dy is random, so the bug shows."""

    def forward(z):
        p = equations.softmax(z)
        return p, p

    report = check_pair(LayerPair("softmax", forward, lambda dp, p: 0 * p, ("z",), draw_normal(z=("N", "K"))))
    assert report.status == "fail"
    assert "all of yours are 0" in report.text()


def test_an_ambiguous_shape_is_settled_by_other_draws():
    """With N = 5 and q = 0.8 a factor 5 is N or 1 / (1 - q); other sizes tell."""

    def backward(dy, cache):
        dx, dW, db = REFERENCE.linear_backward(dy, cache)
        return dx, 1.0 * len(dy) * dW, db

    pair = linear_pair(REFERENCE.linear_forward, backward)
    report = check_pair(pair, sizes=Sizes(5, 7, 11, 3), keep_prob=0.8, stages=(0, 4))
    assert [cause.id for cause in report.causes] == ["1"]

    def by_drop_rate(dy, cache):
        dx, dW, db = REFERENCE.linear_backward(dy, cache)
        return dx, dW / (1 - cache.keep_prob), db

    pair = linear_pair(REFERENCE.linear_forward, by_drop_rate)
    report = check_pair(pair, sizes=Sizes(5, 7, 11, 3), keep_prob=0.8, stages=(0, 4))
    assert report.causes[0].id == "factor"
    assert "(1-q)^-1" in report.causes[0].text


# ---- bad behaviour --------------------------------------------------------------------------------------------------


def unrepeatable():
    calls = iter(range(1000))
    return lambda z: (z * (z.real > 0) + 1e-3 * next(calls), z.real > 0)


def edits_input(z):
    z *= z.real > 0
    return z, z.real > 0


good_backward = REFERENCE.relu_backward


def gate_backward(dh, gate):
    return dh * gate


@pytest.mark.parametrize(
    ("forward", "backward", "status", "kind", "words"),
    [
        (lambda z: None, good_backward, "fail", "none", "forward returns None"),
        (lambda z: z * (z > 0), good_backward, "fail", "arity", "returns ndarray, where two are expected"),
        (lambda z: (z, z, z), good_backward, "fail", "arity", "3 values"),
        (lambda z: (None, z), good_backward, "fail", "none", "output of forward is None"),
        (lambda z: ("z", z), good_backward, "fail", "type", "is a str"),
        (lambda z: (z.tolist(), z), good_backward, "fail", "type", "is a list"),
        (lambda z: ((z > 0).astype(int), z > 0), gate_backward, "fail", "dtype", "whole numbers"),
        (lambda z: (z * (z > 0) + 0j, z > 0), gate_backward, "fail", "dtype", "complex"),
        (lambda z: (np.log(z), z > 0), gate_backward, "fail", "not finite", "nan"),
        (lambda z: (_ for _ in ()).throw(KeyError("W1")), good_backward, "error", "raised in forward", "KeyError"),
        (lambda z: exit(3), good_backward, "error", "raised in forward", "SystemExit"),
        (lambda z, extra: (z, z), good_backward, "error", "raised in forward", "TypeError"),
        (42, good_backward, "fail", "type", "int, not a function"),
        (unrepeatable(), gate_backward, "fail", "not repeatable", "two forward passes"),
        (edits_input, gate_backward, "fail", "modified", "z is modified in place"),
        (REFERENCE.relu_forward, lambda dh, c: None, "fail", "none", "backward returns None instead of dz"),
        (REFERENCE.relu_forward, lambda dh, c: (dh, dh), "fail", "arity", "2 gradients, where 1 (dz)"),
        (REFERENCE.relu_forward, lambda dh, c: [None], "fail", "none", "dz is None"),
        (REFERENCE.relu_forward, lambda dh, c: "dz", "fail", "type", "dz is a str"),
        (REFERENCE.relu_forward, lambda dh, c: (dh * c.z_positive).T, "fail", "shape", "its transpose"),
        (REFERENCE.relu_forward, lambda dh, c: dh.sum(), "fail", "shape", "has shape ()"),
        (REFERENCE.relu_forward, lambda dh, c: dh * c.z_positive / 0, "fail", "not finite", "dz["),
        (REFERENCE.relu_forward, lambda dh, c: (dh * c.z_positive).astype("f4"), "fail", "dtype", "float32"),
        (REFERENCE.relu_forward, lambda dh, c: np.where(c.z_positive, 1, 0), "fail", "dtype", "whole numbers"),
        (REFERENCE.relu_forward, lambda dh, c: (dh * c.z_positive).astype(object), "fail", "dtype", "object"),
        (REFERENCE.relu_forward, lambda dh, c: dh / 0 * c.nothing, "error", "raised in backward", "nothing"),
        (REFERENCE.relu_forward, lambda dh: dh, "error", "raised in backward", "TypeError"),
    ],
)
def test_bad_behaviour_is_a_clear_finding_and_never_a_traceback(forward, backward, status, kind, words):
    pair = relu_pair(forward, backward)._replace(law=None)
    report = check_pair(pair)
    assert (report.status, report.kind) == (status, kind), report.text()
    assert words in report.text()
    assert "Traceback" not in report.text()
    assert report.to_json()


def test_an_output_of_the_wrong_shape_is_seen_by_the_law():
    report = check_pair(relu_pair(lambda z: (z[0], z > 0), gate_backward))
    assert (report.kind, report.array) == ("shape", "y")


def test_what_is_not_written_yet_waits_and_is_not_wrong():
    def backward(dh, cache):
        raise NotImplementedError("Task 1.2: relu_backward")

    report = check_pair(relu_pair(REFERENCE.relu_forward, backward))
    assert (report.status, report.message) == ("wait", "Task 1.2: relu_backward")


def test_half_a_pair_is_reported_and_not_silently_skipped():
    reports = {r.layer: r for r in check_layers(Layers(relu_forward=REFERENCE.relu_forward))}
    assert reports["relu"].status == "skip"
    assert "relu_backward" in reports["relu"].message


@pytest.mark.parametrize("dtype", [float, np.float32])
def test_a_forward_that_casts_complex_to_float_is_told_so_and_still_checked(dtype):
    def forward(z):
        z = z.astype(dtype)
        return z * (z > 0), z > 0

    report = check_pair(relu_pair(forward, gate_backward)._replace(law=None), stages=(0, 2, 3, 4))
    if dtype is float:
        assert report.status == "pass"
        assert report.method == "central difference"
        assert any("casts complex to float" in note for note in report.notes)
        wrong = check_pair(relu_pair(forward, lambda dh, gate: 1.0 * dh)._replace(law=None), stages=(0, 2, 3, 4))
        assert wrong.cause == "20a"
    else:
        assert (report.status, report.kind, report.cause) == ("fail", "dtype", "27a")


def test_warnings_of_the_code_under_test_stay_inside():
    def forward(z):
        np.log(-np.ones(2))
        return REFERENCE.relu_forward(z)

    assert check_pair(relu_pair(forward, REFERENCE.relu_backward), stages=(0, 1, 2, 3, 4)).passed


def test_masked_entries_must_be_exactly_0():
    def backward(dy, cache):
        dx, dW, db = REFERENCE.linear_backward(dy, cache)
        return dx, dW + 1e-14 * (1 - cache.weight_mask) * (dy.sum() + 3), db

    report = check_pair(linear_pair(REFERENCE.linear_forward, backward), stages=(0, 4, 7))
    assert (report.stage, report.kind, report.array) == (7, "dead", "dW")


def test_dropout_at_evaluation_is_seen():
    def forward(x, W, b, *, unit_mask=None, keep_prob=1.0, weight_mask=None):
        if unit_mask is None:
            unit_mask, keep_prob = (np.arange(x.size).reshape(x.shape) % 3 > 0) * 1.0, 2 / 3
        return REFERENCE.linear_forward(x, W, b, unit_mask=unit_mask, keep_prob=keep_prob, weight_mask=weight_mask)

    report = check_pair(linear_pair(forward, REFERENCE.linear_backward))
    assert report.stage == 1
    assert "evaluation" in report.text()


# ---- kinks ----------------------------------------------------------------------------------------------------------


def zeros_in(z, gate):
    """ReLU of given z, with units at 0, and a gate that looks at z or at its real part."""
    forward = lambda z: (z * (gate(z) > 0), gate(z) > 0)  # noqa: E731
    return LayerPair("relu", forward, gate_backward, ("z",), lambda rng, sizes, q: Inputs({"z": z.copy()}, {}))


@pytest.mark.equation("B11")
@given(
    z=st.lists(st.sampled_from([0.0, -0.0, 1.5, -2.0, 1e-3]), min_size=2, max_size=8).map(lambda v: np.array([v])),
    method=st.sampled_from([None, "central difference"]),
)
@example(z=np.array([[0.0, 0.0]]), method="central difference")
def test_a_correct_relu_passes_with_units_at_0(z, method):
    for gate in (lambda z: z, np.real):
        report = check_pair(zeros_in(z, gate), stages=(0, 4), method=method)
        assert report.passed, report.text()


def test_the_units_at_a_kink_are_named():
    z = np.array([[1.0, 0.0, -1.0], [2.0, 3.0, 0.0]])
    report = check_pair(zeros_in(z, lambda z: z), stages=(0, 4))
    assert report.kinks == (((0, 1), 0.0), ((1, 2), 0.0))
    assert report.to_dict()["kinks"][0] == {"unit": [0, 1], "z": 0.0}
    assert check_pair(zeros_in(z, np.real), stages=(0, 4)).kinks == ()


@pytest.mark.parametrize("method", [None, "central difference"])
def test_the_bracket_is_no_licence(method):
    """At z = 0 any slope between 0 and 1 will do, and 1.5 will not; elsewhere nothing is forgiven."""
    z = np.array([[1.0, 0.0, -1.0]])
    pair = zeros_in(z, lambda z: z)

    def slope_at_0(slope, elsewhere=0.0):
        return pair._replace(backward=lambda dh, gate: dh * np.array([[1.0, slope, elsewhere]]))

    assert check_pair(slope_at_0(0.4), stages=(0, 4), method=method).passed
    assert not check_pair(slope_at_0(1.5), stages=(0, 4), method=method).passed
    assert not check_pair(slope_at_0(-0.1), stages=(0, 4), method=method).passed
    assert check_pair(slope_at_0(0.4, 0.4), stages=(0, 4), method=method).n_wrong == 1


def test_gates_on_the_real_part_are_judged_strictly():
    z = np.array([[1.0, 0.0, -1.0]])
    pair = zeros_in(z, np.real)._replace(backward=lambda dh, gate: dh * np.array([[1.0, 1.0, 0.0]]))
    assert check_pair(pair, stages=(0, 4)).index == (0, 1)


# ---- functions and networks -----------------------------------------------------------------------------------------


def test_a_plain_function_right_wrong_and_strange():
    x = np.array([0.5, -1.0, 2.0])
    assert check_function(lambda x: (np.sum(x**3), 3 * x**2), x).passed
    assert check_function(lambda x: (np.sum(x**3), 6 * x**2), x).cause == "5b"
    assert check_function(lambda x: (np.sum(np.abs(x)), np.sign(x)), x).method == "central difference"
    assert check_function(lambda x: np.sum(x**3), x).kind == "arity"
    assert check_function(lambda x: (np.sum(x**3), None), x).kind == "none"
    assert check_function(lambda x: 1 / 0, x).status == "error"
    two = check_function(lambda a, b: (np.sum(a * b), (b, 2 * a)), x, x[::-1].copy(), names=("a", "b"))
    assert (two.array, two.ratio) == ("db", pytest.approx(2))
    by_name = check_function(lambda a, b: (np.sum(a * b), {"a": b, "b": a}), x, x + 1, names=("a", "b"))
    assert by_name.passed


@pytest.mark.parametrize("x", [np.ones(3, np.float32), [1.0, 2.0], np.ones(3, int)])
def test_functions_are_checked_in_double_precision_only(x):
    with pytest.raises(TypeError, match="float64"):
        check_function(lambda x: (x.sum(), np.ones(3)), x)


@pytest.mark.equation("B7")
@given(seed=seeds)
def test_small_networks_pass_entry_by_entry(seed):
    net = MLP((4, 7, 5, 3), activation=[tanh, leaky_relu, sigmoid, equations.relu][seed % 4], keep_prob=0.7)
    report = check_network(net, seed=seed)
    assert report.passed, report.text()
    assert report.method == "complex step"


class ForgetsTheMask(MLP):
    """A network whose backward pass is wrong in one layer."""

    def backward(self, dlogits, caches, *, out=None):
        gradients = super().backward(dlogits, caches, out=out)
        dense = equations.dense_gradient(dlogits, caches.linear[-1])
        gradients[self.layout.weight_names[-1]] = dense
        return gradients


def test_a_wrong_network_is_localised_from_the_loss_backwards():
    report = check_network(ForgetsTheMask((4, 7, 5, 3), keep_prob=0.7))
    assert (report.status, report.array) == ("fail", "dW3")
    assert report.n_spurious == report.n_wrong > 0
    large = check_network(ForgetsTheMask((40, 70, 50, 3), keep_prob=0.7))
    assert (large.status, large.array) == ("fail", "dW3")
    assert large.n_spurious == large.n_wrong > 0  # the stratified sample held pruned entries
    assert any("sampled" in note for note in large.notes)


def test_a_bug_in_the_first_layer_of_a_large_network_is_seen_along_one_direction():
    class OneEntryWrong(MLP):
        def backward(self, dlogits, caches, *, out=None):
            gradients = super().backward(dlogits, caches, out=out)
            gradients["W1"].reshape(-1)[abs(caches.linear[0].W_kept).argmax()] *= 1.01
            return gradients

    report = check_network(OneEntryWrong((784, 300, 100, 10), keep_prob=0.8))
    assert (report.status, report.array) == ("fail", "dW1")
    assert "random direction" in report.text()


def test_a_large_layer_that_loses_the_imaginary_part_is_not_believed():
    """abs on half of the sum: the complex step misses that half, and so does this backward pass."""

    def half_real(x):
        return np.tanh(x) + np.abs(x), x

    def backward(dy, x):
        return dy * (1 - np.tanh(x) ** 2)  # the half that the complex step sees

    pair = LayerPair("half", half_real, backward, ("x",), draw_normal(x=(40, 60)))
    report = check_pair(pair, stages=(0, 2, 3, 4))
    assert (report.status, report.method) == ("fail", "central difference")
    right = pair._replace(backward=lambda dy, x: dy * (1 - np.tanh(x) ** 2 + np.sign(x)))
    report = check_pair(right, stages=(0, 2, 3, 4))
    assert report.passed
    assert any("entries could be compared" in note for note in report.notes)

    def real(x):
        return np.abs(x) * np.ones(x.shape), x

    zero = LayerPair("zero", real, lambda dy, x: 0.0 * dy, ("x",), draw_normal(x=(40, 60)))
    assert check_pair(zero, stages=(0, 2, 3, 4)).status == "fail"


@pytest.mark.equation("B7")
def test_the_mnist_network_is_checked_in_under_a_second():
    net = MLP((784, 300, 100, 10), keep_prob=0.8)
    check_network(net)  # the first matrix product of a process is slow
    start = time.process_time()  # processor time: the machine may be busy with other things
    report = check_network(net, seed=1)
    assert time.process_time() - start < 1.0
    assert report.passed, report.text()
    assert report.worst_error < 1e-12


def test_a_network_of_256_parameters_is_checked_entry_by_entry_in_a_tenth_of_a_second():
    net = MLP((7, 11, 9, 4, 4), keep_prob=0.8)
    assert net.layout.size == 256
    seconds = []
    for seed in range(5):  # the best of five, in processor time: the machine may be busy
        start = time.process_time()
        report = check_network(net, seed=seed)
        seconds.append(time.process_time() - start)
        assert report.passed, report.text()
        assert report.method == "complex step"
    assert min(seconds) < 0.1


def test_given_parameters_and_masks_are_used():
    net = MLP((5, 6, 3), keep_prob=0.7)
    rng = np.random.default_rng(0)
    theta, x = net.init(rng), rng.normal(size=(4, 5)).astype(np.float32)  # float32 is converted
    seen = []

    class Watched(MLP):
        def forward(self, theta, x, **masks):
            seen.append((theta, x, masks["weight_mask"], masks["unit_masks"]))
            return super().forward(theta, x, **masks)

    weight_mask = Parameters((rng.random(net.layout.size) < 0.5).astype(np.float32), net.layout)
    unit_masks = net.sample_unit_masks(rng, (4,))
    report = check_network(Watched((5, 6, 3), keep_prob=0.7), theta, x, weight_mask=weight_mask, unit_masks=unit_masks)
    assert report.passed, report.text()
    used_theta, used_x, used_weight_mask, used_unit_masks = seen[0]
    for ours, theirs in (
        (theta.vector, used_theta),
        (x, used_x),
        (weight_mask.vector, used_weight_mask),
        (unit_masks[1], used_unit_masks[1]),
    ):
        np.testing.assert_array_equal(np.asarray(theirs), ours.astype(np.float64))
    assert check_network(net, seed=3, stages=range(8)).passed  # float32 too


@pytest.mark.equation("B21")
def test_the_composed_network_is_that_of_the_mlp():
    net = MLP((4, 6, 6, 3), keep_prob=0.7)
    rng = np.random.default_rng(0)
    theta = net.init(rng, dtype=np.float64)
    x, labels = rng.normal(size=(5, 4)), np.array([0, 2, 1, 1, 0])
    unit_masks = net.sample_unit_masks(rng, (5,), dtype=np.float64)
    loss, gradients = compose_network(REFERENCE)(
        dict(theta.items()), x, labels=labels, unit_masks=unit_masks, keep_prob=0.7, weight_decay=0.1
    )
    logits, caches = net.forward(theta, x, unit_masks=unit_masks)
    expected, cache = equations.softmax_cross_entropy_forward(logits, labels)
    dtheta = net.backward(equations.softmax_cross_entropy_backward(1.0, cache), caches)
    weights = [theta[name] for name in net.layout.weight_names]
    assert loss == pytest.approx(expected + 0.05 * sum((W * W).sum() for W in weights))
    for name, g in gradients.items():
        decay = 0.1 * theta[name] if name.startswith("W") else 0
        np.testing.assert_allclose(g, dtheta[name] + decay, rtol=1e-12, atol=1e-14)


# ---- the door -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [(5, 7), (5, 7, 0, 3), (5, 7, 11, 2.5)])
def test_wrong_sizes_are_refused(sizes):
    with pytest.raises(ValueError, match="four positive integers"):
        check_pair(CORRECT, sizes=sizes)


def test_a_pair_whose_names_do_not_fit_its_draw_is_refused():
    with pytest.raises(ValueError, match="differentiable names"):
        check_pair(CORRECT._replace(differentiable=("x",)))


def test_an_unknown_layer_is_refused():
    with pytest.raises(ValueError, match="there is no pair 'conv'"):
        check_layers(REFERENCE, only="conv")


def test_only_one_layer_can_be_checked():
    [report] = check_layers(bug("20a").plant(), only="relu")
    assert report.cause == "20a"
    [report] = check_layers(bug("20a").plant(), only="linear")
    assert report.passed


@given(seed=seeds)
def test_a_seed_repeats_its_report(seed):
    layers = bug("8b").plant()
    pair = softmax_cross_entropy_pair(layers.softmax_cross_entropy_forward, layers.softmax_cross_entropy_backward)
    assert check_pair(pair, seed=seed).to_json() == check_pair(pair, seed=seed).to_json()


# ---- f(x) -> (value, gradient), as people write it ---------------------------------------------------------------------


def test_a_value_that_is_a_python_float_is_checked_by_differences():
    x = np.random.default_rng(0).standard_normal((4, 3))
    report = check_function(lambda x: (float((x.real**2).sum()), 2 * x), x)
    assert report.status == "pass", report.text()
    assert check_function(lambda x: (float((x.real**2).sum()), 3 * x), x).status == "fail"
    assert check_function(lambda x: (1.0, np.zeros_like(x)), x).status == "pass"


def test_a_gradient_that_is_added_up_from_call_to_call_is_found():
    class Accumulates:
        total = 0.0

        def __call__(self, x):
            self.total = self.total + 2 * x
            return (x * x).sum(), self.total

    report = check_function(Accumulates(), np.random.default_rng(0).standard_normal((4, 3)))
    assert report.status == "fail" and report.kind == "not repeatable", report.text()


def test_a_single_number_as_input_and_a_vector_as_value():
    assert check_function(lambda x: (x**2, 2 * x), np.array(3.0)).status == "pass"
    assert check_function(lambda x: (x**2, 3 * x), np.array(3.0)).status == "fail"
    report = check_function(lambda x: (x**2, 2 * x), np.ones(3))
    assert report.status == "error" and "one number" in report.text()
    assert "check_function(f, x, seed=" in check_function(lambda x: ((x**2).sum(), 3 * x), np.ones(3)).reproduce()


def test_layers_without_mask_gradients_are_wired_and_may_return_a_tuple_of_one():
    layers = REFERENCE._replace(
        mask_gradients=None, relu_backward=lambda dh, cache: (REFERENCE.relu_backward(dh, cache),)
    )
    reports = check_layers(layers)
    assert reports[-1].task == "network" and all(report.passed for report in reports), reports[-1].text()


def test_a_call_that_does_not_fit_shows_the_call_and_an_exception_its_line():
    reports = check_layers(
        REFERENCE._replace(linear_forward=lambda x, W, b: (x @ W + b, None), relu_backward=lambda dh, cache: 1 / 0)
    )
    texts = {report.task: report.text() for report in reports}
    assert "it is called as forward(x, W, b, unit_mask=..., keep_prob=..., weight_mask=...)" in texts["linear"]
    assert "ZeroDivisionError: division by zero (line " in texts["relu"]

"""The network as one uses it: stacks, side effects, dtypes, the description and its methods, and what is refused."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpynet.equations.activations import Activation, relu, tanh
from numpynet.equations.losses import softmax
from numpynet.equations.masks import sample_mask
from numpynet.gradcheck.numeric import complex_step
from numpynet.initializers import glorot_normal, he_uniform
from numpynet.network import MLP
from numpynet.parameters import Layout, Parameters
from tests.checks import assert_close, random_like
from tests.networks import ACTIVATIONS, Case, any_case, cases, make_case
from tests.strategies import keep_probs, network_sizes, seeds

every_activation = pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda a: a.name)


# ---- stacks, purity, dtypes ------------------------------------------------------------------------------------------


@given(case=any_case(replicates=(3,), density=0.6))
def test_stacked_replicates_are_single_runs(case: Case) -> None:
    logits, caches = case.logits()
    dlogits = random_like(logits, case.seed)
    gradients = case.net.backward(dlogits, caches)
    assert gradients.replicates == (3,)
    for r in range(3):
        single = Case(
            case.net,
            case.theta.replicate(r),
            case.x,
            case.labels,
            case.weight_mask.replicate(r),
            None if case.unit_masks is None else [None if D is None else D[r] for D in case.unit_masks],
            case.seed,
        )
        logits_r, caches_r = single.logits()
        assert_close(logits[r], logits_r)
        assert_close(gradients.replicate(r).vector, case.net.backward(dlogits[r], caches_r).vector)


@pytest.mark.parametrize("initializer", [glorot_normal, he_uniform])
def test_replicates_start_as_single_networks_do(initializer: Any) -> None:
    net = MLP((5, 4, 3))
    stacked = net.init([np.random.default_rng(r) for r in range(3)], initializer=initializer)
    assert stacked.replicates == (3,)
    for r in range(3):
        single = net.init(np.random.default_rng(r), initializer=initializer)
        assert np.array_equal(stacked.vector[r], single.vector)
    assert not np.array_equal(stacked.vector[0], stacked.vector[1])


@given(case=any_case())
def test_no_pass_changes_what_it_was_given(case: Case) -> None:
    before = copy.deepcopy(case)
    logits, caches = case.logits()
    dlogits = random_like(logits, case.seed)
    kept = copy.deepcopy((dlogits, logits, caches))
    gradients = case.net.backward(dlogits, caches)
    assert np.array_equal(case.theta.vector, before.theta.vector)
    assert np.array_equal(case.x, before.x)
    if case.weight_mask is not None:
        assert np.array_equal(case.weight_mask.vector, before.weight_mask.vector)
    for D, D_before in zip(case.unit_masks or (), before.unit_masks or ()):
        assert D is None or np.array_equal(D, D_before)
    assert np.array_equal(dlogits, kept[0]) and np.array_equal(logits, kept[1])
    for cache, cache_before in zip(caches.linear, kept[2].linear):
        assert np.array_equal(cache.x_kept, cache_before.x_kept) and np.array_equal(cache.W_kept, cache_before.W_kept)
    for array in (logits, gradients.vector):
        assert not any(np.shares_memory(array, other) for other in (case.theta.vector, case.x, dlogits))


@given(case=any_case())
def test_two_forward_passes_may_stand_before_one_backward_pass(case: Case) -> None:
    logits, caches = case.logits()
    dlogits = random_like(logits, case.seed)
    expected = case.net.backward(dlogits, caches).vector.copy()
    other = Case(case.net, 2 * case.theta, -case.x[:3], case.labels[:3], None, None, case.seed)
    other_logits, other_caches = other.logits()
    assert np.array_equal(case.net.backward(dlogits, caches).vector, expected)
    case.net.backward(other_logits, other_caches)
    assert np.array_equal(case.net.backward(dlogits, caches).vector, expected)


@given(case=any_case())
def test_out_is_filled_and_returned(case: Case) -> None:
    logits, caches = case.logits()
    out = Parameters(np.full_like(case.theta.vector, np.nan), case.net.layout)
    result = case.net.backward(random_like(logits, case.seed), caches, out=out)
    assert result is out
    assert np.array_equal(out.vector, case.net.backward(random_like(logits, case.seed), caches).vector)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.complex128])
@given(data=st.data())
def test_the_dtype_that_comes_in_goes_out(dtype: type, data: st.DataObject) -> None:
    case = data.draw(cases(tanh))
    exact_logits, caches = case.logits()
    dlogits = random_like(exact_logits, case.seed)
    exact = case.net.backward(dlogits, caches)
    cast = Case(
        case.net,
        case.theta.astype(dtype),
        case.x.astype(dtype),
        case.labels,
        None if case.weight_mask is None else case.weight_mask.astype(dtype),
        None if case.unit_masks is None else [None if D is None else D.astype(dtype) for D in case.unit_masks],
        case.seed,
    )
    logits, caches = cast.logits()
    gradients = case.net.backward(dlogits.astype(dtype), caches)
    assert logits.dtype == dtype and gradients.dtype == dtype
    assert_close(logits, exact_logits, tolerance=1e-4)
    assert_close(gradients.vector, exact.vector, tolerance=1e-4)


@every_activation
@pytest.mark.parametrize("sizes", [(1, 1), (1, 1, 1), (3, 1, 2), (1, 4, 1)], ids=str)
def test_one_unit_and_one_example(activation: Activation, sizes: tuple[int, ...]) -> None:
    case = make_case(sizes, activation, 5, keep_prob=(0.7,) * (len(sizes) - 1), density=None, N=1)
    case.unit_masks = [np.ones((1, d)) for d in sizes[:-1]]
    gradients = case.gradients()
    assert_close(gradients.vector, complex_step(case.loss, case.theta.vector))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_huge_logits_leave_loss_and_gradients_finite(dtype: type) -> None:
    case = make_case((4, 6, 3), relu, 0, density=None)
    case.theta, case.x = (1e3 * case.theta).astype(dtype), case.x.astype(dtype)
    logits, _ = case.logits()
    assert np.abs(logits).max() > 1e4
    assert np.isfinite(case.loss(case.theta.vector))
    assert np.isfinite(case.gradients().vector).all()


# ---- the description and its small methods ---------------------------------------------------------------------------


@given(seed=seeds, sizes=network_sizes())
def test_prediction_is_the_largest_logit_in_evaluation(seed: int, sizes: tuple[int, ...]) -> None:
    case = make_case(sizes, relu, seed, keep_prob=(0.8, 0.6, 0.7))
    case.unit_masks = None
    predicted = case.net.predict(case.theta, case.x, weight_mask=case.weight_mask)
    assert np.array_equal(predicted, softmax(case.logits()[0]).argmax(axis=-1))


def test_keep_probabilities_by_layer() -> None:
    assert MLP((5, 4, 3, 2)).keep_probs == (None, 1.0, 1.0)
    assert MLP((5, 4, 3, 2), keep_prob=0.8).keep_probs == (None, 0.8, 0.8)
    assert MLP((5, 4, 3, 2), keep_prob=[0.9, None, 0.6]).keep_probs == (0.9, None, 0.6)
    assert MLP((5, 4, 3, 2), keep_prob=np.array([0.9, 0.8, 0.6])).keep_probs == (0.9, 0.8, 0.6)
    assert MLP((5, 2), keep_prob=0.8).keep_probs == (None,)
    assert not MLP((5, 4, 2)).has_dropout and not MLP((5, 2), keep_prob=0.8).has_dropout
    assert MLP((5, 4, 2), keep_prob=0.8).has_dropout and MLP((5, 2), keep_prob=[0.8]).has_dropout


def test_equal_descriptions_are_equal_and_frozen() -> None:
    net = MLP([5, 4, 2], keep_prob=[0.9, 0.8])
    assert net == MLP((5, 4, 2), keep_prob=(0.9, 0.8)) and hash(net) == hash(MLP((5, 4, 2), keep_prob=(0.9, 0.8)))
    assert net.sizes == (5, 4, 2) and net.n_layers == 2 and net.layout == Layout.of_sizes((5, 4, 2))
    with pytest.raises(AttributeError):
        net.sizes = (5, 2)


@pytest.mark.equation("D1")
@given(seed=seeds, q_1=keep_probs, q_2=keep_probs)
def test_unit_masks_are_drawn_layer_by_layer_from_one_stream(seed: int, q_1: float, q_2: float) -> None:
    net = MLP((5, 4, 3, 2), keep_prob=(None, q_1, q_2))
    masks = net.sample_unit_masks(np.random.default_rng(seed), (7,), dtype=np.float64)
    rng = np.random.default_rng(seed)
    assert masks[0] is None
    assert np.array_equal(masks[1], sample_mask(rng, (7, 4), q_1)) and masks[1].dtype == np.float64
    assert np.array_equal(masks[2], sample_mask(rng, (7, 3), q_2))
    assert net.sample_unit_masks(rng, (1,))[1].shape == (1, 4)
    # keep_prob 1 draws, too: a network that differs only there sees the same masks elsewhere.
    undropped = MLP(net.sizes, keep_prob=(None, 1.0, q_2)).sample_unit_masks(np.random.default_rng(seed), (7,))
    assert undropped[1].all() and np.array_equal(undropped[2], masks[2])


@given(seed=seeds, q=keep_probs)
def test_monte_carlo_masks_in_one_stack_are_those_drawn_in_turn(seed: int, q: float) -> None:
    net, rng = MLP((5, 4, 2), keep_prob=q), np.random.default_rng(seed)
    stack = net.sample_unit_masks(np.random.default_rng(seed), (3, 7))[1]
    assert np.array_equal(stack, [net.sample_unit_masks(rng, (7,))[1] for _ in range(3)])


def test_biases_start_at_zero_and_weights_by_the_initializer_layer_by_layer() -> None:
    net = MLP((5, 4, 2))
    theta, rng = net.init(np.random.default_rng(0), initializer=he_uniform, dtype=np.float64), np.random.default_rng(0)
    assert np.array_equal(theta["W1"], he_uniform(rng, 5, 4, dtype=np.float64))
    assert np.array_equal(theta["W2"], he_uniform(rng, 4, 2, dtype=np.float64))
    assert not theta["b1"].any() and not theta["b2"].any()
    assert net.init(np.random.default_rng(0)).dtype == np.float32


def test_trusted_skips_the_scans_and_nothing_else() -> None:
    case = make_case((4, 3, 2), relu, 0, keep_prob=(0.8, 0.6))
    masks = {"weight_mask": case.weight_mask, "unit_masks": case.unit_masks}
    trusted, _ = case.net.forward(case.theta, case.x, **masks, trusted=True)
    assert np.array_equal(trusted, case.logits()[0])
    case.x[0, 0] = np.nan
    assert np.isnan(case.net.forward(case.theta, case.x, **masks, trusted=True)[0]).any()
    with pytest.raises(ValueError, match="x has shape"):
        case.net.forward(case.theta, case.x[:, :2], **masks, trusted=True)


# ---- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [(), (5,), (5, 0), (5, -1, 2), (5, 2.0), (5, True), ("5", 2)], ids=str)
def test_sizes_that_are_none(sizes: Any) -> None:
    with pytest.raises(ValueError, match="sizes must be at least two positive integers"):
        MLP(sizes)


@pytest.mark.parametrize("activation", ["relu", None, np.tanh])
def test_an_activation_that_is_none(activation: Any) -> None:
    with pytest.raises(TypeError, match="activation must be an Activation"):
        MLP((3, 2), activation=activation)


@pytest.mark.parametrize("keep_prob", [0.0, 1.1, -0.2, float("nan"), [0.5, 0.0], [0.5, float("nan")]], ids=str)
def test_a_keep_prob_outside_its_range(keep_prob: Any) -> None:
    with pytest.raises(ValueError, match=r"keep_prob is .*0 < keep_prob <= 1"):
        MLP((4, 3, 2), keep_prob=keep_prob)


@pytest.mark.parametrize("keep_prob", [None, "0.5", True, {}, ["0.5", 0.5]], ids=str)
def test_a_keep_prob_that_is_no_number(keep_prob: Any) -> None:
    with pytest.raises(TypeError, match="keep_prob must be a number"):
        MLP((4, 3, 2), keep_prob=keep_prob)


@pytest.mark.parametrize("keep_prob", [[0.5], [0.5, 0.6, 0.7], []], ids=str)
def test_not_one_keep_prob_for_each_layer(keep_prob: list[float]) -> None:
    with pytest.raises(ValueError, match=r"keep_prob has \d entries, .* each of 2 layers"):
        MLP((4, 3, 2), keep_prob=keep_prob)


def good() -> dict[str, Any]:
    case = make_case((4, 3, 2), relu, 0, keep_prob=(0.8, 0.6))
    return {"theta": case.theta, "x": case.x, "weight_mask": case.weight_mask, "unit_masks": case.unit_masks}


def forward(**changes: Any) -> None:
    MLP((4, 3, 2), keep_prob=(0.8, 0.6)).forward(**good() | changes)


def with_entry(array: np.ndarray, value: float) -> np.ndarray:
    array = array.copy()
    array[-1, 1] = value
    return array


@pytest.mark.parametrize("shape", [(5, 3), (5, 5), (4,), (), (0, 4)], ids=str)
def test_x_of_another_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"x has shape .*(is needed|holds no example)"):
        forward(x=np.ones(shape))


@pytest.mark.parametrize("dtype", [int, bool, object, np.uint8, "U1"], ids=str)
def test_x_of_another_kind(dtype: Any) -> None:
    with pytest.raises(TypeError, match="x has dtype"):
        forward(x=np.ones((5, 4)).astype(dtype))
    with pytest.raises(TypeError, match="x must be a NumPy array"):
        forward(x=np.ones((5, 4)).tolist())


def test_x_of_another_precision() -> None:
    with pytest.raises(TypeError, match="x has dtype float32, but theta has float64"):
        forward(x=np.ones((5, 4), np.float32))


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -float("inf")])
def test_x_that_is_not_finite(wrong: float) -> None:
    with pytest.raises(ValueError, match=r"x must be finite, but x\[4, 1\] is"):
        forward(x=with_entry(good()["x"], wrong))


@pytest.mark.parametrize("wrong", [0.5, 2.0, float("nan"), 1.25])
def test_masks_that_are_not_binary(wrong: float) -> None:
    unit_masks = good()["unit_masks"]
    with pytest.raises(ValueError, match=r"unit_masks\[1\] must hold only 0 and 1"):
        forward(unit_masks=[unit_masks[0], with_entry(unit_masks[1], wrong)])
    weight_mask = good()["weight_mask"]
    weight_mask["W2"][1, 1] = wrong
    with pytest.raises(ValueError, match="weight_mask must hold only 0 and 1"):
        forward(weight_mask=weight_mask)


@pytest.mark.parametrize("name", ["theta", "weight_mask"])
def test_parameters_that_are_none(name: str) -> None:
    with pytest.raises(TypeError, match=f"{name} must be Parameters of this network, got ndarray"):
        forward(**{name: good()[name].vector})
    with pytest.raises(ValueError, match=f"{name} belongs to another network"):
        forward(**{name: Parameters.ones(Layout.of_sizes((4, 2, 2)), dtype=np.float64)})


def test_theta_is_not_optional() -> None:
    with pytest.raises(TypeError, match="theta must be Parameters"):
        forward(theta=None)


def test_a_weight_mask_of_another_precision() -> None:
    with pytest.raises(TypeError, match="weight_mask has dtype float32"):
        forward(weight_mask=good()["weight_mask"].astype(np.float32))


def test_unit_masks_that_do_not_belong_here() -> None:
    unit_masks = good()["unit_masks"]
    with pytest.raises(ValueError, match="unit_masks has 1 entries"):
        forward(unit_masks=unit_masks[:1])
    with pytest.raises(ValueError, match=r"unit_mask .* must be"):
        forward(unit_masks=unit_masks[::-1])
    with pytest.raises(TypeError, match="unit_mask has dtype float32"):
        forward(unit_masks=[D.astype(np.float32) for D in unit_masks])
    with pytest.raises(ValueError, match=r"unit_masks has a mask for the input of layer 1, .* no keep_prob there"):
        MLP((4, 3, 2), keep_prob=0.6).forward(**good())


def test_a_backward_pass_with_the_wrong_things() -> None:
    case = make_case((4, 3, 2), relu, 0)
    logits, caches = case.logits()
    with pytest.raises(ValueError, match=r"dlogits has shape \(5, 3\), but .* \(5, 2\)"):
        case.net.backward(np.ones((5, 3)), caches)
    with pytest.raises(ValueError, match=r"dlogits has shape \(3, 5, 2\)"):
        case.net.backward(np.ones((3, 5, 2)), caches)
    with pytest.raises(ValueError, match="caches come from another network"):
        MLP((4, 4, 2)).backward(logits, caches)


@pytest.mark.parametrize("rng", [0, None, np.random.SeedSequence(0)], ids=repr)
def test_a_generator_is_asked_for(rng: Any) -> None:
    with pytest.raises(TypeError, match="rng must be"):
        MLP((4, 3, 2)).init(rng)
    with pytest.raises(TypeError, match="rng must be"):
        MLP((4, 3, 2), keep_prob=0.6).sample_unit_masks(rng, (5,))


def test_gradients_are_not_written_where_they_do_not_fit():
    net = MLP((4, 5, 3))
    theta = net.init(np.random.default_rng(0))
    logits, caches = net.forward(theta, np.ones((6, 4), np.float32))
    for out in (
        np.zeros(net.layout.size, np.float32),
        MLP((4, 6, 3)).init(np.random.default_rng(0)),
        theta.astype(np.float64),
        net.init([np.random.default_rng(0)]),
    ):
        with pytest.raises(ValueError, match="out must be Parameters of this network"):
            net.backward(logits, caches, out=out)

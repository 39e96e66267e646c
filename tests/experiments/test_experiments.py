"""Each experiment, made tiny: its records are right, the same seed repeats them, and its remark claims what it may."""

import numpy as np
import pytest

from numpynet.data.dataset import Split
from numpynet.equations.logistic import softplus
from numpynet.equations.losses import softmax_cross_entropy_forward
from numpynet.experiments import (
    averaging,
    coadaptation,
    data_size,
    gradient_noise,
    keep_prob_sweep,
    penalties,
    penalty_theory,
    sparse_variational,
    sparsity,
    training_cost,
    uncertainty,
)
from numpynet.experiments.setup import Steps, train_stack
from numpynet.network import MLP
from numpynet.parameters import Parameters
from numpynet.subnetworks import every_subnetwork, without_scale
from tests.experiments.planted import BASE, LOUD, QUIET, shifted, text_of, tiny

REPORTS = {
    "keep_prob_sweep": lambda seeds: keep_prob_sweep.report(tiny(), seeds, keep_probs=(0.3, 1.0), fixed_kept=(0.8,)),
    "data_size": lambda seeds: data_size.report(tiny(), seeds, sizes=(40, 90), keep_probs=(0.7,)),
    "averaging": lambda seeds: averaging.report(tiny(), seeds, keep_probs=(0.7,), counts=(1, 4)),
    "sparsity": lambda seeds: sparsity.report(tiny(), seeds, keep_probs=(1.0, 0.7)),
    "coadaptation": lambda seeds: coadaptation.report(tiny(), seeds, keep_probs=(1.0, 0.7)),
    "sparse_variational": lambda seeds: sparse_variational.report(tiny(), seeds, kl_weights=(1.0,)),
    "uncertainty": lambda seeds: uncertainty.report(seeds, steps=12, n_masks=7),
    "penalties": lambda seeds: penalties.report(seeds, keep_probs=(0.7,), steps=12),
}


@pytest.mark.parametrize("name", REPORTS)
def test_the_same_seeds_give_the_same_numbers_and_others_give_others(name):
    first, again, other = (text_of(REPORTS[name](seeds)) for seeds in ([0, 1], [0, 1], [2, 3]))
    assert first == again
    assert first != other


@pytest.mark.parametrize("name", REPORTS)
def test_one_replicate_is_reported_without_a_claim(name):
    report = REPORTS[name]([0])
    for word in ("Clearly worse", " helped", " hurt", " sparser", " above", " below", "is larger", "is smaller"):
        assert word not in report.remark
    assert all(len(row) == len(table.header) for table in report.tables for row in table.rows)


# ---- keep_prob sweep -------------------------------------------------------------------------------------------------


def points_with(differences):
    """Points whose test accuracies differ from BASE by so much; the first is exactly BASE."""
    tests = [BASE, *(shifted(difference) for difference in differences)]
    return [keep_prob_sweep.Point(q, (9,), BASE, test) for q, test in zip((0.8, 0.6, 0.3, 1.0), tests)]


def test_the_plateau_holds_what_the_intervals_cannot_tell_from_the_best():
    points = points_with([-QUIET, -LOUD, -QUIET])
    assert keep_prob_sweep.best_of(points).keep_prob == 0.8
    assert keep_prob_sweep.plateau(points) == [0.8, 0.6, 1.0]
    remark = keep_prob_sweep._remark(points)
    assert "keep_prob 0.8 is best" in remark
    assert "width 0.4" in remark
    assert "Clearly worse: 0.3." in remark


def test_a_hole_in_the_plateau_is_told():
    assert "with holes" in keep_prob_sweep._remark(points_with([-LOUD, -QUIET, -QUIET]))
    assert "None is clearly worse." in keep_prob_sweep._remark(points_with([-QUIET] * 3))


def test_the_kept_units_stay_the_same_where_they_shall():
    points = keep_prob_sweep.sweep(tiny(hidden=(40, 20), steps=2), [0], (0.25, 0.5, 0.8, 1.0), fix_kept=True)
    assert [point.hidden for point in points] == [(80, 40), (40, 20), (25, 12), (20, 10)]
    fixed = keep_prob_sweep.sweep(tiny(steps=2), [0], (0.25, 1.0))
    assert [point.hidden for point in fixed] == [(9, 8), (9, 8)]


# ---- data size -------------------------------------------------------------------------------------------------------


def test_dropout_helped_hurt_or_made_no_difference():
    tests = {(50, 1.0): BASE, (50, 0.7): shifted(-LOUD), (100, 1.0): BASE, (100, 0.7): shifted(QUIET)}
    tests |= {(900, 1.0): BASE, (900, 0.7): shifted(LOUD)}
    points = [data_size.Point(n, q, BASE, test) for (n, q), test in tests.items()]
    first = data_size._remark(points).splitlines()[0]
    assert "hurt with 50 examples" in first
    assert "no difference that was seen with 100 examples" in first
    assert "helped with 900 examples" in first


def test_the_subsets_are_the_first_examples(monkeypatch):
    setup, seen = tiny(), []

    def remember(net, plan, split, seeds, steps):
        seen.append((split, plan))
        return train_stack(net, plan, split, seeds, steps)

    monkeypatch.setattr(data_size, "train_stack", remember)
    data_size.gains(setup, [0], sizes=(30, 110), keep_probs=(0.7,))
    assert [(len(split.x), plan.batch_size, plan.steps) for split, plan in seen] == [(30, 30, 6)] * 2 + [
        (110, 100, 6)
    ] * 2
    for split, _ in seen:
        assert np.array_equal(split.x, setup.data.train.x[: len(split.x)])


# ---- averaging -------------------------------------------------------------------------------------------------------


@pytest.mark.equation("D15")
def test_averaging_converges_to_the_mean_of_all_subnetworks_and_not_to_weight_scaling():
    """The loss of the arithmetic mean over many masks is that of the exact ensemble; so is that of the geometric."""
    setup = tiny(hidden=(8,), steps=60)
    answers = averaging.compare(setup, [5], 0.6, (1, 3000), Steps("averaging", 60))
    net = setup.net(0.6)
    theta = train_stack(net, setup.plan(), setup.data.train, [5], Steps("again", 60)).theta.replicate(0)
    test = Split(setup.data.test.x.astype(np.float64), setup.data.test.y)
    logits, probability = every_subnetwork(net, theta.astype(np.float64), test.x)
    p = np.exp(logits - np.logaddexp.reduce(logits, axis=-1)[..., None])
    picked = np.tensordot(probability, p, 1)[np.arange(len(test.y)), test.y]
    exact, geometric = (
        -np.log(picked).mean(),
        softmax_cross_entropy_forward(np.tensordot(probability, logits, 1), test.y)[0],
    )
    # One example's estimate has a standard error below 0.5 / sqrt(3000) = 0.01 in probability; means over 360 have less.
    assert answers.arithmetic[1][1, 0] == pytest.approx(exact, abs=5e-3)
    assert answers.geometric[1][1, 0] == pytest.approx(float(geometric), abs=2e-2)
    assert answers.scaling[1][0] == pytest.approx(
        float(geometric), abs=1e-5
    )  # exact: dropout before the last layer only
    assert abs(exact - answers.scaling[1][0]) > 3 * abs(answers.arithmetic[1][1, 0] - exact)


def test_better_and_worse_are_told_apart_by_their_sign():
    def answers(accuracy, loss):
        means = (np.stack([shifted(accuracy)]), np.stack([shifted(loss)]))
        return averaging.Answers(0.7, [30], (BASE, BASE), means, means)

    remark = averaging._remark(answers(LOUD, LOUD))
    assert "in accuracy better at T = 30; in loss worse at T = 30" in remark
    remark = averaging._remark(answers(-LOUD, -LOUD))
    assert "in accuracy worse at T = 30; in loss better at T = 30" in remark
    assert "in accuracy not told apart at T = 30; in loss not told apart" in averaging._remark(answers(QUIET, QUIET))


# ---- sparsity and co-adaptation --------------------------------------------------------------------------------------


def test_what_is_off_is_counted():
    net = MLP((1, 3, 2))
    theta = Parameters.zeros(net.layout)
    theta["W1"] = [[1.0, -1.0, 0.0]]
    (h,) = sparsity.hidden_activations(net, theta, np.array([[2.0], [3.0], [-4.0]], np.float32))
    assert h.tolist() == [[2, 0, 0], [3, 0, 0], [0, 4, 0]]
    activity = sparsity.measure(tiny(), [0, 1], 0.7, Steps("sparsity", 6))
    assert activity.unit_off.sum(axis=1).tolist() == [18, 16]
    assert ((activity.dead <= activity.off) & (activity.off <= 1)).all()


def activity_with(off, mean):
    def layer(difference):
        return np.stack([BASE if difference is None else shifted(difference)])

    return sparsity.Activity(0.7, layer(off), layer(mean), np.zeros((1, 6)), np.ones((1, 5)), BASE)


@pytest.mark.parametrize(
    ("off", "mean", "words"),
    [
        (LOUD, -LOUD, "layer 1 sparser, smaller mean"),
        (-LOUD, LOUD, "layer 1 less sparse, larger mean"),
        (QUIET, -QUIET, "layer 1 no difference in sparsity was seen, no difference in mean was seen"),
    ],
)
def test_sparsity_is_claimed_only_where_it_was_seen(off, mean, words):
    assert words in sparsity._remark([activity_with(None, None), activity_with(off, mean)])


def test_correlation_sees_copies_and_opposites_and_not_constants():
    h = np.random.default_rng(0).standard_normal((400, 1))
    assert coadaptation.mean_correlation(np.hstack([h, -2 * h + 1, np.full_like(h, 3.0)])) == pytest.approx(1)
    free = np.random.default_rng(1).standard_normal((4000, 5))
    assert coadaptation.mean_correlation(free) < 0.05
    assert np.isnan(coadaptation.mean_correlation(np.ones((4, 3))))


@pytest.mark.equation("M7")
def test_the_cost_of_losing_a_little_of_a_unit_is_its_saliency():
    """d_k dL/dd_k = sum_j W_kj dW_kj; a unit that is lost by a small part costs that part of it."""
    rng, net = np.random.default_rng(2), MLP((4, 5, 6, 3))
    theta = net.init(rng, dtype=np.float64)
    split = Split(rng.standard_normal((7, 4)), rng.integers(0, 3, 7))
    logits, caches = net.forward(theta, split.x)
    log_p = logits - np.logaddexp.reduce(logits, axis=1)[:, None]
    gradients = net.backward((np.exp(log_p) - np.eye(3)[split.y]) / 7, caches)
    saliency = (theta["W2"] * gradients["W2"]).sum(axis=1)  # of the units of the first hidden layer
    part = 1e-6
    cost = coadaptation.cost_of_losing(net, theta, split, 1, 1 - part * np.eye(5))
    assert cost == pytest.approx(-part * saliency, abs=1e-11)


def test_a_lost_unit_is_cut_out_and_the_others_are_not_rescaled():
    rng, net = np.random.default_rng(3), MLP((4, 5, 3))
    theta = net.init(rng, dtype=np.float64)
    split = Split(rng.standard_normal((7, 4)), rng.integers(0, 3, 7))
    without = theta.copy()
    without["W2"][2] = 0
    loss, cut = (softmax_cross_entropy_forward(net.forward(t, split.x)[0], split.y)[0] for t in (theta, without))
    cost = coadaptation.cost_of_losing(net, theta, split, 1, np.stack([np.ones(5), 1 - np.eye(5)[2]]))
    assert cost == pytest.approx([0, cut - loss], abs=1e-14)


def test_features_are_columns_of_the_first_layer():
    setup = tiny(hidden=(20,))
    found = coadaptation.measure(setup, [4, 5], 0.7, Steps("x", 6))
    theta = train_stack(setup.net(0.7), setup.plan(), setup.data.train, [4, 5], Steps("x", 6)).theta
    columns = theta.replicate(0)["W1"].T.tolist()
    assert all(feature.tolist() in columns for feature in found.features)
    norms = np.linalg.norm(found.features, axis=1)
    assert (np.diff(norms) <= 0).all()
    assert len(norms) == coadaptation.FEATURES


# ---- training cost ---------------------------------------------------------------------------------------------------


@pytest.mark.equation("D5")
def test_the_noise_of_the_gradient_is_that_of_all_examples_and_all_masks():
    """Law of total variance: both parts together are the variance over the whole table of example and mask."""
    rng, net = np.random.default_rng(4), MLP((3, 4, 2), keep_prob=0.7)
    theta = net.init(rng, dtype=np.float64)
    split = Split(rng.standard_normal((5, 3)), rng.integers(0, 2, 5))
    noise = gradient_noise.exact_noise(net, theta, split)
    gradients, weights = [], []
    for n in range(5):
        for bits in range(2**4):
            mask = np.array([[bits >> k & 1 for k in range(4)]], np.float64)
            one = Split(split.x[n : n + 1], split.y[n : n + 1])
            gradients.append(gradient_noise.per_example_gradients(net, theta, one, [None, mask])[0])
            weights.append(0.7 ** mask.sum() * 0.3 ** (4 - mask.sum()) / 5)
    gradients, weights = np.array(gradients), np.array(weights)
    total = weights @ ((gradients - weights @ gradients) ** 2).sum(axis=1)
    assert noise.examples + noise.masks == pytest.approx(total, rel=1e-12)
    plain = gradient_noise.per_example_gradients(net, theta, split)
    assert noise.plain == pytest.approx(plain.var(axis=0).sum(), rel=1e-12)
    assert 0 < noise.cosine < 1  # the expected gradient is not that of the net without masks


def test_sampled_noise_is_an_estimate_of_the_exact_one():
    rng, net = np.random.default_rng(6), MLP((3, 5, 2), keep_prob=0.6)
    theta = net.init(rng, dtype=np.float64)
    split = Split(rng.standard_normal((6, 3)), rng.integers(0, 2, 6))
    exact = gradient_noise.exact_noise(net, theta, split).ratio
    many = Split(np.tile(split.x, (3000, 1)), np.tile(split.y, 3000))
    assert gradient_noise.sampled_ratio(net, theta, many, rng) == pytest.approx(exact, rel=0.05)
    assert exact > 1.05


def test_gradients_of_examples_add_up_to_that_of_the_batch():
    rng, net = np.random.default_rng(5), MLP((3, 4, 2))
    theta = net.init(rng, dtype=np.float64)
    split = Split(rng.standard_normal((6, 3)), rng.integers(0, 2, 6))
    logits, caches = net.forward(theta, split.x)
    p = np.exp(logits - np.logaddexp.reduce(logits, axis=1)[:, None])
    batch = net.backward((p - np.eye(2)[split.y]) / 6, caches).vector
    assert gradient_noise.per_example_gradients(net, theta, split).mean(axis=0) == pytest.approx(batch, abs=1e-15)


def test_steps_to_a_loss_and_the_loss_that_all_reach():
    speeds = [
        training_cost.Speed(1.0, 100, [0, 10, 20], np.array([[2.0, 2.0], [1.0, 1.4], [1.2, 1.5]])),
        training_cost.Speed(0.7, 100, [0, 10, 20], np.array([[2.0, 2.0], [1.6, 1.7], [0.9, 1.3]])),
    ]
    assert training_cost.reachable_loss(speeds) == 1.4
    assert training_cost.steps_to(speeds[0], 1.4).tolist() == [10, 10]
    assert training_cost.steps_to(speeds[1], 1.4).tolist() == [20, 20]
    assert np.isnan(training_cost.steps_to(speeds[0], 1.3)[1])


def test_the_cost_is_reported_with_batches_that_make_up_for_the_noise():
    report = training_cost.report(tiny(steps=10), [0, 1], keep_probs=(1.0, 0.6), n_noise=20, pairs=2)
    again = training_cost.report(tiny(steps=10), [0, 1], keep_probs=(1.0, 0.6), n_noise=20, pairs=2)
    assert [table.rows for table in report.tables[1:]] == [table.rows for table in again.tables[1:]]  # all but times
    rows = report.tables[1].rows
    assert [row[0] for row in rows] == ["1", "0.6", "0.6"]
    assert rows[0][1] == rows[1][1] == "100"
    assert int(rows[2][1]) > 100
    with pytest.raises(ValueError, match="first must be 1"):
        training_cost.report(tiny(), [0], keep_probs=(0.6, 1.0))


@pytest.mark.parametrize(
    ("difference", "word"), [(0.5, "clearly more"), (-0.5, "clearly fewer"), (0.0, "not told apart")]
)
def test_more_steps_are_claimed_only_where_they_were_seen(difference, word):
    plain = np.array([100.0, 120, 90, 110])
    steps = plain * np.exp(difference + np.array([-0.1, 0.1, 0.05, -0.05]))
    assert word in training_cost._times(steps, plain)


# ---- uncertainty -----------------------------------------------------------------------------------------------------


@pytest.mark.equation("D16")
def test_the_spread_is_that_of_all_subnetworks_where_they_can_be_counted(monkeypatch):
    monkeypatch.setattr(uncertainty, "HIDDEN", (6,))
    found = uncertainty.regress(uncertainty.relu, [3], Steps("x", 40), n_steps=40, n_masks=20000)
    net = MLP((1, 6, 1), uncertainty.relu, keep_prob=uncertainty.KEEP_PROB)
    plan_theta = {}

    def remember(net, plan, split, seeds, steps):
        state = train_stack(net, plan, split, seeds, steps)
        plan_theta["theta"] = state.theta
        return state

    monkeypatch.setattr(uncertainty, "train_stack", remember)
    uncertainty.regress(uncertainty.relu, [3], Steps("x", 40), n_steps=40, n_masks=1)
    theta = plan_theta["theta"].replicate(0).astype(np.float64)
    h = np.maximum(found.x[:, None] @ theta["W1"] + theta["b1"], 0)
    q = uncertainty.KEEP_PROB
    exact = np.sqrt((1 - q) / q * (h**2 @ theta["W2"] ** 2))[:, 0]  # closed form: dropout before the last layer
    # The relative error of a sampled standard deviation is below sqrt(kurtosis / 4 T), 1.5 % at kurtosis 20.
    assert found.std[0] == pytest.approx(exact, rel=0.08)
    assert found.mean[0] == pytest.approx(net.forward(theta, found.x[:, None])[0][:, 0], abs=5 * exact.max() / 100)


def test_the_noise_variance_is_one_over_tau():
    found = uncertainty.regress(uncertainty.tanh, [0, 1], Steps("x", 5), n_steps=5, n_masks=3)
    assert found.noise_std == pytest.approx(uncertainty.NOISE)


def uncertain(left, right):
    x = np.linspace(-3, 3, 31)
    std = np.where(x < -1, shifted(left)[:, None], np.where(x > 1, shifted(right)[:, None], BASE[:, None]))
    return uncertainty.Uncertainty("relu", x, np.zeros((6, 31)), std, 0.1, np.zeros((2, 31)))


@pytest.mark.parametrize(
    ("left", "right", "words"),
    [
        (LOUD, QUIET, "larger on the left and not told apart from that inside on the right"),
        (-LOUD, LOUD, "smaller on the left and larger on the right"),
    ],
)
def test_a_growing_spread_is_claimed_only_where_it_was_seen(left, right, words):
    assert words in uncertainty._remark([uncertain(left, right)])


# ---- penalties -------------------------------------------------------------------------------------------------------


@pytest.mark.equation("D7")
@pytest.mark.parametrize("keep_prob", [0.9, 0.6, 0.3])
def test_dropout_is_ridge_regression(keep_prob):
    data = penalty_theory.linear_data(np.random.default_rng(0))
    w = np.random.default_rng(1).standard_normal((6, 1))
    exact = penalty_theory.enumerated_loss(data.x, data.y, w, keep_prob)
    assert penalty_theory.penalised_loss(data.x, data.y, w, keep_prob) == pytest.approx(exact, rel=1e-12)
    ridge = penalty_theory.ridge_of_dropout(data.x, data.y, keep_prob)
    least = penalty_theory.enumerated_loss(data.x, data.y, ridge, keep_prob)
    for direction in np.eye(6):
        for step in (-1e-3, 1e-3):
            assert penalty_theory.enumerated_loss(data.x, data.y, ridge + step * direction[:, None], keep_prob) > least


@pytest.mark.equation("D9")
def test_the_penalty_of_a_logistic_model_is_adaptive_and_quadratic_when_small():
    data = penalty_theory.logistic_data(np.random.default_rng(0))
    beta = np.random.default_rng(1).standard_normal((6, 1))
    ratios = [
        penalty_theory.quadratic_penalty(data.x, e * beta, 0.7) / penalty_theory.exact_penalty(data.x, e * beta, 0.7)
        for e in (1.0, 0.1, 0.01)
    ]
    assert abs(ratios[0] - 1) > 1e-3
    assert ratios[2] == pytest.approx(1, abs=1e-4)
    assert abs(ratios[2] - 1) < abs(ratios[1] - 1)


@pytest.mark.equation("D9")
def test_the_exact_logistic_minimum_is_one():
    data = penalty_theory.logistic_data(np.random.default_rng(3))
    best = penalty_theory.logistic_minimum(data.x, data.y, 0.6)

    def expected_loss(coefficients):
        beta, bias = coefficients[:-1], coefficients[-1]
        x1 = np.hstack([data.x, np.ones((len(data.x), 1))])
        z = x1 @ coefficients
        dropped, probability = penalty_theory.all_dropped(data.x, 0.6)
        return probability @ softplus(dropped @ beta + bias).sum(axis=(1, 2)) - (data.y * z).sum()

    least = expected_loss(best)
    for direction in np.eye(7)[:, :, None]:
        assert min(expected_loss(best + 1e-3 * direction), expected_loss(best - 1e-3 * direction)) > least
    x, y = np.array([[1.0], [-1.0]]), np.array([[1.0], [0.0]])
    with pytest.raises(ArithmeticError, match="can be separated"):
        penalty_theory.logistic_minimum(x, y, 1.0)
    assert np.isfinite(penalty_theory.logistic_minimum(x, y, 0.8)).all()  # dropout is a penalty: now there is one


def test_training_with_dropout_ends_at_the_ridge_solution():
    path = penalties.linear_path((0.6,), [0, 1, 2], Steps("x", 1500), 1500)
    apart = penalties._distance(path.trained[0], path.ridge[0])
    assert apart.max() < 0.1
    assert penalties._distance(penalties._least_squares(), path.ridge[0]) > 0.5


def test_unscaled_nets_take_masks():
    assert without_scale(MLP((3, 4, 2), keep_prob=0.5)).keep_probs == (None, 1.0)

"""MNIST-1D equals the published data set, and every wrong turn of the recipe that keeps the labels right is noticed."""

import hashlib
from importlib import resources

import numpy as np
import pytest

from numpynet.data import check_split, load_mnist1d, mnist1d

SHA256 = {  # of x rounded to 6 decimals as little-endian float64, and of y as uint8
    "x_train": "a628c903554582c85cd522460f0ac9376d8f2c1daf90d5ea251968c8de2fc707",
    "x_test": "40736dec6f794f2e52a879797628fb8f41ae44a628489bf5cd8d19ef39a28d42",
    "y_train": "6e13c7aab5f831266ec59efd193e310c511faefd71cfc5d39427c20337df4dc6",
    "y_test": "9486539f99fcca7dc5923aba4d0cb5b7963f8e8e1f74398ca33a64ccb3b5b654",
    "y": "4f5f4160c519e3c47f9d3e196c161336fcd32126a9efffe4153d6e7c8b73f963",
}


def sums(dataset):
    def sha256(array, dtype):
        return hashlib.sha256(np.ascontiguousarray(array, dtype)).hexdigest()

    (x_train, y_train), (x_test, y_test) = dataset.train, dataset.test
    return {
        "x_train": sha256(np.round(x_train, 6), "<f8"),
        "x_test": sha256(np.round(x_test, 6), "<f8"),
        "y_train": sha256(y_train, np.uint8),
        "y_test": sha256(y_test, np.uint8),
        "y": sha256(np.concatenate([y_train, y_test]), np.uint8),
    }


@pytest.fixture(scope="module")
def published():
    return load_mnist1d(dtype=np.float64)


def test_the_data_are_the_published_ones(published):
    assert sums(published) == SHA256


def test_no_rounded_number_is_ambiguous(published):
    x = 1e6 * np.concatenate([published.train.x, published.test.x])
    assert abs(x - np.floor(x) - 0.5).min() > 1e-6, "a number so near to a rounding boundary makes the sums unsafe"
    assert (np.round(x) != 0).all(), "0 and -0 would differ in the sums"


def test_the_first_random_numbers():
    draws = mnist1d.draw(np.random.RandomState(42), 5000)
    assert (draws.padding[0], draws.shift[0]) == (45, 42)
    assert [round(float(value), 6) for value in (draws.factor[0], draws.correlated[0, 0])] == [1.180286, 0.473861]
    assert (draws.padding.min(), draws.padding.max()) == (36, 60)
    assert (draws.shift.min(), draws.shift.max()) == (0, 47)


def test_the_first_row_the_counts_and_the_moments(published):
    (x_train, y_train), (x_test, y_test) = published.train, published.test
    assert x_train[0, :4].round(6).tolist() == [-0.332006, -0.471910, -0.778697, -1.009741]
    assert y_train[:10].tolist() == [2, 6, 4, 5, 6, 6, 6, 0, 3, 1]
    assert np.bincount(y_train).tolist() == [398, 396, 411, 394, 394, 402, 401, 404, 402, 398]
    assert np.bincount(y_test).tolist() == [102, 104, 89, 106, 106, 98, 99, 96, 98, 102]
    assert (round(float(x_train.mean()), 6), round(float(x_train.std()), 6)) == (-0.000324, 0.997648)
    both = np.concatenate([x_train, x_test])
    np.testing.assert_allclose([both.mean(), both.std()], [0, 1], atol=1e-12)


def test_float32_is_the_rounded_float64(published):
    single = load_mnist1d()
    for part, exact in ((single.train, published.train), (single.test, published.test)):
        assert part.x.dtype == np.float32
        assert np.array_equal(part.x, exact.x.astype(np.float32))
        assert np.array_equal(part.y, exact.y)
        assert part.y.dtype == np.int64
        check_split(part, single.n_classes)
    assert (single.name, single.n_classes, single.image_shape) == ("mnist1d", 10, None)
    assert "Apache-2.0" in single.source


# ---- planted wrong variants: each keeps the labels, and each must change the sum of x -----------------------------


def smooth_with(mode, weights_of=lambda j: np.exp(-(j**2) / 8)):
    def smooth(noise):
        weights = weights_of(np.arange(-8, 9))
        padded = np.pad(noise, ((0, 0), (8, 8)), mode=mode)
        return np.array([np.convolve(row, weights / weights.sum(), mode="valid") for row in padded])

    return smooth


def prepare_with_sample_deviation():
    v = np.array(mnist1d.TEMPLATES)
    v = (v - v.mean(axis=1, keepdims=True)) / v.std(axis=1, ddof=1, keepdims=True)
    return (v - v[:, :1]) / 6


WRONG = {
    "border mirrored without the edge": ("smooth", smooth_with("reflect")),
    "sample standard deviation": ("prepare_templates", prepare_with_sample_deviation),
    "24 paddings instead of 25": ("PADDINGS", 24),
    "rotated to the left": (
        "rotate_right",
        lambda v, shift: np.array([np.roll(*pair) for pair in zip(v, -shift, strict=True)]),
    ),
    "no offset": ("OFFSET", 0.0),
    "no smoothing": ("smooth", lambda noise: noise),
    "wider smoothing": ("SMOOTHING", 2.5),
    "noise a tenth larger": ("NOISE", 0.022),
}
SAME = {  # plainer forms of the same steps: they must NOT change the sums
    "smoothing row by row": ("smooth", smooth_with("symmetric")),
    "rolling row by row": (
        "rotate_right",
        lambda v, shift: np.array([np.roll(*pair) for pair in zip(v, shift, strict=True)]),
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_recipe_is_noticed(monkeypatch, name):
    monkeypatch.setattr(mnist1d, *WRONG[name])
    wrong = sums(load_mnist1d(dtype=np.float64))
    assert wrong["y"] == SHA256["y"]
    assert wrong["x_train"] != SHA256["x_train"]
    assert wrong["x_test"] != SHA256["x_test"]


@pytest.mark.parametrize("name", SAME)
def test_a_plainer_form_gives_the_same_data(monkeypatch, name):
    monkeypatch.setattr(mnist1d, *SAME[name])
    assert sums(load_mnist1d(dtype=np.float64)) == SHA256


# ---- other sizes and seeds -----------------------------------------------------------------------------------------


def test_the_fast_form_equals_the_recipe_example_by_example():
    """The recipe once more, as a loop over examples with one draw after the other."""
    legacy, per_class = np.random.RandomState(7), 3
    rows = []
    for template in mnist1d.prepare_templates():
        for _ in range(per_class):
            v = np.concatenate([template + 1e-8, np.zeros(36 + int(25 * legacy.rand()))])
            v = mnist1d.resample(v, 72) * (1 + 0.4 * (legacy.rand() - 0.5))
            v = np.roll(v, legacy.randint(48))
            v = np.where(v == 0, smooth_with("symmetric")(0.25 * legacy.randn(1, 72))[0], v)
            v = v + 0.02 * legacy.randn(72)
            v = v - 0.75 * (legacy.rand() - 0.5) * np.linspace(-0.5, 0.5, 72)
            rows.append(mnist1d.resample(v, 40))
    order = legacy.permutation(10 * per_class)
    x = np.array(rows)[order]
    dataset = load_mnist1d(seed=7, n_samples=10 * per_class, dtype=np.float64)
    both = np.concatenate([dataset.train.x, dataset.test.x])
    np.testing.assert_allclose(both, (x - x.mean()) / x.std(), rtol=0, atol=1e-13)
    assert np.concatenate([dataset.train.y, dataset.test.y]).tolist() == (order // per_class).tolist()


@pytest.mark.parametrize("n_samples", [10, 70, 250])
def test_sizes_and_seeds(n_samples):
    one, two = (load_mnist1d(n_samples=n_samples, seed=seed) for seed in (3, 4))
    assert (len(one.train.x), len(one.test.x)) == (n_samples * 8 // 10, n_samples * 2 // 10)
    assert np.bincount(np.concatenate([one.train.y, one.test.y])).tolist() == [n_samples // 10] * 10
    assert not np.array_equal(one.train.x, two.train.x)
    assert np.array_equal(one.train.x, load_mnist1d(n_samples=n_samples, seed=3).train.x)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n_samples": 0}, ValueError, "n_samples is 0"),
        ({"n_samples": 4999}, ValueError, "n_samples is 4999, but it must be a multiple of 10"),
        ({"n_samples": 5e3}, TypeError, "n_samples must be an integer"),
        ({"seed": -1}, ValueError, "seed is -1"),
        ({"seed": 2**32}, ValueError, "seed is 4294967296"),
        ({"seed": None}, TypeError, "seed must be an integer"),
        ({"dtype": np.uint8}, TypeError, "dtype must be a real floating type"),
    ],
)
def test_wrong_arguments_are_refused(options, error, message):
    with pytest.raises(error, match=message):
        load_mnist1d(**options)


def test_the_global_generator_is_not_touched():
    np.random.seed(5)
    expected = np.random.rand()
    np.random.seed(5)
    load_mnist1d(n_samples=10)
    assert np.random.rand() == expected


def test_the_notice_names_the_source():
    text = resources.files("numpynet.data").joinpath("mnist1d.NOTICE.txt").read_text(encoding="utf-8")
    assert all(word in text for word in ("Greydanus", "Kobak", "ICML", "Apache"))

"""MNIST: every way in which the files may lie about is read, and every way in which they may be wrong is refused."""

import gzip
import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from numpynet.data import check_split, data_folder, load_mnist
from numpynet.data.mnist import MNIST_SHA256, find_mnist_file, parse_idx, unpack

NAMES = list(MNIST_SHA256)


def to_idx(array):
    return bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape) + array.tobytes()


def small_files(n_train=7, n_test=3):
    """Four files of the form of MNIST; pixels and labels drawn at random."""
    rng = np.random.default_rng(1)
    arrays = []
    for n in (n_train, n_test):
        arrays += [rng.integers(0, 256, (n, 28, 28), np.uint8), rng.integers(0, 10, n, np.uint8)]
    return {name: to_idx(array) for name, array in zip(NAMES, arrays, strict=True)}


def sha256_of(files):
    return {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}


def put(folder, files, spell=lambda name: name, pack=lambda content: content):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / spell(name)).write_bytes(pack(content))


# ---- the IDX format -------------------------------------------------------------------------------------------------


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=5)))
def test_idx_files_are_read_as_they_were_written(array):
    assert np.array_equal(parse_idx(to_idx(array), array.ndim, "file"), array)
    assert parse_idx(to_idx(array), array.ndim, "file").shape == array.shape


@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 5))), st.data())
def test_idx_files_of_any_other_length_are_refused(array, data):
    whole = to_idx(array)
    with pytest.raises(ValueError, match=r"images.*(cut short|not an IDX file)"):
        parse_idx(whole[: data.draw(st.integers(0, len(whole) - 1))], 3, "images")
    with pytest.raises(ValueError, match="images has bytes after its end"):
        parse_idx(whole + data.draw(st.binary(min_size=1, max_size=9)), 3, "images")


@given(st.integers(0, 3), st.integers(1, 255))
def test_idx_files_with_another_magic_number_are_refused(place, change):
    content = bytearray(to_idx(np.zeros((2, 3, 4), np.uint8)))
    content[place] ^= change
    with pytest.raises(ValueError, match="images is not an IDX file of bytes with 3 axes"):
        parse_idx(bytes(content), 3, "images")


def test_a_header_that_announces_too_much_costs_no_memory():
    with pytest.raises(ValueError, match="cut short: 17 bytes, its header announces"):
        parse_idx(bytes([0, 0, 8, 3]) + b"\xff" * 12 + b"\0", 3, "images")


@given(st.binary(min_size=1, max_size=40), st.data())
def test_damaged_gzip_data_are_refused(content, data):
    packed = gzip.compress(content, mtime=0)
    assert unpack(packed, "file.gz") == content
    with pytest.raises(ValueError, match=r"file\.gz is damaged, it cannot be unpacked"):
        unpack(packed[: data.draw(st.integers(2, len(packed) - 1))], "file.gz")
    flipped = bytearray(packed)
    flipped[-data.draw(st.integers(1, 8))] ^= 4  # the check sum or the length
    with pytest.raises(ValueError, match=r"file\.gz is damaged, it cannot be unpacked"):
        unpack(bytes(flipped), "file.gz")


# ---- where the files lie --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("below", [".", "mnist"])
@pytest.mark.parametrize("end", ["", ".gz"])
@pytest.mark.parametrize("dot", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_files_are_found_packed_or_not_with_a_dot_or_not(tmp_path, below, end, dot, dtype):
    files = small_files()
    spell = (lambda name: name.replace("-idx", ".idx") + end) if dot else (lambda name: name + end)
    put(tmp_path / below, files, spell, gzip.compress if end else bytes)
    mnist = load_mnist(tmp_path, dtype=dtype, sha256=sha256_of(files))
    for part, split, n in (("train", mnist.train, 7), ("t10k", mnist.test, 3)):
        pixels = np.frombuffer(files[f"{part}-images-idx3-ubyte"][16:], np.uint8).reshape(n, 784)
        assert split.x.dtype == dtype
        assert split.y.dtype == np.int64
        np.testing.assert_array_max_ulp(split.x, pixels.astype(dtype) / dtype(255), maxulp=0)
        assert split.y.tolist() == list(files[f"{part}-labels-idx1-ubyte"][8:])
        check_split(split, mnist.n_classes)
        assert split.x.flags.writeable
    assert (mnist.name, mnist.n_classes, mnist.image_shape) == ("mnist", 10, (28, 28))


def test_a_file_that_a_browser_unpacked_but_did_not_rename_is_read(tmp_path):
    files = small_files()
    put(tmp_path, files, lambda name: f"{name}.gz")
    assert len(load_mnist(tmp_path, sha256=sha256_of(files)).train.x) == 7


def test_the_order_of_the_places(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("NUMPYNET_DATA", str(tmp_path / "chosen"))
    assert data_folder(tmp_path / "given") == tmp_path / "given"
    assert data_folder() == tmp_path / "chosen"
    monkeypatch.setenv("NUMPYNET_DATA", "")
    assert data_folder() == tmp_path / "cache" / "numpynet"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/is/ignored")
    assert data_folder() == tmp_path / "home" / ".cache" / "numpynet"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert data_folder() == tmp_path / "home" / ".cache" / "numpynet"


def test_the_environment_variable_names_the_folder(tmp_path, monkeypatch):
    files = small_files()
    put(tmp_path, files)
    monkeypatch.setenv("NUMPYNET_DATA", str(tmp_path))
    assert len(load_mnist(sha256=sha256_of(files)).test.x) == 3


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_file_is_named_with_the_place_and_the_cure(tmp_path, name):
    put(tmp_path, small_files())
    (tmp_path / name).unlink()
    with pytest.raises(FileNotFoundError) as caught:
        load_mnist(tmp_path)
    message = str(caught.value)
    assert str(tmp_path) in message
    assert "numpynet data fetch mnist" in message
    assert [other for other in NAMES if other in message] == [name]


# ---- what is wrong with them ----------------------------------------------------------------------------------------


def images(*shape):
    return to_idx(np.zeros(shape, np.uint8))


WRONG = {
    "images cut short": (0, lambda content: content[:-1], "cut short"),
    "a byte too many": (1, lambda content: content + b"\0", "bytes after its end"),
    "labels in place of images": (
        2,
        lambda content: to_idx(np.zeros(3, np.uint8)),
        "not an IDX file of bytes with 3 axes",
    ),
    "empty": (3, lambda content: b"", "begins with nothing"),
    "damaged gzip": (0, lambda content: gzip.compress(content)[:-9], "cannot be unpacked"),
    "other size": (0, lambda content: images(7, 28, 27), r"images of shape \(7, 28, 27\)"),
    "no images": (0, lambda content: images(0, 28, 28), r"images of shape \(0, 28, 28\)"),
    "another number of labels": (3, lambda content: to_idx(np.zeros(4, np.uint8)), "4 labels for the 3 images"),
    "a label too large": (1, lambda content: content[:-1] + b"\x0a", "holds the label 10"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_file_is_named_with_the_reason(tmp_path, name):
    place, spoil, reason = WRONG[name]
    files = small_files()
    files[NAMES[place]] = spoil(files[NAMES[place]])
    put(tmp_path, files)
    with pytest.raises(ValueError, match=reason) as caught:
        load_mnist(tmp_path, sha256=None)
    assert str(tmp_path / NAMES[place]) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", NAMES)
def test_one_changed_number_is_noticed(tmp_path, name):
    files = small_files()
    expected = sha256_of(files)
    content = bytearray(files[name])
    content[-2] ^= 1
    put(tmp_path, files | {name: bytes(content)})
    load_mnist(tmp_path, sha256=None)  # the form is right
    with pytest.raises(ValueError, match=rf"{name} is not the file of MNIST \(its SHA-256 differs\)"):
        load_mnist(tmp_path, sha256=expected)


def test_other_data_of_the_same_names_are_not_taken_for_mnist(tmp_path):
    put(tmp_path, small_files())
    with pytest.raises(ValueError, match="is not the file of MNIST"):
        load_mnist(tmp_path)


# ---- the real files -------------------------------------------------------------------------------------------------


def test_the_real_mnist(monkeypatch):
    chosen = os.environ.get("NUMPYNET_DATA")
    monkeypatch.delenv("NUMPYNET_DATA", raising=False)
    beside_the_repository = Path(__file__).resolve().parents[3] / "shared" / "data"
    places = [*([Path(chosen)] if chosen else []), beside_the_repository, data_folder()]
    folder = next((place for place in places if all(find_mnist_file(place, name) for name in NAMES)), None)
    if folder is None:
        pytest.skip("MNIST is not on this computer; get it with 'numpynet data fetch mnist' or set NUMPYNET_DATA")
    mnist = load_mnist(folder)
    assert (mnist.train.x.shape, mnist.test.x.shape) == ((60_000, 784), (10_000, 784))
    assert np.bincount(mnist.train.y).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(mnist.test.y).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert mnist.train.y[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert round(float(mnist.train.x.mean(dtype=np.float64)), 4) == 0.1307  # the mean that half the world subtracts
    assert (mnist.train.x.min(), mnist.train.x.max(), mnist.train.x.dtype) == (0, 1, np.float32)

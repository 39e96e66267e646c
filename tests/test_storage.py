"""Files: what is written comes back, whatever was damaged is refused, and a failure leaves the old file."""

import errno
import hashlib
import io
import json
import math
import os
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from numpynet import storage
from numpynet.storage import StorageError, digest, load_arrays, save_arrays, write_bytes, write_text

same_folder = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])

DTYPES = ["?", "i1", "<i8", ">i4", "u1", "<u8", "<f2", "<f4", "<f8", ">f8", "<c8", "<c16", "S3", "<U2"]
arrays_of_any_kind = st.sampled_from(DTYPES).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
)
names = st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters="\\"), min_size=1
).filter(lambda name: not name.endswith(".npy") and name != "__numpynet__")
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**200), 2**200)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def bits(array):
    return array.dtype.str, array.shape, array.tobytes()


@pytest.fixture
def saved(tmp_path):
    """A small file as save_arrays writes it."""
    path = tmp_path / "start.npz"
    arrays = {"W1": np.arange(6, dtype=np.float32).reshape(2, 3), "b1": np.array([0.5, -0.0, 2.0])}
    save_arrays(path, arrays, kind="start", metadata={"seed": 7})
    return path


# ---- what is written comes back ------------------------------------------------------------------------------------


@same_folder
@given(st.dictionaries(names, arrays_of_any_kind, max_size=4), st.dictionaries(st.text(), json_values, max_size=4))
def test_arrays_and_metadata_come_back_bit_for_bit(tmp_path, arrays, metadata):
    path = tmp_path / "file.npz"
    save_arrays(path, arrays, kind="anything", metadata=metadata)
    loaded, loaded_metadata = load_arrays(path, kind="anything")
    assert list(loaded) == list(arrays), "names or their order changed"
    assert [bits(a) for a in loaded.values()] == [bits(a) for a in arrays.values()]
    assert loaded_metadata == metadata
    assert all(a.flags.writeable and a.flags.c_contiguous for a in loaded.values())


@same_folder
@given(st.dictionaries(names, arrays_of_any_kind, max_size=4), st.dictionaries(st.text(), json_values, max_size=4))
def test_the_same_content_gives_the_same_bytes(tmp_path, arrays, metadata):
    paths = tmp_path / "one.npz", tmp_path / "two.npz"
    save_arrays(paths[0], arrays, kind="k", metadata=metadata)
    save_arrays(
        paths[1], {k: np.asfortranarray(a).reshape(a.shape) for k, a in arrays.items()}, kind="k", metadata=metadata
    )
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_the_clock_does_not_enter_the_file(saved):
    with zipfile.ZipFile(saved) as archive:
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}


def test_numpy_alone_can_open_the_file(saved):
    with np.load(saved, allow_pickle=False) as npz:
        assert npz.files == ["__numpynet__", "W1", "b1"]
        document = json.loads(npz["__numpynet__"].tobytes())
    assert document["kind"] == "start"
    assert document["metadata"] == {"seed": 7}


@given(st.integers(0, 2**64 - 1), st.integers(0, 50))
@same_folder
def test_a_bit_generator_goes_on_where_it_stopped(tmp_path, seed, drawn):
    rng = np.random.default_rng(seed)
    rng.random(drawn, dtype=np.float32)  # leaves half a word behind for odd counts
    save_arrays(tmp_path / "rng.npz", {}, kind="rng", metadata={"state": rng.bit_generator.state})
    again = np.random.default_rng(0)
    again.bit_generator.state = load_arrays(tmp_path / "rng.npz", kind="rng")[1]["state"]
    assert np.array_equal(rng.random(9, dtype=np.float32), again.random(9, dtype=np.float32))


def test_the_callers_objects_are_left_alone(tmp_path):
    W, metadata = np.asfortranarray(np.ones((2, 3))), {"sizes": (4, 5)}
    save_arrays(tmp_path / "f.npz", {"W": W}, kind="k", metadata=metadata)
    assert W.flags.f_contiguous
    assert metadata == {"sizes": (4, 5)}
    assert load_arrays(tmp_path / "f.npz", kind="k")[1] == {"sizes": [4, 5]}, (
        "a tuple comes back as a list, as documented"
    )


# ---- what was damaged is refused -----------------------------------------------------------------------------------


def undetected_flips(path):
    """Flip one bit in every byte in turn; the places where load_arrays did not notice."""
    whole, unnoticed = path.read_bytes(), []
    for place in range(len(whole)):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << (place * 5 % 8)
        path.write_bytes(flipped)
        try:
            load_arrays(path, kind="start")
        except StorageError:
            continue
        except Exception:  # an error of another kind means that damaged content was parsed
            unnoticed.append(place)
        else:
            unnoticed.append(place)
    return unnoticed


def test_a_flipped_bit_anywhere_is_noticed(saved):
    assert undetected_flips(saved) == []


def test_without_the_seal_flips_would_go_unnoticed(saved, monkeypatch):
    monkeypatch.setattr(storage, "_seal", lambda body: b"0" * 64)
    save_arrays(saved, {"W1": np.ones(3)}, kind="start")
    assert undetected_flips(saved), "the test above could not fail"


def test_a_file_cut_short_anywhere_is_refused(saved):
    whole = saved.read_bytes()
    for length in range(len(whole)):
        saved.write_bytes(whole[:length])
        with pytest.raises(StorageError, match=r"start\.npz"):
            load_arrays(saved, kind="start")
    saved.write_bytes(whole + b"\0")
    with pytest.raises(StorageError, match="damaged"):
        load_arrays(saved, kind="start")


def resealed(path, members):
    """Write an archive with a valid seal, so that the checks behind the seal can be seen at work."""
    path.write_bytes(storage._sealed_archive(members))


def members_of(path):
    with np.load(path, allow_pickle=False) as npz:
        return dict(npz)


def with_document(path, **changes):
    members = members_of(path)
    document = json.loads(members["__numpynet__"].tobytes()) | changes
    members["__numpynet__"] = np.frombuffer(json.dumps(document).encode(), np.uint8)
    resealed(path, members)


def drop_array(path):
    members = members_of(path)
    del members["b1"]
    resealed(path, members)


def exchange_array(path):
    resealed(path, members_of(path) | {"b1": np.array([0.5, 0.0, 2.0])})  # 0.0 for -0.0: equal numbers, other bits


def pickled(path):
    buffer = io.BytesIO()
    np.savez(buffer, __numpynet__=np.array([{}], dtype=object), allow_pickle=True)
    body = buffer.getvalue()[:-2] + (64).to_bytes(2, "little")
    path.write_bytes(body + storage._seal(body))


WRONG_FILES = {
    "missing": (Path.unlink, "does not exist"),
    "empty": (lambda path: path.write_bytes(b""), "is empty"),
    "text": (lambda path: path.write_text("step,loss\n"), "not an .npz file"),
    "npy": (lambda path: path.write_bytes(b"\x93NUMPY\x01\x00"), "not an .npz file"),
    "a foreign npz": (lambda path: np.savez(path, W1=np.ones(3)), "not a file of numpynet"),
    "an unsealed npz": (lambda path: np.savez(path, **members_of(path)), "damaged"),
    "a newer version": (lambda path: with_document(path, version=storage.FORMAT_VERSION + 1), "format version"),
    "another kind": (lambda path: with_document(path, kind="mask"), "holds 'mask', and 'start' is needed"),
    "an array missing": (drop_array, "arrays are missing from it: b1"),
    "an array too many": (lambda path: resealed(path, members_of(path) | {"W2": np.ones(2)}), "does not list: W2"),
    "another array": (exchange_array, "array b1 is not the one that was saved"),
    "no JSON": (
        lambda p: resealed(p, members_of(p) | {"__numpynet__": np.zeros(3, np.uint8)}),
        "not what numpynet writes",
    ),
    "JSON too deep to read": (
        lambda p: resealed(p, members_of(p) | {"__numpynet__": np.full(200_000, ord("["), np.uint8)}),
        "not what numpynet writes",
    ),
    "JSON of another form": (lambda path: with_document(path, metadata=5), "not what numpynet writes"),
    "digests of another form": (lambda path: with_document(path, sha256=[1]), "not what numpynet writes"),
    "pickles": (pickled, "not what numpynet writes"),
}


@pytest.mark.parametrize("wrong", WRONG_FILES)
def test_a_wrong_file_is_refused_in_one_sentence(saved, wrong):
    spoil, reason = WRONG_FILES[wrong]
    spoil(saved)
    with pytest.raises(StorageError, match=reason) as caught:
        load_arrays(saved, kind="start")
    assert isinstance(caught.value, ValueError)
    assert str(saved) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(StorageError, match="cannot be read"):
        load_arrays(tmp_path, kind="start")


# ---- what cannot be stored faithfully is refused -------------------------------------------------------------------


@pytest.mark.parametrize(
    "array",
    [
        np.array([None, 1]),
        np.array([(1, 2.0)], dtype="i4,f8"),
        np.ma.masked_array([1.0, 2.0], mask=[0, 1]),
        np.ones(2, np.longdouble),
        np.array(["2020-01-01"], "M8[D]"),
        [1.0, 2.0],
        np.float64(3.0),
    ],
    ids=["objects", "structured", "masked", "long double", "dates", "list", "scalar"],
)
def test_arrays_that_need_pickles_or_lose_something_are_refused(saved, array):
    before = saved.read_bytes()
    with pytest.raises(TypeError, match="W3"):
        save_arrays(saved, {"W1": np.ones(2), "W3": array}, kind="start")
    with pytest.raises(TypeError, match="array"):
        digest(array)
    assert saved.read_bytes() == before


@pytest.mark.parametrize("name", ["__numpynet__", "", "a.npy", "a\\b", "a\0b", "a\n", "\ud800", 3])
def test_names_that_would_not_come_back_are_refused(tmp_path, name):
    with pytest.raises((ValueError, TypeError), match="name"):
        save_arrays(tmp_path / "f.npz", {name: np.ones(2)}, kind="k")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("metadata", "error", "message"),
    [
        ({"loss": [0.5, math.nan]}, ValueError, r"metadata\['loss'\]\[1\] is nan"),
        ({"a": {"b": math.inf}}, ValueError, r"metadata\['a'\]\['b'\] is inf"),
        ({"lr": np.float64("-inf")}, ValueError, r"metadata\['lr'\] is -inf"),
        ({"lr": np.float32(0.1)}, TypeError, r"metadata\['lr'\] is of type float32"),
        ({"x": np.ones(2)}, TypeError, r"metadata\['x'\] is of type ndarray"),
        ({"a": {1: 2}}, TypeError, r"metadata\['a'\] has the key 1 \(int\)"),
        ({"a": {1, 2}}, TypeError, r"metadata\['a'\] is of type set"),
        ([("a", 1)], TypeError, "metadata must be a mapping"),
    ],
)
def test_metadata_that_json_would_change_is_refused_with_its_place(tmp_path, metadata, error, message):
    with pytest.raises(error, match=message):
        save_arrays(tmp_path / "f.npz", {}, kind="k", metadata=metadata)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("kind", ["", None, 3])
def test_a_kind_is_needed(tmp_path, kind):
    with pytest.raises(TypeError, match="kind"):
        save_arrays(tmp_path / "f.npz", {}, kind=kind)
    with pytest.raises(TypeError, match="arrays"):
        save_arrays(tmp_path / "f.npz", [np.ones(2)], kind="k")


# ---- digest --------------------------------------------------------------------------------------------------------


def test_digest_is_the_sha256_of_dtype_shape_and_numbers():
    numbers = b"".join(np.float32(value).astype("<f4").tobytes() for value in (1, 2, 3, 4, 5, 6))
    expected = hashlib.sha256(b"<f4 (2, 3) " + numbers).hexdigest()
    assert digest(np.arange(1, 7, dtype=np.float32).reshape(2, 3)) == expected


@given(arrays_of_any_kind)
def test_digest_ignores_how_the_numbers_lie_in_memory(array):
    swapped = array.astype(array.dtype.newbyteorder())
    padded = np.zeros((*array.shape, 2), array.dtype)
    padded[..., 0] = array
    layouts = [np.asfortranarray(array).reshape(array.shape), swapped, padded[..., 0]]
    assert {digest(layout) for layout in layouts} == {digest(array)}


def test_digest_tells_apart_what_compares_equal():
    x = np.zeros((2, 3))
    different = [
        x,
        -x,
        x.reshape(3, 2),
        x.ravel(),
        x.astype(np.float32),
        x.astype(np.int64),
        x.astype(complex),
        x[:, :2],
    ]
    assert len({digest(array) for array in different}) == len(different)


# ---- whole or not at all -------------------------------------------------------------------------------------------


def fail(error):
    def failing(*args, **kwargs):
        raise error

    return failing


def survives(writer, path, monkeypatch, function, error):
    """True if the writer, hit by the error at the given call, leaves the old file and nothing else in the folder."""
    path.write_bytes(b"old")
    with monkeypatch.context() as patch:
        patch.setattr(*function, fail(error))
        with pytest.raises(type(error)):
            writer(path, b"new, and longer than the old one")
    return path.read_bytes() == b"old" and os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("function", [(os, "fsync"), (os, "replace")], ids=["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()], ids=repr)
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, function, error):
    assert survives(write_bytes, tmp_path / "file", monkeypatch, function, error)


def test_a_plain_writer_would_not_survive(tmp_path, monkeypatch):
    def plain(path, data):
        with open(path, "wb") as file:
            file.write(data)
            os.fsync(file.fileno())

    assert not survives(plain, tmp_path / "file", monkeypatch, (os, "fsync"), KeyboardInterrupt())


def test_a_full_disk_is_reported_with_the_name_of_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", fail(OSError(errno.ENOSPC, "No space left on device")))
    with pytest.raises(OSError, match=r"No space left on device; nothing was written.*curve\.csv") as caught:
        write_text(tmp_path / "curve.csv", "step,loss\n")
    assert caught.value.errno == errno.ENOSPC
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_a_device_that_is_really_full(tmp_path, monkeypatch):
    really_open = open
    monkeypatch.setattr("builtins.open", lambda path, mode: really_open("/dev/full", "wb"))
    with pytest.raises(OSError, match="No space left on device") as caught:
        write_bytes(tmp_path / "file", b"1")
    assert caught.value.filename == str(tmp_path / "file")


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no_such_folder does not exist"):
        write_bytes(tmp_path / "no_such_folder" / "file", b"1")


def test_a_folder_in_place_of_the_file_is_reported(tmp_path):
    (tmp_path / "file").mkdir()
    with pytest.raises(OSError, match="file"):
        write_bytes(tmp_path / "file", b"1")
    assert os.listdir(tmp_path) == ["file"]


def test_the_file_and_its_folder_are_forced_to_the_disk(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))
    write_bytes(tmp_path / "file", b"1")
    assert synced == [(tmp_path / "file").stat().st_ino, tmp_path.stat().st_ino]


def test_a_link_is_followed_and_an_ordinary_mode_is_given(tmp_path):
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_bytes(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"
    plain = tmp_path / "plain"
    plain.touch()
    assert (tmp_path / "real").stat().st_mode == plain.stat().st_mode


@same_folder
@given(st.text(st.characters(codec="utf-8")))
def test_text_comes_back_with_its_line_ends(tmp_path, text):
    write_text(tmp_path / "text", text)
    assert (tmp_path / "text").read_bytes() == text.encode("utf-8")


def test_text_and_bytes_are_not_mixed_up(tmp_path):
    with pytest.raises(TypeError, match="write_text"):
        write_bytes(tmp_path / "f", "text")
    with pytest.raises(TypeError, match="write_bytes"):
        write_text(tmp_path / "f", b"bytes")
    assert os.listdir(tmp_path) == []


def test_a_reader_never_sees_half_a_file(tmp_path):
    path = tmp_path / "file.npz"
    contents = [np.full(20_000, value) for value in (1.0, 2.0)]
    save_arrays(path, {"theta": contents[0]}, kind="k")
    done = threading.Event()

    def write_again_and_again():
        for i in range(30):
            save_arrays(path, {"theta": contents[i % 2]}, kind="k")
        done.set()

    writer = threading.Thread(target=write_again_and_again)
    writer.start()
    seen = 0
    while not done.is_set():
        theta = load_arrays(path, kind="k")[0]["theta"]
        assert theta.min() == theta.max()
        seen += 1
    writer.join()
    assert seen > 0
    assert os.listdir(tmp_path) == ["file.npz"]

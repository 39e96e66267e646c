"""Downloads: from a server that breaks off, stalls, lies or refuses, either the true file arrives or a clear error.

A small server on this computer plays the bad ones. Each address has a list of moods, one for each request; when the list is
used up it behaves.
"""

import gzip
import hashlib
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from numpynet.data import FetchError, fetch, fetch_mnist

CONTENTS = {  # incompressible, so that the packed file spans several chunks of the small CHUNK below
    "images": np.random.default_rng(1).bytes(9000),
    "labels": np.random.default_rng(2).bytes(700),
}
PACKED = {f"/mnist/{name}.gz": gzip.compress(content, mtime=0) for name, content in CONTENTS.items()}
SHA256 = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENTS.items()}
IMAGES, LABELS = PACKED  # the addresses


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        server.requests.append((self.path, self.headers.get("Range")))
        moods = server.moods.get(self.path, [])
        mood = moods.pop(0) if moods else "good"
        if mood == "hang up":
            return
        if isinstance(mood, int):
            self.send_error(mood)
            return
        body, start = PACKED[self.path], 0
        if (asked := self.headers.get("Range")) and mood != "no ranges":
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(body):
                self.send_error(416)
                return
        rest = body[start:]
        if mood == "damage":
            rest = rest[:-1] + bytes([rest[-1] ^ 1])
        elif mood == "another file":
            rest = b"<html>Please log in</html>"
        self.send_response(206 if start else 200)
        if mood != "no length":
            self.send_header("Content-Length", str(len(rest)))
        if start:
            shown = start + 1 if mood == "wrong range" else start
            total = "*" if mood == "no total" else len(body)
            self.send_header("Content-Range", f"bytes {shown}-{len(body) - 1}/{total}")
        self.end_headers()
        if mood in ("break off", "stall"):
            self.wfile.write(rest[: len(rest) * 2 // 3])
            self.wfile.flush()
            if mood == "stall":
                server.stop.wait(10)
        else:
            self.wfile.write(rest)

    def log_message(self, *args):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """A client that went away is no news."""


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(fetch, "CHUNK", 1000)
    with Server(("127.0.0.1", 0), Handler) as server:
        server.requests, server.moods, server.stop = [], {}, threading.Event()
        server.url = f"http://127.0.0.1:{server.server_port}/mnist/"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.stop.set()
        server.shutdown()
        thread.join()


def fetch_from(server, folder, **options):
    settings = {"base_url": server.url, "sha256": SHA256, "timeout": 5.0, "attempts": 3, "pause": 0.0}
    return fetch_mnist(folder, **(settings | options))


def assert_complete(folder):
    """Both files, whole, and nothing else."""
    assert sorted(os.listdir(folder)) == ["images.gz", "labels.gz"]
    for name, content in CONTENTS.items():
        assert gzip.decompress((folder / f"{name}.gz").read_bytes()) == content


def ranges(server, path=IMAGES):
    return [asked for requested, asked in server.requests if requested == path]


def test_a_plain_download(server, tmp_path):
    calls = []
    folder = fetch_from(server, tmp_path / "new" / "folder", progress=lambda *call: calls.append(call))
    assert folder == tmp_path / "new" / "folder"
    assert_complete(folder)
    assert server.requests == [(IMAGES, None), (LABELS, None)]
    done = [done for name, done, total in calls if name == "images.gz"]
    assert len(done) > 5
    assert done == sorted(done)
    assert calls[-1] == ("labels.gz", len(PACKED[LABELS]), len(PACKED[LABELS]))


def test_whole_files_are_not_downloaded_again(server, tmp_path):
    fetch_from(server, tmp_path)
    (tmp_path / "labels.gz").unlink()
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist" / "labels").write_bytes(
        CONTENTS["labels"]
    )  # unpacked, in the sub-folder: as load_mnist finds it
    server.requests.clear()
    fetch_from(server, tmp_path)
    assert server.requests == []


def test_the_default_place_is_the_sub_folder_mnist(server, tmp_path, monkeypatch):
    monkeypatch.setenv("NUMPYNET_DATA", str(tmp_path))
    assert fetch_from(server, None) == tmp_path, "load_mnist looks into the sub-folder itself"
    assert_complete(tmp_path / "mnist")


@pytest.mark.parametrize("mood", ["break off", "stall"])
def test_a_broken_transfer_goes_on_where_it_stopped(server, tmp_path, mood):
    server.moods[IMAGES] = [mood, mood]
    fetch_from(server, tmp_path, timeout=0.15)
    assert_complete(tmp_path)
    first = len(PACKED[IMAGES]) * 2 // 3
    second = first + (len(PACKED[IMAGES]) - first) * 2 // 3
    assert ranges(server) == [None, f"bytes={first}-", f"bytes={second}-"]


def test_a_later_call_goes_on_where_the_first_gave_up(server, tmp_path):
    server.moods[IMAGES] = ["break off"]
    with pytest.raises(FetchError, match=r"images\.gz.*broke off after \d+ of \d+ bytes"):
        fetch_from(server, tmp_path, attempts=1)
    kept = len(PACKED[IMAGES]) * 2 // 3
    assert os.listdir(tmp_path) == ["images.gz.part"]
    assert (tmp_path / "images.gz.part").read_bytes() == PACKED[IMAGES][:kept]
    fetch_from(server, tmp_path, attempts=1)
    assert_complete(tmp_path)
    assert ranges(server) == [None, f"bytes={kept}-"]


def test_an_interrupt_keeps_what_has_come(server, tmp_path):
    def interrupt(name, done, total):
        if done > 3000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch_from(server, tmp_path, progress=interrupt)
    kept = (tmp_path / "images.gz.part").read_bytes()
    assert len(kept) > 3000
    assert PACKED[IMAGES].startswith(kept)
    fetch_from(server, tmp_path)
    assert_complete(tmp_path)
    assert ranges(server)[1] == f"bytes={len(kept)}-"


@pytest.mark.parametrize(
    "moods",
    [
        ["break off", "no ranges"],  # the whole file comes again: it must replace the part, not follow it
        ["break off", "wrong range"],
        ["break off", "no total"],
        ["break off", "no length"],
        ["break off", "damage"],
        ["damage"],
        ["damage", "damage"],
        ["another file"],
        ["no length"],
        ["hang up"],
        [503, 500],
        [429],
        ["stall", "damage"],
    ],
    ids=lambda moods: ", ".join(map(str, moods)),
)
def test_after_bad_moods_the_true_file_arrives(server, tmp_path, moods):
    server.moods[IMAGES] = list(moods)
    fetch_from(server, tmp_path, timeout=0.3)
    assert_complete(tmp_path)
    assert server.moods[IMAGES] == [], "the test did not meet all the moods"


@pytest.mark.parametrize("excess", [0, 5])
def test_a_part_that_is_too_long_is_begun_anew(server, tmp_path, excess):
    (tmp_path / "images.gz.part").write_bytes(bytes(len(PACKED[IMAGES]) + excess))
    fetch_from(server, tmp_path)
    assert_complete(tmp_path)


def test_a_part_of_something_else_is_found_out(server, tmp_path):
    (tmp_path / "images.gz.part").write_bytes(b"x" * 100)
    fetch_from(server, tmp_path)
    assert_complete(tmp_path)
    assert ranges(server) == ["bytes=100-", None]


@pytest.mark.parametrize(
    ("mood", "cause", "requests", "left"),
    [
        (404, "answered 404 Not Found", 1, []),  # no use in asking again
        (403, "answered 403 Forbidden", 1, []),
        (503, "answered 503 Service Unavailable", 3, []),
        ("hang up", "did not answer", 3, []),
        ("damage", "sent a damaged file, which was removed .images.gz is damaged", 3, []),
        ("another file", "sent a damaged file, which was removed .its SHA-256 is not the known one", 3, []),
        ("break off", "broke off after .* bytes", 3, ["images.gz.part"]),
        ("stall", "stalled after .* bytes", 3, ["images.gz.part"]),
    ],
)
def test_what_stays_wrong_is_reported_in_one_sentence(server, tmp_path, mood, cause, requests, left):
    server.moods[IMAGES] = [mood] * 9
    with pytest.raises(FetchError, match=cause) as caught:
        fetch_from(server, tmp_path, timeout=0.15)
    message = str(caught.value)
    assert message.startswith("cannot fetch images.gz: ")
    assert server.url in message
    assert "\n" not in message
    assert isinstance(caught.value, ConnectionError)
    assert len(ranges(server)) == requests
    assert os.listdir(tmp_path) == left


def test_the_next_mirror_is_tried(server, tmp_path):
    lost = f"http://127.0.0.1:{server.server_port}/lost"
    PATHS = [f"/lost/{name}.gz" for name in CONTENTS]
    server.moods.update({path: [404] for path in PATHS})
    fetch_from(server, tmp_path, base_url=(lost, server.url))
    assert_complete(tmp_path)
    assert [path for path, _ in server.requests] == [PATHS[0], IMAGES, PATHS[1], LABELS]


def test_every_mirror_is_named_when_all_fail(tmp_path, server, monkeypatch):
    pauses = []
    monkeypatch.setattr(fetch.time, "sleep", pauses.append)
    server.moods[IMAGES] = [404]
    nobody = "http://127.0.0.1:9/"  # the discard port: nobody listens
    with pytest.raises(FetchError, match=rf"{nobody}images.gz did not answer .*; {server.url}images.gz answered 404"):
        fetch_from(server, tmp_path, base_url=[nobody, server.url], attempts=4, pause=0.5)
    assert pauses == [0.5, 1.0, 2.0]


def test_a_file_that_is_there_but_wrong_is_left_alone(server, tmp_path):
    (tmp_path / "images.gz").write_bytes(gzip.compress(b"my own pictures"))
    with pytest.raises(ValueError, match=r"images\.gz is there, but it is not the file of MNIST"):
        fetch_from(server, tmp_path)
    assert gzip.decompress((tmp_path / "images.gz").read_bytes()) == b"my own pictures"
    (tmp_path / "images.gz").write_bytes(PACKED[IMAGES][:-9])
    with pytest.raises(ValueError, match=r"images\.gz is damaged, it cannot be unpacked"):
        fetch_from(server, tmp_path)
    assert server.requests == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_a_full_disk_is_not_blamed_on_the_server(server, tmp_path):
    (tmp_path / "images.gz.part").symlink_to("/dev/full")
    with pytest.raises(
        OSError, match=r"cannot store the download: No space left on device.*images\.gz\.part"
    ) as caught:
        fetch_from(server, tmp_path)
    assert not isinstance(caught.value, FetchError)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"base_url": "file:///data/"}, "must begin with http"),
        *(
            (
                {"base_url": ("http://localhost/", f"http://{no_address}")},
                "which is no address; one looks like https://",
            )
            for no_address in (
                "",
                "/mnist/",
                ":80/",
                "exa mple/",
                "localhost:x/",
                "localhost:99999/",
                "localhost:0/",
                "[::1/",
            )
        ),  # of a server "that did not answer", with exit code 1, it was said for most of them
        ({"base_url": ()}, "nothing to try"),
        ({"attempts": 0}, "nothing to try"),
    ],
)
def test_wrong_arguments_are_refused(server, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        fetch_from(server, tmp_path / "never", **options)
    assert os.listdir(tmp_path) == []


# ---- planted bugs: the tests above can fail -------------------------------------------------------------------------


def always_append(response, start, part):
    return start, start + response.length  # takes every answer for the rest of the file


def test_a_client_that_ignores_the_status_would_be_found_out(server, tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "_what_comes", always_append)
    server.moods[IMAGES] = ["break off", "no ranges"]
    with pytest.raises(FetchError, match="damaged"):
        fetch_from(server, tmp_path, attempts=2)


def test_a_client_that_believes_the_server_would_be_found_out(server, tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "is_genuine", lambda *anything: True)
    server.moods[LABELS] = ["another file"]
    fetch_from(server, tmp_path)
    with pytest.raises(gzip.BadGzipFile):
        assert_complete(tmp_path)

"""Corpora by name."""

import hashlib
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from labkit.text import download, fetch


def test_a_copy_in_the_data_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    copy = tmp_path / "text" / "wikinews.txt"
    copy.parent.mkdir()
    copy.write_text("We sat on the bank.\n")
    assert fetch("wikinews") == copy


def test_unknown_name():
    with pytest.raises(KeyError) as caught:
        fetch("wikipedia")
    assert str(caught.value) == (
        "no corpus is called 'wikipedia'; "
        "expected one of 'coarsewsd12', 'coarsewsd20', 'enwiki2018', 'state_union', 'wikinews'"
    )


@pytest.mark.parametrize("name", download.SOURCES)
def test_what_is_not_there_says_how_to_get_it(name, tmp_path, monkeypatch):
    monkeypatch.delenv("LABKIT_DATA", raising=False)
    with pytest.raises(
        FileNotFoundError, match=rf"'{name}' .* LABKIT_DATA is not set; to get it, .* save it as"
    ):
        fetch(name)
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    with pytest.raises(
        FileNotFoundError, match=f"{download.SOURCES[name].path} is not in the folder {tmp_path}"
    ):
        fetch(name)


def test_a_data_folder_that_does_not_exist(tmp_path, monkeypatch):
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match="nowhere that LABKIT_DATA names does not exist"):
        fetch("wikinews")


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def address(tmp_path):
    (tmp_path / "little.txt").write_text("We sat on the bank.\n")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/little.txt"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("right", [True, False], ids=["right sum", "wrong sum"])
def test_a_download_is_checked(right, address, tmp_path, monkeypatch):
    pooch = pytest.importorskip("pooch")
    pooch.get_logger().setLevel("WARNING")
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / "cache")
    monkeypatch.delenv("LABKIT_DATA", raising=False)
    sha256 = hashlib.sha256((tmp_path / "little.txt").read_bytes() if right else b"").hexdigest()
    source = download.Source("text/little.txt", "one line", "", address, sha256)
    monkeypatch.setitem(download.SOURCES, "little", source)
    if right:
        assert fetch("little").read_text() == "We sat on the bank.\n"
    else:
        with pytest.raises(ValueError, match="does not match the known hash"):
            fetch("little")

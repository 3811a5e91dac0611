"""`make app`: the explorer alone, served by Voilà, in a real Chromium and without a way into the net."""

import importlib.util
import os
import re
import socket
import subprocess
import sys
import time
from urllib.request import urlopen

import pytest

from tests.browser.lab import ROOT

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("voila") is None, reason="Voilà is not installed: pip install voila"
)
SLOW = 90_000  # ms for a kernel that imports torch


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Of a server that ends, with its kernels, when it is told to."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("app")
    own = {f"JUPYTER_{name}_DIR": str(folder / name) for name in ("CONFIG", "DATA", "RUNTIME")}
    own |= {"IPYTHONDIR": str(folder / "ipython"), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "labkit", "explore", "--no-browser", "--device", "cpu", "--port", str(port)]
    with open(folder / "log", "w") as log:
        process = subprocess.Popen(command, env=os.environ | own, stdout=log, stderr=log, cwd=folder)
    try:
        for _ in range(120):
            if f"127.0.0.1:{port}" in (folder / "log").read_text():
                break
            assert process.poll() is None, (folder / "log").read_text()
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.terminate()
        process.wait(30)
    with pytest.raises(OSError):
        urlopen(f"http://127.0.0.1:{port}/", timeout=2)


def test_the_app_shows_the_explorer_and_asks_nobody_else(chromium, address):
    context = chromium.new_context(viewport={"width": 1280, "height": 800})
    page, trouble = context.new_page(), []
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on(
        "request",
        lambda request: re.match(r"(http|ws)://127\.0\.0\.1:|data:|blob:", request.url) or trouble.append(request.url),
    )
    page.goto(address, timeout=SLOW)
    page.wait_for_function("() => document.querySelector('.lk')?.dataset.shown", timeout=SLOW)
    assert page.title() == "A word is a density"
    assert page.locator("h1").inner_text() == "A word is a density" and page.get_by_text("import").count() == 0
    page.get_by_role("button", name="spring").click()
    page.wait_for_function("() => JSON.parse(document.querySelector('.lk').dataset.shown)[0] === 'spring'")
    box = page.locator("canvas").first.bounding_box()
    assert box["y"] > 0 and box["y"] + box["height"] < 800, "the whole picture is seen without scrolling"
    page.locator("summary", has_text="Take it along").click()  # and below it one can scroll
    assert page.get_by_role("button", name="PNG").is_visible()
    context.close()
    assert trouble == []

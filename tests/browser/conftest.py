"""A Chromium and a JupyterLab for all browser tests, a page of it for each."""

import shutil

import pytest

from tests.browser.lab import EXPLORE, Lab, jupyterlab


@pytest.fixture(scope="session")
def chromium():
    if shutil.which("chromium") is None:
        pytest.skip("no chromium on this machine")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    with jupyterlab(tmp_path_factory.mktemp("lab"), tmp_path_factory.mktemp("private")) as running:
        yield running


@pytest.fixture
def lab(chromium, server):
    """lab(cell, ...) opens a notebook and runs it; a page error, a dialog or a request into the net fails the test."""
    opened = []

    def start(*cells, run=True, size=(1280, 800)):
        opened.append(Lab(chromium, server, cells or [EXPLORE], size))
        return opened[-1].open(run)

    yield start
    trouble = [entry for each in opened for entry in each.trouble]
    for each in opened:
        each.close()
    assert trouble == []

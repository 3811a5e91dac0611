"""JupyterLab on loopback, one notebook in one page: what the browser tests and browser.py of benchmarks drive."""

import json
import os
import re
import socket
import subprocess
import sys
import time
import uuid
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import nbformat

ROOT = Path(__file__).parents[2]
TOKEN = "labkit"
READY, SLOW = 60, 90_000  # s for the server to start; ms for a first cell, which imports torch
SETTINGS = ["--LabApp.expose_app_in_browser=True", "--LabApp.news_url=None",
            "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate", "--ServerApp.open_browser=False",
            "--ServerApp.ip=127.0.0.1", "--ServerApp.allow_root=True", f"--IdentityProvider.token={TOKEN}"]  # fmt: skip
SETTINGS_FILES = {  # or it asks whether one wants news, in the way of the mouse
    "@jupyterlab/apputils-extension/notification.jupyterlab-settings": '{"fetchNews": "false"}',
    "@jupyter-widgets/jupyterlab-manager/plugin.jupyterlab-settings": '{"saveState": true}',
}
MODEL = """
import torch
torch.set_num_threads(1)
import labkit as lk
model = lk.load("quickstart")
"""
EXPLORE = MODEL + "explorer = lk.explore(model)\nexplorer"


@contextmanager
def jupyterlab(folder: Path, private: Path):
    """(address, folder) of a JupyterLab that serves a folder and knows nothing of the user's settings.

    Raises:
        RuntimeError: if it does not start, with what it wrote.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = {f"JUPYTER_{name}_DIR": str(private / name) for name in ("CONFIG", "DATA", "RUNTIME")}
    own |= {"JUPYTERLAB_SETTINGS_DIR": str(private / "settings"), "JUPYTERLAB_WORKSPACES_DIR": str(private / "spaces"),
            "IPYTHONDIR": str(private / "ipython"), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}  # fmt: skip
    for name, text in SETTINGS_FILES.items():
        (private / "settings" / name).parent.mkdir(parents=True)
        (private / "settings" / name).write_text(text)
    command = [sys.executable, "-m", "jupyterlab", *SETTINGS, f"--ServerApp.port={port}"]
    command += [f"--ServerApp.root_dir={folder}"]
    with open(private / "log", "w") as log:
        process = subprocess.Popen(command, env=os.environ | own, stdout=log, stderr=log, cwd=folder)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(2 * READY):
            try:
                urlopen(f"{address}/api/status?token={TOKEN}", timeout=5).read()
                break
            except OSError:
                if process.poll() is not None:
                    raise RuntimeError((private / "log").read_text()) from None
                time.sleep(0.5)
        yield address, folder
    finally:
        process.terminate()
        process.wait(20)


class Lab:
    """One page of JupyterLab with one notebook; `trouble` gathers what must not happen."""

    def __init__(self, browser, server, cells, size=(1280, 800)):
        self.address, self.folder = server
        self.name = f"{uuid.uuid4().hex[:8]}.ipynb"
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell.strip()) for cell in cells])
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(notebook, self.folder / self.name)
        self.trouble, self.received = [], 0
        self.context = browser.new_context(viewport={"width": size[0], "height": size[1]}, accept_downloads=True)
        self.page = self.context.new_page()
        self.page.set_default_timeout(30_000)
        self.page.on("pageerror", lambda error: self.trouble.append(f"error: {error}"))
        self.page.on("dialog", lambda dialog: (self.trouble.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        self.page.on("request", lambda request: self._look(request.url))
        self.page.on("websocket", self._socket)

    def _look(self, url: str) -> None:
        if not re.match(r"(https?|wss?)://127\.0\.0\.1[:/]|data:|blob:|about:", url):
            self.trouble.append(f"left loopback: {url}")

    def _socket(self, socket) -> None:
        self._look(socket.url)
        socket.on("framereceived", lambda frame: setattr(self, "received", self.received + len(frame)))

    def open(self, run=True):
        # a workspace of its own, so that no test sees the tabs of another
        self.page.goto(f"{self.address}/lab/workspaces/{uuid.uuid4().hex[:8]}/tree/{self.name}?token={TOKEN}")
        self.page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=SLOW)
        self.page.wait_for_function("window.jupyterapp !== undefined")
        self.page.wait_for_function("window.jupyterapp.shell.currentWidget?.sessionContext", timeout=SLOW)
        self.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.ready")
        if run:
            self.run()
        return self

    def run(self) -> None:
        """Run all cells; asked again, should the kernel not have heard it."""
        from playwright.sync_api import TimeoutError as TooLate

        for _ in range(5):
            self.command("notebook:run-all-cells")
            try:
                begun = "/\\d|\\*/.test(document.querySelector('.jp-Cell .jp-InputPrompt').textContent)"
                self.page.wait_for_function(begun, timeout=4000)
                return
            except TooLate:
                continue

    def command(self, name: str) -> None:
        self.page.evaluate("(name) => { window.jupyterapp.commands.execute(name); }", name)

    def shown(self, word: str, context: str = "", detail: int = 1, nth: int = 0, timeout=SLOW):
        """Wait until an explorer shows a word, with its modes (detail 1) and its sentences (2)."""
        self.page.wait_for_function(
            """([word, context, detail, nth]) => {
                const root = document.querySelectorAll(".lk")[nth];
                const shown = JSON.parse(root?.dataset.shown ?? "[]");
                return shown[0] === word && shown[1] === context && shown[2] >= detail;
            }""",
            arg=[word, context, detail, nth],
            timeout=timeout,
        )
        return self.page.locator(".lk").nth(nth)

    def printed(self, name: str, cell: int = 1) -> float:
        """Run a cell that prints a name and a number, and give the number."""
        self.page.evaluate("(cell) => { window.jupyterapp.shell.currentWidget.content.activeCellIndex = cell; }", cell)
        self.command("notebook:run-cell")
        self.page.wait_for_timeout(300)
        text = self.page.locator(".jp-Cell").nth(cell).locator(".jp-OutputArea-output").last
        return float(text.inner_text().removeprefix(name))

    def saved(self) -> dict:
        self.command("docmanager:save")
        self.page.wait_for_timeout(1500)
        return json.loads((self.folder / self.name).read_text("utf-8"))

    def close(self) -> None:
        self.page.evaluate("() => window.jupyterapp?.serviceManager.sessions.shutdownAll()")
        self.context.close()

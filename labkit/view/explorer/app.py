"""The explorer alone: a notebook without code, served by Voilà to browsers of this machine and no other."""

import importlib.util
import json
import os
from pathlib import Path

from labkit.embeddings.saving import load_model
from labkit.text import Corpus, load_corpus
from labkit.training import pick_device
from labkit.view.explorer.widget import Explorer, explore

SERVED = Path(__file__).parent / "served"
NOTEBOOK = SERVED / "app.ipynb"
TOLD = "LABKIT_APP"  # the variable by which the notebook's kernel is told what to show


def check_server() -> None:
    """Raise an error if Voilà, an optional dependency, is not installed.

    Raises:
        ImportError: with the line that installs it.
    """
    if importlib.util.find_spec("voila") is None:
        raise ImportError("the explorer as an app is served by Voilà, which is not installed: pip install voila")


def serve(
    model: Path | None = None,
    corpus: str | None = None,
    device: str = "auto",
    browser: bool = True,
    port: int | None = None,
) -> None:
    """Serve the explorer on 127.0.0.1, which no other machine reaches, until it is interrupted.

    Arguments:
        model: folder of a saved model; that of the first notebook by default.
        corpus: a file or a known name, from which the model gets its sentences back.
        device: "auto", "cpu" or "cuda", for the model.
        browser: open a browser.
        port: on which to serve; by default the first free one from 8866 on.

    Raises:
        ImportError: without Voilà.
        ValueError: a folder that holds no model, or one without densities.
    """
    check_server()
    told = {"model": _absolute(model or "quickstart"), "corpus": corpus and _absolute(corpus), "device": device}
    explore(load_model(told["model"]).to(pick_device(device)), resolution=8)  # what is wrong is said here, in time
    os.environ[TOLD] = json.dumps(told)  # kernels inherit it
    arguments = [str(NOTEBOOK), "--Voila.ip=127.0.0.1"]
    _launch(arguments + ([f"--port={port}"] if port else []) + ([] if browser else ["--no-browser"]))


def _launch(arguments: list[str]) -> None:
    """Voilà in this process, so that it ends with it; with a page of ours, which fetches nothing from elsewhere."""
    from voila.app import Voila

    class Server(Voila):
        def setup_template_dirs(self) -> None:
            super().setup_template_dirs()
            self.template_paths.insert(0, str(SERVED))

    Server.launch_instance(arguments)


def shown() -> Explorer:
    """What the notebook shows: the explorer of the model that `serve` was asked for."""
    told = {"model": "quickstart", "corpus": None, "device": "auto"} | json.loads(os.environ.get(TOLD, "{}"))
    model = load_model(told["model"]).to(pick_device(told["device"]))
    if told["corpus"]:
        is_file = Path(told["corpus"]).exists()
        model.corpus_ = Corpus.load(told["corpus"], min_count=1) if is_file else load_corpus(told["corpus"])
    return explore(model)


def _absolute(name) -> str:
    """The whole path of what is here; a bare name stays one."""
    return str(Path(name).resolve()) if Path(name).exists() else str(name)

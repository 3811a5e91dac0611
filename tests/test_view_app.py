"""`python -m labkit explore`: the explorer served alone. That it opens in a browser is tested in tests/browser."""

import importlib.util
import json
import os

import nbformat
import pytest

import labkit as lk
from labkit.cli import main
from labkit.view.explorer import app

SMALL = dict(steps=4, layers=1, bins=4, vector_dim=4, word_dim=4, batch_size=8)
SENTENCES = ["a small red boat", "a big red bus", "a small boat"] * 9


@pytest.fixture
def served(monkeypatch):
    """(arguments, what the kernel is told) of each server that would have been started."""
    started, find = [], importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: True if name == "voila" else find(name))
    monkeypatch.setenv(app.TOLD, "{}")  # which is then put back
    monkeypatch.setattr(app, "_launch", lambda line: started.append((line, json.loads(os.environ[app.TOLD]))))
    return started


@pytest.fixture
def saved(tmp_path):
    corpus = lk.Corpus.from_sentences(SENTENCES, min_count=1)
    lk.StochasticEmbedding(**SMALL).fit(corpus, progress=False).save(tmp_path / "model")
    return tmp_path / "model"


def test_help_names_every_option(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["explore", "--help"])
    said = capsys.readouterr().out
    assert stop.value.code == 0
    assert all(f"--{name}" in said for name in ("seed", "device", "corpus", "save", "port", "no-browser"))


def test_it_serves_on_loopback_alone(served, saved, monkeypatch):
    monkeypatch.chdir(saved.parent)
    assert main(["explore", "model", "--port", "8870", "--no-browser", "--device", "cpu"]) == 0
    ((line, told),) = served
    assert line == [str(app.NOTEBOOK), "--Voila.ip=127.0.0.1", "--port=8870", "--no-browser"]
    assert app.NOTEBOOK.is_file()
    assert told == {"model": str(saved), "corpus": None, "device": "cpu"}  # whole, since a kernel runs elsewhere


def test_without_a_model_it_is_the_first_notebooks(served):
    assert main(["explore"]) == 0
    assert served[0][1]["model"] == "quickstart" and "--no-browser" not in served[0][0]


def test_a_corpus_is_trained_on_first(served, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "boats.txt").write_text("\n".join(SENTENCES), "utf-8")
    trained = []
    monkeypatch.setattr(lk.StochasticEmbedding, "fit", lambda model, corpus, **_: trained.append((model.seed, corpus)))
    assert main(["explore", "--corpus", "boats.txt", "--seed", "3"]) == 1  # nothing was learned, nothing is saved
    assert [(seed, len(corpus)) for seed, corpus in trained] == [(3, len(SENTENCES))] and served == []
    assert capsys.readouterr().err.startswith("labkit: ")


def test_a_corpus_gives_a_saved_model_its_sentences(served, saved, monkeypatch):
    text = saved.parent / "boats.txt"
    text.write_text("\n".join(SENTENCES), "utf-8")
    assert main(["explore", str(saved), "--corpus", str(text)]) == 0
    explorer = app.shown()
    model = explorer.session.models[0]
    assert explorer.word in model.words and len(model.corpus_) == len(SENTENCES)
    assert model.occurrences("red") is not None


def test_the_notebook_shows_the_explorer(monkeypatch):
    monkeypatch.setenv(app.TOLD, "{}")
    code = [cell.source for cell in nbformat.read(app.NOTEBOOK, 4).cells if cell.cell_type == "code"]
    scope = {}
    exec("\n".join(code).replace("\nshown()", "\nshow = shown()"), scope)
    assert scope["show"].word == "bank" and scope["show"].about["presets"] == ["bank", "spring", "tuesday"]


@pytest.mark.parametrize(
    "arguments, said",
    [
        ([], "pip install voila"),
        (["nowhere"], "pip install voila"),
        (["--corpus", "boats.txt"], "pip install voila"),
    ],
)
def test_without_a_server_nothing_is_begun(arguments, said, capsys, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert main(["explore", *arguments]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and said in error and "Traceback" not in error


def test_what_is_no_model_is_said_before_it_is_served(served, tmp_path, capsys):
    lk.PointEmbedding(steps=2, vector_dim=4, batch_size=8).fit(
        lk.Corpus.from_sentences(SENTENCES, min_count=1), progress=False
    ).save(tmp_path / "points")
    wrong = {"nowhere": "is no labkit checkpoint", "points": "shows densities, and PointEmbedding has one vector"}
    for folder, said in wrong.items():
        assert main(["explore", str(tmp_path / folder)]) == 1
        assert said in capsys.readouterr().err
    assert served == []

"""python -m labkit: what it prints, what it writes, and one sentence for every mistake."""

import functools
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import labkit.cli
import labkit.demo
from labkit import PointEmbedding, StochasticEmbedding, load, load_corpus
from labkit.cli import main
from labkit.embeddings.warm import read_vectors

ROOT = Path(__file__).parents[1]
QUICK = ["--steps", "6", "--batch-size", "16", "--min-count", "1", "--json"]
TEXT = "\n".join([
    "we sat on the grassy bank of the river", "the bank raised the interest on my loan",
    "tulips bloom in spring", "the spring of the old clock had snapped",
] * 8)  # fmt: skip


@pytest.fixture(autouse=True)
def small_demo(monkeypatch):
    """The demo with a twelfth of its work: fewer sentences, words and windows."""
    for name in ("grammar_windows", "handwritten_windows"):
        whole = getattr(labkit.demo, name)
        monkeypatch.setattr(labkit.demo, name, lambda *arguments, whole=whole: whole(*arguments)[:9])
    monkeypatch.setattr(labkit.demo, "HELD_OUT", 4)
    monkeypatch.setattr(labkit.demo, "SHOWN", ("bank", "spring"))
    monkeypatch.setattr(labkit.cli, "run_demo", functools.partial(labkit.demo.run_demo, per_word=500))


@pytest.fixture
def text(tmp_path) -> Path:
    path = tmp_path / "my text.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


def run(capsys, *arguments) -> tuple[int, str, str]:
    status = main([str(a) for a in arguments])
    output = capsys.readouterr()
    return status, output.out, output.err


def one_object(text: str) -> dict:
    """The JSON object that is all of a text; NaN is no JSON."""
    def refuse(name):
        raise AssertionError(f"{name} is no JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize("command", ["demo", "train", "evaluate", "export"])
def test_help(capsys, command):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    shown = capsys.readouterr().out
    assert stop.value.code == 0 and all(option in shown for option in ("--seed", "--device", "--help"))
    assert ("--json" in shown) is (command != "export")


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_python_m_labkit(arguments):
    shown = subprocess.run([sys.executable, "-m", "labkit", *arguments], cwd=ROOT, capture_output=True, text=True)
    assert shown.returncode == 0 and "labkit" in shown.stdout and shown.stderr == ""


# --- train --------------------------------------------------------------------------------------------------------


def test_train(capsys, text, tmp_path):
    status, out, err = run(capsys, "train", "--corpus", text, "--save", tmp_path / "m", *QUICK)
    report = one_object(out)
    assert status == 0 and err == ""
    assert set(report) == {"model", "saved", "vocabulary", "parameters", "steps", "seconds", "nats_per_word"}
    model = load(tmp_path / "m")
    assert isinstance(model, StochasticEmbedding) and model.steps == report["steps"] == 6
    assert report["vocabulary"] == len(model.vocabulary_) and report["parameters"] == model.n_parameters_


def test_train_in_words(capsys, text, tmp_path):
    status, out, _ = run(capsys, "train", "--corpus", text, "--save", tmp_path / "m", *QUICK[:-1])
    assert status == 0 and "32 sentences" in out and f"saved StochasticEmbedding to {tmp_path / 'm'}" in out


@pytest.mark.parametrize("kind", ["PointEmbedding", "GaussianEmbedding", "MixtureEmbedding", "TruncatedEmbedding"])
def test_train_another_model(capsys, text, tmp_path, kind):
    assert run(capsys, "train", "--corpus", text, "--save", tmp_path / "m", "--model", kind, *QUICK)[0] == 0
    assert load(tmp_path / "m").name == kind


def test_settings_reach_the_model(capsys, text, tmp_path):
    options = ["--dim", 1, "--seed", 4, "--init", "none", "--device", "cpu"]
    assert run(capsys, "train", "--corpus", text, "--save", tmp_path / "m", *QUICK, *options)[0] == 0
    params = load(tmp_path / "m").get_params()
    assert {name: params[name] for name in ("dim", "seed", "init", "device", "batch_size")} == {
        "dim": 1, "seed": 4, "init": None, "device": "cpu", "batch_size": 16,
    }  # fmt: skip


def test_ctrl_c_and_resume(capsys, text, tmp_path, monkeypatch):
    """Ctrl-C in the middle saves what is learned, and --resume ends where the whole training would have."""
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    arguments = ["train", "--corpus", text, *QUICK, "--save"]
    assert run(capsys, *arguments, whole)[0] == 0
    usual, calls = StochasticEmbedding.loss, []

    def loss(*rest):
        calls.append(1)
        if len(calls) == 3:
            signal.raise_signal(signal.SIGINT)
        return usual(*rest)

    monkeypatch.setattr(StochasticEmbedding, "loss", loss)
    status, out, err = run(capsys, *arguments, stopped)
    assert status == 0 and one_object(out)["steps"] == 3 and "Stopped at step 3 of 6" in err
    monkeypatch.undo()
    assert run(capsys, *arguments, stopped, "--resume")[0] == 0
    weights, others = load(whole).state_dict(), load(stopped).state_dict()
    assert all((weights[name] == others[name]).all() for name in weights)


# --- evaluate and export ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def point(tmp_path_factory) -> Path:
    """A model of the built-in corpus."""
    corpus = load_corpus("senses", per_word=200, min_count=1)
    folder = tmp_path_factory.mktemp("models") / "point"
    PointEmbedding(vector_dim=8, steps=5, batch_size=64).fit(corpus, progress=False).save(folder)
    return folder


@pytest.fixture(scope="module")
def flow(tmp_path_factory) -> Path:
    """A model of two sentences."""
    from labkit import Corpus

    texts, folder = TEXT.splitlines(), tmp_path_factory.mktemp("models") / "flow"
    marked = ["bank", "bank", "spring", "spring"] * 8
    corpus = Corpus.from_sentences(texts, targets=marked, min_count=1)
    StochasticEmbedding(vector_dim=8, word_dim=4, hidden=(8,), steps=5, batch_size=16).fit(
        corpus, progress=False
    ).save(folder)
    return folder


def test_evaluate(capsys, point):
    status, out, err = run(capsys, "evaluate", point, point, "--json")
    report = one_object(out)
    assert status == 0 and err == "" and len(report["rows"]) == 2
    row = report["rows"][0]
    assert row["model"] == "PointEmbedding" and row["folder"] == str(point) and row["seconds"] > 0
    assert row["nats"] > report["optimum"] > 0 and report["same_size"] is True
    status, out, _ = run(capsys, "evaluate", point, "--seed", "1")
    assert status == 0 and "PointEmbedding" in out and "optimum" in out


def test_evaluate_says_whether_the_space_of_a_latent_model_is_used(capsys, point, tmp_path, monkeypatch):
    corpus = load_corpus("senses", per_word=200, min_count=1)
    small = StochasticEmbedding(vector_dim=8, word_dim=4, hidden=(8,), steps=2, batch_size=32, init=None)
    small.fit(corpus, progress=False).save(tmp_path / "flow")
    table = pd.DataFrame({"model": ["one", "other"]})
    table.attrs |= {"optimum": 1.0, "optimum_stderr": 0.1}
    monkeypatch.setattr("labkit.cli.lk.compare", lambda models, seed: table.copy())
    _, out, _ = run(capsys, "evaluate", tmp_path / "flow", point)
    assert re.search(r"/flow: .*of 2 coordinates are used", out) and "/point:" not in out
    _, out, _ = run(capsys, "evaluate", tmp_path / "flow", point, "--json")
    assert list(one_object(out)["verdicts"]) == [str(tmp_path / "flow")]


@pytest.mark.parametrize("device", ["cpu", "auto"])
def test_export_vectors(capsys, flow, tmp_path, device):
    path = tmp_path / "vectors.txt"
    status, out, err = run(capsys, "export", flow, "--to", path, "--device", device)
    assert (status, out, err) == (0, f"wrote {path}\n", "")
    names = [line.split(" ")[0] for line in path.read_text().splitlines()[1:]]
    assert {name.partition("#")[0] for name in names} == {"bank", "spring"}
    vectors, found = read_vectors(path, type(load(flow).vocabulary_)(names, [1] * len(names)))
    assert vectors.shape[1] == 8 and found.all()


def test_export_for_the_projector(capsys, flow, tmp_path):
    assert run(capsys, "export", flow, "--to", tmp_path / "projector", "--words", "bank")[0] == 0
    assert {file.name for file in (tmp_path / "projector").iterdir()} == {"vectors.tsv", "metadata.tsv"}
    assert "spring" not in (tmp_path / "projector" / "metadata.tsv").read_text().replace("near", "").split("\n")[1][:6]


def test_export_a_page(capsys, flow, tmp_path):
    page = tmp_path / "new" / "page.html"
    assert run(capsys, "export", flow, "--to", page, "--words", "bank")[0] == 0
    assert "bank" in page.read_text(encoding="utf-8")


# --- demo ---------------------------------------------------------------------------------------------------------


def test_demo(capsys, tmp_path):
    """The whole of the demo on little: its figures are those of a model that has hardly begun."""
    status, out, err = run(capsys, "demo", "--json", "--steps", 30, "--out", tmp_path / "out")
    report = one_object(out)
    assert status == 0 and err == ""
    assert {"seconds", "modes", "mode_f1", "ari", "nats", "stderr"} <= set(report)
    assert set(report["ari"]) == {"grammar", "handwritten"}
    assert set(report["nats"]) == set(report["stderr"]) == {"point", "gaussian", "mixture", "flow", "optimum"}
    assert len(report["modes"]) == 9 and all(isinstance(n, int) and n > 0 for n in report["modes"].values())
    assert all(0 < nats < 20 for nats in report["nats"].values()) and report["seconds"] > 0
    assert (tmp_path / "out" / "bank.html").stat().st_size > 10_000


# --- mistakes -----------------------------------------------------------------------------------------------------

FILES = {
    "empty.txt": b"", "blank.txt": b"\n \n\n", "binary.txt": bytes(range(256)) * 9, "zeros.txt": b"ab\0cd" * 99,
    "latin.txt": "ein Bänkchen am Ufer\n".encode("latin-1") * 9, "word.txt": b"bank bank bank\n" * 9,
    "rare.txt": b"each word once\n", "broken.jsonl": b'{"sentence": "a bank"}\n{"sent', "other.csv": b"a,b\n1,2\n",
    "notes.pdf": b"%PDF-1.4", "vectors.txt": b"bank 1 2 3\n", "good.txt": TEXT.encode(),
}  # fmt: skip
MISTAKES = {
    "empty file": ("train --corpus {tmp}/empty.txt", "empty.txt is empty"),
    "blank file": ("train --corpus {tmp}/blank.txt", "blank.txt|no words"),
    "binary file": ("train --corpus {tmp}/binary.txt", "binary.txt"),
    "NUL bytes": ("train --corpus {tmp}/zeros.txt", "binary file"),
    "wrong encoding": ("train --corpus {tmp}/latin.txt", "encoding='latin-1'"),
    "unknown encoding": ("train --corpus {tmp}/good.txt --encoding klingon", "'klingon' is not known"),
    "missing file": ("train --corpus {tmp}/nowhere.txt", "there is no file .*nowhere.txt"),
    "unknown corpus": ("train --corpus wikipedia", "no corpus is called 'wikipedia'; expected one of"),
    "a folder": ("train --corpus {tmp}", "expected .txt, .jsonl, .csv"),
    "unknown kind of file": ("train --corpus {tmp}/notes.pdf", "cannot tell what notes.pdf is"),
    "one word": ("train --corpus {tmp}/word.txt", "only one distinct word"),
    "all words rare": ("train --corpus {tmp}/rare.txt", "min_count"),
    "broken lines": ("train --corpus {tmp}/broken.jsonl", "line 2 of .*broken.jsonl is not JSON"),
    "missing column": ("train --corpus {tmp}/other.csv", "no column 'sentence'"),
    "no steps": ("train --corpus {tmp}/good.txt --steps 0", "steps is 0; expected a whole number"),
    "no batch": ("train --corpus {tmp}/good.txt --batch-size 0", "batch_size is 0; expected"),
    "no dimension": ("train --corpus {tmp}/good.txt --dim 0", "dim is 0; expected a whole number"),
    "a point of two dimensions": (
        "train --corpus {tmp}/good.txt --model PointEmbedding --dim 2", "PointEmbedding has no parameter 'dim'",
    ),
    "nothing to resume": ("train --corpus {tmp}/good.txt --resume", "is no labkit checkpoint"),
    "vectors of another width": ("train --corpus {tmp}/good.txt --init {tmp}/vectors.txt", "set vector_dim=3"),
    "no file of vectors": ("train --corpus {tmp}/good.txt --init {tmp}/none.txt", "'spectral', None or a file"),
    "no such device": ("train --corpus {tmp}/good.txt --device tpu", "device is 'tpu'; expected"),
    "a foreign folder to save in": ("train --corpus {tmp}/good.txt --save {tmp}", "expected a new folder"),
    "no threads": ("train --corpus {tmp}/good.txt --threads 0", "--threads is 0; expected at least 1"),
    "no model": ("evaluate {tmp}/nowhere", "nowhere is no labkit checkpoint"),
    "another corpus's model": ("evaluate {flow}", "lacks .* of the grammar's .* words"),
    "corrupted checkpoint": ("export {damaged} --to {tmp}/v.txt", "truncated or was changed"),
    "unknown word": ("export {flow} --words bnak --to {tmp}/v.txt", "'bnak' is not in .* nearest: 'bank'"),
    "word of contexts": ("export {flow} --words river --to {tmp}/v.html", "'river' occurs .* only around other words"),
    "unknown target": ("export {flow} --to {tmp}/v.xlsx", "expected .html, .txt or a folder's name"),
    "no seeds": ("demo --seeds 0 --out {tmp}/out", "--seeds is 0; expected at least 1"),
    "no demo steps": ("demo --steps 0 --out {tmp}/out", "steps is 0; expected"),
}  # fmt: skip


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_one_sentence(capsys, tmp_path, flow, case, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the default folders of models lie here
    for name, data in FILES.items():
        (tmp_path / name).write_bytes(data)
    damaged = tmp_path / "damaged"
    load(flow).save(damaged)
    (damaged / "tensors.safetensors").write_bytes(b"x")
    before = set(tmp_path.iterdir())
    command, message = MISTAKES[case]
    arguments = [part.format(tmp=tmp_path, flow=flow, damaged=damaged) for part in command.split(" ")]
    status, out, err = run(capsys, *arguments, *(["--json"] if arguments[0] != "export" else []))
    assert status == 1 and out == ""
    assert err.startswith("labkit: ") and err.count("\n") == 1 and "Traceback" not in err and len(err) < 600
    pytest.raises(ValueError, lambda: _fail(err)).match(message)
    assert set(tmp_path.iterdir()) == before  # nothing half done is left


def _fail(message: str):
    raise ValueError(message)


def test_a_mistake_in_the_arguments_shows_the_usage(capsys):
    for arguments in ([], ["train"], ["fly"], ["train", "--corpus", "x", "--model", "LatentEmbedding"]):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert stop.value.code == 2 and "usage" in capsys.readouterr().err


def test_exit_status_reaches_the_shell(tmp_path):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-m", "labkit", "evaluate", str(tmp_path / "none")], cwd=ROOT,
                          capture_output=True, text=True, env=environment)  # fmt: skip
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and done.stdout == ""

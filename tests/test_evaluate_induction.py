"""Sense induction from a folder to a report, on small sets: what is scored, what is left out, what is printed."""

import contextlib
import io
import json
import math
import re
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sense_files import coarse_set, sentences, write

from labkit.cli import main
from labkit.embeddings import PointEmbedding
from labkit.embeddings.peers import SenseInducer
from labkit.evaluate.commands import NAMES, joined, sense_report
from labkit.evaluate.induction import macro, macro_parts, score_inducer, skipped, text_of
from labkit.evaluate.systems import BASELINE, DEFAULT, SYSTEMS, TRIVIAL, make
from labkit.text import Corpus
from labkit.text.sense_sets import read_coarsewsd

FIGURES = {"ari", "ami", "v", "clusters", "seconds"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two words with two senses, one with one sense, and one that is too rare."""
    folder = coarse_set(tmp_path_factory.mktemp("set"), words=("bank", "bill"), n_test=60, n_train=200)
    write(folder / "cat", ["1\tthe cat"] * 7, ["0"] * 7)
    write(folder / "zyx", ["1\tthe zyx", "0\tzyx"], ["0", "1"])
    return folder


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    paths = [tmp_path_factory.mktemp("text") / name for name in ("first.txt", "second.txt")]
    for seed, path in enumerate(paths):
        lines, _ = sentences("bank", 200, seed + 50)
        path.write_text("\n".join(line.split("\t")[1] for line in lines))
    return [str(path) for path in paths]


@pytest.fixture(scope="module")
def printed(folder, corpora):
    """What `evaluate senses --json` prints."""
    return run(["senses", "--coarsewsd", str(folder), "--corpus", corpora[0], "--corpus", corpora[1]])


def run(arguments) -> dict:
    """The JSON object of a command, and nothing else on standard output."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        status = main(["evaluate", *arguments, "--steps", "10", "--json"])
    assert status == 0
    return json.loads(out.getvalue())


# --- the text ---------------------------------------------------------------------------------------------------------


def test_the_text_is_the_corpora_and_the_sentences_of_the_set(folder, corpora):
    sense_set = read_coarsewsd(folder)
    corpus = text_of(sense_set.sentences(), corpora, min_count=1)
    n_own = len(list(sense_set.sentences()))
    assert len(corpus) == 400 + n_own and n_own == 2 * 260 + 7 + 2
    assert corpus.sentence(0) == Path(corpora[0]).read_text().split("\n")[0].strip()
    assert corpus.sentence(400) == " ".join(sense_set.train["bank"].sentences[0])
    assert corpus.senses is None and corpus.labels == {}  # nothing to peep at
    assert not {"bank_water", "0"} & set(corpus.vocabulary)


def test_sentences_of_files_and_of_memory_are_found_again(corpora):
    corpus = Corpus.from_text(corpora[:1], also=["A last bank.", "And one more bank."], min_count=1)
    assert [corpus.sentence(i) for i in (-1, 200, 0)][:2] == ["And one more bank.", "A last bank."]
    assert [corpus.select(np.array([3, 201])).sentence(i) for i in (0, 1)] == [corpus.sentence(3), "And one more bank."]
    backwards = corpus.select(np.array([201, 3]))
    assert [backwards.sentence(i) for i in (0, 1)] == ["And one more bank.", corpus.sentence(3)]
    assert list(corpus.texts)[199:] == [corpus.sentence(199), "A last bank.", "And one more bank."]
    only = Corpus.from_text([], also=["A bank.", "The bank."], min_count=1)
    assert len(only) == 2 and only.sentence(0) == "A bank."


def test_a_text_that_is_not_there(folder):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.txt"):
        text_of([], ["nowhere.txt"])
    with pytest.raises(KeyError, match="nosuchname"):
        text_of([], ["nosuchname"])


# --- scores -----------------------------------------------------------------------------------------------------------


class Oracle(SenseInducer):
    """Knows the labels by heart: the first cue decides."""

    def __init__(self, number_given=False):
        self.number_given = number_given
        self.asked = []

    def assign(self, word, occurrences, n_senses=None):
        self.asked.append((word, len(occurrences), n_senses, occurrences.senses))
        return np.array(["money" in " ".join(s) for s in occurrences.sentences]).astype(int)


@pytest.mark.parametrize("given", [False, True])
def test_what_a_system_is_told_and_what_is_scored(given, folder):
    system = Oracle(given)
    table = score_inducer(system, read_coarsewsd(folder), ["bank"])
    assert system.asked == [("bank", 260, 2 if given else None, None)]  # all occurrences, and no label
    assert table.index.tolist() == ["bank"] and table.n.tolist() == [60] and table.senses.tolist() == [2]
    test = read_coarsewsd(folder).test["bank"]
    assert table.minority_share["bank"] == pytest.approx(test.minority_share)


def test_words_that_cannot_be_scored_are_named(folder):
    sense_set = read_coarsewsd(folder)
    corpus = text_of(sense_set.sentences(), min_count=5)
    assert skipped(sense_set, corpus) == {
        "cat": "its 7 test occurrences have one sense only, '0'; expected two senses at least",
        "zyx": "'zyx' never occurs in the text, or less often than min_count",
    }


def test_macro_and_its_parts():
    figures = dict.fromkeys(("ami", "v", "paired_f", "b_cubed"), 0.5)
    table = pd.DataFrame(
        [{"ari": 0.8, "clusters": 2, "seconds": 1.0, "minority_share": 0.4, **figures},
         {"ari": 0.0, "clusters": 4, "seconds": 2.0, "minority_share": 0.05, **figures}],
        index=["bank", "yard"],
    )  # fmt: skip
    assert macro(table, fit_seconds=10) == {"ari": 0.4, "clusters": 3.0, "seconds": 13.0, **figures}
    parts = macro_parts(table)
    assert parts.words.to_dict() == {"all": 2, "balanced": 1, "rare": 1}
    assert parts.ari.to_dict() == {"all": 0.4, "balanced": 0.8, "rare": 0.0}
    assert list(macro_parts(table[:1]).index) == ["all", "balanced"]


def test_every_system_has_a_name_of_its_own():
    skip_gram = PointEmbedding()
    names = [make(name, skip_gram).name for name in SYSTEMS]
    assert len(set(names)) == len(names) and {BASELINE, DEFAULT, *TRIVIAL} <= set(SYSTEMS)
    assert make(BASELINE, skip_gram).number_given and not make(DEFAULT, skip_gram).number_given
    with pytest.raises(KeyError, match="no system is called 'magic'; expected one of 'all-in-one'"):
        make("magic", skip_gram)


# --- the commands -----------------------------------------------------------------------------------------------------


def test_the_report_of_evaluate_senses(printed):
    assert set(printed["macro"]) >= FIGURES and set(printed["macro_baseline"]) >= FIGURES
    assert list(printed["words"]) == ["bank", "bill"] == list(printed["words_baseline"])
    assert all(set(row) >= FIGURES for row in printed["words"].values())
    for figure in ("ari", "ami", "v", "clusters"):
        mean = np.mean([row[figure] for row in printed["words"].values()])
        assert printed["macro"][figure] == pytest.approx(mean)
    assert printed["words_baseline"]["bank"]["clusters"] == 2  # the true number, given
    assert set(printed["skipped"]) == {"cat", "zyx"} and printed["model"] == DEFAULT
    assert set(printed["trivial"]) == set(TRIVIAL) and printed["trivial"]["all-in-one"]["ari"] == 0
    assert printed["text"]["sentences"] == 400 + 529


def test_the_same_seed_gives_the_same_figures(folder, corpora, printed):
    again = sense_report(read_coarsewsd(folder), corpora, steps=10)
    for name in ("words", "words_baseline"):
        timeless = [{w: {k: v for k, v in row.items() if k != "seconds"} for w, row in report[name].items()}
                    for report in (printed, again)]  # fmt: skip
        assert timeless[0] == timeless[1]


def test_a_chosen_word_and_system_as_text(folder, capsys):
    arguments = ["--coarsewsd", str(folder), "--words", "bill", "cat", "--model", "random", "--steps", "5"]
    assert main(["evaluate", "senses", *arguments]) == 0
    out = capsys.readouterr().out
    assert "macro of skipgram-given" in out and "bank" not in out
    assert "left out: cat, its 7 test occurrences have one sense only" in out


ERRORS = {
    "no folder": (["senses", "--coarsewsd", "nowhere"], "there is no folder nowhere"),
    "no such word": (["senses", "--coarsewsd", "FOLDER", "--words", "seal"], "has no word 'seal'; it has bank, bill"),
    "one sense": (["senses", "--coarsewsd", "FOLDER", "--words", "cat"], "no word of .* can be scored: cat: its 7"),
    "no text": (["senses", "--coarsewsd", "FOLDER", "--corpus", "no.txt"], "no.txt"),
    "no wic": (["wic", "--folder", "FOLDER"], "has none of the folders train, dev, test; expected the layout of WiC"),
    "no pairs": (["similarity", "--datasets", "men"], "'men' .* cannot be downloaded by name"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors_are_one_sentence(case, folder, capsys, monkeypatch):
    monkeypatch.delenv("LABKIT_DATA", raising=False)
    arguments, message = ERRORS[case]
    assert main(["evaluate", *(str(folder) if a == "FOLDER" else a for a in arguments)]) == 1
    error = capsys.readouterr().err
    assert re.search(message, error) and error.count("\n") == 1


def test_a_target_outside_its_sentence_is_an_error_of_the_command(tmp_path, capsys):
    write(tmp_path / "bank", ["9\tthe bank"], ["0"])
    assert main(["evaluate", "senses", "--coarsewsd", str(tmp_path)]) == 1
    assert "test.data.txt, line 1: the target is token 9" in capsys.readouterr().err


def test_the_words_of_a_command_are_joined():
    assert joined(["evaluate", "senses", "--json"]) == ["evaluate senses", "--json"]
    assert joined(["evaluate", "runs/model"]) == ["evaluate", "runs/model"]
    assert joined(["train", "senses"]) == ["train", "senses"] and joined([]) == []


@pytest.mark.parametrize("name", NAMES)
def test_help(name, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["evaluate", name, "--help"])
    assert caught.value.code == 0 and "--corpus" in capsys.readouterr().out


# --- the table --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def benchmark():
    """benchmarks/senses.py as a module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")
        yield import_module("senses")


def test_the_table_is_made_once_and_read_again(benchmark, folder, tmp_path, capsys, monkeypatch):
    arguments = ["--coarsewsd", str(folder), "--preset", "smoke", "--folder", str(tmp_path / "cells"), "--json"]
    arguments += ["--systems", "all-in-one", "skipgram-given", "--markdown", str(tmp_path / "table.md")]
    benchmark.main(arguments)
    first = json.loads(capsys.readouterr().out)
    assert {(row["system"], row["part"]) for row in first["rows"]} == {
        (system, part) for system in ("all-in-one", "skipgram-given") for part in ("all", "balanced")
    }
    assert "| all in one | 0.000 |" in (tmp_path / "table.md").read_text()
    assert set(first["skipped"]) == {"cat", "zyx"} and first["words_per_second"] > 0
    monkeypatch.setattr(benchmark, "cell", None)  # nothing is made again
    monkeypatch.setattr(benchmark, "skip_gram_of", None)
    benchmark.main(arguments)
    assert json.loads(capsys.readouterr().out)["rows"] == first["rows"]
    benchmark.main([*arguments, "--systems", "all-in-one", "informed-given", "--finished"])  # the second is not there
    assert {row["system"] for row in json.loads(capsys.readouterr().out)["rows"]} == {"all-in-one"}


def test_the_table_over_seeds(benchmark):
    words = {"bank": {"n": 9, "senses": 2, "minority_share": 0.4, "ari": 0.5, "ami": 0.4, "v": 0.4, "paired_f": 0.6,
                      "b_cubed": 0.6, "clusters": 2, "seconds": 1.0}}  # fmt: skip
    other = {"bank": words["bank"] | {"ari": 0.7}}
    cells = [{"system": "s", "title": "S", "fit_seconds": 10.0, "words": w} for w in (words, other)]
    row = benchmark.table_of(cells).loc[("all", "s", "S")]
    assert row.ari == pytest.approx(0.6) and row.ari_stderr == pytest.approx(0.1) and row.seconds == pytest.approx(11)
    assert row.seeds == 2 and row.words == 1


def cell_of(system, seed, *aris):
    return {"system": system, "seed": seed, "words": {f"word {i}": {"ari": ari} for i, ari in enumerate(aris)}}


def test_ahead_is_paired_over_seeds(benchmark):
    cells = [cell_of("skipgram-given", 0, 0.2, 0.4), cell_of("skipgram-given", 1, 0.6, 0.6),
             cell_of("all-in-one", 0, 0, 0), cell_of("occurrences", 0, 0.5, 0.3), cell_of("occurrences", 1, 0.9, 0.7),
             cell_of("occurrences", 2, 1, 1), cell_of("contextual", 0, 1, 1)]  # fmt: skip
    found = benchmark.senses_paired.ahead(cells)
    assert found.index.tolist() == [("occurrences", "skipgram-given")]  # no yardstick of the same seed for the others
    row = found.iloc[0]
    assert row["mean"] == pytest.approx(0.15) and row["sem"] == pytest.approx(0.05) and row["size"] == 2
    assert math.isnan(row["low"])  # of two words there is no interval
    alone = benchmark.senses_paired.ahead(cells, ["word 1"]).iloc[0]
    assert alone["mean"] == pytest.approx(0.0)  # (−.1 + .1) / 2


def test_pairs_have_an_interval_over_words_and_a_table_by_word(benchmark):
    differences = (0.3, 0.1, 0.2)
    cells = [cell_of("occurrences-places", 0, 0.1, 0.2, 0.3)]
    cells += [cell_of("occurrences-modes", 0, *(a + d for a, d in zip((0.1, 0.2, 0.3), differences, strict=True)))]
    row = benchmark.senses_paired.ahead(cells).loc[("occurrences-modes", "occurrences-places")]
    assert 0.1 - 1e-9 < row.low < row["mean"] < row.high < 0.3 + 1e-9 and row["mean"] == pytest.approx(0.2)
    page = benchmark.senses_paired.markdown(cells, ["word 0"])
    assert "| occurrences-modes before occurrences-places | +0.200, 1 seed(s) | [0." in page[2]
    assert page[2].endswith("| +0.300 |") and page[-1] == "| occurrences-modes | 0.40 | 0.30 | 0.50 |"


def test_a_set_by_name_from_a_folder(folder):
    report = run(["wsi", "--dataset", "coarsewsd20", "--folder", str(folder), "--words", "bank", "--model", "random"])
    assert list(report["words"]) == ["bank"] and report["model"] == "random"

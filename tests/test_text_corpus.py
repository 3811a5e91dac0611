"""Sentences to arrays of ids."""

import gc
import gzip
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from labkit.text import Corpus, Tokenizer, Vocabulary, building, reading

SENTENCES = [
    "The bank lends money to the town.",
    "We sat on the grassy bank of the river.",
    "“Café au lait”, said the banker.",
    "123 …",
    "The river rose over its bank, and the bank closed.",
]
ALPHABET = "abcdefghijklmnopqrstuvwxyz "


def same(a: Corpus, b: Corpus) -> None:
    np.testing.assert_array_equal(a.ids, b.ids)
    np.testing.assert_array_equal(a.offsets, b.offsets)
    assert a.vocabulary == b.vocabulary
    assert [a.sentence(i) for i in range(len(a))] == [b.sentence(i) for i in range(len(b))]
    np.testing.assert_array_equal(a.characters(), b.characters())


def write(path, sentences, encoding="utf-8", newline="\n"):
    data = newline.join(sentences).encode(encoding)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def from_txt(folder, **options):
    return Corpus.load(write(folder / "a.txt", SENTENCES), **options)


def from_txt_gz(folder, **options):
    return Corpus.load(write(folder / "a.txt.gz", SENTENCES), **options)


def from_crlf_with_mark_and_blank_lines(folder, **options):
    sentences = ["\ufeff" + SENTENCES[0], "  ", *SENTENCES[1:], "", ""]
    return Corpus.load(write(folder / "a.txt", sentences, newline="\r\n"), **options)


def from_latin(folder, **options):
    return Corpus.load(write(folder / "a.txt", SENTENCES, "cp1252"), encoding="cp1252", **options)


def from_two_files(folder, **options):
    files = write(folder / "a.txt", SENTENCES[:2]), write(folder / "b.txt", SENTENCES[2:])
    return Corpus.from_text(files, **options)


def from_jsonl(folder, **options):
    lines = [json.dumps({"sentence": s}) for s in SENTENCES]
    return Corpus.load(write(folder / "a.jsonl", lines), **options)


def from_csv(folder, **options):
    pd.DataFrame({"sentence": SENTENCES}).to_csv(folder / "a.csv.gz", index=False)
    return Corpus.load(folder / "a.csv.gz", **options)


def from_dataframe(folder, **options):
    return Corpus.from_dataframe(pd.DataFrame({"text": SENTENCES}, index=[5] * 5), "text", **options)


SOURCES = [from_txt, from_txt_gz, from_crlf_with_mark_and_blank_lines, from_latin, from_two_files, from_jsonl,
           from_csv, from_dataframe]  # fmt: skip
OPTIONS = {
    "plain": {"min_count": 1},
    "pruned": {"min_count": 2},
    "stopped": {"min_count": 1, "stop_words": ["the", "of"]},
    "short": {"min_count": 1, "max_size": 3},
    "hyphens": {"min_count": 1, "tokenizer": Tokenizer(hyphens=True, numbers=True)},
}


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("source", SOURCES, ids=lambda f: f.__name__.removeprefix("from_"))
def test_every_source_gives_the_same_corpus(source, options, tmp_path):
    same(source(tmp_path, **OPTIONS[options]), Corpus.from_sentences(SENTENCES, **OPTIONS[options]))


def test_the_arrays():
    corpus = Corpus.from_sentences(SENTENCES, min_count=2)
    assert corpus.vocabulary.to_dict() == {"words": ["the", "bank", "river"], "counts": [7, 4, 2]}
    assert [corpus.words(i) for i in range(5)] == [
        ["the", "bank", "the"],
        ["the", "bank", "the", "river"],
        ["the"],
        [],  # stays, so that columns stay aligned
        ["the", "river", "bank", "the", "bank"],
    ]
    assert corpus.ids.dtype == np.int32 and corpus.offsets.dtype == np.int64
    assert corpus.n_tokens == 13 and len(corpus) == 5
    assert corpus.tokens(-1).tolist() == corpus.tokens(4).tolist()
    assert corpus.sentence_of([0, 2, 3, 7, 8, 12]).tolist() == [0, 0, 1, 2, 4, 4]
    assert corpus.coverage == 13 / 32
    with pytest.raises(IndexError, match="there is no sentence 5; expected 0 to 4"):
        corpus.tokens(5)


def test_a_given_vocabulary_keeps_its_ids():
    vocabulary = Vocabulary(["river", "bank"], [1, 1])
    corpus = Corpus.from_sentences(["The river bank", "money"], vocabulary=vocabulary)
    assert corpus.vocabulary is vocabulary and corpus.ids.tolist() == [0, 1]


def test_lists_of_words_are_taken_as_they_are():
    corpus = Corpus.from_sentences([["The", "bank", "."], ["a", "bank"]], min_count=1)
    assert corpus.words(0) == ["The", "bank", "."] and corpus.sentence(0) == "The bank ."


lines = st.lists(st.text(st.sampled_from("ab é'-—1\t"), max_size=40), min_size=1, max_size=12)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(lines=[" "], buffer=1, piece=1, min_count=1)  # a blank line longer than a piece
@given(lines=lines, buffer=st.integers(1, 20), piece=st.integers(1, 30), min_count=st.integers(1, 3))
def test_streaming_gives_the_arrays_of_memory(lines, buffer, piece, min_count, tmp_path):
    """Buffers of a few tokens, lines in pieces of a few bytes and a memory map change nothing."""
    lines = ["a bb cc", *lines, "a bb cc a bb cc"]
    path = write(tmp_path / "lines.txt", lines)
    plain = Corpus.from_sentences([line for line in lines if line.strip()], min_count=min_count)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(building, "BUFFER", buffer)
        patch.setattr(reading, "LONGEST_PIECE", piece)
        streamed = Corpus.from_text(path, min_count=min_count, cache_dir=tmp_path)
        assert isinstance(streamed.ids, np.memmap)
        same(streamed, plain)


def test_the_memory_map_is_made_for_large_corpora_and_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(building, "IN_MEMORY_TOKENS", 10)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    corpus = Corpus.from_sentences(SENTENCES, min_count=1)
    assert isinstance(corpus.ids, np.memmap) and list(tmp_path.glob("labkit-*/ids.int32"))
    part, rest = corpus.split(0.5)
    assert len(list(tmp_path.iterdir())) >= 2
    del corpus, part, rest
    gc.collect()
    assert not list(tmp_path.iterdir())


def test_columns(tmp_path):
    rows = [
        {"sentence": "The bank lends.", "at": 1, "sense": "money", "year": 1999},
        {"sentence": "A grassy bank, that bank", "at": "Bank", "sense": "river", "year": 2001},
        {"sentence": "The the", "at": None, "sense": None, "year": 2001},
        {"sentence": "The grassy bank lends", "at": 1, "sense": "money", "year": 2003},
    ]
    path = write(tmp_path / "a.jsonl", map(json.dumps, rows))
    columns = {"target": "at", "sense": "sense", "labels": ["year"], "stop_words": ["grassy"], "min_count": 1}
    for corpus in (
        Corpus.from_jsonl(path, **columns),
        Corpus.from_dataframe(pd.DataFrame(rows), "sentence", **columns),
    ):
        assert corpus.targets.tolist() == [1, 1, -1, -1]  # the last one's target was a stop word
        assert corpus.senses.tolist() == [0, 1, -1, 0] and corpus.sense_names == ["money", "river"]
        assert corpus.labels["year"].tolist() == [1999, 2001, 2001, 2003]
        part = corpus.select(np.array([1, 3]))
        assert part.senses.tolist() == [1, 0] and part.labels["year"].tolist() == [2001, 2003]
        assert part.words(0) == ["a", "bank", "that", "bank"] and part.sentence(1) == "The grassy bank lends"


def test_split_is_a_partition(tmp_path):
    corpus = from_txt(tmp_path, min_count=1)
    part, rest = corpus.split(0.6, seed=3)
    assert len(part) == 3 and len(rest) == 2
    assert part.vocabulary is corpus.vocabulary
    both = sorted([p.sentence(i), p.words(i)] for p in (part, rest) for i in range(len(p)))
    assert both == sorted([corpus.sentence(i), corpus.words(i)] for i in range(len(corpus)))
    same(corpus.split(0.6, seed=3)[0], part)


def test_characters():
    corpus = Corpus.from_sentences(["  Ça va? — NO 12!", "ﬁne", "...", "naïve-ish e\u0301t"], min_count=1)
    stream = corpus.characters()
    assert stream.dtype == np.uint8
    assert "".join(ALPHABET[c] for c in stream) == "ca va no fine naive ish et"
    assert "".join("aeé"[c] for c in corpus.characters("aeé")) == "aaeaeé"


def test_a_source_that_changed_is_not_quoted(tmp_path):
    corpus = from_txt(tmp_path, min_count=1)
    write(tmp_path / "a.txt", ["something else"])
    with pytest.raises(ValueError, match="a.txt was moved or changed after it was read"):
        corpus.sentence(0)

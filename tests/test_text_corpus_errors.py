"""What a corpus says when it cannot be made."""

import gzip

import pandas as pd
import pytest

from labkit.text import Corpus, Vocabulary


def file(name, content):
    def load(folder, **options):
        (folder / name).write_bytes(content)
        return Corpus.load(folder / name, min_count=1, **options)

    return load


SMALL = ["the bank", "a river"]


def small():
    return Corpus.from_sentences(SMALL, min_count=1)


def small_file(folder, **options):
    return file("a.txt", "\n".join(SMALL).encode())(folder, **options)


def small_lines(folder):
    (folder / "a.jsonl").write_text('{"sentence": "a b"}\n')
    return folder / "a.jsonl"


ERRORS = {
    "empty": (file("a.txt", b""), "a.txt is empty; expected text, a sentence or a paragraph a line"),
    "blank": (file("a.txt", b" \n\n"), "the corpus has no words"),
    "no words": (file("a.txt", b"12 ...\n"), "the corpus has no words"),
    "binary": (
        file("a.txt", b"bank\nba\0nk"),
        "has a NUL byte at byte 7: it is a binary file, or text in UTF-16",
    ),
    "encoding": (
        file("a.txt", b"the bank\ncaf\xe9 bank\n"),
        r"byte 12 \(0xe9\) is not utf-8, the encoding tried; pass the one .* for example encoding='latin-1'",
    ),
    "unknown encoding": (
        lambda p: small_file(p, encoding="utf8000"),
        "encoding 'utf8000' is not known to Python",
    ),
    "wide encoding": (
        lambda p: small_file(p, encoding="utf-16"),
        "'utf-16' .* cannot be read by lines; .* as UTF-8",
    ),
    "not gzip": (file("a.txt.gz", b"the bank"), "a.txt.gz cannot be read on from byte 0: Not a gzipped file"),
    "cut gzip": (file("a.txt.gz", gzip.compress(b"the bank")[:-9]), "a.txt.gz cannot be read on from byte 0"),
    "one word": (
        file("a.txt", b"spam spam\nspam"),
        "only one distinct word, 'spam'; a context needs at least two",
    ),
    "no file": (lambda p: Corpus.load(p / "b.txt"), "there is no file .*b.txt; to pass the text itself, use"),
    "no folder": (
        lambda p: Corpus.load(p / "no" / "b.txt"),
        r"the folder .*no does not exist \(wanted: .* b.txt in it",
    ),
    "folder": (lambda p: Corpus.from_text(p), "is a folder, not a file; pass its files"),
    "cache folder": (
        lambda p: Corpus.from_sentences(SMALL, cache_dir=p / "no"),
        r"the folder .*no does not exist \(cache_dir\); make it first",
    ),
    "suffix": (
        lambda p: Corpus.load(p / "a.doc"),
        "cannot tell what a.doc is; expected .txt, .jsonl, .csv or .tsv",
    ),
    "field": (
        file("a.jsonl", b'{"sentence": "a"}\n{"text": "the bank", "id": 3}\n'),
        "line 2 of .*a.jsonl has no field 'sentence'; it has 'text', 'id'; pass the field with the text",
    ),
    "field type": (
        file("a.jsonl", b'{"sentence": 3}'),
        "field 'sentence' in line 1 of .* is 3; expected a text",
    ),
    "not json": (file("a.jsonl", b'{"sentence": "a b"}\nbank\n'), "line 2 of .*a.jsonl is not JSON"),
    "not an object": (
        file("a.jsonl", b'"bank"\n'),
        "line 1 of .*a.jsonl is '\"bank\"'; expected a JSON object",
    ),
    "no column": (
        lambda p: Corpus.from_dataframe(pd.DataFrame({"text": SMALL, "year": 0}), "sentence"),
        "the DataFrame has no column 'sentence'; it has 'text', 'year'",
    ),
    "hole": (
        lambda p: Corpus.from_dataframe(pd.DataFrame({"text": ["the bank", None]}), "text"),
        r"row 1 of column 'text' is (None|nan); expected a text; drop such rows with df.dropna",
    ),
    "min_count": (
        lambda p: Corpus.from_sentences(["the bank", "the river"], min_count=2),
        r"min_count=2 leaves 1 of the 3 distinct words \(4 words .* for a small corpus pass min_count=1",
    ),
    "stop words": (lambda p: Corpus.from_sentences(SMALL, stop_words="the"), "stop_words is the text 'the'"),
    "vocabulary": (
        lambda p: Corpus.from_sentences(SMALL, vocabulary=Vocabulary(["x", "y"], [1, 1])),
        "none of the 4 words read is kept: all are stop words, or not in the vocabulary",
    ),
    "one text": (
        lambda p: Corpus.from_sentences("the bank"),
        "got one text, 'the bank'; expected several sentences",
    ),
    "not a sentence": (
        lambda p: Corpus.from_sentences([3]),
        "sentence 0 is 3; expected a text or a list of words",
    ),
    "not words": (lambda p: Corpus.from_sentences([[1, 2]]), "a word is 1; expected words as str"),
    "short column": (
        lambda p: Corpus.from_sentences(SMALL, senses=["x"]),
        "senses has 1 entries; expected 2, one for each sentence",
    ),
    "target outside": (
        lambda p: Corpus.from_sentences(SMALL, targets=[0, 2]),
        "the target 2 of sentence 1 is not the number of one of its 2 words, counted from 0",
    ),
    "target word": (
        lambda p: Corpus.from_sentences(SMALL, targets=["bank", "bank"]),
        "the target 'bank' of sentence 1 is not among its words",
    ),
    "no such field": (
        lambda p: Corpus.from_jsonl(small_lines(p), min_count=1, sense="sense"),
        "no line of .*a.jsonl has the field 'sense'",
    ),
    "fraction": (lambda p: small().split(1.0), "fraction is 1.0; expected a number between 0 and 1"),
    "fraction too small": (lambda p: small().split(0.01), "leaves one side empty"),
    "alphabet": (lambda p: small().characters("aa"), "the alphabet is 'aa'; expected 2 to 254"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name, tmp_path):
    call, message = ERRORS[name]
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        call(tmp_path)

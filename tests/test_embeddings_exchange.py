"""Out to other tools and back: word2vec's text, gensim, the Embedding Projector."""

import csv
import sys

import numpy as np
import pytest
import torch

from labkit.density import Mode, Modes
from labkit.embeddings import sense_vectors, to_keyed_vectors, write_projector, write_word2vec
from labkit.embeddings.warm import read_vectors
from labkit.text import Vocabulary


class Point:
    location = torch.tensor([0.25, -1.5, 3.0])


class Density:
    """A density of a word with modes at hand-made places."""

    def __init__(self, places):
        masses = [0.7, 0.3][: len(places)]
        modes = []
        for place, mass in zip(places, masses):
            place = torch.tensor(place)
            modes.append(Mode(place, mass, 0.0, float("inf"), torch.stack([place - 0.1, place + 0.1])))
        self.basins = Modes(modes, lambda points: torch.zeros(len(points), dtype=torch.long))

    def words_by_mode(self):
        return [["river", "a\tb"], ["loan", "cheque"]][: len(self.basins)]


class Model:
    """Decodes z to (z, v_w)."""

    words = ["bank", "ice cream", "the"]
    of = {"bank": Density([[1.0, 0.0], [-1.0, 0.5]]), "ice cream": Density([[2.0, 2.0]]), "the": Point()}

    def __getitem__(self, word):
        return self.of[word]

    def word_vector(self, word):
        return torch.tensor([float(self.words.index(word))])

    def decode(self, z, vector):
        return torch.cat([z, vector.expand(*z.shape[:-1], 1)], -1)


NAMES = ["bank#0", "bank#1", "ice_cream", "the"]
ROWS = np.array([[1, 0, 0], [-1, 0.5, 0], [2, 2, 1], [0.25, -1.5, 3]])


def test_a_vector_for_each_mode():
    found = sense_vectors(Model())
    assert [(entry.word, entry.sense, entry.mass) for entry in found] == [
        ("bank", 0, 0.7), ("bank", 1, 0.3), ("ice cream", 0, 0.7), ("the", 0, 1.0),
    ]  # fmt: skip
    assert np.allclose(torch.stack([entry.vector for entry in found]), ROWS, atol=1e-6)
    assert [entry.word for entry in sense_vectors(Model(), ["the"])] == ["the"]


def test_word2vec_text_can_be_read_back(tmp_path):
    path = tmp_path / "vectors.txt"
    assert write_word2vec(Model(), path) == 4
    vocabulary = Vocabulary([*NAMES, "zebra"], [1] * 5)
    vectors, found = read_vectors(path, vocabulary)
    assert np.allclose(vectors[:4], ROWS, atol=1e-5)
    assert found.tolist() == [True] * 4 + [False] and not vectors[4].any()
    assert path.read_text().splitlines()[0] == "4 3"


def test_gensim_reads_the_text(tmp_path):
    models = pytest.importorskip("gensim.models")
    write_word2vec(Model(), tmp_path / "vectors.txt")
    keyed = models.KeyedVectors.load_word2vec_format(tmp_path / "vectors.txt")
    assert keyed.index_to_key == NAMES and np.allclose(keyed.vectors, ROWS, atol=1e-5)


def test_keyed_vectors():
    pytest.importorskip("gensim")
    keyed = to_keyed_vectors(Model())
    assert keyed.index_to_key == NAMES and np.allclose(keyed["bank#1"], ROWS[1])


def test_without_gensim(monkeypatch):
    monkeypatch.setitem(sys.modules, "gensim.models", None)
    with pytest.raises(ImportError, match="this needs gensim: pip install gensim"):
        to_keyed_vectors(Model())


def test_the_projector_gets_senses(tmp_path):
    assert write_projector(Model(), tmp_path / "projector") == 4
    with open(tmp_path / "projector" / "metadata.tsv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert [(row["word"], row["sense"], row["mass"]) for row in rows] == [
        ("bank", "0", "0.700"), ("bank", "1", "0.300"), ("ice cream", "0", "0.700"), ("the", "0", "1.000"),
    ]  # fmt: skip
    assert rows[0]["near"] == "river a b" and rows[1]["near"] == "loan cheque"
    assert np.allclose(np.loadtxt(tmp_path / "projector" / "vectors.tsv", delimiter="\t"), ROWS, atol=1e-5)

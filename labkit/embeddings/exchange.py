"""Out to other tools, with senses: word2vec text, gensim's KeyedVectors, the Embedding Projector."""

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor


class SenseVector(NamedTuple):
    """A vector for a word, or for one of its modes."""

    word: str
    sense: int  # the mode's number, heaviest first
    mass: float
    near: tuple[str, ...]  # words that live there
    vector: Tensor


def sense_vectors(model, words=None) -> list[SenseVector]:
    """One vector a mode, in the space of the output vectors, so that modes of all words can be compared.

    A mode's vector is the mean of the decoder's hidden vector h(z, w) over the mode's own samples; a point's is v_w.
    """
    found = []
    for word in words or model.words:
        density = model[word]
        if hasattr(density, "location"):
            found.append(SenseVector(word, 0, 1.0, (), density.location.cpu()))
            continue
        near = density.words_by_mode()
        with torch.no_grad():
            for number, mode in enumerate(density.basins):
                hidden = model.decode(mode.members, model.word_vector(word)).mean(0)
                found.append(SenseVector(word, number, mode.mass, tuple(near[number]), hidden.cpu()))
    return found


def write_word2vec(model, path: str | Path, words=None) -> int:
    """word2vec's text format, a line a mode, named bank#0, bank#1, …; the number of lines."""
    vectors = sense_vectors(model, words)
    names = _names(vectors)
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"{len(vectors)} {len(vectors[0].vector)}\n")
        for name, entry in zip(names, vectors, strict=True):
            file.write(f"{name} {' '.join(f'{x:.6g}' for x in entry.vector.tolist())}\n")
    return len(vectors)


def to_keyed_vectors(model, words=None):
    """gensim KeyedVectors with a key for each mode.

    Raises:
        ImportError: without gensim, saying how to install it.
    """
    try:
        from gensim.models import KeyedVectors
    except ImportError as error:
        raise ImportError("this needs gensim: pip install gensim") from error
    vectors = sense_vectors(model, words)
    keyed = KeyedVectors(len(vectors[0].vector))
    keyed.add_vectors(_names(vectors), [entry.vector.numpy() for entry in vectors])
    return keyed


def write_projector(model, folder: str | Path, words=None) -> int:
    """vectors.tsv and metadata.tsv (word, sense, mass, words that live there) for the Embedding Projector."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    vectors = sense_vectors(model, words)
    lines = ["\t".join(f"{x:.6g}" for x in entry.vector.tolist()) for entry in vectors]
    (folder / "vectors.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    rows = ["word\tsense\tmass\tnear"]
    rows += [f"{_cell(e.word)}\t{e.sense}\t{e.mass:.3f}\t{_cell(' '.join(e.near))}" for e in vectors]
    (folder / "metadata.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return len(vectors)


def _names(vectors: list[SenseVector]) -> list[str]:
    """bank#0, bank#1 where a word has several modes, tuesday where it has one; blanks cannot stand in this format."""
    several = {entry.word for entry in vectors if entry.sense}
    return [
        (f"{entry.word}#{entry.sense}" if entry.word in several else entry.word).replace(" ", "_")
        for entry in vectors
    ]


def _cell(text: str) -> str:
    return text.replace("\t", " ").replace("\n", " ")

"""Corpora by name: the built-in one, and those that `fetch` knows."""

from labkit.text.corpus import Corpus
from labkit.text.download import fetch
from labkit.text.senses import senses_corpus


def load_corpus(name: str, **options) -> Corpus:
    """A corpus by its name: "senses" is built in, the others come from `fetch`.

    Arguments:
        name: "senses", or a name that `fetch` knows.
        options: for "senses", those of `senses_corpus`; otherwise those of `Corpus.load`.

    Example:
        >>> corpus = load_corpus("senses", per_word=100)
        >>> "bank" in corpus.vocabulary
        True
    """
    if name == "senses":
        return senses_corpus(**options)
    corpus = Corpus.load(fetch(name), **options)
    corpus.name = name
    return corpus

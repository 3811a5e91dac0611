"""Words as tokens: the ids of a vocabulary, and one more that stands between sentences."""

from collections.abc import Callable, Iterable

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from labkit.text.corpus import Corpus
from labkit.text.tokenize import Tokenizer
from labkit.text.vocabulary import Vocabulary

STOP = "·"


class Words:
    """Word -> id: its id in a `Vocabulary` of V words, and V for the stop between sentences, written "·".

    Arguments:
        vocabulary: the V words.
        tokenizer: a `Tokenizer`, or any function from a text to a list of words.

    Example:
        >>> corpus = Corpus.from_sentences(["The bank lends money.", "We sat on the bank."], min_count=1)
        >>> words = Words.of(corpus)
        >>> words.decode(words.stream(corpus))
        '· the bank lends money · we sat on the bank ·'
        >>> len(words), words.encode("· We sat").tolist() == [words.stop, *corpus.vocabulary.encode(["we", "sat"])]
        (8, True)
    """

    def __init__(self, vocabulary: Vocabulary, tokenizer: Callable[[str], list[str]] | None = None):
        self.vocabulary, self.tokenizer = vocabulary, Tokenizer() if tokenizer is None else tokenizer
        self.stop = len(vocabulary)

    @classmethod
    def of(cls, corpus: Corpus) -> "Words":
        """Those of a corpus, cut in its way."""
        return cls(corpus.vocabulary, corpus.tokenizer)

    def __len__(self) -> int:
        return self.stop + 1

    def encode(self, text: str | Iterable[str]) -> Int[Tensor, "n"]:
        """The ids of a text, or of words that are cut already; stops are those that are written in it.

        Raises:
            UnknownWord: (a KeyError) for a word outside the vocabulary; it names the nearest.
        """
        if isinstance(text, str):
            parts = [[*self.tokenizer(part), STOP] for part in text.split(STOP)]
            text = [word for part in parts for word in part][:-1]
        return torch.tensor([self.stop if word == STOP else self.vocabulary[word] for word in text], dtype=torch.long)

    def decode(self, tokens: Iterable) -> str:
        """The words of these ids, with spaces between."""
        return " ".join(STOP if i == self.stop else self.vocabulary.word(i) for i in map(int, tokens))

    def stream(self, corpus: Corpus) -> np.ndarray:
        """All sentences of a corpus one after the other, a stop before each and one at the end: int32 (n,).

        Words that the corpus has dropped leave no gap, and a sentence that has lost all its words is left out.

        Raises:
            ValueError: for a corpus with other words.
        """
        if corpus.vocabulary != self.vocabulary:
            raise ValueError(
                f"expected a corpus with this vocabulary of {self.stop:,} words; got one of "
                f"{len(corpus.vocabulary):,}. Pass vocabulary= when it is made"
            )
        starts = corpus.offsets[:-1][np.diff(corpus.offsets) > 0]
        inside = np.insert(np.asarray(corpus.ids), starts, self.stop)
        return np.append(inside, self.stop).astype(np.int32)

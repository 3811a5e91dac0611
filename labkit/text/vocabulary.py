"""Words and their ids, the most frequent first."""

import difflib
from collections.abc import Iterable, Mapping
from typing import SupportsIndex

import numpy as np


class UnknownWord(KeyError):
    """A KeyError that names the nearest spellings; it looks for them only when it is shown."""

    def __init__(self, word, vocabulary: "Vocabulary"):
        super().__init__(word)
        self.word, self.vocabulary = word, vocabulary

    def __str__(self) -> str:
        near = ", ".join(map(repr, self.vocabulary.nearest(str(self.word)))) or "none is similar"
        return f"{self.word!r} is not in the vocabulary of {len(self.vocabulary):,} words; nearest: {near}"


class Vocabulary:
    """Distinct words with their ids 0 … V−1 and how often each was seen.

    Arguments:
        words: V distinct words; the place of a word is its id.
        counts: V counts, of at least 1.

    Raises:
        ValueError: a word given twice, or words and counts that do not match.

    Example:
        >>> vocabulary = Vocabulary(["the", "bank", "river"], [6, 3, 1])
        >>> vocabulary["bank"], vocabulary.word(1), vocabulary.frequency("bank")
        (1, 'bank', 0.3)
        >>> vocabulary["bnak"]
        Traceback (most recent call last):
        labkit.text.vocabulary.UnknownWord: 'bnak' is not in the vocabulary of 3 words; nearest: 'bank'
    """

    def __init__(self, words: Iterable[str], counts: Iterable[int]):
        self.words = [str(word) for word in words]
        self.counts = np.array(list(counts), dtype=np.int64)  # (V,)
        self._ids = {word: i for i, word in enumerate(self.words)}
        if len(self.words) != len(self.counts):
            raise ValueError(
                f"got {len(self.words):,} words and {len(self.counts):,} counts; expected as many of each"
            )
        if len(self._ids) != len(self.words):
            twice = next(word for i, word in enumerate(self.words) if self._ids[word] != i)
            raise ValueError(f"the word {twice!r} is given twice; expected distinct words")
        if (self.counts < 1).any():
            i = int(np.argmax(self.counts < 1))
            raise ValueError(f"the count of {self.words[i]!r} is {self.counts[i]}; expected at least 1")
        self.total = int(self.counts.sum())

    @classmethod
    def from_counts(
        cls, counter: Mapping[str, int], min_count: int = 5, max_size: int | None = None
    ) -> "Vocabulary":
        """The words seen at least `min_count` times, of these the `max_size` most frequent.

        Ids go by falling frequency, ties in alphabetical order, whatever the order of reading.

        Example:
            >>> Vocabulary.from_counts({"bank": 2, "of": 5, "a": 5, "rare": 1}, min_count=2).words
            ['a', 'of', 'bank']
        """
        if min_count < 1:
            raise ValueError(f"min_count is {min_count}; expected at least 1")
        if max_size is not None and max_size < 2:
            raise ValueError(f"max_size is {max_size}; expected at least 2, or None for no limit")
        kept = sorted((w for w, n in counter.items() if n >= min_count), key=lambda w: (-counter[w], w))[
            :max_size
        ]
        return cls(kept, [counter[w] for w in kept])

    def __getitem__(self, word: str) -> int:
        try:
            return self._ids[word]
        except KeyError:
            raise UnknownWord(word, self) from None

    def __contains__(self, word) -> bool:
        return word in self._ids

    def __len__(self) -> int:
        return len(self.words)

    def __iter__(self):
        return iter(self.words)

    def get(self, word: str, default=None):
        """The id of `word`, or `default` where it is not a word of this vocabulary."""
        return self._ids.get(word, default)

    def word(self, id: SupportsIndex) -> str:
        """The word with this id.

        Raises:
            ValueError: an id outside 0 … V−1.
        """
        if not 0 <= id < len(self.words):
            raise ValueError(f"there is no word with id {id}; expected 0 to {len(self.words) - 1:,}")
        return self.words[id]

    def encode(self, tokens: Iterable[str], unknown: str = "skip") -> np.ndarray:
        """The ids of `tokens`, int32 (n,). Unknown words: left out ("skip") or a KeyError ("error")."""
        if unknown not in ("skip", "error"):
            raise ValueError(f"unknown is {unknown!r}; expected 'skip' or 'error'")
        if isinstance(tokens, str):
            raise ValueError(f"got the text {tokens!r:.60}; expected a list of words: tokenizer(text)")
        ids = (
            [self[t] for t in tokens]
            if unknown == "error"
            else [self._ids[t] for t in tokens if t in self._ids]
        )
        return np.array(ids, dtype=np.int32)

    def nearest(self, word: str, n: int = 5) -> list[str]:
        """Up to `n` words spelt like `word`, at most two letters longer or shorter, the nearest first.

        Nearness is the ratio of difflib, and again that ratio with the order of letters forgotten, so that a
        swap of two letters costs little.
        """
        close = [w for w in self.words if abs(len(w) - len(word)) <= 2]
        matcher = difflib.SequenceMatcher(b=word)

        def nearness(candidate):
            matcher.set_seq1(candidate)
            return matcher.ratio() + matcher.quick_ratio()

        return sorted(difflib.get_close_matches(word, close, n=4 * n), key=nearness, reverse=True)[:n]

    def frequency(self, word: str) -> float:
        """The relative frequency of `word`: its count over the count of all words (no unit)."""
        return float(self.counts[self[word]] / self.total)

    @property
    def frequencies(self) -> np.ndarray:
        """The relative frequencies, float64 (V,)."""
        return self.counts / self.total

    def to_dict(self) -> dict:
        """Plain JSON: the words and their counts."""
        return {"words": list(self.words), "counts": self.counts.tolist()}

    @classmethod
    def from_dict(cls, saved: dict) -> "Vocabulary":
        """The inverse of `to_dict`."""
        return cls(saved["words"], saved["counts"])

    def __eq__(self, other) -> bool:
        return isinstance(other, Vocabulary) and self.to_dict() == other.to_dict()

    __hash__ = None

    def __repr__(self) -> str:
        first = ", ".join(map(repr, self.words[:5]))
        return f"Vocabulary({len(self):,} words: {first}{', …' if len(self) > 5 else ''})"

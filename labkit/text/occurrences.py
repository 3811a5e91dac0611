"""Words in their sentences, and what people said of them: the shapes that every labelled set is read into."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True, eq=False)
class Occurrences:
    """n sentences, in each of which one token is looked at.

    Attributes:
        words: the headword of each, (n,) of str; the token itself may be another form of it ("banks").
        sentences: n lists of tokens, as the set cuts them.
        places: the number of the token in its sentence, (n,) int64, from 0; a sentence may hold the word again.
        senses: the labels of people, (n,) of str, or None where there are none.

    Raises:
        ValueError: columns of different length, or a place outside its sentence, with the number of the row.

    Example:
        >>> seen = Occurrences.of("bank", [["a", "river", "bank"], ["the", "bank", "lends"]], [2, 1], ["side", "firm"])
        >>> seen.token(0), seen.left(0), seen.right(1), len(seen)
        ('bank', ['a', 'river'], ['lends'], 2)
    """

    words: np.ndarray
    sentences: list[list[str]]
    places: np.ndarray
    senses: np.ndarray | None = None

    def __post_init__(self):
        columns = {"words": self.words, "places": self.places, "senses": self.senses}
        for name, column in columns.items():
            if column is not None and len(column) != len(self.sentences):
                raise ValueError(
                    f"got {len(self.sentences):,} sentences and {len(column):,} {name}; expected as many of each"
                )
        for row, (place, sentence) in enumerate(zip(self.places, self.sentences, strict=True)):
            check_place(int(place), len(sentence), f"sentence {row}")

    @classmethod
    def of(cls, words: str | Sequence[str], sentences, places, senses=None) -> "Occurrences":
        """The same from lists; one word stands for all."""
        words = [words] * len(sentences) if isinstance(words, str) else words
        return cls(
            np.array(words, dtype=str), [list(tokens) for tokens in sentences], np.array(places, dtype=np.int64),
            None if senses is None else np.array(senses, dtype=str),
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.sentences)

    def token(self, i: int) -> str:
        """The token that is looked at."""
        return self.sentences[i][self.places[i]]

    def left(self, i: int) -> list[str]:
        """The tokens before it."""
        return self.sentences[i][: self.places[i]]

    def right(self, i: int) -> list[str]:
        """The tokens after it."""
        return self.sentences[i][self.places[i] + 1 :]

    def select(self, rows) -> "Occurrences":
        """These rows only: indices, a mask or a slice."""
        rows = np.arange(len(self))[rows]
        senses = None if self.senses is None else self.senses[rows]
        return Occurrences(self.words[rows], [self.sentences[i] for i in rows], self.places[rows], senses)

    def join(self, other: "Occurrences") -> "Occurrences":
        """These, then the others, without labels."""
        return Occurrences(
            np.concatenate([self.words, other.words]), self.sentences + other.sentences,
            np.concatenate([self.places, other.places]),
        )  # fmt: skip

    def unlabelled(self) -> "Occurrences":
        """The same without the labels: what a system may see."""
        return Occurrences(self.words, self.sentences, self.places)

    @property
    def sense_names(self) -> list[str]:
        """The distinct labels, in alphabetical order."""
        return [] if self.senses is None else sorted(set(self.senses.tolist()))

    @property
    def minority_share(self) -> float:
        """The share of the occurrences that are not of the commonest sense, in [0, 1)."""
        _, counts = np.unique(self.senses, return_counts=True)
        return float(1 - counts.max() / counts.sum())


def check_place(place: int, length: int, where: str) -> None:
    """Raises a ValueError if there is no token `place` in a sentence of `length` tokens."""
    if not 0 <= place < length:
        raise ValueError(
            f"{where}: the target is token {place}, but the sentence has {length} tokens; "
            f"expected a number from 0 to {length - 1}"
        )


@dataclass(frozen=True, eq=False)
class SenseSet:
    """Words, each with occurrences to learn from and occurrences to be scored on.

    Attributes:
        name: of the set.
        train, test: word -> `Occurrences`, in the order of the set; `train` may lack words, and may be empty.
    """

    name: str
    train: dict[str, Occurrences] = field(repr=False)
    test: dict[str, Occurrences]

    @property
    def words(self) -> list[str]:
        """The words to be scored."""
        return list(self.test)

    def sentences(self) -> Iterator[list[str]]:
        """The tokens of every sentence of the set, train and test, without any label: text to learn from."""
        for part in (self.train, self.test):
            for occurrences in part.values():
                yield from occurrences.sentences

    def select(self, words) -> "SenseSet":
        """These words only.

        Raises:
            KeyError: for a word that the set does not have.
        """
        words = list(words)
        for word in words:
            if word not in self.test:
                raise KeyError(f"{self.name} has no word {word!r}; it has {', '.join(self.test)}")
        train = {word: self.train[word] for word in words if word in self.train}
        return SenseSet(self.name, train, {word: self.test[word] for word in words})


@dataclass(frozen=True, eq=False)
class PairsInContext:
    """n pairs of words, each in a sentence of its own, with what people said of the pair.

    Attributes:
        name: of the set.
        first, second: the two sides, n occurrences each.
        gold: (n,): similarity (float), or whether the sense is the same (bool).
    """

    name: str
    first: Occurrences
    second: Occurrences
    gold: np.ndarray

    def __post_init__(self):
        sizes = {len(self.first), len(self.second), len(self.gold)}
        if len(sizes) > 1:
            raise ValueError(
                f"{self.name} has {len(self.first):,} and {len(self.second):,} occurrences and "
                f"{len(self.gold):,} gold values; expected as many of each"
            )

    def __len__(self) -> int:
        return len(self.gold)

    def sentences(self) -> Iterator[list[str]]:
        """The tokens of every sentence, without any label."""
        yield from self.first.sentences
        yield from self.second.sentences


@dataclass(frozen=True, eq=False)
class WordPairs:
    """n pairs of words without sentences: `first`, `second` (n,) of str, and `gold` (n,), float or bool."""

    name: str
    first: np.ndarray
    second: np.ndarray
    gold: np.ndarray

    def __len__(self) -> int:
        return len(self.gold)

"""What every system that finds senses has in common, so that one table can hold them all."""

from collections.abc import Callable

import numpy as np

from labkit.embeddings.base import NotFittedError
from labkit.embeddings.parameters import Parameters
from labkit.text import Corpus
from labkit.text.occurrences import Occurrences


class SenseInducer(Parameters):
    """A system that learns from text without labels and then sorts the occurrences of a word by sense.

    Hyper-parameters are arguments of `__init__` and nothing else; `fit` learns from a text, once for all words;
    `assign` gives each occurrence the number of a cluster.

    Attributes:
        number_given: whether `assign` has to be told how many senses there are. A system that is told is a yardstick,
            and never compared as an equal with one that finds the number.
    """

    number_given = False

    def fit(self, corpus: Corpus, *, progress: bool = True) -> "SenseInducer":
        """Learn from a text."""
        raise NotImplementedError

    def assign(self, word: str, occurrences: Occurrences, n_senses: int | None = None) -> np.ndarray:
        """The number of the cluster of each occurrence, (n,) int; the more occurrences, the better it can tell.

        Arguments:
            word: their headword.
            occurrences: n of them; labels, if they have any, are not looked at.
            n_senses: how many clusters to make, for a system with `number_given`; others find it.

        Raises:
            NotFittedError: before `fit`.
            KeyError: a word that never occurs in the text.
            ValueError: `n_senses` is missing where it is needed.
        """
        raise NotImplementedError

    def transform(self, word: str, occurrences: Occurrences) -> np.ndarray:
        """A vector for each occurrence, (n, d), near in direction where the meaning is alike: for pairs in context.

        Raises:
            NotFittedError, KeyError: as `assign`.
        """
        raise NotImplementedError(f"{type(self).__name__} gives no vectors to occurrences")

    def senses_in_context(self, word: str, occurrences: Occurrences) -> tuple[np.ndarray, np.ndarray]:
        """Vectors of the senses of a word, (K, d), and the probability of each in each occurrence, (n, K).

        Raises:
            NotFittedError, KeyError: as `assign`.
        """
        raise NotImplementedError(f"{type(self).__name__} gives no vectors to senses")

    @property
    def name(self) -> str:
        """For tables: the class and the settings that are not the default."""
        return type(self).__name__

    def _fitted(self, attribute: str) -> None:
        if attribute not in vars(self):
            raise NotFittedError(f"this {type(self).__name__} is not fitted; call fit(corpus)")


class Trivial(SenseInducer):
    """What costs nothing and any system has to beat: "all in one", "one per occurrence" or "random".

    "random" draws among the true number of senses with equal chances.
    """

    KINDS: dict[str, Callable[[int, int, np.random.Generator], np.ndarray]] = {
        "all in one": lambda n, k, rng: np.zeros(n, dtype=int),
        "one per occurrence": lambda n, k, rng: np.arange(n),
        "random": lambda n, k, rng: rng.integers(k, size=n),
    }

    def __init__(self, kind: str = "all in one", seed: int = 0):
        self._remember(locals())

    @property
    def number_given(self) -> bool:
        """Only "random" needs it."""
        return self.kind == "random"

    @property
    def name(self) -> str:
        """Its kind."""
        return self.kind

    def fit(self, corpus: Corpus, *, progress: bool = True) -> "Trivial":
        """Nothing to learn."""
        if self.kind not in self.KINDS:
            raise ValueError(f"kind is {self.kind!r}; expected one of {', '.join(map(repr, self.KINDS))}")
        return self

    def assign(self, word: str, occurrences: Occurrences, n_senses: int | None = None) -> np.ndarray:
        """As the kind says."""
        return self.KINDS[self.kind](len(occurrences), n_senses or 1, np.random.default_rng(self.seed))

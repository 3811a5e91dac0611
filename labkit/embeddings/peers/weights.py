"""A word's occurrences as weighted bags of the words around it, and their mean vectors."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from labkit.text import Corpus, Tokenizer, Vocabulary
from labkit.text.building import find, ranges
from labkit.text.occurrences import Occurrences

SMOOTH = 1e-4  # a of the weight a/(a+f): words above this relative frequency count for less than half
FAR = 10.0  # words: at this distance a context word counts half


@dataclass(frozen=True, eq=False)
class Around:
    """The known words around n occurrences, flat: entry j is a word of occurrence `row[j]`.

    Attributes:
        n: the number of occurrences; some may have no entry.
        row: (entries,), rising.
        ids: of the context words, (entries,).
        distance: in words from the target, from 1, (entries,).
    """

    n: int
    row: np.ndarray
    ids: np.ndarray
    distance: np.ndarray

    @classmethod
    def of(
        cls, occurrences: Occurrences, vocabulary: Vocabulary, tokenizer=None, window: int | None = None
    ) -> "Around":
        """The words of each sentence but the target and its repetitions, or up to `window` of them on each side."""
        cut = tokenizer or Tokenizer()
        rows, ids, distances = [], [], []
        for i in range(len(occurrences)):
            own = vocabulary.get(occurrences.token(i).lower(), -1)
            before, after = cut(" ".join(occurrences.left(i)))[::-1], cut(" ".join(occurrences.right(i)))
            for side in (before[:window], after[:window]):
                for distance, word in enumerate(side, 1):
                    id = vocabulary.get(word, -1)
                    if id >= 0 and id != own:
                        rows.append(i)
                        ids.append(id)
                        distances.append(distance)
        return cls(len(occurrences), np.array(rows, int), np.array(ids, int), np.array(distances, float))

    @classmethod
    def in_corpus(cls, corpus: Corpus, word: str, at_most: int, window: int | None = None, seed: int = 0) -> "Around":
        """The same for occurrences in a text, of more than `at_most` a random choice.

        Raises:
            KeyError: a word that never occurs in the text.
        """
        id = corpus.vocabulary[word]
        places = find(corpus.ids, lambda ids: ids == id)
        chosen = np.random.default_rng(seed).permutation(len(places))[:at_most]
        places = places[np.sort(chosen)]
        sentence = corpus.sentence_of(places)
        reach = len(corpus.ids) if window is None else window
        low = np.maximum(corpus.offsets[sentence], places - reach)
        high = np.minimum(corpus.offsets[sentence + 1], places + reach + 1)
        position, row = ranges(low, high - low), np.repeat(np.arange(len(places)), high - low)
        ids, distance = np.asarray(corpus.ids[position]), np.abs(position - places[row])
        other = ids != id
        return cls(len(places), row[other], ids[other].astype(int), distance[other].astype(float))

    def select(self, rows: np.ndarray) -> "Around":
        """The words around these occurrences only, (n,) of bool."""
        inside = rows[self.row]
        return Around(int(rows.sum()), (rows.cumsum() - 1)[self.row[inside]], self.ids[inside], self.distance[inside])

    def smooth_inverse_frequency(self, vocabulary: Vocabulary) -> np.ndarray:
        """a/(a + f) with f the relative frequency and a = 10⁻⁴: (entries,).

        References:
            Arora, Liang & Ma, A simple but tough-to-beat baseline for sentence embeddings (ICLR 2017).
        """
        return SMOOTH / (SMOOTH + vocabulary.frequencies[self.ids])

    def information(self, vocabulary: Vocabulary) -> np.ndarray:
        """How much a context word says about the target: max(0, ln(k/(n f + ½))) · k/(k+2) nats, (entries,).

        k is in how many of these sentences it stands, n the number of words in them and f its relative frequency in
        the text; the last factor takes back what chance gives to words seen once or twice, and k = 1 gives 0.
        """
        pairs = np.unique(np.stack([self.ids, self.row]), axis=1)
        k = np.bincount(pairs[0], minlength=len(vocabulary))[self.ids]
        expected = len(self.ids) * vocabulary.frequencies[self.ids] + 0.5
        return np.where(k > 1, np.maximum(0, np.log(k / expected)) * k / (k + 2), 0.0)

    def nearness(self) -> np.ndarray:
        """1/(1 + distance/10), (entries,)."""
        return 1 / (1 + self.distance / FAR)

    def means(self, vectors: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Σ_j ω_j v_{c_j} / Σ_j ω_j of each occurrence, scaled to length 1: (n, d); 0 where nothing is known.

        Arguments:
            vectors: of all words of the vocabulary, (V, d).
            weights: ω_j, (entries,).
        """
        ids, place = np.unique(self.ids, return_inverse=True)
        sums = sp.csr_matrix((weights, (self.row, place)), shape=(self.n, len(ids))) @ vectors[ids].astype(float)
        return sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)

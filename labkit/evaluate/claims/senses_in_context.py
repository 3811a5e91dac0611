"""Claim 1, words in context: a density's modes as senses, where `in_context` and `contexts_alike` ask for them."""

import numpy as np
import pandas as pd
import torch

from labkit.density import draw
from labkit.embeddings import PointEmbedding
from labkit.embeddings.latent import LatentEmbedding
from labkit.embeddings.occurrence import OccurrenceEmbedding
from labkit.embeddings.peers import SenseInducer
from labkit.evaluate.claims.intervals import bootstrap_interval, labelled, proportion_interval, rank_correlation
from labkit.evaluate.pairs import best_threshold, contexts_alike, in_context
from labkit.evaluate.proposals import weigh
from labkit.evaluate.windows import LabelledWindows
from labkit.text import Vocabulary
from labkit.text.occurrences import Occurrences, PairsInContext

CENTRE_WORDS = 300  # over which the mean of hidden vectors is taken


class PointSenses(SenseInducer):
    """One sense a word: the vector, whatever the sentence. What a word as a point can say of contexts."""

    def __init__(self, embedding: PointEmbedding):
        self.embedding = embedding

    def transform(self, word: str, occurrences: Occurrences) -> np.ndarray:
        """v_w for each occurrence, (n, d)."""
        return np.repeat(self._vector(word)[None], len(occurrences), 0)

    def senses_in_context(self, word: str, occurrences: Occurrences) -> tuple[np.ndarray, np.ndarray]:
        """v_w alone, with probability 1."""
        return self._vector(word)[None], np.ones((len(occurrences), 1))

    def _vector(self, word: str) -> np.ndarray:
        return self.embedding.word_vectors.weight[self.embedding.row(word)].detach().cpu().numpy()


class LatentModes(SenseInducer):
    """The modes of p(z∣w) as senses; an occurrence is E[h(z, w)∣w, c], what contexts its place calls for.

    Vectors are hidden vectors of the decoder less their mean over words, since what all words call for says nothing.
    Expectations given a context are importance-weighted over draws of the encoder.

    Arguments:
        embedding: fitted.
        window: words on each side of the occurrence that are looked at; None for those that the model learned from.
        samples: S, for each occurrence.
        seed: of these.
    """

    def __init__(self, embedding: LatentEmbedding, window: int | None = None, samples: int = 32, seed: int = 0):
        self.embedding, self.window, self.samples, self.seed = embedding, window or embedding.window, samples, seed
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            means = [embedding.hidden_at(word, draw(embedding.prior_of(word), 1, generator))
                     for word in embedding.words[:: max(1, len(embedding.words) // CENTRE_WORDS)]]  # fmt: skip
            self.centre = torch.cat(means).mean(0)

    def transform(self, word: str, occurrences: Occurrences) -> np.ndarray:
        """E[h(z, w)∣w, c] − mean, (n, H); that of the word itself where no word around is known."""
        return self._given(word, occurrences)[0]

    def senses_in_context(self, word: str, occurrences: Occurrences) -> tuple[np.ndarray, np.ndarray]:
        """The mean hidden vector of each mode, (K, H), and the posterior mass of each, (n, K)."""
        basins, vector = self.embedding[word].basins, self.embedding.word_vector(word)
        with torch.no_grad():
            senses = torch.stack([self.embedding.decode(mode.members, vector).mean(0) for mode in basins])
        _, z, shares = self._given(word, occurrences)
        of_mode = torch.nn.functional.one_hot(basins.assign(z.flatten(0, 1)), len(basins)).to(shares)
        mass = (of_mode.unflatten(0, shares.shape) * shares[..., None]).sum(0)
        return (senses - self.centre).cpu().numpy(), mass.cpu().numpy()

    @torch.no_grad()
    def _given(self, word: str, occurrences: Occurrences) -> tuple[np.ndarray, torch.Tensor, torch.Tensor]:
        """E[h∣w, c] − mean, (n, H), and what it rests on: places (S, n, k) and their shares, (S, n)."""
        self.embedding.row(word)  # raises
        context = self._contexts(word, occurrences)
        known = (context >= 0).any(1)
        n, generator = len(context), torch.Generator().manual_seed(self.seed)
        z = draw(self.embedding.prior_of(word), self.samples, generator)[:, None].repeat(1, n, 1)
        shares = z.new_full((self.samples, n), 1 / self.samples)
        if known.any():
            windows = [LabelledWindows(word, context[known], np.full(known.sum(), ""))]
            drawn = weigh(self.embedding, windows, self.samples, self.seed)
            z[:, known], shares[:, known] = drawn.z, drawn.shares
        hidden = self.embedding.decode(z, self.embedding.word_vector(word))
        return ((hidden * shares[..., None]).sum(0) - self.centre).cpu().numpy(), z, shares

    def _contexts(self, word: str, occurrences: Occurrences) -> np.ndarray:
        """Ids (n, M), padded with −1, of the known words nearest to each occurrence."""
        cut, vocabulary = self.embedding.tokenizer_, self.embedding.vocabulary_
        rows = []
        for i in range(len(occurrences)):
            left, right = (vocabulary.encode(cut(" ".join(side)), unknown="skip")
                           for side in (occurrences.left(i), occurrences.right(i)))  # fmt: skip
            rows.append([*left[-self.window :], *right[: self.window]])
        context = np.full((len(rows), max(1, max(map(len, rows), default=1))), -1)
        for i, row in enumerate(rows):
            context[i, : len(row)] = row
        return context


class OccurrenceModes(SenseInducer):
    """The modes of a density of occurrences as senses: their mean place in the space of occurrences.

    The density of a word is fitted to its occurrences in `text`, once; p(mode∣c) is that of `given`.
    """

    def __init__(self, embedding: OccurrenceEmbedding):
        self.embedding = embedding

    def transform(self, word: str, occurrences: Occurrences) -> np.ndarray:
        """x(c), (n, D)."""
        return self.embedding.transform(word, occurrences)

    def senses_in_context(self, word: str, occurrences: Occurrences) -> tuple[np.ndarray, np.ndarray]:
        """The mean x of the occurrences in each basin, (K, D), and the mass that `given` leaves each mode, (n, K)."""
        density = self.embedding[word]
        points = density.centre + density.places.numpy() @ np.linalg.pinv(density.basis)
        basin, k = density.basin_of_occurrences, len(density.modes())
        senses = np.stack([points[basin == m].mean(0) if (basin == m).any() else points.mean(0) for m in range(k)])
        mass = np.zeros((len(occurrences), k))
        for i in range(len(occurrences)):
            mass[i] = self._masses(density, [*occurrences.left(i), *occurrences.right(i)])
        return senses, mass

    @staticmethod
    def _masses(density, context: list[str]) -> np.ndarray:
        try:
            moved = density.given(" ".join(context))
        except ValueError:  # no word of the context is known: the density as it is
            return density.modes().masses.numpy()
        mode = density.modes().assign(moved.points)
        return np.bincount(mode.numpy(), moved.weights.double().numpy(), len(density.modes()))


def scws_scores(table: pd.DataFrame, resamples: int = 1000, seed: int = 0) -> dict[str, float]:
    """Spearman's ρ of each similarity of `in_context` with people's, with 95 % intervals over pairs."""
    row = {"pairs": len(table)}
    for name in ("avg_sim_c", "max_sim_c", "contexts"):
        found = bootstrap_interval(rank_correlation, table[name], table.gold, resamples=resamples, seed=seed)
        row |= labelled(name, found)
    return row


def wic_scores(system: SenseInducer, chosen_on: PairsInContext, test: PairsInContext) -> dict[str, float]:
    """Accuracy on `test` of "the occurrences are alike", with the threshold that is best on `chosen_on`."""
    threshold, of_chosen = best_threshold(contexts_alike(system, chosen_on), chosen_on.gold)
    accuracy = float(((contexts_alike(system, test) >= threshold) == test.gold).mean())
    commoner = float(max(test.gold.mean(), 1 - test.gold.mean()))
    found = labelled("accuracy", (accuracy, *proportion_interval(accuracy, len(test))))
    return found | {"where_chosen": of_chosen, "commoner": commoner, "pairs": len(test)}


def pairs_for(
    pairs: PairsInContext, words: Vocabulary | set, at_most: int | None = None, seed: int = 0
) -> PairsInContext:
    """Those pairs of which both headwords are known, of more than `at_most` a random choice.

    Raises:
        ValueError: fewer than 3.
    """
    sides = zip(pairs.first.words, pairs.second.words, strict=True)
    known = np.flatnonzero([a in words and b in words for a, b in sides])
    if len(known) < 3:
        raise ValueError(f"{len(known)} pairs of {pairs.name} have both words in the text; expected 3 at least")
    rows = np.sort(np.random.default_rng(seed).permutation(known)[:at_most])
    return PairsInContext(pairs.name, pairs.first.select(rows), pairs.second.select(rows), pairs.gold[rows])


__all__ = ["LatentModes", "OccurrenceModes", "PointSenses", "in_context", "pairs_for", "scws_scores", "wic_scores"]

"""A word as the density of its occurrences: a flow in as many directions as halves of sentences agree on."""

from functools import cached_property, partial

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal

from labkit.density import posterior
from labkit.embeddings.fitting import fit_flow
from labkit.embeddings.halves import Halves, agreed_groups, discriminants, halve
from labkit.embeddings.peers.inducer import SenseInducer
from labkit.embeddings.peers.means import at_scale, by_silhouette, word_vectors
from labkit.embeddings.peers.weights import Around
from labkit.embeddings.places import MOST_DIRECTIONS, PlacesDensity
from labkit.embeddings.point import PointEmbedding
from labkit.embeddings.tellers import refine
from labkit.text import Corpus
from labkit.text.occurrences import Occurrences

FEWEST = 20  # occurrences from which a density is fitted
MOST_IN_TEXT = 2000  # occurrences of a word in the text, when its density is asked for by name


class OccurrenceDensity(PlacesDensity):
    """p(z∣w), a flow over the k directions in which the occurrences of one word differ by sense.

    An occurrence with the words c around it is the mean x(c) of their vectors, weighted by how rare they are, how much
    they say about w, and how near they are, and scaled to length 1. It has its place

        z(c) = Q_wᵀ (x(c) − μ_w)        (k,)

    and the flow is fitted by maximum likelihood to the places of w's occurrences with a little noise (`fit_flow`), so
    that it tends to their kernel density, somewhat wider than the places themselves. The decomposition of x is that of
    `TruncatedEmbedding`: k of D coordinates are stochastic; the rest are held at the word's mean. Q_w (D, k) spans the
    differences between groups that stand apart and on which halves of the same sentences agree (`halves`).

    `given` moves the density by Bayes' rule: a context is an observation of z with a Gaussian error, whose covariance
    Σ_w is measured between halves of sentences, so that a short context says less than a long one.

    Attributes:
        noise: Σ_w of a context of the usual length, (k, k).
        groups: of the occurrences, before the density was fitted, (n,): what the modes are compared with.
        agreement: of halves of sentences, at each number of groups.
        others: see `PlacesDensity`.
    """

    def __init__(self, embedding: "OccurrenceEmbedding", word: str, around: Around):
        if around.n < FEWEST:
            raise ValueError(f"{word!r} has {around.n} occurrences; expected at least {FEWEST} to fit a density to")
        self.embedding, self.around = embedding, around
        weights = embedding.weights(around)
        points = around.means(embedding.vectors_, weights)
        how = (embedding.components, embedding.halvings, embedding.seed)
        halves, components = halve(around, embedding.vectors_, weights, *how)

        def view(rows: np.ndarray) -> Halves:
            inside = rows[around.row]
            return halve(around.select(rows), embedding.vectors_, weights[inside], *how)[0]

        self.groups, self.agreement = agreed_groups(view, around.n, embedding.most, embedding.seed)
        shares = refine(np.eye(self.groups.max() + 1)[self.groups], points, around, embedding.frequencies_)
        k = min(max(shares.shape[1] - 1, 1), MOST_DIRECTIONS, halves.whole.shape[1])
        inner = discriminants(halves.whole, shares, k)
        self._x, self.noise = points, halves.noise(inner)
        self._usual_spread = np.median(spread(around, weights))
        settings = {name: getattr(embedding, name) for name in ("layers", "bins", "hidden", "steps", "seed")}
        super().__init__(word, points, points.mean(0), components.T @ inner, partial(fit_flow, **settings))

    @cached_property
    def mode_mass(self) -> np.ndarray:
        """p(mode∣c) of each occurrence, (n, modes): from its basin, then by the words that tell the modes apart."""
        shares = np.eye(len(self.basins))[self.basin_of_occurrences]
        if len(self.basins) == 1:
            return shares
        return refine(shares, self._x, self.around, self.embedding.frequencies_)

    def observe(self, context) -> tuple[Tensor, float]:
        """z(c) of a sentence or a list of words, (k,), and Σ ω²/(Σ ω)² of its weights beside the usual.

        Raises:
            ValueError: if no word of the context is known.
        """
        skip_gram = self.embedding.embedding_
        ids = skip_gram.encode_context(context, self.word)
        here = Around(1, np.zeros(len(ids), int), np.asarray(ids, int), np.ones(len(ids)))
        weights = self.embedding.weights(here, self.around)
        x = here.means(self.embedding.vectors_, weights)[0]
        return self.place(x), float(spread(here, weights)[0] / self._usual_spread)

    def given(self, context, seed: int = 0) -> Distribution:
        """p(z∣w,c) ∝ p(z∣w) N(z(c); z, r(c) Σ_w), r(c) the `spread` of the context's weights beside the usual.

        This takes the place of c, given z, to be Gaussian around z, with an error that is the same for all senses and
        shrinks with the words of c as if they were independent; and p(z∣w) to be the density of z without that error.
        It is not quite: it was fitted to places that have the error in them, so that the answer is somewhat wider
        and nearer to z(c) than with the density behind them. On a grid for k ≤ 2; above,
        by importance sampling from the Gaussian.

        Raises:
            ValueError: if no word of the context is known.
        """
        z, ratio = self.observe(context)
        covariance = torch.as_tensor(ratio * self.noise, dtype=torch.float32) + 1e-6 * torch.eye(len(z))
        error = torch.distributions.MultivariateNormal(z, covariance)
        proposal = Independent(Normal(z, 1.5 * covariance.diagonal().sqrt()), 1) if len(z) > 2 else None
        return posterior(self.flow, error.log_prob, proposal, generator=torch.Generator().manual_seed(seed))


def spread(around: Around, weights: np.ndarray) -> np.ndarray:
    """Σ ω²/(Σ ω)² of each occurrence, (n,): 1 over the number of words that count; 1 where nothing is known."""
    total = np.bincount(around.row, weights, around.n)
    squares = np.bincount(around.row, weights**2, around.n)
    return np.where(total > 0, squares / np.maximum(total, 1e-12) ** 2, 1.0)


class OccurrenceEmbedding(SenseInducer):
    """Words as densities of their occurrences: vectors by skip-gram, then a flow for each word asked for.

        log p(z∣w) = log N(u; 0, I) + log∣det ∂u/∂z∣,   z = Q_wᵀ (x(c) − μ_w)        (nats)

    The senses of a word are the modes of its density; how many there are is found. Nothing looks at a label:

    1. An occurrence is the weighted mean x(c) of the unit vectors around it (`Around`). Where the text marks one word
       in a sentence, the words around have no vector as centres, and the output vectors stand for it.
    2. Each sentence is cut into two random halves of its words. k-means groups the occurrences in the directions that
       halves share; of 2 … `most` groups that many are taken which stand apart (silhouette) and on which the halves
       agree, corrected for chance. A group that holds two such groups is divided again (`agreed_groups`).
    3. Q_w are the directions in which these groups differ most for their width: one fewer than groups, and at most 4.
    4. The flow is fitted to the occurrences in these directions by maximum likelihood of the exact density at noisy
       copies of them (`fit_flow`), and so tends to a kernel density. Groups between which it has no valley are one
       mode: a word with one sense.
    5. `assign` starts from the basins of the modes and weighs each word by how much it says about them (`tellers`).

    Arguments:
        embedding: a fitted `PointEmbedding`, used as it is; None for one with the settings of `at_scale`.
        most: groups to try.
        components: principal components in which groups are sought.
        halvings: times a sentence is halved.
        layers, bins, hidden: of the spline flow.
        steps: of its training.
        refined: whether `assign` goes on from the basins to the words; False gives the basins themselves.
        window: words on each side that are looked at; None for the whole sentence.
        seed: same seed and machine, same result.

    References:
        Blum & Mitchell, Combining labeled and unlabeled data with co-training (1998), for views that agree; Lange,
        Roth, Braun & Buhmann, Stability-based validation of clustering solutions (2004); Durkan et al. (2019) for
        the flow.

    Example:
        >>> OccurrenceEmbedding(most=4).get_params()["most"]
        4
    """

    def __init__(
        self, embedding=None, *, most=6, components=12, halvings=8, layers=2, bins=8, hidden=(32, 32), steps=200,
        refined=True, window=None, seed=0,
    ):  # fmt: skip
        self._remember(locals())

    @property
    def name(self) -> str:
        """For tables."""
        return "density of occurrences" + ("" if self.refined else ", modes alone")

    def fit(self, corpus: Corpus, *, progress: bool = True) -> "OccurrenceEmbedding":
        """Train the skip-gram, unless it is fitted."""
        for name, least in (("most", 2), ("components", 1), ("halvings", 1), ("layers", 0), ("steps", 1)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise ValueError(f"{name} is {value!r}; expected a whole number of at least {least}")
        embedding = at_scale(corpus, self.seed) if self.embedding is None else self.embedding
        self.embedding_: PointEmbedding = (
            embedding if "words_" in vars(embedding) else embedding.fit(corpus, progress=progress)
        )
        vectors = word_vectors(self.embedding_)
        self.vectors_ = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        self.frequencies_ = self.embedding_.vocabulary_.frequencies
        self.corpus_ = corpus
        self._kept: dict[str, OccurrenceDensity] = {}
        return self

    def weights(self, around: Around, said: Around | None = None) -> np.ndarray:
        """a/(a+f) · (1 + pmi) / (1 + distance/10) of each entry; pmi as in the occurrences `said`, if given."""
        vocabulary = self.embedding_.vocabulary_
        information = (around if said is None else said).information(vocabulary)
        if said is not None:
            table = np.zeros(len(vocabulary))
            table[said.ids] = information
            information = table[around.ids]
        return around.smooth_inverse_frequency(vocabulary) * (1 + information) * around.nearness()

    def density(self, word: str, occurrences: Occurrences) -> OccurrenceDensity:
        """p(z∣w), fitted to these occurrences, whose labels, if any, are not looked at.

        Raises:
            NotFittedError: before `fit`.
            KeyError: a word that never occurs in the text.
            ValueError: fewer than 20 occurrences.
        """
        self._fitted("embedding_")
        self.embedding_.row(word)  # raises
        around = Around.of(occurrences, self.embedding_.vocabulary_, self.embedding_.tokenizer_, self.window)
        return OccurrenceDensity(self, word, around)

    def __getitem__(self, word: str) -> OccurrenceDensity:
        """p(z∣w), fitted to the occurrences of the word in the text, or to 2,000 of them.

        Raises:
            NotFittedError, KeyError, ValueError: as `density`.
        """
        self._fitted("embedding_")
        if word not in self._kept:
            self.embedding_.row(word)  # raises
            around = Around.in_corpus(self.corpus_, word, MOST_IN_TEXT, self.window, self.seed)
            self._kept[word] = OccurrenceDensity(self, word, around)
        return self._kept[word]

    def assign(self, word: str, occurrences: Occurrences, n_senses: int | None = None) -> np.ndarray:
        """The mode of each occurrence; of fewer than 20 occurrences all are one."""
        self._fitted("embedding_")
        self.embedding_.row(word)  # raises
        if len(occurrences) < FEWEST:
            return np.zeros(len(occurrences), dtype=int)
        return self._labels(self.density(word, occurrences))

    def _labels(self, density: OccurrenceDensity) -> np.ndarray:
        return density.mode_mass.argmax(1) if self.refined else density.basin_of_occurrences

    def transform(self, word: str, occurrences: Occurrences) -> np.ndarray:
        """x(c) of each occurrence, (n, D), of length 1; 0 where no word around is known."""
        self._fitted("embedding_")
        self.embedding_.row(word)  # raises
        around = Around.of(occurrences, self.embedding_.vocabulary_, self.embedding_.tokenizer_, self.window)
        return around.means(self.vectors_, self.weights(around))


class OccurrenceClusters(OccurrenceEmbedding):
    """k-means on the places z of a word's occurrences, the number by silhouette: what the density is compared with.

    The places are where the density's points lie, so that the difference from its modes is that between looking for
    valleys and cutting up; k-means never finds one cluster.

    Example:
        >>> OccurrenceClusters().name
        'places of occurrences, k-means, k by silhouette'
    """

    @property
    def name(self) -> str:
        """For tables."""
        return "places of occurrences, k-means, k by silhouette"

    def _labels(self, density: OccurrenceDensity) -> np.ndarray:
        return by_silhouette(density.places.numpy(), self.seed)

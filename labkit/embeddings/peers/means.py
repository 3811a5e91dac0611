"""Skip-gram, the mean of the context's vectors, and k-means: the strongest simple way to find senses."""

import numpy as np
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import silhouette_score

from labkit.embeddings.peers.inducer import SenseInducer
from labkit.embeddings.peers.weights import Around
from labkit.embeddings.point import PointEmbedding
from labkit.text import Corpus
from labkit.text.occurrences import Occurrences

MOST_SENSES = 6  # that the silhouette chooses among
COMPONENTS = 8  # to which vectors are reduced before the silhouette is looked at
SILHOUETTE_ROWS = 2000  # its cost grows with their square
PASSES = 2  # over the text, of the skip-gram
OCCURRENCES = 300  # of a word in the text, among which senses are looked for


class VectorClusters(SenseInducer):
    """k-means on the vectors that `transform` gives; `number` says who knows how many clusters there are.

    It is "given", k-means with the number that `assign` is told, or "silhouette", of 2 to 6 clusters the number whose
    silhouette is highest, on the first eight principal components.
    """

    @property
    def number_given(self) -> bool:
        """Whether k-means is told how many."""
        return self.number == "given"

    def _check_number(self) -> None:
        if self.number not in ("given", "silhouette"):
            raise ValueError(f"number is {self.number!r}; expected one of 'given', 'silhouette'")

    def assign(self, word: str, occurrences: Occurrences, n_senses: int | None = None) -> np.ndarray:
        """k-means on the vectors of these occurrences, which should be all there are."""
        vectors = self.transform(word, occurrences)
        if not self.number_given:
            return by_silhouette(vectors, self.seed)
        if n_senses is None:
            raise ValueError("n_senses is missing; expected the number of senses, since number is 'given'")
        return k_means(vectors, n_senses, self.seed)


class ContextMeans(VectorClusters):
    """An occurrence is the weighted mean of the skip-gram vectors around it; k-means sorts the occurrences.

    Arguments:
        embedding: a `PointEmbedding`. If it is fitted it is used as it is, and `fit` learns nothing: several systems
            can share one. None for one with the settings of `at_scale`.
        weights: "sif", a/(a+f), or "informed", sif · (1 + pmi) / (1 + distance/10): see `Around`.
        number: "given" or "silhouette": see `VectorClusters`.
        window: words on each side that are looked at; None for the whole sentence.
        seed: of the skip-gram and of k-means.

    References:
        Schütze, Automatic word sense discrimination (1998), for clusters of context vectors. Arora et al. (2017) for
        the weights a/(a+f). Rousseeuw (1987) for the silhouette.
    """

    def __init__(self, embedding=None, *, weights="sif", number="given", window=None, seed=0):
        self._remember(locals())

    @property
    def name(self) -> str:
        """The weights, and where the number comes from."""
        return f"skip-gram, {self.weights}, {'k given' if self.number_given else 'k by silhouette'}"

    def fit(self, corpus: Corpus, *, progress: bool = True) -> "ContextMeans":
        """Train the skip-gram, unless it is fitted."""
        self._check_number()
        if self.weights not in ("sif", "informed"):
            raise ValueError(f"weights is {self.weights!r}; expected one of 'sif', 'informed'")
        embedding = at_scale(corpus, self.seed) if self.embedding is None else self.embedding
        self.embedding_ = embedding if "words_" in vars(embedding) else embedding.fit(corpus, progress=progress)
        self._vectors, self._centres = word_vectors(self.embedding_), {}
        return self

    def transform(self, word: str, occurrences: Occurrences) -> np.ndarray:
        """The vectors of occurrences, (n, d), of length 1; 0 where no word around is known.

        Raises:
            NotFittedError: before `fit`.
            KeyError: a word that never occurs in the text.
        """
        self._fitted("embedding_")
        self.embedding_.row(word)  # raises
        return self._means(Around.of(occurrences, self.embedding_.vocabulary_, self.embedding_.tokenizer_, self.window))

    def _means(self, around: Around) -> np.ndarray:
        vocabulary = self.embedding_.vocabulary_
        weights = around.smooth_inverse_frequency(vocabulary)
        if self.weights == "informed":
            weights = weights * (1 + around.information(vocabulary)) * around.nearness()
        return around.means(self._vectors, weights)

    def senses_in_context(self, word: str, occurrences: Occurrences) -> tuple[np.ndarray, np.ndarray]:
        """Centres of clusters of the text's own occurrences, (K, d), and p(i∣c) ∝ 1/‖c − π_i‖, (n, K).

        The number of clusters is that of the highest silhouette; `number` is not looked at.

        Raises:
            NotFittedError, KeyError: as `assign`.
            ValueError: the skip-gram was loaded and has no corpus.
        """
        here = self.transform(word, occurrences)
        if word not in self._centres:
            corpus = getattr(self.embedding_, "corpus_", None)
            if corpus is None:
                raise ValueError("the skip-gram has no corpus to find senses in; expected one that was fitted here")
            vectors = self._means(Around.in_corpus(corpus, word, OCCURRENCES, self.window, self.seed))
            labels = by_silhouette(vectors, self.seed)
            self._centres[word] = np.stack([vectors[labels == label].mean(0) for label in np.unique(labels)])
        centres = self._centres[word]
        nearness = 1 / np.maximum(np.linalg.norm(here[:, None] - centres, axis=-1), 1e-6)
        return centres, nearness / nearness.sum(1, keepdims=True)


def word_vectors(embedding: PointEmbedding) -> np.ndarray:
    """v of every word as it stands around others, (V, d): its centre vector.

    Where the text marks one word in a sentence, the words around have none, and output vectors stand for them.
    """
    marked = len(embedding.words_) < len(embedding.vocabulary_)
    return embedding.output.vectors.weight.detach().cpu().numpy() if marked else embedding.vectors()


def k_means(vectors: np.ndarray, k: int, seed: int) -> np.ndarray:
    """The number of the cluster of each vector, (n, d) -> (n,): at most k, the best of ten starts."""
    k = min(k, len(np.unique(vectors, axis=0)))  # as many clusters as there are different points
    return KMeans(k, n_init=10, random_state=seed).fit_predict(vectors)


def by_silhouette(vectors: np.ndarray, seed: int = 0, most: int = MOST_SENSES) -> np.ndarray:
    """k-means with the number of clusters whose silhouette is highest: (n, d) -> (n,).

    The silhouette of a point is (b − a)/max(a, b), a its mean distance to its own cluster, b to the nearest other.
    It is not defined for one cluster, so that the number is 2 at least; of fewer than 3 different points all are one.
    """
    n_distinct = len(np.unique(vectors, axis=0))
    if n_distinct < 3:
        return np.zeros(len(vectors), dtype=int)
    reduced = PCA(min(COMPONENTS, *vectors.shape), random_state=seed).fit_transform(vectors)
    looked_at = np.random.default_rng(seed).permutation(len(reduced))[:SILHOUETTE_ROWS]
    best, best_score = np.zeros(len(vectors), dtype=int), -np.inf
    for k in range(2, min(most, n_distinct - 1) + 1):
        labels = k_means(reduced, k, seed)
        if 1 < len(np.unique(labels[looked_at])) < len(looked_at):
            score = silhouette_score(reduced[looked_at], labels[looked_at])
            if score > best_score:
                best, best_score = labels, score
    return best


def at_scale(corpus: Corpus, seed: int = 0) -> PointEmbedding:
    """The skip-gram of the tables, for millions of words, not yet fitted."""
    embedding = PointEmbedding(
        vector_dim=140, negatives=512, batch_size=2048, learning_rate=0.005, thin_out=1e-4, seed=seed
    )
    return embedding.set_params(steps=max(1000, PASSES * embedding.steps_per_pass(corpus)))

"""Every system that can be asked for senses by name. A new one is a line here, and is then in all tables."""

from collections.abc import Callable

from labkit.embeddings.contextual import ContextualEmbedding, ContextualMeans
from labkit.embeddings.occurrence import OccurrenceClusters, OccurrenceEmbedding
from labkit.embeddings.peers import (
    AdaGram,
    BayesianSkipGram,
    Codebook,
    ContextMeans,
    SenseInducer,
    SparseFeatures,
    Trivial,
    Word2GM,
)
from labkit.embeddings.point import PointEmbedding
from labkit.embeddings.pretrained import missing

Factory = Callable[[PointEmbedding, int], SenseInducer]

# A factory is given the skip-gram of the run, fitted on the same text with the same seed, and the seed; it may leave
# the skip-gram aside. What it returns is then fitted on that text: one that uses the skip-gram as it is learns nothing.
SYSTEMS: dict[str, Factory] = {
    "all-in-one": lambda skip_gram, seed: Trivial("all in one"),
    "one-per-occurrence": lambda skip_gram, seed: Trivial("one per occurrence"),
    "random": lambda skip_gram, seed: Trivial("random", seed),
    "skipgram-given": lambda skip_gram, seed: ContextMeans(skip_gram, seed=seed),
    "skipgram-silhouette": lambda skip_gram, seed: ContextMeans(skip_gram, number="silhouette", seed=seed),
    "informed-given": lambda skip_gram, seed: ContextMeans(skip_gram, weights="informed", seed=seed),
    "informed-silhouette": lambda skip_gram, seed: ContextMeans(
        skip_gram, weights="informed", number="silhouette", seed=seed
    ),
    "occurrences": lambda skip_gram, seed: OccurrenceEmbedding(skip_gram, seed=seed),
    "occurrences-modes": lambda skip_gram, seed: OccurrenceEmbedding(skip_gram, refined=False, seed=seed),
    "occurrences-places": lambda skip_gram, seed: OccurrenceClusters(skip_gram, seed=seed),
    "bayesian-skipgram": lambda skip_gram, seed: BayesianSkipGram(seed=seed),
    "w2gm": lambda skip_gram, seed: Word2GM(seed=seed),
    "adagram": lambda skip_gram, seed: AdaGram(seed=seed),
    "codebook": lambda skip_gram, seed: Codebook(skip_gram, seed=seed),
    "sparse-features": lambda skip_gram, seed: SparseFeatures(skip_gram, seed=seed),
    "contextual": lambda skip_gram, seed: ContextualEmbedding(seed=seed),
    "contextual-groups": lambda skip_gram, seed: ContextualEmbedding(basins=False, seed=seed),
    "contextual-given": lambda skip_gram, seed: ContextualMeans(seed=seed),
    "contextual-silhouette": lambda skip_gram, seed: ContextualMeans(number="silhouette", seed=seed),
    "contextual-both-given": lambda skip_gram, seed: ContextualMeans(parts="both", seed=seed),
}
TRIVIAL = ("all-in-one", "one-per-occurrence", "random")
CONTEXTUAL = tuple(name for name in SYSTEMS if name.startswith("contextual"))  # need the extra [pretrained]
ALONE = (*TRIVIAL, "bayesian-skipgram", "w2gm", "adagram", *CONTEXTUAL)  # do without the skip-gram, and its seconds
BASELINE = "skipgram-given"  # `macro_baseline`: what is told the number of senses
DEFAULT = "occurrences"  # what `evaluate senses` runs unless it is told otherwise

IN_CONTEXT = "skipgram-silhouette"  # what `evaluate similarity` and `evaluate wic` run


def left_out() -> dict[str, str]:
    """Systems that cannot run here for want of a package, each with the reason: tables of all systems do without."""
    reason = missing()
    return dict.fromkeys(CONTEXTUAL, reason) if reason else {}


def make(name: str, skip_gram: PointEmbedding, seed: int = 0) -> SenseInducer:
    """The system of a name, not yet fitted.

    Raises:
        KeyError: a name that is not in `SYSTEMS`.
    """
    if name not in SYSTEMS:
        raise KeyError(f"no system is called {name!r}; expected one of {', '.join(map(repr, SYSTEMS))}")
    return SYSTEMS[name](skip_gram, seed)

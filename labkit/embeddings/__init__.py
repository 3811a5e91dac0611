"""Words to densities: one API for all embeddings."""

from labkit.embeddings.base import Embedding, NotFittedError
from labkit.embeddings.contextual import ContextualEmbedding
from labkit.embeddings.exchange import sense_vectors, to_keyed_vectors, write_projector, write_word2vec
from labkit.embeddings.gaussian import GaussianEmbedding
from labkit.embeddings.mixture import MixtureEmbedding
from labkit.embeddings.occurrence import OccurrenceEmbedding
from labkit.embeddings.point import PointEmbedding, WordPoint
from labkit.embeddings.stochastic import StochasticEmbedding
from labkit.embeddings.truncated import TruncatedEmbedding
from labkit.embeddings.word import WordDensity, WordMode

__all__ = [
    "ContextualEmbedding", "Embedding", "GaussianEmbedding", "MixtureEmbedding", "NotFittedError",
    "OccurrenceEmbedding", "PointEmbedding", "StochasticEmbedding", "TruncatedEmbedding", "WordDensity", "WordMode",
    "WordPoint", "sense_vectors", "to_keyed_vectors", "write_projector", "write_word2vec",
]  # fmt: skip

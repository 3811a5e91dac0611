"""labkit: an interactive lab in which a word is a density, not a point."""

__version__ = "0.1.0"

from labkit.budget import Budget
from labkit.embeddings import (
    ContextualEmbedding,
    Embedding,
    GaussianEmbedding,
    MixtureEmbedding,
    NotFittedError,
    OccurrenceEmbedding,
    PointEmbedding,
    StochasticEmbedding,
    TruncatedEmbedding,
)
from labkit.evaluate import compare
from labkit.folders import CheckpointError
from labkit.text import Corpus, Tokenizer, Vocabulary, load_corpus, load_dataset
from labkit.training import TrainingDiverged
from labkit.view import TrainingRecorder, explore, export_html, plot_comparison, plot_density

load = Embedding.load

__all__ = [
    "Budget", "CheckpointError", "ContextualEmbedding", "Corpus", "Embedding", "GaussianEmbedding",
    "MixtureEmbedding", "NotFittedError", "OccurrenceEmbedding", "PointEmbedding", "StochasticEmbedding",
    "Tokenizer", "TrainingDiverged", "TrainingRecorder", "TruncatedEmbedding", "Vocabulary", "compare",
    "explore", "export_html", "load", "load_corpus", "load_dataset", "plot_comparison", "plot_density",
]  # fmt: skip

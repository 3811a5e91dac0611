"""Other systems that find senses, behind one API: `fit(corpus)`, then `assign(word, occurrences)`."""

from labkit.embeddings.peers.adagram import AdaGram
from labkit.embeddings.peers.bayesian import BayesianSkipGram
from labkit.embeddings.peers.codebook import Codebook
from labkit.embeddings.peers.inducer import SenseInducer, Trivial
from labkit.embeddings.peers.means import ContextMeans, at_scale, by_silhouette
from labkit.embeddings.peers.multimodal import Word2GM
from labkit.embeddings.peers.sparse import SparseFeatures
from labkit.embeddings.peers.weights import Around

__all__ = [
    "AdaGram", "Around", "BayesianSkipGram", "Codebook", "ContextMeans", "SenseInducer", "SparseFeatures", "Trivial",
    "Word2GM", "at_scale", "by_silhouette",
]  # fmt: skip

"""Other systems that find senses, behind one API: `fit(corpus)`, then `assign(word, occurrences)`."""

from labkit.embeddings.peers.inducer import SenseInducer, Trivial
from labkit.embeddings.peers.means import ContextMeans, at_scale, by_silhouette
from labkit.embeddings.peers.weights import Around

__all__ = ["Around", "ContextMeans", "SenseInducer", "Trivial", "at_scale", "by_silhouette"]

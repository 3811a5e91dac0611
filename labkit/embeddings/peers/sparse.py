"""Sparse features of contexts: an autoencoder in which k of many features are active at a time."""

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from labkit.embeddings.peers.merging import check_share, check_whole, merge_rare
from labkit.embeddings.peers.trained import OnContextVectors
from labkit.text import Vocabulary, WindowBatch
from labkit.text.occurrences import Occurrences

LAST = 0.9  # the share of training after which the use of features is counted


class SparseFeatures(OnContextVectors):
    """a = TopK(relu(E (x − b) + g)),   x̂ = D a + b,   what is minimised is ‖x − x̂‖².

    x is the context vector of a skip-gram that stays as it is, of length 1; of many features at most k are active in a
    context, so that each has to stand for something. Columns of D have length 1; E starts as Dᵀ, so that few features
    are dead from the start.

    An occurrence has the sense of the feature that is strongest in it, compared with the feature's mean over the word's
    occurrences: what is active wherever the word stands tells no senses apart. Features with less than
    `least_share` of the occurrences are merged with the nearest; that share and the comparison with the mean were
    chosen on the built-in corpus.

    Arguments:
        embedding: a `PointEmbedding`, see `OnContextVectors`.
        features: their number, for all words together.
        active: k.
        least_share: of a word's occurrences, for a sense.
        others: see `TrainedPeer`.

    Attributes after fit:
        usage_: in what share of windows each feature is active, in the last tenth of training, (features,).

    References:
        Makhzani & Frey, k-sparse autoencoders (2014). Gao et al., Scaling and evaluating sparse autoencoders (2024),
        arXiv 2406.04093, eqs. 1–4; their loss for dead features is left out.

    Example:
        >>> SparseFeatures(features=1024).get_params()["active"]
        8
    """

    def __init__(
        self, embedding=None, *, features=512, active=8, least_share=0.15, window=10, thin_out=1e-4, passes=1,
        steps=1000, batch_size=1024, learning_rate=0.003, seed=0, device="auto",
    ):  # fmt: skip
        super().__init__()
        self._remember(locals())

    @property
    def name(self) -> str:
        """For tables."""
        return f"sparse autoencoder, {self.active} of {self.features}"

    def _check(self) -> None:
        super()._check()
        check_whole(self, features=2, active=1)
        check_share(self.least_share)
        if self.active > self.features:
            raise ValueError(f"active is {self.active} of {self.features} features; expected at most as many")

    def _build(self, vocabulary: Vocabulary) -> None:
        super()._build(vocabulary)
        width = self.vectors.shape[1]
        directions = F.normalize(torch.randn(self.features, width), dim=1)
        self.encode = nn.Linear(width, self.features)  # E, g
        self.directions = nn.Parameter(directions.clone())  # rows of Dᵀ, up to their length
        self.centre = nn.Parameter(torch.zeros(width))  # b
        with torch.no_grad():
            self.encode.weight.copy_(directions)
            self.encode.bias.zero_()
        self.register_buffer("chosen", torch.zeros(self.features))
        self.register_buffer("windows", torch.zeros(()))

    def activations(self, vectors: Float[Tensor, "B d"]) -> Float[Tensor, "B features"]:
        """a: at most k of them are above 0, the others are 0."""
        value, place = torch.relu(self.encode(vectors - self.centre)).topk(self.active, dim=-1)
        return torch.zeros(len(vectors), self.features, device=vectors.device).scatter(1, place, value)

    def reconstruct(self, activations: Float[Tensor, "B features"]) -> Float[Tensor, "B d"]:
        """x̂ = D a + b."""
        return activations @ F.normalize(self.directions, dim=1) + self.centre

    def loss(self, batch: WindowBatch, generator: torch.Generator, share: float) -> tuple[Tensor, Tensor]:
        """‖x − x̂‖², the mean over windows; ‖x‖ = 1."""
        _, context, mask = self._tensors(batch)
        vectors = self.context_vectors(context, mask)
        activations = self.activations(vectors)
        loss = (vectors - self.reconstruct(activations)).square().sum(-1).mean()
        if share >= LAST:
            self.chosen += (activations.detach() > 0).sum(0)
            self.windows += len(activations)
        return loss, loss.detach()

    @property
    def usage_(self) -> np.ndarray:
        """(features,), each from 0 to 1; 0 for a dead one."""
        self._fitted("vocabulary_")
        return (self.chosen.double() / self.windows.double()).numpy()

    @torch.no_grad()
    def transform(self, word: str, occurrences: Occurrences) -> np.ndarray:
        """a of each occurrence, (n, features).

        Raises:
            NotFittedError: before `fit`.
            KeyError: a word that never occurs in the text.
        """
        self._known(word)  # raises
        parts = [self.activations(self.context_vectors(*part)) for part in self._contexts(occurrences)]
        return torch.cat([torch.zeros(0, self.features), *parts]).double().numpy()

    def assign(self, word: str, occurrences: Occurrences, n_senses: int | None = None) -> np.ndarray:
        """The feature most above its mean in each occurrence, rare ones merged."""
        activations = self.transform(word, occurrences)
        mean = activations.sum(0) / max(1, len(activations))
        return merge_rare((activations - mean).argmax(1), activations, self.least_share)

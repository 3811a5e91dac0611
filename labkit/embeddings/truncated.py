"""Truncated dimension: k stochastic coordinates of D, in a learned basis."""

import torch
from torch import Tensor, nn

from labkit.embeddings.decoder import BasisDecoder
from labkit.embeddings.stochastic import StochasticEmbedding


class TruncatedEmbedding(StochasticEmbedding):
    """e = Q [z ; μ_w]: a flow over k of D coordinates, the other D − k fixed for each word.

    The decoder sees e alone. What the flow costs depends on k, not on D. With k = D every coordinate is stochastic and
    a place means the same for every word; with k < D words with nothing in common need not share the k dimensions.

    Arguments:
        dim: D.
        k: how many coordinates are stochastic, 1 ≤ k ≤ D.
        others: those of `StochasticEmbedding`.

    Raises:
        ValueError: for k outside 1..D.

    Example:
        >>> TruncatedEmbedding(dim=16, k=2).get_params()["k"]
        2
    """

    def __init__(
        self, dim=16, k=2, *, vector_dim=64, word_dim=32, layers=2, bins=8, hidden=(64, 64), samples=3,
        negatives=256, kl_warm_up=True, window=5, steps=1800, batch_size=320, learning_rate=0.008,
        init="spectral", seed=0, device="auto",
    ):  # fmt: skip
        super().__init__()
        self._remember(locals())

    def _check(self) -> None:
        super()._check()
        if self.k > self.dim:
            raise ValueError(f"k is {self.k!r} of dim={self.dim}; expected 1 <= k <= dim")

    @property
    def latent_dim(self) -> int:
        """k."""
        return self.k

    def _decoder(self) -> nn.Module:
        return BasisDecoder(self.k, self.dim, self.word_dim, self.vector_dim)

    @property
    def basis_(self) -> Tensor:
        """Q, (D, D), orthonormal: e = Q [z ; μ_w]."""
        self._fitted()
        return self.decode.basis.detach()

    @torch.no_grad()
    def mean(self, word: str) -> Tensor:
        """μ_w, (D − k,): the deterministic rest."""
        self._fitted()
        if self.decode.mean is None:
            return self.word_vector(word)[:0]
        return self.decode.mean(self.word_vector(word))

"""q(z∣w,c): the amortised proposal."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.distributions import Independent, Normal

from labkit.networks.mlp import ContextMLP

LOG_SCALE_RANGE = 3.0  # log standard deviations stay within ± this of their start, smoothly
FIRST_LOG_SCALE = -1.0


class ContextEncoder(nn.Module):
    """q(z∣w,c) = N(m, diag s²), with m and log s from the mean of the context's vectors and the word's vector.

    It makes the bound tight, and is no part of the model: p(z∣w) and p(c∣z,w) do not know it.
    """

    def __init__(self, n_words: int, dim: int, word_dim: int, width: int, hidden: Sequence[int] = (128,)):
        super().__init__()
        self.vectors = nn.Embedding(n_words, width, sparse=True)
        nn.init.normal_(self.vectors.weight, std=0.3)
        self.network = ContextMLP(width, word_dim, tuple(hidden), 2 * dim)

    def forward(
        self, context: Int[Tensor, "B M"], mask: Bool[Tensor, "B M"], word: Float[Tensor, "B E"]
    ) -> Independent:
        """The proposals of B windows, batch shape (B,), event shape (k,)."""
        lengths = mask.sum(-1)
        average = F.embedding_bag(
            context[mask], self.vectors.weight, lengths.cumsum(0) - lengths, mode="mean", sparse=True
        )
        mean, log_scale = self.network(average, word).chunk(2, -1)
        log_scale = LOG_SCALE_RANGE * torch.tanh(log_scale / LOG_SCALE_RANGE) + FIRST_LOG_SCALE
        return Independent(Normal(mean, log_scale.exp(), validate_args=False), 1, validate_args=False)

"""Negatives: words drawn more often than chance would have rare ones."""

import torch
from jaxtyping import Int
from torch import Generator, Tensor, nn

from labkit.text import Vocabulary


class Noise(nn.Module):
    """Words drawn with probability ∝ count^¾, as word2vec has them.

    References:
        Mikolov, Sutskever, Chen, Corrado & Dean, Distributed representations of words and phrases and their
        compositionality (2013), sec. 2.2.

    Example:
        >>> noise = Noise(Vocabulary(["the", "bank"], [16, 1]))
        >>> noise.like(torch.zeros(2, 3, dtype=torch.int64), torch.Generator().manual_seed(0)).shape
        torch.Size([2, 3])
    """

    def __init__(self, vocabulary: Vocabulary):
        super().__init__()
        weights = torch.as_tensor(vocabulary.counts, dtype=torch.float64) ** 0.75
        self.register_buffer("cdf", weights.cumsum(0) / weights.sum(), persistent=False)

    def like(self, words: Int[Tensor, "*shape"], generator: Generator) -> Int[Tensor, "*shape"]:
        """As many words as these."""
        u = torch.rand(words.shape, generator=generator, device=words.device, dtype=torch.float64)
        return torch.searchsorted(self.cdf, u).clamp_max(len(self.cdf) - 1)

"""Words as mixtures of K Gaussians."""

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from labkit.embeddings.latent import LatentEmbedding
from labkit.networks.mlp import ContextMLP


class MixturePrior(nn.Module):
    """p(z∣w) = Σ_k π_k N(m_k, diag s_k²), with π, m and log s from the word's vector."""

    def __init__(self, dim: int, word_dim: int, components: int, hidden):
        super().__init__()
        self.dim, self.components = dim, components
        self.network = ContextMLP(0, word_dim, hidden, components * (2 * dim + 1), zero_init=True)
        self.start = nn.Parameter(torch.randn(components, dim))

    def forward(self, word: Tensor) -> MixtureSameFamily:
        """The mixtures of words (..., E): batch shape (...), event shape (k,)."""
        numbers = self.network(None, word).unflatten(-1, (self.components, -1))
        mean, log_scale, logit = numbers.split([self.dim, self.dim, 1], -1)
        parts = Independent(Normal(mean + self.start, log_scale.exp(), validate_args=False), 1, False)
        return MixtureSameFamily(Categorical(logits=logit.squeeze(-1)), parts, validate_args=False)


class MixtureEmbedding(LatentEmbedding):
    """K Gaussians a word: several regions, each an ellipse, their number fixed beforehand.

    Arguments are those of `StochasticEmbedding`, and `components` (K).

    References:
        Athiwaratkul & Wilson, Multimodal word distributions (2017), for mixtures of Gaussians as words; here they
        are the prior of the same latent-variable model as the others, so that they can be compared.

    Example:
        >>> MixtureEmbedding(components=4).get_params()["components"]
        4
    """

    def __init__(
        self, dim=2, *, components=4, vector_dim=64, word_dim=32, hidden=(128, 128), decoder="nonlinear",
        samples=3, negatives=256, kl_warm_up=True, window=5, steps=1800, batch_size=320, learning_rate=0.008,
        init="spectral", seed=0, device="auto",
    ):  # fmt: skip
        super().__init__()
        self._remember(locals())

    def _prior(self) -> nn.Module:
        return MixturePrior(self.dim, self.word_dim, self.components, self.hidden)

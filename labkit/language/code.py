"""The token encoder of TarFlowLM: one Gaussian for each token, and Bayes' rule back."""

import math

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor, nn

from labkit.dequantise.base import Dequantiser
from labkit.flows.mixture import HALF_LOG_2PI
from labkit.flows.rosenblatt import gaussian_log_densities

WIDEST_RATIO = 2.0  # |log s_j − log σ|


class GaussianCode(Dequantiser):
    """q(z∣x = j) = N(μ_j, s_j² I) and p(j∣z) = N_j(z)/Σ_i N_i(z), both from one codebook (arXiv 2507.00425).

    s_j = σ exp(r_j), where r_j is learned (|r_j| < 2) and σ follows a schedule: wide at first, when tokens overlap and
    the density is easy to learn, and narrow in the end, when reading back is all but certain. With σ falling
    from σ₀ to σ₁ geometrically over the first `annealed` share of the training,

        σ(t) = σ₀^(1−a) σ₁^a,     a = min(1, t/annealed)

    Arguments:
        vocabulary_size, dim: V and d.
        sigma: (σ₀, σ₁), or one number for both.
        annealed: share of the training after which σ stays.
        spread: standard deviation of the μ_j at the start.

    Raises:
        ValueError: for widths that are not positive.

    Example:
        >>> code = GaussianCode(vocabulary_size=5, dim=2, sigma=0.1)
        >>> z, log_q = code.encode(torch.tensor([[0, 4, 4]]))
        >>> z.shape, log_q.shape
        (torch.Size([1, 3, 2]), torch.Size([1]))
    """

    def __init__(
        self,
        vocabulary_size: int,
        dim: int,
        sigma: tuple[float, float] | float = (0.5, 0.15),
        annealed: float = 0.5,
        spread: float = 1.0,
    ):
        super().__init__(vocabulary_size, dim)
        start, end = sigma if isinstance(sigma, tuple) else (sigma, sigma)
        if not (start > 0 and end > 0 and annealed > 0):
            raise ValueError(f"expected sigma > 0 and annealed > 0; got sigma={sigma} and annealed={annealed}")
        self.sigma, self.annealed = (start, end), annealed
        self.loc = nn.Parameter(spread * torch.randn(vocabulary_size, dim))
        self.raw_ratio = nn.Parameter(torch.zeros(vocabulary_size, 1))
        self.register_buffer("log_sigma", torch.tensor(math.log(start)))

    def anneal(self, share: float) -> None:
        """Put σ where it belongs after this share of the training."""
        done = min(1.0, share / self.annealed)
        start, end = self.sigma
        self.log_sigma.fill_((1 - done) * math.log(start) + done * math.log(end))

    @property
    def log_scale(self) -> Float[Tensor, "V d"]:
        """log s_j, the same in every dimension."""
        ratio = WIDEST_RATIO * (self.raw_ratio / WIDEST_RATIO).tanh()
        return (self.log_sigma + ratio).expand(-1, self.dim)

    def encode(
        self, tokens: Int[Tensor, "*batch n"], generator: Generator | None = None
    ) -> tuple[Float[Tensor, "*batch n d"], Float[Tensor, "*batch"]]:
        self.check_tokens(tokens)
        loc, log_scale = self.loc[tokens], self.log_scale[tokens]
        noise = torch.empty_like(loc).normal_(generator=generator)
        log_q = (-0.5 * noise.square() - log_scale - HALF_LOG_2PI).sum((-1, -2))
        return loc + log_scale.exp() * noise, log_q

    def decode_log_prob(self, z: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch n V"]:
        """log p(j∣z) of every token at every position (nats)."""
        self.check_points(z)
        return gaussian_log_densities(z, self.loc, self.log_scale).movedim(0, -1).log_softmax(-1)

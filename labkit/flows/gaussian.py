"""Gaussian densities with location and scale, one or a mixture of them, drawn from with an explicit generator."""

import math

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from labkit.flows.base import Seeded


class DiagonalNormal(Seeded, Independent):
    """N(loc, diag scale²) over (d,), with draws from an explicit generator.

    torch's own distributions draw from the global generator only; a draw that can be repeated needs its own.

    Example:
        >>> normal = DiagonalNormal(torch.zeros(2), torch.ones(2))
        >>> normal.sample((3,), generator=torch.Generator().manual_seed(0)).shape
        torch.Size([3, 2])
    """

    def __init__(self, loc: Float[Tensor, "*batch d"], scale: Float[Tensor, "*batch d"], validate_args=None):
        super().__init__(Normal(loc, scale, validate_args), 1, validate_args)

    def log_prob(self, value: Float[Tensor, "*points d"]) -> Float[Tensor, "*draws"]:
        """−½ Σ_i ((x_i − loc_i) / scale_i)² − Σ_i log scale_i − (d/2) log 2π, nats; for an empty batch too."""
        loc, scale = self.base_dist.loc, self.base_dist.scale
        squares = ((value - loc) / scale).square().sum(-1)
        return -0.5 * (squares + loc.shape[-1] * math.log(2 * math.pi)) - scale.log().sum(-1)

    def rsample(self, sample_shape=(), *, generator: Generator | None = None) -> Float[Tensor, "*draws d"]:
        """Draws of shape sample_shape + batch_shape + (d,), differentiable in loc and scale."""
        loc, scale = self.base_dist.loc, self.base_dist.scale
        shape = (*sample_shape, *loc.shape)
        noise = torch.randn(shape, generator=generator, dtype=loc.dtype, device=loc.device)
        return loc + scale * noise

    def expand(self, batch_shape, _instance=None):
        """The same density with another batch shape."""
        shape = (*batch_shape, *self.event_shape)
        return DiagonalNormal(self.base_dist.loc.expand(shape), self.base_dist.scale.expand(shape), False)


class GaussianMixture(Seeded, MixtureSameFamily):
    """Σ_j π_j N(loc_j, diag scale_j²) over (d,), π = softmax(logits), j = 1 … K.

    `log_prob` is differentiable in everything. A draw is not a smooth function of the component it comes from:
    `rsample` passes gradients to loc and scale of that component and **none to the logits**, so that an expectation
    over draws has a biased gradient for K > 1. Fit weights through `log_prob`.

    Arguments:
        logits: (*batch, K).
        loc, scale: (*batch, K, d).

    Example:
        >>> two = GaussianMixture(torch.zeros(2), torch.tensor([[-1.0], [1.0]]), torch.ones(2, 1))
        >>> two.log_prob(torch.zeros(1))  # −½ − log √(2π) nats
        tensor(-1.4189)
    """

    def __init__(
        self, logits: Float[Tensor, "*batch K"], loc: Float[Tensor, "*batch K d"], scale: Float[Tensor, "*batch K d"]
    ):
        self.logits, self.loc, self.scale = logits, loc, scale
        components = DiagonalNormal(loc, scale, validate_args=False)
        super().__init__(Categorical(logits=logits, validate_args=False), components, validate_args=False)

    def rsample(self, sample_shape=(), *, generator: Generator | None = None) -> Float[Tensor, "*draws d"]:
        """Draws of shape sample_shape + batch_shape + (d,), differentiable as said above."""
        shape = (*sample_shape, *self.loc.shape)  # (…, K, d)
        # The first of K alarm clocks with rates π_j to ring is clock j with probability π_j.
        alarms = torch.empty(shape[:-1], dtype=self.loc.dtype, device=self.loc.device)
        drawn = (alarms.exponential_(generator=generator).log() - self.logits).argmin(-1)
        index = drawn[..., None, None].expand(*drawn.shape, 1, shape[-1])
        loc, scale = (p.expand(shape).gather(-2, index).squeeze(-2) for p in (self.loc, self.scale))
        return loc + scale * torch.randn(loc.shape, generator=generator, dtype=loc.dtype, device=loc.device)

    def expand(self, batch_shape, _instance=None):
        """The same density with another batch shape."""
        wide = (*batch_shape, *self.loc.shape[-2:])
        return GaussianMixture(self.logits.expand(wide[:-1]), self.loc.expand(wide), self.scale.expand(wide))


class GaussianMixtureBase(nn.Module):
    """A learned mixture of K diagonal normals over (d,): a base that has several modes before any transform acts.

    Fresh, K = 1 is the standard normal; K > 1 has means drawn from it (equal means would never part), unit
    scales and equal weights. See `GaussianMixture` for which gradients pass through draws.

    Arguments:
        features, components: d and K.
        generator: for the first means.

    Example:
        >>> base = GaussianMixtureBase(2, components=3, generator=torch.Generator().manual_seed(0))
        >>> base().sample((5,)).shape
        torch.Size([5, 2])
    """

    def __init__(self, features: int, components: int, *, generator: Generator | None = None):
        super().__init__()
        if features < 1 or components < 1:
            raise ValueError(f"expected features >= 1 and components >= 1; got {features} and {components}")
        self.features = features
        self.logits = nn.Parameter(torch.zeros(components))
        self.loc = nn.Parameter((components > 1) * torch.randn(components, features, generator=generator))
        self.log_scale = nn.Parameter(torch.zeros(components, features))

    def forward(self) -> GaussianMixture:
        return GaussianMixture(self.logits, self.loc, self.log_scale.exp())

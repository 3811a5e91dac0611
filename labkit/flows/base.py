"""Base densities: modules that make a torch Distribution on their own device and in their own precision."""

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn
from torch.distributions import Independent, Normal


class DiagonalNormal(Independent):
    """N(loc, diag scale²) over (d,), with draws from an explicit generator.

    torch's own distributions draw from the global generator only; a draw that can be repeated needs its own.

    Example:
        >>> normal = DiagonalNormal(torch.zeros(2), torch.ones(2))
        >>> normal.sample((3,), generator=torch.Generator().manual_seed(0)).shape
        torch.Size([3, 2])
    """

    def __init__(self, loc: Float[Tensor, "*batch d"], scale: Float[Tensor, "*batch d"], validate_args=None):
        super().__init__(Normal(loc, scale, validate_args), 1, validate_args)

    def rsample(self, sample_shape=(), *, generator: Generator | None = None) -> Float[Tensor, "*draws d"]:
        """Draws of shape sample_shape + batch_shape + (d,), differentiable in loc and scale."""
        loc, scale = self.base_dist.loc, self.base_dist.scale
        shape = (*sample_shape, *loc.shape)
        noise = torch.randn(shape, generator=generator, dtype=loc.dtype, device=loc.device)
        return loc + scale * noise

    @torch.no_grad()
    def sample(self, sample_shape=(), *, generator: Generator | None = None) -> Float[Tensor, "*draws d"]:
        """`rsample` without gradients."""
        return self.rsample(sample_shape, generator=generator)

    def expand(self, batch_shape, _instance=None):
        """The same density with another batch shape."""
        shape = (*batch_shape, *self.event_shape)
        return DiagonalNormal(self.base_dist.loc.expand(shape), self.base_dist.scale.expand(shape), False)


class StandardNormal(nn.Module):
    """N(0, I_d). Calling it gives the Distribution; device and precision follow the module.

    Any module with `features` whose call returns a torch Distribution over (d,), and whose `rsample` takes a
    `generator`, can stand in its place.

    Example:
        >>> base = StandardNormal(2).double()
        >>> base().log_prob(torch.zeros(2, dtype=torch.float64))  # −log 2π nats
        tensor(-1.8379, dtype=torch.float64)
    """

    def __init__(self, features: int):
        super().__init__()
        if features < 1:
            raise ValueError(f"expected features >= 1; got {features}")
        self.features = features
        # Not persistent: a checkpoint of a flow holds what was learned.
        self.register_buffer("loc", torch.zeros(features), persistent=False)
        self.register_buffer("scale", torch.ones(features), persistent=False)

    def forward(self) -> DiagonalNormal:
        return DiagonalNormal(self.loc, self.scale, validate_args=False)

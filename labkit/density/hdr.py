"""Highest-density regions: the smallest regions that hold a given share of the probability."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.distributions import Distribution

from labkit.density.grid import dimension, draw, log_prob_on


def hdr_levels(
    density: Distribution,
    probs: Sequence[float] = (0.5, 0.8, 0.95, 0.99),
    n_samples: int = 20_000,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "probs"]:
    """The log-density (nats) above which a share `probs` of the probability lies, (len(probs),).

    The region {z : log p(z) >= level} holds probability prob exactly when level is the (1 - prob)
    quantile of log p(Z), Z ~ p. That is a statement about the density's own samples alone, so it needs
    no grid and holds in any dimension; its error is that of a sample quantile: the region's true share
    has standard error sqrt(prob (1 - prob) / n_samples).

    References:
        Hyndman, Computing and Graphing Highest Density Regions (1996): the density quantile.

    Example:
        >>> from torch.distributions import MultivariateNormal
        >>> levels = hdr_levels(MultivariateNormal(torch.zeros(2), torch.eye(2)), probs=(0.5,))
        >>> bool((levels - torch.tensor(0.5).div(2 * torch.pi).log()).abs() < 0.05)  # p = 0.5 / 2π
        True
    """
    dimension(density)
    for prob in probs:
        if not 0 < prob < 1:
            raise ValueError(f"A highest-density region holds a share strictly between 0 and 1; got {prob}.")
    log_prob = log_prob_on(density, draw(density, n_samples, generator))
    return torch.quantile(log_prob, 1 - torch.tensor(probs, dtype=log_prob.dtype, device=log_prob.device))


def hdr_contains(
    density: Distribution,
    points: Float[Tensor, "n k"],
    prob: float,
    n_samples: int = 20_000,
    generator: torch.Generator | None = None,
) -> Bool[Tensor, "n"]:
    """Whether points (N, k) lie in the highest-density region of probability `prob`, (N,) bool.

    Example:
        >>> from torch.distributions import MultivariateNormal
        >>> normal = MultivariateNormal(torch.zeros(2), torch.eye(2))
        >>> hdr_contains(normal, torch.tensor([[0.0, 0.0], [3.0, 3.0]]), 0.95).tolist()
        [True, False]
    """
    level = hdr_levels(density, (prob,), n_samples, generator)
    return log_prob_on(density, points) >= level

"""Differential entropy: how spread out a word's density is, in nats."""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution

from labkit.density.grid import MAX_GRID_DIM, Grid, dimension, draw, log_prob_on, log_prob_on_grid


class Estimate(NamedTuple):
    """A number and its Monte Carlo standard error (0 where it was computed by quadrature)."""

    value: float
    standard_error: float

    @classmethod
    def mean_of(cls, values: Tensor) -> "Estimate":
        """The mean of independent values (N,), with s / sqrt(N)."""
        return cls(values.mean().item(), values.std().item() / math.sqrt(len(values)))


def entropy(
    density: Distribution, n_samples: int = 20_000, generator: torch.Generator | None = None
) -> Estimate:
    """Differential entropy H(p) = -∫ p(z) log p(z) dz, in nats.

    For k <= 2 by the midpoint rule on a grid over the density's own samples; above, and wherever that
    grid does not hold the whole mass (heavy tails, spikes thinner than a cell), by the Monte Carlo mean
    of -log p over `n_samples` samples. Divide by log 2 for bits. It can be negative, and it changes with
    the unit of z: compare it only between densities over the same coordinates.

    References:
        Cover & Thomas, Elements of Information Theory (2006), eq. 8.1.

    Example:
        >>> from torch.distributions import MultivariateNormal
        >>> round(entropy(MultivariateNormal(torch.zeros(2), torch.eye(2))).value, 3)  # 1 + log 2π
        2.838
    """
    k = dimension(density)
    samples = draw(density, n_samples, generator)
    if k <= MAX_GRID_DIM:
        grid = Grid.covering(samples, resolution=2001 if k == 1 else 201)
        log_prob = log_prob_on_grid(density, grid).double()
        mass = log_prob.exp()
        if abs(grid.integrate(mass).item() - 1) < 1e-3:
            return Estimate(-grid.integrate(torch.xlogy(mass, mass)).item(), 0.0)
    return Estimate.mean_of(-log_prob_on(density, samples).double())

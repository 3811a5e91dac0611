"""How much two densities have in common: overlap, Bhattacharyya coefficient, Kullback-Leibler divergence."""

import math

import torch
from torch import Tensor
from torch.distributions import Distribution

from labkit.density.entropy import Estimate
from labkit.density.grid import dimension, draw, log_prob_on, seeded


def overlap(
    p: Distribution, q: Distribution, n_samples: int = 10_000, generator: torch.Generator | None = None
) -> Estimate:
    """Overlap coefficient ∫ min(p(z), q(z)) dz, in [0, 1]: 1 minus the total variation distance.

    Estimated under the balanced mixture m = (p + q) / 2, where the integrand
    min(p, q) / m = 2 sigmoid(-|log p - log q|) is bounded, so that the error stays small however
    different p and q are. `n_samples` are drawn from each of the two.

    References:
        Owen & Zhou, Safe and Effective Importance Sampling (2000): sampling from the mixture.

    Example:
        >>> from torch.distributions import MultivariateNormal
        >>> p = MultivariateNormal(torch.tensor([0.0]), torch.eye(1))
        >>> q = MultivariateNormal(torch.tensor([2.0]), torch.eye(1))
        >>> round(overlap(p, q).value, 1)  # 2 Φ(-1) = 0.317
        0.3
    """
    first, second = _log_ratios(p, q, n_samples, generator)
    return _balanced(*(2 * torch.sigmoid(-ratio.abs()) for ratio in (first, second)))


def bhattacharyya(
    p: Distribution, q: Distribution, n_samples: int = 10_000, generator: torch.Generator | None = None
) -> Estimate:
    """Bhattacharyya coefficient ∫ sqrt(p(z) q(z)) dz, in [0, 1]; its -log is a distance in nats.

    Under the balanced mixture the integrand is 1 / cosh((log p - log q) / 2), again bounded by 1.

    References:
        Kailath, The Divergence and Bhattacharyya Distance Measures in Signal Selection (1967).

    Example:
        >>> from torch.distributions import MultivariateNormal
        >>> p = MultivariateNormal(torch.tensor([0.0]), torch.eye(1))
        >>> q = MultivariateNormal(torch.tensor([2.0]), torch.eye(1))
        >>> round(bhattacharyya(p, q).value, 2)  # exp(-2² / 8) = 0.607
        0.61
    """
    first, second = _log_ratios(p, q, n_samples, generator)
    # 1 / cosh(x) = 2 exp(-|x|) / (1 + exp(-2 |x|)), which cannot overflow
    return _balanced(*(2 * (-r.abs() / 2).exp() / (1 + (-r.abs()).exp()) for r in (first, second)))


def kl_divergence(
    p: Distribution, q: Distribution, n_samples: int = 10_000, generator: torch.Generator | None = None
) -> Estimate:
    """Kullback-Leibler divergence KL(p ‖ q) = E_p[log p - log q], nats, by Monte Carlo over p.

    Infinite as soon as one sample of p lies where q is zero. The standard error is honest only while q
    covers p: where q is far too small, the rare samples that decide the mean may be missing.

    Example:
        >>> from torch.distributions import MultivariateNormal
        >>> p = MultivariateNormal(torch.tensor([0.0]), torch.eye(1))
        >>> q = MultivariateNormal(torch.tensor([1.0]), torch.eye(1))
        >>> round(kl_divergence(p, q, n_samples=50_000).value, 1)  # 1² / 2
        0.5
    """
    _same_space(p, q)
    return Estimate.mean_of(_log_ratio(p, q, draw(p, n_samples, generator)))


def _same_space(p: Distribution, q: Distribution) -> None:
    if dimension(p) != dimension(q):
        raise ValueError(
            f"Two densities can be compared only over the same coordinates; got k = {dimension(p)} "
            f"and k = {dimension(q)}."
        )


def _log_ratio(p: Distribution, q: Distribution, points: Tensor) -> Tensor:
    return log_prob_on(p, points).double() - log_prob_on(q, points).double()


def _log_ratios(p: Distribution, q: Distribution, n: int, generator) -> tuple[Tensor, Tensor]:
    """log p - log q at n samples of p and at n samples of q."""
    _same_space(p, q)
    generator = seeded(generator)  # one stream for both: two equal densities must not get equal samples
    return tuple(_log_ratio(p, q, draw(density, n, generator)) for density in (p, q))


def _balanced(from_p: Tensor, from_q: Tensor) -> Estimate:
    """The mean under (p + q) / 2 from equally many values under each, and its stratified error."""
    value = (from_p.mean() + from_q.mean()) / 2
    error = math.sqrt((from_p.var().item() + from_q.var().item()) / len(from_p)) / 2
    return Estimate(value.item(), error)

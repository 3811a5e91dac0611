"""A flow fitted to points by exact maximum likelihood."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution

from labkit.flows import neural_spline_flow

MOST_POINTS = 2000  # of more points so many are drawn
WIDTH, AT = 0.25, 500  # of the noise, in standard deviations of the points, at so many of them


def fit_flow(
    points: Float[Tensor, "n k"], layers: int = 2, bins: int = 8, hidden: Sequence[int] = (32, 32),
    steps: int = 200, seed: int = 0, learning_rate: float = 0.02,
) -> Distribution:  # fmt: skip
    """A spline flow trained to the highest mean log p(z + hε) of the points, ε ~ N(0, I) drawn anew at each step.

    Whole-batch Adam on standardised points, its rate falling to 0 along a cosine. The noise keeps the flow from
    making a mode of every few points that happen to lie close: without it the number of modes changes from seed to
    seed. So this is maximum likelihood of noisy points, not of the points themselves:
    the flow tends to the points' kernel density of width h = ¼ (n/500)^(−1/(k+4)) standard deviations,
    wider than they are. Along an axis where all points are alike h is in the units of z.

    Arguments:
        points: z, float32 or float64.
        layers, bins, hidden: of `neural_spline_flow`.

    Returns:
        A Distribution with event_shape (k,), without gradients for the weights.

    Raises:
        ValueError: fewer than 10 points, or points that are not finite.

    References:
        Rothfuss et al., Noise regularization for conditional density estimation (2019), arXiv 1907.08982.

    Example:
        >>> flow = fit_flow(torch.randn(500, 1, generator=torch.Generator().manual_seed(0)), steps=50)
        >>> bool(abs(flow.log_prob(torch.zeros(1)) + 0.95) < 0.2)  # −½ log 2π nats, and a little for the noise
        True
    """
    if points.ndim != 2 or len(points) < 10 or not points.isfinite().all():
        raise ValueError(f"expected at least 10 finite points of shape (n, k); got shape {tuple(points.shape)}")
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(points), generator=generator)[:MOST_POINTS]
    shift, deviation = points.mean(0), points.std(0)
    scale = torch.where(deviation > 1e-6, deviation, torch.ones_like(deviation))
    standard, k = (points[order] - shift) / scale, points.shape[1]
    width = WIDTH * (len(points) / AT) ** (-1 / (k + 4))
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(seed)
        flow = neural_spline_flow(k, layers=layers, bins=bins, hidden=hidden).to(points)
    optimiser = torch.optim.Adam(flow.parameters(), learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        noisy = standard + width * torch.randn(standard.shape, generator=generator, dtype=points.dtype)
        optimiser.zero_grad(set_to_none=True)
        (-flow().log_prob(noisy).mean()).backward()
        optimiser.step()
        schedule.step()
    return Rescaled(flow.requires_grad_(False)(), shift, scale)


class Rescaled(Distribution):
    """The density of shift + scale · u, u drawn from another: log p(z) = log p_u((z − shift)/scale) − Σ log scale."""

    arg_constraints = {}
    support = torch.distributions.constraints.real_vector
    has_rsample = True

    def __init__(self, base: Distribution, shift: Tensor, scale: Tensor):
        self.base, self.shift, self.scale = base, shift, scale
        super().__init__(torch.Size(), shift.shape, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """Nats: (..., k) -> (...)."""
        return self.base.log_prob((value - self.shift) / self.scale) - self.scale.log().sum()

    def rsample(self, sample_shape=()) -> Tensor:
        """(*sample_shape, k)."""
        return self.shift + self.scale * self.base.rsample(sample_shape)

"""Base densities: modules that make a torch Distribution on their own device and in their own precision."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn
from torch.distributions import Distribution, Independent, Uniform, constraints
from torch.nn.functional import logsigmoid

Bounds = float | Sequence[float] | Float[Tensor, "..."]


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

    def forward(self) -> "UnitNormal":
        return UnitNormal(self.loc)


class Seeded(Distribution):
    """A Distribution whose `rsample` takes a generator, and hence its `sample`."""

    has_rsample = True

    @torch.no_grad()
    def sample(self, sample_shape=(), *, generator: Generator | None = None) -> Float[Tensor, "*draws"]:
        """`rsample` without gradients."""
        return self.rsample(sample_shape, generator=generator)

    def _uniform(self, sample_shape, like: Tensor, generator: Generator | None) -> Tensor:
        """U(0, 1) of the draws' shape. `rand` is a grid that contains 0, where icdf may be −∞: half a cell, then."""
        shape = self._extended_shape(torch.Size(sample_shape))
        u = torch.rand(shape, generator=generator, dtype=like.dtype, device=like.device)
        return u.clamp(min=torch.finfo(u.dtype).eps / 4)


class UnitNormal(Seeded):
    """N(0, I_d), of the device and precision of `like` (d,): in three operations, since every flow passes here.

    Example:
        >>> UnitNormal(torch.zeros(2)).log_prob(torch.tensor([3.0, 4.0]))  # −25/2 − log 2π nats
        tensor(-14.3379)
    """

    support = constraints.real_vector
    arg_constraints = {}

    def __init__(self, like: Float[Tensor, "d"], batch_shape: Sequence[int] = ()):
        self.like = like
        super().__init__(torch.Size(batch_shape), like.shape, validate_args=False)

    def log_prob(self, value: Float[Tensor, "*points d"]) -> Float[Tensor, "*draws"]:
        """−½ Σ_i x_i² − (d/2) log 2π, nats."""
        if value.ndim == 0 or value.shape[-1] != len(self.like):
            raise ValueError(f"expected points of shape (..., {len(self.like)}); got shape {tuple(value.shape)}")
        return value.square().sum(-1).mul(-0.5).sub(0.5 * len(self.like) * math.log(2 * math.pi))

    def rsample(self, sample_shape=(), *, generator: Generator | None = None) -> Float[Tensor, "*draws d"]:
        """Draws of shape sample_shape + batch_shape + (d,)."""
        shape = self._extended_shape(torch.Size(sample_shape))
        return torch.randn(shape, generator=generator, dtype=self.like.dtype, device=self.like.device)

    def expand(self, batch_shape, _instance=None):
        """The same density with another batch shape."""
        return UnitNormal(self.like, batch_shape)


class IndependentFeatures(Seeded, Independent):
    """d independent coordinates as one event: a `base` whose last batch axis becomes the event axis.

    Arguments:
        base: a Distribution of batch shape (*batch, d) over numbers, whose `rsample` takes `generator`.
    """

    has_rsample = True

    def __init__(self, base: Distribution):
        super().__init__(base, 1, validate_args=False)

    def log_prob(self, value: Float[Tensor, "*points d"]) -> Float[Tensor, "*draws"]:
        """Σ_i log p_i(x_i) in nats; torch's own sum fails for an empty batch."""
        return self.base_dist.log_prob(value).sum(-1)

    def rsample(self, sample_shape=(), *, generator: Generator | None = None) -> Float[Tensor, "*draws d"]:
        """Draws of shape sample_shape + batch_shape + (d,), with the gradients that base gives."""
        return self.base_dist.rsample(sample_shape, generator=generator)

    def expand(self, batch_shape, _instance=None):
        """The same density with another batch shape."""
        return IndependentFeatures(self.base_dist.expand((*batch_shape, *self.event_shape)))


class Logistic(Seeded):
    """The logistic density over numbers: log p(x) = log σ(x̃) + log σ(−x̃) − log scale, x̃ = (x − loc)/scale (nats)."""

    support = constraints.real
    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}

    def __init__(self, loc: Float[Tensor, "*batch"], scale: Float[Tensor, "*batch"]):
        self.loc, self.scale = loc, scale
        super().__init__(loc.shape, validate_args=False)

    def log_prob(self, value: Float[Tensor, "*points"]) -> Float[Tensor, "*draws"]:
        x = (value - self.loc) / self.scale
        return logsigmoid(x) + logsigmoid(-x) - self.scale.log()

    def cdf(self, value: Float[Tensor, "*points"]) -> Float[Tensor, "*draws"]:
        return torch.sigmoid((value - self.loc) / self.scale)

    def rsample(self, sample_shape=(), *, generator: Generator | None = None) -> Float[Tensor, "*draws"]:
        u = self._uniform(sample_shape, self.loc, generator)
        return self.loc + self.scale * (u.log() - torch.log1p(-u))

    def expand(self, batch_shape, _instance=None):
        return Logistic(self.loc.expand(batch_shape), self.scale.expand(batch_shape))


class Box(Seeded, Uniform):
    """The uniform density on [low, high), over numbers: −log(high − low) nats inside, −∞ outside.

    Example:
        >>> Box(0.0, 2.0, validate_args=False).log_prob(torch.tensor([1.0, 2.0]))
        tensor([-0.6931,    -inf])
    """

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> constraints.Constraint:
        return constraints.half_open_interval(self.low, self.high)

    def log_prob(self, value: Float[Tensor, "*points"]) -> Float[Tensor, "*draws"]:
        outside = (value < self.low) | (value >= self.high)
        # 0 · value, of points inside only: a gradient of 0 that exists, and a NaN that stays one.
        inside = 0 * torch.where(outside, 0.0, value) - (self.high - self.low).log()
        return torch.where(outside, -torch.inf, inside)

    def rsample(self, sample_shape=(), *, generator: Generator | None = None) -> Float[Tensor, "*draws"]:
        x = self.low + (self.high - self.low) * self._uniform(sample_shape, self.low, generator)
        return torch.minimum(x, torch.nextafter(self.high, self.low))  # the sum may round up to high


class StandardLogistic(nn.Module):
    """d independent standard logistics: tails of e^{−|u|}, heavier than the normal's.

    Example:
        >>> StandardLogistic(2)().log_prob(torch.zeros(2))  # −2 log 4 nats
        tensor(-2.7726)
    """

    def __init__(self, features: int):
        super().__init__()
        if features < 1:
            raise ValueError(f"expected features >= 1; got {features}")
        self.features = features
        self.register_buffer("loc", torch.zeros(features), persistent=False)
        self.register_buffer("scale", torch.ones(features), persistent=False)

    def forward(self) -> IndependentFeatures:
        return IndependentFeatures(Logistic(self.loc, self.scale))


class UniformBox(nn.Module):
    """The uniform density on [low_1, high_1) × … × [low_d, high_d); [−π, π) for the base of a circular flow.

    Arguments:
        low, high: d finite bounds each. Lists are rounded to the default precision; for bounds exact in float64
            give tensors of float64.

    Raises:
        ValueError: for no bounds, unequal numbers of them, bounds that are not finite, or low >= high.

    Example:
        >>> torus = UniformBox([-torch.pi] * 2, [torch.pi] * 2)
        >>> torus().log_prob(torch.zeros(2))  # −2 log 2π nats
        tensor(-3.6758)
    """

    def __init__(self, low: Bounds, high: Bounds):
        super().__init__()
        self.features = len(low)
        low, high = feature_bounds(self.features, low, high)
        if not torch.isfinite(high - low).all():
            raise ValueError(f"expected finite bounds; got low={low.tolist()} and high={high.tolist()}")
        self.register_buffer("low", low, persistent=False)
        self.register_buffer("high", high, persistent=False)

    def forward(self) -> IndependentFeatures:
        return IndependentFeatures(Box(self.low, self.high, validate_args=False))


def refuse_nan(what: str, x: Tensor) -> None:
    """ValueError if x holds a NaN: one look, for which a GPU has to be waited for."""
    missing = x.isnan()
    if missing.any():
        raise ValueError(
            f"expected {what} of {x.shape[-1]} numbers; got {int(missing.sum())} NaN among {x.numel()}. "
            "Look for a division by zero or a missing value where it comes from"
        )


def feature_bounds(features: int, low: Bounds, high: Bounds) -> tuple[Float[Tensor, "d"], Float[Tensor, "d"]]:
    """Bounds (d,) from one number for all features or one for each; tensors keep their precision.

    Raises:
        ValueError: for features < 1, another number of bounds than features, or low >= high.
    """
    if features < 1:
        raise ValueError(f"expected features >= 1; got {features}")
    bounds = [b if isinstance(b, Tensor) else torch.tensor(b, dtype=torch.get_default_dtype()) for b in (low, high)]
    if any(bound.shape not in ((), (features,)) for bound in bounds):
        shapes = [tuple(bound.shape) for bound in bounds]
        raise ValueError(f"expected one bound, or {features}, on each side; got shapes {shapes[0]} and {shapes[1]}")
    low, high = (bound.expand(features).clone() for bound in bounds)
    if not (low < high).all():
        raise ValueError(f"expected low < high for every feature; got low={low.tolist()} and high={high.tolist()}")
    return low, high

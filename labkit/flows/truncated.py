"""Truncated support: the normal and the logistic density restricted to an interval, exact however far out it lies."""

from abc import abstractmethod
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor, nn
from torch.autograd import Function
from torch.distributions import Distribution, Independent, constraints
from torch.distributions.utils import broadcast_all
from torch.nn.functional import logsigmoid

from labkit import numerics
from labkit.flows.base import Bounds, IndependentFeatures, Seeded, feature_bounds

Number = float | Float[Tensor, "..."]


class _Truncated(Seeded):
    """f((x − loc)/scale) / (scale Z) on [low, high), for a symmetric f with one mode.

    The interval is described from its *anchor*, the point of [low, high] nearest to loc, as `labkit.numerics`
    asks: `start` is the anchor's distance from loc, `left` and `right` how far the interval reaches from it on either
    side, all in units of scale. Offsets from the anchor keep the digits that offsets from loc would lose.
    """

    def __init__(self, loc: Number, scale: Number, low: Number, high: Number, validate_args: bool | None = None):
        self.loc, self.scale, self.low, self.high = broadcast_all(loc, scale, low, high)
        if validate_args or (validate_args is None and Distribution._validate_args):
            self._check()
        super().__init__(self.loc.shape, validate_args=validate_args)

    arg_constraints = {
        "loc": constraints.real,
        "scale": constraints.positive,
        "low": constraints.dependent(is_discrete=False, event_dim=0),
        "high": constraints.dependent(is_discrete=False, event_dim=0),
    }

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> constraints.Constraint:
        return constraints.half_open_interval(self.low, self.high)

    @abstractmethod
    def _log_peak(self, start: Tensor) -> Tensor:
        """log f(start), nats."""

    @abstractmethod
    def _log_density(self, start: Tensor, t: Tensor) -> Tensor: ...

    @abstractmethod
    def _mass(self, start: Tensor, width: Tensor) -> Tensor: ...

    @abstractmethod
    def _icdf(self, start: Tensor, width: Tensor, u: Tensor, complement: Tensor) -> Tensor: ...

    @property
    def log_normaliser(self) -> Float[Tensor, "*batch"]:
        """log Z = log P(low <= X < high) of the density before truncation, in nats; at most 0."""
        _, _, start, left, right = self._from_anchor()
        return self._log_peak(start) + (self._mass(start, left) + self._mass(start, right)).log()

    def log_prob(self, value: Float[Tensor, "*points"]) -> Float[Tensor, "*draws"]:
        """log p(value) in nats; −∞ outside [low, high), with zero gradient there.

        Raises:
            ValueError: outside the support, if arguments are validated.
        """
        if self._validate_args:
            self._validate_sample(value)
        anchor, side, start, left, right = self._from_anchor()
        outside = (value < self.low) | (value >= self.high)
        distance, _ = self._distance(torch.where(outside, anchor, value), anchor, side)
        mass = self._mass(start, left) + self._mass(start, right)
        log_prob = self._log_density(start, distance) - mass.log() - self.scale.log()
        return torch.where(outside, -torch.inf, log_prob)

    def cdf(self, value: Float[Tensor, "*points"]) -> Float[Tensor, "*draws"]:
        """P(X <= value): 0 below the interval, 1 above it, to full relative precision in the left tail."""
        anchor, side, start, left, right = self._from_anchor()
        below, above = value <= self.low, value >= self.high
        distance, on_left = self._distance(torch.where(below | above, anchor, value), anchor, side)
        left_mass, right_mass = self._mass(start, left), self._mass(start, right)
        nearer = torch.where(on_left, 0.0, distance)
        distance = torch.where(on_left, distance, 0.0)
        beyond = self._mass(start + distance, torch.where(on_left, left - distance, 0.0).clamp(min=0.0))
        beyond = torch.exp(self._log_density(start, distance)) * beyond
        part = torch.where(on_left, beyond, left_mass + self._mass(start, nearer)) / (left_mass + right_mass)
        return torch.where(below, 0.0, torch.where(above, 1.0, part.clamp(max=1.0)))

    def icdf(self, value: Float[Tensor, "*points"]) -> Float[Tensor, "*draws"]:
        """The x in [low, high] with cdf(x) = value, for values in [0, 1]; differentiable in all that it depends on."""
        anchor, _, start, left, right = self._from_anchor()
        left_mass, right_mass = self._mass(start, left), self._mass(start, right)
        left_share, right_share = left_mass / (left_mass + right_mass), right_mass / (left_mass + right_mass)
        on_left = (value < left_share) | (right == 0)
        # On its side a point leaves `nearer` of that side's mass towards the anchor and `farther` beyond.
        share = torch.where(on_left, left_share, right_share)
        nearer = torch.where(on_left, left_share - value, value - left_share) / share
        farther = torch.where(on_left, value, 1 - value) / share
        t = self._icdf(start, torch.where(on_left, left, right), nearer.clamp(0.0, 1.0), farther.clamp(max=1.0))
        x = anchor + self.scale * torch.where(on_left, -t, t)
        return _Round.apply(x, torch.clamp(x, self.low, self.high))

    def rsample(
        self, sample_shape: Sequence[int] = (), *, generator: Generator | None = None
    ) -> Float[Tensor, "*draws"]:
        """Draws of shape sample_shape + batch_shape, all in [low, high), differentiable in every parameter.

        A draw is icdf(u) at a fixed u, rounded into the interval; its gradient is that of icdf.
        """
        x = self.icdf(self._uniform(sample_shape, self.loc, generator))
        last = torch.nextafter(self.high, self.low)
        return _Round.apply(x, torch.clamp(x, self.low, last))

    def expand(self, batch_shape: Sequence[int], _instance=None) -> "_Truncated":
        """The same density with another batch shape."""
        parameters = (self.loc, self.scale, self.low, self.high)
        wide = type(self)(*(parameter.expand(batch_shape) for parameter in parameters), validate_args=False)
        wide._validate_args = self._validate_args
        return wide

    def _from_anchor(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """The anchor; the side of loc on which it lies (−1, 0, 1); start, left and right."""
        anchor = torch.clamp(self.loc, self.low, self.high)
        offset = (anchor - self.loc) / self.scale
        side = offset.detach().sign()
        # `where` before the division: an infinite bound times a zero gradient would be NaN.
        unbounded = self.low == -torch.inf
        left = (anchor - torch.where(unbounded, anchor, self.low)) / self.scale
        left = torch.where(side > 0, 0.0, torch.where(unbounded, torch.inf, left))
        unbounded = self.high == torch.inf
        right = (torch.where(unbounded, anchor, self.high) - anchor) / self.scale
        right = torch.where(side < 0, 0.0, torch.where(unbounded, torch.inf, right))
        return anchor, side, side * offset, left, right

    def _distance(self, value: Tensor, anchor: Tensor, side: Tensor) -> tuple[Tensor, Bool[Tensor, "*s"]]:
        """How far outwards from the anchor a point of the interval lies, and whether on the left of it."""
        offset = (value - anchor) / self.scale
        on_left = (side < 0) | ((side == 0) & (offset < 0))
        return torch.where(on_left, -offset, offset), on_left

    def _check(self) -> None:
        name = type(self).__name__
        checks = {
            "a finite loc": self.loc.isfinite(),
            "a finite scale > 0": (self.scale > 0) & self.scale.isfinite(),
            "low < high": self.low < self.high,
        }
        for expected, right in checks.items():
            if not right.all():
                names = ("low", "high") if "low" in expected else (expected.split()[2],)
                first = (~right).flatten().nonzero()[0, 0]
                got = ", ".join(f"{which}={getattr(self, which).flatten()[first].item()}" for which in names)
                raise ValueError(f"{name} expected {expected}; got {got}")


class _Round(Function):
    """x moved to where it may lie, by rounding errors only: the gradient passes as if it had not moved."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x, allowed):
        return allowed.clone()

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, grad):
        return grad, None


class TruncatedNormal(_Truncated):
    """N(loc, scale²) restricted to [low, high).

        log p(x) = −log scale − x̃²/2 − log √(2π) − log Z,   x̃ = (x − loc)/scale,   Z = Φ(h̃igh) − Φ(l̃ow)   (nats)

    Every quantity is computed from the end of the interval nearest to loc (see `labkit.numerics`), so that
    [9, 10) of a standard normal in float32 is as exact as [−1, 1).

    Arguments:
        loc, scale, low, high: tensors or numbers that broadcast; low may be −∞ and high ∞.
        validate_args: check the arguments (once, by looking at their values) and the points of `log_prob`.

    Raises:
        ValueError: for low >= high, scale <= 0, or what is not a number, if arguments are validated.

    Example:
        >>> tail = TruncatedNormal(0.0, 1.0, 9.0, 10.0)
        >>> tail.log_normaliser  # log(Φ(10) − Φ(9)) nats
        tensor(-43.6282)
        >>> tail.icdf(torch.tensor([0.0, 0.5, 1.0]))
        tensor([ 9.0000,  9.0758, 10.0000])
        >>> tail.sample((2,), generator=torch.Generator().manual_seed(0)).shape
        torch.Size([2])
    """

    _log_density = staticmethod(numerics.normal_tail_log_density)
    _mass = staticmethod(numerics.normal_tail_mass)
    _icdf = staticmethod(numerics.normal_tail_icdf)

    def _log_peak(self, start: Tensor) -> Tensor:
        return -start.square() / 2 - numerics.LOG_SQRT_2PI


class TruncatedLogistic(_Truncated):
    """The logistic distribution with loc and scale, restricted to [low, high): closed forms throughout.

        log p(x) = log σ(x̃) + log σ(−x̃) − log scale − log Z,   x̃ = (x − loc)/scale,   Z = σ(h̃igh) − σ(l̃ow)   (nats)

    Arguments and errors are those of `TruncatedNormal`.

    Example:
        >>> TruncatedLogistic(0.0, 1.0, 9.0, 10.0).log_normaliser  # log(σ(10) − σ(9)) nats
        tensor(-9.4588)
    """

    _log_density = staticmethod(numerics.logistic_tail_log_density)
    _mass = staticmethod(numerics.logistic_tail_mass)
    _icdf = staticmethod(numerics.logistic_tail_icdf)

    def _log_peak(self, start: Tensor) -> Tensor:
        return logsigmoid(start) + logsigmoid(-start)


class TruncatedNormalBase(nn.Module):
    """The standard normal over (d,), each coordinate restricted to [low_i, high_i): a base with bounded support.

    Arguments:
        features: d.
        low, high: one bound for all coordinates, or one for each; infinite ones are allowed.

    Raises:
        ValueError: for features < 1, a wrong number of bounds, or low >= high.

    Example:
        >>> base = TruncatedNormalBase(2, low=-1.0, high=[1.0, torch.inf])
        >>> base().log_prob(torch.zeros(2))
        tensor(-1.2834)
    """

    def __init__(self, features: int, low: Bounds, high: Bounds):
        super().__init__()
        self.features = features
        low, high = feature_bounds(features, low, high)
        # Not persistent: a checkpoint of a flow holds what was learned.
        buffers = {"loc": torch.zeros_like(low), "scale": torch.ones_like(low), "low": low, "high": high}
        for name, value in buffers.items():
            self.register_buffer(name, value, persistent=False)

    def _truncated(self) -> _Truncated:
        return TruncatedNormal(self.loc, self.scale, self.low, self.high, validate_args=False)

    def forward(self) -> Independent:
        return IndependentFeatures(self._truncated())


class TruncatedLogisticBase(TruncatedNormalBase):
    """The standard logistic over (d,), each coordinate restricted to [low_i, high_i); as `TruncatedNormalBase`."""

    def _truncated(self) -> _Truncated:
        return TruncatedLogistic(self.loc, self.scale, self.low, self.high, validate_args=False)

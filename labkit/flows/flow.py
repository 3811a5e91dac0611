"""A flow: a base density carried through a transform, as a torch Distribution."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Generator, Tensor, nn
from torch.distributions import Distribution, constraints

from labkit.flows.affine import ElementwiseAffine
from labkit.flows.autoregressive import MaskedAutoregressive
from labkit.flows.base import Seeded, StandardNormal, refuse_nan
from labkit.flows.coupling import Coupling, Elementwise
from labkit.flows.spline import RationalQuadraticSpline
from labkit.flows.transforms import Compose, ElementwiseBijection, Reverse, Transform


class FlowDistribution(Seeded):
    """p(z∣c): the density of z = T(u; c) with u from the base, over (d,).

        log p(z∣c) = log p_base(u) + log|det ∂u/∂z|,   u = T⁻¹(z; c)      (nats)

    The batch shape is that of the context, so a (B, c) context makes B densities. Points (S, B, d) are
    evaluated without copying the context S times, and `expand` copies nothing either.

    Arguments:
        transform: T.
        base: a Distribution over (d,) with batch shape () whose `rsample` takes `generator`.
        context: (*batch, c), or None.
        batch_shape: a shape to which the context's batch shape broadcasts; by default that shape itself.
    """

    support = constraints.real_vector
    arg_constraints = {}  # torch's own check of a context takes longer than a layer

    def __init__(
        self,
        transform: Transform,
        base: Distribution,
        context: Float[Tensor, "*contexts c"] | None = None,
        batch_shape: Sequence[int] | None = None,
        validate_args: bool | None = None,
    ):
        self.transform, self.base, self.context = transform, base, context
        if batch_shape is None:
            batch_shape = () if context is None else context.shape[:-1]
        super().__init__(torch.Size(batch_shape), base.event_shape, validate_args)
        if self._validate_args and context is not None:
            refuse_nan("a context", context)

    def log_prob(self, value: Float[Tensor, "*points d"]) -> Float[Tensor, "*batch"]:
        """log p(value∣context) in nats, of the shape to which the points' batch and batch_shape broadcast."""
        if self._validate_args:
            self._validate_sample(value)
        u, log_det = self.transform.inverse_and_log_det(value, self.context)
        return self._expand(self.base.log_prob(u) + log_det)

    def log_prob_on_axes(self, *axes: Float[Tensor, "_"]) -> Float[Tensor, "*grid"]:
        """log p on the grid of d axes (n_1,), …, (n_d,), in nats, (n_1, …, n_d): of one density, batch shape ().

        The same numbers as `log_prob` of all points, for less work: until the first coupling has mixed them, the
        network that looks at a coordinate is asked once for each of its n_i values.

        Raises:
            ValueError: for another number of axes than coordinates, or a batch of densities.
        """
        if len(axes) != self.event_shape[0] or self.batch_shape or any(axis.ndim != 1 for axis in axes):
            raise ValueError(
                f"expected {self.event_shape[0]} axes (n,) and one density; got axes of shapes "
                f"{[tuple(axis.shape) for axis in axes]} and a batch of {tuple(self.batch_shape)} densities"
            )
        if self._validate_args:
            for axis in axes:
                refuse_nan("an axis", axis)
        columns = [axis.reshape(*(1,) * i, -1, *(1,) * (len(axes) - 1 - i)) for i, axis in enumerate(axes)]
        columns, log_det = self.transform.inverse_on_axes(columns, self.context)
        return self.base.log_prob(torch.stack(torch.broadcast_tensors(*columns), -1)) + log_det

    def _validate_sample(self, value: Tensor) -> None:
        """One look at the values, which on a GPU waits for it: `flow(context, validate_args=False)` goes without."""
        weights = next(self.transform.parameters(), value)
        if value.dtype != weights.dtype and not torch.is_autocast_enabled(value.device.type):
            raise ValueError(
                f"expected points of {weights.dtype}, as the flow's weights are; got {value.dtype}. Convert the points "
                f"with .to({weights.dtype}), or the flow, as in flow.double()"
            )
        refuse_nan("points", value)

    def rsample_and_log_prob(
        self, sample_shape: Sequence[int] = (), *, generator: Generator | None = None
    ) -> tuple[Float[Tensor, "*draws d"], Float[Tensor, "*draws"]]:
        """Draws and their log-densities (nats) from one pass: log p(z) = log p_base(u) − log|det ∂z/∂u|."""
        u = self.base.rsample((*sample_shape, *self.batch_shape), generator=generator)
        z, log_det = self.transform.forward_and_log_det(u, self.context)
        return z, self.base.log_prob(u) - log_det

    def rsample(
        self, sample_shape: Sequence[int] = (), *, generator: Generator | None = None
    ) -> Float[Tensor, "*draws d"]:
        """Draws of shape sample_shape + batch_shape + (d,), differentiable in weights and context."""
        u = self.base.rsample((*sample_shape, *self.batch_shape), generator=generator)
        return self.transform.forward_and_log_det(u, self.context)[0]

    def expand(self, batch_shape: Sequence[int], _instance=None) -> "FlowDistribution":
        """The same densities repeated to batch_shape; the context keeps its shape and is computed once."""
        try:
            fits = torch.broadcast_shapes(batch_shape, self.batch_shape) == torch.Size(batch_shape)
        except RuntimeError:
            fits = False
        if not fits:
            raise ValueError(
                f"expected a shape to which {tuple(self.batch_shape)} expands; got {tuple(batch_shape)}"
            )
        wide = FlowDistribution(self.transform, self.base, self.context, batch_shape, validate_args=False)
        wide._validate_args = self._validate_args  # points are still looked at; the context has been
        return wide

    def _expand(self, log_prob: Tensor) -> Tensor:
        return log_prob.expand(torch.broadcast_shapes(log_prob.shape, self.batch_shape))


class Flow(nn.Module):
    """A conditional density with learned weights: `flow(context)` is a torch Distribution.

    Arguments:
        transform: T, from base to data.
        base: a module whose call returns the base Distribution, as `StandardNormal` does.

    Raises:
        ValueError: if transform and base differ in width; when called, for a context that is missing, of the
            wrong width, or not looked at by any part of the transform.

    Example:
        >>> flow = neural_spline_flow(features=2, context_features=3)
        >>> words = flow(torch.zeros(5, 3))  # five densities over the plane
        >>> words.batch_shape, words.event_shape
        (torch.Size([5]), torch.Size([2]))
        >>> draws = words.sample((10,), generator=torch.Generator().manual_seed(0))
        >>> words.log_prob(draws).shape
        torch.Size([10, 5])
    """

    def __init__(self, transform: Transform, base: nn.Module):
        super().__init__()
        if transform.features != base.features:
            raise ValueError(
                f"expected a base as wide as the transform, {transform.features}; got {base.features}"
            )
        self.transform, self.base = transform, base

    @property
    def features(self) -> int:
        """d, the number of coordinates of a point."""
        return self.transform.features

    @property
    def context_features(self) -> int:
        """c, the width of the context; 0 for an unconditional flow."""
        return self.transform.context_features

    def forward(
        self, context: Float[Tensor, "*contexts c"] | None = None, validate_args: bool | None = None
    ) -> FlowDistribution:
        """p(z∣context), with batch shape that of the context.

        validate_args looks for NaN in context and points; None is torch's own setting, which is to look. On a GPU a
        look waits for the device: False keeps `log_prob` and `sample` free of synchronisation.
        """
        width = self.context_features
        if width and (context is None or context.ndim == 0 or context.shape[-1] != width):
            got = "None" if context is None else f"shape {tuple(context.shape)}"
            raise ValueError(f"this flow expected a context of shape (..., {width}); got {got}")
        if not width and context is not None:
            raise ValueError(
                f"this flow is unconditional and expected no context; got shape {tuple(context.shape)}"
            )
        return FlowDistribution(self.transform, self.base(), context, validate_args=validate_args)

    def compile(self, **options) -> "Flow":
        """Hand both directions to torch.compile, as whole graphs, and return self; options are torch.compile's.

        Weights, state dict and results (to rounding) stay as they are. The first call with a new number of axes pays
        for compilation, so it is for long trainings, not for a notebook's cell. Needs a C++ compiler on the CPU.
        """
        options = {"fullgraph": True} | options
        checks = Distribution._validate_args
        for name in ("forward_and_log_det", "inverse_and_log_det"):
            # Bound by a partial, which a deep copy binds to the copy; a bound method would stay with the original.
            compiled = torch.compile(getattr(type(self.transform), name), **options)
            setattr(self.transform, name, partial(compiled, self.transform))
        Distribution.set_default_validate_args(checks)  # torch's compiler, when loaded, switches them off for everyone
        return self


def neural_spline_flow(
    features: int,
    context_features: int = 0,
    layers: int = 4,
    bins: int = 8,
    bound: float = 5.0,
    hidden: Sequence[int] = (64, 64),
    affine: bool = True,
    activation: Callable[[Tensor], Tensor] = F.silu,
) -> Flow:
    """A neural spline flow (Durkan, Bekasov, Murray & Papamakarios 2019, arXiv 1906.04032).

    Alternating spline couplings on a standard normal; a single feature has no other half, and is moved by
    splines of the context alone. Fresh, the flow is the standard normal.

    Arguments:
        features: d.
        context_features: c, or 0.
        layers: number of spline layers; 0 leaves the affine layer alone, and the density a Gaussian.
        bins, bound: K and B of `RationalQuadraticSpline`.
        hidden: widths of every conditioner.
        affine: let data first meet a location and scale per context, so that the splines' square [−B, B]^d
            has to hold standardised points only.
        activation: of the conditioners.

    Example:
        >>> neural_spline_flow(features=2)().log_prob(torch.zeros(2))  # −log 2π nats
        tensor(-1.8379, grad_fn=...)
    """
    _at_least(0 if affine else 1, layers)  # with none, the affine layer alone makes a Gaussian
    spline = RationalQuadraticSpline(bins, bound)
    if features == 1:
        parts = [Elementwise(spline, 1, context_features, hidden, activation) for _ in range(layers)]
    else:
        parts = [
            Coupling(spline, features, context_features, hidden, i % 2 == 1, activation) for i in range(layers)
        ]
    if affine:
        parts.append(Elementwise(ElementwiseAffine(), features, context_features, hidden, activation))
    return Flow(Compose(parts), StandardNormal(features))


def masked_autoregressive_flow(
    features: int,
    context_features: int = 0,
    layers: int = 3,
    bijection: ElementwiseBijection | None = None,
    hidden: Sequence[int] = (64, 64),
    activation: Callable[[Tensor], Tensor] = F.silu,
) -> Flow:
    """A masked autoregressive flow (Papamakarios, Pavlakou & Murray 2017, arXiv 1705.07057) on a standard normal.

    Every second layer takes the features in reverse, as there. Fresh, the flow is the standard normal.

    Arguments:
        features: d.
        context_features: c, or 0.
        layers: number of autoregressive layers.
        bijection: affine by default; with `RationalQuadraticSpline()` it is the autoregressive spline flow.
        hidden: widths of every masked network, each at least d.
        activation: of the networks.

    Example:
        >>> flow = masked_autoregressive_flow(features=4, context_features=3)
        >>> flow(torch.zeros(3)).sample((10,)).shape
        torch.Size([10, 4])
    """
    _at_least(1, layers)
    bijection = bijection or ElementwiseAffine()
    parts = []
    for i in range(layers):
        parts += [Reverse(features)] if i else []
        parts.append(MaskedAutoregressive(bijection, features, context_features, hidden, activation))
    return Flow(Compose(parts), StandardNormal(features))


def _at_least(least: int, layers: int) -> None:
    if layers < least:
        raise ValueError(f"expected layers >= {least}; got layers={layers}")

"""The flows of `flow_cases.py`, built by each library from the same sizes.

nflows and normflows are given zuko's conditioner in their own calling convention. Their autoregressive networks are
other networks (a second bias, and a first feature that never sees the context), so that they take part in the
couplings only.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial, wraps
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from labkit.flows import (
    Compose,
    Coupling,
    ElementwiseBijection,
    Flow,
    RationalQuadraticSpline,
    StandardNormal,
    masked_autoregressive_flow,
    neural_spline_flow,
)

BINS, BOUND = 8, 5.0


@dataclass(frozen=True)
class Sizes:
    """What all libraries are told: d, c, the widths of every conditioner, and how many transforms."""

    features: int
    context_features: int
    hidden: tuple[int, ...]
    layers: int


@dataclass(frozen=True)
class Rival:
    """A library's flow: `log_prob(points, context)`, and `sample(context)` for one point per context.

    `on_axes(axes, context)` is log_prob on the grid of these axes, where a library has a way of its own for that.

    `unchecked` says that the library switches torch's checks of arguments off, as zuko does when it is imported.
    """

    module: nn.Module
    log_prob: Callable[[Tensor, Tensor], Tensor]
    sample: Callable[[Tensor], Tensor]
    unchecked: bool = False
    on_axes: Callable[[Tensor, Tensor], Tensor] | None = None

    @property
    def parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.module.parameters())

    def compiled(self) -> "Rival":
        """The flow through torch.compile: by labkit's own option, which changes the flow, or around a peer's calls."""
        if isinstance(self.module, Flow):
            self.module.compile()
            return self
        return replace(self, log_prob=torch.compile(self.log_prob), sample=torch.compile(self.sample))


def unchecked(function: Callable) -> Callable:
    """The function, run with torch's checks of arguments off."""

    @wraps(function)
    def call(*arguments, **options):
        checks = Distribution._validate_args
        Distribution.set_default_validate_args(False)
        try:
            return function(*arguments, **options)
        finally:
            Distribution.set_default_validate_args(checks)

    return call


def lower_half(features: int) -> torch.Tensor:
    """(d,), true for the first ⌊d/2⌋ features."""
    return torch.arange(features) < features // 2


class ConcatMLP(nn.Sequential):
    """The conditioner that all share, as nflows and normflows call it: f(x, c) on [x, c], with ReLU between."""

    def __init__(self, in_features: int, context_features: int, hidden: tuple[int, ...], out_features: int):
        widths = (in_features + context_features, *hidden, out_features)
        layers = [layer for a, b in pairwise(widths) for layer in (nn.Linear(a, b), nn.ReLU())]
        super().__init__(*layers[:-1])
        self.hidden_features = hidden[-1]  # by which both libraries scale what they put through a softmax

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        return super().forward(torch.cat((x, context), -1))


# --- labkit -----------------------------------------------------------------------------------------------------------


def _labkit(flow: Flow) -> Rival:
    return Rival(flow, lambda z, context: flow(context).log_prob(z), lambda context: flow(context).sample())


def labkit_couplings(sizes: Sizes) -> Rival:
    spline, widths = RationalQuadraticSpline(BINS, BOUND), (sizes.features, sizes.context_features, sizes.hidden)
    parts = [Coupling(spline, *widths, swap=i % 2 == 1, activation=torch.relu) for i in range(sizes.layers)]
    return _labkit(Flow(Compose(parts), StandardNormal(sizes.features)))


def labkit_autoregressive(sizes: Sizes, bijection: ElementwiseBijection) -> Rival:
    widths = (sizes.features, sizes.context_features, sizes.layers)
    return _labkit(masked_autoregressive_flow(*widths, bijection, sizes.hidden, torch.relu))


def labkit_word(sizes: Sizes) -> Rival:
    """The flow of a word as `StochasticEmbedding` has it."""
    flow = neural_spline_flow(sizes.features, sizes.context_features, sizes.layers, BINS, BOUND, sizes.hidden)
    return replace(_labkit(flow), on_axes=lambda axes, context: flow(context).log_prob_on_axes(*axes))


# --- zuko -------------------------------------------------------------------------------------------------------------


def import_zuko():
    """zuko, the peer that every ratio is taken to, without what its import changes for everyone.

    It switches torch's checks of arguments off in the whole process; here labkit's figures are those of a labkit that
    checks, as it does for its users, and zuko's those of a zuko that does not.
    """
    checks, described = Distribution._validate_args, Distribution.__dict__["arg_constraints"]
    try:
        import zuko
    except ImportError as error:
        raise SystemExit("zuko, the peer that ratios are taken to, is not installed: pip install zuko") from error
    finally:
        Distribution.set_default_validate_args(checks)
        Distribution.arg_constraints = described
    return zuko


def _zuko(flow: nn.Module) -> Rival:
    def log_prob(z: Tensor, context: Tensor) -> Tensor:
        return flow(context).log_prob(z)

    return Rival(flow, log_prob, lambda context: flow(context).sample(), unchecked=True)


def _zuko_couplings(sizes: Sizes, activation: type[nn.Module]) -> list[nn.Module]:
    """True couplings (its `NSF(passes=2)` would compute both halves by a masked network), nearest to the data first."""
    zuko = import_zuko()
    shapes = [(BINS,), (BINS,), (BINS - 1,)]
    univariate = partial(zuko.transforms.MonotonicRQSTransform, bound=BOUND)
    kept, widths = lower_half(sizes.features), (sizes.features, sizes.context_features)
    options = {"univariate": univariate, "shapes": shapes, "hidden_features": sizes.hidden, "activation": activation}
    return [
        zuko.flows.coupling.GeneralCouplingTransform(*widths, ~kept if i % 2 else kept, **options)
        for i in reversed(range(sizes.layers))
    ]


def _zuko_flow(transforms: list[nn.Module], features: int) -> Rival:
    zuko = import_zuko()
    loc, scale = torch.zeros(features), torch.ones(features)
    base = zuko.lazy.UnconditionalDistribution(zuko.distributions.DiagNormal, loc, scale, buffer=True)
    return _zuko(zuko.lazy.Flow(transforms, base))


@unchecked
def zuko_couplings(sizes: Sizes) -> Rival:
    return _zuko_flow(_zuko_couplings(sizes, nn.ReLU), sizes.features)


@unchecked
def zuko_word(sizes: Sizes) -> Rival:
    """Couplings, and the affine map of the context alone that meets the data first."""
    zuko = import_zuko()
    affine = zuko.flows.gaussianization.ElementWiseTransform(
        sizes.features, sizes.context_features, hidden_features=sizes.hidden, activation=nn.SiLU
    )
    return _zuko_flow([affine, *_zuko_couplings(sizes, nn.SiLU)], sizes.features)


@unchecked
def zuko_autoregressive(sizes: Sizes, spline: bool) -> Rival:
    zuko = import_zuko()
    options = {"transforms": sizes.layers, "hidden_features": sizes.hidden} | ({"bins": BINS} if spline else {})
    flow = zuko.flows.NSF if spline else zuko.flows.MAF
    return _zuko(flow(sizes.features, sizes.context_features, **options))


# --- nflows and normflows ---------------------------------------------------------------------------------------------


def nflows_couplings(sizes: Sizes) -> Rival:
    from nflows.distributions import StandardNormal as NflowsNormal
    from nflows.flows import Flow as NflowsFlow
    from nflows.transforms import CompositeTransform, PiecewiseRationalQuadraticCouplingTransform

    kept, options = lower_half(sizes.features), {"num_bins": BINS, "tails": "linear", "tail_bound": BOUND}
    parts = [
        PiecewiseRationalQuadraticCouplingTransform((kept if i % 2 else ~kept).int(), _network(sizes), **options)
        for i in reversed(range(sizes.layers))
    ]
    flow = NflowsFlow(CompositeTransform(parts), NflowsNormal([sizes.features]))
    return Rival(flow, flow.log_prob, lambda context: flow.sample(1, context).squeeze(1))


def normflows_couplings(sizes: Sizes) -> Rival:
    from normflows import ConditionalNormalizingFlow
    from normflows.distributions import DiagGaussian
    from normflows.flows import CoupledRationalQuadraticSpline
    from normflows.flows.neural_spline.coupling import PiecewiseRationalQuadraticCoupling

    kept, options = lower_half(sizes.features), {"num_bins": BINS, "tails": "linear", "tail_bound": BOUND}
    parts = []
    for i in range(sizes.layers):
        # its layer around the same coupling: by itself it would take a residual network, and move both halves
        layer = CoupledRationalQuadraticSpline(sizes.features, 0, 1, sizes.context_features)
        mask = (kept if i % 2 else ~kept).int()
        layer.prqct = PiecewiseRationalQuadraticCoupling(mask, _network(sizes), **options)
        parts.append(layer)
    flow = ConditionalNormalizingFlow(DiagGaussian(sizes.features, trainable=False), parts)
    return Rival(flow, flow.log_prob, lambda context: flow.sample(len(context), context)[0])


def _network(sizes: Sizes) -> Callable[[int, int], ConcatMLP]:
    return lambda kept, outputs: ConcatMLP(kept, sizes.context_features, sizes.hidden, outputs)

"""Where an elementwise bijection's parameters come from: the context alone, or other features as well."""

from abc import abstractmethod
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from labkit.flows.transforms import ElementwiseBijection, Transform
from labkit.networks.mlp import ContextMLP


class _Conditioned(Transform):
    """A transform that applies an elementwise bijection; subclasses say to what, and where its parameters come from."""

    bijection: ElementwiseBijection

    def forward_and_log_det(
        self, u: Float[Tensor, "*points d"], context: Float[Tensor, "*contexts c"] | None = None
    ) -> tuple[Float[Tensor, "*batch d"], Float[Tensor, "*batch"]]:
        return self._apply_bijection(self.bijection.forward, u, context)

    def inverse_and_log_det(
        self, z: Float[Tensor, "*points d"], context: Float[Tensor, "*contexts c"] | None = None
    ) -> tuple[Float[Tensor, "*batch d"], Float[Tensor, "*batch"]]:
        return self._apply_bijection(self.bijection.inverse, z, context)

    @abstractmethod
    def _apply_bijection(self, direction: Callable, points: Tensor, context: Tensor | None):
        """The points moved by `direction`, the bijection's forward or inverse, and the log-determinant."""


class Elementwise(_Conditioned):
    """z_i = f(u_i; θ_i(c)): every feature on its own, with parameters that depend on the context alone.

    log|det ∂z/∂u| = Σ_i log f′(u_i). Without a context θ is a plain learned parameter. In one dimension
    this is all a flow needs; in more it gives each context its own location and scale
    (`ElementwiseAffine`). Fresh, it is the identity.

    Arguments:
        bijection: the family f.
        features: d.
        context_features: c, or 0.
        hidden, activation: of the network θ(c).

    Example:
        >>> from labkit.flows.affine import ElementwiseAffine
        >>> standardise = Elementwise(ElementwiseAffine(), features=2, context_features=5)
        >>> z, log_det = standardise.forward_and_log_det(torch.randn(100, 7, 2), torch.randn(7, 5))
        >>> z.shape, log_det.shape
        (torch.Size([100, 7, 2]), torch.Size([100, 7]))
    """

    def __init__(
        self,
        bijection: ElementwiseBijection,
        features: int,
        context_features: int = 0,
        hidden: Sequence[int] = (64, 64),
        activation: Callable[[Tensor], Tensor] = F.silu,
    ):
        super().__init__(features, context_features)
        self.bijection = bijection
        outputs = bijection.parameters_per_feature * features
        if context_features:
            self.conditioner = ContextMLP(
                0, context_features, hidden, outputs, activation=activation, zero_init=True
            )
        else:
            self.constants = nn.Parameter(torch.zeros(outputs))

    def _apply_bijection(self, direction: Callable, points: Tensor, context: Tensor | None):
        batch = self.batch_shape(points, context)
        params = self.conditioner.outputs_first(None, context) if self.context_features else self.constants
        # (P, d, *contexts): as many batch axes as the result, but of size 1 where the context is shared.
        missing = len(batch) - (params.ndim - 1)
        count = self.bijection.parameters_per_feature
        params = params.reshape(count, self.features, *(1,) * missing, *params.shape[1:])
        z, log_det = direction(_features_first(points, len(batch)), params)
        return z.movedim(0, -1), log_det.sum(0)

    def inverse_on_axes(self, columns: Sequence[Tensor], context: Tensor | None = None) -> tuple[list[Tensor], Tensor]:
        if context is not None and context.ndim > 1:
            return super().inverse_on_axes(columns, context)
        params = self.conditioner.outputs_first(None, context) if self.context_features else self.constants
        params = params.reshape(self.bijection.parameters_per_feature, self.features, *(1,) * columns[0].ndim)
        return _moved(self.bijection.inverse, columns, params)


class Coupling(_Conditioned):
    """z = [u_a, f(u_b; θ(u_a, c))]: one half stays, and says with the context how to move the other.

    log|det ∂z/∂u| = Σ_{i∈b} log f′(u_i), and the inverse costs what the forward costs, because u_a = z_a
    (Dinh, Sohl-Dickstein & Bengio 2017, arXiv 1605.08803, eqs. 7-8; with splines, Durkan et al. 2019, arXiv
    1906.04032). Halves are contiguous: alternate `swap`, or put a `Permutation` between, so that all features
    meet. Fresh, it is the identity.

    Arguments:
        bijection: the family f.
        features: d >= 2; the first ⌊d/2⌋ are a, the rest b.
        context_features: c, or 0.
        hidden: widths of the network θ(u_a, c), whose first layer treats a shared context once.
        swap: move a given b instead.
        activation: of the network.

    Raises:
        ValueError: for one feature, which has no other half: use `Elementwise`.

    Example:
        >>> from labkit.flows.spline import RationalQuadraticSpline
        >>> coupling = Coupling(RationalQuadraticSpline(bins=8), features=2, context_features=5)
        >>> z, log_det = coupling.forward_and_log_det(torch.randn(100, 7, 2), torch.randn(7, 5))
        >>> z.shape, log_det.shape
        (torch.Size([100, 7, 2]), torch.Size([100, 7]))
    """

    def __init__(
        self,
        bijection: ElementwiseBijection,
        features: int,
        context_features: int = 0,
        hidden: Sequence[int] = (64, 64),
        swap: bool = False,
        activation: Callable[[Tensor], Tensor] = F.silu,
    ):
        super().__init__(features, context_features)
        if features == 1:
            raise ValueError(
                "Coupling expected features >= 2, one half to move given the other; got features=1. "
                "Use Elementwise(bijection, 1, context_features) instead"
            )
        self.bijection, self.swap = bijection, swap
        self.halves = (features // 2, features - features // 2)
        kept, moved = reversed(self.halves) if swap else self.halves
        outputs = bijection.parameters_per_feature * moved
        self.conditioner = ContextMLP(
            kept, context_features, hidden, outputs, activation=activation, zero_init=True
        )

    def _apply_bijection(self, direction: Callable, points: Tensor, context: Tensor | None):
        batch = self.batch_shape(points, context)
        a, b = points.split(self.halves, -1)
        kept, moved = (b, a) if self.swap else (a, b)
        params = self.conditioner.outputs_first(kept, context)  # (P * moved features, *batch)
        params = params.reshape(self.bijection.parameters_per_feature, moved.shape[-1], *batch)
        moved, log_det = direction(_features_first(moved, len(batch)), params)
        moved, kept = moved.movedim(0, -1), kept.expand(*batch, -1)
        return torch.cat((moved, kept) if self.swap else (kept, moved), -1), log_det.sum(0)

    def inverse_on_axes(self, columns: Sequence[Tensor], context: Tensor | None = None) -> tuple[list[Tensor], Tensor]:
        if context is not None and context.ndim > 1:
            return super().inverse_on_axes(columns, context)
        a, b = columns[: self.halves[0]], columns[self.halves[0] :]
        kept, moved = (b, a) if self.swap else (a, b)
        known = torch.stack(torch.broadcast_tensors(*kept), -1)
        params = self.conditioner.outputs_first(known, context)
        params = params.reshape(self.bijection.parameters_per_feature, len(moved), *known.shape[:-1])
        moved, log_det = _moved(self.bijection.inverse, moved, params)
        return [*moved, *kept] if self.swap else [*kept, *moved], log_det


def _moved(direction: Callable, columns: Sequence[Tensor], params: Float[Tensor, "P d *maps"]):
    """Each column by its own parameters, and the sum of the log-slopes."""
    pairs = [direction(column, params[:, i]) for i, column in enumerate(columns)]
    return [value for value, _ in pairs], sum(log_slope for _, log_slope in pairs)


def _features_first(points: Float[Tensor, "*points d"], batch_axes: int) -> Tensor:
    """(d, *points) in the memory layout of the parameters, (P, d, *batch), and with as many batch axes."""
    missing = batch_axes - (points.ndim - 1)
    first = points.movedim(-1, 0)
    return first.reshape(first.shape[0], *(1,) * missing, *first.shape[1:]).contiguous()

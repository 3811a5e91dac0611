"""The contract of every transform and every elementwise bijection, and the ways of composing transforms.

**Transform.** An invertible map z = T(u; c) from the base side u to the data side z, given a context c. It
is an `nn.Module` with one required method in each direction, and each returns the value and the
log-determinant together:

    forward_and_log_det(u, context) -> z, log|det ∂z/∂u|
    inverse_and_log_det(z, context) -> u, log|det ∂u/∂z|

*Shapes.* The last axis holds the d features, everything before it is batch. log_det has the batch shape: it
is summed over features, in nats. A context is (..., c); its batch shape broadcasts against the points'
batch shape, and what depends on the context alone is computed at the context's own shape: a context (c,),
(1, c) or (B, c) against points (S, B, d) is never copied S times. A transform with `context_features == 0`
ignores the context, so that conditional and unconditional transforms compose.

**Elementwise bijection.** A family of increasing maps R -> R with a few parameters, knowing nothing of
batch, features or context. Parameters come *first*: shape (P, *s) for points of shape (*s), broadcasting as
usual. `coupling.py` says where the parameters come from.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Transform(nn.Module, ABC):
    """An invertible map of d features, given a context: see the contract at the head of this module.

    Attributes:
        features: d, the width of the points.
        context_features: c, the width of the context; 0 where no context is looked at.
    """

    def __init__(self, features: int, context_features: int = 0):
        super().__init__()
        if features < 1 or context_features < 0:
            raise ValueError(
                f"expected features >= 1 and context_features >= 0; got {features} and {context_features}"
            )
        self.features, self.context_features = features, context_features

    @abstractmethod
    def forward_and_log_det(
        self, u: Float[Tensor, "*points d"], context: Float[Tensor, "*contexts c"] | None = None
    ) -> tuple[Float[Tensor, "*batch d"], Float[Tensor, "*batch"]]:
        """From base to data: z = T(u; c) and log|det ∂z/∂u| in nats."""

    @abstractmethod
    def inverse_and_log_det(
        self, z: Float[Tensor, "*points d"], context: Float[Tensor, "*contexts c"] | None = None
    ) -> tuple[Float[Tensor, "*batch d"], Float[Tensor, "*batch"]]:
        """From data to base: u = T⁻¹(z; c) and log|det ∂u/∂z| in nats."""

    def inverse_on_axes(self, columns: Sequence[Tensor], context: Tensor | None = None) -> tuple[list[Tensor], Tensor]:
        """`inverse_and_log_det` where every coordinate is a tensor of its own, d of them, that broadcast.

        On a grid a coordinate varies along one axis only. Layers that look at one coordinate to move another
        override this, and then work as often as that coordinate has values, and not as often as there are points.
        """
        u, log_det = self.inverse_and_log_det(torch.stack(torch.broadcast_tensors(*columns), -1), context)
        return list(u.unbind(-1)), log_det

    def forward(self, u: Tensor, context: Tensor | None = None) -> Tensor:
        """z = T(u; c) alone, so that `transform(u, context)` reads as the map it is."""
        return self.forward_and_log_det(u, context)[0]

    def batch_shape(self, points: Tensor, context: Tensor | None) -> torch.Size:
        """The batch shape of the result, after checking the widths of what was passed.

        Raises:
            ValueError: for a wrong feature width, a missing context, a wrong context width, or batch shapes
                that do not broadcast.
        """
        name = type(self).__name__
        if points.ndim == 0 or points.shape[-1] != self.features:
            raise ValueError(
                f"{name} expected points of shape (..., {self.features}); got shape {tuple(points.shape)}"
            )
        if self.context_features == 0:
            return points.shape[:-1]
        if context is None:
            raise ValueError(f"{name} expected a context of shape (..., {self.context_features}); got None")
        if context.ndim == 0 or context.shape[-1] != self.context_features:
            raise ValueError(
                f"{name} expected a context of shape (..., {self.context_features}); "
                f"got shape {tuple(context.shape)}"
            )
        try:
            return torch.broadcast_shapes(points.shape[:-1], context.shape[:-1])
        except RuntimeError as error:
            raise ValueError(
                f"{name} expected a context whose batch shape broadcasts against that of the points; "
                f"got {tuple(context.shape[:-1])} against {tuple(points.shape[:-1])}"
            ) from error


class Compose(Transform):
    """T = T_n ∘ … ∘ T_1: the first of the list is nearest to the base, the last nearest to the data.

    log|det ∂z/∂u| = Σ_i log|det ∂T_i|, each at the point that reaches it.

    Raises:
        ValueError: for an empty list, or parts whose feature or (non-zero) context widths differ.

    Example:
        >>> swap_twice = Compose([Reverse(3), Reverse(3)])
        >>> swap_twice(torch.tensor([1.0, 2.0, 3.0]))
        tensor([1., 2., 3.])
    """

    def __init__(self, transforms: Iterable[Transform]):
        parts = list(transforms)
        if not parts:
            raise ValueError("expected at least one transform to compose; got an empty list")
        features = {part.features for part in parts}
        contexts = {part.context_features for part in parts} - {0}
        if len(features) > 1:
            raise ValueError(f"expected transforms of one feature width; got widths {sorted(features)}")
        if len(contexts) > 1:
            raise ValueError(f"expected transforms of one context width; got widths {sorted(contexts)}")
        super().__init__(features.pop(), contexts.pop() if contexts else 0)
        self.transforms = nn.ModuleList(parts)

    def forward_and_log_det(
        self, u: Float[Tensor, "*points d"], context: Float[Tensor, "*contexts c"] | None = None
    ) -> tuple[Float[Tensor, "*batch d"], Float[Tensor, "*batch"]]:
        total = 0.0
        for transform in self.transforms:
            u, log_det = transform.forward_and_log_det(u, context)
            total = total + log_det
        return u, total

    def inverse_and_log_det(
        self, z: Float[Tensor, "*points d"], context: Float[Tensor, "*contexts c"] | None = None
    ) -> tuple[Float[Tensor, "*batch d"], Float[Tensor, "*batch"]]:
        total = 0.0
        for transform in reversed(self.transforms):
            z, log_det = transform.inverse_and_log_det(z, context)
            total = total + log_det
        return z, total


    def inverse_on_axes(self, columns: Sequence[Tensor], context: Tensor | None = None) -> tuple[list[Tensor], Tensor]:
        total = 0.0
        for transform in reversed(self.transforms):
            columns, log_det = transform.inverse_on_axes(columns, context)
            total = total + log_det
        return columns, total


class Permutation(Transform):
    """z_i = u_{order[i]}, with log-determinant 0.

    Raises:
        ValueError: if `order` is not a permutation of 0 … d−1.

    Example:
        >>> Permutation([2, 0, 1])(torch.tensor([10.0, 20.0, 30.0]))
        tensor([30., 10., 20.])
    """

    def __init__(self, order: Sequence[int]):
        order = [int(i) for i in order]
        if sorted(order) != list(range(len(order))):
            raise ValueError(f"expected each of 0 ... {len(order) - 1} once; got order={order}")
        super().__init__(len(order))
        self.register_buffer("order", torch.tensor(order))
        self.places = tuple(sorted(range(len(order)), key=order.__getitem__))  # where each feature came from
        self.register_buffer("inverse_order", torch.tensor(self.places))

    def forward_and_log_det(
        self, u: Float[Tensor, "*points d"], context: Float[Tensor, "*contexts c"] | None = None
    ) -> tuple[Float[Tensor, "*points d"], Float[Tensor, "*points"]]:
        log_det = u.new_zeros(self.batch_shape(u, context))
        return u[..., self.order], log_det

    def inverse_and_log_det(
        self, z: Float[Tensor, "*points d"], context: Float[Tensor, "*contexts c"] | None = None
    ) -> tuple[Float[Tensor, "*points d"], Float[Tensor, "*points"]]:
        log_det = z.new_zeros(self.batch_shape(z, context))
        return z[..., self.inverse_order], log_det

    def inverse_on_axes(self, columns: Sequence[Tensor], context: Tensor | None = None) -> tuple[list[Tensor], Tensor]:
        return [columns[i] for i in self.places], columns[0].new_zeros(())


class Reverse(Permutation):
    """z_i = u_{d−1−i}: the features in reverse order, with log-determinant 0.

    Example:
        >>> Reverse(3)(torch.tensor([10.0, 20.0, 30.0]))
        tensor([30., 20., 10.])
    """

    def __init__(self, features: int):
        super().__init__(range(features)[::-1])


def aligned(params: Float[Tensor, "P *maps"], point_axes: int) -> Float[Tensor, "P *points"]:
    """Parameters with as many axes after the first as the points have; broadcasting would put new ones before it."""
    missing = point_axes + 1 - params.ndim
    return params.reshape(params.shape[0], *(1,) * missing, *params.shape[1:]) if missing > 0 else params


class ElementwiseBijection(ABC):
    """A family of increasing maps R -> R with P parameters, at zero parameters the identity.

    Both directions return the value and the *elementwise* log-derivative (nats), of the shape to which the
    points (*s) and one parameter (*s) broadcast.
    """

    @property
    @abstractmethod
    def parameters_per_feature(self) -> int:
        """P, the number of unconstrained real parameters of one map."""

    @abstractmethod
    def forward(
        self, u: Float[Tensor, "*points"], params: Float[Tensor, "P *maps"]
    ) -> tuple[Float[Tensor, "*s"], Float[Tensor, "*s"]]:
        """z = f(u) and log f′(u)."""

    @abstractmethod
    def inverse(
        self, z: Float[Tensor, "*points"], params: Float[Tensor, "P *maps"]
    ) -> tuple[Float[Tensor, "*s"], Float[Tensor, "*s"]]:
        """u = f⁻¹(z) and log (f⁻¹)′(z)."""

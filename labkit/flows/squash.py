"""Transforms between the whole space and a part of it, and the inverse of any transform.

They have nothing to learn. Values that rounding would put on the edge of an open range are kept inside it, so that
whatever `forward_and_log_det` returns has a finite log-determinant on the way back. A point that lies outside the
range has density zero: nothing waits to look for one and raise, but its log-determinant is −inf, and its value
that of the nearest point inside.
"""

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from labkit.flows.transforms import Transform


class Inverse(Transform):
    """The same map with its directions exchanged: forward, from base to data, is what was inverse.

    So what was cheap for `log_prob` becomes cheap for `sample`: an inverse autoregressive flow (Kingma et al.
    2016, arXiv 1606.04934) is the `Inverse` of a masked one.

    Arguments:
        transform: the map to turn round.

    Example:
        >>> from labkit.flows.transforms import Permutation
        >>> Inverse(Permutation([2, 0, 1]))(torch.tensor([30.0, 10.0, 20.0]))
        tensor([10., 20., 30.])
    """

    def __init__(self, transform: Transform):
        super().__init__(transform.features, transform.context_features)
        self.transform = transform

    def forward_and_log_det(
        self, u: Float[Tensor, "*points d"], context: Float[Tensor, "*contexts c"] | None = None
    ) -> tuple[Float[Tensor, "*batch d"], Float[Tensor, "*batch"]]:
        return self.transform.inverse_and_log_det(u, context)

    def inverse_and_log_det(
        self, z: Float[Tensor, "*points d"], context: Float[Tensor, "*contexts c"] | None = None
    ) -> tuple[Float[Tensor, "*batch d"], Float[Tensor, "*batch"]]:
        return self.transform.forward_and_log_det(z, context)


class Sigmoid(Transform):
    """z_i = low + (high − low) σ(u_i): from R^d onto the open box (low, high)^d.

    log|det ∂z/∂u| = Σ_i log(high − low) + log σ(u_i) + log σ(−u_i)   (nats). On the way back both distances, to low
    and to high, are taken from z itself, so that u = log(z − low) − log(high − z) is exact near both sides.

    Outside the box, edges included, the inverse gives the u of the nearest point inside and a log-determinant
    of −inf.

    Arguments:
        features: d.
        low, high: the sides of the box.

    Raises:
        ValueError: unless low < high, both finite.

    Example:
        >>> dice = Sigmoid(2, low=0.0, high=6.0)
        >>> dice(torch.tensor([0.0, 100.0])) < 6  # never the edge itself
        tensor([True, True])
    """

    def __init__(self, features: int, low: float = 0.0, high: float = 1.0):
        super().__init__(features)
        if not -math.inf < low < high < math.inf:
            raise ValueError(f"expected finite low < high; got low={low}, high={high}")
        self.low, self.high = float(low), float(high)

    def forward_and_log_det(
        self, u: Float[Tensor, "*points d"], context: Float[Tensor, "*contexts c"] | None = None
    ) -> tuple[Float[Tensor, "*points d"], Float[Tensor, "*points"]]:
        self.batch_shape(u, context)
        width = self.high - self.low
        # From the nearer side, so that a box far from 0 costs no digits that its own sides do not cost.
        z = torch.where(u < 0, self.low + width * u.sigmoid(), self.high - width * (-u).sigmoid())
        log_det = math.log(width) + F.logsigmoid(u) + F.logsigmoid(-u)
        return z.clamp(*_inside(self.low, self.high, u.dtype)), log_det.sum(-1)

    def inverse_and_log_det(
        self, z: Float[Tensor, "*points d"], context: Float[Tensor, "*contexts c"] | None = None
    ) -> tuple[Float[Tensor, "*points d"], Float[Tensor, "*points"]]:
        self.batch_shape(z, context)
        inside = z.clamp(*_inside(self.low, self.high, z.dtype))
        log_below, log_above = (inside - self.low).log(), (self.high - inside).log()
        log_det = math.log(self.high - self.low) - log_below - log_above
        out = (z <= self.low) | (z >= self.high)
        return log_below - log_above, _excluding(out, log_det).sum(-1)


class Logit(Inverse):
    """z_i = log((u_i − low) / (high − u_i)): from the open box (low, high)^d onto R^d; `Sigmoid` turned round.

    Arguments:
        features: d.
        low, high: the sides of the box.

    Raises:
        ValueError: unless low < high, both finite.

    Example:
        >>> Logit(1)(torch.tensor([0.5]))
        tensor([0.])
    """

    def __init__(self, features: int, low: float = 0.0, high: float = 1.0):
        super().__init__(Sigmoid(features, low, high))


class Softplus(Transform):
    """z_i = log(1 + e^(u_i)): from R^d onto (0, ∞)^d, for scales and other positive quantities.

    log|det ∂z/∂u| = Σ_i log σ(u_i) (nats), and back u = z + log(1 − e^(−z)), without cancellation for tiny z nor
    overflow for large ones. At z <= 0 the inverse gives the u of the least positive number that is not
    denormal and a log-determinant of −inf.

    Arguments:
        features: d.

    Example:
        >>> z, log_det = Softplus(1).forward_and_log_det(torch.tensor([0.0]))
        >>> z, log_det  # log 2 and log ½
        (tensor([0.6931]), tensor(-0.6931))
    """

    def forward_and_log_det(
        self, u: Float[Tensor, "*points d"], context: Float[Tensor, "*contexts c"] | None = None
    ) -> tuple[Float[Tensor, "*points d"], Float[Tensor, "*points"]]:
        self.batch_shape(u, context)
        # Not F.softplus, which is linear from 20 on, and in float64 wrong there by 2e-9.
        z = -F.logsigmoid(-u)
        return z.clamp(min=torch.finfo(u.dtype).tiny), F.logsigmoid(u).sum(-1)

    def inverse_and_log_det(
        self, z: Float[Tensor, "*points d"], context: Float[Tensor, "*contexts c"] | None = None
    ) -> tuple[Float[Tensor, "*points d"], Float[Tensor, "*points"]]:
        self.batch_shape(z, context)
        inside = z.clamp(min=torch.finfo(z.dtype).tiny)
        log_slope = (-torch.expm1(-inside)).log()  # of z in u
        return inside + log_slope, _excluding(z <= 0, -log_slope).sum(-1)


@lru_cache
@torch.compiler.assume_constant_result
def _inside(low: float, high: float, dtype: torch.dtype) -> tuple[float, float]:
    """The outermost numbers of the open interval (low, high) whose distance from its ends is not denormal.

    A denormal distance would make the gradient of its logarithm overflow.
    """
    ends = torch.tensor([low, high], dtype=dtype)
    inner = torch.nextafter(ends, ends.flip(0))
    tiny = torch.finfo(dtype).tiny
    first, last = inner.tolist()
    return max(first, low + tiny), min(last, high - tiny)


def _excluding(out: Tensor, log_det: Tensor) -> Tensor:
    """−inf, with gradient 0, where a point is out; NaN stays NaN."""
    return torch.where(out, log_det.new_full((), -math.inf), log_det)

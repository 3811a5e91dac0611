"""Monotone rational-quadratic splines with linear tails (Durkan, Bekasov, Murray & Papamakarios 2019).

Inside [−B, B] the map is made of K bins. In the bin with corners (x₀, y₀), (x₁, y₁), width w, height h,
mean slope s = h/w and end slopes d₀, d₁, put ξ = (x − x₀)/w and η = (x₁ − x)/w. With η kept beside ξ,
*every term below is positive*, so that nothing cancels and no root can turn imaginary, whatever the
parameters:

    y  = y₀ + h ξ (s ξ + d₀ η) / D,     D = s (ξ² + η²) + (d₀ + d₁) ξ η     (arXiv 1906.04032, A.1)
    y′ = s² (d₁ ξ² + 2 s ξ η + d₀ η²) / D²                                  (A.2)

The inverse (A.3) is a quadratic, solved here for the odds ξ/η. With τ = (y − y₀)/h and q = d₀ (1−τ) − d₁ τ,

    ξ/η = 2 s τ / (q + √Δ) = (√Δ − q) / (2 s (1−τ)),     Δ = q² + 4 s² τ (1−τ) >= 0;

of the two equal forms the one is taken in which q and √Δ add up. Outside [−B, B] the map is the identity,
which the slope 1 at both ends joins smoothly.

Bins are the first axis throughout: a reduction over it is a few long vector operations, whereas a softmax
over a last axis of 8 takes longer than the network that computed it.
"""

import math
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from labkit.flows import spline_fused
from labkit.flows.transforms import ElementwiseBijection, aligned


@dataclass(frozen=True)
class RationalQuadraticSpline(ElementwiseBijection):
    """The spline above, from 3K − 1 parameters per feature: K widths, K heights and K − 1 inner slopes.

    Arguments:
        bins: K, at least 2.
        bound: B, half the side of the square in which the spline lives; points beyond it are left where
            they are.
        min_bin: least width and height of a bin, as a share of the square's side 2B.
        min_slope: least slope at a knot.

    Raises:
        ValueError: if the bins, at their least width, do not fit.

    Example:
        >>> spline = RationalQuadraticSpline(bins=4, bound=3.0)
        >>> params = torch.zeros(spline.parameters_per_feature, 1)
        >>> z, log_slope = spline.forward(torch.tensor([-9.0, 0.0, 1.5]), params)  # the identity at zero
        >>> torch.testing.assert_close(z, torch.tensor([-9.0, 0.0, 1.5]))
    """

    bins: int = 8
    bound: float = 5.0
    min_bin: float = 1e-3
    min_slope: float = 1e-3

    def __post_init__(self):
        if self.bins < 2:
            raise ValueError(f"expected at least 2 bins; got bins={self.bins}")
        if self.bound <= 0 or not 0 < self.min_slope < 1:
            raise ValueError(
                "expected bound > 0 and 0 < min_slope < 1; "
                f"got bound={self.bound}, min_slope={self.min_slope}"
            )
        if not 0 < self.min_bin < 1 / self.bins:
            raise ValueError(
                f"expected 0 < min_bin < 1/bins = {1 / self.bins:.3g}, or {self.bins} bins do not fit; "
                f"got min_bin={self.min_bin}"
            )

    @property
    def parameters_per_feature(self) -> int:
        return 3 * self.bins - 1

    def forward(
        self, u: Float[Tensor, "*points"], params: Float[Tensor, "P *maps"]
    ) -> tuple[Float[Tensor, "*s"], Float[Tensor, "*s"]]:
        self._check(params)
        return spline_fused.spline(self._plain, u, params, False, self._settings)

    def inverse(
        self, z: Float[Tensor, "*points"], params: Float[Tensor, "P *maps"]
    ) -> tuple[Float[Tensor, "*s"], Float[Tensor, "*s"]]:
        self._check(params)
        return spline_fused.spline(self._plain_inverse, z, params, True, self._settings)

    def _check(self, params: Tensor) -> None:
        if params.shape[0] != self.parameters_per_feature:
            raise ValueError(
                f"expected params of shape (3 * bins - 1, ...) = ({self.parameters_per_feature}, ...); "
                f"got shape {tuple(params.shape)}"
            )

    @property
    def _settings(self) -> spline_fused.Settings:
        return spline_fused.Settings(self.bound, self.min_bin, self.min_slope, _slope_shift(self.min_slope))

    def _plain(self, u: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        return rational_quadratic_spline(u, params, self.bound, self.min_bin, self.min_slope)

    def _plain_inverse(self, z: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        return inverse_rational_quadratic_spline(z, params, self.bound, self.min_bin, self.min_slope)


def rational_quadratic_spline(
    x: Float[Tensor, "*points"],
    params: Float[Tensor, "P *maps"],
    bound: float = 5.0,
    min_bin: float = 1e-3,
    min_slope: float = 1e-3,
) -> tuple[Float[Tensor, "*s"], Float[Tensor, "*s"]]:
    """y = f(x) and log f′(x) in nats; the K bins follow from P = 3K − 1.

    Raises:
        ValueError: if P is not 3K − 1 for some K >= 2.

    Example:
        >>> slopes = torch.tensor([0.0, 0.0, 0.0, 0.0, 3.0])  # two bins of equal sides, steep in the middle
        >>> y, log_slope = rational_quadratic_spline(torch.tensor([0.0]), slopes[:, None])
        >>> y.item(), round(log_slope.exp().item(), 2)  # softplus(3 + ln(e − 1))
        (0.0, 3.57)
    """
    within = x.clamp(-bound, bound)
    v = (within + bound) / (2 * bound)  # the spline is computed in the unit square
    b = _bin_of(v, params, "x", min_bin, min_slope)
    width, height = b.x1 - b.x0, b.y1 - b.y0
    share, log_slope = _in_bin((v - b.x0) / width, (b.x1 - v) / width, height / width, b.d0, b.d1)
    # f(x) = f(clamped x) + (x − clamped x): beyond ±B, the second term alone moves.
    return (b.y0 + height * share) * (2 * bound) - bound + (x - within), log_slope


def inverse_rational_quadratic_spline(
    y: Float[Tensor, "*points"],
    params: Float[Tensor, "P *maps"],
    bound: float = 5.0,
    min_bin: float = 1e-3,
    min_slope: float = 1e-3,
) -> tuple[Float[Tensor, "*s"], Float[Tensor, "*s"]]:
    """x = f⁻¹(y) and log (f⁻¹)′(y) in nats, in closed form.

    Raises:
        ValueError: if P is not 3K − 1 for some K >= 2.
    """
    within = y.clamp(-bound, bound)
    v = (within + bound) / (2 * bound)
    b = _bin_of(v, params, "y", min_bin, min_slope)
    width, height = b.x1 - b.x0, b.y1 - b.y0
    slope = height / width
    tau, rest = (v - b.y0) / height, (b.y1 - v) / height  # τ and 1 − τ
    xi, eta = _solve_bin(tau, rest, slope, b.d0, b.d1)
    _, log_slope = _in_bin(xi, eta, slope, b.d0, b.d1)
    return (b.x0 + width * xi) * (2 * bound) - bound + (y - within), -log_slope


class _Bin(NamedTuple):
    """The bin in which each point falls: corners in the unit square and the slopes at both ends."""

    x0: Tensor
    x1: Tensor
    y0: Tensor
    y1: Tensor
    d0: Tensor
    d1: Tensor


def _in_bin(xi: Tensor, eta: Tensor, slope: Tensor, d0: Tensor, d1: Tensor) -> tuple[Tensor, Tensor]:
    """The share of the bin's height climbed at ξ, and the log of the slope there."""
    xi2, eta2, both = xi * xi, eta * eta, xi * eta
    denominator = slope * (xi2 + eta2) + (d0 + d1) * both
    share = (slope * xi2 + d0 * both) / denominator
    ratio = slope / denominator
    return share, torch.log(ratio * ratio * (d1 * xi2 + 2 * slope * both + d0 * eta2))


def _solve_bin(tau: Tensor, rest: Tensor, slope: Tensor, d0: Tensor, d1: Tensor) -> tuple[Tensor, Tensor]:
    """ξ and η of the point that has climbed τ of its bin's height, with 1 − τ the rest."""
    q = d0 * rest - d1 * tau
    # not abs(): its gradient at q = 0, where every fresh spline has its bin centres, would be 0 instead of 1.
    root = torch.where(q >= 0, q, -q) + (q * q + 4 * slope * slope * tau * rest).sqrt()
    over = torch.where(q >= 0, 2 * slope * tau, root)
    under = torch.where(q >= 0, root, 2 * slope * rest)
    return over / (over + under), under / (over + under)


def _bin_of(v: Tensor, params: Tensor, side: str, min_bin: float, min_slope: float) -> _Bin:
    """Find the bin of each v in [0, 1], counting the inner knots at or below it along the given side."""
    bins = (params.shape[0] + 1) // 3
    if bins < 2 or params.shape[0] != 3 * bins - 1:
        raise ValueError(
            f"expected params of shape (3 * bins - 1, ...) with bins >= 2; got shape {tuple(params.shape)}"
        )
    widths, heights, slopes = aligned(params, v.ndim).split((bins, bins, bins - 1))
    knots_x, knots_y = _knots(widths, min_bin), _knots(heights, min_bin)
    k = (v >= (knots_x if side == "x" else knots_y)[1:-1]).sum(0, dtype=torch.int16).long()
    ends = torch.stack((k, k + 1))  # (2, *s): one gather fetches both ends of a bin
    inner = (ends - 1).clamp(0, bins - 2)
    # The outermost knots have no parameter: a raw 0, which is slope 1, meets the tails.
    raw = _rows(slopes, inner) * (inner == ends - 1)
    # softplus, shifted so that a raw 0 is slope 1; raised only once the K − 1 slopes have become 2.
    d = F.softplus(raw + _slope_shift(min_slope)) + min_slope
    return _Bin(*_rows(knots_x, ends), *_rows(knots_y, ends), *d)


def _slope_shift(min_slope: float) -> float:
    """What to add to a raw slope so that a raw 0 is slope 1 = softplus(shift) + min_slope."""
    return math.log(math.expm1(1 - min_slope))


def _knots(logits: Float[Tensor, "K *maps"], min_bin: float) -> Float[Tensor, "K+1 *maps"]:
    """0 = knot_0 < … < knot_K = 1, increasing by min_bin at least.

    Plain additions, because a cumsum over few long rows is slower, and a product with a triangle of ones
    loses its accuracy where float32 products are allowed to round to fewer bits. The last knot is 1
    exactly: then ξ and η lie in [0, 1] without a clamp, which would cut gradients.
    """
    bins = logits.shape[0]
    shares = (logits.softmax(0) * (1 - bins * min_bin) + min_bin).unbind(0)
    zero, one = torch.zeros_like(shares[0]), torch.ones_like(shares[0])
    return torch.stack((*accumulate(shares[:-1], initial=zero), one))


def _rows(table: Float[Tensor, "K *maps"], index: Tensor) -> Tensor:
    """table[index[i, s], s] for index (2, *s); a map shared by many points is expanded, not copied."""
    return table.expand(-1, *index.shape[1:]).gather(0, index)

"""Splines on the circle (Rezende, Papamakarios, Racanière et al. 2020, arXiv 2002.02428, section 2.1).

Angles live in [−π, π), and −π and π are one point. A rational-quadratic spline (formulas in `spline.py`) carries
[−π, π] onto itself; with one slope d₀ = d_K for both ends it joins itself smoothly across the seam. It leaves
the point π where it is, and so a rotation by a learned angle ρ follows:

    z = wrap(S(u) + ρ),     log|dz/du| = log S′(u),     wrap(a) = a − 2π ⌊(a + π) / 2π⌋
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from labkit.flows.spline import _Bin, _in_bin, _knots, _rows, _slope_shift, _solve_bin
from labkit.flows.transforms import ElementwiseBijection, aligned

PI, TURN = math.pi, 2 * math.pi


@dataclass(frozen=True)
class CircularSpline(ElementwiseBijection):
    """The spline and rotation above, from 3K + 1 parameters per feature: K widths, heights and slopes, and ρ.

    A bijection of the *circle*, not of the line: it takes any real number for the angle it is modulo 2π and
    returns angles in [−π, π). Give it a base on [−π, π). At zero parameters it is the identity. Condition it with
    `Elementwise`, whose parameters depend on the context alone; a `Coupling` or an autoregressive transform
    would show its network plain angles, which jump at the seam, and so the density would jump there too.

    Arguments:
        bins: K, at least 2.
        min_bin: least width and height of a bin, as a share of the full turn.
        min_slope: least slope at a knot.

    Raises:
        ValueError: if the bins, at their least width, do not fit; when applied, for another number of parameters.

    Example:
        >>> spline = CircularSpline(bins=4)
        >>> params = torch.zeros(spline.parameters_per_feature, 1)
        >>> params[-1] = math.pi / 2  # a quarter turn
        >>> z, log_slope = spline.forward(torch.tensor([0.0, 3.0]), params)
        >>> z  # 3 + π/2 is past the seam
        tensor([ 1.5708, -1.7124])
    """

    bins: int = 8
    min_bin: float = 1e-3
    min_slope: float = 1e-3

    def __post_init__(self):
        if self.bins < 2:
            raise ValueError(f"expected at least 2 bins; got bins={self.bins}")
        if not 0 < self.min_slope < 1:
            raise ValueError(f"expected 0 < min_slope < 1; got min_slope={self.min_slope}")
        if not 0 < self.min_bin < 1 / self.bins:
            raise ValueError(
                f"expected 0 < min_bin < 1/bins = {1 / self.bins:.3g}, or {self.bins} bins do not fit; "
                f"got min_bin={self.min_bin}"
            )

    @property
    def parameters_per_feature(self) -> int:
        return 3 * self.bins + 1

    def forward(
        self, u: Float[Tensor, "*points"], params: Float[Tensor, "P *maps"]
    ) -> tuple[Float[Tensor, "*s"], Float[Tensor, "*s"]]:
        spline, rotation = self._split(params, u.ndim)
        v = (wrapped(u) + PI) / TURN  # the spline is computed in the unit square
        b = self._bin_of(v, spline, "x")
        width, height = b.x1 - b.x0, b.y1 - b.y0
        share, log_slope = _in_bin((v - b.x0) / width, (b.x1 - v) / width, height / width, b.d0, b.d1)
        return wrapped((b.y0 + height * share) * TURN - PI + rotation), log_slope

    def inverse(
        self, z: Float[Tensor, "*points"], params: Float[Tensor, "P *maps"]
    ) -> tuple[Float[Tensor, "*s"], Float[Tensor, "*s"]]:
        spline, rotation = self._split(params, z.ndim)
        v = (wrapped(z - rotation) + PI) / TURN
        b = self._bin_of(v, spline, "y")
        width, height = b.x1 - b.x0, b.y1 - b.y0
        slope, tau, rest = height / width, (v - b.y0) / height, (b.y1 - v) / height
        xi, eta = _solve_bin(tau, rest, slope, b.d0, b.d1)
        _, log_slope = _in_bin(xi, eta, slope, b.d0, b.d1)
        return wrapped((b.x0 + width * xi) * TURN - PI), -log_slope

    def _split(self, params: Tensor, point_axes: int) -> tuple[Tensor, Tensor]:
        """The spline's 3K parameters and the rotation, aligned with the points."""
        count = self.parameters_per_feature
        if params.shape[0] != count:
            raise ValueError(
                f"expected params of shape (3 * bins + 1, ...) = ({count}, ...); got shape {tuple(params.shape)}"
            )
        params = aligned(params, point_axes)
        return params[:-1], params[-1]

    def _bin_of(self, v: Tensor, spline: Tensor, side: str) -> _Bin:
        """Find the bin of each v in [0, 1]; the slope after the last inner one is the first again."""
        widths, heights, slopes = spline.split(self.bins)
        knots_x, knots_y = _knots(widths, self.min_bin), _knots(heights, self.min_bin)
        k = (v >= (knots_x if side == "x" else knots_y)[1:-1]).sum(0, dtype=torch.int16).long()
        ends = torch.stack((k, k + 1))
        d = F.softplus(_rows(slopes, ends % self.bins) + _slope_shift(self.min_slope)) + self.min_slope
        return _Bin(*_rows(knots_x, ends), *_rows(knots_y, ends), *d)


def wrapped(angle: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
    """The same angle in [−π, π), where an angle of that range is returned as it is, to the last bit.

    Example:
        >>> wrapped(torch.tensor([0.5, 4.0, -math.pi, math.pi]))
        tensor([ 0.5000, -2.2832, -3.1416, -3.1416])
    """
    turned = angle - TURN * torch.floor((angle + PI) / TURN)
    # Rounding may leave an angle next to the seam on its far side, or send one to +π itself.
    turned = torch.where(turned < -PI, turned + TURN, turned)
    return torch.where(turned >= PI, turned - TURN, turned)

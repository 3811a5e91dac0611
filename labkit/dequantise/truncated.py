"""TRUFL: a learned, bounded support for each token (Tan, Huang, Sordoni & Courville, ICLR 2022).

Between argmax flows, whose supports are fixed, and categorical flows, whose supports are the whole space: here the
supports themselves are learned. Where they end up disjoint, reading back is exact.
"""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor, nn
from torch.nn.functional import logsigmoid

from labkit.dequantise.base import EXCLUDED
from labkit.dequantise.bayes import BayesDequantiser, token_flow
from labkit.dequantise.noise import uniform_noise
from labkit.flows.transforms import Transform

FARTHEST = 30.0  # of a raw centre: a support that touches 0 or 1 has its raw centre at infinity
ROUNDING = 16.0  # units of rounding within which a point still counts as inside


class TruncatedDequantiser(BayesDequantiser):
    """z = T_x(μ_x + s_x logit u), u = a_x + (b_x − a_x) ε, ε ~ U(0, 1)^d: a logistic cut to its quantiles a_x < b_x.

        log q(z∣x) = Σ_i [log f(y_i) − log(b_xi − a_xi)] − log|det ∂T_x/∂y| inside, −∞ outside      (nats)

    with f the logistic density of location μ_x and scale s_x, and y = T_x⁻¹(z). *a < b by construction*, with nothing
    clamped: the width is w = w_min + (1 − w_min) σ(r), then a = σ(c) (1 − w) and b = a + w (all shrunk into
    [δ, 1 − δ], δ = 4 units of rounding, so that logit u is finite).

    Edges are hard where figures are reported. There the gradient of p(x∣z) lacks what a moving edge of an overlapping
    support adds, so training takes a soft edge of width τ, measured in widths of the support, *on every class*:

        log e_x(z) = Σ_i [log σ((u_i − a_xi) / (τ w_xi)) + log σ((b_xi − u_i) / (τ w_xi))]

    in p(x∣z) ∝ p̃(x) f_x(z) e_x(z) / w_x, which is a decoder like any other, so that the bound stays valid, and tends
    to the hard one as τ -> 0.

    Mass that a prior puts outside 𝒮, the union of the supports, is lost: `DequantisedDensity` estimates the rest, Z.

    Arguments:
        vocabulary_size, dim, flow, spread, scale: as in `BayesDequantiser`.
        min_width: w_min.
        width: w at the start; every support begins in the middle, [(1 − w)/2, (1 + w)/2].

    Raises:
        ValueError: for widths outside 0 < min_width < width < 1.

    Example:
        >>> code = TruncatedDequantiser(vocabulary_size=5, dim=2)
        >>> u = code.draw_quantiles(torch.tensor([[0, 4, 4]]))
        >>> a, b = code.bounds()
        >>> bool(((u >= a[[0, 4, 4]]) & (u <= b[[0, 4, 4]])).all())
        True
    """

    def __init__(
        self,
        vocabulary_size: int,
        dim: int,
        flow: Transform | None = None,
        spread: float = 2.0,
        scale: float = 0.2,
        min_width: float = 1e-3,
        width: float = 0.6,
    ):
        super().__init__(vocabulary_size, dim, flow, spread, scale)
        if not 0 < min_width < width < 1:
            raise ValueError(f"expected 0 < min_width < width < 1; got min_width={min_width} and width={width}")
        self.min_width = min_width
        start = math.log((width - min_width) / (1 - width))
        self.raw_width = nn.Parameter(torch.full((vocabulary_size, dim), start))  # r
        self.raw_centre = nn.Parameter(torch.zeros(vocabulary_size, dim))  # c

    @classmethod
    def with_flows(cls, vocabulary_size: int, dim: int, layers: int = 2) -> "TruncatedDequantiser":
        """With a flow per token, `token_flow(dim)`: supports are images of boxes."""
        return cls(vocabulary_size, dim, token_flow(dim, layers=layers))

    @torch.no_grad()
    def set_bounds(self, low: Float[Tensor, "V d"], high: Float[Tensor, "V d"]) -> "TruncatedDequantiser":
        """Put the supports at given quantiles a < b, wider than min_width, and return self.

        Raises:
            ValueError: for bounds that are not 0 <= a, a + min_width < b <= 1.
        """
        width = high - low
        if not ((low >= 0) & (high <= 1) & (width > self.min_width)).all():
            raise ValueError(f"expected 0 <= low, low + {self.min_width} < high <= 1; got low={low} and high={high}")
        inner = torch.where(width < 1, low / (1 - width), 0.5)
        raw = torch.logit((width - self.min_width) / (1 - self.min_width))
        self.raw_width.copy_(raw.clamp(-FARTHEST, FARTHEST))
        self.raw_centre.copy_(torch.logit(inner.clamp(0, 1)).clamp(-FARTHEST, FARTHEST))
        return self

    def bounds(self) -> tuple[Float[Tensor, "V d"], Float[Tensor, "V d"]]:
        """a and b of every token: quantiles of its logistic, 0 < a < b < 1."""
        a, width = self._low_and_width()
        return a, a + width

    def draw_quantiles(
        self, tokens: Int[Tensor, "*batch n"], generator: Generator | None = None
    ) -> Float[Tensor, "*batch n d"]:
        """u = a + w ε. Rounding is monotone: 0 <= ε <= 1 gives a <= u <= a + w, as computed, without a clamp."""
        a, width = self._low_and_width()
        epsilon = uniform_noise(self.loc, (*tokens.shape, self.dim), generator)
        return a[tokens] + width[tokens] * epsilon

    def draw(
        self, tokens: Int[Tensor, "*batch n"], generator: Generator | None = None
    ) -> tuple[Float[Tensor, "*batch n d"], Float[Tensor, "*batch n d"]]:
        t = torch.logit(self.draw_quantiles(tokens, generator))
        return t, self.log_extra()[tokens]

    def log_extra(self) -> Float[Tensor, "V d"]:
        """−log(b − a)."""
        return -self._low_and_width()[1].log()

    def log_edges(
        self, u: Float[Tensor, "*points d"], edge: float, tokens: Int[Tensor, "*batch n"] | None = None
    ) -> Float[Tensor, "*points"]:
        """Σ_i of the soft edges; with edge = 0, of tokens as drawn it is 0, and elsewhere 0 inside and −10⁴ outside."""
        if edge == 0:
            return u.new_zeros(u.shape[:-1]) if tokens is not None else (~self._inside(u)).to(u.dtype) * EXCLUDED
        a, width = self._low_and_width()
        if tokens is not None:
            a, width = a[tokens], width[tokens]
        from_low = (u - a) / width
        return (logsigmoid(from_low / edge) + logsigmoid((1 - from_low) / edge)).sum(-1)

    def supports(self, z: Float[Tensor, "*batch n d"]) -> Bool[Tensor, "*batch n V"]:
        """In whose support each point lies, to within some units of rounding."""
        self.check_points(z)
        return self._inside(torch.sigmoid(self.to_base(z)[0]))

    def in_support(self, z: Float[Tensor, "*batch n d"]) -> Bool[Tensor, "*batch"]:
        """Whether z is in 𝒮: each of the n points in the support of at least one token."""
        return self.supports(z).any(-1).all(-1)

    def _inside(self, u: Tensor) -> Tensor:
        a, width = self._low_and_width()
        slack = ROUNDING * torch.finfo(u.dtype).eps
        return ((u >= a - slack) & (u <= a + width + slack)).all(-1)

    def _low_and_width(self) -> tuple[Tensor, Tensor]:
        delta = 4 * torch.finfo(self.loc.dtype).eps
        width = self.min_width + (1 - self.min_width) * torch.sigmoid(self.raw_width)
        # 1 − w to full precision, which 1 − width has lost where w is near 1
        rest = (1 - self.min_width) * torch.sigmoid(-self.raw_width)
        return delta + (1 - 2 * delta) * torch.sigmoid(self.raw_centre) * rest, (1 - 2 * delta) * width

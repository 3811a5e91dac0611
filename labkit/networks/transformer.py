"""A small transformer that turns n points into n rows of outputs, each of which has seen all the points."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class SoftBins(nn.Module):
    """x -> exp(−½ ((x − c_j)/h)²), j = 1 … J, with centres c_j at distance h on [−B, B]: where a coordinate lies.

    A network that is told in which bin a coordinate lies need not first learn to cut the line to pieces.

    Arguments:
        bins: J >= 2.
        bound: B.

    Example:
        >>> SoftBins(bins=3, bound=1.0)(torch.tensor([[-1.0]]))  # at the first centre, one and two widths off
        tensor([[1.0000, 0.6065, 0.1353]])
    """

    def __init__(self, bins: int = 24, bound: float = 4.0):
        super().__init__()
        if bins < 2 or bound <= 0:
            raise ValueError(f"expected bins >= 2 and bound > 0; got bins={bins} and bound={bound}")
        self.register_buffer("centres", torch.linspace(-bound, bound, bins), persistent=False)
        self.spacing = 2 * bound / (bins - 1)

    def forward(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch bins"]:
        """(…, d) -> (…, d J)."""
        return torch.exp(-0.5 * ((x[..., None] - self.centres) / self.spacing).square()).flatten(-2)


class Attention(nn.Module):
    """softmax(Q Kᵀ / √h) V in each of several heads of width h, and a linear map of all heads together.

    (Vaswani et al. 2017, arXiv 1706.03762, eq. 1; `causal`: position t sees the positions up to t.)
    """

    def __init__(self, width: int, heads: int, causal: bool):
        super().__init__()
        self.heads, self.causal = heads, causal
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, h: Float[Tensor, "*batch n width"]) -> Float[Tensor, "*batch n width"]:
        q, k, v = self.queries_keys_values(h).unflatten(-1, (3, self.heads, -1)).movedim(-3, 0).transpose(-2, -3)
        scores = k @ (q / math.sqrt(q.shape[-1])).mT  # (*batch, heads, keys, queries)
        if self.causal:
            later = torch.ones(h.shape[-2], h.shape[-2], dtype=torch.bool, device=h.device).tril(-1)
            scores = scores.masked_fill(later, -torch.inf)
        # A softmax over few neighbouring numbers is slow on a CPU: with keys as the first axis it takes a third.
        weights = scores.movedim(-2, 0).contiguous().softmax(0).movedim(0, -1)
        return self.out((weights @ v).transpose(-2, -3).flatten(-2))


class Block(nn.Module):
    """h + attention(norm(h)), then h + MLP(norm(h)): the pre-norm residual block."""

    def __init__(self, width: int, heads: int, causal: bool):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads, causal)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width))

    def forward(self, h: Float[Tensor, "*batch n width"]) -> Float[Tensor, "*batch n width"]:
        h = h + self.attention(self.norm1(h))
        return h + self.mlp(self.norm2(h))


class Transformer(nn.Module):
    """n points (n, in) -> n rows (n, out): as a *set* without a position code, as a *sequence* with one.

    Without a code, outputs are permuted as the points are (equivariance). With `positions` each place has a learned
    vector, and order matters. A context, one vector for all n points, is added to each of them.

    Arguments:
        in_features, out_features: widths of the rows.
        width: of the hidden vectors; a multiple of `heads`.
        blocks, heads: attention layers, and heads in each.
        positions: n, for a sequence; None for a set, whose n is then free.
        causal: row t sees the points up to t only.
        context_features: c, or 0.
        bins: each coordinate is also given as so many `SoftBins`; 0 for none.
        zero_init: start with all outputs zero.

    Raises:
        ValueError: for a width that heads do not divide, or points, positions or a context of the wrong size.

    Example:
        >>> Transformer(in_features=2, out_features=5)(torch.zeros(10, 4, 2)).shape
        torch.Size([10, 4, 5])
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        width: int = 48,
        blocks: int = 1,
        heads: int = 4,
        *,
        positions: int | None = None,
        causal: bool = False,
        context_features: int = 0,
        bins: int = 0,
        zero_init: bool = False,
    ):
        super().__init__()
        if width % heads:
            raise ValueError(f"expected a width that {heads} heads divide; got width={width}")
        self.in_features, self.out_features, self.context_features = in_features, out_features, context_features
        self.bins = SoftBins(bins) if bins else None
        self.from_points = nn.Linear(in_features * (1 + bins), width)
        self.from_context = nn.Linear(context_features, width, bias=False) if context_features else None
        self.code = None if positions is None else nn.Parameter(0.1 * torch.randn(positions, width))
        self.blocks = nn.ModuleList(Block(width, heads, causal) for _ in range(blocks))
        self.norm, self.last = nn.LayerNorm(width), nn.Linear(width, out_features)
        if zero_init:
            nn.init.zeros_(self.last.weight)
            nn.init.zeros_(self.last.bias)

    def forward(
        self, points: Float[Tensor, "*points n d"], context: Float[Tensor, "*contexts c"] | None = None
    ) -> Float[Tensor, "*batch n out"]:
        """One row for each point; batch is that to which the points' and the context's batch shapes broadcast."""
        return self.last(self._hidden(points, context))

    def outputs_first(
        self, points: Float[Tensor, "*points n d"], context: Float[Tensor, "*contexts c"] | None = None
    ) -> Float[Tensor, "out *batch n"]:
        """The same numbers with the outputs as the first axis, as elementwise bijections take their parameters."""
        h = self._hidden(points, context)
        out = self.last.weight @ h.reshape(-1, h.shape[-1]).T + self.last.bias[:, None]
        return out.reshape(self.out_features, *h.shape[:-1])

    def _hidden(self, points: Tensor, context: Tensor | None) -> Tensor:
        if points.ndim < 2 or points.shape[-1] != self.in_features:
            raise ValueError(f"expected points of shape (..., n, {self.in_features}); got shape {tuple(points.shape)}")
        seen = points if self.bins is None else torch.cat((points, self.bins(points)), -1)
        h = self.from_points(seen)
        if self.code is not None:
            if points.shape[-2] > len(self.code):
                raise ValueError(f"expected at most {len(self.code)} positions; got {points.shape[-2]}")
            h = h + self.code[: points.shape[-2]]
        if self.from_context is not None:
            if context is None or context.shape[-1:] != (self.context_features,):
                got = "None" if context is None else f"shape {tuple(context.shape)}"
                raise ValueError(f"expected a context of shape (..., {self.context_features}); got {got}")
            h = h + self.from_context(context)[..., None, :]
        for block in self.blocks:
            h = block(h)
        return F.silu(self.norm(h))

"""Priors over the points of a whole sequence or set: flows of n·d features whose conditioners are transformers.

A point of such a flow is z (n, d) with its axes laid end to end, so that it is an ordinary `Flow`, and any other flow
of n·d features can stand in its place. For a *set* nothing depends on the order of positions: each is treated by the
same network, and p(z) does not change when positions are permuted.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from labkit.flows.affine import ElementwiseAffine
from labkit.flows.autoregressive import MaskedAutoregressive
from labkit.flows.base import StandardLogistic
from labkit.flows.coupling import Elementwise
from labkit.flows.flow import Flow
from labkit.flows.linear import LULinear
from labkit.flows.mixture import MixtureCDF
from labkit.flows.transforms import Compose, ElementwiseBijection, Transform
from labkit.networks.transformer import Transformer


class PerPosition(Transform):
    """The same transform of d features at each of n positions; log-determinants are summed over positions.

    Arguments:
        transform: of d features.
        positions: n.

    Example:
        >>> layer = PerPosition(LULinear(2), positions=5)
        >>> layer.features
        10
    """

    def __init__(self, transform: Transform, positions: int):
        super().__init__(transform.features * positions, transform.context_features)
        self.transform, self.positions = transform, positions

    def forward_and_log_det(
        self, u: Float[Tensor, "*points d"], context: Float[Tensor, "*contexts c"] | None = None
    ) -> tuple[Float[Tensor, "*batch d"], Float[Tensor, "*batch"]]:
        return self._at_each(self.transform.forward_and_log_det, u, context)

    def inverse_and_log_det(
        self, z: Float[Tensor, "*points d"], context: Float[Tensor, "*contexts c"] | None = None
    ) -> tuple[Float[Tensor, "*batch d"], Float[Tensor, "*batch"]]:
        return self._at_each(self.transform.inverse_and_log_det, z, context)

    def _at_each(self, direction: Callable, points: Tensor, context: Tensor | None):
        self.batch_shape(points, context)
        shared = None if context is None else context[..., None, :]
        moved, log_det = direction(points.unflatten(-1, (self.positions, -1)), shared)
        return moved.flatten(-2), log_det.sum(-1)


class TransformerCoupling(Transform):
    """z = [u_a, f(u_b; θ)] at every position, with θ = Transformer(u_a of all positions, c).

    Coordinates are split, not places: at each of n positions ⌊d/2⌋ coordinates stay, and those of all positions
    together say how the others are moved
    (Lippe & Gavves 2021, arXiv 2006.09790; mixture-CDF bijections: arXiv 1902.00275). Fresh, it is the identity.

    Arguments:
        bijection: the family f.
        positions, dim: n and d >= 2.
        ordered: whether positions are told apart (a sequence) or not (a set).
        swap: move the given half instead.
        context_features: c, or 0.
        network: width, blocks, heads, bins of the `Transformer`.

    Raises:
        ValueError: for one dimension, which has no other half.
    """

    def __init__(
        self,
        bijection: ElementwiseBijection,
        positions: int,
        dim: int,
        ordered: bool = False,
        swap: bool = False,
        context_features: int = 0,
        **network: int,
    ):
        super().__init__(positions * dim, context_features)
        if dim < 2:
            raise ValueError(f"TransformerCoupling expected dim >= 2, of which a half is moved; got dim={dim}")
        self.bijection, self.positions, self.swap = bijection, positions, swap
        self.halves = (dim // 2, dim - dim // 2)
        kept, self.moved = reversed(self.halves) if swap else self.halves
        self.conditioner = Transformer(
            kept,
            bijection.parameters_per_feature * self.moved,
            positions=positions if ordered else None,
            context_features=context_features,
            zero_init=True,
            **network,
        )

    def forward_and_log_det(
        self, u: Float[Tensor, "*points d"], context: Float[Tensor, "*contexts c"] | None = None
    ) -> tuple[Float[Tensor, "*batch d"], Float[Tensor, "*batch"]]:
        return self._move(self.bijection.forward, u, context)

    def inverse_and_log_det(
        self, z: Float[Tensor, "*points d"], context: Float[Tensor, "*contexts c"] | None = None
    ) -> tuple[Float[Tensor, "*batch d"], Float[Tensor, "*batch"]]:
        return self._move(self.bijection.inverse, z, context)

    def _move(self, direction: Callable, points: Tensor, context: Tensor | None):
        batch = self.batch_shape(points, context)
        rows = points.expand(*batch, -1).unflatten(-1, (self.positions, -1))
        a, b = rows.split(self.halves, -1)
        kept, moved = (b, a) if self.swap else (a, b)
        params = self.conditioner.outputs_first(kept, context)  # (P * moved, *batch, n)
        params = params.reshape(self.bijection.parameters_per_feature, self.moved, *batch, self.positions)
        moved, log_det = direction(moved.movedim(-1, 0).contiguous(), params)
        moved = moved.movedim(0, -1)
        rows = torch.cat((moved, kept) if self.swap else (kept, moved), -1)
        return rows.flatten(-2), log_det.sum((0, -1))


class TransformerAutoregressive(Transform):
    """z_t = f(u_t; θ(z_1, …, z_{t−1}, c)): a causal transformer reads the positions before, a masked network the rest.

    h_t, the transformer's row, is the context of a `MaskedAutoregressive` of the d coordinates at t. Densities take one
    pass. Draws go from position to position, with a pass of the transformer for each: n times as long.

    Arguments:
        bijection: the family f.
        positions, dim: n and d.
        context_features: c, or 0.
        network: width, blocks, heads, bins of the `Transformer`.
    """

    def __init__(
        self, bijection: ElementwiseBijection, positions: int, dim: int, context_features: int = 0, **network: int
    ):
        super().__init__(positions * dim, context_features)
        self.positions, self.dim = positions, dim
        width = network.get("width", 48)
        self.before_all = nn.Parameter(torch.zeros(dim))  # what stands before the first position
        self.reader = Transformer(
            dim, width, positions=positions, causal=True, context_features=context_features, **network
        )
        self.writer = MaskedAutoregressive(bijection, dim, width, (max(width, dim),))

    def inverse_and_log_det(
        self, z: Float[Tensor, "*points d"], context: Float[Tensor, "*contexts c"] | None = None
    ) -> tuple[Float[Tensor, "*batch d"], Float[Tensor, "*batch"]]:
        batch = self.batch_shape(z, context)
        rows = z.expand(*batch, -1).unflatten(-1, (self.positions, -1))
        start = self.before_all.expand(*batch, 1, -1)
        h = self.reader(torch.cat((start, rows[..., :-1, :]), -2), context)
        u, log_det = self.writer.inverse_and_log_det(rows, h)
        return u.flatten(-2), log_det.sum(-1)

    def forward_and_log_det(
        self, u: Float[Tensor, "*points d"], context: Float[Tensor, "*contexts c"] | None = None
    ) -> tuple[Float[Tensor, "*batch d"], Float[Tensor, "*batch"]]:
        batch = self.batch_shape(u, context)
        rows = u.expand(*batch, -1).unflatten(-1, (self.positions, -1))
        known, total = self.before_all.expand(*batch, 1, -1), 0.0
        for t in range(self.positions):
            h = self.reader(known, context)[..., -1, :]
            z, log_det = self.writer.forward_and_log_det(rows[..., t, :], h)
            known, total = torch.cat((known, z[..., None, :]), -2), total + log_det
        return known[..., 1:, :].flatten(-2), total


def coupling_flow(
    positions: int, dim: int, ordered: bool = False, layers: int = 6, components: int = 8, **network: int
) -> Flow:
    """A density over n points of R^d: `layers` of [coupling, linear, affine per coordinate] on a standard logistic.

    Seen from the data, each layer is an affine map per coordinate (the place of ActNorm), an LU-factored d × d matrix
    that begins as a random rotation, and a mixture-CDF coupling with a transformer conditioner.

    Arguments:
        positions, dim: n and d >= 2.
        ordered: a sequence (position code) or a set (none).
        layers, components: number of layers, and of components of each mixture.
        network: width, blocks, heads, bins of each `Transformer`; bins = 24 unless given.

    Example:
        >>> coupling_flow(positions=4, dim=2, layers=2)().log_prob(torch.zeros(10, 8)).shape
        torch.Size([10])
    """
    network = {"bins": 24} | network
    parts: list[Transform] = []
    for i in range(layers):
        rotation = LULinear.from_matrix(nn.init.orthogonal_(torch.empty(dim, dim)))
        coupling = TransformerCoupling(MixtureCDF(components), positions, dim, ordered, i % 2 == 1, **network)
        _spread_components(coupling.conditioner.last.bias, components)
        parts += [
            coupling,
            PerPosition(rotation, positions),
            PerPosition(Elementwise(ElementwiseAffine(), dim), positions),
        ]
    return Flow(Compose(parts), StandardLogistic(positions * dim))


@torch.no_grad()
def _spread_components(bias: Float[Tensor, "outputs"], components: int) -> None:
    """Locations from −3 to 3 instead of all at 0, where humps grow from the second order on only."""
    logits_locs_scales = bias.reshape(3, components, -1)
    logits_locs_scales[1] += torch.linspace(-3.0, 3.0, components)[:, None] if components > 1 else 0.0
    logits_locs_scales[2] -= 0.5


def autoregressive_flow(positions: int, dim: int, layers: int = 2, components: int = 8, **network: int) -> Flow:
    """A density over a sequence of n points of R^d, each given those before it, on a standard logistic.

    Arguments:
        positions, dim: n and d.
        layers, components: number of `TransformerAutoregressive` layers, and of components of each mixture.
        network: width, blocks, heads, bins of each `Transformer`; bins = 24 unless given.

    Example:
        >>> autoregressive_flow(positions=4, dim=1, layers=1)().log_prob(torch.zeros(10, 4)).shape
        torch.Size([10])
    """
    network = {"bins": 24} | network
    parts: list[Transform] = []
    for _ in range(layers):
        layer = TransformerAutoregressive(MixtureCDF(components), positions, dim, **network)
        _spread_components(layer.writer.conditioner.layers[-1].bias, components)
        parts += [layer, PerPosition(Elementwise(ElementwiseAffine(), dim), positions)]
    return Flow(Compose(parts), StandardLogistic(positions * dim))

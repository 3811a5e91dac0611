"""Autoregressive conditioning: the features before it choose how each feature is moved."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from labkit.flows.transforms import ElementwiseBijection, Transform
from labkit.networks.masked import MaskedMLP


class MaskedAutoregressive(Transform):
    """z_i = f(u_i; θ_i(z_1, …, z_{i−1}, c)): the inverse in one pass, the forward feature by feature.

    log|det ∂z/∂u| = Σ_i log f′(u_i; θ_i), because the Jacobian is triangular (Papamakarios, Pavlakou & Murray 2017,
    arXiv 1705.07057, eqs. 3-5; with splines, Durkan et al. 2019, arXiv 1906.04032). Data are seen whole,
    so that `inverse_and_log_det` and with it `log_prob` are parallel. In the other direction z_i is known only after
    z_{i−1}; the network's units are sorted by degree so that each of them is evaluated once in all (`MaskedMLP`), and
    sampling costs little more than one pass. For fast sampling and slow densities instead, put it into `Inverse`.

    Fresh, it is the identity. Features are taken in their order: alternate with `Reverse`, or another `Permutation`.

    Arguments:
        bijection: the family f.
        features: d.
        context_features: c, or 0.
        hidden: widths of the masked network, each at least d.
        activation: of that network.

    Example:
        >>> from labkit.flows.affine import ElementwiseAffine
        >>> layer = MaskedAutoregressive(ElementwiseAffine(), features=3, context_features=5)
        >>> z, log_det = layer.forward_and_log_det(torch.randn(100, 7, 3), torch.randn(7, 5))
        >>> z.shape, log_det.shape
        (torch.Size([100, 7, 3]), torch.Size([100, 7]))
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
        self.conditioner = MaskedMLP(
            features, context_features, hidden, bijection.parameters_per_feature, activation=activation, zero_init=True
        )

    def inverse_and_log_det(
        self, z: Float[Tensor, "*points d"], context: Float[Tensor, "*contexts c"] | None = None
    ) -> tuple[Float[Tensor, "*batch d"], Float[Tensor, "*batch"]]:
        batch = self.batch_shape(z, context)
        params = self.conditioner(z, context)  # (P, d, *batch)
        u, log_det = self.bijection.inverse(z.expand(*batch, -1).movedim(-1, 0).contiguous(), params)
        return u.movedim(0, -1), log_det.sum(0)

    def forward_and_log_det(
        self, u: Float[Tensor, "*points d"], context: Float[Tensor, "*contexts c"] | None = None
    ) -> tuple[Float[Tensor, "*batch d"], Float[Tensor, "*batch"]]:
        batch = self.batch_shape(u, context)
        columns = u.expand(*batch, -1).movedim(-1, 0).contiguous()
        steps, values, log_det = self.conditioner.steps(batch, context), [], 0.0
        for column in columns:
            params = steps.next(values[-1] if values else None)  # (P, *batch)
            z, log_slope = self.bijection.forward(column, params)
            values.append(z)
            log_det = log_det + log_slope
        return torch.stack(values, -1), log_det

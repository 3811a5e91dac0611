"""The affine elementwise bijection: a location and a scale."""

import math
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from labkit.flows.transforms import ElementwiseBijection


@dataclass(frozen=True)
class ElementwiseAffine(ElementwiseBijection):
    """z = e^s u + t, with log-derivative s, from two parameters (t, r) per feature: s = m tanh(r / m).

    The bound m on the log-scale keeps a wild step of training from overflowing float32; near r = 0 it is
    not felt (s ≈ r). Affine maps are the couplings of RealNVP (Dinh, Sohl-Dickstein & Bengio 2017, arXiv
    1605.08803, eqs. 4-5).

    Arguments:
        max_log_scale: m. The default allows scales from 1/1000 to 1000.

    Example:
        >>> import torch
        >>> params = torch.tensor([[3.0], [0.0]])  # location 3, scale e^0
        >>> ElementwiseAffine().forward(torch.tensor([2.0]), params)
        (tensor([5.]), tensor([0.]))
    """

    max_log_scale: float = math.log(1000.0)

    @property
    def parameters_per_feature(self) -> int:
        return 2

    def forward(
        self, u: Float[Tensor, "*points"], params: Float[Tensor, "2 *maps"]
    ) -> tuple[Float[Tensor, "*s"], Float[Tensor, "*s"]]:
        shift, log_scale = self._shift_and_log_scale(params)
        z = u * log_scale.exp() + shift
        return z, log_scale.expand_as(z)

    def inverse(
        self, z: Float[Tensor, "*points"], params: Float[Tensor, "2 *maps"]
    ) -> tuple[Float[Tensor, "*s"], Float[Tensor, "*s"]]:
        shift, log_scale = self._shift_and_log_scale(params)
        u = (z - shift) * (-log_scale).exp()
        return u, (-log_scale).expand_as(u)

    def _shift_and_log_scale(self, params: Tensor) -> tuple[Tensor, Tensor]:
        shift, raw = params.unbind(0)
        return shift, self.max_log_scale * (raw / self.max_log_scale).tanh()

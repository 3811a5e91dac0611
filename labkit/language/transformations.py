"""How one flow of TarFlowLM moves the tokens of a patch, given what it has read: affine, Mix-1 and Mix-d.

All have one contract. z and u are patches (*batch, P, d): P tokens of d coordinates each; h (*batch, width) is what a
causal transformer has made of the patches before. `to_base` and `to_data` are each other's inverse; log-determinants
are summed over the patch, in nats. Under autocast h may be of lower precision; the maps themselves never are.
"""

import math
from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor, nn

from labkit.dequantise.base import Dequantiser
from labkit.flows.autoregressive import MaskedAutoregressive
from labkit.flows.mixture import HALF_LOG_2PI, MixtureCDF
from labkit.flows.rosenblatt import MixtureRosenblatt

MAX_LOG_SCALE = 6.0
# Log-weight, at the start, of the component that leaves points as they are: in the flow next to the data, and in the
# others. With single tokens the first flow is to say all it can. What it has carried to the base looks like noise to a
# flow that might tie it to its neighbours in the patch, so that with patches it begins undecided.
UNTOUCHED = {"tokens": (-4.0, 4.0), "patches": (2.0, 0.0)}


class PatchTransformation(nn.Module, ABC):
    """u = f(z; h) for one patch: see the head of this module.

    Arguments:
        code: the encoder, whose codebook a transformation may share.
        patch, width: P and the width of h.
        first: whether this is the flow next to the data.
    """

    def __init__(self, code: Dequantiser, patch: int, width: int, first: bool):
        super().__init__()
        self.patch, self.dim = patch, code.dim

    @abstractmethod
    def to_base(
        self, z: Float[Tensor, "*batch P d"], h: Float[Tensor, "*batch width"], code: Dequantiser
    ) -> tuple[Float[Tensor, "*batch P d"], Float[Tensor, "*batch"]]:
        """u and log|det ∂u/∂z|."""

    @abstractmethod
    def to_data(
        self, u: Float[Tensor, "*batch P d"], h: Float[Tensor, "*batch width"], code: Dequantiser
    ) -> Float[Tensor, "*batch P d"]:
        """z."""

    def log_prob(
        self, z: Float[Tensor, "*batch P d"], h: Float[Tensor, "*batch width"], code: Dequantiser
    ) -> Float[Tensor, "*batch"]:
        """log density of the patch if u is standard normal (nats)."""
        u, log_det = self.to_base(z, h, code)
        return log_det + standard_normal(u)


class Affine(PatchTransformation):
    """u = (z − m(h)) exp(−a(h)), a Gaussian for each patch, as in TarFlow (arXiv 2412.06329, eq. 4); |a| < 6."""

    def __init__(self, code: Dequantiser, patch: int, width: int, first: bool):
        super().__init__(code, patch, width, first)
        self.last = nn.Linear(width, 2 * patch * self.dim)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def to_base(
        self, z: Float[Tensor, "*batch P d"], h: Float[Tensor, "*batch width"], code: Dequantiser
    ) -> tuple[Float[Tensor, "*batch P d"], Float[Tensor, "*batch"]]:
        shift, log_scale = self._shift_and_scale(h, z)
        return (z - shift) * (-log_scale).exp(), -log_scale.sum((-1, -2))

    def to_data(
        self, u: Float[Tensor, "*batch P d"], h: Float[Tensor, "*batch width"], code: Dequantiser
    ) -> Float[Tensor, "*batch P d"]:
        shift, log_scale = self._shift_and_scale(h, u)
        return shift + log_scale.exp() * u

    def _shift_and_scale(self, h: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        shift, raw = self.last(h).to(like.dtype).unflatten(-1, (2, self.patch, self.dim)).unbind(-3)
        return shift, MAX_LOG_SCALE * (raw / MAX_LOG_SCALE).tanh()


class Mix1(PatchTransformation):
    """Mix-1: coordinate by coordinate, u_i = Φ⁻¹(F_i(z_i; z_1 … z_{i−1}, h)), F_i the cdf of a mixture of K Gaussians.

    A masked perceptron reads h and the coordinates before: weights, locations and scales of each F_i
    (arXiv 2507.00425). Each coordinate has a mixture of its own; no codebook.
    """

    components = 8

    def __init__(self, code: Dequantiser, patch: int, width: int, first: bool):
        super().__init__(code, patch, width, first)
        features = patch * self.dim
        mixture = MixtureCDF(self.components, kind="gaussian")
        self.layer = MaskedAutoregressive(mixture, features, width, (max(width, features),))
        with torch.no_grad():  # apart from the start, where coinciding components would stay together for long
            bias = self.layer.conditioner.layers[-1].bias.unflatten(0, (3, self.components, features))
            bias[1] += torch.linspace(-2.0, 2.0, self.components)[:, None]
            bias[2] -= 0.5

    def to_base(
        self, z: Float[Tensor, "*batch P d"], h: Float[Tensor, "*batch width"], code: Dequantiser
    ) -> tuple[Float[Tensor, "*batch P d"], Float[Tensor, "*batch"]]:
        with torch.autocast(z.device.type, enabled=False):
            u, log_det = self.layer.inverse_and_log_det(z.flatten(-2), h.to(z.dtype))
        return u.unflatten(-1, z.shape[-2:]), log_det

    def to_data(
        self, u: Float[Tensor, "*batch P d"], h: Float[Tensor, "*batch width"], code: Dequantiser
    ) -> Float[Tensor, "*batch P d"]:
        z, _ = self.layer.forward_and_log_det(u.flatten(-2), h.to(u.dtype))
        return z.unflatten(-1, u.shape[-2:])


class MixD(PatchTransformation):
    """Mix-d: each token of the patch by the Rosenblatt transform of a mixture over the *encoder's* codebook.

    h says only the V weights, E (A_p h) for slot p of the patch, and that of one more component, N(0, I): with
    all the weight on it a flow leaves points as they are. A flow of Mix-d alone, next to the base, is the mixture
    density Σ_j α_j(h) N(z; μ_j, s_j²), and the bound is then E log Σ_j α_j p(j∣z): as σ -> 0, it is log α_x, the
    discrete model's log-likelihood (the proposition of arXiv 2507.00425). Tokens of one patch are
    independent given h; what ties them is for another flow to find.

    Raises:
        ValueError: for a code without a codebook `loc`, `log_scale` of shape (V, d).
    """

    def __init__(self, code: Dequantiser, patch: int, width: int, first: bool):
        super().__init__(code, patch, width, first)
        if not (hasattr(code, "loc") and hasattr(code, "log_scale")):
            raise ValueError(
                "Mix-d shares the encoder's codebook; expected a code with loc and log_scale, "
                f"got {type(code).__name__}"
            )
        self.mixture = MixtureRosenblatt()
        self.slots = nn.Linear(width, patch * width, bias=False) if patch > 1 else nn.Identity()
        self.to_weights = nn.Linear(width, code.vocabulary_size + 1)
        with torch.no_grad():
            self.to_weights.weight.div_(math.sqrt(3.0) / 2)
            self.to_weights.bias.zero_()
            self.to_weights.bias[-1] = UNTOUCHED["patches" if patch > 1 else "tokens"][0 if first else 1]

    def to_base(
        self, z: Float[Tensor, "*batch P d"], h: Float[Tensor, "*batch width"], code: Dequantiser
    ) -> tuple[Float[Tensor, "*batch P d"], Float[Tensor, "*batch"]]:
        u, log_det = self.mixture.inverse(z, *self._mixture(h, z, code))
        return u, log_det.sum(-1)

    def to_data(
        self, u: Float[Tensor, "*batch P d"], h: Float[Tensor, "*batch width"], code: Dequantiser
    ) -> Float[Tensor, "*batch P d"]:
        return self.mixture.forward(u, *self._mixture(h, u, code))[0]

    def log_prob(
        self, z: Float[Tensor, "*batch P d"], h: Float[Tensor, "*batch width"], code: Dequantiser
    ) -> Float[Tensor, "*batch"]:
        """The mixture's own density, for which no u is needed."""
        return self.mixture.log_prob(z, *self._mixture(h, z, code)).sum(-1)

    def _mixture(self, h: Tensor, like: Tensor, code: Dequantiser) -> tuple[Tensor, Tensor, Tensor]:
        rows = self.slots(h).unflatten(-1, (self.patch, -1))  # (*batch, P, width)
        log_weights = self.to_weights(rows).to(like.dtype).movedim(-1, 0)
        nothing = like.new_zeros(1, self.dim)
        return log_weights, torch.cat((code.loc, nothing)), torch.cat((code.log_scale, nothing))


def standard_normal(u: Float[Tensor, "*batch P d"]) -> Float[Tensor, "*batch"]:
    """log N(u; 0, I) of whole patches (nats)."""
    return (-0.5 * u.square() - HALF_LOG_2PI).sum((-1, -2))

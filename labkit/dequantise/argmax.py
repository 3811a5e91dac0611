"""Argmax flows: tokens are the parts of space where a given coordinate is largest, or has given signs.

(Hoogeboom, Nielsen, Jaini, Forré & Welling 2021, arXiv 2102.05379.) The partition is fixed, reading back is exact;
what is learned is where in its part a token lies.
"""

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor
from torch.nn.functional import logsigmoid, softplus

from labkit.dequantise.base import CellDequantiser
from labkit.dequantise.noise import TokenNoise


class ArgmaxDequantiser(CellDequantiser):
    """z in R^V with argmax z = x: z_x = v_x, and z_j = v_x − softplus(v_x − v_j) below it, v ~ q(v∣x).

        log q(z∣x) = log q(v∣x) − Σ_{j≠x} log σ(v_x − v_j)      (nats; arXiv 2102.05379, section 3, thresholding)

    Arguments:
        vocabulary_size: V, which is also the number of dimensions: see `BinaryArgmaxDequantiser` for large ones.
        noise: q(v∣x) over V features; by default `TokenNoise` for a set.

    Example:
        >>> z, log_q = ArgmaxDequantiser(vocabulary_size=4).encode(torch.tensor([[3, 0]]))
        >>> z.argmax(-1)
        tensor([[3, 0]])
    """

    def __init__(self, vocabulary_size: int, noise: TokenNoise | None = None):
        super().__init__(vocabulary_size, vocabulary_size)
        self.latent = noise or TokenNoise(vocabulary_size, vocabulary_size)

    def encode(
        self, tokens: Int[Tensor, "*batch n"], generator: Generator | None = None
    ) -> tuple[Float[Tensor, "*batch n d"], Float[Tensor, "*batch"]]:
        self.check_tokens(tokens)
        v, log_q = self.latent(tokens, generator)
        top = v.gather(-1, tokens[..., None])
        is_top = torch.arange(self.dim, device=v.device) == tokens[..., None]
        drop = softplus(top - v)
        # A drop below half a unit of rounding would leave a tie: the next number below is as low as it takes.
        below = torch.minimum(top - drop, torch.nextafter(top, torch.full_like(top, -torch.inf)).detach())
        slopes = torch.where(is_top, 0.0, logsigmoid(top - v))
        return torch.where(is_top, top, below), log_q - slopes.sum((-1, -2))

    def cell(self, z: Float[Tensor, "*batch n d"]) -> Int[Tensor, "*batch n"]:
        """argmax_j z_j."""
        return z.argmax(-1)


class BinaryArgmaxDequantiser(CellDequantiser):
    """z_i = ±softplus(v_i) with the sign of the token's i-th bit, D = ⌈log₂ V⌉ of them, v ~ q(v∣x).

        log q(z∣x) = log q(v∣x) − Σ_i log σ(v_i)      (nats; arXiv 2102.05379, "Cartesian products")

    Where V is no power of two, the orthants without a token are outside 𝒮, and mass that a prior puts there is lost.

    Arguments:
        vocabulary_size: V.
        noise: q(v∣x) over D features; by default `TokenNoise` for a set.

    Example:
        >>> z, log_q = BinaryArgmaxDequantiser(vocabulary_size=4).encode(torch.tensor([[3, 1]]))
        >>> z.detach().sign()
        tensor([[[ 1.,  1.],
                 [ 1., -1.]]])
    """

    def __init__(self, vocabulary_size: int, noise: TokenNoise | None = None):
        super().__init__(vocabulary_size, self.bits(vocabulary_size))
        self.latent = noise or TokenNoise(vocabulary_size, self.dim)
        self.register_buffer("powers", 2 ** torch.arange(self.dim), persistent=False)

    @staticmethod
    def bits(vocabulary_size: int) -> int:
        """D = ⌈log₂ V⌉, and 1 for a single token."""
        return max(1, (vocabulary_size - 1).bit_length())

    def encode(
        self, tokens: Int[Tensor, "*batch n"], generator: Generator | None = None
    ) -> tuple[Float[Tensor, "*batch n d"], Float[Tensor, "*batch"]]:
        self.check_tokens(tokens)
        v, log_q = self.latent(tokens, generator)
        signs = 2 * (tokens[..., None].div(self.powers, rounding_mode="floor") % 2) - 1
        size = softplus(v).clamp(min=torch.finfo(v.dtype).tiny)  # 0 has no sign
        return signs * size, log_q - logsigmoid(v).sum((-1, -2))

    def cell(self, z: Float[Tensor, "*batch n d"]) -> Int[Tensor, "*batch n"]:
        """Σ_i 2ⁱ [z_i > 0]."""
        return ((z > 0) * self.powers).sum(-1)

"""Dequantisation with cells of an ordinal code: uniform noise, and noise that a flow has learned."""

import math

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor
from torch.nn.functional import logsigmoid

from labkit.dequantise.base import CellDequantiser
from labkit.dequantise.noise import TokenNoise, uniform_noise


class UniformDequantiser(CellDequantiser):
    """z_i = logit((x_i + ε_i) / B), ε_i ~ U(0, 1): noise fills the unit cell of the ordinal code x (Theis et al. 2016).

    With d = 1 the code is the token itself and B = V; with d > 1 it is the token's d digits in base B = ⌈V^(1/d)⌉, so
    that a large vocabulary needs few cells per axis. The logit takes (0, B) to the line, where priors live, and so

        log q(z∣x) = d log B + Σ_i [log u_i + log(1 − u_i)],   u_i = σ(z_i)      (nats)

    Neighbouring cells touch: a smooth density has to drop and rise at every border, at a place fixed beforehand.
    ε keeps off the borders by a margin of some units of rounding (counted in log q), so that z always reads back.

    Arguments:
        vocabulary_size: V.
        dim: d.

    Raises:
        ValueError: for more than 62 binary digits; when used, where a cell is too narrow for the precision of points.

    Example:
        >>> code = UniformDequantiser(vocabulary_size=6, dim=1)
        >>> z, log_q = code.encode(torch.tensor([[2, 5, 0]]))
        >>> code.cell(z)
        tensor([[2, 5, 0]])
    """

    def __init__(self, vocabulary_size: int, dim: int = 1):
        super().__init__(vocabulary_size, dim)
        base = max(1, round(vocabulary_size ** (1 / dim)))
        while base**dim < vocabulary_size:  # the root of a float may round down
            base += 1
        while base > 1 and (base - 1) ** dim >= vocabulary_size:
            base -= 1
        self.base = base
        if base**dim > 2**62:
            raise ValueError(
                f"{dim} dimensions are more than a code of {vocabulary_size} tokens can use; got dim={dim}"
            )
        self.register_buffer("powers", torch.tensor([base**i for i in range(dim)]), persistent=False)
        self.register_buffer("like", torch.zeros(()), persistent=False)  # carries device and precision

    def noise(
        self, tokens: Int[Tensor, "*batch n"], generator: Generator | None
    ) -> tuple[Float[Tensor, "*batch n d"], Float[Tensor, "*batch"]]:
        """ε in (0, 1)^d for each token, and the log-density of all of it (nats)."""
        epsilon = uniform_noise(self.like, (*tokens.shape, self.dim), generator)
        return epsilon, epsilon.new_zeros(tokens.shape[:-1])

    def encode(
        self, tokens: Int[Tensor, "*batch n"], generator: Generator | None = None
    ) -> tuple[Float[Tensor, "*batch n d"], Float[Tensor, "*batch"]]:
        self.check_tokens(tokens)
        epsilon, log_noise = self.noise(tokens, generator)
        margin = self._margin(epsilon)
        digits = tokens[..., None].div(self.powers, rounding_mode="floor") % self.base
        u = (digits + (margin + (1 - 2 * margin) * epsilon)) / self.base
        slopes = math.log(self.base / (1 - 2 * margin)) + torch.log(u) + torch.log1p(-u)
        return torch.logit(u), log_noise + slopes.sum((-1, -2))

    def cell(self, z: Float[Tensor, "*batch n d"]) -> Int[Tensor, "*batch n"]:
        """Σ_i digit_i Bⁱ, with digit_i = ⌊B σ(z_i)⌋."""
        digits = (self.base * torch.sigmoid(z)).long().clamp(max=self.base - 1)
        return (digits * self.powers).sum(-1)

    def _margin(self, like: Tensor) -> float:
        margin = 8 * torch.finfo(like.dtype).eps * self.base
        if margin > 0.2:
            raise ValueError(
                f"{self.base} cells on an axis are too narrow for {like.dtype}; expected more dimensions than "
                f"{self.dim}, or float64"
            )
        return margin


class VariationalDequantiser(UniformDequantiser):
    """z_i = logit((x_i + σ(v_i)) / B), v ~ q(v∣x) a conditional flow: noise shaped by all the tokens around.

    The cells are those of `UniformDequantiser`, but a learned q leaves their borders bare where the prior would not
    follow (Ho, Chen, Srinivas, Duan & Abbeel 2019, Flow++, arXiv 1902.00275, section 3.1).

        log q(z∣x) = log q(v∣x) − Σ_i log σ′(v_i) + d log B + Σ_i [log u_i + log(1 − u_i)]      (nats)

    Arguments:
        vocabulary_size, dim: V and d.
        noise: q(v∣x); by default `TokenNoise` for a set.

    Example:
        >>> code = VariationalDequantiser(vocabulary_size=6, dim=2)
        >>> z, log_q = code.encode(torch.tensor([[2, 5, 0]]))
        >>> code.cell(z)
        tensor([[2, 5, 0]])
    """

    def __init__(self, vocabulary_size: int, dim: int = 1, noise: TokenNoise | None = None):
        super().__init__(vocabulary_size, dim)
        self.latent = noise or TokenNoise(vocabulary_size, dim)

    def noise(
        self, tokens: Int[Tensor, "*batch n"], generator: Generator | None
    ) -> tuple[Float[Tensor, "*batch n d"], Float[Tensor, "*batch"]]:
        v, log_q = self.latent(tokens, generator)
        return torch.sigmoid(v), log_q - (logsigmoid(v) + logsigmoid(-v)).sum((-1, -2))

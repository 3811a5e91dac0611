"""Categorical normalizing flows: supports are the whole space, tokens overlap a little, Bayes' rule reads back.

(Lippe & Gavves, ICLR 2021, arXiv 2006.09790.) Three encoders: a logistic per token, so that all tokens together are a
mixture of logistics; a flow per token ("linear flows"); and a flow that sees all the tokens at once ("variational").
"""

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor, nn

from labkit.dequantise.base import Dequantiser
from labkit.dequantise.bayes import BayesDequantiser, token_flow
from labkit.dequantise.noise import TokenNoise, uniform_noise


class CategoricalDequantiser(BayesDequantiser):
    """q(z∣x) = Π_i logistic(z_i; μ_xi, s_xi), or with a flow the density of T_x(y), y from that; p(x∣z) by Bayes' rule.

    Training may weigh log p(x∣z) by β(t) > 1 at first, so that tokens move apart: see `decoder_weight`.

    Arguments:
        vocabulary_size, dim, flow, spread, scale: as in `BayesDequantiser`.

    Example:
        >>> code = CategoricalDequantiser(vocabulary_size=5, dim=2)
        >>> z, log_q = code.encode(torch.tensor([[0, 4, 4]]))
        >>> code.decode_log_prob(z).shape
        torch.Size([1, 3, 5])
    """

    @classmethod
    def with_flows(cls, vocabulary_size: int, dim: int, layers: int = 2) -> "CategoricalDequantiser":
        """The encoder with a flow per token ("linear flows"), `token_flow(dim)`."""
        return cls(vocabulary_size, dim, token_flow(dim, layers=layers))

    def draw(
        self, tokens: Int[Tensor, "*batch n"], generator: Generator | None = None
    ) -> tuple[Float[Tensor, "*batch n d"], Float[Tensor, "*batch n d"]]:
        u = uniform_noise(self.loc, (*tokens.shape, self.dim), generator)
        return torch.logit(u), torch.zeros_like(u)


class VariationalCategoricalDequantiser(Dequantiser):
    """z ~ q(z∣x_1, …, x_n), a flow that sees all tokens, and a learned p(x_i∣z_i), one softmax for all positions.

    Bayes' rule would have to sum over all V^n sequences; the decoder is a network instead, and nothing keeps tokens
    apart but the bound itself. (arXiv 2006.09790, variational encoding.)

    Arguments:
        vocabulary_size, dim: V and d.
        noise: q; by default `TokenNoise` for a set.
        hidden: width of the decoder's one hidden layer.

    Example:
        >>> code = VariationalCategoricalDequantiser(vocabulary_size=5, dim=2)
        >>> z, log_q = code.encode(torch.tensor([[0, 4, 4]]))
        >>> code.decode_log_prob(z).shape
        torch.Size([1, 3, 5])
    """

    def __init__(self, vocabulary_size: int, dim: int, noise: TokenNoise | None = None, hidden: int = 64):
        super().__init__(vocabulary_size, dim)
        self.latent = noise or TokenNoise(vocabulary_size, dim)
        self.decoder = nn.Sequential(nn.Linear(dim, hidden), nn.SiLU(), nn.Linear(hidden, vocabulary_size))

    def encode(
        self, tokens: Int[Tensor, "*batch n"], generator: Generator | None = None
    ) -> tuple[Float[Tensor, "*batch n d"], Float[Tensor, "*batch"]]:
        self.check_tokens(tokens)
        return self.latent(tokens, generator)

    def decode_log_prob(self, z: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch n V"]:
        self.check_points(z)
        return self.decoder(z).log_softmax(-1)


def decoder_weight(step: float, half_life: float = 5000.0) -> float:
    """β(t) = 1 + 2^(−t / half_life), the weight of log p(x∣z) in the loss at step t: 2 at first, 1 in the end.

    The published half-life is 5000 of 100,000 steps. Figures are always reported at β = 1.

    Raises:
        ValueError: for a half-life that is not positive.

    Example:
        >>> decoder_weight(0), decoder_weight(5000)
        (2.0, 1.5)
    """
    if half_life <= 0:
        raise ValueError(f"expected half_life > 0; got {half_life}")
    return 1 + 2 ** (-step / half_life)

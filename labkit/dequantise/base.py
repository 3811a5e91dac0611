"""The contract of every dequantiser: how a sequence of tokens is lifted to points, and read back from them.

A token x of a vocabulary {0, …, V−1} becomes a point z of R^d, drawn from q(z∣x); a density p(z) is learned over
points; p(x∣z) reads the token back. Whatever q is,

    log p(x) >= E_q [log p(x∣z) + log p(z) − log q(z∣x)]      (nats)

*Shapes.* Tokens are (*batch, n): n variables, each a token, and everything before them is batch. Points are
(*batch, n, d). log q and log p(x∣z) of a whole sequence have the batch shape: they are summed over n, in nats.
"""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor, nn

# Stands for log 0 in p(x∣z): −∞ − logsumexp(all −∞) would be NaN, and beside −10⁹ float32 tells no densities apart.
EXCLUDED = -1e4


class Dequantiser(nn.Module, ABC):
    """q(z∣x), p(x∣z) and the set 𝒮 of points that some token can become: see the head of this module.

    Attributes:
        vocabulary_size: V.
        dim: d, coordinates of a token's point.
    """

    def __init__(self, vocabulary_size: int, dim: int):
        super().__init__()
        if vocabulary_size < 1 or dim < 1:
            raise ValueError(
                f"expected at least one token and one dimension; got vocabulary_size={vocabulary_size} and dim={dim}"
            )
        self.vocabulary_size, self.dim = vocabulary_size, dim

    @abstractmethod
    def encode(
        self, tokens: Int[Tensor, "*batch n"], generator: Generator | None = None
    ) -> tuple[Float[Tensor, "*batch n d"], Float[Tensor, "*batch"]]:
        """z ~ q(z∣x), with gradients in what q has learned, and log q(z∣x) in nats.

        Raises:
            ValueError: for tokens that are outside the vocabulary. To see them waits for an accelerator.
        """

    @abstractmethod
    def decode_log_prob(self, z: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch n V"]:
        """log p(x∣z) of every token at every position (nats), about −10⁴ for those that z excludes.

        Outside 𝒮 it is a distribution too, so that a draw that nobody rejects still has a token.
        """

    def encode_and_score(
        self, tokens: Int[Tensor, "*batch n"], generator: Generator | None = None, edge: float = 0.0
    ) -> tuple[Float[Tensor, "*batch n d"], Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
        """z, log q(z∣x) and log p(x∣z) of the tokens themselves: what a bound needs, in one go.

        Here a draw is known to lie where it was drawn. Asking z for it again can, by rounding, find it outside.

        Arguments:
            edge: width τ of soft edges, for a q with learned edges (`TruncatedDequantiser`); others have none.
        """
        z, log_q = self.encode(tokens, generator)
        of_all = self.decode_log_prob(z)
        return z, log_q, of_all.gather(-1, tokens[..., None]).squeeze(-1).sum(-1)

    def in_support(self, z: Float[Tensor, "*batch n d"]) -> Bool[Tensor, "*batch"]:
        """Whether z is in 𝒮: each of the n points is one that some token can become. Everywhere, unless said."""
        self.check_points(z)
        return torch.ones(z.shape[:-2], dtype=torch.bool, device=z.device)

    def check_tokens(self, tokens: Tensor) -> None:
        """Refuse tokens that are not of the vocabulary, and name one of them."""
        if tokens.ndim == 0 or tokens.dtype.is_floating_point or tokens.dtype == torch.bool:
            raise ValueError(
                f"expected tokens as integers of shape (..., n); got {tokens.dtype} of shape {tuple(tokens.shape)}"
            )
        outside = (tokens < 0) | (tokens >= self.vocabulary_size)
        if outside.any():
            first = tokens[outside][0].item()
            raise ValueError(
                f"token {first} is outside the vocabulary; expected ids from 0 to {self.vocabulary_size - 1}"
            )

    def check_points(self, z: Tensor) -> None:
        """Refuse points of another width than d."""
        if z.ndim < 2 or z.shape[-1] != self.dim:
            raise ValueError(
                f"{type(self).__name__} expected points of shape (..., n, {self.dim}); got shape {tuple(z.shape)}"
            )


class CellDequantiser(Dequantiser):
    """A q whose supports are cells fixed beforehand: reading back is a table, p(x∣z) = 1 in the cell of x."""

    @abstractmethod
    def cell(self, z: Float[Tensor, "*batch n d"]) -> Int[Tensor, "*batch n"]:
        """The number of the cell that z lies in; numbers from V on belong to no token."""

    def decode_log_prob(self, z: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch n V"]:
        """0 for the cell's token and about −10⁴ for the others; in a cell without a token, −log V for all."""
        self.check_points(z)
        cell = self.cell(z)[..., None]
        tokens = torch.arange(self.vocabulary_size, device=z.device)
        scores = torch.where(cell == tokens, 0.0, EXCLUDED).to(z.dtype)
        return scores.log_softmax(-1)

    def encode_and_score(
        self, tokens: Int[Tensor, "*batch n"], generator: Generator | None = None, edge: float = 0.0
    ) -> tuple[Float[Tensor, "*batch n d"], Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
        z, log_q = self.encode(tokens, generator)
        return z, log_q, torch.zeros_like(log_q)

    def in_support(self, z: Float[Tensor, "*batch n d"]) -> Bool[Tensor, "*batch"]:
        """Whether each of the n points lies in the cell of a token."""
        self.check_points(z)
        return (self.cell(z) < self.vocabulary_size).all(-1)

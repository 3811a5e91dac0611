"""A density over one point for each token, given all the tokens: the learned noise that dequantisers shape."""

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor, nn

from labkit.flows.flow import Flow, neural_spline_flow
from labkit.networks.transformer import Transformer


class TokenNoise(nn.Module):
    """v_i ~ flow(h_i), i = 1 … n, where h = Transformer(embeddings of the tokens) has seen the whole sequence.

    Given the tokens the n points are independent; a token's point depends on its neighbours through h alone.

    Arguments:
        vocabulary_size, dim: V and d.
        width: of h.
        blocks: attention layers; with none h_i is the token's own embedding, and neighbours do not count.
        positions: n for sequences; None for sets.
        flow: a conditional `Flow` of d features and context width `width`; by default two layers of splines.

    Example:
        >>> noise = TokenNoise(vocabulary_size=5, dim=2)
        >>> v, log_q = noise(torch.tensor([[0, 4, 1]]))
        >>> v.shape, log_q.shape
        (torch.Size([1, 3, 2]), torch.Size([1]))
    """

    def __init__(
        self,
        vocabulary_size: int,
        dim: int,
        width: int = 16,
        blocks: int = 1,
        positions: int | None = None,
        flow: Flow | None = None,
    ):
        super().__init__()
        self.flow = flow or neural_spline_flow(dim, width, layers=2, hidden=(32,))
        if (self.flow.features, self.flow.context_features) != (dim, width):
            raise ValueError(
                f"expected a flow of {dim} features and context width {width}; "
                f"got {self.flow.features} and {self.flow.context_features}"
            )
        self.table = nn.Embedding(vocabulary_size, width)
        self.mix = None
        if blocks:
            self.mix = Transformer(width, width, width, blocks, positions=positions)

    def forward(
        self, tokens: Int[Tensor, "*batch n"], generator: Generator | None = None
    ) -> tuple[Float[Tensor, "*batch n d"], Float[Tensor, "*batch"]]:
        """v ~ q(v∣x), and log q(v∣x) in nats, summed over the n points."""
        h = self.table(tokens)
        if self.mix is not None:
            h = h + self.mix(h)
        v, log_q = self.flow(h, validate_args=False).rsample_and_log_prob(generator=generator)
        return v, log_q.sum(-1)


def uniform_noise(like: Tensor, shape: tuple[int, ...], generator: Generator | None = None) -> Tensor:
    """U(0, 1) of a shape, in the device and precision of `like`: 0 is never drawn, nor is 1."""
    u = torch.rand(shape, generator=generator, dtype=like.dtype, device=like.device)
    return u.clamp(min=torch.finfo(u.dtype).eps / 4)

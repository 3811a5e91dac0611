"""What categorical flows and TRUFL share: one logistic density per token, a flow per token, and Bayes' rule back."""

from abc import abstractmethod
from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor, nn
from torch.nn.functional import logsigmoid

from labkit.dequantise.base import Dequantiser
from labkit.flows.affine import ElementwiseAffine
from labkit.flows.coupling import Coupling, Elementwise
from labkit.flows.linear import LULinear
from labkit.flows.mixture import MixtureCDF
from labkit.flows.transforms import Compose, Transform


class BayesDequantiser(Dequantiser):
    """z = T_x(μ_x + s_x t), t logistic or cut from a logistic, and Bayes' rule to read it back:

        p(x∣z) = q(z∣x) p̃(x) / Σ_x' q(z∣x') p̃(x')

    No decoder has to be learned, and tokens gain by lying apart (Lippe & Gavves 2021, arXiv 2006.09790). It
    costs V densities a point. μ, s and the weights p̃ of all tokens are learned, and so is T where there is one.

    Arguments:
        vocabulary_size, dim: V and d.
        flow: T, a conditional transform of d features, or None for the identity; its context is learned for each token.
        spread: standard deviation of the μ_x at the start.
        scale: s at the start.

    Raises:
        ValueError: for a flow of another width, or one that looks at no context.
    """

    def __init__(
        self,
        vocabulary_size: int,
        dim: int,
        flow: Transform | None = None,
        spread: float = 2.0,
        scale: float = 0.2,
    ):
        super().__init__(vocabulary_size, dim)
        if flow is not None and (flow.features != dim or flow.context_features == 0):
            raise ValueError(
                f"expected a flow of {dim} features that looks at a context; got one of {flow.features} features and "
                f"context width {flow.context_features}"
            )
        self.flow = flow
        self.table = None if flow is None else nn.Parameter(torch.randn(vocabulary_size, flow.context_features))
        self.loc = nn.Parameter(spread * torch.randn(vocabulary_size, dim))
        self.log_scale = nn.Parameter(torch.full((vocabulary_size, dim), scale).log())
        self.logits = nn.Parameter(torch.zeros(vocabulary_size))  # of p̃

    @abstractmethod
    def draw(
        self, tokens: Int[Tensor, "*batch n"], generator: Generator | None = None
    ) -> tuple[Float[Tensor, "*batch n d"], Float[Tensor, "*batch n d"]]:
        """t for each token, and what log q(z∣x) adds to log f(t) − log s per coordinate, f the logistic density."""

    def encode(
        self, tokens: Int[Tensor, "*batch n"], generator: Generator | None = None
    ) -> tuple[Float[Tensor, "*batch n d"], Float[Tensor, "*batch"]]:
        self.check_tokens(tokens)
        t, extra = self.draw(tokens, generator)
        z, log_q = self._place(t, extra, tokens)
        return z, log_q.sum(-1)

    def decode_log_prob(self, z: Float[Tensor, "*batch n d"], edge: float = 0.0) -> Float[Tensor, "*batch n V"]:
        """log p(x∣z) of every token at every position (nats), by Bayes' rule."""
        return (self.log_densities(z, edge) + self.logits).log_softmax(-1)

    def encode_and_score(
        self, tokens: Int[Tensor, "*batch n"], generator: Generator | None = None, edge: float = 0.0
    ) -> tuple[Float[Tensor, "*batch n d"], Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
        """As said in the contract. The tokens' own densities are those of the draw; all others are asked of z."""
        self.check_tokens(tokens)
        t, extra = self.draw(tokens, generator)
        z, log_q = self._place(t, extra, tokens)
        own = log_q + self.log_edges(torch.sigmoid(t), edge, tokens)
        scores = self.log_densities(z, edge).scatter(-1, tokens[..., None], own[..., None]) + self.logits
        log_p = own + self.logits[tokens] - scores.logsumexp(-1)
        return z, log_q.sum(-1), log_p.sum(-1)

    def log_densities(self, z: Float[Tensor, "*batch n d"], edge: float = 0.0) -> Float[Tensor, "*batch n V"]:
        """log q(z∣x) of each token (nats), about −10⁴ where z is outside its support."""
        self.check_points(z)
        t, log_det = self.to_base(z)
        log_density = (self._log_logistic(t) - self.log_scale + self.log_extra()).sum(-1) + log_det
        return log_density + self.log_edges(torch.sigmoid(t), edge)

    def to_base(
        self, z: Float[Tensor, "*batch n d"]
    ) -> tuple[Float[Tensor, "*batch n V d"], Float[Tensor, "*batch n #V"]]:
        """For each token the t that it would have needed to become z, and log|det ∂y/∂z|, y = T_x⁻¹(z)."""
        y, log_det = z[..., None, :], z.new_zeros(*z.shape[:-1], 1)
        if self.flow is not None:
            y, log_det = self.flow.inverse_and_log_det(y, self.table)
        return (y - self.loc) * (-self.log_scale).exp(), log_det

    def log_extra(self) -> Float[Tensor, "#V #d"]:
        """For every token what `draw` gives beside t."""
        return torch.zeros_like(self.loc[:1, :1])

    def log_edges(
        self, u: Float[Tensor, "*points d"], edge: float, tokens: Int[Tensor, "*batch n"] | None = None
    ) -> Float[Tensor, "*points"]:
        """Log of the indicator of each token's support, or of its soft version; 0 where supports have no edges.

        Of all tokens, for u (*batch, n, V, d), or of the given ones, for their own u as drawn (*batch, n, d).
        """
        return u.new_zeros(u.shape[:-1])

    def _place(self, t: Tensor, extra: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """z, and log q of each position."""
        log_scale = self.log_scale[tokens]
        z = self.loc[tokens] + log_scale.exp() * t
        log_q = (self._log_logistic(t) - log_scale + extra).sum(-1)
        if self.flow is not None:
            z, log_det = self.flow.forward_and_log_det(z, self.table[tokens])
            log_q = log_q - log_det
        return z, log_q

    @staticmethod
    def _log_logistic(t: Tensor) -> Tensor:
        return logsigmoid(t) + logsigmoid(-t)


def token_flow(dim: int, context_features: int = 8, layers: int = 2, components: int = 4) -> Transform:
    """T_x for a dequantiser with a flow per token: `layers` of [linear, coupling], then an affine map per token.

    Example:
        >>> token_flow(dim=2).context_features
        8
    """
    parts: list[Transform] = []
    bijection: Callable = MixtureCDF(components)
    for i in range(layers):
        if dim > 1:
            parts += [LULinear(dim), Coupling(bijection, dim, context_features, (32,), swap=i % 2 == 1)]
        else:
            parts.append(Elementwise(bijection, dim, context_features, (32,)))
    return Compose([*parts, Elementwise(ElementwiseAffine(), dim, context_features, (32,))])

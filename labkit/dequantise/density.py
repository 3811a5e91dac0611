"""A model of tokens: a dequantiser lifts them to points, a flow is the density of all the points of a sequence."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor, nn

from labkit.dequantise.base import Dequantiser
from labkit.dequantise.categorical import decoder_weight
from labkit.dequantise.tasks import TokenBatch
from labkit.flows.flow import Flow


class Normaliser(NamedTuple):
    """An estimate of log Z = log P_p(z ∈ 𝒮), of a whole sequence, from independent draws of the prior.

    Attributes:
        log_z: log of the share of draws inside 𝒮, nats; −∞ if none was. It is biased low by about (1 − Z)/(2 N Z).
        standard_error: of log_z, by the delta method: √((1 − Z)/(N Z)), nats.
        acceptance: that share itself.
        draws: N.
    """

    log_z: float
    standard_error: float
    acceptance: float
    draws: int


class Bits(NamedTuple):
    """Minus the bound, in bits per variable: as it is, and corrected by log₂ Z of the renormalised prior.

    Attributes:
        raw: (*batch,), −ELBO / (n log 2).
        corrected: (*batch,), raw + log₂ Z / n; equal to raw where no normaliser was given.
    """

    raw: Tensor
    corrected: Tensor


class Draws(NamedTuple):
    """Sequences drawn from a model.

    Attributes:
        tokens: (m, n); m is smaller than what was asked for if the bound on tries was met first.
        acceptance: share of all tries that lay inside 𝒮; without rejection too.
        tries: number of points drawn.
    """

    tokens: Tensor
    acceptance: float
    tries: int


class DequantisedDensity(nn.Module):
    """p(x) >= exp E_q[log p(x∣z) + log p(z)/Z − log q(z∣x)] over sequences of n tokens.

    Everything lost outside 𝒮 = {z: some token can become each of its points} is known: with p renormalised on 𝒮, the
    bound is ELBO − log Z >= ELBO, Z = P_p(z ∈ 𝒮). Training goes without Z and stays valid. Both figures are reported,
    apart from each other: log Ẑ is an estimate, and flatters by what it is biased low.

    Arguments:
        dequantiser: q(z∣x) and p(x∣z), d dimensions a token.
        prior: a `Flow` of n·d features, without a context: see `coupling_flow`.
        edge: width τ of soft edges in the loss (only `TruncatedDequantiser` has edges); figures are with hard ones.
        half_life: of β in the loss, as a share of the training; 0 for β = 1 throughout.

    Raises:
        ValueError: for a prior with a context, or of a width that is no multiple of d.

    Example:
        >>> from labkit.dequantise import TruncatedDequantiser, coupling_flow
        >>> code = TruncatedDequantiser(vocabulary_size=5, dim=2)
        >>> model = DequantisedDensity(code, coupling_flow(positions=4, dim=2, layers=2))
        >>> tokens = torch.tensor([[0, 4, 4, 1]])
        >>> model.elbo(tokens).raw.shape  # bits per variable
        torch.Size([1])
    """

    def __init__(self, dequantiser: Dequantiser, prior: Flow, edge: float = 0.05, half_life: float = 0.05):
        super().__init__()
        if prior.context_features or prior.features % dequantiser.dim:
            raise ValueError(
                f"expected a prior without context, over points of {dequantiser.dim} coordinates at each position; "
                f"got {prior.features} features and context width {prior.context_features}"
            )
        self.dequantiser, self.prior, self.edge, self.half_life = dequantiser, prior, edge, half_life
        self.positions = prior.features // dequantiser.dim

    def terms(
        self, tokens: Int[Tensor, "*batch n"], generator: Generator | None = None, edge: float = 0.0
    ) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
        """log p(x∣z), log p(z) and log q(z∣x) at one z ~ q(z∣x), nats per sequence."""
        if tokens.shape[-1:] != (self.positions,):
            raise ValueError(f"expected tokens of shape (..., {self.positions}); got shape {tuple(tokens.shape)}")
        z, log_q, log_decoder = self.dequantiser.encode_and_score(tokens, generator, edge)
        return log_decoder, self.prior(validate_args=False).log_prob(z.flatten(-2)), log_q

    @torch.no_grad()
    def elbo(
        self,
        tokens: Int[Tensor, "*batch n"],
        generator: Generator | None = None,
        normaliser: Normaliser | None = None,
        samples: int = 1,
    ) -> Bits:
        """Minus the bound of each sequence, **in bits per variable**, with hard edges, averaged over samples of z.

        Arguments:
            normaliser: what `estimate_normaliser` gave; without it `corrected` is `raw`.
        """
        bound = 0.0
        for _ in range(samples):
            log_decoder, log_prior, log_q = self.terms(tokens, generator)
            bound = bound + (log_decoder + log_prior - log_q) / samples
        raw = -bound / (self.positions * math.log(2))
        log_z = 0.0 if normaliser is None else normaliser.log_z
        return Bits(raw, raw + log_z / (self.positions * math.log(2)))

    def loss(self, batch: TokenBatch, generator: Generator | None, share: float) -> tuple[Tensor, Tensor]:
        """For `labkit.training.train`: minus the bound with soft edges and β, and at β = 1; nats per variable."""
        log_decoder, log_prior, log_q = self.terms(batch.tokens, generator, self.edge)
        weight = decoder_weight(share, self.half_life) if self.half_life else 1.0
        bound = (log_decoder + log_prior - log_q).mean()
        weighted = bound + (weight - 1) * log_decoder.mean()
        return -weighted / self.positions, -bound.detach() / self.positions

    @torch.no_grad()
    def estimate_normaliser(
        self, draws: int = 4096, generator: Generator | None = None, chunk: int = 4096
    ) -> Normaliser:
        """log Z of the *whole* sequence: one position outside 𝒮 is enough to reject, and positions are not independent.

        Raises:
            ValueError: for fewer than one draw.
        """
        if draws < 1:
            raise ValueError(f"expected at least one draw; got draws={draws}")
        inside = 0
        for start in range(0, draws, chunk):
            z = self.draw_points(min(chunk, draws - start), generator)
            inside += int(self.dequantiser.in_support(z).sum())
        share = inside / draws
        if inside == 0:
            return Normaliser(-math.inf, math.inf, 0.0, draws)
        return Normaliser(math.log(share), math.sqrt((1 - share) / inside), share, draws)

    @torch.no_grad()
    def sample(
        self, n: int, generator: Generator | None = None, reject: bool = True, max_tries: int | None = None
    ) -> Draws:
        """n sequences: z from the prior, rejected outside 𝒮, and x ~ p(x∣z). Waits for an accelerator.

        Arguments:
            reject: without rejection every point is decoded, also where no token can have become it.
            max_tries: points to draw at most, by default 100 n. If it is met, fewer than n sequences come back.

        Raises:
            ValueError: for n < 1, or fewer tries than n.
        """
        limit = 100 * n if max_tries is None else max_tries
        if n < 1 or limit < n:
            raise ValueError(f"expected n >= 1 and max_tries >= n; got n={n} and max_tries={max_tries}")
        kept, found, tries, accepted = [], 0, 0, 0
        while found < n and tries < limit:
            z = self.draw_points(min(n, limit - tries), generator)
            inside = self.dequantiser.in_support(z)
            tries, accepted = tries + len(z), accepted + int(inside.sum())
            kept.append(z[inside] if reject else z)
            found += len(kept[-1])
        return Draws(self.decode(torch.cat(kept)[:n], generator), accepted / tries, tries)

    @torch.no_grad()
    def draw_points(self, n: int, generator: Generator | None = None) -> Float[Tensor, "n positions d"]:
        """z from the prior, not rejected."""
        z = self.prior(validate_args=False).sample((n,), generator=generator)
        return z.unflatten(-1, (self.positions, -1))

    @torch.no_grad()
    def decode(self, z: Float[Tensor, "*batch n d"], generator: Generator | None = None) -> Int[Tensor, "*batch n"]:
        """x ~ p(x∣z): of V alarm clocks with these rates, the first to ring."""
        log_p = self.dequantiser.decode_log_prob(z)
        alarms = torch.empty_like(log_p).exponential_(generator=generator)
        return (alarms.log() - log_p).argmin(-1)

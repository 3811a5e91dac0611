"""A language model with stochastic embeddings: between what was read and the next word stands a draw z of a flow."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor, nn

from labkit.density import GridPosterior
from labkit.flows.flow import FlowDistribution, neural_spline_flow
from labkit.language.base import LanguageModel, check_ids, draw
from labkit.language.discrete import DiscreteLM, read_and_draw
from labkit.networks.mlp import ContextMLP

CONTEXT = 32  # width of what the flow is told
WIDEST = 3.0  # |log standard deviation| of the proposal, relative to the prior
NARROW = -1.0  # log standard deviation of a fresh density behind a bottleneck


class Usage(NamedTuple):
    """How much of z a model uses. One that ignores it has kl = 0 and three equal losses, whatever its bound.

    Attributes:
        kl: KL(q(z_t∣x_≤t+1) ‖ p(z_t∣x_≤t)), nats per token: what the next token tells of z, as far as q has learned
            it.
        rate: KL(p(z_t∣x_≤t) ‖ N(0, I)), nats per token. No more of what was read can be in the place: near 0 nothing
            got through. A large rate proves nothing, for places may lie far out and all together.
        nats: −E log p(x_{t+1}∣z_t, h_t) with z_t ~ q, which has seen the token, nats per token.
        nats_prior: the same with z_t ~ p, which has not.
        nats_shuffled: the same with z_t ~ p after another sequence of the batch, at the same t: above `nats_prior` by
            what the place tells of the text.
    """

    kl: float
    rate: float
    nats: float
    nats_prior: float
    nats_shuffled: float


class StochasticLM(LanguageModel):
    """p(x_{t+1}∣x_≤t) = ∫ p(z_t∣x_t, h_t) p(x_{t+1}∣z_t, h_t) dz_t, with h_t from x_≤t alone, as in the baseline.

    The embedding of a token where it stands is [z_t; the deterministic h_t]: z_t (k,) has a density, a conditional
    flow T(u; x_t, h_t) of u ~ N(0, I), and the rest of the model sees a draw. Given the tokens, positions are
    independent of each other, so that each has a bound of its own,

        log p(x) >= Σ_t E log (1/S) Σ_s p(z_s∣x_t, h_t) p(x_{t+1}∣z_s, h_t) / q(z_s)          (nats)

    The proposal q(z_t∣x_≤t+1) sees the token that z_t has to explain. It is z = T(u; x_t, h_t) with u ~ N(m, diag s²),
    so that p/q is a ratio of two Gaussians of u, and a fresh proposal is the prior. With k = 0 there is no z, and the
    model is `DiscreteLM`, to the bit.

    *What z can add.* h_t does not depend on earlier draws, so that each position has a continuous mixture of softmaxes.
    The baseline's one softmax already reaches every distribution of V <= width tokens, such as characters: there z
    can win nothing, and a model that is any good leaves it alone (KL -> 0). With many more words than `width` a single
    softmax is of limited rank (Yang et al. 2018, arXiv 1711.03953), and a mixture is not. `usage` tells which it is.

    Arguments:
        vocabulary_size, context, width, blocks, heads: of the `DiscreteLM` inside, `trunk`.
        k: stochastic coordinates.
        samples: S in the loss.
        layers: spline layers of the flow; 0 for a Gaussian.
        bottleneck: p(x_{t+1}∣z_t), so that all that was read speaks through the density of z_t alone. A place in z
            then means the same after every text, and z cannot be ignored; what k coordinates cannot hold is lost.
            Otherwise the decoder reads h_t too. Fresh, the density is narrow and lies where h_t says, at random: one
            that begins without h_t teaches the decoder to do without, and few trainings leave that saddle.
        rate_weight: γ. Training minimises −bound + γ E KL(p(z_t∣x_t, h_t) ‖ N(0, I)), γ rising from 0 in the second
            half: the price of a variational information bottleneck (Alemi, Fischer, Dillon & Murphy 2017, arXiv
            1612.00410, eq. 17), beside a bound on −log E_p p(x∣z) in place of their E_p[−log p(x∣z)]. Behind a
            bottleneck the densities of our trainings shrank to points without it.

    Raises:
        ValueError: for k < 0, no samples, a bottleneck or a rate of no coordinates, or a negative weight.

    Example:
        >>> model = StochasticLM(vocabulary_size=27, context=16, k=2, width=32, blocks=1, heads=2)
        >>> tokens = torch.zeros(5, 16, dtype=torch.long)
        >>> model.bound(tokens, samples=8).shape, model.bound_kind(8)
        (torch.Size([5]), 'iw-8')
    """

    def __init__(
        self,
        vocabulary_size: int,
        context: int = 128,
        k: int = 2,
        samples: int = 4,
        layers: int = 2,
        width: int = 128,
        blocks: int = 4,
        heads: int = 4,
        bottleneck: bool = False,
        rate_weight: float = 0.0,
    ):
        super().__init__(vocabulary_size, context)
        if k < 0 or samples < 1:
            raise ValueError(f"expected k >= 0 and samples >= 1; got k={k} and samples={samples}")
        if not rate_weight >= 0:
            raise ValueError(f"expected rate_weight >= 0; got {rate_weight}")
        if not k and (bottleneck or rate_weight):
            raise ValueError("k=0 coordinates let nothing through; expected k >= 1 for a bottleneck or a rate_weight")
        self.k, self.samples, self.layers = k, samples, layers
        self.bottleneck, self.rate_weight = bottleneck, rate_weight
        self.trunk = DiscreteLM(vocabulary_size, context, width, blocks, heads)
        if k:
            self.to_context = nn.Linear(2 * width, CONTEXT)
            self.prior = neural_spline_flow(k, CONTEXT, layers, hidden=(32,))
            self.proposal = ContextMLP(0, 2 * width, (64,), 2 * k, zero_init=True)
            self.decoder = ContextMLP(k, 0, (64,), width) if bottleneck else ContextMLP(k, width, (width,), width)
        if bottleneck:
            location_and_scale = self.prior.transform.transforms[-1].conditioner.last
            nn.init.normal_(location_and_scale.weight[:k])
            nn.init.constant_(location_and_scale.bias[k:], NARROW)

    def prior_context(
        self, h: Float[Tensor, "*batch width"], newest: Float[Tensor, "*batch width"]
    ) -> Float[Tensor, "*batch context"]:
        """What the flow is told of h_t and of the row of x_t itself."""
        return self.to_context(torch.cat((h, newest), -1)).to(self.trunk.table.dtype)

    def embedding(self, tokens: Int[Tensor, "batch n"]) -> FlowDistribution:
        """p(z_t∣x_t, h_t) after each of the tokens, as a distribution with batch shape (batch, n).

        Raises:
            ValueError: for k = 0, or tokens that do not fit.
        """
        if self.k == 0:
            raise ValueError("this model has k=0 stochastic coordinates, so that there is no density to give")
        self.check_tokens(tokens)
        rows = self.trunk.rows(tokens)
        h = self.trunk.transformer(rows)
        return self.prior(self.prior_context(h[:, 1:], rows[:, 1:]))

    def density(self, text: Int[Tensor, "n"]) -> FlowDistribution:
        """p(z_t∣x_t, h_t) after the last token of one text: a single density over (k,)."""
        return self.prior(self.embedding(text[None]).context[0, -1])

    @torch.no_grad()
    def next_given(self, text: Int[Tensor, "n"], z: Float[Tensor, "*points k"]) -> Float[Tensor, "*points V"]:
        """log p(x_{t+1} = ·∣z_t = z, h_t) after one text of t tokens (nats): what follows if the draw falls there."""
        self.check_tokens(text[None])
        rows = self.trunk.rows(text[None])
        return self.log_probs(z, self.trunk.transformer(rows)[0, -1])

    def given_next(self, text: Int[Tensor, "n"], token: int) -> GridPosterior:
        """p(z_t∣x_≤t+1) ∝ p(z_t∣x_t, h_t) p(x_{t+1} = token∣z_t, h_t): the density moved by the token that follows.

        On a grid, by Bayes' rule; its `log_evidence` is log p(token∣text), exact up to the size of the cells.

        Raises:
            ValueError: for k > 2, or tokens that do not fit.
        """
        check_ids(torch.tensor([token]), self.vocabulary_size)
        generator = torch.Generator().manual_seed(0)  # of the draws that place the grid
        return GridPosterior(self.density(text), lambda z: self.next_given(text, z)[..., token], generator=generator)

    def log_probs(
        self, z: Float[Tensor, "*samples k"], h: Float[Tensor, "*batch width"]
    ) -> Float[Tensor, "*samples V"]:
        """log p(x_{t+1} = ·∣z_t, h_t), or with a bottleneck ·∣z_t (nats)."""
        seen = self.decoder(z) if self.bottleneck else h + self.decoder(z, h)
        return self.trunk.log_probs(seen)

    def bound(
        self, tokens: Int[Tensor, "batch n"], samples: int = 1, generator: Generator | None = None
    ) -> Float[Tensor, "batch"]:
        if self.k == 0:
            return self.trunk.bound(tokens)
        self.check_tokens(tokens)
        return self._bounds(tokens, *self._read(tokens), samples, generator).sum(-1)

    def bound_kind(self, samples: int = 1) -> str:
        """ "exact" for k = 0, "elbo" for one sample, else "iw-S"; samples are per token."""
        return "exact" if self.k == 0 else "elbo" if samples == 1 else f"iw-{samples}"

    def loss(self, batch, generator: Generator | None, share: float) -> tuple[Tensor, Tensor]:
        """Minus the bound with S samples, nats per token, with the price of the rate and without."""
        if self.k == 0:
            return self.trunk.loss(batch, generator, share)
        self.check_tokens(batch.tokens)
        rows, h = self._read(batch.tokens)
        nats = -self._bounds(batch.tokens, rows, h, self.samples, generator).mean()
        weight = self.rate_weight * max(0.0, 2 * share - 1)
        price = weight * self._rate(rows, h, generator) if weight else 0.0
        return nats + price, nats.detach()

    @torch.no_grad()
    def next_log_probs(
        self, tokens: Int[Tensor, "batch n"], samples: int = 64, generator: Generator | None = None
    ) -> Float[Tensor, "batch n V"]:
        """log (1/S) Σ_s p(x_t = ·∣z_s, h), z_s ~ p: an estimate of the predictive distribution, S draws a token."""
        self.check_tokens(tokens)
        if self.k == 0:
            return self.trunk.next_log_probs(tokens)
        rows, h = self._read(tokens)
        context = self.prior_context(h, rows)
        total = None
        for _ in range(samples):  # one by one, so that memory does not grow with S
            log_p = self.log_probs(self.prior.transform(self._noise(h, generator), context), h)
            total = log_p if total is None else torch.logaddexp(total, log_p)
        return total - math.log(samples)

    @torch.no_grad()
    def usage(self, tokens: Int[Tensor, "batch n"], generator: Generator | None = None) -> Usage:
        """How much z carries: one draw a token.

        Raises:
            ValueError: for k = 0, or fewer than two sequences, of which none has another to take z from.
        """
        self.check_tokens(tokens)
        if self.k == 0 or len(tokens) < 2:
            raise ValueError(f"expected k >= 1 and at least two sequences; got k={self.k} and {len(tokens)}")
        rows, h = self._read(tokens)
        loc, log_scale = self._proposal(tokens, h)
        kl = (0.5 * (loc.square() + (2 * log_scale).exp() - 1) - log_scale).sum(-1)  # T carries both alike
        u = self._propose(tokens, h, 1, generator)[0]
        context = self.prior_context(h, rows)
        z = self.prior.transform(u, context)
        unseen = self.prior.transform(self._noise(h[None], generator), context)

        def nats(points: Tensor) -> float:
            return -self.log_probs(points, h).gather(-1, tokens[None, ..., None]).mean().item()

        rate = self._rate(rows, h, generator).item()
        return Usage(kl.mean().item(), rate, nats(z), nats(unseen), nats(unseen.roll(1, 1)))

    @torch.no_grad()
    def generate(
        self,
        count: int,
        length: int | None = None,
        prompt: Int[Tensor, "m"] | None = None,
        generator: Generator | None = None,
        cached: bool = True,
    ) -> Int[Tensor, "count n"]:
        length = self.check_prompt(prompt, length)
        if self.k == 0:
            return self.trunk.generate(count, length, prompt, generator, cached)

        def draw_next(h: Tensor, newest: Tensor) -> Tensor:
            z = self.prior.transform(self._noise(h, generator), self.prior_context(h, newest))
            return draw(self.log_probs(z, h), generator)

        return read_and_draw(self.trunk, draw_next, count, length, prompt, cached)

    def _read(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Rows of x_0 (the start) … x_{n−1}, and what the trunk has made of them."""
        rows = self.trunk.rows(tokens[:, :-1])
        return rows, self.trunk.transformer(rows).to(rows.dtype)

    def _bounds(
        self, tokens: Tensor, rows: Tensor, h: Tensor, samples: int, generator: Generator | None
    ) -> Float[Tensor, "batch n"]:
        """log (1/S) Σ_s p(z_s)/q(z_s) p(x_{t+1}∣z_s, h_t) at each position."""
        u, log_ratio = self._propose(tokens, h, samples, generator)
        log_p = self.log_probs(self.prior.transform(u, self.prior_context(h, rows)), h)
        log_p = log_p.gather(-1, tokens[None, ..., None].expand(samples, -1, -1, -1)).squeeze(-1)
        return (log_ratio + log_p).logsumexp(0) - math.log(samples)

    def _noise(self, h: Tensor, generator: Generator | None) -> Float[Tensor, "*batch k"]:
        """u ~ N(0, I), one for each h (*batch, width)."""
        return torch.empty(*h.shape[:-1], self.k, dtype=h.dtype, device=h.device).normal_(generator=generator)

    def _rate(self, rows: Tensor, h: Tensor, generator: Generator | None) -> Tensor:
        """KL(p(z_t∣x_t, h_t) ‖ N(0, I)), nats per token, from one draw of each."""
        u = self._noise(h, generator)
        z, log_det = self.prior.transform.forward_and_log_det(u, self.prior_context(h, rows))
        return (0.5 * (z.square() - u.square()).sum(-1) - log_det).mean()

    def _propose(self, tokens: Tensor, h: Tensor, samples: int, generator: Generator | None) -> tuple[Tensor, Tensor]:
        """u_s ~ N(m, diag s²) that have seen the next token, and log N(u; 0, I) − log N(u; m, diag s²)."""
        loc, log_scale = self._proposal(tokens, h)
        noise = self._noise(h.expand(samples, *h.shape), generator)
        u = loc + log_scale.exp() * noise
        return u, (0.5 * (noise.square() - u.square()) + log_scale).sum(-1)

    def _proposal(self, tokens: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """m and log s, each (batch, n, k)."""
        seen = torch.cat((h, self.trunk.embed(tokens)), -1)
        loc, raw = self.proposal(None, seen).to(h.dtype).chunk(2, -1)
        return loc, WIDEST * (raw / WIDEST).tanh()

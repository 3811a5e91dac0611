"""TarFlowLM: language as a continuous density, by a stack of autoregressive transformer flows (arXiv 2507.00425).

Tokens become points, x -> z ~ q(z∣x); flows carry the points of a whole sequence to a standard normal; Bayes' rule
reads tokens back from points. The flows take turns in reading from the left and from the right, so that together every
token sees both sides, and each decodes in patches of several tokens at a time.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor, nn

from labkit.dequantise.base import Dequantiser
from labkit.dequantise.tasks import TokenBatch
from labkit.language.base import LanguageModel, draw
from labkit.language.code import GaussianCode
from labkit.language.transformations import MixD, PatchTransformation
from labkit.networks.cached import CachedTransformer


class PatchFlow(nn.Module):
    """u_t = f(z_t; h_t) for the patches t = 1 … T of a sequence, in an order of its own; h_t has read z_1 … z_{t−1}.

    A patch is read as its coordinates and as what tokens they stand for, Σ_j p(j∣z) E_j, with E a table of this flow's.

    Arguments:
        code: the encoder, with the decoder p(j∣z).
        transformation: f, a subclass of `PatchTransformation`.
        patch, width, blocks, heads: P, and the sizes of the transformer.
        number: of the flow, counted from the data. Odd ones read from the right, and odd slots of their patches
            come from the patch before (see `token_order`).
        mixing: whether slots are mixed in that way.
    """

    def __init__(
        self,
        code: Dequantiser,
        transformation: type[PatchTransformation],
        patch: int,
        width: int,
        blocks: int,
        heads: int,
        number: int,
        mixing: bool,
    ):
        super().__init__()
        self.patch, self.number, self.mixing = patch, number, mixing
        self.transformer = CachedTransformer(width, blocks, heads)
        self.table = nn.Parameter(torch.randn(code.vocabulary_size, width))  # E
        self.from_points = nn.Linear(patch * code.dim, width, bias=False)
        self.join = nn.Linear(patch * width, width, bias=False) if patch > 1 else nn.Identity()
        self.start = nn.Parameter(torch.randn(width))
        self.transformation = transformation(code, patch, width, first=number == 0)

    def order(self, length: int) -> Int[Tensor, "length"]:
        """The places of a sequence in the order in which this flow takes them."""
        return token_order(length, self.patch, self.number, self.mixing).to(self.start.device)

    def to_base(
        self, z: Float[Tensor, "batch n d"], code: Dequantiser
    ) -> tuple[Float[Tensor, "batch n d"], Float[Tensor, "batch"]]:
        """u and log|det ∂u/∂z| (nats), all patches at once."""
        order = self.order(z.shape[1])
        patches = z[:, order].unflatten(1, (-1, self.patch))
        u, log_det = self.transformation.to_base(patches, self._read_all(patches, code), code)
        return u.flatten(1, 2)[:, order.argsort()], log_det.sum(-1)

    def log_prob(self, z: Float[Tensor, "batch n d"], code: Dequantiser) -> Float[Tensor, "batch"]:
        """log density of z if u is standard normal (nats)."""
        patches = z[:, self.order(z.shape[1])].unflatten(1, (-1, self.patch))
        return self.transformation.log_prob(patches, self._read_all(patches, code), code).sum(-1)

    def to_data(
        self, u: Float[Tensor, "batch n d"], code: Dequantiser, known: Tensor | None = None, cached: bool = True
    ) -> Float[Tensor, "batch n d"]:
        """z, patch by patch. `known` (batch, m, d) are points already decided, the first of this flow's order."""
        order = self.order(u.shape[1])
        patches = u[:, order].unflatten(1, (-1, self.patch))
        done = [] if known is None else list(known.unflatten(1, (-1, self.patch)).unbind(1))
        cache = self.transformer.cache(len(u), patches.shape[1]) if cached else None
        rows = torch.cat((self.start.expand(len(u), 1, -1), *(self._row(z, code) for z in done)), 1)
        while len(done) < patches.shape[1]:
            h = self.transformer(rows, cache)[:, -1]
            done.append(self.transformation.to_data(patches[:, len(done)], h, code))
            newest = self._row(done[-1], code)
            rows = newest if cached else torch.cat((rows, newest), 1)
        return torch.cat(done, 1)[:, order.argsort()]

    def _read_all(self, patches: Float[Tensor, "batch T P d"], code: Dequantiser) -> Float[Tensor, "batch T width"]:
        start = self.start.expand(len(patches), 1, -1)
        return self.transformer(torch.cat((start, self._rows(patches[:, :-1], code)), 1))

    def _row(self, patch: Float[Tensor, "batch P d"], code: Dequantiser) -> Float[Tensor, "batch 1 width"]:
        return self._rows(patch[:, None], code)

    def _rows(self, patches: Float[Tensor, "batch T P d"], code: Dequantiser) -> Float[Tensor, "batch T width"]:
        tokens = code.decode_log_prob(patches.flatten(1, 2)).exp() @ self.table
        tokens = tokens.unflatten(1, (-1, self.patch)).flatten(2)
        return self.join(tokens) + self.from_points(patches.flatten(2))


class TarFlowLM(LanguageModel):
    """log p(x) >= E_q [log p(x∣z) + log p(z) − log q(z∣x)], p(z) a stack of `PatchFlow`s on a standard normal.

    A flow leaves the points of a patch independent of each other where its transformation does (affine and Mix-d; Mix-1
    reads coordinate by coordinate). With `mixing`, every second flow takes patches that begin elsewhere, so
    that tokens which one flow has in one patch the next has in different ones.

    Arguments:
        vocabulary_size, context: V, and the longest sequence.
        dim: d, coordinates of a token.
        transformation: `Affine`, `Mix1` or `MixD`.
        blocks: of the transformer of each flow, from the data to the base: as many flows as numbers.
        width, heads: of the transformers.
        patch: P, tokens decided at a time.
        mixing: see above; of no effect for P = 1.
        code: an encoder; a `GaussianCode` by default. Any `Dequantiser` is one, so with `TruncatedDequantiser` supports
            are bounded and learned; Mix-d then takes its locations and scales for its codebook.
        edge: width of soft edges in the loss, for a code that has them; bounds are always with hard ones.

    Raises:
        ValueError: for a context that P does not divide, no flow, or a code of other sizes.

    Example:
        >>> model = TarFlowLM(vocabulary_size=5, context=8, dim=2, width=8, heads=2, blocks=(1, 1), patch=2)
        >>> model.bound(torch.zeros(3, 8, dtype=torch.long)).shape
        torch.Size([3])
    """

    def __init__(
        self,
        vocabulary_size: int,
        context: int = 128,
        dim: int = 4,
        transformation: type[PatchTransformation] = MixD,
        blocks: Sequence[int] = (2, 1, 1),
        width: int = 128,
        heads: int = 4,
        patch: int = 1,
        mixing: bool = True,
        code: Dequantiser | None = None,
        edge: float = 0.0,
    ):
        super().__init__(vocabulary_size, context)
        if not blocks:
            raise ValueError("expected at least one flow, as in blocks=(2, 1); got none")
        if patch < 1 or context % patch:
            raise ValueError(f"expected a patch size that divides the context, {context}; got patch={patch}")
        self.code = GaussianCode(vocabulary_size, dim) if code is None else code
        if (self.code.vocabulary_size, self.code.dim) != (vocabulary_size, dim):
            raise ValueError(
                f"expected a code of {vocabulary_size} tokens in {dim} dimensions; "
                f"got one of {self.code.vocabulary_size} in {self.code.dim}"
            )
        self.dim, self.patch, self.edge = dim, patch, edge
        self.flows = nn.ModuleList(
            PatchFlow(self.code, transformation, patch, width, depth, heads, number, mixing)
            for number, depth in enumerate(blocks)
        )

    def log_prior(self, z: Float[Tensor, "batch n d"]) -> Float[Tensor, "batch"]:
        """log p(z) of all points of a sequence (nats)."""
        total = 0.0
        for flow in self.flows[:-1]:
            z, log_det = flow.to_base(z, self.code)
            total = total + log_det
        return total + self.flows[-1].log_prob(z, self.code)

    def terms(
        self, tokens: Int[Tensor, "batch n"], generator: Generator | None = None, edge: float = 0.0
    ) -> tuple[Float[Tensor, "batch"], Float[Tensor, "batch"], Float[Tensor, "batch"]]:
        """log p(x∣z), log p(z) and log q(z∣x) at one draw z ~ q(z∣x), nats; ELBO = first + second − third."""
        self.check_tokens(tokens)
        z, log_q, log_decoder = self.code.encode_and_score(tokens, generator, edge)
        return log_decoder, self.log_prior(z), log_q

    def bound(
        self, tokens: Int[Tensor, "batch n"], samples: int = 1, generator: Generator | None = None
    ) -> Float[Tensor, "batch"]:
        """log (1/S) Σ_s p(x∣z_s) p(z_s)/q(z_s∣x), z_s ~ q: whole sequences are weighted against each other."""
        weights = []
        for _ in range(samples):
            log_decoder, log_prior, log_q = self.terms(tokens, generator)
            weights.append(log_decoder + log_prior - log_q)
        return torch.stack(weights).logsumexp(0) - torch.tensor(float(samples)).log()

    def bound_kind(self, samples: int = 1) -> str:
        """ "elbo", or "iw-S" for several samples."""
        return "elbo" if samples == 1 else f"iw-{samples}"

    def loss(self, batch: TokenBatch, generator: Generator | None, share: float) -> tuple[Tensor, Tensor]:
        """Minus the ELBO, nats per token; a `GaussianCode` follows its schedule."""
        if isinstance(self.code, GaussianCode):
            self.code.anneal(share)
        log_decoder, log_prior, log_q = self.terms(batch.tokens, generator, self.edge)
        loss = -(log_decoder + log_prior - log_q).mean() / batch.tokens.shape[-1]
        return loss, loss.detach()

    def levels(self, z: Float[Tensor, "batch n d"]) -> list[Float[Tensor, "batch n d"]]:
        """The points of a sequence on their way: z itself, then after each flow, the last with the base's density."""
        passed = [z]
        for flow in self.flows:
            passed.append(flow.to_base(passed[-1], self.code)[0])
        return passed

    @torch.no_grad()
    def generate_levels(
        self, count: int, length: int | None = None, generator: Generator | None = None, cached: bool = True
    ) -> list[Int[Tensor, "count n"]]:
        """Draws on their way from the base to the data, every level read with the same decoder: coarse to fine.

        The first is noise read as text, the last is what `generate` gives; all but the last are the likeliest tokens.
        """
        length = self.check_prompt(None, length)
        levels = self._draw(count, length, None, generator, cached)
        likeliest = [self.code.decode_log_prob(z).argmax(-1) for z in levels[:-1]]
        return [*likeliest, draw(self.code.decode_log_prob(levels[-1]), generator)]

    @torch.no_grad()
    def generate(
        self,
        count: int,
        length: int | None = None,
        prompt: Int[Tensor, "m"] | None = None,
        generator: Generator | None = None,
        cached: bool = True,
    ) -> Int[Tensor, "count n"]:
        """As said in the contract. Going on from a prompt takes one flow that reads from the left, and whole patches.

        The prompt's points are drawn from q, the encoder, which is close to the posterior where tokens hardly overlap.

        Raises:
            ValueError: also for a prompt to several flows: those that read from the right have not seen what follows.
        """
        length = self.check_prompt(prompt, length)
        if prompt is not None and (len(self.flows) > 1 or len(prompt) % self.patch):
            raise ValueError(
                f"a prompt needs a model of one flow, and whole patches of {self.patch}; got {len(self.flows)} flows "
                f"and {len(prompt)} tokens. Pass prompt=None to draw whole sequences"
            )
        prompt = None if prompt is None else prompt.to(self.flows[0].start.device)
        z = self._draw(count, length, prompt, generator, cached)[-1]
        tokens = draw(self.code.decode_log_prob(z), generator)
        return tokens if prompt is None else torch.cat((prompt.expand(count, -1), tokens[:, len(prompt) :]), 1)

    def check_prompt(self, prompt: Tensor | None, length: int | None) -> int:
        length = super().check_prompt(prompt, length)
        self._check_length(length)
        return length

    def check_tokens(self, tokens: Tensor) -> None:
        super().check_tokens(tokens)
        self._check_length(tokens.shape[1])

    def _check_length(self, length: int) -> None:
        if length % self.patch:
            raise ValueError(f"expected a length that patches of {self.patch} tokens divide; got {length}")

    def _draw(
        self, count: int, length: int, prompt: Tensor | None, generator: Generator | None, cached: bool
    ) -> list[Float[Tensor, "count n d"]]:
        like = self.flows[0].start
        known = None
        if prompt is not None:
            known = self.code.encode(prompt.expand(count, -1), generator)[0]
        z = torch.empty(count, length, self.dim, dtype=like.dtype, device=like.device).normal_(generator=generator)
        levels = [z]
        for flow in reversed(self.flows):
            levels.append(flow.to_data(levels[-1], self.code, known, cached))
        return levels


def token_order(length: int, patch: int, number: int, mixing: bool) -> Int[Tensor, "length"]:
    """The places 0 … n−1 in the order of flow `number`: P at a time are a patch.

    Odd flows read from the right. With mixing, the odd slots of their patches come from the patch before (of the first
    one: from the last), in the third odd flow every second *pair* of slots, and so on with longer runs.

    Example:
        >>> token_order(6, patch=2, number=1, mixing=True).tolist()  # (4 3) (2 1) (0 5): 0 and 1 in different patches
        [3, 4, 1, 2, 5, 0]
    """
    order = torch.arange(length)
    if number % 2 == 0:
        return order
    if mixing and patch > 1:
        run = 1 << (number // 2) % (patch - 1).bit_length()
        slots = order.reshape(-1, patch)
        moves = (torch.arange(patch) // run) % 2 == 1
        order = torch.where(moves, slots.roll(1, 0), slots).flatten()
    return order.flip(0)

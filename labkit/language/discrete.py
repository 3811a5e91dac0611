"""The deterministic baseline: a small decoder-only transformer that gives p(x_t | x_1, …, x_{t−1}) exactly."""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor, nn

from labkit.language.base import LanguageModel, draw
from labkit.networks.cached import CachedTransformer


class DiscreteLM(LanguageModel):
    """log p(x) = Σ_t log softmax(E h_t)[x_t], where h_t has read a start row and x_1 … x_{t−1}.

    Rotary positions, pre-norm blocks, gated perceptrons; the table E (V, width) both embeds tokens and predicts them
    (Press & Wolf 2017, arXiv 1608.05859). What it gives is exact, in one pass.

    Arguments:
        vocabulary_size, context: V and the longest sequence.
        width, blocks, heads: of the `CachedTransformer`.

    Example:
        >>> model = DiscreteLM(vocabulary_size=27, context=16, width=32, blocks=1, heads=2)
        >>> model.bound(torch.zeros(5, 16, dtype=torch.long)).shape
        torch.Size([5])
    """

    def __init__(self, vocabulary_size: int, context: int = 128, width: int = 128, blocks: int = 4, heads: int = 4):
        super().__init__(vocabulary_size, context)
        self.transformer = CachedTransformer(width, blocks, heads)
        self.table = nn.Parameter(torch.randn(vocabulary_size, width) / math.sqrt(width))  # E
        self.start = nn.Parameter(torch.randn(width))

    def embed(self, tokens: Int[Tensor, "batch n"]) -> Float[Tensor, "batch n width"]:
        """Rows for the transformer: of E, with entries of about one."""
        return self.table[tokens] * math.sqrt(self.table.shape[1])

    def rows(self, tokens: Int[Tensor, "batch n"]) -> Float[Tensor, "batch rows width"]:
        """The start row, and one for each token: n + 1."""
        return torch.cat((self.start.expand(len(tokens), 1, -1), self.embed(tokens)), 1)

    def hidden(self, tokens: Int[Tensor, "batch n"]) -> Float[Tensor, "batch n width"]:
        """h_1 … h_n, from which x_1 … x_n are predicted: h_t has seen x_1 … x_{t−1}."""
        return self.transformer(self.rows(tokens[:, :-1]))

    def log_probs(self, h: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch V"]:
        """log p of every token (nats)."""
        logits = h @ self.table.T
        return logits.to(self.table.dtype).log_softmax(-1)  # under autocast, products are of lower precision

    def next_log_probs(
        self, tokens: Int[Tensor, "batch n"], samples: int = 1, generator: Generator | None = None
    ) -> Float[Tensor, "batch n V"]:
        """log p(x_t = ·∣x_1, …, x_{t−1}) for t = 1 … n."""
        self.check_tokens(tokens)
        return self.log_probs(self.hidden(tokens))

    def bound(
        self, tokens: Int[Tensor, "batch n"], samples: int = 1, generator: Generator | None = None
    ) -> Float[Tensor, "batch"]:
        """log p(x_1, …, x_n) itself."""
        return self.next_log_probs(tokens).gather(-1, tokens[..., None]).squeeze(-1).sum(-1)

    def bound_kind(self, samples: int = 1) -> str:
        """Always "exact"."""
        return "exact"

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
        return read_and_draw(self, lambda h, before: draw(self.log_probs(h), generator), count, length, prompt, cached)


def read_and_draw(
    trunk: DiscreteLM,
    draw_next: Callable[[Tensor, Tensor], Tensor],
    count: int,
    length: int,
    prompt: Tensor | None,
    cached: bool,
) -> Int[Tensor, "count n"]:
    """Token after token: what `draw_next` gives for the newest h (count, width) and its row (count, width)."""
    given = trunk.table.new_empty(0, dtype=torch.long) if prompt is None else prompt.to(trunk.table.device)
    tokens = given.expand(count, -1)
    cache = trunk.transformer.cache(count, length) if cached else None
    rows = trunk.rows(tokens)
    while tokens.shape[1] < length:
        h = trunk.transformer(rows, cache)[:, -1]
        newest = draw_next(h, rows[:, -1])
        tokens = torch.cat((tokens, newest[:, None]), 1)
        rows = trunk.embed(newest[:, None]) if cached else trunk.rows(tokens)
    return tokens

"""What every language model here can do: bound log p of a sequence, say what kind of bound that is, and draw.

*Shapes.* Tokens are (batch, n), ids from 0 to V−1. log p(x_1, …, x_n) is of the whole sequence, with nothing before it,
and in nats; losses are in nats per token. Bits per character are that over log 2.
"""

import math
from abc import ABC, abstractmethod

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor, nn

from labkit.dequantise.tasks import TokenBatch


class LanguageModel(nn.Module, ABC):
    """A distribution over sequences of up to `context` tokens.

    Attributes:
        vocabulary_size: V.
        context: the longest sequence.

    Raises:
        ValueError: for a vocabulary of fewer than two tokens, or no context.
    """

    def __init__(self, vocabulary_size: int, context: int):
        super().__init__()
        if vocabulary_size < 2 or context < 1:
            raise ValueError(
                f"expected at least two tokens and a context; got vocabulary_size={vocabulary_size}, context={context}"
            )
        self.vocabulary_size, self.context = vocabulary_size, context

    @abstractmethod
    def bound(
        self, tokens: Int[Tensor, "batch n"], samples: int = 1, generator: Generator | None = None
    ) -> Float[Tensor, "batch"]:
        """log p(x_1, …, x_n) or, in expectation, a lower bound on it, with so many samples (nats)."""

    @abstractmethod
    def bound_kind(self, samples: int = 1) -> str:
        """What `bound` gives: "exact", "elbo" (one sample a term) or "iw-S" (importance-weighted, S samples)."""

    @abstractmethod
    def generate(
        self,
        count: int,
        length: int | None = None,
        prompt: Int[Tensor, "m"] | None = None,
        generator: Generator | None = None,
        cached: bool = True,
    ) -> Int[Tensor, "count n"]:
        """`count` sequences of `length` tokens (default: the context), which begin with the prompt.

        Arguments:
            cached: keep keys and values, so that each row is read once; without, all rows are read again for each
                new token. The same generator gives the same tokens.

        Raises:
            ValueError: for an empty prompt, one that does not fit, or tokens outside the vocabulary.
        """

    def next_log_probs(
        self, tokens: Int[Tensor, "batch n"], samples: int = 64, generator: Generator | None = None
    ) -> Float[Tensor, "batch n V"] | None:
        """log p(x_t = ·∣x_1, …, x_{t−1}), from so many draws where it is an integral; None where it is out of reach."""
        return None

    def loss(self, batch: TokenBatch, generator: Generator | None, share: float) -> tuple[Tensor, Tensor]:
        """For `labkit.training.train`: minus the bound, nats per token, twice."""
        loss = -self.bound(batch.tokens, generator=generator).mean() / batch.tokens.shape[-1]
        return loss, loss.detach()

    def check_tokens(self, tokens: Tensor) -> None:
        """Refuse sequences longer than the context, and tokens outside the vocabulary.

        Raises:
            ValueError: saying what was got and what was expected.
        """
        if tokens.ndim != 2 or tokens.dtype.is_floating_point or not 1 <= tokens.shape[1] <= self.context:
            raise ValueError(
                f"expected tokens as integers of shape (batch, n) with n from 1 to {self.context}, the context; "
                f"got {tokens.dtype} of shape {tuple(tokens.shape)}"
            )
        check_ids(tokens, self.vocabulary_size)

    def check_prompt(self, prompt: Tensor | None, length: int | None) -> int:
        """The length of what is to be drawn, after looking at prompt and length."""
        length = self.context if length is None else length
        if not 1 <= length <= self.context:
            raise ValueError(f"expected a length from 1 to {self.context}, the context; got length={length}")
        if prompt is None:
            return length
        if prompt.ndim != 1 or prompt.dtype.is_floating_point:
            raise ValueError(
                f"expected a prompt as integers of shape (m,); got {prompt.dtype} of shape {tuple(prompt.shape)}"
            )
        if len(prompt) == 0:
            raise ValueError("the prompt is empty; expected at least one token, or prompt=None to begin from nothing")
        if len(prompt) > self.context:
            raise ValueError(
                f"the prompt has {len(prompt)} tokens, and the model's context is {self.context}; pass its last ones, "
                f"prompt[-{self.context - 1}:], and leave room for what is to be drawn"
            )
        if len(prompt) > length:
            raise ValueError(f"the prompt has {len(prompt)} tokens; expected at most length={length}")
        check_ids(prompt, self.vocabulary_size)
        return length


def check_ids(tokens: Tensor, vocabulary_size: int) -> None:
    """Refuse ids outside the vocabulary, and name one."""
    outside = (tokens < 0) | (tokens >= vocabulary_size)
    if outside.any():
        raise ValueError(
            f"token {tokens[outside][0].item()} is outside the vocabulary; expected ids from 0 to {vocabulary_size - 1}"
        )


def draw(log_p: Float[Tensor, "*batch V"], generator: Generator | None = None) -> Int[Tensor, "*batch"]:
    """One token of V with probabilities p, from V exponential alarm clocks of rates p: the first to ring."""
    alarms = torch.empty_like(log_p).exponential_(generator=generator)
    return (alarms.log() - log_p).argmin(-1)


def bits(nats: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
    """1 nat = 1/log 2 bits."""
    return nats / math.log(2)

"""Bits per character with the kind of their bound, calibration, and the speed of a model that draws."""

import math
import time
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor

from labkit.language.base import LanguageModel, bits


@dataclass(frozen=True)
class Evaluation:
    """What a model makes of held-out sequences.

    Attributes:
        bpc: −bound/(n log 2), mean over sequences: bits per token (character, or word).
        stderr: of that mean, from the spread between sequences.
        bound: "exact", "elbo" or "iw-S". An ELBO is never better than its importance-weighted neighbour: two figures
            are comparable only where this is the same, or the lower one is exact.
        samples: S.
        sequences: their number.
        ece: expected calibration error of the next token, or None where the model has no such distribution.
    """

    bpc: float
    stderr: float
    bound: str
    samples: int
    sequences: int
    ece: float | None

    @property
    def perplexity(self) -> float:
        """2^bpc, per token."""
        return 2**self.bpc


@torch.no_grad()
def evaluate(
    model: LanguageModel,
    tokens: Int[Tensor, "m n"],
    samples: int = 1,
    generator: Generator | None = None,
    chunk: int = 32,
) -> Evaluation:
    """Bits per token of each sequence by itself: nothing before it is read, for any model.

    Arguments:
        tokens: on any device.
        samples: S of the bound, and draws for the predictive distribution where that is an integral (at least 32).
        chunk: sequences at a time.

    Raises:
        ValueError: for fewer than two sequences, of which there is no standard error.

    Example:
        >>> from labkit.language import DiscreteLM
        >>> model = DiscreteLM(vocabulary_size=5, context=8, width=8, blocks=1, heads=2)
        >>> evaluate(model, torch.zeros(4, 8, dtype=torch.long)).bound
        'exact'
    """
    if len(tokens) < 2:
        raise ValueError(f"expected at least two sequences, for a standard error; got {len(tokens)}")
    device, nats, predicted = next(model.parameters()).device, [], []
    for part in tokens.to(device).split(chunk):
        nats.append(-model.bound(part, samples, generator).double() / part.shape[1])
        log_p = model.next_log_probs(part, max(samples, 32), generator)
        if log_p is not None:
            predicted.append(likeliest(log_p, part))
    per_sequence = bits(torch.cat(nats))
    ece = calibration_error(*map(torch.cat, zip(*predicted, strict=True))) if predicted else None
    error = (per_sequence.std() / math.sqrt(len(tokens))).item()
    return Evaluation(per_sequence.mean().item(), error, model.bound_kind(samples), samples, len(tokens), ece)


def calibration_error(confidence: Float[Tensor, "n"], correct: Float[Tensor, "n"], bins: int = 15) -> float:
    """Σ_b n_b/n |accuracy_b − confidence_b| over equal bins of confidence: the expected calibration error.

    (Guo, Pleiss, Sun & Weinberger 2017, arXiv 1706.04599, eq. 3.) A model that is right in 70 % of the cases in which
    it says 70 %, and so on, has 0.

    Arguments:
        confidence: the probability of the likeliest token.
        correct: 1 where it was the token, else 0.

    Example:
        >>> round(calibration_error(torch.tensor([0.9, 0.9, 0.9, 0.9]), torch.tensor([1.0, 1.0, 1.0, 0.0])), 4)
        0.15
    """
    place = (confidence * bins).long().clamp(0, bins - 1)
    total = torch.zeros(bins, dtype=torch.float64, device=confidence.device)
    total.index_add_(0, place, (correct - confidence).double())
    return total.abs().sum().item() / len(confidence)


def likeliest(
    log_p: Float[Tensor, "*batch V"], tokens: Int[Tensor, "*batch"]
) -> tuple[Float[Tensor, "n"], Float[Tensor, "n"]]:
    """The probability of the likeliest token, and 1 where it is the token: what `calibration_error` takes."""
    best, token = log_p.max(-1)
    return best.exp().flatten(), (token == tokens).flatten().to(log_p.dtype)


def draws_per_second(
    model: LanguageModel, count: int, length: int, generator: Generator | None = None
) -> tuple[Int[Tensor, "count length"], float]:
    """`count` sequences drawn with the cache, and tokens per second of that, all sequences together."""
    device = next(model.parameters()).device
    started = time.perf_counter()
    tokens = model.generate(count, length, generator=generator)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return tokens, count * length / (time.perf_counter() - started)

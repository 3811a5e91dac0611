"""The missing token: a question that every model of whole sequences can be asked, in whichever order it reads."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor

from labkit.language.base import LanguageModel, bits
from labkit.language.evaluation import calibration_error, likeliest


class Cloze(NamedTuple):
    """How well a model fills one gap in each of many sequences.

    Where the bounds are not exact these are figures of the predictor that is made from them, S draws a bound, and
    neither the model's own nor a limit on them.

    Attributes:
        bits: −log₂ p(x_t∣x_≠t), mean over sequences.
        accuracy: the share in which the likeliest token is the one that stood there.
        ece: expected calibration error of that likeliest token (`calibration_error`).
        ece_chance: what that error would be on average if the model were right exactly as often as it says: with few
            sequences it is not near 0, and it depends on how sure the model is.
        sequences: their number.
        bound: of what kind the bounds are.
    """

    bits: float
    accuracy: float
    ece: float
    ece_chance: float
    sequences: int
    bound: str


@torch.no_grad()
def cloze_log_probs(
    model: LanguageModel,
    tokens: Int[Tensor, "batch n"],
    places: Int[Tensor, "batch"],
    samples: int = 1,
    generator: Generator | None = None,
) -> Float[Tensor, "batch V"]:
    """log p(x_t = ·∣x_≠t), nats: what stands at one place of each sequence, given all that stands elsewhere.

    p(x_t = v∣x_≠t) = p(x with v at t) / Σ_j p(x with j at t), so that V bounds on log p(x) are all that is needed: a
    continuous model of whole sequences, which has no distribution of the next token, has this one. Where the bounds
    are not exact it is an estimate. All V are made with the same noise, a part of which cancels.

    Arguments:
        places: t of each sequence, from 0.
        samples: S of each bound.

    Raises:
        ValueError: for places outside the sequences, or tokens that do not fit.

    Example:
        >>> from labkit.language import DiscreteLM
        >>> model = DiscreteLM(vocabulary_size=5, context=8, width=8, blocks=1, heads=2)
        >>> log_p = cloze_log_probs(model, torch.zeros(3, 8, dtype=torch.long), torch.tensor([0, 4, 7]))
        >>> log_p.shape, log_p.exp().sum(-1).allclose(torch.ones(3))
        (torch.Size([3, 5]), True)
    """
    model.check_tokens(tokens)
    if places.shape != tokens.shape[:1] or ((places < 0) | (places >= tokens.shape[1])).any():
        raise ValueError(
            f"expected a place from 0 to {tokens.shape[1] - 1} for each of {len(tokens)} sequences; "
            f"got places of shape {tuple(places.shape)}: {places.tolist()}"
        )
    device, bounds = tokens.device, []
    seed = int(torch.randint(2**62, (), generator=generator, device=generator.device if generator else None))
    for token in range(model.vocabulary_size):
        noise = Generator(device).manual_seed(seed)
        bounds.append(model.bound(tokens.scatter(1, places[:, None], token), samples, noise))
    return torch.stack(bounds, -1).log_softmax(-1)


@torch.no_grad()
def evaluate_cloze(
    model: LanguageModel,
    tokens: Int[Tensor, "m n"],
    samples: int = 1,
    generator: Generator | None = None,
    chunk: int = 256,
) -> Cloze:
    """One gap in each sequence, at a place of chance: bits, accuracy and calibration.

    Arguments:
        tokens: on any device; V bounds are made of each sequence. They should be as long as those of the training:
            flows that read from the right are not used to meet the end of a text early.
        samples: S of the bounds.
        chunk: sequences at a time.
    """
    tokens = tokens.to(next(model.parameters()).device)
    where = generator.device if generator else None
    places = torch.randint(tokens.shape[1], tokens.shape[:1], generator=generator, device=where).to(tokens.device)
    parts = zip(tokens.split(chunk), places.split(chunk), strict=True)
    log_p = torch.cat([cloze_log_probs(model, part, place, samples, generator) for part, place in parts])
    missing = tokens.gather(1, places[:, None])
    confidence, correct = likeliest(log_p, missing[:, 0])
    ece, chance = calibration_error(confidence, correct), chance_error(confidence, generator)
    surprise = bits(-log_p.gather(1, missing).mean()).item()
    return Cloze(surprise, correct.mean().item(), ece, chance, len(tokens), model.bound_kind(samples))


def chance_error(confidence: Float[Tensor, "n"], generator: Generator | None = None, draws: int = 100) -> float:
    """The calibration error that confidences like these show on average when they are all true.

    Example:
        >>> chance_error(torch.ones(50)), chance_error(torch.full((50,), 0.5)) > 0.02
        (0.0, True)
    """
    drawn = [calibration_error(confidence, confidence.bernoulli(generator=generator)) for _ in range(draws)]
    return sum(drawn) / draws

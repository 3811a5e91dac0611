"""Samples of the encoder's proposal with their importance weights, for many windows at once."""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution

from labkit.embeddings.latent import LatentEmbedding
from labkit.evaluate.windows import LabelledWindows

BLOCK = 256  # windows whose logits are held at a time


class Weighed(NamedTuple):
    """S samples z ~ q(z∣w,c) for each of B windows, with log-weights log p(c∣z,w) p(z∣w) / q(z∣w,c) in nats."""

    z: Tensor  # (S, B, k)
    log_weight: Tensor  # (S, B)
    log_ratio: Tensor  # (S, B): log q(z∣w,c) − log p(z∣w), whose mean is the KL divergence of q from the prior
    proposal: Distribution  # batch (B,), event (k,)
    row: Tensor  # (B,): the row of each window's word in the model

    @property
    def bound(self) -> Tensor:
        """The importance-weighted bound on log p(c∣w) with the full softmax, nats, (B,)."""
        return self.log_weight.logsumexp(0) - math.log(len(self.log_weight))

    @property
    def shares(self) -> Tensor:
        """Self-normalised weights, (S, B), that sum to 1 for each window."""
        return self.log_weight.softmax(0)

    @property
    def effective_sample_size(self) -> Tensor:
        """(Σ w)²/Σ w² of each window, (B,): from 1 to S."""
        return 1 / self.shares.square().sum(0)


@torch.no_grad()
def weigh(model: LatentEmbedding, windows: list[LabelledWindows], samples: int = 32, seed: int = 0) -> Weighed:
    """Samples of the proposal for all windows, one word after the other.

    Raises:
        ValueError: no window, or one without a word around.
    """
    device = model.word_vectors.weight.device
    if not windows or any((group.context < 0).all(1).any() for group in windows):
        raise ValueError("got no window, or one without a known context word; expected at least one word in each")
    width = max(group.context.shape[1] for group in windows)
    context = np.concatenate([
        np.pad(group.context, ((0, 0), (0, width - group.context.shape[1])), constant_values=-1) for group in windows
    ])  # fmt: skip
    row = torch.tensor([model.row(group.word) for group in windows for _ in range(len(group.context))], device=device)
    generator = torch.Generator(device).manual_seed(seed)
    blocks = zip(torch.as_tensor(context, device=device).split(BLOCK), row.split(BLOCK), strict=True)
    parts = [_weigh(model, ids, rows, samples, generator) for ids, rows in blocks]
    z, log_weight, log_ratio, mean, scale = (torch.cat(part, 1) for part in zip(*parts, strict=True))
    normal = torch.distributions.Normal(mean[0], scale[0], validate_args=False)
    proposal = torch.distributions.Independent(normal, 1, validate_args=False)
    return Weighed(z, log_weight, log_ratio, proposal, row)


def _weigh(model, context: Tensor, row: Tensor, samples: int, generator) -> tuple[Tensor, ...]:
    """For some windows (B, M): z, log-weights, log-ratios, and the proposal's mean and scale, (1, B, k) each."""
    mask, word = context >= 0, model.word_vectors(row)
    proposal = model.encoder(context, mask, word)
    noise = torch.randn((samples, *proposal.mean.shape), generator=generator, device=context.device)
    z = proposal.mean + noise * proposal.stddev
    hidden = model.decode(z, word)  # (S, B, H)
    ids = context.clamp_min(0)
    score = torch.einsum("sbh,bmh->sbm", hidden, model.output.vectors(ids)) + model.output.bias(ids).squeeze(-1)
    log_total = model.output.log_total(hidden.flatten(0, 1)).reshape(hidden.shape[:-1])
    log_likelihood = ((score - log_total[..., None]) * mask).sum(-1)
    log_ratio = proposal.log_prob(z) - model.prior(word).log_prob(z)
    return z, log_likelihood - log_ratio, log_ratio, proposal.mean[None], proposal.stddev[None]

"""What a word's density answers with."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from labkit.density import Mode


@dataclass(frozen=True)
class WordMode(Mode):
    """A mode of a word's density, with the words and sentences that live there, best first.

    `words` are ranked by p(c∣mode) log (p(c∣mode) / p(c∣w)): likely in the mode, and more so than for the word at
    large. `sentences` are those of the corpus whose posterior mass lies most fully in the mode.
    """

    words: tuple[str, ...] = ()
    sentences: tuple[str, ...] = ()


class Evidence(NamedTuple):
    """For n windows: log p(c∣w) in nats (n,), and the posterior mass of each mode (n, modes)."""

    log_prob: Tensor
    mode_mass: Tensor


class Cells(NamedTuple):
    """Places that stand for a word's density, with their mass: a sum over them is an expectation over it."""

    points: Tensor  # (N, k): cells of a grid near the mass for k ≤ 2, samples above
    log_mass: Tensor  # (N,), nats; their exponentials sum to 1
    mode: Tensor  # (N,), the number of the mode in whose basin each lies


def bag_of_words(contexts: Tensor) -> tuple[Tensor, Tensor]:
    """The distinct ids (W,) of windows (n, M) padded with −1, and how often each stands in each, (n, W)."""
    ids, place = torch.unique(contexts.clamp_min(0), return_inverse=True)
    bags = torch.zeros(len(contexts), len(ids))
    bags.scatter_add_(1, place, (contexts >= 0).to(bags))
    return ids, bags

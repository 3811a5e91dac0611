"""What a picture is made of: plain arrays, so that drawing computes nothing."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from labkit.view.projection import Limits


@dataclass(frozen=True, eq=False)
class ModeLabel:
    """What is written at a mode.

    Attributes:
        location: (2,) in the plane of the picture, (1,) on a line.
        mass: probability of its basin of attraction.
        words, sentences: the words that live there and example sentences, best first; may be empty.
        drop: how far log p falls on the way to a higher mode, nats; infinite for the highest.
    """

    location: Float[np.ndarray, " k"]
    mass: float
    words: tuple[str, ...] = ()
    sentences: tuple[str, ...] = ()
    drop: float = math.inf


@dataclass(frozen=True, eq=False)
class DensityGrid:
    """A density in the plane.

    Attributes:
        word: the word it belongs to, "" if it belongs to none.
        x, y: the grid's nodes, (R,) each; the picture ends at the outer ones.
        log_prob: log p in nats, (R, R), `log_prob[row of y, column of x]`.
        probs, levels: shares of the probability, and the log p (nats) above which each of them lies, (P,).
        samples: (n, 2).
        sample_modes: index into `modes` for each sample, told apart in the full space, (n,).
        modes: `ModeLabel`s, heaviest first.
        entropy: of the whole density, nats.
        mass_check: integral of p over the grid, 1 if nothing lies outside.
        is_marginal: True if other coordinates are integrated out (`log_prob` is then a kernel estimate).
        variance_explained: share of the pooled variance that lies in the plane.
    """

    word: str
    x: Float[np.ndarray, " cols"]
    y: Float[np.ndarray, " rows"]
    log_prob: Float[np.ndarray, "rows cols"]
    probs: tuple[float, ...]
    levels: Float[np.ndarray, " probs"]
    samples: Float[np.ndarray, "n 2"]
    sample_modes: Int[np.ndarray, " n"]
    modes: tuple[ModeLabel, ...]
    entropy: float
    mass_check: float
    is_marginal: bool = False
    variance_explained: float = 1.0

    @property
    def limits(self) -> Limits:
        """((left, right), (bottom, top)) of the picture."""
        return (float(self.x[0]), float(self.x[-1])), (float(self.y[0]), float(self.y[-1]))


@dataclass(frozen=True, eq=False)
class DensityLine:
    """A density on the line: `z` and `log_prob` (R,), samples (n, 1), and the rest as in `DensityGrid`."""

    word: str
    z: Float[np.ndarray, " nodes"]
    log_prob: Float[np.ndarray, " nodes"]
    probs: tuple[float, ...]
    levels: Float[np.ndarray, " probs"]
    samples: Float[np.ndarray, "n 1"]
    sample_modes: Int[np.ndarray, " n"]
    modes: tuple[ModeLabel, ...]
    entropy: float
    mass_check: float


@dataclass(frozen=True, eq=False)
class WordPoint:
    """A word of a deterministic embedding: one place (k,) and no density."""

    word: str
    location: Float[np.ndarray, " k"]

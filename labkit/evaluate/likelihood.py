"""Held-out nats per context word, the same for every model."""

import numpy as np
import torch
from scipy.stats import t

from labkit.evaluate.windows import LabelledWindows

BOUND_SAMPLES = 64


def nats_per_word(model, windows: list[LabelledWindows], samples: int = BOUND_SAMPLES) -> np.ndarray:
    """−log p(c∣w)/m in nats for each window, all words one after the other; lower is better.

    For k ≤ 2 by quadrature with the full softmax, so that no bound's tightness decides; above two stochastic
    dimensions by the importance-weighted bound with `samples` samples, which overstates the nats a little.
    """
    parts = []
    for group in windows:
        if getattr(model, "latent_dim", 0) > 2:
            device = next(model.parameters()).device
            context = torch.as_tensor(group.context, device=device)
            log_prob = model.bound(group.word, context, context >= 0, samples)
        else:
            log_prob = model[group.word].evidence(group.context).log_prob
        parts.append(-log_prob.cpu().double().numpy() / group.lengths)
    return np.concatenate(parts)


def optimum(windows: list[LabelledWindows]) -> np.ndarray:
    """The same figure for the grammar itself: no model can be better on average."""
    return np.concatenate([group.optimum / group.lengths for group in windows])


def standard_error(values: np.ndarray) -> float:
    """Of the mean."""
    return float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")


def paired_difference(better: np.ndarray, other: np.ndarray) -> tuple[float, float, float]:
    """Mean of other − better with its 95 % interval (t-distribution) over paired values, such as seeds.

    Raises:
        ValueError: unless there are as many of one as of the other, and at least two.
    """
    better, other = np.asarray(better), np.asarray(other)
    if better.shape != other.shape or better.ndim != 1 or len(better) < 2:
        raise ValueError(
            f"got values of shapes {better.shape} and {other.shape}; expected as many of each, at least two"
        )
    difference = other - better
    half = t.ppf(0.975, len(difference) - 1) * standard_error(difference)
    return float(difference.mean()), float(difference.mean() - half), float(difference.mean() + half)

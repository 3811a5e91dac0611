"""Claim 3: from one context to another, does the density move without tearing?"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from scipy.special import softmax
from torch import Tensor

from labkit.density import Grid, draw
from labkit.embeddings.latent import LatentEmbedding
from labkit.embeddings.occurrence import OccurrenceDensity
from labkit.embeddings.word import WordDensity
from labkit.evaluate.claims.intervals import proportion_interval

SMOOTH = 3.0  # the largest step at most so many times the median one
STEPS = 20  # of a blended path
DIRECTIONS = 16  # on which the Wasserstein distance is taken, for k > 1
POINTS = 4096  # draws that stand for a density over more than two coordinates
KINDS = ("swap", "blend")


class Support(NamedTuple):
    """Places that stand for p(z∣w) at every point of a path, so that no noise of sampling looks like movement."""

    points: np.ndarray  # (N, k), in standard deviations of the density
    log_mass: np.ndarray  # (N,)
    log_likelihoods: Callable[[Sequence], np.ndarray]  # n contexts -> Σ_j log p(c_j∣z,w) at the places, (n, N)


def support_of(density: WordDensity | OccurrenceDensity) -> Support:
    """The cells of a grid for k ≤ 2, the density's own draws above.

    Contexts are arrays of ids for a `WordDensity`, lists of words for an `OccurrenceDensity`.
    """
    if isinstance(density, WordDensity):
        points, log_mass, _ = density.cells
    else:
        points, log_mass = _places(density)

    def likelihoods(contexts: Sequence) -> np.ndarray:
        if isinstance(density, WordDensity):
            return density.log_likelihoods(_padded(contexts)).T.cpu().double().numpy()
        return np.stack([_observed(density, points, context) for context in contexts])

    places = points.cpu().double().numpy()
    log_mass = log_mass.cpu().double().numpy()
    share = np.exp(log_mass)
    centre = share @ places
    scale = np.sqrt(share @ (places - centre) ** 2)
    return Support((places - centre) / scale, log_mass, likelihoods)


def _places(density: OccurrenceDensity) -> tuple[Tensor, Tensor]:
    if density.event_shape[0] > 2:
        return draw(density, POINTS), torch.full((POINTS,), -float(np.log(POINTS)))
    grid = Grid.covering(draw(density, POINTS))
    with torch.no_grad():
        return grid.points, grid.log_mass(density.log_prob(grid.points)).log_softmax(0)


def _observed(density: OccurrenceDensity, points: Tensor, context) -> np.ndarray:
    """log N(z(c); z, r Σ_w) at the places: the likelihood of `OccurrenceDensity.given`."""
    z, ratio = density.observe(context)
    covariance = torch.as_tensor(ratio * density.noise, dtype=torch.float32) + 1e-6 * torch.eye(len(z))
    return torch.distributions.MultivariateNormal(z, covariance).log_prob(points).double().numpy()


def _padded(contexts) -> np.ndarray:
    rows = np.full((len(contexts), max(map(len, contexts))), -1)
    for i, context in enumerate(contexts):
        rows[i, : len(context)] = context
    return rows


def swapped(first: Sequence, second: Sequence) -> list[list]:
    """Contexts from `first` to `second`, a word at a time from the left; steps that change nothing are left out.

    Example:
        >>> swapped(["wet", "sand", "boat"], ["new", "sand"])
        [['wet', 'sand', 'boat'], ['new', 'sand', 'boat'], ['new', 'sand']]
    """
    path = []
    for t in range(max(len(first), len(second)) + 1):
        context = [*second[:t], *first[t:]]
        if context and (not path or context != path[-1]):
            path.append(context)
    return path


def moved(support: Support, first: Sequence, second: Sequence, kind: str = "swap", steps: int = STEPS) -> np.ndarray:
    """The weights of p(z∣w,c_t) on the places along a path, (T, N).

    "swap" exchanges one word after the other; "blend" takes p(z∣w) p(c∣z,w)^(1−t) p(c′∣z,w)^t for t from 0 to 1.

    Raises:
        ValueError: another kind.
    """
    if kind not in KINDS:
        raise ValueError(f"kind is {kind!r}; expected one of {', '.join(map(repr, KINDS))}")
    if kind == "swap":
        likelihood = support.log_likelihoods(swapped(first, second))
    else:
        ends, t = support.log_likelihoods([first, second]), np.linspace(0, 1, steps + 1)[:, None]
        likelihood = (1 - t) * ends[0] + t * ends[1]
    return softmax(support.log_mass + likelihood, axis=1)


def wasserstein_steps(points: np.ndarray, weights: np.ndarray, directions: int = DIRECTIONS) -> np.ndarray:
    """W₁ between neighbours of a path on common places: (N, k), (T, N) -> (T − 1,).

    For k = 1 exact, ∫∣F − G∣; above, sliced: its mean over directions, evenly spread in the plane, drawn with a fixed
    seed in space. Both densities sit on the same places, so that equal weights are at distance 0 exactly.

    References:
        Bonneel, Rabin, Peyré & Pfister, Sliced and Radon Wasserstein barycenters of measures (2015), eq. 8.

    Example:
        >>> line = np.array([[0.0], [1.0], [5.0]])
        >>> wasserstein_steps(line, np.eye(3)).tolist()
        [1.0, 4.0]
    """
    total, axes = 0.0, _directions(points.shape[1], directions)
    for axis in axes:
        along = points @ axis
        order = np.argsort(along)
        cumulative = np.cumsum(np.diff(weights[:, order], axis=0), axis=1)[:, :-1]
        total = total + np.abs(cumulative) @ np.diff(along[order])
    return total / len(axes)


def _directions(k: int, n: int) -> np.ndarray:
    if k == 1:
        return np.ones((1, 1))
    if k == 2:
        angle = np.pi * (np.arange(n) + 0.5) / n
        return np.stack([np.cos(angle), np.sin(angle)], 1)
    axes = np.random.default_rng(0).standard_normal((n, k))
    return axes / np.linalg.norm(axes, axis=1, keepdims=True)


def step_figures(steps: np.ndarray) -> dict[str, float]:
    """`largest`, `median` and `total` of a path's steps, and their `ratio`, largest over median; inf for a median of 0.

    Raises:
        ValueError: fewer than three steps, of which a median says nothing.
    """
    if len(steps) < 3:
        raise ValueError(f"a path of {len(steps)} step(s) has no median to speak of; expected 3 at least")
    largest, median = float(np.max(steps)), float(np.median(steps))
    ratio = largest / median if median > 0 else float("inf")
    return {"steps": len(steps), "largest": largest, "median": median, "total": float(np.sum(steps)), "ratio": ratio}


def path_figures(support: Support, first: Sequence, second: Sequence, kind: str = "swap") -> dict[str, float] | None:
    """`step_figures` of the density along the path; None for a path of fewer than three steps."""
    weights = moved(support, first, second, kind)
    return step_figures(wasserstein_steps(support.points, weights)) if len(weights) > 3 else None


def share_of_smooth(ratios: Sequence[float] | np.ndarray | pd.Series) -> dict[str, float]:
    """The share of paths whose ratio is at most 3, with Wilson's interval, and quartiles of the ratio.

    The interval takes paths for independent; those of one word are not quite.
    """
    ratios = np.asarray(ratios, dtype=float)
    share = float((ratios <= SMOOTH).mean())
    low, high = proportion_interval(share, len(ratios))
    quartiles = np.quantile(ratios, [0.25, 0.5, 0.75], method="nearest")
    return {"smooth": share, "smooth_low": low, "smooth_high": high, "lower": quartiles[0], "ratio": quartiles[1],
            "upper": quartiles[2], "paths": len(ratios)}  # fmt: skip


@torch.no_grad()
def words_along(model: LatentEmbedding, word: str, weights: np.ndarray, n: int = 5) -> pd.DataFrame:
    """The words that p(z∣w,c_t) calls for most, beyond those that the word calls for at large: a row a point.

    Ranked by p(c∣t) log (p(c∣t) / p(c∣w)), with p(c∣t) taken at E[h(z, w)∣t].

    Arguments:
        weights: (T, N), of `moved` on the cells of the word's density.
    """
    places, log_mass, _ = model[word].cells
    hidden = model.hidden_at(word, places)
    everything = torch.arange(len(model.vocabulary_), device=hidden.device)
    log_p = model.output.log_prob(torch.as_tensor(weights).to(hidden) @ hidden, everything)
    at_large = model.output.log_prob(log_mass.exp()[None] @ hidden, everything)
    top = (log_p.exp() * (log_p - at_large)).topk(n + 1).indices.tolist()
    rows = [[w for w in map(model.vocabulary_.word, row) if w != word][:n] for row in top]
    return pd.DataFrame(rows, columns=[f"word {i + 1}" for i in range(n)]).rename_axis("point")

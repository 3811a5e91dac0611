"""The plane in which densities over more than two coordinates are drawn, and what is left of them there."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import ndimage
from torch.distributions import Distribution

from labkit.density.grid import dimension, draw, seeded

Limits = tuple[tuple[float, float], tuple[float, float]]  # ((left, right), (bottom, top))

BANDWIDTHS = 12  # tried between half a cell and a third of the spread


@dataclass(frozen=True, eq=False)
class Projection:
    """A frozen linear map from R^k to the plane: z -> (z - mean) @ components.

    Attributes:
        mean: (k,).
        components: orthonormal columns, (k, 2).
        variance_explained: share of the pooled variance along each column, (2,), at most 1 together.
    """

    mean: Float[np.ndarray, " k"]
    components: Float[np.ndarray, "k 2"]
    variance_explained: Float[np.ndarray, " 2"]

    @property
    def is_marginal(self) -> bool:
        """Whether an outline in this plane is that of a marginal: k - 2 coordinates are integrated out."""
        return len(self.mean) > 2

    def __call__(self, points: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n 2"]:
        if points.ndim != 2 or points.shape[1] != len(self.mean):
            raise ValueError(f"Expected points of shape (N, {len(self.mean)}); got {points.shape}.")
        return (points - self.mean) @ self.components


def project(densities: Sequence[Distribution], n_samples: int = 2000, seed: int = 0) -> Projection:
    """One plane for several densities over R^k, k > 2: the first two principal axes of their pooled samples.

    Every density gives equally many samples. Fit it once and draw every picture of a notebook with it:
    pictures in different planes cannot be compared. The sign of a column is fixed by its largest entry.

    Errors:
        ValueError: no densities, densities of different k, or k <= 2 (drawn as they are).

    References:
        Jolliffe, Principal Component Analysis (2002), section 2.1.

    Example:
        >>> from torch import eye, tensor, zeros
        >>> from torch.distributions import MultivariateNormal
        >>> wide = MultivariateNormal(zeros(4), eye(4) * tensor([1.0, 25.0, 1.0, 9.0]))
        >>> plane = project([wide])
        >>> plane.components.round().astype(int).T.tolist(), plane.is_marginal
        ([[0, 1, 0, 0], [0, 0, 0, 1]], True)
    """
    sizes = sorted({dimension(density) for density in densities})
    if len(sizes) != 1 or sizes[0] <= 2:
        raise ValueError(
            f"A projection needs densities that all live over the same k > 2 coordinates; got k = {sizes}. "
            "One or two coordinates are drawn as they are."
        )
    generator = seeded(None).manual_seed(seed)
    samples = [draw(density, n_samples, generator).double().cpu().numpy() for density in densities]
    pooled = np.concatenate(samples)
    mean = pooled.mean(0)
    _, spread, axes = np.linalg.svd(pooled - mean, full_matrices=False)
    axes = axes[:2] * np.sign(np.take_along_axis(axes[:2], np.abs(axes[:2]).argmax(1)[:, None], 1))
    return Projection(mean, axes.T.copy(), spread[:2] ** 2 / (spread**2).sum())


def marginal(
    samples: Float[np.ndarray, "n 2"], limits: Limits, resolution: int, probs: Sequence[float]
) -> tuple[Float[np.ndarray, "rows cols"], Float[np.ndarray, " probs"]]:
    """The log-density (nats) in the plane, (R, R) as [row = y, col = x], and its highest-density levels.

    A Gaussian kernel estimate from half of the samples; the other half chooses the bandwidth, by their mean
    log-density, and gives the levels, so that the regions hold what they say although the estimate blurs.

    References:
        Silverman, Density Estimation for Statistics and Data Analysis (1986), section 3.4.4.
    """
    build, check = samples[::2], samples[1::2]
    (left, right), (bottom, top) = limits
    step = np.array([right - left, top - bottom]) / (resolution - 1)
    edges = [
        low + width * (np.arange(resolution + 1) - 0.5) for low, width in ((left, step[0]), (bottom, step[1]))
    ]
    counts = np.histogram2d(build[:, 1], build[:, 0], bins=edges[::-1])[0] / (len(build) * step.prod())
    place = ((check - (left, bottom)) / step).T[::-1]
    smallest, spread = step.max() / 2, np.sqrt(build.var(0).mean())
    even = 1e-3 / ((right - left) * (top - bottom))  # keeps one stray sample from deciding the bandwidth

    def smoothed(bandwidth: float) -> tuple[np.ndarray, np.ndarray]:
        field = ndimage.gaussian_filter(counts, bandwidth / step[::-1], mode="constant")
        return field, ndimage.map_coordinates(field, place, order=1, mode="constant")

    bandwidths = np.geomspace(smallest, max(spread / 3, 2 * smallest), BANDWIDTHS)
    field, at_check = max((smoothed(h) for h in bandwidths), key=lambda pair: np.log(pair[1] + even).mean())
    with np.errstate(divide="ignore"):
        levels = np.quantile(np.log(at_check + even * 1e-6), 1 - np.asarray(probs))
        return np.log(field), levels

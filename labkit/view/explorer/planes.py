"""The planes the explorer offers: coordinates, principal axes, discriminants with a control, a neighbour map."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from torch.distributions import Distribution

from labkit.density.grid import dimension, draw, seeded
from labkit.view.projection import Projection
from labkit.view.wording import percent

UMAP_WARNING = (
    "A neighbour map, not a density: areas, gaps and distances in it mean nothing. Two clouds of very different "
    "spread come out alike, and one Gaussian cloud can fall into pieces."
)


@dataclass(frozen=True)
class Separation:
    """How well classes can be told apart along discriminants, on samples that were not used to find them.

    Attributes:
        held_out: mean share of the samples of a class that lie nearest to their own class, in [0, 1].
        control: the same after the labels were shuffled, when nothing is there to be found.
        chance: 1 / number of classes.
    """

    held_out: float
    control: float
    chance: float

    def __str__(self) -> str:
        return (
            f"Held out, {percent(self.held_out)} of the samples lie nearest to their own class; with shuffled labels "
            f"{percent(self.control)}, and chance is {percent(self.chance)}."
        )


def coordinate_plane(k: int, x: int, y: int) -> Projection:
    """The plane of two of the k coordinates; variance is not looked at.

    Raises:
        ValueError: for coordinates that are equal or do not exist.

    Example:
        >>> coordinate_plane(3, 2, 0).components.T.tolist()
        [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    """
    if x == y or not {x, y} <= set(range(k)):
        raise ValueError(f"expected two different coordinates between 0 and {k - 1}; got {x} and {y}")
    return Projection(np.zeros(k), np.eye(k)[:, [x, y]], np.full(2, 1 / k))


def principal_plane(densities: Sequence[Distribution], n_samples: int = 1000, seed: int = 0) -> Projection:
    """The first two principal axes of samples pooled over several densities of any k ≥ 2; see `project`."""
    pooled = np.concatenate(_sampled(densities, n_samples, seed))
    mean = pooled.mean(0)
    _, spread, axes = np.linalg.svd(pooled - mean, full_matrices=False)
    axes = axes[:2] * np.sign(np.take_along_axis(axes[:2], np.abs(axes[:2]).argmax(1)[:, None], 1))
    return Projection(mean, axes.T.copy(), spread[:2] ** 2 / (spread**2).sum())


def discriminant_plane(
    points: Float[np.ndarray, "n k"], labels: Int[np.ndarray, " n"], seed: int = 0
) -> tuple[Projection, Separation]:
    """The plane in which classes lie furthest apart for their width, made orthonormal, and how far that is true.

    Found on half of the points; the other half says how well it separates. With two classes there is one
    discriminant, and the second axis is the direction of most variance at a right angle to it.

    References:
        Fisher, The use of multiple measurements in taxonomic problems (1936).

    Raises:
        ValueError: with fewer than two classes of at least ten points.
    """
    sizes = np.bincount(labels)
    if (sizes >= 10).sum() < 2:
        raise ValueError(
            f"discriminants need two classes of at least ten points; got classes of {sizes.tolist()}: choose a word "
            "with several modes, or compare it with another word"
        )
    random = np.random.default_rng(seed)
    order = random.permutation(len(points))
    build, check = order[::2], order[1::2]
    axes = _discriminants(points[build], labels[build])
    held_out = _told_apart(points, labels, build, check, axes)
    shuffled = random.permutation(labels)
    control = _told_apart(points, shuffled, build, check, _discriminants(points[build], shuffled[build]))
    mean = points.mean(0)
    axes = np.linalg.qr(_two(axes, points - mean))[0]
    axes = axes * np.sign(np.take_along_axis(axes, np.abs(axes).argmax(0)[None], 0))
    share = ((points - mean) @ axes).var(0) / points.var(0).sum()
    return Projection(mean, axes, share), Separation(held_out, control, 1 / len(np.unique(labels)))


def _discriminants(points: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Columns (k, at most 2): leading eigenvectors of within⁻¹ between."""
    classes = np.unique(labels)
    means = np.stack([points[labels == c].mean(0) for c in classes])
    share = np.array([(labels == c).mean() for c in classes])
    inner = points - means[np.searchsorted(classes, labels)]
    within = inner.T @ inner / len(points) + 1e-9 * np.eye(points.shape[1])
    outer = means - share @ means
    value, vector = np.linalg.eigh(np.linalg.inv(np.linalg.cholesky(within)) @ (outer.T * share) @ outer
                                   @ np.linalg.inv(np.linalg.cholesky(within)).T)  # fmt: skip
    found = np.linalg.inv(np.linalg.cholesky(within)).T @ vector[:, ::-1]
    return found[:, : min(2, len(classes) - 1)]


def _told_apart(points, labels, build, check, axes) -> float:
    """The share of points nearest to the mean of their own class, averaged over classes."""
    flat, classes = points @ axes, np.unique(labels)
    means = np.stack([flat[build][labels[build] == c].mean(0) for c in classes])
    nearest = classes[np.square(flat[check][:, None] - means).sum(-1).argmin(1)]
    return float(np.mean([(nearest[labels[check] == c] == c).mean() for c in classes if (labels[check] == c).any()]))


def _two(axes: np.ndarray, centred: np.ndarray) -> np.ndarray:
    if axes.shape[1] == 2:
        return axes
    axis = axes / np.linalg.norm(axes)
    rest = centred - centred @ axis @ axis.T
    return np.concatenate([axis, np.linalg.svd(rest, full_matrices=False)[2][:1].T], axis=1)


def neighbour_map(points: Float[np.ndarray, "n k"], neighbours: int = 15, seed: int = 0) -> Float[np.ndarray, "n 2"]:
    """UMAP of points: near neighbours stay near, and nothing else is promised (see `UMAP_WARNING`).

    References:
        McInnes, Healy & Melville, UMAP (2018), arXiv 1802.03426.
    """
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of TensorFlow, which is not needed, and of one thread for one seed
        from umap import UMAP

        reducer = UMAP(n_neighbors=min(neighbours, len(points) - 1), random_state=seed, n_jobs=1)
        return np.asarray(reducer.fit_transform(points), dtype=float)


def _sampled(densities: Sequence[Distribution], n: int, seed: int) -> list[np.ndarray]:
    sizes = sorted({dimension(density) for density in densities})
    if len(sizes) != 1:
        raise ValueError(f"expected densities over the same coordinates; got k = {sizes}")
    generator = seeded(None).manual_seed(seed)
    return [draw(density, n, generator).double().cpu().numpy() for density in densities]

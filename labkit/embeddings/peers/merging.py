"""Clusters too small to be a sense, and checks of what says how small that is."""

from numbers import Real

import numpy as np


def numbered(labels: np.ndarray) -> np.ndarray:
    """The same clusters with numbers from 0 on."""
    return np.unique(labels, return_inverse=True)[1]


def merge_rare(labels: np.ndarray, vectors: np.ndarray, least_share: float) -> np.ndarray:
    """Clusters with less than a share of the points join the one whose mean is nearest, the smallest first.

    Arguments:
        labels: a cluster for each point, (n,).
        vectors: of the points, (n, d).
        least_share: in [0, 1]; clusters below it are merged until one or none is left.

    Returns:
        (n,), numbered from 0.

    Example:
        >>> merge_rare(np.array([3, 3, 3, 5, 5, 9]), np.array([[0.0], [0], [0], [4], [4], [5]]), 0.2)
        array([0, 0, 0, 1, 1, 1])
    """
    labels = numbered(labels)
    sizes = np.bincount(labels).astype(float)
    sums = np.zeros((len(sizes), vectors.shape[1]))
    np.add.at(sums, labels, vectors)
    while (sizes > 0).sum() > 1:
        smallest = np.where(sizes > 0, sizes, np.inf).argmin()
        if sizes[smallest] >= least_share * len(labels):
            break
        means = sums / np.maximum(sizes, 1)[:, None]
        distances = np.linalg.norm(means - means[smallest], axis=1)
        distances[(sizes == 0) | (np.arange(len(sizes)) == smallest)] = np.inf
        nearest = distances.argmin()
        labels[labels == smallest] = nearest
        for totals in (sizes, sums):
            totals[nearest] += totals[smallest]
            totals[smallest] = 0
    return numbered(labels)


def check_share(least_share: float) -> None:
    """ValueError unless it is a share."""
    if isinstance(least_share, str) or not 0 <= least_share <= 1:
        raise ValueError(f"least_share is {least_share!r}; expected a share from 0 to 1, such as 0.1")


def check_whole(system, **least: int) -> None:
    """ValueError for an argument of a system that is not a whole number of at least so much."""
    for name, smallest in least.items():
        value = getattr(system, name)
        if isinstance(value, bool) or not isinstance(value, Real) or value != value // 1 or value < smallest:
            raise ValueError(f"{name} is {value!r}; expected a whole number of at least {smallest}")

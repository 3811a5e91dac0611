"""Two halves of one sentence: how many groups of occurrences they agree on, and in which directions these differ."""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

AGREED, FEWEST_TO_DIVIDE = 0.5, 40  # of a group: the agreement, and occurrences, with which it is divided again
SHRINKAGE = 0.02  # of the covariance within groups, towards a multiple of the identity


@dataclass(frozen=True, eq=False)
class Halves:
    """The occurrences of a word seen whole and, some times over, by each half of their words.

    Attributes:
        whole: an occurrence each, (n, d).
        pairs: for each halving the points of the first and of the second half of the words, both (n, d).
        known: whether both halves have a word at all, one (n,) of bool for each halving.
    """

    whole: np.ndarray
    pairs: list[tuple[np.ndarray, np.ndarray]]
    known: list[np.ndarray]

    def agreement(self, centres: np.ndarray) -> float:
        """How far the halves of a sentence fall to the same centre: their adjusted Rand index, averaged.

        0 is what chance gives, 1 perfect agreement; halves that all fall to one centre tell nothing and count as 0,
        not as the 1 of the index. Given the sense, the words of a sentence are taken to be
        independent; then only what has to do with the sense can make its halves agree, and no label is needed to
        compare groupings.

        Arguments:
            centres: (K, d).

        Example:
            >>> points = np.array([[-1.0], [-1.1], [1.0], [1.2]])
            >>> Halves(points, [(points, points)], [np.ones(4, bool)]).agreement(np.array([[-1.0], [1.0]]))
            1.0
        """
        scores = []
        for (one, other), rows in zip(self.pairs, self.known, strict=True):
            if rows.sum() > 1:
                first, second = nearest(one[rows], centres), nearest(other[rows], centres)
                divided = len(np.unique(np.concatenate([first, second]))) > 1
                scores.append(adjusted_rand_score(first, second) if divided else 0.0)
        return float(np.mean(scores)) if scores else 0.0

    def select(self, rows: np.ndarray) -> "Halves":
        """These occurrences only, (n,) of bool."""
        pairs = [(one[rows], other[rows]) for one, other in self.pairs]
        return Halves(self.whole[rows], pairs, [known[rows] for known in self.known])

    def noise(self, basis: np.ndarray) -> np.ndarray:
        """The covariance of the error of z = basisᵀ x that comes from the words that happened to be said: (k, k).

        If the halves are z + ε₁ and z + ε₂, independent given z, then the whole is about z + (ε₁ + ε₂)/2, whose
        error has the covariance of (x₁ − x₂)/2 in the basis (d, k).
        """
        apart = np.concatenate([(a - b)[rows] for (a, b), rows in zip(self.pairs, self.known, strict=True)]) @ basis
        return apart.T @ apart / (4 * max(len(apart), 1))


def nearest(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """The number of the centre (K, d) nearest to each point (n, d)."""
    return (np.square(centres).sum(1) - 2 * points @ centres.T).argmin(1)


def agreed_groups(halves: Halves, most: int = 6, seed: int = 0) -> tuple[np.ndarray, dict[int, float]]:
    """k-means groups of the occurrences, as many as halves of sentences agree on best; then groups within groups.

    For K = 2 … `most` the whole occurrences are grouped; the K with the highest `agreement` is taken. Where some
    senses lie near each other, beside a distant one, the halves agree best on fewer groups than there are senses. So
    each group of 40 or more is asked once more in the same way, and divided where its own halves agree by .5 or more.

    Returns:
        The group of each occurrence, (n,), and the agreement at each K.
    """
    groups, scores = _best_groups(halves, most, seed)
    for group in range(groups.max() + 1) if scores else ():
        rows = groups == group
        if rows.sum() < FEWEST_TO_DIVIDE:
            continue
        within, agreements = _best_groups(halves.select(rows), most, seed)
        if agreements and max(agreements.values()) >= AGREED:
            groups[np.flatnonzero(rows)[within > 0]] = groups.max() + within[within > 0]
    return groups, scores


def _best_groups(halves: Halves, most: int, seed: int) -> tuple[np.ndarray, dict[int, float]]:
    found, scores = {}, {}
    different = len(np.unique(halves.whole.round(6), axis=0))  # equal sentences differ in the last digits only
    for number in range(2, min(most, different) + 1):
        means = KMeans(number, n_init=4, random_state=seed).fit(halves.whole)
        found[number], scores[number] = means.labels_.astype(int), halves.agreement(means.cluster_centers_)
    if not found:
        return np.zeros(len(halves.whole), dtype=int), {}
    return found[max(scores, key=scores.get)], scores


def discriminants(points: np.ndarray, shares: np.ndarray, k: int) -> np.ndarray:
    """The k directions in which groups differ most for their width: (n, d), (n, K) -> (d, k).

    The leading solutions u of B u = λ W u, with B the covariance between the means of the groups and W that within
    them; scaled so that the width within groups is 1 along each.

    Arguments:
        points: of the occurrences.
        shares: of each occurrence in each group, rows summing to 1.

    References:
        Fisher (1936); Rao, The utilization of multiple measurements (1948).

    Example:
        >>> points = np.random.default_rng(0).normal(size=(200, 3))
        >>> points[:100, 1] += 8
        >>> direction = discriminants(points, np.eye(2)[np.arange(200) // 100], 1)[:, 0]
        >>> int(np.abs(direction).argmax())
        1
    """
    mass = shares.sum(0)
    centres = (shares.T @ points) / np.maximum(mass, 1e-12)[:, None] - points.mean(0)
    between = (centres * mass[:, None]).T @ centres / len(points)
    within = np.cov(points.T).reshape(between.shape) - between
    width = SHRINKAGE * np.trace(within) / len(within) + 1e-9
    return eigh(between, within + width * np.eye(len(within)))[1][:, ::-1][:, :k]

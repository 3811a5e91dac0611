"""Two halves of one sentence: how many groups of occurrences they agree on, and in which directions these differ."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, silhouette_score

from labkit.embeddings.peers.means import COMPONENTS, SILHOUETTE_ROWS
from labkit.embeddings.peers.weights import Around

AGREEMENT = 0.4  # what the agreement of halves counts beside the silhouette
APART, AGREED, FEWEST_TO_DIVIDE = 0.26, 0.4, 40  # to divide a group: silhouette, agreement and occurrences, at least
MOST_WITHIN = 2  # groups into which a group is divided, at most
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

    def shared(self) -> np.ndarray:
        """The directions in which halves agree, each scaled by the root of its reliability: (d, d), z = basisᵀ x.

        With C the covariance between the two halves of a sentence and N that of the error of one, the directions are
        u = N^−¼ v, v the eigenvectors of N^−¼ C N^−¼. A half has the signal s = uᵀ C u and the noise e = uᵀ N u
        there, the whole the noise e/2 and the reliability ρ = s/(s + e/2); the columns are u √ρ, so that what halves do
        not share fades. N^−½ would make these the canonical directions, which look at agreement alone, and fall for
        a handful of sentences that repeat one another; N⁰ looks at variance as well, and this lies between.

        References:
            Hotelling, Relations between two sets of variates (1936); Spearman (1910) and Brown (1910) for ρ.
        """
        first, second = (np.concatenate([pair[side][rows] for pair, rows in zip(self.pairs, self.known, strict=True)])
                         for side in (0, 1))  # fmt: skip
        if len(first) < 2:
            return np.eye(self.whole.shape[1])
        common = (first - first.mean(0)).T @ (second - second.mean(0)) / len(first)
        noise = (first - second).T @ (first - second) / (2 * len(first))
        size, axes = np.linalg.eigh(noise)
        root = axes * np.maximum(size, 1e-3 * size.mean() + 1e-9) ** -0.25 @ axes.T
        basis = root @ np.linalg.eigh(root @ (common + common.T) @ root)[1][:, ::-1]
        signal = np.maximum((basis * (common @ basis)).sum(0), 0)
        return basis * np.sqrt(signal / (signal + (basis * (noise @ basis)).sum(0) / 2 + 1e-12))

    def seen_in(self, basis: np.ndarray) -> "Halves":
        """The same in other coordinates, basisᵀ x."""
        return Halves(self.whole @ basis, [(one @ basis, other @ basis) for one, other in self.pairs], self.known)

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


def halve(
    around: Around, vectors: np.ndarray, weights: np.ndarray, components: int, halvings: int, seed: int = 0
) -> tuple[Halves, np.ndarray]:
    """The occurrences in their leading principal components, (n, R), and these, (R, D).

    Arguments:
        around: the words around the occurrences.
        vectors, weights: of `Around.means`; a half has its mean over about half of the words.
        components: R, if there are as many.
        halvings: times each sentence is cut in two at random.
    """
    points = around.means(vectors, weights)
    centre = points.mean(0)
    number = min(components, around.n - 1, points.shape[1])
    principal = np.linalg.svd(points - centre, full_matrices=False)[2][:number]  # any, if all points are alike
    rng = np.random.default_rng(seed)
    pairs, known = [], []
    for _ in range(halvings):
        first = rng.random(len(weights)) < 0.5
        parts = [around.means(vectors, weights * side) for side in (first, ~first)]
        known.append(np.logical_and(*(part.any(1) for part in parts)))
        pairs.append(tuple((part - centre) @ principal.T for part in parts))
    return Halves((points - centre) @ principal.T, pairs, known), principal


@dataclass(frozen=True, eq=False)
class Grouping:
    """Groups of occurrences: `labels` (n,), the `agreement` of halves on them, their `silhouette`."""

    labels: np.ndarray
    agreement: float
    silhouette: float

    @property
    def score(self) -> float:
        """What is compared between numbers of groups."""
        return self.silhouette + AGREEMENT * self.agreement


def agreed_groups(
    view: Callable[[np.ndarray], Halves], n: int, most: int = 6, seed: int = 0
) -> tuple[np.ndarray, dict[int, float]]:
    """k-means groups of the occurrences, as many as stand apart and halves agree on; then groups within groups.

    For K = 2 … `most` the whole occurrences are grouped in the coordinates of `Halves.shared`; taken is the K with the
    highest silhouette + 0.4 · agreement. Where senses lie near each other beside a distant one, that is fewer groups
    than there are senses. So each group of 40 or more is looked at by itself, in principal components of its own, and
    divided where its silhouette is at least 0.26 and its agreement at least 0.4.

    Arguments:
        view: the `Halves` of the occurrences that a mask (n,) of bool names.
        n: the number of occurrences.

    Returns:
        The group of each occurrence, (n,), and the agreement at each K.
    """
    tried = _groupings(view(np.ones(n, bool)), most, seed)
    if not tried:
        return np.zeros(n, dtype=int), {}
    groups = max(tried.values(), key=lambda grouping: grouping.score).labels

    def inside(rows: np.ndarray) -> np.ndarray | None:
        inner = max(_groupings(view(rows), MOST_WITHIN, seed).values(), key=lambda g: g.score, default=None)
        apart = inner is not None and inner.silhouette >= APART and inner.agreement >= AGREED
        return inner.labels if apart else None

    return divided(groups, inside), {number: grouping.agreement for number, grouping in tried.items()}


def divided(groups: np.ndarray, inside: Callable[[np.ndarray], np.ndarray | None]) -> np.ndarray:
    """Groups within groups, (n,): each group of 40 or more once more, and no further.

    Arguments:
        groups: of all, (n,) of 0 … K−1.
        inside: the groups (m,) within the group that a mask (n,) of bool names, or None to leave it whole.

    Example:
        >>> groups = np.repeat([0, 1], 50)
        >>> np.bincount(divided(groups, lambda rows: np.arange(50) % 2 if rows[0] else None)).tolist()
        [25, 50, 25]
    """
    found = groups.copy()
    for group in range(groups.max() + 1):
        rows = groups == group
        labels = inside(rows) if rows.sum() >= FEWEST_TO_DIVIDE else None
        if labels is not None:
            found[np.flatnonzero(rows)[labels > 0]] = found.max() + labels[labels > 0]
    return found


def _groupings(halves: Halves, most: int, seed: int) -> dict[int, Grouping]:
    found = {}
    seen = halves.seen_in(halves.shared())
    different = len(np.unique(seen.whole.round(6), axis=0))  # equal sentences differ in the last digits only
    looked_at = np.random.default_rng(seed).permutation(len(halves.whole))[:SILHOUETTE_ROWS]
    leading = halves.whole[looked_at, :COMPONENTS]
    for number in range(2, min(most, different) + 1):
        means = KMeans(number, n_init=10, random_state=seed).fit(seen.whole)
        labels = means.labels_.astype(int)
        if 1 < len(np.unique(labels[looked_at])) < len(looked_at):
            silhouette = float(silhouette_score(leading, labels[looked_at]))
            found[number] = Grouping(labels, seen.agreement(means.cluster_centers_), silhouette)
    return found


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

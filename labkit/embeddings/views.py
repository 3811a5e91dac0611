"""Two views of one occurrence, and the number of groups that is compact in the whole and agreed on by the views."""

from dataclasses import dataclass

import numpy as np
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, silhouette_score

from labkit.embeddings.halves import divided, nearest

COMPONENTS, FOR_SILHOUETTE = 16, 8
POWER = 0.5  # of the standard deviation by which each component is divided: 0 leaves all as they are, 1 whitens
AGREEMENT_POWER = 0.1  # chosen on half of twelve words: from 0 to 0.2 nothing changes there, above it does
LEAST = 0.19  # of that score, for more than one group: words with one sense had 0.17 or less, six of eight of them
APART = 0.225  # silhouette from which a group is two: on half of twelve words one that was had .25, others .20 or less
ROWS = 2000  # of which the silhouette is taken: its cost grows with their square


@dataclass(frozen=True, eq=False)
class Components:
    """The leading principal components of points, each divided by the square root of its standard deviation.

    Attributes:
        points: (n, R).
        basis: (D, R), of which points = (x − mean) basis.
    """

    points: np.ndarray
    basis: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray, number: int = COMPONENTS, power: float = POWER) -> "Components":
        """From x (n, D); R is `number`, or fewer where x has fewer dimensions or points.

        Half-way between the covariance as it is, in which the widest directions decide alone, and whitening, in which
        the narrowest count as much.
        """
        x = x - x.mean(0)
        values, vectors = np.linalg.eigh(x.T @ x / len(x))
        number = min(number, len(x) - 1, x.shape[1])
        deviation = np.sqrt(np.maximum(values[::-1][:number], 1e-12))
        basis = vectors[:, ::-1][:, :number] / deviation**power
        return cls(x @ basis, basis)


def views_agree(groups: np.ndarray, first: np.ndarray, second: np.ndarray) -> float:
    """How far two views put the same occurrences into the same groups: their adjusted Rand index, at least 0.

    Each view has a mean for each group, and gives an occurrence to the nearest. If the views are independent given the
    sense, only what has to do with the sense can make them agree; no label is needed.

    Arguments:
        groups: of occurrences, (n,) of 0 … K−1, none empty.
        first, second: the views, (n, d) and (n, e).

    References:
        Blum & Mitchell, Combining labeled and unlabeled data with co-training (1998).

    Example:
        >>> groups = np.arange(40) % 2
        >>> view = groups[:, None] + np.linspace(0, 0.1, 40)[:, None]
        >>> views_agree(groups, view, -view)
        1.0
    """
    seen = []
    for view in (first, second):
        centres = np.stack([view[groups == group].mean(0) for group in range(groups.max() + 1)])
        seen.append(nearest(view, centres))
    return max(float(adjusted_rand_score(*seen)), 0.0) if len(np.unique(np.stack(seen))) > 1 else 0.0


def compact_and_agreed(
    whole: np.ndarray, first: np.ndarray, second: np.ndarray, most: int = 6, seed: int = 0
) -> tuple[np.ndarray, dict[int, float]]:
    """k-means groups of occurrences, as many as make the silhouette × agreement^0.1 highest; then groups within groups.

    The silhouette alone is nearly the same for some numbers, between which the agreement decides; the agreement alone
    is highest for the coarsest division. A group of 40 or more that is two in components of its own (silhouette of .225
    or more) is divided once. Points and views are taken in half-whitened `Components`, the silhouette on 8
    components as they are.

    Arguments:
        whole, first, second: (n, D), (n, D₁), (n, D₂).
        most: groups to try, from 2.

    Returns:
        The group of each occurrence, (n,), and the score at each number. Where no score comes
        to 0.19 all are one group.
    """
    components, plain = Components.of(whole), Components.of(whole, FOR_SILHOUETTE, 0.0).points
    views = [Components.of(view).points for view in (first, second)]
    different = len(np.unique(whole.round(5), axis=0))
    found, scores = {}, {}
    for number in range(2, min(most, different - 1) + 1):
        groups = KMeans(number, n_init=4, random_state=seed).fit_predict(components.points).astype(int)
        compact = _silhouette(plain, groups, seed)
        if compact is not None:
            found[number], scores[number] = groups, max(compact, 0.0) * views_agree(groups, *views) ** AGREEMENT_POWER
    if max(scores.values(), default=0.0) < LEAST:
        return np.zeros(len(whole), dtype=int), scores

    def inside(rows: np.ndarray) -> np.ndarray | None:
        own, own_plain = Components.of(whole[rows]), Components.of(whole[rows], FOR_SILHOUETTE, 0.0).points
        two = KMeans(2, n_init=4, random_state=seed).fit_predict(own.points).astype(int)
        return two if (_silhouette(own_plain, two, seed) or 0.0) >= APART else None

    return divided(found[max(scores, key=scores.get)], inside), scores


def _silhouette(points: np.ndarray, groups: np.ndarray, seed: int) -> float | None:
    """Of groups of points, (n, d); None where too few are looked at."""
    rows = np.random.default_rng(seed).permutation(len(points))[:ROWS]
    looked_at = 1 < len(np.unique(groups[rows])) < len(rows)
    return float(silhouette_score(points[rows], groups[rows])) if looked_at else None

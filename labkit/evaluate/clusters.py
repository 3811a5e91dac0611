"""How well a clustering agrees with labels: six figures, none of which looks at the names of clusters."""

import numpy as np
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score, v_measure_score
from sklearn.metrics.cluster import contingency_matrix

METRICS = ("ari", "ami", "v", "paired_f", "b_cubed", "clusters")


def cluster_scores(gold: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """ARI, AMI, V, paired F, B-cubed F and the number of clusters found, of n occurrences.

    - `ari`: adjusted Rand index, pairs agreed upon, corrected for chance: 0 for random labels, 1 for the same
      partition; negative where there is less agreement than by chance.
    - `ami`: adjusted mutual information, corrected for chance in the same way.
    - `v`: harmonic mean of homogeneity and completeness; not corrected, it *rises* with the number of clusters.
    - `paired_f`: F1 of "is this pair together"; not corrected, it *falls* with the number of clusters.
    - `b_cubed`: F1 of precision and recall averaged over occurrences (see `b_cubed`).

    V, paired F and B-cubed are therefore read beside trivial clusterings; ARI and AMI lead.

    Raises:
        ValueError: labels and gold of different length, no occurrence, or one sense only, of which nothing can be
            recovered: ARI would be 1 for one cluster and 0 for any other number.

    References:
        Hubert & Arabie (1985) for ARI; Vinh, Epps & Bailey (2010) for AMI; Rosenberg & Hirschberg (2007) for V;
        Manandhar et al. (SemEval-2010 task 14) for paired F; Amigó et al. (2009) for B-cubed.

    Example:
        >>> scores = cluster_scores(np.array(["side", "side", "firm"]), np.array([0, 0, 1]))
        >>> scores["ari"], scores["paired_f"], scores["clusters"]
        (1.0, 1.0, 2)
    """
    gold, labels = np.asarray(gold), np.asarray(labels)
    if gold.shape != labels.shape or gold.ndim != 1:
        raise ValueError(
            f"got gold of shape {gold.shape} and labels of {labels.shape}; expected one of each an occurrence"
        )
    if len(np.unique(gold)) < 2:
        raise ValueError(
            f"the {len(gold):,} occurrences have {len(np.unique(gold))} sense(s); expected two at least: "
            "with one there is nothing to recover"
        )
    return {
        "ari": float(adjusted_rand_score(gold, labels)),
        "ami": float(adjusted_mutual_info_score(gold, labels)),
        "v": float(v_measure_score(gold, labels)),
        "paired_f": paired_f(gold, labels),
        "b_cubed": b_cubed(gold, labels),
        "clusters": len(np.unique(labels)),
    }


def _table(gold: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How many occurrences each cluster has of each sense, (clusters, senses) of float."""
    return contingency_matrix(labels, gold).astype(float)


def _pairs(counts: np.ndarray) -> float:
    return float((counts * (counts - 1) / 2).sum())


def paired_f(gold: np.ndarray, labels: np.ndarray) -> float:
    """2 · |pairs in both| / (|pairs in one cluster| + |pairs of one sense|); 0 where there are none at all."""
    table = _table(gold, labels)
    either = _pairs(table.sum(1)) + _pairs(table.sum(0))
    return 2 * _pairs(table) / either if either else 0.0


def b_cubed(gold: np.ndarray, labels: np.ndarray) -> float:
    """F1 of B-cubed precision and recall.

    Precision is the mean over occurrences of the share of their cluster that has their sense, recall of the share
    of their sense that lies in their cluster; each occurrence counts itself.
    """
    table = _table(gold, labels)
    precision = float((table**2 / table.sum(1, keepdims=True)).sum() / table.sum())
    recall = float((table**2 / table.sum(0, keepdims=True)).sum() / table.sum())
    return 2 * precision * recall / (precision + recall)

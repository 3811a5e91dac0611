"""Which words tell the senses of a word apart: a mixture over the words around it, fitted by tempered EM."""

import numpy as np
import scipy.sparse as sp
from scipy.special import logsumexp

TEMPER = 0.25  # the power of the likelihood of the words around: they are not independent, given the sense
PULL = 3.0  # how much the place of an occurrence among the vectors counts beside its words
NEXT = 2  # words at this distance or nearer are counted once more, as neighbours, with power 1
WORDS_PRIOR, NEIGHBOURS_PRIOR = 300.0, 100.0  # words with which each sense starts, from the word's own distribution
ROUNDS = 2  # more follow the topics of the text away from the senses


def refine(shares: np.ndarray, points: np.ndarray, around, frequencies: np.ndarray) -> np.ndarray:
    """p(s∣c) of each occurrence by EM, from groups to begin with: (n, K) -> (n, K), rows summing to 1.

        log p(s∣c) = log π_s + ¼ Σ_j log p(c_j∣s) + Σ_{j near} log p′(c_j∣s) − 3/2 ‖x − m_s‖²/σ² + constant

    Occurrences are given to senses by these words and the senses' words are counted anew, in turn. p(c∣s) is
    smoothed by the distribution of the word at large (Dirichlet), p′ is the same for direct neighbours, x is the
    occurrence's mean vector, m_s the sense's, and σ² the total variance. The power ¼ takes the words as a quarter as
    many: those of one sentence share a topic, and multiplied as if independent they would make every posterior 0 or 1.

    Arguments:
        shares: of each occurrence in each group at first.
        points: x, (n, d).
        around: the words around the occurrences, flat (`Around`).
        frequencies: of all words in the text, (V,).

    References:
        Nigam, McCallum, Thrun & Mitchell, Text classification from labeled and unlabeled documents using EM (2000).
    """
    words = _counts(around.row, around.ids, around.n)
    close = around.distance <= NEXT
    neighbours = _counts(around.row[close], around.ids[close], around.n)
    neighbours = neighbours[:, np.asarray(neighbours.sum(0)).ravel() > 1]
    usual = np.asarray(words.sum(0)).ravel()
    at_large = frequencies[np.unique(around.ids)]
    usual = usual / max(usual.sum(), 1) + 0.5 * at_large / max(at_large.sum(), 1e-12)
    usual_next = np.asarray(neighbours.sum(0)).ravel() + 0.5
    variance = max(points.var(0).sum(), 1e-12)
    for _ in range(ROUNDS):
        mass = shares.sum(0)
        centres = (shares.T @ points) / np.maximum(mass, 1e-9)[:, None]
        apart = np.square(points).sum(1)[:, None] - 2 * points @ centres.T + np.square(centres).sum(1)
        score = (
            np.log((mass + 1) / (mass.sum() + len(mass)))
            + TEMPER * (words @ _log_ratios(words, shares, usual, WORDS_PRIOR))
            + neighbours @ _log_ratios(neighbours, shares, usual_next, NEIGHBOURS_PRIOR)
            - PULL / 2 * apart / variance
        )
        new = np.exp(score - logsumexp(score, axis=1, keepdims=True))
        if np.abs(new - shares).max() < 1e-3:
            return new
        shares = new
    return shares


def _counts(row: np.ndarray, ids: np.ndarray, n: int) -> sp.csr_matrix:
    """How often each of the words that occur stands in each row: (n, words that occur)."""
    known, column = np.unique(ids, return_inverse=True)
    return sp.csr_matrix((np.ones(len(ids)), (row, column)), shape=(n, len(known)))


def _log_ratios(words: sp.csr_matrix, shares: np.ndarray, usual: np.ndarray, prior: float) -> np.ndarray:
    """log p(c∣s)/p(c∣w), smoothed: (words, K)."""
    if not words.shape[1]:
        return np.zeros((0, shares.shape[1]))
    usual = usual / usual.sum()
    counts = words.T @ shares
    return np.log((counts + prior * usual[:, None]) / (counts.sum(0) + prior) / usual[:, None])

"""Pairs of words, and of words in context, against people's ratings."""

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from labkit.embeddings.peers import SenseInducer
from labkit.text import Vocabulary
from labkit.text.occurrences import Occurrences, PairsInContext, WordPairs


def word_similarity(vectors: np.ndarray, vocabulary: Vocabulary, pairs: WordPairs) -> dict[str, float]:
    """Spearman's rank correlation of the cosine of two words with people's rating of the pair.

    Arguments:
        vectors: one a word of the vocabulary, (V, d).

    Returns:
        `spearman` over the pairs of which both words are known, `known`, how many these are, and `pairs`, of how
        many. Two systems are comparable only where they know the same pairs.

    Raises:
        ValueError: fewer than 3 pairs are known.
    """
    rows = [(vocabulary.get(a), vocabulary.get(b)) for a, b in zip(pairs.first, pairs.second, strict=True)]
    known = np.array([None not in row for row in rows])
    if known.sum() < 3:
        raise ValueError(
            f"{int(known.sum())} pairs of {pairs.name} have both words in the vocabulary; expected 3 at least"
        )
    first, second = np.array([row for row in rows if None not in row]).T
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    cosine = (unit[first] * unit[second]).sum(1)
    return {"spearman": spearman(cosine, pairs.gold[known]), "known": int(known.sum()), "pairs": len(pairs)}


def spearman(scores: np.ndarray, gold: np.ndarray) -> float:
    """Spearman's rank correlation; 0 where all scores are the same."""
    return float(spearmanr(scores, gold).statistic) if np.ptp(scores) > 0 else 0.0


def in_context(system: SenseInducer, pairs: PairsInContext) -> pd.DataFrame:
    """Three similarities of each pair of occurrences, and the gold value.

    With K and L senses of the two words, π_i and π′_j their vectors, p(i∣c) and p(j∣c′) their probabilities in the
    two contexts:

        AvgSimC = Σ_ij p(i∣c) p(j∣c′) cos(π_i, π′_j),      MaxSimC = cos(π_î, π′_ĵ) of the likeliest senses,

    and `contexts`, the cosine of the two occurrences themselves, which asks for no senses.

    Returns:
        Columns `avg_sim_c`, `max_sim_c`, `contexts`, `gold`; rows are pairs, those left out of which a word never
        occurs in the text of the system.

    References:
        Reisinger & Mooney, Multi-prototype vector-space models of word meaning (NAACL 2010).
    """
    sides = [_by_word(system, side) for side in (pairs.first, pairs.second)]
    rows = []
    for i in range(len(pairs)):
        if sides[0][i] is None or sides[1][i] is None:
            continue
        (own, p, here), (other, q, there) = sides[0][i], sides[1][i]
        cosine = _unit(own) @ _unit(other).T
        rows.append({
            "pair": i, "avg_sim_c": p @ cosine @ q, "max_sim_c": cosine[p.argmax(), q.argmax()],
            "contexts": _unit(here) @ _unit(there), "gold": pairs.gold[i],
        })  # fmt: skip
    return pd.DataFrame(rows, columns=["pair", "avg_sim_c", "max_sim_c", "contexts", "gold"]).set_index("pair")


def _by_word(system: SenseInducer, side: Occurrences) -> list[tuple | None]:
    """(vectors of the senses, their probabilities here, vector of the occurrence) of each row; None if unknown."""
    here = _vectors(system, side)
    found: list[tuple | None] = [None] * len(side)
    for word in dict.fromkeys(side.words.tolist()):
        rows = np.flatnonzero(side.words == word)
        if here[rows[0]] is not None:
            senses, probabilities = system.senses_in_context(word, side.select(rows))
            for row, p in zip(rows, probabilities, strict=True):
                found[row] = (senses, p, here[row])
    return found


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def contexts_alike(system: SenseInducer, pairs: PairsInContext) -> np.ndarray:
    """The cosine of the two occurrences of each pair, (n,); 0 where a word never occurs in the system's text."""
    first, second = (_vectors(system, side) for side in (pairs.first, pairs.second))
    return np.array([0.0 if a is None or b is None else float(_unit(a) @ _unit(b))
                     for a, b in zip(first, second, strict=True)])  # fmt: skip


def _vectors(system: SenseInducer, side: Occurrences) -> list[np.ndarray | None]:
    """The vector of each occurrence, None where the word never occurs in the text."""
    found: list[np.ndarray | None] = [None] * len(side)
    for word in dict.fromkeys(side.words.tolist()):
        rows = np.flatnonzero(side.words == word)
        try:
            vectors = system.transform(word, side.select(rows))
        except KeyError:
            continue
        for row, vector in zip(rows, vectors, strict=True):
            found[row] = vector
    return found


def best_threshold(scores: np.ndarray, gold: np.ndarray) -> tuple[float, float]:
    """The threshold θ for which "score ≥ θ" agrees most often with gold (bool), and how often it does.

    Example:
        >>> best_threshold(np.array([0.1, 0.4, 0.6, 0.8]), np.array([False, False, True, True]))
        (0.5, 1.0)
    """
    scores, gold = np.asarray(scores, dtype=float), np.asarray(gold, dtype=bool)
    if scores.shape != gold.shape or not len(scores):
        raise ValueError(f"got {len(scores)} scores and {len(gold)} gold labels; expected as many, one at least")
    values = np.unique(scores)
    between = (values[1:] + values[:-1]) / 2
    candidates = np.concatenate([[values[0] - 1], between, [values[-1] + 1]])
    order = np.argsort(scores, kind="stable")
    right_above = np.concatenate([np.cumsum(gold[order][::-1])[::-1], [0]])  # true ones from each rank on
    wrong_below = np.concatenate([[0], np.cumsum(~gold[order])])  # false ones before each rank
    rank = np.searchsorted(scores[order], candidates)
    right = right_above[rank] + wrong_below[rank]
    best = int(right.argmax())
    return float(candidates[best]), float(right[best] / len(scores))

"""The same questions of densities fitted to a word's occurrences: directions used, and what `given` rests on."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy.linalg import eigh

from labkit.embeddings.occurrence import OccurrenceEmbedding
from labkit.evaluate.diagnostics import USED


@dataclass(frozen=True)
class OccurrenceDiagnosis:
    """What `diagnose_occurrences` found: a table with a row a word, and a verdict."""

    table: pd.DataFrame = field(repr=False)
    skipped: dict[str, str]

    @property
    def verdict(self) -> str:
        """One line."""
        if not len(self.table):
            return f"No word has a density ({len(self.skipped)} left out)."
        t = self.table
        line = f"{t.used.sum()} of {t.k.sum()} directions of {len(t)} words are used, "
        line += f"{t.reliability.median():.0%} of their variance is more than a context's own error; "
        line += f"{(t.modes > 1).sum()} words have more than one mode"
        sampled = t.effective_share.dropna()
        if len(sampled):
            line += f"; where k > 2 a sample of `given` is worth {sampled.median():.0%} of an exact one"
        return line + (f"; {len(self.skipped)} words left out." if self.skipped else ".")


def diagnose_occurrences(
    embedding: OccurrenceEmbedding, words: Sequence[str], contexts: int = 20, seed: int = 0
) -> OccurrenceDiagnosis:
    """What applies of `diagnose` to densities of occurrences, which have no decoder and no encoder.

    Columns, a row a word: `n` occurrences, `k` directions, `modes`; `used`, in how many directions the places vary
    more than their own error explains (1 − 1/λ > 0.1, λ the eigenvalues of Cov(z) against Σ_w, the error that halves
    of sentences show); `reliability`, the mean of 1 − 1/λ over directions; `effective_share`, of the samples behind
    `given`, median over some of the word's own contexts (NaN where k ≤ 2: there it is exact).

    Words without enough occurrences are left out, with the reason.

    Raises:
        NotFittedError: an embedding that is not fitted.
    """
    rows, skipped = [], {}
    for word in words:
        try:
            density = embedding[word]
        except (KeyError, ValueError) as error:
            if type(error).__name__ == "NotFittedError":
                raise
            skipped[word] = str(error.args[0] if type(error) is KeyError else error)  # str() of a KeyError is quoted
            continue
        k = density.event_shape[0]
        covariance = np.atleast_2d(np.cov(density.places.numpy().T))
        noise = np.atleast_2d(density.noise) + 1e-9 * np.trace(covariance) / k * np.eye(k)
        reliability = np.clip(1 - 1 / np.maximum(eigh(covariance, noise, eigvals_only=True), 1e-12), 0, 1)
        rows.append({
            "word": word, "n": density.around.n, "k": k, "modes": len(density.modes()),
            "used": int((reliability > USED).sum()), "reliability": float(reliability.mean()),
            "effective_share": _effective_share(density, contexts, seed) if k > 2 else np.nan,
        })  # fmt: skip
    columns = ["word", "n", "k", "modes", "used", "reliability", "effective_share"]
    return OccurrenceDiagnosis(pd.DataFrame(rows, columns=columns).set_index("word"), skipped)


def _effective_share(density, contexts: int, seed: int) -> float:
    """Effective samples of `given` over their number, median over some of the word's own occurrences."""
    around, vocabulary = density.around, density.embedding.embedding_.vocabulary_
    known = np.unique(around.row)
    shares = []
    for row in np.random.default_rng(seed).permutation(known)[:contexts]:
        words = [vocabulary.word(int(i)) for i in around.ids[around.row == row]]
        moved = density.given(words)
        shares.append(moved.effective_sample_size / len(moved.weights))
    return float(np.median(shares)) if shares else float("nan")

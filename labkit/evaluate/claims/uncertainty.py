"""Claim 2: is a word's spread its uncertainty? Entropy against WordNet, and mode masses against sense frequencies."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from labkit.density import draw
from labkit.embeddings.latent import LatentEmbedding
from labkit.evaluate.claims.intervals import (
    bootstrap_interval,
    correlation,
    labelled,
    partial_rank_correlation,
    rank_correlation,
)

STRATA = 10  # of frequency, from each of which as many words are taken
FEWEST = 50  # occurrences of a word that is asked for its entropy
SAMPLES, PLACES = 1000, 16  # of each density: for its entropy, and for what its places say
BINS = 10


def stratified_words(
    counts: dict[str, int], senses: pd.Series, n: int, fewest: int = FEWEST, seed: int = 0
) -> list[str]:
    """n words that WordNet has and that occur `fewest` times at least, as many from each tenth of the frequencies.

    Raises:
        ValueError: fewer than 30 such words.
    """
    known = [word for word, count in counts.items() if count >= fewest and word in senses.index]
    if len(known) < 30:
        raise ValueError(f"{len(known)} words occur {fewest} times and are in WordNet; expected 30 at least")
    known.sort(key=lambda word: (counts[word], word))
    rng = np.random.default_rng(seed)
    chosen = []
    for part in np.array_split(np.array(known), STRATA):
        chosen += rng.permutation(part)[: -(-n // STRATA)].tolist()
    return chosen


@torch.no_grad()
def word_uncertainty(model: LatentEmbedding, words: Sequence[str], seed: int = 0) -> pd.DataFrame:
    """Two figures a word, nats: a row a word.

    Columns:
        `entropy`: H(p(z∣w)) = −E log p(z∣w) over 1,000 draws. It changes with the unit of z, which the decoder is free
            to choose anew for each word, so that it can be compared between words only as far as it does not.
        `information`: I(z; c_j∣w) = E_z KL(p(c∣z,w) ‖ E_z p(c∣z,w)) over 16 places, what one context word says about
            the place. No change of coordinates changes it.
    """
    generator, rows = torch.Generator().manual_seed(seed), []
    vectors, bias = model.output.vectors.weight, model.output.bias.weight.squeeze(-1)
    for word in words:
        prior = model.prior_of(word)
        z = draw(prior, SAMPLES, generator)
        log_prob = prior.log_prob(z)
        log_p = (model.hidden_at(word, z[:PLACES]) @ vectors.T + bias).log_softmax(-1)  # (P, V)
        mean = log_p.logsumexp(0) - np.log(len(log_p))
        rows.append({"word": word, "entropy": -float(log_prob.mean()),
                     "information": float((log_p.exp() * (log_p - mean)).sum(-1).mean())})  # fmt: skip
    return pd.DataFrame(rows).set_index("word")


def against_senses(figures: pd.DataFrame, senses: np.ndarray, counts: np.ndarray, seed: int = 0) -> pd.DataFrame:
    """Spearman's ρ of each figure with the number of WordNet senses, raw and with log frequency held fixed.

    Returns:
        A row a figure: `rho`, `rho_low`, `rho_high`, `partial`, `partial_low`, `partial_high`, `frequency` (ρ of the
        figure with frequency), `words`. Intervals are bootstraps over words.
    """
    rows = {}
    for name in figures:
        values = figures[name].to_numpy()
        row = {"words": len(values), "frequency": rank_correlation(values, counts)}
        raw = bootstrap_interval(rank_correlation, values, senses, seed=seed)
        partial = bootstrap_interval(partial_rank_correlation, values, senses, counts, seed=seed)
        rows[name] = row | labelled("rho", raw) | labelled("partial", partial)
    return pd.DataFrame(rows).T


def mode_calibration(word: str, mode: np.ndarray, senses: np.ndarray, masses: np.ndarray) -> pd.DataFrame:
    """Each mode put down to the sense that most of its occurrences have: a row a sense of the word.

    Arguments:
        mode: in whose basin, or to which most of the posterior goes, each of n labelled occurrences lies, (n,).
        senses: their labels, (n,). They name the modes, and are used for nothing else.
        masses: that the density gives each mode, (K,), summing to 1.

    Returns:
        `word`, `sense`, `mass` (of all its modes; 0 where no mode is the sense's), `frequency` (its share of the
        occurrences), `modes` (how many). A mode in which no occurrence lies counts for the commonest sense.

    Raises:
        ValueError: columns of different length, or a mode that has no mass.
    """
    mode, senses, masses = np.asarray(mode), np.asarray(senses), np.asarray(masses, dtype=float)
    if len(mode) != len(senses) or not len(mode) or mode.max() >= len(masses):
        raise ValueError(
            f"got {len(mode)} modes, {len(senses)} senses and {len(masses)} masses; expected as many of the first two, "
            "and a mass for each mode"
        )
    names, gold = np.unique(senses, return_inverse=True)
    table = np.zeros((len(masses), len(names)))
    np.add.at(table, (mode, gold), 1)
    table[table.sum(1) == 0] = table.sum(0)
    sense_of_mode = table.argmax(1)
    return pd.DataFrame({
        "word": word, "sense": names, "mass": np.bincount(sense_of_mode, masses / masses.sum(), len(names)),
        "frequency": np.bincount(gold) / len(gold), "modes": np.bincount(sense_of_mode, minlength=len(names)),
    })  # fmt: skip


def calibration_scores(table: pd.DataFrame, seed: int = 0) -> dict[str, float]:
    """How well the masses of `mode_calibration` are the frequencies, over senses of all words.

    Returns:
        `error`: the expected calibration error Σ_b n_b/n ∣mean mass − mean frequency∣ over ten bins of mass;
        `variation`: the mean over words of ½ Σ_s ∣mass − frequency∣, which no cancelling within a bin flatters;
        `correlation` of mass and frequency with its 95 % interval over words; `one_mode`, the variation of a density
        that gives all to the commonest sense; `senses`, `words`, and `found`, the share of senses with a mode.

    References:
        Guo, Pleiss, Sun & Weinberger, On calibration of modern neural networks (2017), eq. 3.
    """
    words = [group for _, group in table.groupby("word", sort=False)]
    bins = np.minimum((table["mass"] * BINS).astype(int), BINS - 1)
    gaps = (table["mass"] - table["frequency"]).groupby(bins).agg(["mean", "size"])
    variation = np.array([(g["mass"] - g["frequency"]).abs().sum() / 2 for g in words])

    def over_words(chosen: np.ndarray) -> float:
        rows = pd.concat([words[i] for i in chosen])
        return correlation(rows["mass"].to_numpy(), rows["frequency"].to_numpy())

    found = (bootstrap_interval(over_words, np.arange(len(words)), resamples=500, seed=seed) if len(words) > 2
             else (over_words(np.arange(len(words))), float("nan"), float("nan")))  # fmt: skip
    return {
        "error": float((gaps["mean"].abs() * gaps["size"]).sum() / len(table)), "variation": float(variation.mean()),
        **labelled("correlation", found),
        "one_mode": float(np.mean([1 - g["frequency"].max() for g in words])),
        "found": float((table["modes"] > 0).mean()), "senses": len(table), "words": len(words),
    }  # fmt: skip

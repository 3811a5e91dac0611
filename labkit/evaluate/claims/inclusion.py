"""Claim 1, lexical entailment: is the density of "dog" inside that of "animal"? Beside frequency and cosine."""

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import average_precision_score, roc_auc_score
from torch import Tensor

from labkit.density import draw
from labkit.evaluate.claims.intervals import bootstrap_interval, labelled, proportion_interval
from labkit.evaluate.pairs import best_threshold
from labkit.text import Vocabulary
from labkit.text.occurrences import WordPairs

SAMPLES = 400  # of each word's density
REGION = 0.95  # of the highest-density region
FOLDS = 10  # in which a threshold is chosen on the other nine


def known_pairs(pairs: WordPairs, words) -> WordPairs:
    """The pairs of which both words are among `words`.

    Raises:
        ValueError: fewer than 20, or all with the same label.
    """
    rows = np.array([a in words and b in words for a, b in zip(pairs.first, pairs.second, strict=True)], dtype=bool)
    gold = pairs.gold[rows].astype(bool)
    if rows.sum() < 20 or gold.all() or not gold.any():
        raise ValueError(
            f"{int(rows.sum())} pairs of {pairs.name} have both words, {int(gold.sum())} of them positive; "
            "expected 20 at least, and some of either kind"
        )
    return WordPairs(pairs.name, pairs.first[rows], pairs.second[rows], gold)


@torch.no_grad()
def density_inclusion(model, pairs: WordPairs, samples: int = SAMPLES, seed: int = 0) -> pd.DataFrame:
    """How far the density of the first word lies in that of the second: a row a pair, higher for entailment.

    Arguments:
        model: a fitted latent embedding.

    Columns, with p of the first word and q of the second, over z:
        `kl`: −KL(p ‖ q), nats. Small where q is wide enough to hold p.
        `kl_asymmetry`: KL(q ‖ p) − KL(p ‖ q), nats: above 0 where q is the wider one.
        `region`: the mass of p in the region that holds 95 % of q.
        `region_asymmetry`: the same less the mass of q in the region of p.

    The coordinates z are shared by all words, but the decoder sees the word too, so that a place need not mean the
    same for two words; what that costs is part of the result.

    References:
        Vilnis & McCallum, Word representations via Gaussian embedding (2015), section 5.2, for KL as
        entailment; Athiwaratkul & Wilson, Hierarchical density order embeddings (2018), for densities within densities.
    """
    words = sorted(set(pairs.first) | set(pairs.second))
    place = {word: i for i, word in enumerate(words)}
    vectors = torch.stack([model.word_vector(word) for word in words])
    generator = torch.Generator().manual_seed(seed)
    points = torch.stack([draw(model.prior_of(word), samples, generator) for word in words], 1)  # (S, W, k)
    own = model.prior(vectors).log_prob(points)  # (S, W)
    level = torch.quantile(own, 1 - REGION, dim=0)
    first, second = (torch.tensor([place[word] for word in side]) for side in (pairs.first, pairs.second))
    kl, region = zip(*(_of(model, vectors, points, own, level, a, b) for a, b in ((first, second), (second, first))),
                     strict=True)  # fmt: skip
    return pd.DataFrame({
        "kl": -kl[0].numpy(), "kl_asymmetry": (kl[1] - kl[0]).numpy(),
        "region": region[0].numpy(), "region_asymmetry": (region[0] - region[1]).numpy(),
    })  # fmt: skip


def _of(model, vectors: Tensor, points: Tensor, own: Tensor, level: Tensor, a: Tensor, b: Tensor):
    """KL(p_a ‖ p_b), and the mass of p_a in the region of p_b, of each pair: (pairs,), (pairs,)."""
    kl, region = [], []
    for some, others in zip(a.split(256), b.split(256), strict=True):
        other = model.prior(vectors[others]).log_prob(points[:, some])
        kl.append((own[:, some] - other).mean(0))
        region.append((other >= level[others]).double().mean(0))
    return torch.cat(kl).cpu(), torch.cat(region).cpu()


def baselines(pairs: WordPairs, vocabulary: Vocabulary, vectors: np.ndarray) -> pd.DataFrame:
    """What needs no density: `frequency`, log f of the second word less that of the first; and the `cosine`.

    Arguments:
        vectors: of all words of the vocabulary, (V, d).
    """
    first, second = ([vocabulary[word] for word in side] for side in (pairs.first, pairs.second))
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    log_frequency = np.log(vocabulary.frequencies + 1e-12)
    return pd.DataFrame({
        "frequency": log_frequency[second] - log_frequency[first], "cosine": (unit[first] * unit[second]).sum(1),
    })  # fmt: skip


def entailment_scores(scores: pd.DataFrame, gold: np.ndarray, resamples: int = 500, seed: int = 0) -> pd.DataFrame:
    """Average precision and ROC area of each score with 95 % intervals over pairs, and its accuracy.

    Accuracy is that of "score ≥ θ" with θ chosen on the other nine tenths of the pairs: no pair chooses its own.

    Returns:
        A row a score: `ap`, `ap_low`, `ap_high`, `auc`, `auc_low`, `auc_high`, `accuracy`, `accuracy_low`,
        `accuracy_high`, `pairs`.
    """
    gold, rows = np.asarray(gold, dtype=bool), {}
    fold = np.random.default_rng(seed).permutation(len(gold)) % FOLDS
    for name in scores:
        values = scores[name].to_numpy()
        right = np.zeros(len(gold), dtype=bool)
        for i in range(FOLDS):
            threshold, _ = best_threshold(values[fold != i], gold[fold != i])
            right[fold == i] = (values[fold == i] >= threshold) == gold[fold == i]
        share = float(right.mean())
        row = labelled("accuracy", (share, *proportion_interval(share, len(right))))
        for figure, metric in (("ap", average_precision_score), ("auc", roc_auc_score)):
            found = bootstrap_interval(_with_both(metric), gold, values, resamples=resamples, seed=seed)
            row |= labelled(figure, found)
        rows[name] = row | {"pairs": len(gold)}
    return pd.DataFrame(rows).T


def _with_both(metric):
    return lambda gold, values: metric(gold, values) if gold.any() and not gold.all() else float("nan")

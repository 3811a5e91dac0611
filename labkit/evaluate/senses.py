"""Are the modes of a density the senses of the word?"""

import numpy as np
import pandas as pd
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score, v_measure_score
from sklearn.naive_bayes import MultinomialNB

from labkit.evaluate.windows import LabelledWindows

METRICS = {"ari": adjusted_rand_score, "ami": adjusted_mutual_info_score, "v": v_measure_score}


def score_clusters(senses: np.ndarray, clusters: np.ndarray) -> dict[str, float]:
    """ARI, AMI and V of a clustering, accuracy with each cluster named after its commonest sense, cluster count."""
    names, gold = np.unique(senses, return_inverse=True)
    table = pd.crosstab(clusters, gold).to_numpy()
    scores = {name: float(metric(gold, clusters)) for name, metric in METRICS.items()}
    return scores | {"accuracy": table.max(1).sum() / table.sum(), "clusters": len(table)}


def mode_masses(model, windows: list[LabelledWindows]) -> dict[str, np.ndarray]:
    """Posterior mass of each mode for each window: word -> (n, modes)."""
    return {w.word: model[w.word].evidence(w.context).mode_mass.cpu().double().numpy() for w in windows}


def sense_recovery(
    windows: list[LabelledWindows], masses: dict[str, np.ndarray], keep=None
) -> tuple[dict[str, float], pd.DataFrame]:
    """Occurrences clustered by the mode with most posterior mass, against the senses; the number is found.

    Arguments:
        windows: of all words; those with one sense have nothing to recover and are left out.
        masses: from `mode_masses`.
        keep: a function of a LabelledWindows giving the rows (n,) to look at, or None for all.

    Returns:
        The mean over ambiguous words (NaN if `keep` leaves none), and a table with a row a word.
    """
    rows = []
    for group in windows:
        chosen = slice(None) if keep is None else keep(group)
        senses = group.senses[chosen]
        if len(np.unique(group.senses)) < 2 or len(senses) == 0:
            continue
        scores = score_clusters(senses, masses[group.word][chosen].argmax(1))
        rows.append({"word": group.word, "n": len(senses), **scores})
    table = pd.DataFrame(rows, columns=["word", "n", *METRICS, "accuracy", "clusters"]).set_index("word")
    return table.drop(columns="n").mean().to_dict() | {"n": int(table.n.sum())}, table


def trivial_baselines(windows: list[LabelledWindows], seed: int = 0) -> pd.DataFrame:
    """What costs nothing: all occurrences in one cluster, each in its own, or at random among the true number."""
    rng = np.random.default_rng(seed)
    makers = {
        "all in one": lambda senses: np.zeros(len(senses), int),
        "one per occurrence": lambda senses: np.arange(len(senses)),
        "random": lambda senses: rng.integers(len(np.unique(senses)), size=len(senses)),
    }
    several = [w for w in windows if len(np.unique(w.senses)) > 1]
    return pd.DataFrame(
        {
            name: pd.DataFrame([score_clusters(w.senses, make(w.senses)) for w in several]).mean()
            for name, make in makers.items()
        }
    ).T


def mode_f1(windows: list[LabelledWindows], masses: dict[str, np.ndarray]) -> dict[str, float]:
    """Precision, recall and F1 of the modes beyond the first, micro-averaged over ambiguous and control words.

    A mode stands for the sense of which it holds most posterior mass. A mode more for a sense that has one is a false
    positive, a sense without a mode is missed; each word's first mode and first sense count for nothing.
    """
    hits = extra = missed = 0
    for group in windows:
        senses = np.unique(group.senses)
        mass = np.stack([masses[group.word][group.senses == s].sum(0) for s in senses])  # (senses, modes)
        found = len(set(mass.argmax(0).tolist()))
        hits += found - 1
        extra += mass.shape[1] - found
        missed += len(senses) - found
    precision = hits / (hits + extra) if hits + extra else 1.0
    recall = hits / (hits + missed) if hits + missed else 1.0
    f1 = 2 * hits / (2 * hits + extra + missed) if hits + extra + missed else 1.0
    return {"precision": precision, "recall": recall, "f1": f1}


def naive_bayes_ceiling(train: list[LabelledWindows], test: list[LabelledWindows], n_words: int) -> pd.DataFrame:
    """What labels would give: supervised naive Bayes a word, trained on `train`, scored on `test` as clusters."""
    of = {group.word: group for group in train}
    rows = []
    for group in test:
        if len(np.unique(group.senses)) < 2:
            continue
        model = MultinomialNB(alpha=0.1).fit(_bags(of[group.word].context, n_words), of[group.word].senses)
        predicted = model.predict(_bags(group.context, n_words))
        rows.append({"word": group.word, "right": (predicted == group.senses).mean(),
                     **score_clusters(group.senses, predicted)})  # fmt: skip
    return pd.DataFrame(rows).set_index("word")


def _bags(context: np.ndarray, n_words: int) -> np.ndarray:
    bags = np.zeros((len(context), n_words + 1), dtype=np.float32)
    np.add.at(bags, (np.arange(len(context))[:, None], context), 1)
    return bags[:, :-1]  # the last column caught the padding


def by_known_cues(windows: list[LabelledWindows], masses: dict[str, np.ndarray]) -> pd.DataFrame:
    """Sense recovery apart for sentences with 0, 1, and 2 or more cues that the grammar knows, and with any."""
    parts = {
        "0 cues": lambda w: w.known_cues == 0,
        "1 cue": lambda w: w.known_cues == 1,
        "2+ cues": lambda w: w.known_cues >= 2,
        "1+ cues": lambda w: w.known_cues >= 1,
        "all": lambda w: w.known_cues >= 0,
    }
    return pd.DataFrame({name: sense_recovery(windows, masses, keep)[0] for name, keep in parts.items()}).T

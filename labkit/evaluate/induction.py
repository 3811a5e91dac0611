"""Sense induction on real sets: systems trained on the same text, their clusters against people's labels."""

import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from labkit.embeddings.peers import SenseInducer
from labkit.evaluate.clusters import METRICS, cluster_scores
from labkit.text import Corpus, fetch
from labkit.text.occurrences import Occurrences, SenseSet

RARE = 0.16  # minority share under which even a system that is told the number finds nothing
FIGURES = (*METRICS, "seconds")


def text_of(sentences: Iterable[list[str]], corpora: Iterable[str | Path] = (), **options) -> Corpus:
    """The text that systems learn from: some corpora, and the sentences of a set, which come without labels.

    Arguments:
        sentences: lists of tokens, as a set's `sentences()` gives them; the tokenizer cuts them once more.
        corpora: text files, or names that `fetch` knows.
        options: of `Corpus.from_text`.

    Raises:
        FileNotFoundError, KeyError: no such file, no such name.
    """
    paths = [path if Path(path).suffix or Path(path).exists() else fetch(str(path)) for path in corpora]
    return Corpus.from_text(paths, also=map(" ".join, sentences), **options)


def skipped(sense_set: SenseSet, corpus: Corpus) -> dict[str, str]:
    """Words that cannot be scored, each with the reason.

    Those whose test occurrences are unlabelled or of one sense, and those that the text lacks.
    """
    reasons = {}
    for name, occurrences in sense_set.test.items():
        senses = occurrences.sense_names
        if len(senses) < 2:
            found = f"one sense only, {senses[0]!r}" if senses else "no labels"
            reasons[name] = f"its {len(occurrences)} test occurrences have {found}; expected two senses at least"
        elif headword(occurrences) not in corpus.vocabulary:
            reasons[name] = f"{headword(occurrences)!r} never occurs in the text, or less often than min_count"
    return reasons


def headword(occurrences: Occurrences) -> str:
    """The word of occurrences of one word, in lower case."""
    return str(occurrences.words[0]).lower()


def score_inducer(system: SenseInducer, sense_set: SenseSet, words: Sequence[str] | None = None) -> pd.DataFrame:
    """A fitted system on each word: ARI, AMI, V, paired F, B-cubed F, clusters, seconds. A row a word.

    A system is given all occurrences of a word in the set, test and train, without labels; its clusters are scored on
    the test occurrences. One with `number_given` is told how many senses the test labels have.

    Arguments:
        words: those to score; None for all. `skipped` says which cannot be.

    Returns:
        Indexed by word, with `n` (test occurrences), `senses`, `minority_share` and the figures.
    """
    rows = []
    for name in sense_set.words if words is None else words:
        test = sense_set.test[name]
        everything = test.join(sense_set.train[name]) if name in sense_set.train else test.unlabelled()
        n_senses, started = len(test.sense_names), time.perf_counter()
        labels = system.assign(headword(test), everything, n_senses if system.number_given else None)[: len(test)]
        seconds = time.perf_counter() - started
        about = {"word": name, "n": len(test), "senses": n_senses, "minority_share": test.minority_share}
        rows.append(about | cluster_scores(test.senses, labels) | {"seconds": seconds})
    return pd.DataFrame(rows, columns=["word", "n", "senses", "minority_share", *FIGURES]).set_index("word")


def macro(table: pd.DataFrame, fit_seconds: float = 0.0) -> dict[str, float]:
    """The mean over words of each figure; seconds are those of all words and of the training."""
    return table[list(METRICS)].mean().to_dict() | {"seconds": float(table.seconds.sum() + fit_seconds)}


def macro_parts(table: pd.DataFrame) -> pd.DataFrame:
    """The macro figures of all words, of those without a rare sense, and of those with one (minority share < 0.16).

    Returns:
        Rows "all", "balanced", "rare" (those that have words), with the number of `words` and the figures.
    """
    rare = table.minority_share < RARE
    parts = {"all": table, "balanced": table[~rare], "rare": table[rare]}
    rows = {name: {"words": len(part)} | macro(part) for name, part in parts.items() if len(part)}
    return pd.DataFrame(rows).T.astype({"words": int})

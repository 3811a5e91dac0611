"""python -m labkit evaluate senses | wsi | similarity | wic: figures on real sets, as text or JSON."""

import argparse
import itertools
import json
import time
from pathlib import Path

import numpy as np
import pandas as pd

from labkit.embeddings.peers import at_scale
from labkit.embeddings.point import PointEmbedding
from labkit.evaluate.induction import macro, macro_parts, score_inducer, skipped, text_of
from labkit.evaluate.pairs import best_threshold, contexts_alike, in_context, spearman, word_similarity
from labkit.evaluate.systems import ALONE, BASELINE, DEFAULT, IN_CONTEXT, SYSTEMS, TRIVIAL, make
from labkit.text import Corpus
from labkit.text.datasets import DATASETS, SIMILARITY, load_dataset
from labkit.text.occurrences import SenseSet
from labkit.text.sense_sets import read_coarsewsd

NAMES = ("senses", "wsi", "similarity", "wic")  # after `evaluate`


def add_commands(commands, command) -> None:
    """Put the four on the command line; `command` is what makes one with the options that all share."""
    senses = command(commands, "evaluate senses", evaluate_senses, "do clusters of occurrences recover the senses?")
    senses.add_argument("--coarsewsd", required=True, type=Path, metavar="DIR",
                        help="a folder in the layout of CoarseWSD-20: <word>/{train,test}.{data,gold}.txt")  # fmt: skip
    wsi = command(commands, "evaluate wsi", evaluate_wsi, "the same on a set by name")
    wsi.add_argument("--dataset", choices=("coarsewsd20", "coarsewsd12", "semeval2010", "semeval2013"),
                     default="semeval2013", help="default semeval2013")  # fmt: skip
    wsi.add_argument("--folder", type=Path, help="where the set lies; default: $LABKIT_DATA or a download")
    similarity = command(commands, "evaluate similarity", evaluate_similarity, "similarity of words, in context too")
    similarity.add_argument("--datasets", nargs="+", choices=(*SIMILARITY, "scws"), default=[*SIMILARITY, "scws"],
                            metavar="NAME", help=f"of {', '.join(SIMILARITY)}, scws; default all")  # fmt: skip
    wic = command(commands, "evaluate wic", evaluate_wic, "Word in Context: the same sense in two sentences?")
    wic.add_argument("--folder", type=Path, help="where the set lies; default: $LABKIT_DATA or a download")
    for parser in (senses, wsi, similarity, wic):
        parser.add_argument("--corpus", action="append", default=[], metavar="TEXT",
                            help="a text file, or the name of a corpus, to learn from; may be repeated")  # fmt: skip
        parser.add_argument("--min-count", type=int, default=5, help="drop rarer words (default 5)")
        parser.add_argument("--steps", type=int, help="of the skip-gram; default: two passes over the text")
        parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    for parser in (senses, wsi):
        parser.add_argument("--model", choices=SYSTEMS, default=DEFAULT, help=f"default {DEFAULT}")
        parser.add_argument("--words", nargs="+", help="default: all words of the set")


def joined(arguments: list[str]) -> list[str]:
    """The words of the command line with "evaluate senses" and its like made one, so that argparse knows them."""
    if arguments[:1] == ["evaluate"] and arguments[1:2] and arguments[1] in NAMES:
        return [" ".join(arguments[:2]), *arguments[2:]]
    return arguments


def evaluate_senses(options: argparse.Namespace) -> None:
    """`evaluate senses`: macro and per-word figures of a system and of the baseline, on the test occurrences."""
    _report_senses(read_coarsewsd(options.coarsewsd), options)


def evaluate_wsi(options: argparse.Namespace) -> None:
    """`evaluate wsi`: the same for a set with a name."""
    sense_set = (
        load_dataset(options.dataset) if options.folder is None else DATASETS[options.dataset].read(options.folder)
    )
    _report_senses(sense_set, options)


def _report_senses(sense_set: SenseSet, options: argparse.Namespace) -> None:
    if options.words:
        sense_set = sense_set.select(options.words)
    report = sense_report(
        sense_set, options.corpus, options.model, options.seed, min_count=options.min_count, steps=options.steps,
        device=options.device, progress=not options.json,
    )  # fmt: skip
    if options.json:
        print(json.dumps(report))
        return
    figures = ["ari", "ami", "v", "paired_f", "b_cubed", "clusters", "seconds"]
    rows = {**report["words"], "macro": report["macro"], f"macro of {BASELINE}": report["macro_baseline"]}
    rows |= {f"macro of {name}": row for name, row in report["trivial"].items()}
    print(pd.DataFrame(rows).T[figures].astype(float).round(3).to_string())
    for word, reason in report["skipped"].items():
        print(f"left out: {word}, {reason}")


def evaluate_similarity(options: argparse.Namespace) -> None:
    """`evaluate similarity`: Spearman of cosines with ratings; of SCWS, AvgSimC and MaxSimC too."""
    sets = {name: load_dataset(name) for name in options.datasets}
    if not options.corpus:
        raise ValueError("there is no text to learn from; expected --corpus with a file or the name of a corpus")
    also = sets["scws"].sentences() if "scws" in sets else ()
    corpus = text_of(also, options.corpus, min_count=options.min_count)
    skip_gram = _skip_gram(corpus, options)
    vectors, report = skip_gram.vectors(), {}
    for name, pairs in sets.items():
        if name != "scws":
            report[name] = word_similarity(vectors, corpus.vocabulary, pairs)
            continue
        system = make(IN_CONTEXT, skip_gram, options.seed).fit(corpus, progress=False)
        table = in_context(system, pairs)
        report[name] = {
            column: spearman(table[column].to_numpy(), table.gold.to_numpy()) for column in table.columns.drop("gold")
        }
        report[name] |= {"known": len(table), "pairs": len(pairs)}
    _print(report, options)


def evaluate_wic(options: argparse.Namespace) -> None:
    """`evaluate wic`: accuracy on test of "the contexts are alike", with the threshold of train and dev."""
    splits = load_dataset("wic") if options.folder is None else DATASETS["wic"].read(options.folder)
    if "test" not in splits or len(splits) < 2:
        raise ValueError(f"the set has {', '.join(splits)}; expected test, and train or dev to choose a threshold on")
    also = itertools.chain.from_iterable(split.sentences() for split in splits.values())
    corpus = text_of(also, options.corpus, min_count=options.min_count)
    system = make(IN_CONTEXT, _skip_gram(corpus, options), options.seed).fit(corpus, progress=False)
    scores = {name: contexts_alike(system, split) for name, split in splits.items()}
    chosen_on = [name for name in splits if name != "test"]
    threshold, of_chosen = best_threshold(
        np.concatenate([scores[name] for name in chosen_on]), np.concatenate([splits[name].gold for name in chosen_on])
    )
    accuracy = float(((scores["test"] >= threshold) == splits["test"].gold).mean())
    report = {"accuracy": accuracy, "accuracy_where_chosen": of_chosen, "threshold": threshold,
              "always_the_commoner": float(max(splits["test"].gold.mean(), 1 - splits["test"].gold.mean())),
              "pairs": len(splits["test"])}  # fmt: skip
    _print({"wic": report}, options)


def _skip_gram(corpus: Corpus, options: argparse.Namespace) -> PointEmbedding:
    skip_gram = at_scale(corpus, options.seed).set_params(device=options.device)
    if options.steps is not None:
        skip_gram.set_params(steps=options.steps)
    return skip_gram.fit(corpus, progress=not options.json)


def _print(report: dict[str, dict], options: argparse.Namespace) -> None:
    print(json.dumps(report) if options.json else pd.DataFrame(report).T.round(4).to_string())


def sense_report(
    sense_set: SenseSet, corpora, model: str = DEFAULT, seed: int = 0, *, min_count: int = 5,
    steps: int | None = None, device: str = "auto", progress: bool = False,
) -> dict:  # fmt: skip
    """What `evaluate senses --json` prints.

    Returns:
        `macro` and `macro_baseline`, each {ari, ami, v, paired_f, b_cubed, clusters, seconds}, means over words but
        for seconds, which are from scratch; `words` and `words_baseline`, word -> the same; `parts`, the macro apart
        for words with and without a rare sense; `trivial`, macro of trivial clusterings; `skipped`, word -> reason.

    Raises:
        ValueError: no word can be scored.
    """
    corpus = text_of(sense_set.sentences(), corpora, min_count=min_count)
    left_out = skipped(sense_set, corpus)
    words = [word for word in sense_set.words if word not in left_out]
    if not words:
        reasons = "; ".join(f"{word}: {reason}" for word, reason in left_out.items())
        raise ValueError(f"no word of {sense_set.name} can be scored: {reasons}")
    skip_gram = at_scale(corpus, seed).set_params(device=device)
    if steps is not None:
        skip_gram.set_params(steps=steps)
    skip_gram.fit(corpus, progress=progress)
    tables, seconds = {}, {}
    for name in dict.fromkeys((model, BASELINE, *TRIVIAL)):
        started = time.perf_counter()
        system = make(name, skip_gram, seed).fit(corpus, progress=progress)
        seconds[name] = time.perf_counter() - started + (0 if name in ALONE else skip_gram.seconds_)
        tables[name] = score_inducer(system, sense_set, words)
    parts = macro_parts(tables[model])
    return {
        "model": model, "baseline": BASELINE, "seed": seed,
        "text": {"sentences": len(corpus), "tokens": corpus.n_tokens, "vocabulary": len(corpus.vocabulary)},
        "macro": macro(tables[model], seconds[model]),
        "words": tables[model].to_dict(orient="index"),
        "macro_baseline": macro(tables[BASELINE], seconds[BASELINE]),
        "words_baseline": tables[BASELINE].to_dict(orient="index"),
        "parts": parts.drop(columns="seconds").to_dict(orient="index"),
        "trivial": {name: macro(tables[name]) for name in TRIVIAL},
        "skipped": left_out,
    }  # fmt: skip

"""How many modes words with several senses have on real text, beside words with one: the densities of occurrences.

For each word of a set in the layout of CoarseWSD-20, all its occurrences there; for as many control words, their
occurrences in the text. Control words have one sense in WordNet, and are neither rare nor frequent; drawn at random,
the same for every seed. A word counts as multimodal if its density has two modes or more (4 % of the mass each,
0.12 nats of fall to a higher one). The silhouette beside it always finds two clusters at least: it cannot say "one".

The skip-grams are those of `benchmarks/senses.py`: read from --folder, or trained and kept there.

    python benchmarks/real_modes.py --coarsewsd DIR [--corpus FILE_OR_NAME]... [--seeds 5] [--controls 40]
                                    [--folder runs/senses] [--json]
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
from senses import PRESETS, settings_of, skip_gram_of

from labkit.embeddings.occurrence import OccurrenceEmbedding
from labkit.embeddings.peers import by_silhouette
from labkit.evaluate.induction import headword, text_of
from labkit.text import Corpus, load_dataset
from labkit.text.pairs import read_sense_counts
from labkit.text.sense_sets import read_coarsewsd

THRESHOLDS = (0.12, 0.25, 0.4, 0.6, 1.0)  # nats that a second mode has to fall by
FEWEST, MOST = 300, 4000  # occurrences of a control word in the text


def control_words(corpus: Corpus, counts: Path | None, number: int) -> list[str]:
    """Words of the text with one sense in WordNet, all parts of speech together."""
    counts = read_sense_counts(counts) if counts else load_dataset("wordnet_counts")
    one = set(counts.index[counts == 1])
    vocabulary = corpus.vocabulary
    frequent = [word for word in vocabulary.words if FEWEST <= vocabulary.counts[vocabulary[word]] <= MOST]
    fit = [word for word in frequent if word in one and word.isalpha() and len(word) > 3]
    if not fit:
        raise ValueError(f"no word with one sense occurs {FEWEST} to {MOST} times in the text; expected more text")
    return sorted(np.random.default_rng(0).choice(fit, min(number, len(fit)), replace=False).tolist())


def look(word: str, density, kind: str, seed: int) -> dict:
    """One row: the modes of a density and what tells them apart."""
    modes = density.modes()
    return {"word": word, "kind": kind, "seed": seed, "n": len(density.places), "k": density.event_shape[0],
            "modes": len(modes), "largest": max(mode.mass for mode in modes), "separation": float(modes.separation),
            "silhouette_clusters": len(np.unique(by_silhouette(density.places.numpy(), seed)))}  # fmt: skip


def run(options: argparse.Namespace) -> pd.DataFrame:
    """A row a word and seed."""
    sense_set = read_coarsewsd(options.coarsewsd)
    corpus = text_of(sense_set.sentences(), options.corpus, min_count=5)
    plan, rows = PRESETS[options.preset], []
    settings, words = settings_of(plan, corpus, sense_set)
    controls = control_words(corpus, options.wordnet, options.controls)
    options.folder.mkdir(parents=True, exist_ok=True)
    for seed in range(options.seeds):
        skip_gram = skip_gram_of(seed, corpus, plan, options.folder, settings)
        embedding = OccurrenceEmbedding(skip_gram, seed=seed).fit(corpus, progress=False)
        for word in words:
            test = sense_set.test[word]
            everything = test.join(sense_set.train[word]) if word in sense_set.train else test.unlabelled()
            rows.append(look(word, embedding.density(headword(test), everything), "several senses", seed))
        rows += [look(word, embedding[word], "one sense", seed) for word in controls]
    return pd.DataFrame(rows)


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """A row a kind of word: shares and means over words and seeds."""
    groups = table.assign(multimodal=table.modes > 1).groupby("kind")
    found = groups[["multimodal", "modes", "separation", "silhouette_clusters"]].mean()
    for least in THRESHOLDS:
        found[f"above {least}"] = table.separation.gt(least).groupby(table.kind).mean()
    return found.join(groups.word.nunique().rename("words")).join(groups.seed.nunique().rename("seeds"))


def main(arguments: list[str] | None = None) -> None:
    """See the top of the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--coarsewsd", type=Path, required=True, help="a folder in the layout of CoarseWSD-20")
    parser.add_argument("--corpus", action="append", default=[], help="a text file or a known name; may be repeated")
    parser.add_argument("--preset", choices=PRESETS, default="table", help="of the skip-gram")
    parser.add_argument("--wordnet", type=Path, help="sense_counts.tsv; default: the set wordnet_counts")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--controls", type=int, default=40)
    parser.add_argument("--folder", type=Path, default=Path("runs/senses"))
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    options = parser.parse_args(arguments)
    table = run(options)
    short = summary(table)
    if options.json:
        print(json.dumps({"summary": short.to_dict(orient="index"), "rows": table.to_dict(orient="records")}))
        return
    per_word = table.groupby(["kind", "word"])[["n", "k", "modes", "largest", "separation"]].mean()
    print(per_word.round(2).to_string(), short.round(3).to_string(), sep="\n\n")


if __name__ == "__main__":
    main()

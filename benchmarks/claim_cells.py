"""The cells of benchmarks/claims.py: one claim with one seed, as plain rows that JSON can hold."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from claim_models import MODELS, Kept, Preset

from labkit import PointEmbedding, load_corpus
from labkit.embeddings.occurrence import OccurrenceEmbedding
from labkit.embeddings.peers import Around, ContextMeans
from labkit.evaluate import claims
from labkit.evaluate.pairs import in_context
from labkit.evaluate.senses import mode_masses
from labkit.evaluate.windows import grammar_windows
from labkit.text import Corpus, Vocabulary
from labkit.text.datasets import load_dataset
from labkit.text.occurrences import Occurrences, SenseSet

GRAMMAR_WINDOWS = 60  # held out, for each word of the built-in corpus
HELD_OUT_WINDOWS, HELD_OUT_WORDS = 40, 25  # of the real text
SPREAD_OF = 200  # occurrences behind the spread of context vectors
MOST_OCCURRENCES = 400  # of a word, that say which sense a latent model's mode is
CONTROL_COUNTS = (200, 5000)  # occurrences of a control word
LATENT = ("flow", "gaussian")


@dataclass
class Work:
    """What a cell needs."""

    preset: Preset
    learn: Corpus
    held: Corpus
    kept: Kept
    sense_set: SenseSet
    skip_grams: Path | None
    text_in: Callable[[Vocabulary], Corpus]  # the text in the ids of another vocabulary
    others: dict = field(default_factory=dict)

    def skip_gram(self, seed: int) -> PointEmbedding:
        """Of this seed, with the text in its own ids."""
        model = self.kept.skip_gram(seed, self.skip_grams)
        words = tuple(model.vocabulary_.words)
        if words != tuple(self.learn.vocabulary.words):
            if words not in self.others:
                self.others[words] = self.text_in(model.vocabulary_)
            model.corpus_ = self.others[words]
        return model


def vectors_on(vocabulary: Vocabulary, skip_gram: PointEmbedding) -> np.ndarray:
    """The skip-gram's vectors for another vocabulary, (V, d); 0 for words that it does not know."""
    own, table = skip_gram.vectors(), np.zeros((len(vocabulary), skip_gram.vector_dim), np.float32)
    for i, word in enumerate(vocabulary.words):
        if (row := skip_gram.vocabulary_.get(word, -1)) >= 0:
            table[i] = own[row]
    return table


def disambiguation(work: Work, seed: int) -> list[dict]:
    """SCWS, WiC and entailment: the modes of densities, clusters of context means, and points."""
    skip_gram, preset, rows = work.skip_gram(seed), work.preset, []
    words = set(work.learn.vocabulary.words) & set(skip_gram.words)
    scws = claims.pairs_for(load_dataset("scws"), words, preset.pairs)
    wic = load_dataset("wic")
    most = None if preset.pairs >= 100 else preset.pairs
    chosen_on, test = (claims.pairs_for(wic[split], words, most) for split in ("dev", "test"))
    own = work.learn.vocabulary
    systems = {name: claims.LatentModes(work.kept.model(name, seed)) for name in LATENT}
    means = ContextMeans(skip_gram, weights="informed", number="silhouette", seed=seed)
    systems["context means"] = means.fit(skip_gram.corpus_, progress=False)
    systems["point"] = claims.PointSenses(skip_gram)
    for name, system in systems.items():
        rows.append({"table": "scws", "system": name, **claims.scws_scores(in_context(system, scws), seed=seed)})
        rows.append({"table": "wic", "system": name, **claims.wic_scores(system, chosen_on, test)})
    pairs = claims.known_pairs(load_dataset("baroni2012"), words)
    scores = {name: claims.density_inclusion(work.kept.model(name, seed), pairs, seed=seed) for name in LATENT}
    scores[""] = claims.baselines(pairs, own, vectors_on(own, skip_gram))
    for name, columns in scores.items():
        table = claims.entailment_scores(columns, pairs.gold, seed=seed)
        rows += [{"table": "entailment", "system": f"{name} {score}".strip(), **figures}
                 for score, figures in table.to_dict(orient="index").items()]  # fmt: skip
    return rows


def occurrence_senses(work: Work, seed: int) -> list[dict]:
    """SCWS again, on fewer pairs: the modes of densities of occurrences beside the others."""
    skip_gram = work.skip_gram(seed)
    words = set(work.learn.vocabulary.words) & set(skip_gram.words)
    pairs = claims.pairs_for(load_dataset("scws"), words, work.preset.occurrence_pairs)
    means = ContextMeans(skip_gram, weights="informed", number="silhouette", seed=seed)
    embedding = OccurrenceEmbedding(skip_gram, seed=seed).fit(skip_gram.corpus_, progress=False)
    systems = {
        "occurrences": claims.OccurrenceModes(embedding),
        "flow": claims.LatentModes(work.kept.model("flow", seed)),
        "context means": means.fit(skip_gram.corpus_, progress=False),
    }
    return [{"table": "scws, fewer pairs", "system": name, **claims.scws_scores(in_context(system, pairs), seed=seed)}
            for name, system in systems.items()]  # fmt: skip


def uncertainty(work: Work, seed: int) -> list[dict]:
    """Entropy against WordNet's senses, and mode masses against the frequencies of CoarseWSD's."""
    senses, vocabulary, skip_gram = load_dataset("wordnet_counts"), work.learn.vocabulary, work.skip_gram(seed)
    counts = dict(zip(vocabulary.words, np.asarray(vocabulary.counts).tolist(), strict=True))
    known = {word: count for word, count in counts.items() if word in skip_gram}
    words = claims.stratified_words(known, senses, work.preset.words, seed=seed)
    figures = {}
    for name in LATENT:
        found = claims.word_uncertainty(work.kept.model(name, seed), words, seed)
        figures |= {f"{name} {column}": found[column] for column in found}
    figures["spread of skip-gram contexts"] = context_spread(work.learn, words, vectors_on(vocabulary, skip_gram), seed)
    table = claims.against_senses(pd.DataFrame(figures), senses[words].to_numpy(),
                                  np.array([counts[word] for word in words]), seed)  # fmt: skip
    rows = [{"table": "entropy", "system": name, **row} for name, row in table.to_dict(orient="index").items()]
    for name, found in (("occurrences", occurrence_modes(work, seed)),
                        *((name, latent_modes(work, name, seed)) for name in LATENT)):  # fmt: skip
        if found:
            rows.append({"table": "calibration", "system": name, **claims.calibration_scores(pd.concat(found), seed)})
    return rows


def context_spread(corpus: Corpus, words: list[str], vectors: np.ndarray, seed: int) -> np.ndarray:
    """1 − ‖mean of the unit context means‖² of each word: what a word's spread is without any density."""
    found = []
    for word in words:
        around = Around.in_corpus(corpus, word, SPREAD_OF, 5, seed)
        means = around.means(vectors, around.smooth_inverse_frequency(corpus.vocabulary))
        n = max(2, len(means))
        found.append(1 - (n * np.square(means.mean(0)).sum() - 1) / (n - 1))  # mean cosine of different occurrences
    return np.array(found)


def labelled_occurrences(sense_set: SenseSet, word: str) -> tuple[Occurrences, np.ndarray]:
    """All occurrences of a word, without labels, and their labels."""
    parts = [part[word] for part in (sense_set.test, sense_set.train) if word in part]
    together = parts[0].join(parts[1]) if len(parts) > 1 else parts[0].unlabelled()
    return together, np.concatenate([part.senses for part in parts])


def occurrence_modes(work: Work, seed: int) -> list[pd.DataFrame]:
    """Calibration of the densities of the set's own occurrences."""
    skip_gram, found = work.skip_gram(seed), []
    embedding = OccurrenceEmbedding(skip_gram, seed=seed).fit(skip_gram.corpus_, progress=False)
    for word in work.sense_set.words:
        occurrences, senses = labelled_occurrences(work.sense_set, word)
        if word in skip_gram and len(occurrences) >= 20:
            density = embedding.density(word, occurrences)
            masses = density.modes().masses.numpy()
            found.append(claims.mode_calibration(word, density.basin_of_occurrences, senses, masses))
    return found


def latent_modes(work: Work, name: str, seed: int) -> list[pd.DataFrame]:
    """Calibration of a latent model's densities, which are of the whole text, the set's sentences among it."""
    model, found = work.kept.model(name, seed), []
    system = claims.LatentModes(model)
    for word in work.sense_set.words:
        if word in model:
            occurrences, senses = labelled_occurrences(work.sense_set, word)
            chosen = np.sort(np.random.default_rng(seed).permutation(len(senses))[:MOST_OCCURRENCES])
            occurrences, senses = occurrences.select(chosen), senses[chosen]
            mass = system.senses_in_context(word, occurrences)[1]
            masses = model[word].basins.masses.numpy()
            found.append(claims.mode_calibration(word, mass.argmax(1), senses, masses))
    return found


def transitions(work: Work, seed: int) -> list[dict]:
    """Steps along paths between contexts: of two senses, of one, and of words with one sense in WordNet."""
    rng, window, paths = np.random.default_rng(seed), 5, []
    for word in work.sense_set.words:
        if word not in work.learn.vocabulary:
            continue
        occurrences, senses = labelled_occurrences(work.sense_set, word)
        contexts = [words_around(occurrences, i, window, work.learn) for i in range(len(occurrences))]
        usable = np.array([i for i, context in enumerate(contexts) if len(context) >= 4])
        for group, same in (("two senses", False), ("one sense", True)):
            for _ in range(work.preset.paths):
                a = rng.choice(usable)
                others = usable[((senses[usable] == senses[a]) == same) & (usable != a)]
                if len(others):
                    paths.append((word, group, contexts[a], contexts[rng.choice(others)]))
    names = work.learn.vocabulary.words
    for group in claims.corpus_windows(work.learn, control_words(work, seed), 2 * work.preset.paths, window, seed):
        contexts = [[names[i] for i in row if i >= 0] for row in group.context]
        paths += [(group.word, "control", *pair) for pair in zip(contexts[::2], contexts[1::2], strict=False)]
    return path_rows(work, seed, paths)


def words_around(occurrences: Occurrences, i: int, window: int, corpus: Corpus) -> list[str]:
    """The known words nearest to an occurrence, up to `window` on each side."""
    sides = (corpus.tokenizer(" ".join(side)) for side in (occurrences.left(i), occurrences.right(i)))
    left, right = ([word for word in side if word in corpus.vocabulary] for side in sides)
    return [*left[-window:], *right[:window]]


def control_words(work: Work, seed: int) -> list[str]:
    """As many words as the set has that WordNet gives one sense, neither rare nor very frequent."""
    senses, vocabulary = load_dataset("wordnet_counts"), work.learn.vocabulary
    low, high = CONTROL_COUNTS
    words = [word for word, count in zip(vocabulary.words, vocabulary.counts, strict=True)
             if low <= count <= high and senses.get(word, 0) == 1]  # fmt: skip
    return np.random.default_rng(seed).permutation(words)[: len(work.sense_set.words)].tolist()


def path_rows(work: Work, seed: int, paths: list[tuple]) -> list[dict]:
    """Ratios of all paths by system, group and kind, put together; and the mean length of a path, in s.d."""
    skip_gram = work.skip_gram(seed)
    embedding = OccurrenceEmbedding(skip_gram, seed=seed).fit(skip_gram.corpus_, progress=False)
    densities: dict[str, Callable] = {name: work.kept.model(name, seed).__getitem__ for name in LATENT}
    densities["occurrences"] = lambda word: embedding.density(word, occurrences_in(work, word, seed))
    ids, found = work.learn.vocabulary, []
    for name, density_of in densities.items():
        supports = {}
        for word, group, first, second in paths:
            if name == "occurrences" and word not in embedding.embedding_:
                continue
            if word not in supports:
                supports[word] = claims.support_of(density_of(word))
            ends = (first, second) if name == "occurrences" else ([ids[w] for w in first], [ids[w] for w in second])
            for kind in ("swap", "blend"):
                try:
                    figures = claims.path_figures(supports[word], *ends, kind=kind)
                except ValueError:  # an end with no word that the skip-gram knows
                    continue
                if figures:
                    found.append({"system": name, "group": group, "kind": kind, **figures})
    rows = []
    for (name, group, kind), part in pd.DataFrame(found).groupby(["system", "group", "kind"], sort=False):
        rows.append({"table": "transitions", "system": f"{name}, {kind}", "group": group,
                     **claims.share_of_smooth(part.ratio), "length": float(part.total.mean())})  # fmt: skip
    return rows


def occurrences_in(work: Work, word: str, seed: int) -> Occurrences:
    """Those of the set, or up to 500 of the text."""
    if word in work.sense_set.words:
        return labelled_occurrences(work.sense_set, word)[0]
    group = claims.corpus_windows(work.learn, [word], 500, 10, seed)[0]
    names = work.learn.vocabulary.words
    return Occurrences.of(word, [[word, *(names[i] for i in row if i >= 0)] for row in group.context],
                          [0] * len(group.context))  # fmt: skip


@cache
def senses_corpus() -> Corpus:
    """The built-in corpus, read once."""
    return load_corpus("senses")


def built_in(preset: Preset, name: str, share: float, seed: int) -> list[dict]:
    """A model of a share of the built-in corpus: nats above the optimum and senses; the whole flow's calibration."""
    corpus = senses_corpus()
    part = corpus if share == 1 else corpus.split(share, seed=seed)[0]
    model, chosen = claims.fit_with_chosen_steps(
        lambda steps: MODELS[name](steps=steps, seed=seed), part, preset.ladder, seed
    )
    windows = grammar_windows(model.vocabulary_, GRAMMAR_WINDOWS)
    row = claims.generalisation_row(model, windows, seed)
    rows = [{"table": "built-in", "system": name, "share": share, "steps": chosen["steps"], **row}]
    if name == "flow" and share == max(preset.shares):
        masses = mode_masses(model, windows)
        found = [
            claims.mode_calibration(w.word, masses[w.word].argmax(1), w.senses, model[w.word].basins.masses.numpy())
            for w in windows if len(set(w.senses)) > 1
        ]  # fmt: skip
        rows.append({"table": "calibration", "system": "flow, built-in corpus",
                     **claims.calibration_scores(pd.concat(found), seed)})  # fmt: skip
    return rows


def real(work: Work, name: str, share: float, seed: int) -> list[dict]:
    """Nats of a model of a share of the real text, on sentences held out."""
    model = work.kept.model(name, seed, share)
    counts = np.asarray(work.learn.vocabulary.counts)
    middle = [w for w, n in zip(work.learn.vocabulary.words, counts, strict=True) if 1000 <= n <= 20_000]
    words = np.random.default_rng(0).permutation(middle)[:HELD_OUT_WORDS]
    windows = [w for w in claims.corpus_windows(work.held, words.tolist(), HELD_OUT_WINDOWS) if w.word in model]
    return [{"table": "real text", "system": name, "share": share, "steps": model.steps,
             **claims.generalisation_row(model, windows)}]  # fmt: skip

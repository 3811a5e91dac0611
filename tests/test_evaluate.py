"""Figures about models: metrics on clusterings made by hand, and comparisons on small models."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from labkit import GaussianEmbedding, PointEmbedding, compare, load_corpus
from labkit.embeddings import NotFittedError
from labkit.evaluate import (
    LabelledWindows,
    by_known_cues,
    grammar_windows,
    handwritten_windows,
    mode_f1,
    mode_masses,
    naive_bayes_ceiling,
    nats_per_word,
    optimum,
    paired_difference,
    score_clusters,
    sense_recovery,
    standard_error,
    trivial_baselines,
)
from labkit.text import Corpus

RIVER_MONEY = np.array(["river", "river", "river", "money", "money", "money"])


def group(word, senses, context=None, known_cues=None) -> LabelledWindows:
    senses = np.array(senses)
    context = np.zeros((len(senses), 1), int) if context is None else np.array(context)
    return LabelledWindows(word, context, senses, None, known_cues)


# --- clusterings --------------------------------------------------------------------------------------------------

CLUSTERINGS = {
    "perfect": ([0, 0, 0, 1, 1, 1], dict(ari=1, ami=1, v=1, accuracy=1, clusters=2)),
    "perfect, other numbers": ([7, 7, 7, 2, 2, 2], dict(ari=1, ami=1, v=1, accuracy=1, clusters=2)),
    "all in one": ([0] * 6, dict(ari=0, ami=0, v=0, accuracy=0.5, clusters=1)),
    "one each": (range(6), dict(ari=0, ami=0, accuracy=1, clusters=6)),
    "one wrong": ([0, 0, 1, 1, 1, 1], dict(accuracy=5 / 6, clusters=2, ari=0.324324)),
    "one sense split": ([0, 0, 0, 1, 1, 2], dict(accuracy=1, clusters=3)),
    "crossed": ([0, 1, 0, 1, 0, 1], dict(accuracy=4 / 6, clusters=2)),
}


@pytest.mark.parametrize("case", CLUSTERINGS)
def test_scores_of_a_clustering(case):
    clusters, expected = CLUSTERINGS[case]
    scores = score_clusters(RIVER_MONEY, np.array(clusters))
    assert {name: scores[name] for name in expected} == pytest.approx(expected, abs=1e-6)


def test_recovery_takes_the_heaviest_mode_and_averages_over_words():
    bat = group("bat", ["animal", "animal", "club", "club"])
    windows = [group("bank", RIVER_MONEY), bat, group("tuesday", ["day"] * 3)]
    masses = {
        "bank": np.array([[0.9, 0.1]] * 3 + [[0.4, 0.6]] * 3),  # perfect
        "bat": np.ones((4, 1)),  # one mode
        "tuesday": np.ones((3, 1)),
    }
    mean, table = sense_recovery(windows, masses)
    assert table.index.tolist() == ["bank", "bat"] and mean["n"] == 10
    assert (mean["ari"], mean["accuracy"], mean["clusters"]) == (0.5, 0.75, 1.5)


def test_recovery_of_chosen_rows():
    known = np.array([0, 1, 2, 0, 1, 2])
    windows = [group("bank", RIVER_MONEY, known_cues=known)]
    masses = {"bank": np.eye(2)[[0, 0, 0, 1, 1, 0]]}  # wrong where two cues are known
    table = by_known_cues(windows, masses)
    assert table.index.tolist() == ["0 cues", "1 cue", "2+ cues", "1+ cues", "all"]
    assert table.n.tolist() == [2, 2, 2, 4, 6]
    assert table.ari["1 cue"] == 1 and table.accuracy["2+ cues"] == 0.5 and table.accuracy["all"] == 5 / 6


def test_recovery_of_no_rows_is_nan():
    windows = [group("bank", RIVER_MONEY, known_cues=np.ones(6, int))]
    table = by_known_cues(windows, {"bank": np.eye(2)[[0, 0, 0, 1, 1, 1]]})
    assert table.n["0 cues"] == 0 and math.isnan(table.ari["0 cues"]) and table.ari["1 cue"] == 1


def test_trivial_baselines():
    table = trivial_baselines([group("bank", np.repeat(RIVER_MONEY, 200)), group("tuesday", ["day"] * 9)])
    assert table.ari.abs().max() < 0.01 and table.ami.abs().max() < 0.01
    assert table.accuracy["one per occurrence"] == 1 and table.accuracy["all in one"] == 0.5
    assert table.clusters.tolist() == [1, 1200, 2]
    assert table.v["one per occurrence"] > 0.1  # V rises with the number of clusters: not a figure to lead with


# --- modes against senses -----------------------------------------------------------------------------------------


def masses_of(rows):
    """Posterior masses of three windows of each sense, from a row (modes,) for each."""
    return np.repeat(np.array(rows, float), 3, axis=0)


MODES = {  # senses of each word, a row of mode masses for each sense; precision, recall, F1
    "as it should be": ({"bank": [[1, 0], [0, 1]], "tuesday": [[1]]}, (1, 1, 1)),
    "a mode missed": ({"bank": [[1], [1]], "tuesday": [[1]]}, (1, 0, 0)),
    "half of the words": ({"bank": [[1], [1]], "bat": [[1, 0], [0, 1]]}, (1, 1 / 2, 2 / 3)),
    "a control word split": ({"bank": [[1, 0], [0, 1]], "tuesday": [[0.5, 0.5]]}, (1 / 2, 1, 2 / 3)),
    "a sense split": ({"bank": [[0.6, 0.4, 0], [0, 0, 1]]}, (1 / 2, 1, 2 / 3)),
    "two modes for one sense, none for the other": ({"bank": [[0.6, 0.4], [0.55, 0.3]]}, (0, 0, 0)),
    "three senses, two modes": ({"spring": [[1, 0], [0, 1], [0, 0.9]]}, (1, 1 / 2, 2 / 3)),
    "controls alone": ({"tuesday": [[1]], "violin": [[1]]}, (1, 1, 1)),
    "control in three": ({"tuesday": [[0.4, 0.3, 0.3]]}, (0, 1, 0)),
}


@pytest.mark.parametrize("case", MODES)
def test_mode_f1(case):
    rows, expected = MODES[case]
    windows = [group(word, np.repeat([f"{word}.{i}" for i in range(len(r))], 3)) for word, r in rows.items()]
    found = mode_f1(windows, {word: masses_of(r) for word, r in rows.items()})
    assert (found["precision"], found["recall"], found["f1"]) == pytest.approx(expected)


def test_the_ceiling_of_labels():
    """Naive Bayes with labels tells senses apart by words that only one of them has."""
    rng = np.random.default_rng(0)
    senses = np.repeat(["river", "money"], 50)
    context = np.where(senses[:, None] == "river", rng.integers(0, 5, (100, 4)), rng.integers(5, 10, (100, 4)))
    context[:, 3] = -1
    table = naive_bayes_ceiling([group("bank", senses, context)], [group("bank", senses, context)], 10)
    assert table.right["bank"] == 1 and table.ari["bank"] == 1
    noise = group("bank", senses, rng.integers(0, 10, (100, 4)))
    assert naive_bayes_ceiling([noise], [group("bank", senses, rng.integers(0, 10, (100, 4)))], 10).right["bank"] < 0.7


# --- windows ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return load_corpus("senses", per_word=200, min_count=1)


def test_held_out_windows(corpus):
    windows = grammar_windows(corpus.vocabulary, 20)
    again, others = grammar_windows(corpus.vocabulary, 20), grammar_windows(corpus.vocabulary, 20, seed=1)
    assert all((a.context == b.context).all() for a, b in zip(windows, again))
    assert any((a.context != b.context).any() for a, b in zip(windows, others))
    assert all(len(w) == 20 and w.lengths.min() >= 4 and w.lengths.max() <= 8 for w in windows)
    assert (optimum(windows) > 0).all() and len(optimum(windows)) == 20 * len(windows)


def test_windows_in_a_vocabulary_without_the_grammar():
    small = Corpus.from_sentences(["we sat on the bank"], min_count=1).vocabulary
    with pytest.raises(ValueError, match=r"lacks \d+ of the grammar's .* expected a model trained on load_corpus"):
        grammar_windows(small, 5)


def test_handwritten_windows(corpus):
    windows = {w.word: w for w in handwritten_windows(corpus.vocabulary)}
    bank = windows["bank"]
    assert len(bank) == len(bank.known_cues) == len(bank.context) and set(bank.senses) == {"bank.river", "bank.money"}
    assert corpus.vocabulary["bank"] not in bank.context and corpus.vocabulary.get("the", -2) not in bank.context
    train = {w.word: w for w in handwritten_windows(corpus.vocabulary, "train")}
    assert len(train["bank"]) != 0 and train["bank"].optimum is None


# --- intervals ----------------------------------------------------------------------------------------------------


def test_standard_error():
    values = np.random.default_rng(0).normal(size=30)
    assert standard_error(values) == pytest.approx(stats.sem(values))
    assert math.isnan(standard_error(values[:1]))


@pytest.mark.parametrize("n", [2, 5, 40])
def test_paired_difference_against_scipy(n):
    better, other = np.random.default_rng(n).normal(size=(2, n))
    mean, low, high = paired_difference(better, other)
    expected = stats.ttest_rel(other, better).confidence_interval(0.95)
    assert mean == pytest.approx((other - better).mean()) and (low, high) == pytest.approx(tuple(expected))


@pytest.mark.parametrize("sizes", [(3, 4), (1, 1), (0, 0), (3, 1)])
def test_values_that_are_no_pairs(sizes):
    with pytest.raises(ValueError, match="expected as many of each, at least two"):
        paired_difference(*(np.zeros(n) for n in sizes))


# --- models -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def models(corpus):
    short = dict(steps=40, batch_size=128, vector_dim=16, learning_rate=0.02)
    latent = short | dict(word_dim=8, hidden=(8,), samples=2)
    return [
        PointEmbedding(**short).fit(corpus, progress=False),
        GaussianEmbedding(dim=1, **latent).fit(corpus, progress=False),
        GaussianEmbedding(dim=3, **latent).fit(corpus, progress=False),
    ]


@pytest.mark.parametrize("number", [0, 1, 2])
def test_no_model_is_better_than_the_grammar(models, corpus, number):
    windows = grammar_windows(corpus.vocabulary, 20)[::6]
    difference = nats_per_word(models[number], windows, samples=8) - optimum(windows)
    assert difference.mean() > -3 * standard_error(difference) and np.isfinite(difference).all()


def test_nats_are_those_of_the_exact_softmax(models, corpus):
    """A point's nats, written out."""
    point, windows = models[0], grammar_windows(corpus.vocabulary, 5)
    scores = point.word_vectors.weight @ point.output.vectors.weight.T + point.output.bias.weight.T
    log_prob = scores.log_softmax(-1).detach().double().numpy()
    expected = [
        -log_prob[point.row(w.word), row[row >= 0]].mean() for w in windows for row in w.context
    ]  # fmt: skip
    assert np.allclose(nats_per_word(point, windows), expected, atol=1e-4)


def test_mode_masses(models, corpus):
    masses = mode_masses(models[1], grammar_windows(corpus.vocabulary, 5)[:3])
    assert all(np.allclose(mass.sum(1), 1, atol=1e-5) for mass in masses.values()) and len(masses) == 3


def test_compare(models):
    table = compare(models[:2], per_word=10)
    assert table.index.tolist() == ["PointEmbedding", "GaussianEmbedding"] and not table.isna().any().any()
    assert (table.nats > table.attrs["optimum"] - 3 * table.stderr).all()
    assert np.allclose(table.nats - table.above_optimum, table.attrs["optimum"])
    assert table.ari["PointEmbedding"] == 0 and table.clusters["PointEmbedding"] == 1
    assert table.mode_f1["PointEmbedding"] == 0 and table.attrs["same_size"] is False
    assert (table.parameters == [model.n_parameters_ for model in models[:2]]).all() and (table.seconds > 0).all()
    assert isinstance(table, pd.DataFrame)


def test_compare_is_the_same_twice_and_not_with_another_seed(models):
    first, again, other = (compare(models[:1], per_word=10, seed=seed).nats.iloc[0] for seed in (1, 1, 2))
    assert first == again != other


def test_compare_of_what_cannot_be_compared(models):
    with pytest.raises(ValueError, match="on is 'words'; expected 'senses'"):
        compare(models, on="words")
    with pytest.raises(ValueError, match="got no model to compare"):
        compare([])
    with pytest.raises(NotFittedError, match="call fit"):
        compare([PointEmbedding()])

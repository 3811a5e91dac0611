"""The four claims' tests: each figure by hand, on densities whose answer is known."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch.distributions import Independent, Normal

from labkit.evaluate import claims
from labkit.text import Vocabulary
from labkit.text.occurrences import WordPairs

# --- intervals ----------------------------------------------------------------------------------------------------


def test_the_bootstrap_covers_the_truth_about_as_often_as_it_says(seed):
    rng = np.random.default_rng(seed)
    hits = 0
    for i in range(200):
        _, low, high = claims.bootstrap_interval(np.mean, rng.standard_normal(40), resamples=200, seed=i)
        hits += low < 0 < high
    assert 170 <= hits <= 199  # of 190 expected, and the percentile interval is a little short


def test_bootstrap_refuses_columns_of_different_length():
    with pytest.raises(ValueError, match="columns of length .*3, 4.*; expected one length"):
        claims.bootstrap_interval(claims.correlation, np.ones(3), np.ones(4))


def test_a_correlation_that_frequency_makes_goes_when_frequency_is_held(seed):
    rng = np.random.default_rng(seed)
    frequency = rng.standard_normal(2000)
    entropy, senses = (frequency + rng.standard_normal(2000) for _ in range(2))
    assert claims.rank_correlation(entropy, senses) > 0.4
    assert abs(claims.partial_rank_correlation(entropy, senses, frequency)) < 0.08
    assert claims.partial_rank_correlation(entropy + senses, senses, frequency) > 0.5


def test_a_constant_has_no_correlation_and_no_interval():
    assert np.isnan(claims.rank_correlation(np.ones(5), np.arange(5)))
    assert np.isnan(claims.bootstrap_interval(claims.rank_correlation, np.ones(5), np.arange(5), resamples=20)).all()


def test_wilson_by_hand():
    low, high = claims.proportion_interval(0.5, 100)
    assert (low, high) == (pytest.approx(0.4038, abs=1e-4), pytest.approx(0.5962, abs=1e-4))
    assert claims.proportion_interval(1.0, 10)[0] == pytest.approx(0.7225, abs=1e-4)


# --- inclusion ----------------------------------------------------------------------------------------------------


class Gaussians:
    """A latent model as far as inclusion asks: words as Gaussians in the plane, given as (x, y, scale)."""

    def __init__(self, words: dict[str, tuple[float, float, float]]):
        self.words = words

    def word_vector(self, word):
        return torch.tensor(self.words[word])

    def prior(self, vectors):
        return Independent(Normal(vectors[..., :2], vectors[..., 2:].expand(*vectors.shape[:-1], 2)), 1)

    def prior_of(self, word):
        return self.prior(self.word_vector(word))


def test_inclusion_of_gaussians(seed):
    model = Gaussians({"animal": (0.0, 0.0, 3.0), "dog": (0.5, 0.5, 0.5), "stone": (9.0, 9.0, 0.5)})
    pairs = WordPairs("little", np.array(["dog", "animal", "dog"]), np.array(["animal", "dog", "stone"]), np.ones(3))
    found = claims.density_inclusion(model, pairs, samples=4000, seed=seed)
    ratio, shift = 0.5 / 3.0, 0.5 / 9.0  # KL(N(m, s² I) ‖ N(0, S² I)) in the plane
    inside = ratio**2 - 1 - 2 * np.log(ratio) + shift / 2 / 1
    assert -found.kl[0] == pytest.approx(inside, abs=0.05)
    assert found.region[0] > 0.99 and found.region[1] < 0.2 and found.region[2] == 0
    assert found.kl_asymmetry[0] > 0 > found.kl_asymmetry[1]
    assert found.kl_asymmetry[0] == pytest.approx(-found.kl_asymmetry[1], rel=0.1)
    assert found.kl[0] > found.kl[2] and found.region_asymmetry[0] > 0.8


def test_entailment_scores_find_what_parts_and_nothing_in_noise(seed):
    rng = np.random.default_rng(seed)
    gold = rng.random(400) < 0.5
    table = claims.entailment_scores(
        pd.DataFrame({"good": gold + 0.1 * rng.random(400), "noise": rng.random(400), "turned": -gold.astype(float)}),
        gold, resamples=50,
    )  # fmt: skip
    assert table.loc["good", ["ap", "auc", "accuracy"]].tolist() == pytest.approx([1, 1, 1])
    assert 0.4 < table.loc["noise", "auc_low"] < 0.5 < table.loc["noise", "auc_high"] < 0.6
    assert abs(table.loc["noise", "accuracy"] - 0.5) < 0.1  # the threshold is not chosen on the pair itself
    assert table.loc["turned", "auc"] == 0


def test_pairs_of_unknown_words_are_left_out_and_too_few_are_an_error():
    rows = [(f"a{i}", f"b{i}", i % 2) for i in range(40)]
    first, second, gold = map(np.array, zip(*rows))
    pairs = WordPairs("little", first, second, gold.astype(bool))
    words = set(first[:30]) | set(second)
    assert len(claims.known_pairs(pairs, words)) == 30
    with pytest.raises(ValueError, match="5 pairs of little have both words, 2 of them positive; expected 20"):
        claims.known_pairs(pairs, set(first[:5]) | set(second))


def test_frequency_and_cosine():
    vocabulary = Vocabulary(["animal", "dog"], [75, 25])
    pairs = WordPairs("little", np.array(["dog"]), np.array(["animal"]), np.array([True]))
    found = claims.baselines(pairs, vocabulary, np.array([[1.0, 0.0], [3.0, 4.0]]))
    assert found.frequency[0] == pytest.approx(np.log(3)) and found.cosine[0] == pytest.approx(0.6)


# --- calibration --------------------------------------------------------------------------------------------------


def test_modes_are_put_down_to_the_sense_of_most_of_their_occurrences():
    mode = np.array([0, 0, 0, 1, 1, 2])
    senses = np.array(["side", "side", "firm", "firm", "firm", "side"])
    table = claims.mode_calibration("bank", mode, senses, np.array([0.5, 0.3, 0.2])).set_index("sense")
    assert table["mass"].to_dict() == {"firm": pytest.approx(0.3), "side": pytest.approx(0.7)}
    assert table["frequency"].to_dict() == {"firm": 0.5, "side": 0.5}
    assert table["modes"].to_dict() == {"firm": 1, "side": 2}


def test_masses_that_are_the_frequencies_have_no_error():
    tables = []
    for word, share in (("bank", 0.25), ("bill", 0.6), ("bass", 0.9)):
        senses = np.array(["a"] * int(100 * share) + ["b"] * int(100 - 100 * share))
        tables.append(claims.mode_calibration(word, (senses == "b").astype(int), senses, np.array([share, 1 - share])))
    scores = claims.calibration_scores(pd.concat(tables))
    assert scores["error"] == pytest.approx(0, abs=0.02) and scores["variation"] == pytest.approx(0, abs=0.02)
    assert scores["correlation"] > 0.99 and scores["found"] == 1


def test_one_mode_for_everything_errs_by_the_rarer_senses():
    senses = np.array(["a"] * 70 + ["b"] * 30)
    table = claims.mode_calibration("bank", np.zeros(100, int), senses, np.array([1.0]))
    scores = claims.calibration_scores(table)
    assert scores["variation"] == pytest.approx(0.3) == scores["one_mode"] and scores["found"] == 0.5


def test_modes_without_a_mass_are_refused():
    with pytest.raises(ValueError, match="2 modes, 2 senses and 1 masses; expected as many"):
        claims.mode_calibration("bank", np.array([0, 1]), np.array(["a", "b"]), np.array([1.0]))


def test_words_come_evenly_from_all_frequencies():
    counts = {f"w{i}": 50 + i for i in range(1000)} | {"rare": 3, "unknown": 100}
    senses = pd.Series(1, index=[f"w{i}" for i in range(1000)] + ["rare"])
    words = claims.stratified_words(counts, senses, 100)
    tenths = np.bincount([(counts[word] - 50) // 100 for word in words])
    assert tenths.tolist() == [10] * 10 and "unknown" not in words
    with pytest.raises(ValueError, match="0 words occur 5000 times"):
        claims.stratified_words(counts, senses, 100, fewest=5000)

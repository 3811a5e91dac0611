"""The four claims' tests: each figure by hand, on densities whose answer is known."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch.distributions import Independent, Normal

import labkit as lk
from labkit.evaluate import claims
from labkit.evaluate.claims.inclusion import WordPairs
from labkit.evaluate.windows import LabelledWindows
from labkit.text import Vocabulary
from labkit.text.occurrences import Occurrences, PairsInContext

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


def test_a_constant_has_no_correlation():
    assert np.isnan(claims.rank_correlation(np.ones(5), np.arange(5)))


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


# --- transitions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 2, 3])
def test_wasserstein_of_shifted_gaussians(k, seed):
    """W₁ of a shift by d along one axis: d for k = 1; sliced, d times the mean of ∣cos∣ over directions."""
    rng = np.random.default_rng(seed)
    axis = np.linspace(-6, 7, 14 if k == 3 else 80)
    points = np.stack(np.meshgrid(*[axis] * k, indexing="ij"), -1).reshape(-1, k)
    shifts = [0.0, 0.5, 1.0]
    weights = np.stack([np.exp(-0.5 * ((points - [s, *[0] * (k - 1)]) ** 2).sum(1)) for s in shifts])
    weights /= weights.sum(1, keepdims=True)
    expected = 0.5 * {1: 1.0, 2: 2 / np.pi, 3: 0.5}[k]
    steps = claims.wasserstein_steps(points, weights, directions=64)
    assert steps == pytest.approx(expected, rel=0.12 if k == 3 else 0.02)
    same = claims.wasserstein_steps(points, np.stack([weights[0]] * 3))
    assert (same == 0).all()  # common places: no noise counts as movement
    permuted = rng.permutation(len(points))
    assert claims.wasserstein_steps(points[permuted], weights[:, permuted])[0] == pytest.approx(
        claims.wasserstein_steps(points, weights)[0]
    )


def test_steps_by_hand():
    assert claims.step_figures(np.array([1.0, 2.0, 6.0])) == {
        "steps": 3, "largest": 6.0, "median": 2.0, "total": 9.0, "ratio": 3.0
    }  # fmt: skip
    assert claims.step_figures(np.array([0.0, 0.0, 1.0]))["ratio"] == np.inf
    with pytest.raises(ValueError, match="a path of 2 step"):
        claims.step_figures(np.ones(2))


def support(locations, scale: float, pull: float):
    """A density on the line with bumps at places; a context is a list of numbers that pull towards them."""
    axis = np.linspace(-4, 4, 801)[:, None]
    mass = np.exp(-0.5 * ((axis - np.array(locations)) / scale) ** 2).sum(1)

    def likelihoods(contexts):
        return np.stack([sum(-0.5 * pull * (axis[:, 0] - word) ** 2 for word in context) for context in contexts])

    from labkit.evaluate.claims.transitions import Support

    return Support(axis, np.log(mass / mass.sum()), likelihoods)


def test_one_bump_moves_evenly_and_two_bumps_far_apart_tear():
    one, two = support([0.0], 1.0, 0.3), support([-2.0, 2.0], 0.2, 2.0)
    ends = [-2.0] * 5, [2.0] * 5
    smooth = claims.path_figures(one, *ends, kind="blend")
    torn = claims.path_figures(two, *ends, kind="blend")
    assert smooth["ratio"] < 1.2 and torn["ratio"] > 3
    assert claims.path_figures(one, *ends)["ratio"] < 1.5  # word by word
    shares = claims.share_of_smooth([smooth["ratio"], torn["ratio"], np.inf])
    assert shares["smooth"] == pytest.approx(1 / 3) and shares["paths"] == 3 and shares["ratio"] == torn["ratio"]


def test_a_blend_begins_and_ends_with_bayes_rule():
    one = support([-1.0, 1.5], 0.5, 0.4)
    weights = claims.moved(one, [1.0, 0.5], [-2.0], kind="blend", steps=7)
    ends = np.exp(one.log_mass + one.log_likelihoods([[1.0, 0.5], [-2.0]]))
    assert weights.shape == (8, 801)
    assert weights[[0, -1]] == pytest.approx(ends / ends.sum(1, keepdims=True))
    with pytest.raises(ValueError, match="kind is 'jump'; expected one of 'swap', 'blend'"):
        claims.moved(one, [1.0], [2.0], kind="jump")


def test_too_short_a_path_is_left_out():
    assert claims.path_figures(support([0.0], 1.0, 0.3), [1.0], [1.0]) is None


# --- words in context ---------------------------------------------------------------------------------------------


def pairs_in_context(n: int) -> PairsInContext:
    side = Occurrences.of(["bank"] * n, [["bank", "loan"]] * n, [0] * n)
    return PairsInContext("little", side, side, np.arange(n) % 2 == 0)


def test_pairs_for_takes_known_ones_at_most_so_many():
    assert len(claims.pairs_for(pairs_in_context(10), {"bank"}, 6)) == 6
    with pytest.raises(ValueError, match="0 pairs of little have both words in the text"):
        claims.pairs_for(pairs_in_context(10), {"shore"}, 6)


SMALL = dict(vector_dim=12, word_dim=8, steps=60, batch_size=64)


@pytest.fixture(scope="module")
def little():
    """A corpus of two words in two kinds of sentences, a flow and a point model of it."""
    rng = np.random.default_rng(0)
    sides = ("river water mud fish boat reed".split(), "loan money clerk credit cash vault".split())
    rows, labels = [], []
    for _ in range(900):
        word, side = str(rng.choice(["bank", "bill"])), int(rng.integers(2))
        rows.append([word, *rng.choice(sides[side], 4).tolist()])
        labels.append(f"{word}.{side}")
    corpus = lk.Corpus.from_sentences(rows, targets=[0] * 900, senses=labels, min_count=1)
    flow = lk.StochasticEmbedding(hidden=(8,), **SMALL).fit(corpus, progress=False)
    return corpus, flow, lk.PointEmbedding(vector_dim=12, steps=60, batch_size=64).fit(corpus, progress=False)


def test_a_point_is_the_same_in_every_sentence(little):
    system = claims.PointSenses(little[2])
    seen = Occurrences.of("bank", [["bank", "river"], ["loan", "bank"]], [0, 1])
    here = system.transform("bank", seen)
    assert (here[0] == here[1]).all() and here.shape == (2, 12)
    senses, p = system.senses_in_context("bank", seen)
    assert senses.shape == (1, 12) and p.tolist() == [[1.0], [1.0]]


def test_modes_as_senses_follow_bayes_rule(little):
    flow = little[1]
    system = claims.LatentModes(flow, window=4)
    sentences = [["bank", "river", "mud"], ["loan", "cash", "bank", "clerk"], ["bank", "zebra"]]
    seen = Occurrences.of("bank", sentences, [0, 2, 0])
    senses, p = system.senses_in_context("bank", seen)
    assert senses.shape == (len(flow["bank"].basins), 12) and p.sum(1) == pytest.approx(1, abs=1e-4)
    ids = [flow.vocabulary_[w] for w in ("loan", "cash", "clerk")]
    assert p[1] == pytest.approx(flow["bank"].evidence([ids]).mode_mass[0].numpy(), abs=1e-5)
    assert p[2] == pytest.approx(flow["bank"].basins.masses.numpy(), abs=0.02)  # nothing known: the density itself
    here = system.transform("bank", seen)
    here = here / np.linalg.norm(here, axis=1, keepdims=True)
    cosine = here @ here.T
    assert cosine[0, 1] < cosine[0, 2] or cosine[0, 1] < cosine[1, 2]
    with pytest.raises(KeyError):
        system.transform("zebra", seen)


def test_transitions_of_a_words_density(little):
    corpus, flow, _ = little
    ids = corpus.vocabulary
    support = claims.support_of(flow["bank"])
    share = np.exp(support.log_mass)
    assert share @ support.points == pytest.approx(np.zeros(2), abs=1e-4)
    assert share @ support.points**2 == pytest.approx(np.ones(2), abs=1e-4)
    first, second = ([ids[w] for w in words.split()] for words in ("river mud boat reed", "loan cash vault clerk"))
    weights = claims.moved(support, first, second)
    moved = flow["bank"].given("loan cash vault clerk").mean.numpy()
    places = flow["bank"].cells.points.numpy()
    assert weights[-1] @ places == pytest.approx(moved, abs=0.05 * places.std())
    words = claims.words_along(flow, "bank", weights, n=4)
    assert words.shape == (5, 4) and "bank" not in words.to_numpy()
    assert set(words.iloc[0]) & set("river water mud fish boat reed".split())
    assert set(words.iloc[-1]) & set("loan money clerk credit cash vault".split())


def test_what_a_word_says_of_its_place_is_a_matter_of_the_decoder(little):
    flow = little[1]
    found = claims.word_uncertainty(flow, ["bank", "bill"])
    exact = flow["bank"].entropy().value
    assert found.entropy["bank"] == pytest.approx(exact, abs=0.15) and (found.information > 0).all()
    blind = lk.StochasticEmbedding(hidden=(8,), decoder="affine", **SMALL | {"steps": 1}).fit(little[0], progress=False)
    torch.nn.init.zeros_(blind.decode.of_place.weight)
    assert claims.word_uncertainty(blind, ["bank"]).information["bank"] == pytest.approx(0, abs=1e-5)


# --- generalisation -----------------------------------------------------------------------------------------------


def test_windows_of_a_corpus_are_those_of_the_word(little):
    corpus = little[0]
    windows = claims.corpus_windows(corpus, ["bank", "zebra"], 20)
    assert [w.word for w in windows] == ["bank"] and windows[0].context.shape == (20, 4)
    assert corpus.vocabulary["bank"] not in windows[0].context


def test_steps_are_chosen_where_held_out_text_is_best(little):
    tried = []

    class Fake(lk.PointEmbedding):
        def fit(self, corpus, **options):
            tried.append(self.steps)
            return super().fit(corpus, **options)

    def make(steps):
        return Fake(vector_dim=4, steps=steps, batch_size=900, learning_rate=0.02)

    model, chosen = claims.fit_with_chosen_steps(make, little[0], (1, 4, 40))
    assert tried[0] == 4  # one step of 900 windows does not pass twice over 810 sentences
    assert chosen["steps"] == min(chosen["tried"], key=chosen["tried"].get) == model.steps
    with pytest.raises(ValueError, match="expected rising numbers of steps"):
        claims.fit_with_chosen_steps(make, little[0], (40, 4))


def test_vectors_find_two_kinds_of_sentences(little):
    corpus, _, point = little
    windows = []
    for word in ("bank", "bill"):
        group = claims.corpus_windows(corpus, [word], 200)[0]
        river = {corpus.vocabulary[w] for w in "river water mud fish boat reed".split()}
        senses = np.array(["side" if row[0] in river else "firm" for row in group.context])
        windows.append(LabelledWindows(word, group.context, senses))
    assert claims.vector_recovery(point, windows)["ari"] > 0.9
    row = claims.generalisation_row(point, windows)
    assert row["ari"] > 0.9 and row["nats"] > 0 and "above_optimum" not in row
    with pytest.raises(ValueError, match="the model has no density of zebra"):
        claims.generalisation_row(point, [LabelledWindows("zebra", windows[0].context, windows[0].senses)])

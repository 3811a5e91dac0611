"""Claims about models: steps along paths, modes as senses in context, corpus size."""

import numpy as np
import pytest
import torch

import labkit as lk
from labkit.evaluate import claims
from labkit.evaluate.claims.transitions import Support
from labkit.evaluate.windows import LabelledWindows
from labkit.text.occurrences import Occurrences, PairsInContext

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
    system = claims.LatentModes(flow, window=4, samples=3000)
    sentences = [["bank", "river", "mud"], ["loan", "cash", "bank", "clerk"], ["bank", "zebra"]]
    seen = Occurrences.of("bank", sentences, [0, 2, 0])
    senses, p = system.senses_in_context("bank", seen)
    assert senses.shape == (len(flow["bank"].basins), 12) and p.sum(1) == pytest.approx(1, abs=1e-4)
    ids = [flow.vocabulary_[w] for w in ("loan", "cash", "clerk")]
    assert p[1] == pytest.approx(flow["bank"].evidence([ids]).mode_mass[0].numpy(), abs=0.03)
    assert p[2] == pytest.approx(flow["bank"].basins.masses.numpy(), abs=0.04)  # nothing known: the density itself
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
    assert weights[-1] @ places == pytest.approx(moved, abs=float(0.05 * places.std()))
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

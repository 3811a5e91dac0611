"""The modes of a word's density and their labels; relevance, likeness and overlap."""

import numpy as np
import pytest
import torch
from torch.distributions import Independent, Normal

import labkit.embeddings.word as word_module
from labkit import load_corpus
from labkit.density import draw
from labkit.embeddings import GaussianEmbedding, WordDensity
from tests.test_embeddings_models import SMALL, TRAINED, trained


@pytest.fixture(scope="module")
def model():
    """Models by name, each trained once on a few words of the built-in corpus."""
    return trained


# --- modes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["flow", "flow on a line", "mixture"])
def test_modes_have_words_and_sentences(model, name):
    trained = model(name)
    modes = trained["bank"].modes()
    assert float(modes.masses.sum()) == pytest.approx(1, abs=1e-3)
    for mode in modes:
        assert 0 < len(mode.words) <= 8 and "bank" not in mode.words
        assert 0 < len(mode.sentences) <= 5
        assert all("bank" in sentence.lower() for sentence in mode.sentences)
    assert modes.assign(modes.locations).tolist() == list(range(len(modes)))


class TwoPlaces(WordDensity):
    """Modes and cells set by hand: two places, each calling for words of its own."""

    def __init__(self, model, share, rows):
        super().__init__(model, "bank", Independent(Normal(torch.zeros(2), torch.ones(2)), 1))
        rows = torch.tensor(rows)
        self.mode_distributions = rows / rows.sum(1, keepdim=True)

        class Basins(list):
            masses = torch.tensor(share)

        self.basins = Basins(range(len(share)))


class Vocabulary(list):
    def word(self, i):
        return self[i]


class Model:
    vocabulary_ = Vocabulary(["bank", "the", "river", "loan"])
    context_counts_ = torch.tensor([9, 900, 40, 60])


def test_labels_are_words_that_a_mode_has_more_of_than_the_others():
    density = TwoPlaces(Model(), [0.5, 0.5], [[1.0, 50.0, 30.0, 1.0], [1.0, 50.0, 1.0, 30.0]])
    assert [words[0] for words in density.words_by_mode()] == ["river", "loan"]
    assert all("bank" not in words for words in density.words_by_mode())


def test_labels_of_a_single_mode_are_against_the_corpus():
    density = TwoPlaces(Model(), [1.0], [[1.0, 50.0, 30.0, 1.0]])
    assert density.words_by_mode()[0][0] == "river"


JENSEN_SHANNON = {
    "disjoint": ([0.5, 0.5], [[0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]], 1.0),
    "disjoint, one light": ([0.9, 0.1], [[0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]], 0.468996),
    "the same": ([0.3, 0.7], [[1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0]], 0.0),
    "half": ([0.5, 0.5], [[0.0, 1.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0]], 0.5),
    "one mode": ([1.0], [[1.0, 2.0, 3.0, 4.0]], 0.0),
}


@pytest.mark.parametrize("case", JENSEN_SHANNON)
def test_jensen_shannon_divergence_in_bits(case):
    share, rows, bits = JENSEN_SHANNON[case]
    assert TwoPlaces(Model(), share, rows).js_divergence() == pytest.approx(bits, abs=1e-5)


@pytest.mark.parametrize("table", [10_000_000, 1])
def test_what_a_mode_predicts_is_an_average_over_all_of_it(model, table, monkeypatch):
    """Not over its highest part: with one mode it is the average over the prior itself, p(c∣w)."""
    trained = model("gaussian")
    monkeypatch.setattr(word_module, "LARGEST_TABLE", table)
    density = WordDensity(trained, "tuesday")
    assert len(density.basins) == 1
    every_word = np.arange(len(trained.vocabulary_))[:, None]
    p = density.evidence(every_word).log_prob.exp()
    assert float((density.mode_distributions[0] - p).abs().sum()) < (0.02 if table == 1 else 3e-3)


# --- what else a model tells --------------------------------------------------------------------------------------


def test_relevance_of_a_dead_coordinate(model):
    trained = TRAINED["flow"]().fit(load_corpus("senses", per_word=5), progress=False)
    with torch.no_grad():
        trained.decode.network.from_points.weight[:, 1] = 0
    relevance = trained.relevance("bank")
    assert relevance[1] < 1e-4 * relevance[0] and relevance[0] > 0.01


def test_relevance_of_a_linear_decoder():
    """h = A z + B v: r_i is |A_i| times the standard deviation of z_i."""
    settings = SMALL | {"decoder": "affine", "steps": 20}
    trained = GaussianEmbedding(**settings).fit(load_corpus("senses", per_word=5), progress=False)
    spread = draw(trained.prior_of("bank"), 512, torch.Generator().manual_seed(0)).std(0)
    expected = spread * trained.decode.of_place.weight.detach().norm(dim=0)
    assert torch.allclose(trained.relevance("bank"), expected, rtol=1e-2)


def test_the_basis_stays_orthonormal(model):
    basis = model("truncated").basis_
    assert torch.allclose(basis @ basis.T, torch.eye(6), atol=1e-6) and not torch.equal(basis, torch.eye(6))
    assert model("truncated").mean("bank").shape == (4,)
    assert model("truncated").prior_of("bank").event_shape == (2,)


@pytest.mark.parametrize("name", ["flow", "mixture"])
def test_similar_words(model, name):
    found = model(name).most_similar("bank", n=5)
    assert 3 <= len(found) <= 5 and all(word != "bank" and -1 <= cosine <= 1 for word, _, cosine in found)
    assert [c for *_, c in found] == sorted((c for *_, c in found), reverse=True)
    modes = len(model(name)["bank"].basins)
    with pytest.raises(ValueError, match=f"sense is {modes} and 'bank' has {modes} mode"):
        model(name).most_similar("bank", sense=modes)


def test_overlap(model):
    trained = model("flow")
    assert trained.overlap("bank", "bank").value == pytest.approx(1, abs=1e-5)
    (there, error), (back, other) = trained.overlap("bank", "spring"), trained.overlap("spring", "bank")
    assert 0 < there < 1 and there == pytest.approx(back, abs=5 * (error + other))

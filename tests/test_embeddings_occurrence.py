"""Densities of occurrences: halves of sentences, words that tell senses apart, the flow, and senses end to end."""

import numpy as np
import pytest
import torch
from sense_files import bags
from sklearn.metrics import adjusted_rand_score

from labkit.density import find_modes
from labkit.embeddings.base import NotFittedError
from labkit.embeddings.fitting import fit_flow
from labkit.embeddings.occurrence import OccurrenceEmbedding, spread
from labkit.embeddings.peers.weights import Around
from labkit.embeddings.point import PointEmbedding
from labkit.embeddings.tellers import refine
from labkit.text import SenseGrammar, Tokenizer, grammar_sentences, senses_corpus
from labkit.text.occurrences import Occurrences

# --- words that tell senses apart -------------------------------------------------------------------------------------


def test_words_correct_groups_that_are_partly_wrong(seed):
    gold = np.repeat([0, 1], [300, 100])
    rng = np.random.default_rng(seed)
    wrong = np.where(rng.random(400) < 0.2, 1 - gold, gold)
    points = 0.1 * rng.normal(size=(400, 5))  # the vectors say nothing: the words have to
    start = np.eye(2)[wrong]
    kept = start.copy()
    shares = refine(start, points, bags(gold, seed=seed), np.full(60, 1 / 60))
    assert np.allclose(shares.sum(1), 1) and (start == kept).all()
    assert adjusted_rand_score(gold, wrong) < 0.45 < 0.9 < adjusted_rand_score(gold, shares.argmax(1))


def test_refining_needs_no_neighbours_and_no_words():
    points = np.random.default_rng(0).normal(size=(30, 2)) + 5 * np.eye(2)[np.arange(30) % 2]
    far = Around(30, np.arange(30), np.arange(30) % 3, np.full(30, 9.0))
    empty = Around(30, np.zeros(0, int), np.zeros(0, int), np.zeros(0))
    for around in (far, empty):
        shares = refine(np.eye(2)[np.arange(30) % 2], points, around, np.full(3, 1 / 3))
        assert np.isfinite(shares).all() and (shares.argmax(1) == np.arange(30) % 2).mean() > 0.9


# --- the flow ---------------------------------------------------------------------------------------------------------


def blobs(k: int, n: int, apart: float, seed: int, dtype=torch.float32) -> torch.Tensor:
    points = torch.randn(n, k, generator=torch.Generator().manual_seed(seed), dtype=dtype)
    points[: n // 3, 0] += apart
    return points


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_fitted_density_has_mass_one_and_the_right_height(dtype):
    flow = fit_flow(blobs(1, 900, 8.0, 0, dtype), steps=100)
    grid = torch.linspace(-8, 16, 4001, dtype=dtype)
    density = flow.log_prob(grid[:, None]).exp()
    assert density.dtype == dtype
    assert abs(torch.trapezoid(density, grid).item() - 1) < 0.01
    assert abs(torch.trapezoid(density[grid > 4], grid[grid > 4]).item() - 1 / 3) < 0.03


@pytest.mark.parametrize("k", [1, 2])
def test_groups_are_modes_and_one_cloud_is_one_mode(k):
    found = find_modes(fit_flow(blobs(k, 600, 6.0, 1), steps=120), min_mass=0.04, significance=0.12, n_samples=500)
    assert len(found) == 2 and abs(found.masses.min().item() - 1 / 3) < 0.06
    one = fit_flow(blobs(k, 600, 0.0, 0), steps=120)
    assert len(find_modes(one, min_mass=0.04, significance=0.12, n_samples=300)) == 1


def test_fitting_leaves_torch_alone_and_repeats_itself():
    points, state = blobs(2, 200, 5.0, 3), torch.random.get_rng_state()
    first, second = (fit_flow(points, steps=20, seed=4) for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(first.log_prob(points), second.log_prob(points))


@pytest.mark.parametrize("points", [torch.zeros(5, 2), torch.zeros(20), torch.full((20, 2), torch.nan)])
def test_points_that_cannot_be_fitted(points):
    with pytest.raises((ValueError, TypeError), match="at least 10 finite points|points"):
        fit_flow(points)


# --- words ------------------------------------------------------------------------------------------------------------

AMBIGUOUS, CONTROLS = ("bank", "crane", "spring", "seal"), ("tuesday", "violin", "hospital", "tractor")


@pytest.fixture(scope="module")
def embedding() -> OccurrenceEmbedding:
    """On a small skip-gram of the built-in corpus."""
    corpus = senses_corpus(per_word=120)
    skip_gram = PointEmbedding(vector_dim=40, steps=60, negatives=64).fit(corpus, progress=False)
    return OccurrenceEmbedding(skip_gram, components=6, halvings=3, steps=80).fit(corpus)


@pytest.fixture(scope="module")
def occurrences() -> dict[str, Occurrences]:
    """Fresh sentences of the grammar, 200 for every word, with their senses."""
    table = grammar_sentences(SenseGrammar(), 200, seed=7)
    found = {}
    for word, group in table[table.word.isin(AMBIGUOUS + CONTROLS)].groupby("word"):
        tokens = [Tokenizer()(sentence) for sentence in group.sentence]
        found[word] = Occurrences.of(word, tokens, [t.index(word) for t in tokens], group.sense.to_list())
    return found


@pytest.fixture(scope="module")
def densities(embedding, occurrences):
    return {word: embedding.density(word, seen.unlabelled()) for word, seen in occurrences.items()}


def test_modes_are_senses(densities, occurrences):
    """A mode a sense or nearly so: ARI of the basins and of what the words make of them, over the ambiguous words."""
    basins = [adjusted_rand_score(occurrences[w].senses, densities[w].basin_of_occurrences) for w in AMBIGUOUS]
    refined = [adjusted_rand_score(occurrences[w].senses, densities[w].mode_mass.argmax(1)) for w in AMBIGUOUS]
    assert np.mean(basins) > 0.6 and np.mean(refined) > 0.7, (basins, refined)
    assert all(len(densities[w].modes()) > 1 for w in AMBIGUOUS)


def test_words_with_one_sense_have_fewer_modes(densities):
    ambiguous, controls = ([len(densities[w].modes()) for w in words] for words in (AMBIGUOUS, CONTROLS))
    assert controls.count(1) >= 3, (ambiguous, controls)


def test_a_density_is_a_distribution(densities):
    bank = densities["bank"]
    k = bank.event_shape[0]
    assert bank.sample((5, 2)).shape == (5, 2, k) and bank.log_prob(bank.sample((5,))).shape == (5,)
    generators = (torch.Generator().manual_seed(1) for _ in range(2))
    assert torch.equal(*(bank.sample((3,), generator) for generator in generators))
    assert "200 occurrences" in repr(bank) and bank.basis.shape == (40, k)
    assert np.allclose(bank.mode_mass.sum(1), 1) and bank.mode_mass.shape == (200, len(bank.modes()))


def test_a_context_moves_the_density_to_its_mode(densities, occurrences):
    bank, seen = densities["bank"], occurrences["bank"]
    cue = {sense: seen.sentences[list(seen.senses).index(sense)] for sense in seen.sense_names}
    places = [bank.given(tokens).mean for tokens in cue.values()]
    assert bank.basins.assign(torch.stack(places)).unique().numel() == len(cue)
    narrow, wide = bank.given(cue[seen.sense_names[0]]), bank.sample((500,), torch.Generator().manual_seed(0))
    assert (narrow.variance < wide.var(0)).all()


def test_a_short_context_says_less(densities, occurrences):
    bank = densities["bank"]
    words = [w for w in occurrences["bank"].sentences[0] if w in bank.embedding.embedding_.vocabulary_ and w != "bank"]
    assert bank.observe(words[:1])[1] > bank.observe(words)[1]


def test_spread_counts_words():
    around = Around(3, np.array([0, 0, 1]), np.array([1, 2, 3]), np.ones(3))
    assert spread(around, np.array([2.0, 2.0, 5.0])).tolist() == [0.5, 1.0, 1.0]


def test_the_same_seed_gives_the_same_senses(embedding, occurrences, densities):
    again = embedding.assign("bank", occurrences["bank"])
    assert np.array_equal(again, densities["bank"].mode_mass.argmax(1))
    shuffled = occurrences["bank"].select(np.arange(200)[::-1])
    assert adjusted_rand_score(embedding.assign("bank", shuffled)[::-1], again) > 0.8


def test_a_word_of_the_text_has_a_density(embedding):
    assert embedding["bank"] is embedding["bank"]
    assert len(embedding["bank"].modes()) > 1
    assert embedding.transform("bank", Occurrences.of("bank", [["river", "bank"]], [1])).shape == (1, 40)


def test_what_cannot_be_answered(embedding, occurrences, densities):
    few = occurrences["bank"].select(slice(0, 19))
    assert embedding.assign("bank", few).tolist() == [0] * 19
    with pytest.raises(ValueError, match="'bank' has 19 occurrences; expected at least 20"):
        embedding.density("bank", few)
    with pytest.raises(KeyError, match="xylograph"):
        embedding.assign("xylograph", few)
    with pytest.raises(ValueError, match="no word of the context is known"):
        densities["bank"].given("qwx zzz")
    with pytest.raises(NotFittedError, match="not fitted"):
        OccurrenceEmbedding().assign("bank", few)
    with pytest.raises(ValueError, match="most is 1; expected a whole number of at least 2"):
        OccurrenceEmbedding(most=1).fit(embedding.corpus_)


def test_occurrences_that_are_all_alike_are_one_sense(embedding):
    same = Occurrences.of("bank", [["river", "bank"]] * 30, [1] * 30)
    density = embedding.density("bank", same)
    assert len(density.modes()) == 1 and density.agreement == {}
    assert embedding.assign("bank", same).tolist() == [0] * 30


def test_sentences_without_a_known_word_are_assigned_too(embedding, occurrences):
    unknown = Occurrences.of("bank", [["qwx", "bank"]] * 3, [1] * 3)
    assert embedding.assign("bank", occurrences["bank"].join(unknown)).shape == (203,)

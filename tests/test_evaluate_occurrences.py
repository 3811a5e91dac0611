"""Densities of occurrences: which directions are used, and their modes as senses and supports of paths."""

import numpy as np
import pytest

import labkit as lk
from labkit.embeddings.occurrence import OccurrenceEmbedding
from labkit.evaluate import claims
from labkit.evaluate.occurrence_diagnostics import diagnose_occurrences
from labkit.text.occurrences import Occurrences

AROUND = [f"{first}{vowel}{last}" for first in "klrt" for vowel in "aeiou" for last in "mn"]  # 40 words


@pytest.fixture(scope="module")
def occurrences():
    """Two words in two kinds of sentences, and one whose sentences are all alike, by densities of occurrences."""
    rng = np.random.default_rng(0)
    halves, rows = [AROUND[:20], AROUND[20:]], []
    for _ in range(1200):
        word = str(rng.choice(["bank", "bill", "control"]))
        side = halves[0 if word == "control" else int(rng.integers(2))]
        rows.append([word, *rng.choice(side, 6).tolist()])
    corpus = lk.Corpus.from_sentences(rows, min_count=1)
    skip_gram = lk.PointEmbedding(vector_dim=12, steps=150, batch_size=128).fit(corpus, progress=False)
    return OccurrenceEmbedding(skip_gram, steps=30).fit(corpus, progress=False)


def test_directions_of_occurrences_that_are_more_than_error_are_used(occurrences):
    found = diagnose_occurrences(occurrences, ["bank", "bill", "control", "zebra"])
    assert list(found.skipped) == ["zebra"] and "'zebra'" in found.skipped["zebra"]
    table = found.table
    assert (table.loc[["bank", "bill"], "used"] == 1).all() and (table.loc[["bank", "bill"], "reliability"] > 0.8).all()
    assert table.reliability["control"] < table.reliability["bank"] - 0.2
    assert (table.modes[["bank", "bill"]] == 2).all() and table.modes["control"] == 1
    assert table.effective_share[table.k <= 2].isna().all()  # exact on a grid
    assert "2 words have more than one mode" in found.verdict and "1 words left out" in found.verdict


def test_no_word_with_a_density(occurrences):
    assert diagnose_occurrences(occurrences, ["zebra"]).verdict == "No word has a density (1 left out)."


def test_modes_of_occurrences_as_senses(occurrences):
    system = claims.OccurrenceModes(occurrences)
    seen = Occurrences.of("bank", [["bank", *AROUND[:5]], ["bank", *AROUND[20:25]], ["bank", "zebra"]], [0, 0, 0])
    senses, p = system.senses_in_context("bank", seen)
    assert senses.shape == (2, 12) and p.sum(1) == pytest.approx(1, abs=1e-3)
    assert p[:2].max(1).min() > 0.8 and p[0].argmax() != p[1].argmax()
    assert p[2] == pytest.approx(occurrences["bank"].modes().masses.numpy(), abs=1e-3)  # nothing known
    here = system.transform("bank", seen.select([0, 1]))
    cosine = (here / np.linalg.norm(here, axis=1, keepdims=True)) @ (senses / np.linalg.norm(senses, axis=1)[:, None]).T
    assert (cosine.argmax(1) == p[:2].argmax(1)).all()


def test_a_path_ends_where_bayes_rule_does(occurrences):
    density = occurrences["bank"]
    support = claims.support_of(density)
    weights = claims.moved(support, AROUND[:5], AROUND[20:25], kind="blend")
    places = support.points[:, 0] * float(density.places.std()) + float(density.places.mean())
    near = 0.1 * float(density.places.std())
    for end, words in ((0, AROUND[:5]), (-1, AROUND[20:25])):
        assert weights[end] @ places == pytest.approx(float(density.given(words).mean[0]), abs=near)
    assert claims.path_figures(support, AROUND[:5], AROUND[20:25])["steps"] == 5

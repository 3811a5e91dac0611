"""Windows against a plain loop over the words."""

import json
from itertools import islice

import numpy as np
import pytest

from labkit.text import Corpus, Windows, windows

SENTENCES = [
    "the bank lends money to the town",
    "we sat on the grassy bank of the river",
    "alone",
    "river bank",
    "the river rose over its bank and the bank closed at noon",
]
TARGETS = [1, 5, -1, 1, 5]


@pytest.fixture
def corpus():
    return Corpus.from_sentences(SENTENCES, targets=TARGETS, min_count=1)


@pytest.fixture(scope="module")
def long_corpus():
    rng = np.random.default_rng(0)
    words = np.array([f"w{chr(97 + i // 26)}{chr(97 + i % 26)}" for i in range(200)])
    p = 1 / np.arange(1, 201)
    lengths = rng.integers(1, 12, size=900)
    sentences = [" ".join(rng.choice(words, size=n, p=p / p.sum())) for n in lengths]
    return Corpus.from_sentences([*sentences, " ".join(rng.choice(words, size=500))], min_count=1)


@pytest.fixture
def small_groups(monkeypatch):
    """Many groups of small chunks in a small corpus."""
    monkeypatch.setattr(windows, "CHUNK", 50)
    monkeypatch.setattr(windows, "CHUNKS", 3)
    monkeypatch.setattr(windows, "LONGEST_SEGMENT", 128)


def plain_loop(corpus, size, width, is_centre):
    """(occurrence, centre, context) of every window, slowly."""
    found = []
    for i in range(len(corpus)):
        tokens = corpus.tokens(i).tolist()
        for j, token in enumerate(tokens):
            if not is_centre(i, j) or len(tokens) < 2:
                continue
            first, end = max(0, j - size), min(len(tokens), j + size + 1)
            while (
                end - first - 1 > width
            ):  # drop the farther end; of equals the left one stays if the width is even
                if j - first > end - 1 - j or (j - first == end - 1 - j and width % 2):
                    first += 1
                else:
                    end -= 1
            found.append((int(corpus.offsets[i]) + j, token, tokens[first:j] + tokens[j + 1 : end]))
    return found


def listed(batches):
    return sorted(
        (int(o), int(c), context[mask].tolist()) for batch in batches for c, context, mask, o in zip(*batch)
    )


CASES = {
    "default": ({}, 5, 10, "all"),
    "narrow": ({"size": 1}, 1, 2, "all"),
    "nearest only": ({"size": 4, "max_context": 2}, 4, 2, "all"),
    "whole sentence": ({"whole_sentence": True}, 99, 99, "all"),
    "nearest of the sentence": ({"whole_sentence": True, "max_context": 4}, 99, 4, "all"),
    "odd number": ({"size": 4, "max_context": 3}, 4, 3, "all"),
    "marked": ({"targets": "marked", "size": 2}, 2, 4, "marked"),
    "listed": ({"targets": ["bank", "river"], "size": 3}, 3, 6, "listed"),
}


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
@pytest.mark.parametrize("name", CASES)
def test_windows_are_those_of_a_plain_loop(name, batch_size, corpus):
    settings, size, width, centres = CASES[name]
    chosen = {
        "all": lambda i, j: True,
        "marked": lambda i, j: TARGETS[i] == j,
        "listed": lambda i, j: corpus.words(i)[j] in ("bank", "river"),
    }
    stream = Windows(corpus, subsample=None, batch_size=batch_size, **settings)
    batches = list(stream)
    assert listed(batches) == plain_loop(corpus, size, width, chosen[centres])
    assert [len(b) for b in batches[:-1]] == [batch_size] * (len(batches) - 1)
    for batch in batches:
        assert batch.context.shape == batch.mask.shape == (len(batch), stream.max_context)
        assert (batch.context[~batch.mask] == -1).all()
        assert (np.diff(batch.mask.astype(int), axis=1) <= 0).all(), "padding stands on the right"


def test_groups_of_chunks_lose_and_repeat_nothing(long_corpus, small_groups, monkeypatch):
    monkeypatch.setattr(windows, "LONGEST_SEGMENT", 1000)
    batches = list(Windows(long_corpus, subsample=None, batch_size=64))
    assert len(batches) > 20
    assert listed(batches) == plain_loop(long_corpus, 5, 10, lambda i, j: True)


def test_a_long_sentence_is_cut_but_keeps_its_centres(long_corpus, small_groups):
    found = np.concatenate([batch.occurrence for batch in Windows(long_corpus, subsample=None)])
    alone = long_corpus.offsets[:-1][np.diff(long_corpus.offsets) == 1]
    np.testing.assert_array_equal(np.sort(found), np.setdiff1d(np.arange(long_corpus.n_tokens), alone))


def test_windows_stay_in_their_sentence(long_corpus):
    for batch in Windows(long_corpus, subsample=1e-2):
        for centre, context, mask, occurrence in zip(*batch):
            tokens = long_corpus.tokens(long_corpus.sentence_of(occurrence))
            assert centre == long_corpus.ids[occurrence] and np.isin(context[mask], tokens).all()


def test_thinning_keeps_words_as_often_as_it_says(long_corpus):
    """Kept centres of word w are binomial with p = √(t / f); 4.5 standard errors for 200 words."""
    t, epochs = 5e-3, 40
    stream = Windows(long_corpus, subsample=t, size=2)
    counts = np.zeros(len(long_corpus.vocabulary))
    for _ in range(epochs):
        for batch in stream:
            counts += np.bincount(batch.centre, minlength=len(counts))
    last = len(long_corpus) - 1  # the long sentence: there, no centre is ever without context
    ids = long_corpus.tokens(last)
    lone = Windows(long_corpus.select(np.array([last])), subsample=t, size=2)
    kept = sum(
        (np.bincount(b.centre, minlength=len(counts)) for _ in range(epochs) for b in lone), 0 * counts
    )
    n = epochs * np.bincount(ids, minlength=len(counts))
    p = np.minimum(1, np.sqrt(t / long_corpus.vocabulary.frequencies))
    assert (p < 0.5).any() and (p == 1).any()
    assert (np.abs(kept - n * p) <= 4.5 * np.sqrt(n * p * (1 - p)) + 1e-9).all()
    assert counts.sum() / epochs == pytest.approx(stream.per_epoch, rel=0.1)


def test_windows_reach_across_thinned_words(long_corpus):
    """What is dropped leaves no gap: a middle window still has 2 size words."""
    batch = next(iter(Windows(long_corpus.select(np.array([len(long_corpus) - 1])), subsample=1e-3, size=2)))
    assert batch.mask.all(axis=1).mean() > 0.9


def test_targets_are_not_thinned_out(corpus):
    stream = Windows(corpus, subsample=1e-9, targets="marked")
    assert stream.per_epoch == 4
    assert list(stream) == []  # every context is gone
    bank = corpus.vocabulary["bank"]
    first, second = corpus.offsets[4] + np.flatnonzero(corpus.tokens(4) == bank)
    # Only the sentence with two of them has windows, each the context of the other.
    found = listed(Windows(corpus, subsample=1e-9, targets=["bank"]))
    assert found == [(first, bank, [bank]), (second, bank, [bank])]


def same(first, second):
    first, second = list(first), list(second)
    assert len(first) == len(second)
    for a, b in zip(first, second):
        for x, y in zip(a, b):
            np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("settings", [{}, {"targets": ["wab", "wac"]}], ids=["all", "listed"])
@pytest.mark.parametrize("after", [0, 1, 13, 40, 90])
def test_resuming_gives_the_same_batches(after, settings, long_corpus, small_groups):
    settings = {"batch_size": 64, "seed": 5, "subsample": 1e-2} | settings
    straight, broken = Windows(long_corpus, **settings), Windows(long_corpus, **settings)
    list(islice(straight.take(after), after))
    list(broken.take(after))
    state = json.loads(json.dumps(broken.state()))
    resumed = Windows(long_corpus, **settings | {"seed": 0})
    resumed.restore(state)
    same(resumed.take(60), straight.take(60))
    assert resumed.state() == straight.state()


def test_epochs_and_seeds_differ(long_corpus):
    def orders(seed):
        stream = Windows(long_corpus, seed=seed, subsample=None)
        return [np.concatenate([b.occurrence for b in stream]) for _ in range(2)]

    (a, b), (c, _) = orders(0), orders(1)
    assert not np.array_equal(a, b) and not np.array_equal(a, c)
    np.testing.assert_array_equal(np.sort(a), np.sort(b))
    np.testing.assert_array_equal(a, orders(0)[0])
    assert abs(np.corrcoef(a, np.arange(len(a)))[0, 1]) < 0.1, "shuffled"


def test_memory_map_gives_the_same_batches(long_corpus, tmp_path):
    sentences = [long_corpus.sentence(i) for i in range(len(long_corpus))]
    mapped = Corpus.from_sentences(sentences, min_count=1, cache_dir=tmp_path)
    same(Windows(mapped), Windows(long_corpus))


def test_occurrences(corpus):
    found = Windows(corpus, size=2, subsample=1e-9).occurrences("bank")
    expected = plain_loop(corpus, 2, 4, lambda i, j: corpus.words(i)[j] == "bank")
    assert listed([found]) == expected
    assert (np.diff(found.occurrence) > 0).all()
    assert [corpus.sentence(s) for s in corpus.sentence_of(found.occurrence)][0] == SENTENCES[0]
    assert len(Windows(corpus, targets="marked").occurrences("bank")) == len(expected) - 1
    alone = Windows(corpus).occurrences("alone")
    assert len(alone) == 1 and not alone.mask.any()


ERRORS = {
    "size": (lambda c: Windows(c, size=0), ValueError, "size is 0; expected a whole number of at least 1"),
    "batch": (lambda c: Windows(c, batch_size=0), ValueError, "batch_size is 0; expected a whole number"),
    "subsample": (
        lambda c: Windows(c, subsample=0),
        ValueError,
        "subsample is 0; expected a positive number",
    ),
    "targets": (
        lambda c: Windows(c, targets="bank"),
        ValueError,
        r"targets is 'bank'; expected 'all', 'marked' or a list of words such as \['bank'\]",
    ),
    "unknown target": (
        lambda c: Windows(c, targets=["bnak"]),
        KeyError,
        "'bnak' is not in .*; nearest: 'bank'",
    ),
    "not marked": (
        lambda c: Windows(Corpus.from_sentences(SENTENCES, min_count=1), targets="marked"),
        ValueError,
        "no word is marked: corpus.targets is None",
    ),
    "no targets": (
        lambda c: Windows(c.select(np.array([2])), targets=["bank"]),
        ValueError,
        "no target occurs in this corpus",
    ),
    "no windows": (
        lambda c: list(Windows(c.select(np.array([2])), subsample=None).take(1)),
        ValueError,
        "the corpus has no windows",
    ),
    "other settings": (
        lambda c: Windows(c, size=3).restore(Windows(c, size=4).state()),
        ValueError,
        "the saved state has size = 4, these windows 3; the same batches follow only with the same settings",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name, corpus):
    call, kind, message = ERRORS[name]
    with pytest.raises(kind, match=message):
        call(corpus)

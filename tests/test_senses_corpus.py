"""The built-in corpus is what data/senses/README.md says: its data, its grammar, what is trained on."""

import contextlib
import io
import itertools
import json
import re
from collections import Counter, defaultdict

import numpy as np
import pytest
from scipy import integrate, stats
from sklearn.metrics import adjusted_rand_score

from labkit.text import FUNCTION_WORDS, SenseGrammar, Tokenizer, data_folder, handwritten, senses_corpus
from labkit.text import grammar as grammar_module
from labkit.text.senses import PER_WORD

FOLDER = data_folder() / "senses"
FALSE_ALARMS = 1e-3  # of a whole family of chi-square tests: each of n tests gets a share of 1/n


def sense(name: str, frequency: float, low: str, both: str, high: str) -> dict:
    lists = {"low": low.split(), "both": both.split(), "high": high.split()}
    return {"sense": name, "gloss": "", "frequency": frequency, **lists}


BANK = [
    sense("bank.river", 0.3, "reed mud", "boat", "flood"),
    sense("bank.money", 0.7, "till", "loan boat", ""),
]
LAMP = [sense("lamp.lamp", 1.0, "bulb", "", "mud")]
TINY = {
    "noise": ["day", "way"],
    "words": [{"word": "bank", "senses": BANK}, {"word": "lamp", "senses": LAMP}],
}


@pytest.fixture(scope="module")
def grammar() -> SenseGrammar:
    return SenseGrammar()


@pytest.fixture(scope="module")
def tiny() -> SenseGrammar:
    return SenseGrammar(TINY)


@pytest.fixture(scope="module")
def table():
    """The hand-written sentences with their words, and their content words: no function word, no target."""
    table = handwritten()
    table["words"] = list(map(Tokenizer(), table.sentence))
    table["content"] = [set(t) - FUNCTION_WORDS - {w} for t, w in zip(table.words, table.word)]
    return table


def agree(observed: np.ndarray, probabilities: np.ndarray, tests: int) -> bool:
    """Whether counts agree with probabilities, as one of `tests` chi-square tests.

    Cells of expectation below 5, where the chi-square approximation is poor, are pooled.
    """
    expected = observed.sum() * probabilities
    rare = expected < 5
    if rare.any():
        observed, expected = (np.append(counts[~rare], counts[rare].sum()) for counts in (observed, expected))
    return stats.chisquare(observed, expected).pvalue > FALSE_ALARMS / tests


# --- the data -------------------------------------------------------------------------------------


def test_thirty_ambiguous_words_and_as_many_controls(grammar):
    assert len(grammar.ambiguous) >= 30
    assert len(grammar.controls) == len(grammar.ambiguous)
    assert {len(grammar.senses[word]) for word in grammar.ambiguous} == {2, 3, 4}
    assert grammar.words == grammar.ambiguous + grammar.controls


def test_frequencies_of_senses_sum_to_one_and_are_uneven(grammar):
    assert all(f.sum() == pytest.approx(1) and (f > 0).all() for f in grammar.frequencies.values())
    uneven = [word for word in grammar.ambiguous if np.ptp(grammar.frequencies[word]) > 0.01]
    assert len(uneven) > 0.8 * len(grammar.ambiguous)


def test_a_cue_speaks_for_one_sense_of_a_word(grammar):
    for word in grammar.words:
        cues = Counter(cue for sense in grammar.senses[word] for cue in grammar.cues[sense])
        assert word not in cues and max(cues.values()) == 1, word


def test_every_word_of_the_grammar_survives_the_tokenizer_and_the_stop_words(grammar):
    assert [word for word in grammar.vocabulary if Tokenizer()(word) != [word]] == []
    assert FUNCTION_WORDS.isdisjoint(grammar.vocabulary)


def test_frames_hold_function_words_only():
    assert {word for frame in grammar_module.FRAMES for word in frame.split()} <= FUNCTION_WORDS


def test_thirty_handwritten_sentences_for_every_sense_and_both_splits(table, grammar):
    counts = table.groupby(["sense", "split"]).size().unstack()
    assert set(counts.index) == set(grammar.glosses)
    assert counts.sum(axis=1).min() >= 30 and counts.min().min() >= 10
    assert [s for w, s in zip(table.word, table.sense) if s not in grammar.senses[w]] == []


def test_the_target_occurs_exactly_once(table):
    times = np.array([words.count(word) for words, word in zip(table.words, table.word)])
    assert table.sentence[times != 1].to_list() == []


def test_a_sentence_has_6_to_28_words(table):
    assert table.sentence[~table.words.map(len).between(6, 28)].to_list() == []


def test_no_two_sentences_share_five_words_in_a_row(table):
    holders = defaultdict(set)
    for i, words in enumerate(table.words):
        for five in zip(*(words[k:] for k in range(5))):
            holders[five].add(i)
    assert {five: sorted(who) for five, who in holders.items() if len(who) > 1} == {}


def test_no_test_sentence_resembles_a_train_sentence_of_its_sense(table):
    train = table[table.split == "train"].groupby("sense").content.apply(list)
    test = table[table.split == "test"]
    overlap = [max(len(a & b) / len(a | b) for b in train[s]) for a, s in zip(test.content, test.sense)]
    assert test.sentence[np.array(overlap) >= 0.4].to_list() == []
    texts = [" ".join(words) for words in table.words]
    assert len(set(texts)) == len(texts)


def test_the_figures_of_the_datasheet_are_true(table, grammar):
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    split = table.split.value_counts()
    row = f"| all | {len(grammar.words)} | {len(grammar.glosses)} | {split.train:,} | {split.test:,} |"
    assert row in page
    everyday = json.loads((FOLDER / "grammar.json").read_text(encoding="utf-8"))["noise"]
    assert f"has {len(grammar.vocabulary):,} words: {len(everyday)} everyday ones" in page
    code = next(block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "overlap" in block)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, {})
    assert re.search(r"```text\n(.*?)```", page, re.DOTALL)[1] == printed.getvalue()


# --- the grammar's probabilities ------------------------------------------------------------------


def test_the_quadrature_has_nodes_enough(grammar, monkeypatch, seed):
    rng = np.random.default_rng(seed)
    contexts = {word: grammar.draw(word, 50, rng)[2] for word in grammar.words}
    evidence = {word: grammar.log_evidence(word, c) for word, c in contexts.items()}
    monkeypatch.setattr(grammar_module, "NODES", 4 * grammar_module.NODES)
    finer = SenseGrammar()  # the quadrature is kept with the grammar
    for word, context in contexts.items():
        np.testing.assert_allclose(finer.log_evidence(word, context), evidence[word], rtol=0, atol=1e-10)


def test_contexts_of_one_word_have_mass_one(grammar):
    every = np.arange(len(grammar.vocabulary))[:, None]
    for word in grammar.words:
        assert np.exp(grammar.log_evidence(word, every)).sum() == pytest.approx(1, abs=1e-12)


def pairs(grammar: SenseGrammar) -> np.ndarray:
    return np.array(list(itertools.product(range(len(grammar.vocabulary)), repeat=2)))


@pytest.mark.parametrize("word", ["bank", "lamp"])
def test_all_pairs_of_a_tiny_grammar_have_mass_one(tiny, word):
    assert np.exp(tiny.log_evidence(word, pairs(tiny))).sum() == pytest.approx(1, abs=1e-12)


def emission_as_documented(sense: dict, c: str, t: float) -> float:
    """p(c∣s,t) of the tiny grammar, straight from the formulas of the datasheet."""
    radical_inverse = [1 / 2, 1 / 4, 3 / 4]  # of 1, 2, 3 in base 2
    weight = {
        cue: (rank + 1) ** -0.5 * np.exp(-((t - (third + radical_inverse[rank]) / 3) ** 2) / (2 * 0.18**2))
        for third, name in enumerate(("low", "both", "high"))
        for rank, cue in enumerate(sense[name])
    }
    entries = [cue for s in BANK + LAMP for name in ("low", "both", "high") for cue in s[name]]
    noise = 0.7 * (c in TINY["noise"]) / len(TINY["noise"]) + 0.3 * entries.count(c) / len(entries)
    return 0.6 * weight.get(c, 0) / sum(weight.values()) + 0.4 * noise


@pytest.mark.parametrize("context", [("reed", "mud"), ("boat", "boat"), ("flood", "day"), ("till", "bulb")])
def test_evidence_and_posterior_are_the_documented_integrals(tiny, context):
    def joint(sense):
        def integrand(t):
            likelihood = [emission_as_documented(sense, c, t) for c in context]
            return sense["frequency"] * stats.beta.pdf(t, 2, 2) * np.prod(likelihood)

        return integrate.quad(integrand, 0, 1, epsabs=1e-13)[0]

    expected = np.array([joint(sense) for sense in BANK])
    ids = [tiny.context_ids(list(context))]
    assert np.exp(tiny.log_evidence("bank", ids))[0] == pytest.approx(expected.sum(), rel=1e-9)
    np.testing.assert_allclose(tiny.sense_posterior("bank", ids)[0], expected / expected.sum(), rtol=1e-9)


def test_draws_of_a_tiny_grammar_have_the_computed_evidence_and_posterior(tiny, seed):
    senses, _, context = tiny.draw("bank", 200_000, np.random.default_rng(seed))
    every, size = pairs(tiny), len(tiny.vocabulary)
    cell = context[:, 0] * size + context[:, 1]  # every sentence has two context words at least
    drawn = np.bincount(cell, minlength=size**2)
    assert agree(drawn, np.exp(tiny.log_evidence("bank", every)), tests=1)

    posterior = tiny.sense_posterior("bank", every)[:, 1]
    enough = drawn * posterior * (1 - posterior) > 5
    money = np.bincount(cell, weights=senses == 1, minlength=size**2)
    z = (money - drawn * posterior)[enough] / np.sqrt(drawn * posterior * (1 - posterior))[enough]
    assert enough.sum() > 40 and np.abs(z).max() < stats.norm.isf(FALSE_ALARMS / 2 / enough.sum())


# --- what is drawn --------------------------------------------------------------------------------


def test_drawn_senses_lengths_and_words_have_the_stated_frequencies(grammar, seed):
    rng = np.random.default_rng(seed)
    every, tests = np.arange(len(grammar.vocabulary))[:, None], 3 * len(grammar.words)
    lengths = np.arange(grammar_module.SHORTEST, grammar_module.LONGEST + 1)
    for word in grammar.words:
        senses, _, context = grammar.draw(word, 4_000, rng)
        counts = np.bincount(senses, minlength=len(grammar.senses[word]))
        assert len(counts) == 1 or agree(counts, grammar.frequencies[word], tests), word
        m = ((context >= 0).sum(1)[:, None] == lengths).sum(0)
        assert agree(m, np.full(len(lengths), 1 / len(lengths)), tests), word
        # One word of each window: those of one window share their topic and are no independent draws.
        first = np.bincount(context[:, 0], minlength=len(every))
        assert agree(first, np.exp(grammar.log_evidence(word, every)), tests), word


def test_the_best_guess_is_right_most_of_the_time_but_not_always(grammar, seed):
    rng, scores = np.random.default_rng(seed), []
    for word in grammar.ambiguous:
        senses, _, context = grammar.draw(word, 1_000, rng)
        scores.append(adjusted_rand_score(senses, grammar.sense_posterior(word, context).argmax(1)))
    assert 0.93 < np.mean(scores) < 0.99


def test_an_unknown_context_word_is_named(grammar):
    with pytest.raises(KeyError, match="not a context word of the grammar: xylem-like"):
        grammar.context_ids(["river", "xylem-like"])


# --- what is trained on ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def corpus():
    return senses_corpus(per_word=50)


def test_the_marked_word_is_the_word_of_the_sense(corpus):
    marked = [corpus.vocabulary.words[i] for i in corpus.ids[corpus.offsets[:-1] + corpus.targets]]
    assert marked == [corpus.sense_names[s].split(".")[0] for s in corpus.senses]


def test_handwritten_train_sentences_are_in_the_corpus_and_test_sentences_are_not(corpus):
    texts = set(corpus.texts)
    assert texts >= set(handwritten("train").sentence)
    assert texts.isdisjoint(handwritten("test").sentence)
    natural = {text for text, mark in zip(corpus.texts, corpus.labels["natural"]) if mark}
    assert natural == set(handwritten("train").sentence)


def test_the_same_seed_gives_the_same_corpus(corpus):
    again, other = senses_corpus(per_word=50), senses_corpus(per_word=50, seed=1)
    np.testing.assert_array_equal(again.ids, corpus.ids)
    assert again.texts == corpus.texts and other.texts != corpus.texts


def test_the_vocabulary_holds_every_word_a_window_can_hold(grammar):  # some seconds: the corpus in full
    corpus = senses_corpus()
    assert len(corpus) == PER_WORD * len(grammar.words) + len(handwritten("train"))
    assert set(grammar.vocabulary) | set(grammar.words) <= set(corpus.vocabulary.words)


def test_an_unknown_split_is_named():
    with pytest.raises(ValueError, match="split is 'dev'; expected 'train', 'test' or None"):
        handwritten("dev")

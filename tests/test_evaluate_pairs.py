"""Similarity of words with and without context, and Word in Context."""

import json

import numpy as np
import pytest
from sense_files import sentences

from labkit.cli import main
from labkit.embeddings.peers import SenseInducer
from labkit.evaluate.pairs import best_threshold, contexts_alike, in_context, spearman, word_similarity
from labkit.text import Vocabulary
from labkit.text.occurrences import Occurrences, PairsInContext, WordPairs

VOCABULARY = Vocabulary(["bank", "shore", "loan", "cloud"], [4, 3, 2, 1])
VECTORS = np.array([[1.0, 0.0], [0.8, 0.6], [0.6, 0.8], [0.0, 2.0]])


def pairs(*rows) -> WordPairs:
    first, second, gold = zip(*rows)
    return WordPairs("little", np.array(first), np.array(second), np.array(gold))


def test_word_similarity_ranks_by_cosine_and_counts_what_is_known():
    rated = pairs(("bank", "shore", 9.0), ("bank", "loan", 5.0), ("bank", "cloud", 1.0), ("bank", "zebra", 7.0))
    assert word_similarity(VECTORS, VOCABULARY, rated) == {"spearman": pytest.approx(1), "known": 3, "pairs": 4}
    turned = pairs(("bank", "shore", 1.0), ("bank", "loan", 5.0), ("bank", "cloud", 9.0))
    assert word_similarity(VECTORS, VOCABULARY, turned)["spearman"] == pytest.approx(-1)


def test_too_few_known_pairs():
    with pytest.raises(ValueError, match="1 pairs of little have both words in the vocabulary; expected 3 at least"):
        word_similarity(VECTORS, VOCABULARY, pairs(("bank", "shore", 1.0), ("zebra", "shore", 2.0)))


def test_spearman_of_constant_scores_is_zero():
    assert spearman(np.ones(4), np.arange(4)) == 0


class Two(SenseInducer):
    """A word has two senses at right angles; "river" in the sentence calls for the first."""

    def __init__(self):
        pass

    def transform(self, word, occurrences):
        if word == "zebra":
            raise KeyError(word)
        return np.array([[1.0, 0.0] if "river" in tokens else [0.0, 1.0] for tokens in occurrences.sentences])

    def senses_in_context(self, word, occurrences):
        likely = self.transform(word, occurrences)
        return np.eye(2), 0.8 * likely + 0.2 * likely[:, ::-1]


@pytest.fixture
def in_sentences() -> PairsInContext:
    first = Occurrences.of(["bank", "bank", "zebra"], [["river", "bank"], ["river", "bank"], ["zebra"]], [1, 1, 0])
    second = Occurrences.of(["bank"] * 3, [["bank", "river"], ["bank", "loan"], ["bank"]], [0, 0, 0])
    return PairsInContext("little", first, second, np.array([9.0, 2.0, 5.0]))


def test_similarities_in_context_by_hand(in_sentences):
    table = in_context(Two(), in_sentences)
    assert table.index.tolist() == [0, 1]  # the word of the third pair never occurs
    assert table.avg_sim_c.tolist() == pytest.approx([0.8 * 0.8 + 0.2 * 0.2, 2 * 0.8 * 0.2])
    assert table.max_sim_c.tolist() == [1, 0] and table.contexts.tolist() == [1, 0] and table.gold.tolist() == [9, 2]


def test_contexts_alike(in_sentences):
    assert contexts_alike(Two(), in_sentences).tolist() == [1, 0, 0]


CASES = {
    "parted": ([0.1, 0.2, 0.8], [False, False, True], 0.5, 1.0),
    "all true": ([0.3, 0.5], [True, True], -0.7, 1.0),
    "all false": ([0.3, 0.5], [False, False], 1.5, 1.0),
    "one wrong": ([0.1, 0.2, 0.3, 0.4], [False, True, False, True], None, 0.75),
    "ties": ([0.5, 0.5, 0.5], [True, False, False], 1.5, 2 / 3),
}


@pytest.mark.parametrize("case", CASES)
def test_best_threshold(case):
    scores, gold, threshold, share = CASES[case]
    scores, gold = np.array(scores), np.array(gold)
    found, right = best_threshold(scores, gold)
    assert right == pytest.approx(share) == ((scores >= found) == gold).mean()
    assert threshold is None or found == pytest.approx(threshold)


def test_best_threshold_is_the_best_of_all():
    rng = np.random.default_rng(0)
    scores, gold = rng.normal(size=80).round(1), rng.random(80) < 0.4
    tried = [((scores >= t) == gold).mean() for t in np.linspace(-4, 4, 1601)]
    assert best_threshold(scores, gold)[1] == pytest.approx(max(tried))
    with pytest.raises(ValueError, match="got 0 scores and 0 gold labels"):
        best_threshold(np.array([]), np.array([]))


# --- the commands -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder as LABKIT_DATA names it, with a small WiC, SCWS and MEN, and a text."""
    folder = tmp_path_factory.mktemp("data")
    rows = {}
    for seed, split in enumerate(("train", "dev", "test")):
        lines, labels = sentences("bank", 60, seed)
        halves = [line.split("\t") for line in lines]
        same = ["T" if x == y else "F" for x, y in zip(labels[::2], labels[1::2])]
        rows[split] = list(zip(halves[::2], halves[1::2], same))
        (folder / "wic" / split).mkdir(parents=True)
        data = "".join(f"bank\tN\t{a[0]}-{b[0]}\t{a[1]}\t{b[1]}\n" for a, b, _ in rows[split])
        (folder / "wic" / split / f"{split}.data.txt").write_text(data)
        (folder / "wic" / split / f"{split}.gold.txt").write_text("".join(f"{gold}\n" for *_, gold in rows[split]))
    (folder / "wordsim").mkdir()
    (folder / "wordsim" / "EN-MEN-TR-3k.txt").write_text("river water 9\nriver loan 1\nmoney loan 8\nmud clerk 2\n")
    (folder / "scws").mkdir()
    marked = [
        (" ".join(s), r)
        for s, r in ((["a", "<b>", "bank", "</b>", "river", "mud"], 9), (["<b>", "bank", "</b>", "loan"], 1))
    ]
    (folder / "scws" / "ratings.txt").write_text(
        "".join(
            f"{i}\tbank\tn\tbank\tn\t{marked[0][0]}\t{text}\t{rating}\n" for i, (text, rating) in enumerate(marked * 2)
        )
    )
    lines, _ = sentences("bank", 300, 7)
    (folder / "text.txt").write_text("\n".join(line.split("\t")[1] for line in lines))
    return folder


def evaluate(data, monkeypatch, capsys, *arguments) -> dict:
    monkeypatch.setenv("LABKIT_DATA", str(data))
    status = main(["evaluate", *arguments, "--corpus", str(data / "text.txt"), "--steps", "25", "--json"])
    printed = capsys.readouterr()
    assert status == 0, printed.err
    return json.loads(printed.out)


def test_evaluate_wic(data, monkeypatch, capsys):
    """Two senses whose company has no word in common: at least 80 % of 30 pairs, where the commoner has about half."""
    report = evaluate(data, monkeypatch, capsys, "wic")["wic"]
    assert report["accuracy"] >= 0.8 > report["always_the_commoner"] and report["pairs"] == 30
    assert 0.5 <= report["accuracy_where_chosen"] <= 1


def test_evaluate_similarity(data, monkeypatch, capsys):
    report = evaluate(data, monkeypatch, capsys, "similarity", "--datasets", "men", "scws")
    assert report["men"]["known"] == report["men"]["pairs"] == 4 and report["men"]["spearman"] > 0.5
    assert {"avg_sim_c", "max_sim_c", "contexts"} <= set(report["scws"]) and report["scws"]["known"] == 4
    assert report["scws"]["contexts"] > 0.5


def test_similarity_needs_a_text(data, monkeypatch, capsys):
    monkeypatch.setenv("LABKIT_DATA", str(data))
    assert main(["evaluate", "similarity", "--datasets", "men"]) == 1
    assert "there is no text to learn from; expected --corpus" in capsys.readouterr().err

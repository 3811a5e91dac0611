"""Context means: the weights by hand, the clusters on a set that is easy, and what is refused."""

import numpy as np
import pytest
from sense_files import SIDES, sentences

from labkit.embeddings import NotFittedError, PointEmbedding
from labkit.embeddings.peers import Around, ContextMeans, SenseInducer, Trivial, at_scale, by_silhouette
from labkit.text import Corpus, Vocabulary
from labkit.text.occurrences import Occurrences

VOCABULARY = Vocabulary(["the", "bank", "river", "loan"], [90, 5, 4, 1])


def occurrences(n: int = 120, word: str = "bank", seed: int = 0) -> Occurrences:
    lines, labels = sentences(word, n, seed)
    rows = [line.split("\t") for line in lines]
    return Occurrences.of(word, [text.split() for _, text in rows], [int(place) for place, _ in rows], labels)


@pytest.fixture(scope="module")
def text() -> Corpus:
    seen = [" ".join(tokens) for tokens in occurrences(400, seed=9).sentences]
    return Corpus.from_sentences(seen, min_count=1)


@pytest.fixture(scope="module")
def skip_gram(text) -> PointEmbedding:
    return PointEmbedding(vector_dim=16, steps=150, batch_size=128, negatives=32).fit(text, progress=False)


# --- weights ----------------------------------------------------------------------------------------------------------


def test_the_words_around_with_their_distances():
    seen = Occurrences.of("bank", [["the", "river", "Bank", ",", "unheard", "loan", "bank"]], [2])
    around = Around.of(seen, VOCABULARY)
    # to the left river 1, the 2; to the right "unheard" holds its place though it is unknown, "bank" is the target
    assert around.ids.tolist() == [2, 0, 3] and around.distance.tolist() == [1, 2, 2] and around.n == 1
    assert Around.of(seen, VOCABULARY, window=1).ids.tolist() == [2]


def test_an_occurrence_with_nothing_around_is_zero():
    around = Around.of(Occurrences.of("bank", [["bank"], ["river", "bank"]], [0, 1]), VOCABULARY)
    means = around.means(np.eye(4), np.ones(1))
    assert means.tolist() == [[0, 0, 0, 0], [0, 0, 1, 0]]


def test_weights_by_hand():
    seen = Occurrences.of("bank", [["river", "bank"], ["the", "river", "bank"], ["the", "bank", "loan"]], [1, 2, 1])
    around = Around.of(seen, VOCABULARY)
    order = [VOCABULARY.word(int(i)) for i in around.ids]
    assert order == ["river", "river", "the", "the", "loan"]
    sif = around.smooth_inverse_frequency(VOCABULARY)
    assert sif == pytest.approx([1e-4 / (1e-4 + f) for f in (0.04, 0.04, 0.9, 0.9, 0.01)])
    river = np.log(2 / (5 * 0.04 + 0.5)) * 2 / 4  # k = 2 sentences, n = 5 words
    assert around.information(VOCABULARY) == pytest.approx([river, river, 0, 0, 0])  # "loan" is seen once
    assert around.nearness() == pytest.approx([1 / 1.1, 1 / 1.1, 1 / 1.2, 1 / 1.1, 1 / 1.1])


def test_weighted_means():
    around = Around.of(Occurrences.of("bank", [["river", "bank", "loan"]], [1]), VOCABULARY)
    vectors = np.array([[0, 0], [9, 9], [1, 0], [0, 1]])
    assert around.means(vectors, np.array([3.0, 4.0])) == pytest.approx(np.array([[0.6, 0.8]]))


def test_around_in_a_corpus():
    corpus = Corpus.from_sentences(["a river bank", "the bank a bank", "no such"], min_count=1)
    around = Around.in_corpus(corpus, "bank", at_most=10)
    words = [corpus.vocabulary.word(int(i)) for i in around.ids]
    assert list(zip(around.row.tolist(), words, around.distance.tolist())) == [
        (0, "a", 2), (0, "river", 1), (1, "the", 1), (1, "a", 1), (2, "the", 3), (2, "a", 1),
    ]  # fmt: skip
    assert Around.in_corpus(corpus, "bank", at_most=2).n == 2
    near = Around.in_corpus(corpus, "bank", at_most=10, window=1)
    assert near.distance.tolist() == [1, 1, 1, 1]
    with pytest.raises(KeyError, match="'seal' is not in the vocabulary"):
        Around.in_corpus(corpus, "seal", at_most=10)


# --- systems ----------------------------------------------------------------------------------------------------------


SYSTEMS = {
    "sif, given": lambda e: ContextMeans(e),
    "informed, given": lambda e: ContextMeans(e, weights="informed"),
    "sif, silhouette": lambda e: ContextMeans(e, number="silhouette"),
    "informed, silhouette": lambda e: ContextMeans(e, weights="informed", number="silhouette"),
}


@pytest.mark.parametrize("name", SYSTEMS)
def test_two_senses_with_different_company_are_told_apart(name, skip_gram, text):
    """Four cues of twelve a sentence: at least 95 % of 120 occurrences lie with their own."""
    system = SYSTEMS[name](skip_gram).fit(text)
    seen = occurrences()
    labels = system.assign("bank", seen, 2 if system.number_given else None)
    share = np.mean(labels == (seen.senses == "1"))
    assert max(share, 1 - share) >= 0.95 and len(set(labels)) == 2
    assert (labels == system.assign("bank", seen.unlabelled(), 2)).all()  # labels are not looked at


def test_parameters_and_names(skip_gram):
    system = ContextMeans(skip_gram, weights="informed")
    assert isinstance(system, SenseInducer) and system.number_given
    assert system.get_params() == {
        "embedding": skip_gram, "weights": "informed", "number": "given", "window": None, "seed": 0,
    }  # fmt: skip
    assert system.name == "skip-gram, informed, k given"
    assert not system.set_params(number="silhouette").number_given


def test_what_is_refused(skip_gram, text):
    with pytest.raises(NotFittedError, match="this ContextMeans is not fitted; call fit"):
        ContextMeans(skip_gram).assign("bank", occurrences(3), 2)
    with pytest.raises(ValueError, match="weights is 'tfidf'; expected one of 'sif', 'informed'"):
        ContextMeans(skip_gram, weights="tfidf").fit(text)
    with pytest.raises(ValueError, match="number is 'bic'; expected one of 'given', 'silhouette'"):
        ContextMeans(skip_gram, number="bic").fit(text)
    system = ContextMeans(skip_gram).fit(text)
    with pytest.raises(ValueError, match="n_senses is missing"):
        system.assign("bank", occurrences(3))
    with pytest.raises(KeyError, match="'zebra' is not in the vocabulary"):
        system.assign("zebra", occurrences(3), 2)


def test_few_different_points_make_few_clusters():
    same = np.ones((5, 3))
    assert set(by_silhouette(same)) == {0} and len(set(by_silhouette(np.concatenate([same, -same])))) == 1
    assert by_silhouette(np.empty((0, 3))).shape == (0,)
    blobs = np.random.default_rng(0).normal(size=(90, 2)) * 0.1 + np.repeat([[0, 0], [5, 0], [0, 5]], 30, axis=0)
    assert len(set(by_silhouette(blobs))) == 3


def test_senses_in_context(skip_gram, text):
    system = ContextMeans(skip_gram, number="silhouette").fit(text)
    seen = Occurrences.of("bank", [["river", "mud", "fish", "bank"], ["loan", "money", "bank", "cash"]], [3, 2])
    vectors, probabilities = system.senses_in_context("bank", seen)
    assert probabilities.shape == (2, len(vectors)) and probabilities.sum(1) == pytest.approx([1, 1])
    assert probabilities[0].argmax() != probabilities[1].argmax()


def test_trivial_clusterings(text):
    seen = occurrences(50)
    made = {kind: Trivial(kind).fit(text).assign("bank", seen, 3) for kind in Trivial.KINDS}
    assert set(made["all in one"]) == {0} and len(set(made["one per occurrence"])) == 50
    assert set(made["random"]) == {0, 1, 2} and (made["random"] == Trivial("random").assign("bank", seen, 3)).all()
    assert [Trivial(kind).number_given for kind in Trivial.KINDS] == [False, False, True]
    with pytest.raises(ValueError, match="kind is 'worst'; expected one of 'all in one'"):
        Trivial("worst").fit(text)


def test_the_skip_gram_of_the_tables(text):
    embedding = at_scale(text, seed=3)
    assert embedding.seed == 3 and embedding.steps >= 1000 and embedding.get_params()["thin_out"] == 1e-4


def test_vectors_of_all_words(skip_gram):
    table = skip_gram.vectors()
    cues = [skip_gram.vocabulary_[word] for side in SIDES.values() for word in side]
    unit = table[cues] / np.linalg.norm(table[cues], axis=1, keepdims=True)
    cosine = unit @ unit.T
    assert table.shape == (len(skip_gram.vocabulary_), 16)
    assert cosine[:12, :12].mean() > cosine[:12, 12:].mean() + 0.2  # words of one sense keep company


def test_a_text_with_marked_words_has_vectors_around_them(text):
    """Words that were never a centre have no vector of their own: their output vectors stand for it."""
    places = [text.words(i).index("bank") for i in range(len(text))]
    marked = Corpus.from_sentences([" ".join(text.words(i)) for i in range(len(text))], targets=places, min_count=1)
    skip_gram = PointEmbedding(vector_dim=16, steps=60, batch_size=128, negatives=32).fit(marked, progress=False)
    vectors = ContextMeans(skip_gram).fit(marked).transform("bank", occurrences())
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1) and len(np.unique(vectors.round(6), axis=0)) > 50

"""Words and ids."""

import json
from collections import Counter

import numpy as np
import pytest

from labkit.text import Vocabulary


@pytest.fixture
def vocabulary():
    return Vocabulary.from_counts(Counter(bank=4, bark=4, the=10, river=2, grassy=1), min_count=2)


def test_ids_go_by_frequency_then_by_alphabet(vocabulary):
    assert vocabulary.words == ["the", "bank", "bark", "river"]
    assert [vocabulary[word] for word in vocabulary] == [0, 1, 2, 3]
    assert [vocabulary.word(i) for i in range(len(vocabulary))] == vocabulary.words
    assert "bank" in vocabulary and "grassy" not in vocabulary and 3 not in vocabulary
    assert vocabulary.frequency("bank") == 0.2
    np.testing.assert_allclose(vocabulary.frequencies.sum(), 1)


def test_max_size_keeps_the_most_frequent():
    assert Vocabulary.from_counts(Counter(a=3, b=2, c=1), min_count=1, max_size=2).words == ["a", "b"]


def test_encode(vocabulary):
    ids = vocabulary.encode(["the", "mossy", "bank"])
    assert ids.tolist() == [0, 1] and ids.dtype == np.int32
    with pytest.raises(
        KeyError, match="'mossy' is not in the vocabulary of 4 words; nearest: none is similar"
    ):
        vocabulary.encode(["the", "mossy"], unknown="error")


def test_unknown_word_names_the_nearest(vocabulary):
    with pytest.raises(KeyError) as caught:
        vocabulary["bnak"]
    assert str(caught.value) == "'bnak' is not in the vocabulary of 4 words; nearest: 'bank', 'bark'"
    assert vocabulary.nearest("rivers") == ["river"]


def test_json(vocabulary):
    assert Vocabulary.from_dict(json.loads(json.dumps(vocabulary.to_dict()))) == vocabulary


ERRORS = {
    "lengths": (lambda v: Vocabulary(["a"], [1, 2]), "got 1 words and 2 counts; expected as many of each"),
    "twice": (lambda v: Vocabulary(["a", "b", "a"], [1, 1, 1]), "the word 'a' is given twice"),
    "count": (lambda v: Vocabulary(["a"], [0]), "the count of 'a' is 0; expected at least 1"),
    "id": (lambda v: v.word(4), "there is no word with id 4; expected 0 to 3"),
    "unknown": (lambda v: v.encode([], unknown="drop"), "unknown is 'drop'; expected 'skip' or 'error'"),
    "text": (lambda v: v.encode("the bank"), "got the text 'the bank'; expected a list of words"),
    "min_count": (lambda v: Vocabulary.from_counts({}, min_count=0), "min_count is 0; expected at least 1"),
    "max_size": (lambda v: Vocabulary.from_counts({}, max_size=1), "max_size is 1; expected at least 2"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name, vocabulary):
    call, message = ERRORS[name]
    with pytest.raises(ValueError, match=message):
        call(vocabulary)

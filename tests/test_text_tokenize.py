"""Text to words."""

import json
import unicodedata

import pytest

from labkit.text import Tokenizer

CASES = {
    "case": ({}, "The Bank", ["the", "bank"]),
    "case kept": ({"lowercase": False}, "The Bank", ["The", "Bank"]),
    "apostrophes": ({}, "'It doesn’t', she said: o'clock'", ["it", "doesn't", "she", "said", "o'clock"]),
    "no apostrophes": ({"apostrophes": False}, "it doesn't", ["it", "doesn", "t"]),
    "hyphens cut": ({}, "a well-known bank", ["a", "well", "known", "bank"]),
    "hyphens kept": ({"hyphens": True}, "-a well-known bank-", ["a", "well-known", "bank"]),
    "no stumps of numbers": ({}, "2nd mp3 covid-19 x2y 7 1,000", ["covid"]),
    "numbers": ({"numbers": True}, "2nd mp3 3.5 1,000.", ["2nd", "mp3", "3.5", "1,000"]),
    "underscores": ({}, "snake_case _it_", ["snake", "case", "it"]),
    "accents": ({}, "Cafe\u0301 NAÏVE", ["café", "naïve"]),
    "Greek": ({}, "Η τράπεζα", ["η", "τράπεζα"]),
    "vowel signs": ({}, "हिन्दी में", ["हिन्दी", "में"]),
    "own pattern": ({"pattern": r"\S+"}, "the bank .", ["the", "bank", "."]),
    "own pattern with a group": ({"pattern": r"(b)\w+"}, "the bank", ["bank"]),
    "nothing": ({}, " … ", []),
}


@pytest.mark.parametrize("name", CASES)
def test_words(name):
    settings, text, words = CASES[name]
    assert Tokenizer(**settings)(text) == words


@pytest.mark.parametrize("name", CASES)
def test_settings_survive_json(name):
    tokenizer = Tokenizer(**CASES[name][0])
    assert Tokenizer.from_dict(json.loads(json.dumps(tokenizer.to_dict()))) == tokenizer


def test_words_are_in_normal_form_after_lower_casing():
    (word,) = Tokenizer()("İZMİR")
    assert unicodedata.is_normalized("NFC", word)


def cut_at_bars(text):
    return text.split("|")


def test_a_function_is_named_but_not_saved():
    tokenizer = Tokenizer(function=cut_at_bars)
    assert tokenizer("The|Bank") == ["the", "bank"]
    settings = json.loads(json.dumps(tokenizer.to_dict()))
    assert Tokenizer.from_dict(settings, function=cut_at_bars) == tokenizer
    with pytest.warns(UserWarning, match="made with the function 'cut_at_bars', which is not saved"):
        loaded = Tokenizer.from_dict(settings)
    assert loaded.to_dict() == settings
    with pytest.raises(ValueError, match="needs the function 'cut_at_bars', which is not saved; pass it"):
        loaded("the|bank")


ERRORS = {
    "normal form": (lambda: Tokenizer(normalize="nfc"), "normalize is 'nfc'; expected 'NFC', 'NFKC'"),
    "pattern": (lambda: Tokenizer(pattern="(a"), r"pattern '\(a' is not a regular expression"),
    "not a text": (lambda: Tokenizer()(3), r"expected a text \(str\) to cut into words, got int: 3"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    call, message = ERRORS[name]
    with pytest.raises(ValueError, match=message):
        call()

"""Readers of sense-labelled sets, on small sets written here."""

from pathlib import Path

import numpy as np
import pytest
from sense_files import coarse_set, sentences, write

from labkit.text.occurrences import Occurrences, PairsInContext
from labkit.text.sense_sets import likeliest_form, read_coarsewsd, read_keys, read_semeval2010, read_semeval2013

# --- occurrences ------------------------------------------------------------------------------------------------------


@pytest.fixture
def banks() -> Occurrences:
    return Occurrences.of("bank", [["bank", "by", "bank"], ["the", "Bank", "lends"]], [2, 1], ["side", "firm"])


def test_the_marked_token_counts_and_not_its_repetition(banks):
    assert (banks.left(0), banks.token(0), banks.right(0)) == (["bank", "by"], "bank", [])
    assert (banks.left(1), banks.token(1), banks.right(1)) == (["the"], "Bank", ["lends"])


def test_select_and_join_keep_columns_together(banks):
    second = banks.select([1])
    assert (second.token(0), second.senses.tolist(), len(second)) == ("Bank", ["firm"], 1)
    both = second.join(banks)
    assert both.senses is None and both.places.tolist() == [1, 2, 1] and banks.unlabelled().senses is None


def test_minority_share():
    assert Occurrences.of("a", [["a"]] * 4, [0] * 4, ["x", "y", "x", "z"]).minority_share == 0.5


@pytest.mark.parametrize(
    "places, senses, message",
    [
        (
            [2, 3],
            None,
            "sentence 1: the target is token 3, but the sentence has 3 tokens; expected a number from 0 to 2",
        ),
        ([-1, 0], None, "sentence 0: the target is token -1"),
        ([0], None, "got 2 sentences and 1 places; expected as many of each"),
        ([0, 1], ["one"], "got 2 sentences and 1 senses; expected as many of each"),
    ],
)
def test_columns_that_do_not_fit(places, senses, message):
    with pytest.raises(ValueError, match=message):
        Occurrences.of("bank", [["a", "b", "c"]] * 2, places, senses)


def test_pairs_of_different_length(banks):
    with pytest.raises(ValueError, match="x has 2 and 2 occurrences and 1 gold values; expected as many of each"):
        PairsInContext("x", banks, banks, np.array([1.0]))


# --- the layout of CoarseWSD-20 ---------------------------------------------------------------------------------------


def test_coarsewsd(tmp_path):
    found = read_coarsewsd(coarse_set(tmp_path / "set"))
    assert found.words == ["bank", "bill"] and found.name == "set"
    assert [len(found.test["bank"]), len(found.train["bill"])] == [40, 80]
    assert found.test["bank"].sense_names == ["bank_money", "bank_water"]
    assert all(found.test["bill"].token(i) == "bill" for i in range(40))
    assert len(list(found.sentences())) == 240


def test_coarsewsd_without_train_and_names(tmp_path):
    write(tmp_path / "bank", *sentences("bank", 5))
    found = read_coarsewsd(tmp_path)
    assert found.train == {} and set(found.test["bank"].sense_names) <= {"0", "1"}


@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["unix", "windows"])
def test_line_ends_and_odd_blanks(end, tmp_path):
    lines = ["1\tthe bank of 4\u00a01/2 rooms\u2028 \x85", "0\tbank", ""]
    write(tmp_path / "bank", lines, ["0", "1", ""], end=end)
    test = read_coarsewsd(tmp_path).test["bank"]
    assert [test.token(0), test.token(1)] == ["bank", "bank"] and test.senses.tolist() == ["0", "1"]


BROKEN = {
    "target outside": (["1\tthe bank", "5\tthe bank"], ["0", "1"], r"line 2: the target is token 5, .* has 2 tokens"),
    "no tab": (
        ["1\tthe bank", "the bank"],
        ["0", "1"],
        r"test\.data\.txt, line 2: got 'the bank'; expected the number",
    ),
    "no number": (["x\tthe bank"], ["0"], r"line 1: got 'x\\tthe bank'; expected the number of the target token"),
    "negative": (["-1\tthe bank"], ["0"], "line 1: got "),
    "no sentence": (["0\t"], ["0"], "line 1: the target is token 0, but the sentence has 0 tokens"),
    "fewer labels": (["1\tthe bank", "0\tbank"], ["0"], r"2 sentences and test\.gold\.txt 1 labels; expected as many"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_word_is_an_error_that_says_where(case, tmp_path):
    lines, labels, message = BROKEN[case]
    write(tmp_path / "bank", lines, labels)
    with pytest.raises(ValueError, match=message) as caught:
        read_coarsewsd(tmp_path)
    assert str(tmp_path / "bank" / "test.data.txt") in str(caught.value)


def test_a_label_without_a_name(tmp_path):
    write(tmp_path / "bank", ["1\tthe bank"], ["7"])
    (tmp_path / "bank" / "classes_map.txt").write_text('{"0": "side"}')
    with pytest.raises(ValueError, match=r"classes_map\.txt has no name for the label '7'; it has '0'"):
        read_coarsewsd(tmp_path)


def test_folders_that_are_no_set(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder .*nowhere"):
        read_coarsewsd(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"has no <word>/test\.data\.txt"):
        read_coarsewsd(tmp_path)
    write(tmp_path / "bank", ["1\tthe bank"], ["0"])
    (tmp_path / "bank" / "test.gold.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"there is no file .*test\.gold\.txt"):
        read_coarsewsd(tmp_path)
    (tmp_path / "bank" / "test.gold.txt").write_bytes(b"\xff")
    with pytest.raises(ValueError, match=r"test\.gold\.txt: byte 0 is not UTF-8"):
        read_coarsewsd(tmp_path)


def test_select_words(tmp_path):
    found = read_coarsewsd(coarse_set(tmp_path / "set"))
    assert found.select(["bill"]).words == ["bill"]
    with pytest.raises(KeyError, match="set has no word 'seal'; it has bank, bill"):
        found.select(["seal"])


# --- SemEval ----------------------------------------------------------------------------------------------------------


def semeval2010(folder: Path) -> Path:
    test, train = folder / "test_data" / "nouns", folder / "training_data" / "verbs"
    keys = folder / "evaluation" / "unsup_eval" / "keys"
    for place in (test, train, keys):
        place.mkdir(parents=True)
    (test / "bank.n.xml").write_text(
        "<bank.n.test>"
        "<bank.n.1>Before . <TargetSentence>Two banks lend .</TargetSentence> After .</bank.n.1>"
        "<bank.n.2><TargetSentence>The bank was wet .</TargetSentence></bank.n.2>"
        "<bank.n.3><TargetSentence>No key for this bank .</TargetSentence></bank.n.3>"
        "</bank.n.test>"
    )
    (train / "stop.v.xml").write_text("<stop.v.train><stop.v.1>He shops . He stopped .</stop.v.1></stop.v.train>")
    (keys / "all.key").write_text("bank.n bank.n.1 bank.1/0.2 bank.2/0.8\nbank.n bank.n.2 bank.1\n")
    return folder


def test_semeval2010(tmp_path):
    found = read_semeval2010(semeval2010(tmp_path))
    bank, stop = found.test["bank.n"], found.train["stop.v"]
    assert [bank.token(0), bank.token(1)] == ["banks", "bank"] and bank.left(0) == ["Before", ".", "Two"]
    assert bank.senses.tolist() == ["bank.2", "bank.1"] and stop.token(0) == "stopped" and stop.senses is None
    assert bank.words[0] == "bank"


def semeval2013(folder: Path) -> Path:
    contexts, keys = folder / "contexts" / "senseval2-format", folder / "keys" / "gold"
    contexts.mkdir(parents=True)
    keys.mkdir(parents=True)
    (contexts / "test.senseval2.xml").write_text(
        '<corpus lang="english"><lexelt item="add.v">'
        '<instance id="add.v.1"><context>They <head>added</head> salt .</context></instance>'
        '<instance id="add.v.2"><context><head>Add</head> two .</context></instance>'
        '<instance id="add.v.3"><context>Not <head>added</head></context></instance>'
        "</lexelt></corpus>"
    )
    (keys / "all.key").write_text("add.v add.v.1 add%2:32:01::/4 add%2:30:00::/2\nadd.v add.v.2 add%2:30:00::/5\n")
    return folder


def test_semeval2013(tmp_path):
    found = read_semeval2013(semeval2013(tmp_path))
    add = found.test["add.v"]
    assert found.train == {} and [add.token(0), add.token(1)] == ["added", "Add"] and add.right(0) == ["salt", "."]
    assert add.senses.tolist() == ["add%2:32:01::", "add%2:30:00::"] and add.words[0] == "add"


def test_semeval_errors(tmp_path):
    folder = semeval2013(tmp_path)
    path = folder / "contexts" / "senseval2-format" / "test.senseval2.xml"
    path.write_text('<c><lexelt item="a.v"><instance id="a.v.1"><context>no head</context></instance></lexelt></c>')
    with pytest.raises(ValueError, match="the instance 'a.v.1' marks no word; expected <head>"):
        read_semeval2013(folder)
    path.write_text("<c>")
    with pytest.raises(ValueError, match=r"test\.senseval2\.xml is not XML"):
        read_semeval2013(folder)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"has no contexts/senseval2-format/\*\.xml"):
        read_semeval2013(folder)


def test_keys(tmp_path):
    path = tmp_path / "all.key"
    path.write_text("a.n a.n.1 s1/1 s2/1\n")
    assert read_keys(path) == {"a.n.1": "s1"}  # of equals the first
    path.write_text("a.n a.n.1 s1\na.n a.n.2\n")
    with pytest.raises(ValueError, match=r"all\.key, line 2: got 'a.n a.n.2'; expected a word, an instance"):
        read_keys(path)
    path.write_text("a.n a.n.1 s1/much\n")
    with pytest.raises(ValueError, match=r"line 1: got 's1/much'; expected sense/weight"):
        read_keys(path)


@pytest.mark.parametrize(
    "word, sentence, form",
    [
        ("lie", "He lay there lying", "lay"),
        ("happen", "It Happened to happens", "happens"),
        ("try", "She tries", "tries"),
    ],
)
def test_forms_of_a_headword(word, sentence, form):
    tokens = sentence.split()
    assert tokens[likeliest_form(word, tokens)] == form

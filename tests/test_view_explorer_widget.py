"""The widget's messages, as its page sends and gets them."""

import json
import re
import threading
from types import SimpleNamespace

import numpy as np
import pytest

import labkit as lk
from labkit.view import explore
from labkit.view.explorer.session import Question, Session
from labkit.view.explorer.widget import Explorer, front_end
from tests.test_view_explorer import array
from tests.test_view_explorer_fields import MONEY, two_hills

ATTACK = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def quickstart():
    return lk.load("quickstart")


@pytest.fixture
def asked(quickstart, monkeypatch):
    """ask(...) -> (answer, bytes) of an explorer, as its page would get them."""
    explorer, heard = explore(quickstart, resolution=60), []
    monkeypatch.setattr(explorer, "send", lambda content, buffers=None: heard.append((content, buffers)))

    def ask(ask, **fields):
        explorer._receive(explorer, {"ask": ask, "view": "v", "seq": len(heard), **fields}, [])
        answer, buffers = [message for message in heard if "seq" in message[0]][-1]
        assert answer["view"] == "v"
        json.dumps(answer, allow_nan=False)
        return answer, b"".join(buffers or [])

    return SimpleNamespace(ask=ask, explorer=explorer, heard=heard)


def test_the_script_is_small_and_reads_no_markup():
    script = front_end()
    assert len(script.encode()) < 100_000
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b|DOMParser|new Function", script)
    assert not re.search(r"https?://(?!www\.w3\.org/)|@import|\bimport\b.*from", script + Explorer._css)


def test_the_first_picture_comes_with_the_widget(quickstart):
    explorer = explore(quickstart)
    state = explorer.get_state()
    assert explorer.first["panels"][0]["word"] == "bank" and len(explorer.first_bytes) > 1000
    sent = sum(len(value) if isinstance(value, (str, bytes)) else len(json.dumps(value)) for value in state.values())
    assert sent < 300_000


def test_the_first_picture_is_not_kept(asked):
    assert asked.explorer.first and asked.explorer.first_bytes
    asked.ask("picture", question={"word": "bank"})
    assert (asked.explorer.first, asked.explorer.first_bytes) == ({}, b"")


def test_details_are_looked_for_while_pictures_go_on(asked):
    """A picture in detail has to wait for its modes, a plain one does not, and the page is told when they are there."""
    asked.explorer.session.models[0].train(False)  # forgets densities
    began = asked.ask("picture", question={"word": "crane"}, detail=1)[0]
    assert began.get("wait") and "panels" in asked.ask("picture", question={"word": "crane"})[0]
    asked.explorer._background.finish()
    assert {"answer": "found"} in [message for message, _ in asked.heard]


def test_pictures_are_asked_for_by_message(asked):
    asked.explorer.session.known(0, "spring").look(1)
    answer, block = asked.ask("picture", question={"word": "spring", "samples": 10}, detail=1)
    assert answer["answer"] == "picture" and answer["panels"][0]["word"] == "spring"
    assert array(answer["panels"][0]["samples"], block).shape == (10, 2)


@pytest.mark.parametrize(
    "message, text",
    [
        ({"ask": "picture", "question": {"word": "bnak"}}, "'bnak' is not in the vocabulary"),
        ({"ask": "nonsense"}, "asked 'nonsense'; expected one of picture, search"),
    ],
)
def test_what_goes_wrong_is_told_on_the_page(asked, message, text):
    answer, _ = asked.ask(**message)
    assert answer["answer"] == "error" and text in answer["text"] and "\\" not in answer["text"]


def test_search_completes_and_finds_nearest_spellings(asked):
    assert [entry["word"] for entry in asked.ask("search", text="ban")[0]["words"]][0] == "bank"
    near = asked.ask("search", text="sprng")[0]
    assert near["nearest"] and near["words"][0]["word"] == "spring"
    everything = asked.ask("search", text="")[0]
    counts = [entry["count"] for entry in everything["words"]]
    assert counts == sorted(counts, reverse=True) and everything["total"] == 64


def test_modes_are_counted_in_the_background_and_the_page_hears_of_it(asked, monkeypatch):
    monkeypatch.setattr("labkit.view.explorer.widget.TELL", 0.0)
    words = asked.explorer._words(0)
    words.entries = {word: words.entries[word] for word in ("tuesday", "bank", "spring")}
    assert set(asked.ask("rank", on=True)[0]) == {"answer", "view", "seq", "took"}
    asked.explorer._background.finish()
    told = [message for message, _ in asked.heard if message["answer"] == "ranked"]
    assert [message["ranked"] for message in told] == [1, 2, 3, 3] and told[0]["total"] == 3
    listed = asked.ask("search", text="", sort="ambiguous")[0]
    assert listed["words"][0]["word"] == "spring" and listed["words"][0]["modes"] == 3 and listed["ranked"] == 3
    assert all(np.isfinite(entry["entropy"]) for entry in listed["words"])


def test_counting_ends_when_the_list_is_closed(asked, monkeypatch):
    words, begun = asked.explorer._words(0), threading.Event()

    def endless():
        while True:
            begun.set()
            yield {}

    monkeypatch.setattr(words, "rank", endless)
    asked.ask("rank", on=True)
    assert begun.wait(10)
    asked.ask("rank", on=False)
    asked.explorer._background.finish()


def test_python_moves_the_picture_and_wrong_words_are_refused(quickstart):
    explorer = explore(quickstart, words=["spring"], context=MONEY)
    assert (explorer.word, explorer.context) == ("spring", MONEY)
    with pytest.raises(KeyError, match="sprung"):
        explore(quickstart, words=["sprung"])
    with pytest.raises(ValueError, match="at least one model"):
        explore([])
    with pytest.raises(lk.NotFittedError):
        explore(lk.StochasticEmbedding())


def test_the_state_holds_no_sentence_of_the_corpus(asked):
    asked.explorer.session.known(0, "bank").look(1)
    asked.ask("picture", question={"word": "bank"}, detail=1)
    state = json.dumps({k: v for k, v in asked.explorer.get_state().items() if isinstance(v, dict | list | str)})
    assert "opened an account" not in state


def test_markup_in_a_word_travels_as_text(quickstart):
    density = two_hills(2)
    session = Session([{ATTACK: density}], [ATTACK], 40)
    panel = session.picture(Question(ATTACK), detail=1)[0]["panels"][0]
    assert panel["word"] == ATTACK and ATTACK in panel["said"]


def test_a_neighbour_map_is_made_in_the_background_and_warns(asked, monkeypatch):
    """Not by UMAP itself, which test_view_explorer_fields asks; the page gets the warning and no axes."""
    monkeypatch.setattr("labkit.view.explorer.session.neighbour_map", lambda points: points[:, :2])
    question = {"word": "bank", "plane": "umap"}
    assert "neighbour map" in asked.ask("picture", question=question)[0]["wait"]
    asked.explorer._background.finish()
    answer, block = asked.ask("picture", question=question)
    (panel,) = answer["panels"]
    assert panel["kind"] == "cloud" and array(panel["samples"], block).shape == (800, 2)
    assert answer["remark"].startswith("A neighbour map, not a density: areas, gaps and distances in it mean nothing")
    assert panel["said"].startswith("Neighbour map. ") and "outline" not in panel and "cross" not in panel

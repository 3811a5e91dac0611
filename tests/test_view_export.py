import base64
import hashlib
import json
import re

import numpy as np
import pandas as pd
import pytest

import labkit as lk
from labkit.view import density_grid, export_html
from labkit.view.explorer.answers import TYPES
from labkit.view.explorer.widget import front_end
from labkit.view.wording import explanation, headline
from tests.test_view_fakes import PLACES, SENSES, FakeDensity, FakeModel, fake_models

ATTACK = "<script>alert(1)</script>"
CONTEXTS = {
    "bank": ["we sat on the grassy bank of the river", "she asked the bank for a loan"],
    "spring": ["the spring of the watch was wound too tight"],
}


class HostileModel:
    """A corpus that contains markup as a word, in sentences and among the neighbours."""

    name = f"Stochastic{ATTACK}"

    def __getitem__(self, word):
        density = FakeDensity(word, *PLACES["bank"])
        modes = density.modes()
        for mode in modes:
            object.__setattr__(mode, "words", [ATTACK, "a</script>", "<!--", "b&c"])
            object.__setattr__(mode, "sentences", [f"{ATTACK} said {word}"])
        density.modes = lambda: modes
        density.given = lambda sentence: density
        return density


def data_of(text):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)[1])


def script_of(text):
    return re.search(r'<script type="module">(.*?)</script>', text, re.S)[1]


def answer(data, word, context=""):
    found = data["answers"][json.dumps([word, context], ensure_ascii=False, separators=(",", ":"))]
    return found["header"]["panels"], base64.b64decode(found["bytes"])


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    model, *baselines = fake_models()
    table = pd.DataFrame({"model": ["Stochastic", "Point"], "bound": [-37.123, -41.0], "modes": [2, 0]})
    table.loc[1, "bound"] = float("nan")
    table.attrs["caption"] = "Held-out windows"
    path = tmp_path_factory.mktemp("page") / "bank.html"
    assert export_html(model, list(PLACES), path, CONTEXTS, baselines, table) == path
    return path.read_text("utf-8")


def test_it_stands_alone(page):
    addresses = set(re.findall(r"\bhttps?://[^\"'\s)]+", page))
    assert addresses == {"http://www.w3.org/2000/svg"}  # a name, not a place
    assert not re.search(r"\b(src|srcset|action)\s*=|@import|url\((?!#)|fetch\(|XMLHttpRequest|<link rel=\"style", page)
    assert "{{" not in page


def test_it_is_small(page):
    assert len(page.encode()) < 260_000  # 75,000 of them the explorer's script, 100,000 three sentences word by word


def test_only_its_own_script_may_run(page):
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)[1]
    digest = base64.b64encode(hashlib.sha256(script_of(page).encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy and "default-src 'none'" in policy


def test_it_is_drawn_by_the_script_of_the_widget(page):
    assert script_of(page).startswith(front_end())


def test_the_title_states_the_point(page):
    assert "<title>bank: one word, two regions</title>" in page
    titles = {key: text["title"] for key, text in data_of(page)["texts"].items()}
    assert titles['["tuesday",""]'] == "tuesday: one word, one region"
    read = titles['["bank","we sat on the grassy bank of the river"]']
    assert read.startswith("bank, in this sentence: ") and read.endswith("near “river”")


def test_every_word_has_its_regions_samples_and_sentences(page):
    data = data_of(page)
    for word in PLACES:
        (panel, *_), block = answer(data, word)
        kind, shape, start = panel["rings"]
        rings = np.frombuffer(block, TYPES[kind], 2 * shape[0], start).reshape(-1, 2)
        assert set(rings[:, 1]) == {0, 1, 2, 3} and panel["samples"][1] == [500, 2]
        assert panel["modes"][0]["sentences"][0] in SENSES[word][panel["modes"][0]["words"][0]]
        for sentence in CONTEXTS.get(word, ()):
            (read,), _ = answer(data, word, sentence)
            assert read["samples"][1] == [250, 2] and read["limits"] == panel["limits"]


def test_a_sentence_can_be_read_word_by_word(page):
    data = data_of(page)
    words = CONTEXTS["bank"][0].split()
    masses = [answer(data, "bank", " ".join(words[:n]))[0][0]["modes"][1]["mass"] for n in range(1, len(words) + 1)]
    assert masses[0] == pytest.approx(answer(data, "bank")[0][0]["modes"][1]["mass"], abs=0.05)
    assert masses[-1] > masses[0] + 0.3 and len(set(masses)) > 1
    assert "sentences" not in answer(data, "bank", "we sat")[0][0]["modes"][0]  # they are told once, of the word alone


def test_a_word_that_is_not_known_moves_nothing(tmp_path):
    sentence = "the grassy bank of xyzzy"
    page = export_html(lk.load("quickstart"), ["bank"], tmp_path / "x.html", {"bank": [sentence]}).read_text("utf-8")
    answers = data_of(page)["answers"]
    alone, grassy = '["bank",""]', '["bank","the grassy"]'
    same = {'["bank","the"]': alone, '["bank","the grassy bank"]': grassy, '["bank","the grassy bank of"]': grassy}
    assert {key: found for key, found in answers.items() if isinstance(found, str)} == same
    assert f'["bank","{sentence}"]' in answers


def test_one_coordinate_is_drawn_as_a_curve(tmp_path):
    corpus = lk.Corpus.from_sentences(["a small red boat", "a big red bus", "a small boat"] * 9, min_count=1)
    model = lk.StochasticEmbedding(dim=1, steps=4, layers=1, bins=4, vector_dim=4, word_dim=4, batch_size=8)
    model.fit(corpus, progress=False)
    text = export_html(model, ["red"], tmp_path / "x.html", {"red": ["a big red bus"]}).read_text("utf-8")
    for sentence in ("", "a big red bus"):
        (panel,), _ = answer(data_of(text), "red", sentence)
        assert panel["kind"] == "line" and "height" in panel and "outline" not in panel
    assert data_of(text)["texts"]['["red",""]']["title"].startswith("red: one word")


def test_the_baselines_stand_beside_it(page):
    panels, _ = answer(data_of(page), "bank")
    assert [panel["model"] for panel in panels[1:]] == ["GaussianEmbedding", "MixtureEmbedding", "PointEmbedding"]
    assert [len(panel.get("modes", ())) for panel in panels] == [2, 1, 2, 0]
    x, y = panels[3]["cross"]
    assert 0 < x < 1 and 0 < y < 1 and "outline" not in panels[3]


def test_there_are_words_for_those_who_cannot_see_it(page):
    data = data_of(page)
    panels, _ = answer(data, "bank")
    assert panels[0]["said"].startswith("Density of “bank”, two regions: 60 % near money, loan")
    assert "Half of the probability" in data["texts"]['["bank",""]']["explanation"]
    noscript = re.search(r"<noscript>(.*?)</noscript>", page)[1]
    assert noscript.count("<p>") == 6 and "money" in noscript


def test_the_table_is_texts(page):
    table = data_of(page)["table"]
    assert table["columns"] == ["model", "bound", "modes"] and table["numeric"] == [False, True, True]
    assert table["rows"] == [["Stochastic", "−37.12", "2"], ["Point", "–", "0"]]
    assert table["caption"] == "Held-out windows"


def test_markup_from_a_corpus_is_text(tmp_path):
    table = pd.DataFrame({ATTACK: [ATTACK]})
    page = export_html(HostileModel(), [ATTACK], tmp_path / "x.html", {ATTACK: [ATTACK]}, [HostileModel()], table)
    text = page.read_text("utf-8")
    assert ATTACK not in text
    assert len(re.findall(r"<script", text)) == len(re.findall(r"</script", text)) == 2
    assert "&lt;script&gt;" in text  # in the title and for readers without scripts
    (panel, _), _ = answer(data_of(text), ATTACK)
    assert panel["word"] == ATTACK and panel["modes"][0]["words"][0] == ATTACK
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b|DOMParser", script_of(text))


def test_more_than_two_coordinates_are_drawn_in_one_plane(tmp_path):
    model = FakeModel("StochasticEmbedding", extra=2)
    text = export_html(model, ["bank", "tuesday"], tmp_path / "x.html", n_samples=50).read_text("utf-8")
    headers = [found["header"] for found in data_of(text)["answers"].values()]
    assert all(header["remark"].startswith("A marginal over 2 more coordinates: the plane") for header in headers)
    assert len({str(header["panels"][0]["limits"]) for header in headers}) == 1


def test_errors_say_what_was_got(tmp_path):
    model = FakeModel("StochasticEmbedding")
    with pytest.raises(ValueError, match="at least one word"):
        export_html(model, [], tmp_path / "x.html")
    with pytest.raises(ValueError, match=r"got words \['bank'\] and sentences for \['spring'\]"):
        export_html(model, ["bank"], tmp_path / "x.html", {"spring": ["x"]})
    with pytest.raises(KeyError, match="zebra"):
        export_html(model, ["zebra"], tmp_path / "x.html")


def test_what_is_said_follows_the_drop():
    grid = density_grid(FakeModel("StochasticEmbedding")["bank"], resolution=31)
    said = explanation(grid)
    assert re.search(r"Between the two lies a valley: .* is \d+ times lower than at the smaller peak", said)
    assert headline(grid) == "bank: one word, two regions"

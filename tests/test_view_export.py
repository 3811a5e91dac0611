import base64
import hashlib
import json
import re

import pandas as pd
import pytest

from labkit.view import density_grid, export_html
from labkit.view.export import HEIGHT, WIDTH, _digits
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
    assert not re.search(
        r"\b(src|srcset|action)\s*=|@import|url\(|fetch\(|XMLHttpRequest|<link rel=\"style", page
    )
    assert "{{" not in page


def test_it_is_small(page):
    assert len(page.encode()) < 60_000


def test_only_its_own_script_may_run(page):
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)[1]
    script = re.search(r"<script>(.*?)</script>", page, re.S)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy and "default-src 'none'" in policy


def test_the_title_states_the_point(page):
    assert "<title>bank: one word, two regions</title>" in page
    titles = {word["word"]: [view["title"] for view in word["views"]] for word in data_of(page)["words"]}
    assert titles["tuesday"] == ["tuesday: one word, one region"]
    assert titles["bank"][1].startswith("bank, in this sentence: ") and titles["bank"][1].endswith(
        "near “river”"
    )


def test_every_word_has_its_regions_samples_labels_and_sentences(page):
    for word in data_of(page)["words"]:
        for view in word["views"]:
            assert len(view["regions"]) == 4 and all(d.startswith("M") for d in view["regions"])
            assert len(view["samples"]) == len(view["masses"]) == len(word["modes"])
            assert len(view["labels"]) == 2
        assert sum(map(len, word["views"][0]["samples"])) == 4 * 500
        assert word["modes"][0]["sentences"][0] in SENSES[word["word"]][word["modes"][0]["words"][0]]


def test_the_baselines_stand_beside_it(page):
    others = data_of(page)["words"][0]["others"]
    assert [other["name"] for other in others] == ["Gaussian", "Mixture", "Point"]
    assert [other["caption"] for other in others] == ["one region", "two regions", "one vector"]
    x, y = others[2]["point"]
    assert 0 < x < WIDTH and 0 < y < HEIGHT and "regions" not in others[2]


def test_labels_overlap_nothing_on_wide_and_narrow_screens(page):
    for word in data_of(page)["words"]:
        for boxes in (boxes for view in word["views"] for boxes in view["labels"]):
            for i, a in enumerate(boxes):
                assert a["x"] >= 0 and a["y"] >= 0
                assert a["x"] + a["width"] <= WIDTH and a["y"] + a["height"] <= HEIGHT
                for b in boxes[:i]:
                    apart_x = a["x"] + a["width"] < b["x"] or b["x"] + b["width"] < a["x"]
                    assert apart_x or a["y"] + a["height"] < b["y"] or b["y"] + b["height"] < a["y"]


def test_there_are_words_for_those_who_cannot_see_it(page):
    view = data_of(page)["words"][0]["views"][0]
    assert view["summary"].startswith("Density of “bank”, two regions: 60 % near money, loan")
    assert "Half of the probability" in view["explanation"]
    noscript = re.search(r"<noscript>(.*?)</noscript>", page)[1]
    assert noscript.count("<p>") == 3 and "money" in noscript


def test_the_table_is_texts(page):
    table = data_of(page)["table"]
    assert table["columns"] == ["model", "bound", "modes"] and table["numeric"] == [False, True, True]
    assert table["rows"] == [["Stochastic", "−37.12", "2"], ["Point", "–", "0"]]
    assert table["caption"] == "Held-out windows"


def test_markup_from_a_corpus_is_text(tmp_path):
    table = pd.DataFrame({ATTACK: [ATTACK]})
    page = export_html(
        HostileModel(), [ATTACK], tmp_path / "x.html", {ATTACK: [ATTACK]}, [HostileModel()], table
    )
    text = page.read_text("utf-8")
    assert ATTACK not in text
    assert len(re.findall(r"<script", text)) == len(re.findall(r"</script", text)) == 2
    assert "&lt;script&gt;" in text  # in the title and for readers without scripts
    data = data_of(text)
    assert data["words"][0]["word"] == ATTACK and data["words"][0]["modes"][0]["words"][0] == ATTACK
    script = re.search(r"<script>(.*?)</script>", text, re.S)[1]
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b|DOMParser", script)


def test_more_than_two_coordinates_are_drawn_in_one_plane(tmp_path):
    model = FakeModel("StochasticEmbedding", extra=2)
    text = export_html(model, ["bank", "tuesday"], tmp_path / "x.html", n_samples=50).read_text("utf-8")
    notes = {word["note"] for word in data_of(text)["words"]}
    assert len(notes) == 1 and notes.pop().startswith("The outline is a marginal: the plane holds")


def test_samples_travel_in_two_digits_to_the_base_36():
    for place in ([0, 0], [WIDTH, HEIGHT], [37, 899], [-5, 2000]):
        x, y = (int(digits, 36) for digits in re.findall("..", _digits(pd.Series(place).to_numpy())))
        assert (x, y) == (min(max(place[0], 0), WIDTH), min(max(place[1], 0), HEIGHT))


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

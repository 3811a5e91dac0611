"""The exported page in a real browser, from a file and without a network: it draws, and is worked by keyboard."""

import json

import pytest

from labkit.view import export_html
from tests.test_view_export import ATTACK, CONTEXTS, HostileModel
from tests.test_view_fakes import PLACES, fake_models

SHOWN = "([word, context]) => document.querySelector('.lk')?.dataset.shown === JSON.stringify([word, context, 2])"


@pytest.fixture
def page(chromium):
    """A page without a network that fails the test on an error, a dialog or a request for anything but files."""
    context = chromium.new_context(viewport={"width": 1280, "height": 800}, accept_downloads=True, offline=True)
    page, trouble = context.new_page(), []
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("console", lambda message: trouble.append(message.text))
    page.on("dialog", lambda dialog: (trouble.append("dialog"), dialog.dismiss()))
    page.on("request", lambda request: request.url.startswith(("file:", "blob:")) or trouble.append(request.url))
    yield page
    context.close()
    assert trouble == []


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    model, *baselines = fake_models()
    path = tmp_path_factory.mktemp("page") / "bank.html"
    return export_html(model, list(PLACES), path, CONTEXTS, baselines).as_uri()


def shown(page, word, context=""):
    page.wait_for_function(SHOWN, arg=[word, context])


def test_offline_export(page, address):
    """Every word and every sentence is drawn from the file alone; a file can be saved; the address keeps the state."""
    page.goto(address)
    shown(page, "bank")
    assert page.title() == "bank: one word, two regions"
    assert page.locator("canvas").count() == 4 and page.locator(".lk-modes li b").first.inner_text() == "bank"
    for word in PLACES:
        page.get_by_role("button", name=word, exact=True).click()
        shown(page, word)
        for sentence in CONTEXTS.get(word, ()):
            page.get_by_text(sentence).click()
            shown(page, word, sentence)
            assert page.title().startswith(f"{word}, in this sentence")
    drawn = "() => document.querySelector('canvas').getContext('2d').getImageData(300, 250, 1, 1).data[3]"
    assert page.evaluate(drawn) == 255
    page.locator("summary", has_text="Take it along").click()
    for name, ending in (("PNG", "png"), ("SVG", "svg"), ("Samples as CSV", "csv")):
        with page.expect_download() as saved:
            page.get_by_role("button", name=name).click()
        assert saved.value.suggested_filename == f"tuesday.{ending}"
        assert saved.value.path().stat().st_size > 2000


def test_a_sentence_is_read_word_by_word_without_a_kernel(page, address):
    page.goto(address)
    shown(page, "bank")
    sentence = CONTEXTS["bank"][0]
    page.get_by_text(sentence).click()
    shown(page, "bank", sentence)
    words = sentence.split()
    for left in range(len(words) - 1, 2, -1):
        page.get_by_role("button", name="One word less").click()
        shown(page, "bank", " ".join(words[:left]))
    assert page.locator(".lk-unread").count() == len(words) - 3
    page.get_by_role("button", name="The whole sentence").click()
    shown(page, "bank", sentence)
    assert page.locator(".lk-unread").count() == 0


def test_the_svg_holds_the_regions_and_the_csv_the_samples(page, address):
    page.goto(address)
    shown(page, "bank")
    page.locator("summary", has_text="Take it along").click()
    with page.expect_download() as svg:
        page.get_by_role("button", name="SVG").click()
    text = svg.value.path().read_text("utf-8")
    assert text.startswith("<svg") and "60 %" in text and text.count("<path") > 12
    with page.expect_download() as csv:
        page.get_by_role("button", name="Samples as CSV").click()
    rows = csv.value.path().read_text("utf-8-sig").splitlines()
    assert rows[0] == "word,context,model,x,y,mode,words of the mode,sentence"
    assert len([row for row in rows if row.startswith("bank,,StochasticEmbedding,")]) == 500


def test_the_keyboard_reaches_everything_and_the_address_keeps_it(page, address):
    page.goto(address)
    shown(page, "bank")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    shown(page, "spring")
    page.focus(".lk-chosen input")
    page.keyboard.press("ArrowDown")
    shown(page, "spring", CONTEXTS["spring"][0])
    for _ in range(5):  # over the four buttons that step through the sentence
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.url.endswith("#word=spring&sentence=1&mode=1")
    assert page.locator(".lk-mode button").first.get_attribute("aria-expanded") == "true"
    title = page.title()
    page.reload()
    shown(page, "spring", CONTEXTS["spring"][0])
    assert page.title() == title and page.locator(".lk-open").count() == 1


@pytest.mark.parametrize("hash", ["#word=zebra", "#word=bank&sentence=99&mode=-3", "#&&==%00"])
def test_an_odd_address_shows_the_first_word(page, address, hash):
    page.goto(address + hash)
    shown(page, "bank")
    assert page.title() == "bank: one word, two regions"


@pytest.mark.parametrize("width", [320, 700, 1280])
def test_nothing_runs_over_the_edge(page, address, width):
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(address)
    shown(page, "bank")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("width", [700, 1280])
def test_labels_overlap_nothing(page, address, width):
    page.set_viewport_size({"width": width, "height": 800})
    for word in PLACES:
        page.goto(f"{address}#word={word}")
        page.reload()
        shown(page, word)
        boxes = json.loads(page.locator("canvas").first.get_attribute("data-labels"))
        assert boxes and all(x >= 0 and y >= 0 for x, y, _, _ in boxes)
        for i, (x, y, wide, high) in enumerate(boxes):
            for x2, y2, wide2, high2 in boxes[:i]:
                assert x + wide <= x2 or x2 + wide2 <= x or y + high <= y2 or y2 + high2 <= y


def test_markup_from_a_corpus_does_not_run(page, tmp_path):
    path = export_html(HostileModel(), [ATTACK], tmp_path / "x.html", {ATTACK: [ATTACK]}, [HostileModel()])
    page.goto(path.as_uri())
    shown(page, ATTACK)
    assert page.locator("#title").inner_text() == f"{ATTACK}: one word, two regions"
    assert ATTACK in page.locator(".lk-modes").inner_text()
    page.locator("summary", has_text="Take it along").click()
    with page.expect_download() as svg:
        page.get_by_role("button", name="SVG").click()
    assert "<script" not in svg.value.path().read_text("utf-8")

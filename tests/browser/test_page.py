"""The exported page in a real browser: it draws, keeps to itself, and is worked by keyboard."""

import shutil

import pytest

from labkit.view import export_html
from tests.test_view_export import ATTACK, CONTEXTS, HostileModel
from tests.test_view_fakes import PLACES, fake_models


@pytest.fixture(scope="module")
def chromium():
    if shutil.which("chromium") is None:
        pytest.skip("no chromium on this machine")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(chromium):
    """A page that fails the test on an error, a dialog or a request for anything but files."""
    page, trouble = chromium.new_page(viewport={"width": 1280, "height": 800}), []
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("console", lambda message: trouble.append(message.text))
    page.on("dialog", lambda dialog: (trouble.append("dialog"), dialog.dismiss()))
    page.on("request", lambda request: request.url.startswith("file:") or trouble.append(request.url))
    yield page
    page.close()
    assert trouble == []


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    model, *baselines = fake_models()
    path = tmp_path_factory.mktemp("page") / "bank.html"
    return export_html(model, list(PLACES), path, CONTEXTS, baselines).as_uri()


def test_it_draws_regions_samples_and_labels(page, address):
    page.goto(address)
    assert page.title() == "bank: one word, two regions"
    assert page.locator("#density .samples path").count() == 500
    assert page.locator("#density .label").count() == 2
    assert page.locator("#others figure").count() == 3
    assert page.locator("#modes li b").first.inner_text() == "bank"


def test_the_keyboard_reaches_everything_and_the_address_keeps_it(page, address):
    page.goto(address)
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.title() == "spring: one word, three regions"
    page.focus("#contexts input")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.url.endswith("#word=spring&sentence=1&mode=1")
    assert page.locator("#modes button").first.get_attribute("aria-pressed") == "true"
    title = page.title()
    page.reload()
    assert page.title() == title and title.startswith("spring, in this sentence")


@pytest.mark.parametrize("hash", ["#word=zebra", "#word=bank&sentence=99&mode=-3", "#&&==%00"])
def test_an_odd_address_shows_the_first_word(page, address, hash):
    page.goto(address + hash)
    assert page.title() == "bank: one word, two regions"


@pytest.mark.parametrize("width", [320, 700, 1280])
def test_nothing_runs_over_the_edge(page, address, width):
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(address)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_label_fits_its_box(page, address):
    page.goto(address)
    overhang = """[...document.querySelectorAll("#density .label")].map((label) =>
        label.querySelector("text").getBBox().width - label.querySelector("rect").getBBox().width)"""
    assert max(page.evaluate(overhang)) <= 0


def test_markup_from_a_corpus_does_not_run(page, tmp_path):
    path = export_html(HostileModel(), [ATTACK], tmp_path / "x.html", {ATTACK: [ATTACK]}, [HostileModel()])
    page.goto(path.as_uri())
    assert page.locator("#title").inner_text() == f"{ATTACK}: one word, two regions"
    assert ATTACK in page.locator("#modes").inner_text()

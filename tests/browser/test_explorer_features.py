"""What the explorer is for, done with mouse and keyboard in one open notebook."""

import json

import pytest

from tests.browser.lab import EXPLORE, MODEL, Lab

FILM = (
    MODEL
    + """
from labkit.text import FUNCTION_WORDS, SenseGrammar, grammar_sentences
drawn = grammar_sentences(SenseGrammar(), per_word=40, seed=0)
few = drawn[drawn.word.isin(["bank", "tuesday"])]
small = lk.Corpus.from_dataframe(few, "sentence", target="word", min_count=1, stop_words=FUNCTION_WORDS)
fresh = lk.StochasticEmbedding(steps=5000, batch_size=8, layers=1, vector_dim=8, word_dim=8)
lk.explore(fresh, training=lk.TrainingRecorder(fresh, ["bank", "tuesday"], small, every=25))
"""
)
SMALL_TYPE = """(root) => [...root.querySelectorAll("*")].filter((e) => e.checkVisibility() && !e.closest(".lk-unseen")
    && [...e.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim()))
    .map((e) => [parseFloat(getComputedStyle(e).fontSize), e.textContent]).filter(([size]) => size < 20)"""


@pytest.fixture(scope="module")
def one(chromium, server):
    """One page for all tests of this file; each begins with a Reset."""
    lab = Lab(chromium, server, [EXPLORE]).open()
    lab.shown("bank", detail=2)
    yield lab
    trouble = lab.trouble
    lab.close()
    assert trouble == []


@pytest.fixture
def root(one):
    root = one.page.locator(".lk")
    root.get_by_role("button", name="Reset").click()
    one.shown("bank", detail=2)
    return root


def test_hover_shows_the_sentence_with_the_word_in_bold(one, root):
    box = root.locator("canvas").bounding_box()
    for step in range(12):
        one.page.mouse.move(box["x"] + box["width"] * (0.4 + 0.02 * step), box["y"] + box["height"] * 0.55)
        if root.locator(".lk-tip").is_visible():
            break
    assert root.locator(".lk-tip b").first.inner_text().lower() == "bank"


def test_a_click_on_a_label_lists_the_sentences_of_the_mode(one, root):
    labels = json.loads(root.locator("canvas").get_attribute("data-labels"))
    x, y, width, height = labels[1]
    root.locator("canvas").click(position={"x": x + width / 2, "y": y + height / 2})
    assert root.locator(".lk-open li").count() >= 3
    assert "river" in root.locator(".lk-open").inner_text()


def test_the_mark_is_walked_to_from_the_keyboard(one, root):
    root.locator("canvas").focus()
    one.page.keyboard.press("ArrowRight")
    first = root.locator(".lk-found").inner_text()
    one.page.keyboard.press("ArrowRight")
    assert first and root.locator(".lk-found").inner_text()


def test_a_sentence_is_stepped_through_word_by_word(one, root):
    root.get_by_label("Read it in a sentence").fill("muddy bank of the river")
    one.shown("bank", "muddy bank of the river")
    for expected in ("muddy bank of the", "muddy bank of", "muddy bank"):
        root.get_by_role("button", name="One word less").click()
        one.shown("bank", expected)
    assert root.locator(".lk-unread").count() == 3
    root.get_by_role("button", name="The whole sentence").click()
    one.shown("bank", "muddy bank of the river")
    pulls = root.locator(".lk-chip", has_text="river").inner_text()
    assert "+" in pulls and root.locator(".lk-chip.lk-self").inner_text() == "bank"


def test_a_misspelt_word_finds_its_neighbours(one, root):
    field = root.get_by_label("Word", exact=True)
    field.fill("sprng")
    root.get_by_text("Did you mean one of these?").wait_for()
    one.page.keyboard.press("ArrowDown")
    one.page.keyboard.press("Enter")
    one.shown("spring")
    assert field.input_value() == "spring"


def test_the_most_ambiguous_words_come_first(one, root):
    root.get_by_label("Order of the list").select_option("ambiguous")
    one.page.wait_for_function(
        "() => /(three|four|five) modes/.test(document.querySelector('[role=option]')?.textContent ?? '')",
        timeout=30_000,
    )
    one.page.keyboard.press("Escape")
    root.get_by_label("Order of the list").select_option("frequent")
    one.page.keyboard.press("Escape")


def test_two_words_overlap_with_an_error(one, root):
    root.locator("summary", has_text="Compare").click()
    root.get_by_label("A second word").fill("tuesday")
    root.get_by_label("A second word").press("Enter")
    said = root.get_by_text("Overlap of").inner_text(timeout=15_000)
    assert "0.39" in said and "± 0.00" in said
    root.locator("summary", has_text="Compare").click()


def test_discriminants_come_with_their_control(one, root):
    root.locator("summary", has_text="Dimensions").click()
    root.get_by_label("Seen along").select_option("lda")
    root.get_by_text("with shuffled labels").wait_for()
    root.locator("summary", has_text="Dimensions").click()


def test_predict_first_hides_the_answer_until_it_is_revealed(one, root):
    root.get_by_role("button", name="Predict first").click()
    root.get_by_role("button", name="tuesday").click()
    one.shown("tuesday")
    assert root.locator(".lk-curtain").is_visible() and not root.locator("canvas").is_visible()
    assert root.locator(".lk-summary").inner_text() == "" and not root.locator(".lk-modes").is_visible()
    root.get_by_label("Regions, my guess").fill("1")
    one.page.keyboard.press("Enter")
    root.get_by_text("You said 1; the model has one region. Right.").wait_for()
    root.get_by_role("button", name="Predict first").click()


def test_in_present_mode_no_type_is_below_20_px(one, root):
    root.get_by_label("Read it in a sentence").fill("muddy bank of the river")
    one.shown("bank", "muddy bank of the river", 2)
    root.get_by_role("button", name="Present").click()
    one.page.wait_for_timeout(500)
    assert root.evaluate(SMALL_TYPE) == []
    root.get_by_role("button", name="Present").click()


def test_fifty_thousand_marks_are_drawn(one, root):
    root.locator("summary", has_text="Marks").click()
    slider = root.get_by_label("Samples shown")
    for _ in range(3):
        slider.press("ArrowRight")
    one.page.wait_for_function("() => document.querySelector('.lk').dataset.marks === '50000'", timeout=30_000)
    root.locator("summary", has_text="Marks").click()


def test_the_training_is_watched_held_and_stopped(lab):
    page = lab(FILM)
    root = page.page.locator(".lk")
    root.get_by_text("The model has learned nothing yet").wait_for(timeout=90_000)
    root.get_by_role("button", name="Start training").click()  # its section is open
    root.get_by_text("Training …").wait_for()
    root.get_by_role("button", name="Pause", exact=True).click()
    root.get_by_text("Paused.").wait_for()
    root.get_by_role("button", name="Go on").click()
    root.get_by_text("Training …").wait_for()
    root.get_by_role("button", name="Stop").click()
    root.get_by_text("Trained.").wait_for()
    root.get_by_label("Time").focus()
    page.page.keyboard.press("Home")
    page.page.wait_for_function("() => /after 1 steps/.test(document.querySelector('.lk-title').textContent)")
    root.get_by_role("button", name="Back to the model").click()
    page.shown("bank")

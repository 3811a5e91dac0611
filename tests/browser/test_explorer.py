"""The explorer in a real JupyterLab: what must never happen, each line with a test of its name."""

import importlib.util
import json
from pathlib import Path

import pytest

from tests.browser.lab import EXPLORE, MODEL

ATTACKS = ["<script>alert(1)</script>", '"><img src=x onerror=alert(2)>']
HOSTILE = """
import labkit as lk, torch
attacks = ["<script>alert(1)</script>", '"><img src=x onerror=alert(2)>']
cut = lk.Tokenizer(pattern=r"\\S+", lowercase=False)
sentences = [f"she saw bank {a.replace(' ', chr(160))} near the river" for a in attacks] * 30
corpus = lk.Corpus.from_sentences(sentences, tokenizer=cut, min_count=1)
settings = dict(steps=20, layers=1, bins=4, vector_dim=8, word_dim=8, batch_size=16)
model = lk.StochasticEmbedding(**settings).fit(corpus, progress=False)
word = [w for w in model.words if "<" in w][0]
explorer = lk.explore(model, words=[word], presets=[word])
explorer
"""
SLOW_KERNEL = (
    MODEL
    + """
import time
from labkit.view.explorer.session import Session
asked, picture = [], Session.picture
def slow(self, q, *rest):
    asked.append(q.word)
    time.sleep(0.15)
    return picture(self, q, *rest)
Session.picture = slow
lk.explore(model, presets=model.words[:50])
"""
)
FOCUSED = """() => {
    const e = document.activeElement;
    const name = e.getAttribute("aria-label") ?? e.labels?.[0]?.textContent ?? e.textContent;
    return e.closest(".lk") ? `${e.tagName}|${e.type ?? ""}|${name}` : "";
}"""


def opened(lab, *cells, **settings):
    page = lab(*(cells or [EXPLORE]), **settings)
    root = page.shown("bank")
    return page, root


def unfold(root):
    for summary in root.locator("summary").all():
        summary.click()


def test_dd_leaves_the_notebook(lab):
    """`d d`, arrows, space and Enter in every control: no cell goes, none comes, and none is left."""
    page, root = opened(lab, EXPLORE, "1 + 1")
    unfold(root)
    cells = page.page.locator(".jp-Notebook .jp-Cell")
    root.locator("canvas").first.focus()
    controls = root.locator("button, input, select, summary, canvas[tabindex]")
    assert controls.count() > 20
    bare = "(root) => [...root.querySelectorAll('button, input, select, summary, canvas[tabindex]')]"
    bare += ".filter((control) => control.dataset.lmSuppressShortcuts !== 'true').length"
    assert root.evaluate(bare) == 0, "JupyterLab looks at the focused element itself"
    for i in range(controls.count()):
        control = controls.nth(i)
        if not control.is_visible() or control.is_disabled():
            continue
        control.focus()
        for key in ("d", "d", "ArrowDown", "ArrowUp", "x", "a", "b"):
            page.page.keyboard.press(key)
        assert cells.count() == 2, f"control {i} let a shortcut through"
    for control in root.locator("input[type=range], input[type=text]").all():
        if control.is_visible():
            control.focus()
            page.page.keyboard.press("Space")
            page.page.keyboard.press("Enter")
    assert cells.count() == 2
    assert page.page.locator(".jp-Notebook.jp-mod-editMode").count() == 0


def test_tab_order(lab):
    """Tab goes through every control once, in the order in which they stand, and out at the end."""
    page, root = opened(lab)
    unfold(root)
    wanted = root.evaluate(
        """(root) => [...root.querySelectorAll("button, input, select, summary, canvas[tabindex]")]
            .filter((e) => e.checkVisibility() && !e.disabled).length"""
    )
    root.get_by_label("Word", exact=True).focus()
    seen = []
    while (name := page.page.evaluate(FOCUSED)) and len(seen) < 2 * wanted:
        seen.append(name)
        page.page.keyboard.press("Tab")
    assert len(seen) == wanted, seen
    assert seen[0].startswith("INPUT|text|Word") and any(name.startswith("CANVAS") for name in seen)


def test_axe(lab):
    """No serious or critical finding, folded and unfolded, with a list open and with the curtain drawn."""
    found = importlib.util.find_spec("axe_playwright_python")
    if found is None:
        pytest.skip("axe-core comes with a package of the [dev] extra: pip install axe-playwright-python")
    script = (Path(found.origin).parent / "axe.min.js").read_text("utf-8")
    page, root = opened(lab)
    page.page.evaluate(script)

    def findings():
        result = page.page.evaluate("() => axe.run('.lk')")
        return [
            f"{v['id']} ({v['impact']}): {v['nodes'][0]['html'][:120]}"
            for v in result["violations"]
            if v["impact"] in ("serious", "critical")
        ]

    assert findings() == []
    unfold(root)
    root.get_by_label("Read it in a sentence").fill("the grassy bank of the river")
    page.shown("bank", "the grassy bank of the river", 1)
    root.locator(".lk-mode button").first.click()
    root.get_by_label("Word", exact=True).click()
    root.locator("[role=option]").first.wait_for()
    assert findings() == []
    root.get_by_role("button", name="Predict first").click()
    root.get_by_role("button", name="tuesday").click()
    root.get_by_role("button", name="Reveal").wait_for()
    assert findings() == []
    root.get_by_role("button", name="Present").click()
    assert findings() == []


def test_no_request_leaves_loopback(lab):
    """A tour through the controls; the fixture fails the test on any request or socket to elsewhere."""
    page, root = opened(lab)
    root.get_by_role("button", name="spring").click()
    page.shown("spring", detail=2)
    root.get_by_label("Read it in a sentence").fill("the spring of the clock")
    page.shown("spring", "the spring of the clock", 1)
    unfold(root)
    root.get_by_label("A second word").fill("bank")
    root.get_by_label("A second word").press("Enter")
    root.get_by_text("Overlap of").wait_for()
    with page.page.expect_download() as svg:
        root.get_by_role("button", name="SVG").click()
    assert svg.value.suggested_filename == "spring.svg"
    policed = page.page.evaluate("() => performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert [name for name in policed if not name.startswith((page.address, "blob:", "data:"))] == []


def test_rapid_changes_settle(lab):
    """Fifty words in half a second, with a kernel that needs 0.15 s for each: the last one stays, few are computed."""
    page = lab(SLOW_KERNEL, "print('pictures', len(asked))")
    page.page.locator(".lk-preset").first.wait_for(timeout=90_000)
    words = page.page.locator(".lk-preset").all_inner_texts()
    page.shown(words[0])
    root = page.page.locator(".lk")
    root.evaluate(
        """async (root) => {
            for (const button of root.querySelectorAll(".lk-preset")) {
                button.click();
                await new Promise((later) => setTimeout(later, 10));
            }
        }"""
    )
    page.shown(words[-1], detail=1, timeout=15_000)
    page.page.wait_for_timeout(1500)
    assert json.loads(root.get_attribute("data-shown"))[0] == words[-1]
    assert root.get_by_label("Word", exact=True).input_value() == words[-1]
    assert words[-1] in root.locator(".lk-title").inner_text()
    assert len(set(words)) == 50 and page.printed("pictures") < 25


def test_rapid_typing_settles(lab):
    page, root = opened(lab)
    sentence = "we sat on the grassy bank of the river and looked at the water"
    root.get_by_label("Read it in a sentence").press_sequentially(sentence, delay=5)
    page.shown("bank", sentence, 1, timeout=10_000)
    assert root.get_by_label("Read it in a sentence").input_value() == sentence
    assert root.locator(".lk-chip").count() == len(sentence.split())


def test_two_explorers(lab):
    """Each keeps its own word and sentence, and no two elements of the page share an id."""
    page = lab(EXPLORE, "lk.explore(model, words=['spring'])")
    first, second = page.shown("bank"), page.shown("spring", nth=1)
    first.get_by_label("Read it in a sentence").fill("the bank lent money")
    page.shown("bank", "the bank lent money", 1)
    second.get_by_role("button", name="tuesday").click()
    page.shown("tuesday", nth=1)
    assert json.loads(first.get_attribute("data-shown"))[:2] == ["bank", "the bank lent money"]
    assert second.get_by_label("Read it in a sentence").input_value() == ""
    ids = page.page.evaluate("() => [...document.querySelectorAll('.lk [id], .lk[id]')].map((e) => e.id)")
    assert len(ids) == len(set(ids)) > 20


def test_python_and_page_follow_each_other(lab):
    page = lab(EXPLORE, "explorer.word = 'spring'", "print('right', int(explorer.word == 'tuesday'))")
    root = page.shown("spring")
    root.get_by_role("button", name="tuesday").click()
    page.shown("tuesday")
    page.page.wait_for_timeout(1000)
    assert page.printed("right", cell=2) == 1
    assert json.loads(root.get_attribute("data-shown"))[0] == "tuesday"


def test_kernel_restart(lab):
    """After a restart and a new run there is one explorer, and it answers."""
    page, _ = opened(lab)
    page.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    page.page.wait_for_timeout(1500)
    page.page.evaluate("() => document.querySelectorAll('.lk').forEach((root) => { root.dataset.shown = '[]'; })")
    page.command("notebook:run-all-cells")
    root = page.shown("bank")
    root.get_by_role("button", name="spring").click()
    page.shown("spring")
    assert page.page.locator(".lk").count() == 1


def test_saved_notebook_size(lab):
    """Below 200 KB with the widget's state in it, as a user may have it saved, after pictures and sentences."""
    page, root = opened(lab)
    for word in ("spring", "tuesday", "bank"):
        root.get_by_role("button", name=word, exact=True).click()
        page.shown(word, detail=2)
    page.page.wait_for_timeout(600)
    notebook = page.saved()
    states = notebook["metadata"]["widgets"]["application/vnd.jupyter.widget-state+json"]["state"]
    assert "AnyModel" in {state["model_name"] for state in states.values()}
    assert (page.folder / page.name).stat().st_size < 200_000


def test_corpus_markup_is_text(lab):
    """Words and sentences that look like markup are shown letter by letter, and nothing of them runs."""
    page = lab(HOSTILE)
    page.page.wait_for_selector(".lk[data-shown*='script'], .lk[data-shown*='img']", timeout=90_000)
    root = page.page.locator(".lk")
    word = json.loads(root.get_attribute("data-shown"))[0]
    page.shown(word, detail=2)
    unfold(root)
    assert word in root.locator(".lk-title").inner_text() and word in root.locator(".lk-summary").inner_text()
    root.locator(".lk-mode button").first.click()
    root.locator(".lk-mode li").first.wait_for()
    for attack in ATTACKS:
        root.get_by_label("Read it in a sentence").fill(f"{attack} near the river")
        page.page.wait_for_timeout(700)
        root.get_by_label("Word", exact=True).fill(attack[:4])
        page.page.wait_for_timeout(400)
    root.locator("canvas").first.focus()
    page.page.keyboard.press("ArrowRight")
    root.get_by_role("button", name="SVG").click()
    page.page.wait_for_timeout(300)
    assert page.page.locator(".lk script, .lk img").count() == 0

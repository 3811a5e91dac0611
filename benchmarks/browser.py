"""How quick the explorer is in a real JupyterLab and Chromium: latencies, bytes and frames against their targets.

    python benchmarks/browser.py [--words 40] [--json]

A switch is timed in the page, from the click on a word to the moment its picture is on the canvas: through the kernel
for words it has not drawn, from answers in the browser for those it has. Of the first, the median time that Python took
for the answer is told too; the rest is the way there and back, and drawing. Needs Chromium and the [dev] extra.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.browser.lab import MODEL, Lab, jupyterlab  # noqa: E402

TARGETS = {
    "kernel_median_ms": 70, "kernel_p95_ms": 100, "of_it_python_ms": None, "browser_p95_ms": 40,
    "first_paint_ms": 1000, "first_view_mb": 0.3, "frames_per_second": 30,
}  # fmt: skip
AT_LEAST = {"frames_per_second"}

SWITCHES = """async (root) => {
    const [times, python] = [[], []];
    for (const button of root.querySelectorAll(".lk-preset")) {
        const word = button.textContent;
        if (JSON.parse(root.dataset.shown)[0] === word) continue;
        const drawn = new Promise((done) => {
            const watch = new MutationObserver(() => {
                if (JSON.parse(root.dataset.shown)[0] !== word) return;
                watch.disconnect();
                done(performance.now());
            });
            watch.observe(root, { attributeFilter: ["data-shown"] });
        });
        const start = performance.now();
        button.click();
        times.push(await drawn - start);
        python.push(Number(root.dataset.took));
        await new Promise((rest) => setTimeout(rest, PAUSE));
    }
    return [times, python];
}"""
FRAMES = """async (root) => {
    const buttons = () => root.querySelectorAll(".lk-mode button");
    let frames = 0;
    const start = performance.now();
    while (performance.now() - start < 3000) {
        buttons()[frames % buttons().length].click();
        await new Promise(requestAnimationFrame);
        frames += 1;
    }
    return 1000 * frames / (performance.now() - start);
}"""
FIRST = """async () => {
    const start = performance.now();
    window.jupyterapp.shell.currentWidget.content.activeCellIndex = 1;
    window.jupyterapp.commands.execute("notebook:run-cell");
    while (!document.querySelector(".lk")?.dataset.shown) await new Promise(requestAnimationFrame);
    return performance.now() - start;
}"""


def measure(words: int) -> dict[str, float]:
    """The figures by name; milliseconds, megabytes, frames a second."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as private:
        with jupyterlab(Path(folder), Path(private)) as server, sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            lab = Lab(browser, server, [MODEL, f"lk.explore(model, presets=model.words[:{words}])"])
            try:
                return drive(lab.open(run=False))
            finally:
                lab.close()
                browser.close()


def drive(lab: Lab) -> dict[str, float]:
    """All measurements in one notebook: imports first, so that they count for nothing."""
    page = lab.page
    page.evaluate("() => { window.jupyterapp.shell.currentWidget.content.activeCellIndex = 0; }")
    lab.command("notebook:run-cell")
    page.wait_for_function(
        "/\\[1\\]/.test(document.querySelector('.jp-Cell .jp-InputPrompt').textContent)", timeout=90_000
    )
    page.wait_for_timeout(1000)
    before = lab.received
    first_paint = page.evaluate(FIRST)
    page.wait_for_timeout(1500)
    first_view = lab.received - before
    root = page.locator(".lk")
    kernel, python = root.evaluate(SWITCHES.replace("PAUSE", "120"))
    browser, _ = root.evaluate(SWITCHES.replace("PAUSE", "30"))
    root.locator("summary", has_text="Marks").click()
    marks = root.get_by_label("Samples shown")
    marks.focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    page.wait_for_timeout(6000)
    return {
        "kernel_median_ms": quantile(kernel, 0.5), "kernel_p95_ms": quantile(kernel, 0.95),
        "of_it_python_ms": quantile(python, 0.5), "browser_p95_ms": quantile(browser, 0.95),
        "first_paint_ms": first_paint, "first_view_mb": first_view / 1e6, "frames_per_second": root.evaluate(FRAMES),
    }  # fmt: skip


def quantile(values: list[float], share: float) -> float:
    """The smallest value that at least this share of them does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def main() -> None:
    """Measure and print, each figure beside its target."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--words", type=int, default=40, help="how many words are switched to (default 40)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    if shutil.which("chromium") is None:
        sys.exit("benchmarks/browser.py needs Chromium: install your system's package 'chromium' and try again.")
    figures = measure(options.words)
    if options.json:
        print(json.dumps({"figures": figures, "targets": TARGETS, "cores": os.cpu_count()}, indent=1))
        return
    print(f"{'':20}{'measured':>10}{'target':>12}")
    for name, value in figures.items():
        target = TARGETS[name]
        good = target is None or (value >= target if name in AT_LEAST else value <= target)
        wanted = "" if target is None else f"{'≥' if name in AT_LEAST else '≤'} {target}"
        print(f"{name:20}{value:10.2f}{wanted:>12}{'' if good else '  MISSED'}")


if __name__ == "__main__":
    main()

"""Exercises, both ways: a check fails while the answer is blank, and the same check passes on the solution.

A check is a cell tagged `raises-exception`, so that a run of the notebook goes on after a blank one. Its solution
notebook holds the very same cell. Only the cells are run on which a check depends, by the names they share, and
in smoke mode; so a check must ask about the learner's answer, and not about how well a model was trained.
"""

import json
import re
import symtable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LESSONS = sorted((ROOT / "notebooks").glob("*.ipynb"))
CHECK = "raises-exception"

lesson = pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)


def code_cells(path: Path) -> list[dict]:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def source(cell: dict) -> str:
    """A cell's code, with IPython's own lines (%magic, !shell, ?help) left out."""
    return re.sub(r"(?m)^(\s*)[%!?].*$", r"\1pass", "".join(cell["source"]))


def checks(path: Path) -> list[str]:
    return [source(cell) for cell in code_cells(path) if CHECK in cell["metadata"].get("tags", [])]


def solution(path: Path) -> Path:
    return path.parent / "solutions" / f"{path.stem}_solutions.ipynb"


def names(code: str) -> tuple[set[str], set[str], set[str]]:
    """The global names that a cell binds, reads, and reads in functions (which are called later)."""
    top = symtable.symtable(code, "cell", "exec")
    bound = {s.get_name() for s in top.get_symbols() if s.is_assigned() or s.is_imported()}
    read, later, tables = {s.get_name() for s in top.get_symbols() if s.is_referenced()}, set(), top.get_children()
    while tables:
        table = tables.pop()
        tables += table.get_children()
        later |= {s.get_name() for s in table.get_symbols() if s.is_global() and s.is_referenced()}
    return bound, read | later, later


def slice_for(check: str, before: list[str]) -> list[str]:
    """Of the cells before a check, those on which it depends, in order."""
    at_the_end = names(check)[1]
    while True:
        wanted, chosen = at_the_end, []
        for cell in reversed(before):
            bound, read, _ = names(cell)
            if bound & wanted:
                chosen.append(cell)
                wanted = (wanted - bound) | read
        later = set().union(*(names(cell)[2] for cell in chosen))
        if later <= at_the_end:
            return chosen[::-1]
        at_the_end = at_the_end | later


def run(check: str, cells: list[str]) -> None:
    """Run a check after what it depends on; whatever it raises is raised here."""
    namespace = {"__name__": "__main__", "display": lambda *shown, **options: None}
    for cell in slice_for(check, cells[: cells.index(check)]):
        exec(compile(cell, "<notebook>", "exec"), namespace)
    exec(compile(check, "<check>", "exec"), namespace)


@lesson
def test_there_are_two_or_three(path):
    assert 2 <= len(checks(path)) <= 3, f"tag each check {CHECK!r}"


@lesson
@pytest.mark.filterwarnings("default")
def test_blank_answers_fail(path, monkeypatch):
    monkeypatch.setenv("LABKIT_SMOKE", "1")
    cells = [source(cell) for cell in code_cells(path)]
    for check in checks(path):
        with pytest.raises(AssertionError):
            run(check, cells)


@lesson
@pytest.mark.filterwarnings("default")
def test_solutions_pass(path, monkeypatch):
    monkeypatch.setenv("LABKIT_SMOKE", "1")
    cells = [source(cell) for cell in code_cells(solution(path))]
    for check in checks(path):
        assert check in cells, f"{solution(path).name} lacks this check:\n{check}"
        run(check, cells)


CELLS = {
    "imports": "import math",
    "unused": "raise RuntimeError('not needed')",
    "old": "answer = None",
    "function": "def half(x):\n    return offset + x / 2",
    "offset": "offset = math.floor(0.5)",
    "answer": "answer = half(4)",
}


def test_only_what_a_check_needs_is_run():
    found = slice_for("assert answer == 2", list(CELLS.values()))
    assert [name for name, cell in CELLS.items() if cell in found] == ["imports", "function", "offset", "answer"]


@pytest.mark.parametrize("check", ["assert answer == 3", "assert [x for x in [answer] if x > 2]"])
def test_a_failing_check_is_told(check):
    with pytest.raises(AssertionError):
        run(check, [*CELLS.values(), check])

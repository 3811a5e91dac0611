"""The shape of a notebook, by glob: short, one idea, honest at the end, and never a loop without a budget.

`make smoke` runs them. Here they are only read, so that a fault is told in a second and not after minutes.
"""

import ast
import json
import operator
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LESSONS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SOLUTIONS = sorted((ROOT / "notebooks" / "solutions").glob("*.ipynb"))

LOOP_LIMIT = 50  # a longer loop is training, and training takes its steps from the budget
OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Pow: operator.pow}
STEPS = re.compile(r"(n_|num_|max_)?(steps|epochs|iterations)")

lesson = pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
every_notebook = pytest.mark.parametrize("path", LESSONS + SOLUTIONS, ids=lambda path: path.stem)


def cells(path: Path, kind: str) -> list[str]:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == kind]


def number(node: ast.AST, known: dict[str, float]) -> float | None:
    """The value of an expression made of literals and of names that were given a literal, else None."""
    match node:
        case ast.Constant(value=int() | float() as value):
            return value
        case ast.Name(id=name):
            return known.get(name)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            value = number(operand, known)
            return None if value is None else -value
        case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
            values = number(left, known), number(right, known)
            return None if None in values else OPERATORS[type(op)](*values)
    return None


def assigned_numbers(tree: ast.Module) -> dict[str, float]:
    known = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            value = number(node.value, known)
            if value is not None:
                known[node.targets[0].id] = max(value, known.get(node.targets[0].id, value))
    return known


def ungated(source: str) -> list[str]:
    """The loops and step counts of a source whose length is written out instead of taken from a budget."""
    tree = ast.parse(source)
    known = assigned_numbers(tree)
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    in_budget = {id(word) for call in calls if is_budget(call.func) for word in call.keywords}
    found = []
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id="range" | "trange"), args=args):
                long = range_length([number(arg, known) for arg in args]) > LOOP_LIMIT
            case ast.keyword(arg=str(word), value=value):
                long = STEPS.fullmatch(word) and number(value, known) and id(node) not in in_budget
            case ast.Assign(targets=[ast.Name(id=word)], value=value):
                long = STEPS.fullmatch(word) and number(value, known)
            case ast.While(test=test):
                long = not is_budget(test)
            case _:
                long = False
        if long:
            found.append(ast.unparse(node))
    return found


def is_budget(node: ast.AST) -> bool:
    """Whether an expression speaks of the budget; the budget itself is where the numbers stand."""
    return "budget" in ast.unparse(node).lower()


def range_length(arguments: list[float | None]) -> float:
    """How long a range is; the largest number in it where part of it is unknown, 0 where all of it is."""
    if None in arguments:
        return max((abs(value) for value in arguments if value is not None), default=0)
    return len(range(*map(int, arguments)))


def code(path: Path) -> str:
    """All code of a notebook, with IPython's own lines (%magic, !shell, ?help) left out."""
    lines = "\n".join(cells(path, "code")).splitlines()
    return "\n".join(re.sub(r"^(\s*)[%!?].*$", r"\1pass", line) for line in lines)


@lesson
def test_it_is_short(path):
    words = sum(len(text.split()) for text in cells(path, "markdown"))
    count = len(cells(path, "markdown") + cells(path, "code"))
    assert 20 <= count <= 40, f"{count} cells: a notebook has 20 to 40"
    assert words <= 1500, f"{words} words: a notebook has at most 1,500"


@every_notebook
def test_no_cell_is_over_30_lines(path):
    assert [cell for cell in cells(path, "code") if len(cell.splitlines()) > 30] == []


@lesson
def test_it_says_first_what_one_will_see_and_how_long_it_takes(path):
    top = "\n".join(cells(path, "markdown")[:2])
    assert re.search(r"you(?:'|’)?(?: wi)?ll see", top, re.IGNORECASE), "say at the top what you will see"
    assert re.search(r"\d\s*(min|s\b|sec)", top, re.IGNORECASE), "say at the top how long it takes"


@lesson
def test_it_ends_with_exercises_and_what_it_does_not_show(path):
    headings = re.findall(r"^#+ +(.*)$", "\n".join(cells(path, "markdown")), re.MULTILINE)
    assert any(re.search("exercise", heading, re.IGNORECASE) for heading in headings)
    assert any(re.search("what this does not show", heading, re.IGNORECASE) for heading in headings)


@every_notebook
def test_every_long_loop_comes_from_the_budget(path):
    assert ungated(code(path)) == [], "take steps and sizes from the notebook's budget object"


@lesson
def test_it_has_a_solution(path):
    solutions = ROOT / "notebooks" / "solutions"
    assert any((solutions / f"{path.stem}_solutions{suffix}").exists() for suffix in (".ipynb", ".py"))


def test_every_solution_has_its_notebook():
    stems = {f"{path.stem}_solutions" for path in LESSONS}
    assert {path.stem for path in SOLUTIONS} <= stems


GATED = {
    "steps from the budget": "for step in range(budget.steps):\n    train()",
    "keyword from the budget": "model.fit(corpus, steps=budget.steps)",
    "the budget itself": "budget = lk.Budget(steps=600, smoke=20)",
    "a short loop": "for seed in range(5):\n    draw(seed)",
    "a long range, few stops": "for size in range(0, 1000, 100):\n    draw(size)",
    "while there is budget": "while budget.left():\n    train()",
    "a loop over things": "for word in words:\n    draw(word)",
}
UNGATED = {
    "a literal": "for step in range(300):\n    train()",
    "arithmetic": "for step in range(3 * 10**2):\n    train()",
    "through a name": "n = 300\nfor step in range(n):\n    train()",
    "from an unknown start": "for step in range(done, 300):\n    train()",
    "a comprehension": "losses = [train() for _ in range(300)]",
    "a progress bar": "for step in trange(300):\n    train()",
    "a keyword": "model.fit(corpus, steps=300)",
    "a keyword of that kind": "model.fit(corpus, n_steps=300)",
    "a keyword through a name": "count = 300\nmodel.fit(corpus, epochs=count)",
    "a name": "steps = 300",
    "while": "while loss > 1:\n    loss = train()",
}


@pytest.mark.parametrize("case", GATED)
def test_the_check_lets_through(case):
    assert ungated(GATED[case]) == []


@pytest.mark.parametrize("case", UNGATED)
def test_the_check_finds(case):
    assert ungated(UNGATED[case]) != []

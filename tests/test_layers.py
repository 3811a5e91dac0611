"""A room of labkit imports only rooms above it, and nothing imports in a circle. Lazy imports count too."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Top to bottom: a room may import the rooms listed before it. A room's own list binds in the same way inside
# the room; a file that is not named there is only kept out of circles. "" is labkit/__init__.py.
ORDER = {
    "budget": [],
    "numerics": [],
    "networks": ["devices", "processes", "mlp", "masked", "transformer", "cached"],
    "flows": ["transforms", "affine", "spline_fused", "spline", "circular", "mixture", "rosenblatt", "squash", "linear",
              "circulant", "coupling", "autoregressive", "interop", "base", "gaussian", "truncated", "flow", "volume",
              "injective", "injective_gradient"],
    "density": ["grid", "entropy", "hdr", "overlap", "posterior", "basins", "ascent", "modes", "null"],
    "text": ["tokenize", "vocabulary", "reading", "building", "corpus", "windows", "data", "grammar", "senses",
             "download", "named", "occurrences", "sense_sets", "pairs", "datasets"],
    "folders": [],
    "training": [],
    "embeddings": ["bound", "decoder", "encoder", "warm", "exchange", "base", "answers", "word", "latent", "point",
                   "gaussian", "mixture", "stochastic", "truncated", "peers"],
    "dequantise": ["base", "noise", "ordinal", "argmax", "bayes", "categorical", "truncated", "sequence", "tasks",
                   "colouring", "density"],
    "language": ["base", "alphabet", "words", "code", "transformations", "discrete", "stochastic", "tarflow",
                 "evaluation", "saving"],
    "evaluate": ["windows", "likelihood", "senses", "proposals", "diagnostics", "occurrence_diagnostics", "compare",
                 "clusters", "induction", "pairs", "systems", "claims", "commands"],
    "view": ["theme", "labels", "contours", "projection", "grids", "wording", "panels", "cells", "plots", "warps",
             "explorer", "export"],
    "": [],
    "demo": [],
    "cli": [],
    "__main__": [],
}  # fmt: skip
RANK = {room: rank for rank, room in enumerate(ORDER)}


def read(package: Path) -> dict[str, set[str]]:
    """The modules of a package by dotted name ("" for its root), each with those that it imports."""
    files = {name_of(path, package): path for path in sorted(package.rglob("*.py"))}
    return {name: imports(path, name, files, package.name) for name, path in files.items()}


def name_of(path: Path, package: Path) -> str:
    parts = path.relative_to(package).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path, name: str, files: dict[str, Path], package: str) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    only_for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for statement in node.body
        for inner in ast.walk(statement)
    }
    found = set()
    for node in ast.walk(tree):
        if id(node) in only_for_types:
            continue
        if isinstance(node, ast.Import):
            found |= {resolve(alias.name, files, package) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            source = ".".join(filter(None, [parent(path, name, node.level, package), node.module]))
            found |= {resolve(f"{source}.{alias.name}", files, package) for alias in node.names}
    return found - {None, name}


def parent(path: Path, name: str, level: int, package: str) -> str:
    """What the dots of `from ..x import y` stand for, "" when there are none."""
    if not level:
        return ""
    here = [package, *filter(None, name.split("."))]
    up = level - (path.name == "__init__.py")
    return ".".join(here[: len(here) - up])


def resolve(dotted: str, files: dict[str, Path], package: str) -> str | None:
    """The module that holds a dotted name: the longest start of it that is a file; None outside labkit."""
    head, *rest = dotted.split(".")
    if head != package:
        return None
    while rest and ".".join(rest) not in files:
        rest.pop()
    return ".".join(rest)


def violations(graph: dict[str, set[str]]) -> list[str]:
    found = []
    for name, targets in graph.items():
        room, _, inside = name.partition(".")
        if room not in ORDER:
            found.append(f"labkit/{room} has no place in the order: give it one in tests/test_layers.py")
            continue
        for target in targets:
            other, _, other_inside = target.partition(".")
            inner = {file: rank for rank, file in enumerate(ORDER[room])}
            rank, other_rank = inner.get(inside.partition(".")[0]), inner.get(other_inside.partition(".")[0])
            below = other in RANK and RANK[other] > RANK[room]
            later = other == room and None not in (rank, other_rank) and other_rank > rank
            if below or later:
                found.append(f"{name or 'labkit'} imports {target or 'labkit'}, which comes after it")
    return sorted(set(found))


def circle(graph: dict[str, set[str]]) -> list[str]:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


@pytest.fixture(scope="module")
def graph() -> dict[str, set[str]]:
    return read(ROOT / "labkit")


def test_rooms_import_only_rooms_above_them(graph):
    assert violations(graph) == []


def test_nothing_imports_in_a_circle(graph):
    assert circle(graph) == []


def test_embeddings_never_import_view(graph):
    offenders = {
        name
        for name, targets in graph.items()
        for target in targets
        if name.partition(".")[0] == "embeddings" and target.partition(".")[0] in ("view", "")
    }
    assert offenders == set()


CASES = {
    "room below": ({"flows/flow.py": "from labkit.text import corpus"}, "flows.flow imports text.corpus"),
    "room below, relative": ({"flows/flow.py": "from ..text.corpus import C"}, "flows.flow imports text."),
    "room below, lazily": ({"flows/flow.py": "def f():\n    import labkit.view"}, "flows.flow imports view"),
    "the root": ({"flows/flow.py": "import labkit as lk"}, "flows.flow imports labkit"),
    "file below": ({"flows/base.py": "from . import flow"}, "flows.base imports flows.flow"),
    "no such room": ({"attic.py": ""}, "labkit/attic has no place"),
    "room above": ({"text/corpus.py": "from labkit.flows import flow"}, None),
    "for types only": ({"flows/flow.py": "if TYPE_CHECKING:\n    from labkit.text import corpus"}, None),
}


@pytest.fixture
def small_package(tmp_path):
    """A package of four rooms, to which a case adds its own files."""

    def build(files):
        empty = ["__init__", "flows/__init__", "flows/flow", "flows/base"]
        empty += ["text/__init__", "text/corpus", "view/__init__"]
        for name, source in {**{f"{name}.py": "" for name in empty}, **files}.items():
            path = tmp_path / "labkit" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source)
        return read(tmp_path / "labkit")

    return build


@pytest.mark.parametrize("case", CASES)
def test_the_check_finds(case, small_package):
    files, expected = CASES[case]
    found = violations(small_package(files))
    assert [expected in message for message in found] == ([True] if expected else [])


def test_the_check_finds_a_circle(small_package):
    both_ways = {"flows/__init__.py": "from .flow import F", "flows/flow.py": "from labkit.flows import F"}
    graph = small_package(both_ways)
    assert set(circle(graph)) == {"flows", "flows.flow"}

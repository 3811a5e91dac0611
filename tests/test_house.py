"""The rules of the house that a machine can check: see CONTRIBUTING.md."""

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PACKAGE = sorted((ROOT / "labkit").rglob("*.py"))
SOURCES = sorted(
    path
    for room in ("labkit", "tests", "benchmarks")
    for path in (ROOT / room).rglob("*")
    if path.suffix in {".py", ".js", ".css"}
)
NOTEBOOKS = sorted([*ROOT.glob("notebooks/*.ipynb"), *ROOT.glob("notebooks/solutions/*.ipynb")])

LEFT_BY_TOOLS = {".venv", ".git", ".pytest_cache", ".ruff_cache", ".hypothesis", "__pycache__", "build"}
MADE_BY_USERS = {".ipynb_checkpoints", "runs", "exports", "dist"}
TEXT = {".py", ".md", ".txt", ".json", ".ipynb", ".js", ".css", ".html", ".csv", ".toml", ".yml", ".cff", ""}
MACHINE_PATH = re.compile(r"(?<![\w.:/~-])(?:/(?:root|work|opt|home/\w+|Users/\w+)/|[A-Z]:\\+Users\\)")

PICKLES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
PICKLES |= {"torch.load", "pd.read_pickle", "pandas.read_pickle", "allow_pickle=True"}


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def texts() -> list[Path]:
    found = []
    for folder, folders, files in os.walk(ROOT):
        folders[:] = sorted(set(folders) - LEFT_BY_TOOLS - MADE_BY_USERS)
        found += [Path(folder, file) for file in sorted(files) if Path(file).suffix in TEXT]
    return found


def version() -> str:
    init = ROOT / "labkit" / "__init__.py"
    if not init.exists():
        pytest.skip("no labkit/__init__.py yet")
    return re.search(r'^__version__ = "([^"]+)"', init.read_text(encoding="utf-8"), re.MULTILINE)[1]


def test_no_file_is_over_300_lines():
    lengths = {name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    assert {file: length for file, length in lengths.items() if length > 300} == {}


def test_nothing_is_called_utils():
    vague = re.compile(r"_?(utils?|helpers?|misc|common)")
    assert [name(path) for path in SOURCES if any(map(vague.fullmatch, (*path.parts, path.stem)))] == []


def imported(module: ast.Module) -> set[str]:
    names = {alias.name for node in ast.walk(module) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in ast.walk(module) if isinstance(node, ast.ImportFrom) if node.module}
    return {dotted.partition(".")[0] for dotted in names}


def reads_pickles(module: ast.Module) -> set[str]:
    """Imports of a pickling library, and calls that load a pickle under another name."""
    calls = [node for node in ast.walk(module) if isinstance(node, ast.Call)]
    called = {ast.unparse(call.func) for call in calls}
    flags = {f"{word.arg}={ast.unparse(word.value)}" for call in calls for word in call.keywords}
    return (imported(module) | called | flags) & PICKLES


def test_no_pickle_is_ever_loaded():
    found = {name(path): reads_pickles(tree(path)) for path in PACKAGE}
    assert {file: pickles for file, pickles in found.items() if pickles} == {}


@pytest.mark.parametrize(
    "source", ["import pickle", "from joblib import load", "torch.load(p)", "np.load(p, allow_pickle=True)"]
)
def test_the_check_finds_a_pickle(source):
    assert reads_pickles(ast.parse(source))


def test_a_user_error_is_never_an_assert():
    asserts = [
        f"{name(path)}:{node.lineno}"
        for path in PACKAGE
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Assert)
    ]
    assert asserts == [], "raise a ValueError or KeyError: what was got, what was expected, what to do"


def test_everything_public_has_a_docstring():
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    bare = [name(path) for path in PACKAGE if tree(path).body and not ast.get_docstring(tree(path))]
    bare += [
        f"{name(path)}: {node.name}"
        for path in PACKAGE
        for node in tree(path).body
        if isinstance(node, kinds) and not node.name.startswith("_") and not ast.get_docstring(node)
    ]
    assert bare == []


def test_shapes_are_not_postponed():
    """jaxtyping reads annotations when a function is defined; a postponed one is a string."""
    both = [name(path) for path in PACKAGE if {"__future__", "jaxtyping"} <= imported(tree(path))]
    assert both == []


def test_the_version_is_the_same_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## \[([^\]]+)\]", changelog, re.MULTILINE)
    assert citation["version"] == version()
    assert headings[0] == "Unreleased"
    assert headings[1:2] in ([], [version()]), "the newest release in CHANGELOG.md is not labkit.__version__"


def test_the_licence_is_the_same_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    licence = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert project["license"] == citation["license"] == "Apache-2.0"
    assert "Apache License" in licence and "Version 2.0, January 2004" in licence


def test_notebooks_are_kept_without_outputs():
    left = [
        name(path)
        for path in NOTEBOOKS
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
        if cell.get("outputs") or cell.get("execution_count")
    ]
    assert sorted(set(left)) == [], "run .venv/bin/nbstripout on them"


def test_no_file_names_a_folder_of_one_machine():
    found = {name(path): MACHINE_PATH.search(path.read_text("utf-8", errors="ignore")) for path in texts()}
    assert {file: match[0] for file, match in found.items() if match} == {}


@pytest.mark.parametrize("place", ["home/ada/x", "Users/ada/x", "root/x"])
def test_the_check_finds_such_a_folder(place):
    assert MACHINE_PATH.search(f"see /{place}") and not MACHINE_PATH.search(f"https://example.org/{place}")


def test_importing_labkit_leaves_torch_as_it_was():
    version()  # or there is nothing to import
    probe = """
import torch
from torch.distributions import Distribution
def state():
    return (torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled(), torch.initial_seed(),
            torch.get_float32_matmul_precision(), torch.are_deterministic_algorithms_enabled(),
            Distribution._validate_args, torch.get_rng_state().tolist())
before = state()
import labkit
raise SystemExit(state() != before)
"""
    assert subprocess.run([sys.executable, "-c", probe], cwd=ROOT, check=False).returncode == 0

"""environment.yml and constraints.txt agree with pyproject.toml, the source of truth."""

import re
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
INSTALLED_BY_MAKE = [Requirement(line) for line in PROJECT["dependencies"] + EXTRAS["dev"]]
PIN = re.compile(r"([A-Za-z0-9._-]+)==([A-Za-z0-9.]+)")  # no address, no hash, no local build

# What a CUDA build of torch brings belongs to that build, and pip to the interpreter.
NOT_PINNED = re.compile(r"nvidia-.*|cuda-.*|triton|pip|labkit")


def lines() -> list[str]:
    text = (ROOT / "constraints.txt").read_text()
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def pins() -> dict[str, str]:
    return {canonicalize_name(match[1]): match[2] for match in map(PIN.fullmatch, lines()) if match}


def installed_closure(requirements) -> set[str]:
    """The names that these requirements bring, directly or not, in this environment."""
    found, todo = set(), [(requirement, "") for requirement in requirements]
    while todo:
        requirement, extra = todo.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        wanted = {(name, extra) for extra in {"", *requirement.extras}} - found
        found |= wanted
        try:
            needs = [Requirement(line) for line in distribution(name).requires or []]
        except PackageNotFoundError:
            continue  # an environment made by other means than `make` may lack a tool
        todo += [(need, extra) for _, extra in wanted for need in needs]
    return {name for name, _ in found if not NOT_PINNED.fullmatch(name)}


def test_environment_yml_holds_python_pip_and_this_project_only():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert environment["name"] == PROJECT["name"]
    assert environment["dependencies"] == [f"python{PROJECT['requires-python']}", "pip", {"pip": ["-e ."]}]


def test_every_constraint_is_a_plain_pin():
    assert [line for line in lines() if not PIN.fullmatch(line)] == []
    assert len(pins()) == len(lines()), "a package is pinned twice"


@pytest.mark.parametrize("requirement", INSTALLED_BY_MAKE, ids=lambda requirement: requirement.name)
def test_the_pin_satisfies_pyproject(requirement):
    name = canonicalize_name(requirement.name)
    assert name in pins(), f"constraints.txt does not pin {name}"
    assert requirement.specifier.contains(pins()[name], prereleases=True)


@pytest.mark.parametrize("extra", EXTRAS)
def test_what_is_pinned_of_an_extra_satisfies_it(extra):
    pinned = {need: pins().get(canonicalize_name(need.name)) for need in map(Requirement, EXTRAS[extra])}
    assert [str(need) for need, version in pinned.items() if version and version not in need.specifier] == []


def test_everything_that_comes_with_a_dependency_is_pinned():
    assert sorted(installed_closure(INSTALLED_BY_MAKE) - pins().keys()) == []


def test_torch_is_the_tested_one():
    assert pins()["torch"] == "2.13.0"
    assert "torch==2.13.0" in (ROOT / "Makefile").read_text()

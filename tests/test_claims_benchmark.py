"""benchmarks/claims.py: cells are kept, a set that is not there is said, and the tables hold what the cells found."""

import json
import sys
from importlib import import_module
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
INTERVAL = {"accuracy": 0.6, "accuracy_low": 0.5, "accuracy_high": 0.7, "commoner": 0.5, "pairs": 100}


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    return import_module("claims")


@pytest.fixture
def made(bench, monkeypatch) -> list:
    """Cells of the built-in corpus and of real text without their work; the list of those that were made."""
    cells = []

    def built_in(preset, name, share, seed):
        cells.append((name, share, seed))
        better = {"flow": 0.0, "gaussian": 0.1, "point": 0.3}[name]
        return [{"table": "built-in", "system": name, "share": share, "nats": 5 + better + 0.01 * seed, "steps": 10}]

    monkeypatch.setattr(bench.claim_cells, "built_in", built_in)
    monkeypatch.setattr(bench.claim_cells, "real", lambda work, name, share, seed: [
        {"table": "real text", "system": name, "share": share, "nats": 7.0}
    ])  # fmt: skip
    monkeypatch.setattr(bench.Bench, "_work", lambda self: None)
    return cells


def run(bench, capsys, folder, *arguments):
    bench.main(["--folder", str(folder), *arguments])
    return capsys.readouterr()


def test_cells_that_are_finished_are_kept(bench, made, tmp_path, capsys):
    arguments = ["--preset", "table", "--claims", "generalisation", "--json"]
    first = json.loads(run(bench, capsys, tmp_path, *arguments).out)
    n = len(made)
    assert n == 5 * 5 * 3 and len(set(made)) == n
    again = json.loads(run(bench, capsys, tmp_path, *arguments).out)
    assert len(made) == n and again == first
    (tmp_path / "cells" / "built-in-flow-0.01-3.json").unlink()
    part = json.loads(run(bench, capsys, tmp_path, *arguments, "--finished").out)  # no cell is made
    assert len(made) == n and len(part["rows"]) == len(first["rows"]) - 1
    run(bench, capsys, tmp_path, *arguments)
    assert made[n:] == [("flow", 0.01, 3)]
    run(bench, capsys, tmp_path, *arguments, "--seeds", "2")  # fewer seeds are those that are there
    assert len(made) == n + 1
    run(bench, capsys, tmp_path, "--preset", "minutes", "--claims", "generalisation")
    assert len(made) > n + 1  # another ladder of steps


def test_the_table_has_means_intervals_and_paired_differences(bench, made, tmp_path, capsys):
    page = tmp_path / "page.md"
    arguments = ["--preset", "table", "--claims", "generalisation", "--markdown", str(page)]
    run(bench, capsys, tmp_path, *arguments, "--results", str(tmp_path / "results.json"))
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["command"].startswith("python benchmarks/claims.py --preset table --corpus wikinews")
    assert {"table": "built-in", "system": "flow", "share": 1.0}.items() <= results["means"][12].items()
    text = page.read_text(encoding="utf-8")
    assert "- 1%, flow before gaussian: +0.1000 [+0.1000, +0.1000] (5 seeds)" in text
    assert "| flow | 100% |" in text and "(2 seed(s))" in text
    rows = [{"table": "wic", "system": "flow", "seed": seed, **INTERVAL} for seed in (0, 1)]
    text = bench.markdown({"rows": rows, "skipped": {"wic-2": "it rained"}})
    assert "| flow | 0.600 [0.500, 0.700] | 0.500 ± 0.000 | 100 |" in text and "Left out: wic-2, it rained" in text


def test_a_set_that_is_not_there(bench, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("LABKIT_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match="LABKIT_DATA is not set"):
        run(bench, capsys, tmp_path, "--claims", "transitions")
    with pytest.raises(ValueError, match="no cell could be made: .*LABKIT_DATA is not set"):
        run(bench, capsys, tmp_path, "--claims", "transitions", "--skip-missing")
    assert "transitions-0: left out" in capsys.readouterr().err


def test_every_figure_of_a_table_has_a_title(bench):
    assert set(bench.FIGURES) == set(bench.TITLES)
    assert "claims" in sys.modules

"""benchmarks/dequantise.py runs, prints what it promises, and goes on where it was stopped."""

import json
import math
from importlib import import_module
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
PROMISED = {
    "task", "scheme", "bits", "bits_corrected", "stderr", "optimum", "validity", "validity_rejected", "seconds",
    "budget",
}  # fmt: skip
SMOKE = ["--preset", "smoke", "--workers", "1", "--device", "cpu"]


@pytest.fixture(scope="module")
def module():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        yield import_module("dequantise")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("dequantise")


def run(module, capsys, folder, *more):
    module.main([*SMOKE, "--folder", str(folder), *more])
    return capsys.readouterr().out


def test_every_scheme_has_a_row_with_the_promised_figures(module, folder, capsys):
    printed = json.loads(run(module, capsys, folder, "--json", "--markdown", str(folder / "table.md")))
    rows = printed["rows"]
    assert {(row["task"], row["scheme"]) for row in rows} == {
        (task, scheme) for task in ("shuffling-4", "colouring") for scheme in module.SCHEMES
    }
    for row in rows:
        assert set(row) >= PROMISED
        assert math.isfinite(row["bits"]) and row["stderr"] > 0 and 0 <= row["validity"] <= 1
        assert row["bits_corrected"] is None or row["bits_corrected"] <= row["bits"] + 1e-9
    budgets = {(row["task"], row["scheme"]): row["budget"] for row in rows}
    assert [key for key, budget in budgets.items() if budget == "full"] == [("shuffling-4", "truncated")]
    table = (folder / "table.md").read_text(encoding="utf-8")
    assert table.count("\n") == 2 + len(rows)


def test_finished_cells_are_read_and_not_run_again(module, folder, capsys, monkeypatch):
    monkeypatch.setattr(module, "train", None)  # would fail if called
    only = ("--task", "shuffling-4", "--scheme", "truncated")
    first, again = (json.loads(run(module, capsys, folder, "--json", *only))["rows"] for _ in range(2))
    assert first == again and len(first) == 1


def test_several_seeds_have_a_standard_error(module, folder, capsys):
    only = ("--task", "shuffling-4", "--scheme", "categorical", "--seeds", "2")
    (row,) = json.loads(run(module, capsys, folder, "--json", *only))["rows"]
    cells = [json.loads((folder / "smoke" / f"shuffling-4-categorical-{seed}.json").read_text()) for seed in (0, 1)]
    assert row["bits"] == pytest.approx((cells[0]["bits"] + cells[1]["bits"]) / 2)
    assert row["stderr_seeds"] == pytest.approx(abs(cells[0]["bits"] - cells[1]["bits"]) / 2) and row["seeds"] == 2


def test_presets_cover_what_is_asked_of_them(module):
    minutes, paper = module.PRESETS["minutes"], module.PRESETS["paper"]
    assert minutes.tasks == module.SMALL_TASKS and minutes.schemes == module.SCHEMES
    assert minutes.full_on == module.SETS and set(minutes.full) == {"categorical", "truncated"}
    assert paper.steps == 100_000 and paper.batch == 1024 and paper.dim == 4
    for preset in module.PRESETS.values():
        assert set(preset.tasks) <= set(module.TASKS) and set(preset.full_on) <= set(preset.tasks)
    # the largest spread of bits a variable that these tasks have is under one bit
    assert 0.9 / math.sqrt(minutes.test) < 0.01

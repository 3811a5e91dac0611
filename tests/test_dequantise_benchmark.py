"""benchmarks/dequantise.py runs, prints what it promises, and goes on where it was stopped."""

import json
import math
from importlib import import_module
from pathlib import Path

import pytest
import torch

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
def cells(module):
    return import_module("dequantise_cells")


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
    assert [(row["scheme"], row["variant"]) for row in rows if row["variant"]] == [
        ("categorical", "flows"), ("categorical", "variational"), ("truncated", "flows")
    ]  # fmt: skip
    for row in rows:
        assert set(row) >= PROMISED
        assert math.isfinite(row["bits"]) and row["stderr"] > 0 and 0 <= row["validity"] <= 1
        assert row["bits_corrected"] is None or row["bits_corrected"] <= row["bits"] + 1e-9
    full = [(row["task"], row["scheme"], row["variant"]) for row in rows if row["budget"] == "full"]
    assert full == [("shuffling-4", "truncated", None)]
    table = (folder / "table.md").read_text(encoding="utf-8")
    assert table.count("\n") == 2 + len(rows)


def test_finished_cells_are_read_and_not_run_again(module, cells, folder, capsys, monkeypatch):
    monkeypatch.setattr(cells, "train", None)  # would fail if called
    only = ("--task", "shuffling-4", "--scheme", "truncated")
    first, again = (json.loads(run(module, capsys, folder, "--json", *only))["rows"] for _ in range(2))
    assert first == again and [row["variant"] for row in first] == [None, "flows"]


def test_a_cell_that_was_interrupted_is_not_finished_and_ends_as_if_it_had_not_been(
    module, cells, folder, capsys, tmp_path
):
    only = ("--task", "shuffling-4", "--scheme", "uniform")
    plain = cells.train

    def stopped(*arguments, **options):
        def press(step, figure):
            if step == 1:
                raise KeyboardInterrupt

        return plain(*arguments, **options, callback=press)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(cells, "train", stopped)
        run(module, capsys, tmp_path, *only)
    assert (tmp_path / "smoke" / "shuffling-4-uniform-coupling-0").is_dir() and not list(tmp_path.glob("smoke/*.json"))
    (resumed,) = json.loads(run(module, capsys, tmp_path, "--json", *only))["rows"]
    (straight,) = json.loads(run(module, capsys, folder, "--json", *only))["rows"]
    for row in (resumed, straight):
        del row["seconds"], row["processor_seconds"]
    assert resumed == straight


def test_a_worker_that_was_interrupted_begins_nothing_more(cells, monkeypatch):
    monkeypatch.setattr(cells.Worker, "interrupted", True)
    monkeypatch.setattr(cells, "run_cell", None)  # would fail if called
    with pytest.raises(KeyboardInterrupt):
        cells.Worker.run("smoke", cells.Cell("shuffling-4", "uniform", "coupling", 2), 0, "cpu", ".")


def test_several_seeds_have_a_standard_error(module, folder, capsys):
    only = ("--task", "shuffling-4", "--scheme", "argmax", "--seeds", "2")
    (row,) = json.loads(run(module, capsys, folder, "--json", *only))["rows"]
    cells = [json.loads((folder / "smoke" / f"shuffling-4-argmax-coupling-{seed}.json").read_text()) for seed in (0, 1)]
    assert row["bits"] == pytest.approx((cells[0]["bits"] + cells[1]["bits"]) / 2)
    assert row["stderr_seeds"] == pytest.approx(abs(cells[0]["bits"] - cells[1]["bits"]) / 2) and row["seeds"] == 2


def test_a_finished_cell_of_other_settings_is_not_taken_for_this_one(cells, folder, monkeypatch):
    monkeypatch.setattr(cells, "train", lambda *_, **__: [])  # as if stopped at once
    (cell,) = [c for c in cells.PRESETS["smoke"].cells if c.name == "shuffling-4-truncated-coupling"]
    with pytest.raises(KeyboardInterrupt):
        cells.run_cell("smoke", cell._replace(steps=cell.steps + 1), 0, "cpu", str(folder))


def test_presets_cover_what_is_asked_of_them(module, cells):
    everything = {(task, scheme) for task in (*cells.SETS, *cells.SEQUENCES) for scheme in cells.SCHEMES}
    minutes, hour, paper = (cells.PRESETS[name] for name in ("minutes", "hour", "paper"))
    pairs = [(cell.task, cell.scheme) for cell in minutes.cells]
    assert len(pairs) == len(everything) and set(pairs) == everything  # one row each
    assert {cell.task for cell in minutes.cells if cell.budget == "full"} == set(cells.SETS)
    assert {cell.task for cell in minutes.cells if cell.budget == "short"} == set(cells.SEQUENCES)
    assert hour.seeds == 3 and {cell.budget for cell in hour.cells} == {"full"}
    assert {(cell.task, cell.scheme) for cell in hour.cells} == everything
    assert {cell.prior for cell in (*minutes.cells, *hour.cells)} == {"autoregressive"}
    assert {cell.prior for cell in cells.PRESETS["couplings"].cells} == {"coupling"}
    assert {(cell.scheme, cell.variant) for cell in hour.cells if cell.variant} == set(cells.VARIANTS)
    assert {cell.steps for cell in paper.cells} == {100_000} and paper.batch == 1024 and paper.dim == 4
    for name, preset in cells.PRESETS.items():
        assert {cell.task for cell in preset.cells} <= set(cells.TASKS)
        assert len({cell.name for cell in preset.cells}) == len(preset.cells)  # a file for each
        # the largest spread of bits a variable that these tasks have is under one bit
        assert name == "smoke" or 0.9 / math.sqrt(preset.test) < 0.01


@pytest.mark.parametrize("prior", ["coupling", "autoregressive"])
def test_couplings_know_no_order_and_an_autoregressive_prior_does(cells, prior):
    task, preset = cells.TASKS["shuffling-4"](), cells.PRESETS["smoke"]
    model = cells.model_of(cells.Cell("shuffling-4", "categorical", prior, 2), task, preset)
    order = torch.arange(task.positions).roll(1)
    with torch.no_grad():
        for weight in model.prior.parameters():
            weight.add_(0.1 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(weight.numel())))
        z = torch.randn(5, task.positions, model.dequantiser.dim, generator=torch.Generator().manual_seed(0))
        gap = model.prior().log_prob(z.flatten(1)) - model.prior().log_prob(z[:, order].flatten(1))
    assert (gap.abs().max() > 1e-3) == (prior == "autoregressive")

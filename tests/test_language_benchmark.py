"""benchmarks/language.py runs, prints what it promises, and goes on where it was stopped."""

import json
import math
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
PROMISED = {
    "model", "bpc", "stderr", "bound", "parameters", "tokens_per_second", "sample_tokens_per_second", "samples", "gap",
    "ece", "memory_mib", "draw", "cloze_bits", "cloze_accuracy", "cloze_ece", "cloze_ece_chance", "cloze_sequences",
    "cloze_bound",
}  # fmt: skip
SMOKE = ["--preset", "smoke", "--workers", "1", "--device", "cpu"]


@pytest.fixture(scope="module")
def module():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        yield import_module("language")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("language")


def run(module, capsys, folder, *more):
    module.main([*SMOKE, "--folder", str(folder), *more])
    return capsys.readouterr().out


def test_every_model_has_a_row_with_the_promised_figures(module, folder, capsys):
    printed = json.loads(run(module, capsys, folder, "--json", "--markdown", str(folder / "table.md")))
    rows = {row["model"]: row for row in printed["rows"]}
    assert set(rows) == set(module.MODELS) and len(printed["rows"]) == 5
    for row in rows.values():
        assert set(row) >= PROMISED and len(row["draw"]) == module.PRESETS["smoke"].length
        assert math.isfinite(row["bpc"]) and row["stderr"] > 0 and row["sample_tokens_per_second"] > 0
    assert [rows[name]["bound"] for name in ("mix-d", "discrete", "stochastic")] == ["elbo", "exact", "iw-2"]
    assert {"z_kl", "z_nats", "z_nats_shuffled", "bpc_elbo"} <= set(rows["stochastic"])
    assert (folder / "table.md").read_text(encoding="utf-8").count("\n") == 2 + 5


def test_finished_cells_are_read_and_not_run_again(module, folder, capsys, monkeypatch):
    monkeypatch.setattr(module, "train", None)  # would fail if called
    first, again = (json.loads(run(module, capsys, folder, "--json"))["rows"] for _ in range(2))
    assert first == again and len(first) == 5


def test_seeds_are_averaged_with_their_spread(module):
    cell = {"model": "discrete", "corpus": 10, "gap": 0.1, "stderr": 0.3, "seed": 0, "ece": None}
    one, other = {"bpc": 2.0, "cloze_bits": 1.0, "speed": None}, {"bpc": 2.2, "cloze_bits": 1.5, "speed": 7.0}
    (row,) = module.over_seeds([cell | one, cell | other])
    assert row["cloze_bits"] == pytest.approx(1.25) and row["speed"] == 7.0 and row["ece"] is None
    assert row["stderr"] == 0.3
    assert row["bpc"] == pytest.approx(2.1) and row["seeds"] == 2
    assert row["bpc_stderr_seeds"] == pytest.approx(0.1) and row["gap_stderr_seeds"] == pytest.approx(0)


def test_two_processes_of_accelerate_launch_make_the_model_of_one(module, folder, capsys, tmp_path):
    rows = json.loads(run(module, capsys, folder, "--json"))["rows"]
    alone = next(row for row in rows if row["model"] == "discrete")
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2",
              "--main_process_port", "0"]  # fmt: skip
    command = [*launch, BENCHMARKS / "language.py", *SMOKE, "--model", "discrete", "--json", "--folder", tmp_path]
    done = subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (together,) = json.loads(done.stdout)["rows"]  # one report, of the first process
    assert together["bpc"] == pytest.approx(alone["bpc"], abs=1e-5)
    assert together["bpc_train"] == pytest.approx(alone["bpc_train"], abs=1e-5)


def test_another_corpus_by_its_path(module, folder, capsys, tmp_path):
    text = tmp_path / "mine.txt"
    found = []
    for line in ("We sat on the grassy bank of the river.\n", "The bank lends money.\n"):  # the same path, a new text
        text.write_text(line * 40, encoding="utf-8")
        printed = run(module, capsys, tmp_path, "--json", "--corpus", str(text), "--model", "discrete")
        found.append(json.loads(printed)["rows"][0])
    assert found[0]["corpus"] < 40 * 40 and found[1]["bpc"] != found[0]["bpc"]


def test_presets_cover_what_is_asked_of_them(module):
    minutes, hours, gpu = (module.PRESETS[name] for name in ("minutes", "hours", "gpu"))
    assert minutes.corpus == hours.corpus == gpu.corpus == "enwiki2018"
    assert len(hours.sizes) == 3 and hours.seeds == (0, 1, 2) and gpu.precision == "bfloat16"
    parameters = {
        name: sum(weight.numel() for weight in module.build(name, minutes).parameters()) for name in module.MODELS
    }
    assert max(parameters.values()) < 1.15 * parameters["discrete"]  # about as many in all
    assert parameters["mix-d"] < 1.05 * parameters["discrete"]

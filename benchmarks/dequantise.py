"""Five ways of dequantising on tasks whose optimum is known: bits per variable, and what share of draws is valid.

Every scheme has the same prior: layers of [mixture-CDF coupling with a transformer, linear map, affine map per
coordinate] over n points. `bits` is −ELBO with hard edges, `bits_corrected` the same with log₂ Z of the prior
renormalised on the union of supports, Z estimated from independent draws; both per variable, on fresh sequences.
Nothing can be below `optimum` by more than its error. `validity` is the share of valid sequences among draws of the
model, `validity_rejected` among draws with z in the union of supports: that rejection removes points which no token
could have become, and knows nothing of the task; a colouring with two red neighbours is made of perfectly good points.

    minutes   four set tasks, categorical and truncated at full budget, everything else short (marked so)
    paper     16 elements, 100,000 steps of the published recipe: for a GPU
    smoke     a few steps of tiny models, to see that everything runs

A cell (task, scheme, seed) that is finished is read from its file in --folder; one that was interrupted goes on from
its checkpoint (its `seconds` are then those of the last part). Cells share the --workers processes, one thread each.

    python benchmarks/dequantise.py --preset minutes [--folder runs/dequantise] [--workers 2] [--json] [--markdown FILE]
"""

import argparse
import json
import math
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from pathlib import Path

import torch

from labkit.dequantise import (
    ArgmaxDequantiser,
    BinaryArgmaxDequantiser,
    CategoricalDequantiser,
    DequantisedDensity,
    Dequantiser,
    GraphColouring,
    MarkovLanguage,
    QuantisedEightGaussians,
    SetShuffling,
    SetSummation,
    Task,
    TaskBatches,
    TokenNoise,
    TruncatedDequantiser,
    UniformDequantiser,
    VariationalDequantiser,
    coupling_flow,
)
from labkit.training import one_thread, pick_device, train

TASKS: dict[str, Callable[[], Task]] = {
    "shuffling-4": lambda: SetShuffling(4),
    "shuffling-8": lambda: SetShuffling(8),
    "shuffling-16": lambda: SetShuffling(16),
    "summation-4": lambda: SetSummation(4, 10),
    "summation-8": lambda: SetSummation(8, 21),
    "summation-16": lambda: SetSummation(16, 42),
    "colouring": lambda: GraphColouring.random(nodes=10),
    "gaussians8": lambda: QuantisedEightGaussians(levels=24),
    "markov": lambda: MarkovLanguage(vocabulary_size=8, length=8),
}
SCHEMES = ("uniform", "variational", "argmax", "categorical", "truncated")
SMALL_TASKS = ("shuffling-4", "shuffling-8", "summation-4", "summation-8", "colouring", "gaussians8", "markov")
SETS = ("shuffling-4", "shuffling-8", "summation-4", "summation-8")
HEADINGS = (
    "task", "scheme", "bits", "bits_corrected", "stderr", "optimum", "validity", "validity_rejected", "acceptance",
    "budget", "steps", "seconds",
)  # fmt: skip


@dataclass(frozen=True)
class Preset:
    """What is run, and how long: full cells are the schemes of `full` on the tasks of `full_on`."""

    tasks: tuple[str, ...] = SMALL_TASKS
    schemes: tuple[str, ...] = SCHEMES
    full: tuple[str, ...] = ("categorical", "truncated")
    full_on: tuple[str, ...] = SETS
    steps: int = 5000
    short_steps: int = 500
    batch: int = 128
    learning_rate: float = 8e-3
    dim: int = 2
    layers: int = 6
    network: dict[str, int] = field(default_factory=lambda: {"width": 48, "blocks": 1, "heads": 4, "bins": 24})
    test: int = 8192  # sequences on which bits are measured
    normaliser: int = 16_384  # draws of the prior for Z
    draws: int = 2000  # for validity


TINY_NETWORK = {"width": 8, "heads": 2, "bins": 4}
PRESETS = {
    "minutes": Preset(),
    "paper": Preset(
        tasks=("shuffling-16", "summation-16"), schemes=("categorical", "truncated"),
        full_on=("shuffling-16", "summation-16"), steps=100_000, batch=1024, learning_rate=7.5e-4, dim=4,
        layers=8, network={"width": 256, "blocks": 2, "heads": 4, "bins": 24},
    ),
    "smoke": Preset(
        tasks=("shuffling-4", "colouring"), full=("truncated",), full_on=("shuffling-4",), steps=4, short_steps=2,
        batch=16, layers=1, network=TINY_NETWORK, test=64, normaliser=64, draws=20,
    ),
}  # fmt: skip


def dequantiser(scheme: str, task: Task, dim: int) -> Dequantiser:
    """The scheme's dequantiser for a task; noise that sees the other tokens knows positions where the task has them."""
    size, positions = task.vocabulary_size, task.positions if task.ordered else None
    if scheme == "argmax":
        # One coordinate for each token while these are few, since codes of bits leave orthants without a token.
        few = size < 4
        noise = TokenNoise(size, size if few else BinaryArgmaxDequantiser.bits(size), positions=positions)
        return ArgmaxDequantiser(size, noise) if few else BinaryArgmaxDequantiser(size, noise)
    if scheme == "variational":
        return VariationalDequantiser(size, dim, TokenNoise(size, dim, positions=positions))
    plain = {"uniform": UniformDequantiser, "categorical": CategoricalDequantiser, "truncated": TruncatedDequantiser}
    return plain[scheme](size, dim)


def run_cell(name: str, task_name: str, scheme: str, seed: int, device: str, folder: str) -> dict:
    """Train one scheme on one task and measure it, or read what an earlier run has written."""
    preset, place = PRESETS[name], Path(folder) / name / f"{task_name}-{scheme}-{seed}"
    result = place.with_suffix(".json")
    if result.exists():
        return json.loads(result.read_text(encoding="utf-8"))
    place.parent.mkdir(parents=True, exist_ok=True)
    where, task = pick_device(device), TASKS[task_name]()
    budget = "full" if scheme in preset.full and task_name in preset.full_on else "short"
    steps = preset.steps if budget == "full" else preset.short_steps
    torch.manual_seed(seed)
    code = dequantiser(scheme, task, preset.dim)
    prior = coupling_flow(task.positions, code.dim, task.ordered, preset.layers, **preset.network)
    model = DequantisedDensity(code, prior).to(where)
    started = time.perf_counter()
    with one_thread(where):
        train(
            model, TaskBatches(task, preset.batch, seed, where), steps, preset.learning_rate, seed, progress=False,
            checkpoint=place, checkpoint_every=500, resume=place.exists(),
        )  # fmt: skip
        seconds = time.perf_counter() - started
        row = {"task": task_name, "scheme": scheme, "seed": seed, "budget": budget, "steps": steps, "seconds": seconds}
        row |= measure(model, task, preset, torch.Generator(where).manual_seed(10**6 + seed))
    result.write_text(json.dumps(row), encoding="utf-8")
    return row


def measure(model: DequantisedDensity, task: Task, preset: Preset, generator: torch.Generator) -> dict:
    """Bits with hard edges, raw and corrected, and the validity of draws without and with rejection."""
    where = generator.device
    fresh = torch.Generator().manual_seed(generator.initial_seed())
    normaliser = model.estimate_normaliser(preset.normaliser, generator)
    chunks = [
        model.elbo(task.draw(min(1024, preset.test - start), fresh).to(where), generator, normaliser)
        for start in range(0, preset.test, 1024)
    ]
    raw, corrected = (torch.cat(figures) for figures in zip(*chunks, strict=True))
    plain = model.sample(preset.draws, generator, reject=False)
    kept = model.sample(preset.draws, generator)
    return {
        "bits": raw.mean().item(),
        "bits_corrected": corrected.mean().item() if normaliser.acceptance else None,
        "stderr": raw.std().item() / math.sqrt(preset.test),
        "stderr_log2_z": normaliser.standard_error / math.log(2) / task.positions if normaliser.acceptance else None,
        "optimum": task.optimum,
        "validity": task.valid(plain.tokens).double().mean().item(),
        "validity_rejected": task.valid(kept.tokens).double().mean().item() if len(kept.tokens) else None,
        "acceptance": normaliser.acceptance,
        "parameters": sum(weight.numel() for weight in model.parameters()),
    }


def over_seeds(cells: list[dict]) -> list[dict]:
    """One row for each task and scheme: means, and the standard error of bits between seeds where there are several."""
    rows = []
    for key in dict.fromkeys((cell["task"], cell["scheme"]) for cell in cells):
        same = [cell for cell in cells if (cell["task"], cell["scheme"]) == key]
        row = {**same[0], "seeds": len(same)}
        del row["seed"]
        for name in ("bits", "bits_corrected", "validity", "validity_rejected", "acceptance", "seconds"):
            known = [cell[name] for cell in same if cell[name] is not None]
            row[name] = sum(known) / len(known) if known else None
        row["stderr"] = math.sqrt(sum(cell["stderr"] ** 2 for cell in same)) / len(same)
        if len(same) > 1:
            spread = sum((cell["bits"] - row["bits"]) ** 2 for cell in same) / (len(same) - 1)
            row["stderr_seeds"] = math.sqrt(spread / len(same))
        rows.append(row)
    return rows


def table(rows: list[dict]) -> str:
    """The rows in Markdown; a figure that could not be had is a dash."""
    lines = ["| " + " | ".join(HEADINGS) + " |", "|" + "---|" * len(HEADINGS)]
    for row in rows:
        cells = [f"{row[key]:.3f}" if isinstance(row[key], float) else str(row[key] or "–") for key in HEADINGS]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", choices=PRESETS, default="minutes")
    parser.add_argument("--folder", default="runs/dequantise", help="where finished cells and checkpoints are kept")
    parser.add_argument("--task", action="append", choices=TASKS, help="only this task (may be repeated)")
    parser.add_argument("--scheme", action="append", choices=SCHEMES, help="only this scheme (may be repeated)")
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each cell, seeds 0, 1, … (default 1)")
    parser.add_argument("--workers", type=int, default=2, help="cells at a time (default 2; 1 on a GPU)")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    parser.add_argument("--markdown", type=Path, help="write the table to this file")
    options = parser.parse_args(arguments)
    preset, device = PRESETS[options.preset], pick_device(options.device)
    cells = [
        (options.preset, task, scheme, seed, str(device), options.folder)
        for task in preset.tasks
        for scheme in preset.schemes
        for seed in range(options.seeds)
        if task in (options.task or preset.tasks) and scheme in (options.scheme or preset.schemes)
    ]
    if device.type == "cuda" or options.workers == 1:
        done = [run_cell(*cell) for cell in cells]
    else:
        with ProcessPoolExecutor(options.workers, mp_context=get_context("spawn")) as pool:
            done = list(pool.map(run_cell, *zip(*cells, strict=True)))
    rows = over_seeds(done)
    if options.markdown:
        options.markdown.write_text(table(rows) + "\n", encoding="utf-8")
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU, one thread a cell"
    report = {"preset": options.preset, "device": name, "torch": torch.__version__, "settings": asdict(preset)}
    print(json.dumps({**report, "rows": rows}) if options.json else table(rows))


if __name__ == "__main__":
    main()

"""Five ways of dequantising on tasks whose optimum is known: bits per variable, and what share of draws is valid.

Two priors: "autoregressive", layers of [autoregressive mixture-CDF with a causal transformer, affine map per
coordinate]; and "coupling", layers of [mixture-CDF coupling with a transformer, linear map, affine map per coordinate],
which know no order of positions, as in the set tasks there is none, and learn more slowly. `bits` is −ELBO with hard
edges, `bits_corrected` the same with log₂ Z of the prior renormalised on the union of supports, Z estimated from
independent draws; both per variable, on fresh sequences. `validity` is the share of valid sequences among draws of the
model, `validity_rejected` among draws with z in the union of supports: that rejection removes points that no token can
become, and knows nothing of the task: the points of red neighbours are good points too.

    minutes   one seed, the autoregressive prior: every scheme on four set tasks, and shortly (marked so) on sequences
    hour      three seeds: the same with more steps, and the variants of two schemes
    couplings categorical and truncated with couplings on the four set tasks
    paper     16 elements, 100,000 steps of the published recipe: for a GPU
    smoke     a few steps of tiny models, to see that everything runs

A cell (task, scheme, prior, seed) that is finished is read from its file in --folder; one that was interrupted, by
Ctrl-C or worse, goes on from its checkpoint (its `seconds` are then those of the last part). Cells share the --workers
processes, one thread each. "categorical" is the mixture of logistics; rows with a `variant` are a scheme's other forms.

    python benchmarks/dequantise.py --preset minutes [--folder runs/dequantise] [--workers 2] [--json] [--markdown FILE]
"""

import argparse
import json
import math
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from statistics import stdev

import torch
from dequantise_cells import PRESETS, SCHEMES, TASKS, Worker, run_cell

from labkit.training import pick_device

HEADINGS = (
    "task", "scheme", "variant", "prior", "bits", "bits_corrected", "stderr", "stderr_seeds", "optimum", "validity",
    "validity_rejected", "acceptance", "budget", "steps", "seconds",
)  # fmt: skip


def over_seeds(cells: list[dict]) -> list[dict]:
    """One row for each model and task: means, and the standard error of bits between seeds where there are several."""
    rows, names = [], ("task", "scheme", "variant", "prior")
    for key in dict.fromkeys(tuple(cell[name] for name in names) for cell in cells):
        same = [cell for cell in cells if tuple(cell[name] for name in names) == key]
        row = {**same[0], "seeds": len(same)}
        del row["seed"]
        for name in (
            "bits",
            "bits_corrected",
            "validity",
            "validity_rejected",
            "acceptance",
            "seconds",
            "processor_seconds",
        ):
            known = [cell[name] for cell in same if cell[name] is not None]
            row[name] = sum(known) / len(known) if known else None
        row["stderr"] = math.sqrt(sum(cell["stderr"] ** 2 for cell in same)) / len(same)
        several = len(same) > 1
        row["stderr_seeds"] = stdev(cell["bits"] for cell in same) / math.sqrt(len(same)) if several else None
        rows.append(row)
    return rows


def table(rows: list[dict]) -> str:
    """The rows in Markdown; a figure that could not be had is a dash."""
    lines = ["| " + " | ".join(HEADINGS) + " |", "|" + "---|" * len(HEADINGS)]
    for row in rows:
        cells = [f"{row[key]:.4g}" if isinstance(row[key], float) else str(row[key] or "–") for key in HEADINGS]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", choices=PRESETS, default="minutes")
    parser.add_argument("--folder", default="runs/dequantise", help="where finished cells and checkpoints are kept")
    parser.add_argument("--task", action="append", choices=TASKS, help="only this task (may be repeated)")
    parser.add_argument("--scheme", action="append", choices=SCHEMES, help="only this scheme (may be repeated)")
    parser.add_argument("--seeds", type=int, help="trainings of each cell, seeds 0, 1, … (default: the preset's)")
    parser.add_argument("--workers", type=int, default=2, help="cells at a time (default 2; 1 on a GPU)")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    parser.add_argument("--markdown", type=Path, help="write the table to this file")
    options = parser.parse_args(arguments)
    preset, device = PRESETS[options.preset], pick_device(options.device)
    cells = [
        (options.preset, cell, seed, str(device), options.folder)
        for cell in preset.cells
        for seed in range(options.seeds or preset.seeds)
        if cell.task in (options.task or TASKS) and cell.scheme in (options.scheme or SCHEMES)
    ]
    if device.type == "cuda" or options.workers == 1:
        done = [run_cell(*cell) for cell in cells]
    else:
        with ProcessPoolExecutor(options.workers, mp_context=get_context("spawn")) as pool:
            done = list(pool.map(Worker.run, *zip(*cells, strict=True)))
    rows = over_seeds(done)
    if options.markdown:
        options.markdown.write_text(table(rows) + "\n", encoding="utf-8")
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU, one thread a cell"
    settings = {name: value for name, value in asdict(preset).items() if name != "cells"}
    report = {"preset": options.preset, "device": where, "torch": torch.__version__, "settings": settings}
    print(json.dumps({**report, "rows": rows}) if options.json else table(rows))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit("Stopped. The same command goes on from here.") from None

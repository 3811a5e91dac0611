"""The cells of benchmarks/dequantise.py: tasks, presets, and how one model is trained and measured."""

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

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
    VariationalCategoricalDequantiser,
    VariationalDequantiser,
    autoregressive_flow,
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
    "colouring": lambda: GraphColouring.random(nodes=12, degree=3.0),  # 312 colourings
    "gaussians8": lambda: QuantisedEightGaussians(levels=24),
    "markov": lambda: MarkovLanguage(vocabulary_size=8, length=8),
}
SETS = ("shuffling-4", "shuffling-8", "summation-4", "summation-8")
SEQUENCES = ("colouring", "gaussians8", "markov")
SCHEMES = ("uniform", "variational", "argmax", "categorical", "truncated")
VARIANTS = (("categorical", "flows"), ("categorical", "variational"), ("truncated", "flows"))
WIDTH = 0.99  # of supports at the start: a prior that knows nothing yet cannot follow edges


class Cell(NamedTuple):
    """One model on one task, and how many steps it gets."""

    task: str
    scheme: str
    prior: str
    steps: int
    budget: str = "full"
    variant: str | None = None

    @property
    def name(self) -> str:
        return "-".join(filter(None, (self.task, self.scheme, self.variant, self.prior)))


@dataclass(frozen=True)
class Preset:
    """Which cells are run, on how many seeds, and the size of models and figures."""

    cells: tuple[Cell, ...]
    seeds: int = 1
    batch: int = 128
    learning_rate: float = 8e-3
    dim: int = 2  # coordinates of a token under couplings, which keep one of them; of an autoregressive prior's, 1
    layers: dict[str, int] = field(default_factory=lambda: {"coupling": 6, "autoregressive": 2})
    network: dict[str, int] = field(default_factory=lambda: {"width": 48, "blocks": 1, "heads": 4, "bins": 24})
    test: int = 8192  # sequences on which bits are measured
    normaliser: int = 16_384  # draws of the prior for Z
    draws: int = 2000  # for validity


def _cells(tasks, schemes, prior: str, steps: int, budget: str = "full") -> tuple[Cell, ...]:
    return tuple(Cell(task, scheme, prior, steps, budget) for task in tasks for scheme in schemes)


def _sets(steps: int) -> tuple[Cell, ...]:
    """Every scheme on the four set tasks, the larger two with so many steps."""
    eights = _cells(("shuffling-8", "summation-8"), SCHEMES, "autoregressive", steps)
    return eights + _cells(("shuffling-4", "summation-4"), SCHEMES, "autoregressive", 1500)


PRESETS = {
    "minutes": Preset(_sets(2500) + _cells(SEQUENCES, SCHEMES, "autoregressive", 500, "short")),
    "hour": Preset(
        _sets(3200)
        + _cells(SEQUENCES, SCHEMES, "autoregressive", 1000)
        + tuple(Cell("shuffling-4", scheme, "autoregressive", 1500, variant=form) for scheme, form in VARIANTS),
        seeds=3,
    ),
    "couplings": Preset(
        _cells(("shuffling-4", "summation-4"), SCHEMES[3:], "coupling", 5000)
        + _cells(("shuffling-8", "summation-8"), SCHEMES[3:], "coupling", 4500)
    ),
    "paper": Preset(
        _cells(("shuffling-16", "summation-16"), SCHEMES[3:], "coupling", 100_000),
        batch=1024, learning_rate=7.5e-4, dim=4, layers={"coupling": 8},
        network={"width": 256, "blocks": 2, "heads": 4, "bins": 24},
    ),
    "smoke": Preset(
        (Cell("shuffling-4", "truncated", "coupling", 4),)
        + _cells(("shuffling-4",), SCHEMES[:4], "coupling", 2, "short")
        + _cells(("colouring",), SCHEMES, "autoregressive", 2, "short")
        + tuple(Cell("shuffling-4", scheme, "coupling", 2, "short", form) for scheme, form in VARIANTS),
        batch=16, layers={"coupling": 1, "autoregressive": 1}, test=64, normaliser=64, draws=20,
        network={"width": 8, "heads": 2, "bins": 4},
    ),
}  # fmt: skip


def dequantiser(cell: Cell, task: Task, dim: int) -> Dequantiser:
    """The scheme's dequantiser for a task; noise that sees the other tokens knows positions where the prior does."""
    size, positions = task.vocabulary_size, task.positions if cell.prior == "autoregressive" else None
    scheme = ":".join(filter(None, (cell.scheme, cell.variant)))
    if scheme == "argmax":
        few = size < 4  # one coordinate for each token then, since codes of bits leave orthants without a token
        noise = TokenNoise(size, size if few else BinaryArgmaxDequantiser.bits(size), positions=positions)
        return ArgmaxDequantiser(size, noise) if few else BinaryArgmaxDequantiser(size, noise)
    if scheme == "variational":
        return VariationalDequantiser(size, dim, TokenNoise(size, dim, positions=positions))
    if scheme == "categorical:variational":
        return VariationalCategoricalDequantiser(size, dim, TokenNoise(size, dim, positions=positions))
    others = {
        "uniform": UniformDequantiser,
        "categorical": CategoricalDequantiser,
        "categorical:flows": CategoricalDequantiser.with_flows,
        "truncated": partial(TruncatedDequantiser, width=WIDTH),
        "truncated:flows": TruncatedDequantiser.with_flows,
    }
    return others[scheme](size, dim)


def model_of(cell: Cell, task: Task, preset: Preset) -> DequantisedDensity:
    """The scheme with its prior: couplings know no order, an autoregressive prior does."""
    ordered, layers = cell.prior == "autoregressive", preset.layers[cell.prior]
    code = dequantiser(cell, task, 1 if ordered else preset.dim)
    if ordered:
        prior = autoregressive_flow(task.positions, code.dim, layers, **preset.network)
    else:
        prior = coupling_flow(task.positions, code.dim, False, layers, **preset.network)
    return DequantisedDensity(code, prior)


def run_cell(name: str, cell: Cell, seed: int, device: str, folder: str) -> dict:
    """Train one scheme on one task and measure it, or read what an earlier run has written."""
    preset, place = PRESETS[name], Path(folder) / name / f"{cell.name}-{seed}"
    result = place.with_suffix(".json")
    row = {**cell._asdict(), "seed": seed}
    if result.exists():
        known = json.loads(result.read_text(encoding="utf-8"))
        if known.items() >= row.items():
            return known
    place.parent.mkdir(parents=True, exist_ok=True)
    where, task = pick_device(device), TASKS[cell.task]()
    torch.manual_seed(seed)
    model = model_of(cell, task, preset).to(where)
    started = time.perf_counter(), time.process_time()
    with one_thread(where):
        losses = train(
            model, TaskBatches(task, preset.batch, seed, where), cell.steps, preset.learning_rate, seed,
            progress=False, checkpoint=place, checkpoint_every=500, resume=place.exists(),
        )  # fmt: skip
        if len(losses) < cell.steps:  # Ctrl-C, which `train` meets by writing its checkpoint and going home
            raise KeyboardInterrupt
        row["seconds"] = time.perf_counter() - started[0]
        row["processor_seconds"] = time.process_time() - started[1]
        row |= measure(model, task, preset, torch.Generator(where).manual_seed(10**6 + seed))
    place.with_suffix(".part").write_text(json.dumps(row), encoding="utf-8")
    place.with_suffix(".part").replace(result)
    return row


class Worker:
    """`run_cell` in a process of its own. Ctrl-C reaches every process, which then begins no cell of those queued."""

    interrupted = False

    @classmethod
    def run(cls, *cell) -> dict:
        try:
            if cls.interrupted:
                raise KeyboardInterrupt
            return run_cell(*cell)
        except KeyboardInterrupt:
            cls.interrupted = True
            raise


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

"""What a training step costs at a vocabulary of 100,000 words, over what it costs at 10,000.

Steps of both models alternate in one process, so that a busy machine slows both alike; medians are compared. Tables
are read and updated row by row, so that the ratio should stay near 1; what is left of it is the wider spread of rows
in memory.

    python benchmarks/bench_vocabulary.py [--steps 40] [--repeats 5] [--json]
"""

import argparse
import json
import statistics
import time

import numpy as np
import torch

from labkit import GaussianEmbedding, PointEmbedding, StochasticEmbedding
from labkit.text import WindowBatch
from labkit.training import Optimizers, pick_device

SIZES = (10_000, 100_000)
WINDOWS, LENGTH = 256, 8  # a batch


def batches(n_words: int, n: int, seed: int = 0) -> list[WindowBatch]:
    """Windows of words drawn by Zipf's law, as those of a text are."""
    rng = np.random.default_rng(seed)
    share = 1 / np.arange(1, n_words + 1)
    ids = rng.choice(n_words, size=(n, WINDOWS, LENGTH + 1), p=share / share.sum())
    there = np.ones((WINDOWS, LENGTH), dtype=bool)
    return [WindowBatch(row[:, 0], row[:, 1:], there, row[:, 0]) for row in ids]


class Steps:
    """Training steps of a fresh model over so many words, one batch after the other."""

    def __init__(self, kind, n_words: int, device: torch.device, n: int):
        counts = np.maximum(1, 1e7 / np.arange(1, n_words + 1)).astype(int)
        self.model = kind(init=None)
        self.model._build(n_words, torch.as_tensor(counts))
        self.model.register_buffer("_centre_rows", torch.arange(n_words), persistent=False)
        self.model.to(device).train()
        self.optimizers = Optimizers(self.model, 0.005)
        self.generator, self.batches, self.device = torch.Generator(device).manual_seed(0), batches(n_words, n), device

    def seconds(self, number: int) -> float:
        """How long one step takes."""
        started = time.perf_counter()
        loss, _ = self.model.loss(self.batches[number % len(self.batches)], self.generator, 0.5)
        self.optimizers.step(loss, 1.0)
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - started


def measure(kind, steps: int, repeats: int, device: torch.device) -> dict:
    """Median milliseconds a step at both sizes, and their ratio: the median over repeats, and its extremes."""
    runs = [Steps(kind, size, device, steps) for size in SIZES]
    ratios, medians = [], {size: [] for size in SIZES}
    for repeat in range(repeats + 1):
        took = np.array([[run.seconds(number) for run in runs] for number in range(steps)])
        if repeat:  # the first only warms up
            small, large = np.median(took, axis=0)
            ratios.append(large / small)
            medians[SIZES[0]].append(1000 * small)
            medians[SIZES[1]].append(1000 * large)
    return {
        "model": kind.__name__,
        **{f"ms_at_{size}": statistics.median(values) for size, values in medians.items()},
        "ratio": statistics.median(ratios), "lowest": min(ratios), "highest": max(ratios),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=40, help="a repeat (default 40)")
    parser.add_argument("--repeats", type=int, default=5, help="after one that warms up (default 5)")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    options = parser.parse_args()
    device = pick_device(options.device)
    torch.set_num_threads(1)
    kinds = (PointEmbedding, GaussianEmbedding, StochasticEmbedding)
    rows = [measure(kind, options.steps, options.repeats, device) for kind in kinds]
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU, one thread"
    if options.json:
        print(json.dumps({"device": name, "torch": torch.__version__, "models": rows}))
        return
    print(f"{name}, torch {torch.__version__}; {WINDOWS} windows of {LENGTH} words a step")
    for row in rows:
        print(
            f"{row['model']:20s} {row['ms_at_10000']:6.2f} ms at 10,000 words, "
            f"{row['ms_at_100000']:6.2f} ms at 100,000: "
            f"{row['ratio']:.2f} times ({row['lowest']:.2f} to {row['highest']:.2f})"
        )


if __name__ == "__main__":
    main()

"""The drop between two modes that noise alone brings about: refits of the word prior to one Gaussian.

    python benchmarks/mode_null.py --replicates 100 --sizes 100 300 1000 3000

For each size n, a spline flow of the word prior's architecture is fitted to `replicates` samples of n points from one
standard Gaussian, all of them jointly, each with an embedding row of its own as context, as the words of a vocabulary
are, and by the schedule of `StochasticEmbedding`: each point is seen about five times. The 95 % point of the second
mode's drop is the threshold for a word with n occurrences. Writes the table that `labkit.density.NullTable.load` reads.
"""

import argparse
import time
from pathlib import Path

import torch
from torch import Tensor, nn

from labkit.density import NullTable, null_drops, null_threshold
from labkit.flows import neural_spline_flow

TABLE = Path(__file__).parents[1] / "labkit" / "density" / "mode_null.json"
LEVEL, MIN_MASS = 0.95, 0.05


def fit_flow(points: Tensor, steps: int, passes: int, rate: float, width: int, seed: int, device: str) -> list:
    """One density for each of the R samples in points (R, n, k), by Adam on the joint mean of -log p."""
    replicates, n, k = points.shape
    steps = min(steps, passes * n)
    batch = -(-passes * n // steps)
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(seed)
        flow = neural_spline_flow(features=k, context_features=width, layers=2)
    rows = nn.Parameter(0.1 * torch.randn(replicates, width, generator=generator))
    model = nn.ParameterDict({"rows": rows}).to(device)
    points, flow = points.to(device), flow.to(device)
    optimiser = torch.optim.Adam([*flow.parameters(), *model.parameters()], lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    each = torch.arange(replicates, device=device)
    for _ in range(steps):
        chosen = torch.randint(n, (min(batch, n), replicates), generator=generator).to(device)
        loss = -flow(model["rows"]).log_prob(points[each, chosen]).mean()  # (batch, R, k) under R densities
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    flow.requires_grad_(False)
    return [flow(row) for row in model["rows"].detach()]


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 300, 1000, 3000], help="ascending")
    parser.add_argument("--replicates", type=int, default=100, help="fits per size, at least 19")
    parser.add_argument("--features", type=int, default=2, help="k, coordinates of the density")
    parser.add_argument("--steps", type=int, default=1800, help="at most")
    parser.add_argument("--passes", type=int, default=5, help="how often each point is seen")
    parser.add_argument("--rate", type=float, default=8e-3, help="Adam's step size at the start")
    parser.add_argument("--width", type=int, default=32, help="context features")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=TABLE)
    options = parser.parse_args()
    names = ("steps", "passes", "rate", "width", "seed", "device")
    training = {name: getattr(options, name) for name in names}
    thresholds = []
    for n in options.sizes:
        start = time.perf_counter()
        drops = null_drops(
            lambda points: fit_flow(points, **training),
            n, options.replicates, options.features, options.seed, MIN_MASS,
        )  # fmt: skip
        thresholds.append(round(null_threshold(drops, LEVEL), 4))
        several = (drops > 0).float().mean().item()
        print(
            f"n = {n:5d}: {several:4.0%} with a second mode, median drop {drops.median():.3f}, "
            f"{LEVEL:.0%} point {thresholds[-1]:.3f} nats, {time.perf_counter() - start:.0f} s"
        )
    settings = {"flow": "neural_spline_flow", "features": options.features, "replicates": options.replicates}
    settings |= {name: value for name, value in training.items() if name != "device"}
    NullTable(options.sizes, thresholds, LEVEL, MIN_MASS, settings).save(options.out)


if __name__ == "__main__":
    main()

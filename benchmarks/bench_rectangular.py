"""Rectangular flows against known answers: a density on a circle, a gradient without a value, a planted rank.

1. *Circle.* A von Mises density (κ = 1) on the unit circle, learned as a curve in the plane. Its entropy is the best
   NLL, log 2π I₀(1) − I₁(1)/I₀(1) = 1.6274 nats. A curve has two ends and a circle has none: at the seam one chart
   leaves a gap, and figures are given away from it (more than 0.3 rad) and at it.
2. *Gradient.* The stochastic gradient of ½ log det JᵀJ against the exact one, k = 4, batch 256: cosine and relative
   error by probes and by the tolerance of conjugate gradients; then milliseconds of both by k.
3. *Rank.* Curved surfaces of rank r in 8 dimensions with noise of 0.05: how many coordinates ARD keeps, beside how
   many principal components stand above twice the noise.

    python benchmarks/bench_rectangular.py [--only circle gradient rank] [--seeds 3] [--json]
"""

import argparse
import json
import math
import statistics
import time

import numpy as np
import torch
from scipy.special import i0, i1

from labkit.flows import Compose, Coupling, ElementwiseAffine, RationalQuadraticSpline, neural_spline_flow
from labkit.flows.injective import InjectiveFlow, InjectiveMap
from labkit.flows.injective_gradient import RelevantDimensions, log_det_surrogate, rectangular_loss
from labkit.training import Optimizers, learning_rate_factor

OPTIMUM = math.log(2 * math.pi * i0(1)) - i1(1) / i0(1)
AWAY = 0.3  # rad from the seam


def couplings(features, layers, hidden, bijection=None):
    bijection = bijection or ElementwiseAffine()
    return Compose([Coupling(bijection, features, 0, hidden, swap=i % 2 == 1) for i in range(layers)])


def fit(module, loss, steps, learning_rate):
    optimizers = Optimizers(module, learning_rate)
    for step in range(steps):
        optimizers.step(loss(), learning_rate_factor(step / steps, steps))


# --- 1: circle --------------------------------------------------------------------------------------------------


def on_circle(angle: torch.Tensor) -> torch.Tensor:
    return torch.stack((angle.sin(), angle.cos()), -1)


def circle(seed: int, steps: int = 700) -> dict:
    """Train on 5,000 points, ask on 20,000 others."""
    torch.manual_seed(seed)
    g, rng = torch.Generator().manual_seed(seed), np.random.default_rng(seed)
    flow = InjectiveFlow(neural_spline_flow(1, layers=1), couplings(2, 4, (32, 32)))
    x = on_circle(torch.as_tensor(rng.vonmises(0, 1, 5000), dtype=torch.float32))
    started = time.perf_counter()
    fit(flow, lambda: rectangular_loss(flow, x[torch.randint(5000, (256,), generator=g)]).loss, steps, 1e-2)
    seconds = time.perf_counter() - started
    angle = torch.as_tensor(rng.vonmises(0, 1, 20_000), dtype=torch.float32)
    with torch.no_grad():
        p = flow()
        log_prob, error = p.log_prob(on_circle(angle)), p.reconstruction_error(on_circle(angle))
        turn = torch.linspace(-math.pi, math.pi, 4001)
        z = p.coordinates(on_circle(turn))[:, 0]
    seam = turn[z.diff().abs().argmax()]  # where the coordinate runs back from one end of the curve to the other
    away = (torch.remainder(angle - seam + math.pi, 2 * math.pi) - math.pi).abs() > AWAY
    excess = angle.cos() - math.log(2 * math.pi * i0(1)) - log_prob  # over the true density, point by point
    return {
        "seed": seed, "optimum": OPTIMUM, "nll": OPTIMUM + excess.mean().item(), "seconds": seconds,
        "excess_away": excess[away].mean().item(),
        "absolute_excess_away": excess[away].abs().mean().item(), "rmse_away": error[away].mean().sqrt().item(),
        "excess_at_seam": excess[~away].mean().item(), "rmse_at_seam": error[~away].mean().sqrt().item(),
        "share_at_seam": (~away).float().mean().item(), "seam_rad": seam.item(),
    }  # fmt: skip


# --- 2: gradient ------------------------------------------------------------------------------------------------


def random_map(k, features, bijection=None, seed=0):
    torch.manual_seed(seed)
    embed = InjectiveMap(k, couplings(features, 4, (32,), bijection), basis=True).double()
    with torch.no_grad():
        for weight in embed.parameters():
            weight += 0.3 * torch.randn_like(weight) * (weight.shape[-1] ** -0.5 if weight.ndim == 2 else 0.5)
    return embed


def gradient_of(value, weights):
    return torch.cat([g.flatten() for g in torch.autograd.grad(value.mean(), weights)])


def gradients(repeats: int = 5) -> list[dict]:
    """Cosine with the exact gradient and relative error, medians over repeats, k = 4 of 8, batch 256."""
    rows = []
    for name, bijection in (("affine", None), ("spline", RationalQuadraticSpline())):
        embed = random_map(4, 8, bijection)
        z = torch.randn(256, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        weights = list(embed.parameters())
        exact = gradient_of(embed.log_volume(z), weights)
        for tolerance in (1.0, 1e-1, 1e-3):
            for probes in (1, 4, 16):
                found = []
                for seed in range(repeats):
                    g = torch.Generator().manual_seed(seed)
                    value = log_det_surrogate(embed, z, probes=probes, tolerance=tolerance, generator=g)
                    found.append(gradient_of(value, weights))
                bias = (torch.stack(found).mean(0) - exact).norm() / exact.norm()
                cosines = [torch.cosine_similarity(f, exact, 0).item() for f in found]
                errors = [((f - exact).norm() / exact.norm()).item() for f in found]
                rows.append({
                    "bijection": name, "tolerance": tolerance, "probes": probes, "cosine": statistics.median(cosines),
                    "relative_error": statistics.median(errors), "relative_error_of_mean": bias.item(),
                })  # fmt: skip
    return rows


def times(features: int = 64, repeats: int = 7) -> list[dict]:
    """Processor milliseconds of value and backward at one probe against the exact term, by k; batch 256."""
    rows = []
    for k in (1, 4, 16, 48):
        embed = random_map(k, features)
        z, weights = torch.randn(256, k, dtype=torch.float64), list(embed.parameters())
        row = {"k": k, "features": features}
        for name, value in (
            ("exact_ms", lambda e=embed, z=z: e.log_volume(z)),
            ("one_probe_ms", lambda e=embed, z=z: log_det_surrogate(e, z)),
            ("one_probe_loose_ms", lambda e=embed, z=z: log_det_surrogate(e, z, tolerance=0.1)),
        ):
            clock = []
            for _ in range(repeats):
                started = time.process_time()
                gradient_of(value(), weights)
                clock.append(1000 * (time.process_time() - started))
            row[name] = statistics.median(clock)
        rows.append(row)
    return rows


# --- 3: rank ----------------------------------------------------------------------------------------------------


def planted(rank, features=8, points=1000, noise=0.05, seed=0):
    """t standard normal (rank), every other direction a sine of t; turned at random; noise in all directions."""
    g = torch.Generator().manual_seed(seed)
    t = torch.randn(points, rank, generator=g)
    bends = 0.5 * torch.sin(1.5 * t @ torch.randn(rank, features - rank, generator=g) * rank**-0.5)
    turn = torch.linalg.qr(torch.randn(features, features, generator=g))[0]
    return torch.cat([t, bends], 1) @ turn.T + noise * torch.randn(points, features, generator=g)


def rank(r: int, seed: int, steps: int = 1500, candidates: int = 6) -> dict:
    """Coordinates kept by ARD of `candidates`, and principal components above twice the noise."""
    torch.manual_seed(seed)
    x, g = planted(r, seed=seed), torch.Generator().manual_seed(seed)
    x = x - x.mean(0)
    _, values, axes = torch.linalg.svd(x, full_matrices=False)
    spread = values / len(x) ** 0.5
    embed = InjectiveMap(candidates, couplings(8, 4, (64,)), basis=True)
    embed.pads[0].start_at(axes[:candidates].T)
    model = RelevantDimensions(embed, spread[:candidates])
    fit(model, lambda: model.loss(x[torch.randint(len(x), (250,), generator=g)], len(x), g), steps, 5e-3)
    return {
        "rank": r, "seed": seed, "found": int(model.count()), "principal_components": int((spread > 0.1).sum()),
        "relevance": [round(v, 3) for v in model.relevance().sort(descending=True).values.tolist()],
        "noise": model.log_noise.exp().item(),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=("circle", "gradient", "rank"), default=None)
    parser.add_argument("--seeds", type=int, default=3, help="of circle and rank (default 3)")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    wanted = arguments.only or ("circle", "gradient", "rank")
    results = {}
    if "circle" in wanted:
        results["circle"] = [circle(seed) for seed in range(arguments.seeds)]
    if "gradient" in wanted:
        results["gradient"], results["milliseconds"] = gradients(), times()
    if "rank" in wanted:
        results["rank"] = [rank(r, seed) for r in (1, 2, 3, 4) for seed in range(arguments.seeds)]
    if arguments.json:
        print(json.dumps(results))
        return
    for name, rows in results.items():
        print(f"\n{name}")
        for row in rows:
            print("  ", ", ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()))


if __name__ == "__main__":
    main()

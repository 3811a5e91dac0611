"""CirculantDiagonal against a dense matrix of the same size: log-determinant, inverse, and a whole training step.

Everything is timed as a function of the parameters, as a training step has to recompute it: W has just changed, so
nothing is kept from one call to the next. A round takes each contestant once, in turn, in one process, so that a busy
machine slows all alike; a speed-up is the median over rounds of the ratio within a round, with its quartiles.

    log-det   log|det W|: slogdet of the dense W; sums of logs for CirculantDiagonal
    inverse   u = W⁻¹ z for a batch of z: dense by solve, or by inv and a matrix product, whichever is faster
    step      inverse_and_log_det and its gradients in the parameters; dense by slogdet and solve
    LU        the same figures for LULinear, whose W has as many entries as the dense one, but comes in factors

    python benchmarks/bench_circulant.py [--batch 256] [--rounds 31] [--sizes 8 96] [--device auto] [--json]
"""

import argparse
import json
import time
from collections.abc import Callable

import numpy as np
import torch

from labkit.flows.circulant import CirculantDiagonal
from labkit.flows.linear import DenseLinear, LinearTransform, LULinear
from labkit.training import pick_device

SIZES = (8, 16, 32, 48, 64, 96, 128, 192, 256, 512)
ROUND = 0.003  # seconds that one contestant's turn should last, so that the clock's own cost vanishes
PUBLISHED = {"log-det": 4.31, "inverse": 1.17}  # at n = 96 on a GPU: arXiv 2510.25323


def layers(n: int, diagonals: int, device: torch.device) -> dict[str, LinearTransform]:
    """A CirculantDiagonal away from its start, and the other layers with the very same W."""
    generator = torch.Generator().manual_seed(n)
    ring = CirculantDiagonal(n, diagonals, bias=False)
    dense = DenseLinear(n, bias=False)
    with torch.no_grad():
        for weight in ring.parameters():
            weight.copy_(0.2 * torch.randn(weight.shape, generator=generator))
        dense.weight.copy_(ring.matrix())
    triangular = LULinear.from_matrix(dense.weight, bias=False)
    return {"circulant": ring.to(device), "dense": dense.to(device), "LU": triangular.to(device)}


def contestants(n: int, batch: int, diagonals: int, device: torch.device) -> dict[str, dict[str, Callable]]:
    """For every task, what each contestant does in it."""
    ring, dense, triangular = layers(n, diagonals, device).values()
    z = torch.randn(batch, n, generator=torch.Generator().manual_seed(0)).to(device)

    def step(layer: LinearTransform) -> Callable:
        weights = list(layer.parameters())

        def run():
            u, log_det = layer.inverse_and_log_det(z)
            return torch.autograd.grad((0.5 * u.square().sum(-1) - log_det).mean(), weights)

        return run

    return {
        "log-det": {
            "circulant": no_grad(ring.log_abs_det),
            "dense": no_grad(dense.log_abs_det),
            "LU": no_grad(triangular.log_abs_det),
        },
        "inverse": {
            "circulant": no_grad(lambda: ring.solve(z)),
            "dense, solve": no_grad(lambda: dense.solve(z)),
            "dense, inv": no_grad(lambda: z @ torch.linalg.inv_ex(dense.weight).inverse.mT),
            "LU": no_grad(lambda: triangular.solve(z)),
        },
        "step": {"circulant": step(ring), "dense": step(dense), "LU": step(triangular)},
    }


def no_grad(run: Callable) -> Callable:
    return torch.no_grad()(lambda: run())


def seconds(run: Callable, calls: int, device: torch.device) -> float:
    """Seconds a call, over so many in a row; on a CPU the processor's own, so that other programs do not count."""
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    started = clock()
    for _ in range(calls):
        run()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return (clock() - started) / calls


def measure(runs: dict[str, Callable], rounds: int, device: torch.device) -> dict[str, np.ndarray]:
    """Seconds a call of every contestant, round by round."""
    calls = {}
    for name, run in runs.items():
        seconds(run, 5, device)  # warms up
        calls[name] = max(1, round(ROUND / seconds(run, 5, device)))
    rows = [{name: seconds(run, calls[name], device) for name, run in runs.items()} for _ in range(rounds)]
    return {name: np.array([row[name] for row in rows]) for name in runs}


def compare(task: str, n: int, took: dict[str, np.ndarray]) -> dict:
    """One row of the table: median microseconds, and the speed-ups over the fastest dense way and over LU."""
    dense = min((name for name in took if name.startswith("dense")), key=lambda name: np.median(took[name]))
    row = {"task": task, "n": n, "dense_way": dense}
    row["microseconds"] = {name: 1e6 * float(np.median(values)) for name, values in took.items()}
    for rival, label in ((dense, "over_dense"), ("LU", "over_LU")):
        low, middle, high = np.quantile(took[rival] / took["circulant"], [0.25, 0.5, 0.75])
        row[label] = {"median": float(middle), "quartiles": [float(low), float(high)]}
    return row


def crossover(rows: list[dict], task: str) -> int | None:
    """The smallest size from which on CirculantDiagonal is faster than dense at every size tried."""
    found = None
    for row in sorted((row for row in rows if row["task"] == task), key=lambda row: -row["n"]):
        if row["over_dense"]["median"] <= 1:
            break
        found = row["n"]
    return found


def show(rows: list[dict], report: dict) -> None:
    print(
        f"{report['device']}, torch {report['torch']}; float32, batch {report['batch']}, "
        f"{report['diagonals']} diagonal factors; medians of {report['rounds']} rounds"
    )
    for task, cross in report["crossover"].items():
        where = "nowhere" if cross is None else f"from n = {cross} on"
        print(f"\n{task}: CirculantDiagonal is faster than dense {where}")
        print(f"{'n':>5} {'circulant':>13} {'dense':>13} {'LU':>13}   dense / circulant     LU / circulant")
        for row in (row for row in rows if row["task"] == task):
            took, ratio, lu = row["microseconds"], row["over_dense"], row["over_LU"]
            low, high = ratio["quartiles"]
            goal = PUBLISHED.get(task) if row["n"] == 96 else None
            print(
                f"{row['n']:5d} {took['circulant']:10.1f} µs {took[row['dense_way']]:10.1f} µs {took['LU']:10.1f} µs"
                f"  {ratio['median']:6.2f} ({low:.2f}–{high:.2f})  {lu['median']:9.2f}"
                + (f"   published: {goal}" if goal else "")
                + (f"   ({row['dense_way']})" if task == "inverse" else "")
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--batch", type=int, default=256, help="points a call (default 256)")
    parser.add_argument("--diagonals", type=int, default=2, help="of CirculantDiagonal (default 2)")
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    options = parser.parse_args()
    torch.set_num_threads(1)
    device = pick_device(options.device)
    rows = []
    for n in options.sizes:
        for task, runs in contestants(n, options.batch, options.diagonals, device).items():
            rows.append(compare(task, n, measure(runs, options.rounds, device)))
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU, one thread"
    report = {
        "device": name, "torch": torch.__version__, "batch": options.batch, "diagonals": options.diagonals,
        "rounds": options.rounds, "crossover": {task: crossover(rows, task) for task in ("log-det", "inverse", "step")},
    }  # fmt: skip
    if options.json:
        print(json.dumps({**report, "rows": rows}))
    else:
        show(rows, report)


if __name__ == "__main__":
    main()

"""What labkit's flows cost beside those of zuko, nflows and normflows, and beside their bare matrix products.

    python benchmarks/flows.py [--case spline] [--rounds 15] [--threads 1] [--device cuda] [--compile]
    python benchmarks/flows.py --json
    python benchmarks/flows.py --markdown flows.md --plot flows.svg

Every library builds the same flow, with the same number of parameters (`flow_cases.py`), and is asked in turns within
one process (`interleaved.py`): medians and quartiles of the times, and of labkit's time over zuko's round by round.
The weights differ by library and so do the densities; that the same weights give the same density is a test,
tests/test_oracle_zuko.py. log_prob and sample run without gradients, backward is the forward and backward pass of the
mean negative log_prob.
"""

import argparse
import importlib
import json
import os
import platform
import sys
from pathlib import Path

import torch
from flow_cases import CASES, Case, build, floor, question
from flow_report import markdown, plot
from flow_rivals import Rival, import_zuko
from interleaved import interleaved, quartiles

from labkit.training import pick_device

FLOOR = "matrix products"
OPTIONAL = ("nflows", "normflows")

# The ratios that are kept watch over: labkit's time over the time of another.
RATIOS = {
    "spline_log_prob": ("spline", "log_prob", "zuko"),
    "spline_backward": ("spline", "backward", "zuko"),
    "maf_sample": ("maf", "sample", "zuko"),
    "ar_spline_sample": ("ar_spline", "sample", "zuko"),
    "grid_one_word": ("grid", "grid", "zuko"),
    "notebook_spline": ("notebook", "backward", "zuko"),
    "spline_log_prob_floor": ("spline", "log_prob", FLOOR),
}


def installed(library: str) -> bool:
    """Whether an optional peer is there; if not, one sentence says so."""
    try:
        importlib.import_module(library)
    except ImportError:
        print(f"{library} is not installed and is left out: pip install {library}", file=sys.stderr)
        return False
    return True


def rivals_of(case: Case, absent: set[str], options: argparse.Namespace) -> dict[str, Rival]:
    """The flows of a case by library, checked to be of one size.

    Raises:
        RuntimeError: if two libraries' flows differ in their number of parameters.
    """

    def fresh(library: str) -> Rival:
        return build(case, library, torch.Generator().manual_seed(options.seed), options.device)

    found = {library: fresh(library) for library in case.rivals if library not in absent}
    counts = {library: rival.parameters for library, rival in found.items()}
    if len(set(counts.values())) > 1:
        raise RuntimeError(
            f"expected flows with the same number of parameters in the case '{case.about}'; got {counts}. "
            "They are not the same flow, and the ratio of their times means nothing"
        )
    if options.compile and not case.autoregressive:  # sampling feature by feature, unrolled, compiles for minutes
        found |= {f"{library}, compiled": fresh(library).compiled() for library in ("labkit", "zuko")}
    return found


def measure(name: str, case: Case, absent: set[str], options: argparse.Namespace) -> list[dict]:
    """A row for every library and direction, with the time of each round."""
    rivals, device = rivals_of(case, absent, options), options.device
    generator, rows = torch.Generator().manual_seed(options.seed), []
    points, context = (tensor.to(device) for tensor in case.points_and_context(generator))
    synchronise = (lambda: torch.cuda.synchronize(device)) if device.type == "cuda" else (lambda: None)
    for direction in case.directions:
        functions = {library: question(rival, direction, points, context) for library, rival in rivals.items()}
        for library, function in functions.items():
            if not function().isfinite().all():
                raise RuntimeError(f"{library} gave a value that is not finite in '{case.about}', {direction}")
        if direction != "grid":  # there a library may do with fewer rows than the grid has points
            functions[FLOOR] = floor(case, direction, generator, device)
        times = interleaved(functions, options.rounds, calls=case.calls, seed=options.seed, synchronise=synchronise)
        for library, took in times.items():
            parameters = rivals[library].parameters if library in rivals else None
            row = {"case": name, "direction": direction, "library": library, "parameters": parameters}
            rows.append(row | {"times": took})
    return rows


def summary(rows: list[dict]) -> tuple[list[dict], dict[str, float]]:
    """Quartiles in the place of times, and the ratios: medians over rounds.

    Each row is given labkit's time over its own as well, which is what its library would save by labkit's layers.
    """
    times = {(row["case"], row["direction"], row["library"]): row["times"] for row in rows}

    def over(case: str, direction: str, library: str) -> list[float]:
        pairs = zip(times[case, direction, "labkit"], times[case, direction, library], strict=True)
        return [mine / theirs for mine, theirs in pairs]

    short = []
    for row in rows:
        took = quartiles(row["times"])
        ratio = quartiles(over(row["case"], row["direction"], row["library"]))
        kept = {key: value for key, value in row.items() if key != "times"}
        kept |= {"median_ms": took.median, "lower_ms": took.lower, "upper_ms": took.upper}
        short.append(kept | {"labkit_over_it": ratio.median, "lower_ratio": ratio.lower, "upper_ratio": ratio.upper})
    ratios = {key: quartiles(over(*where)).median for key, where in RATIOS.items() if where in times}
    return short, ratios


def processor() -> str:
    """The name of the CPU, where the system tells it."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text(encoding="utf-8").splitlines() if told.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return (names or [platform.processor() or platform.machine()])[0]


def setting(options: argparse.Namespace) -> dict:
    """What figures depend on besides the code."""
    return {
        "device": torch.cuda.get_device_name(options.device) if options.device.type == "cuda" else processor(),
        "threads": options.threads,
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "rounds": options.rounds,
        "seed": options.seed,
        "tiny": options.tiny,
    }


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", choices=CASES, action="append", help="may be repeated; by default every case")
    parser.add_argument("--rounds", type=int, default=15, help="that count, after three that warm up (default 15)")
    parser.add_argument("--threads", type=int, default=1, help="of torch (default 1)")
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda or auto")
    parser.add_argument("--seed", type=int, default=0, help="of weights, points and the orders of rounds")
    parser.add_argument("--compile", action="store_true", help="couplings of labkit and zuko through torch.compile too")
    parser.add_argument("--tiny", action="store_true", help="sizes that show nothing but that the script runs")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table there")
    parser.add_argument("--plot", type=Path, metavar="FILE.svg", help="draw the times there")
    options = parser.parse_args(arguments)
    if options.rounds < 2:
        parser.error(f"quartiles need at least 2 rounds; got --rounds {options.rounds}")
    try:
        options.device = pick_device(options.device)
    except ValueError as error:
        parser.error(str(error))
    return options


def main(arguments: list[str] | None = None) -> None:
    options = parsed(arguments)
    import_zuko()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)  # the peers draw from torch's own generator only
    absent = {library for library in OPTIONAL if not installed(library)}
    rows = []
    for name in options.case or CASES:
        print(f"{name} ...", file=sys.stderr)
        case = CASES[name].tiny() if options.tiny else CASES[name]
        rows += measure(name, case, absent, options)
    rows, ratios = summary(rows)
    where = setting(options)
    about = {name: case.about for name, case in CASES.items()}
    table = markdown(rows, where, about)
    if options.markdown:
        options.markdown.write_text(table, encoding="utf-8")
    if options.plot:
        options.plot.write_text(plot(rows, where, about), encoding="utf-8")
    print(json.dumps({"setting": where, "rows": rows, "ratios": ratios}) if options.json else table)


if __name__ == "__main__":
    main()
